from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genrelab.core.config import TrainSettings
from genrelab.core.storage import Folder
from genrelab.evaluation.intervals import mean_interval
from genrelab.records.prepared import Prepared
from genrelab.records.task import make_task
from genrelab.studies import learning_curve
from tests.support.feature_tables import GENRES, collection, ignore_message, no_bar

PARTS = ("training", "training", "test")


def _study(prepared: Prepared, run: Path, *models: str, **settings: Any) -> dict[str, Any]:
    asked = TrainSettings(models=models, **settings)
    return learning_curve.study(prepared, Folder(run), asked, models=models, notify=ignore_message, bar=no_bar)


def test_shares_are_nested_whole_artists_and_hold_every_genre() -> None:
    y = np.arange(400) % 4
    groups = np.arange(400) // 12 * 4 + y  # 34 times 4 artists of 3 tracks, the last of fewer
    learned = np.arange(400) < 320
    for seed in range(3):
        kept = [learning_curve.subset(y, groups, learned, s, seed=seed) for s in learning_curve.DRAWS]
        for small, large in pairwise(kept):
            assert not (small & ~large).any()
        for share, chosen in zip(learning_curve.DRAWS, kept, strict=True):
            assert not chosen[~learned].any() and set(y[chosen].tolist()) == {0, 1, 2, 3}
            assert abs(chosen.sum() / 320 - share) < 0.03
            assert not set(groups[chosen].tolist()) & set(groups[learned & ~chosen].tolist())
    assert (kept[0] != learning_curve.subset(y, groups, learned, 0.1, seed=9)).any()


def test_subset_keeps_single_artist_genres_and_whole_artists() -> None:
    y = np.array([0] * 20 + [1] * 20 + [2] * 3)
    groups = np.array([*range(20), *range(20, 38), 40, 40, 40, 41, 41])  # 40 has genres 1 and 2
    learned = np.ones(43, bool)
    chosen = learning_curve.subset(y, groups, learned, 0.1, seed=0)
    assert (y[chosen] == 2).any()
    assert all(chosen[groups == g].all() or not chosen[groups == g].any() for g in groups)


def test_no_curve_is_made_if_artists_cannot_be_halved(tmp_path: Path) -> None:
    prepared, _ = collection(tmp_path, n=96, per_artist=12, splits=("training", "test"))  # one artist a genre and part
    found = _study(prepared, tmp_path / "run", "gaussian_nb")
    assert found["models"] == []
    assert found["sentences"] == [
        "gaussian_nb: no learning curve: too few artists to halve the training tracks: the nearest to a half is "
        "48 of 48 training tracks; add tracks by other artists"
    ]


def test_rising_curve_is_reported(tmp_path: Path) -> None:
    # Tracks are only known by their artist, and with more tracks come more artists.
    prepared, _ = collection(tmp_path, n=480, genre=0.3, artist=2.0, noise=0.3, splits=PARTS, leaky=True)
    found = _study(prepared, tmp_path / "run", "majority", "knn")
    assert found == json.loads((tmp_path / "run" / "learning_curve.json").read_text())
    (model,) = found["models"]
    points = model["points"]
    assert [p["share"] for p in points] == [0.1, 0.25, 0.5, 1.0]
    assert [p["n_tracks"] for p in points] == [32, 80, 160, 320]
    accuracies = [p["accuracy"] for p in points]
    assert accuracies == sorted(accuracies) and accuracies[-1] > accuracies[0] + 0.3
    assert model["verdict"] == "still rising" and found["sentences"][0].startswith("More tracks would help knn: ")
    assert set(points[0]["per_genre"]) == set(model["genres"]) == set(GENRES)
    assert all(p["low"] <= p["accuracy"] <= p["high"] for p in points)
    assert len(learning_curve.table(found)) == 4


def test_flat_curve_is_reported(tmp_path: Path) -> None:
    prepared, _ = collection(tmp_path, n=720, per_artist=1, genre=4.0, artist=0.0, noise=1.0, splits=PARTS)
    (model,) = _study(prepared, tmp_path / "run", "gaussian_nb")["models"]
    assert model["verdict"] == "flat"
    assert all(g["verdict"] != "still rising" for g in model["genres"].values())


def test_few_scored_tracks_give_no_verdict(tmp_path: Path) -> None:
    prepared, _ = collection(tmp_path, n=72, per_artist=3, splits=PARTS)
    found = _study(prepared, tmp_path / "run", "gaussian_nb")
    assert found["models"][0]["verdict"] == "undecided"
    assert "24 test tracks: too few to show whether more training tracks would help" in found["sentences"][0]
    assert _study(prepared, tmp_path / "again", "gaussian_nb") == found


def test_a_model_that_cannot_be_fitted_does_not_stop_the_others(tmp_path: Path) -> None:
    prepared, _ = collection(tmp_path, n=96, splits=PARTS)
    found = _study(prepared, tmp_path / "run", "raw_cnn", "gaussian_nb")
    assert [m["model"] for m in found["models"]] == ["gaussian_nb"]
    assert found["sentences"][-1].startswith("raw_cnn: no learning curve: raw_cnn reads the view samples")


def test_genre_verdicts_are_corrected_for_multiple_comparisons(tmp_path: Path) -> None:
    prepared, _ = collection(tmp_path, artists=False, splits=("training", "test"))
    task = make_task(prepared, TrainSettings(split="official"))
    tracks = np.flatnonzero(np.array(task.split.roles) == "score")
    first = np.flatnonzero(task.labels(chooses=False).y[tracks] == 0)
    assert len(first) == 30
    half = np.ones(len(tracks))
    half[first[:5]] = 0  # 5 of 30 gained: p = 0.02
    curve = [learning_curve._Point(s, 1, tracks, c) for s, c in ((0.5, half), (1.0, np.ones(len(tracks))))]
    (genre, *_) = learning_curve._curve_json(task, "svm", curve)["genres"].values()
    gain = 1 - half[first]
    assert mean_interval(gain)[0] > 0 > genre["low"] and genre["verdict"] == learning_curve.UNDECIDED


def test_duration_of_a_network_is_estimated_beforehand(tmp_path: Path) -> None:
    Folder(tmp_path).write_json("raw_cnn/metrics.json", {"train_s": 600.0})
    said = learning_curve._estimate(Folder(tmp_path), "raw_cnn")
    assert said == "  learning curve of raw_cnn: 4 training runs, about 18 min"
    assert learning_curve._estimate(Folder(tmp_path), "svm") is None
    assert learning_curve._draws("raw_cnn") == {0.1: 1, 0.25: 1, 0.5: 1, 1.0: 1}


@pytest.mark.parametrize(("name", "told"), [("raw_cnn", True), ("svm", False)])
def test_single_training_of_a_network_is_mentioned(name: str, told: bool) -> None:
    step = {"gain": 0.1, "low": 0.05, "high": 0.15, "verdict": learning_curve.RISING}
    said = learning_curve._sentence({"model": name, "step": step, "genres": {}})
    assert (", each share trained once" in said) is told


@pytest.mark.real
def test_more_tracks_help_on_real_features(shared: Path, tmp_path: Path) -> None:
    from genrelab.core.config import PrepareSettings
    from genrelab.datasets import table
    from genrelab.datasets.base import DatasetOptions
    from genrelab.prepare.pipeline import prepare

    root = shared / "data" / "tables" / "fma_small_46_features.csv"
    options = DatasetOptions(label="genre_top", split_column="split", artist_column="artist")
    prepared = prepare(table.load(root, options), tmp_path / "p", PrepareSettings(), jobs=1)
    (model,) = _study(prepared, tmp_path / "run", "logistic_regression", split="artist")["models"]
    accuracies = [p["accuracy"] for p in model["points"]]
    assert accuracies[-1] > accuracies[0] and model["points"][-1]["low"] > 1 / 8
