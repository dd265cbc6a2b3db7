"""How functions become commands: groups of options as parameters, and as sections of `--help`."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any, get_type_hints

from typer.core import TyperCommand

GROUPS = {
    "Source": "dataset artists artist_column split_files split_column label id_column group_column drop impute "
    "keep_spellings exclude labels all_values corrections",
    "Processing": "views fma_exact view_option clip_s windows jobs fresh prepared",
    "Split": "split allow_leaks",
    "Models": "models model watch from_study view pca preset epochs no_early_stopping seed class_weight "
    "imagenet_weights fine_tune strategy strict trials minutes",
    "Studies": "honesty learning_curve robustness doubts",
    "Answers": "min_precision min_confidence any_genre coverage genres genre_map prefer_tags by",
    "Access": "host port token insecure allow_origin access_log",
    "Limits": "workers queue max_upload max_seconds timeout streams",
}
"""Title of a group → names of its parameters; all others are output options."""

OTHERS = "Output"


class GroupedCommand(TyperCommand):
    """A command whose `--help` shows its options in groups."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """`[OPTIONS] ROOT`."""
        arguments = [p for p in self.params if p.param_type_name == "argument"]
        return ["[OPTIONS]", *(str(p.metavar) if p.required else f"[{p.metavar}]" for p in arguments)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, then each group of options."""
        rows: dict[str, list[tuple[str, str]]] = {title: [] for title in ("Arguments", *GROUPS, OTHERS)}
        order = [name for names in GROUPS.values() for name in names.split()]
        group_of = {name: title for title, names in GROUPS.items() for name in names.split()}

        def place(param: Any) -> int:  # arguments stay in the order of the usage line
            return order.index(param.name) if param.name in order and param.param_type_name == "option" else -1

        for param in sorted(self.get_params(ctx), key=place):
            options, text = param.get_help_record(ctx) or ("", "")
            if param.param_type_name == "argument":
                rows["Arguments"].append((str(param.metavar), text))
            else:
                rows[group_of.get(str(param.name), OTHERS)].append((options, text))
        for title, entries in rows.items():
            if entries:
                with formatter.section(title):
                    formatter.write_dl(entries)


def expand_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Give typer the command with each parameter that is a group of options expanded, one parameter per field."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {n: kind for n, kind in hints.items() if dataclasses.is_dataclass(kind)}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        kind = groups.get(parameter.name)
        if kind is None:
            parameters.append(parameter.replace(kind=parameter.KEYWORD_ONLY, annotation=hints[parameter.name]))
            continue
        field_hints = get_type_hints(kind, include_extras=True)
        for f in fields(kind):
            default = parameter.empty if f.default is dataclasses.MISSING else f.default
            parameters.append(
                inspect.Parameter(f.name, parameter.KEYWORD_ONLY, default=default, annotation=field_hints[f.name])
            )

    @functools.wraps(command)
    def flat(**values: Any) -> None:
        group_values = {n: kind(**{f.name: values.pop(f.name) for f in fields(kind)}) for n, kind in groups.items()}
        command(**values, **group_values)

    flat.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # used by `inspect`, and so by typer
    flat.__annotations__ = {p.name: p.annotation for p in parameters}
    return flat
