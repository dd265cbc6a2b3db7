"""The main job on real audio, with the quick models; `benchmarks/real.py` runs it with all of them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr

from genrelab.audio import clips as audio_clips
from genrelab.records.prepared import open_prepared
from tests.support.command import call

pytestmark = [pytest.mark.real, pytest.mark.slow]
QUICK = "majority,gaussian_nb,svm"


def _run(
    out: Path, root: Path, *words: object, models: str = QUICK, views: str = "statistics"
) -> tuple[list[dict[str, str]], dict[str, Any], str]:
    """Rows of leaderboard.csv, run.json and the messages, of a run with the quick models and what they read."""
    status, _, err = call("run", root, "--out", out, "-v", "--models", models, "--views", views, *words)
    assert status == 0, err
    rows = list(csv.DictReader((out / "leaderboard.csv").read_text().splitlines()))
    return rows, json.loads((out / "run.json").read_text()), err


def test_gtzan_split_by_artist_beats_the_majority(shared: Path, tmp_path: Path) -> None:
    artists = shared / "data" / "gtzan_fault_filtered" / "artists.csv"
    words = ("--split", "artist", "--artists", artists)
    more = {"models": f"{QUICK},musicnn", "views": "statistics,embedding"}
    rows, about, err = _run(tmp_path, shared / "data" / "gtzan_2s", *words, **more)
    assert about["dataset"]["counts"]["ok"] == 306
    assert about["part"] == "test" and not about["split"]["no_test"]
    assert "unknown for 27 tracks" in err
    best = rows[0]
    assert (best["model"], best["split"]) != ("majority", "random")
    assert float(best["accuracy_low"]) > about["majority"]
    assert best["model"] == "musicnn", [row["model"] for row in rows]


def test_gtzan_official_split_reports_that_it_has_no_test_rows(shared: Path, tmp_path: Path) -> None:
    lists = shared / "data" / "gtzan_fault_filtered"
    rows, _, err = _run(tmp_path, shared / "data" / "gtzan_2s", "--split", "official", "--split-files", lists)
    assert {r["part"] for r in rows} == {"validation"}
    assert "no test tracks: models are tested on the validation set" in err
    page = (tmp_path / "leaderboard.md").read_text()
    assert "there is no test set" in page and "No validation tracks of hiphop, jazz, reggae" in page
    assert all(g in page for g in ("hiphop", "jazz", "reggae"))


def test_gtzan_official_is_refused_where_genres_are_left_without_training(shared: Path, tmp_path: Path) -> None:
    words = ("--split", "official", "--split-files", shared / "data" / "gtzan_fault_filtered", "--models", "svm")
    status, _, err = call("run", shared / "data" / "gtzan_15s", "--out", tmp_path / "r", *words)
    assert status == 1
    assert "blues, classical, country without usable training tracks" in err and "--split random" in err


def test_a_plain_folder_is_split_by_the_artists_in_its_tags(shared: Path, tmp_path: Path) -> None:
    rows, about, _ = _run(tmp_path, shared / "data" / "emotify_30s")
    assert about["split"]["policy"] == "artist" and about["split"]["asked"] == "auto"
    assert len(rows) == 3 and rows[0]["n"] == "20"


def test_fma_with_eight_clips_counts_the_others_as_missing(shared: Path, tmp_path: Path) -> None:
    status, _, err = call("prepare", shared / "data" / "fma", "--out", tmp_path / "p", "-v")
    assert status == 0, err
    prepared = open_prepared(str(tmp_path / "p"))
    assert prepared.about["counts"] == {"tracks": 58, "ok": 8, "failed": 0, "missing": 50, "unlabelled": 0}
    assert "681 rows" in err and "without a genre: 51 rows" in err
    ok = [prepared.tracks["track_id"][i] for i, s in enumerate(prepared.tracks["status"]) if s == "ok"]
    assert ok == ["2", "5", "182", "255", "256", "368", "459", "574"]
    assert all(prepared.tracks["licence"])


@pytest.mark.parametrize("split", ["official", "artist"])
def test_fma_features_are_trained_without_audio(shared: Path, tmp_path: Path, split: str) -> None:
    table = shared / "data" / "tables" / "fma_small_46_features.csv"
    words = ("--label", "genre_top", "--split-column", "split", "--artist-column", "artist", "--split", split)
    rows, about, err = _run(tmp_path, table, *words)
    assert {r["view"] for r in rows} == {"table"}
    assert "unknown for 82 tracks" in err
    assert about["split"]["no_test"] == (split == "official")
    assert rows[0]["model"] == "svm" and float(rows[0]["accuracy"]) > 0.40
    assert (tmp_path / "svm" / "bundle" / "model.onnx").exists()


def test_the_rate_at_which_a_clip_is_stored_does_not_change_its_genre(shared: Path, tmp_path: Path) -> None:
    _run(tmp_path / "run", shared / "data" / "emotify_30s")
    clips = sorted((shared / "data" / "emotify_30s").rglob("*.mp3"))[::10]
    for clip in clips:
        y, sr = audio_clips.read(clip, seconds=20)
        for rate in (22_050, 44_100, 48_000, 96_000):
            name = f"{clip.parent.name}-{clip.stem}-{rate}.wav"
            soundfile.write(tmp_path / name, soxr.resample(y, sr, rate), rate, subtype="PCM_16")
    files, bundle = sorted(tmp_path.glob("*.wav")), tmp_path / "run" / "svm" / "bundle"
    status, out, err = call("predict", *files, "--model", bundle, "--json")
    assert status == 0, err
    found = json.loads(out)
    by_clip = {clip: [p for p in found if f"{clip.parent.name}-{clip.stem}-" in p["path"]] for clip in clips}
    for answers in by_clip.values():
        assert len({p["genre"] for p in answers}) == 1
        shares = np.array([list(p["probabilities"].values()) for p in answers])
        assert np.ptp(shares, axis=0).max() < 0.05
