"""docs/article.md: all 20 rows of the article, with tests and commands that exist."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from genrelab.cli.export import RECORDS
from genrelab.core.config import VIEWS
from genrelab.export.formats import FORMATS
from genrelab.models.registry import known_models
from tests.cli.test_help import COMMANDS, unknown_options
from tests.support.paths import PROJECT

PAGE = (PROJECT / "docs" / "article.md").read_text()
ROWS = {int(n): text for n, text in re.findall(r"^## (\d+)\. (.+?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)}
FIELDS = ["Article", "Command", "Tests", "Better"]
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
CALL = re.compile(r"(?:`|^\$ )genrelab (\w+)([^`\n#]*)", re.MULTILINE)
NAMES = {
    "--view": set(VIEWS), "--views": set(VIEWS), "--models": set(known_models()),
    "--model": set(known_models()), "--format": {*FORMATS, RECORDS},
}  # fmt: skip
"""Options whose values are names, and the names."""


@cache
def names_in(path: str) -> set[str]:
    tree = ast.parse((PROJECT / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def missing_tests(text: str) -> list[str]:
    return [
        f"{path}::{name}"
        for path, name in TEST.findall(text)
        if not (PROJECT / path).is_file() or name not in names_in(path)
    ]


def wrong_commands(text: str) -> set[str]:
    """Commands, options and names after options that genrelab does not have."""
    wrong = set(unknown_options(text))
    for command, words in CALL.findall(text):
        wrong |= set() if command in COMMANDS else {command}
        for option, names in re.findall(r"(--[\w-]+) ([\w,-]+)", words):
            wrong |= {f"{option} {n}" for n in names.split(",") if option in NAMES and n not in NAMES[option]}
    return wrong


def test_each_row_of_the_article_has_its_four_facts() -> None:
    assert list(ROWS) == list(range(1, 21))
    facts = {n: re.findall(r"^- \*\*(\w+):\*\* \S", text, re.MULTILINE) for n, text in ROWS.items()}
    assert all(found == FIELDS for found in facts.values())


def test_each_row_names_a_command_and_tests() -> None:
    lines = {n: dict(re.findall(r"^- \*\*(\w+):\*\* (.+)$", text, re.MULTILINE)) for n, text in ROWS.items()}
    assert [n for n, line in lines.items() if not CALL.search(line["Command"])] == []
    assert [n for n, line in lines.items() if not TEST.search(line["Tests"])] == []


def shared_folders(text: str) -> set[str]:
    """Folders that two different commands write; archives are downloaded into one folder."""
    written: dict[str, set[str]] = {}
    for command, words in CALL.findall(text):
        for folder in re.findall(r"--out (\S+)", words) if command != "download" else ():
            written.setdefault(folder, set()).add(f"{command} {words.strip()}")
    return {folder for folder, commands in written.items() if len(commands) > 1}


def unprepared(text: str) -> set[str]:
    """Folders that a command trains on, and that no command prepares."""
    prepared = set(re.findall(r"genrelab prepare [^`]*--out (\S+?)(?=[ `])", text))
    return {words.split()[0] for command, words in CALL.findall(text) if command in ("train", "tune")} - prepared


def test_every_test_on_the_page_exists() -> None:
    assert missing_tests(PAGE) == []
    assert len(TEST.findall(PAGE)) == PAGE.count("::test_")


def test_every_command_on_the_page_exists_with_its_options() -> None:
    assert wrong_commands(PAGE) == set()


def test_commands_of_the_page_can_be_run_one_after_the_other() -> None:
    assert shared_folders(PAGE) == set()
    assert unprepared(PAGE) == set()


@pytest.mark.parametrize("page", ["README.md", "docs/architecture.md"])
def test_the_page_is_linked(page: str) -> None:
    assert "article.md)" in (PROJECT / page).read_text()


def test_planted_mistakes_are_found() -> None:
    text = "`genrelab sing x`, `genrelab train p --out r --deep`, `genrelab train p --models svm,forest`"
    assert wrong_commands(text) == {"sing", "--deep", "train --deep", "--models forest"}
    text = "`genrelab prepare x --out p`, `genrelab prepare x --out p --views frames`, `genrelab train q --out r`"
    assert (shared_folders(text), unprepared(text)) == ({"p"}, {"q"})
    text = "`tests/test_habits.py::test_nothing`, `tests/test_gone.py::test_a`, `tests/test_words.py::uses`"
    assert missing_tests(text) == ["tests/test_habits.py::test_nothing", "tests/test_gone.py::test_a"]
