"""What passes between a client and the process that hears its stream."""

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
"""Of one binary message."""

MAX_TEXT_BYTES = 1 << 13
"""Of a text message."""

POLL_S = 0.05
"""Between two looks at the clock."""

START_TIMEOUT_S = 30.0
"""Seconds that a process may take to begin."""


class StreamSession:
    """What passes between a client and the process that hears it.

    Nothing piles up: a piece is handed over when the process asks for one, and a chunk is received when the one
    before it has been handed over. Somebody is always waited for, and `_watch` ends what waits too long.
    """

    def __init__(self, websocket: WebSocket, leash: StreamProcess, limits: Limits, order: StreamJob) -> None:
        self._websocket, self._process, self._limits, self._job = websocket, leash, limits, order
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue(maxsize=1)  # an empty one is the end
        self._wanted = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._send_rate = SendRate(self._loop.time())
        self._wait_for(
            max(START_TIMEOUT_S, limits.classify_s), "not-ready", "Who is to hear it did not begin in {:g} s."
        )

    async def run(self) -> None:
        """Until the client has got its `end`.

        Raises:
            Problem: what ends it otherwise.
            WebSocketDisconnect: the client has gone.
        """
        await self._process.start()
        await _run_until_first(self._receive(), self._feed(), self._relay(), self._watch())

    async def _receive(self) -> None:
        """Takes what the client sends; after its stop only to see whether it has gone."""
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
        """Hands over what came, as the process asks for it."""
        while True:
            chunk = await self._chunks.get()
            for at in range(0, max(len(chunk), 1), PIECE_BYTES):
                await self._wanted.wait()
                self._wanted.clear()
                self._wait_for_process()
                await self._process.send_piece(chunk[at : at + PIECE_BYTES])

    async def _relay(self) -> None:
        """Passes on what the process says."""
        while True:
            news = await self._process.read_message()
            match news.get("type"):
                case "more" if isinstance(news.get("audio_s"), int | float):
                    self._wait_for_client("Nothing came for {:g} s.")
                    if slow := self._send_rate.problem(news["audio_s"]):
                        raise Problem("too-slow", slow)
                    self._wanted.set()
                    continue
                case "ready":
                    await self._send({"type": "ready", "model": self._job.name, "window_s": self._job.window_s})
                case "refused" if news.get("kind") in KINDS:
                    raise Problem(news["kind"], str(news.get("detail")))
                case "prediction":
                    await self._send(news)
                case "end":
                    await self._send(news)
                    return
                case _:
                    raise await self._process.crashed()
            self._wait_for_process()

    async def _send(self, news: dict[str, Any]) -> None:
        self._wait_for_client("What is answered was not taken for {:g} s.")
        await send_json(self._websocket, news)

    def _wait_for_client(self, detail: str) -> None:
        self._send_rate.switch(self._loop.time(), theirs=True)
        self._wait_for(self._limits.stream_idle_s, "too-slow", detail)

    def _wait_for_process(self) -> None:
        self._send_rate.switch(self._loop.time(), theirs=False)
        self._wait_for(self._limits.classify_s, "took-too-long", "Hearing it got no further for {:g} s.")

    def _wait_for(self, seconds: float, kind: str, detail: str) -> None:
        self._until, self._timeout_problem = self._loop.time() + seconds, Problem(kind, detail.format(seconds))

    async def _watch(self) -> None:
        """Ends what has lasted too long."""
        until = self._loop.time() + self._limits.stream_s
        while True:
            await asyncio.sleep(POLL_S)
            if self._loop.time() > self._until:
                raise self._timeout_problem
            if self._loop.time() > until:
                raise Problem("too-long", f"A stream may last {self._limits.stream_s:g} s. Begin another one.")
            if problem := problem_if_stopping(self._websocket):
                raise problem


def problem_if_stopping(websocket: WebSocket) -> Problem | None:
    """What is said while the service is being stopped."""
    draining = getattr(websocket.app.state, "draining", None)
    if draining is None or not draining.started:
        return None
    return Problem("stopping", "The service is being stopped. Ask again when it is back.")


async def _run_until_first(*works: Coroutine[Any, Any, None]) -> None:
    """Returns when the first of them does, or raises what it raised; the others are cancelled."""
    tasks = [asyncio.ensure_future(work) for work in works]
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
        WebSocketDisconnect: the client has gone.
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
    """What a text message says; None where it is no JSON."""
    if isinstance(message, bytes) or len(message) > MAX_TEXT_BYTES:
        return None
    try:
        return json.loads(message)
    except (ValueError, RecursionError):
        return None


async def send_json(websocket: WebSocket, news: dict[str, Any]) -> None:
    await websocket.send_text(json.dumps(news))


# --- Whether sound is sent nearly as fast as it sounds: no place is held with a byte at a time ---


CHECK_PERIOD_S = 60.0
"""Seconds of waiting for a client, after each of which it is looked at what has come."""

MIN_SPEED = 0.25
"""Seconds of sound that must come in a second of waiting."""


class SendRate:
    """Counts the time in which the client is waited for: what hearing takes is not its fault.

    Args:
        now: seconds on any clock.
    """

    def __init__(self, now: float) -> None:
        self._since, self._theirs = now, False
        self._waited_s = self._heard_s = 0.0

    def switch(self, now: float, *, theirs: bool) -> None:
        """From now on the client is waited for, or is not."""
        if self._theirs:
            self._waited_s += now - self._since
        self._since, self._theirs = now, theirs

    def problem(self, audio_s: float) -> str | None:
        """What is to be said of a stream of which so many seconds have been heard; None: it is fast enough."""
        if self._waited_s < CHECK_PERIOD_S:
            return None
        came_s, waited_s = audio_s - self._heard_s, self._waited_s
        self._waited_s, self._heard_s = 0.0, audio_s
        if came_s >= MIN_SPEED * waited_s:
            return None
        return (
            f"Only {came_s:.1f} s of sound came in {waited_s:.0f} s. Send it at {MIN_SPEED:g} of the speed at which it "
            "sounds at least, or send `stop`, and begin another stream when there is more."
        )
