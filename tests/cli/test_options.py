"""Groups of options: typer sees one option a field, and the command gets the group."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from genrelab.cli import options


@dataclass(frozen=True)
class Shape:
    sides: Annotated[int, typer.Argument(help="How many.")]
    colour: Annotated[str, typer.Option(help="Which.")] = "red"


def test_fields_of_a_group_are_options_of_the_command() -> None:
    seen: list[tuple[Shape, bool]] = []

    @options.expand_groups
    def draw(shape: Shape, loud: Annotated[bool, typer.Option("--loud")] = False) -> None:
        seen.append((shape, loud))

    assert list(inspect.signature(draw).parameters) == ["sides", "colour", "loud"]
    app = typer.Typer()
    app.command()(draw)
    assert CliRunner().invoke(app, ["5", "--colour", "blue", "--loud"]).exit_code == 0
    assert CliRunner().invoke(app, ["3"]).exit_code == 0
    assert CliRunner().invoke(app, []).exit_code == 2, "what has no default is asked for"
    assert seen == [(Shape(5, "blue"), True), (Shape(3), False)]


@pytest.mark.parametrize("name", ["honesty", "learning_curve", "robustness", "doubts"])
def test_each_study_has_its_flag_and_its_file(name: str) -> None:
    from importlib import import_module

    asked = options.RunOptions(**{name: True})
    assert asked.studies == (name.replace("_", "-"),)
    module = import_module(f"genrelab.studies.{name}")
    assert f"{name}.json" == module.FILE and module.HEADERS and callable(module.table)
    assert options.RunOptions().studies == ()
