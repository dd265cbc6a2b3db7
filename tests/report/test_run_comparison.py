"""side_by_side.py and report.build_many: runs that were asked the same are ranked, others are told by name."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from genrelab.core.errors import SettingsError
from genrelab.core.storage import Folder
from genrelab.records.prepared import read_parquet, write_parquet
from genrelab.report.report import build_comparison
from genrelab.report.run_comparison import ComparedRun, compare_runs, render_comparison, short_names
from tests.support.scored_run import GENRES, write_model, write_run


def better(run: Folder, *, n: int = 60) -> None:
    """The same run with a knn that is right on every track."""
    truth = np.random.default_rng(7).choice([0, 1, 3], n, p=[0.4, 0.3, 0.3])
    p = 0.01 + 0.96 * np.eye(4)[truth]
    write_model(run, "knn", "test", truth, p, [f"artist {i // 3}" for i in range(n)])


@pytest.fixture
def runs(tmp_path: Path) -> list[Folder]:
    """A run, and one with a better knn."""
    folders = [Folder(tmp_path / name) for name in ("first", "second")]
    for folder in folders:
        write_run(folder)
    better(folders[1])
    return folders


def test_runs_share_one_ranking_with_paired_differences(runs: list[Folder], tmp_path: Path) -> None:
    found = build_comparison(runs, tmp_path / "out" / "both.html")
    assert next((r.name, row.folder) for r, row in found.ranked) == ("second", "knn")
    assert len(found.ranked) == 8
    assert found.unranked == []
    by_model = {p["model"]: p for p in found.pairs}
    assert by_model["svm"]["difference"] == 0 and not by_model["svm"]["separable"]
    assert by_model["knn"]["separable"] and by_model["knn"]["low"] > 0
    assert by_model["knn"]["run"] == "second"
    assert found.winner.startswith("second: knn is first")
    html = (tmp_path / "out" / "both.html").read_text()
    assert "2 runs side by side" in html and "<b>" not in html.partition("<script>")[0]
    assert not any(run.exists("report.html") for run in runs)


def test_runs_scored_on_other_tracks_are_not_ranked(runs: list[Folder], tmp_path: Path) -> None:
    other = Folder(tmp_path / "fewer")
    write_run(other, n=50)
    found = build_comparison([*runs, other], tmp_path / "all.html")
    assert [(r.name, why) for r, why in found.unranked] == [
        ("fewer", "another test set: 0 scored tracks that first did not score, 10 of its tracks not scored")
    ]
    assert {r.name for r, _ in found.ranked} == {"first", "second"}
    html = (tmp_path / "all.html").read_text()
    assert "Not to be ranked with the others" in html and "fewer is not ranked" in html


@pytest.mark.parametrize(
    ("column", "change", "words"),
    [
        ("sha256", lambda s: s.replace("0", "f"), "other audio behind 60 scored tracks"),
        ("artist", lambda s: f"{s}!", None),
    ],
)
def test_other_audio_under_the_same_names_is_found(
    runs: list[Folder], column: str, change: object, words: str | None
) -> None:
    table = read_parquet(runs[1], "split.parquet")
    values = [change(v) for v in table[column].to_pylist()]  # type: ignore[operator]
    at = table.schema.get_field_index(column)
    write_parquet(runs[1], "split.parquet", table.set_column(at, column, [values]))
    reasons = [why for _, why in build_comparison(runs).unranked]
    assert reasons == [] if words is None else reasons[0].startswith(words)


def test_other_genres_and_labels_are_found(runs: list[Folder]) -> None:
    stored = runs[1].read_json("svm/metrics.json")
    for name in ("svm", "knn", "raw_cnn", "majority"):
        table = read_parquet(runs[1], f"{name}/predictions.parquet")
        truth = ["metal" if i == 3 else g for i, g in enumerate(table["truth"].to_pylist())]
        right = [g == GENRES[int(np.argmax(p))] for g, p in zip(truth, _rows(table), strict=True)]
        write_parquet(runs[1], f"{name}/predictions.parquet", table.set_column(2, "truth", [truth]))
        held = runs[1].read_json(f"{name}/metrics.json")
        held["scores"]["accuracy"] = float(np.mean(right))
        runs[1].write_json(f"{name}/metrics.json", held)
    assert build_comparison(runs).unranked[0][1] == "other labels of 1 scored track, such as <b>3</b>"
    assert stored["scores"]["genres"] == list(GENRES)


def _rows(table: object) -> list[list[float]]:
    columns = [table[f"p_{g}"].to_pylist() for g in GENRES]  # type: ignore[index]
    return [list(row) for row in zip(*columns, strict=True)]


def test_one_run_or_one_twice_is_refused(runs: list[Folder]) -> None:
    for given in (runs[:1], [runs[0], runs[0]], [runs[0], Folder(f"{runs[0]}/../{runs[0].local.name}/")]):
        with pytest.raises(SettingsError, match="two runs or more, each once"):
            build_comparison(given)


def test_runs_with_the_same_name_get_distinct_names() -> None:
    assert short_names(["a/run", "b/other/"]) == ["run", "other"]
    assert short_names(["a/run", "b/run"]) == ["a/run", "b/run"]


def told(run: ComparedRun, *cautions: tuple[str, str]) -> ComparedRun:
    """The run with these cautions, rule and sentence."""
    found = tuple({"rule": rule, "sentence": sentence, "remedies": []} for rule, sentence in cautions)
    return dataclasses.replace(run, board=dataclasses.replace(run.board, cautions=found))


def test_leaks_and_the_worst_warning_are_shown_with_a_runs_figures(runs: list[Folder], tmp_path: Path) -> None:
    write_run(Folder(tmp_path / "fewer"), n=50)
    found = build_comparison([*runs, Folder(tmp_path / "fewer")])
    first, second, fewer = (
        next(r for r, _ in (*found.ranked, *found.unranked) if r.name == name) for name in ("first", "second", "fewer")
    )
    html = render_comparison(
        compare_runs(
            [
                told(first, ("choice", "svm was not chosen"), ("thin_genre", "few tracks of pop")),
                told(second, ("leaks", "scored tracks were learned from")),
                told(fewer, ("leaks", "tracks stand on both sides")),
            ]
        )
    )
    ranked, _, unranked = html.partition('<section id="unranked"')
    assert "What second and fewer scored was partly learned from: believe none of their figures." in ranked
    assert "second (leaks): svm" in ranked and 'class="words">second (leaks)</th>' in ranked
    assert "second: scored tracks were learned from." in ranked and "first: svm was not chosen." in ranked
    assert "fewer (leaks); n = 50" in unranked and "fewer: tracks stand on both sides." in unranked
    assert "first (leaks)" not in html and "few tracks of pop" not in html
