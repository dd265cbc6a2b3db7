"""What a worker says is taken for what it was asked, or not at all; its time runs from when it has begun."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from genrelab.core.config import SamplesView
from genrelab.serve.model_store import ModelStore, ServedModel
from genrelab.serve.workers import client as module
from genrelab.serve.workers.client import FileJob, WorkerProcess
from genrelab.serve.workers.subprocess import ProcessDied
from tests.support.bundles import SR, bundle_for
from tests.support.guards import HANG_S
from tests.support.virtual_clock import run as run_in_virtual_time

SCRIPTED = """
import json, sys
for line in sys.stdin:
    order = json.loads(line)
    for said in order["say"]:
        print(json.dumps({"number": order["number"]} | said), flush=True)
"""
"""A worker that says what it is told to."""

STARTED = {"started": True}


@asynccontextmanager
async def scripted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WorkerProcess]:
    (folder / "scripted_worker.py").write_text(SCRIPTED)
    monkeypatch.syspath_prepend(folder)
    worker = await WorkerProcess.start("scripted_worker", longest=10_000)
    try:
        await worker.ask({"say": [{"kind": "first"}]}, HANG_S)
        yield worker
    finally:
        await worker.end()


class TimedProcess:
    """What a worker takes for its process, in the time of the loop: it answers each line after so many seconds."""

    def __init__(self, *said: tuple[float, dict[str, Any]]) -> None:
        self.said, self.stdin = said, self
        self.stdout, self.stderr = asyncio.StreamReader(), asyncio.StreamReader()
        self.stderr.feed_eof()

    def write(self, line: bytes) -> None:
        number, at = json.loads(line)["number"], 0.0
        for pause, said in self.said:
            at += pause
            answer = json.dumps({"number": number} | said).encode() + b"\n"
            asyncio.get_running_loop().call_later(at, self.stdout.feed_data, answer)

    async def drain(self) -> None:
        """It takes all at once."""


def timed_worker(*said: tuple[float, dict[str, Any]]) -> WorkerProcess:
    return WorkerProcess(TimedProcess(*said))  # type: ignore[arg-type]


def test_answer_belongs_to_its_own_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def program() -> None:
        async with scripted(tmp_path, monkeypatch) as worker:
            for i in range(3):
                assert await worker.ask({"say": [{"kind": i}]}, HANG_S) == {"kind": i}
                assert not worker.started
            assert await worker.ask({"say": [STARTED, {"kind": 4}]}, HANG_S, HANG_S) == {"kind": 4}
            assert worker.started

    asyncio.run(program())


@pytest.mark.parametrize("stray", [{"kind": "stray"}, STARTED])
def test_extra_line_is_not_taken_for_the_next_answer(
    stray: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def program() -> None:
        async with scripted(tmp_path, monkeypatch) as worker:
            await worker.ask({"say": [{"kind": "first"}, stray]}, HANG_S)
            with pytest.raises(ProcessDied):
                await worker.ask({"say": [{"kind": "second"}]}, HANG_S)
            assert not worker.started, "the file is not to blame"

    asyncio.run(program())


@pytest.mark.parametrize("number", [None, "2", [2], 3, 1])
def test_answer_with_a_wrong_number_is_rejected(
    number: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def program() -> None:
        async with scripted(tmp_path, monkeypatch) as worker:
            with pytest.raises(ProcessDied):
                await worker.ask({"say": [{"kind": "other", "number": number}]}, HANG_S)

    asyncio.run(program())


def test_time_limit_runs_from_the_start_of_the_job() -> None:
    async def program() -> None:
        loop = asyncio.get_running_loop()
        worker = timed_worker((59.0, STARTED), (19.0, {"kind": "done"}))
        assert await worker.ask({}, 60, 20) == {"kind": "done"}
        assert loop.time() == 78
        worker = timed_worker((0.0, STARTED), (21.0, {"kind": "late"}))
        with pytest.raises(TimeoutError):
            await worker.ask({}, 60, 20)
        assert (worker.started, loop.time()) == (True, 98)

    run_in_virtual_time(program())


def test_loading_a_model_has_a_timeout_of_its_own(tmp_path: Path) -> None:
    model = _model(tmp_path)

    async def program() -> None:
        loop = asyncio.get_running_loop()
        worker = timed_worker((module.START_TIMEOUT_S - 1, STARTED), (0.0, {"kind": "done"}))
        assert await worker.classify(FileJob(tmp_path / "song", model), 20) == {"kind": "done"}
        worker, start = timed_worker((module.START_TIMEOUT_S + 1, STARTED), (0.0, {"kind": "late"})), loop.time()
        with pytest.raises(TimeoutError):
            await worker.classify(FileJob(tmp_path / "song", model), 20)
        assert (worker.started, loop.time() - start) == (False, module.START_TIMEOUT_S)

    run_in_virtual_time(program())


def _model(tmp_path: Path) -> ServedModel:
    bundle_for(tmp_path / "bundle", SamplesView(sr=SR, n_samples=400))
    return ModelStore({"mine": tmp_path / "bundle"}, tmp_path / "copies").get(None)
