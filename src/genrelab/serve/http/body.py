"""The body of one request, as it comes, into files of ours."""

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
"""Bytes of boundaries and headers that a part may have."""
SPARE_PARTS = 4
"""Of a form without a file: where nothing was chosen, browsers send an empty part."""

_log = logging.getLogger("genrelab.service")


class ClientDisconnected(Exception):  # noqa: N818 - reads as what it is
    """The client is gone: there is nobody to answer."""


class _Sink(Protocol):
    """Where the bytes of a body go."""

    def feed(self, data: bytes) -> None: ...
    def close(self) -> None: ...


class _Raw:
    """A body that is a file."""

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
    """One body on its way in.

    Attributes:
        size: bytes that have come.
        started_at: when it was begun to be read, by the loop's clock; None before.
        is_complete: all of it has come.

    Raises:
        Problem: its head says already that it cannot be.
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
        self._files = limits.batch_files if batch else 1
        parts = self._files + SPARE_PARTS
        self._bytes = limits.batch_bytes if batch else limits.upload_bytes
        self._most = self._bytes + (parts * OVERHEAD if multipart else 0)
        self._stated = _content_length(headers)
        if self._stated is not None and self._stated > self._most:
            raise self._too_large()
        self._sink: _Sink = MultipartBody(options.get(b"boundary", b""), spool, parts) if multipart else _Raw(spool)

    async def read(self) -> None:
        """Until its end."""
        self.started_at, more = asyncio.get_running_loop().time(), True
        while more:
            piece, more = await self._piece(self.started_at)
            if self.size > self._most:
                raise self._too_large()
            self._sink.feed(piece)
            if self._spool.wants_flush:
                await self._flush()
        if self._stated is not None and self.size != self._stated:
            raise Problem("bad-request", f"The body has {self.size:,} bytes, its Content-Length says {self._stated:,}.")
        self._sink.close()
        if not self._spool.files:
            raise Problem("bad-request", "There is no file in the body. Send an audio file, as it is or as a form's.")
        await self._flush()
        self.is_complete = True

    def rate(self) -> float:
        """Bytes a second so far; of its first second, as if that were over."""
        seconds = asyncio.get_running_loop().time() - self.started_at if self.started_at is not None else 0.0
        return self.size / max(seconds, 1.0)

    async def _piece(self, began: float) -> tuple[bytes, bool]:
        """The next bytes, and whether more come."""
        limits, loop = self._limits, asyncio.get_running_loop()
        now, deadline = loop.time(), began + limits.upload_s
        try:
            async with asyncio.timeout_at(min(now + limits.idle_s, deadline)):
                message = await self._receive()
        except TimeoutError:
            raise self._too_slow() from None
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        piece, more = message.get("body", b""), message.get("more_body", False)
        self.size += len(piece)
        trickles = more and loop.time() - began > limits.idle_s and self.rate() < limits.body_bytes_s
        if trickles or now > deadline:  # what comes without a pause is never waited for
            raise self._too_slow()
        return piece, more

    async def _flush(self) -> None:
        try:
            await self._spool.flush()
        except OSError as e:
            _log.error("an upload cannot be kept: %s", e)
            raise retry_later("not-ready", "The service has no room for files at the moment.", 10) from e

    def _too_large(self) -> Problem:
        what = "A batch" if self._files > 1 else "A file"
        return Problem("too-large", f"{what} may have {self._bytes:,} bytes.", extra={"limit": self._bytes})

    def _too_slow(self) -> Problem:
        limits = self._limits
        return Problem(
            "too-slow",
            f"The body must be here within {limits.upload_s:g} s, at {limits.body_bytes_s:,} bytes a second or more, "
            f"with no pause of more than {limits.idle_s:g} s.",
        )


def _content_length(headers: Headers) -> int | None:
    """What Content-Length says; None where it says nothing."""
    said = headers.get("content-length", "")
    return int(said) if said.isascii() and said.isdigit() and len(said) < 20 else None
