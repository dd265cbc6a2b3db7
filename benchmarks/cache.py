"""What the prediction cache saves: a second run over unchanged files, and one over files that have to be hashed.

    python benchmarks/cache.py [--files 10000] [--seconds 3] [--jobs N] [--work FOLDER]

The files are WAVs of noise, each with other audio, made in a temporary folder. `genrelab predict FOLDER --json` with
the starter model runs three times in processes of its own: with an empty cache, again, and once more after every file
got another change time, as a restored backup has; then all audio is hashed. Prints wall and CPU seconds, the time that
the stamp of a file takes, and last `ratio X.X %`, the second run over the first by wall time. Exits 1 if that is 5 or
more, or if answers differ. `library.py` measures the same with real audio, and an interrupted run.
"""

from __future__ import annotations

from library import run  # isort: skip

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from genrelab.core.file_stamp import stamp_of

WANTED_RATIO = 0.05
SR = 22_050


def make_files(folder: Path, n_files: int, seconds: float) -> list[Path]:
    """WAV files of noise, 500 in a folder."""
    rng, paths = np.random.default_rng(0), []
    for i in range(n_files):
        path = folder / f"{i // 500:03}" / f"{i:06}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * rng.standard_normal(round(seconds * SR)), SR)
        paths.append(path)
    return paths


def main() -> int:
    """Measure and print; 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description="what the prediction cache saves")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each file")
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--work", type=Path, help="where the temporary folder is made")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="genrelab-cache-", dir=args.work) as work:
        folder, cache = Path(work) / "music", Path(work) / "cache"
        paths = make_files(folder, args.files, args.seconds)
        print(f"{len(paths)} files of {args.seconds:g} s, {paths[0].stat().st_size / 1e6:.2f} MB each")
        answers, first = run(folder, cache, args.jobs)
        print(f"first     {first}", flush=True)
        again, second = run(folder, cache, args.jobs)
        print(f"second    {second}", flush=True)
        start = time.perf_counter()
        for path in paths:
            stamp_of(path)
        print(f"          of which stamps {time.perf_counter() - start:8.2f} s")
        for path in paths:
            os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
        hashed, third = run(folder, cache, args.jobs)
        print(f"hashed    {third}")
    same = answers == again == hashed and len(answers) == args.files
    print("the answers are the same" if same else "ANSWERS ARE MISSING OR DIFFER")
    ratio = second.wall_s / first.wall_s
    print(f"by CPU seconds {100 * second.cpu_s / first.cpu_s:.1f} %")
    print(f"ratio {100 * ratio:.1f} %")
    return 0 if same and ratio < WANTED_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
