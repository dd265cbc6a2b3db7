from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("prometheus_client")
from prometheus_client.parser import text_string_to_metric_families

from genrelab.serve.metrics import ServiceMetrics, StateCollector


class FakeModelStore:
    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint

    def models(self) -> list[Any]:
        return [SimpleNamespace(name="m", about={"fingerprint": self.fingerprint, "created_by": "genrelab 0"})]


def samples(gauges: ServiceMetrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    families = text_string_to_metric_families(gauges.text().decode())
    return {(s.name, frozenset(s.labels.items())): s.value for f in families for s in f.samples}


def value_of(found: dict[Any, float], name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def test_requests_are_counted_by_route_and_known_method() -> None:
    gauges = ServiceMetrics()
    gauges.count_request("/v1/models/{name}", "GET", 200, 0.02)
    gauges.count_request("/v1/models/{name}", "GET", 200, 0.3)
    gauges.count_request("none", "PWN", 404, 0.001)
    found = samples(gauges)
    assert value_of(found, "genrelab_requests_total", route="/v1/models/{name}", method="GET", status="200") == 2
    assert value_of(found, "genrelab_requests_total", route="none", method="other", status="404") == 1
    assert value_of(found, "genrelab_request_seconds_count", route="/v1/models/{name}") == 2
    assert value_of(found, "genrelab_request_seconds_bucket", route="/v1/models/{name}", le="0.025") == 1


def test_files_are_counted_by_model_and_outcome() -> None:
    gauges = ServiceMetrics()
    gauges.file("m", "heard", 12.5)
    gauges.file("m", "damaged")
    found = samples(gauges)
    assert value_of(found, "genrelab_files_total", model="m", outcome="heard") == 1
    assert value_of(found, "genrelab_files_total", model="m", outcome="damaged") == 1
    assert value_of(found, "genrelab_audio_seconds_total", model="m") == 12.5


def test_state_metrics_are_read_when_scraped() -> None:
    gauges, worker_queue, store = (
        ServiceMetrics(),
        SimpleNamespace(waiting=1, in_progress=2, restarts=3),
        FakeModelStore("a"),
    )
    state = SimpleNamespace(slots_in_use=4, streams_open=5, in_flight=6, started=False)
    gauges.registry.register(StateCollector(worker_queue, store, state, state, state, "1.2"))
    found = samples(gauges)
    assert value_of(found, "genrelab_files_waiting") == 1
    assert value_of(found, "genrelab_files_hearing") == 2
    assert value_of(found, "genrelab_worker_restarts_total") == 3
    assert value_of(found, "genrelab_uploads") == 4
    assert value_of(found, "genrelab_streams") == 5
    assert value_of(found, "genrelab_requests_in_flight") == 6
    assert value_of(found, "genrelab_draining") == 0
    assert value_of(found, "genrelab_build_info", version="1.2") == 1
    assert value_of(found, "genrelab_bundle_info", model="m", fingerprint="a", created_by="genrelab 0") == 1
    worker_queue.waiting, state.started, store.fingerprint = 7, True, "b"
    found = samples(gauges)
    assert (value_of(found, "genrelab_files_waiting"), value_of(found, "genrelab_draining")) == (7, 1)
    assert value_of(found, "genrelab_bundle_info", model="m", fingerprint="b", created_by="genrelab 0") == 1


def test_two_applications_do_not_share_metrics() -> None:
    one, other = ServiceMetrics(), ServiceMetrics()
    one.file("m", "heard", 1)
    assert "genrelab_files_total{" not in other.text().decode()
