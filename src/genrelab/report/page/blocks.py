"""Building blocks of a page, and rendering them to one HTML file that opens without a network.

A page is made of sections, a section of sentences and blocks; a block is a figure, a table, a list of tracks with
players, or a fold of such blocks. The templates know these classes and nothing of models or studies.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, ClassVar

from genrelab.evaluation.percent import format_percent
from genrelab.report.page.charts import Chart

if TYPE_CHECKING:
    from markupsafe import Markup

SCRIPTS = ("vendor/vega.min.js", "vendor/vega-lite.min.js", "vendor/vega-embed.min.js", "page.js")


@dataclass(frozen=True)
class Table:
    """Cells as they are printed.

    Attributes:
        caption: what the figures describe.
        words: number of leading columns that hold text; the others hold numbers.
        folded: is it collapsed behind its caption until a reader opens it?
        cards: on a phone each row is shown as a card, so that no column is off screen.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1
    folded: bool = False
    sortable: bool = False
    wide: bool = False
    cards: bool = False
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Figure:
    """A chart under its title; `table` holds the same figures, `wide` takes the full width of the page.

    A chart of a single value is not drawn: its table is shown instead.
    """

    title: str
    chart: Chart
    note: str = ""
    table: Table | None = None
    wide: bool = False
    kind: ClassVar[str] = "figure"


@dataclass(frozen=True)
class TrackCard:
    """A track with its picture and player.

    Attributes:
        credits: artist and album.
        text: text below the name: label and predicted genre.
        href: address of the audio, relative to the page; None if it cannot be played, for the reason `why`.
        picture: data URL of its mel spectrogram; `range` describes its axes.
        chart: occlusion map over that picture; `evidence` is the address of a WAV file of the strongest patches.
    """

    name: str
    credits: str
    text: str
    href: str | None
    why: str = ""
    picture: str | None = None
    range: str = ""
    chart: Chart | None = None
    evidence: str | None = None


@dataclass(frozen=True)
class TrackList:
    """Tracks with players, under a title."""

    title: str
    tracks: Sequence[TrackCard]
    note: str = ""
    wide: bool = True
    kind: ClassVar[str] = "tracks"


@dataclass(frozen=True)
class Fold:
    """Sentences and blocks behind a title that a reader opens."""

    title: str
    blocks: Sequence[Block] = ()
    sentences: Sequence[str] = ()
    kind: ClassVar[str] = "fold"


Block = Table | Figure | TrackList | Fold


@dataclass(frozen=True)
class Section:
    """A part of the page: its finding in one sentence, a figure, and folds; `short` is its name in the contents."""

    id: str
    title: str
    blocks: Sequence[Block] = ()
    sentences: Sequence[str] = ()
    short: str = ""


def details(sentences: Sequence[str], *blocks: Block) -> list[Fold]:
    """A fold of what is not the finding; empty if there is nothing."""
    return [Fold("Details", blocks, sentences)] if sentences or blocks else []


def render(template: str, **context: Any) -> str:
    """Render one HTML file with stylesheet, scripts and figures included, and every name escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("genrelab.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"sentence": sentence, "stopped": with_full_stop, "percent": format_percent}
    environment.filters["coded"] = _code_markup
    environment.globals |= {"style": _template_file("style.css"), "scripts": [_template_file(name) for name in SCRIPTS]}
    return environment.get_template(template).render(**context)


def sentence(words: str) -> str:
    """The text with an initial capital and a full stop."""
    return with_full_stop(f"{words[:1].upper()}{words[1:]}")


def with_full_stop(words: str) -> str:
    """The text with a full stop, unless it ends with a command to copy; it may start with a model's name."""
    return words if not words or words.endswith((".", "!", "?", "`")) else f"{words}."


def _code_markup(words: str) -> Markup:
    """Escaped text in which `backticks` become <code> elements."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(words))))


def _template_file(name: str) -> Markup:
    """A file of `templates/`, without its source map reference, which a browser would look for beside the page."""
    from markupsafe import Markup

    content = resources.files("genrelab.report").joinpath("templates", name).read_text(encoding="utf-8")
    return Markup(re.sub(r"\n//# sourceMappingURL=.*", "", content))
