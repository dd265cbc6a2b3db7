"""Songs per second with a loaded model, in one process and thread: MP3 clips of 30 s, and songs of four minutes.

    python benchmarks/throughput.py DATA [--model BUNDLE] [--clips 24] [--songs 6]

The songs are made here, from eight of the clips each, and classified in five or ten windows (`--windows 5`). Prints
songs per second of wall-clock and CPU time, and the shares of decoding, the view and the network in the CPU time; exits
1 below 8 clips or 8 songs per second of CPU time.
"""

# ruff: noqa: E402 - the number of threads is fixed before NumPy is imported
from __future__ import annotations

from genrelab.core.processes import keep_freed_memory, use_one_thread

use_one_thread()
keep_freed_memory()

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from genrelab.audio import clips as audio_clips
from genrelab.audio.reader import Audio
from genrelab.bundle import bundle as bundles
from genrelab.predict import classifier

WANTED = {"clips of 30 s": 8.0, "songs of 4 minutes": 8.0}
"""Minimum per second of CPU time."""


def whole_clips(data: Path, n_clips: int) -> list[Path]:
    """MP3 files of about 30 s anywhere under `data`, chosen evenly."""
    found = [p for p in sorted(data.rglob("*.mp3")) if 28 <= audio_clips.probe(p).duration_s <= 32]
    return found[:: max(1, len(found) // n_clips)][:n_clips]


def make_songs(clips: list[Path], folder: Path, n_songs: int) -> list[Path]:
    """Write MP3 files of four minutes, 44.1 kHz stereo, each of eight clips from a different position in the list."""
    songs = []
    for i in range(n_songs):
        chosen = [clips[(3 * i + k) % len(clips)] for k in range(8)]
        y = np.concatenate([audio_clips.resample(*audio_clips.read(c), 44_100) for c in chosen])
        songs.append(folder / f"{i}.mp3")
        soundfile.write(songs[-1], np.stack([y, y], axis=1), 44_100, bitrate_mode="CONSTANT", compression_level=0.2)
    return songs


def timed(function: Callable[..., Any], spent: list[float]) -> Callable[..., Any]:
    """Wrap `function` so that it appends the CPU seconds of each call to `spent`."""

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        start = time.process_time()
        try:
            return function(*args, **kwargs)
        finally:
            spent.append(time.process_time() - start)

    return wrapped


def measure(title: str, model: classifier.Classifier, paths: list[Path]) -> bool:
    """Measure and print the cost of these files; is it fast enough?"""
    for path in paths[:2]:  # builds filters and kernels, once
        model.predict(path)
    decoding, network = list[float](), list[float]()
    originals = Audio.__init__, Audio.read, bundles.Bundle.probabilities
    Audio.__init__ = timed(Audio.__init__, decoding)  # type: ignore[method-assign]
    Audio.read = timed(Audio.read, decoding)  # type: ignore[method-assign]
    bundles.Bundle.probabilities = timed(bundles.Bundle.probabilities, network)  # type: ignore[method-assign]
    start, start_cpu = time.perf_counter(), time.process_time()
    failed = [p.path for p in map(model.predict, paths) if p.error]
    wall_s, cpu_s = time.perf_counter() - start, time.process_time() - start_cpu
    Audio.__init__, Audio.read, bundles.Bundle.probabilities = originals  # type: ignore[method-assign]
    n, view = len(paths), cpu_s - sum(decoding) - sum(network)
    parts = {"decoding": sum(decoding), "view": view, "network": sum(network)}
    shares = ", ".join(f"{name} {1000 * s / n:.1f} ms ({s / cpu_s:.0%})" for name, s in parts.items())
    print(f"{title}: {n / wall_s:.1f} a second by the clock, {n / cpu_s:.1f} by the CPU: {shares}")
    for name in failed:
        print(f"  failed: {name}")
    return not failed and n / cpu_s >= WANTED[title]


def main() -> int:
    """Measure and print; 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description="songs a second in one process, on one thread")
    parser.add_argument("data", type=Path, metavar="DATA", help="folder with MP3 files of 30 s at any depth")
    parser.add_argument("--model", type=Path, help="default: the starter model")
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--songs", type=int, default=6)
    args = parser.parse_args()
    clips = whole_clips(args.data, args.clips)
    if not clips:
        print(f"{args.data} holds no MP3 file of 30 s", file=sys.stderr)
        return 1
    bundles.THREADS = 1
    model = classifier.load_bundle(args.model)
    print(f"{model.name}, {model.view.name} of {model.clips.clip_s:g} s, at most {model.clips.max_clips} a track")
    met = [measure("clips of 30 s", model, clips)]
    with tempfile.TemporaryDirectory() as folder:
        songs = make_songs(clips, Path(folder), args.songs)
        met.append(measure("songs of 4 minutes", model.with_windows(5), songs))
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
