"""The metrics of `/metrics`, in Prometheus's text format. No label value comes from a client."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
NO_ROUTE = "none"
"""The label `route` of a request that matches no route."""


class QueueStatus(Protocol):
    """The figures of the worker queue that are reported."""

    @property
    def waiting(self) -> int: ...
    @property
    def in_progress(self) -> int: ...
    @property
    def restarts(self) -> int: ...


class ServiceMetrics:
    """The counters and the histogram of one application."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series of creation times beside each
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "genrelab_requests", "Requests that were answered.", ["route", "method", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "genrelab_request_seconds",
            "Seconds from a request's head to the end of its answer.",
            ["route"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._files = Counter(
            "genrelab_files", "Files that were heard or refused.", ["model", "outcome"], registry=self.registry
        )
        self._audio = Counter(
            "genrelab_audio_seconds", "Seconds that heard files last.", ["model"], registry=self.registry
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
        """A file was processed by a served model. `outcome` is `heard`, or the kind of the problem."""
        self._files.labels(model, outcome).inc()
        if audio_s is not None:
            self._audio.labels(model).inc(audio_s)

    def watch(self, state: Collector) -> None:
        """Register a collector that is read at every scrape."""
        self.registry.register(state)

    def text(self) -> bytes:
        """The body of `/metrics`, of type `CONTENT_TYPE`."""
        return generate_latest(self.registry)


class StateCollector(Collector):
    """The current state of queue, uploads, streams and shutdown, and the served models, read at every scrape."""

    def __init__(
        self, worker_queue: QueueStatus, model_store: Any, uploads: Any, streams: Any, draining: Any, version: str
    ) -> None:
        self._worker_queue, self._model_store, self._uploads, self._streams = (
            worker_queue,
            model_store,
            uploads,
            streams,
        )
        self._draining, self._version = draining, version

    def describe(self) -> Iterable[Metric]:
        return ()  # otherwise registering would collect

    def collect(self) -> Iterator[Metric]:
        worker_queue = self._worker_queue
        yield GaugeMetricFamily("genrelab_files_waiting", "Files that wait for a worker.", worker_queue.waiting)
        yield GaugeMetricFamily("genrelab_files_hearing", "Files that are being heard.", worker_queue.in_progress)
        yield CounterMetricFamily(
            "genrelab_worker_restarts", "Workers that were begun in the place of another.", worker_queue.restarts
        )
        yield GaugeMetricFamily("genrelab_uploads", "Bodies that are kept at the moment.", self._uploads.slots_in_use)
        yield GaugeMetricFamily("genrelab_streams", "Streams that are open.", self._streams.streams_open)
        yield GaugeMetricFamily("genrelab_requests_in_flight", "Requests under way.", self._draining.in_flight)
        yield GaugeMetricFamily("genrelab_draining", "1 while the service is stopping.", int(self._draining.started))
        build = GaugeMetricFamily("genrelab_build_info", "The version that runs.", labels=["version"])
        build.add_metric([self._version], 1)
        yield build
        yield self._bundles()

    def _bundles(self) -> Metric:
        family = GaugeMetricFamily(
            "genrelab_bundle_info", "The models that are served.", labels=["model", "fingerprint", "created_by"]
        )
        for model in self._model_store.models():
            about = model.about
            family.add_metric([model.name, str(about["fingerprint"]), str(about["created_by"])], 1)
        return family
