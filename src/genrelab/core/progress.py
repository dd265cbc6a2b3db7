"""How long work reports to its caller: sentences for the user, and progress bars."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

Notify = Callable[[str], None]
"""Gets a sentence for the user."""

Progress = Callable[[int, int], None]
"""Gets (done, in all)."""


class ProgressBar(Protocol):
    """Opens a bar with a title and the unit that is counted."""

    def __call__(self, title: str, unit: str = "tracks") -> AbstractContextManager[Progress]: ...


def ignore(*_: object) -> None:
    """A `Notify` or `Progress` for callers that want no news."""


def no_bar(title: str, unit: str = "tracks") -> AbstractContextManager[Progress]:
    """A `ProgressBar` that shows nothing."""
    return nullcontext(ignore)
