"""FMA's 518 statistics: librosa's CPU time over ours, on the same real MP3 clips of 30 s.

    python benchmarks/statistics.py DATA [--clips 20] [--rate native|22050]

FMA's recipe as published works at the file's own rate; `--rate 22050` measures genrelab's default view
instead, where decoding the MP3 is a larger part of both sides. Both sides decode the file themselves, in one
process and one thread, alternately. Prints the medians, the worst column and, last, `ratio X.XX`; exits 1
below 5.5, or when a column correlates below 0.999.
"""

# ruff: noqa: E402 - the number of threads is fixed before NumPy is imported
from __future__ import annotations

import os

for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_threads] = "1"

import argparse
import sys
import time
from pathlib import Path

import librosa
import numpy as np
import soundfile
from numpy.typing import NDArray

from genrelab import decode, views
from genrelab.config import StatisticsView
from genrelab.features import STATISTICS

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from fma_recipe import correlations, fma_recipe

WANTED_RATIO = 5.5
WANTED_CORRELATION = 0.999


def theirs(path: Path, rate: int | None) -> NDArray[np.float64]:
    """FMA's recipe on librosa."""
    y, sr = librosa.load(path, sr=rate, mono=True)
    return np.nan_to_num(fma_recipe(y, int(sr)))


def ours(path: Path, rate: int | None) -> NDArray[np.float64]:
    """The same on genrelab's own road."""
    y, sr = decode.read(path)
    (window,) = views.compute(StatisticsView(fma_exact=rate is None), y, sr)
    return window.x.astype(np.float64)


def clips(data: Path, n_clips: int) -> list[Path]:
    """MP3 files of about 30 s anywhere under `data`, chosen evenly."""
    whole = [p for p in sorted(data.rglob("*.mp3")) if 28 <= soundfile.info(p).duration <= 32]
    return whole[:: max(1, len(whole) // n_clips)][:n_clips]


def main() -> int:
    """Measures, prints, and says by its exit code whether both figures hold."""
    parser = argparse.ArgumentParser(description="librosa's CPU time over ours for FMA's 518 statistics")
    parser.add_argument("data", type=Path, metavar="DATA", help="folder with MP3 files of 30 s at any depth")
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--rate", choices=("native", "22050"), default="native")
    args = parser.parse_args()
    rate = None if args.rate == "native" else int(args.rate)
    paths = clips(args.data, args.clips)
    if len(paths) < 2:
        print(f"{args.data} holds {len(paths)} MP3 files of 30 s: two at least are needed", file=sys.stderr)
        return 1
    sides = {"librosa": theirs, "genrelab": ours}
    rows: dict[str, list[NDArray[np.float64]]] = {name: [] for name in sides}
    cpu_ms: dict[str, list[float]] = {name: [] for name in sides}
    for path in (paths[0], *paths):  # the first twice: librosa compiles on first use, ours builds its filters
        for name, side in sides.items():
            start = time.process_time()
            rows[name].append(side(path, rate))
            cpu_ms[name].append(1000 * (time.process_time() - start))
    return summary({n: r[1:] for n, r in rows.items()}, {n: ms[1:] for n, ms in cpu_ms.items()})


def summary(rows: dict[str, list[NDArray[np.float64]]], cpu_ms: dict[str, list[float]]) -> int:
    """Prints the figures; 0 if both hold, else 1."""
    correlation = correlations(np.array(rows["genrelab"]), np.array(rows["librosa"]))
    medians = {name: float(np.median(values)) for name, values in cpu_ms.items()}
    ratio = medians["librosa"] / medians["genrelab"]
    worst = int(np.argmin(correlation))
    print(f"clips {len(rows['librosa'])}")
    for name, median in medians.items():
        print(f"{name} {median:.1f} ms of CPU a clip (median, decoding included)")
    print(f"worst column {STATISTICS[worst]} correlates {correlation[worst]:.8f}")
    print(f"ratio {ratio:.2f}")
    return 0 if ratio >= WANTED_RATIO and correlation[worst] >= WANTED_CORRELATION else 1


if __name__ == "__main__":
    sys.exit(main())
