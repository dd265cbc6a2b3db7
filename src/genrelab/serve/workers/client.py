"""The service's side of a worker: sends requests as JSON, and checks that each response is to the last request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from genrelab.serve.limits import Limits
from genrelab.serve.model_store import ServedModel
from genrelab.serve.workers.subprocess import ProcessDied, Subprocess

STARTED = {"started": True}
"""Sent by a worker before it opens a file: from then on its time runs, and its death counts as caused by the file."""

START_TIMEOUT_S = 60.0
"""Seconds that a worker may take to start, or to load models."""

MAX_ANSWER_BYTES = 1 << 24
"""Maximum size of a response; a worker sends a problem instead of a larger one."""


@dataclass(frozen=True)
class FileJob:
    """A file to classify.

    Attributes:
        path: of the file; where it is removed meanwhile, the result is lost.
        top, timeline, tags, describe: see `Prediction.to_json`.
        windows: see `Classifier.with_windows`.
        any_genre: see `Classifier.with_any`.
    """

    path: Path
    model: ServedModel
    top: int | None = None
    timeline: bool = False
    windows: int | Literal["all"] | None = None
    any_genre: bool = False
    tags: bool = False
    describe: bool = False


class WorkerProcess(Subprocess):
    """One worker, made by `start_worker`.

    Attributes:
        models: those that it has loaded; referenced here, so that their copies stay on disk.
        started: it has started on the file of the last request.
        worked: it has ever started on a file.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        super().__init__(process)
        self.models: Sequence[ServedModel] = ()
        self.started = self.worked = False
        self._number = 0

    async def load_models(self, models: Sequence[ServedModel]) -> list[ServedModel]:
        """Have it load `models`, and drop all others.

        Returns:
            those that it cannot load.

        Raises:
            TimeoutError, ProcessDied: as `ask`.
        """
        response = await self.ask({"load": [_model_to_json(model) for model in models]}, START_TIMEOUT_S)
        self.models, loaded = models, response.get("loaded")
        return [m for m in models if not isinstance(loaded, list) or str(m.path) not in loaded]

    async def classify(self, job: FileJob, seconds: float) -> dict[str, Any]:
        """Its response for a file. The seconds count from when the model is loaded, which has a timeout of its own.

        Raises:
            TimeoutError, ProcessDied: as `ask`.
        """
        request = vars(job) | {"path": str(job.path), "model": _model_to_json(job.model)}
        return await self.ask(request, START_TIMEOUT_S, seconds)

    async def ask(self, request: dict[str, Any], seconds: float, started_s: float = 0.0) -> dict[str, Any]:
        """Its response to a request (see `worker.py`).

        Args:
            seconds: timeout.
            started_s: timeout from when it reports that it has started, where it does.

        Raises:
            TimeoutError: it takes longer.
            ProcessDied: no response, or one to another request.
        """
        self._number, self.started = self._number + 1, False
        async with asyncio.timeout(seconds) as end:
            await self.write(json.dumps(request | {"number": self._number}).encode() + b"\n")
            response = await self._read_response()
            if response == STARTED:
                self.started = self.worked = True
                end.reschedule(asyncio.get_running_loop().time() + started_s)
                response = await self._read_response()
        return response

    async def _read_response(self) -> dict[str, Any]:
        response = await self.read_line()
        if response.pop("number", None) != self._number:
            raise ProcessDied
        return response


async def start_worker(limits: Limits) -> WorkerProcess:
    """A worker process that is still starting. Where this is cancelled meanwhile no process is left.

    Raises:
        OSError: the process cannot be created.
    """
    arguments = (str(limits.audio_s), str(limits.worker_bytes), str(MAX_ANSWER_BYTES))
    return await WorkerProcess.start("genrelab.serve.workers.worker", *arguments, longest=MAX_ANSWER_BYTES)


def _model_to_json(model: ServedModel) -> dict[str, Any]:
    """A model as sent to a worker."""
    return {"path": str(model.path), "name": model.name, "min_precision": model.min_precision}
