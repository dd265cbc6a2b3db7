"""Program: a worker as the service sees it: a process that is asked in JSON."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

from genrelab.service.child import Child
from genrelab.service.limits import Limits
from genrelab.service.shelf import Model

BEGUN = {"begun": True}
"""What a worker says before it opens a file: from then on a death is the file's fault."""

BEGIN_S = 60.0
"""Seconds that a worker may take to begin, or to load what was loaded again."""

LONGEST_ANSWER = 1 << 24
"""Bytes; a timeline of all windows of the longest file is far below."""


class WorkerProcess(Child):
    """One worker, made by `begun`.

    Attributes:
        models: what it has loaded; held here, so that their copies stay on disk.
        begun: it began with the file that it was asked about last.
        worked: it began with any.
        since: when it was begun, by `time.monotonic`.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        super().__init__(process)
        self.models: Sequence[Model] = ()
        self.begun = self.worked = False
        self.since = time.monotonic()

    async def learn(self, models: Sequence[Model]) -> list[Model]:
        """Have it load what is served, and let go all else.

        Returns:
            those that it cannot load.

        Raises:
            TimeoutError, Dead: as `ask`.
        """
        said = await self.ask({"learn": [described(model) for model in models]}, BEGIN_S)
        self.models, learned = models, said.get("learned")
        return [m for m in models if not isinstance(learned, list) or str(m.path) not in learned]

    async def ask(self, order: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Its answer to an order (see `worker.py`).

        Raises:
            TimeoutError: it takes longer.
            Dead: there is none.
        """
        self.begun = False
        async with asyncio.timeout(seconds):
            await self.write(json.dumps(order).encode() + b"\n")
            while (said := await self.line()) == BEGUN:
                self.begun = self.worked = True
        return said


async def begun(limits: Limits) -> WorkerProcess:
    """A worker that has begun to begin. Who is cancelled meanwhile leaves none behind.

    Raises:
        OSError: this machine has no room for one more process.
    """
    arguments = (str(limits.audio_s), str(limits.worker_bytes))
    return await WorkerProcess.begin("genrelab.service.worker", *arguments, longest=LONGEST_ANSWER)


def described(model: Model) -> dict[str, Any]:
    """A model as a worker is told of it."""
    decision = {"min_precision": model.min_precision, "coverage": model.coverage}
    return {"path": str(model.path), "name": model.name} | decision
