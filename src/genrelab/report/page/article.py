"""The page of `genrelab article`: the table first, then a picture of it, what differs, and links to both runs."""

from __future__ import annotations

from genrelab.core.errors import printable
from genrelab.core.text import pluralize
from genrelab.report.article_table import KEPT_TITLE, ArticleRow, ArticleTable
from genrelab.report.page import charts_lines
from genrelab.report.page.blocks import Block, Figure, Fold, Section, Table, render
from genrelab.report.page.charts import Chart

PAGES = (
    ("article/report.html", "the run with the article's split"),
    ("honest/report.html", "the run with the {} split"),
)
"""Address of the page of each run, relative to this one, and its name."""


def render_article(table: ArticleTable, eyebrow: str) -> str:
    """`report.html` of `genrelab article`.

    Args:
        eyebrow: facts about the data, on one line.
    """
    return render(
        "sections.html",
        what="article",
        title=printable(table.title),
        eyebrow=printable(eyebrow),
        verdict=table.sentence,
        pages=[(href, name.format(table.split)) for href, name in PAGES],
        sections=[
            _table_section(table),
            Section("differs", "What differs", [Fold(KEPT_TITLE, (), table.kept_better)], table.differs, "Differences"),
        ],
    )


def _table_section(table: ArticleTable) -> Section:
    rows = [row.cells for row in table.rows]
    blocks: list[Block] = [Table(table.caption, table.headers, rows, sortable=True, wide=True, cards=True)]
    missing = ", ".join(printable(m["model"]) for m in table.not_run)
    blocks += [Fold(f"Not trained: {missing}", (), table.untrained)] if missing else []
    blocks += [_picture(table)]
    blocks += [Fold("Each model in words", (), table.sentences)] if table.sentences else []
    return Section("article", "The article's accuracy and ours", blocks, (), "Table")


def _picture(table: ArticleTable) -> Figure:
    values = [value for row in table.rows for value in _intervals(row, table.split)]
    chart = Chart(
        charts_lines.grouped_intervals(values, axis="accuracy, %"),
        f"Accuracy of {pluralize(table.rows, 'model')} with the article's split and with the {table.split} split",
    )
    note = f"{table.scored[0]} with the article's split, {table.scored[1]} with the {table.split} split."
    return Figure("Both splits, with 95 % intervals", chart, note, wide=True)


def _intervals(row: ArticleRow, split: str) -> list[dict[str, object]]:
    scores = ((f"{split} split", row.honest), ("the article's split", row.article))
    return [
        {"name": printable(row.display), "series": name}
        | {k: round(100 * v, 3) for k, v in {"value": s.accuracy, "low": s.low, "high": s.high}.items()}
        for name, s in scores
        if s is not None
    ]
