"""Program: who hears the files: a line of orders, and worker processes that take one after the other.

A worker is trusted with nothing: it is killed when it takes too long, another takes its place when it dies, and what it
says is read as JSON. Workers that die before they have done anything are begun at longer and longer intervals, and
orders are refused meanwhile instead of waiting for ever.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from genrelab.errors import SettingsError, printable
from genrelab.processes import ONE_THREAD
from genrelab.service.limits import Limits
from genrelab.service.shelf import Model, Shelf

log = logging.getLogger("genrelab.serve")

BEGIN_S = 60.0
"""Seconds that a worker may take to begin, and to load what was loaded again."""

SOON_S, LATE_S = 0.5, 30.0
"""Seconds until a worker that died before it did anything is begun again: at first, and at most."""

LONGEST_ANSWER = 1 << 25
"""Bytes: a timeline of every window of the longest file is far below."""

TAIL_BYTES = 2_000
"""Of what a worker said last on its standard error; written to the log when it dies."""

KEPT = ("HOME", "LANG", "LC_ALL", "PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""Of our environment; the rest, a token among it, is not for who reads strangers' files."""


@dataclass(frozen=True)
class Order:
    """A file to be heard.

    Attributes:
        path: of a file that is there until `Ears.hear` is done.
        top, timeline: see `Prediction.to_json`.
        windows: see `Classifier.with_windows`.
    """

    path: Path
    model: Model
    top: int | None = None
    timeline: bool = False
    windows: int | Literal["all"] | None = None


class Refused(Exception):  # noqa: N818 - reads as what it is
    """A file that was not heard.

    Args:
        kind: of the problem, see `problems.py`.
        detail: what was found, and what now; names no file.
    """

    def __init__(self, kind: str, detail: str) -> None:
        self.kind, self.detail = kind, detail
        super().__init__(f"{kind}: {detail}")


@dataclass(eq=False)
class _Job:
    """An order in the line; its `answer` is the worker's object."""

    order: Order
    answer: asyncio.Future[dict[str, Any]]


class Ears:
    """Workers and the line before them. All of it in one event loop.

    Attributes:
        heard: files that were answered, by a prediction or by the reason why there is none.
        hearing: files that are being heard.
        restarts: workers that were begun in another's place.
    """

    def __init__(self, limits: Limits, shelf: Shelf) -> None:
        self.limits, self.shelf = limits, shelf
        self.heard = self.hearing = self.restarts = 0
        self._line: deque[_Job] = deque()
        self._idle: deque[asyncio.Future[_Job | None]] = deque()  # a turn of each worker that has nothing to do
        self._alive = self._failing = 0
        self._places: list[asyncio.Task[None]] = []
        self._begun = asyncio.Event()  # something is known of the first workers
        self._loop: asyncio.AbstractEventLoop | None = None
        self._trouble = ""

    async def start(self) -> None:
        """Begin the workers, and wait until one is warm.

        Raises:
            SettingsError: they die before they begin.
        """
        self._loop = asyncio.get_running_loop()
        self.shelf.watch(self._wake)
        self._places = [asyncio.create_task(self._place()) for _ in range(max(1, self.limits.workers))]
        await self._begun.wait()
        if not self._alive:
            await self.stop()
            raise SettingsError(f"workers that hear files die before they begin: {self._trouble}")

    async def stop(self) -> None:
        """End the workers; orders that are under way are refused."""
        if self._loop is not None:
            self.shelf.unwatch(self._wake)
            self._loop = None
        for place in self._places:
            place.cancel()
        await asyncio.gather(*self._places, return_exceptions=True)
        self._places.clear()
        self._refuse_all("stopping", "the service stops: ask again in a moment")

    @property
    def waiting(self) -> int:
        """Orders that no worker has begun with."""
        return len(self._line)

    @property
    def full(self) -> bool:
        """Would one more order be refused, because as many wait as may?"""
        return len(self._line) - len(self._idle) >= self.limits.queue

    @property
    def ready(self) -> bool:
        """Does a worker live, or is one being begun in the place of one that had worked?"""
        return self._loop is not None and (self._alive > 0 or (self._begun.is_set() and not self._failing))

    async def hear(self, order: Order) -> dict[str, Any]:
        """Hear a file when its turn comes.

        Who is cancelled while it waits gives its place back; a file that is being heard is heard to its end.

        Returns:
            the object of `Prediction.to_json`, `path` empty, `model` the name under which it is served.

        Raises:
            Refused: it was not heard.
        """
        if not self.ready:
            raise Refused("not-ready", "nobody is here to hear files: ask again in a moment")
        if self.full:
            raise Refused("busy", f"{self.waiting} files wait already: ask again in a moment")
        job = _Job(order, asyncio.get_running_loop().create_future())
        self._line.append(job)
        self._dispatch()
        try:
            said = await job.answer
        finally:
            with suppress(ValueError):
                self._line.remove(job)
        if "answer" not in said:
            raise Refused(str(said.get("kind")), str(said.get("detail")))
        answer: dict[str, Any] = said["answer"]
        return answer

    def _dispatch(self) -> None:
        while self._line and self._idle:
            self._idle.popleft().set_result(self._line.popleft())

    def _wake(self) -> None:
        """Called by whatever thread loads bundles: workers with nothing to do load them now, the others afterwards."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake_idle)

    def _wake_idle(self) -> None:
        while self._idle:
            self._idle.popleft().set_result(None)

    def _refuse_all(self, kind: str, detail: str) -> None:
        while self._line:
            _answered(self._line.popleft(), {"kind": kind, "detail": detail})

    # --- one place: a worker, and after it the next ---

    async def _place(self) -> None:
        while True:
            process = await _Process.begin(self.limits)
            try:
                if await self._learned(process):
                    self._alive += 1
                    self._begun.set()
                    try:
                        await self._serve(process)
                    finally:
                        self._alive -= 1
            finally:
                await process.end()
            await self._pause(process)
            self.restarts += 1

    async def _pause(self, process: _Process) -> None:
        """At once after a worker that has heard something; ever later after such as died before."""
        if process.worked:
            self._failing = 0
            return
        self._failing += 1
        self._trouble = printable(process.tail) or "they say nothing"
        log.error("a worker died before it heard a file: %s", self._trouble)
        self._begun.set()
        if not self._alive:
            self._refuse_all("not-ready", "nobody is here to hear files: ask again in a moment")
        await asyncio.sleep(min(LATE_S, SOON_S * 2 ** (self._failing - 1)))

    async def _learned(self, process: _Process) -> bool:
        """Have a worker load what is served; False where it dies of it."""
        models = self.shelf.models()
        with suppress(_Dead, TimeoutError):
            said = await process.ask({"learn": [_described(m) for m in models]}, BEGIN_S)
            learned = said.get("learned", [])
            if missing := [m.name for m in models if str(m.path) not in learned]:
                log.error("a worker cannot load %s: %s", ", ".join(missing), printable(process.tail))
            process.models = models
            return bool(learned)
        return False

    async def _serve(self, process: _Process) -> None:
        """Until it dies."""
        while True:
            if process.models != self.shelf.models() and not await self._learned(process):
                return
            turn: asyncio.Future[_Job | None] = asyncio.get_running_loop().create_future()
            self._idle.append(turn)
            self._dispatch()
            await asyncio.wait((turn, process.ended), return_when=asyncio.FIRST_COMPLETED)
            job = turn.result() if turn.done() else None
            with suppress(ValueError):
                self._idle.remove(turn)
            if process.ended.done():  # of something else than a file
                if job is not None:
                    self._line.appendleft(job)
                    self._dispatch()
                return
            if job is not None and not await self._heard(process, job):
                return

    async def _heard(self, process: _Process, job: _Job) -> bool:
        """Have a worker hear a file; False where the worker must go."""
        self.hearing += 1
        order = job.order
        try:
            said = await process.ask(
                {
                    "hear": str(order.path),
                    "model": _described(order.model),
                    "top": order.top,
                    "timeline": order.timeline,
                    "windows": order.windows,
                },
                self.limits.hear_s,
            )
        except TimeoutError:
            said = {"kind": "took-too-long", "detail": f"hearing it took more than {self.limits.hear_s:g} s"}
        except _Dead:
            log.warning("a worker died of a file: %s", printable(process.tail))
            said = {"kind": "crashed", "detail": "the decoder crashed on this file"}
        except asyncio.CancelledError:
            _answered(job, {"kind": "stopping", "detail": "the service stops: ask again in a moment"})
            raise
        finally:
            self.hearing -= 1
        self.heard += 1
        process.worked = True
        if said.get("kind") == "internal":
            log.error("a worker failed: %s", printable(process.tail))
        _answered(job, said)
        return said.get("kind") not in ("took-too-long", "crashed")


class _Dead(Exception):  # noqa: N818 - reads as what it is
    """A worker that ended, or that says what no worker of ours says."""


@dataclass(eq=False)
class _Process:
    """A worker process, as it is seen from here.

    Attributes:
        ended: done when the process is.
        worked: a file was answered.
        models: what it has loaded; held here, so that their copies stay.
        tail: what it said last on its standard error.
    """

    process: asyncio.subprocess.Process
    ended: asyncio.Task[None] = field(init=False)
    worked: bool = False
    models: Sequence[Model] = ()
    _said: bytes = b""

    @classmethod
    async def begin(cls, limits: Limits) -> _Process:
        """Begun, not yet warm."""
        pipe = asyncio.subprocess.PIPE
        command = (sys.executable, "-m", "genrelab.service.worker", str(limits.audio_s), str(limits.worker_bytes))
        process = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, stderr=pipe, limit=LONGEST_ANSWER, env=_environment()
        )
        began = cls(process)
        began.ended = asyncio.create_task(began._listen())
        return began

    @property
    def tail(self) -> str:
        return self._said.decode(errors="replace").strip()

    async def _listen(self) -> None:
        assert self.process.stderr is not None
        while said := await self.process.stderr.read(TAIL_BYTES):
            self._said = (self._said + said)[-TAIL_BYTES:]

    async def ask(self, order: dict[str, Any], seconds: float) -> dict[str, Any]:
        """One answer to one order.

        Raises:
            TimeoutError: it takes longer.
            _Dead: there is none.
        """
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            async with asyncio.timeout(seconds):
                stdin.write(json.dumps(order).encode() + b"\n")
                await stdin.drain()
                said = json.loads(await stdout.readline())
        except (OSError, ValueError, RecursionError) as e:
            if isinstance(e, TimeoutError):
                raise
            raise _Dead from e
        if not isinstance(said, dict):
            raise _Dead
        return said

    async def end(self) -> None:
        """Kill it, and wait until nothing is left."""
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.ended
        await self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()


def _environment() -> dict[str, str]:
    found = {name: os.environ[name] for name in KEPT if name in os.environ}
    return found | dict.fromkeys(ONE_THREAD, "1") | {"PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)}


def _described(model: Model) -> dict[str, Any]:
    return {
        "path": str(model.path),
        "name": model.name,
        "min_precision": model.min_precision,
        "coverage": model.coverage,
    }


def _answered(job: _Job, said: dict[str, Any]) -> None:
    if not job.answer.done():  # nobody waits for it any more
        job.answer.set_result(said)
