"""What tests of the check-up share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from genrelab.doctor import data


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without worker processes, which take a second to begin."""

    def answers(function: Callable[[Any], Any], things: Sequence[Any], *, jobs: int) -> Iterator[tuple[int, Any]]:
        yield from enumerate(map(function, things))

    monkeypatch.setattr(data, "map_in_processes", answers)
