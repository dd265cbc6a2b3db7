from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("starlette")
from genrelab.serve.problems import Problem
from genrelab.serve.shutdown import Draining, run_unless


async def after(seconds: float, what: str = "", ended: list[str] | None = None) -> str:
    try:
        await asyncio.sleep(seconds)
    finally:
        if ended is not None:
            ended.append(what)
    return what


def test_what_comes_first_counts() -> None:
    ended: list[str] = []
    assert asyncio.run(run_unless(after(9, "end", ended), after(0, "work", ended), ValueError)) == "work"
    assert sorted(ended) == ["end", "work"]
    with pytest.raises(ValueError, match="too late"):
        asyncio.run(run_unless(after(0), after(9, "work", ended), lambda: ValueError("too late")))
    assert sorted(ended) == ["end", "work", "work"]


def test_what_is_called_off_leaves_nothing_running() -> None:
    async def talk() -> list[str]:
        ended: list[str] = []
        running = asyncio.create_task(run_unless(after(9, "end", ended), after(9, "work", ended), ValueError))
        await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()
        return ended

    assert sorted(asyncio.run(talk())) == ["end", "work"]


def test_its_own_failure_is_told() -> None:
    async def broken() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        asyncio.run(run_unless(after(9), broken(), ValueError))


def test_a_service_that_ends_waits_for_nothing() -> None:
    async def talk() -> None:
        draining = Draining()
        draining.start()
        assert await draining.run_unless_over(after(0, "work")) == "work"
        waiting = asyncio.create_task(draining.run_unless_over(after(9)))
        await asyncio.sleep(0.01)
        draining.end()
        with pytest.raises(Problem) as e:
            await waiting
        assert (e.value.kind, e.value.headers) == ("stopping", {"Retry-After": "5"})

    asyncio.run(talk())
