"""FMA's 518 statistics, decoding included: librosa's CPU time over ours, on the same real clips of 30 s.

    python benchmarks/statistics.py DATA [--clips 20] [--rate native|22050] [--json PATH]

FMA's published recipe works at the file's own rate; `--rate 22050` measures genrelab's default view instead, where
decoding the MP3 is a larger part of both sides. Each side decodes the file itself. Exits 1 below 5.5 times, or if a
column correlates below 0.999.
"""

from __future__ import annotations

from sides import Measured, Row, alternate, arguments, mp3_clips, one_core, report  # isort: skip

import sys
from pathlib import Path

import librosa
import numpy as np
from numpy.typing import NDArray

from genrelab.audio import clips as audio_clips
from genrelab.core.config import StatisticsView
from genrelab.features import views
from genrelab.features.statistics import STATISTICS

sys.path.append(str(Path(__file__).resolve().parents[1]))
from tests.support.fma_recipe import correlations, fma_recipe

WANTED, WANTED_R = 5.5, 0.999
"""Minimum ratio, and minimum correlation of every column with FMA's recipe."""


def theirs(path: Path, rate: int | None) -> NDArray[np.float64]:
    """FMA's recipe with librosa."""
    y, sr = librosa.load(path, sr=rate, mono=True)
    return np.nan_to_num(fma_recipe(y, int(sr)))


def ours(path: Path, view: StatisticsView) -> NDArray[np.float64]:
    """The same statistics with genrelab."""
    y, sr = audio_clips.read(path)
    (window,) = views.compute(view, y, sr)
    return window.x.astype(np.float64)


def main() -> int:
    """Measure, print the row and write it; 1 if a goal is missed."""
    parser = arguments("librosa's CPU time over ours for FMA's 518 statistics")
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--rate", choices=("native", "22050"), default="native")
    options = parser.parse_args()
    one_core()
    rate = None if options.rate == "native" else int(options.rate)
    view = StatisticsView(fma_exact=rate is None)
    sides = {"librosa": lambda p: theirs(p, rate), "genrelab": lambda p: ours(p, view)}
    return report(row_of(alternate(sides, mp3_clips(options.data, options.clips), keep=True), rate), options.json)


def row_of(measured: Measured, rate: int | None) -> Row:
    """The row of a rate; None: the files' own."""
    r = correlations(np.array(measured.answers["genrelab"]), np.array(measured.answers["librosa"]))
    worst = int(np.argmin(r))
    ratio, quartiles = measured.ratio("librosa", "genrelab")
    return Row(
        "statistics" + (f"_{rate}" if rate else ""), "518 statistics with decoding",
        f"FMA's recipe in librosa {librosa.__version__}", ratio, quartiles, len(measured.answers["genrelab"]),
        at_least=WANTED,
        medians={f"{side}, ms of CPU a clip": 1000 * measured.median(side) for side in measured.seconds},
        checks={f"every column correlates at {WANTED_R:g} or more": bool(r[worst] >= WANTED_R)},
        extra={"worst column": STATISTICS[worst], "its correlation": float(r[worst])},
    )  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
