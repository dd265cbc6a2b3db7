"""The leaderboard: its rows and notes, and its form as CSV, as Markdown and in a terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from genrelab.core.errors import printable

if TYPE_CHECKING:
    from rich.console import Console

COLUMNS = (
    "model", "view", "part", "n", "accuracy", "accuracy_low", "accuracy_high", "balanced_accuracy", "macro_f1", "top3",
    "log_loss", "ece", "train_s", "predict_ms", "size_bytes", "split",
)  # fmt: skip
"""Columns of `leaderboard.csv`."""

HEADERS = (
    "model", "view", "accuracy % [95 %]", "macro F1", "top-3 %", "log loss", "train s", "ms a track", "size",
)  # fmt: skip
"""Headers of the printed tables."""

WARNED_NOTES = {"thin_genre": "thin, with fewer than", "split": "artists are unknown"}
"""Rule of a caution → beginning of the note of the split that is left out beside it, as it repeats the caution."""

WIDE_TERMINAL = 104  # columns of a terminal; in a narrower one the view is printed below the model


@dataclass(frozen=True)
class LeaderboardRow:
    """One model on the leaderboard: the columns of `leaderboard.csv`, then fields that only the text needs."""

    model: str  # as printed, such as `mobilenet_v2 (random initialisation)`
    view: str
    part: str
    n: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    balanced_accuracy: float
    macro_f1: float
    top3: float
    log_loss: float
    ece: float
    train_s: float
    predict_ms: float
    size_bytes: int
    split: str
    folder: str  # in RUN
    above_majority: bool  # is its whole interval above the majority line and above chance?
    notes: tuple[str, ...]

    @property
    def below_baseline(self) -> bool:
        """Is it marked as not above the line? The majority model is the line itself."""
        return not self.above_majority and self.folder != "majority"

    @property
    def cells(self) -> tuple[str, ...]:
        """The row as printed under HEADERS."""
        low, high = f"{100 * self.accuracy_low:.1f}", f"{100 * self.accuracy_high:.1f}"
        accuracy = f"{100 * self.accuracy:.1f} [{low}, {high}]{' *' if self.below_baseline else ''}"
        scores = (f"{self.macro_f1:.3f}", f"{100 * self.top3:.1f}", f"{self.log_loss:.2f}")
        costs = (f"{self.train_s:.1f}", f"{self.predict_ms:.1f}", format_bytes(self.size_bytes))
        return (printable(self.model), self.view, accuracy, *scores, *costs)


@dataclass(frozen=True)
class Leaderboard:
    """Every model of one run, best first, with the facts and cautions that its figures need."""

    dataset: str  # kind of the dataset
    title: str  # name of its folder
    genres: tuple[str, ...]
    part: str  # `test`, or `validation` where there is no test row
    n: int
    no_test: bool
    split: str
    split_digest: str
    split_counts: Mapping[str, int]
    split_notes: tuple[str, ...]
    chance: float
    majority: float
    majority_genre: str
    interval_over: str  # resampling units of the intervals, such as `23 artists`
    macro_over: tuple[str, ...]
    not_measured: tuple[str, ...]
    not_run: tuple[Mapping[str, str], ...]  # `model` and `reason`
    rows: tuple[LeaderboardRow, ...]
    comparisons: tuple[Mapping[str, Any], ...] = ()  # of every pair of models, best first
    winner: Mapping[str, Any] = field(default_factory=lambda: {"folder": None, "sentence": ""})
    cautions: tuple[Mapping[str, Any], ...] = ()  # `rule`, `sentence` and `remedies`
    verdict: str = ""
    to_use: str = ""  # folder of the recommended model; empty where nothing was compared

    @property
    def scored(self) -> str:
        """The scored tracks, as text."""
        why = " (there are no test tracks)" if self.no_test else ""
        return f"n = {self.n:,} {self.part} tracks{why}"

    @property
    def facts(self) -> str:
        """The line above every table."""
        chance, majority = format_percent(self.chance), format_percent(self.majority)
        baselines = f"chance {chance}, majority {majority} (always {self.majority_genre})"
        return f"{self.scored}; {self.split} split; {printable(baselines)}"

    @property
    def judgement(self) -> tuple[str, ...]:
        """The winner and the cautions, one sentence each."""
        first = self.winner["sentence"]
        return (*([first] if first else []), *(f"caution: {c['sentence']}" for c in self.cautions))

    @property
    def lines(self) -> tuple[str, ...]:
        """The notes below the leaderboard, one sentence each."""
        sizes = ", ".join(f"{n:,} {part}" for part, n in self.split_counts.items())
        below = ", ".join(printable(r.model) for r in self.rows if r.below_baseline)
        averaged = f"{len(self.macro_over)} genres: {', '.join(map(printable, self.macro_over))}"
        absent = ", ".join(map(printable, self.not_measured))
        line = "chance line" if self.chance > self.majority else "majority line"
        models_by_note: dict[str, list[str]] = {}
        for row in self.rows:
            for note in row.notes:
                models_by_note.setdefault(note, []).append(row.model)
        rules = {caution["rule"] for caution in self.cautions}
        cautioned = tuple(note for rule, note in WARNED_NOTES.items() if rule in rules)
        return (
            *([f"* not above the {line}, which lies in or over the interval: {below}"] if below else []),
            *(f"{', '.join(map(printable, models))}: {note}" for note, models in models_by_note.items()),
            f"95 % intervals over {self.interval_over}; macro-F1 averages {averaged}",
            *([f"not measured (no {self.part} tracks): {absent}"] if absent else []),
            f"{self.split} split {self.split_digest[:12]}: {sizes} tracks",
            *(f"{self.split} split: {note}" for note in self.split_notes if not note.startswith(cautioned)),
            *(f"not run: {printable(m['model'])}: {m['reason']}" for m in self.not_run),
        )


def format_percent(fraction: float) -> str:
    """A fraction as it is printed: `41.2 %`."""
    return f"{100 * fraction:.1f} %"


def format_bytes(n_bytes: float) -> str:
    """A number of bytes as it is printed: `8.9 MB`."""
    for unit in ("B", "kB", "MB"):
        if n_bytes < 999.5:
            return f"{n_bytes:.0f} {unit}" if unit == "B" or n_bytes >= 10 else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} GB"


def as_csv(board: Leaderboard) -> str:
    """`leaderboard.csv`: one row per model, best first."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([getattr(row, name) for name in COLUMNS] for row in board.rows)
    return out.getvalue()


def as_markdown(board: Leaderboard) -> str:
    """`leaderboard.md`: the printed table, its facts and its notes."""
    cells = [HEADERS, ("---", "---", *["---:"] * (len(HEADERS) - 2)), *(row.cells for row in board.rows)]
    table = ["| " + " | ".join(map(_escape_markdown, line)) + " |" for line in cells]
    notes = [f"- {_escape_markdown(line)}" for line in (*board.judgement, *board.lines)]
    title = f"**{_escape_markdown(printable(board.title))}**: {_escape_markdown(board.facts)}"
    return "\n".join([title, "", *table, "", *notes, ""])


def _escape_markdown(words: str) -> str:
    return "".join(f"\\{c}" if c in "\\|*_`[]<>" else c for c in words)


def print_leaderboard(board: Leaderboard, console: Console) -> None:
    """Print the leaderboard with its facts, notes and the models that did not run."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    wide = console.width >= WIDE_TERMINAL
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1) if wide else 0, pad_edge=False)
    for name in HEADERS if wide else HEADERS[:1] + HEADERS[2:]:
        words = name in HEADERS[:2]
        header = name.replace(" [", "\n[") if "[" in name else name.replace(" ", "\n", 1)
        table.add_column(header, justify="left" if words else "right", overflow="fold", no_wrap=not words)
    for row in board.rows:
        model, view, *figures = row.cells
        table.add_row(*map(Text, [model, view, *figures] if wide else [f"{model}\n  {view}", *figures]))
    console.print(Text(f"{printable(board.title)}: {board.facts}", style="bold"))
    console.print(table)
    for line in (*board.judgement, *board.lines):
        console.print(Text(line))
