"""How long-running work reports to its caller: messages for the user, and progress bars."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

Notify = Callable[[str], None]
"""Receives a message for the user. One that starts with two spaces is a detail, which is printed with `-v` only."""

Progress = Callable[[int, int], None]
"""Receives (done, total)."""


class ProgressBar(Protocol):
    """Opens a progress bar with a title and the unit that is counted."""

    def __call__(self, title: str, unit: str = "tracks") -> AbstractContextManager[Progress]:
        """The open bar; it closes at the end of its block."""


def ignore(*_: object) -> None:
    """A `Notify` or `Progress` that discards what it receives."""


def no_bar(title: str, unit: str = "tracks") -> AbstractContextManager[Progress]:
    """A `ProgressBar` that shows nothing."""
    return nullcontext(ignore)
