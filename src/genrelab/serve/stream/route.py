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
from genrelab.serve.model_store import Model, Shelf
from genrelab.serve.problems import Problem, internal, quoted
from genrelab.serve.stream import protocol
from genrelab.serve.stream.framing import Order
from genrelab.serve.stream.process import Leash
from genrelab.serve.stream.protocol import Start
from genrelab.serve.stream.session import Talk, object_in, received, send, stopping

POLICY, TOO_BIG, FAILED, GOING_AWAY, LATER = 1008, 1009, 1011, 1001, 1013

CLOSES = {
    "busy": LATER, "not-ready": LATER, "crashed": FAILED, "internal": FAILED, "took-too-long": FAILED,
    "stopping": GOING_AWAY, "too-large": TOO_BIG,
}  # fmt: skip
"""The close code of a problem; of all others 1008."""

LATER_S = 10
"""After which who finds all places taken may ask again."""

_log = logging.getLogger("genrelab.serve")


class Streams(APIRouter):
    """The route, and how many streams are being heard.

    Args:
        shelf: the models.
        limits: `streams`, `stream_s`, `stream_idle_s`, `idle_s`, `hear_s` and `worker_bytes` count here.
        token: that clients must show.
        origins: web sites whose pages may use the service.
    """

    def __init__(self, shelf: Shelf, limits: Limits, token: str | None, origins: Sequence[str]) -> None:
        super().__init__()
        self.shelf, self.limits, self.token, self.origins = shelf, limits, token, frozenset(origins)
        self.streams_open = 0
        self.add_api_websocket_route("/v1/stream", self.stream)
        kinds = ("upgrade-required", "foreign-origin", "internal", "stopping")
        self.add_api_route(
            "/v1/stream", self.plain, methods=["GET"], tags=["stream"], operation_id="stream",
            summary="Music as it sounds: a WebSocket", description=protocol.TEXT, status_code=101,
            response_description="From here on messages are exchanged.", response_model=None,
            responses=schemas.refusals(*kinds, *(() if token is None else ("unauthorized",))),
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
            await self._answered(websocket)
            await websocket.close()
        except Problem as problem:
            await _tell(websocket, problem)
        except WebSocketDisconnect:
            pass
        except Exception:  # noqa: BLE001 - a client gets a problem, and the log its trace
            _log.exception("a stream was not answered")
            await _tell(websocket, internal())

    async def _answered(self, websocket: WebSocket) -> None:
        if http_origins.is_foreign(websocket.headers, self.origins):
            raise http_origins.foreign()
        if problem := stopping(websocket):
            raise problem
        if websocket.query_params:
            raise _query([*websocket.query_params])
        start = await self._start(websocket)
        if self.token is not None and not self._knows(websocket, start):
            raise Problem(
                "unauthorized", "Send the service's token: Authorization: Bearer TOKEN, or `token` in `start`."
            )
        order, model = self._order(start)
        if self.streams_open >= self.limits.streams:
            raise _busy(self.limits.streams)
        self.streams_open += 1
        try:
            async with Leash(order, self.limits.worker_bytes) as leash:
                await Talk(websocket, leash, self.limits, order).run()
        finally:
            self.streams_open -= 1
            del model  # its copy had to stay on disk so long

    async def _start(self, websocket: WebSocket) -> Start:
        try:
            async with asyncio.timeout(self.limits.idle_s):
                message = await received(websocket)
        except TimeoutError:
            raise Problem("too-slow", f"No start message came in {self.limits.idle_s:g} s.") from None
        return protocol.started(object_in(message))

    def _knows(self, websocket: WebSocket, start: Start) -> bool:
        assert self.token is not None
        in_start = start.token is not None and middleware.is_token(start.token.encode("utf-8", "replace"), self.token)
        return in_start or middleware.knows(websocket.headers, self.token)

    def _order(self, start: Start) -> tuple[Order, Model]:
        try:
            model = self.shelf.get(start.model)
        except KeyError:
            names = ", ".join(model.name for model in self.shelf.models())
            raise Problem("unknown-model", f"{quoted(start.model or '')} is not served. Served: {names}.") from None
        window_s = max(start.window_s, model.bundle.clips.min_s)
        return Order(
            str(model.path), model.name, start.format, start.sr, start.channels, window_s, start.top,
            model.min_precision, model.coverage,
        ), model  # fmt: skip


def router(shelf: Shelf, limits: Limits, token: str | None = None, origins: Sequence[str] = ()) -> Streams:
    """The route /v1/stream; `.streams_open` says how many are being heard."""
    return Streams(shelf, limits, token, origins)


def _query(names: Sequence[str]) -> Problem:
    """Their values are not repeated: a token may be among them."""
    said = ", ".join(quoted(name) for name in names[:3])
    return Problem(
        "bad-parameter",
        f"This address takes no query ({said}): what is wished for stands in the `start` message. {protocol.FIRST}",
    )


def _busy(streams: int) -> Problem:
    return Problem(
        "busy", f"No more than {streams} streams are heard at a time, and so many are. Try again in {LATER_S} s."
    )


async def _tell(websocket: WebSocket, problem: Problem) -> None:
    """What went wrong, and the end."""
    about = {**problem.about, "type": "problem", "problem": problem.kind}
    try:
        async with asyncio.timeout(1):
            await send(websocket, about)
            await websocket.close(CLOSES.get(problem.kind, POLICY), problem.title)
    except (TimeoutError, WebSocketDisconnect, RuntimeError):
        pass
