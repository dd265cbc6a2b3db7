"""The words of genrelab: the field's standard terms, and messages in plain English."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.paths import PROJECT

SOURCE = PROJECT / "src" / "genrelab"

PRIVATE = r"ears|purse|leash|desk|shelf|hangup"
"""Names of an earlier private vocabulary; docs/architecture.md has the standard ones."""

HEARING = r"hear(s|d|ing)?|listen(s|ed|ing|er|ers)?"
MAX_HEARING = 19
"""People hear, and a server listens on a port; a program processes, classifies or analyses."""

PHRASES = (
    r"as they came|told apart|tell (them )?apart|so many|anew\b|begun|whoever|nobody|none were met|what decided|"
    r"learned from|looks? again|says? nothing|who(m|se)? (says|asks)|for want of|lies within"
)
"""What a reader of the messages had to read twice."""


def source_lines() -> Iterator[tuple[str, str]]:
    """(place, line) of every line of the package that we wrote."""
    for path in sorted(SOURCE.rglob("*")):
        if path.suffix in (".py", ".js", ".html", ".css", ".md") and "vendor" not in path.parts:
            for number, line in enumerate(path.read_text().splitlines(), start=1):
                yield f"{path.relative_to(SOURCE)}:{number}", line


def uses(pattern: str, lines: Iterator[tuple[str, str]]) -> list[str]:
    """The places whose line has one of the words."""
    word = re.compile(rf"(?<![\w-])({pattern})(?![\w-])", re.IGNORECASE)
    return [f"{place} {line.strip()}" for place, line in lines if word.search(line)]


@pytest.fixture(scope="module")
def messages() -> ModuleType:
    """`scripts/print_messages.py`."""
    path = PROJECT / "scripts" / "print_messages.py"
    spec = importlib.util.spec_from_file_location("print_messages", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_private_vocabulary_is_gone() -> None:
    assert uses(PRIVATE, source_lines()) == []


def test_programs_do_not_hear() -> None:
    found = uses(HEARING, source_lines())
    assert len(found) <= MAX_HEARING, "\n".join(found)


def test_no_message_has_a_phrase_that_must_be_read_twice(messages: ModuleType) -> None:
    found = []
    for path in sorted(SOURCE.rglob("*")):
        if path.suffix in messages.READERS and "vendor" not in path.parts:
            texts = ((f"{path.relative_to(SOURCE)}:{line}", text) for line, text in messages.READERS[path.suffix](path))
            found += uses(PHRASES, texts)
    assert found == []


def test_messages_are_found_in_code_templates_and_scripts(messages: ModuleType, tmp_path: Path) -> None:
    code = tmp_path / "a.py"
    code.write_text('"""Not a message."""\nraise E(f"{name}: is not " "a number")\nX = "key"\n"""Documents X."""\n')
    assert list(messages.python_texts(code)) == [(2, "{name}: is not a number")]
    page = tmp_path / "a.html"
    page.write_text('<p title="Play it">{% if x %}Two words{% endif %}</p><script>const no = "not this"</script>')
    assert [text for _, text in messages.html_texts(page)] == ["Play it", "Two words"]
    script = tmp_path / "a.js"
    script.write_text('// "not this"\nconst a = "Choose a file"; const b = "x"; const c = "流派";\n')
    assert [text for _, text in messages.script_texts(script)] == ["Choose a file", "流派"]


def test_planted_words_are_found() -> None:
    lines = [("a.py:1", "the model hears it"), ("a.py:2", "shear"), ("a.py:3", "a leash")]
    assert uses(HEARING, iter(lines)) == ["a.py:1 the model hears it"]
    assert uses(PRIVATE, iter(lines)) == ["a.py:3 a leash"]
