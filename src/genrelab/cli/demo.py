"""The demo: everything on a synthesised corpus, from nothing to a classified song."""

from __future__ import annotations

import shlex
from pathlib import Path

from genrelab.cli import run
from genrelab.cli.console import program_command
from genrelab.cli.options import PrepareOptions, RunOptions, SourceOptions
from genrelab.cli.output.predict import print_predictions
from genrelab.cli.output.tables import leaderboard
from genrelab.cli.output.writers import Shown
from genrelab.core.config import TrainSettings
from genrelab.core.errors import DatasetError
from genrelab.core.progress import Notify, ProgressBar
from genrelab.datasets.demo import MARKER_FILE, synthesise
from genrelab.predict.classifier import load_bundle

EPOCHS = 30


def demo(out: Path, notify: Notify, bar: ProgressBar) -> None:
    """Synthesise, prepare, train all models, print the leaderboard, classify one song.

    Raises:
        DatasetError: `out` holds other files.
    """
    corpus, results = out / "corpus", out / "run"
    if out.exists() and not (corpus / MARKER_FILE).is_file() and any(out.iterdir()):
        raise DatasetError(f"{out} holds other files: choose another --out")
    notify("1 of 4  Synthesising a corpus in the layout of the Free Music Archive")
    synthesise(corpus)
    notify("2 of 4  Preparing: each track is decoded once")
    run.prepare(SourceOptions(corpus, "fma-small"), PrepareOptions(), str(results / "prepared"), notify, bar)
    notify("3 of 4  Training every model of the article")
    settings = TrainSettings(epochs=EPOCHS)
    finished = (results / "run.json").exists()  # if not, go on with what an interrupted demo has trained
    options = RunOptions(resume=not finished, overwrite=finished)
    result = run.train(str(results / "prepared"), str(results), settings, options, notify, bar)
    leaderboard(result, False, str(results))
    notify("4 of 4  Classifying one song of the test part, with a bundle and without TensorFlow")
    best = results / result.rows[0].folder / "bundle"
    song = _pick_test_song(corpus, results)
    print()
    print_predictions(load_bundle(best), [str(song)], Shown())
    print(
        f"\nThe sounds are synthetic, so the scores say nothing about real music.\n"
        f"Next, your own music, one folder per genre:\n"
        f"  {shlex.join(program_command())} run ~/Music/by-genre --out runs/first"
    )


def _pick_test_song(corpus: Path, results: Path) -> Path:
    from genrelab.core.storage import Folder
    from genrelab.records.prepared import open_prepared, read_parquet

    split = read_parquet(Folder(results), "split.parquet").to_pydict()
    tracks = open_prepared(str(results / "prepared")).tracks
    index = split["role"].index("score")
    return corpus / str(tracks["path"][index])
