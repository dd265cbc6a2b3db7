"""Files with several tags, and tags that name no genre: all are read, none is lost, and every byte comes back."""

from __future__ import annotations

import json
from pathlib import Path

import mutagen
import pytest
from mutagen import id3

from genrelab.audio.content_hash import sha256_of_audio
from genrelab.audio.file_tags import read_file_tags
from genrelab.tagging import tag, tags
from genrelab.tagging.classify import GenreChoice
from genrelab.tagging.plan import apply_plan, make_plan
from genrelab.tagging.playlists import PlaylistSettings, write_playlists
from genrelab.tagging.tag import TagSettings
from genrelab.tagging.untag import untag
from genrelab.tagging.write_tag import TagResult
from tests.support.containers import by_ffmpeg, id3v1, make, tag_richly
from tests.support.named_model import FakeClassifier
from tests.support.raw_tags import LYRICS3, ape, chunk, id3v2, text, with_chunks

ANN, ROCK, JAZZ = (b"TPE1", text("Ann")), (b"TCON", text("Rock")), (b"TCON", text("Jazz"))
ODD = (b"XYZ1", b"\1\2\3"), (b"PRIV", b"me\0\xff\xe0"), (b"COMM", b"\0engwords\0more")
AT_END = id3v2(ANN, *ODD, version=4, flags=0x10)
LYRICS1 = b"LYRICSBEGINla la laLYRICSEND"

AROUND: dict[str, tuple[list[bytes], list[bytes]]] = {
    "two ID3v2": ([id3v2(ANN, *ODD, padding=40), id3v2(*ODD, version=4, padding=9)], []),
    "three ID3v2": ([id3v2(ANN), id3v2(*ODD), id3v2((b"TT2", text("x")), version=2)], []),
    "a footer": ([id3v2(ANN, version=4, flags=0x10), id3v2(*ODD)], []),
    "at the end": ([], [AT_END]),
    "at the end, before ID3v1": ([id3v2(*ODD)], [AT_END, id3v1()]),
    "at the end, before APEv2": ([], [AT_END, ape(Title="Lied", Mood="calm")]),
    "APEv2 and ID3v1": ([id3v2(ANN)], [ape(Title="Lied", Mood="calm"), id3v1()]),
    "Lyrics3": ([], [LYRICS3, id3v1()]),
    "APEv2, Lyrics3 and ID3v1": ([], [ape(Title="Lied"), LYRICS3, id3v1()]),
    "Lyrics3 of version 1": ([id3v2(ANN), id3v2(*ODD)], [ape(Title="Lied"), LYRICS1, id3v1()]),
    "an extended ID3v1": ([], [LYRICS3, b"TAG+" + bytes(223) + id3v1()]),
    "all": ([id3v2(ANN), id3v2(*ODD, version=4)], [AT_END, ape(Mood="calm"), LYRICS3, id3v1()]),
}
"""Tags before and behind a stream, none with a genre."""


def tagged(folder: Path, **settings: object) -> tuple[TagResult, Path | None]:
    """What became of the only file."""
    rows: list[TagResult] = []
    journal = tag.tag([folder], FakeClassifier(), TagSettings(**settings), rows.append)  # type: ignore[arg-type]
    (row,) = rows
    return row, journal


def restored(journal: Path | None) -> TagResult:
    rows: list[TagResult] = []
    assert journal is not None
    untag(journal, rows.append)
    return rows[0]


def write(folder: Path, container: str, before: list[bytes], behind: list[bytes]) -> Path:
    path = make(folder, container, seconds=0.3)
    content = b"".join([*before, path.read_bytes(), *behind])
    path.unlink()
    named = folder / f"jazz 83 a{path.suffix}"
    named.write_bytes(content)
    return named


@pytest.mark.parametrize("container", ["mp3", "flac", "wavpack"])
@pytest.mark.parametrize("around", AROUND)
def test_no_tag_is_lost_and_every_byte_comes_back(tmp_path: Path, container: str, around: str) -> None:
    before, behind = AROUND[around]
    if container != "mp3":  # mutagen reads no WavPack with ID3v2 before it, and no FLAC with two, or with a footer
        before = [id3v2(ANN, *ODD)] if container == "flac" else []
    path = write(tmp_path, container, before, behind)
    content, audio, found_before = path.read_bytes(), sha256_of_audio(path), read_file_tags(path)
    row, journal = tagged(tmp_path)
    assert (row.status, row.after) == ("tagged", ("Jazz",))
    after = path.read_bytes()
    own = (
        before[:1]
        if container == "mp3"
        else [b for b in behind if b[:8] == b"APETAGEX"]
        if path.suffix == ".wv"
        else []
    )
    for block in (*before, *behind):
        assert block in after or block in own
    if behind and behind[-1] not in own:
        assert after.endswith(behind[-1])
    for frame in (ANN, *ODD):
        whole = frame[0] + len(frame[1]).to_bytes(4, "big") + b"\0\0" + frame[1]
        assert after.count(whole) >= content.count(whole)
    found = read_file_tags(path)
    assert found.genres == tags.read(path).genres == tags.read(path).values == ("Jazz",)
    assert (found.artist, found.title, found.album) == (found_before.artist, found_before.title, found_before.album)
    assert sha256_of_audio(path) == audio
    assert restored(journal).status == "restored"
    assert path.read_bytes() == content


def test_genre_in_the_second_tag_counts_and_a_new_one_goes_into_the_first(tmp_path: Path) -> None:
    first, second = id3v2(ANN), id3v2(ROCK, version=4)
    path = write(tmp_path, "mp3", [first, second], [])
    content = path.read_bytes()
    row, _ = tagged(tmp_path)
    assert (row.status, row.before, row.reason) == ("kept", ("Rock",), "has a genre")
    row, journal = tagged(tmp_path, overwrite=True)
    assert (row.status, row.before, row.after) == ("tagged", ("Rock",), ("Jazz",))
    assert second in path.read_bytes()
    assert tags.read(path).genres == read_file_tags(path).genres == ("Jazz",)
    assert mutagen.File(path)["TCON"].text == ["Jazz"]
    restored(journal)
    assert path.read_bytes() == content


def test_values_of_other_tags_are_copied_into_a_new_first_one(tmp_path: Path) -> None:
    """Players look into ID3v2 at the start, and no further where there is one."""
    path = write(tmp_path, "mp3", [], [ape(Artist=["A", "B"], Title="A title of more than thirty letters"), id3v1()])
    tagged(tmp_path)
    new = id3.ID3(path, load_v1=False)
    assert (new["TPE1"].text, new["TIT2"].text) == (["A", "B"], ["A title of more than thirty letters"])
    assert new["COMM:ID3v1 Comment:eng"].text == ["by hand"], "ID3v1's own fields too"


def test_further_chunks_of_a_wav_stay(tmp_path: Path) -> None:
    path = write(tmp_path, "wav", [], [])
    info = chunk(b"LIST", b"INFO" + chunk(b"INAM", b"Lied\0\0"))
    extra = info, chunk(b"id3 ", id3v2(ANN)), chunk(b"bext", bytes(602)), chunk(b"id3 ", id3v2(*ODD)), info
    path.write_bytes(with_chunks(path.read_bytes(), *extra))
    content = path.read_bytes()
    row, journal = tagged(tmp_path)
    assert row.status == "tagged" and read_file_tags(path).genres == ("Jazz",)
    assert path.read_bytes().count(info) == 2 and all(path.read_bytes().count(part) for part in extra[2:])
    restored(journal)
    assert path.read_bytes() == content


@pytest.mark.parametrize("name", [b"id3 ", b"ID3 "])
def test_chunk_of_a_wav_is_written_whatever_the_case_of_its_name(tmp_path: Path, name: bytes) -> None:
    path = write(tmp_path, "wav", [], [])
    path.write_bytes(with_chunks(path.read_bytes(), chunk(name, id3v2(ANN, *ODD))))
    content = path.read_bytes()
    row, journal = tagged(tmp_path)
    assert row.status == "tagged" and path.read_bytes().lower().count(b"id3 ") == 1
    assert ODD[0][1] in path.read_bytes() and mutagen.File(path)["TPE1"].text == ["Ann"]
    assert restored(journal).status == "restored" and path.read_bytes() == content


@pytest.mark.parametrize("container", ["flac", "wavpack", "aac"])
def test_file_that_cannot_be_written_is_kept_for_its_genre(tmp_path: Path, container: str) -> None:
    """Mutagen reads no FLAC with two ID3v2 tags before it, no WavPack with one, and knows no tags of ADTS."""
    path = write(tmp_path, "flac" if container == "aac" else container, [], [])
    if container == "aac":
        path = path.rename(path.with_suffix(".aac"))
        by_ffmpeg("aac")(path, 0.3)
    path.write_bytes(id3v2(ANN) + id3v2(ROCK) + path.read_bytes())
    content = path.read_bytes()
    row, _ = tagged(tmp_path)
    assert (row.status, row.before) == ("kept", ("Rock",))
    row, _ = tagged(tmp_path, overwrite=True)
    assert row.status == "failed" and row.reason and path.read_bytes() == content


# --- texts that name no genre ---


@pytest.mark.parametrize(
    "text_of_tag", ["(255)", "255", "Unknown", "Other", "misc", "-", "(12)", "<Genre>", "Other; Misc"]
)
@pytest.mark.parametrize("container", ["mp3", "flac", "m4a"])
def test_no_genre_is_replaced_and_comes_back_as_it_was(tmp_path: Path, container: str, text_of_tag: str) -> None:
    if text_of_tag in ("(12)", "255") and container != "mp3":
        pytest.skip("a number of ID3")
    path = write(tmp_path, container, [], [])
    tag_richly(path, genres=(text_of_tag,))
    content = path.read_bytes()
    found = tags.read(path)
    assert (found.genres, found.values) == ((), (text_of_tag,)) and found.no_genre
    row, journal = tagged(tmp_path)
    assert (row.status, row.before, row.after) == ("tagged", (), ("Jazz",))
    assert row.reason is not None and row.reason.startswith("replaces ") and row.reason.endswith("is not a genre")
    assert tags.read(path).genres == ("Jazz",)
    assert restored(journal).status == "restored" and path.read_bytes() == content
    tagged(tmp_path)
    edited = mutagen.File(path)
    edited["TIT2" if container == "mp3" else "©nam" if container == "m4a" else "TITLE"] = (
        id3.TIT2(encoding=3, text=["Else"]) if container == "mp3" else ["Else"]
    )
    edited.save()
    restored(sorted((tmp_path / ".genrelab").glob("*.jsonl"))[-1])
    assert (tags.read(path).values, tags.artist_and_title(path)[1]) == ((text_of_tag,), "Else")


def test_id3v1_without_a_genre_is_none(tmp_path: Path) -> None:
    for number in (255, 12, 200):
        path = write(tmp_path / str(number), "mp3", [], [id3v1(genre=number)])
        assert tags.read(path).genres == ()
        assert tagged(tmp_path / str(number))[0].status == "tagged"


def test_one_genre_beside_a_text_that_is_none_is_kept(tmp_path: Path) -> None:
    path = write(tmp_path, "flac", [], [])
    tag_richly(path, genres=("Other", "Metal"))
    row, _ = tagged(tmp_path)
    assert (row.status, row.before) == ("kept", ("Metal",))


def test_plan_for_a_file_without_a_genre_is_applied_and_undone(tmp_path: Path) -> None:
    path = write(tmp_path / "music", "mp3", [id3v2(ANN), id3v2((b"TCON", b"\0(255)"))], [])
    content, rows = path.read_bytes(), list[TagResult]()
    make_plan(tmp_path / "plan", [path.parent], FakeClassifier(), TagSettings(), rows.append, model="svm")
    line = json.loads((tmp_path / "plan").read_text().splitlines()[1])
    assert (line["old"], line["new"]) == ([], ["Jazz"])
    journal = apply_plan(tmp_path / "plan", rows.append)
    assert rows[-1].status == "tagged" and tags.read(path).genres == ("Jazz",)
    assert restored(journal).status == "restored" and path.read_bytes() == content


def test_several_genres_in_one_value_say_the_same_as_several_values(tmp_path: Path) -> None:
    path = write(tmp_path, "flac", [], [])
    tag_richly(path, genres=("jazz; Jazz",))
    assert tags.read(path).genres == ("jazz",)
    row, _ = tagged(tmp_path, overwrite=True)
    assert (row.status, row.reason) == ("kept", "has this genre")


def test_playlists_by_tags_know_several_genres_and_none(tmp_path: Path) -> None:
    for name, written in {"a": "Rock; Pop", "b": "rock", "c": "Rock/Pop", "d": "Other", "e": "Rock"}.items():
        path = make(tmp_path / "music", "flac", seconds=0.3)
        tag_richly(path, genres=(written,))
        path.rename(path.with_name(f"folk 83 {name}.flac"))
    second = [id3v2(ANN), id3v2(ROCK)]
    write(tmp_path / "music", "mp3", second, [])
    classifier, out = FakeClassifier(), tmp_path / "out"
    found = write_playlists(tmp_path / "music", out, classifier, PlaylistSettings(GenreChoice(), prefer_tags=True))
    assert classifier.classified == ["folk 83 d.flac"]
    assert {path.name: n for path, n in found.files.items()} == {
        "Rock.m3u8": 5, "Pop.m3u8": 2, "Folk.m3u8": 1, "unsure.m3u8": 0
    }  # fmt: skip


def test_hash_of_the_audio_ignores_every_tag_around_it(tmp_path: Path) -> None:
    path = make(tmp_path, "mp3", seconds=0.3)
    bare, audio = sha256_of_audio(path), path.read_bytes()
    for before, behind in AROUND.values():
        path.write_bytes(b"".join([*before, audio, *behind]))
        assert sha256_of_audio(path) == bare
    path.write_bytes(ape(Title="Lied") + audio)
    assert sha256_of_audio(path) == bare
