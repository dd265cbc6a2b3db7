from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("starlette")
from genrelab.serve.problems import Problem
from genrelab.serve.shutdown import Draining, run_unless


async def result_after(seconds: float, what: str = "", ended: list[str] | None = None) -> str:
    try:
        await asyncio.sleep(seconds)
    finally:
        if ended is not None:
            ended.append(what)
    return what


def test_first_to_finish_decides() -> None:
    ended: list[str] = []
    assert asyncio.run(run_unless(result_after(9, "end", ended), result_after(0, "work", ended), ValueError)) == "work"
    assert sorted(ended) == ["end", "work"]
    with pytest.raises(ValueError, match="too late"):
        asyncio.run(run_unless(result_after(0), result_after(9, "work", ended), lambda: ValueError("too late")))
    assert sorted(ended) == ["end", "work", "work"]


def test_cancellation_leaves_nothing_running() -> None:
    async def scenario() -> list[str]:
        ended: list[str] = []
        running = asyncio.create_task(
            run_unless(result_after(9, "end", ended), result_after(9, "work", ended), ValueError)
        )
        await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()
        return ended

    assert sorted(asyncio.run(scenario())) == ["end", "work"]


def test_failure_of_the_work_is_raised() -> None:
    async def broken() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        asyncio.run(run_unless(result_after(9), broken(), ValueError))


def test_end_of_the_service_interrupts_waiting_work() -> None:
    async def scenario() -> None:
        draining = Draining()
        draining.start()
        assert await draining.run_unless_over(result_after(0, "work")) == "work"
        waiting = asyncio.create_task(draining.run_unless_over(result_after(9)))
        await asyncio.sleep(0.01)
        draining.end()
        with pytest.raises(Problem) as e:
            await waiting
        assert (e.value.kind, e.value.headers) == ("stopping", {"Retry-After": "5"})

    asyncio.run(scenario())
