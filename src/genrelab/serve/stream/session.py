"""A stream's session: passes messages between the client and the process of its stream, with timeouts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect

from genrelab.serve.limits import MIB, Limits
from genrelab.serve.problems import KINDS, Problem
from genrelab.serve.stream.framing import PIECE_BYTES, StreamJob
from genrelab.serve.stream.process import StreamProcess

MAX_CHUNK_BYTES = MIB
"""Maximum size of a binary message."""

MAX_TEXT_BYTES = 1 << 13
"""Maximum length of a text message."""

POLL_S = 0.05
"""Seconds between two checks of timeouts."""

START_TIMEOUT_S = 30.0
"""Seconds that a process may take to start."""

CHECK_PERIOD_S = 60.0
"""Seconds of waiting for a client between two checks of its rate."""

MIN_SPEED = 0.25
"""Seconds of audio that must arrive in a second of waiting, so that no place is held by sending next to nothing."""


class StreamSession:
    """The session of one stream.

    Nothing is buffered: a piece is sent when the process asks for one, and a chunk is received when the one before it
    has been sent. The session always waits either for the client or for the process, and `_watch` ends it where that
    takes too long.
    """

    def __init__(self, websocket: WebSocket, process: StreamProcess, limits: Limits, job: StreamJob) -> None:
        self._websocket, self._process, self._limits, self._job = websocket, process, limits, job
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue(maxsize=1)  # an empty one: the end
        self._piece_wanted = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._send_rate = SendRate(self._loop.time())
        self._wait_for(
            max(START_TIMEOUT_S, limits.classify_s), "not-ready", "Who is to hear it did not begin in {:g} s."
        )

    async def run(self) -> None:
        """Run until `end` has been sent to the client.

        Raises:
            Problem: any other end.
            WebSocketDisconnect: the client has disconnected.
        """
        await self._process.start()
        await _run_until_first(self._receive(), self._feed(), self._relay(), self._watch())

    async def _receive(self) -> None:
        """Receives from the client; after its `stop` only to notice a disconnect."""
        stopped = False
        while True:
            message = await receive_message(self._websocket)
            if stopped:
                continue
            if isinstance(message, str):
                if parse_json(message) != {"type": "stop"}:
                    raise Problem("bad-parameter", 'After `start` come binary chunks, and {"type":"stop"} at the end.')
                stopped = True
                await self._chunks.put(b"")
            elif message:
                await self._chunks.put(message)

    async def _feed(self) -> None:
        """Sends chunks to the process in pieces, as it asks for them."""
        while True:
            chunk = await self._chunks.get()
            for start in range(0, max(len(chunk), 1), PIECE_BYTES):
                await self._piece_wanted.wait()
                self._piece_wanted.clear()
                self._wait_for_process()
                await self._process.send_piece(chunk[start : start + PIECE_BYTES])

    async def _relay(self) -> None:
        """Handles the process's messages, and passes on predictions."""
        while True:
            message = await self._process.read_message()
            match message.get("type"):
                case "more" if isinstance(message.get("audio_s"), int | float):
                    self._wait_for_client("Nothing came for {:g} s.")
                    if slow := self._send_rate.problem(message["audio_s"]):
                        raise Problem("too-slow", slow)
                    self._piece_wanted.set()
                    continue
                case "ready":
                    await self._send({"type": "ready", "model": self._job.name, "window_s": self._job.window_s})
                case "refused" if message.get("kind") in KINDS:
                    raise Problem(message["kind"], str(message.get("detail")))
                case "prediction":
                    await self._send(message)
                case "end":
                    await self._send(message)
                    return
                case _:
                    raise await self._process.crashed()
            self._wait_for_process()

    async def _send(self, message: dict[str, Any]) -> None:
        self._wait_for_client("What is answered was not taken for {:g} s.")
        await send_json(self._websocket, message)

    def _wait_for_client(self, detail: str) -> None:
        self._send_rate.switch(self._loop.time(), waiting_for_client=True)
        self._wait_for(self._limits.stream_idle_s, "too-slow", detail)

    def _wait_for_process(self) -> None:
        self._send_rate.switch(self._loop.time(), waiting_for_client=False)
        self._wait_for(self._limits.classify_s, "took-too-long", "Hearing it got no further for {:g} s.")

    def _wait_for(self, seconds: float, kind: str, detail: str) -> None:
        self._deadline, self._timeout_problem = self._loop.time() + seconds, Problem(kind, detail.format(seconds))

    async def _watch(self) -> None:
        """Raises the problem where a timeout has passed, or the service is being stopped."""
        session_deadline = self._loop.time() + self._limits.stream_s
        while True:
            await asyncio.sleep(POLL_S)
            if self._loop.time() > self._deadline:
                raise self._timeout_problem
            if self._loop.time() > session_deadline:
                raise Problem("too-long", f"A stream may last {self._limits.stream_s:g} s. Begin another one.")
            if problem := problem_if_stopping(self._websocket):
                raise problem


def problem_if_stopping(websocket: WebSocket) -> Problem | None:
    """The problem `stopping` while the service is being stopped."""
    draining = getattr(websocket.app.state, "draining", None)
    if draining is None or not draining.started:
        return None
    return Problem("stopping", "The service is being stopped. Ask again when it is back.")


async def _run_until_first(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Runs coroutines until the first returns, or raises what that raised; the others are cancelled."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def receive_message(websocket: WebSocket) -> str | bytes:
    """The next message.

    Raises:
        Problem: a chunk that is too large.
        WebSocketDisconnect: the client has disconnected.
    """
    message = await websocket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1005))
    if (text := message.get("text")) is not None:
        return str(text)
    chunk = bytes(message["bytes"])
    if len(chunk) > MAX_CHUNK_BYTES:
        raise Problem("too-large", f"A chunk may have {MAX_CHUNK_BYTES >> 20} MiB.")
    return chunk


def parse_json(message: str | bytes) -> Any:
    """The content of a text message; None where it is no JSON, or too long."""
    if isinstance(message, bytes) or len(message) > MAX_TEXT_BYTES:
        return None
    try:
        return json.loads(message)
    except (ValueError, RecursionError):
        return None


async def send_json(websocket: WebSocket, message: dict[str, Any]) -> None:
    await websocket.send_text(json.dumps(message))


class SendRate:
    """Checks that audio arrives at `MIN_SPEED` while the client is waited for; processing time does not count.

    Args:
        now: seconds on any clock.
    """

    def __init__(self, now: float) -> None:
        self._since, self._waiting_for_client = now, False
        self._waited_s = self._checked_audio_s = 0.0

    def switch(self, now: float, *, waiting_for_client: bool) -> None:
        """From now on the client is waited for, or the process."""
        if self._waiting_for_client:
            self._waited_s += now - self._since
        self._since, self._waiting_for_client = now, waiting_for_client

    def problem(self, audio_s: float) -> str | None:
        """The detail of the problem after `audio_s` seconds of processed audio; None: it is fast enough."""
        if self._waited_s < CHECK_PERIOD_S:
            return None
        arrived_s, waited_s = audio_s - self._checked_audio_s, self._waited_s
        self._waited_s, self._checked_audio_s = 0.0, audio_s
        if arrived_s >= MIN_SPEED * waited_s:
            return None
        return (
            f"Only {arrived_s:.1f} s of sound came in {waited_s:.0f} s. Send it at {MIN_SPEED:g} of the speed at which "
            "it sounds at least, or send `stop`, and begin another stream when there is more."
        )
