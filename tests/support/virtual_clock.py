"""An event loop whose time is its own: where nothing is left to do it is at once the time of the next timer.

For code that takes its time from the loop, where neither a socket nor a process is waited for. What threads do takes no
time: while one is at work the time stands still.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from tests.support.guards import HANG_S

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    """Lets time pass where it would wait for it."""

    now = 0.0
    threads = 0

    def __init__(self) -> None:
        super().__init__()
        self.when_idle: list[Callable[[], object]] = []

    def select(self, timeout: float | None = None) -> Any:
        found = super().select(0)
        if found or (timeout is not None and timeout <= 0):
            return found
        if self.threads:
            found = super().select(HANG_S)
            assert found, "a thread does not come to its end"
        elif self.when_idle:
            self.when_idle.pop(0)()
        else:
            assert timeout is not None, "all of it waits, and for nothing that time brings"
            self.now = round(self.now + timeout, 9)
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop that begins at 0 s."""

    def __init__(self) -> None:
        self.clock = _Selector()
        super().__init__(self.clock)

    def time(self) -> float:
        return self.clock.now

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        future = super().run_in_executor(executor, func, *args)
        self.clock.threads += 1
        future.add_done_callback(self._thread_ended)
        return future

    def _thread_ended(self, _: object) -> None:
        self.clock.threads -= 1

    async def shutdown_default_executor(self, *args: Any) -> None:
        self.clock.threads += 1
        try:
            await super().shutdown_default_executor(*args)
        finally:
            self.clock.threads -= 1


def run(program: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(program)


def now() -> float:
    """The virtual time."""
    return asyncio.get_running_loop().time()


async def elapse(seconds: float) -> None:
    """Let so much virtual time pass."""
    over = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, over.set)
    await over.wait()


async def idle() -> None:
    """Return, at the same time as before, when all others wait: for a timer, or for something that does not come."""
    loop, reached = asyncio.get_running_loop(), asyncio.Event()
    assert isinstance(loop, VirtualLoop)
    loop.clock.when_idle.append(reached.set)
    await reached.wait()
