"""WS /v1/stream as a client meets it, on a real server: who is let in, what is answered, and that nothing is left."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import soundfile
import uvicorn
from fastapi import FastAPI
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from genrelab.core.config import ClipSettings, LogMelView
from genrelab.serve.http import connection
from genrelab.serve.limits import Limits
from genrelab.serve.model_store import ModelStore
from genrelab.serve.shutdown import Draining
from genrelab.serve.stream import process, protocol, route, session
from genrelab.serve.stream.framing import unpack_piece
from genrelab.serve.workers.subprocess import Subprocess
from tests.support.bundles import SR, bundle_for, noise
from tests.support.guards import HANG_S, wait_until
from tests.support.hand_clock import LOOP, HandClock, HandClockLoop
from tests.support.live_service import BINARY, TEXT, frame, open_connection, upgrade_to_websocket

VIEW = LogMelView(sr=SR, n_fft=512, hop_length=256, n_mels=16, window_s=1.0, hop_s=1.0)
TOKEN = "correct horse"
START = {"type": "start", "format": "pcm16", "sr": SR, "window_s": 3}
SECOND = (noise(1) * 32_767).astype("<i2").tobytes()

LIMITS = Limits()
PATIENT = replace(LIMITS, idle_s=HANG_S, classify_s=HANG_S, stream_idle_s=HANG_S)
PATIENCE: dict[str, Any] = {"open_timeout": HANG_S, "close_timeout": HANG_S, "ping_interval": None}
"""Limits and a client's settings for what is not about time."""

Server = SimpleNamespace


class StartedServer(uvicorn.Server):
    """Says when it has begun."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.began = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.began.set()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    folder = tmp_path_factory.mktemp("store")
    bundle_for(folder / "one", VIEW, ClipSettings(min_s=0.5))
    bundle_for(folder / "two", VIEW, ClipSettings(min_s=5.0), bias=(9.0, 0.0, 0.0))
    return ModelStore({"one": folder / "one", "two": folder / "two"}, folder / "copies")


@contextlib.contextmanager
def running_stream_server(
    store: ModelStore, limits: Limits = PATIENT, *, held: bool = False, **settings: Any
) -> Iterator[Server]:
    """A server in a thread; at its end no process of a stream may be left.

    Args:
        held: its time passes only as its `clock` is moved.
    """
    app, streams = FastAPI(), route.StreamRouter(store, limits, **settings)
    app.include_router(streams)
    app.state.draining = Draining()
    server = StartedServer(
        uvicorn.Config(
            app,
            loop=LOOP if held else "asyncio",
            log_level="critical",
            ws=connection.WebSocketConnection,
            ws_max_size=session.MAX_CHUNK_BYTES,
            ws_ping_timeout=HANG_S,
            timeout_graceful_shutdown=HANG_S,
        )
    )
    door = socket.create_server(("127.0.0.1", 0))
    for buffer, size in ((socket.SO_RCVBUF, 1 << 16), (socket.SO_SNDBUF, 1 << 14)):
        door.setsockopt(socket.SOL_SOCKET, buffer, size)  # so that it shows who waits
    port = door.getsockname()[1]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [door]})
    thread.start()
    assert server.began.wait(HANG_S)
    clock = HandClock(HandClockLoop.latest) if held else None
    url = f"ws://127.0.0.1:{port}/v1/stream"
    try:
        yield Server(port=port, url=url, streams=streams, app=app, server=server, clock=clock)
    finally:
        if clock is not None:
            clock.release()
        server.should_exit = True
        thread.join()
        door.close()
    assert streams.streams_open == 0
    assert not live_process_ids()


@pytest.fixture(scope="module")
def server(store: ModelStore) -> Iterator[Server]:
    with running_stream_server(store, replace(PATIENT, streams=2)) as running_server:
        yield running_server


@pytest.fixture(autouse=True)
def _nothing_left(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Neither processes nor threads nor places, whatever happened."""
    monkeypatch.setattr(process, "Subprocess", RecordedStreamProcess)
    RecordedStreamProcess.handled, RecordedStreamProcess.handed = SimpleQueue(), SimpleQueue()
    threads = threading.active_count()
    yield
    wait_until(lambda: not live_process_ids())
    if "server" in request.fixturenames:
        running_server = request.getfixturevalue("server")
        wait_until(lambda: running_server.streams.streams_open == 0)
        wait_until(lambda: threading.active_count() <= threads)


class RecordedStreamProcess(Subprocess):
    """Remembers every process that there ever was.

    Attributes:
        pids: of all of them.
        handled: the types of messages that a session is done with.
        handed: what is handed over to them.
    """

    pids: ClassVar[list[int]] = []
    handled: ClassVar[SimpleQueue[str]] = SimpleQueue()
    handed: ClassVar[SimpleQueue[bytes]] = SimpleQueue()
    _last = ""

    async def read_line(self) -> dict[str, Any]:
        self.handled.put(self._last)
        message = await super().read_line()
        self._last = message["type"]
        return message

    async def write(self, data: bytes) -> None:
        self.handed.put(unpack_piece(io.BytesIO(data)) or b"")
        await super().write(data)

    def __init__(self, started: asyncio.subprocess.Process) -> None:
        super().__init__(started)
        self.pids.append(started.pid)


def live_process_ids() -> list[int]:
    """Processes of streams."""
    found = []
    for pid in RecordedStreamProcess.pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 0)
            found.append(pid)
    return found


def wait_until_handled(kind: str) -> None:
    """Until a session is done with the next message of that type: after `more`, say, it waits for its client."""
    while RecordedStreamProcess.handled.get(timeout=HANG_S) != kind:
        pass


def wait_until_handed(piece: bytes) -> None:
    """Until a process is given that."""
    while RecordedStreamProcess.handed.get(timeout=HANG_S) != piece:
        pass


@contextlib.contextmanager
def open_stream(server: Server, start: Any = START, **settings: Any) -> Iterator[ClientConnection]:
    with connect(server.url, compression=None, **PATIENCE, **settings) as client:
        with contextlib.suppress(ConnectionClosed):  # some are refused before they say anything
            client.send(start if isinstance(start, str | bytes) else json.dumps(start))
        yield client


def next_message(client: ClientConnection, seconds: float = HANG_S) -> dict[str, Any]:
    """The next message."""
    found: dict[str, Any] = json.loads(client.recv(timeout=seconds))
    return found


def assert_nothing_said(client: ClientConnection) -> None:
    """Up to now: a pong comes after all that was said before."""
    assert client.ping().wait(HANG_S)
    with pytest.raises(TimeoutError):
        client.recv(timeout=0)


def remaining_messages(client: ClientConnection) -> tuple[list[dict[str, Any]], int, str]:
    """All that is still said, and how it closes."""
    found = []
    try:
        while True:
            found.append(next_message(client))
    except ConnectionClosed as e:
        assert e.rcvd is not None
        return found, e.rcvd.code, e.rcvd.reason


def problem_and_close_code(client: ClientConnection) -> tuple[str, int]:
    """The problem in the last message, and the close code."""
    found, code, reason = remaining_messages(client)
    problem = found[-1]
    assert problem["type"] == "problem"
    assert set(problem) == {"type", "problem", "title", "status", "detail"}
    assert reason == problem["title"]
    return problem["problem"], code


def test_a_stream_from_start_to_end(server: Server) -> None:
    with open_stream(server) as client:
        assert next_message(client) == {"type": "ready", "model": "one", "window_s": 3.0, "first_answer_s": 1.0}
        for n in range(5):
            client.send(SECOND)
            said = next_message(client)
            assert (said["type"], said["start_s"], said["end_s"]) == ("prediction", max(0, n - 2), n + 1)
        client.send('{"type":"stop"}')
        (end,), code, reason = remaining_messages(client)
    assert (end["type"], end["audio_s"], code, reason) == ("end", 5.0, 1000, "")
    assert end["recording"]["genre"] in end["recording"]["probabilities"]


def test_predictions_equal_those_of_predict(server: Server, store: ModelStore) -> None:
    y = (noise(4) * 32_767).astype("<i2")
    with open_stream(server, START | {"model": "two", "top": 2}) as client:
        assert next_message(client) == {
            "type": "ready",
            "model": "two",
            "window_s": 5.0,
            "first_answer_s": 5.0,
        }  # it needs so much
        client.send((np.concatenate([y, y])).tobytes())
        client.send('{"type":"stop"}')
        found, code, _ = remaining_messages(client)
    assert code == 1000
    assert [f.get("end_s") for f in found] == [5, 6, 7, 8, None]
    window = (np.concatenate([y, y]) / np.float32(32_768)).astype(np.float32)[SR : 6 * SR]
    expected = store.get("two").bundle.predict(window, SR).to_json(top=2) | {"model": "two"}
    assert found[1] == {"type": "prediction", "start_s": 1.0, "end_s": 6.0} | expected


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        ("", "bad-parameter"),
        ("{", "bad-parameter"),
        (b"\0\1", "bad-parameter"),
        ("[" * 5_000, "bad-parameter"),
        (" " * 100_000, "bad-parameter"),
        ("null", "bad-parameter"),
        ({"type": "stop"}, "bad-parameter"),
        ({"type": "start"}, "bad-parameter"),
        (START | {"type": "begin"}, "bad-parameter"),
        (START | {"format": "midi"}, "bad-parameter"),
        (START | {"sr": 7_999}, "bad-parameter"),
        (START | {"sr": 192_001}, "bad-parameter"),
        (START | {"sr": "8000"}, "bad-parameter"),
        (START | {"sr": 8_000.5}, "bad-parameter"),
        (START | {"channels": 0}, "bad-parameter"),
        (START | {"channels": 9}, "bad-parameter"),
        (START | {"channels": True}, "bad-parameter"),
        (START | {"top": 0}, "bad-parameter"),
        (START | {"window_s": 2.9}, "bad-parameter"),
        (START | {"window_s": 31}, "bad-parameter"),
        (json.dumps(START | {"window_s": float("nan")}), "bad-parameter"),
        (START | {"surprise": 1}, "bad-parameter"),
        ('{"type":"start","format":"auto","model":"\\ud800"}', "unknown-model"),
        (START | {"model": "three"}, "unknown-model"),
    ],
)
def test_invalid_start_message_is_refused(server: Server, start: Any, kind: str) -> None:
    with open_stream(server, start) as client:
        assert problem_and_close_code(client) == (kind, 1008)


@pytest.mark.parametrize("query", ["?model=one", "?token=secret", "?"])
def test_query_string_is_refused(server: Server, query: str) -> None:
    with connect(server.url + query, **PATIENCE) as client:
        if query == "?":
            client.send(json.dumps(START | {"model": "three"}))
            assert problem_and_close_code(client) == ("unknown-model", 1008)
            return
        found, code, _ = remaining_messages(client)
    assert (found[-1]["problem"], code) == ("bad-parameter", 1008)
    assert "takes no query" in found[-1]["detail"]
    assert "secret" not in found[-1]["detail"]


def test_documented_example_runs(server: Server, tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", protocol.DOCUMENTATION, re.DOTALL)
    (tmp_path / "example.py").write_text(code.replace("ws://127.0.0.1:8000/v1/stream", server.url))
    soundfile.write(tmp_path / "song.wav", noise(2.5), SR)
    ran = subprocess.run(
        [sys.executable, "example.py", "song.wav"],
        cwd=tmp_path, capture_output=True, text=True, check=True, timeout=HANG_S,
    )  # fmt: skip
    lines = ran.stdout.splitlines()
    assert [line[:9] for line in lines] == ["   1.0 s ", "   2.0 s ", "whole rec"]


@pytest.mark.parametrize("middle", ["", "x", "{}", '{"type":"start"}', '{"type":"stop","now":true}', "[" * 9_000])
def test_unexpected_text_message_ends_the_stream(server: Server, middle: str) -> None:
    with open_stream(server) as client:
        assert next_message(client)["type"] == "ready"
        client.send(middle)
        assert problem_and_close_code(client) == ("bad-parameter", 1008)


@pytest.fixture(scope="module")
def closed_server(store: ModelStore) -> Iterator[Server]:
    with running_stream_server(store, token=TOKEN, origins=("https://music.example.org",)) as running_server:
        yield running_server


PASSED = ("unknown-model", 1008)
"""What is said to who was let in and asks for a model that is not there, so that no process need be begun."""


@pytest.mark.parametrize(
    ("given", "in_start", "passes"),
    [
        (f"Bearer {TOKEN}", None, True),
        (f"bearer {TOKEN}", None, True),
        (None, TOKEN, True),
        ("Bearer wrong", TOKEN, True),  # a proxy's, say
        ("Bearer wrong", None, False),
        (f"Basic {TOKEN}", None, False),
        (None, None, False),
        (None, "", False),
        (None, TOKEN + " ", False),
        (None, "\ud800", False),
    ],
)
def test_token_is_accepted_in_the_header_or_the_start_message(
    closed_server: Server, given: str | None, in_start: str | None, passes: bool
) -> None:
    start = START | {"model": "three"} | ({} if in_start is None else {"token": in_start})
    headers = {} if given is None else {"Authorization": given}
    with open_stream(closed_server, start, additional_headers=headers) as client:
        assert problem_and_close_code(client) == (PASSED if passes else ("unauthorized", 1008))


@pytest.mark.parametrize(
    ("origin", "passes"),
    [
        ("http://127.0.0.1:{port}", True),
        ("https://music.example.org", True),
        ("https://elsewhere.example.org", False),
        ("null", False),
    ],
)
def test_other_web_sites_are_refused(closed_server: Server, origin: str, passes: bool) -> None:
    start = START | {"model": "three", "token": TOKEN}
    with open_stream(closed_server, start, origin=origin.format(port=closed_server.port)) as client:  # type: ignore[arg-type]
        assert problem_and_close_code(client) == (PASSED if passes else ("foreign-origin", 1008))


def test_idle_stream_is_closed(store: ModelStore) -> None:
    with running_stream_server(store, LIMITS, held=True) as running_server:
        with connect(running_server.url, **PATIENCE) as client:
            running_server.clock.advance(LIMITS.idle_s - 0.1)
            assert_nothing_said(client)
            running_server.clock.advance(0.2)
            assert problem_and_close_code(client) == ("too-slow", 1008)
        with open_stream(running_server) as client:
            assert next_message(client)["type"] == "ready"
            wait_until_handled("more")
            client.send(SECOND)
            assert next_message(client)["type"] == "prediction"
            wait_until_handled("more")
            running_server.clock.advance(LIMITS.stream_idle_s - 0.1)
            client.send(b"")  # is nothing
            assert_nothing_said(client)
            running_server.clock.advance(0.2)
            assert problem_and_close_code(client) == ("too-slow", 1008)


def test_stream_has_a_maximum_duration(store: ModelStore) -> None:
    stream_s = session.CHECK_PERIOD_S - 10  # before it is looked at how fast the sound comes
    limits = replace(LIMITS, stream_s=stream_s, classify_s=1e6, stream_idle_s=1e6)
    with running_stream_server(store, limits, held=True) as running_server, open_stream(running_server) as client:
        assert next_message(client)["type"] == "ready"
        running_server.clock.advance(stream_s - 1)
        client.send(SECOND)
        assert next_message(client)["type"] == "prediction"
        assert_nothing_said(client)
        running_server.clock.advance(1.1)
        assert problem_and_close_code(client) == ("too-long", 1008)


def test_stream_over_the_limit_is_refused(server: Server) -> None:
    with open_stream(server) as one, open_stream(server) as two:
        assert next_message(one)["type"] == next_message(two)["type"] == "ready"
        assert server.streams.streams_open == 2
        with open_stream(server) as three:
            found, code, _ = remaining_messages(three)
        assert (found[-1]["problem"], code) == ("busy", 1013)
        assert found[-1]["detail"].endswith("Try again in 10 s.")
    wait_until(lambda: server.streams.streams_open == 0)
    with open_stream(server) as again:
        assert next_message(again)["type"] == "ready"


def test_disconnect_ends_the_process(server: Server) -> None:
    with open_stream(server) as client:
        assert next_message(client)["type"] == "ready"
        (pid,) = live_process_ids()
        client.send(SECOND)
        client.socket.shutdown(2)  # without a word
    wait_until(lambda: not live_process_ids())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_disconnect_before_the_process_starts_leaves_nothing(server: Server) -> None:
    for _ in range(5):
        with open_stream(server):
            pass


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="there is no SIGSTOP here")
def test_sender_faster_than_processing_is_held_back(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """And who goes in the middle of it is not heard to the end."""
    received: list[int] = []
    receive_message = session.receive_message

    async def counted(websocket: Any) -> str | bytes:
        message = await receive_message(websocket)
        received.append(len(message))
        return message

    monkeypatch.setattr(session, "receive_message", counted)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(running_stream_server(store, held=True))
        narrow = socket.create_connection(("127.0.0.1", server.port))
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        client = stack.enter_context(open_stream(server, sock=narrow))
        assert next_message(client)["type"] == "ready"
        wait_until_handled("more")
        (pid,) = live_process_ids()
        os.kill(pid, signal.SIGSTOP)
        (protocol,) = server.server.server_state.connections
        sent: list[int] = []
        enough = threading.Event()

        def send() -> None:
            with contextlib.suppress(ConnectionClosed):
                while not enough.is_set() and len(sent) < 100:
                    client.send(SECOND * 60)
                    sent.append(1)

        def hang_up() -> None:
            with contextlib.suppress(OSError):
                client.socket.shutdown(socket.SHUT_RDWR)

        stack.callback(hang_up)  # whatever happens: who sends keeps the client from being closed
        thread = threading.Thread(target=send)
        thread.start()
        # One is being handed over, two wait, the next one is here, and all others are with the client.
        wait_until(lambda: len(received) == 3 and protocol.read_paused)
        server.clock.settle(turns=500)
        assert (len(received), protocol.read_paused, len(sent) in (3, 4)) == (3, True, True)
        enough.set()  # a client that does nothing but send does not come to read
        os.kill(pid, signal.SIGCONT)
        assert next_message(client)["end_s"] == 1.0
        hang_up()
        thread.join()
        wait_until(lambda: not live_process_ids())


def test_client_that_reads_no_predictions_is_disconnected(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process, its place, and in the end its connection, which no system would close by itself."""
    stalled, pause_writing = threading.Event(), connection.WebSocketConnection.pause_writing

    def paused(self: connection.WebSocketConnection) -> None:
        pause_writing(self)
        stalled.set()

    monkeypatch.setattr(connection.WebSocketConnection, "pause_writing", paused)
    with (
        running_stream_server(store, LIMITS, held=True) as running_server,
        open_connection(running_server.port) as client,
    ):
        clock, streams, server = running_server.clock, running_server.streams, running_server.server
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 12)
        upgrade_to_websocket(client, running_server.port)
        client.sendall(frame(TEXT, json.dumps(START).encode()))
        wait_until_handled("more")
        assert streams.streams_open == 1
        (protocol,) = server.server_state.connections
        protocol.transport.set_write_buffer_limits(1 << 10)  # so that few predictions suffice

        def send() -> None:
            with contextlib.suppress(OSError):
                for _ in range(3_000):
                    client.sendall(frame(BINARY, SECOND))

        thread = threading.Thread(target=send)
        thread.start()
        assert stalled.wait(HANG_S)
        # The systems may still take some of it, and then it is waited for once more.
        wait_until(lambda: streams.streams_open == 0 or clock.advance(1.0))
        assert clock.moved_s >= LIMITS.stream_idle_s
        wait_until(lambda: not server.server_state.connections or clock.advance(1.0))
        assert clock.moved_s >= LIMITS.stream_idle_s + connection.CLOSE_TIMEOUT_S
        thread.join()


def test_too_large_chunk_closes_the_stream(server: Server) -> None:
    with open_stream(server) as client:
        assert next_message(client)["type"] == "ready"
        client.send(bytes(session.MAX_CHUNK_BYTES + 1))
        with pytest.raises(ConnectionClosed) as e:
            client.recv(timeout=HANG_S)
        assert e.value.rcvd is not None
        assert e.value.rcvd.code == 1009


def test_non_audio_stream_is_refused(server: Server) -> None:
    with open_stream(server, START | {"format": "webm"}) as client:
        assert next_message(client)["type"] == "ready"
        with contextlib.suppress(ConnectionClosed):
            for _ in range(100):
                client.send(os.urandom(1 << 16))
        assert problem_and_close_code(client) == ("not-audio", 1008)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")
def test_process_crash_is_reported(server: Server) -> None:
    with open_stream(server) as client:
        assert next_message(client)["type"] == "ready"
        for pid in live_process_ids():
            os.kill(pid, signal.SIGKILL)
        assert problem_and_close_code(client) == ("crashed", 1011)


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="there is no SIGSTOP here")
def test_hanging_process_is_reported_as_took_too_long(store: ModelStore) -> None:
    with running_stream_server(store, LIMITS, held=True) as running_server, open_stream(running_server) as client:
        assert next_message(client)["type"] == "ready"
        wait_until_handled("more")
        for pid in live_process_ids():
            os.kill(pid, signal.SIGSTOP)
        client.send(SECOND)
        wait_until_handed(SECOND)
        running_server.clock.advance(LIMITS.classify_s - 0.1)
        assert_nothing_said(client)
        running_server.clock.advance(0.2)
        assert problem_and_close_code(client) == ("took-too-long", 1011)


def test_process_start_failure_is_reported(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with open_stream(server) as client:
        assert problem_and_close_code(client) == ("internal", 1011)


def test_stopping_service_closes_streams_with_a_reason(store: ModelStore) -> None:
    with running_stream_server(store) as running_server:
        with open_stream(running_server) as client:
            assert next_message(client)["type"] == "ready"
            running_server.app.state.draining.started = True
            assert problem_and_close_code(client) == ("stopping", 1001)
        with connect(running_server.url, **PATIENCE) as client:
            assert problem_and_close_code(client) == ("stopping", 1001)


def test_server_shutdown_ends_the_process(store: ModelStore) -> None:
    with running_stream_server(store) as running_server, open_stream(running_server) as client:
        assert next_message(client)["type"] == "ready"
        running_server.server.should_exit = True
        assert remaining_messages(client)[1] == 1012
        wait_until(lambda: not live_process_ids())


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timing(reason="whether predictions keep up with music that plays")
def test_predictions_keep_up_with_real_time(shared: Path, tmp_path: Path) -> None:
    """The starter, in real time: an answer every second, soon after its last sample."""
    from genrelab.audio.clips import read
    from genrelab.predict.classifier import STARTER

    song = next((shared / "data" / "gtzan_30s").rglob("*.flac"))
    y, sr = read(song, seconds=12)
    data = (y * 32_767).astype("<i2").tobytes()
    start = {"type": "start", "format": "pcm16", "sr": sr}
    late: list[float] = []
    with (
        running_stream_server(ModelStore({"starter": STARTER}, tmp_path / "copies")) as running_server,
        open_stream(running_server, start) as client,
    ):
        assert next_message(client)["type"] == "ready"
        began = time.perf_counter()
        for n in range(120):
            time.sleep(max(0.0, began + (n + 1) / 10 - time.perf_counter()))
            client.send(data[n * sr // 5 & ~1 : (n + 1) * sr // 5 & ~1])
            with contextlib.suppress(TimeoutError):
                while said := next_message(client, 0):
                    late.append(time.perf_counter() - began - said["end_s"])
    assert len(late) >= 9  # from 3 s on, which the model needs, every second; the last one may still be on its way
    assert np.median(late) < 0.3
