"""The queue of files to classify, and the pool of worker processes that take one after the other.

Workers are not trusted: one is killed when it takes too long, replaced when it dies, and its output is parsed as JSON
only. Workers that die before they have started a file are restarted with exponential backoff, and meanwhile jobs are
refused instead of waiting for ever.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from genrelab.core.errors import SettingsError
from genrelab.serve.limits import Limits
from genrelab.serve.model_store import ModelStore
from genrelab.serve.problems import KINDS, Problem, internal_problem, retry_later
from genrelab.serve.shutdown import shutdown_problem
from genrelab.serve.workers.client import FileJob, WorkerProcess, start_worker
from genrelab.serve.workers.subprocess import ProcessDied

__all__ = ["NO_WORKER", "FileJob", "WorkerQueue"]

log = logging.getLogger("genrelab.serve")

MIN_RESTART_S, MAX_RESTART_S = 0.5, 30.0
"""Backoff in seconds after a worker that died before it started a file: the first, and the maximum."""

NO_WORKER = "No worker is ready; one is starting. Try again in a moment."


@dataclass(eq=False)
class _QueuedJob:
    """A job in the queue; `answer` will be the worker's response, or raise a Problem."""

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
        self._wake = asyncio.Event()  # for idle workers: there may be a job, or another model
        self._idle = self._alive = self._failures = 0
        self._slots: list[asyncio.Task[None]] = []
        self._first_outcome = asyncio.Event()  # set when the first worker is ready, or has died
        self._started = False
        self._last_error = ""

    async def start(self) -> None:
        """Start the workers, and wait until one is ready. Does nothing where they are started.

        Where it is cancelled meanwhile no worker is left.

        Raises:
            SettingsError: the workers die while they start.
        """
        if self._started:
            return
        self._first_outcome, self._failures, self._started = asyncio.Event(), 0, True
        self._slots = [asyncio.create_task(self._run_slot()) for _ in range(max(1, self.limits.workers))]
        try:
            await self._first_outcome.wait()
            if not self._alive:
                raise SettingsError(f"the worker processes die while they start: {self._last_error}")
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop the workers; queued and running jobs are refused."""
        self._started = False
        for slot in self._slots:
            slot.cancel()
        await asyncio.gather(*self._slots, return_exceptions=True)
        self._slots.clear()
        self._refuse_all(shutdown_problem())

    @property
    def waiting(self) -> int:
        """Number of jobs that no worker has taken."""
        return len(self._queue)

    @property
    def full(self) -> bool:
        """Would one more job be refused?"""
        return len(self._queue) - self._idle >= self.limits.queue

    @property
    def ready(self) -> bool:
        """Is a worker ready, or being restarted after one that had worked?"""
        return self._started and (self._alive > 0 or (self._first_outcome.is_set() and not self._failures))

    async def classify(self, job: FileJob) -> dict[str, Any]:
        """Queue a file, and wait for its prediction.

        Where it is cancelled while the job is queued, the job is removed. A job that a worker has taken is finished, as
        far as the file still exists, and its result discarded.

        Returns:
            the object of `Prediction.to_json`, with empty `path`, and the name of the served model as `model`.

        Raises:
            Problem: the file was not classified; its detail contains no file name.
        """
        if not self.ready:
            raise retry_later("not-ready", NO_WORKER, 5)
        if self.full:
            raise retry_later("busy", "The queue is full. Try again in a moment.", 1)
        queued = _QueuedJob(job, asyncio.get_running_loop().create_future())
        self._queue.append(queued)
        self.wake_workers()
        try:
            response = await queued.answer
        finally:
            with suppress(ValueError):
                self._queue.remove(queued)
        if "answer" in response:
            answer: dict[str, Any] = response["answer"]
            return answer
        if response.get("kind") not in KINDS or response["kind"] == "internal":
            raise internal_problem()
        raise Problem(response["kind"], str(response.get("detail")))

    def wake_workers(self) -> None:
        """Idle workers take a job, or load changed models; the others do so after their job."""
        self._wake.set()

    def _refuse_all(self, problem: Problem) -> None:
        while self._queue:
            _set_answer(self._queue.popleft(), problem)

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
                    await self._run_worker(worker)
                finally:
                    await worker.end()
                    started_well = worker.worked
                    self._last_error = worker.stderr_tail.rpartition("\\n")[2]
            await self._back_off(started_well)
            self.restarts += 1

    async def _run_worker(self, worker: WorkerProcess) -> None:
        """Run a worker until it dies."""
        if await self._load_models(worker):
            self._alive += 1
            self._first_outcome.set()
            try:
                await self._serve_jobs(worker)
            finally:
                self._alive -= 1

    async def _back_off(self, started_well: bool) -> None:
        """Sleep before the next worker is started: not after one that had started well, ever longer after others."""
        if started_well:
            self._failures = 0
            return
        self._failures += 1
        log.error("a worker died before it processed a file: %s", self._last_error)
        self._first_outcome.set()
        if not self._alive:
            self._refuse_all(retry_later("not-ready", NO_WORKER, 5))
        await self._sleep(min(MAX_RESTART_S, MIN_RESTART_S * 2 ** min(self._failures - 1, 10)))

    async def _load_models(self, worker: WorkerProcess) -> bool:
        """Have a worker load the served models; False where it dies, or cannot load any."""
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
            if worker.ended.done():  # while idle
                return
            if not self._queue:
                await self._wait_for_work(worker)
            elif not await self._process_job(worker, self._queue.popleft()):
                return

    async def _wait_for_work(self, worker: WorkerProcess) -> None:
        self._wake.clear()
        waking = asyncio.ensure_future(self._wake.wait())
        self._idle += 1
        try:
            await asyncio.wait((waking, worker.ended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._idle -= 1
            waking.cancel()

    async def _process_job(self, worker: WorkerProcess, queued: _QueuedJob) -> bool:
        """Have a worker process a job; False where the worker must be replaced."""
        if queued.answer.done():  # the client has gone
            return True
        self.in_progress += 1
        answer: dict[str, Any] | Problem
        try:
            answer = await worker.classify(queued.job, self.limits.classify_s)
        except TimeoutError:
            answer = self._timeout_problem(queued.job, file_started=worker.started)
        except ProcessDied:
            if not worker.started:  # it died before it opened the file
                self._queue.appendleft(queued)
                self.wake_workers()
                return False
            log.warning("a worker died while it processed a file: %s", worker.stderr_tail)
            answer = Problem("crashed", "Decode the file with another program, and send it as FLAC or WAV.")
        except asyncio.CancelledError:
            _set_answer(queued, shutdown_problem())
            raise
        finally:
            self.in_progress -= 1
        self.processed += 1
        if isinstance(answer, dict) and answer.get("kind") == "internal" and not queued.answer.done():
            log.error("a worker failed: %s", worker.stderr_tail)  # not where the file went with its client
        _set_answer(queued, answer)
        return isinstance(answer, dict)

    def _timeout_problem(self, job: FileJob, *, file_started: bool) -> Problem:
        if file_started:
            return Problem(
                "took-too-long", f"Classifying it took more than {self.limits.classify_s:g} s. Send an excerpt of it."
            )
        log.error("a worker did not load the model %s in time", job.model.name)
        return retry_later("model-not-loaded", "The worker that should load it is being replaced. Try again later.", 10)


def _set_answer(queued: _QueuedJob, answer: dict[str, Any] | Problem) -> None:
    if queued.answer.done():
        return
    if isinstance(answer, Problem):
        queued.answer.set_exception(answer)
    else:
        queued.answer.set_result(answer)
