"""Who hears the files: a line of orders, and worker processes that take one after the other.

A worker is trusted with nothing: it is killed when it takes too long, another takes its place when it dies, and what it
says is read as JSON. Workers that die before they have done anything are begun at longer and longer intervals, and
orders are refused meanwhile instead of waiting for ever.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from genrelab.core.errors import SettingsError
from genrelab.serve.limits import Limits
from genrelab.serve.model_store import ModelStore
from genrelab.serve.workers.client import FileJob, WorkerProcess, start_worker
from genrelab.serve.workers.subprocess import ProcessDied

__all__ = ["FileJob", "JobRefused", "WorkerQueue"]

log = logging.getLogger("genrelab.serve")

MIN_RESTART_S, MAX_RESTART_S = 0.5, 30.0
"""Seconds until a worker that died before it did anything is begun again: at first, and at most."""

PROVEN_S = 10.0
"""Seconds after which a worker that dies with nothing to do had begun well."""

STOPPING = "The service stops. Ask again in a moment."
NO_WORKER_DETAIL = "No worker is there to hear files; one is being begun. Ask again in a moment."


class JobRefused(Exception):  # noqa: N818 - reads as what it is
    """A file that was not heard.

    Args:
        kind: of the problem, see `problems.py`.
        detail: what was found, and what now; names no file.
        extra: what else is known: `decoders`, in their words.
    """

    def __init__(self, kind: str, detail: str, extra: Mapping[str, str] | None = None) -> None:
        self.kind, self.detail, self.extra = kind, detail, dict(extra or {})
        super().__init__(f"{kind}: {detail}")


@dataclass(eq=False)
class _QueuedJob:
    """An order in the line; its `answer` is the worker's object."""

    job: FileJob
    answer: asyncio.Future[dict[str, Any]]


class WorkerQueue:
    """Workers and the line before them. All of it in one event loop.

    Attributes:
        processed: files that were answered, by a prediction or by the reason why there is none.
        in_progress: files that are being heard.
        restarts: workers that were begun in another's place.
    """

    def __init__(self, limits: Limits, shelf: ModelStore) -> None:
        self.limits, self.model_store = limits, shelf
        self.processed = self.in_progress = self.restarts = 0
        self._queue: deque[_QueuedJob] = deque()
        self._idle: deque[asyncio.Future[_QueuedJob | None]] = deque()  # a turn of each worker that has nothing to do
        self._alive = self._failing = 0
        self._places: list[asyncio.Task[None]] = []
        self._known = asyncio.Event()  # set when something is known of the first workers
        self._loop: asyncio.AbstractEventLoop | None = None
        self._last_error = ""

    async def start(self) -> None:
        """Begin the workers, and wait until one is warm. Nothing where they have begun.

        Who is cancelled meanwhile leaves none behind.

        Raises:
            SettingsError: they die before they begin.
        """
        if self._loop is not None:
            return
        self._known, self._failing = asyncio.Event(), 0
        self._loop = asyncio.get_running_loop()
        self.model_store.watch(self._wake)
        self._places = [asyncio.create_task(self._place()) for _ in range(max(1, self.limits.workers))]
        try:
            await self._known.wait()
            if not self._alive:
                raise SettingsError(f"workers that hear files die before they begin: {self._last_error}")
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End the workers; orders that are under way are refused."""
        if self._loop is not None:
            self.model_store.unwatch(self._wake)
            self._loop = None
        for place in self._places:
            place.cancel()
        await asyncio.gather(*self._places, return_exceptions=True)
        self._places.clear()
        self._refuse_all("stopping", STOPPING)

    @property
    def waiting(self) -> int:
        """Orders that no worker has begun with."""
        return len(self._queue)

    @property
    def full(self) -> bool:
        """Would one more order be refused, because as many wait as may?"""
        return len(self._queue) - len(self._idle) >= self.limits.queue

    @property
    def ready(self) -> bool:
        """Does a worker live, or is one being begun in the place of one that had worked?"""
        return self._loop is not None and (self._alive > 0 or (self._known.is_set() and not self._failing))

    async def classify(self, order: FileJob) -> dict[str, Any]:
        """Hear a file when its turn comes.

        Who is cancelled while it waits gives its place back. A file that is being heard is heard on, as far as it is
        still there; what is said of it then is thrown away.

        Returns:
            the object of `Prediction.to_json`, `path` empty, `model` the name under which it is served.

        Raises:
            Refused: it was not heard.
        """
        if not self.ready:
            raise JobRefused("not-ready", NO_WORKER_DETAIL)
        if self.full:
            raise JobRefused("busy", f"{self.waiting} files wait to be heard. Ask again in a moment.")
        job = _QueuedJob(order, asyncio.get_running_loop().create_future())
        self._queue.append(job)
        self._dispatch()
        try:
            said = await job.answer
        finally:
            with suppress(ValueError):
                self._queue.remove(job)
        if "answer" not in said:
            extra = {key: str(said[key]) for key in ("decoders",) if key in said}
            raise JobRefused(str(said.get("kind")), str(said.get("detail")), extra)
        answer: dict[str, Any] = said["answer"]
        return answer

    def _dispatch(self) -> None:
        while self._queue and self._idle:
            self._idle.popleft().set_result(self._queue.popleft())

    def _wake(self) -> None:
        """Called by whatever thread loads bundles: workers with nothing to do load them now, the others afterwards."""
        with suppress(RuntimeError):  # the loop ends just now
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._wake_idle)

    def _wake_idle(self) -> None:
        while self._idle:
            self._idle.popleft().set_result(None)

    def _refuse_all(self, kind: str, detail: str) -> None:
        while self._queue:
            _set_answer(self._queue.popleft(), _refusal(kind, detail))

    # --- one place: a worker, and after it the next ---

    async def _place(self) -> None:
        while True:
            well = False
            try:
                worker = await start_worker(self.limits)
            except OSError as e:
                self._last_error = str(e)
            else:
                try:
                    well = await self._run_worker(worker)
                finally:
                    await worker.end()
                    self._last_error = worker.last_stderr_line
            await self._back_off(well)
            self.restarts += 1

    async def _run_worker(self, worker: WorkerProcess) -> bool:
        """A worker's life; False where it was over before it was any good."""
        if await self._load_models(worker):
            self._alive += 1
            self._known.set()
            try:
                await self._serve_jobs(worker)
            finally:
                self._alive -= 1
        return worker.worked or time.monotonic() - worker.started_at > PROVEN_S

    async def _back_off(self, well: bool) -> None:
        """None after a worker that was good for something, ever longer ones after others."""
        if well:
            self._failing = 0
            return
        self._failing += 1
        log.error("a worker died before it heard a file: %s", self._last_error)
        self._known.set()
        if not self._alive:
            self._refuse_all("not-ready", NO_WORKER_DETAIL)
        await asyncio.sleep(min(MAX_RESTART_S, MIN_RESTART_S * 2 ** min(self._failing - 1, 10)))

    async def _load_models(self, worker: WorkerProcess) -> bool:
        """Have a worker load what is served; False where it dies of it, or can load nothing."""
        models = self.model_store.models()
        try:
            lost = await worker.load_models(models)
        except (ProcessDied, TimeoutError):
            return False
        if lost:
            log.error("a worker cannot load %s: %s", ", ".join(m.name for m in lost), worker.stderr_tail)
        return len(lost) < len(models)

    async def _serve_jobs(self, worker: WorkerProcess) -> None:
        """Until it dies."""
        while worker.models == self.model_store.models() or await self._load_models(worker):
            job = await self._next_job(worker)
            if worker.ended.done():  # of something else than a file
                self._put_back(job)
                return
            if job is not None and not await self._process_job(worker, job):
                return

    async def _next_job(self, worker: WorkerProcess) -> _QueuedJob | None:
        """The next job for a worker; None where it died, or where there may be something to load."""
        turn: asyncio.Future[_QueuedJob | None] = asyncio.get_running_loop().create_future()
        self._idle.append(turn)
        self._dispatch()
        try:
            await asyncio.wait((turn, worker.ended), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._put_back(turn.result() if turn.done() else None)
            raise
        finally:
            with suppress(ValueError):
                self._idle.remove(turn)
        return turn.result() if turn.done() else None

    def _put_back(self, job: _QueuedJob | None) -> None:
        if job is not None and not job.answer.done():
            self._queue.appendleft(job)
            self._dispatch()

    async def _process_job(self, worker: WorkerProcess, job: _QueuedJob) -> bool:
        """Have a worker hear a file; False where the worker must go."""
        if job.answer.done():  # nobody waits for it any more
            return True
        self.in_progress += 1
        try:
            said = await worker.classify(job.job, self.limits.classify_s)
        except TimeoutError:
            said = _refusal("took-too-long", f"{self.limits.classify_s:g} s were not enough. Send an excerpt of it.")
        except ProcessDied:
            if not worker.started:  # it was dead already
                self._put_back(job)
                return False
            log.warning("a worker died of a file: %s", worker.stderr_tail)
            said = _refusal("crashed", "The decoder crashed on it. Decode it elsewhere and send it as FLAC or WAV.")
        except asyncio.CancelledError:
            _set_answer(job, _refusal("stopping", STOPPING))
            raise
        finally:
            self.in_progress -= 1
        self.processed += 1
        if said.get("kind") == "internal" and not job.answer.done():  # else the file went with who had sent it
            log.error("a worker failed: %s", worker.stderr_tail)
        _set_answer(job, said)
        return said.get("kind") not in ("took-too-long", "crashed")


def _refusal(kind: str, detail: str) -> dict[str, Any]:
    return {"kind": kind, "detail": detail}


def _set_answer(job: _QueuedJob, said: dict[str, Any]) -> None:
    if not job.answer.done():
        job.answer.set_result(said)
