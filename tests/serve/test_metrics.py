from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("prometheus_client")
from prometheus_client.parser import text_string_to_metric_families

from genrelab.serve.metrics import ServiceMetrics, StateCollector


class Shelf:
    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint

    def models(self) -> list[Any]:
        return [SimpleNamespace(name="m", about={"fingerprint": self.fingerprint, "created_by": "genrelab 0"})]


def samples(gauges: ServiceMetrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    families = text_string_to_metric_families(gauges.text().decode())
    return {(s.name, frozenset(s.labels.items())): s.value for f in families for s in f.samples}


def of(found: dict[Any, float], name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def test_requests_are_counted_by_what_is_ours() -> None:
    gauges = ServiceMetrics()
    gauges.count_request("/v1/models/{name}", "GET", 200, 0.02)
    gauges.count_request("/v1/models/{name}", "GET", 200, 0.3)
    gauges.count_request("none", "PWN", 404, 0.001)
    found = samples(gauges)
    assert of(found, "genrelab_requests_total", route="/v1/models/{name}", method="GET", status="200") == 2
    assert of(found, "genrelab_requests_total", route="none", method="other", status="404") == 1
    assert of(found, "genrelab_request_seconds_count", route="/v1/models/{name}") == 2
    assert of(found, "genrelab_request_seconds_bucket", route="/v1/models/{name}", le="0.025") == 1


def test_files_are_counted_by_model_and_outcome() -> None:
    gauges = ServiceMetrics()
    gauges.file("m", "heard", 12.5)
    gauges.file("m", "damaged")
    found = samples(gauges)
    assert of(found, "genrelab_files_total", model="m", outcome="heard") == 1
    assert of(found, "genrelab_files_total", model="m", outcome="damaged") == 1
    assert of(found, "genrelab_audio_seconds_total", model="m") == 12.5


def test_the_state_is_looked_up_when_it_is_asked_for() -> None:
    gauges, ears, shelf = ServiceMetrics(), SimpleNamespace(waiting=1, hearing=2, restarts=3), Shelf("a")
    state = SimpleNamespace(under_way=4, streams_open=5, in_flight=6, begun=False)
    gauges.watch(StateCollector(ears, shelf, state, state, state, "1.2"))
    found = samples(gauges)
    assert of(found, "genrelab_files_waiting") == 1
    assert of(found, "genrelab_files_hearing") == 2
    assert of(found, "genrelab_worker_restarts_total") == 3
    assert of(found, "genrelab_uploads") == 4
    assert of(found, "genrelab_streams") == 5
    assert of(found, "genrelab_requests_in_flight") == 6
    assert of(found, "genrelab_draining") == 0
    assert of(found, "genrelab_build_info", version="1.2") == 1
    assert of(found, "genrelab_bundle_info", model="m", fingerprint="a", created_by="genrelab 0") == 1
    ears.waiting, state.started, shelf.fingerprint = 7, True, "b"
    found = samples(gauges)
    assert (of(found, "genrelab_files_waiting"), of(found, "genrelab_draining")) == (7, 1)
    assert of(found, "genrelab_bundle_info", model="m", fingerprint="b", created_by="genrelab 0") == 1


def test_two_applications_do_not_share_figures() -> None:
    one, other = ServiceMetrics(), ServiceMetrics()
    one.file("m", "heard", 1)
    assert "genrelab_files_total{" not in other.text().decode()
