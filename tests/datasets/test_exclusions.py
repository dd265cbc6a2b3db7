from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from genrelab.core.errors import DatasetError
from genrelab.datasets.base import Dataset, Track
from genrelab.datasets.exclusions import Exclusion, check_replaceable, exclude, read, write
from tests.support.tones import write_tone

ROWS = (
    Exclusion("rock/a.mp3", "rock/a.mp3", 'copy: "the same", as rock/b.mp3'),
    Exclusion("7", "", "silent\nindeed"),
    Exclusion("", "jazz/é ü.mp3", "too short"),
)


def dataset(*tracks: Track) -> Dataset:
    return Dataset("folder", Path("music"), tracks, ("a note",))


def test_manifest_is_read_back_and_replaces_the_previous_one(tmp_path: Path) -> None:
    file = tmp_path / "new" / "out.csv"
    write(file, ROWS)
    assert read(file) == ROWS
    assert file.read_text(encoding="utf-8").startswith("track_id,path,reason\n")
    write(file, ROWS[:1])
    assert read(file) == ROWS[:1] and [p.name for p in file.parent.iterdir()] == ["out.csv"]
    write(file, ())
    assert read(file) == ()


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"", b"\x00\xff\xfe" * 20, b"track_id,genre\n1,rock\n", b'"open'])
def test_file_that_is_no_manifest_is_never_replaced(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "songs.csv"
    file.write_bytes(content)
    with pytest.raises(DatasetError, match=r"songs\.csv exists and is not a list of exclusions: choose another file"):
        write(file, ROWS)
    assert file.read_bytes() == content
    with pytest.raises(DatasetError):
        check_replaceable(tmp_path)


def test_manifest_edited_by_hand_is_read(tmp_path: Path) -> None:
    file = tmp_path / "hand.csv"
    file.write_text("\ufeffPath; Reason\r\nrock/a.mp3; too loud \r\n;\r\n\r\nb.mp3;\r\n", encoding="utf-8")
    assert read(file) == (Exclusion("", "rock/a.mp3", "too loud"), Exclusion("", "b.mp3", "no reason given"))
    file.write_text("reason\ttrack_id\textra\nbad\t12\n")
    assert read(file) == (Exclusion("12", "", "bad"),)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"id,why\n1,x\n", r"needs a column track_id or path, and may have a column reason. Found: id, why"),
        (b"", r"Found: nothing"),
        (b"track_id,path,genre,decision\n1,a.mp3,rock,\n", r"a list of doubts, not of exclusions: .*genrelab relabel"),
        (b"track_id,path,reason\n1,,x\n,,because\n", r"row 3: no track"),
        (b"\xff\xfe\x00binary", r"cannot be read"),
        (b'track_id,reason\n1,"never closed\n', r"a\.csv, line \d: a quotation mark is not closed"),
    ],
)
def test_error_for_an_unusable_manifest_names_the_place(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DatasetError, match=words) as raised:
        read(tmp_path / "a.csv")
    assert "a.csv" in str(raised.value) and "\n" not in str(raised.value)
    with pytest.raises(DatasetError, match="No such file"):
        read(tmp_path / "none.csv")


def test_excluded_tracks_keep_their_reason_and_unknown_rows_are_noted() -> None:
    tracks = (
        Track("1", "rock/a.mp3", "rock"),
        Track("2", "rock/b.mp3", "rock", problem="no path"),
        Track("3", unicodedata.normalize("NFD", "jazz/é.mp3"), "jazz"),
        Track("4", "jazz/d.mp3", "jazz"),
        Track("5", None, "jazz"),
    )
    rows = [
        Exclusion("1", "jazz/d.mp3", "its id goes before its path"),
        Exclusion("2", "", "silent"),
        Exclusion("2", "", "copy"),
        Exclusion("2", "", "silent"),
        Exclusion("9", unicodedata.normalize("NFC", "jazz/é.mp3"), "too short"),
        Exclusion("", "nowhere.mp3", "x"),
        Exclusion("10", "", "x"),
    ]
    before = dataset(*tracks)
    after = exclude(before, rows)
    assert [t.problem for t in after.tracks] == [
        "excluded: its id goes before its path", "excluded: silent; copy", "excluded: too short", None, None,
    ]  # fmt: skip
    assert [t.track_id for t in after.tracks] == [t.track_id for t in tracks] and after.genres == before.genres
    assert after.notes[0] == "a note" and "excluded by the list: 3 of 5 tracks" in after.notes[1]
    assert after.notes[2] == "2 rows of the list without a matching track: nowhere.mp3, 10"
    assert exclude(before, []) == before


def test_paths_may_be_absolute_or_windows() -> None:
    data = dataset(Track("a", "rock/a.mp3", "rock"), Track("b", "rock/b.mp3", "rock"), Track("c", "rock/c.mp3", "rock"))
    rows = [Exclusion("", str(Path("music/rock/a.mp3").absolute()), "x"), Exclusion("", ".\\rock\\b.mp3", "y")]
    assert [t.problem for t in exclude(data, rows).tracks] == ["excluded: x", "excluded: y", None]


def test_excluding_everything_is_refused() -> None:
    with pytest.raises(DatasetError, match="no track is left: every track is excluded"):
        exclude(dataset(Track("a", "a.mp3", "rock")), [Exclusion("a", "", "x")])


def test_prepare_counts_and_names_excluded_tracks(tmp_path: Path) -> None:
    from genrelab.core.config import PrepareSettings, SamplesView
    from genrelab.datasets.registry import load_dataset
    from genrelab.prepare.pipeline import prepare

    for name in ("rock/a.wav", "rock/b.wav", "jazz/c.wav"):
        write_tone(tmp_path / "music" / name, hz=300)
    data = exclude(load_dataset(tmp_path / "music"), [Exclusion("rock/b.wav", "", "too loud")])
    prepared = prepare(data, tmp_path / "out", PrepareSettings(views=(SamplesView(n_samples=500),)), jobs=1)
    assert prepared.about["counts"] == {"tracks": 3, "ok": 2, "failed": 1, "missing": 0, "unlabelled": 0}
    assert "rock/b.wav,rock/b.wav,label,excluded: too loud" in (tmp_path / "out" / "failures.csv").read_text()
