"""Reads the body of one request, as it arrives, into a spool of files."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers
from starlette.types import Receive

from genrelab.serve.http.multipart import MultipartBody
from genrelab.serve.http.spool import Spool
from genrelab.serve.limits import Limits
from genrelab.serve.problems import Problem, retry_later

OVERHEAD = 1 << 14
"""Bytes of boundary and headers allowed for each part."""
SPARE_PARTS = 4
"""Parts without a file that a form may have: where no file was chosen, browsers send an empty part."""

_log = logging.getLogger("genrelab.service")


class ClientDisconnected(Exception):  # noqa: N818 - reads as what it is
    """The client disconnected before it was answered."""


class _Sink(Protocol):
    """What the bytes of a body are written to."""

    def feed(self, data: bytes) -> None: ...
    def close(self) -> None: ...


class _RawBody:
    """A body that is one file."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def feed(self, data: bytes) -> None:
        if data and not self._spool.files:
            self._spool.start("")
        if data:
            self._spool.add(data)

    def close(self) -> None:
        pass


class BodyReader:
    """Reads one body.

    Attributes:
        size: bytes received.
        started_at: when reading started, by the loop's clock; None before.
        is_complete: the whole body has been received and written.

    Raises:
        Problem: the headers already show that the body is not acceptable.
    """

    def __init__(self, headers: Headers, receive: Receive, spool: Spool, limits: Limits, *, batch: bool) -> None:
        self._receive, self._spool, self._limits = receive, spool, limits
        self.size, self.is_complete = 0, False
        self.started_at: float | None = None
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise Problem("bad-request", "The body has a Content-Encoding: send the file as it is.")
        content_type, options = parse_options_header(headers.get("content-type", ""))
        multipart = content_type == b"multipart/form-data"
        if batch and not multipart:
            raise Problem("bad-request", "A batch is sent as multipart/form-data, a part for each file.")
        self._max_files = limits.batch_files if batch else 1
        parts = self._max_files + SPARE_PARTS
        self._max_content_bytes = limits.batch_bytes if batch else limits.upload_bytes
        self._max_body_bytes = self._max_content_bytes + (parts * OVERHEAD if multipart else 0)
        self._content_length = _content_length(headers)
        if self._content_length is not None and self._content_length > self._max_body_bytes:
            raise self._too_large()
        self._sink: _Sink = MultipartBody(options.get(b"boundary", b""), spool, parts) if multipart else _RawBody(spool)

    async def read(self) -> None:
        """Read the body to its end. Errors: see `Uploads.received`."""
        self.started_at, more = asyncio.get_running_loop().time(), True
        while more:
            piece, more = await self._next_piece(self.started_at)
            if self.size > self._max_body_bytes:
                raise self._too_large()
            self._sink.feed(piece)
            if self._spool.wants_flush:
                await self._flush()
        if self._content_length is not None and self.size != self._content_length:
            raise Problem(
                "bad-request", f"The body has {self.size:,} bytes, its Content-Length says {self._content_length:,}."
            )
        self._sink.close()
        if not self._spool.files:
            raise Problem("bad-request", "There is no file in the body. Send an audio file, as it is or as a form's.")
        await self._flush()
        self.is_complete = True

    def rate(self) -> float:
        """Mean rate so far in bytes a second; at least 1 s is counted."""
        seconds = asyncio.get_running_loop().time() - self.started_at if self.started_at is not None else 0.0
        return self.size / max(seconds, 1.0)

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
        self.size += len(piece)
        too_slow = more and loop.time() - start > limits.idle_s and self.rate() < limits.body_bytes_s
        if too_slow or now > deadline:  # without a pause in the data the timeout never fires
            raise self._too_slow()
        return piece, more

    async def _flush(self) -> None:
        try:
            await self._spool.flush()
        except OSError as e:
            _log.error("an upload cannot be kept: %s", e)
            raise retry_later("not-ready", "The service has no room for files at the moment.", 10) from e

    def _too_large(self) -> Problem:
        kind = "A batch" if self._max_files > 1 else "A file"
        return Problem(
            "too-large", f"{kind} may have {self._max_content_bytes:,} bytes.", extra={"limit": self._max_content_bytes}
        )

    def _too_slow(self) -> Problem:
        limits = self._limits
        return Problem(
            "too-slow",
            f"The body must be here within {limits.upload_s:g} s, at {limits.body_bytes_s:,} bytes a second or more, "
            f"with no pause of more than {limits.idle_s:g} s.",
        )


def _content_length(headers: Headers) -> int | None:
    """The value of Content-Length; None where it is missing or invalid."""
    value = headers.get("content-length", "")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 20 else None
