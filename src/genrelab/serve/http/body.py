"""Reads the body of one request, as it arrives, into a spool of files."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers
from starlette.types import Receive

from genrelab.serve.http.multipart import MultipartBody
from genrelab.serve.http.spool import Spool
from genrelab.serve.limits import Limits
from genrelab.serve.problems import Problem, retry_later

BLOCK_BYTES = 1 << 18
"""Bytes that are parsed and written at a time, in a thread, since the event loop must not wait for the disk."""
OVERHEAD = 1 << 14
"""Bytes of boundary and headers allowed for each part."""
SPARE_PARTS = 4
"""Parts without a file that a form may have: where no file was chosen, browsers send an empty part."""

_log = logging.getLogger("genrelab.service")


class ClientDisconnected(Exception):  # noqa: N818 - reads as what it is
    """The client disconnected before it was answered."""


class BodyReader:
    """Reads one body.

    Raises:
        Problem: the headers already show that the body is not acceptable.
    """

    def __init__(self, headers: Headers, receive: Receive, spool: Spool, limits: Limits, *, batch: bool) -> None:
        self._receive, self._spool, self._limits = receive, spool, limits
        self._size, self._lock, self._removed = 0, threading.Lock(), False
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise Problem("bad-request", "The body has a Content-Encoding. Send the file unencoded.")
        content_type, options = parse_options_header(headers.get("content-type", ""))
        multipart = content_type == b"multipart/form-data"
        if batch and not multipart:
            raise Problem("bad-request", "Send a batch as multipart/form-data, one part for each file.")
        self._max_files = limits.batch_files if batch else 1
        parts = self._max_files + SPARE_PARTS
        self._max_content_bytes = limits.batch_bytes if batch else limits.upload_bytes
        self._max_body_bytes = self._max_content_bytes + (parts * OVERHEAD if multipart else 0)
        length = headers.get("content-length", "")
        if length.isascii() and length.isdigit() and int(length[:20]) > self._max_body_bytes:
            raise self._too_large()
        self._form = MultipartBody(options.get(b"boundary", b""), spool, parts) if multipart else None
        self._feed: Callable[[bytes], None] = self._form.feed if self._form else spool.add

    async def read(self) -> None:
        """Read the body to its end. Errors: see `Uploads.received`."""
        start, block, more = asyncio.get_running_loop().time(), bytearray(), True
        while more:
            piece, more = await self._next_piece(start)
            if self._size > self._max_body_bytes:
                raise self._too_large()
            block += piece
            if block and (len(block) >= BLOCK_BYTES or not more):
                await self._in_thread(self._write, bytes(block), not more)
                block.clear()
        if self._form is not None:
            self._form.close()
        if not self._spool.files:
            raise Problem("bad-request", "The body has no file. Send an audio file as the body, or in a form.")

    async def remove_files(self) -> None:
        """Remove the files; also where the caller is cancelled meanwhile."""
        if self._size:
            await self._in_thread(self._remove)

    async def _next_piece(self, start: float) -> tuple[bytes, bool]:
        """The next bytes, and whether more follow."""
        limits, loop = self._limits, asyncio.get_running_loop()
        now, deadline = loop.time(), start + limits.upload_s
        try:
            async with asyncio.timeout_at(min(now + limits.idle_s, deadline)):
                message = await self._receive()
        except TimeoutError:
            raise self._too_slow() from None
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        piece, more = message.get("body", b""), message.get("more_body", False)
        self._size += len(piece)
        seconds = loop.time() - start
        too_slow = more and seconds > limits.idle_s and self._size < seconds * limits.body_bytes_s
        if too_slow or now > deadline:  # without a pause in the data the timeout never fires
            raise self._too_slow()
        return piece, more

    async def _in_thread(self, work: Callable[..., None], *arguments: object) -> None:
        # Shielded: a thread cannot be cancelled. `_write` does nothing after `_remove`.
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, work, *arguments))

    def _write(self, data: bytes, last: bool) -> None:
        with self._lock:
            if self._removed:
                return
            try:
                self._feed(data)
                if last:
                    self._spool.close()
            except OSError as e:
                _log.error("cannot write an upload: %s", e)
                raise retry_later("not-ready", "The service cannot store files at the moment.", 10) from e

    def _remove(self) -> None:
        with self._lock:
            self._removed = True
            self._spool.remove()

    def _too_large(self) -> Problem:
        kind, limit = "A batch" if self._max_files > 1 else "A file", self._max_content_bytes
        return Problem("too-large", f"{kind} may have at most {limit:,} bytes.", extra={"limit": limit})

    def _too_slow(self) -> Problem:
        limits = self._limits
        return Problem(
            "too-slow",
            f"Send the body within {limits.upload_s:g} s, at {limits.body_bytes_s:,} bytes a second or more, "
            f"without a pause of more than {limits.idle_s:g} s.",
        )
