"""`genrelab serve`: runs the service, from its settings to the last response.

SIGTERM, SIGINT   no new request is accepted, accepted ones are answered, exit 0; a second signal exits at once
SIGHUP            changed bundles are reloaded; requests in flight keep the model that they started with
"""

from __future__ import annotations

import asyncio
import logging
import math
import signal
import socket
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

BEFORE_EXIT_S = 0.2
"""Seconds between a stop signal and the end of the server: streams get the problem `stopping`, other requests a 503."""

SET_DUMPABLE = 4
"""From linux/prctl.h: at 0, other processes of this user, workers included, cannot inspect this one."""

BACKLOG = 2048
"""Pending connections that the kernel queues; uvicorn's default."""


def serve(settings: ServeSettings, on_ready: Callable[[str, ModelStore], None]) -> None:
    """Serve until a signal arrives.

    Args:
        settings: of the service.
        on_ready: called once with the URL and the models, as soon as requests are answered.

    Raises:
        SettingsError: invalid settings, an address in use, or workers that do not start.
        BundleError: a bundle is unusable.
    """
    settings.verify()
    _log_to_stderr()
    prctl(SET_DUMPABLE, 0)
    asyncio.run(_serve(settings, on_ready))


async def _serve(settings: ServeSettings, on_ready: Callable[[str, ModelStore], None]) -> None:
    signals = _Signals()
    with temp_folder.folder() as folder, closing(open_socket(settings.host, settings.port)) as server_socket:
        sources = parse_models(settings.models)
        model_store = await asyncio.to_thread(
            ModelStore, sources, folder / "models", min_precision=settings.min_precision
        )
        uploads = folder / "uploads"
        uploads.mkdir()
        await _Service(settings, model_store, uploads, signals).run(server_socket, on_ready)


def open_socket(host: str, port: int) -> socket.socket:
    """A socket that accepts connections.

    Raises:
        SettingsError: the address is not of this machine, or is in use.
    """
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        server_socket = socket.socket(family, kind, proto)
    except OSError as e:
        raise SettingsError(f"cannot listen on {host}: {e.strerror or e}") from e
    try:
        server_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server_socket.bind(address)
        server_socket.listen(BACKLOG)
    except (OSError, OverflowError) as e:
        server_socket.close()
        reason = e.strerror if isinstance(e, OSError) else str(e)
        raise SettingsError(f"cannot listen on {host} port {port}: {reason}; choose another --port") from e
    return server_socket


def _log_to_stderr() -> None:
    """One line a message; clients that send invalid HTTP are not logged."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S")
    for name, level in (("uvicorn.error", logging.ERROR), ("uvicorn.access", logging.INFO)):
        logging.getLogger(name).setLevel(level)
    # uvicorn's own words for requests that are cancelled at the end of `stop_s`; their clients get a 503
    logging.getLogger("uvicorn.error").addFilter(lambda record: not record.getMessage().startswith("Cancel "))


class _Signals:
    """The signals received so far, as events.

    Attributes:
        stop: exit when the accepted requests are answered.
        stop_now: exit at once.
        reload: check the bundles, and load those that changed.
    """

    def __init__(self) -> None:
        self.stop, self.stop_now, self.reload = asyncio.Event(), asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        stop = self._request_stop
        for name, handler in (("SIGTERM", stop), ("SIGINT", stop), ("SIGHUP", self.reload.set)):
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
    def __init__(self, settings: ServeSettings, model_store: ModelStore, folder: Path, signals: _Signals) -> None:
        self.settings, self.model_store, self.signals = settings, model_store, signals
        self.worker_queue = WorkerQueue(settings.limits, model_store)
        hosts = None if settings.insecure else (settings.host,)
        self.app: Any = create_app(
            settings.limits, model_store, self.worker_queue,
            token=settings.token, origins=settings.origins, hosts=hosts, folder=folder,
        )  # fmt: skip
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
            timeout_graceful_shutdown=math.ceil(self.settings.limits.stop_s),
        )

    async def run(self, server_socket: socket.socket, on_ready: Callable[[str, ModelStore], None]) -> None:
        """From starting the workers to the last response."""
        try:
            await run_unless(self.signals.stop.wait(), self.worker_queue.start(), _Stopped)
            host, port = server_socket.getsockname()[:2]
            serving = asyncio.create_task(self.server.serve(sockets=[server_socket]))
            while not self.server.started and not serving.done():
                await asyncio.sleep(0.02)
            on_ready(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}", self.model_store)
            work = [asyncio.create_task(loop) for loop in (self._stop(), self._reload(), self._watch())]
            try:
                await serving
            finally:
                for task in work:
                    task.cancel()
        except _Stopped:
            pass
        finally:
            await self.worker_queue.stop()

    async def _stop(self) -> None:
        """On a stop signal: refuse new requests; uvicorn waits for those in flight, for up to `stop_s`."""
        await self.signals.stop.wait()
        self.app.state.draining.started = True
        await asyncio.sleep(BEFORE_EXIT_S)
        self.server.should_exit = True
        await self.signals.stop_now.wait()
        for task in self.server.server_state.tasks:
            task.cancel()

    async def _reload(self) -> None:
        """Reload bundles on SIGHUP, or when `_watch` finds a change."""
        while True:
            await self.signals.reload.wait()
            self.signals.reload.clear()
            try:
                for line in await asyncio.to_thread(self.model_store.reload):
                    log.info("%s", line)
                self.worker_queue.wake_workers()
            except Exception:  # any: the service goes on with the models that it has
                log.exception("bundles could not be reloaded")

    async def _watch(self) -> None:
        while self.settings.watch:
            await asyncio.sleep(WATCH_S)
            if await asyncio.to_thread(self.model_store.changed):
                self.signals.reload.set()
