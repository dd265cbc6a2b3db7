"""The command line of honest evaluation: what is left out, what leaks, what is studied, searched and compared."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.support.command import call


def test_an_excluded_track_is_named_with_its_reason(music: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "exclude.csv"
    manifest.write_text("track_id,path,reason\nbeat/3.wav,beat/3.wav,a copy\n")
    out = tmp_path / "prepared"
    status, _, err = call("prepare", music, "--out", out, "--views", "statistics", "--jobs", 1, "--exclude", manifest)
    assert status == 0, err
    assert "beat/3.wav,beat/3.wav,label,excluded: a copy" in (out / "failures.csv").read_text()
    status, _, err = call("prepare", music, "--out", out, "--exclude", tmp_path / "none.csv")
    assert status == 1 and "none.csv" in err


def with_copies(music: Path) -> None:
    """Every track of one genre is there twice."""
    for i in range(9):
        shutil.copyfile(music / "choir" / f"{i}.wav", music / "choir" / f"{'abcdefghi'[i]}.wav")


def prepared_with_copies(source: Path, out: Path) -> Path:
    status, _, err = call("prepare", source, "--out", out, "--views", "statistics", "--jobs", 1)
    assert status == 0 and "exact copies of another" in err
    return out


def test_copies_stay_on_one_side_of_a_split(music: Path, tmp_path: Path) -> None:
    with_copies(music)
    prepared, run = prepared_with_copies(music, tmp_path / "prepared"), tmp_path / "run"
    status, _, err = call("train", prepared, "--out", run, "--models", "majority", "--split", "random", "-v")
    assert status == 0 and "36 tracks are pieces or copies of 27 recordings" in err
    audit = json.loads((run / "audit.json").read_text())
    assert not [c for c in audit["checks"] if c["leaking"]]


def test_copies_on_both_sides_of_an_official_split_stop_a_training_before_anything_is_lost(
    music: Path, tmp_path: Path
) -> None:
    with_copies(music)
    tracks = sorted(p for p in music.rglob("*.wav"))
    parts = ["test" if p.stem.isalpha() or p.stem in "78" else "training" for p in tracks]
    rows = [f"{p.relative_to(music)},{p.parent.name},{part}" for p, part in zip(tracks, parts, strict=True)]
    table = music / "tracks.csv"
    table.write_text("\n".join(["path,genre,split", *rows]))
    prepared, run = prepared_with_copies(table, tmp_path / "prepared"), tmp_path / "run"
    words = ("train", prepared, "--out", run, "--models", "majority")
    status, _, err = call(*words)
    assert status == 1 and "as an exact copy" in err and "--allow-leaks" in err
    assert not run.exists()
    manifest = prepared / "genrelab-exclude.csv"
    assert f"--exclude {manifest}" in err
    assert "choir/" in manifest.read_text()
    status, out, err = call(*words, "--allow-leaks")
    assert status == 0, err
    assert json.loads((run / "audit.json").read_text())["verdict"] == "leaks"
    assert "exact copies of training tracks: the accuracies are too high" in out

    words = ("run", table, "--out", run, "--models", "majority", "--jobs", 1, "--overwrite")
    status, _, err = call(*words, "--views", "statistics", "--prepared", prepared, "--exclude", manifest)
    assert status == 0, f"what it wrote mends the split: {err}"
    assert json.loads((run / "audit.json").read_text())["verdict"] != "leaks"


@pytest.mark.slow
def test_studies_relabelling_tuning_and_comparison_work_together(music: Path, tmp_path: Path) -> None:
    prepared, run, tuned = tmp_path / "prepared", tmp_path / "run", tmp_path / "tuned"
    assert call("prepare", music, "--out", prepared, "--views", "statistics", "--jobs", 1)[0] == 0
    asked = ("--honesty", "--learning-curve", "--doubts", "--robustness")
    status, out, err = call(
        "train", prepared, "--out", run, "--models", "majority,gaussian_nb", "--split", "random", *asked
    )
    assert status == 0, err
    for name in ("honesty", "learning_curve", "doubts", "robustness"):
        assert json.loads((run / f"{name}.json").read_text())
        if name != "doubts":  # of clear tones there is none
            assert f"\n{name.replace('_', ' ')}" in out, "its table is printed"
    assert json.loads((run / "gaussian_nb" / "occlusion.json").read_text())["tracks"]
    assert "## Robustness" in (run / "gaussian_nb" / "bundle" / "README.md").read_text()

    doubts = run / "doubts.csv"
    header, _, rest = doubts.read_text().partition("\n")
    columns = header.split(",")
    planted = dict.fromkeys(columns, "") | {"track_id": "beat/0.wav", "suggested": "choir", "decision": "accept"}
    doubts.write_text(f"{header}\n{','.join(planted[c] for c in columns)}\n{rest}")
    kept = call("train", prepared, "--out", run, "--models", "majority", "--split", "random", "--overwrite")
    assert kept[0] == 1 and "doubts.csv contains decisions" in kept[2]
    status, out, err = call("relabel", prepared, run, "--out", tmp_path / "relabelled")
    assert status == 0 and "1 track relabelled" in out, err
    again = ("prepare", tmp_path / "relabelled" / "relabelled.csv", "--out", tmp_path / "prepared again")
    assert call(*again, "--views", "statistics", "--jobs", 1)[0] == 0
    counts = json.loads((tmp_path / "prepared again" / "dataset.json").read_text())["by_genre"]
    assert (counts["beat"]["ok"], counts["choir"]["ok"]) == (8, 10)

    status, out, err = call("tune", prepared, "--model", "knn", "--out", tuned, "--trials", 3, "--split", "random")
    assert status == 0 and "Best of 3 trials" in out, err
    words = ("train", prepared, "--out", tmp_path / "better", "--models", "knn", "--split", "random")
    status, _, err = call(*words, "--from-study", tuned)
    assert status == 0 and "knn" in err, err

    page = tmp_path / "both.html"
    status, out, err = call("report", run, tmp_path / "better", "--out", page)
    assert status == 0 and "gaussian_nb" in out and "knn" in out, err
    assert page.stat().st_size > 0
    assert call("report", run, "--out", page)[0] == 2
    status, _, err = call("report", run, tmp_path / "better", "--out", tmp_path)
    assert status == 1 and "is a folder: give the name of a file" in err
    status, out, err = call("explore", prepared)
    assert status == 0 and (prepared / "explore.html").stat().st_size > 0, err
