"""genrelab/datasets/folder.py: genres from folders, artists from tags, and everything odd counted."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import mutagen
import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genrelab.core.errors import DatasetError
from genrelab.datasets import folder
from genrelab.datasets.artists import tags_of
from genrelab.datasets.base import Dataset, DatasetOptions
from genrelab.datasets.registry import load_dataset

NOISE = np.random.default_rng(0).normal(0, 0.1, 4_000).astype(np.float32)


def write(path: Path, **tags: str) -> Path:
    """A short audio file of the path's format, with tags."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = {".mp3": "MP3", ".ogg": "OGG", ".flac": "FLAC", ".wav": "WAV", ".aiff": "AIFF"}[path.suffix]
    soundfile.write(path, NOISE, 16_000, format=kind)
    if tags:
        file = mutagen.File(path, easy=True)
        if file.tags is None:
            file.add_tags()
        if kind in ("WAV", "AIFF"):  # mutagen has no easy names for these
            frames = {"artist": mutagen.id3.TPE1, "album": mutagen.id3.TALB}
            for key, text in tags.items():
                file.tags.add(frames[key](encoding=3, text=[text]))
        else:
            file.tags.update(tags)
        file.save()
    return path


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"no audio")


def load(root: Path, **options: Path) -> Dataset:
    return folder.load(root, DatasetOptions(**options))


def note(dataset: Dataset, word: str) -> str:
    """The one note that holds `word`."""
    (found,) = [n for n in dataset.notes if word in n]
    return found


def artists(dataset: Dataset) -> dict[str, str | None]:
    return {t.track_id: t.artist for t in dataset.tracks}


def test_genre_is_the_first_folder_and_id_the_whole_path(tmp_path: Path) -> None:
    touch(tmp_path, "rock/a.mp3", "rock/live/1999/a.mp3", "rock/a.flac", "jazz/b.OPUS")
    dataset = load(tmp_path)
    assert [(t.track_id, t.path, t.genre) for t in dataset.tracks] == [
        ("jazz/b.OPUS", "jazz/b.OPUS", "jazz"),
        ("rock/a.flac", "rock/a.flac", "rock"),
        ("rock/a.mp3", "rock/a.mp3", "rock"),
        ("rock/live/1999/a.mp3", "rock/live/1999/a.mp3", "rock"),
    ]
    assert dataset.name == "folder"
    assert dataset.root == tmp_path
    assert dataset.features is None
    assert note(dataset, "tracks:") == "tracks: jazz 1, rock 3"


def test_hidden_names_are_skipped_and_our_own_are_not_reported(tmp_path: Path) -> None:
    touch(tmp_path, "rock/a.mp3", "rock/._a.mp3", "rock/.trash/b.mp3", ".genrelab/rock/c.mp3", ".hidden.mp3")
    dataset = load(tmp_path)
    assert [t.track_id for t in dataset.tracks] == ["rock/a.mp3"]
    assert note(dataset, "hidden") == "skipped: 3 hidden files and folders: .hidden.mp3, rock/._a.mp3, rock/.trash"
    assert {(u.path, u.is_audio) for u in dataset.unused} == {
        (name, False) for name in (".hidden.mp3", "rock/._a.mp3", "rock/.trash")
    }


@pytest.mark.parametrize("name", ["#recycle", "$Recycle.Bin", "@eaDir", "lost+found", "System Volume Information"])
def test_a_folder_of_the_system_is_no_genre_and_its_files_are_no_music(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "rock/a.mp3", f"{name}/b.mp3", f"rock/live/{name}/rock/c.mp3")
    dataset = load(tmp_path)
    assert dataset.genres == ("rock",)
    assert [t.track_id for t in dataset.tracks] == ["rock/a.mp3"]
    assert note(dataset, "operating system").startswith("skipped: 2 folders of the operating system or a NAS: ")
    assert [(u.path, u.is_audio) for u in dataset.unused] == [(name, False), (f"rock/live/{name}", False)]
    assert folder.matches(tmp_path) == "1 folder with audio"


def test_one_genre_loads(tmp_path: Path) -> None:
    touch(tmp_path, "rock/a.mp3", "rock/b.mp3")
    assert load(tmp_path).genres == ("rock",)


@pytest.mark.parametrize("name", ["naïve café.mp3", "two  spaces .mp3", "new\nline.mp3", "名前.mp3", 'it\'s "q".mp3'])
def test_names_stay_as_they_are(tmp_path: Path, name: str) -> None:
    touch(tmp_path, f"a b/{name}", f"ré\ngion/{name}")
    dataset = load(tmp_path)
    assert {t.track_id for t in dataset.tracks} == {f"a b/{name}", f"ré\ngion/{name}"}
    assert not any("\n" in n for n in dataset.notes)


def test_names_are_not_normalised(tmp_path: Path) -> None:
    names = {unicodedata.normalize(form, "rock/é.mp3") for form in ("NFC", "NFD")}
    touch(tmp_path, *names)
    found = {t.track_id for t in load(tmp_path).tracks}
    assert found <= names  # a file system that normalises leaves one
    assert {f"rock/{p.name}" for p in (tmp_path / "rock").iterdir()} == found


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_names_that_are_not_utf8_are_skipped_and_named(tmp_path: Path) -> None:
    touch(tmp_path, "rock/a.mp3")
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/rock/\xff.mp3")).write_bytes(b"")
    except OSError:
        pytest.skip("this file system holds UTF-8 names only")
    dataset = load(tmp_path)
    assert [t.track_id for t in dataset.tracks] == ["rock/a.mp3"]
    assert note(dataset, "UTF-8").startswith("skipped: 1 file with a name that is not UTF-8")
    note(dataset, "UTF-8").encode()
    assert [(u.path, u.is_audio) for u in dataset.unused] == [("rock/\\xff.mp3", True)]


def test_what_is_left_out_is_counted_and_named(tmp_path: Path) -> None:
    touch(tmp_path, "rock/a.mp3", "stray.mp3", "rock/cover.jpg", "rock/b.txt", "jazz/notes.txt", "readme")
    (tmp_path / "empty").mkdir()
    dataset = load(tmp_path)
    assert note(dataset, "not in a genre") == "skipped: 1 audio file not in a genre folder: stray.mp3"
    assert note(dataset, "without audio") == "skipped: 2 genre folders without audio: empty, jazz"
    assert note(dataset, "audio suffix") == "skipped: 4 files without an audio suffix (2 .txt, 1 .jpg, 1 no suffix)"
    assert [(u.path, u.is_audio) for u in dataset.unused] == [
        ("stray.mp3", True), *((p, False) for p in ("jazz/notes.txt", "readme", "rock/b.txt", "rock/cover.jpg")),
    ]  # fmt: skip


def test_links_to_folders_are_named_and_skipped(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    touch(root, "rock/deep/a.mp3")
    touch(elsewhere, "b.mp3", "sub/c.mp3")
    (root / "rock" / "up").symlink_to(root / "rock")
    (root / "rock" / "self").symlink_to("self")
    (root / "jazz").symlink_to(elsewhere)
    (root / "rock" / "linked.mp3").symlink_to(elsewhere / "b.mp3")
    dataset = load(root)
    assert [t.track_id for t in dataset.tracks] == ["rock/deep/a.mp3", "rock/linked.mp3"], "a link to a file is a file"
    assert note(dataset, "link") == "skipped: 2 links to a folder (use the folder itself): jazz, rock/up"
    assert [u.path for u in dataset.unused if "link" in u.reason] == ["jazz", "rock/up"]


def test_root_may_be_a_link_and_a_collection_of_links_alone_is_refused(tmp_path: Path) -> None:
    touch(tmp_path / "music", "rock/a.mp3")
    (tmp_path / "link").symlink_to(tmp_path / "music")
    assert [t.track_id for t in load(tmp_path / "link").tracks] == ["rock/a.mp3"]
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "rock").symlink_to(tmp_path / "music" / "rock")
    with pytest.raises(DatasetError, match=r"no audio files; skipped: 1 link to a folder .*: rock; needed"):
        load(tmp_path / "links")


def test_broken_link_counts_as_a_file(tmp_path: Path) -> None:
    touch(tmp_path, "rock/a.mp3")
    (tmp_path / "rock" / "gone.mp3").symlink_to(tmp_path / "nowhere.mp3")
    assert [t.track_id for t in load(tmp_path).tracks] == ["rock/a.mp3", "rock/gone.mp3"]


def test_folder_without_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "rock/a.mp3", "jazz/b.mp3")
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "jazz":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    dataset = load(tmp_path)
    assert dataset.genres == ("rock",)
    assert note(dataset, "permission") == "skipped: 1 folder without permission to read: jazz"
    (unused,) = dataset.unused
    assert (unused.path, unused.is_audio) == ("jazz", True), "it may hold audio"
    assert "Permission denied" in unused.reason


@pytest.mark.parametrize("suffix", [".mp3", ".ogg", ".flac", ".wav", ".aiff"])
def test_artist_and_album_from_the_tags_of_each_format(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / "rock" / f"a{suffix}", artist=" Björk  Q ", album="Début")
    (track,) = load(tmp_path).tracks
    assert (track.artist, track.album) == ("Björk Q", "Début")


def test_album_artist_or_performer_replaces_a_missing_artist(tmp_path: Path) -> None:
    write(tmp_path / "rock" / "a.ogg", albumartist="Band", performer="Singer")
    write(tmp_path / "rock" / "b.ogg", performer="Singer")
    write(tmp_path / "rock" / "c.ogg", artist="various artists", performer="Singer")
    write(tmp_path / "rock" / "d.ogg", artist="  ")
    write(tmp_path / "rock" / "e.ogg")
    dataset = load(tmp_path)
    assert list(artists(dataset).values()) == ["Band", "Singer", None, None, None]
    assert note(dataset, "artist known") == "artist known for 2 of 5 tracks, from tags"
    assert not any("--artists" in n for n in dataset.notes)


def test_one_artist_in_several_spellings_is_one_artist(tmp_path: Path) -> None:
    for name, artist in (("a", "ABBA"), ("b", "Abba "), ("c", "Cafe\u0301"), ("d", "CAFÉ"), ("e", "Tin Machine")):
        write(tmp_path / "pop" / f"{name}.flac", artist=artist)
    dataset = load(tmp_path)
    assert [t.credit.names for t in dataset.tracks][:2] == [("ABBA",), ("Abba",)], "as written"
    assert note(dataset, "artist known") == "artist known for 5 of 5 tracks, from tags"
    same = {t.track_id: t.artist for t in load_dataset(tmp_path).tracks}
    assert same["pop/a.flac"] == same["pop/b.flac"] != same["pop/c.flac"] == same["pop/d.flac"] != same["pop/e.flac"]


def test_every_credited_person_is_kept(tmp_path: Path) -> None:
    write(tmp_path / "pop" / "a.flac", artist="Queen & David Bowie", albumartist="Queen")
    (track,) = load(tmp_path).tracks
    assert (track.artist, track.credit.names, track.credit.album_names) == (
        "Queen & David Bowie", ("Queen & David Bowie",), ("Queen",),
    )  # fmt: skip


@pytest.mark.parametrize("artist", ["Various Artists", "VA", "unknown  artist", "Various"])
def test_collective_names_are_no_artist(tmp_path: Path, artist: str) -> None:
    write(tmp_path / "pop" / "a.mp3", artist=artist)
    dataset = load(tmp_path)
    assert artists(dataset) == {"pop/a.mp3": None}
    assert note(dataset, "--artists FILE").startswith("artists are unknown")


def test_unreadable_tags_are_counted(tmp_path: Path) -> None:
    touch(tmp_path, "pop/a.mp3")
    write(tmp_path / "pop" / "b.flac", artist="B")
    content = (tmp_path / "pop" / "b.flac").read_bytes()
    (tmp_path / "pop" / "b.flac").write_bytes(content[:30])
    (tmp_path / "pop" / "c.mp3").symlink_to(tmp_path / "nowhere.mp3")
    dataset = load(tmp_path)
    assert dataset.artists == ()
    assert note(dataset, "unreadable tags") == "2 files with unreadable tags: pop/b.flac, pop/c.mp3"


def test_nested_atoms_do_not_overflow_the_stack(tmp_path: Path) -> None:
    depth = 4_000
    atoms = b"".join((8 * n).to_bytes(4, "big") + b"moov" for n in range(depth, 0, -1))
    (tmp_path / "pop").mkdir()
    (tmp_path / "pop" / "a.m4a").write_bytes(b"\0\0\0\x14ftypM4A \0\0\0\0M4A " + atoms)
    assert note(load(tmp_path), "unreadable tags") == "1 file with unreadable tags: pop/a.m4a"


@pytest.fixture(scope="module")
def tagged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tagged")
    for suffix in (".mp3", ".ogg", ".flac", ".wav"):
        write(root / "seeds" / f"a{suffix}", artist="Someone", album="Something")
    return root


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.sampled_from([".mp3", ".ogg", ".flac", ".wav"]), st.randoms(use_true_random=False), st.integers(0, 40))
def test_damaged_tags_never_raise(tagged: Path, suffix: str, random: object, hits: int) -> None:
    content = bytearray((tagged / "seeds" / f"a{suffix}").read_bytes())
    for _ in range(hits):
        content[random.randrange(min(len(content), 400))] = random.choice((0, 1, 127, 255, random.randrange(256)))
    damaged = tagged / "damaged" / f"a{suffix}"
    damaged.parent.mkdir(exist_ok=True)
    damaged.write_bytes(content[: random.randrange(len(content))])
    credit = tags_of(damaged).credit
    assert all(name.strip() for name in (*credit.names, *credit.album_names))
    (credit.text or "").encode()


def test_artist_table_takes_precedence_over_tags(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in ("rock/a.flac", "rock/b.flac", "rock/c.flac", "jazz/c.flac", "jazz/blues.00000.flac", "jazz/e.flac"):
        write(root / name, artist="Tag")
    table = tmp_path / "artists.csv"
    table.write_text(
        "\ufeffid,title,artist\nrock/a.flac,x,A\nrock/b,x,B\njazz/c.flac,x,C\nblues.00000,x,D\ne.flac,x,\n", "utf-8"
    )
    dataset = load(root, artists=table)
    assert artists(dataset) == {
        "rock/a.flac": "A",
        "rock/b.flac": "B",
        "rock/c.flac": "Tag",
        "jazz/c.flac": "C",
        "jazz/blues.00000.flac": "D",
        "jazz/e.flac": "Tag",  # a blank cell says nothing
    }
    assert "for 4 of them from the table of artists" in note(dataset, "artist known")


def test_rows_of_the_artist_table_that_fit_no_single_file_are_counted(tmp_path: Path) -> None:
    root = tmp_path / "root"
    touch(root, "rock/a.mp3", "jazz/a.mp3", "jazz/b.mp3")
    (tmp_path / "artists.csv").write_text("id,artist\na,Who\nz.mp3,Nobody\nb,Bee\n")
    dataset = load(root, artists=tmp_path / "artists.csv")
    assert artists(dataset) == {"jazz/a.mp3": None, "jazz/b.mp3": "Bee", "rock/a.mp3": None}
    assert note(dataset, "several matching") == "1 row of artists.csv with several matching files: a"
    assert note(dataset, "without a matching") == "1 row of artists.csv without a matching file: z.mp3"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"id,name\na,b\n", "the columns id and artist are needed. Found: id, name"),
        (b"", "the columns id and artist are needed. Found: none"),
        (b"id,artist\nrock/a.mp3,A\na,B\n", "two artists for rock/a.mp3: A and B"),
        (b"id,artist\na,\xff\n", "artists.csv cannot be read"),
        (None, "artists.csv cannot be read"),
    ],
)
def test_bad_artist_tables(tmp_path: Path, content: bytes | None, words: str) -> None:
    root, table = tmp_path / "root", tmp_path / "artists.csv"
    touch(root, "rock/a.mp3")
    if content is not None:
        table.write_bytes(content)
    with pytest.raises(DatasetError, match=words):
        load(root, artists=table)


def test_matches_returns_the_reason(tmp_path: Path) -> None:
    assert folder.matches(tmp_path) is None
    touch(tmp_path, "a.mp3", "text/readme.txt")
    assert folder.matches(tmp_path) is None
    assert folder.matches(tmp_path / "a.mp3") is None
    touch(tmp_path, *(f"genre {n}/deep/a.wav" for n in range(7)))
    assert folder.matches(tmp_path) == "7 folders with audio"


def test_nothing_to_load_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no audio files; needed: one folder per genre"):
        load(tmp_path)
    touch(tmp_path, "a.mp3", "b.mp3")
    with pytest.raises(DatasetError, match="2 audio files, not in a genre folder; needed"):
        load(tmp_path)


@pytest.mark.real
def test_emotify_has_its_artists_in_the_tags(shared: Path) -> None:
    dataset = load(shared / "data" / "emotify_30s")
    assert len(dataset.tracks) == 100
    assert dataset.genres == ("classical", "electronic", "pop", "rock")
    assert len(dataset.artists) == 49
    assert all(t.artist and t.album for t in dataset.tracks)
