"""From a file to a `Prediction`: the only place where the windows of a track are pooled.

>>> prediction = load_bundle("RUN/svm/bundle").predict("song.mp3")             # doctest: +SKIP
>>> prediction.genre, prediction.confidence, prediction.timeline               # doctest: +SKIP
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from genrelab.audio import clips as audio_clips
from genrelab.audio.reader import Audio
from genrelab.bundle import bundle as bundles
from genrelab.bundle.bundle import Bundle
from genrelab.core.config import AT_THE_BEGINNING
from genrelab.core.errors import BundleError, DecodeError, GenrelabError, SettingsError, printable
from genrelab.evaluation.calibration import Evidence
from genrelab.predict.prediction import Decision, Prediction, WindowScore
from genrelab.predict.window_scores import Score, scores_of

Windows = int | Literal["all"]
"""How many stretches of a track are listened to (see `Classifier.with_windows`)."""

CLOSE = 0.1
"""Two likeliest genres whose probabilities differ by less are close: another look often changes their order. Measured
with the starter model on 57 songs of four minutes, each begun at 96 places: five stretches find the genre that the
whole song gets for 84.5 %, ten for 91.0 %, five and, where these are close, five more (6.4 on average) for 90.4 %.
"""

STARTER = Path(__file__).with_name("starter")
"""The bundle that comes with the package (see its README.md)."""


@dataclass(frozen=True)
class Classifier(Bundle):
    """A bundle that can be asked: `load_bundle(path).predict("song.mp3")`.

    Attributes:
        decision: which answers count (see `with_min_precision` and `with_coverage`).
        looks_again: it listens to as many stretches again where two genres are close (see `with_windows`).
    """

    decision: Decision = field(default_factory=Decision)
    looks_again: bool = False

    def predict(self, track: str | Path | NDArray[Any], sr: int | None = None) -> Prediction:
        """Classify a file, or mono samples of shape (samples,) with their rate `sr`.

        A file that cannot be used is no exception: its prediction has an `error`.

        Raises:
            SettingsError: samples without a rate, or of another shape.
            BundleError: the bundle cannot hear audio.
        """
        if not isinstance(track, np.ndarray):
            return self.decision(predict_file(self, track))
        if sr is None:
            raise SettingsError("samples need their rate: predict(y, sr=44100)")
        return self.decision(predict_samples(self, track, sr))

    def predict_many(
        self, paths: Iterable[str | Path], *, jobs: int | None = 1, windows: Windows | None = None
    ) -> Iterator[Prediction]:
        """Classify files, in their order, each as soon as it is asked for.

        Args:
            jobs: worker processes; 1: in this one; None: one a core where there are many files. Workers begin by
                importing the script that asks: with more than one it must keep its own work below
                `if __name__ == "__main__":`.
            windows: see `with_windows`.

        Raises:
            SettingsError: `jobs` or `windows` cannot be.
            BundleError: the bundle cannot hear audio.
        """
        bundle = self.with_windows(windows)
        paths = [paths] if isinstance(paths, str | Path) else paths
        if jobs == 1:
            return (bundle.decision(predict_file(bundle, path)) for path in paths)
        from genrelab.predict.batch import listen

        return listen(bundle, paths, jobs=jobs)

    def with_windows(self, windows: Windows | None) -> Classifier:
        """The same model, listening to so many stretches of a track, spread evenly over it.

        Args:
            windows: a number, and where the two likeliest genres are `CLOSE` then, up to as many again; `all`; or None:
                as many as the bundle says.

        Raises:
            SettingsError: another number.
        """
        if windows is None:
            return self
        if windows != "all" and not (isinstance(windows, int) and windows > 0):
            raise SettingsError(f"windows must be a number above 0, or all. Received: {windows}")
        clips = replace(self.clips, max_clips=sys.maxsize if windows == "all" else windows)
        return replace(self, clips=clips, looks_again=windows != "all")

    def with_min_precision(self, precision: float | None) -> Classifier:
        """The same model, that answers `unknown` unless calibration tracks support that such a share is right.

        See `calibration.Evidence.thresholds` for what that means. It was found on tracks as they were trained on:
        of other music, or heard through `with_windows`, it is no more than a guide.

        Args:
            precision: above 0, below 1, or None: every answer counts.

        Raises:
            SettingsError: another number.
            BundleError: the bundle keeps no calibration.
        """
        if precision is None:
            return self
        found = self._evidence("min_precision", precision, "; --min-confidence does without").thresholds(precision)
        decision = replace(self.decision, thresholds={g: t.confidence for g, t in found.items()})
        return replace(self, decision=decision)

    def with_coverage(self, coverage: float | None) -> Classifier:
        """The same model, that also names the set of genres that a track may have (`genre_set`).

        Of tracks like the calibration tracks such a share has its genre in its set (`Evidence.least_likely`); where
        an answer is less sure than nearly all of theirs, the set grows until it adds up to the share (`Decision`).

        Args:
            coverage: above 0, below 1, or None: no sets.

        Raises:
            SettingsError: another number.
            BundleError: the bundle keeps no calibration.
        """
        if coverage is None:
            return self
        least_likely = self._evidence("coverage", coverage).least_likely(coverage)
        return replace(self, decision=replace(self.decision, least_likely=least_likely, coverage=coverage))

    def _evidence(self, name: str, share: float, otherwise: str = "") -> Evidence:
        if not 0 < share < 1:
            raise SettingsError(f"{name} must be above 0 and below 1, such as 0.9. Received: {share}")
        if self.calibration is None:
            raise BundleError(
                f"{printable(str(self.path))}: keeps no calibration, which {name} goes by: train {self.name} again "
                f"with this genrelab{otherwise}"
            )
        return self.calibration


def default_bundle() -> Path:
    """The folder of the bundle that is used where none is named."""
    return Path(os.environ.get("GENRELAB_MODEL") or STARTER)


def load_bundle(path: str | Path | None = None) -> Classifier:
    """The bundle in a folder, ready to be asked.

    Args:
        path: by default what the variable GENRELAB_MODEL names, else the starter model of this package.

    Raises:
        BundleError: it is missing, changed, of an unknown version, or not usable; the message says which.
    """
    return Classifier(**vars(bundles.load_bundle(path or default_bundle())))


def predict_file(bundle: Classifier, path: str | Path) -> Prediction:
    """Classify one file, clip by clip, so that memory does not grow with its length.

    Raises:
        BundleError: the bundle cannot hear audio.
    """
    must_hear(bundle)
    duration_s = None
    try:
        with closing(Audio(path)) as audio:
            duration_s = audio.frames / audio.sr
            return replace(predict_audio(bundle, audio), path=str(path))  # as it was given
    except (DecodeError, SettingsError, BundleError) as e:
        return _refused(bundle, path, duration_s, e)
    except MemoryError:
        return _refused(bundle, path, duration_s, DecodeError(path, "there is not enough memory for it", stage="read"))


def predict_audio(bundle: Classifier, audio: Audio) -> Prediction:
    """Classify a file that is open: what `predict_file` answers, for those who want to know what went wrong.

    Raises:
        DecodeError: it cannot be decoded, or nothing in it is usable.
        BundleError: the bundle cannot hear audio, or its network cannot take what is heard.
    """
    must_hear(bundle)
    duration_s = audio.frames / audio.sr
    stretches = partial(audio_clips.clips_of, audio, bundle.clips, duration_s=duration_s)
    return _prediction(bundle, audio.path, duration_s, stretches)


def predict_samples(bundle: Classifier, y: NDArray[Any], sr: int) -> Prediction:
    """Classify samples in memory: mono, shape (samples,), full scale 1.

    Raises:
        SettingsError: `y` or `sr` cannot be.
        BundleError: the bundle cannot hear audio.
    """
    must_hear(bundle)
    if y.ndim != 1 or y.dtype.kind != "f" or sr <= 0:
        raise SettingsError(
            "samples must be mono floats of shape (samples,), such as y.mean(axis=1) of stereo, at a rate above 0. "
            f"Received: {y.dtype} {y.shape} at {sr}"
        )
    try:
        stretches = partial(audio_clips.clips_of_samples, y.astype(np.float32), sr, "samples", bundle.clips)
        return _prediction(bundle, "", len(y) / sr, stretches)
    except (DecodeError, SettingsError, BundleError) as e:
        return _refused(bundle, "", len(y) / sr, e)


def pool(track: NDArray[np.int64], probabilities: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Probabilities of tracks from those of their windows: the mean.

    Args:
        track: the track of each window, shape (windows,), in any order.
        probabilities: shape (windows, genres).

    Returns:
        The tracks, sorted, each once, and their probabilities, shape (tracks, genres); every row sums to 1.
    """
    tracks, row, count = np.unique(track, return_inverse=True, return_counts=True)
    total = np.zeros((len(tracks), probabilities.shape[1]))
    np.add.at(total, row, probabilities)
    mean = total / count[:, None]
    return tracks, mean / mean.sum(axis=1, keepdims=True)


def must_hear(bundle: Bundle) -> None:
    """Refuses a bundle that cannot be shown audio.

    Raises:
        BundleError: it reads columns of a table.
    """
    if not bundle.hears:
        raise BundleError(f"{bundle.path}: {bundle.name} reads columns of a table of features: it cannot hear audio")


def _prediction(
    bundle: Classifier, path: str | Path, duration_s: float, stretches: Callable[..., Iterable[audio_clips.Clip]]
) -> Prediction:
    scores = list(scores_of(bundle, stretches()))
    if not scores:
        raise DecodeError(path, f"the beginning, which is what {bundle.name} listens to, is silent", stage="check")
    pooled = _pooled(scores)
    if bundle.looks_again and bundle.view.name not in AT_THE_BEGINNING and np.diff(np.sort(pooled)[-2:]) < CLOSE:
        scores = sorted([*scores, *scores_of(bundle, stretches(more=True))], key=itemgetter(0))
        pooled = _pooled(scores)
    best = int(pooled.argmax())
    timeline = tuple(WindowScore(start_s, end_s, _named(bundle, row)) for start_s, end_s, row in scores)
    named, confidence = _named(bundle, pooled), float(pooled[best])
    return Prediction(str(path), bundle.genres[best], confidence, named, duration_s, bundle.name, None, timeline)


def _pooled(scores: list[Score]) -> NDArray[np.float64]:
    rows = np.stack([row for _, _, row in scores])
    pooled: NDArray[np.float64] = pool(np.zeros(len(rows), np.int64), rows)[1][0]
    return pooled


def _refused(bundle: Bundle, path: str | Path, duration_s: float | None, fault: GenrelabError) -> Prediction:
    """The answer to what cannot be classified. It lasts where it is the content's fault, not the disk's or memory's."""
    lasting = isinstance(fault, DecodeError) and fault.stage != "read"
    lasting = lasting and not isinstance(fault.__cause__, OSError | MemoryError)
    reason = fault.reason if isinstance(fault, DecodeError) else str(fault)
    return Prediction(str(path), None, None, {}, duration_s, bundle.name, reason, (), lasting)


def _named(bundle: Bundle, row: NDArray[np.float64]) -> dict[str, float]:
    return dict(zip(bundle.genres, row.tolist(), strict=True))
