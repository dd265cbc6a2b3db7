from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")
from starlette.datastructures import Headers

from genrelab.serve.http import middleware
from genrelab.serve.http.middleware import has_token, is_token
from tests.support import virtual_clock
from tests.support.fake_workers import Client, Exchange, service

TOKEN = "tökén with spaces"


def kind(answer: Any) -> str:
    return str(json.loads(answer.content)["type"]).rpartition(":")[2]


def test_token_is_required_except_on_public_paths(tmp_path: Path) -> None:
    with Client(service(tmp_path, token=TOKEN)) as client:
        for method, path in (
            ("GET", "/v1/models"), ("GET", "/metrics"), ("POST", "/v1/predict"), ("GET", "/nothing"), ("GET", "/web"),
            ("GET", "//v1/health"), ("GET", "/v1/health/"), ("PUT", "/v1/models"), ("HEAD", "/v1/models"),
            ("GET", "/%6detrics"),
        ):  # fmt: skip
            answer = client.request(method, path)
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"] == "Bearer"
        for path in ("/v1/health", "/v1/ready", "/openapi.json"):
            assert client.get(path).status_code == 200
        for path in ("/web/none.js", "/docs/none"):
            assert client.get(path).status_code == 404
        bearing = {"authorization": f"bearer {TOKEN}".encode()}
        assert client.get("/v1/models", headers=bearing).status_code == 200
        assert client.get("/nothing", headers=bearing).status_code == 404


@pytest.mark.parametrize(
    "said", [b"", b"Bearer", b"Bearer ", b"Bearer wrong", b"Basic " + TOKEN.encode(), TOKEN.encode()]
)
def test_wrong_authorization_header_is_refused(said: bytes) -> None:
    assert not has_token(Headers(raw=[(b"authorization", said)]), TOKEN)


def test_repeated_authorization_header_is_refused() -> None:
    said = (b"authorization", b"Bearer " + TOKEN.encode())
    assert has_token(Headers(raw=[said]), TOKEN)
    assert not has_token(Headers(raw=[said, said]), TOKEN)
    assert is_token(TOKEN.encode(), TOKEN)


def test_every_response_has_security_headers(tmp_path: Path) -> None:
    with Client(service(tmp_path)) as client:
        for method, path in (("GET", "/v1/models"), ("GET", "/nothing"), ("PUT", "/v1/models"), ("GET", "/metrics")):
            headers = client.request(method, path).headers
            for name, value in middleware.SECURITY.items():
                assert headers[name] == value
            assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert client.get("/v1/models").headers["cache-control"] == "no-store"


def test_new_requests_are_refused_while_stopping(tmp_path: Path) -> None:
    async def scenario() -> None:
        app = service(tmp_path)
        draining = app.state.draining
        app.state.worker_queue.gate.clear()
        accepted = Exchange(app, "POST", "/v1/predict", pieces=[b"sound"])
        running = asyncio.create_task(accepted.run())
        await virtual_clock.idle()
        assert len(app.state.worker_queue.orders) == 1
        draining.started = True
        assert (draining.started, draining.in_flight) == (True, 1)
        late = await Exchange(app, "GET", "/v1/models").run()
        assert (late.status, late.headers["connection"]) == (503, "close")
        assert int(late.headers["retry-after"]) >= 1
        assert b"problem:stopping" in late.body
        assert (await Exchange(app, "GET", "/v1/health").run()).status == 200
        ready = await Exchange(app, "GET", "/v1/ready").run()
        assert (ready.status, b"not-ready" in ready.body) == (503, True)
        app.state.worker_queue.gate.set()
        await running
        assert (accepted.status, draining.in_flight) == (200, 0)

    virtual_clock.run(scenario())


def test_rest_of_the_body_is_discarded_before_a_refusal(tmp_path: Path) -> None:
    pieces: list[Any] = [b"x" * 1000] * 50
    exchange = Exchange(service(tmp_path), "POST", "/nothing", headers=[("content-length", "50000")], pieces=pieces)
    asyncio.run(exchange.run())
    assert (exchange.status, exchange.received) == (404, 50)
    assert "connection" not in exchange.headers


def test_discarding_a_body_has_a_time_limit(tmp_path: Path) -> None:
    pieces: list[Any] = [p for _ in range(100) for p in (b"x", middleware.LINGER_S * 0.3)]
    exchange = Exchange(
        service(tmp_path), "POST", "/nothing", headers=[("transfer-encoding", "chunked")], pieces=pieces
    )
    virtual_clock.run(exchange.run())
    assert (exchange.status, exchange.headers["connection"]) == (404, "close")
    assert exchange.received == 4


def test_expect_100_continue_is_refused_without_reading_the_body(tmp_path: Path) -> None:
    headers = [("content-length", "50000"), ("expect", "100-continue")]
    exchange = Exchange(service(tmp_path), "POST", "/nothing", headers=headers, pieces=[b"x" * 50_000])
    asyncio.run(exchange.run())
    assert (exchange.status, exchange.received, exchange.headers["connection"]) == (404, 0, "close")


@pytest.mark.parametrize("stopping", [False, True])
def test_request_cancelled_while_stopping_gets_a_problem_response(tmp_path: Path, stopping: bool) -> None:
    async def scenario() -> Exchange:
        app = service(tmp_path)
        app.state.worker_queue.gate.clear()
        exchange = Exchange(app, "POST", "/v1/predict", pieces=[b"sound"])
        running = asyncio.create_task(exchange.run())
        await virtual_clock.idle()
        assert len(app.state.worker_queue.orders) == 1
        if stopping:
            app.state.draining.started = True
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled() != stopping
        return exchange

    exchange = virtual_clock.run(scenario())
    assert (exchange.status, b"problem:stopping" in exchange.body) == ((503, True) if stopping else (0, False))


def test_content_length_with_transfer_encoding_is_refused(tmp_path: Path) -> None:
    headers = [("content-length", "3"), ("transfer-encoding", "chunked")]
    app = service(tmp_path)
    exchange = Exchange(app, "POST", "/v1/predict", headers=headers, pieces=[b"abc"])
    asyncio.run(exchange.run())
    assert (exchange.status, exchange.headers["connection"], app.state.worker_queue.orders) == (400, "close", [])
    assert b"problem:bad-request" in exchange.body


def test_unexpected_body_of_a_get_is_ignored(tmp_path: Path) -> None:
    headers = [("content-length", "3")]
    exchange = Exchange(service(tmp_path), "GET", "/v1/health", headers=headers, pieces=[b"abc"])
    asyncio.run(exchange.run())
    assert (exchange.status, exchange.received) == (200, 1)
