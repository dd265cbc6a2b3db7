"""Admission of request bodies: how many are received and kept at a time."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.requests import Request

from genrelab.serve.http.body import BodyReader
from genrelab.serve.http.spool import Spool, Upload
from genrelab.serve.limits import Limits
from genrelab.serve.problems import retry_later


class Uploads:
    """Receives bodies into at most `Limits.uploads` slots, which also limits their use of the disk.

    A file takes one slot; a batch as many as files of maximum size would fill. Batches take up to half of the slots,
    since they keep them until all of their files are processed.

    Attributes:
        slots_in_use: slots that are taken.
    """

    def __init__(self, limits: Limits, folder: Path) -> None:
        self.limits, self.folder = limits, folder
        self.slots_in_use = self._batch_slots = 0
        self._numbers = itertools.count(1)

    @asynccontextmanager
    async def received(self, request: Request, *, batch: bool, again_s: float = 1) -> AsyncIterator[list[Upload]]:
        """The files of a body, on disk until the end of the block.

        Args:
            batch: several files, as multipart; else exactly one.
            again_s: Retry-After in seconds where no slot is free.

        Raises:
            Problem: bad-request, bad-parameter, too-large, too-slow, busy, not-ready.
            ClientDisconnected: the client went away.
        """
        spool = Spool(self.folder, self._numbers, self.limits, batch=batch)
        body = BodyReader(request.headers, request.receive, spool, self.limits, batch=batch)
        max_batch_slots = max(1, self.limits.uploads // 2)
        slots = min(-(-self.limits.batch_bytes // self.limits.upload_bytes), max_batch_slots) if batch else 1
        batch_slots = slots if batch else 0
        if self.slots_in_use + slots > self.limits.uploads or self._batch_slots + batch_slots > max_batch_slots:
            raise retry_later("busy", "The service is receiving as many files as it can. Try again later.", again_s)
        self.slots_in_use, self._batch_slots = self.slots_in_use + slots, self._batch_slots + batch_slots
        try:
            await body.read()
            yield spool.files
        finally:
            try:
                await body.remove_files()
            finally:
                self.slots_in_use, self._batch_slots = self.slots_in_use - slots, self._batch_slots - batch_slots
