from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("starlette")
from genrelab.serve.shutdown import run_unless


async def never(what: str = "", ended: list[str] | None = None, begun: asyncio.Event | None = None) -> str:
    """Work that has no end of its own; notes that it was ended."""
    if begun is not None:
        begun.set()
    try:
        await asyncio.Event().wait()
    finally:
        if ended is not None:
            ended.append(what)
    return what


async def at_once(what: str = "", ended: list[str] | None = None) -> str:
    if ended is not None:
        ended.append(what)
    return what


def test_first_to_finish_decides() -> None:
    ended: list[str] = []
    assert asyncio.run(run_unless(never("end", ended), at_once("work", ended), ValueError)) == "work"
    assert sorted(ended) == ["end", "work"]
    with pytest.raises(ValueError, match="too late"):
        asyncio.run(run_unless(at_once(), never("work", ended), lambda: ValueError("too late")))
    assert sorted(ended) == ["end", "work", "work"]


def test_cancellation_leaves_nothing_running() -> None:
    async def scenario() -> list[str]:
        ended, end_begun, work_begun = list[str](), asyncio.Event(), asyncio.Event()
        running = asyncio.create_task(
            run_unless(never("end", ended, end_begun), never("work", ended, work_begun), ValueError)
        )
        await end_begun.wait()
        await work_begun.wait()
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()
        return ended

    assert sorted(asyncio.run(scenario())) == ["end", "work"]


def test_failure_of_the_work_is_raised() -> None:
    async def broken() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        asyncio.run(run_unless(never(), broken(), ValueError))
