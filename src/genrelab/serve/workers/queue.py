"""The queue of files to classify, and the pool of worker processes that take one after the other.

Workers are not trusted: one is killed when it takes too long, replaced when it dies, and its output is parsed as JSON
only. Workers that die before they have started a file are restarted with exponential backoff, and meanwhile jobs are
refused instead of waiting for ever.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
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
"""Backoff in seconds after a worker that died before it started a file: the first, and the maximum."""

PROVEN_S = 10.0
"""Seconds of life after which a worker that dies idle counts as one that had started well."""

STOPPING = "The service stops. Ask again in a moment."
NO_WORKER_DETAIL = "No worker is there to hear files; one is being begun. Ask again in a moment."


class JobRefused(Exception):  # noqa: N818 - reads as what it is
    """A file was not classified.

    Args:
        kind: of the problem, see `problems.py`.
        detail: what is wrong, and what to do; contains no file name.
        extra: further members of the problem: `decoders`, their error messages.
    """

    def __init__(self, kind: str, detail: str, extra: Mapping[str, str] | None = None) -> None:
        self.kind, self.detail, self.extra = kind, detail, dict(extra or {})
        super().__init__(f"{kind}: {detail}")


@dataclass(eq=False)
class _QueuedJob:
    """A job in the queue; `answer` will be the worker's response."""

    job: FileJob
    answer: asyncio.Future[dict[str, Any]]


class WorkerQueue:
    """Worker processes and their queue. Not thread-safe: for one event loop.

    Args:
        sleep: waits between restarts.

    Attributes:
        processed: number of files with a result, a prediction or a problem.
        in_progress: number of files that workers are processing.
        restarts: number of workers that were started in place of another.
    """

    def __init__(
        self, limits: Limits, model_store: ModelStore, *, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    ) -> None:
        self.limits, self.model_store, self._sleep = limits, model_store, sleep
        self.processed = self.in_progress = self.restarts = 0
        self._queue: deque[_QueuedJob] = deque()
        self._idle: deque[asyncio.Future[_QueuedJob | None]] = deque()  # one for each idle worker
        self._alive = self._failures = 0
        self._slots: list[asyncio.Task[None]] = []
        self._first_outcome = asyncio.Event()  # set when the first worker is ready, or has died
        self._loop: asyncio.AbstractEventLoop | None = None
        self._last_error = ""

    async def start(self) -> None:
        """Start the workers, and wait until one is ready. Does nothing where they are started.

        Where it is cancelled meanwhile no worker is left.

        Raises:
            SettingsError: the workers die while they start.
        """
        if self._loop is not None:
            return
        self._first_outcome, self._failures = asyncio.Event(), 0
        self._loop = asyncio.get_running_loop()
        self.model_store.watch(self._models_changed)
        self._slots = [asyncio.create_task(self._run_slot()) for _ in range(max(1, self.limits.workers))]
        try:
            await self._first_outcome.wait()
            if not self._alive:
                raise SettingsError(f"workers that hear files die before they begin: {self._last_error}")
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop the workers; queued and running jobs are refused."""
        if self._loop is not None:
            self.model_store.unwatch(self._models_changed)
            self._loop = None
        for slot in self._slots:
            slot.cancel()
        await asyncio.gather(*self._slots, return_exceptions=True)
        self._slots.clear()
        self._refuse_all("stopping", STOPPING)

    @property
    def waiting(self) -> int:
        """Number of jobs that no worker has taken."""
        return len(self._queue)

    @property
    def full(self) -> bool:
        """Would one more job be refused?"""
        return len(self._queue) - len(self._idle) >= self.limits.queue

    @property
    def ready(self) -> bool:
        """Is a worker ready, or being restarted after one that had worked?"""
        return self._loop is not None and (self._alive > 0 or (self._first_outcome.is_set() and not self._failures))

    async def classify(self, job: FileJob) -> dict[str, Any]:
        """Queue a file, and wait for its prediction.

        Where it is cancelled while the job is queued, the job is removed. A job that a worker has taken is finished, as
        far as the file still exists, and its result discarded.

        Returns:
            the object of `Prediction.to_json`, with empty `path`, and the name of the served model as `model`.

        Raises:
            JobRefused: the file was not classified.
        """
        if not self.ready:
            raise JobRefused("not-ready", NO_WORKER_DETAIL)
        if self.full:
            raise JobRefused("busy", f"{self.waiting} files wait to be heard. Ask again in a moment.")
        queued = _QueuedJob(job, asyncio.get_running_loop().create_future())
        self._queue.append(queued)
        self._dispatch()
        try:
            response = await queued.answer
        finally:
            with suppress(ValueError):
                self._queue.remove(queued)
        if "answer" not in response:
            extra = {key: str(response[key]) for key in ("decoders",) if key in response}
            raise JobRefused(str(response.get("kind")), str(response.get("detail")), extra)
        answer: dict[str, Any] = response["answer"]
        return answer

    def _dispatch(self) -> None:
        while self._queue and self._idle:
            self._idle.popleft().set_result(self._queue.popleft())

    def _models_changed(self) -> None:
        """Called by the thread that reloads bundles: idle workers load them now, the others after their job."""
        with suppress(RuntimeError):  # the loop has just been closed
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._wake_idle)

    def _wake_idle(self) -> None:
        while self._idle:
            self._idle.popleft().set_result(None)

    def _refuse_all(self, kind: str, detail: str) -> None:
        while self._queue:
            _set_answer(self._queue.popleft(), _refusal(kind, detail))

    # --- One slot of the pool: a worker, and after it the next ---

    async def _run_slot(self) -> None:
        while True:
            started_well = False
            try:
                worker = await start_worker(self.limits)
            except OSError as e:
                self._last_error = str(e)
            else:
                try:
                    started_well = await self._run_worker(worker)
                finally:
                    await worker.end()
                    self._last_error = worker.last_stderr_line
            await self._back_off(started_well)
            self.restarts += 1

    async def _run_worker(self, worker: WorkerProcess) -> bool:
        """Run a worker until it dies; False where it died before it had started well (see `PROVEN_S`)."""
        if await self._load_models(worker):
            self._alive += 1
            self._first_outcome.set()
            try:
                await self._serve_jobs(worker)
            finally:
                self._alive -= 1
        return worker.worked or time.monotonic() - worker.started_at > PROVEN_S

    async def _back_off(self, started_well: bool) -> None:
        """Sleep before the next worker is started: not after one that had started well, ever longer after others."""
        if started_well:
            self._failures = 0
            return
        self._failures += 1
        log.error("a worker died before it heard a file: %s", self._last_error)
        self._first_outcome.set()
        if not self._alive:
            self._refuse_all("not-ready", NO_WORKER_DETAIL)
        await self._sleep(min(MAX_RESTART_S, MIN_RESTART_S * 2 ** min(self._failures - 1, 10)))

    async def _load_models(self, worker: WorkerProcess) -> bool:
        """Have a worker load the served models; False where it dies, or can load none."""
        models = self.model_store.models()
        try:
            failed = await worker.load_models(models)
        except (ProcessDied, TimeoutError):
            return False
        if failed:
            log.error("a worker cannot load %s: %s", ", ".join(m.name for m in failed), worker.stderr_tail)
        return len(failed) < len(models)

    async def _serve_jobs(self, worker: WorkerProcess) -> None:
        """Give a worker jobs until it dies."""
        while worker.models == self.model_store.models() or await self._load_models(worker):
            queued = await self._next_job(worker)
            if worker.ended.done():  # while idle
                self._put_back(queued)
                return
            if queued is not None and not await self._process_job(worker, queued):
                return

    async def _next_job(self, worker: WorkerProcess) -> _QueuedJob | None:
        """The next job for a worker; None where it died, or where models may have to be loaded."""
        next_job: asyncio.Future[_QueuedJob | None] = asyncio.get_running_loop().create_future()
        self._idle.append(next_job)
        self._dispatch()
        try:
            await asyncio.wait((next_job, worker.ended), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._put_back(next_job.result() if next_job.done() else None)
            raise
        finally:
            with suppress(ValueError):
                self._idle.remove(next_job)
        return next_job.result() if next_job.done() else None

    def _put_back(self, queued: _QueuedJob | None) -> None:
        if queued is not None and not queued.answer.done():
            self._queue.appendleft(queued)
            self._dispatch()

    async def _process_job(self, worker: WorkerProcess, queued: _QueuedJob) -> bool:
        """Have a worker process a job; False where the worker must be replaced."""
        if queued.answer.done():  # the client has gone
            return True
        self.in_progress += 1
        try:
            response = await worker.classify(queued.job, self.limits.classify_s)
        except TimeoutError:
            response = _refusal(
                "took-too-long", f"{self.limits.classify_s:g} s were not enough. Send an excerpt of it."
            )
        except ProcessDied:
            if not worker.started:  # it died before it opened the file
                self._put_back(queued)
                return False
            log.warning("a worker died of a file: %s", worker.stderr_tail)
            response = _refusal("crashed", "The decoder crashed on it. Decode it elsewhere and send it as FLAC or WAV.")
        except asyncio.CancelledError:
            _set_answer(queued, _refusal("stopping", STOPPING))
            raise
        finally:
            self.in_progress -= 1
        self.processed += 1
        if response.get("kind") == "internal" and not queued.answer.done():  # else the file went with its client
            log.error("a worker failed: %s", worker.stderr_tail)
        _set_answer(queued, response)
        return response.get("kind") not in ("took-too-long", "crashed")


def _refusal(kind: str, detail: str) -> dict[str, Any]:
    return {"kind": kind, "detail": detail}


def _set_answer(queued: _QueuedJob, response: dict[str, Any]) -> None:
    if not queued.answer.done():
        queued.answer.set_result(response)
