"""run_comparison.py: runs with the same test tracks are ranked, the others are named with the reason."""

from __future__ import annotations

import dataclasses
import shlex
import shutil
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from genrelab.core.errors import SettingsError
from genrelab.core.storage import Folder
from genrelab.records.prepared import read_parquet, write_parquet
from genrelab.report.page.models import FinishedRun
from genrelab.report.report import build_comparison
from genrelab.report.run_comparison import compare_runs, render_comparison, short_names
from tests.support.command import call
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
    assert found.conclusion.sentence.startswith("second: knn is best on the 60 test tracks: 100.0 %")
    html = (tmp_path / "out" / "both.html").read_text()
    assert "<h1>first and second</h1>" in html and "<b>" not in html.partition("<script>")[0]
    assert not any(run.exists("report.html") for run in runs)


def test_runs_with_other_test_tracks_are_not_ranked(runs: list[Folder], tmp_path: Path) -> None:
    other = Folder(tmp_path / "fewer")
    write_run(other, n=50)
    found = build_comparison([*runs, other], tmp_path / "all.html")
    assert [(r.name, why) for r, why in found.unranked] == [
        ("fewer", "another test set: 0 tracks only in fewer, 10 only in first")
    ]
    assert {r.name for r, _ in found.ranked} == {"first", "second"}
    html = (tmp_path / "all.html").read_text()
    assert "Not comparable" in html and "fewer: another test set" in html


@pytest.mark.parametrize(
    ("column", "change", "words"),
    [
        ("sha256", lambda s: s.replace("0", "f"), "other audio in 60 tracks of the same name"),
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
    assert build_comparison(runs).unranked[0][1] == "other labels of 1 track, such as <b>3</b>"
    assert stored["scores"]["genres"] == list(GENRES)


def _rows(table: object) -> list[list[float]]:
    columns = [table[f"p_{g}"].to_pylist() for g in GENRES]  # type: ignore[index]
    return [list(row) for row in zip(*columns, strict=True)]


def test_one_run_or_one_twice_is_refused(runs: list[Folder]) -> None:
    for given in (runs[:1], [runs[0], runs[0]], [runs[0], Folder(f"{runs[0]}/../{runs[0].local.name}/")]):
        with pytest.raises(SettingsError, match="two or more different runs"):
            build_comparison(given)


def test_runs_with_the_same_name_get_distinct_names() -> None:
    assert short_names(["a/run", "b/other/"]) == ["run", "other"]
    assert short_names(["/tmp/x/a/run", "/tmp/x/b/run/"]) == ["a/run", "b/run"]
    assert short_names(["memory://a/run", "memory://b/run"]) == ["a/run", "b/run"]


def with_cautions(run: FinishedRun, *cautions: tuple[str, str]) -> FinishedRun:
    """The run with these cautions, rule and sentence."""
    found = tuple({"rule": rule, "sentence": sentence, "remedies": []} for rule, sentence in cautions)
    checks = [{"name": "same_track", "leaking": 5, "of": 60}] if "leaks" in dict(cautions) else []
    known = dataclasses.replace(run.known, audit={"checks": checks})
    return dataclasses.replace(run, known=known, board=dataclasses.replace(run.board, cautions=found))


def test_leaks_and_the_worst_caution_are_shown_with_the_figures_of_a_run(runs: list[Folder], tmp_path: Path) -> None:
    write_run(Folder(tmp_path / "fewer"), n=50)
    found = build_comparison([*runs, Folder(tmp_path / "fewer")])
    first, second, fewer = (
        next(r for r, _ in (*found.ranked, *found.unranked) if r.name == name) for name in ("first", "second", "fewer")
    )
    compared = compare_runs(
        [
            with_cautions(first, ("choice", "expect less of svm"), ("thin_genre", "few tracks of pop")),
            with_cautions(second, ("leaks", "5 of 60 test tracks leak")),
            with_cautions(fewer, ("leaks", "5 of 50 test tracks leak")),
        ]
    )
    assert compared.conclusion.kind == "leaks" and compared.conclusion.best == ()
    html = render_comparison(compared)
    ranked, _, unranked = html.partition('<section id="unranked"')
    assert "The accuracies are invalid: 5 of 60 test tracks share audio with training tracks." in ranked
    assert "second (leaks): svm" in ranked and 'class="words">second (leaks)</th>' in ranked
    assert "second: 5 of 60 test tracks leak." in ranked and "first: expect less of svm." in ranked
    assert "fewer (leaks); 50 test tracks" in unranked and "fewer: 5 of 50 test tracks leak." in unranked
    assert "first (leaks)" not in html and "few tracks of pop" not in html


def test_few_tracks_of_several_runs_are_not_ranked(tmp_path: Path) -> None:
    folders = [Folder(tmp_path / name) for name in ("first", "second")]
    for folder in folders:
        write_run(folder, n=9)
    found = build_comparison(folders, tmp_path / "few.html")
    assert found.conclusion.sentence == "9 test tracks: too few to conclude anything."
    assert [(r.name, row.folder) for r, row in found.ranked][:2] == [("first", "knn"), ("first", "majority")]
    assert 'id="differences"' not in (tmp_path / "few.html").read_text()


FEATURES = "track_id,genre,artist,a,b\n" + "".join(
    f"{i},{('rock', 'jazz')[i % 2]},artist {i // 2},{i % 2 + i / 1000},{i % 7}\n" for i in range(60)
)


@pytest.mark.slow
def test_printed_command_makes_runs_comparable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "my table.csv"
    table.write_text(FEATURES)
    models = ("--models", "majority,knn")
    assert call("run", table, "--label", "genre", "--out", tmp_path / "the first", *models, "--seed", 1)[0] == 0
    prepared = tmp_path / "the first/prepared"
    words = ("train", prepared, "--out", tmp_path / "other", "--models", "gaussian_nb", "--seed", 2, "--pca", 2)
    assert call(*words)[0] == 0
    runs = (tmp_path / "the first", tmp_path / "other")
    page = tmp_path / "page.html"
    status, out, err = call("report", *runs, "--out", page)
    assert status == 0, err
    (line,) = [line for line in out.splitlines() if line.startswith("To make it comparable: ")]
    command = shlex.split(line.partition(": ")[2])
    assert command[-2:] == ["--pca", "2.0"] and "gaussian_nb" in command
    assert command[-6:-2] == ["--split", "artist", "--seed", "1"]
    assert f"genrelab {shlex.join(command[-len(command) + command.index('train') :])}" in unescape(page.read_text())
    assert call(*command[command.index("train") :])[0] == 0
    made = command[command.index("--out") + 1]
    found = build_comparison([Folder(runs[0]), Folder(made)])
    assert found.unranked == [] and {r.name for r, _ in found.ranked} == {"the first", "other-comparable"}
    shutil.rmtree(prepared)
    gone = build_comparison([Folder(r) for r in runs])
    assert len(gone.unranked) == 1 and gone.commands == {}
