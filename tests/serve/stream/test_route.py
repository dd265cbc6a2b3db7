"""WS /v1/stream as a client meets it, on a real server: who is let in, what is answered, and that nothing is left."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

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
from genrelab.serve.stream import protocol, route, session
from genrelab.serve.stream.process import StreamProcess
from tests.support.bundles import SR, bundle_for, noise
from tests.support.live_service import BINARY, TEXT, connected, frame, upgraded

VIEW = LogMelView(sr=SR, n_fft=512, hop_length=256, n_mels=16, window_s=1.0, hop_s=1.0)
TOKEN = "correct horse"
START = {"type": "start", "format": "pcm16", "sr": SR, "window_s": 3}
SECOND = (noise(1) * 32_767).astype("<i2").tobytes()

Server = SimpleNamespace


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    folder = tmp_path_factory.mktemp("shelf")
    bundle_for(folder / "one", VIEW, ClipSettings(min_s=0.5))
    bundle_for(folder / "two", VIEW, ClipSettings(min_s=5.0), bias=(9.0, 0.0, 0.0))
    return ModelStore({"one": folder / "one", "two": folder / "two"}, folder / "copies")


@contextlib.contextmanager
def serving(shelf: ModelStore, limits: Limits = Limits(), **settings: Any) -> Iterator[Server]:  # noqa: B008 - frozen
    """A server in a thread; at its end no process of a stream may be left."""
    app, streams = FastAPI(), route.router(shelf, limits, **settings)
    app.include_router(streams)
    app.state.draining = Draining()
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="critical",
            ws=connection.WebSocketConnection,
            ws_max_size=session.MAX_CHUNK_BYTES,
            timeout_graceful_shutdown=5,
        )
    )
    door = socket.create_server(("127.0.0.1", 0))
    for buffer in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        door.setsockopt(socket.SOL_SOCKET, buffer, 1 << 16)  # so that it shows who waits
    port = door.getsockname()[1]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [door]})
    thread.start()
    eventually(lambda: server.started)
    try:
        yield Server(port=port, url=f"ws://127.0.0.1:{port}/v1/stream", streams=streams, app=app, server=server)
    finally:
        server.should_exit = True
        thread.join()
        door.close()
    assert streams.streams_open == 0
    assert not alive()


@pytest.fixture(scope="module")
def server(shelf: ModelStore) -> Iterator[Server]:
    with serving(shelf, Limits(streams=2)) as served:
        yield served


@pytest.fixture(autouse=True)
def _nothing_left(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Neither processes nor threads nor places, whatever happened."""
    monkeypatch.setattr(route, "StreamProcess", Watched)
    threads = threading.active_count()
    yield
    eventually(lambda: not alive())
    if "server" in request.fixturenames:
        served = request.getfixturevalue("server")
        eventually(lambda: served.streams.streams_open == 0)
        eventually(lambda: threading.active_count() <= threads)


class Watched(StreamProcess):
    """Remembers every process that there ever was."""

    pids: list[int] = []  # noqa: RUF012 - of all of them

    async def __aenter__(self) -> StreamProcess:
        await super().__aenter__()
        self.pids.append(self._child._process.pid)
        return self


def alive() -> list[int]:
    """Processes of streams."""
    found = []
    for pid in Watched.pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 0)
            found.append(pid)
    return found


def eventually(so: Callable[[], object], seconds: float = 10) -> None:
    until = time.monotonic() + seconds
    while not so():
        assert time.monotonic() < until
        time.sleep(0.01)


@contextlib.contextmanager
def talking(server: Server, start: Any = START, **settings: Any) -> Iterator[ClientConnection]:
    with connect(server.url, compression=None, **settings) as client:
        with contextlib.suppress(ConnectionClosed):  # some are refused before they say anything
            client.send(start if isinstance(start, str | bytes) else json.dumps(start))
        yield client


def told(client: ClientConnection, seconds: float = 20) -> dict[str, Any]:
    """The next message."""
    found: dict[str, Any] = json.loads(client.recv(timeout=seconds))
    return found


def rest(client: ClientConnection) -> tuple[list[dict[str, Any]], int, str]:
    """All that is still said, and how it closes."""
    found = []
    try:
        while True:
            found.append(told(client))
    except ConnectionClosed as e:
        assert e.rcvd is not None
        return found, e.rcvd.code, e.rcvd.reason


def refusal(client: ClientConnection) -> tuple[str, int]:
    """The problem in the last message, and the close code."""
    found, code, reason = rest(client)
    problem = found[-1]
    assert problem["type"] == "problem"
    assert set(problem) == {"type", "problem", "title", "status", "detail"}
    assert reason == problem["title"]
    return problem["problem"], code


def test_a_stream_from_start_to_end(server: Server) -> None:
    with talking(server) as client:
        assert told(client) == {"type": "ready", "model": "one", "window_s": 3.0}
        for n in range(5):
            client.send(SECOND)
            said = told(client)
            assert (said["type"], said["start_s"], said["end_s"]) == ("prediction", max(0, n - 2), n + 1)
        client.send('{"type":"stop"}')
        (end,), code, reason = rest(client)
    assert (end["type"], end["audio_s"], code, reason) == ("end", 5.0, 1000, "")
    assert end["recording"]["genre"] in end["recording"]["probabilities"]


def test_answers_are_those_of_predict(server: Server, shelf: ModelStore) -> None:
    y = (noise(4) * 32_767).astype("<i2")
    with talking(server, START | {"model": "two", "top": 2}) as client:
        assert told(client) == {"type": "ready", "model": "two", "window_s": 5.0}  # it needs so much
        client.send((np.concatenate([y, y])).tobytes())
        client.send('{"type":"stop"}')
        found, code, _ = rest(client)
    assert code == 1000
    assert [f.get("end_s") for f in found] == [5, 6, 7, 8, None]
    window = (np.concatenate([y, y]) / np.float32(32_768)).astype(np.float32)[SR : 6 * SR]
    expected = shelf.get("two").bundle.predict(window, SR).to_json(top=2) | {"model": "two"}
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
def test_a_start_that_cannot_be_is_refused(server: Server, start: Any, kind: str) -> None:
    with talking(server, start) as client:
        assert refusal(client) == (kind, 1008)


@pytest.mark.parametrize("query", ["?model=one", "?token=secret", "?"])
def test_a_query_is_not_passed_over(server: Server, query: str) -> None:
    with connect(server.url + query) as client:
        if query == "?":
            client.send(json.dumps(START | {"model": "three"}))
            assert refusal(client) == ("unknown-model", 1008)
            return
        found, code, _ = rest(client)
    assert (found[-1]["problem"], code) == ("bad-parameter", 1008)
    assert "takes no query" in found[-1]["detail"]
    assert "secret" not in found[-1]["detail"]


def test_the_example_runs(server: Server, tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", protocol.DOCUMENTATION, re.DOTALL)
    (tmp_path / "example.py").write_text(code.replace("ws://127.0.0.1:8000/v1/stream", server.url))
    soundfile.write(tmp_path / "song.wav", noise(2.5), SR)
    ran = subprocess.run(
        [sys.executable, "example.py", "song.wav"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    lines = ran.stdout.splitlines()
    assert [line[:9] for line in lines] == ["   1.0 s ", "   2.0 s ", "all of it"]


@pytest.mark.parametrize("middle", ["", "x", "{}", '{"type":"start"}', '{"type":"stop","now":true}', "[" * 9_000])
def test_any_other_text_ends_it(server: Server, middle: str) -> None:
    with talking(server) as client:
        assert told(client)["type"] == "ready"
        client.send(middle)
        assert refusal(client) == ("bad-parameter", 1008)


@pytest.fixture(scope="module")
def closed_server(shelf: ModelStore) -> Iterator[Server]:
    with serving(shelf, token=TOKEN, origins=("https://music.example.org",)) as served:
        yield served


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
def test_the_token(closed_server: Server, given: str | None, in_start: str | None, passes: bool) -> None:
    start = START | {"model": "three"} | ({} if in_start is None else {"token": in_start})
    headers = {} if given is None else {"Authorization": given}
    with talking(closed_server, start, additional_headers=headers) as client:
        assert refusal(client) == (PASSED if passes else ("unauthorized", 1008))


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
    with talking(closed_server, start, origin=origin.format(port=closed_server.port)) as client:  # type: ignore[arg-type]
        assert refusal(client) == (PASSED if passes else ("foreign-origin", 1008))


def test_who_says_nothing_is_not_waited_for(shelf: ModelStore) -> None:
    limits = Limits(idle_s=0.3, stream_idle_s=0.3)
    with serving(shelf, limits) as served:
        with connect(served.url) as client:
            assert refusal(client) == ("too-slow", 1008)
        with talking(served) as client:
            assert told(client)["type"] == "ready"
            client.send(SECOND)
            client.send(b"")  # is nothing
            assert refusal(client) == ("too-slow", 1008)


def test_a_stream_has_an_end(shelf: ModelStore) -> None:
    with serving(shelf, Limits(stream_s=2.5)) as served, talking(served) as client:
        with contextlib.suppress(ConnectionClosed):
            while True:
                client.send(SECOND[:1_600])
                time.sleep(0.1)
        assert refusal(client) == ("too-long", 1008)


def test_no_more_streams_than_may_be(server: Server) -> None:
    with talking(server) as one, talking(server) as two:
        assert told(one)["type"] == told(two)["type"] == "ready"
        assert server.streams.streams_open == 2
        with talking(server) as three:
            found, code, _ = rest(three)
        assert (found[-1]["problem"], code) == ("busy", 1013)
        assert found[-1]["detail"].endswith("Try again in 10 s.")
    eventually(lambda: server.streams.streams_open == 0)
    with talking(server) as again:
        assert told(again)["type"] == "ready"


def test_who_goes_takes_the_process_along(server: Server) -> None:
    with talking(server) as client:
        assert told(client)["type"] == "ready"
        (pid,) = alive()
        client.send(SECOND)
        client.socket.shutdown(2)  # without a word
    eventually(lambda: not alive(), 1)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_who_goes_before_it_has_begun_leaves_nothing(server: Server) -> None:
    for _ in range(5):
        with talking(server):
            pass


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="there is no SIGSTOP here")
def test_who_sends_faster_than_is_heard_waits(server: Server) -> None:
    """And who goes in the middle of it is not heard to the end."""
    narrow = socket.create_connection(("127.0.0.1", server.port))
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
    with talking(server, sock=narrow) as client:
        assert told(client)["type"] == "ready"
        (pid,) = alive()
        os.kill(pid, signal.SIGSTOP)
        sent: list[int] = []

        def send() -> None:
            with contextlib.suppress(ConnectionClosed):
                for n in range(100):
                    client.send(SECOND * 60)
                    sent.append(n)

        thread = threading.Thread(target=send)
        thread.start()
        time.sleep(2)
        assert 1 < len(sent) < 8  # one is being handed over, two wait, the others are on their way
        os.kill(pid, signal.SIGCONT)
        assert told(client)["end_s"] == 1.0
        client.socket.shutdown(2)
        thread.join()
    eventually(lambda: not alive(), 3)


def test_who_reads_no_answer_is_let_go(shelf: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process, its place, and in the end its connection, which no system would close by itself."""
    monkeypatch.setattr(connection, "CLOSE_TIMEOUT_S", 0.5)
    with serving(shelf, Limits(stream_idle_s=1)) as served, connected(served.port) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 12)
        upgraded(client, served.port)
        client.sendall(frame(TEXT, json.dumps(START).encode()))
        eventually(lambda: served.streams.streams_open == 1)
        with contextlib.suppress(OSError):
            for _ in range(3_000):
                client.sendall(frame(BINARY, SECOND))
        eventually(lambda: served.streams.streams_open == 0)
        eventually(lambda: not served.server.server_state.connections, 3)


def test_a_chunk_has_a_size(server: Server) -> None:
    with talking(server) as client:
        assert told(client)["type"] == "ready"
        client.send(bytes(session.MAX_CHUNK_BYTES + 1))
        with pytest.raises(ConnectionClosed) as e:
            client.recv(timeout=10)
        assert e.value.rcvd is not None
        assert e.value.rcvd.code == 1009


def test_what_is_no_audio_is_refused(server: Server) -> None:
    with talking(server, START | {"format": "webm"}) as client:
        assert told(client)["type"] == "ready"
        with contextlib.suppress(ConnectionClosed):
            for _ in range(100):
                client.send(os.urandom(1 << 16))
        assert refusal(client) == ("not-audio", 1008)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")
def test_a_process_that_dies_is_told(server: Server) -> None:
    with talking(server) as client:
        assert told(client)["type"] == "ready"
        for pid in alive():
            os.kill(pid, signal.SIGKILL)
        assert refusal(client) == ("crashed", 1011)


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="there is no SIGSTOP here")
def test_a_process_that_hears_no_more_is_not_waited_for(shelf: ModelStore) -> None:
    with serving(shelf, Limits(classify_s=0.5)) as served, talking(served) as client:
        assert told(client)["type"] == "ready"
        for pid in alive():
            os.kill(pid, signal.SIGSTOP)
        client.send(SECOND)
        assert refusal(client) == ("took-too-long", 1011)


def test_a_process_that_cannot_be_begun_is_told(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with talking(server) as client:
        assert refusal(client) == ("internal", 1011)


def test_a_service_that_stops_says_so(shelf: ModelStore) -> None:
    with serving(shelf) as served:
        with talking(served) as client:
            assert told(client)["type"] == "ready"
            served.app.state.draining.start()
            assert refusal(client) == ("stopping", 1001)
        with connect(served.url) as client:
            assert refusal(client) == ("stopping", 1001)


def test_a_server_that_ends_takes_the_process_along(shelf: ModelStore) -> None:
    with serving(shelf) as served, talking(served) as client:
        assert told(client)["type"] == "ready"
        served.server.should_exit = True
        assert rest(client)[1] == 1012
        eventually(lambda: not alive(), 3)


@pytest.mark.real
@pytest.mark.slow
def test_music_is_answered_while_it_sounds(shared: Path, tmp_path: Path) -> None:
    """The starter, in real time: an answer every second, soon after its last sample."""
    from genrelab.audio.clips import read
    from genrelab.predict.classifier import STARTER

    song = next((shared / "data" / "gtzan_30s").rglob("*.flac"))
    y, sr = read(song, seconds=12)
    data = (y * 32_767).astype("<i2").tobytes()
    start = {"type": "start", "format": "pcm16", "sr": sr}
    late: list[float] = []
    with serving(ModelStore({"starter": STARTER}, tmp_path / "copies")) as served, talking(served, start) as client:
        assert told(client)["type"] == "ready"
        began = time.perf_counter()
        for n in range(120):
            time.sleep(max(0.0, began + (n + 1) / 10 - time.perf_counter()))
            client.send(data[n * sr // 5 & ~1 : (n + 1) * sr // 5 & ~1])
            with contextlib.suppress(TimeoutError):
                while said := told(client, 0):
                    late.append(time.perf_counter() - began - said["end_s"])
    assert len(late) >= 11
    assert np.median(late) < 0.3
