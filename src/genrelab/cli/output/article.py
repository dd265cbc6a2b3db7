"""Prints the table of `genrelab article`."""

from __future__ import annotations

import shlex
import sys

import typer

from genrelab.core.errors import printable
from genrelab.evaluation.percent import ABSENT
from genrelab.report.article_table import KEPT_TITLE, ArticleTable

WIDE_TERMINAL = 116
"""Columns of a terminal; in a narrower one the article's figure is printed below the model's name."""


def print_article(table: ArticleTable, out: str) -> None:
    """The conclusion, the table, what was not trained, what differs, and the path of the page."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else 160)
    wide = console.width >= WIDE_TERMINAL
    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 1) if wide else 0, pad_edge=False)
    line_ends = {", ": ",\n"} if wide else {", ": ",\n", "% of ": "% of\n", " tracks": "\ntracks"}
    for n, header in enumerate(table.headers):
        if wide or n != 1:
            for at, end in line_ends.items():
                header = header.replace(at, end)
            shown.add_column(header, justify="right" if n else "left", overflow="fold", no_wrap=n > 1)
    for model, stated, *figures in (row.cells for row in table.rows):
        below = "" if stated == ABSENT else f"\n  article: {stated}"
        shown.add_row(*map(Text, [model, stated, *figures] if wide else [f"{model}{below}", *figures]))
    console.print(Text(table.sentence, style="bold"))
    console.print(Text(f"{printable(table.title)}: {table.caption}"))
    console.print(shown)
    lists = {"Not trained": table.untrained, "What differs": table.differs, KEPT_TITLE: table.kept_better}
    for title, sentences in lists.items():
        if sentences:
            console.print(Text(f"{title}:", style="bold"))
        for sentence in sentences:
            console.print(Text(f"- {sentence}"))
    page, text = (shlex.quote("/".join((out.rstrip("/"), name))) for name in ("report.html", "article.md"))
    typer.echo(f"\nPage:  {page}\nTable: {text}")
