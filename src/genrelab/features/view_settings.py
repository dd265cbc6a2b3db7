"""Settings of views that a user or a file chooses: converted, and checked before anything is computed with them."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from genrelab.core.config import VIEWS, ClipSettings, View
from genrelab.core.errors import SettingsError, printable
from genrelab.core.text import join_first

MAX_NUMBER = 10_000_000
"""Limit of every number of a view and of clips: larger ones are damage or an attempt to fill the memory."""

MAX_NUMBER_OF = {
    "clip_s": 600, "window_s": 600, "tolerance": 1, "max_clips": 10_000, "sr": 192_000, "n_fft": 1 << 17,
    "n_mels": 4_096, "size": 4_096, "top_db": 1_000,
}  # fmt: skip
"""Lower limits of some numbers. Decibels are stored as float16, where 65,504 is the largest number."""

MAX_OVERLAP = 100
"""Most windows, or frames, that may contain the same sample: steps of one sample would give one for each."""

MAX_WINDOW_VALUES = MAX_NUMBER_OF["size"] ** 2
"""Limit of the numbers in one window of a view with settings from the command line: 64 MiB of float32."""

TRIAL_S, TRIAL_SR = 5, 22_050
"""Length and rate of the noise that settings are tried on."""

_OPTION = re.compile(r"(\w+)\.(\w+)=(.*)", re.DOTALL)
_BOOLEANS = {"true": True, "false": False}
_KIND_NAMES = {int: "a whole number", float: "a number", bool: "true or false", tuple: "a list"}


def check_numbers(cls: type[View | ClipSettings], stored: Mapping[str, Any]) -> None:
    """Refuse settings, as JSON has them, that are missing, of another type than the default, or out of range.

    Raises:
        SettingsError: names the setting, and its limits where it is out of range.
    """
    for f in dataclasses.fields(cls):
        if f.name not in stored:
            raise SettingsError(f"{f.name} is missing")
        value, limits = stored[f.name], ""
        kinds = {float: (int, float), tuple: (list,)}.get(type(f.default), (type(f.default),))
        good = type(value) in kinds
        if good and isinstance(value, list):
            good = len(value) > 0 and all(isinstance(column, str) for column in value)
        elif good and not isinstance(value, bool):
            most = MAX_NUMBER_OF.get(f.name, MAX_NUMBER)
            good = 0 < value <= most or (value == 0 and f.name == "tolerance")
            limits = f": it must be above 0 and at most {most:,}"
        if not good:
            raise SettingsError(f"{f.name} cannot be {repr(value)[:200]}{limits}")
    for step, length in (("hop_s", "window_s"), ("hop_length", "n_fft")):
        if step in stored and length in stored and not stored[step] * MAX_OVERLAP >= stored[length]:
            rule = f"{step} must be at least {length} / {MAX_OVERLAP}"
            raise SettingsError(f"{rule}. Received: {repr(stored[step])[:200]}")


def with_view_options(views: Sequence[View], options: Iterable[str]) -> tuple[View, ...]:
    """The views with the settings of `--view-option`, such as `samples.n_samples=5000`.

    Each changed view is computed once on noise, so that settings that cannot work together are refused at once.

    Raises:
        SettingsError: another form, an unknown view or setting, a view that is not among `views`, a value of another
            type or out of range, or settings that the view itself refuses.
    """
    chosen = {view.name: view for view in views}
    changes: dict[str, dict[str, Any]] = {}
    given: dict[str, list[str]] = {}
    for option in options:
        name, setting, value = _parse(option, chosen)
        of_view = changes.setdefault(name, {})
        if setting in of_view and of_view[setting] != value:
            raise SettingsError(f"--view-option {name}.{setting} is given twice, with different values: give it once")
        of_view[setting] = value
        given.setdefault(name, []).append(f"--view-option {option.strip()}")
    for name, values in changes.items():
        try:
            chosen[name] = _changed(chosen[name], values)
        except SettingsError as e:
            raise SettingsError(f"{printable(' '.join(given[name]))}: {e}") from e
    return tuple(chosen[view.name] for view in views)


def view_options(views: Iterable[View]) -> str:
    """The words ` --view-option VIEW.SETTING=VALUE` for every setting that is not the default; empty if there is none.

    They give `with_view_options` these views. The columns of a table are left out, because no option sets them.
    """
    return "".join(
        f" --view-option {view.name}.{f.name}={printable(str(value).lower())}"
        for view in views
        for f in dataclasses.fields(view)
        if (value := getattr(view, f.name)) != f.default and not isinstance(value, tuple)
    )


def _parse(option: str, views: Mapping[str, View]) -> tuple[str, str, Any]:
    """View, setting and converted value of one option."""
    given, found = f"--view-option {printable(option)}", _OPTION.fullmatch(option.strip())
    if found is None:
        raise SettingsError(f"{given}: give VIEW.SETTING=VALUE, such as samples.n_samples=5000")
    name, setting, text = found.groups()
    if name == "table":
        raise SettingsError(f"{given}: the columns of a table are those of its file; --drop leaves some out")
    if name not in VIEWS:
        raise SettingsError(f"{given}: unknown view {name!r}: use {', '.join(n for n in VIEWS if n != 'table')}")
    if name not in views:
        raise SettingsError(
            f"{given}: the view {name} is not prepared: name it in --views, too (now: {', '.join(views)})"
        )
    defaults = {f.name: f.default for f in dataclasses.fields(VIEWS[name])}
    if setting not in defaults:
        usable = [name for name, default in defaults.items() if not isinstance(default, tuple)]
        raise SettingsError(f"{given}: the view {name} has no setting {setting!r}: use {join_first(usable)}")
    kind = type(defaults[setting])
    try:
        return name, setting, _convert(text.strip(), kind)
    except (KeyError, ValueError) as e:
        rule = f"{setting} must be {_KIND_NAMES.get(kind, kind.__name__)}"
        raise SettingsError(f"{given}: {rule}. Received: {printable(text)!r}") from e


def _convert(text: str, kind: type) -> Any:
    if kind is bool:
        return _BOOLEANS[text.lower()]
    if kind is tuple:
        return tuple(word.strip() for word in text.split(","))
    return kind(text)


def _changed(view: View, values: Mapping[str, Any]) -> View:
    """The view with other settings, checked and tried.

    Raises:
        SettingsError: see `with_view_options`.
    """
    from genrelab.features.views import compute  # late: a bundle needs the limits only

    settings = {**dataclasses.asdict(view), **values}
    check_numbers(type(view), {k: list(v) if isinstance(v, tuple) else v for k, v in settings.items()})
    changed: View = type(view)(**settings)
    n = math.prod(changed.shape)
    if not 0 < n <= MAX_WINDOW_VALUES:
        raise SettingsError(f"one window would have {n:,} numbers, and at most {MAX_WINDOW_VALUES:,} are allowed")
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, TRIAL_S * TRIAL_SR).astype(np.float32)
    try:
        compute(changed, noise, TRIAL_SR)
    except SettingsError:
        raise
    except Exception as e:
        reason = " ".join(str(e).split())[:300] or type(e).__name__
        raise SettingsError(f"the view {view.name} cannot be computed with these settings ({reason})") from e
    return changed
