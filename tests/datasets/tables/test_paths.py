"""genrelab/datasets/tables/paths.py: a file is found under the spelling of this disk, and never another one."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from genrelab.datasets.tables.paths import find_paths

FILES = ("rock/a.wav", "pop/café.wav", "Jazz/Blue Note/X y.wav", "pop/100%25.wav", "pop/b c.wav", "rock/it's.wav")


def decomposed(text: str) -> str:
    return unicodedata.normalize("NFD", text)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    for name in FILES:
        path = tmp_path / "music" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "music" / "t.csv"


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("rock\\a.wav", "rock/a.wav"),
        (".\\rock\\a.wav", "rock/a.wav"),
        ("./rock\\..\\rock/a.wav", "rock/a.wav"),
        (decomposed("pop/café.wav"), "pop/café.wav"),
        (decomposed("pop\\café.wav"), "pop/café.wav"),
        ("ROCK/A.WAV", "rock/a.wav"),
        ("jazz\\blue note\\x Y.wav", "Jazz/Blue Note/X y.wav"),
        ("pop/b%20c.wav", "pop/b c.wav"),
        ("pop%2Fcaf%C3%A9.wav", "pop/café.wav"),
        ('"rock/a.wav"', "rock/a.wav"),
        (" 'rock/it's.wav' ", "rock/it's.wav"),
        ("„rock/a.wav“", "rock/a.wav"),
        ("~/rock/a.wav", "rock/a.wav"),
        ("~\\rock\\a.wav", "rock/a.wav"),
        ("file:rock/a.wav", "rock/a.wav"),
        ("FILE:///{root}/pop/b%20c.wav", "pop/b c.wav"),
        ("file://localhost{root}/pop/b%20c.wav", "pop/b c.wav"),
        ("file:///C:/Users/ann/Music/rock/a.wav", "rock/a.wav"),
        ("C:\\Users\\ann\\Music\\rock\\a.wav", "rock/a.wav"),
        ("d:/rock/a.wav", "rock/a.wav"),
        ("\\\\?\\C:\\Music\\rock\\a.wav", "rock/a.wav"),
        ("\\\\nas\\share\\pop\\b c.wav", "pop/b c.wav"),
        ("/home/ann/Music/jazz/blue note/x y.wav", "Jazz/Blue Note/X y.wav"),
    ],
)
def test_other_spellings(table: Path, monkeypatch: pytest.MonkeyPatch, written: str, found: str) -> None:
    monkeypatch.setenv("HOME", str(table.parent))
    written = written.replace("{root}", str(table.parent))
    result = find_paths(table, [written])
    assert (result.folder, result.paths) == (table.parent, (found,))
    (note,) = result.notes
    assert note.startswith("1 path found under another spelling, such as ")
    assert note.endswith(f": {found}")


@pytest.mark.parametrize("written", [*FILES, "./rock/a.wav", "rock/../rock/a.wav"])
def test_a_path_that_exists_is_not_changed(table: Path, written: str) -> None:
    result = find_paths(table, [written])
    assert (table.parent / str(result.paths[0])).is_file()
    assert result.notes == ()


def test_two_slashes_in_front_are_one(table: Path) -> None:
    result = find_paths(table, [f"/{table.parent}/rock/a.wav", f"//{table.parent}/ROCK/a.wav"])
    assert (result.folder, result.paths) == (table.parent, ("rock/a.wav", "rock/a.wav"))


def test_the_spelling_as_written_comes_first(table: Path) -> None:
    for name in ("rock/A.wav", "rock\\a.wav", decomposed("pop/café.wav")):
        (table.parent / name).touch()
    written = ["rock/A.wav", "rock\\a.wav", decomposed("pop/café.wav"), "pop/café.wav"]
    result = find_paths(table, written)
    assert result.paths == tuple(written)
    assert result.notes == ()


def test_of_two_files_that_fit_none_is_chosen(table: Path) -> None:
    (table.parent / "rock" / "A.wav").touch()
    result = find_paths(table, ["rock/a.WAV"])
    assert result.paths == ("rock/a.WAV",)
    assert result.notes == ()


@pytest.mark.parametrize(
    "written", ["rock/b.wav", "a.wav", "C:\\rock\\b.wav", "rock\0a.wav", "a" * 5_000, "~nobody/a", "rock"]
)
def test_missing_files_stay_as_written(table: Path, written: str) -> None:
    result = find_paths(table, [written])
    assert result.paths == (written,)
    assert result.notes == ()


def test_a_moved_collection_loses_the_same_folders_everywhere(table: Path) -> None:
    """Without that `pop\\a.wav` could be taken for another folder's `a.wav`."""
    (table.parent / "01.wav").touch()
    base = "C:\\Users\\ann\\Music"
    written = [f"{base}\\rock\\a.wav", f"{base}\\pop\\b c.wav", f"{base}\\folk\\01.wav", "E:\\pop\\café.wav"]
    result = find_paths(table, written)
    assert result.paths == ("rock/a.wav", "pop/b c.wav", written[2], "pop/café.wav")
    assert result.notes[0].startswith("3 paths found under another spelling")


def test_blank_paths_and_paths_beside_the_table(table: Path) -> None:
    (table.parent.parent / "other.wav").touch()
    result = find_paths(table, [None, "../OTHER.wav", "rock\\a.wav"])
    assert result.folder == table.parent.parent
    assert result.paths == (None, "other.wav", "music/rock/a.wav")
