"""What the addresses of the service answer."""

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
"""Seconds that a file of a batch waits for a place among the files that wait for a worker."""
SERVICE_PROBLEMS = ("busy", "not-ready", "stopping")
"""Refusals that say nothing of a file: another time it may be heard."""
FIRST_GUESS_S = 1.0
"""Seconds that a file takes, before one has been heard."""


class WaitEstimate:
    """How fast files are heard, to tell clients when to come again."""

    def __init__(self, workers: int) -> None:
        self._workers, self._file_s = max(1, workers), FIRST_GUESS_S

    def processed(self, seconds: float, ahead: int) -> None:
        """A file was heard, or refused, in so many seconds, its waiting for so many others with it."""
        alone_s = seconds / (1 + ahead / self._workers)
        self._file_s += 0.2 * (alone_s - self._file_s)

    def until_done(self, files: int) -> float:
        """Seconds until so many are heard."""
        return min(self._file_s * files / self._workers, 300.0)


class Handlers:
    """Answers requests.

    Args:
        draining: whether the service is stopping.
    """

    def __init__(
        self,
        limits: Limits,
        shelf: ModelStore,
        ears: WorkerQueue,
        uploads: Uploads,
        gauges: ServiceMetrics,
        draining: Draining,
    ) -> None:
        self.limits, self.model_store, self.worker_queue, self.uploads = limits, shelf, ears, uploads
        self.gauges, self.draining = gauges, draining
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
        return Response(self.gauges.text(), media_type=CONTENT_TYPE)

    async def models(self) -> Response:
        """Which models are served, which is the default, and what may be sent."""
        limits = self.limits
        offer = {"upload_bytes": limits.upload_bytes, "audio_s": limits.audio_s, "batch_files": limits.batch_files}
        offer |= {"batch_bytes": limits.batch_bytes, "streams": limits.streams}
        models = [model.about for model in self.model_store.models()]
        return json_response(
            {"default": self.model_store.default, "version": version("genrelab"), "models": models, "limits": offer}
        )

    async def model(self, name: str) -> Response:
        """One of them, with its card."""
        model = self._model(name)
        return json_response({**model.about, "card": model.card})

    async def predict(self, request: Request, wish: Annotated[PredictQuery, Query()]) -> Response:
        """The genre of a recording.

        Send the file as a form's or as the body itself; its content says what format it has, neither its name nor its
        type.
        """
        model = self._model(wish.model)
        self._refuse_if_full()
        async with self.uploads.received(request, batch=False, again_s=self._queue_s()) as files:
            return json_response(
                await run_unless(
                    _wait_for_disconnect(request), self._classify(files[0], model, wish), ClientDisconnected
                )
            )

    async def batch(self, request: Request, wish: Annotated[PredictQuery, Query()]) -> Response:
        """The genres of several recordings, in their order. One that cannot be heard says so in its place."""
        model = self._model(wish.model)
        self._refuse_if_full()
        async with self.uploads.received(request, batch=True, again_s=self._queue_s()) as files:
            return json_response(
                await run_unless(
                    _wait_for_disconnect(request), self._classify_all(files, model, wish), ClientDisconnected
                )
            )

    def _model(self, name: str | None) -> ServedModel:
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
        many = f"{waiting} files wait to be heard." if waiting > 1 else "A file waits to be heard."
        return retry_later("busy", many if waiting else "All workers are hearing files.", self._queue_s())

    def _queue_s(self) -> float:
        """Seconds until all that are here now are heard."""
        return self.wait_estimate.until_done(self.worker_queue.waiting + self.worker_queue.in_progress)

    async def _classify(self, file: Upload, model: ServedModel, wish: PredictQuery) -> dict[str, Any]:
        """What the model says of a file.

        Raises:
            Problem: it cannot be heard.
        """
        order = FileJob(file.path, model, wish.top, wish.timeline, wish.windows)
        loop, ahead = asyncio.get_running_loop(), self.worker_queue.waiting
        began = loop.time()
        try:
            said = await self.worker_queue.classify(order)
        except JobRefused as e:
            problem = self._problem(e)
            if problem.kind not in SERVICE_PROBLEMS:
                self.wait_estimate.processed(loop.time() - began, ahead)
                self.gauges.file(model.name, problem.kind)
            raise problem from e
        self.wait_estimate.processed(loop.time() - began, ahead)
        self.gauges.file(model.name, "heard", said["duration_s"])
        return {**said, "path": file.name, "model": model.name}

    def _problem(self, refused: JobRefused) -> Problem:
        if refused.kind == "busy":
            return self._busy()
        if refused.kind in SERVICE_PROBLEMS:
            return retry_later(refused.kind, refused.detail, 5)
        if refused.kind not in KINDS:
            return internal_problem()
        return Problem(refused.kind, refused.detail, extra=refused.extra)

    async def _classify_all(self, files: list[Upload], model: ServedModel, wish: PredictQuery) -> list[dict[str, Any]]:
        """One after the other: a batch never takes more than one place."""
        return [await self._classify_or_problem(file, model, wish) for file in files]

    async def _classify_or_problem(self, file: Upload, model: ServedModel, wish: PredictQuery) -> dict[str, Any]:
        try:
            return await self._classify_when_free(file, model, wish)
        except Problem as e:
            nothing: dict[str, Any] = {
                "genre": None,
                "confidence": None,
                "probabilities": {},
                "duration_s": None,
                "model": model.name,
            }
            return {"path": file.name, **nothing, "error": f"{e.title}: {e.detail}", "problem": e.kind}

    async def _classify_when_free(self, file: Upload, model: ServedModel, wish: PredictQuery) -> dict[str, Any]:
        """Waits for a place where half of them are taken: the others are for who sends one file."""
        loop = asyncio.get_running_loop()
        until = loop.time() + BATCH_WAIT_S
        while True:
            while self._is_crowded() and loop.time() < until:
                await asyncio.sleep(0.05)
            try:
                return await self._classify(file, model, wish)
            except Problem as e:
                if e.kind != "busy" or loop.time() >= until:
                    raise
                await asyncio.sleep(0.05)

    def _is_crowded(self) -> bool:
        return self.worker_queue.full or 0 < self.limits.queue <= 2 * self.worker_queue.waiting


async def _wait_for_disconnect(request: Request) -> None:
    """Returns when the client is gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def json_response(content: Any) -> Response:
    """JSON, built once."""
    body = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(body.encode("utf-8", "replace"), media_type="application/json")
