"""A library of thousands of files: a first run, interrupted and resumed, and a second one, which should cost nothing.

    python benchmarks/library.py DATA [--files 10000] [--unique] [--jobs N] [--work FOLDER]

The library is made of hard links (copies where these cannot be made) to the audio below DATA, in a temporary folder.
Links share their audio, so most of them are answered from the cache by its hash; with `--unique` every file is a copy
of an MP3 with different bytes appended, and is classified. `genrelab predict LIBRARY --json` then runs three times in
processes of its own: interrupted by Ctrl-C after half of the answers, resumed to the end, and once more. Prints wall
and CPU seconds, the memory of the largest process, and last `ratio X.X %`, the second run over the first. Exits 1 if
that is 5 or more, if resuming costs more than the remaining work, if a process takes more memory than allowed for any
size of library, or if answers are missing or differ.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genrelab.audio.files import AUDIO_SUFFIXES

WANTED_RATIO = 0.05

WANTED_REST = 1.5
"""CPU seconds of the resumed run over those of the one interrupted half way: ideally 1; 2 if it started over."""

WANTED_MEMORY = 200.0
"""MB: a process with the starter model takes less than 100, and a library adds only its names."""


@dataclass(frozen=True)
class Cost:
    """Cost of one run with all its worker processes; `memory` is that of the largest process, in MB."""

    wall_s: float
    cpu_s: float
    memory: float

    def __str__(self) -> str:
        return f"{self.wall_s:8.1f} s wall {self.cpu_s:8.1f} s CPU {self.memory:6.0f} MB"


def make_library(data: Path, folder: Path, n_files: int, unique: bool) -> int:
    """Fill `folder`; returns the number of different source files."""
    sources = [p for p in sorted(data.rglob("*")) if p.suffix.lower() in ({".mp3"} if unique else AUDIO_SUFFIXES)]
    for i in range(n_files):
        source = sources[i % len(sources)]
        path = folder / f"{i // 500:03}" / f"{i:06}{source.suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if unique:
            path.write_bytes(source.read_bytes() + f"{i:016}".encode())
            continue
        try:
            path.hardlink_to(source)
        except OSError:
            shutil.copy(source, path)
    return len(sources)


def run(library: Path, cache: Path, jobs: int | None, stop_after: int | None = None) -> tuple[list[Any], Cost]:
    """Answers of one run, and its cost; it gets a SIGINT after `stop_after` of them."""
    command = [sys.executable, "-m", "genrelab", "predict", str(library), "--json"]
    command += ["--jobs", str(jobs)] if jobs else []
    start, lines = time.perf_counter(), []
    # A background job ignores SIGINT, and its children would, too.
    interruptible = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, env={**os.environ, "GENRELAB_CACHE": str(cache)}, preexec_fn=interruptible
    )
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if len(lines) == stop_after:
            process.send_signal(signal.SIGINT)
    _, _, usage = os.wait4(process.pid, 0)
    cost = Cost(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
    return json.loads(b"".join(lines)), cost


def main() -> int:
    """Measure and print; 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description="the second run over a library against the first")
    parser.add_argument("data", type=Path, metavar="DATA", help="folder with audio files at any depth")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--unique", action="store_true", help="no two files have the same audio")
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--work", type=Path, help="where the temporary folder is made; best on the disk of DATA")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="genrelab-library-", dir=args.work) as work:
        library, cache = Path(work) / "library", Path(work) / "cache"
        sources = make_library(args.data, library, args.files, args.unique)
        print(f"{args.files} files made from {sources}{', each with audio of its own' if args.unique else ''}")
        stopped, first_half = run(library, cache, args.jobs, stop_after=args.files // 2)
        print(f"first, stopped    {first_half}   {len(stopped)} answers")
        whole, second_half = run(library, cache, args.jobs)
        print(f"first, gone on    {second_half}   {len(whole)} answers")
        repeated, second = run(library, cache, args.jobs)
        size = (cache / "answers.sqlite").stat().st_size / 2**20
        print(f"second            {second}   {len(repeated)} answers, {size:.1f} MB remembered")
    ratio = second.wall_s / (first_half.wall_s + second_half.wall_s)
    same = stopped == whole[: len(stopped)] and whole == repeated and len(whole) == args.files
    print("the answers are the same" if same else "ANSWERS ARE MISSING OR DIFFER")
    rest = second_half.cpu_s / first_half.cpu_s
    print(f"going on took {rest:.2f} of the stopped run's CPU seconds (at most {WANTED_REST:g})")
    memory = max(cost.memory for cost in (first_half, second_half, second))
    print(f"the largest process took {memory:.0f} MB (at most {WANTED_MEMORY:g})")
    print(f"ratio {100 * ratio:.1f} %")
    return 0 if same and ratio < WANTED_RATIO and rest < WANTED_REST and memory < WANTED_MEMORY else 1


if __name__ == "__main__":
    sys.exit(main())
