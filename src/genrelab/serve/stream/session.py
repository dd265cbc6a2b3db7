"""A stream's session: passes messages between the client and the process of its stream, with timeouts."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect

from genrelab.serve.limits import MIB, Limits
from genrelab.serve.problems import KINDS, Problem
from genrelab.serve.shutdown import run_until_first, shutdown_problem
from genrelab.serve.stream.framing import PIECE_BYTES, StreamJob, pack_piece
from genrelab.serve.workers.subprocess import ProcessDied, Subprocess

MAX_CHUNK_BYTES = MIB
"""Maximum size of a binary message."""

MAX_TEXT_BYTES = 1 << 13
"""Maximum length of a text message."""

POLL_S = 0.05
"""Seconds between two checks of timeouts."""

START_TIMEOUT_S = 30.0
"""Seconds that a process may take to start."""

CHECK_PERIOD_S = 60.0
"""Seconds of waiting for a client between two checks of its mean rate; processing time does not count."""

MIN_SPEED = 0.25
"""Seconds of audio that must arrive a second, on average: a client cannot occupy a stream by sending very little."""


class StreamSession:
    """The session of one stream.

    Nothing is buffered: a piece is sent when the process asks for one, and a chunk is received when the one before it
    has been sent. The session always waits either for the client or for the process, and `_watch` ends it where that
    takes too long.
    """

    def __init__(self, websocket: WebSocket, process: Subprocess, limits: Limits, job: StreamJob) -> None:
        self._websocket, self._process, self._limits, self._job = websocket, process, limits, job
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue(maxsize=1)  # an empty one: the end
        self._piece_wanted = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._waited_s = self._checked_audio_s = 0.0  # for the client, and audio processed, since the last rate check
        loading = f"The model {job.name} could not be loaded within {{:g}} s. Try again later."
        self._wait_for(max(START_TIMEOUT_S, limits.classify_s), "model-not-loaded", loading)

    async def run(self) -> None:
        """Run until `end` has been sent to the client.

        Raises:
            Problem: any other end.
            ProcessDied: the process has died, or broken the protocol.
            WebSocketDisconnect: the client has disconnected.
        """
        await self._process.write(pack_piece(self._job.to_json()))
        await run_until_first(self._receive(), self._feed(), self._relay(), self._watch())

    async def _receive(self) -> None:
        """Receives from the client; after its `stop` only to notice a disconnect."""
        stopped = False
        while True:
            message = await receive_message(self._websocket)
            if stopped:
                continue
            if isinstance(message, str):
                if parse_json(message) != {"type": "stop"}:
                    raise Problem(
                        "bad-parameter", 'After `start`, send binary messages, and {"type":"stop"} at the end.'
                    )
                stopped = True
                await self._chunks.put(b"")
            elif message:
                await self._chunks.put(message)

    async def _feed(self) -> None:
        """Sends chunks to the process in pieces, as it asks for them."""
        while True:
            waiting_since = self._loop.time()
            chunk = await self._chunks.get()
            self._waited_s += self._loop.time() - waiting_since
            for start in range(0, max(len(chunk), 1), PIECE_BYTES):
                await self._piece_wanted.wait()
                self._piece_wanted.clear()
                self._wait_for_process()
                await self._process.write(pack_piece(chunk[start : start + PIECE_BYTES]))

    async def _relay(self) -> None:
        """Handles the process's messages, and passes on predictions."""
        while True:
            message = await self._process.read_line()
            match message.get("type"):
                case "more" if isinstance(message.get("audio_s"), int | float):
                    self._wait_for_client("No audio came for {:g} s. Send audio, or `stop`.")
                    self._check_rate(message["audio_s"])
                    self._piece_wanted.set()
                    continue
                case "ready":
                    job = self._job
                    ready = {"model": job.name, "window_s": job.window_s, "first_answer_s": job.first_answer_s}
                    await self._send({"type": "ready", **ready})
                case "refused" if message.get("kind") in KINDS:
                    raise Problem(message["kind"], str(message.get("detail")))
                case "prediction":
                    await self._send(message)
                case "end":
                    await self._send(message)
                    return
                case _:
                    raise ProcessDied
            self._wait_for_process()

    async def _send(self, message: dict[str, Any]) -> None:
        self._wait_for_client("The client read no message for {:g} s.")
        await send_json(self._websocket, message)

    def _wait_for_client(self, detail: str) -> None:
        self._wait_for(self._limits.stream_idle_s, "too-slow", detail)

    def _wait_for_process(self) -> None:
        self._wait_for(self._limits.classify_s, "took-too-long", "Processing made no progress for {:g} s.")

    def _wait_for(self, seconds: float, kind: str, detail: str) -> None:
        self._deadline, self._timeout_problem = self._loop.time() + seconds, Problem(kind, detail.format(seconds))

    def _check_rate(self, audio_s: float) -> None:
        seconds, arrived_s = self._waited_s, audio_s - self._checked_audio_s
        if seconds < CHECK_PERIOD_S:
            return
        self._waited_s, self._checked_audio_s = 0.0, audio_s
        if arrived_s < MIN_SPEED * seconds:
            raise Problem(
                "too-slow",
                f"Only {arrived_s:.1f} s of audio came in {seconds:.0f} s; at least {MIN_SPEED:g} s per second are "
                "needed. Send `stop` when the audio pauses, and start another stream later.",
            )

    async def _watch(self) -> None:
        """Raises the problem where a timeout has passed, or the service is being stopped."""
        session_deadline = self._loop.time() + self._limits.stream_s
        while True:
            await asyncio.sleep(POLL_S)
            if self._loop.time() > self._deadline:
                raise self._timeout_problem
            if self._loop.time() > session_deadline:
                raise Problem("too-long", f"A stream may last at most {self._limits.stream_s:g} s. Start another one.")
            refuse_if_stopping(self._websocket)


def refuse_if_stopping(websocket: WebSocket) -> None:
    """Raise the problem `stopping` while the service is being stopped."""
    draining = getattr(websocket.app.state, "draining", None)
    if draining is not None and draining.started:
        raise shutdown_problem()


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
        raise Problem("too-large", f"A binary message may have at most {MAX_CHUNK_BYTES >> 20} MiB.")
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
    """Send a text message."""
    await websocket.send_text(json.dumps(message))
