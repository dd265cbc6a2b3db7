"""Program: `genrelab serve`: the service of `service/`, from the settings to the last answer.

SIGTERM, SIGINT   nothing new is accepted, what was accepted is answered, exit 0; a second one ends it at once
SIGHUP            bundles that changed are loaded again; requests under way keep the model that they began with
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn

from genrelab.errors import SettingsError
from genrelab.predict import STARTER
from genrelab.service import scratch
from genrelab.service.app import create_app
from genrelab.service.ears import Ears
from genrelab.service.limits import Limits
from genrelab.service.patience import patient
from genrelab.service.shelf import Shelf, named

log = logging.getLogger("genrelab.serve")

WATCH_S = 1.0
"""Between two looks at the bundles."""

QUIET_S = 0.2
"""For so long nothing must be under way before a service that stops closes its door: what knocks meanwhile is told."""

SHORTEST_TOKEN = 8


@dataclass(frozen=True)
class ServeSettings:
    """What is served, to whom, and how.

    Attributes:
        models: `NAME=BUNDLE` or `BUNDLE`; the first is the default. None: as `load_bundle()`.
        host, port: where to listen; port 0 takes a free one.
        token: that clients must show; None: none.
        insecure: listen to others without a token.
        watch: load bundles again as soon as they change.
        origins: web sites whose pages may use the service.
        min_precision: see `Classifier.with_min_precision`.
        limits: see `Limits`.
        access_log: one line a request, on stderr.
    """

    models: Sequence[str] = ()
    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    insecure: bool = False
    watch: bool = False
    origins: Sequence[str] = ()
    min_precision: float | None = None
    limits: Limits = field(default_factory=Limits)
    access_log: bool = False


def serve(settings: ServeSettings, listening: Callable[[str, Shelf], None]) -> None:
    """Serve until a signal comes.

    Args:
        settings: all of it.
        listening: called once with the address, as soon as requests are answered.

    Raises:
        SettingsError: settings that cannot be, an address that is taken, workers that do not begin.
        BundleError: a bundle cannot be used.
    """
    refuse_open_door(settings)
    _log_to_stderr(settings.access_log)
    with scratch.folder() as folder, closing(listen(settings.host, settings.port)) as door:
        names = settings.models or (os.environ.get("GENRELAB_MODEL") or str(STARTER),)
        shelf = Shelf(named(names), folder / "models", min_precision=settings.min_precision)
        uploads = folder / "uploads"
        uploads.mkdir()
        asyncio.run(_Service(settings, shelf, uploads, door).run(listening))


def refuse_open_door(settings: ServeSettings) -> None:
    """Others are let in only with a token, or where it is said that this is meant.

    Raises:
        SettingsError: they would be.
    """
    if settings.token is not None:
        if len(settings.token) < SHORTEST_TOKEN or not settings.token.isascii() or not settings.token.isprintable():
            raise SettingsError(f"the token must be {SHORTEST_TOKEN} or more printable ASCII characters")
    elif not settings.insecure and not is_loopback(settings.host):
        raise SettingsError(
            f"--host {settings.host} lets others in: give a --token (or set GENRELAB_TOKEN), or say --insecure"
        )


def is_loopback(host: str) -> bool:
    """Can only this machine reach it?"""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        SettingsError: the address is not this machine's, or somebody else listens there.
    """
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        door = socket.socket(family, kind, proto)
    except OSError as e:
        raise SettingsError(f"cannot listen at {host}: {e.strerror or e}") from e
    try:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind(address)
    except (OSError, OverflowError) as e:
        door.close()
        reason = e.strerror if isinstance(e, OSError) else str(e)
        raise SettingsError(f"cannot listen at {host} port {port}: {reason}; choose another --port") from e
    return door


def _log_to_stderr(access_log: bool) -> None:
    """One line each; clients that speak no HTTP are no news."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S")
    for name, level in (("uvicorn.error", logging.ERROR), ("uvicorn.access", logging.INFO)):
        logging.getLogger(name).setLevel(level)
    logging.getLogger("uvicorn.access").disabled = not access_log


class _Server(uvicorn.Server):
    """Leaves signals to `_Service`: uvicorn's own handlers would end the process by the signal, not with 0."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Service:
    def __init__(self, settings: ServeSettings, shelf: Shelf, uploads: Path, door: socket.socket) -> None:
        self.settings, self.shelf, self.door = settings, shelf, door
        self.ears = Ears(settings.limits, shelf)
        self.app: Any = create_app(
            settings.limits, shelf, self.ears, token=settings.token, origins=settings.origins, folder=uploads
        )
        self.server = _Server(self._config())
        self.stopping: asyncio.Task[None] | None = None
        self.reloading = asyncio.Lock()
        self.tasks: set[asyncio.Task[None]] = set()

    def _config(self) -> uvicorn.Config:
        return uvicorn.Config(
            self.app,
            http=patient(self.settings.limits),
            ws="websockets-sansio",
            ws_max_size=1 << 20,
            ws_per_message_deflate=False,  # what is sent is compressed audio, and a bomb needs no second fuse
            lifespan="off",  # `run` begins and ends the workers, so that what is wrong with them is told in one line
            log_config=None,
            access_log=self.settings.access_log,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=1,  # what is under way then has had `stop_s` already
        )

    async def run(self, listening: Callable[[str, Shelf], None]) -> None:
        self._hear_signals()
        await self.ears.start()
        try:
            serving = asyncio.create_task(self.server.serve(sockets=[self.door]))
            while not self.server.started and not serving.done():
                await asyncio.sleep(0.02)
            if self.server.started:
                listening(self._address(), self.shelf)
            if self.settings.watch:
                self._task(self._watch())
            await serving
        finally:
            await self.ears.stop()

    def _address(self) -> str:
        host, port = self.door.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def _hear_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for name, function in (("SIGTERM", self._stop), ("SIGINT", self._stop), ("SIGHUP", self._hup)):
            if hasattr(signal, name):  # Windows has no SIGHUP, and no loop.add_signal_handler
                signal.signal(getattr(signal, name), lambda *_, do=function: loop.call_soon_threadsafe(do))

    def _stop(self) -> None:
        if self.stopping is None:
            self.stopping = asyncio.create_task(self._drain())
        else:
            self.server.should_exit = self.server.force_exit = True

    async def _drain(self) -> None:
        """Let what was accepted be answered; who comes meanwhile is told that nobody will be here."""
        draining = self.app.state.draining
        draining.begin()
        began = quiet_since = time.monotonic()
        while (now := time.monotonic()) - began < self.settings.limits.stop_s:
            if draining.in_flight:
                quiet_since = now
            elif now - quiet_since >= QUIET_S:
                break
            await asyncio.sleep(0.02)
        if draining.in_flight:
            log.warning("stopped before %d requests could be heard: they are refused", draining.in_flight)
            await self.ears.stop()
            await asyncio.sleep(QUIET_S)
        self.server.should_exit = True

    def _hup(self) -> None:
        self._task(self._reload())

    async def _reload(self) -> None:
        async with self.reloading:
            for sentence in await asyncio.to_thread(self.shelf.reload):
                log.info("%s", sentence)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_S)
            if await asyncio.to_thread(self.shelf.changed):
                await self._reload()

    def _task(self, work: Any) -> None:
        """Kept, for the loop itself would forget it half-way."""
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
