"""One file, or samples in memory, to one `Prediction`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrelab.audio import clips as audio_clips
from genrelab.audio.reader import Audio
from genrelab.bundle.bundle import Bundle
from genrelab.core.config import FIRST_CLIP_VIEWS
from genrelab.core.errors import BundleError, DecodeError, GenrelabError, SettingsError
from genrelab.features.description import MusicDescription
from genrelab.features.gate import MIN_MUSIC_SCORE, music_score
from genrelab.features.tags import TAGS, tag_probabilities
from genrelab.predict.pooling import pool
from genrelab.predict.prediction import Decision, Prediction, WindowScore
from genrelab.predict.track_description import describe_track, description_after
from genrelab.predict.window_scores import ScoredWindow, score_windows

TIE_MARGIN = 0.1
"""If the probabilities of the two likeliest genres differ by less, more clips often change their order. Measured with
the starter model on 57 songs of four minutes, each started at 96 offsets: five clips find the genre that the whole
song gets for 84.5 %, ten for 91.0 %, five and, where these are close, five more (6.4 on average) for 90.4 %.
"""

MIN_WINDOWS, CLEAR_MARGIN = 2, 0.4
"""A bundle that stops early uses at least MIN_WINDOWS windows, and stops when the probabilities of the two likeliest
genres differ by CLEAR_MARGIN: the same genre as with ten windows for all but one of 354 clips by unseen artists (two
draws), with half of the windows (`benchmarks/embedding.py`).
"""

CLEAR_MUSIC_MARGIN = 1.0
"""The music score (log odds) must also differ by this from the limit of the gate."""


@dataclass(frozen=True)
class BundleInUse(Bundle):
    """A bundle, and how it is used.

    Attributes:
        decision: which predictions count (see `Classifier.with_min_precision` and `Classifier.with_coverage`).
        second_pass: uses the same number of clips again where two genres are close (see `Classifier.with_windows`).
        stops_early: uses clips spread over the track one by one, until the answer is clear.
        full_timeline: also scores all other clips, for the timeline only, unless a number of clips is set.
        describes: also finds tempo and key (see `Classifier.with_description`).
    """

    decision: Decision = field(default_factory=Decision)
    second_pass: bool = False
    stops_early: bool = False
    full_timeline: bool = False
    describes: bool = False


def predict_file(bundle: BundleInUse, path: str | Path) -> Prediction:
    """Classify one file, clip by clip, so that memory does not grow with its length.

    Raises:
        BundleError: the bundle does not take audio.
    """
    require_audio_input(bundle)
    duration_s = None
    try:
        with closing(Audio(path)) as audio:
            duration_s = audio.frames / audio.sr
            return replace(predict_audio(bundle, audio), path=str(path))  # as it was given
    except (DecodeError, SettingsError, BundleError) as e:
        return _error_prediction(bundle, path, duration_s, e)
    except MemoryError:
        return _error_prediction(
            bundle, path, duration_s, DecodeError(path, "not enough memory to decode it", stage="read")
        )


def predict_audio(bundle: BundleInUse, audio: Audio) -> Prediction:
    """Classify an open file: as `predict_file`, for callers that want the exception.

    Raises:
        DecodeError: it cannot be decoded, or nothing in it is usable.
        BundleError: the bundle does not take audio, or its network cannot take the windows.
    """
    require_audio_input(bundle)
    duration_s = audio.frames / audio.sr
    read_clips = partial(audio_clips.clips_from_audio, audio, duration_s=duration_s)
    prediction = _predict_clips(bundle, audio.path, duration_s, read_clips)
    prediction = replace(prediction, notes=tuple(audio.notes))  # all of them are known only now
    return _with_description(bundle, prediction, audio)


def predict_samples(bundle: BundleInUse, y: NDArray[Any], sr: int) -> Prediction:
    """Classify samples in memory: mono, shape (samples,), full scale 1.

    Raises:
        SettingsError: `y` or `sr` is invalid.
        BundleError: the bundle does not take audio.
    """
    require_audio_input(bundle)
    if y.ndim != 1 or y.dtype.kind != "f" or sr <= 0:
        raise SettingsError(
            "samples must be mono floats of shape (samples,), such as y.mean(axis=1) of stereo, at a rate above 0. "
            f"Received: {y.dtype} {y.shape} at {sr}"
        )
    try:
        audio = audio_clips.AudioInMemory("samples", y.astype(np.float32), sr)
        read_clips = partial(audio_clips.clips_from_audio, audio)
        return _with_description(bundle, _predict_clips(bundle, "", len(y) / sr, read_clips), audio)
    except (DecodeError, SettingsError, BundleError) as e:
        return _error_prediction(bundle, "", len(y) / sr, e)


def describe_file(path: str | Path) -> MusicDescription:
    """Tempo and key of a file whose genre is known; if it cannot be decoded, the description has a `problem`."""
    try:
        with closing(Audio(path)) as audio:
            return describe_track(audio)
    except (GenrelabError, MemoryError) as e:
        return description_after(e)


def require_audio_input(bundle: Bundle) -> None:
    """Refuse a bundle that does not take audio.

    Raises:
        BundleError: it reads columns of a table.
    """
    if not bundle.reads_audio:
        raise BundleError(f"{bundle.path}: {bundle.name} reads a table of features, not audio: choose another model")


def _predict_clips(
    bundle: BundleInUse, path: str | Path, duration_s: float, read_clips: Callable[..., Iterable[audio_clips.Clip]]
) -> Prediction:
    used = (
        _score_until_clear(bundle, read_clips)
        if bundle.stops_early
        else list(score_windows(bundle, read_clips(bundle.clips)))
    )
    if not used:
        raise DecodeError(path, f"the first clip, the only one that {bundle.name} uses, is silent", stage="check")
    pooled = _pool_scores(used)
    if bundle.second_pass and bundle.view.name not in FIRST_CLIP_VIEWS and np.diff(np.sort(pooled)[-2:]) < TIE_MARGIN:
        used = sorted([*used, *score_windows(bundle, read_clips(bundle.clips, more=True))], key=attrgetter("start_s"))
        pooled = _pool_scores(used)
    best = int(pooled.argmax())
    # Bundles that do not stop early have used all clips that they ever use, and more would take minutes.
    all_clips = bundle.full_timeline and bundle.stops_early
    shown = _with_other_clips(bundle, used, duration_s, read_clips) if all_clips else used
    timeline = tuple(WindowScore(s.start_s, s.end_s, _by_genre(bundle, s.p)) for s in shown)
    probabilities, confidence = _by_genre(bundle, pooled), float(pooled[best])
    prediction = Prediction(
        str(path), bundle.genres[best], confidence, probabilities, duration_s, bundle.name, None, timeline
    )
    if (embeddings := _embeddings(used)) is None:
        return prediction
    tags = dict(zip(TAGS, tag_probabilities(embeddings).tolist(), strict=True))
    return replace(prediction, tags=tags, music_score=_music_score(embeddings))


def _score_until_clear(bundle: Bundle, read_clips: Callable[..., Iterable[audio_clips.Clip]]) -> list[ScoredWindow]:
    """Score clips in an order that spreads over the track, until two genres are far apart; in order of time."""
    scores: list[ScoredWindow] = []
    for window in score_windows(bundle, read_clips(bundle.clips, spread=True)):
        scores.append(window)
        if len(scores) >= MIN_WINDOWS and _is_clear(scores):
            break
    return sorted(scores, key=attrgetter("start_s"))


def _with_other_clips(
    bundle: BundleInUse,
    used: list[ScoredWindow],
    duration_s: float,
    read_clips: Callable[..., Iterable[audio_clips.Clip]],
) -> list[ScoredWindow]:
    """The scores used for the answer, and those of all other clips; in order of time. Damage there only ends them."""
    scores = {s.start_s: s for s in used}
    done = scores.keys() & set(audio_clips.clip_starts(duration_s, bundle.clips))
    others = (c for c in read_clips(replace(bundle.clips, max_clips=sys.maxsize)) if c.start_s not in done)
    with suppress(DecodeError):
        for window in score_windows(bundle, others):
            scores.setdefault(window.start_s, window)
    return sorted(scores.values(), key=attrgetter("start_s"))


def _is_clear(scores: list[ScoredWindow]) -> bool:
    """Are the two likeliest genres far apart, and is it clear whether this is music?"""
    if np.diff(np.sort(_pool_scores(scores))[-2:]) < CLEAR_MARGIN:
        return False
    embeddings = _embeddings(scores)
    return embeddings is None or abs(_music_score(embeddings) - MIN_MUSIC_SCORE) >= CLEAR_MUSIC_MARGIN


def _music_score(embeddings: NDArray[np.float32]) -> float:
    """Of a track, from its windows (windows, outputs)."""
    return float(music_score(embeddings).mean())


def _embeddings(scores: list[ScoredWindow]) -> NDArray[np.float32] | None:
    rows = [s.embedding for s in scores if s.embedding is not None]
    return np.stack(rows) if rows else None


def _pool_scores(scores: list[ScoredWindow]) -> NDArray[np.float64]:
    rows = np.stack([s.p for s in scores])
    pooled: NDArray[np.float64] = pool(np.zeros(len(rows), np.int64), rows)[1][0]
    return pooled


def _error_prediction(bundle: Bundle, path: str | Path, duration_s: float | None, error: GenrelabError) -> Prediction:
    """The prediction of a file that cannot be classified; `lasting` unless disk or memory is the cause."""
    reason = error.reason if isinstance(error, DecodeError) else str(error)
    return Prediction(str(path), None, None, {}, duration_s, bundle.name, reason, (), _is_lasting(error))


def _is_lasting(error: Exception) -> bool:
    """Is the file the cause, so that it always gets this error?"""
    decoded = isinstance(error, DecodeError) and error.stage != "read"
    return decoded and not isinstance(error.__cause__, OSError | MemoryError)


def _with_description(
    bundle: BundleInUse, prediction: Prediction, audio: Audio | audio_clips.AudioInMemory
) -> Prediction:
    """The prediction, with tempo and key if the bundle describes; what fails there does not change the prediction."""
    if not bundle.describes:
        return prediction
    try:
        found = describe_track(audio)
    except (GenrelabError, MemoryError) as e:
        found = description_after(e)
    return replace(prediction, description=found)


def _by_genre(bundle: Bundle, row: NDArray[np.float64]) -> dict[str, float]:
    return dict(zip(bundle.genres, row.tolist(), strict=True))
