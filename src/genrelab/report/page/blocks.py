"""What a page is made of, and how it becomes one HTML file that opens without a network.

A page is sections, a section is sentences and blocks, a block is a figure, a table or a list of tracks to hear.
The templates know these shapes and nothing of models or studies.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, ClassVar

from genrelab.report.page.charts import Chart

if TYPE_CHECKING:
    from markupsafe import Markup

SCRIPTS = ("vendor/vega.min.js", "vendor/vega-lite.min.js", "vendor/vega-embed.min.js", "page.js")
ABSENT = "–"  # stands where nothing was measured


@dataclass(frozen=True)
class Table:
    """Cells as they are printed.

    Attributes:
        caption: what the figures are of.
        words: how many of the first columns hold words; the others hold numbers.
        folded: is it behind its caption until somebody asks?
        cards: on a phone each row stands as a card, so that no column is off screen.
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
class Stack:
    """Tables below each other, in the place of one block."""

    tables: Sequence[Table]
    wide: bool = False
    kind: ClassVar[str] = "stack"


@dataclass(frozen=True)
class Figure:
    """A chart under its title; `table` holds the same figures, `wide` is as wide as the page."""

    title: str
    chart: Chart
    note: str = ""
    table: Table | None = None
    wide: bool = False
    kind: ClassVar[str] = "figure"


@dataclass(frozen=True)
class TrackCard:
    """A track to look at and to hear.

    Attributes:
        says: what is remarkable about it.
        href: where the audio lies, seen from the page; None where it cannot be played, and `why`.
        picture: data address of its mel spectrogram; `range` says what it spans.
        chart: what decided, over that picture; `evidence` is where that alone can be heard.
    """

    name: str
    who: str
    says: str
    href: str | None
    why: str = ""
    picture: str | None = None
    range: str = ""
    chart: Chart | None = None
    evidence: str | None = None


@dataclass(frozen=True)
class TrackList:
    """Tracks to hear, under a title."""

    title: str
    tracks: Sequence[TrackCard]
    note: str = ""
    wide: bool = True
    kind: ClassVar[str] = "tracks"


Block = Table | Stack | Figure | TrackList


@dataclass(frozen=True)
class Section:
    """A part of the page; `short` is its name in the table of contents."""

    id: str
    title: str
    blocks: Sequence[Block] = ()
    sentences: Sequence[str] = ()
    short: str = ""


def render(template: str, **context: Any) -> str:
    """One HTML file: stylesheet, scripts and figures inside, every name escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("genrelab.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"sentence": sentence, "stopped": with_full_stop}
    environment.filters["coded"] = _code_markup
    environment.globals |= {"style": _template_file("style.css"), "scripts": [_template_file(name) for name in SCRIPTS]}
    return environment.get_template(template).render(**context)


def sentence(words: str) -> str:
    """Words with a capital and a full stop, as a sentence has them."""
    return with_full_stop(f"{words[:1].upper()}{words[1:]}")


def with_full_stop(words: str) -> str:
    """Words with a full stop; they may begin with the name of a model, which keeps its small letter."""
    return words if not words or words.endswith((".", "!", "?")) else f"{words}."


def percent(fraction: float | None) -> str:
    """A share as it stands in a column that is headed `%`."""
    return ABSENT if fraction is None else f"{100 * fraction:.1f}"


def points(fraction: float | None) -> str:
    """A difference of shares in points, with its sign."""
    return ABSENT if fraction is None else f"{100 * fraction:+.1f}".replace("-", "−")


def format_interval(low: float | None, high: float | None, *, signed: bool = False) -> str:
    """An interval of shares: `31.0 to 52.4`."""
    figure = points if signed else percent
    return ABSENT if low is None or high is None else f"{figure(low)} to {figure(high)}"


def _code_markup(words: str) -> Markup:
    """Escaped; what stands `so` is set as code."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(words))))


def _template_file(name: str) -> Markup:
    """A file of `templates/` as it is; a reference to a source map would be looked for beside the page."""
    from markupsafe import Markup

    content = resources.files("genrelab.report").joinpath("templates", name).read_text(encoding="utf-8")
    return Markup(re.sub(r"\n//# sourceMappingURL=.*", "", content))
