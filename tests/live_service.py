"""A server on a port of its own, in a thread, as `serve.py` has it, for tests of what passes over a wire."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from genrelab.service.limits import Limits
from genrelab.service.patience import patient


@contextmanager
def served(app: Any, limits: Limits, **settings: Any) -> Iterator[int]:
    """The port where `app` answers."""
    config = uvicorn.Config(app, http=patient(limits), log_config=None, timeout_graceful_shutdown=2, **settings)
    server = uvicorn.Server(config)
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not begin"
            time.sleep(0.01)
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    """A bare connection, that waits ten seconds for anything."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        yield connection


def until_closed(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    said = b""
    try:
        while piece := connection.recv(65_536):
            said += piece
    except ConnectionResetError:
        pass
    return said
