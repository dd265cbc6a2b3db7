"""Unused files are listed in failures.csv, and `--fail-on-skipped` turns them into an exit status."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest

from tests.support.command import call
from tests.support.tones import write_tone

QUICK = ("--views", "samples", "--jobs", 1)


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    for genre, hz in (("jazz", 200), ("rock", 900)):
        for i in range(3):
            write_tone(tmp_path / "music" / genre / f"{i}.wav", hz=hz + i, seed=i)
    return tmp_path / "music"


def failures(prepared: Path) -> dict[str, tuple[str, str, str]]:
    """Path → track id, stage and error of each row."""
    with (prepared / "failures.csv").open(encoding="utf-8", newline="") as f:
        return {row["path"]: (row["track_id"], row["stage"], row["error"]) for row in csv.DictReader(f)}


def add_everything_unused(music: Path) -> set[str]:
    """What is no usable track, of every kind; the paths as they must be listed."""
    (music / "jazz" / "broken.mp3").write_text("no audio")
    (music / "jazz" / "gone.wav").symlink_to(music / "nowhere.wav")
    (music / "stray.wav").write_bytes(b"")
    (music / "rock" / "cover.jpg").touch()
    for folder in ("#recycle", "@eaDir", "rock/.AppleDouble"):
        (music / folder).mkdir()
        (music / folder / "old.wav").touch()
    (music / "again").symlink_to(music / "rock")
    paths = {"jazz/broken.mp3", "jazz/gone.wav", "stray.wav", "rock/cover.jpg", "#recycle", "@eaDir", "again"}
    try:
        Path(os.fsdecode(os.fsencode(music) + b"/rock/\xe9.wav")).touch()
        paths.add(r"rock/\xe9.wav")
    except OSError:  # a file system that holds UTF-8 names only
        pass
    return paths | {"rock/.AppleDouble"}


def test_everything_that_is_not_used_is_listed_once_and_the_exit_status_is_0(clean: Path, tmp_path: Path) -> None:
    wanted = add_everything_unused(clean)
    status, _, err = call("prepare", clean, "--out", tmp_path / "p", *QUICK)
    assert status == 0, err
    found = failures(tmp_path / "p")
    assert set(found) == wanted
    assert {path for path, (track_id, _, _) in found.items() if track_id} == {"jazz/broken.mp3", "jazz/gone.wav"}
    assert all(error and stage for _, stage, error in found.values())
    n_audio = 2 if r"rock/\xe9.wav" in wanted else 1
    assert (
        f"8 tracks: 6 usable, 1 failed, 1 missing; skipped: {n_audio} audio file{'s' * (n_audio > 1)} and 5 other "
        f"files; see {tmp_path / 'p'}/failures.csv\nfailed: jazz/broken.mp3: " in err
    )
    counts = json.loads((tmp_path / "p" / "dataset.json").read_text())["counts"]
    assert counts == {"tracks": 8, "ok": 6, "failed": 1, "missing": 1, "unlabelled": 0}, "of tracks, as before"
    assert "up to date" in call("prepare", clean, "--out", tmp_path / "p", *QUICK)[2]
    (clean / "rock" / "cover.png").touch()
    assert "up to date" not in call("prepare", clean, "--out", tmp_path / "p", *QUICK)[2]
    assert set(failures(tmp_path / "p")) == wanted | {"rock/cover.png"}


def test_only_counts_above_zero_are_printed(clean: Path, tmp_path: Path) -> None:
    status, _, err = call("prepare", clean, "--out", tmp_path / "p", *QUICK, "--fail-on-skipped")
    assert status == 0 and "\n6 tracks: 6 usable\n" in err and "failures.csv" not in err
    assert failures(tmp_path / "p") == {}


@pytest.mark.parametrize(
    ("name", "content", "counts"),
    [
        ("jazz/broken.mp3", b"no audio", True),  # a track that fails
        ("stray.wav", b"RIFF", True),  # audio in no genre
        ("rock/notes.txt", b"text", False),
        ("#recycle/old.wav", b"RIFF", False),
        ("rock/._0.wav", b"RIFF", False),
    ],
)
def test_fail_on_skipped_is_about_tracks_and_audio_only(
    clean: Path, tmp_path: Path, name: str, content: bytes, counts: bool
) -> None:
    (clean / name).parent.mkdir(exist_ok=True)
    (clean / name).write_bytes(content)
    words = ("prepare", clean, "--out", tmp_path / "p", *QUICK)
    assert call(*words)[0] == 0
    status, out, err = call(*words, "--fail-on-skipped", "--json")
    assert status == int(counts)
    assert json.loads(out)["counts"]["ok"] == 6, "the result is printed all the same"
    assert ("--fail-on-skipped: 1 track or audio file" in err) == counts
    assert f"see {tmp_path / 'p'}/failures.csv" in err


def test_excluded_tracks_are_not_skipped(clean: Path, tmp_path: Path) -> None:
    (tmp_path / "leave-out.csv").write_text("track_id,path,reason\njazz/0.wav,,too quiet\n")
    words = ("prepare", clean, "--out", tmp_path / "p", "--exclude", tmp_path / "leave-out.csv", *QUICK)
    status, _, err = call(*words, "--fail-on-skipped")
    assert (status, list(failures(tmp_path / "p"))) == (0, ["jazz/0.wav"]), err


def test_rows_of_a_table_without_a_file_are_skipped(clean: Path, tmp_path: Path) -> None:
    table = clean / "table.csv"
    rows = "".join(f"{g}/{i}.wav,{g}\n" for g in ("jazz", "rock") for i in range(3))
    table.write_text(f"path,genre\n{rows}jazz/nowhere.wav,jazz\n")
    status, _, err = call("prepare", table, "--out", tmp_path / "p", *QUICK, "--fail-on-skipped")
    assert status == 1 and "1 missing; see" in err
    assert [stage for _, stage, _ in failures(tmp_path / "p").values()] == ["find"]


def test_run_trains_and_reports_before_it_fails_on_skipped(clean: Path, tmp_path: Path) -> None:
    (clean / "stray.wav").write_bytes(b"RIFF")
    words = ("run", clean, "--out", tmp_path / "run", "--models", "majority,svm", *QUICK[2:], "--views", "statistics")
    status, out, err = call(*words, "--fail-on-skipped")
    assert status == 1 and (tmp_path / "run" / "report.html").is_file() and "Page:" in out
    assert err.rstrip().endswith(f"see {tmp_path / 'run' / 'prepared'}/failures.csv")
    assert list(failures(tmp_path / "run" / "prepared")) == ["stray.wav"]
    assert call(*words, "--overwrite")[0] == 0
