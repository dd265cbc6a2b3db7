"""What a prediction by the starter model costs, and what stopping early changes.

    python benchmarks/embedding.py DATA [--clips 40]

One core, CPU seconds (`sides.py`). Prints: milliseconds of each part of a window; clips a second when windows are
processed until the answer is clear and when all are; how many windows that takes, and how often the answers are the
same, for tracks that the starter learned from and for tracks of unseen artists; cold `predict` of a 30 s MP3 in a new
process, and its memory.
"""

from __future__ import annotations

from sides import alternate, cpu_s, one_core  # isort: skip

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
from starter import VIEW, emotify_tracks, gtzan_tracks, load_rows

from genrelab.audio.clips import clips_from_audio, read, resample
from genrelab.audio.reader import Audio
from genrelab.core.config import EMBEDDING_CLIPS, TrainSettings
from genrelab.features import embedding
from genrelab.features.views import compute
from genrelab.models.classical import Musicnn
from genrelab.predict.classifier import load_bundle
from genrelab.predict.file import CLEAR_MARGIN, MIN_WINDOWS

GENRELAB = str(Path(sys.executable).with_name("genrelab"))
ROUNDS = 5

LAUNCHER = """
import json, os, sys, time
start = time.perf_counter()
_, _, usage = os.wait4(os.spawnv(os.P_NOWAIT, sys.argv[1], sys.argv[1:]), 0)
print(json.dumps([time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024]))
"""
"""Runs a command, prints seconds, CPU seconds and MiB. A small process, for a child counts the memory of its parent."""


def milliseconds(work: Callable[[], Any], times: int = 20) -> float:
    """Median CPU milliseconds of a piece of work."""
    work()
    found = []
    for _ in range(times):
        start = cpu_s()
        work()
        found.append(1_000 * (cpu_s() - start))
    return float(np.median(found))


def print_parts(clip: Path) -> None:
    """Milliseconds of each part of a window."""
    view = embedding.EmbeddingView()
    y, sr = read(clip, start_s=10, seconds=3.0)
    at_rate = resample(y, sr, view.sr)[: embedding.window_length(view)]
    mel = embedding.log_mel(at_rate, view)[None]
    parts: dict[str, Callable[[], Any]] = {
        "reading 3 s of an MP3": lambda: read(clip, start_s=10, seconds=3.0),
        "resampling": lambda: resample(y, sr, view.sr),
        "log-mel": lambda: embedding.log_mel(at_rate, view),
    }
    for name, session in zip(embedding.NETWORK_OUTPUTS, embedding._sessions(), strict=True):
        parts[name] = lambda session=session: session.run(None, {"mel": mel})  # type: ignore[misc]
    print("| part of a window | ms |\n|---|---|")
    for name, work in parts.items():
        print(f"| {name} | {milliseconds(work):.1f} |")


def print_stops(clips: list[Path]) -> None:
    """Speed and answers of the default against all windows."""
    default = load_bundle()
    every = default.with_windows("all")
    measured = alternate({"default": default.predict, "all windows": every.predict}, clips, keep=True)
    found, whole = measured.answers["default"], measured.answers["all windows"]
    n = [len(p.timeline) for p in found]
    same = np.mean([a.guess == b.guess for a, b in zip(found, whole, strict=True)])
    print("\n| | clips/s (one core, mean) | windows a clip |\n|---|---|---|")
    print(f"| until the answer is clear | {1 / measured.seconds['default'].mean():.2f} | {np.mean(n):.1f} |")
    all_n = np.mean([len(p.timeline) for p in whole])
    print(f"| all windows | {1 / measured.seconds['all windows'].mean():.2f} | {all_n:.1f} |")
    print(
        f"\nthe same genre: {same:.1%} of {len(clips)} clips; two windows were enough for {np.mean(np.equal(n, 2)):.0%}"
    )


def print_unseen_stops(data: Path) -> None:
    """Windows and answers for tracks of artists that were not learned from: five folds of the starter's tracks."""
    tracks = [*gtzan_tracks(data), *emotify_tracks(data)]
    genres = tuple(sorted({t.genre for t in tracks}))
    rows, settings = load_rows(tracks, genres), TrainSettings()
    with ProcessPoolExecutor() as workers:
        windows = list(workers.map(spread_windows, [t.path for t in tracks], chunksize=8))
    known = np.flatnonzero([t.artist is not None for t in tracks])
    artists = np.array([rows.artists[i] for i in known])
    found: dict[str, list[tuple[int, bool]]] = {}
    assert rows.strata is not None
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=42).split(known, rows.strata[known], artists)
    for _, out in folds:
        held = set(known[out].tolist())
        role = np.where(np.isin(np.arange(len(tracks)), list(held)), "score", "fit")
        examples = rows.examples(VIEW, genres)
        examples = replace(examples, labels=replace(examples.labels, role=role))
        model = Musicnn(settings, genres).fit(examples, Path())
        for i in held:
            if len(windows[i]) > MIN_WINDOWS:
                found.setdefault(tracks[i].collection, []).append(stop(model._proba(windows[i])))
    print("\n| by unseen artists, clips of 15 s or more | n | windows a clip | the same genre as with all |")
    print("|---|---|---|---|")
    for collection, stops in found.items():
        n, same = np.mean(stops, axis=0)
        print(f"| {collection} | {len(stops)} | {n:.2f} | {same:.1%} |")


def spread_windows(path: Path) -> np.ndarray:
    """The windows of a file in the order in which `predict` takes them, (windows, outputs)."""
    with closing(Audio(path)) as audio:
        clips = clips_from_audio(audio, EMBEDDING_CLIPS, spread=True)
        return np.stack([w.x for clip in clips for w in compute(VIEW, clip.y, clip.sr)])


def stop(p: np.ndarray) -> tuple[int, bool]:
    """After how many of the windows `p` (windows, genres) the answer is clear, and is it that of all of them?"""
    for n in range(MIN_WINDOWS, len(p) + 1):
        mean = p[:n].mean(axis=0)
        if np.diff(np.sort(mean)[-2:]) >= CLEAR_MARGIN:
            break
    return n, bool(mean.argmax() == p.mean(axis=0).argmax())


def print_cold(clip: Path) -> None:
    """Seconds and memory of `genrelab predict FILE` in a new process."""
    command = [sys.executable, "-c", LAUNCHER, GENRELAB, "predict", str(clip)]
    found = [
        json.loads(subprocess.run(command, capture_output=True, check=True).stdout.splitlines()[-1])
        for _ in range(ROUNDS + 1)
    ]
    wall, cpu, memory = np.median(np.array(found[1:]), axis=0)
    print(f"\ncold predict of a 30 s MP3: {wall:.2f} s by the clock, {cpu:.2f} s of CPU, {memory:.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--clips", type=int, default=40)
    options = parser.parse_args()
    one_core()
    clips = sorted((options.data / "emotify_30s").rglob("*.mp3"))
    chosen = clips[:: max(1, len(clips) // options.clips)][: options.clips]
    print_parts(chosen[0])
    print_stops(chosen)
    print_cold(chosen[0])
    print_unseen_stops(options.data)


if __name__ == "__main__":
    main()
