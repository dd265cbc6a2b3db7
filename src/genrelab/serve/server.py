"""`genrelab serve`: runs the service, from its settings to the last response.

SIGTERM, SIGINT   no new request is accepted, accepted ones are answered, exit 0; a second signal exits at once
SIGHUP            bundles that changed are loaded again; requests in flight keep the model that they started with
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
"""Seconds between two checks whether a bundle has changed."""

IDLE_BEFORE_EXIT_S = 0.2
"""Seconds without a request in flight before a stopping service closes its socket: requests meanwhile get a 503."""

BODY_CUTOFF_S = 2.0
"""Seconds before the end of `stop_s` from which incomplete bodies are refused, so that complete ones are processed."""

BACKLOG = 2048
"""Pending connections that the kernel queues; uvicorn's default."""


def serve(settings: ServeSettings, listening: Callable[[str, ModelStore], None]) -> None:
    """Serve until a signal arrives.

    Args:
        settings: of the service.
        listening: called once with the URL and the models, as soon as requests are answered.

    Raises:
        SettingsError: invalid settings, an address in use, or workers that do not start.
        BundleError: a bundle is unusable.
    """
    settings.verify()
    _log_to_stderr(settings.access_log)
    _forbid_inspection()
    asyncio.run(_serve(settings, listening))


async def _serve(settings: ServeSettings, listening: Callable[[str, ModelStore], None]) -> None:
    stop = _Signals()
    with temp_folder.folder() as folder, closing(listen(settings.host, settings.port)) as server_socket:
        sources = parse_models(settings.models)
        model_store = await asyncio.to_thread(
            ModelStore, sources, folder / "models", min_precision=settings.min_precision
        )
        uploads = folder / "uploads"
        uploads.mkdir()
        await _Service(settings, model_store, uploads, server_socket, stop).run(listening)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        SettingsError: the address is not this machine's, or is in use.
    """
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        server_socket = socket.socket(family, kind, proto)
    except OSError as e:
        raise SettingsError(f"cannot listen at {host}: {e.strerror or e}") from e
    try:
        server_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server_socket.bind(address)
        server_socket.listen(BACKLOG)
    except (OSError, OverflowError) as e:
        server_socket.close()
        reason = e.strerror if isinstance(e, OSError) else str(e)
        raise SettingsError(f"cannot listen at {host} port {port}: {reason}; choose another --port") from e
    return server_socket


def _log_to_stderr(access_log: bool) -> None:
    """One line a message; clients that send invalid HTTP are not logged."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S")
    for name, level in (("uvicorn.error", logging.ERROR), ("uvicorn.access", logging.INFO)):
        logging.getLogger(name).setLevel(level)
    logging.getLogger("uvicorn.access").disabled = not access_log


def _forbid_inspection() -> None:
    """Keep other processes of this user, workers included, from inspecting this one by ptrace or /proc."""
    prctl(_SET_DUMPABLE, 0)


_SET_DUMPABLE = 4
"""From linux/prctl.h."""


class _Signals:
    """The signals received so far, as events.

    Attributes:
        stop: exit once the accepted requests are answered.
        stop_now: exit at once.
        reload: check the bundles, and load those that changed.
    """

    def __init__(self) -> None:
        self.stop, self.stop_now, self.reload = asyncio.Event(), asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        for name, handler in (
            ("SIGTERM", self._request_stop),
            ("SIGINT", self._request_stop),
            ("SIGHUP", self.reload.set),
        ):
            if hasattr(signal, name):  # Windows has no SIGHUP, and no loop.add_signal_handler
                signal.signal(getattr(signal, name), lambda *_, handler=handler: loop.call_soon_threadsafe(handler))

    def _request_stop(self) -> None:
        (self.stop_now if self.stop.is_set() else self.stop).set()


class _Stopped(Exception):  # noqa: N818 - reads as what it is
    """A stop signal came before a worker was ready."""


class _Server(uvicorn.Server):
    """Leaves signals to `_Signals`: uvicorn's own handlers would end the process by the signal, not with 0."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Service:
    def __init__(
        self,
        settings: ServeSettings,
        model_store: ModelStore,
        uploads: Path,
        server_socket: socket.socket,
        signals: _Signals,
    ) -> None:
        self.settings, self.model_store, self.server_socket, self.signals = (
            settings,
            model_store,
            server_socket,
            signals,
        )
        self.worker_queue = WorkerQueue(settings.limits, model_store)
        self.app: Any = create_app(
            settings.limits,
            model_store,
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
            ws_per_message_deflate=False,  # audio is compressed already, and decompression bombs are kept out
            lifespan="off",  # `run` starts and stops the workers, so that an error of theirs is reported in one line
            log_config=None,
            access_log=self.settings.access_log,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=1,  # requests in flight then have had `stop_s` already
        )

    async def run(self, listening: Callable[[str, ModelStore], None]) -> None:
        """From starting the workers to the last response."""
        try:
            if not await self._start_workers():
                return
            address = self._address()
            serving = asyncio.create_task(self.server.serve(sockets=[self.server_socket]))
            while not self.server.started and not serving.done():
                await asyncio.sleep(0.02)
            listening(address, self.model_store)
            work = [asyncio.create_task(loop) for loop in (self._drain(), self._reload(), self._watch())]
            try:
                await serving
            finally:
                for task in work:
                    task.cancel()
        finally:
            await self.worker_queue.stop()

    async def _start_workers(self) -> bool:
        """Is a worker ready? False where the service is told to stop first."""
        try:
            await run_unless(self.signals.stop.wait(), self.worker_queue.start(), _Stopped)
        except _Stopped:
            return False
        return True

    def _address(self) -> str:
        host, port = self.server_socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def _drain(self) -> None:
        """On a stop signal: let accepted requests be answered, and refuse new ones meanwhile."""
        await self.signals.stop.wait()
        draining, stop_s = self.app.state.draining, self.settings.limits.stop_s
        draining.start()
        if not await self._wait_until_idle(stop_s - BODY_CUTOFF_S):
            draining.end()  # refuses incomplete bodies; complete ones are processed
            if not await self._wait_until_idle(BODY_CUTOFF_S):
                log.warning("stopped before %d requests could be heard: they are refused", draining.in_flight)
                await self.worker_queue.stop()
                await self._wait_until_idle(IDLE_BEFORE_EXIT_S)
        self.server.should_exit = True

    async def _wait_until_idle(self, seconds: float) -> bool:
        """Wait for `IDLE_BEFORE_EXIT_S` without requests. False after `seconds`, or at once on a second stop signal."""
        started = quiet_since = time.monotonic()
        while (now := time.monotonic()) - started < seconds and not self.signals.stop_now.is_set():
            if self.app.state.draining.in_flight:
                quiet_since = now
            elif now - quiet_since >= IDLE_BEFORE_EXIT_S:
                return True
            await asyncio.sleep(0.02)
        return False

    async def _reload(self) -> None:
        """Reload bundles on SIGHUP, or when `_watch` finds a change."""
        while True:
            await self.signals.reload.wait()
            self.signals.reload.clear()
            try:
                for line in await asyncio.to_thread(self.model_store.reload):
                    log.info("%s", line)
            except Exception:  # the service goes on with the models it has
                log.exception("bundles could not be looked at")

    async def _watch(self) -> None:
        while self.settings.watch:
            await asyncio.sleep(WATCH_S)
            if await asyncio.to_thread(self.model_store.changed):
                self.signals.reload.set()
