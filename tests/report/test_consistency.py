"""The outputs of a run never contradict each other, and the checker finds it where they do."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from genrelab.core.storage import Folder
from tests.support import scored_run
from tests.support.command import call
from tests.support.contradictions import contradictions

Bools = NDArray[np.bool_]


def build(
    run: Path,
    right: dict[str, Bools],
    *,
    part: str = "test",
    artists: bool = True,
    baseline: bool = True,
    truth: NDArray[np.int64] | None = None,
    validation: dict[str, float] | None = None,
    **split: Any,
) -> Path:
    """A run whose models are right on these tracks, and the majority baseline, which always predicts pop."""
    folder, n = Folder(run), len(next(iter(right.values())))
    truth = np.arange(n) % 4 if truth is None else truth  # blues, jazz, metal, pop
    names = [f"artist {i // 2}" if artists else None for i in range(n)]
    for name, mask in right.items():
        answer = np.where(mask, truth, (truth + 1) % 4)
        p = 0.02 + 0.92 * np.eye(4)[answer]
        scored_run.write_model(folder, name, part, truth, p / p.sum(axis=1, keepdims=True), names)  # type: ignore[arg-type]
        stored = folder.read_json(f"{name}/metrics.json")
        share = {"n": 40, "accuracy_low": 0.0, "accuracy_high": 1.0}
        more = {"training": share | {"n": 200, "accuracy": 0.99}}
        if validation:
            more["validation"] = share | {"accuracy": validation[name]}
        folder.write_json(f"{name}/metrics.json", stored | more)
    if baseline:
        pop = np.full((n, 4), 0.1) + 0.6 * np.eye(4)[3]
        scored_run.write_model(folder, "majority", part, truth, pop, names)  # type: ignore[arg-type]
    scored_run.write_split(folder, part, truth, names)  # type: ignore[arg-type]
    facts = scored_run.run_facts(part, n)
    counts = facts["split"]["counts"] | {"validation": 40 if part == "test" else n}
    facts["split"] |= {"counts": counts, **split}
    facts["dataset"]["root"] = str(run.parent / "music")
    folder.write_json("run.json", facts | {"majority": float(np.mean(truth == 3))})
    return run


def some(n: int, k: int, *, seed: int = 0) -> Bools:
    """k of n, drawn at random."""
    chosen = np.zeros(n, bool)
    chosen[np.random.default_rng(seed).permutation(n)[:k]] = True
    return chosen


def tiny(n: int) -> Callable[[Path], Path]:
    return lambda run: build(run, {"svm": np.ones(n, bool), "knn": np.zeros(n, bool)})


def with_audit(run: Path) -> Path:
    build(run, {"svm": some(60, 50), "knn": some(60, 20)}, policy="random")
    checks = [c | {"of": 60, "known": 60} for c in scored_run.AUDIT["checks"]]
    Folder(run).write_json("audit.json", scored_run.AUDIT | {"n_learned": 240, "checks": checks})
    return run


def all_tabular(run: Path) -> Path:
    build(run, {"svm": some(40, 30), "mlp": some(40, 28, seed=1)})
    for path in run.glob("*/metrics.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"view": "table"}))
    return run


def with_studies(run: Path) -> Path:
    build(run, {"svm": some(60, 45), "knn": some(60, 44, seed=1), "raw_cnn": some(60, 12, seed=2)})
    scored_run.write_studies(Folder(run))
    Folder(run).write_json("audit.json", scored_run.CLEAN)
    return run


RUNS: dict[str, Callable[[Path], Path]] = {
    **{f"{n} tracks": tiny(n) for n in (1, 3, 9, 10)},
    "unknown artists": lambda run: build(
        run,
        {"svm": some(60, 50), "knn": some(60, 20)},
        artists=False,
        policy="official",
        notes=["artists are unknown: the same artist may be on both sides"],
    ),
    "one model": lambda run: build(run, {"svm": some(60, 45)}),
    "one model like the baseline": lambda run: build(run, {"svm": some(12, 4)}, baseline=False),
    "only the baseline": lambda run: build(run, {"majority": np.arange(20) % 4 == 3}, baseline=False),
    "tables only": all_tabular,
    "identical predictions": lambda run: build(run, {m: some(40, 30) for m in ("svm", "knn", "mlp")}),
    "equal accuracies": lambda run: build(run, {f"model_{i}": some(40, 30, seed=i) for i in range(5)}),
    "all wrong": lambda run: build(run, {"svm": np.zeros(20, bool), "knn": np.zeros(20, bool)}),
    "all right": lambda run: build(run, {"svm": np.ones(20, bool), "knn": np.ones(20, bool)}),
    "clearly best": lambda run: build(run, {"svm": some(80, 78), "knn": some(80, 30), "mlp": some(80, 25)}),
    "not clearly best": lambda run: build(
        run,
        {"svm": some(60, 42), "knn": some(60, 40, seed=1), "mlp": some(60, 10, seed=2)},
        validation={"svm": 0.5, "knn": 0.9, "mlp": 0.2},
    ),
    "leaks": with_audit,
    "validation only": lambda run: build(
        run, {"svm": some(60, 42), "knn": some(60, 40, seed=1)}, part="validation", no_test=True
    ),
    "all studies": with_studies,
    "a genre without test tracks": lambda run: build(
        run, {"svm": some(30, 20), "knn": some(30, 9)}, truth=np.array([0, 1, 3] * 10)
    ),
}


def reported(run: Path) -> str:
    """What `genrelab report` prints."""
    status, out, err = call("report", run)
    assert status == 0, err
    return out


@pytest.mark.parametrize("kind", RUNS)
def test_outputs_of_a_run_do_not_contradict_each_other(tmp_path: Path, kind: str) -> None:
    run = RUNS[kind](tmp_path / "RUN")
    assert contradictions(run, reported(run)) == []


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run, and what the terminal printed of it."""
    run = RUNS["not clearly best"](tmp_path_factory.mktemp("original") / "RUN")
    return run, reported(run)


def replace(file: str, old: str, new: str, count: int = 0) -> Callable[[Path], None]:
    """A change of one file of a run."""

    def change(run: Path) -> None:
        text = (run / file).read_text()
        found, n = re.subn(old, new, text, count=count)
        assert n, f"{file} has no {old}"
        (run / file).write_text(found)

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (replace("leaderboard.json", r'"accuracy": 0\.7\b', '"accuracy": 0.75'), "accuracy of svm"),
        (replace("knn/metrics.json", r'"accuracy": 0\.6+\d*', '"accuracy": 0.6'), "accuracy of knn"),
        (replace("report.html", r"70\.0 %, not sig", "71.0 %, not sig"), "the verdict of report.html"),
        (replace("report.html", r">70\.0 \[", ">71.0 ["), "the page's table has 71.0"),
        (replace("report.html", r'"value": 70\.0', '"value": 71.0'), "in the chart"),
        (replace("report.html", r'("name": "mlp[^}]*"strong": )false', r"\1true"), "colour of mlp"),
        (replace("leaderboard.md", r"\| 66\.7 ", "| 67.7 "), "leaderboard.md lacks 66.7"),
        (replace("leaderboard.md", r"(?m)^- Caution: ", "- knn is best. Caution: ", 1), "calls knn the best"),
        (replace("report.html", "<h2>Cautions</h2>", "<p>The best model is mlp</p>"), "calls mlp the best"),
        (replace("leaderboard.json", r'"to_use": "svm"', '"to_use": "knn"'), "recommended are both knn and svm"),
        (replace("report.html", "not significantly better than knn", "significantly better than knn"), "significance"),
        (
            replace("leaderboard.json", r'"similar": \[\s*"knn"\s*\]', '"similar": []'),
            "not significantly different are",
        ),
        (replace("report.html", "2 of 3 pairs of models differ", "3 of 3 pairs of models differ"), "3 of 3 pairs"),
        (replace("report.html", "the 60 test tracks", "the 61 test tracks"), "61 test tracks"),
        (replace("report.html", "on 60 test tracks", "on 60 validation tracks"), "60 validation tracks"),
        (replace("report.html", r"(>mlp<.*?\]) \*", r"\1"), "mlp has no star"),
        (replace("leaderboard.md", "always guessing pop", "always guessing jazz"), "the most frequent genre is pop"),
        (
            replace("leaderboard.md", r"(than knn \S+ %\))\.", r"\1 and 2 other models."),
            "by the p-values 0",
        ),
        (
            replace("leaderboard.md", r"(always guessing pop \S+ %\)): mlp", r"\1: knn"),
            "by the intervals ['mlp']",
        ),
        (replace("leaderboard.md", r"\n$", "\n- gain of -0.00\n"), "zeros: leaderboard.md"),
        (replace("leaderboard.csv", "svm", "-0.0"), "negative zero"),
        (replace("report.html", "<h2>Cautions", "<p>all 1 of 1 tracks</p><h2>Cautions"), "'1 tracks'"),
        (replace("report.html", "<h2>Cautions", "<p>12 track</p><h2>Cautions"), "'12 track'"),
        (replace("report.html", "<h2>Cautions", "<code>genrelab train --louder</code>"), "no option --louder"),
        (replace("report.html", "<h2>Cautions", "<code>genrelab listen x</code>"), "no such command"),
        (replace("report.html", r'(<div class="cautions">.*\n.*\n<ul>)', r"\1<li>a</li><li>b</li>"), "are not folded"),
    ],
)
def test_planted_contradiction_is_found(
    original: tuple[Path, str], tmp_path: Path, change: Callable[[Path], None], words: str
) -> None:
    run, terminal = original
    changed = tmp_path / "changed"
    shutil.copytree(run, changed)
    change(changed)
    found = contradictions(changed, terminal.replace(str(run), str(changed)))
    assert any(words in line for line in found), found


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (r"70\.0 \[", "72.0 [", "the terminal lacks 70.0"),
        ("60 test tracks", "60 validation tracks", "does not name its 60 test tracks"),
        ("/svm/bundle", "/knn/bundle", "the terminal recommends"),
        ("svm (.*) is best", "mlp is best", "calls mlp the best"),
        ("$", "\ngenrelab predict x --clever", "no option --clever"),
    ],
)
def test_contradicting_terminal_is_found(original: tuple[Path, str], old: str, new: str, words: str) -> None:
    run, terminal = original
    found = contradictions(run, re.sub(old, new, terminal))
    assert any(words in line for line in found), found


def test_ranking_of_few_tracks_is_found(tmp_path: Path) -> None:
    run = RUNS["9 tracks"](tmp_path / "RUN")
    terminal = reported(run)
    for words in ("svm is best", "svm is significantly better", "genrelab predict x", "90.0 [80.0, 95.0] *"):
        assert contradictions(run, f"{terminal}\n{words}\n"), words
