"""Leaf: the body of a request, as it comes, into files of ours, which are gone when the request is answered."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers
from starlette.types import Receive

from genrelab.service.limits import Limits
from genrelab.service.parts import Parts
from genrelab.service.problems import Problem, later
from genrelab.service.spool import Spool, Upload

OVERHEAD = 1 << 14
"""Bytes of boundaries and headers that a part may have."""
SPARE_PARTS = 4
"""Of a form without a file: where nothing was chosen, browsers send an empty part."""

_log = logging.getLogger("genrelab.service")


class Gone(Exception):  # noqa: N818 - reads as what it is
    """The client is gone: there is nobody to answer."""


class Uploads:
    """Receives bodies: so many at a time, so that what they hold on disk has an end, too.

    Attributes:
        under_way: places that are taken; one by a file, several by a batch: as many as files of full size would take.
    """

    def __init__(self, limits: Limits, folder: Path) -> None:
        self.limits, self.folder, self.under_way = limits, folder, 0
        self._numbers = itertools.count(1)

    def refuse_if_full(self, *, batch: bool) -> None:
        """Raises Problem busy."""
        if self.under_way + self._places(batch) > self.limits.uploads:
            raise later("busy", "The service keeps as many files as it can. Send it again later.", 1)

    @asynccontextmanager
    async def received(self, headers: Headers, receive: Receive, *, batch: bool) -> AsyncIterator[list[Upload]]:
        """The files of a body; they are there for as long as the block lasts.

        Args:
            batch: several files, as multipart; else exactly one.

        Raises:
            Problem: bad-request, bad-parameter, too-large, too-slow, busy, not-ready.
            Gone: the client went away.
        """
        self.refuse_if_full(batch=batch)
        self.under_way += self._places(batch)
        spool = Spool(self.folder, self._numbers, self.limits, batch=batch)
        try:
            await _Body(headers, receive, spool, self.limits, batch=batch).read()
            yield spool.files
        finally:
            try:
                await spool.remove()
            finally:
                self.under_way -= self._places(batch)

    def _places(self, batch: bool) -> int:
        places = -(-self.limits.batch_bytes // self.limits.upload_bytes) if batch else 1
        return min(max(places, 1), self.limits.uploads)


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
            self._spool.begin("")
        if data:
            self._spool.add(data)

    def close(self) -> None:
        pass


class _Body:
    """One body on its way in.

    Raises:
        Problem: its head says already that it cannot be.
    """

    def __init__(self, headers: Headers, receive: Receive, spool: Spool, limits: Limits, *, batch: bool) -> None:
        self._receive, self._spool, self._limits = receive, spool, limits
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
        self._stated = _stated_length(headers)
        if self._stated is not None and self._stated > self._most:
            raise self._too_large()
        self._sink: _Sink = Parts(options.get(b"boundary", b""), spool, parts) if multipart else _Raw(spool)

    async def read(self) -> None:
        """Until its end."""
        size, more, deadline = 0, True, asyncio.get_running_loop().time() + self._limits.upload_s
        while more:
            piece, more = await self._piece(deadline)
            size += len(piece)
            if size > self._most:
                raise self._too_large()
            self._sink.feed(piece)
            if self._spool.wants_flush:
                await self._flush()
        if self._stated is not None and size != self._stated:
            raise Problem("bad-request", f"The body has {size:,} bytes, its Content-Length says {self._stated:,}.")
        self._sink.close()
        if not self._spool.files:
            raise Problem("bad-request", "There is no file in the body. Send an audio file, as it is or as a form's.")
        await self._flush()

    async def _piece(self, deadline: float) -> tuple[bytes, bool]:
        """The next bytes, and whether more come."""
        now = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(min(now + self._limits.idle_s, deadline)):
                message = await self._receive()
        except TimeoutError:
            raise self._too_slow() from None
        if message["type"] == "http.disconnect":
            raise Gone
        if now > deadline:  # bytes that trickle without a pause are never waited for
            raise self._too_slow()
        return message.get("body", b""), message.get("more_body", False)

    async def _flush(self) -> None:
        try:
            await self._spool.flush()
        except OSError as e:
            _log.error("an upload cannot be kept: %s", e)
            raise later("not-ready", "The service has no room for files at the moment.", 10) from e

    def _too_large(self) -> Problem:
        what = "A batch" if self._files > 1 else "A file"
        return Problem("too-large", f"{what} may have {self._bytes:,} bytes.", extra={"limit": self._bytes})

    def _too_slow(self) -> Problem:
        idle_s, upload_s = self._limits.idle_s, self._limits.upload_s
        return Problem(
            "too-slow", f"The body must be here within {upload_s:g} s, with no pause of more than {idle_s:g} s."
        )


def _stated_length(headers: Headers) -> int | None:
    """What Content-Length says; None where it says nothing."""
    said = headers.get("content-length", "")
    return int(said) if said.isascii() and said.isdigit() and len(said) < 20 else None
