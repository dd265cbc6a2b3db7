"""`print_predictions`: classify the files named on the command line and print each as table, CSV or JSON."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import typer

from genrelab.audio.files import STANDARD_INPUT, expand_names, find_audio_files
from genrelab.cli import console
from genrelab.cli.output.writers import CsvWriter, JsonWriter, Shown, TableWriter
from genrelab.core.errors import DecodeError, SettingsError, printable
from genrelab.core.progress import ignore
from genrelab.core.text import pluralize
from genrelab.predict.classifier import Classifier
from genrelab.predict.file import predict_file, require_audio_input
from genrelab.predict.prediction import Prediction


def print_predictions(
    bundle: Classifier,
    names: Sequence[str],
    shown: Shown,
    *,
    jobs: int | None = None,
    fresh: bool = False,
    exclude: Sequence[str] = (),
) -> bool:
    """Print a prediction for every named file and every file below a named folder, or its error.

    Args:
        names: files, folders, or `-`: names on standard input, one per line or separated by NUL characters.
        shown: the format.
        jobs: see `batch.predict_files`.
        fresh: ignore cached predictions of folders and lists, and replace them.
        exclude: see `find_audio_files`.

    Returns:
        True if there was no error.

    Raises:
        SettingsError: `jobs` below 1, no standard input, `exclude` leaves no file, or a model without tags.
        BundleError: the bundle does not take audio, or has changed.
    """
    require_audio_input(bundle)
    if shown.tags and not bundle.reads_embedding:
        raise SettingsError(f"{printable(str(bundle.path))}: --tags needs a model with the view embedding")
    library = STANDARD_INPUT in names or any(os.path.isdir(n) for n in names)  # noqa: PTH112 - it never raises
    # timelines are not cached: for them, all files are classified
    use_cache = library and (fresh or not shown.timeline)
    found = list(find_audio_files(expand_names(names), exclude, console.notify))
    writer: TableWriter | JsonWriter | CsvWriter
    if shown.form == "json":
        writer = JsonWriter(shown)
    elif shown.form == "csv":
        writer = CsvWriter(bundle.genres, shown, sets=bundle.decision.least_likely is not None)
    else:
        missing_support = None if bundle.decision.thresholds is None else bundle.decision.missing_support
        writer = TableWriter(bundle.genres, [_name(f) for f in found], shown, missing_support)
    try:
        all_genres = len(bundle.genres) if bundle.decision.least_likely else 0  # 0 was reported before
        return write(writer, _predictions(bundle, found, jobs, use_cache, fresh), all_genres=all_genres)
    except KeyboardInterrupt:
        if fresh or not use_cache:  # the same command starts again
            raise console.NothingToResume from None
        raise


# --- which files ---


def _name(one: Path | DecodeError) -> str:
    return one.path if isinstance(one, DecodeError) else str(one)


def _predictions(
    bundle: Classifier, found: list[Path | DecodeError], jobs: int | None, use_cache: bool, fresh: bool
) -> Iterator[Prediction]:
    files = [f for f in found if isinstance(f, Path)]
    with closing(_classify(bundle, files, jobs, use_cache, fresh)) as predictions:
        for one in found:
            if isinstance(one, DecodeError):
                yield Prediction(one.path, None, None, {}, None, bundle.name, one.reason, lasting=False)
            else:
                yield next(predictions)


def _classify(
    bundle: Classifier, files: list[Path], jobs: int | None, use_cache: bool, fresh: bool
) -> Generator[Prediction, None, None]:
    if len(files) == 1 and jobs in (None, 1) and not use_cache:  # one file: no cache, no workers
        yield bundle.decision(predict_file(bundle, files[0]))
        return
    from genrelab.predict.batch import predict_files
    from genrelab.predict.cache import open_cache

    with ExitStack() as opened:
        cache = opened.enter_context(open_cache(console.notify, fresh=fresh)) if use_cache else None
        show_bar = sys.stderr.isatty() and not sys.stdout.isatty()  # else the rows show the progress
        bar = opened.enter_context(console.progress_bar("Classifying")) if show_bar else ignore
        yield from predict_files(bundle, files, jobs=jobs, cache=cache, progress=bar)


# --- printing ---


def write(
    form: TableWriter | JsonWriter | CsvWriter, predictions: Iterator[Prediction], *, all_genres: int = 0
) -> bool:
    """Print each prediction at once, and the tail in any case. True if there was no error.

    Args:
        all_genres: number of the model's genres, for a note if every file's set contains all of them; 0: no note.
    """
    done = failed = n_full_sets = 0
    _echo(form.head)
    try:
        for prediction in predictions:
            _echo(form.row(prediction))
            done, failed = done + 1, failed + (prediction.error is not None)
            n_full_sets += prediction.error is None and len(prediction.genre_set or ()) == all_genres > 0
    finally:
        _echo(form.tail)
        if failed and done > 1:
            console.notify(f"{failed:,} of {pluralize(done, 'file')} failed")
        if n_full_sets > 1 and n_full_sets == done - failed:
            console.notify(
                f"every set contains all {all_genres} genres: this model is too often wrong for this coverage"
            )
    return not failed


def _echo(text: str) -> None:
    # Bytes: names that are not valid Unicode are printed unchanged, whatever the terminal's encoding.
    typer.echo(text.encode("utf-8", "surrogateescape"), nl=False)
