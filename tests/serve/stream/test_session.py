"""What passes between client and process, step by step, with both of them made up."""

from __future__ import annotations

import asyncio
import io
import json
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import WebSocketDisconnect

from genrelab.serve.limits import Limits
from genrelab.serve.problems import Problem
from genrelab.serve.stream.framing import PIECE_BYTES, StreamJob, unpack_piece
from genrelab.serve.stream.session import (
    CHECK_PERIOD_S,
    MAX_CHUNK_BYTES,
    MIN_SPEED,
    POLL_S,
    START_TIMEOUT_S,
    StreamSession,
    parse_json,
)
from genrelab.serve.workers.subprocess import ProcessDied
from tests.support import virtual_clock

ORDER = StreamJob("bundle", "served", "webm", 48_000, 1, 10.0, 3.0)
MORE, END = {"type": "more", "audio_s": 0.0}, {"type": "end", "audio_s": 1.0}


class FakeSocket:
    """A client that sends these messages and then nothing."""

    def __init__(self, *messages: dict[str, Any], takes: bool = True) -> None:
        self.app = SimpleNamespace(state=SimpleNamespace())
        self.messages, self.takes = list(messages), takes
        self.got: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        if not self.messages:
            await asyncio.Event().wait()
        return {"type": "websocket.receive"} | self.messages.pop(0)

    async def send_text(self, text: str) -> None:
        if not self.takes:
            await asyncio.Event().wait()
        self.got.append(json.loads(text))


class FakeStreamProcess:
    """A process that says this, one after the other; behind each `more` it waits for a piece."""

    def __init__(self, *news: dict[str, Any]) -> None:
        self.says, self.pieces = list(news), list[bytes]()
        self.asked, self._told = 0, asyncio.Event()

    async def write(self, data: bytes) -> None:
        piece = unpack_piece(io.BytesIO(data))
        assert piece is not None
        if piece == ORDER.to_json():
            return
        assert len(self.pieces) < self.asked, "nothing is handed over that was not asked for"
        self.pieces.append(piece)
        self._told.set()

    async def read_line(self) -> dict[str, Any]:
        if self.asked > len(self.pieces):
            self._told.clear()
            await self._told.wait()
        if not self.says:
            await asyncio.Event().wait()
        said = self.says.pop(0)
        self.asked += said.get("type") == "more"
        return said


def run(socket: FakeSocket, process: FakeStreamProcess, **limits: float) -> None:
    async def both() -> None:
        await StreamSession(socket, process, Limits(**limits), ORDER).run()  # type: ignore[arg-type]

    virtual_clock.run(both())


def problem(socket: FakeSocket, process: FakeStreamProcess, **limits: float) -> str:
    with pytest.raises(Problem) as e:
        run(socket, process, **limits)
    return e.value.kind


def timeout(socket: FakeSocket, process: FakeStreamProcess, **limits: float) -> tuple[str, float]:
    """The problem, and the limit after which it came: the session looks at the clock from time to time."""
    times: list[float] = []

    async def both() -> None:
        try:
            await StreamSession(socket, process, Limits(**limits), ORDER).run()  # type: ignore[arg-type]
        finally:
            times.append(virtual_clock.now())

    with pytest.raises(Problem) as e:
        virtual_clock.run(both())
    limit_s = round(times[0])
    assert limit_s <= times[0] <= limit_s + 2 * POLL_S
    return e.value.kind, limit_s


def test_chunks_are_forwarded_and_predictions_returned() -> None:
    chunk = bytes(range(256)) * 1_024  # four pieces
    socket = FakeSocket({"bytes": chunk}, {"bytes": b""}, {"bytes": b"more"}, {"text": '{"type":"stop"}'})
    heard = {"type": "prediction", "genre": "Rock"}
    process = FakeStreamProcess({"type": "ready"}, MORE, MORE, heard, MORE, MORE, MORE, MORE, heard, END)
    run(socket, process)
    assert [len(p) for p in process.pieces] == [PIECE_BYTES] * 4 + [4, 0]
    assert b"".join(process.pieces) == chunk + b"more"
    assert socket.got == [
        {"type": "ready", "model": "served", "window_s": 10.0, "first_answer_s": 3.0},
        heard,
        heard,
        END,
    ]


def test_client_that_reads_no_messages_times_out() -> None:
    socket, process = FakeSocket(takes=False), FakeStreamProcess({"type": "ready"})
    assert timeout(socket, process, stream_idle_s=15) == ("too-slow", 15)


def test_client_that_sends_nothing_times_out() -> None:
    assert timeout(FakeSocket(), FakeStreamProcess({"type": "ready"}, MORE), stream_idle_s=15) == ("too-slow", 15)


def test_processing_time_is_not_charged_to_the_client() -> None:
    socket, process = FakeSocket({"bytes": b"1"}), FakeStreamProcess({"type": "ready"}, MORE)
    assert timeout(socket, process, stream_idle_s=15, classify_s=20) == ("took-too-long", 20)


def test_process_that_does_not_start_times_out() -> None:
    assert timeout(FakeSocket(), FakeStreamProcess(), classify_s=20) == ("model-not-loaded", START_TIMEOUT_S)
    assert timeout(FakeSocket(), FakeStreamProcess(), classify_s=100) == ("model-not-loaded", 100)


def test_refusal_of_the_process_is_reported_to_the_client() -> None:
    refused = {"type": "refused", "kind": "not-audio", "detail": "These bytes are none."}
    assert problem(FakeSocket(), FakeStreamProcess({"type": "ready"}, refused)) == "not-audio"


def test_client_that_sends_too_slowly_is_disconnected() -> None:
    class Trickle(FakeSocket):
        async def receive(self) -> dict[str, Any]:
            await virtual_clock.elapse(1.0)
            return {"type": "websocket.receive", "bytes": b"1"}

    def sound(speed: float) -> list[dict[str, Any]]:
        return [{"type": "more", "audio_s": speed * n} for n in range(200)]

    slow = FakeStreamProcess({"type": "ready"}, *sound(MIN_SPEED - 0.01))
    with pytest.raises(Problem, match=f"of audio came in {CHECK_PERIOD_S:.0f} s") as e:
        run(Trickle(), slow)
    assert e.value.kind == "too-slow"
    run(Trickle(), FakeStreamProcess({"type": "ready"}, *sound(MIN_SPEED + 0.01), END))
    burst = [{"type": "more", "audio_s": min(900.0 * n, 900.0)} for n in range(200)]
    with pytest.raises(Problem, match=r"Only 0\.0 s of audio"):  # earlier audio does not make up for it
        run(Trickle(), FakeStreamProcess({"type": "ready"}, *burst))


def test_processing_time_is_not_counted_as_slow_sending() -> None:
    class Flood(FakeSocket):
        async def receive(self) -> dict[str, Any]:
            return {"type": "websocket.receive", "bytes": b"1"}

    class SlowProcess(FakeStreamProcess):
        async def read_line(self) -> dict[str, Any]:
            await virtual_clock.elapse(8.0)
            return await super().read_line()

    more = [{"type": "more", "audio_s": float(n)} for n in range(20)]
    run(Flood(), SlowProcess({"type": "ready"}, *more, END))


@pytest.mark.parametrize(
    "said",
    [{}, {"type": "refused"}, {"type": "refused", "kind": "made up"}, {"type": "secret"}, {"type": "more"}],
)
def test_invalid_process_message_counts_as_a_crash(said: dict[str, Any]) -> None:
    with pytest.raises(ProcessDied):
        run(FakeSocket(), FakeStreamProcess(said))


def test_too_large_chunk_is_refused() -> None:
    assert problem(FakeSocket({"bytes": bytes(MAX_CHUNK_BYTES + 1)}), FakeStreamProcess()) == "too-large"


def test_disconnect_ends_the_session() -> None:
    with pytest.raises(WebSocketDisconnect):
        run(FakeSocket({"type": "websocket.disconnect", "code": 1006}), FakeStreamProcess())


def test_disconnect_after_stop_ends_the_session() -> None:
    gone = {"type": "websocket.disconnect", "code": 1006}
    with pytest.raises(WebSocketDisconnect):
        run(
            FakeSocket({"text": '{"type":"stop"}'}, {"bytes": b"late"}, gone),
            FakeStreamProcess({"type": "ready"}, MORE),
        )


@pytest.mark.parametrize("text", ["", "{", "[" * 8_000, '"' * 9_000, "1" * 5_000, b"{}"])
def test_invalid_json_message_is_none(text: str | bytes) -> None:
    assert parse_json(text) is None
