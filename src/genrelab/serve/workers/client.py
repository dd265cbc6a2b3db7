"""A worker as the service sees it: a process that is asked in JSON, and believed as far as its numbers go."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from genrelab.serve.limits import Limits
from genrelab.serve.model_store import ServedModel
from genrelab.serve.workers.subprocess import ProcessDied, Subprocess

STARTED = {"begun": True}
"""What a worker says before it opens a file: from then on a death is the file's fault, and its time runs."""

START_TIMEOUT_S = 60.0
"""Seconds that a worker may take to begin, or to load what was loaded again."""

MAX_ANSWER_BYTES = 1 << 24
"""Bytes; a worker refuses to say more."""


@dataclass(frozen=True)
class FileJob:
    """A file to be heard.

    Attributes:
        path: of the file; where it goes away meanwhile, so does the answer.
        top, timeline: see `Prediction.to_json`.
        windows: see `Classifier.with_windows`.
    """

    path: Path
    model: ServedModel
    top: int | None = None
    timeline: bool = False
    windows: int | Literal["all"] | None = None


class WorkerProcess(Subprocess):
    """One worker, made by `start_worker`.

    Attributes:
        models: what it has loaded; held here, so that their copies stay on disk.
        started: it began with the file that it was asked about last.
        worked: it began with any.
        started_at: when it was begun, by `time.monotonic`.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        super().__init__(process)
        self.models: Sequence[ServedModel] = ()
        self.started = self.worked = False
        self.started_at = time.monotonic()
        self._number = 0

    async def load_models(self, models: Sequence[ServedModel]) -> list[ServedModel]:
        """Have it load what is served, and let go all else.

        Returns:
            those that it cannot load.

        Raises:
            TimeoutError, Dead: as `ask`.
        """
        said = await self.ask({"learn": [_model_to_json(model) for model in models]}, START_TIMEOUT_S)
        self.models, learned = models, said.get("learned")
        return [m for m in models if not isinstance(learned, list) or str(m.path) not in learned]

    async def classify(self, order: FileJob, seconds: float) -> dict[str, Any]:
        """What it says of a file. A model that is served no more may have to be loaded first; that time is not counted.

        Raises:
            TimeoutError, Dead: as `ask`.
        """
        asked: dict[str, Any] = {"hear": str(order.path), "model": _model_to_json(order.model)}
        asked |= {"top": order.top, "timeline": order.timeline, "windows": order.windows}
        return await self.ask(asked, seconds if order.model in self.models else START_TIMEOUT_S, seconds)

    async def ask(self, order: dict[str, Any], seconds: float, begun_s: float = 0.0) -> dict[str, Any]:
        """Its answer to an order (see `worker.py`).

        Args:
            seconds: that it may take.
            begun_s: that it may take from when it has begun, where it says so.

        Raises:
            TimeoutError: it takes longer.
            Dead: there is none, or one to another order.
        """
        self._number, self.started = self._number + 1, False
        async with asyncio.timeout(seconds) as end:
            await self.write(json.dumps(order | {"number": self._number}).encode() + b"\n")
            said = await self._read_answer()
            if said == STARTED:
                self.started = self.worked = True
                end.reschedule(asyncio.get_running_loop().time() + begun_s)
                said = await self._read_answer()
        return said

    async def _read_answer(self) -> dict[str, Any]:
        said = await self.read_line()
        if said.pop("number", None) != self._number:
            raise ProcessDied
        return said


async def start_worker(limits: Limits) -> WorkerProcess:
    """A worker that has begun to begin. Who is cancelled meanwhile leaves none behind.

    Raises:
        OSError: this machine has no room for one more process.
    """
    arguments = (str(limits.audio_s), str(limits.worker_bytes), str(MAX_ANSWER_BYTES))
    return await WorkerProcess.start("genrelab.serve.workers.worker", *arguments, longest=MAX_ANSWER_BYTES)


def _model_to_json(model: ServedModel) -> dict[str, Any]:
    """A model as a worker is told of it."""
    decision = {"min_precision": model.min_precision, "coverage": model.coverage}
    return {"path": str(model.path), "name": model.name} | decision
