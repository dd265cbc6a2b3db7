"""`genrelab serve`: the service of `service/`, from the settings to the last answer.

SIGTERM, SIGINT   nothing new is accepted, what was accepted is answered, exit 0; a second one ends it at once
SIGHUP            bundles that changed are loaded again; requests under way keep the model that they began with
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from genrelab.core.errors import SettingsError
from genrelab.core.processes import prctl
from genrelab.serve import temp_folder
from genrelab.serve.app import create_app
from genrelab.serve.http.connection import http_protocol
from genrelab.serve.model_store import ModelStore, parse_models
from genrelab.serve.settings import ServeSettings
from genrelab.serve.shutdown import run_unless
from genrelab.serve.workers.queue import WorkerQueue

log = logging.getLogger("genrelab.serve")

WATCH_S = 1.0
"""Between two looks at the bundles."""

IDLE_BEFORE_EXIT_S = 0.2
"""For so long nothing must be under way before a service that stops closes its door: what knocks meanwhile is told."""

BODY_CUTOFF_S = 2.0
"""Before the end of `stop_s` bodies that still arrive are refused, so that what is here already can be heard."""

BACKLOG = 2048
"""Connections that the system keeps for us; uvicorn's own number."""


def serve(settings: ServeSettings, listening: Callable[[str, ModelStore], None]) -> None:
    """Serve until a signal comes.

    Args:
        settings: all of it.
        listening: called once with the address, as soon as requests are answered.

    Raises:
        SettingsError: settings that cannot be, an address that is taken, workers that do not begin.
        BundleError: a bundle cannot be used.
    """
    settings.verify()
    _log_to_stderr(settings.access_log)
    _forbid_inspection()
    asyncio.run(_serve(settings, listening))


async def _serve(settings: ServeSettings, listening: Callable[[str, ModelStore], None]) -> None:
    stop = _Signals()
    with temp_folder.folder() as folder, closing(listen(settings.host, settings.port)) as door:
        sources = parse_models(settings.models)
        shelf = await asyncio.to_thread(ModelStore, sources, folder / "models", min_precision=settings.min_precision)
        uploads = folder / "uploads"
        uploads.mkdir()
        await _Service(settings, shelf, uploads, door, stop).run(listening)


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
        door.listen(BACKLOG)
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


def _forbid_inspection() -> None:
    """Other processes of this user, workers among them, may not look into this one: it knows the token."""
    prctl(_SET_DUMPABLE, 0)


_SET_DUMPABLE = 4
"""From linux/prctl.h."""


class _Signals:
    """What this process was told by signals since it began to listen to them.

    Attributes:
        stop: end, when what was accepted is answered.
        stop_now: end now.
        reload: look at the bundles.
    """

    def __init__(self) -> None:
        self.stop, self.stop_now, self.reload = asyncio.Event(), asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        for name, told in (
            ("SIGTERM", self._request_stop),
            ("SIGINT", self._request_stop),
            ("SIGHUP", self.reload.set),
        ):
            if hasattr(signal, name):  # Windows has no SIGHUP, and no loop.add_signal_handler
                signal.signal(getattr(signal, name), lambda *_, told=told: loop.call_soon_threadsafe(told))

    def _request_stop(self) -> None:
        (self.stop_now if self.stop.is_set() else self.stop).set()


class _Stopped(Exception):  # noqa: N818 - reads as what it is
    """Told to end before anything was heard."""


class _Server(uvicorn.Server):
    """Leaves signals to `_Signals`: uvicorn's own handlers would end the process by the signal, not with 0."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Service:
    def __init__(
        self, settings: ServeSettings, shelf: ModelStore, uploads: Path, door: socket.socket, signals: _Signals
    ) -> None:
        self.settings, self.model_store, self.server_socket, self.signals = settings, shelf, door, signals
        self.worker_queue = WorkerQueue(settings.limits, shelf)
        self.app: Any = create_app(
            settings.limits,
            shelf,
            self.worker_queue,
            token=settings.token,
            origins=settings.origins,
            hosts=None if settings.insecure else (settings.host,),
            folder=uploads,
        )
        self.server = _Server(self._config())

    def _config(self) -> uvicorn.Config:
        return uvicorn.Config(
            self.app,
            http=http_protocol(self.settings.limits),
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

    async def run(self, listening: Callable[[str, ModelStore], None]) -> None:
        """From the first worker to the last answer."""
        try:
            if not await self._start_workers():
                return
            address = self._address()
            serving = asyncio.create_task(self.server.serve(sockets=[self.server_socket]))
            while not self.server.started and not serving.done():
                await asyncio.sleep(0.02)
            listening(address, self.model_store)
            work = [asyncio.create_task(part) for part in (self._drain(), self._reload(), self._watch())]
            try:
                await serving
            finally:
                for task in work:
                    task.cancel()
        finally:
            await self.worker_queue.stop()

    async def _start_workers(self) -> bool:
        """Do workers hear? Not where the service is told to end before they do."""
        try:
            await run_unless(self.signals.stop.wait(), self.worker_queue.start(), _Stopped)
        except _Stopped:
            return False
        return True

    def _address(self) -> str:
        host, port = self.server_socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def _drain(self) -> None:
        """When it is told to end: let what was accepted be answered; who comes meanwhile is told that nobody will."""
        await self.signals.stop.wait()
        draining, stop_s = self.app.state.draining, self.settings.limits.stop_s
        draining.start()
        if not await self._wait_until_idle(stop_s - BODY_CUTOFF_S):
            draining.end()  # bodies that still arrive; what is here is heard
            if not await self._wait_until_idle(BODY_CUTOFF_S):
                log.warning("stopped before %d requests could be heard: they are refused", draining.in_flight)
                await self.worker_queue.stop()
                await self._wait_until_idle(IDLE_BEFORE_EXIT_S)
        self.server.should_exit = True

    async def _wait_until_idle(self, seconds: float) -> bool:
        """Waits until nothing has been under way for a while, at most so long; at once where it is told to hurry."""
        began = quiet_since = time.monotonic()
        while (now := time.monotonic()) - began < seconds and not self.signals.stop_now.is_set():
            if self.app.state.draining.in_flight:
                quiet_since = now
            elif now - quiet_since >= IDLE_BEFORE_EXIT_S:
                return True
            await asyncio.sleep(0.02)
        return False

    async def _reload(self) -> None:
        """Whenever it is told to, or a bundle has changed."""
        while True:
            await self.signals.reload.wait()
            self.signals.reload.clear()
            try:
                for sentence in await asyncio.to_thread(self.model_store.reload):
                    log.info("%s", sentence)
            except Exception:  # the service goes on with what it has
                log.exception("bundles could not be looked at")

    async def _watch(self) -> None:
        while self.settings.watch:
            await asyncio.sleep(WATCH_S)
            if await asyncio.to_thread(self.model_store.changed):
                self.signals.reload.set()
