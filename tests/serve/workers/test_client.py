"""What a worker says is taken for what it was asked, or not at all; its time runs from when it has begun."""

from __future__ import annotations

import asyncio
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

SCRIPTED = """
import json, sys, time
for line in sys.stdin:
    order = json.loads(line)
    for pause, said in order.get("say", SAID):
        time.sleep(pause)
        print(json.dumps({"number": order["number"]} | said), flush=True)
"""
"""A worker that says what it is told to, each after so many seconds."""

BEGUN = {"begun": True}


@asynccontextmanager
async def scripted(
    folder: Path, monkeypatch: pytest.MonkeyPatch, said: list[tuple[float, dict[str, Any]]] | None = None
) -> AsyncIterator[WorkerProcess]:
    (folder / "scripted_worker.py").write_text(f"SAID = {said}\n{SCRIPTED}")
    monkeypatch.syspath_prepend(folder)
    worker = await WorkerProcess.start("scripted_worker", longest=10_000)
    try:
        await worker.ask({"say": [(0, {"kind": "warm"})]}, 30)
        yield worker
    finally:
        await worker.end()


def test_answer_belongs_to_its_own_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def program() -> None:
        async with scripted(tmp_path, monkeypatch) as worker:
            for i in range(3):
                assert await worker.ask({"say": [(0, {"kind": i})]}, 5) == {"kind": i}
                assert not worker.started
            assert await worker.ask({"say": [(0, BEGUN), (0, {"kind": 4})]}, 5, 5) == {"kind": 4}
            assert worker.started

    asyncio.run(program())


@pytest.mark.parametrize("stray", [{"kind": "stray"}, BEGUN])
def test_extra_line_is_not_taken_for_the_next_answer(
    stray: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def program() -> None:
        async with scripted(tmp_path, monkeypatch) as worker:
            await worker.ask({"say": [(0, {"kind": "first"}), (0, stray)]}, 5)
            with pytest.raises(ProcessDied):
                await worker.ask({"say": [(0, {"kind": "second"})]}, 5)
            assert not worker.started, "the file is not to blame"

    asyncio.run(program())


@pytest.mark.parametrize("number", [None, "2", [2], 3, 1])
def test_answer_with_a_wrong_number_is_rejected(
    number: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def program() -> None:
        async with scripted(tmp_path, monkeypatch) as worker:
            with pytest.raises(ProcessDied):
                await worker.ask({"say": [(0, {"kind": "other", "number": number})]}, 5)

    asyncio.run(program())


def test_time_limit_runs_from_the_start_of_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def program() -> None:
        async with scripted(tmp_path, monkeypatch) as worker:
            assert await worker.ask({"say": [(0.6, BEGUN), (0, {"kind": "done"})]}, 5, 0.3) == {"kind": "done"}
            with pytest.raises(TimeoutError):
                await worker.ask({"say": [(0, BEGUN), (0.6, {"kind": "late"})]}, 5, 0.3)
            assert worker.started

    asyncio.run(program())


def test_only_a_model_not_yet_loaded_gets_loading_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "START_TIMEOUT_S", 5.0)
    model = _model(tmp_path)

    async def program() -> None:
        async with scripted(tmp_path, monkeypatch, [(0.6, BEGUN), (0.0, {"kind": "done"})]) as worker:
            assert await worker.classify(FileJob(tmp_path / "song", model), 0.3) == {"kind": "done"}
            worker.models = [model]
            with pytest.raises(TimeoutError):
                await worker.classify(FileJob(tmp_path / "song", model), 0.3)
            assert not worker.started

    asyncio.run(program())


def _model(tmp_path: Path) -> ServedModel:
    bundle_for(tmp_path / "bundle", SamplesView(sr=SR, n_samples=400))
    return ModelStore({"mine": tmp_path / "bundle"}, tmp_path / "copies").get(None)
