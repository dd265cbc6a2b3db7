"""`--help`: groups, plain placeholders, whole sentences; every option that a text names exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from genrelab.cli.help import GROUPS
from genrelab.cli.main import app
from tests.support.command import call
from tests.support.paths import PROJECT

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
OPTIONS = {
    name: {option for p in command.params for option in (*p.opts, *p.secondary_opts) if option.startswith("--")}
    | {"--help"}
    for name, command in COMMANDS.items()
}
ALL_OPTIONS = set().union(*OPTIONS.values()) | {"--version"}
FOREIGN = {
    *("--logdir", "--upgrade", "--force-reinstall"),
    *("--accent", "--bar", "--ink", "--muted", "--pale", "--warm"),
}
"""Options of other programs, and variables of CSS."""

WORD = re.compile(r"(?<![\w-])--[a-z][a-z-]*[a-z](?![\w-])")
COMMAND = re.compile(rf"(?:genrelab |`)({'|'.join(COMMANDS)}) ([^`\n;|&#]*)")


def texts() -> Iterator[tuple[str, str]]:
    """(place, text) of the README, every `--help`, and every string of the package."""
    yield "README.md", (PROJECT / "README.md").read_text()
    for name in COMMANDS:
        yield f"{name} --help", call(name, "--help")[1]
    for path in sorted((PROJECT / "src" / "genrelab").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else "X" for part in node.values)
                yield f"{path.name}:{node.lineno}", "".join(map(str, parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield f"{path.name}:{node.lineno}", node.value


def unknown_options(text: str) -> set[str]:
    """Options that no command has, or that the command named before them does not have."""
    found = set(WORD.findall(text)) - ALL_OPTIONS - FOREIGN
    for command, words in COMMAND.findall(text):
        found |= {f"{command} {option}" for option in set(WORD.findall(words)) - OPTIONS[command] - FOREIGN}
    return found


def test_every_option_in_a_text_exists() -> None:
    assert [(place, unknown) for place, text in texts() if (unknown := unknown_options(text))] == []


def test_planted_options_are_found() -> None:
    assert unknown_options("use --no-such-option, or --out") == {"--no-such-option"}
    assert unknown_options("run `prepare --coverage 0.9`") == {"prepare --coverage"}


def test_list_of_commands_is_not_cut_off() -> None:
    status, out, _ = call("--help")
    assert status == 0 and "..." not in out.partition("Commands:")[2]
    assert all(re.search(rf"^  {name} +[A-Z].*\.$", out, re.MULTILINE) for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_options_are_in_groups_with_plain_placeholders(name: str) -> None:
    out = call(name, "--help")[1]
    titles = re.findall(r"^(\w+):$", out, re.MULTILINE)
    assert set(titles) <= {"Arguments", *GROUPS, "Output"} and titles[-1] == "Output"
    for param in COMMANDS[name].params:
        if param.param_type_name == "argument" or not param.is_flag:
            assert param.metavar and not re.search(r"[<{]", param.metavar), param.name


def test_groups_name_options_that_exist_once() -> None:
    names = [name for group in GROUPS.values() for name in group.split()]
    assert len(names) == len(set(names))
    assert set(names) <= {param.name for command in COMMANDS.values() for param in command.params}


def test_details_and_repeated_messages_are_printed_only_once_and_on_request(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from genrelab.cli import console

    def work() -> None:
        for message in ("a summary", "  a detail", "A detail.", "a summary"):
            console.notify(message)

    console.command(work)()
    assert capsys.readouterr().err == "a summary\nA detail.\n"
    console.command(work)(verbose=True)
    assert capsys.readouterr().err == "a summary\n  a detail\n"
