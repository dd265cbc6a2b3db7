from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genrelab.core.config import PrepareSettings, StatisticsView, TrainSettings
from genrelab.core.errors import DatasetError, ModelError, SplitError
from genrelab.core.storage import Folder
from genrelab.datasets import folder, table
from genrelab.datasets.base import DatasetOptions
from genrelab.prepare.pipeline import prepare
from genrelab.records.prepared import Prepared
from genrelab.studies import doubts
from tests.support.feature_tables import collection, ignore_message, no_bar


def _study(prepared: Prepared, run: Path, *models: str, **settings: Any) -> dict[str, Any]:
    asked = TrainSettings(models=models, **settings)
    return doubts.study(prepared, Folder(run), asked, models=models, notify=ignore_message, bar=no_bar)


def _rows(run: Path) -> list[dict[str, str]]:
    with (run / "doubts.csv").open(newline="") as f:
        return list(csv.DictReader(f))


def _decide(run: Path, **by_track: str) -> None:
    rows = [row | {"decision": by_track.get(row["track_id"], "")} for row in _rows(run)]
    with (run / "doubts.csv").open("w", newline="") as f:
        writer = csv.DictWriter(f, doubts.COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def test_planted_errors_are_the_top_doubts(tmp_path: Path) -> None:
    prepared, wrong = collection(tmp_path, n=400, per_artist=2, genre=3.0, artist=0.5, noise=0.7, swapped=20)
    found = _study(prepared, tmp_path / "run", "majority", "svm", split="random")
    assert found == json.loads((tmp_path / "run" / "doubts.json").read_text())
    learned = {r["track_id"] for r in found["rows"]}
    parts = dict(zip(prepared.tracks["track_id"], _parts(prepared), strict=True))
    planted = {t for t, w in zip(prepared.tracks["track_id"], wrong, strict=True) if w and parts[t] != "test"}
    assert found["n_examined"] == sum(p != "test" for p in parts.values())
    assert all(parts[t] != "test" for t in learned)  # test tracks are never used
    top = [r["track_id"] for r in found["rows"][: len(planted)]]
    assert len(planted & set(top)) >= 0.8 * len(planted)
    assert len(planted & learned) >= 0.9 * len(planted)


def _parts(prepared: Prepared) -> list[str]:
    from genrelab.records.task import make_task

    return list(make_task(prepared, TrainSettings(split="random")).split.parts)


def test_doubt_threshold_is_the_usual_confidence_of_the_other_genre() -> None:
    p = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.3, 0.7], [0.1, 0.9], [0.75, 0.25], [0.55, 0.45]])
    y = np.array([0, 0, 1, 1, 0, 1, 1])
    # Usual are 0.57 for genre 0 and 0.55 for genre 1; row 6 is predicted as genre 0, but less confidently.
    rows, predicted = doubts.find_doubts(y, p)
    assert rows.tolist() == [4, 5] and predicted.tolist() == [1, 0]
    none, _ = doubts.find_doubts(np.array([0, 1]), np.eye(2))
    assert len(none) == 0


def test_doubts_are_grouped_by_artist_and_sorted_by_margin(tmp_path: Path) -> None:
    prepared, _ = collection(tmp_path, n=240, per_artist=6, genre=0.8, artist=1.0)
    found = _study(prepared, tmp_path / "run", "gaussian_nb")
    artists = [r["artist"] for r in found["rows"]]
    assert len(set(artists)) < len(artists)
    starts = [a for i, a in enumerate(artists) if i == 0 or artists[i - 1] != a]
    assert len(starts) == len(set(starts))
    margins = [r["p_suggested"] - r["p_genre"] for r in found["rows"]]
    heads = [margins[artists.index(a)] for a in starts]
    assert heads == sorted(heads, reverse=True)
    assert [r["track_id"] for r in _rows(tmp_path / "run")] == [r["track_id"] for r in found["rows"]]
    assert {r["decision"] for r in _rows(tmp_path / "run")} == {""}


def test_model_with_the_best_calibrated_log_loss_is_used(tmp_path: Path) -> None:
    prepared, _ = collection(tmp_path, n=96)
    run = Folder(tmp_path / "run")
    assert _study(prepared, tmp_path / "run", "svm", "knn")["model"] == "svm"  # none was calibrated
    for name, loss, scored in (("gaussian_nb", 2.0, 0.2), ("knn", 1.0, 3.0), ("majority", 0.1, 0.1)):
        about = {"scores": {"log_loss": scored}, "calibration": {"after": {"log_loss": loss}}}
        run.write_json(f"{name}/metrics.json", about)
    run.write_json("svm/metrics.json", {"scores": {"log_loss": 0.1}, "calibration": None})
    assert _study(prepared, tmp_path / "run", "majority", "gaussian_nb", "knn")["model"] == "knn"
    with pytest.raises(ModelError, match="label doubts need a model that trains"):
        _study(prepared, tmp_path / "run", "majority", "raw_cnn")


def test_genres_of_one_artist_cannot_be_doubted(tmp_path: Path) -> None:
    prepared, _ = collection(tmp_path, n=96, per_artist=24)
    with pytest.raises(SplitError, match="label doubts: only one genre, or none, can be tested"):
        _study(prepared, tmp_path / "run", "gaussian_nb", split="random")


def test_decisions_outlive_a_second_study(tmp_path: Path) -> None:
    prepared, _ = collection(tmp_path, n=240, genre=0.8)
    first = _study(prepared, tmp_path / "run", "gaussian_nb")["rows"]
    _decide(tmp_path / "run", **{first[0]["track_id"]: "Accept", first[1]["track_id"]: "reject"})
    again = _study(prepared, tmp_path / "run", "gaussian_nb")
    assert again["rows"] == first
    assert [r["decision"] for r in _rows(tmp_path / "run")[:3]] == ["accept", "reject", ""]


def test_decisions_on_tracks_that_are_not_doubted_any_more_are_not_lost(tmp_path: Path) -> None:
    prepared, _ = collection(tmp_path, n=240, genre=0.8)
    first = _study(prepared, tmp_path / "run", "gaussian_nb")["rows"]
    with (tmp_path / "run" / "doubts.csv").open("a", newline="") as f:
        f.write(f"t09999,,ska,rock,,,,,,,accept\n{_undoubted_track(first)},,ska,rock,,,,,,,\n")
    assert _study(prepared, tmp_path / "run", "gaussian_nb")["rows"] == first
    rows = _rows(tmp_path / "run")
    assert [r["track_id"] for r in rows] == [*(r["track_id"] for r in first), "t09999"]
    assert (rows[-1]["suggested"], rows[-1]["decision"]) == ("rock", "accept")


def _undoubted_track(rows: list[dict[str, Any]]) -> str:
    """A track that is not among the doubted ones."""
    return next(t for t in (f"t{i:05d}" for i in range(240)) if t not in {r["track_id"] for r in rows})


def test_a_damaged_decision_is_named_before_anything_is_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared, _ = collection(tmp_path, n=240, genre=0.8)
    first = _study(prepared, tmp_path / "run", "gaussian_nb")["rows"]
    _decide(tmp_path / "run", **{first[0]["track_id"]: "maybe"})
    before = (tmp_path / "run" / "doubts.csv").read_bytes()
    monkeypatch.setattr(doubts, "cross_fit", None)  # and before anything is fitted
    with pytest.raises(DatasetError, match=r"doubts\.csv, line 2: decision must be accept.* Received: maybe"):
        _study(prepared, tmp_path / "run", "gaussian_nb")
    assert (tmp_path / "run" / "doubts.csv").read_bytes() == before


def test_accepted_doubts_of_a_table_become_a_table(tmp_path: Path) -> None:
    prepared, _ = collection(tmp_path, n=240, genre=0.8, splits=("training", "validation", "test"))
    row = _study(prepared, tmp_path / "run", "gaussian_nb")["rows"][0]
    _decide(tmp_path / "run", **{row["track_id"]: "accept"})
    assert doubts.write_relabelled(prepared, Folder(tmp_path / "run"), Folder(tmp_path / "new")) == 1
    anew = prepare(
        table.load(tmp_path / "new" / "relabelled.csv", DatasetOptions()), tmp_path / "p2", PrepareSettings(), jobs=1
    )
    i = prepared.tracks["track_id"].index(row["track_id"])
    assert anew.tracks["genre"][i] == row["suggested"] != prepared.tracks["genre"][i]
    for name in ("track_id", "artist", "official_split"):
        assert anew.tracks[name] == prepared.tracks[name]
    np.testing.assert_array_equal(anew.features()[3], prepared.features()[3])


def test_accepted_doubts_of_audio_become_a_list_of_files(music: Path, tmp_path: Path) -> None:
    settings = PrepareSettings(views=(StatisticsView(),))
    prepared = prepare(folder.load(music, DatasetOptions()), tmp_path / "prepared", settings, jobs=1)
    run = Folder(tmp_path / "run")
    run.write_bytes("doubts.csv", b"track_id,suggested,decision\nbeat/0.wav,choir,accept\nbeat/1.wav,choir,reject\n")
    assert doubts.write_relabelled(prepared, run, Folder(tmp_path)) == 1
    anew = prepare(table.load(tmp_path / "relabelled.csv", DatasetOptions()), tmp_path / "p2", settings, jobs=1)
    genre = dict(zip(anew.tracks["track_id"], anew.tracks["genre"], strict=True))
    assert genre["beat/0.wav"] == "choir" and genre["beat/1.wav"] == "beat"
    assert anew.about["counts"]["ok"] == prepared.about["counts"]["ok"] == 27
    run.write_bytes("doubts.csv", b"track_id,suggested,decision\nelsewhere.wav,choir,accept\n")
    with pytest.raises(DatasetError, match=r"elsewhere\.wav is not a track of"):
        doubts.write_relabelled(prepared, run, Folder(tmp_path))


@pytest.mark.real
def test_gtzans_known_mislabellings_are_among_the_first_doubts(shared: Path, tmp_path: Path) -> None:
    """Sturm 2013: Bernstein is no jazz (jazz.00000, jazz.00001), Prince Buster's Ten Commandments hardly reggae."""
    root = shared / "data" / "tables" / "gtzan_57_features.csv"
    found = table.load(root, DatasetOptions(label="label", split_column="split"))
    prepared = prepare(found, tmp_path / "p", PrepareSettings(), jobs=1)
    rows = _study(prepared, tmp_path / "run", "svm")["rows"]
    first = {r["track_id"]: r["suggested"] for r in rows[:20]}
    assert first["jazz.00000"] == first["jazz.00001"] == "classical"
    assert "reggae.00094" in first
