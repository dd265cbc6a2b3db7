"""report.py, leaderboard.py and plots.py on synthesised predictions."""

from __future__ import annotations

import csv
import io
import json
import re
import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from genrelab.cli.output import tables
from genrelab.core.errors import PreparedError
from genrelab.core.storage import Folder
from genrelab.evaluation import plots
from genrelab.report.leaderboard import COLUMNS, Leaderboard, format_bytes
from genrelab.report.page.models import describe_gap
from genrelab.report.report import build_report, print_leaderboard
from tests.support.scored_run import GENRES, LINE, write_model, write_run


@pytest.fixture
def run(tmp_path: Path) -> Folder:
    """A run of our own, to alter."""
    folder = Folder(tmp_path / "RUN")
    write_run(folder)
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Folder, Leaderboard]:
    """A run and its leaderboard, to look at."""
    folder = Folder(tmp_path_factory.mktemp("built") / "RUN")
    write_run(folder)
    return folder, build_report(folder)


def printed(board: Leaderboard, width: int = 130, *, verbose: bool = True) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_leaderboard(board, console, verbose=verbose)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_rows_are_sorted_best_first_with_the_documented_columns(built: tuple[Folder, Leaderboard]) -> None:
    run, board = built
    rows = list(csv.DictReader(io.StringIO(run.read_bytes("leaderboard.csv").decode())))
    assert tuple(rows[0]) == COLUMNS
    promised = (
        "model view part n accuracy accuracy_low accuracy_high balanced_accuracy macro_f1 top3 log_loss ece "
        "train_s predict_ms size_bytes split"
    )
    assert " ".join(COLUMNS) == promised
    assert {r["model"] for r in rows} == {"svm (article)", "knn", "raw_cnn", "majority"}
    assert [r["model"] for r in rows] == [r.model for r in board.rows]
    assert [float(r["accuracy"]) for r in rows] == sorted((float(r["accuracy"]) for r in rows), reverse=True)
    assert rows[0]["n"] == "60"
    assert rows[0]["size_bytes"] == "8900000"


def test_equal_accuracy_is_ordered_by_log_loss(run: Folder) -> None:
    stored = run.read_json("knn/metrics.json")
    stored["scores"]["log_loss"] -= 0.01
    for f in ("metrics.json", "predictions.parquet"):
        run.write_bytes(f"a_twin/{f}", run.read_bytes(f"knn/{f}"))
    run.write_json("knn/metrics.json", stored)
    folders = [r.folder for r in build_report(run).rows]
    assert folders.index("knn") + 1 == folders.index("a_twin")


def test_json_holds_what_the_csv_cannot(built: tuple[Folder, Leaderboard]) -> None:
    run, _ = built
    stored = run.read_json("leaderboard.json")
    assert stored["n"] == 60
    assert (stored["chance"], stored["majority"], stored["majority_genre"]) == (0.25, LINE, "pop")
    assert stored["macro_over"] == ["blues", GENRES[1], "pop"]
    assert stored["not_measured"] == ["metal"]
    assert stored["not_run"] == [{"model": "mobilenet_v2", "reason": "its weights are not on this machine"}]
    assert {r["folder"] for r in stored["rows"]} == {"svm", "knn", "raw_cnn", "majority"}


def test_a_model_that_did_not_learn_is_marked_everywhere(built: tuple[Folder, Leaderboard]) -> None:
    run, board = built
    above = {r.folder: r.above_majority for r in board.rows}
    assert above == {"svm": True, "knn": True, "raw_cnn": False, "majority": False}
    assert [r.folder for r in board.rows if r.below_baseline] == ["raw_cnn"]  # the majority model is the line itself
    for text in (printed(board), run.read_bytes("leaderboard.md").decode().replace("\\", "")):
        assert re.search(r"raw_cnn.*\] \*", text)
        assert not re.search(r"svm.*\] \*", text)
        assert "* not significantly better than the majority baseline" in text
        assert "not significantly better than always guessing pop (30.0 %): raw_cnn" in text
        assert "raw_cnn: did not learn" in text
    assert "Not significantly better than always guessing pop (30.0 %)" in run.read_bytes("report.html").decode()


def test_chance_is_the_baseline_if_the_majority_is_below_it(run: Folder) -> None:
    facts = run.read_json("run.json")
    chance = build_report(run).rows[0].accuracy_low + 0.001
    run.write_json("run.json", facts | {"chance": chance, "majority": chance / 2})
    board = build_report(run)
    assert not board.rows[0].above_majority
    assert "No model is significantly better than chance (" in board.conclusion.sentence


def test_every_table_states_its_facts(built: tuple[Folder, Leaderboard]) -> None:
    run, board = built
    facts = "60 test tracks; artist split; chance 25.0 %; always guessing pop 30.0 %"
    assert board.facts == facts
    star = "* not significantly better than the majority baseline (or chance, if that is higher)"
    assert f"<caption><span>{facts}; {star}</span></caption>" in run.read_bytes("report.html").decode()
    for text in (printed(board), run.read_bytes("leaderboard.md").decode()):
        assert facts in text
        assert "3 tracks of unknown artist are in training only" in text
        assert "Macro F1 is the mean F1 of 3 genres" in text
        assert "No test tracks of metal" in text
        assert re.search(r"Not run: mobilenet.*: its weights are not on this machine", text)
        assert "tracks of one artist being alike (20 artists)" in text


def test_without_test_set_tables_and_figures_name_the_validation_tracks() -> None:
    run = Folder(f"memory://report-{uuid.uuid4().hex}")
    write_run(run, part="validation")
    board = build_report(run)
    words = "60 validation tracks (there is no test set)"
    assert words in printed(board)
    assert words in run.read_bytes("leaderboard.md").decode()
    assert {r["part"] for r in run.read_json("leaderboard.json")["rows"]} == {"validation"}
    page = run.read_bytes("report.html").decode()
    scored = page[page.index("<main") : page.index('id="data"')]
    assert "60 test tracks" not in page
    captions = re.findall(r"<caption[^>]*><span>(.*?)</span></caption>", scored)
    named = [c for c in captions if c != "Accuracy"]  # its rows name their tracks
    assert named and all(words in c or "training and validation" in c.lower() for c in named)
    labels = re.findall(r'data-label="(.*?)"', scored)
    assert labels and all("validation" in label or "compared" in label for label in labels)


def test_the_same_run_gives_the_same_bytes(built: tuple[Folder, Leaderboard]) -> None:
    run, _ = built
    files = ("leaderboard.csv", "leaderboard.md", "leaderboard.json", "leaderboard.png", "report.html")
    before = {f: run.read_bytes(f) for f in files}
    build_report(run)
    assert {f: run.read_bytes(f) for f in files} == before


def test_markdown_keeps_its_columns_whatever_the_names(run: Folder) -> None:
    stored = run.read_json("svm/metrics.json") | {"display": "a | b\nc"}
    run.write_json("svm/metrics.json", stored)
    build_report(run)
    lines = [li for li in run.read_bytes("leaderboard.md").decode().splitlines() if li.startswith("|")]
    assert len(lines) == 2 + 4
    assert {len(re.findall(r"(?<!\\)\|", li)) for li in lines} == {10}


def test_a_narrow_terminal_loses_no_number(built: tuple[Folder, Leaderboard]) -> None:
    run, board = built
    text = printed(board, width=80)
    for row in json.loads(run.read_bytes("leaderboard.json"))["rows"]:
        assert row["model"] in text
        assert f" {100 * row['accuracy']:.1f} [{100 * row['accuracy_low']:.1f}, " in text
        assert f"{row['log_loss']:.2f}" in text
    assert "…" not in text


def test_notes_shared_by_models_or_warnings_are_stated_once(built: tuple[Folder, Leaderboard]) -> None:
    _, board = built
    rows = tuple(replace(row, notes=("not calibrated", *row.notes)) for row in board.rows)
    notes = ("thin, with fewer than 5 scored tracks: pop (3)", "artists are unknown: the same artist may be", "kept")
    absent = "no test tracks: metal"
    changed = replace(board, rows=rows, split_notes=(*notes, absent), cautions=())
    assert f"Split: {absent}" not in changed.lines and "No test tracks of metal" in changed.lines
    assert [line for line in changed.lines if "not calibrated" in line] == [
        f"{', '.join(row.model for row in rows)}: not calibrated"
    ]
    assert [line for line in changed.lines if line.startswith("Split: ")][1:] == [f"Split: {note}" for note in notes]
    cautions = tuple({"rule": r, "sentence": "", "remedies": []} for r in ("thin_genre", "split"))
    assert [n for n in replace(changed, cautions=cautions).lines if n.startswith("Split: ")][1:] == ["Split: kept"]


def test_terminal_shows_three_cautions_and_counts_the_rest(built: tuple[Folder, Leaderboard]) -> None:
    _, board = built
    cautions = tuple({"rule": f"r{i}", "sentence": f"caution {i}", "details": "", "remedies": []} for i in range(5))
    board = replace(board, cautions=cautions)
    short, long = printed(board, verbose=False), printed(board)
    assert "Caution: caution 2" in short and "caution 3" not in short
    assert f"{2 + len(board.lines)} more notes in leaderboard.md" in short
    assert "Caution: caution 4" in long and "more notes" not in long
    assert short.splitlines()[0] == board.conclusion.sentence


def test_next_command_uses_the_recommended_model(
    built: tuple[Folder, Leaderboard], capsys: pytest.CaptureFixture[str]
) -> None:
    run, board = built

    def printed(board: Leaderboard) -> str:
        tables.finished_run(board, str(run), (), False)
        return capsys.readouterr().out

    assert board.conclusion.recommended == "svm"
    assert f"--model {run}/svm/bundle" in printed(board)
    none = replace(board.conclusion, recommended=None)
    assert "predict" not in printed(replace(board, conclusion=none))
    rows = tuple(replace(row, view="table") for row in board.rows)
    assert "predict" not in printed(replace(board, rows=rows)), "a model of tables takes no audio"


def test_few_tracks_are_listed_without_ranking(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Folder(tmp_path / "RUN")
    write_run(run, n=9)
    board = build_report(run)
    assert [row.folder for row in board.rows] == ["knn", "majority", "raw_cnn", "svm"]
    tables.finished_run(board, str(run), (), False)
    texts = (capsys.readouterr().out, run.read_bytes("leaderboard.md").decode())
    for text in texts:
        assert "9 test tracks: too few to conclude anything." in text and "alphabetical order" in text
        assert not re.search(r"predict|\bbest\b|\] \\?\*", text)
    stored = run.read_json("leaderboard.json")
    assert (stored["winner"]["folder"], stored["to_use"], stored["conclusion"]["kind"]) == (None, "", "too_few")
    assert 'id="comparisons"' not in run.read_bytes("report.html").decode()


def test_model_with_fewer_test_tracks_is_noted(run: Folder) -> None:
    rng = np.random.default_rng(1)
    truth, p = rng.integers(0, 4, 50), rng.dirichlet(np.ones(4), 50)
    write_model(run, "mlp", "test", truth, p, [f"artist {i}" for i in range(50)])
    board = build_report(run)
    assert board.n == 60
    assert "mlp: scored on 50 of 60 tracks" in board.lines


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda run: run.remove("run.json"), "run.json is missing"),
        (lambda run: run.remove(), "does not exist: give a run folder"),
        (
            lambda run: [run.remove("run.json"), run.write_json("dataset.json", {})],
            "is a prepared folder: give a run",
        ),
        (lambda run: run.write_bytes("run.json", b'{"dataset": '), "run.json is damaged"),
        (lambda run: run.write_json("run.json", {"split": {}}), "is missing from its files"),
        (
            lambda run: [run.remove(m) for m in ("svm", "knn", "raw_cnn", "majority")],
            "no model has been scored",
        ),
        (
            lambda run: run.write_bytes("svm/predictions.parquet", run.read_bytes("majority/predictions.parquet")),
            "of svm disagree",
        ),
        (
            lambda run: run.write_bytes("raw_cnn/history.csv", b"epoch,loss,accuracy,val_loss,val_accuracy\n"),
            "lacks the best epoch, 2",
        ),
    ],
)
def test_inconsistent_run_is_refused_by_name(run: Folder, damage: object, words: str) -> None:
    damage(run)  # type: ignore[operator]
    with pytest.raises(PreparedError, match=words) as refused:
        build_report(run)
    assert str(run) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_overfitting_gap_is_described() -> None:
    history = {
        1: {"accuracy": 0.5, "val_accuracy": 0.52, "val_loss": 1.2},
        2: {"accuracy": 0.9, "val_accuracy": 0.61, "val_loss": 1.1},
    }
    assert (
        describe_gap(history, 2) == "best epoch 2 of 2: training 90.0 %, validation 61.0 %: overfitting gap 29.0 points"
    )
    assert describe_gap(history, 1).endswith("no overfitting gap")
    history[2]["val_loss"] = 1.3
    assert describe_gap(history, 2).startswith("last epoch 2 of 2:"), "the article's preset uses it, whatever its loss"


def test_sizes_are_printed_in_three_digits() -> None:
    assert [format_bytes(n) for n in (999, 1_000, 12_345, 8_912_345, 2.5e9)] == [
        "999 B",
        "1.0 kB",
        "12 kB",
        "8.9 MB",
        "2.5 GB",
    ]


def test_confusion_plot_takes_any_names_and_number_of_genres() -> None:
    many = plots.confusion(np.eye(30, dtype=np.int64), [f"genre {i}" for i in range(30)], title="many")
    strange = plots.confusion(np.array([[3, 0], [0, 0]]), ["日本 $", "{b}"], title="$ strange")
    assert many[:4] == strange[:4] == b"\x89PNG"
