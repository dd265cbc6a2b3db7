"""report.py, leaderboard.py and pictures.py on synthesised predictions."""

from __future__ import annotations

import csv
import io
import json
import re
import uuid
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from genrelab import metrics, pictures
from genrelab.errors import PreparedError
from genrelab.leaderboard import COLUMNS, Leaderboard, size
from genrelab.report import build, gap_words, print_leaderboard
from genrelab.storage import Folder

GENRES = ("blues", "jazz [cool] | $x$", "metal", "pop")
LINE = 0.30  # accuracy of always answering pop


def write_run(run: Folder, *, part: str = "test", n: int = 60) -> None:
    """A finished run of four models: two that learned, a network that did not, and the majority."""
    rng = np.random.default_rng(7)
    truth = rng.choice([0, 1, 3], n, p=[0.4, 0.3, 0.3])  # no metal track is scored
    artists = [f"artist {i // 3}" for i in range(n)]
    for name, strength in {"svm": 1.6, "knn": 1.2, "raw_cnn": 0.0, "majority": -1.0}.items():
        logits = rng.normal(size=(n, 4)) + strength * np.eye(4)[truth]
        if name == "majority":
            logits = np.tile([0.0, 0.0, 0.0, 1.0], (n, 1))
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        write_model(run, name, part, truth, p, artists)
    run.write_json(
        "run.json",
        {
            "dataset": {"name": "three & four", "genres": list(GENRES), "counts": {"blues": 30}},
            "split": {
                "policy": "artist",
                "digest": "0123456789abcdef" * 4,
                "counts": {
                    "training": 200,
                    "validation": 40,
                    "test": n if part == "test" else 0,
                    "excluded": 3,
                },
                "notes": ["3 tracks of unknown artist are in training only"],
                "no_test": part != "test",
            },
            "part": part,
            "chance": 0.25,
            "majority": LINE,
            "majority_genre": "pop",
            "not_run": [{"model": "mobilenet_v2", "reason": "its weights are not on this machine"}],
            "settings": {"epochs": 3},
            "seed": 42,
            "versions": {"numpy": "2"},
            "timings": {"svm": 1.5},
        },
    )


def write_model(run: Folder, name: str, part: str, truth: np.ndarray, p: np.ndarray, artists: list[str]) -> None:
    network = name == "raw_cnn"
    run.write_json(
        f"{name}/metrics.json",
        {
            "model": name,
            "display": "svm (article)" if name == "svm" else name,
            "view": "samples" if network else "statistics",
            "part": part,
            "scores": metrics.score(truth, p, GENRES, artists, 42),
            "train_s": 1.25,
            "predict_ms": 0.5,
            "size_bytes": 8_900_000,
            "split": "artist",
            "notes": ["did not learn: no better than an answer without listening"] if network else [],
            "curve": {"best_epoch": 2, "learned": False} if network else None,
        },
    )
    columns = {"track_id": [f"<b>{i}</b>" for i in range(len(truth))], "part": [part] * len(truth)}
    columns |= {"truth": [GENRES[t] for t in truth]}
    table = pa.table(columns | {f"p_{g}": p[:, i].astype(np.float32) for i, g in enumerate(GENRES)})
    out = io.BytesIO()
    pq.write_table(table, out)
    run.write_bytes(f"{name}/predictions.parquet", out.getvalue())
    if network:
        history = "epoch,loss,accuracy,val_loss,val_accuracy\n1,1.5,.2,1.6,.2\n2,1.2,.6,1.5,.35\n3,.9,.8,1.9,.3\n"
        run.write_bytes(f"{name}/history.csv", history.encode())


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
    return folder, build(folder)


def printed(board: Leaderboard, width: int = 110) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_leaderboard(board, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_rows_stand_best_first_with_the_promised_columns(built: tuple[Folder, Leaderboard]) -> None:
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
    folders = [r.folder for r in build(run).rows]
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
    assert [r.folder for r in board.rows if r.marked] == ["raw_cnn"]  # the majority model is the line itself
    for text in (printed(board), run.read_bytes("leaderboard.md").decode().replace("\\", "")):
        assert re.search(r"raw_cnn.*\] \*", text)
        assert not re.search(r"svm.*\] \*", text)
        assert "not above the majority line" in text
        assert "raw_cnn: did not learn" in text
    assert "not above the majority line" in run.read_bytes("report.html").decode()


def test_a_majority_below_chance_is_no_line_to_beat(run: Folder) -> None:
    facts = run.read_json("run.json")
    chance = build(run).rows[0].accuracy_low + 0.001
    run.write_json("run.json", facts | {"chance": chance, "majority": chance / 2})
    board = build(run)
    assert not board.rows[0].above_majority
    assert any(line.startswith("* not above the chance line") for line in board.lines)


def test_every_table_states_its_facts(built: tuple[Folder, Leaderboard]) -> None:
    run, board = built
    facts = "n = 60 test tracks; artist split; chance 25.0 %, majority 30.0 % (always pop)"
    assert board.facts == facts
    page = run.read_bytes("report.html").decode()
    assert page.count(f"<caption>{facts}</caption>") == page.count("<table>") > 4
    for text in (printed(board), run.read_bytes("leaderboard.md").decode()):
        assert facts in text
        assert "3 tracks of unknown artist are in training only" in text
        assert "macro-F1 averages 3 genres" in text
        assert "not measured (no test tracks): metal" in text
        assert re.search(r"not run: mobilenet.*: its weights are not on this machine", text)
        assert "resample 20 artists" in text


def test_without_test_rows_every_table_says_so() -> None:
    run = Folder(f"memory://report-{uuid.uuid4().hex}")
    write_run(run, part="validation")
    board = build(run)
    words = "60 validation tracks (there are no test tracks)"
    page = run.read_bytes("report.html").decode()
    assert page.count(words) >= page.count("<table>") > 4
    assert words in printed(board)
    assert words in run.read_bytes("leaderboard.md").decode()
    assert {r["part"] for r in run.read_json("leaderboard.json")["rows"]} == {"validation"}


def test_the_page_is_self_contained_and_escaped(built: tuple[Folder, Leaderboard]) -> None:
    run, _ = built
    page = run.read_bytes("report.html").decode()
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert "three &amp; four" in page
    assert all(src.startswith("data:image/png;base64,") for src in re.findall(r'src="([^"]{22})', page))
    assert "http:" not in page and "https:" not in page
    assert "not measured" in page
    assert "overfitting gap 25.0 points" in page


def test_pictures_are_written_where_they_belong(built: tuple[Folder, Leaderboard]) -> None:
    run, _ = built
    assert run.exists("leaderboard.png")
    assert all(run.exists(f"{m}/confusion.png") for m in ("svm", "knn", "raw_cnn", "majority"))
    assert [m for m in run.names() if run.exists(f"{m}/curves.png")] == ["raw_cnn"]


def test_the_same_run_gives_the_same_bytes(built: tuple[Folder, Leaderboard]) -> None:
    run, _ = built
    files = ("leaderboard.csv", "leaderboard.md", "leaderboard.json", "leaderboard.png", "report.html")
    before = {f: run.read_bytes(f) for f in files}
    build(run)
    assert {f: run.read_bytes(f) for f in files} == before


def test_markdown_keeps_its_columns_whatever_the_names(run: Folder) -> None:
    stored = run.read_json("svm/metrics.json") | {"display": "a | b\nc"}
    run.write_json("svm/metrics.json", stored)
    build(run)
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


def test_a_model_with_fewer_scored_tracks_is_told(run: Folder) -> None:
    rng = np.random.default_rng(1)
    truth, p = rng.integers(0, 4, 50), rng.dirichlet(np.ones(4), 50)
    write_model(run, "mlp", "test", truth, p, [f"artist {i}" for i in range(50)])
    board = build(run)
    assert board.n == 60
    assert "mlp: scored on 50 of 60 tracks" in board.lines


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda run: run.remove("run.json"), "run.json is missing"),
        (lambda run: run.write_bytes("run.json", b'{"dataset": '), "run.json is damaged"),
        (lambda run: run.write_json("run.json", {"split": {}}), "is missing from its files"),
        (
            lambda run: [run.remove(m) for m in ("svm", "knn", "raw_cnn", "majority")],
            "no model has been scored",
        ),
        (
            lambda run: run.write_bytes("svm/predictions.parquet", run.read_bytes("majority/predictions.parquet")),
            "of svm tell different scores",
        ),
        (
            lambda run: run.write_bytes("raw_cnn/history.csv", b"epoch,loss,accuracy,val_loss,val_accuracy\n"),
            "lacks the best epoch, 2",
        ),
    ],
)
def test_a_run_that_does_not_add_up_is_refused_by_name(run: Folder, damage: object, words: str) -> None:
    damage(run)  # type: ignore[operator]
    with pytest.raises(PreparedError, match=words) as refused:
        build(run)
    assert str(run) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_gap_words() -> None:
    history = {"epoch": [1, 2], "accuracy": [0.5, 0.9], "val_accuracy": [0.52, 0.61]}
    assert gap_words(history, 2) == "best epoch 2 of 2: training 90.0 %, validation 61.0 %: overfitting gap 29.0 points"
    assert gap_words(history, 1).endswith("no overfitting gap")


def test_sizes_are_printed_in_three_digits() -> None:
    assert [size(n) for n in (999, 1_000, 12_345, 8_912_345, 2.5e9)] == [
        "999 B",
        "1.0 kB",
        "12 kB",
        "8.9 MB",
        "2.5 GB",
    ]


def test_pictures_bear_any_name_and_any_number_of_genres() -> None:
    png = b"\x89PNG"
    many = pictures.confusion(np.eye(30, dtype=np.int64), [f"genre {i}" for i in range(30)], title="many")
    strange = pictures.confusion(np.array([[3, 0], [0, 0]]), ["日本 $", "{b}"], title="$ strange")
    flat = {name: [1.0] for name in ("epoch", "loss", "accuracy", "val_loss", "val_accuracy")}
    one = pictures.curves(flat, 1, title="one epoch", below="")
    assert many[:4] == strange[:4] == one[:4] == png
