"""The request handlers of the HTTP API."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import Response

from genrelab.core.text import pluralize
from genrelab.predict.prediction import Prediction
from genrelab.serve.http.body import ClientDisconnected
from genrelab.serve.http.spool import Upload
from genrelab.serve.http.uploads import Uploads
from genrelab.serve.limits import Limits
from genrelab.serve.metrics import CONTENT_TYPE, ServiceMetrics
from genrelab.serve.model_store import ModelStore, ServedModel
from genrelab.serve.problems import Problem, json_response, retry_later
from genrelab.serve.schemas import PredictQuery, UploadLimits
from genrelab.serve.shutdown import Draining, run_unless
from genrelab.serve.workers.queue import NO_WORKER, FileJob, WorkerQueue

BATCH_WAIT_S = 60.0
"""Seconds that a file of a batch waits for a free place in the worker queue."""
SERVICE_PROBLEMS = ("busy", "model-not-loaded", "not-ready", "stopping")
"""Problems of the service, not of a file: a later request for the same file may succeed."""
FILE_S, MAX_RETRY_S = 1.0, 300.0
"""For Retry-After: the assumed seconds that a file takes, and the maximum."""


@dataclass(frozen=True, eq=False)
class Handlers:
    """The handlers, as methods. Their docstrings are the descriptions in /openapi.json."""

    limits: Limits
    model_store: ModelStore
    worker_queue: WorkerQueue
    uploads: Uploads
    service_metrics: ServiceMetrics
    draining: Draining

    async def health(self) -> Response:
        """Answers 200 while the process runs, also while no worker is ready."""
        return json_response({"status": "live"})

    async def ready(self) -> Response:
        """Answers 200 while files can be classified, else 503."""
        if self.draining.started:
            raise retry_later("not-ready", "The service is stopping.", 5)
        self._refuse_if_not_ready()
        return json_response({"status": "ready"})

    async def metrics(self) -> Response:
        """Requests, files, queue, workers and models, in the text format of Prometheus."""
        return Response(self.service_metrics.text(), media_type=CONTENT_TYPE)

    async def models(self) -> Response:
        """Every served model, which one is the default, and the limits on uploads."""
        content = {"default": self.model_store.default, "version": version("genrelab")}
        limits = {name: getattr(self.limits, name) for name in UploadLimits.model_fields}
        return json_response({**content, "models": [m.about for m in self.model_store.models()], "limits": limits})

    async def model(self, name: str) -> Response:
        """One model, as in the list, with its model card."""
        model = self.model_store.get(name)
        return json_response({**model.about, "card": model.card})

    async def predict(self, request: Request, query: Annotated[PredictQuery, Query()]) -> Response:
        """Send the file in a form, or as the body itself.

        Its format is recognised by its content: neither the name nor the content type matters.
        """
        return await self._answer(request, query, batch=False)

    async def batch(self, request: Request, query: Annotated[PredictQuery, Query()]) -> Response:
        """Returns one result for each file, in the order of the form.

        The result of a file that cannot be classified has an `error`; the others are not affected.
        """
        return await self._answer(request, query, batch=True)

    async def _answer(self, request: Request, query: PredictQuery, *, batch: bool) -> Response:
        model = self.model_store.get(query.model)
        self._refuse_if_full()
        async with self.uploads.received(request, batch=batch, again_s=self._queue_s()) as files:
            work = self._classify_all(files, model, query) if batch else self._classify(files[0], model, query)
            return json_response(await run_unless(_wait_for_disconnect(request), work, ClientDisconnected))

    def _refuse_if_not_ready(self) -> None:
        if not self.worker_queue.ready:
            raise retry_later("not-ready", NO_WORKER, 3)

    def _refuse_if_full(self) -> None:
        self._refuse_if_not_ready()
        if self.worker_queue.full:
            raise self._busy()

    def _busy(self) -> Problem:
        waiting = self.worker_queue.waiting
        why = f"{pluralize(waiting, 'file')} in the queue." if waiting else "All workers are busy."
        return retry_later("busy", f"{why} Try again later.", self._queue_s())

    def _queue_s(self) -> float:
        """Estimated seconds until all files in the queue and in progress are processed."""
        files = self.worker_queue.waiting + self.worker_queue.in_progress
        return min(FILE_S * files / max(1, self.limits.workers), MAX_RETRY_S)

    async def _classify(self, file: Upload, model: ServedModel, query: PredictQuery) -> dict[str, Any]:
        """The model's prediction for a file, as its JSON object.

        Raises:
            Problem: the file was refused.
        """
        job = FileJob(file.path, model, query.top, query.timeline, query.windows, query.any, query.tags, query.describe)
        try:
            prediction = await self.worker_queue.classify(job)
        except Problem as e:
            if e.kind == "busy":
                raise self._busy() from e
            if e.kind not in SERVICE_PROBLEMS:
                self.service_metrics.file(model.name, e.kind)
            raise
        self.service_metrics.file(model.name, "heard", prediction["duration_s"])
        return {**prediction, "path": file.name, "model": model.name}

    async def _classify_all(self, files: list[Upload], model: ServedModel, query: PredictQuery) -> list[dict[str, Any]]:
        """One after the other: a batch never takes more than one place in the queue."""
        results = []
        for file in files:
            try:
                results.append(await self._classify_when_free(file, model, query))
            except Problem as e:
                failed = Prediction(file.name, None, None, {}, None, model.name, f"{e.title}: {e.detail}")
                results.append(failed.to_json(describe=query.describe) | {"problem": e.kind})
        return results

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
    while (await request.receive())["type"] != "http.disconnect":
        pass
