from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")
from starlette.datastructures import Headers

from genrelab.serve.http.origins import allowed_hosts, is_allowed_host, is_cross_origin
from genrelab.serve.limits import Limits
from tests.support.fake_workers import Client, service
from tests.support.live_service import open_connection, read_until_closed, running_server

TOKEN = "a token for tests"
FRIEND = "https://friend.example"


def kind(answer: Any) -> str:
    return str(json.loads(answer.content)["type"]).rpartition(":")[2]


@pytest.mark.parametrize(
    ("host", "origin", "foreign"),
    [
        ("localhost:8000", "http://localhost:8000", False),
        ("localhost:8000", "https://LOCALHOST:8000", False),
        ("127.0.0.1:8000", "http://127.0.0.1:8000", False),
        ("[::1]:8000", "http://[::1]:8000", False),
        ("music.example.com", "https://music.example.com", False),
        ("localhost:8000", FRIEND, False),
        ("localhost:8000", "http://localhost:3000", True),
        ("localhost:8000", "http://127.0.0.1:8000", True),
        ("localhost:8000", "https://evil.example", True),
        ("localhost:8000", "https://friend.example.evil.example", True),
        ("localhost:8000", "null", True),
        ("null", "null", True),
        ("localhost:8000", "", True),
        ("", "http://", True),
        ("[::1", "http://[::1", True),
        ("a@127.0.0.1", "http://a@127.0.0.1", True),
        ("127.0.0.1", "http://a@127.0.0.1", True),
        ("127.0.0.1", "http://127.0.0.1/", True),
        ("127.0.0.1", "file://127.0.0.1", True),
        ("127.0.0.1:x", "http://127.0.0.1:x", True),
    ],
)
def test_foreign_origin_is_detected(host: str, origin: str, foreign: bool) -> None:
    assert is_cross_origin(Headers({"host": host, "origin": origin}), {FRIEND}) is foreign


def test_missing_origin_is_accepted_but_two_origins_are_foreign() -> None:
    assert not is_cross_origin(Headers({"host": "evil.example"}), ())
    twice = [(b"host", b"x"), (b"origin", b"http://x"), (b"origin", b"http://x")]
    assert is_cross_origin(Headers(raw=twice), ())


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("localhost", True),
        ("LocalHost:8000", True),
        ("127.0.0.1:8000", True),
        ("192.168.1.7", True),
        ("[::1]:8000", True),
        ("[2001:db8::7]", True),
        ("Music.Box:80", True),  # its --host
        ("friend.example", True),  # of an --allow-origin
        ("", False),
        ("evil.example", False),
        ("musicbox", False),
        ("musicbox.local", False),
        ("music.test", False),
        ("1.2.3.4.evil.example", False),
        ("localhost.evil.example", False),
        ("127.1", False),
        ("[::1", False),
        ("[:::::]", False),
        ("[evil]", False),
        ("::1", False),
        ("a@127.0.0.1", False),
        ("127.0.0.1:", False),
        ("127.0.0.1:80:80", False),
        ("127.0.0.1, evil.example", False),
    ],
)
def test_host_header_must_name_the_service(host: str, own: bool) -> None:
    names = allowed_hosts(["music.box"], [FRIEND, "http://[::2]:80"])
    assert is_allowed_host(Headers({"host": host}), names) is own


def test_missing_host_is_accepted_but_two_hosts_are_refused() -> None:
    assert is_allowed_host(Headers({}), ())
    assert not is_allowed_host(Headers(raw=[(b"host", b"127.0.0.1"), (b"host", b"127.0.0.1")]), ())


def test_request_from_another_web_site_is_refused(tmp_path: Path) -> None:
    with Client(service(tmp_path)) as client:
        for method in ("GET", "OPTIONS", "POST"):
            answer = client.request(method, "/v1/models", headers={"origin": "https://evil.example"})
            assert (answer.status_code, kind(answer)) == (403, "foreign-origin")
            assert "--allow-origin" in answer.json()["detail"]
            assert "access-control-allow-origin" not in answer.headers
        answer = client.get("/v1/models", headers={"origin": "http://localhost"})
        assert answer.status_code == 200
        assert "access-control-allow-origin" not in answer.headers


def test_foreign_host_name_is_refused_without_a_token(tmp_path: Path) -> None:
    evil = {"host": "evil.example:8000"}  # of the same web site, so there is no Origin
    with Client(service(tmp_path, hosts=["music.box"])) as client:
        for method, path in (("GET", "/"), ("GET", "/v1/models"), ("POST", "/v1/predict"), ("GET", "/v1/health")):
            answer = client.request(method, path, headers=evil)
            assert (answer.status_code, kind(answer)) == (403, "foreign-origin")
            assert "'evil.example:8000'" in answer.json()["detail"]
        for host in ("music.box", "10.0.0.7:8000", "localhost"):
            assert client.get("/v1/health", headers={"host": host}).status_code == 200
    with Client(service(tmp_path, token=TOKEN)) as client:
        assert client.get("/v1/health", headers=evil).status_code == 200
        assert client.get("/v1/models", headers=evil).status_code == 401


def test_foreign_host_name_gets_no_stream(tmp_path: Path) -> None:
    head = b"GET /v1/stream HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    head += b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nHost: "
    with running_server(service(tmp_path), Limits()) as port, open_connection(port) as connection:
        connection.sendall(head + b"evil.example\r\n\r\n")
        said = read_until_closed(connection)
        assert said.startswith(b"HTTP/1.1 403 ")
        assert b"foreign-origin" in said
