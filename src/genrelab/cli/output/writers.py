"""How predictions are printed: as a table for a person, JSON for programs, CSV for spreadsheets."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genrelab.core.errors import printable
from genrelab.core.text import percent
from genrelab.features.tags import TAGS
from genrelab.predict.prediction import DESCRIPTION_FIELDS, NOT_MUSIC, UNKNOWN, UNSURE, Prediction

if TYPE_CHECKING:
    from genrelab.features.description import MusicDescription
    from genrelab.identity.genre_map import GenreMap

MAX_NAME_WIDTH = 100
"""Maximum width of the file column without a terminal; a longer name shifts its row to the right."""

MissingSupport = Callable[[str, str], str]
"""Called with a genre and its printed name; returns why its confidence is too low."""

MAX_TAGS = 5
"""Number of tags in the table."""

DESCRIPTION_HEAD, DESCRIPTION_WIDTH = "tempo, key (confidence)", len("126 BPM (100 %), C# minor (100 %)")
"""Column of the table with `describe`."""


@dataclass(frozen=True)
class Shown:
    """What is printed of each prediction.

    Attributes:
        form: `table`, `json` or `csv`.
        top: number of genres to print; None: three in the table, all in JSON. CSV has one column for each.
        timeline: also print the scores of every window.
        tags: also print the descriptive tags.
        genre_map: the user's names of the genres.
        describe: also print tempo and key.
    """

    form: str = "table"
    top: int | None = None
    timeline: bool = False
    tags: bool = False
    genre_map: GenreMap | None = None
    describe: bool = False


class TableWriter:
    """For a person: one line per file, and with `timeline` one more for each window.

    An `unknown` genre is followed by the reason or the best guess; the set of genres that a track may have comes last,
    with the reason why an unsure genre does not count. Notes on the audio have their own lines.

    Args:
        missing: gives that reason.
    """

    tail = ""

    def __init__(
        self, genres: tuple[str, ...], names: Iterable[str], shown: Shown, missing: MissingSupport | None = None
    ) -> None:
        self._top, self._shown, self._missing = shown.top or 3, shown, missing
        self._genre = max([text_width("genre"), *(text_width(self._named(g)) for g in (*genres, UNKNOWN))])
        self._description = f"  {DESCRIPTION_HEAD:{DESCRIPTION_WIDTH}}" if shown.describe else ""
        others = self._genre + len("  confidence") + len(self._description) + 16 * (self._top - 1)
        room = max(24, shutil.get_terminal_size().columns - others) if sys.stdout.isatty() else MAX_NAME_WIDTH
        self._file = min(room, max([len("00:00.0 to 00:00.0"), *(text_width(printable(n)) for n in names)]))
        head = f"{padded('file', self._file)}  {padded('genre', self._genre)}  confidence{self._description}"
        self.head = f"{head.rstrip()}\n"

    def row(self, prediction: Prediction) -> str:
        """The lines of one prediction."""
        file = padded(printable(prediction.path), self._file)
        if prediction.error is not None:
            return f"{file}  FAILED: {printable(prediction.error)}\n"
        if prediction.unknown_because == NOT_MUSIC:
            described = self._described(prediction.description)
            lines = [f"{file}  {padded(UNKNOWN, self._genre)}            {described}  does not sound like music"]
        else:
            described = self._described(prediction.description)
            lines = [f"{file}  {self._genres(prediction.probabilities, prediction.genre, described)}"]
        if prediction.genre_set is not None:
            lines[0] += f"  in {{{', '.join(map(printable, prediction.genre_set))}}}"
        if prediction.unknown_because == UNSURE and self._missing is not None and prediction.guess is not None:
            lines[0] += f"  ({self._missing(prediction.guess, self._name(prediction.guess))})"
        notes = prediction.notes_with_description() if self._shown.describe else prediction.notes
        if self._shown.tags and prediction.tags is not None:
            best = sorted(prediction.tags.items(), key=lambda item: -item[1])[:MAX_TAGS]
            lines.append(f"{'tags:':>{self._file}}  {', '.join(f'{name} {percent(p)}' for name, p in best)}")
        lines += [f"{'note:':>{self._file}}  {printable(note)}" for note in notes]
        for w in prediction.timeline if self._shown.timeline else ():
            span = f"{_clock(w.start_s)} to {_clock(w.end_s)}"
            lines.append(f"{span:>{self._file}}  {self._genres(w.probabilities, None, self._described(None))}")
        return "".join(f"{line.rstrip()}\n" for line in lines)

    def _described(self, found: MusicDescription | None) -> str:
        """The column of tempo and key, with the space before it; "" without `describe`."""
        if not self._description:
            return ""
        return f"  {_tempo_and_key(found) if found is not None else '':{DESCRIPTION_WIDTH}}"

    def _genres(self, probabilities: dict[str, float], answer: str | None, described: str) -> str:
        best = sorted(probabilities.items(), key=lambda item: -item[1])[: self._top]
        genre, confidence, others = best[0][0], percent(best[0][1]), best[1:]
        if answer == UNKNOWN:  # the confidence is that of the best guess, not of this answer
            genre, confidence, others = UNKNOWN, "", best
        also = ", ".join(f"{self._named(g)} {percent(p)}" for g, p in others)
        return f"{padded(self._named(genre), self._genre)}  {confidence:>10}{described}  {also}"

    def _named(self, genre: str) -> str:
        """The user's name of the genre."""
        if self._shown.genre_map is None or genre == UNKNOWN:
            return printable(genre)
        return self._name(genre) if self._shown.genre_map([genre]) else f"({printable(genre)}: left out)"

    def _name(self, genre: str) -> str:
        """The user's name of the genre, or the model's."""
        genre_map = self._shown.genre_map
        return printable((" + ".join(genre_map([genre])) if genre_map is not None else "") or genre)


class JsonWriter:
    """For programs: one list of the objects of `Prediction.to_json`, one per line."""

    head, tail = "[", "\n]\n"

    def __init__(self, shown: Shown) -> None:
        self._shown, self._between = shown, "\n"

    def row(self, prediction: Prediction) -> str:
        """One object, with the separator from the previous one."""
        between, self._between = self._between, ",\n"
        shown = self._shown
        found = prediction.to_json(timeline=shown.timeline, top=shown.top, tags=shown.tags, describe=shown.describe)
        if shown.genre_map is not None:
            named = [] if prediction.genre in (None, UNKNOWN) else [str(prediction.genre)]
            found["genres"] = shown.genre_map(named)
        return between + json.dumps(found)


SAME_COLUMNS = ("path", "unknown_because", "duration_s", "model", "error")
"""Columns of CSV with the attribute of `Prediction` of the same name."""


class CsvWriter:
    """For spreadsheets: one line per file, or with `timeline` one per window; the same options give the same columns.

    The genre of a window is its most probable one: the confidence limits apply to whole tracks only. The last column is
    notes, separated by `; `.
    """

    tail = ""

    def __init__(self, genres: tuple[str, ...], shown: Shown, *, sets: bool = False) -> None:
        self._timeline, self._map, self._describe = shown.timeline, shown.genre_map, shown.describe
        self._columns = [
            "path", *(("start_s", "end_s") if shown.timeline else ()),
            "genre", *(("genres",) if shown.genre_map else ()), "confidence",
            *(("set",) if sets else ()), "unknown_because", "duration_s", "model", "error",
            *(DESCRIPTION_FIELDS if shown.describe else ()),
            *(f"p_{g}" for g in genres), *(f"tag_{t}" for t in TAGS if shown.tags), "notes",
        ]  # fmt: skip
        self.head = _csv_line(self._columns)

    def row(self, prediction: Prediction) -> str:
        """The lines of one prediction."""
        p = prediction
        about: dict[str, object] = {name: getattr(p, name) for name in SAME_COLUMNS}
        about |= {
            "set": "; ".join(p.genre_set or ()),
            "notes": "; ".join(p.notes_with_description() if self._describe else p.notes),
        }
        about |= {} if p.description is None else p.description.to_json()
        about |= {f"tag_{tag}": probability for tag, probability in (p.tags or {}).items()}
        if not self._timeline:
            return self._line(about, p.genre, p.confidence, p.probabilities)
        if p.error is not None:
            return self._line(about, None, None, {})
        lines = []
        for w in p.timeline:
            genre = max(w.probabilities, key=lambda g: w.probabilities[g])
            span = {"start_s": w.start_s, "end_s": w.end_s}
            lines.append(self._line(about | span, genre, w.probabilities[genre], w.probabilities))
        return "".join(lines)

    def _line(
        self, about: dict[str, object], genre: str | None, confidence: float | None, probabilities: dict[str, float]
    ) -> str:
        """One line; `genres` are the user's names of the genre, separated by `; `."""
        cells = about | {"genre": genre, "confidence": confidence}
        if self._map is not None and genre not in (None, UNKNOWN):
            cells["genres"] = "; ".join(self._map([str(genre)]))
        cells |= {f"p_{g}": p for g, p in probabilities.items()}
        return _csv_line(cells.get(name) for name in self._columns)


def _csv_line(values: Iterable[object]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(values)  # quotes only line ends of its own terminator: hence not \n at once
    text = line.getvalue().removesuffix("\r\n") + "\n"
    # A name that is not valid Unicode would make the table unreadable to most programs: it is escaped only here.
    return text.encode("utf-8", "backslashreplace").decode()


def _tempo_and_key(found: MusicDescription) -> str:
    """`126 BPM (92 %), A minor (80 %)`."""
    if found.problem is not None:
        return "tempo and key not found"
    tempo, key = "no clear tempo", "no clear key"
    if found.tempo_bpm is not None:
        tempo = f"{found.tempo_bpm:.0f} BPM ({percent(found.tempo_confidence)})"
    if found.key is not None:
        key = f"{found.key} ({percent(found.key_confidence)})"
    return f"{tempo}, {key}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{minutes:.0f}:{rest:04.1f}"


def padded(text: str, width: int) -> str:
    """`text` with spaces up to a width on a terminal."""
    return text + " " * max(0, width - text_width(text))


def text_width(text: str) -> int:
    """Width on a terminal: Chinese, Japanese and Korean characters take two columns, accents none."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
