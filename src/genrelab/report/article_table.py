"""The article's figures beside two runs with its models: one with its split, one with an honest split.

Made of the `leaderboard.json` of both runs; the table, its sentences, and its form as JSON, CSV and Markdown.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from genrelab.core.errors import printable
from genrelab.core.hyperparameters import KEPT_BETTER
from genrelab.core.text import pluralize
from genrelab.evaluation.comparison import BASELINE
from genrelab.evaluation.intervals import independent_difference_interval
from genrelab.evaluation.percent import ABSENT, format_percent, points, with_interval
from genrelab.report.leaderboard import escape_markdown

Json = Mapping[str, Any]

ARTICLE = {
    "gaussian_nb": "34",
    "knn": "45",
    "svm": "47.75",
    "svm_poly": "47.75",
    "mlp": "45.5",
    "mobilenet_v2": "about 40",
}
"""Accuracy in % on FMA small as stated by Hermez et al. 2020: in a comment in a notebook, the last in the text."""

KEPT_TITLE = "Knowingly better than in the article, or different"

CSV_COLUMNS = (
    "model", "article_percent", "article_split", "article_split_low", "article_split_high", "article_split_n",
    "honest_split", "honest_split_low", "honest_split_high", "honest_split_n", "difference", "difference_low",
    "difference_high",
)  # fmt: skip


@dataclass(frozen=True)
class ModelScore:
    """Accuracy of a model on one set of tracks, with its 95 % interval over artists; shares, not percent."""

    accuracy: float
    low: float
    high: float
    n: int

    @property
    def cell(self) -> str:
        """`47.6 [41.0, 54.2]`."""
        return with_interval(self.accuracy, self.low, self.high)


@dataclass(frozen=True)
class Worth:
    """What the article's split adds to an accuracy: a difference of shares with its 95 % interval."""

    difference: float
    low: float
    high: float

    @property
    def text(self) -> str:
        """`+5.0 [+1.2, +8.8]`, in percentage points."""
        return f"{points(self.difference)} [{points(self.low)}, {points(self.high)}]"

    @property
    def meaning(self) -> str:
        """The difference in words."""
        if self.low > 0:
            return "the article's split makes it look better"
        return "it is better with the honest split" if self.high < 0 else "not significant"


@dataclass(frozen=True)
class ArticleRow:
    """One model.

    Attributes:
        model, display: its name, and its name with remarks as printed.
        stated: the article's accuracy in %, None where it states none.
        article, honest: scores with the article's split and with the honest one; None if it was not trained there.
    """

    model: str
    display: str
    stated: str | None
    article: ModelScore | None
    honest: ModelScore | None

    @property
    def worth(self) -> Worth | None:
        """What the article's split adds; None unless the model has both scores."""
        a, b = self.article, self.honest
        if a is None or b is None:
            return None
        low, high = independent_difference_interval((a.accuracy, a.low, a.high), (b.accuracy, b.low, b.high))
        return Worth(a.accuracy - b.accuracy, low, high)

    @property
    def cells(self) -> tuple[str, ...]:
        """The row as printed under `ArticleTable.headers`."""
        scores = (ABSENT if score is None else score.cell for score in (self.article, self.honest))
        return (printable(self.display), self.stated or ABSENT, *scores, self.worth.text if self.worth else ABSENT)


@dataclass(frozen=True)
class ArticleTable:
    """The table with its sentences; the best model with the honest split is first.

    Attributes:
        title: name of the folder or table of the tracks.
        headers: of `ArticleRow.cells`.
        sentence: the conclusion.
        caption: the protocol, where it is not the article's.
        split: the honest split.
        scored: the tracks scored with the article's split and with the honest one, as text.
        not_run: models that were not trained: `model`, `reason`.
        differs: what differs from the article, one sentence each.
        kept_better: what genrelab knowingly does better than the article, or differently.
    """

    title: str
    rows: tuple[ArticleRow, ...]
    sentence: str
    caption: str
    split: str
    scored: tuple[str, str]
    not_run: tuple[Mapping[str, str], ...]
    differs: tuple[str, ...] = ()
    kept_better: tuple[str, ...] = ()

    @property
    def headers(self) -> tuple[str, ...]:
        """Headers of the printed table."""
        return (
            "model",
            "article, FMA small %",
            f"article's split, % of {self.scored[0]}",
            f"{self.split} split, % of {self.scored[1]}",
            "difference, points",
        )

    @property
    def sentences(self) -> tuple[str, ...]:
        """The difference of each model in words."""
        return tuple(s for row in self.rows if (s := row_sentence(row, self.split)))

    @property
    def untrained(self) -> tuple[str, ...]:
        """Each model that was not trained, and why."""
        named = ((m["model"], m["reason"]) for m in self.not_run)
        return tuple(printable(why if why.startswith(model) else f"{model}: {why}") for model, why in named)

    def to_json(self) -> dict[str, Any]:
        """`article.json`; accuracies and differences are shares."""
        models = [
            {
                "model": row.model,
                "display": row.display,
                "stated_percent": row.stated,
                "article_split": asdict(row.article) if row.article else None,
                "honest_split": asdict(row.honest) if row.honest else None,
                "difference": asdict(row.worth) if row.worth else None,
                "sentence": row_sentence(row, self.split),
            }
            for row in self.rows
        ]
        return {
            "title": self.title, "sentence": self.sentence, "caption": self.caption, "split": self.split,
            "scored": list(self.scored), "models": models, "not_run": list(map(dict, self.not_run)),
            "differs": list(self.differs), "kept_better": list(self.kept_better),
        }  # fmt: skip


def make_table(article: Json, honest: Json, *, caption: str, differs: Sequence[str] = ()) -> ArticleTable:
    """The table of two runs.

    Args:
        article, honest: `leaderboard.json` of the run with the article's split and of that with an honest one.
    """
    by_model = [{row["folder"]: row for row in board["rows"]} for board in (article, honest)]
    rows = [
        _row(name, *(board.get(name) for board in by_model)) for name in dict.fromkeys((*by_model[1], *by_model[0]))
    ]
    rows.sort(key=lambda row: -(row.honest.accuracy if row.honest else -1.0))
    split, shown, not_run = str(honest["split"]), {row.model for row in rows}, dict[str, Mapping[str, str]]()
    for board, name in ((article, "the article's split"), (honest, f"the {split} split")):
        for m in board["not_run"]:
            where = f" (with {name})" if m["model"] in shown else ""  # it was trained with the other one
            not_run[m["model"]] = {**m, "reason": f"{m['reason']}{where}"}
    scored = (_scored(article), _scored(honest))
    return ArticleTable(
        title=str(honest["title"]),
        rows=tuple(rows),
        sentence=_conclusion(rows, honest["conclusion"], split, scored),
        caption=caption,
        split=split,
        scored=scored,
        not_run=tuple(not_run.values()),
        differs=tuple(differs),
        kept_better=tuple(sentence.rstrip(".") for sentence in KEPT_BETTER),
    )


def _row(name: str, article: Json | None, honest: Json | None) -> ArticleRow:
    shown = honest or article
    assert shown is not None
    scores = (_score(row) if row else None for row in (article, honest))
    return ArticleRow(name, str(shown["model"]), ARTICLE.get(name), *scores)


def _score(row: Json) -> ModelScore:
    return ModelScore(row["accuracy"], row["accuracy_low"], row["accuracy_high"], row["n"])


def _scored(board: Json) -> str:
    return pluralize(board["n"], f"{board['part']} track")


def row_sentence(row: ArticleRow, split: str) -> str:
    """The scores of a model and their difference in words; empty unless it has both."""
    if row.article is None or row.honest is None or row.worth is None:
        return ""
    stated = f" (the article: {row.stated} %)" if row.stated else ""
    scores = f"{format_percent(row.article.accuracy)} with the article's split{stated}"
    scores += f", {format_percent(row.honest.accuracy)} with the {split} split"
    return f"{printable(row.display)}: {scores}: {row.worth.text} points, {row.worth.meaning}"


def _conclusion(rows: Sequence[ArticleRow], verdict: Json, split: str, scored: tuple[str, str]) -> str:
    """What both splits give for the model that is first with the honest one, and whether it really leads."""
    first = next((row for row in rows if row.model != BASELINE and row.honest), None)
    if verdict["kind"] == "too_few" or first is None or first.article is None or first.honest is None:
        return f"With the {split} split: {verdict['sentence']}"
    worth, hedge = first.worth, _hedge(verdict, split)
    assert worth is not None  # it has both scores
    return (
        f"{printable(first.display)} is right on {format_percent(first.article.accuracy)} of {scored[0]} with the "
        f"article's split and {format_percent(first.honest.accuracy)} of {scored[1]} with the {split} split: "
        f"a difference of {worth.text} points, {_weight(worth)}{f'; {hedge}' if hedge else ''}."
    )


def _weight(worth: Worth) -> str:
    if worth.low > 0:
        return "so the article's split makes it look better than it is"
    return "so the article's split is not easier here" if worth.high < 0 else "which may be chance"


def _hedge(verdict: Json, split: str) -> str:
    """Whether the honest figures hold, and whether the first model is better; empty where there is no other."""
    sentence = str(verdict["sentence"]).rstrip(".")
    if verdict["kind"] == "leaks":
        return f"the {split} split leaks, too: {sentence.partition(': ')[2]}"
    if verdict["kind"] == "too_good":
        return f"but with the {split} split {sentence[:1].lower()}{sentence[1:]}"
    if verdict["kind"] == "not_above_baseline":
        return f"with the {split} split no model is significantly better than the baseline"
    if verdict["kind"] == "best":
        return f"with the {split} split it is significantly better than all others"
    n = len(verdict["best"]) + len(verdict["similar"]) - 1
    verb = "is" if n == 1 else "are"
    return f"with the {split} split {pluralize(n, 'other model')} {verb} not significantly worse" if n > 0 else ""


# === Files ===


def as_csv(table: ArticleTable) -> str:
    """`article.csv`: one row per model; accuracies and differences as shares, empty where there is none."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for row in table.rows:
        scores = [
            value
            for s in (row.article, row.honest)
            for value in ((s.accuracy, s.low, s.high, s.n) if s else ("", "", "", ""))
        ]
        worth = (row.worth.difference, row.worth.low, row.worth.high) if row.worth else ("", "", "")
        shares = [round(v, 6) if isinstance(v, float) else v for v in (*scores, *worth)]
        writer.writerow([row.model, row.stated or "", *shares])
    return out.getvalue()


def as_markdown(table: ArticleTable) -> str:
    """`article.md`: the conclusion, the table, what was not trained, and what differs."""
    cells = [table.headers, ("---", *["---:"] * (len(table.headers) - 1)), *(row.cells for row in table.rows)]
    lines = ["| " + " | ".join(map(escape_markdown, line)) + " |" for line in cells]
    groups = {"Not trained": table.untrained, "What differs": table.differs, KEPT_TITLE: table.kept_better}
    notes = []
    for title, sentences in groups.items():
        notes += [f"{title}:", "", *(f"- {escape_markdown(s)}" for s in sentences), ""] if sentences else []
    title = f"{escape_markdown(printable(table.title))}: {escape_markdown(table.caption)}"
    return "\n".join([f"**{escape_markdown(table.sentence)}**", "", title, "", *lines, "", *notes])
