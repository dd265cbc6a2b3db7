"""Real windows in shards, as written by `prepare`, for the rows that train networks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sides import mp3_clips

from genrelab.audio import clips as audio_clips
from genrelab.core.config import View
from genrelab.features import views
from genrelab.records import tfrecord
from genrelab.records.examples import Examples, Labels

EXCERPT_S = 10.0
SHARDS = 4


def examples_of(data: Path, view: View, n: int, folder: Path) -> Examples:
    """`n` windows from excerpts of 10 s of real clips, in shards below `folder`; genres are arbitrary."""
    windows = _windows(data, view, n)
    labels = Labels(("a", "b", "c", "d"), np.arange(n) % 4, np.full(n, "fit"), np.arange(n))
    shards = []
    for i in range(SHARDS):
        rows = range(i * n // SHARDS, (i + 1) * n // SHARDS)
        shards.append(folder / f"{view.name}-{i}.tfrecord")
        records = (tfrecord.Record(r, 0.0, windows[r].tobytes()) for r in rows)
        shards[-1].write_bytes(b"".join(map(tfrecord.encode, records)))
    return Examples(view, labels, np.arange(n), np.zeros(n, np.float32), "a benchmark", _shards=tuple(shards))


def _windows(data: Path, view: View, n: int) -> list[NDArray[Any]]:
    windows: list[NDArray[Any]] = []
    for y, sr in _excerpts(mp3_clips(data, n)):
        if len(windows) >= n:
            break
        windows += [window.x for window in views.compute(view, y, sr)]
    return [windows[i % len(windows)] for i in range(n)]


def _excerpts(paths: list[Path]) -> Iterator[tuple[NDArray[np.float32], int]]:
    for path in paths:
        y, sr = audio_clips.read(path)
        length = round(EXCERPT_S * sr)
        yield from ((y[start : start + length], sr) for start in range(0, len(y) - length + 1, length))
