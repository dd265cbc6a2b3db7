"""Playlists lead to the tracks from wherever they lie, the surest first, and never cost a playlist of others."""

from __future__ import annotations

import errno
import io
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from genrelab.cli.main import app
from genrelab.core.errors import SettingsError
from genrelab.identity.genre_map import GenreMap
from genrelab.predict.prediction import NOT_MUSIC, UNKNOWN, Prediction
from genrelab.tagging import classify
from genrelab.tagging.classify import Classify, GenreChoice
from genrelab.tagging.m3u import MARK
from genrelab.tagging.playlists import PlaylistResult, PlaylistSettings, write_playlists
from genrelab.tagging.write_tag import OnWritten
from tests.support.containers import make, tag_richly
from tests.support.named_model import FakeClassifier


def music(folder: Path, *names: str) -> Path:
    """Files that need not sound: the model reads their names."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def written(folder: Path, out: Path, classify_files: Classify | None = None, **settings: Any) -> PlaylistResult:
    return write_playlists(folder, out, classify_files or FakeClassifier(), PlaylistSettings(**settings))


def tracks(playlist: Path) -> list[str]:
    return [line for line in playlist.read_text("utf-8").splitlines() if not line.startswith("#")]


def names(out: Path) -> set[str]:
    return {p.name for p in out.iterdir()}


def by_words(genre: str) -> Classify:
    """A model that knows one genre."""

    def classify_files(paths: Iterable[Path]) -> Iterator[Prediction]:
        return (Prediction(str(p), genre, 0.9, {genre: 0.9}, None, "svm", None) for p in paths)

    return classify_files


def test_one_playlist_per_genre_with_the_most_confident_first(tmp_path: Path) -> None:
    folder = music(tmp_path / "music", "jazz 60 b.mp3", "jazz 90 c.mp3", "x/jazz 60 a.mp3", "rock 50 d.mp3")
    music(folder, "rock 49 e.mp3", "unknown 99 f.mp3")
    found = written(folder, tmp_path / "lists" / "mine")
    out = tmp_path / "lists" / "mine"
    assert names(out) == {"Jazz.m3u8", "Rock.m3u8", "unsure.m3u8"}
    up = "../../music"
    assert tracks(out / "Jazz.m3u8") == [f"{up}/jazz 90 c.mp3", f"{up}/jazz 60 b.mp3", f"{up}/x/jazz 60 a.mp3"]
    assert tracks(out / "unsure.m3u8") == [f"{up}/unknown 99 f.mp3", f"{up}/rock 49 e.mp3"]
    assert {p.name: n for p, n in found.files.items()} == {"Jazz.m3u8": 3, "Rock.m3u8": 1, "unsure.m3u8": 2}
    assert all((out / t).resolve().is_file() for p in out.iterdir() for t in tracks(p))


def test_entry_holds_duration_artist_title_and_path(tmp_path: Path) -> None:
    made = make(tmp_path, "flac", seconds=0.5)
    tag_richly(made)
    made.rename(tmp_path / "jazz 90 ä 日本.flac")
    music(tmp_path, "jazz 80 untagged.mp3")
    written(tmp_path, tmp_path)
    lines = (tmp_path / "Jazz.m3u8").read_bytes().decode("utf-8").split("\n")
    assert lines[0] == "#EXTM3U"
    assert lines[1].startswith(MARK)
    assert lines[2:] == [
        "#PLAYLIST:Jazz",
        "#EXTINF:61,Ä, B - Lied",
        "jazz 90 ä 日本.flac",
        "#EXTINF:61,jazz 80 untagged",
        "jazz 80 untagged.mp3",
        "",
    ]


def test_file_name_that_looks_like_a_comment_is_escaped(tmp_path: Path) -> None:
    music(tmp_path, "#1 hits.mp3", " leading.mp3")
    written(tmp_path, tmp_path)
    lines = (tmp_path / "Rock.m3u8").read_text("utf-8").splitlines()
    assert {"./#1 hits.mp3", "./ leading.mp3"} < set(lines)


def test_a_name_that_no_playlist_can_hold_is_a_failure(tmp_path: Path) -> None:
    folder = music(tmp_path / "music", "rock 90 a.mp3", "rock 90\nb.mp3", "rock 90\rc.mp3", "error d.mp3")
    music(folder, os.fsdecode(b"rock 90 \xff.mp3"))
    found = written(folder, tmp_path / "out")
    reasons = sorted(found.failed.values())
    assert len(reasons) == 4
    assert [r.split(":")[0] for r in reasons] == [
        "its name has a line break, which is impossible in a playlist",
        "its name has a line break, which is impossible in a playlist",
        "its name is not UTF-8, which is impossible in a playlist",
        "not a readable audio file",
    ]
    assert tracks(tmp_path / "out" / "Rock.m3u8") == ["../music/rock 90 a.mp3"]


@pytest.mark.parametrize(
    ("genre", "name"),
    [
        ("Drone/Doom", "Drone_Doom.m3u8"),
        ("../up", "_up.m3u8"),
        ("unsure", "unsure (2).m3u8"),
        ("Unsure", "Unsure (2).m3u8"),
        ("CON", "_CON.m3u8"),
        ("...", "_.m3u8"),
        ("a\nb", "a_b.m3u8"),
        ("é" * 200, "é" * 100 + ".m3u8"),
        ("", "_.m3u8"),
    ],
)
def test_any_genre_gives_a_valid_file_name(tmp_path: Path, genre: str, name: str) -> None:
    folder = music(tmp_path / "music", "a.mp3")
    written(folder, tmp_path / "out", by_words(genre))
    assert names(tmp_path / "out") == {name, "unsure.m3u8"}
    assert tracks(tmp_path / "out" / name) == ["../music/a.mp3"]


def test_spellings_of_one_genre_share_a_list_unless_they_are_the_owners_words(tmp_path: Path) -> None:
    folder = music(tmp_path / "music", "Hip-Hop 90 a.mp3", "hiphop 80 b.mp3")
    written(folder, tmp_path / "out")
    assert names(tmp_path / "out") == {"Hip-Hop.m3u8", "unsure.m3u8"}
    written(folder, tmp_path / "own", choice=GenreChoice(own_names=True))
    assert names(tmp_path / "own") == {"Hip-Hop.m3u8", "hiphop.m3u8", "unsure.m3u8"}


def test_own_genres_that_differ_in_case_have_two_lists(tmp_path: Path) -> None:
    folder = music(tmp_path / "music", "Rock 90 a.mp3", "rock 80 b.mp3")
    written(folder, tmp_path / "out", choice=GenreChoice(own_names=True))
    assert names(tmp_path / "out") == {"Rock.m3u8", "rock (2).m3u8", "unsure.m3u8"}


def test_empty_playlist_is_removed_only_if_genrelab_wrote_it(tmp_path: Path) -> None:
    folder, out = music(tmp_path / "music", "jazz 90 a.mp3", "rock 90 b.mp3"), tmp_path / "out"
    written(folder, out)
    (out / "favourites.m3u8").write_text("#EXTM3U\nmine.mp3\n")
    (out / "folder.m3u8").mkdir()
    (folder / "jazz 90 a.mp3").rename(folder / "folk 90 a.mp3")
    found = written(folder, out)
    assert names(out) == {"Folk.m3u8", "Rock.m3u8", "unsure.m3u8", "favourites.m3u8", "folder.m3u8"}
    assert found.removed == (out / "Jazz.m3u8",)


def test_playlists_of_another_kind_or_library_stay(tmp_path: Path) -> None:
    folder, out = music(tmp_path / "music", "90 jazz.mp3"), tmp_path / "out"
    other = music(tmp_path / 'o "ther" é', "metal 90 a.mp3")
    written(folder, out, by_words("Jazz"))
    written(other, out)
    assert written(folder, out, by_descriptions, by_tag=True).removed == ()
    assert names(out) == {"Jazz.m3u8", "Metal.m3u8", "sad.m3u8", "guitar.m3u8", "unsure.m3u8", "untagged.m3u8"}
    assert written(folder, out, by_words("Rock")).removed == (out / "Jazz.m3u8",)
    (other / "metal 90 a.mp3").rename(other / "folk 90 a.mp3")
    assert written(other, out).removed == (out / "Metal.m3u8",)
    assert names(out) == {"Rock.m3u8", "Folk.m3u8", "sad.m3u8", "guitar.m3u8", "unsure.m3u8", "untagged.m3u8"}


def test_stale_playlist_is_removed_after_library_and_playlists_moved(tmp_path: Path) -> None:
    folder = music(tmp_path / "music", "jazz 90 a.mp3")
    written(folder, folder / "lists")
    moved = folder.rename(tmp_path / "moved")
    (moved / "jazz 90 a.mp3").rename(moved / "folk 90 a.mp3")
    assert written(moved, moved / "lists").removed == (moved / "lists" / "Jazz.m3u8",)


def test_playlist_of_an_earlier_version_is_replaced_but_not_removed(tmp_path: Path) -> None:
    folder, out = music(tmp_path / "music", "jazz 90 a.mp3"), tmp_path / "out"
    out.mkdir()
    for name in ("Jazz", "Rock"):
        (out / f"{name}.m3u8").write_text(f"#EXTM3U\n{MARK} 0.2.0, which replaces this file\n#PLAYLIST:{name}\n")
    assert written(folder, out).removed == ()
    assert tracks(out / "Jazz.m3u8") == ["../music/jazz 90 a.mp3"]
    assert names(out) == {"Jazz.m3u8", "Rock.m3u8", "unsure.m3u8"}


def test_playlists_are_kept_if_the_music_is_gone(tmp_path: Path) -> None:
    folder, out = music(tmp_path / "music", "jazz 90 a.mp3", "rock 40 b.mp3"), tmp_path / "out"
    written(folder, out)
    before = {p.name: p.read_text() for p in out.iterdir()}
    for file in folder.iterdir():
        file.unlink()
    found = written(folder, out)
    assert (found.files, found.removed) == ({}, ())
    assert "no audio file" in found.failed[str(folder)]
    assert {p.name: p.read_text() for p in out.iterdir()} == before


def test_no_playlist_is_removed_while_a_track_fails(tmp_path: Path) -> None:
    folder, out = music(tmp_path / "music", "jazz 90 a.mp3", "rock 90 b.mp3"), tmp_path / "out"
    written(folder, out)
    (folder / "jazz 90 a.mp3").rename(folder / "error a.mp3")
    assert written(folder, out).removed == ()
    (folder / "error a.mp3").unlink()
    assert written(folder, out).removed == (out / "Jazz.m3u8",)


def test_full_disk_loses_no_playlist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, out = music(tmp_path / "music", "jazz 90 a.mp3", "jazz 80 b.mp3"), tmp_path / "out"
    written(folder, out)
    before = {p.name: p.read_text() for p in out.iterdir()}

    class Full(io.FileIO):
        def write(self, content: Any) -> int:
            super().write(content[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")

    opened = Path.open

    def open_full(file: Path, mode: str = "r", *more: Any, **how: Any) -> Any:
        return Full(file, "x") if mode == "xb" else opened(file, mode, *more, **how)

    monkeypatch.setattr(Path, "open", open_full)
    with pytest.raises(SettingsError, match="No space left"):
        written(folder, out)
    assert {p.name: p.read_text() for p in out.iterdir()} == before


def test_playlist_not_written_by_genrelab_is_not_replaced(tmp_path: Path) -> None:
    folder, out = music(tmp_path / "music", "jazz 90 a.mp3", "rock 90 b.mp3"), tmp_path / "out"
    out.mkdir()
    (out / "Rock.m3u8").write_text("#EXTM3U\nmine.mp3\n")
    with pytest.raises(SettingsError, match=r"Rock\.m3u8 exists, and genrelab did not write it"):
        written(folder, out)
    assert names(out) == {"Rock.m3u8"}
    assert (out / "Rock.m3u8").read_text() == "#EXTM3U\nmine.mp3\n"


def test_unusable_folder_is_refused_before_processing(tmp_path: Path) -> None:
    folder, classifier = music(tmp_path / "music", "jazz 90 a.mp3"), FakeClassifier()
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="cannot be created"):
        written(folder, tmp_path / "file" / "out", classifier)
    with pytest.raises(SettingsError, match="no such folder"):
        written(tmp_path / "nowhere", tmp_path / "out", classifier)
    if Path("/proc/self/fdinfo").is_dir():  # where not even root may write
        with pytest.raises(SettingsError, match="cannot be written to"):
            written(folder, Path("/proc/self/fdinfo"), classifier)
    assert classifier.classified == []


def test_unreadable_playlist_is_neither_replaced_nor_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, out = music(tmp_path / "music", "jazz 90 a.mp3"), tmp_path / "out"
    music(out, "old.m3u8", "Jazz.m3u8")
    opened = Path.open

    def refuse(file: Path, *more: Any, **how: Any) -> Any:
        if file.suffix == ".m3u8" and "r" in (*more, "r")[0]:
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(file, *more, **how)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(SettingsError, match=r"Jazz\.m3u8 exists, and genrelab did not write it"):
        written(folder, out)
    (out / "Jazz.m3u8").unlink()
    assert written(folder, out).removed == ()
    assert names(out) == {"old.m3u8", "Jazz.m3u8", "unsure.m3u8"}


def test_paths_are_right_across_symbolic_links(tmp_path: Path) -> None:
    music(tmp_path / "far" / "music", "jazz 90 a.mp3")
    (tmp_path / "far" / "lists").mkdir()
    (tmp_path / "music").symlink_to(tmp_path / "far" / "music")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "lists").symlink_to(tmp_path / "far" / "lists")
    written(tmp_path / "music", tmp_path / "deep" / "lists")
    assert tracks(tmp_path / "far" / "lists" / "Jazz.m3u8") == ["../music/jazz 90 a.mp3"]


def test_playlists_command_reports_what_it_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, out = music(tmp_path / "music", "jazz 90 a.mp3", "error b.mp3"), tmp_path / "out"

    @contextmanager
    def opened_classifier(*_: object) -> Iterator[tuple[Classify, OnWritten]]:
        yield FakeClassifier(), lambda _: None

    monkeypatch.setattr(classify, "open_classifier", opened_classifier)
    result = CliRunner().invoke(app, ["playlists", str(folder), "--out", str(out)])
    assert result.exit_code == 1
    assert f"{out / 'Jazz.m3u8'}: 1 track\n" in result.stdout
    assert f"FAILED {folder / 'error b.mp3'}: not a readable audio file\n" in result.stdout
    (folder / "error b.mp3").unlink()
    (out / "Old.m3u8").write_text((out / "Jazz.m3u8").read_text())
    result = CliRunner().invoke(app, ["playlists", str(folder), "--out", str(out)])
    assert f"{out / 'Old.m3u8'}: removed, as it would be empty\n" in result.stdout
    result = CliRunner().invoke(app, ["playlists", str(folder), "--out", str(out), "--json"])
    assert result.exit_code == 0
    expected = {str(out / "Jazz.m3u8"): 1, str(out / "unsure.m3u8"): 0}
    assert json.loads(result.stdout) == {"playlists": expected, "removed": [], "failed": {}}


# --- by tags ---


def tagged_files(folder: Path, **genres: tuple[str, ...]) -> Path:
    """Files with tags of their own; their names say what the model would hear."""
    for name, values in genres.items():
        made = make(folder, "flac", seconds=0.5)
        tag_richly(made, genres=values)
        made.rename(folder / f"{name.replace('_', ' ')}.flac")
    return folder


def test_own_genres_come_first_and_such_files_are_not_classified(tmp_path: Path) -> None:
    own = {"metal_90_a": ("hip hop",), "metal_90_b": ("hip hop", "Rap"), "metal_90_c": ("Hip-Hop",), "jazz_60_d": ()}
    folder, classifier = tagged_files(tmp_path / "music", **own), FakeClassifier()
    music(folder, "hiphop 80 e.mp3", "hiphop 40 f.mp3")
    found = written(folder, tmp_path / "out", classifier, prefer_tags=True)
    assert sorted(classifier.classified) == ["hiphop 40 f.mp3", "hiphop 80 e.mp3", "jazz 60 d.flac"]
    assert {p.name: n for p, n in found.files.items()} == {
        "hip hop.m3u8": 4, "Rap.m3u8": 1, "Jazz.m3u8": 1, "unsure.m3u8": 1
    }  # fmt: skip
    by_own = [f"../music/metal 90 {letter}.flac" for letter in "abc"]
    assert tracks(tmp_path / "out" / "hip hop.m3u8") == [*by_own, "../music/hiphop 80 e.mp3"], "most files spell it so"
    assert "#EXTINF:0,Ä, B - Lied" in (tmp_path / "out" / "Rap.m3u8").read_text(), "the file says how long it is"


def test_genre_map_applies_to_own_genres_and_to_those_of_the_model(tmp_path: Path) -> None:
    folder = tagged_files(tmp_path / "music", metal_90_a=("Hip Hop",), metal_90_b=("Speech",))
    music(folder, "hiphop 80 c.mp3", "rock 80 d.mp3", "speech 80 e.mp3")
    choice = GenreChoice(genre_map=GenreMap({"hiphop": ("Rap", "Black Music"), "speech": ()}))
    found = written(folder, tmp_path / "out", prefer_tags=True, choice=choice)
    assert {p.name: n for p, n in found.files.items()} == {
        "Rap.m3u8": 2, "Black Music.m3u8": 2, "Rock.m3u8": 1, "unsure.m3u8": 2
    }  # fmt: skip


def by_descriptions(paths: Iterable[Path]) -> Iterator[Prediction]:
    """A model that knows two tags; what has `noise` in its name is no music."""
    for path in paths:
        tags = {"sad": int(path.stem.split()[0]) / 100, "guitar": 0.7}
        music = "noise" not in path.name
        genre, because = ("rock", None) if music else (UNKNOWN, NOT_MUSIC)
        found = Prediction(str(path), genre, 0.9, {"rock": 0.9}, 61.4, "svm", None, tags=tags)
        yield replace(found, unknown_because=because)


def test_one_list_per_descriptive_tag_with_tracks_in_several(tmp_path: Path) -> None:
    folder = music(tmp_path / "music", "60 a.mp3", "90 b.mp3", "10 c.mp3", "90 noise.mp3")
    found = written(folder, tmp_path / "out", by_descriptions, by_tag=True)
    assert {p.name: n for p, n in found.files.items()} == {"sad.m3u8": 2, "guitar.m3u8": 3, "untagged.m3u8": 1}
    assert tracks(tmp_path / "out" / "sad.m3u8") == ["../music/90 b.mp3", "../music/60 a.mp3"]
    written(folder, tmp_path / "out", by_descriptions, by_tag=True, choice=GenreChoice(min_confidence=0.8))
    assert names(tmp_path / "out") == {"sad.m3u8", "untagged.m3u8"}
    assert tracks(tmp_path / "out" / "untagged.m3u8")[:2] == ["../music/10 c.mp3", "../music/60 a.mp3"]


def test_excluded_files_are_in_no_playlist(tmp_path: Path) -> None:
    folder = music(tmp_path / "music", "jazz 90 a.mp3", "podcasts/rock 90 b.mp3")
    written(folder, tmp_path / "out", exclude=("podcasts",))
    assert names(tmp_path / "out") == {"Jazz.m3u8", "unsure.m3u8"}
