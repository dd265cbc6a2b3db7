"""Groups of options: typer sees one option a field, and the command gets the group."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Annotated, get_type_hints

import pytest
import typer
from typer.testing import CliRunner

from genrelab.cli import run_options
from genrelab.cli.help import expand_groups
from genrelab.cli.run import parse_views, train_settings, views_for
from genrelab.core.config import DEFAULT_VIEWS, FLAT_VIEWS, VIEWS, TrainSettings
from genrelab.models.registry import known_models, model_class


@dataclass(frozen=True)
class Shape:
    sides: Annotated[int, typer.Argument(help="How many.")]
    colour: Annotated[str, typer.Option(help="Which.")] = "red"


def test_fields_of_a_group_are_options_of_the_command() -> None:
    seen: list[tuple[Shape, bool]] = []

    @expand_groups
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

    asked = run_options.RunOptions(**{name: True})
    assert asked.studies == (name.replace("_", "-"),)
    module = import_module(f"genrelab.studies.{name}")
    assert f"{name}.json" == module.FILE and module.HEADERS and callable(module.table)
    assert run_options.RunOptions().studies == ()


def test_default_views_are_those_that_all_models_read() -> None:
    assert {model_class(name).views[0] for name in known_models()} == set(DEFAULT_VIEWS)
    assert tuple(view.name for view in parse_views(None)) == DEFAULT_VIEWS
    asked = run_options.PrepareOptions()
    assert views_for(asked, TrainSettings(view="embedding")) == asked
    for view in ("descriptors", "frames", "rhythm"):
        assert views_for(asked, TrainSettings(view=view)).views == ",".join((*DEFAULT_VIEWS, view))


def test_no_early_stopping_reaches_the_settings() -> None:
    assert train_settings(run_options.TrainOptions()).early_stopping
    assert not train_settings(run_options.TrainOptions(no_early_stopping=True)).early_stopping


def test_help_names_every_model_and_view() -> None:
    def help_of(group: type, option: str) -> str:
        return str(get_type_hints(group, include_extras=True)[option].__metadata__[0].help)

    assert all(name in help_of(run_options.TrainOptions, "models") for name in known_models())
    assert all(name in help_of(run_options.FitOptions, "view") for name in FLAT_VIEWS)
    listed = help_of(run_options.PrepareOptions, "views").partition(": ")[2].partition(" or all")[0].split(", ")
    assert set(listed) == set(VIEWS) - {"table"} and listed[:4] == [*DEFAULT_VIEWS]
