"""WS /v1/stream: music as it sounds, answered once a second; each stream is heard by a process of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from genrelab.serve import schemas
from genrelab.serve.http import middleware
from genrelab.serve.http import origins as http_origins
from genrelab.serve.limits import Limits
from genrelab.serve.model_store import ModelStore, ServedModel
from genrelab.serve.problems import Problem, internal_problem, quoted
from genrelab.serve.stream import protocol
from genrelab.serve.stream.framing import StreamJob
from genrelab.serve.stream.process import StreamProcess
from genrelab.serve.stream.protocol import StartMessage
from genrelab.serve.stream.session import StreamSession, parse_json, problem_if_stopping, receive_message, send_json

POLICY, TOO_BIG, FAILED, GOING_AWAY, TRY_AGAIN_LATER = 1008, 1009, 1011, 1001, 1013

CLOSE_CODES = {
    "busy": TRY_AGAIN_LATER, "not-ready": TRY_AGAIN_LATER, "crashed": FAILED, "internal": FAILED, "took-too-long": FAILED,
    "stopping": GOING_AWAY, "too-large": TOO_BIG,
}  # fmt: skip
"""The close code of a problem; of all others 1008."""

RETRY_AFTER_S = 10
"""After which who finds all places taken may ask again."""

_log = logging.getLogger("genrelab.serve")


class StreamRouter(APIRouter):
    """The route, and how many streams are being heard.

    Args:
        model_store: the models.
        limits: `streams`, `stream_s`, `stream_idle_s`, `idle_s`, `classify_s` and `worker_bytes` count here.
        token: that clients must show.
        origins: web sites whose pages may use the service.
    """

    def __init__(self, shelf: ModelStore, limits: Limits, token: str | None, origins: Sequence[str]) -> None:
        super().__init__()
        self.model_store, self.limits, self.token, self.origins = shelf, limits, token, frozenset(origins)
        self.streams_open = 0
        self.add_api_websocket_route("/v1/stream", self.stream)
        kinds = ("upgrade-required", "foreign-origin", "internal", "stopping")
        self.add_api_route(
            "/v1/stream", self.plain, methods=["GET"], tags=["stream"], operation_id="stream",
            summary="Music as it sounds: a WebSocket", description=protocol.DOCUMENTATION, status_code=101,
            response_description="From here on messages are exchanged.", response_model=None,
            responses=schemas.problem_responses(*kinds, *(() if token is None else ("unauthorized",))),
        )  # fmt: skip

    async def plain(self) -> None:
        """A request that wants no WebSocket."""
        raise Problem(
            "upgrade-required",
            "This address is a WebSocket: ws://HOST:PORT/v1/stream. /docs tells what is said there.",
            headers={"Upgrade": "websocket", "Connection": "Upgrade"},
        )

    async def stream(self, websocket: WebSocket) -> None:
        """One stream from its first message to its end."""
        try:
            await websocket.accept()
            await self._run_session(websocket)
            await websocket.close()
        except Problem as problem:
            await _send_problem(websocket, problem)
        except WebSocketDisconnect:
            pass
        except Exception:  # noqa: BLE001 - a client gets a problem, and the log its trace
            _log.exception("a stream was not answered")
            await _send_problem(websocket, internal_problem())

    async def _run_session(self, websocket: WebSocket) -> None:
        if http_origins.is_cross_origin(websocket.headers, self.origins):
            raise http_origins.cross_origin_problem()
        if problem := problem_if_stopping(websocket):
            raise problem
        if websocket.query_params:
            raise _query_problem([*websocket.query_params])
        start = await self._receive_start(websocket)
        if self.token is not None and not self._has_token(websocket, start):
            raise Problem(
                "unauthorized", "Send the service's token: Authorization: Bearer TOKEN, or `token` in `start`."
            )
        order, model = self._job_for(start)
        if self.streams_open >= self.limits.streams:
            raise _busy(self.limits.streams)
        self.streams_open += 1
        try:
            async with StreamProcess(order, self.limits.worker_bytes) as leash:
                await StreamSession(websocket, leash, self.limits, order).run()
        finally:
            self.streams_open -= 1
            del model  # its copy had to stay on disk so long

    async def _receive_start(self, websocket: WebSocket) -> StartMessage:
        try:
            async with asyncio.timeout(self.limits.idle_s):
                message = await receive_message(websocket)
        except TimeoutError:
            raise Problem("too-slow", f"No start message came in {self.limits.idle_s:g} s.") from None
        return protocol.parse_start(parse_json(message))

    def _has_token(self, websocket: WebSocket, start: StartMessage) -> bool:
        assert self.token is not None
        in_start = start.token is not None and middleware.is_token(start.token.encode("utf-8", "replace"), self.token)
        return in_start or middleware.has_token(websocket.headers, self.token)

    def _job_for(self, start: StartMessage) -> tuple[StreamJob, ServedModel]:
        try:
            model = self.model_store.get(start.model)
        except KeyError:
            names = ", ".join(model.name for model in self.model_store.models())
            raise Problem("unknown-model", f"{quoted(start.model or '')} is not served. Served: {names}.") from None
        window_s = max(start.window_s, model.bundle.clips.min_s)
        return StreamJob(
            str(model.path), model.name, start.format, start.sr, start.channels, window_s, start.top,
            model.min_precision, model.coverage,
        ), model  # fmt: skip


def router(shelf: ModelStore, limits: Limits, token: str | None = None, origins: Sequence[str] = ()) -> StreamRouter:
    """The route /v1/stream; `.streams_open` says how many are being heard."""
    return StreamRouter(shelf, limits, token, origins)


def _query_problem(names: Sequence[str]) -> Problem:
    """Their values are not repeated: a token may be among them."""
    said = ", ".join(quoted(name) for name in names[:3])
    return Problem(
        "bad-parameter",
        f"This address takes no query ({said}): what is wished for stands in the `start` message. {protocol.START_HINT}",
    )


def _busy(streams: int) -> Problem:
    return Problem(
        "busy", f"No more than {streams} streams are heard at a time, and so many are. Try again in {RETRY_AFTER_S} s."
    )


async def _send_problem(websocket: WebSocket, problem: Problem) -> None:
    """What went wrong, and the end."""
    about = {**problem.about, "type": "problem", "problem": problem.kind}
    try:
        async with asyncio.timeout(1):
            await send_json(websocket, about)
            await websocket.close(CLOSE_CODES.get(problem.kind, POLICY), problem.title)
    except (TimeoutError, WebSocketDisconnect, RuntimeError):
        pass
