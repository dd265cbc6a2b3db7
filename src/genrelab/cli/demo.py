"""The demo: all steps on synthesised tracks, from nothing to a classified song."""

from __future__ import annotations

from pathlib import Path

from genrelab.cli import run
from genrelab.cli.console import command_line, notify
from genrelab.cli.options import SourceOptions
from genrelab.cli.output.tables import leaderboard
from genrelab.cli.run_options import PrepareOptions, RunOptions
from genrelab.core.config import TrainSettings
from genrelab.core.errors import DatasetError, printable
from genrelab.core.storage import Folder
from genrelab.core.text import percent
from genrelab.datasets.demo import MARKER_FILE, synthesise
from genrelab.predict.classifier import load_bundle
from genrelab.predict.file import predict_file
from genrelab.records.prepared import open_prepared, read_parquet

EPOCHS = 15


def demo(out: Path) -> None:
    """Synthesise, prepare, train all models, print the leaderboard, classify one song.

    Raises:
        DatasetError: `out` contains other files.
    """
    corpus, results = out / "corpus", out / "run"
    if out.exists() and not (corpus / MARKER_FILE).is_file() and any(out.iterdir()):
        raise DatasetError(f"{out} contains other files: choose another --out")
    notify("1 of 4: synthesising tracks, in the folder layout of the Free Music Archive")
    synthesise(corpus)
    notify("2 of 4: preparing the tracks")
    source = SourceOptions(root=corpus, dataset="fma-small")
    run.prepare(source, PrepareOptions(), str(results / "prepared"))
    notify("3 of 4: training all models")
    settings = TrainSettings(epochs=EPOCHS)
    finished = (results / "run.json").exists()  # if not, continue an interrupted demo
    options = RunOptions(resume=not finished, overwrite=finished)
    board = run.train(str(results / "prepared"), str(results), settings, options)
    leaderboard(board, str(results))
    notify("4 of 4: classifying a test track with the first model, without TensorFlow")
    bundle = load_bundle(results / board.rows[0].folder / "bundle")
    path, genre = _pick_test_track(results)
    found = predict_file(bundle, corpus / path)
    confidence = "" if found.confidence is None else f" ({percent(found.confidence)})"
    right = "right" if found.genre == genre else "wrong"
    print(
        f"\n{path}: predicted {printable(str(found.genre))}{confidence}; its true genre is {genre}: {right}.\n"
        "Next, with your own music, one folder per genre:\n"
        f"  {command_line('run', 'FOLDER', '--out', 'runs/first')}"
    )


def _pick_test_track(results: Path) -> tuple[str, str]:
    """Path and genre of the first test track."""
    index = read_parquet(Folder(results), "split.parquet").column("role").to_pylist().index("score")
    tracks = open_prepared(str(results / "prepared")).tracks
    return str(tracks["path"][index]), str(tracks["genre"][index])
