"""docs/rooms.svg: the rooms of the package and which imports which, as the code has it.

    python scripts/room_graph.py [--out docs/rooms.svg]

Needs `dot` (Debian's package graphviz). An arrow that follows from others is left out. `tests/test_layout.py` fails
when the picture no longer fits the code.
"""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
import textwrap
from html import escape
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path.append(str(PROJECT))

from tests.support.paths import PACKAGE  # noqa: E402
from tests.test_layout import ORDER, imports, modules  # noqa: E402

Edges = set[tuple[str, str]]


def room_edges(package: Path) -> Edges:
    """(room, room that it imports), without those that follow from others."""
    known = modules(package)
    edges: Edges = set()
    for name, path in known.items():
        room = name.split(".")[1] if "." in name else "__init__"
        edges |= {(room, other.split(".")[1]) for other in imports(path, set(known))}
    rooms = {room for level in ORDER for room in level}
    return reduced({(a, b) for a, b in edges if a != b and {a, b} <= rooms})


def reduced(edges: Edges) -> Edges:
    """The fewest edges from which the others follow (the graph has no cycle)."""

    def reached(room: str) -> set[str]:
        return {b for a, b in edges if a == room} | {c for a, b in edges if a == room for c in reached(b)}

    return {(a, b) for a, b in edges if not any(b in reached(c) for x, c in edges if x == a and c != b)}


def purpose(room: str) -> str:
    """The first line of a room's docstring."""
    doc = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text())) or ""
    return doc.splitlines()[0]


def graph(edges: Edges) -> str:
    """The rooms in the language of `dot`; a level of the order is a row, the highest on top."""
    lines = [
        "digraph rooms {",
        'bgcolor="transparent"; nodesep=0.25; ranksep=0.3;',
        'node [shape=box, style="rounded,filled", fillcolor="#f4f4f0", color="#888888", fontname="DejaVu Sans"];',
        'edge [color="#888888", arrowsize=0.6];',
    ]
    for level in ORDER:
        for room in level:
            text = "<BR/>".join(escape(line) for line in textwrap.wrap(purpose(room).replace("`", ""), 38))
            label = f'<B>{room}</B><BR/><FONT POINT-SIZE="9">{text}</FONT>'
            lines.append(f"{room} [label=<{label}>];")
        lines.append(f"{{rank=same; {'; '.join(level)}}}")
    lines += [f"{a} -> {b};" for a, b in sorted(edges)]
    return "\n".join([*lines, "}"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=PROJECT / "docs" / "rooms.svg")
    out: Path = parser.parse_args().out
    source = graph(room_edges(PACKAGE))
    svg = subprocess.run(["dot", "-Tsvg"], input=source, capture_output=True, text=True, check=True).stdout
    temporary = out.with_suffix(".tmp")
    temporary.write_text(svg)
    temporary.replace(out)


if __name__ == "__main__":
    main()
