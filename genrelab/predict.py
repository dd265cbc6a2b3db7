"""6 From a file to a `Prediction`: the only place where the windows of a track are pooled.

>>> prediction = load_bundle("RUN/svm/bundle").predict("song.mp3")             # doctest: +SKIP
>>> prediction.genre, prediction.confidence, prediction.timeline               # doctest: +SKIP
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrelab import bundle as bundles
from genrelab import decode
from genrelab.bundle import Bundle
from genrelab.config import LogMelView, SamplesView, View
from genrelab.dataset import AUDIO_SUFFIXES
from genrelab.errors import BundleError, DecodeError, SettingsError
from genrelab.views import compute

STARTER = Path(__file__).with_name("starter")
"""The bundle that comes with the package (see its README.md)."""


@dataclass(frozen=True)
class WindowScore:
    """What the model says of one window of a track."""

    start_s: float
    end_s: float
    probabilities: dict[str, float]


@dataclass(frozen=True)
class Prediction:
    """What the model says of a track; where `error` says why not, `genre` and `confidence` are None."""

    path: str
    genre: str | None
    confidence: float | None
    probabilities: dict[str, float]
    duration_s: float | None
    model: str
    error: str | None
    timeline: tuple[WindowScore, ...] = ()

    def to_json(self, *, timeline: bool = False, top: int | None = None) -> dict[str, Any]:
        """The object that `predict --json` prints and the service answers.

        Args:
            timeline: with what was said of every window.
            top: only so many genres, best first.
        """
        answer: dict[str, Any] = {
            "path": self.path,
            "genre": self.genre,
            "confidence": self.confidence,
            "probabilities": _best(self.probabilities, top),
            "duration_s": self.duration_s,
            "model": self.model,
            "error": self.error,
        }
        if timeline:
            answer["timeline"] = [
                {"start_s": w.start_s, "end_s": w.end_s, "probabilities": _best(w.probabilities, top)}
                for w in self.timeline
            ]
        return answer


class Classifier(Bundle):
    """A bundle that can be asked: `load_bundle(path).predict("song.mp3")`."""

    def predict(self, track: str | Path | NDArray[Any], sr: int | None = None) -> Prediction:
        """Classify a file, or mono samples of shape (samples,) with their rate `sr`.

        A file that cannot be used is no exception: its prediction has an `error`.

        Raises:
            SettingsError: samples without a rate, or of another shape.
            BundleError: the bundle cannot hear audio.
        """
        if not isinstance(track, np.ndarray):
            return predict_file(self, track)
        if sr is None:
            raise SettingsError("samples need their rate: predict(y, sr=44100)")
        return predict_samples(self, track, sr)


def load_bundle(path: str | Path | None = None) -> Classifier:
    """The bundle in a folder, ready to be asked.

    Args:
        path: by default what the variable GENRELAB_MODEL names, else the starter model of this package.

    Raises:
        BundleError: it is missing, changed, of an unknown version, or not usable; the message says which.
    """
    return Classifier(**vars(bundles.load_bundle(path or os.environ.get("GENRELAB_MODEL") or STARTER)))


def predict_file(bundle: Bundle, path: str | Path) -> Prediction:
    """Classify one file, clip by clip, so that memory does not grow with its length.

    Raises:
        BundleError: the bundle cannot hear audio.
    """
    duration_s = None
    _must_hear(bundle)
    try:
        duration_s = decode.probe(path).duration_s
        return _prediction(bundle, path, duration_s, decode.clips(path, bundle.clips))
    except DecodeError as e:
        return _refused(bundle, path, duration_s, e)


def predict_samples(bundle: Bundle, y: NDArray[Any], sr: int) -> Prediction:
    """Classify samples in memory: mono, shape (samples,), full scale 1.

    Raises:
        SettingsError: `y` or `sr` cannot be.
        BundleError: the bundle cannot hear audio.
    """
    _must_hear(bundle)
    if y.ndim != 1 or y.dtype.kind != "f" or sr <= 0:
        raise SettingsError(
            f"samples must be mono floats of shape (samples,) at a rate above 0. Received: {y.dtype} {y.shape} at {sr}"
        )
    try:
        stretches = decode.clips_of_samples(y.astype(np.float32), sr, "samples", bundle.clips)
        return _prediction(bundle, "", len(y) / sr, stretches)
    except DecodeError as e:
        return _refused(bundle, "", len(y) / sr, e)


def predict_paths(bundle: Bundle, paths: Iterable[str | Path]) -> Iterator[Prediction]:
    """Classify files one after the other, each as soon as it is asked for."""
    for path in paths:
        yield predict_file(bundle, path)


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


def audio_files(paths: Iterable[str | Path]) -> list[Path]:
    """Named files as they are, and what looks like audio below named folders, sorted; each once.

    Raises:
        DecodeError: a folder without audio, or one that cannot be listed.
    """
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        found.update(dict.fromkeys(_below(path) if path.is_dir() else [path]))
    return list(found)


def _below(folder: Path) -> list[Path]:
    def refuse(e: OSError) -> None:
        raise DecodeError(e.filename, e.strerror or str(e), stage="read") from e

    files = [
        Path(parent, name)
        for parent, _, names in os.walk(folder, onerror=refuse)
        for name in names
        if Path(name).suffix.lower() in AUDIO_SUFFIXES and not name.startswith("._")  # macOS's shadow files
    ]
    if not files:
        raise DecodeError(folder, f"no audio file in this folder: looked for {' '.join(sorted(AUDIO_SUFFIXES))}")
    return sorted(files)


def _must_hear(bundle: Bundle) -> None:
    if not bundle.hears:
        raise BundleError(f"{bundle.path}: {bundle.name} reads columns of a table of features: it cannot hear audio")


def _prediction(bundle: Bundle, path: str | Path, duration_s: float, stretches: Iterable[decode.Clip]) -> Prediction:
    timeline, rows = [], []
    for clip in stretches:
        windows = compute(bundle.view, clip.y, clip.sr, start_s=clip.start_s)
        if not windows:
            continue
        clip_end_s = clip.start_s + len(clip.y) / clip.sr
        p = bundle.probabilities(np.stack([w.x for w in windows]).astype(np.float32))
        rows.append(p)
        for window, row in zip(windows, p, strict=True):
            end_s = min(window.start_s + _window_s(bundle.view), clip_end_s)
            timeline.append(WindowScore(window.start_s, end_s, _named(bundle, row)))
    if not rows:
        raise DecodeError(path, f"the beginning, which is what {bundle.name} listens to, is silent", stage="check")
    windows_p = np.concatenate(rows)
    _, pooled = pool(np.zeros(len(windows_p), np.int64), windows_p)
    best = int(pooled[0].argmax())
    confidence, named = float(pooled[0, best]), _named(bundle, pooled[0])
    return Prediction(str(path), bundle.genres[best], confidence, named, duration_s, bundle.name, None, tuple(timeline))


def _refused(bundle: Bundle, path: str | Path, duration_s: float | None, fault: DecodeError) -> Prediction:
    return Prediction(str(path), None, None, {}, duration_s, bundle.name, fault.reason)


def _window_s(view: View) -> float:
    """Seconds that a window looks at; views of a whole clip end with it."""
    if isinstance(view, LogMelView):
        return view.window_s
    return view.n_samples / view.sr if isinstance(view, SamplesView) else float("inf")


def _named(bundle: Bundle, row: NDArray[np.float64]) -> dict[str, float]:
    return dict(zip(bundle.genres, row.tolist(), strict=True))


def _best(probabilities: dict[str, float], top: int | None) -> dict[str, float]:
    if top is None:
        return probabilities
    return dict(sorted(probabilities.items(), key=lambda item: -item[1])[:top])
