"""The section of a model's card on its robustness."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from genrelab.bundle.model_card import split_usage, table
from genrelab.core.errors import printable
from genrelab.studies.conditions import DESCRIPTION
from genrelab.studies.study_result import accuracy_text

HEADING = "## Robustness"


def section(found: dict[str, Any], model: str, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The section of a model's card on its robustness, in Markdown; ends with an empty line.

    Args:
        found: content of `robustness.json`.
        headers, rows: its table, of all models; the first column is the model.
    """
    of_all = "" if found["n"] == found["n_scored"] else f" of {found['n_scored']}"
    excerpts = next(m for m in found["models"] if m["model"] == model)["seconds"]
    lengths = [f"{s['seconds']:g} | {s['n']} | {accuracy_text(s)}" for s in excerpts]
    text = (
        f"n = {found['n']}{of_all} {found['part']} tracks, altered. Points: difference from the unaltered track. "
        f"Intervals are over artists where they are known. {DESCRIPTION}"
    )
    tables = [table(" | ".join(headers[1:]), [" | ".join(row[1:]) for row in rows if row[0] == printable(model)])]
    if lengths:
        tables.append(table("seconds, from the middle | n | accuracy % [95 % interval]", lengths))
    return "\n\n".join((HEADING, text, *tables, ""))


def with_section(card: str, text: str) -> str:
    """The card with this study's section inserted before its last one, on usage; an existing one is replaced."""
    card = re.sub(rf"{HEADING}\n.*?(?=^## |\Z)", "", card, count=1, flags=re.DOTALL | re.MULTILINE)
    before, usage = split_usage(card)
    return f"{before.rstrip()}\n\n{text}{usage}"
