"""Many files to predictions: cached ones are looked up, the rest is classified here or in worker processes.

Workers take one thread each and load the model once. Only about as many files are in flight as there are workers, so
memory does not grow with the library; a file that crashes its worker gets a prediction with an error, and the others
go on. The decision (which predictions count) is applied last, here: workers and the cache know probabilities only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
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
from genrelab.core.file_stamp import Stamp, stamp_of
from genrelab.core.processes import DECODER_CRASHED, available_cores, check_workers_start, process_pool
from genrelab.core.progress import Progress, ignore
from genrelab.predict.file import BundleInUse, predict_file, require_audio_input
from genrelab.predict.prediction import Decision, Prediction

if TYPE_CHECKING:
    from genrelab.predict.cache import PredictionCache

MAX_FILES_IN_PROCESS = 16
"""Up to this many files are classified faster in this process than by workers, which take a second to start."""

QUEUE_LIMIT = 64
"""Predictions per worker that may wait for that of an earlier file."""


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker needs to know; pickled."""

    bundle: str
    fingerprint: str
    clips: ClipSettings
    second_pass: bool
    stops_early: bool
    uses_cache: bool
    fresh: bool


@dataclass(frozen=True)
class FileResult:
    """A prediction and its cache keys: the file's stamp, and the SHA-256 of its audio."""

    prediction: Prediction
    stamp: Stamp | None = None
    payload: bytes | None = None


def predict_files(
    bundle: BundleInUse,
    paths: Iterable[str | Path],
    *,
    jobs: int | None = None,
    cache: PredictionCache | None = None,
    progress: Progress = ignore,
) -> Iterator[Prediction]:
    """Classify files, in their order. Predictions found in `cache` are not computed again (and have no timeline).

    Args:
        jobs: number of worker processes; 1: no workers; None: one per core if many files are not cached.
        cache: to look predictions up in and to store them in.
        progress: called with (done, total).

    Raises:
        SettingsError: `jobs` below 1.
        BundleError: the bundle does not take audio, or its files changed meanwhile.
    """
    if jobs is not None and jobs < 1:
        raise SettingsError(f"--jobs must be 1 or more. Received: {jobs}")
    require_audio_input(bundle)
    files = [p if isinstance(p, Path) else Path(p) for p in paths]
    predictions = _predictions(bundle, files, jobs, cache)
    return _with_progress(predictions, len(files), bundle.decision, progress)


def predict_with_cache(bundle: BundleInUse, cache: PredictionCache | None, path: Path) -> FileResult:
    """Classify a file, unless `cache` has a prediction for the same audio under another path."""
    if cache is None:
        return FileResult(predict_file(bundle, path))
    stamp = stamp_of(path)
    try:
        payload = None if stamp is None else bytes.fromhex(sha256_of_audio(path))
    except OSError:
        payload = None  # decoding it will report why
    known = None if payload is None else cache.lookup_content(bundle, path, payload)
    prediction = known or predict_file(bundle, path)
    changed = stamp is None or stamp_of(path) != stamp
    return FileResult(prediction) if changed else FileResult(prediction, stamp, payload)


def _with_progress(
    predictions: Iterator[Prediction], total: int, decision: Decision, progress: Progress
) -> Iterator[Prediction]:
    for done, prediction in enumerate(predictions, 1):
        progress(done, total)
        yield decision(prediction)


def _predictions(
    bundle: BundleInUse, files: list[Path], jobs: int | None, cache: PredictionCache | None
) -> Iterator[Prediction]:
    """Cached predictions at once; from the first file that is not cached on, workers or this process.

    Which of the two is faster depends on the number of files that are not cached.
    """
    n_cached = 0
    for path in files:
        known = _cached(bundle, path, cache)
        if known is None:
            break
        n_cached += 1
        yield known
    rest = files[n_cached:]
    unknown = (p for p in rest if _cached(bundle, p, cache) is None)
    many = jobs is None and sum(1 for _ in islice(unknown, MAX_FILES_IN_PROCESS + 1)) > MAX_FILES_IN_PROCESS
    if rest and (many or (jobs is not None and jobs > 1)):
        yield from _WorkerQueue(bundle, rest, min(jobs or available_cores(), len(rest)), cache).predictions()
    else:
        yield from (_predict_here(bundle, path, cache) for path in rest)


def _cached(bundle: BundleInUse, path: Path, cache: PredictionCache | None) -> Prediction | None:
    return None if cache is None else cache.lookup(bundle, path)


def _predict_here(bundle: BundleInUse, path: Path, cache: PredictionCache | None) -> Prediction:
    known = _cached(bundle, path, cache)
    if known is not None:
        return known
    result = predict_with_cache(bundle, cache, path)
    _store(bundle, result, cache)
    return result.prediction


def _store(bundle: BundleInUse, result: FileResult, cache: PredictionCache | None) -> None:
    if cache is not None and result.stamp is not None:
        cache.store(bundle, result.prediction, result.stamp, result.payload)


# --- in worker processes ---


@dataclass
class _Slot:
    """A file in the queue; its prediction is yielded once all before it are."""

    path: Path
    prediction: Prediction | None


class _WorkerQueue:
    """Files in order through worker processes, and their predictions in the same order."""

    def __init__(self, bundle: BundleInUse, files: list[Path], jobs: int, cache: PredictionCache | None) -> None:
        self._bundle, self._jobs, self._cache = bundle, jobs, cache
        fresh = cache is not None and cache.fresh
        self._settings = WorkerSettings(
            str(bundle.path), bundle.fingerprint, bundle.clips, bundle.second_pass, bundle.stops_early,
            cache is not None, fresh,
        )  # fmt: skip
        self._rest, self._all_sent = iter(files), False
        self._slots: deque[_Slot] = deque()
        self._in_flight: dict[Future[FileResult], _Slot] = {}
        self._lost: list[_Slot] = []  # were in flight when a worker died

    def predictions(self) -> Iterator[Prediction]:
        while not self._all_sent or self._slots:
            with process_pool(self._jobs) as pool:
                while not self._lost and (not self._all_sent or self._slots):
                    self._submit_files(pool)
                    yield from self._pop_ready()
                    self._collect_finished()
                while self._in_flight:
                    self._collect_finished()
            self._retry_one_by_one()
            yield from self._pop_ready()

    def _submit_files(self, pool: ProcessPoolExecutor) -> None:
        """Submit files until each worker has one, and one more waits."""
        while len(self._in_flight) <= self._jobs and len(self._slots) < QUEUE_LIMIT * self._jobs and not self._lost:
            path = next(self._rest, None)
            if path is None:
                self._all_sent = True
                return
            slot = _Slot(path, _cached(self._bundle, path, self._cache))
            self._slots.append(slot)
            if slot.prediction is None:
                try:
                    self._in_flight[pool.submit(_predict_in_worker, self._settings, path)] = slot
                except BrokenProcessPool:
                    self._lost.append(slot)

    def _pop_ready(self) -> Iterator[Prediction]:
        while self._slots and (prediction := self._slots[0].prediction) is not None:
            self._slots.popleft()
            yield prediction

    def _collect_finished(self) -> None:
        for future in wait(self._in_flight, timeout=1, return_when=FIRST_COMPLETED).done:
            slot = self._in_flight.pop(future)
            try:
                self._store_result(slot, future.result())
            except BrokenProcessPool:
                self._lost.append(slot)
        if self._cache is not None:
            self._cache.flush_if_due()

    def _store_result(self, slot: _Slot, result: FileResult) -> None:
        _store(self._bundle, result, self._cache)
        slot.prediction = result.prediction

    def _retry_one_by_one(self) -> None:
        """Classify the lost files one at a time, to find out which of them crashes a worker."""
        while self._lost:
            with process_pool(1) as pool:
                check_workers_start(pool, " --jobs 1 does without them")
                while self._lost:
                    slot = self._lost.pop(0)
                    stamp = stamp_of(slot.path)
                    try:
                        self._store_result(slot, pool.submit(_predict_in_worker, self._settings, slot.path).result())
                    except BrokenProcessPool:
                        # Cached, so that the next run does not crash on it in its own process.
                        crashed = Prediction(str(slot.path), None, None, {}, None, self._bundle.name, DECODER_CRASHED)
                        self._store_result(slot, FileResult(crashed, stamp))
                        break


def _predict_in_worker(settings: WorkerSettings, path: Path) -> FileResult:
    return predict_with_cache(*_load_in_worker(settings), path)


@lru_cache(maxsize=1)
def _load_in_worker(settings: WorkerSettings) -> tuple[BundleInUse, PredictionCache | None]:
    """This worker's model and cache; the parent process has already reported problems of the cache."""
    bundles.THREADS = 1
    bundle = BundleInUse(**vars(bundles.load_bundle(settings.bundle)))
    if bundle.fingerprint != settings.fingerprint:
        raise BundleError(f"{settings.bundle} was changed while it was in use: begin again")
    cache = None
    if settings.uses_cache:
        from genrelab.predict.cache import open_cache

        cache = open_cache(ignore, fresh=settings.fresh)
    return replace(
        bundle, clips=settings.clips, second_pass=settings.second_pass, stops_early=settings.stops_early
    ), cache
