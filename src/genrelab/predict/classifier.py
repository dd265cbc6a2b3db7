"""The public API for predictions: `load_bundle(path).predict("song.mp3")`.

>>> prediction = load_bundle("RUN/svm/bundle").predict("song.mp3")             # doctest: +SKIP
>>> prediction.genre, prediction.confidence, prediction.timeline               # doctest: +SKIP
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from genrelab.bundle import bundle as bundles
from genrelab.bundle.remote import load_bundle_at
from genrelab.core.errors import BundleError, SettingsError, printable
from genrelab.evaluation.calibration import Evidence
from genrelab.predict.file import BundleInUse, predict_file, predict_samples
from genrelab.predict.prediction import Decision, Prediction

WindowCount = int | Literal["all"]
"""How many clips of a track are classified (see `Classifier.with_windows`)."""

STARTER = Path(bundles.__file__).with_name("starter")
"""The bundle that comes with the package (see its README.md)."""


@dataclass(frozen=True)
class Classifier(BundleInUse):
    """A bundle with methods that predict and that set how: `load_bundle(path).predict("song.mp3")`."""

    def predict(
        self,
        track: str | Path | NDArray[Any],
        sr: int | None = None,
        *,
        any: bool = False,  # noqa: A002 - the same word as on the command line and over HTTP
    ) -> Prediction:
        """Classify a file, or mono samples of shape (samples,) with their rate `sr`.

        A file that cannot be used is no exception: its prediction has an `error`.

        Args:
            any: always name the most probable genre (see `with_any`).

        Raises:
            SettingsError: samples without a rate, or of another shape.
            BundleError: the bundle does not take audio.
        """
        bundle = self.with_any() if any else self
        if not isinstance(track, np.ndarray):
            return bundle.decision(predict_file(bundle, track))
        if sr is None:
            raise SettingsError("samples need a sample rate: predict(y, sr=44100)")
        return bundle.decision(predict_samples(bundle, track, sr))

    def predict_many(
        self,
        paths: Iterable[str | Path],
        *,
        jobs: int | None = 1,
        windows: WindowCount | None = None,
        any: bool = False,  # noqa: A002 - as in `predict`
    ) -> Iterator[Prediction]:
        """Classify files, in their order, lazily.

        Args:
            jobs: number of worker processes; 1: no workers; None: one per core if there are many files. Workers
                start by importing the calling script: with more than one it must keep its own work below
                `if __name__ == "__main__":`.
            windows: see `with_windows`.
            any: see `with_any`.

        Raises:
            SettingsError: `jobs` or `windows` is invalid.
            BundleError: the bundle does not take audio.
        """
        bundle = (self.with_any() if any else self).with_windows(windows)
        paths = [paths] if isinstance(paths, str | Path) else paths
        if jobs == 1:
            return (bundle.decision(predict_file(bundle, path)) for path in paths)
        from genrelab.predict import batch  # late: one file needs no worker processes

        return batch.predict_files(bundle, paths, jobs=jobs)

    def with_windows(self, windows: WindowCount | None) -> Classifier:
        """The same model, applied to this many clips of a track, spread evenly over it.

        Args:
            windows: a number, and up to the same number again where the two likeliest genres are closer than
                `file.TIE_MARGIN`; `all`; or None: the bundle's own setting. Bundles that read `embedding` then stop
                as soon as the answer is clear.

        Raises:
            SettingsError: anything else.
        """
        if windows is None:
            return self
        if windows != "all" and not (isinstance(windows, int) and windows > 0):
            raise SettingsError(f"windows must be a whole number above 0, or all. Received: {windows}")
        clips = replace(self.clips, max_clips=sys.maxsize if windows == "all" else windows)
        return replace(self, clips=clips, second_pass=windows != "all", stops_early=False)

    def with_full_timeline(self) -> Classifier:
        """The same model and answers; if it stops early, the timeline still has all clips."""
        return replace(self, full_timeline=True)

    def with_description(self) -> Classifier:
        """The same model and answers, with tempo and key of each track (`Prediction.description`).

        They are found in the 30 s at the middle of the track, or in all of a shorter one, whatever its genre. Tempo and
        key are None, with a confidence of 0, if this stretch is silent or cannot be used (`description.problem`).
        """
        return replace(self, describes=True)

    def with_any(self) -> Classifier:
        """The same model, always naming the most probable genre, even if it is not music or below the threshold."""
        return replace(self, decision=replace(self.decision, gate=False, thresholds=None))

    def with_min_precision(self, precision: float | None) -> Classifier:
        """The same model, returning `unknown` unless calibration tracks support that this share of answers is right.

        `calibration.Evidence.thresholds` defines this. It holds for tracks like the training tracks; for other music,
        or with `with_windows`, it is only a guide.

        Args:
            precision: above 0, below 1, or None: every prediction counts.

        Raises:
            SettingsError: any other number.
            BundleError: the bundle has no calibration.
        """
        if precision is None:
            return self
        found = self._evidence("min_precision", precision).thresholds(precision)
        decision = replace(self.decision, thresholds={g: t.confidence for g, t in found.items()})
        return replace(self, decision=decision)

    def with_coverage(self, coverage: float | None) -> Classifier:
        """The same model, also returning the set of genres that a track may have (`genre_set`).

        Among tracks like the calibration tracks, this share has its genre in its set (`Evidence.least_likely`). For a
        prediction less confident than nearly all of theirs, the set grows until its probabilities add up to the share
        (`Decision`).

        Args:
            coverage: above 0, below 1, or None: no sets.

        Raises:
            SettingsError: any other number.
            BundleError: the bundle has no calibration.
        """
        if coverage is None:
            return self
        least_likely = self._evidence("coverage", coverage).least_likely(coverage)
        return replace(self, decision=replace(self.decision, least_likely=least_likely, coverage=coverage))

    def _evidence(self, name: str, share: float) -> Evidence:
        if not 0 < share < 1:
            raise SettingsError(f"{name} must be above 0 and below 1, such as 0.9. Received: {share}")
        if self.calibration is None:
            raise BundleError(
                f"{printable(str(self.path))} has no calibration, which {name} needs: train {self.name} again with "
                "this version of genrelab"
            )
        return self.calibration


def default_bundle() -> str | Path:
    """The folder or address of the bundle that is used unless another is given."""
    return os.environ.get("GENRELAB_MODEL") or STARTER


def load_bundle(path: str | Path | None = None) -> Classifier:
    """Load the bundle in a folder or at an fsspec address, ready to predict.

    Args:
        path: such as `runs/first/svm/bundle`, or `s3://bucket/svm/bundle`, which is copied to this disk first; by
            default what the variable GENRELAB_MODEL names, else the starter model of this package.

    Raises:
        BundleError: it is missing, changed, of an unknown version, or not usable; the message says which.
        SettingsError: an address that cannot be used here.
    """
    bundle = load_bundle_at(path or default_bundle())
    return Classifier(**vars(bundle), decision=Decision(gate=bundle.gate), stops_early=bundle.reads_embedding)
