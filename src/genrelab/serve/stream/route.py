"""WS /v1/stream: live audio, with a prediction for every second; each stream has a process of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from genrelab.core.text import pluralize
from genrelab.serve import about, openapi
from genrelab.serve.http import middleware
from genrelab.serve.http import origins as http_origins
from genrelab.serve.limits import Limits
from genrelab.serve.model_store import ModelStore, ServedModel
from genrelab.serve.problems import Problem, internal_problem, quoted
from genrelab.serve.stream import protocol
from genrelab.serve.stream.framing import StreamJob
from genrelab.serve.stream.process import open_process
from genrelab.serve.stream.protocol import StartMessage
from genrelab.serve.stream.session import StreamSession, parse_json, receive_message, refuse_if_stopping, send_json

POLICY, TOO_BIG, FAILED, GOING_AWAY, TRY_AGAIN_LATER = 1008, 1009, 1011, 1001, 1013

CLOSE_CODES = {
    "busy": TRY_AGAIN_LATER, "model-not-loaded": TRY_AGAIN_LATER, "not-ready": TRY_AGAIN_LATER,
    "crashed": FAILED, "internal": FAILED, "took-too-long": FAILED, "stopping": GOING_AWAY, "too-large": TOO_BIG,
}  # fmt: skip
"""WebSocket close codes by kind of problem; 1008 for all others."""

RETRY_AFTER_S = 10
"""Seconds after which a client may try again where all streams are in use."""

_log = logging.getLogger("genrelab.serve")


class StreamRouter(APIRouter):
    """The route /v1/stream.

    Args:
        model_store: the models.
        limits: uses `streams`, `stream_s`, `stream_idle_s`, `idle_s`, `classify_s` and `worker_bytes`.
        token: that clients must send; None: none.
        origins: web origins whose pages may use the service.

    Attributes:
        streams_open: number of streams in progress.
    """

    def __init__(
        self, model_store: ModelStore, limits: Limits, token: str | None = None, origins: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self.model_store, self.limits, self.token, self.origins = model_store, limits, token, frozenset(origins)
        self.streams_open = 0
        self.add_api_websocket_route("/v1/stream", self.stream)
        kinds = ("upgrade-required", "foreign-origin", "internal", "stopping")
        self.add_api_route(
            "/v1/stream", self.upgrade_required, methods=["GET"], tags=["stream"], operation_id="stream",
            summary="Classify live audio: a WebSocket that returns a prediction for every second",
            description=protocol.DOCUMENTATION, status_code=101,
            response_description="The connection becomes a WebSocket.", response_model=None,
            responses=openapi.problem_responses(*kinds, *(() if token is None else ("unauthorized",))),
        )  # fmt: skip

    async def upgrade_required(self) -> None:
        """A request without a WebSocket upgrade."""
        raise Problem(
            "upgrade-required",
            "Connect to this address as a WebSocket: ws://HOST:PORT/v1/stream. See /docs for its messages.",
            headers={"Upgrade": "websocket", "Connection": "Upgrade"},
        )

    async def stream(self, websocket: WebSocket) -> None:
        """One stream, from the handshake to the close."""
        try:
            await websocket.accept()
            await self._run_session(websocket)
            await websocket.close()
        except Problem as problem:
            await _send_problem(websocket, problem)
        except WebSocketDisconnect:
            pass
        except Exception:  # noqa: BLE001 - the client gets a problem, the log the traceback
            _log.exception("a stream failed")
            await _send_problem(websocket, internal_problem())

    async def _run_session(self, websocket: WebSocket) -> None:
        if http_origins.is_cross_origin(websocket.headers, self.origins):
            raise http_origins.cross_origin_problem()
        refuse_if_stopping(websocket)
        if websocket.query_params:  # their values are not repeated: a token may be among them
            names = ", ".join(quoted(name) for name in [*websocket.query_params][:3])
            detail = f"This address takes no query ({names}). Send options in the `start` message."
            raise Problem("bad-parameter", f"{detail} {protocol.START_HINT}")
        start = await self._receive_start(websocket)
        if self.token is not None and not self._has_token(websocket, start):
            raise Problem(
                "unauthorized", "Send the service's token: Authorization: Bearer TOKEN, or `token` in `start`."
            )
        job, model = self._job_for(start)
        if self.streams_open >= self.limits.streams:
            open_now = pluralize(self.limits.streams, "stream")
            raise Problem("busy", f"{open_now} open, the maximum. Try again in {RETRY_AFTER_S} s.")
        self.streams_open += 1
        try:
            async with open_process(self.limits.worker_bytes) as process:
                await StreamSession(websocket, process, self.limits, job).run()
        finally:
            self.streams_open -= 1
            del model  # until now it kept its copy on disk

    async def _receive_start(self, websocket: WebSocket) -> StartMessage:
        try:
            async with asyncio.timeout(self.limits.idle_s):
                message = await receive_message(websocket)
        except TimeoutError:
            raise Problem(
                "too-slow", f"No start message came within {self.limits.idle_s:g} s. {protocol.START_HINT}"
            ) from None
        return protocol.parse_start(parse_json(message))

    def _has_token(self, websocket: WebSocket, start: StartMessage) -> bool:
        assert self.token is not None
        in_start = start.token is not None and middleware.is_token(start.token.encode("utf-8", "replace"), self.token)
        return in_start or middleware.has_token(websocket.headers, self.token)

    def _job_for(self, start: StartMessage) -> tuple[StreamJob, ServedModel]:
        model = self.model_store.get(start.model)
        window_s = max(start.window_s, model.bundle.clips.min_s)
        first_answer_s = min(max(about.window_s(model.bundle), model.bundle.clips.min_s), window_s)
        return StreamJob(
            str(model.path), model.name, start.format, start.sr, start.channels, window_s, first_answer_s, start.top,
            model.min_precision, start.any, start.tags,
        ), model  # fmt: skip


async def _send_problem(websocket: WebSocket, problem: Problem) -> None:
    """Send a problem, and close."""
    message = {**problem.about, "type": "problem", "problem": problem.kind}
    try:
        async with asyncio.timeout(1):
            await send_json(websocket, message)
            await websocket.close(CLOSE_CODES.get(problem.kind, POLICY), problem.title)
    except (TimeoutError, WebSocketDisconnect, RuntimeError):
        pass
