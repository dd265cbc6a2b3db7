"""What passes between client and process, step by step, with both of them made up."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import WebSocketDisconnect

from genrelab.serve.limits import Limits
from genrelab.serve.problems import Problem
from genrelab.serve.stream.framing import PIECE_BYTES, StreamJob
from genrelab.serve.stream.session import MAX_CHUNK_BYTES, StreamSession, parse_json

ORDER = StreamJob("bundle", "served", "webm", 48_000, 1, 10.0)
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

    async def start(self) -> None:
        pass

    async def send_piece(self, piece: bytes) -> None:
        assert len(self.pieces) < self.asked, "nothing is handed over that was not asked for"
        self.pieces.append(piece)
        self._told.set()

    async def read_message(self) -> dict[str, Any]:
        if self.asked > len(self.pieces):
            self._told.clear()
            await self._told.wait()
        if not self.says:
            await asyncio.Event().wait()
        said = self.says.pop(0)
        self.asked += said.get("type") == "more"
        return said

    async def crashed(self) -> Problem:
        return Problem("crashed", "It has died.")


def run(socket: FakeSocket, leash: FakeStreamProcess, **limits: float) -> None:
    async def both() -> None:
        await StreamSession(socket, leash, Limits(**limits), ORDER).run()  # type: ignore[arg-type]

    asyncio.run(asyncio.wait_for(both(), 10))


def problem(socket: FakeSocket, leash: FakeStreamProcess, **limits: float) -> str:
    with pytest.raises(Problem) as e:
        run(socket, leash, **limits)
    return e.value.kind


def test_chunks_are_forwarded_and_predictions_returned() -> None:
    chunk = bytes(range(256)) * 1_024  # four pieces
    socket = FakeSocket({"bytes": chunk}, {"bytes": b""}, {"bytes": b"more"}, {"text": '{"type":"stop"}'})
    heard = {"type": "prediction", "genre": "Rock"}
    leash = FakeStreamProcess({"type": "ready"}, MORE, MORE, heard, MORE, MORE, MORE, MORE, heard, END)
    run(socket, leash)
    assert [len(p) for p in leash.pieces] == [PIECE_BYTES] * 4 + [4, 0]
    assert b"".join(leash.pieces) == chunk + b"more"
    assert socket.got == [{"type": "ready", "model": "served", "window_s": 10.0}, heard, heard, END]


def test_client_that_reads_no_messages_times_out() -> None:
    assert problem(FakeSocket(takes=False), FakeStreamProcess({"type": "ready"}), stream_idle_s=0.1) == "too-slow"


def test_client_that_sends_nothing_times_out() -> None:
    assert problem(FakeSocket(), FakeStreamProcess({"type": "ready"}, MORE), stream_idle_s=0.1) == "too-slow"


def test_processing_time_is_not_charged_to_the_client() -> None:
    socket, leash = FakeSocket({"bytes": b"1"}), FakeStreamProcess({"type": "ready"}, MORE)
    assert problem(socket, leash, stream_idle_s=0.1, classify_s=0.5) == "took-too-long"


def test_process_that_does_not_start_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genrelab.serve.stream.session.START_TIMEOUT_S", 0.1)
    assert problem(FakeSocket(), FakeStreamProcess(), classify_s=0.1) == "not-ready"


def test_refusal_of_the_process_is_reported_to_the_client() -> None:
    refused = {"type": "refused", "kind": "not-audio", "detail": "These bytes are none."}
    assert problem(FakeSocket(), FakeStreamProcess({"type": "ready"}, refused)) == "not-audio"


def test_client_that_sends_too_slowly_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genrelab.serve.stream.session.CHECK_PERIOD_S", 0.3)

    class Trickle(FakeSocket):
        async def receive(self) -> dict[str, Any]:
            await asyncio.sleep(0.05)
            return {"type": "websocket.receive", "bytes": b"1"}

    assert problem(Trickle(), FakeStreamProcess({"type": "ready"}, *[MORE] * 100), stream_idle_s=1) == "too-slow"
    fast = [{"type": "more", "audio_s": 0.02 * n} for n in range(20)]
    run(Trickle(), FakeStreamProcess({"type": "ready"}, *fast, END), stream_idle_s=1)


@pytest.mark.parametrize(
    "said",
    [{}, {"type": "refused"}, {"type": "refused", "kind": "made up"}, {"type": "secret"}, {"type": "more"}],
)
def test_invalid_process_message_counts_as_a_crash(said: dict[str, Any]) -> None:
    assert problem(FakeSocket(), FakeStreamProcess(said)) == "crashed"


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
