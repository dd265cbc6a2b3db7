"""Many files to predictions: cached ones are looked up, the rest is classified here or in worker processes.

Each worker has one thread and loads the model once. The number of files in flight is limited, so memory does not grow
with the library; a file that crashes its worker gets a prediction with an error, and the others go on. The decision
(which predictions count) is applied last, here: workers and the cache hold probabilities only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genrelab.audio.content_hash import sha256_of_audio
from genrelab.bundle import bundle as bundles
from genrelab.core.errors import BundleError, SettingsError
from genrelab.core.file_stamp import Stamp, stamp_of
from genrelab.core.processes import DECODER_CRASHED, available_cores
from genrelab.core.progress import Progress, ignore
from genrelab.core.worker_pool import map_in_processes
from genrelab.predict.file import BundleInUse, describe_file, predict_file, require_audio_input
from genrelab.predict.prediction import Prediction

if TYPE_CHECKING:
    from genrelab.predict.cache import PredictionCache

MAX_FILES_IN_PROCESS = 16
"""Up to this many files are classified faster in this process than by workers, which take a second to start."""

QUEUE_LIMIT = 64
"""Predictions per worker that may wait for the prediction of an earlier file."""

WORKER_USE = ("clips", "second_pass", "stops_early", "full_timeline", "describes")
"""Fields of `BundleInUse` that workers need, besides the bundle itself."""

WorkerUse = tuple[tuple[str, Any], ...]
"""Their names and values."""


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

    def decided() -> Iterator[Prediction]:
        for done, prediction in enumerate(_predictions(bundle, files, jobs, cache), 1):
            progress(done, len(files))
            yield bundle.decision(prediction)

    return decided()


def predict_with_cache(bundle: BundleInUse, cache: PredictionCache | None, path: Path) -> FileResult:
    """Classify a file, unless `cache` has a prediction for the same audio; then only a missing description is added."""
    if cache is None:
        return FileResult(predict_file(bundle, path))
    stamp = stamp_of(path)
    try:
        payload = None if stamp is None else bytes.fromhex(sha256_of_audio(path))
    except OSError:
        payload = None  # the decoder will report why
    known = None if payload is None else cache.lookup_content(bundle, path, payload)
    if known is not None and bundle.describes and known.description is None:
        known = replace(known, description=describe_file(path))
    prediction = known or predict_file(bundle, path)
    changed = stamp is None or stamp_of(path) != stamp
    return FileResult(prediction) if changed else FileResult(prediction, stamp, payload)


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
        yield from _predict_in_workers(bundle, rest, min(jobs or available_cores(), len(rest)), cache)
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


def _predict_in_workers(
    bundle: BundleInUse, files: list[Path], jobs: int, cache: PredictionCache | None
) -> Iterator[Prediction]:
    """Predictions in the order of the files; workers finish them in another."""
    use = tuple((name, getattr(bundle, name)) for name in WORKER_USE)
    fresh = None if cache is None else cache.fresh
    worker = partial(_predict_in_worker, str(bundle.path), bundle.fingerprint, use, fresh)

    def known(path: Path) -> FileResult | None:
        found = _cached(bundle, path, cache)
        return None if found is None else FileResult(found)

    results = map_in_processes(
        worker, files, jobs=jobs, known=known, ahead=QUEUE_LIMIT * jobs, remedy=", or use --jobs 1"
    )
    waiting: dict[int, Prediction] = {}
    n_done = 0
    with closing(results):  # at an interrupt the workers end at once
        for index, result in results:
            if result is None:  # cached, too, so that the next run does not crash on it in its own process
                crashed = Prediction(str(files[index]), None, None, {}, None, bundle.name, DECODER_CRASHED)
                result = FileResult(crashed, stamp_of(files[index]))
            _store(bundle, result, cache)
            waiting[index] = result.prediction
            while n_done in waiting:
                yield waiting.pop(n_done)
                n_done += 1


def _predict_in_worker(bundle: str, fingerprint: str, use: WorkerUse, fresh: bool | None, path: Path) -> FileResult:
    return predict_with_cache(*_load_in_worker(bundle, fingerprint, use, fresh), path)


@lru_cache(maxsize=1)
def _load_in_worker(
    path: str, fingerprint: str, use: WorkerUse, fresh: bool | None
) -> tuple[BundleInUse, PredictionCache | None]:
    """This worker's model and cache; the parent process has already reported problems of the cache.

    Args:
        fresh: see `PredictionCache`; None: there is no cache.
    """
    bundles.THREADS = 1
    bundle = BundleInUse(**vars(bundles.load_bundle(path)))
    if bundle.fingerprint != fingerprint:
        raise BundleError(f"{path} changed while it was being read: run the same command again")
    cache = None
    if fresh is not None:
        from genrelab.predict.cache import open_cache

        cache = open_cache(ignore, fresh=fresh)
    return replace(bundle, **dict(use)), cache
