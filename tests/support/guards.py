"""What keeps a test that hangs from hanging for ever, and the one place that may wait by asking again.

None of it says how fast anything is: a guard is longer than any machine needs, and costs nothing where nothing hangs.
"""

from __future__ import annotations

import asyncio
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# The limit of every wait that is no statement about time: sockets, joins, processes, messages.
HANG_S = 120

_AGAIN_S = 0.01


def wait_until(condition: Callable[[], object], what: str = "what the test waits for") -> None:
    """Return once `condition` holds; for what offers no event, such as another process' state."""
    last = time.monotonic() + HANG_S
    while not condition():
        assert time.monotonic() < last, f"{what} has not come within {HANG_S} s"
        time.sleep(_AGAIN_S)


async def one_turn() -> None:
    """Let every task that can run have one turn; takes no time."""
    await asyncio.sleep(0)


@contextmanager
def killed_if_it_hangs(process: subprocess.Popen[Any]) -> Iterator[None]:
    """For reading what a process says: one that says nothing is killed, so that its output ends."""
    guard = threading.Timer(HANG_S, process.kill)
    guard.start()
    try:
        yield
    finally:
        guard.cancel()
