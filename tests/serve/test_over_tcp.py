"""The service as clients meet it: sockets, uvicorn, and what stands between."""

from __future__ import annotations

import json
import select
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("httpx")
from genrelab.serve.http import middleware
from genrelab.serve.limits import Limits
from tests.support.fake_workers import service
from tests.support.guards import wait_until
from tests.support.live_service import open_connection, read_until_closed, running_server

LIMITS = Limits(idle_s=600, upload_s=600, upload_bytes=1 << 20, batch_bytes=1 << 20)
HEAD = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture
def app(tmp_path: Path) -> Any:
    return service(tmp_path, LIMITS)


@pytest.fixture
def port(app: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(middleware, "LINGER_S", 600.0)
    with running_server(app, LIMITS) as port:
        yield port
    assert list(tmp_path.iterdir()) == []
    assert app.state.draining.in_flight == 0


def read_response(connection: socket.socket) -> tuple[int, dict[str, str], Any]:
    """One answer: status, headers, object."""
    head = body = b""
    while not head.endswith(b"\r\n\r\n"):  # and nothing of a second answer
        piece = connection.recv(1)
        assert piece, head
        head += piece
    first, *lines = head.decode().rstrip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    while len(body) < int(headers["content-length"]):
        body += connection.recv(int(headers["content-length"]) - len(body))
    return int(first.split()[1]), headers, json.loads(body or b"null")


def kind(about: dict[str, Any]) -> str:
    return str(about["type"]).rpartition(":")[2]


def test_connection_is_kept_alive_between_requests(port: int, app: Any) -> None:
    with open_connection(port) as connection:
        for body in (b"one", b"two", b"three"):
            connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            assert read_response(connection)[0] == 200
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n1\r\n!\r\n0\r\n\r\n")
        assert read_response(connection)[0] == 200
    assert app.state.worker_queue.contents == [b"one", b"two", b"three", b"four!"]


def test_client_of_a_too_large_body_can_read_the_error(port: int) -> None:
    body = b"x" * (3 << 20)
    for length in (b"Content-Length: %d\r\n\r\n" % len(body), b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body)):
        with open_connection(port) as connection:
            connection.sendall(HEAD + length)
            connection.sendall(body)
            if b"chunked" in length:
                connection.sendall(b"\r\n0\r\n\r\n")
            status, headers, about = read_response(connection)
            assert (status, kind(about)) == (413, "too-large")
            assert "connection" not in headers  # all of it was read
            connection.sendall(b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert read_response(connection)[0] == 200


def test_expect_100_continue_is_answered_before_the_body(port: int, app: Any) -> None:
    with open_connection(port) as connection:
        connection.sendall(HEAD + b"Content-Length: 3000000\r\nExpect: 100-continue\r\n\r\n")
        status, headers, _ = read_response(connection)
        assert (status, headers["connection"]) == (413, "close")
        assert read_until_closed(connection) == b""
    with open_connection(port) as connection:
        connection.sendall(HEAD + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"abc")
        assert read_response(connection)[0] == 200
    app.state.worker_queue.full = True
    with open_connection(port) as connection:
        connection.sendall(HEAD + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert read_response(connection)[0] == 429


@pytest.mark.parametrize("reset", [False, True])
def test_disconnect_during_an_upload_leaves_no_files(port: int, app: Any, tmp_path: Path, reset: bool) -> None:
    with open_connection(port) as connection:
        connection.sendall(HEAD + b"Content-Length: 1000000\r\n\r\n" + b"x" * 500_000)
        wait_until(lambda: list(tmp_path.iterdir()) != [])
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_until(lambda: not list(tmp_path.iterdir()) and app.state.draining.in_flight == 0)
    assert app.state.worker_queue.orders == []


def test_disconnect_while_waiting_frees_the_place(port: int, app: Any, tmp_path: Path) -> None:
    app.state.worker_queue.gate.clear()
    with open_connection(port) as connection:
        connection.sendall(HEAD + b"Content-Length: 1\r\n\r\nx")
        app.state.worker_queue.wait(lambda: app.state.worker_queue.orders)
    app.state.worker_queue.wait(lambda: app.state.worker_queue.cancelled == 1)
    wait_until(lambda: list(tmp_path.iterdir()) == [])
    app.state.worker_queue.gate.set()


def test_stalled_body_is_refused(tmp_path: Path) -> None:
    limits = replace(LIMITS, idle_s=0.5)
    with running_server(service(tmp_path, limits), limits) as port, open_connection(port) as connection:
        connection.sendall(HEAD + b"Content-Length: 10\r\n\r\nabc")
        status, headers, about = read_response(connection)
        assert (status, kind(about), headers["connection"]) == (408, "too-slow", "close")
        assert read_until_closed(connection) == b""


def test_too_slow_body_is_refused(tmp_path: Path) -> None:
    limits = replace(LIMITS, upload_s=0.5)  # and it may be idle for as long as it likes
    with running_server(service(tmp_path, limits), limits) as port, open_connection(port) as connection:
        connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n")
        sent = 0
        while not select.select([connection], [], [], 0.1)[0]:  # until it is answered
            connection.send(b"x")
            sent += 1
            assert sent < 1000, "all of it was waited for"
        assert connection.recv(12) == b"HTTP/1.1 408"


def test_bytes_beyond_the_content_length_are_not_part_of_the_file(port: int, app: Any) -> None:
    with open_connection(port) as connection:
        connection.sendall(HEAD + b"Content-Length: 3\r\n\r\nabcdef\r\n\r\n")
        assert read_response(connection)[0] == 200
        assert read_response(connection)[0] == 400
    assert app.state.worker_queue.contents == [b"abc"]


def test_conflicting_length_headers_are_refused(port: int, app: Any) -> None:
    both = b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    both += b"GET /v1/ready HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for lengths in (b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", b"Content-Length: -1\r\n\r\n", both):
        with open_connection(port) as connection:
            connection.sendall(HEAD + lengths)
            assert read_response(connection)[0] == 400
            assert read_until_closed(connection) == b""
    assert app.state.worker_queue.orders == []


def test_other_uploads_do_not_wait_for_a_slow_one(port: int, app: Any) -> None:
    with open_connection(port) as slow, open_connection(port) as quick:
        slow.sendall(HEAD + b"Content-Length: 1000\r\n\r\nx")
        wait_until(lambda: app.state.draining.in_flight == 1)
        quick.sendall(HEAD + b"Content-Length: 1\r\n\r\nx")
        assert read_response(quick)[0] == 200
        slow.setblocking(False)
        with pytest.raises(BlockingIOError):  # it is neither answered nor closed
            slow.recv(1)


def test_request_running_at_server_shutdown_leaves_no_files(app: Any, tmp_path: Path) -> None:
    app.state.worker_queue.gate.clear()
    with ExitStack() as stack, running_server(app, LIMITS, graceful_s=0.1) as port:
        connection = stack.enter_context(open_connection(port))
        connection.sendall(HEAD + b"Content-Length: 1\r\n\r\nx")
        app.state.worker_queue.wait(lambda: app.state.worker_queue.orders)
    assert app.state.worker_queue.cancelled == 1
    assert list(tmp_path.iterdir()) == []
    assert app.state.draining.in_flight == 0


def test_kept_alive_connection_is_closed_while_stopping(port: int, app: Any) -> None:
    with open_connection(port) as connection:
        connection.sendall(HEAD + b"Content-Length: 1\r\n\r\nx")
        assert read_response(connection)[0] == 200
        app.state.draining.started = True
        connection.sendall(HEAD + b"Content-Length: 1\r\n\r\nx")
        status, headers, about = read_response(connection)
        assert (status, kind(about), headers["connection"]) == (503, "stopping", "close")
        assert read_until_closed(connection) == b""
