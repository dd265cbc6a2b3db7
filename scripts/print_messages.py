"""Print every text of genrelab that a person may read, file by file, so that it can be proofread in one go.

    python scripts/print_messages.py > messages.txt

What is printed: strings of the package that hold a space and a letter and are no docstrings (messages, errors, help
texts, notes, captions), with `{…}` for what is filled in; docstrings of commands, which are their `--help`; visible
text of the templates; both languages of the service's page.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "genrelab"
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def main() -> int:
    for path in sorted(PACKAGE.rglob("*")):
        reader = READERS.get(path.suffix)
        if reader is None or "vendor" in path.parts:
            continue
        lines = list(reader(path))
        if lines:
            print(f"== {path.relative_to(PACKAGE)}", *(f"{line:5}  {text}" for line, text in lines), "", sep="\n")
    return 0


def python_texts(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of each string that is read by people; parts joined by adjacency or `+` stay one text each."""
    tree = ast.parse(path.read_text())
    skipped = {id(doc) for node in ast.walk(tree) if (doc := _docstring(node)) is not None}
    if path.parent.name == "cli":
        skipped -= {id(_docstring(node)) for node in ast.walk(tree) if _is_command(node)}
    found = []
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        text = _text(node)
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(part) for part in ast.walk(node)}
        if text and re.search(r"[^\W\d_]{2}", text) and " " in text.strip():
            found.append((node.lineno, " ".join(text.split())))  # type: ignore[attr-defined]
    yield from sorted(found)


def _docstring(node: ast.AST) -> ast.Constant | None:
    """The docstring of a module, class or function, or a constant's documentation below it."""
    if isinstance(node, DOCUMENTED) and node.body:
        node = node.body[0]
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return node.value
    return None


def _is_command(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef) and any("command" in ast.dump(d) for d in node.decorator_list)


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if not isinstance(node, ast.JoinedStr):
        return ""
    return "".join(p.value if isinstance(p, ast.Constant) else f"{{{ast.unparse(p.value)}}}" for p in node.values)  # type: ignore[attr-defined]


class _Visible(HTMLParser):
    """Collects the visible text, and the attributes that are read aloud or shown."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[int, str]] = []
        self.hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.hidden += tag in ("script", "style")
        shown = [value for name, value in attrs if value and name in ("alt", "aria-label", "placeholder", "title")]
        self.found += [(self.getpos()[0], value) for value in shown]

    def handle_endtag(self, tag: str) -> None:
        self.hidden -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self.hidden and re.search(r"[^\W\d_]{2}", data):
            self.found.append((self.getpos()[0], " ".join(data.split())))


def html_texts(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of the visible text of a page or template."""
    parser = _Visible()
    parser.feed(re.sub(r"\{#.*?#\}|\{%.*?%\}", "", path.read_text(), flags=re.S))
    yield from parser.found


def script_texts(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of each string with a space in a script of the page."""
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if not line.lstrip().startswith(("//", "*", "/*")):
            quoted = re.findall(r'"((?:[^"\\]|\\.)*)"|`([^`]*)`', line)
            texts = [a or b for a, b in quoted]
            yield from ((number, t) for t in texts if (" " in t.strip() or re.search(r"[\u4e00-\u9fff]", t)))


READERS = {".py": python_texts, ".html": html_texts, ".js": script_texts}

if __name__ == "__main__":
    sys.exit(main())
