"""The leaderboard: its rows and notes, and its form as CSV, as Markdown and in a terminal."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genrelab.core.errors import printable
from genrelab.core.text import pluralize
from genrelab.evaluation.comparison import BASELINE
from genrelab.evaluation.percent import format_number, format_percent, percent, with_interval
from genrelab.evaluation.verdict import MIN_RANKED_TRACKS, Verdict

if TYPE_CHECKING:
    from rich.console import Console

COLUMNS = (
    "model", "view", "part", "n", "accuracy", "accuracy_low", "accuracy_high", "balanced_accuracy", "macro_f1", "top3",
    "log_loss", "ece", "train_s", "predict_ms", "size_bytes", "split",
)  # fmt: skip
"""Columns of `leaderboard.csv`."""

HEADERS = (
    "model", "view", "accuracy % [95 % interval]", "macro F1", "top-3 %", "log loss", "training, s", "ms per track",
    "size",
)  # fmt: skip
"""Headers of the printed tables."""

CAUTIONED_NOTES = {
    "thin_genre": re.compile(r"fewer than \d+ \w+ tracks"),
    "split": re.compile(r"artists are unknown", re.IGNORECASE),
}
"""Rule of a caution → the note of the split that is left out beside it, as it repeats the caution."""

BELOW_BASELINE = "not significantly better than the majority baseline (or chance, if that is higher)"

ABSENT_GENRES = re.compile(r"^(not measured|no \w+ tracks: )")
"""The note of a split on genres without test tracks, which the leaderboard names itself."""

MAX_CAUTIONS = 3  # shown before a reader unfolds the others

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
        """Is it marked as not better than the baseline? The baseline itself and a row of too few tracks are not."""
        return not self.above_majority and self.folder != BASELINE and self.n >= MIN_RANKED_TRACKS

    @property
    def cells(self) -> tuple[str, ...]:
        """The row as printed under HEADERS."""
        accuracy = with_interval(self.accuracy, self.accuracy_low, self.accuracy_high)
        scores = (format_number(self.macro_f1, 3), percent(self.top3), format_number(self.log_loss, 2))
        costs = (format_number(self.train_s), format_number(self.predict_ms), format_bytes(self.size_bytes))
        star = " *" if self.below_baseline else ""
        return (printable(self.model), self.view, f"{accuracy}{star}", *scores, *costs)


UNDECIDED = Verdict("undecided", "", "", 0)


@dataclass(frozen=True)
class Leaderboard:
    """Every model of one run with the verdict and the facts and cautions that its figures need.

    The best model is first; fewer than `MIN_RANKED_TRACKS` test tracks rank nothing, so then the order is alphabetical.
    """

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
    cautions: tuple[Mapping[str, Any], ...] = ()  # fields of `warnings.Caution`
    conclusion: Verdict = UNDECIDED

    def to_json(self) -> dict[str, Any]:
        """`leaderboard.json`; `winner`, `verdict` and `to_use` repeat the conclusion under the names of version 0.2."""
        found = self.conclusion
        winner = {"folder": found.best[0] if found.kind == "best" else None, "sentence": found.sentence}
        older = {"winner": winner, "verdict": found.sentence, "to_use": found.recommended or ""}
        return dataclasses.asdict(self) | older

    @property
    def scored(self) -> str:
        """The classified tracks, as text."""
        return f"{pluralize(self.n, f'{self.part} track')}{' (there is no test set)' if self.no_test else ''}"

    @property
    def facts(self) -> str:
        """The line above every table."""
        baselines = "; ".join(f"{name} {format_percent(share)}" for name, share in self.baselines.items())
        return f"{self.scored}; {self.split} split; {baselines}"

    @property
    def baselines(self) -> dict[str, float]:
        """Accuracy of each baseline, by its name in texts and charts."""
        return {"chance": self.chance, f"always guessing {printable(self.majority_genre)}": self.majority}

    @property
    def charted(self) -> list[LeaderboardRow]:
        """The rows of the chart, in which a line shows the baseline."""
        return [row for row in self.rows if row.folder != BASELINE] or list(self.rows)

    @property
    def legend(self) -> tuple[str, ...]:
        """What the table alone does not say: its order, if that is no ranking, and the meaning of a star."""
        star = f"* {BELOW_BASELINE}" if any(r.below_baseline for r in self.rows) else ""
        return tuple(filter(None, (self.conclusion.order, star)))

    @property
    def lines(self) -> tuple[str, ...]:
        """The notes on the leaderboard, one sentence each."""
        sizes = ", ".join(f"{n:,} {part}" for part, n in self.split_counts.items() if n)
        names, absent = (", ".join(map(printable, genres)) for genres in (self.macro_over, self.not_measured))
        averaged = f": {names}" if absent else ""
        by_note: dict[str, list[str]] = {}
        for row in self.rows:
            for note in row.notes:
                by_note.setdefault(note, []).append(printable(row.model))
        rules = {caution["rule"] for caution in self.cautions}
        repeated = [ABSENT_GENRES, *(pattern for rule, pattern in CAUTIONED_NOTES.items() if rule in rules)]
        notes = [note for note in self.split_notes if not any(pattern.search(note) for pattern in repeated)]
        unit = self.interval_over.split()[-1].removesuffix("s")
        clustered = [f"95 % intervals allow for tracks of one {unit} being alike ({self.interval_over})"]
        return (
            *(f"{', '.join(models)}: {note}" for note, models in by_note.items()),
            *(clustered if unit != "track" else []),
            f"Macro F1 is the mean F1 of {pluralize(self.macro_over, 'genre')}{averaged}",
            *([f"No {self.part} tracks of {absent}"] if absent else []),
            f"Split: {self.split} ({self.split_digest[:12]}), {sizes} tracks",
            *(f"Split: {note}" for note in notes),
            *(f"Not run: {printable(m['model'])}: {m['reason']}" for m in self.not_run),
        )


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
    """`leaderboard.md`: the verdict, the printed table, cautions and notes."""
    cells = [HEADERS, ("---", "---", *["---:"] * (len(HEADERS) - 2)), *(row.cells for row in board.rows)]
    table = ["| " + " | ".join(map(escape_markdown, line)) + " |" for line in cells]
    cautions = [f"Caution: {c['sentence']}" + (f". {c['details']}" if c["details"] else "") for c in board.cautions]
    notes = [escape_markdown(line) for line in (*board.legend, *cautions, *board.lines)]
    title = f"{escape_markdown(printable(board.title))}: {escape_markdown(board.facts)}"
    verdict = f"**{escape_markdown(board.conclusion.sentence)}**"
    return "\n".join([verdict, "", title, "", *table, "", *(f"- {note}" for note in notes), ""])


def escape_markdown(words: str) -> str:
    """The text with the characters escaped that Markdown would interpret."""
    return "".join(f"\\{c}" if c in "\\|*_`[]<>" else c for c in words)


def print_leaderboard(board: Leaderboard, console: Console, *, verbose: bool = False) -> None:
    """Print the verdict, the table and the most serious cautions; with `verbose` all of them, and the notes."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    wide = console.width >= WIDE_TERMINAL
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1) if wide else 0, pad_edge=False)
    for name in HEADERS if wide else HEADERS[:1] + HEADERS[2:]:
        words = name in HEADERS[:2]
        header = name.replace(" [", "\n[") if "[" in name else name.replace(" ", "\n")
        table.add_column(header, justify="left" if words else "right", overflow="fold", no_wrap=not words)
    for row in board.rows:
        model, view, *figures = row.cells
        table.add_row(*map(Text, [model, view, *figures] if wide else [f"{model}\n  {view}", *figures]))
    console.print(Text(board.conclusion.sentence, style="bold"))
    console.print(Text(f"{printable(board.title)}: {board.facts}"))
    console.print(table)
    shown = board.cautions[: None if verbose else MAX_CAUTIONS]
    for line in (*board.legend, *(f"Caution: {c['sentence']}" for c in shown), *(board.lines if verbose else ())):
        console.print(Text(line))
    if not verbose:
        left = len(board.cautions) - len(shown) + len(board.lines)
        console.print(Text(f"{pluralize(left, 'more note')} in leaderboard.md"))
