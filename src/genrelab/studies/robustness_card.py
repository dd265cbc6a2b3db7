"""The section of a model's card on its robustness."""

from __future__ import annotations

from typing import Any

from genrelab.bundle.model_card import USAGE_HEADING

HEADING = "## Robustness"


def section(found: dict[str, Any], model: str) -> str:
    """The section of a model's card on its robustness, in Markdown; ends with an empty line."""
    rows = next(m for m in found["models"] if m["model"] == model)
    of_all = "" if found["n"] == found["n_scored"] else f" of {found['n_scored']}"
    lines = [
        HEADING,
        "",
        f"The same n = {found['n']}{of_all} tracks of the {found['part']} part, heard in other ways. A difference is "
        "paired with what it answers to the tracks as they are; intervals are over artists where they are known.",
        "",
        "| heard | accuracy | 95 % interval | difference | 95 % interval | same answer |",
        "|---|---|---|---|---|---|",
        *map(_card_row, rows["conditions"]),
        "",
    ]
    if rows["seconds"]:
        lines += ["| seconds heard, of the middle | n | accuracy | 95 % interval |", "|---|---|---|---|"]
        lines += [
            f"| {s['seconds']:g} | {s['n']} | {s['accuracy']:.3f} | {s['low']:.3f} to {s['high']:.3f} |"
            for s in rows["seconds"]
        ]
        lines.append("")
    return "\n".join(lines) + "\n"


def _card_row(c: dict[str, Any]) -> str:
    own = f"| {c['label']} | {c['accuracy']:.3f} | {c['low']:.3f} to {c['high']:.3f} |"
    if c["name"] == "clean":
        return f"{own} | | |"
    difference = f"{c['difference']:+.3f} | {c['difference_low']:+.3f} to {c['difference_high']:+.3f}"
    return f"{own} {difference} | {c['same_answer']:.0%} |"


def with_section(card: str, text: str) -> str:
    """The card with this study's section inserted before its last one, on usage; an existing one is replaced."""
    before, heading, rest = card.partition(f"{HEADING}\n")
    if heading:
        _, mark, after = rest.partition("\n## ")
        card = before + (mark.lstrip("\n") + after)
    before, heading, after = card.partition(USAGE_HEADING)
    return f"{before.rstrip()}\n\n{text}{heading}{after}"
