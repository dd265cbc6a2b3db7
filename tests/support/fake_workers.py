"""A model store and a worker queue without models and workers, with the signatures of the real ones."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx

from genrelab.serve.app import create_app
from genrelab.serve.limits import Limits
from genrelab.serve.problems import Problem
from genrelab.serve.workers.queue import FileJob
from tests.support.guards import HANG_S

GENRES = ("Blues", "Folk", "Rock")


def model(name: str) -> Any:
    """A model as it is served."""
    about = {
        "name": name, "genres": list(GENRES), "view": "statistics", "dataset": "a test", "split": "artist",
        "licence": None, "created_by": "genrelab 0", "fingerprint": "f" * 64, "window_s": 30.0, "max_windows": 10,
        "stops_early": False, "gate": True, "metrics": {"n": 8, "accuracy": 0.5}, "min_precision": None,
        "evidence": {"Rock": {"n": [1] * 20, "right": [0] * 20}},
    }  # fmt: skip
    return SimpleNamespace(name=name, about=about, card=f"# {name}\n", path=Path("model"), bundle=None)


class FakeModelStore:
    """Two models, `first` and `second`."""

    default = "first"

    def __init__(self) -> None:
        self._models = {name: model(name) for name in ("first", "second")}

    def get(self, name: str | None) -> Any:
        try:
            return self._models[self.default if name is None else name]
        except KeyError:
            raise Problem("unknown-model", f"No model is called '{name}'. Models: first, second.") from None

    def models(self) -> list[Any]:
        return list(self._models.values())


class FakeWorkerQueue:
    """Every file is Rock; `bird` is no music, and one whose content is `refuse KIND` is refused.

    Attributes:
        orders, contents: what was to be heard.
        gate: where it is not set, files wait.
        looks: how often it was asked whether it is full, or how many wait.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.looks = 0
        self.full, self.ready = False, True
        self.processed = self.waiting = self.in_progress = self.restarts = self.cancelled = 0
        self.orders: list[FileJob] = []
        self.contents: list[bytes] = []
        self.gate = asyncio.Event()
        self.gate.set()

    def wait(self, condition: Callable[[], object]) -> None:
        """Return when something of it is so; for other threads than that of its loop."""
        with self._changed:
            assert self._changed.wait_for(condition, HANG_S), "it never came"

    async def wait_async(self, condition: Callable[[], object]) -> None:
        """The same for its own loop."""
        await asyncio.to_thread(self.wait, condition)

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()

    @property
    def full(self) -> bool:
        self.looks += 1
        self._tell()
        return self._full

    @full.setter
    def full(self, full: bool) -> None:
        self._full = full

    @property
    def waiting(self) -> int:
        self.looks += 1
        self._tell()
        return self._waiting

    @waiting.setter
    def waiting(self, waiting: int) -> None:
        self._waiting = waiting

    async def classify(self, order: FileJob) -> dict[str, Any]:
        if self.full:
            raise Problem("busy", "no place")
        self.orders.append(order)
        self.contents.append(order.path.read_bytes())
        self._tell()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            self._tell()
            raise
        if self.contents[-1].startswith(b"refuse "):
            raise Problem(self.contents[-1].decode().split()[1], "as it was told")
        self.processed += 1
        self._tell()
        said = {"path": "", "genre": "Rock", "confidence": 0.8, "probabilities": {"Rock": 0.8, "Folk": 0.2}}
        said |= {"unknown_because": None, "duration_s": 2.5, "model": order.model.name, "error": None, "notes": []}
        if self.contents[-1] == b"bird" and not order.any_genre:
            said |= {"genre": "unknown", "unknown_because": "not_music"}
        if order.describe:
            said |= {"tempo_bpm": 126.0, "tempo_confidence": 0.9, "key": None, "key_confidence": 0.0}
        if order.tags:
            said["tags"] = {"rock": 0.6, "guitar": 0.4}
        if order.timeline:
            said["timeline"] = [{"start_s": 0.0, "end_s": 2.5, "probabilities": {"Rock": 1.0}}]
        return said


def service(folder: Path, limits: Limits = Limits(), **settings: Any) -> Any:  # noqa: B008
    """The application with fakes; `app.state.worker_queue` is its queue."""
    queue = FakeWorkerQueue()
    app = create_app(limits, FakeModelStore(), queue, folder=folder, **settings)  # type: ignore[arg-type]
    app.state.worker_queue = queue
    return app


class Exchange:
    """One request over ASGI, whose body comes message by message.

    Args:
        pieces: of the body; None: the client goes away; an event: the next piece comes when it is set; a number:
            seconds until the next piece.
        unfinished: the last piece is not the body's end.

    Attributes:
        idle: set when the service waits for a piece that does not come by itself.
    """

    def __init__(
        self, app: Any, method: str, path: str, *, headers: Iterable[tuple[str, str]] = (),
        pieces: Iterable[bytes | float | asyncio.Event | None] = (b"",), unfinished: bool = False,
    ) -> None:  # fmt: skip
        self.app, self._pieces, self.status, self.body = app, list(pieces), 0, b""
        self._unfinished = unfinished
        self.headers: dict[str, str] = {}
        path, _, query = path.partition("?")
        self._scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
            "raw_path": path.encode(), "query_string": query.encode(), "root_path": "", "scheme": "http",
            "headers": [(n.lower().encode(), v.encode("latin-1")) for n, v in headers],
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8000), "state": {},
        }  # fmt: skip
        self.received, self.idle = 0, asyncio.Event()

    async def run(self) -> Exchange:
        await self.app(self._scope, self._receive, self._send)
        return self

    async def _receive(self) -> dict[str, Any]:
        while self._pieces and isinstance(self._pieces[0], float | int):
            await asyncio.sleep(self._pieces.pop(0))  # type: ignore[arg-type]
        if not self._pieces:
            self.idle.set()
            await asyncio.Event().wait()  # the client waits for the answer
        while isinstance(event := self._pieces[0], asyncio.Event):
            self.idle.set()
            await event.wait()
            self._pieces.remove(event)
        piece = self._pieces.pop(0)
        assert not isinstance(piece, float | asyncio.Event)
        self.received += 1
        if piece is None:
            return {"type": "http.disconnect"}
        more = self._unfinished or any(isinstance(p, bytes) for p in self._pieces)
        return {"type": "http.request", "body": piece, "more_body": more}

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {n.decode().lower(): v.decode() for n, v in message["headers"]}
        else:
            self.body += message.get("body", b"")


class Client:
    """Asks an application whose lifespan it begins and ends; `get`, `post` and so on as those of httpx."""

    def __init__(self, app: Any) -> None:
        self._app, self._runner = app, asyncio.Runner()

    def __enter__(self) -> Client:
        self._lifespan = self._app.router.lifespan_context(self._app)
        self._runner.run(self._enter())
        return self

    async def _enter(self) -> None:
        await self._lifespan.__aenter__()
        transport = httpx.ASGITransport(self._app)
        self._client = await httpx.AsyncClient(transport=transport, base_url="http://localhost").__aenter__()

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._leave())
        self._runner.close()

    async def _leave(self) -> None:
        await self._client.aclose()
        await self._lifespan.__aexit__(None, None, None)

    def request(self, method: str, url: str, **settings: Any) -> httpx.Response:
        return self._runner.run(self._client.request(method, url, **settings))

    def __getattr__(self, method: str) -> Any:
        return partial(self.request, method.upper())
