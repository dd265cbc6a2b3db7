"""What users really have: every bad file is a counted failure and the run goes on, or one clear line and exit 1."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from genrelab.records.prepared import open_prepared
from tests.support.command import call
from tests.support.tones import write_tone

SR = 22_050


def _noise(seconds: float, sr: int = SR, channels: int = 1) -> np.ndarray:
    rng = np.random.default_rng(3)
    y = 0.1 * rng.standard_normal((int(seconds * sr), channels)).astype("float32")
    return y[:, 0] if channels == 1 else y


def _write_all(folder: Path) -> dict[str, str]:
    """File name → what its failure must say; empty where the file is usable."""
    folder.mkdir(parents=True)
    (folder / "text.mp3").write_text("# my favourite songs\n" * 40)
    (folder / "empty.mp3").write_bytes(b"")
    soundfile.write(folder / "whole.mp3", _noise(6), SR)
    content = (folder / "whole.mp3").read_bytes()
    (folder / "truncated.mp3").write_bytes(content[: len(content) // 2])
    soundfile.write(folder / "short.wav", _noise(0.1), SR)
    soundfile.write(folder / "silent.wav", np.zeros(3 * SR, "float32"), SR)
    broken = _noise(3)
    broken[1000] = np.nan
    soundfile.write(folder / "nan.wav", broken, SR, subtype="FLOAT")
    soundfile.write(folder / "mono.wav", _noise(2), SR)
    soundfile.write(folder / "six channels.wav", _noise(2, channels=6), SR)
    soundfile.write(folder / "8k.wav", _noise(2, 8_000), 8_000)
    soundfile.write(folder / "96k.flac", _noise(2, 96_000), 96_000)
    soundfile.write(folder / "zwölf Töne 音楽 \n newline.flac", _noise(2), SR)
    (folder / "gone.wav").symlink_to(folder / "nowhere.wav")
    words = {
        "text.mp3": "", "empty.mp3": "", "short.wav": "too short", "silent.wav": "silent", "nan.wav": "NaN",
        "gone.wav": "a link to a missing file",
    }  # fmt: skip
    if os.geteuid() != 0:  # root may read everything
        soundfile.write(folder / "secret.wav", _noise(2), SR)
        (folder / "secret.wav").chmod(0)
        words["secret.wav"] = "ermission"
    return words


def test_bad_files_are_counted_and_the_run_continues(tmp_path: Path) -> None:
    bad = _write_all(tmp_path / "music" / "odd")
    for genre in ("jazz", "rock"):
        for i in range(6):
            write_tone(tmp_path / "music" / genre / f"{i}.wav", hz=200 if genre == "jazz" else 900, seed=i)
    write_tone(tmp_path / "music" / "lone" / "one.wav", hz=50)  # a genre with one track
    run = tmp_path / "run"
    status, _, err = call("run", tmp_path / "music", "--out", run, "--models", "majority,svm,knn", "--jobs", 1)
    assert status == 0, err
    assert "Traceback" not in err
    prepared = open_prepared(str(run / "prepared"))
    found = {
        Path(prepared.tracks["path"][i]).name: prepared.tracks["error"][i]
        for i, s in enumerate(prepared.tracks["status"])
        if s != "ok"
    }
    assert set(found) == set(bad)
    for name, words in bad.items():
        assert words in found[name] and found[name], name
        assert "\n" not in found[name]
    failures = (run / "prepared" / "failures.csv").read_text()
    assert all(name in failures for name in bad)
    assert f"{len(bad) - 1} failed, 1 missing" in err
    assert "lone" in err  # said: it is in training only


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("path,artist\na.wav,me\n", "genre"),
        ("title,length\nSong,3\n", "column"),
        ("", ""),
        ("path,genre\n", ""),
        ("track_id,f1,genre\n1,0.5,jazz\n1,0.7,rock\n", "1"),
        ("track_id,f1,genre\n1,,jazz\n2,0.7,rock\n", "f1"),
        ("track_id,f1,genre,split\n1,0.1,jazz,train\n2,0.7,rock,holdout\n", "holdout"),
    ],
)
def test_bad_table_gives_a_one_line_error_that_names_the_problem(tmp_path: Path, table: str, words: str) -> None:
    path = tmp_path / "tracks.csv.csv"
    path.write_text(table)
    status, _, err = call("run", path, "--out", tmp_path / "run", "--models", "majority")
    assert status == 1
    last = err.strip().splitlines()[-1]
    assert last.startswith("Error: ") and words in last and "unexpected" not in last


def test_duplicate_gtzan_track_is_used_once_and_reported(tmp_path: Path) -> None:
    for genre in ("blues", "metal"):
        for i in range(4):
            write_tone(tmp_path / "genres" / genre / f"{genre}.{i:05d}.wav", hz=100 + 50 * i)
    write_tone(tmp_path / "genres" / "blues" / "blues.00000.flac", hz=100)
    status, _, err = call(
        "prepare", tmp_path / "genres", "--out", tmp_path / "p", "--views", "samples", "--jobs", 1, "-v"
    )
    assert status == 0, err
    assert open_prepared(str(tmp_path / "p")).tracks["track_id"].count("blues.00000") == 1
    assert "tracks in another format" in err
