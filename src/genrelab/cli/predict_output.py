"""`print_predictions`: classify the files named on the command line and print each as table, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import sys
import unicodedata
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from genrelab.audio.files import find_audio_files
from genrelab.cli import console
from genrelab.core.errors import DecodeError, SettingsError, printable
from genrelab.core.progress import ignore
from genrelab.core.text import pluralize
from genrelab.predict.classifier import Classifier
from genrelab.predict.file import predict_file, require_audio_input
from genrelab.predict.prediction import UNKNOWN, Prediction

if TYPE_CHECKING:
    from genrelab.predict.cache import PredictionCache

STANDARD_INPUT = "-"

MAX_NAME_WIDTH = 100
"""Maximum width of the file column when not on a terminal; a longer name shifts its row to the right."""


def print_predictions(
    bundle: Classifier,
    names: Sequence[str],
    *,
    form: str,
    top: int | None = None,
    timeline: bool = False,
    jobs: int | None = None,
    fresh: bool = False,
) -> bool:
    """Print a prediction for every file that is named or lies below a named folder; an error for one without audio.

    Args:
        names: files, folders, or `-`: names on standard input, one per line or separated by NUL characters.
        form: `table`, `json` or `csv`.
        top: number of genres to print; None: three in the table, all in JSON. CSV has one column for each.
        timeline: also print the scores of every window.
        jobs: see `batch.predict_files`.
        fresh: ignore cached predictions of folders and lists, and replace them.

    Returns:
        True if there was no error.

    Raises:
        SettingsError: `jobs` below 1, or no standard input.
        BundleError: the bundle does not take audio, or was changed meanwhile.
    """
    require_audio_input(bundle)
    library = STANDARD_INPUT in names or any(os.path.isdir(n) for n in names)  # noqa: PTH112 - it never raises
    use_cache = library and (fresh or not timeline)  # timelines are not cached: for them, all files are classified
    found = list(find_audio_files(_expand_names(names)))
    writer: TableWriter | JsonWriter | CsvWriter
    if form == "json":
        writer = JsonWriter(top, timeline)
    elif form == "csv":
        writer = CsvWriter(bundle.genres, timeline, sets=bundle.decision.least_likely is not None)
    else:
        genres = bundle.genres if bundle.decision.thresholds is None else (*bundle.genres, UNKNOWN)
        writer = TableWriter(genres, [_name(f) for f in found], top or 3, timeline)
    try:
        all_genres = len(bundle.genres) if bundle.decision.least_likely else 0  # at 0 it was reported before
        return write(writer, _predictions(bundle, found, jobs, use_cache, fresh), all_genres=all_genres)
    except KeyboardInterrupt:
        if fresh or not use_cache:  # the same command starts anew
            raise console.NothingToResume from None
        raise


# --- which files ---


def _name(one: Path | DecodeError) -> str:
    return one.path if isinstance(one, DecodeError) else str(one)


def _expand_names(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        if name == STANDARD_INPUT:
            if sys.stdin is None:
                raise SettingsError("- means a list on standard input, and that is closed: name files or folders")
            content = sys.stdin.buffer.read().removeprefix(b"\xef\xbb\xbf")  # the BOM of Windows
            lines = content.split(b"\0") if b"\0" in content else content.splitlines()
            yield from (os.fsdecode(line) for line in lines if line)
        else:
            yield name


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

    with ExitStack() as opened:
        cache = opened.enter_context(_open_cache(fresh)) if use_cache else None
        show_bar = sys.stderr.isatty() and not sys.stdout.isatty()  # else the rows show the progress
        bar = opened.enter_context(console.progress_bar("Listening")) if show_bar else ignore
        yield from predict_files(bundle, files, jobs=jobs, cache=cache, progress=bar)


def _open_cache(fresh: bool) -> PredictionCache:
    from genrelab.predict.cache import open_cache  # late: only a library needs its database

    return open_cache(console.notify, fresh=fresh)


# --- how they are printed ---


class TableWriter:
    """For a person: one line per file, and with `timeline` one more for each window.

    If the genre is `unknown` the best guess follows it; the set of genres that a track may have comes last.
    """

    tail = ""

    def __init__(self, genres: tuple[str, ...], names: Iterable[str], top: int, timeline: bool) -> None:
        self._top, self._timeline = top, timeline
        self._genre = max([_width("genre"), *(_width(printable(g)) for g in genres)])
        others = self._genre + len("  confidence") + 16 * (top - 1)
        room = max(24, shutil.get_terminal_size().columns - others) if sys.stdout.isatty() else MAX_NAME_WIDTH
        self._file = min(room, max([len("00:00.0 to 00:00.0"), *(_width(printable(n)) for n in names)]))
        self.head = f"{_padded('file', self._file)}  {_padded('genre', self._genre)}  confidence\n"

    def row(self, prediction: Prediction) -> str:
        """The lines of one prediction."""
        file = _padded(printable(prediction.path), self._file)
        if prediction.error is not None:
            return f"{file}  ERROR: {printable(prediction.error)}\n"
        lines = [f"{file}  {self._genres(prediction.probabilities, prediction.genre)}"]
        if prediction.genre_set is not None:
            lines[0] += f"  in {{{', '.join(map(printable, prediction.genre_set))}}}"
        for w in prediction.timeline if self._timeline else ():
            span = f"{_clock(w.start_s)} to {_clock(w.end_s)}"
            lines.append(f"{span:>{self._file}}  {self._genres(w.probabilities)}")
        return "".join(f"{line.rstrip()}\n" for line in lines)

    def _genres(self, probabilities: dict[str, float], answer: str | None = None) -> str:
        best = sorted(probabilities.items(), key=lambda item: -item[1])[: self._top]
        (genre, confidence), others = best[0], best[1:]
        if answer == UNKNOWN:
            genre, others = UNKNOWN, best
        also = ", ".join(f"{printable(g)} {p:.0%}" for g, p in others)
        return f"{_padded(printable(genre), self._genre)}  {confidence:>10.0%}  {also}"


class JsonWriter:
    """For programs: one list of the objects of `Prediction.to_json`, one per line."""

    head, tail = "[", "\n]\n"

    def __init__(self, top: int | None, timeline: bool) -> None:
        self._top, self._timeline, self._between = top, timeline, "\n"

    def row(self, prediction: Prediction) -> str:
        """One object, with the separator from the previous one."""
        between, self._between = self._between, ",\n"
        return between + json.dumps(prediction.to_json(timeline=self._timeline, top=self._top))


class CsvWriter:
    """For spreadsheets: one line per file, or with `timeline` one per window; the columns are always the same.

    The genre of a window is its most probable one: the confidence limits apply to whole tracks only.
    """

    tail = ""

    def __init__(self, genres: tuple[str, ...], timeline: bool, *, sets: bool = False) -> None:
        self._genres, self._timeline, self._sets = genres, timeline, sets
        span, within = ("start_s", "end_s") if timeline else (), ("set",) if sets else ()
        about = ("path", *span, "genre", "confidence", *within, "duration_s", "model", "error")
        self.head = _csv_line((*about, *(f"p_{g}" for g in genres)))

    def row(self, prediction: Prediction) -> str:
        """The lines of one prediction."""
        p = prediction
        about = (*(("; ".join(p.genre_set or ()),) if self._sets else ()), p.duration_s, p.model, p.error)
        if not self._timeline:
            return _csv_line((p.path, p.genre, p.confidence, *about, *self._values(p.probabilities)))
        if p.error is not None:
            return _csv_line((p.path, None, None, None, None, *about, *self._values({})))
        lines = []
        for w in p.timeline:
            genre = max(w.probabilities, key=lambda g: w.probabilities[g])
            score = (genre, w.probabilities[genre], *about, *self._values(w.probabilities))
            lines.append(_csv_line((p.path, w.start_s, w.end_s, *score)))
        return "".join(lines)

    def _values(self, probabilities: dict[str, float]) -> Iterator[float | None]:
        return (probabilities.get(g) for g in self._genres)


def write(
    form: TableWriter | JsonWriter | CsvWriter, predictions: Iterator[Prediction], *, all_genres: int = 0
) -> bool:
    """Print each prediction as it comes; the tail is printed whatever happens. True if there was no error.

    Args:
        all_genres: number of the model's genres; if every file's set holds all of them a note says so, unless 0.
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
            console.notify(f"{failed} of {pluralize(done, 'file')} could not be classified")
        if n_full_sets > 1 and n_full_sets == done - failed:
            console.notify(f"all {all_genres} genres are named for every file: this model cannot tell at this coverage")
    return not failed


def _echo(text: str) -> None:
    # Bytes: names that are not valid Unicode are printed unchanged, whatever the terminal's encoding.
    typer.echo(text.encode("utf-8", "surrogateescape"), nl=False)


def _csv_line(values: Iterable[object]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(values)  # quotes only line ends of its own terminator: hence not \n at once
    text = line.getvalue().removesuffix("\r\n") + "\n"
    # A name that is not valid Unicode would make the whole table unreadable to most programs: only here it is escaped.
    return text.encode("utf-8", "backslashreplace").decode()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{minutes:.0f}:{rest:04.1f}"


def _padded(text: str, width: int) -> str:
    return text + " " * max(0, width - _width(text))


def _width(text: str) -> int:
    """Width on a terminal: Chinese, Japanese and Korean characters take two columns, accents none."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
