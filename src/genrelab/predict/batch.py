"""Many files to answers: what is remembered is not heard again, and what is heard is shared out to worker processes.

Workers take one thread each and load the model once. As many files are out as there are workers, so memory does not
grow with the library; a file that brings its worker down is answered with an error, and the others go on. Which
answers count is decided last, here: workers and the memory know probabilities only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from genrelab.audio.content_hash import sha256_of_audio
from genrelab.bundle import bundle as bundles
from genrelab.core.config import ClipSettings
from genrelab.core.errors import BundleError, SettingsError
from genrelab.core.processes import DECODER_CRASHED, available_cores, check_workers_start, process_pool
from genrelab.predict.file import BundleInUse, predict_file, require_audio_input
from genrelab.predict.prediction import Decision, Prediction

if TYPE_CHECKING:
    from genrelab.predict.cache import PredictionCache, Stamp

MAX_FILES_IN_PROCESS = 16
"""Files that are heard sooner here than by workers, which take a second to begin."""

QUEUE_LIMIT = 64
"""Answers for each worker that may wait for that of an earlier file."""


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker needs to know; crosses process borders."""

    bundle: str
    fingerprint: str
    clips: ClipSettings
    looks_again: bool
    uses_cache: bool
    fresh: bool


@dataclass(frozen=True)
class FileResult:
    """An answer, and what it is kept under: the file's size and mtime and its audio's SHA-256."""

    prediction: Prediction
    stamp: Stamp | None = None
    payload: bytes | None = None


def predict_files(
    bundle: BundleInUse,
    paths: Iterable[str | Path],
    *,
    jobs: int | None = None,
    memory: PredictionCache | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Prediction]:
    """Classify files, in their order. What `memory` holds is not heard again (and has no timeline).

    Args:
        jobs: worker processes; 1: in this one; None: one a core where many files are to be heard.
        memory: to look answers up in, and to keep them in.
        progress: called with (done, in all).

    Raises:
        SettingsError: `jobs` below 1.
        BundleError: the bundle cannot hear audio, or its files changed meanwhile.
    """
    if jobs is not None and jobs < 1:
        raise SettingsError(f"--jobs must be 1 or more. Received: {jobs}")
    require_audio_input(bundle)
    files = [p if isinstance(p, Path) else Path(p) for p in paths]
    answers = _predictions(bundle, files, jobs, memory)
    return _with_progress(answers, len(files), bundle.decision, progress or (lambda done, total: None))


def predict_with_cache(bundle: BundleInUse, memory: PredictionCache | None, path: Path) -> FileResult:
    """Classify a file, unless `memory` knows its audio from elsewhere."""
    if memory is None:
        return FileResult(predict_file(bundle, path))
    from genrelab.predict.cache import stamp_of

    stamp = stamp_of(path)
    try:
        payload = None if stamp is None else bytes.fromhex(sha256_of_audio(path))
    except OSError:
        payload = None  # whoever decodes it says why
    known = None if payload is None else memory.lookup_content(bundle, path, payload)
    prediction = known or predict_file(bundle, path)
    changed = stamp is None or stamp_of(path) != stamp
    return FileResult(prediction) if changed else FileResult(prediction, stamp, payload)


def _with_progress(
    answers: Iterator[Prediction], total: int, decision: Decision, progress: Callable[[int, int], None]
) -> Iterator[Prediction]:
    for done, answer in enumerate(answers, 1):
        progress(done, total)
        yield decision(answer)


def _predictions(
    bundle: BundleInUse, files: list[Path], jobs: int | None, memory: PredictionCache | None
) -> Iterator[Prediction]:
    """What is remembered at once; from the first file on that is not, whoever is the quickest for so many."""
    begin = 0
    for path in files:
        known = _cached(bundle, path, memory)
        if known is None:
            break
        begin += 1
        yield known
    rest = files[begin:]
    unknown = (p for p in rest if _cached(bundle, p, memory) is None)
    many = jobs is None and sum(1 for _ in islice(unknown, MAX_FILES_IN_PROCESS + 1)) > MAX_FILES_IN_PROCESS
    if rest and (many or (jobs is not None and jobs > 1)):
        yield from _WorkerQueue(bundle, rest, min(jobs or available_cores(), len(rest)), memory).answers()
    else:
        yield from (_predict_here(bundle, path, memory) for path in rest)


def _cached(bundle: BundleInUse, path: Path, memory: PredictionCache | None) -> Prediction | None:
    return None if memory is None else memory.lookup(bundle, path)


def _predict_here(bundle: BundleInUse, path: Path, memory: PredictionCache | None) -> Prediction:
    known = _cached(bundle, path, memory)
    if known is not None:
        return known
    heard = predict_with_cache(bundle, memory, path)
    _store(bundle, heard, memory)
    return heard.prediction


def _store(bundle: BundleInUse, heard: FileResult, memory: PredictionCache | None) -> None:
    if memory is not None and heard.stamp is not None:
        memory.store(bundle, heard.prediction, heard.stamp, heard.payload)


# --- in worker processes ---


@dataclass
class _Slot:
    """A file in the line; its answer leaves when all before it have left."""

    path: Path
    answer: Prediction | None


class _WorkerQueue:
    """Files on their way through worker processes."""

    def __init__(self, bundle: BundleInUse, files: list[Path], jobs: int, memory: PredictionCache | None) -> None:
        self._bundle, self._jobs, self._memory = bundle, jobs, memory
        fresh = memory is not None and memory.fresh
        self._order = WorkerSettings(
            str(bundle.path), bundle.fingerprint, bundle.clips, bundle.looks_again, memory is not None, fresh
        )
        self._rest, self._all_sent = iter(files), False
        self._slots: deque[_Slot] = deque()
        self._out: dict[Future[FileResult], _Slot] = {}
        self._lost: list[_Slot] = []  # were out when a worker died

    def answers(self) -> Iterator[Prediction]:
        while not self._all_sent or self._slots:
            with process_pool(self._jobs) as pool:
                while not self._lost and (not self._all_sent or self._slots):
                    self._send(pool)
                    yield from self._ready()
                    self._collect()
                while self._out:
                    self._collect()
            self._retry_one_by_one()
            yield from self._ready()

    def _send(self, pool: ProcessPoolExecutor) -> None:
        """Tops up: one file waits behind each that is heard."""
        while len(self._out) <= self._jobs and len(self._slots) < QUEUE_LIMIT * self._jobs and not self._lost:
            path = next(self._rest, None)
            if path is None:
                self._all_sent = True
                return
            slot = _Slot(path, _cached(self._bundle, path, self._memory))
            self._slots.append(slot)
            if slot.answer is None:
                try:
                    self._out[pool.submit(_predict_in_worker, self._order, path)] = slot
                except BrokenProcessPool:
                    self._lost.append(slot)

    def _ready(self) -> Iterator[Prediction]:
        while self._slots and (answer := self._slots[0].answer) is not None:
            self._slots.popleft()
            yield answer

    def _collect(self) -> None:
        for future in wait(self._out, timeout=1, return_when=FIRST_COMPLETED).done:
            slot = self._out.pop(future)
            try:
                self._answered(slot, future.result())
            except BrokenProcessPool:
                self._lost.append(slot)
        if self._memory is not None:
            self._memory.flush_if_due()

    def _answered(self, slot: _Slot, heard: FileResult) -> None:
        _store(self._bundle, heard, self._memory)
        slot.answer = heard.prediction

    def _retry_one_by_one(self) -> None:
        """One by one, so that it shows which of the lost files brings a worker down."""
        from genrelab.predict.cache import stamp_of

        while self._lost:
            with process_pool(1) as pool:
                check_workers_start(pool, " --jobs 1 does without them")
                while self._lost:
                    slot = self._lost.pop(0)
                    stamp = stamp_of(slot.path)
                    try:
                        self._answered(slot, pool.submit(_predict_in_worker, self._order, slot.path).result())
                    except BrokenProcessPool:
                        # It is remembered, so that the next run does not hear it itself.
                        crashed = Prediction(str(slot.path), None, None, {}, None, self._bundle.name, DECODER_CRASHED)
                        self._answered(slot, FileResult(crashed, stamp))
                        break


def _predict_in_worker(order: WorkerSettings, path: Path) -> FileResult:
    return predict_with_cache(*_load_in_worker(order), path)


@lru_cache(maxsize=1)
def _load_in_worker(order: WorkerSettings) -> tuple[BundleInUse, PredictionCache | None]:
    """The model and the memory of this worker; what is wrong with the memory the parent has said already."""
    bundles.THREADS = 1
    bundle = BundleInUse(**vars(bundles.load_bundle(order.bundle)))
    if bundle.fingerprint != order.fingerprint:
        raise BundleError(f"{order.bundle} was changed while it was in use: begin again")
    memory = None
    if order.uses_cache:
        from genrelab.predict.cache import open_cache

        memory = open_cache(lambda sentence: None, fresh=order.fresh)
    return replace(bundle, clips=order.clips, looks_again=order.looks_again), memory
