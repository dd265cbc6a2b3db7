"""The metrics of `/metrics`, in Prometheus's text format. No label value comes from a client."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
NO_ROUTE = "none"
"""The label `route` of a request that matches no route."""


class ServiceMetrics:
    """The counters and the histogram of one application."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series of creation times beside each
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "genrelab_requests", "Requests answered.", ["route", "method", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "genrelab_request_seconds",
            "Seconds from the head of a request to the end of its response.",
            ["route"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._files = Counter(
            "genrelab_files", "Files classified or refused.", ["model", "outcome"], registry=self.registry
        )
        self._audio = Counter(
            "genrelab_audio_seconds", "Duration of classified files in seconds.", ["model"], registry=self.registry
        )
        ProcessCollector(registry=self.registry)

    def count_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request was answered.

        Args:
            route: its template, never the requested path.
        """
        method = method if method in METHODS else "other"
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def file(self, model: str, outcome: str, audio_s: float | None = None) -> None:
        """A file was processed by a served model. `outcome` is `heard`: classified, or the kind of the problem."""
        self._files.labels(model, outcome).inc()
        if audio_s is not None:
            self._audio.labels(model).inc(audio_s)

    def text(self) -> bytes:
        """The body of `/metrics`, of type `CONTENT_TYPE`."""
        return generate_latest(self.registry)


class StateCollector(Collector):
    """The current state of queue, uploads, streams and shutdown, and the served models, read at every scrape."""

    def __init__(
        self, worker_queue: Any, model_store: Any, uploads: Any, streams: Any, draining: Any, version: str
    ) -> None:
        self._worker_queue, self._model_store, self._version = worker_queue, model_store, version
        self._uploads, self._streams, self._draining = uploads, streams, draining

    def describe(self) -> Iterable[Metric]:
        """Nothing: otherwise registering would collect."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """The metrics, read now."""
        queue, draining = self._worker_queue, self._draining
        for name, text, value in (
            ("files_waiting", "Files in the queue.", queue.waiting),
            ("files_hearing", "Files that workers are processing.", queue.in_progress),
            ("uploads", "Upload slots in use.", self._uploads.slots_in_use),
            ("streams", "Open streams.", self._streams.streams_open),
            ("requests_in_flight", "Requests that are being answered.", draining.in_flight),
            ("draining", "1 while the service is stopping.", int(draining.started)),
        ):
            yield GaugeMetricFamily(f"genrelab_{name}", text, value)
        yield CounterMetricFamily("genrelab_worker_restarts", "Workers that were replaced.", queue.restarts)
        yield InfoMetricFamily("genrelab_build", "The running version.", {"version": self._version})
        bundles = InfoMetricFamily("genrelab_bundle", "The served models.", labels=["model"])
        for model in self._model_store.models():
            bundles.add_metric([model.name], {key: str(model.about[key]) for key in ("fingerprint", "created_by")})
        yield bundles
