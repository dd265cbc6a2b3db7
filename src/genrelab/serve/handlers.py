"""The request handlers of the HTTP API."""

from __future__ import annotations

import asyncio
import json
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import Response

from genrelab.serve.http.body import ClientDisconnected
from genrelab.serve.http.spool import Upload
from genrelab.serve.http.uploads import Uploads
from genrelab.serve.limits import Limits
from genrelab.serve.metrics import CONTENT_TYPE, ServiceMetrics
from genrelab.serve.model_store import ModelStore, ServedModel
from genrelab.serve.problems import KINDS, Problem, internal_problem, quoted, retry_later
from genrelab.serve.schemas import PredictQuery
from genrelab.serve.shutdown import Draining, run_unless
from genrelab.serve.workers.queue import FileJob, JobRefused, WorkerQueue

BATCH_WAIT_S = 60.0
"""Seconds that a file of a batch waits for a free place in the worker queue."""
SERVICE_PROBLEMS = ("busy", "not-ready", "stopping")
"""Problems of the service, not of a file: a later request for the same file may succeed."""
FIRST_GUESS_S = 1.0
"""Assumed processing time of a file, in seconds, before one has been measured."""


class WaitEstimate:
    """Moving average of the processing time of a file, for the Retry-After of refusals."""

    def __init__(self, workers: int) -> None:
        self._workers, self._file_s = max(1, workers), FIRST_GUESS_S

    def processed(self, seconds: float, ahead: int) -> None:
        """A file was classified or refused after `seconds`, which include the wait for `ahead` queued files."""
        own_s = seconds / (1 + ahead / self._workers)
        self._file_s += 0.2 * (own_s - self._file_s)

    def until_done(self, files: int) -> float:
        """Seconds until that many files are processed, at most 300."""
        return min(self._file_s * files / self._workers, 300.0)


class Handlers:
    """The handlers, as methods.

    Args:
        draining: the shutdown state.
    """

    def __init__(
        self,
        limits: Limits,
        model_store: ModelStore,
        worker_queue: WorkerQueue,
        uploads: Uploads,
        metrics: ServiceMetrics,
        draining: Draining,
    ) -> None:
        self.limits, self.model_store, self.worker_queue, self.uploads = limits, model_store, worker_queue, uploads
        self.service_metrics, self.draining = metrics, draining
        self.wait_estimate = WaitEstimate(limits.workers)

    async def health(self) -> Response:
        """Does the service run?"""
        return json_response({"status": "live"})

    async def ready(self) -> Response:
        """Can a file be heard now?"""
        if self.draining.started:
            raise retry_later("not-ready", "The service is being stopped.", 5)
        self._refuse_if_not_ready()
        return json_response({"status": "ready"})

    async def metrics(self) -> Response:
        """Figures for Prometheus."""
        return Response(self.service_metrics.text(), media_type=CONTENT_TYPE)

    async def models(self) -> Response:
        """Which models are served, which is the default, and what may be sent."""
        limits = self.limits
        limits_json = {
            "upload_bytes": limits.upload_bytes,
            "audio_s": limits.audio_s,
            "batch_files": limits.batch_files,
        }
        limits_json |= {"batch_bytes": limits.batch_bytes, "streams": limits.streams}
        models = [model.about for model in self.model_store.models()]
        return json_response(
            {
                "default": self.model_store.default,
                "version": version("genrelab"),
                "models": models,
                "limits": limits_json,
            }
        )

    async def model(self, name: str) -> Response:
        """One of them, with its card."""
        model = self._find_model(name)
        return json_response({**model.about, "card": model.card})

    async def predict(self, request: Request, query: Annotated[PredictQuery, Query()]) -> Response:
        """The genre of a recording.

        Send the file as a form's or as the body itself; its content says what format it has, neither its name nor its
        type.
        """
        model = self._find_model(query.model)
        self._refuse_if_full()
        async with self.uploads.received(request, batch=False, again_s=self._queue_s()) as files:
            return json_response(
                await run_unless(
                    _wait_for_disconnect(request), self._classify(files[0], model, query), ClientDisconnected
                )
            )

    async def batch(self, request: Request, query: Annotated[PredictQuery, Query()]) -> Response:
        """The genres of several recordings, in their order. One that cannot be heard says so in its place."""
        model = self._find_model(query.model)
        self._refuse_if_full()
        async with self.uploads.received(request, batch=True, again_s=self._queue_s()) as files:
            return json_response(
                await run_unless(
                    _wait_for_disconnect(request), self._classify_all(files, model, query), ClientDisconnected
                )
            )

    def _find_model(self, name: str | None) -> ServedModel:
        try:
            return self.model_store.get(name)
        except KeyError:
            names = ", ".join(model.name for model in self.model_store.models())
            raise Problem("unknown-model", f"No model is called {quoted(name or '')}. There is: {names}.") from None

    def _refuse_if_not_ready(self) -> None:
        if not self.worker_queue.ready:
            raise retry_later("not-ready", "No worker is there to hear a file; one is being begun.", 3)

    def _refuse_if_full(self) -> None:
        self._refuse_if_not_ready()
        if self.worker_queue.full:
            raise self._busy()

    def _busy(self) -> Problem:
        waiting = self.worker_queue.waiting
        detail = f"{waiting} files wait to be heard." if waiting > 1 else "A file waits to be heard."
        return retry_later("busy", detail if waiting else "All workers are hearing files.", self._queue_s())

    def _queue_s(self) -> float:
        """Estimated seconds until all files in the queue and in progress are processed."""
        return self.wait_estimate.until_done(self.worker_queue.waiting + self.worker_queue.in_progress)

    async def _classify(self, file: Upload, model: ServedModel, query: PredictQuery) -> dict[str, Any]:
        """The model's prediction for a file, as its JSON object.

        Raises:
            Problem: the file was refused.
        """
        job = FileJob(file.path, model, query.top, query.timeline, query.windows, query.any, query.tags)
        loop, ahead = asyncio.get_running_loop(), self.worker_queue.waiting
        start = loop.time()
        try:
            prediction = await self.worker_queue.classify(job)
        except JobRefused as e:
            problem = self._to_problem(e)
            if problem.kind not in SERVICE_PROBLEMS:
                self.wait_estimate.processed(loop.time() - start, ahead)
                self.service_metrics.file(model.name, problem.kind)
            raise problem from e
        self.wait_estimate.processed(loop.time() - start, ahead)
        self.service_metrics.file(model.name, "heard", prediction["duration_s"])
        return {**prediction, "path": file.name, "model": model.name}

    def _to_problem(self, refused: JobRefused) -> Problem:
        if refused.kind == "busy":
            return self._busy()
        if refused.kind in SERVICE_PROBLEMS:
            return retry_later(refused.kind, refused.detail, 5)
        if refused.kind not in KINDS:
            return internal_problem()
        return Problem(refused.kind, refused.detail, extra=refused.extra)

    async def _classify_all(self, files: list[Upload], model: ServedModel, query: PredictQuery) -> list[dict[str, Any]]:
        """One after the other: a batch never takes more than one place in the queue."""
        return [await self._classify_or_problem(file, model, query) for file in files]

    async def _classify_or_problem(self, file: Upload, model: ServedModel, query: PredictQuery) -> dict[str, Any]:
        try:
            return await self._classify_when_free(file, model, query)
        except Problem as e:
            no_prediction: dict[str, Any] = {
                "genre": None,
                "confidence": None,
                "probabilities": {},
                "unknown_because": None,
                "duration_s": None,
                "model": model.name,
            }
            return {
                "path": file.name,
                **no_prediction,
                "error": f"{e.title}: {e.detail}",
                "notes": [],
                "problem": e.kind,
            }

    async def _classify_when_free(self, file: Upload, model: ServedModel, query: PredictQuery) -> dict[str, Any]:
        """Waits while half of the queue is taken: the other half is kept for requests with a single file."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + BATCH_WAIT_S
        while True:
            while self._is_crowded() and loop.time() < deadline:
                await asyncio.sleep(0.05)
            try:
                return await self._classify(file, model, query)
            except Problem as e:
                if e.kind != "busy" or loop.time() >= deadline:
                    raise
                await asyncio.sleep(0.05)

    def _is_crowded(self) -> bool:
        return self.worker_queue.full or 0 < self.limits.queue <= 2 * self.worker_queue.waiting


async def _wait_for_disconnect(request: Request) -> None:
    """Returns when the client has disconnected."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def json_response(content: Any) -> Response:
    """A response with `content` as compact JSON."""
    body = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(body.encode("utf-8", "replace"), media_type="application/json")
