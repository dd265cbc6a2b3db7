"""Admission of request bodies: how many at a time, and which slow ones are evicted for others."""

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
"""Bytes a second from which a body is never evicted."""
GRACE_S = 1.0
"""Seconds of reading before a body may be evicted."""


@dataclass(eq=False)
class _PendingBody:
    """An admitted body.

    Attributes:
        slots: 1 for a file; for a batch, as many as files of maximum size would fill.
        evicted: set when its slots are given to another body.
    """

    body: BodyReader
    slots: int
    batch: bool
    evicted: asyncio.Event = field(default_factory=asyncio.Event)

    def is_slow(self) -> bool:
        """Is it incomplete, and slow enough to be evicted?"""
        start, now = self.body.started_at, asyncio.get_running_loop().time()
        if self.body.is_complete or start is None or now - start < GRACE_S:
            return False
        return self.body.rate() < SLOW_BYTES_PER_S


class Uploads:
    """Receives bodies into at most `Limits.uploads` slots, which also limits their use of the disk.

    Where no slot is free, the slowest incomplete bodies are evicted for a new one, so that slots cannot be held by
    sending next to nothing. The client's address does not count: behind a proxy all clients have the same. Batches take
    up to half of the slots, since they hold them until all of their files are processed.
    """

    def __init__(self, limits: Limits, folder: Path, draining: Draining) -> None:
        self.limits, self.folder, self.draining = limits, folder, draining
        self._admitted: set[_PendingBody] = set()
        self._numbers = itertools.count(1)

    @property
    def slots_in_use(self) -> int:
        """Slots that are taken."""
        return sum(pending.slots for pending in self._admitted)

    @asynccontextmanager
    async def received(self, request: Request, *, batch: bool, again_s: float = 1) -> AsyncIterator[list[Upload]]:
        """The files of a body, on disk until the end of the block.

        Args:
            batch: several files, as multipart; else exactly one.
            again_s: Retry-After in seconds where no slot is free.

        Raises:
            Problem: bad-request, bad-parameter, too-large, too-slow, busy, not-ready, stopping.
            ClientDisconnected: the client went away.
        """
        spool = Spool(self.folder, self._numbers, self.limits, batch=batch)
        body = BodyReader(request.headers, request.receive, spool, self.limits, batch=batch)
        pending = _PendingBody(body, self._slots_for(batch=batch), batch)
        self._make_room(pending, again_s)
        self._admitted.add(pending)
        try:
            reading = self.draining.run_unless_over(body.read())
            await run_unless(pending.evicted.wait(), reading, lambda: _busy("Others wait that send faster.", again_s))
            yield spool.files
        finally:
            try:
                await spool.remove()
            finally:
                self._admitted.discard(pending)

    def _slots_for(self, *, batch: bool) -> int:
        slots = -(-self.limits.batch_bytes // self.limits.upload_bytes) if batch else 1
        return max(1, min(slots, self.limits.uploads // 2))

    def _make_room(self, pending: _PendingBody, again_s: float) -> None:
        """Evict the slowest bodies, for a batch other batches first, until `pending` fits; else Problem `busy`."""
        slow = sorted(
            (b for b in self._admitted if b.is_slow()), key=lambda b: (b.batch < pending.batch, b.body.rate())
        )
        evicted = next((slow[:n] for n in range(len(slow) + 1) if self._fits(pending, slow[:n])), None)
        if evicted is None:
            raise _busy("The service keeps as many files as it can.", again_s)
        for body in evicted:
            body.evicted.set()
            self._admitted.discard(body)

    def _fits(self, pending: _PendingBody, evicted: list[_PendingBody]) -> bool:
        remaining = self._admitted.difference(evicted)
        batch_slots = sum(b.slots for b in (*remaining, pending) if b.batch)
        return sum(b.slots for b in (*remaining, pending)) <= self.limits.uploads and batch_slots <= max(
            1, self.limits.uploads // 2
        )


def _busy(why: str, again_s: float) -> Problem:
    return retry_later("busy", f"{why} Send it again later.", again_s)
