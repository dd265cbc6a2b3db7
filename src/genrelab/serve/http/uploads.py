"""The bodies that are kept: how many at a time, and which of them make room for others."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import Request

from genrelab.serve.http.body import BodyReader
from genrelab.serve.http.spool import Spool, Upload
from genrelab.serve.limits import Limits
from genrelab.serve.problems import Problem, retry_later
from genrelab.serve.shutdown import Draining, run_unless

SLOW_BYTES_PER_S = 100_000
"""Bytes a second from which on a body keeps its place whoever comes."""
GRACE_S = 1.0
"""Seconds that each body has to show how fast it is."""


@dataclass(eq=False)
class _PendingBody:
    """A body that has its places.

    Attributes:
        slots: one of a file, several of a batch: as many as files of full size would take.
        evicted: set when they are another's.
    """

    body: BodyReader
    slots: int
    batch: bool
    evicted: asyncio.Event = field(default_factory=asyncio.Event)

    def is_slow(self) -> bool:
        """Does it still come, and may be sent away for others?"""
        began, now = self.body.started_at, asyncio.get_running_loop().time()
        if self.body.is_complete or began is None or now - began < GRACE_S:
            return False
        return self.body.rate() < SLOW_BYTES_PER_S


class Uploads:
    """Receives bodies: so many at a time, so that what they hold on disk has an end, too.

    Where no place is left the slowest bodies that still come make room for a new one, so that places cannot be held
    by sending nearly nothing. Whose they are does not matter: behind a proxy all clients have one address. Batches
    take up to half of the places: they keep them for as long as it takes to hear all of their files.
    """

    def __init__(self, limits: Limits, folder: Path, draining: Draining) -> None:
        self.limits, self.folder, self.draining = limits, folder, draining
        self._guests: set[_PendingBody] = set()
        self._numbers = itertools.count(1)

    @property
    def slots_in_use(self) -> int:
        """Places that are taken."""
        return sum(guest.slots for guest in self._guests)

    @asynccontextmanager
    async def received(self, request: Request, *, batch: bool, again_s: float = 1) -> AsyncIterator[list[Upload]]:
        """The files of a body; they are there for as long as the block lasts.

        Args:
            batch: several files, as multipart; else exactly one.
            again_s: seconds after which a client for whom there is no place may come again.

        Raises:
            Problem: bad-request, bad-parameter, too-large, too-slow, busy, not-ready, stopping.
            Gone: the client went away.
        """
        spool = Spool(self.folder, self._numbers, self.limits, batch=batch)
        body = BodyReader(request.headers, request.receive, spool, self.limits, batch=batch)
        guest = _PendingBody(body, self._places(batch=batch), batch)
        self._make_room(guest, again_s)
        self._guests.add(guest)
        try:
            reading = self.draining.run_unless_over(body.read())
            await run_unless(guest.evicted.wait(), reading, lambda: _busy("Others wait that send faster.", again_s))
            yield spool.files
        finally:
            try:
                await spool.remove()
            finally:
                self._guests.discard(guest)

    def _places(self, *, batch: bool) -> int:
        places = -(-self.limits.batch_bytes // self.limits.upload_bytes) if batch else 1
        return max(1, min(places, self.limits.uploads // 2))

    def _make_room(self, guest: _PendingBody, again_s: float) -> None:
        """Raises Problem busy where that does not suffice."""
        slow = sorted((g for g in self._guests if g.is_slow()), key=lambda g: (g.batch < guest.batch, g.body.rate()))
        going = next((slow[:n] for n in range(len(slow) + 1) if self._fits(guest, slow[:n])), None)
        if going is None:
            raise _busy("The service keeps as many files as it can.", again_s)
        for other in going:
            other.evicted.set()
            self._guests.discard(other)

    def _fits(self, guest: _PendingBody, without: list[_PendingBody]) -> bool:
        staying = self._guests.difference(without)
        of_batches = sum(g.slots for g in (*staying, guest) if g.batch)
        return sum(g.slots for g in (*staying, guest)) <= self.limits.uploads and of_batches <= max(
            1, self.limits.uploads // 2
        )


def _busy(why: str, again_s: float) -> Problem:
    return retry_later("busy", f"{why} Send it again later.", again_s)
