"""Near duplicates: recall and false alarms on real music, and the cost of 100,000 clips.

    python benchmarks/duplicates.py DATA [--clips 100000] [--json FILE]

DATA contains `gtzan_2s`, `gtzan_15s`, `gtzan_30s` and `emotify_30s`. Whether an excerpt of `gtzan_2s` really is in the
longer file of the same id is decided by cross-correlation of the samples, independently of landmarks. The large
collection is made of real landmarks, cut, transposed and stretched, so that its hashes are as common as in music.
Exits 1 if a true excerpt is missed or a pair is reported whose samples do not agree.
"""

# ruff: noqa: E402 - the number of threads is fixed before NumPy is imported
from __future__ import annotations

from genrelab.core.processes import use_one_thread

use_one_thread()

import argparse
import json
import resource
import sys
import time
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import scipy.signal
from numpy.typing import NDArray

from genrelab.audio import clips as audio_clips
from genrelab.audio.files import AUDIO_SUFFIXES
from genrelab.features.fingerprint import BINS, FRAME_S, RATE, Fingerprint, landmarks, pack
from genrelab.leakage.near_duplicates import NearDuplicate, find_near_duplicates

sys.path.append(str(Path(__file__).resolve().parents[1]))
from tests.support.songs import decoded, encoded

FOLDERS = ("gtzan_2s", "gtzan_15s", "gtzan_30s", "emotify_30s")
SAME = 0.8
"""Minimum normalised cross-correlation of samples of the same recording; loops of a song reach 0.6."""

Samples = NDArray[np.float32]


def files(data: Path) -> list[str]:
    """Audio files of the four folders, relative to DATA."""
    found = [p for f in FOLDERS for p in sorted((data / f).rglob("*")) if p.suffix in AUDIO_SUFFIXES]
    return [p.relative_to(data).as_posix() for p in found]


def prints_of(data: Path, names: list[str]) -> tuple[list[Fingerprint], dict[str, float]]:
    """Fingerprints of files, and their cost: CPU milliseconds per clip of 30 s, bytes per second of audio."""
    found, spent, seconds, n_bytes = [], 0.0, 0.0, 0
    for name in names:
        y, sr = audio_clips.read(data / name)
        start = time.process_time()
        marks = landmarks(y, sr)
        spent += time.process_time() - start
        seconds += len(y) / sr
        n_bytes += len(pack(marks))
        found.append(Fingerprint(name, 0.0, marks))
    return found, {"ms_per_30_s": 1e3 * spent / seconds * 30, "bytes_per_s": n_bytes / seconds}


def correlation(data: Path, a: str, b: str, pair: NearDuplicate | None = None) -> tuple[float, float]:
    """The best normalised cross-correlation of the shorter file in the longer one, and its position in seconds.

    Args:
        pair: use only the part that both share according to it, instead of all of the shorter file.
    """
    x, y = (audio_clips.resample(*audio_clips.read(data / name), RATE) for name in (a, b))
    if pair is not None:
        start = max(0.0, -pair.offset_s)
        x = x[round(start * RATE) :][: round(min(4.0, len(y) / RATE - max(0.0, pair.offset_s)) * RATE)]
    elif len(x) > len(y):
        x, y = y, x
    x = x[RATE // 20 : -RATE // 20]
    energy = scipy.signal.fftconvolve(y.astype(np.float64) ** 2, np.ones(len(x)), "valid")
    together = scipy.signal.fftconvolve(y, x[::-1], "valid") / np.sqrt(np.maximum(energy * np.sum(x**2), 1e-9))
    at = int(np.abs(together).argmax())
    return float(abs(together[at])), at / RATE


def excerpts(data: Path, names: list[str], found: list[NearDuplicate]) -> dict[str, Any]:
    """Files of the same id in two folders of GTZAN: how many of those that share samples were found."""
    by_id: dict[str, list[str]] = {}
    for name in names:
        by_id.setdefault(Path(name).stem, []).append(name) if name.startswith("gtzan") else None
    raised = {frozenset((p.a, p.b)): p for p in found}
    rows = []
    for a, b in (pair for same in by_id.values() for pair in combinations(same, 2)):
        rows.append((frozenset((a, b)) in raised, correlation(data, a, b)[0] >= SAME, a, b))
    true = [r for r in rows if r[1]]
    return {
        "pairs_of_one_id": len(rows), "sharing_samples": len(true), "found": sum(r[0] for r in true),
        "missed": [r[2:] for r in true if not r[0]],
        "found_besides": [r[2:] for r in rows if r[0] and not r[1]],  # a part of the excerpt, or a loop of the song
    }  # fmt: skip


def alarms(data: Path, names: list[str], found: list[NearDuplicate]) -> dict[str, Any]:
    """Pairs of different ids: number of possible pairs, reported pairs, and those whose samples do not agree."""
    ids = [Path(n).stem if n.startswith("gtzan") else n for n in names]
    same = sum(a == b for a, b in combinations(ids, 2))
    rows = [
        {"a": p.a, "b": p.b, "offset_s": p.offset_s, "score": p.score, "correlation": correlation(data, p.a, p.b, p)[0]}
        for p in found
        if not p.a.startswith("gtzan") or Path(p.a).stem != Path(p.b).stem
    ]
    return {
        "pairs_of_two_ids": len(ids) * (len(ids) - 1) // 2 - same,
        "raised": rows, "false": [r for r in rows if r["correlation"] < SAME],
    }  # fmt: skip


def treated(y: Samples, sr: int, how: str) -> Samples:
    """An excerpt after the treatment `how`, one of CONDITIONS."""
    if how == "-12 dB":
        return y * np.float32(0.25)
    if how == "low-pass 3.4 kHz":
        sos = scipy.signal.butter(8, 3_400, fs=sr, output="sos")
        return np.asarray(scipy.signal.sosfilt(sos, y), np.float32)
    if how == "cut only":
        return y
    container, _, rate = how.partition(" ")
    return decoded(encoded(y, container, int(rate or 64) * 1_000, sr))


CONDITIONS = ("cut only", "mp3 64", "mp3 32", "ogg", "low-pass 3.4 kHz", "-12 dB")
SECONDS = (30, 5, 3, 2)


def robustness(data: Path, names: list[str], held: list[Fingerprint]) -> list[dict[str, Any]]:
    """Treated excerpts of Emotify's clips, from random positions, against the clips: recall and false alarms."""
    rng = np.random.default_rng(0)
    sounds = {n: audio_clips.read(data / n) for n in names}
    known = {(p.a, p.b) for p in find_near_duplicates(held)}
    rows = []
    for how in CONDITIONS:
        for seconds in SECONDS:
            queries = []
            for name, (y, sr) in sounds.items():
                start = int(rng.integers(0, max(1, len(y) - seconds * sr)))
                queries.append(
                    Fingerprint(f"{name}?", 0.0, landmarks(treated(y[start : start + seconds * sr], sr, how), sr))
                )
            pairs = {(p.a, p.b) for p in find_near_duplicates([*held, *queries])} - known
            true = {(n, f"{n}?") for n in names}
            known_copies = {
                (a, b)
                for a, b in pairs - true
                if (a.strip("?"), b.strip("?")) in known or (b.strip("?"), a.strip("?")) in known
            }
            rows.append({"how": how, "seconds": seconds, "n": len(names), "found": len(pairs & true),
                         "false": len(pairs - true - known_copies)})  # fmt: skip
            print(
                f"  {how:<18}{seconds:>3} s: {rows[-1]['found']} of {len(names)}, {rows[-1]['false']} false alarms",
                flush=True,
            )
    return rows


# --- scale ---


def made_up(pool: list[Fingerprint], rng: np.random.Generator) -> NDArray[np.uint16]:
    """Landmarks of an artificial clip of 30 s: 30 parts of a second from real ones, stretched, with jittered landmarks.

    Pitches are kept, so that hashes are about as common as in music: two of Emotify's clips share 5.2 on average, two
    of these 3.9, and 1.5 times as many pairs as of real clips must be compared point by point.
    """
    parts = []
    for n in range(30):
        marks = pool[rng.integers(len(pool))].landmarks
        start, pace = rng.integers(0, max(1, int(marks[-1, 0]) - 28)), rng.uniform(0.8, 1.25)
        part = marks[(marks[:, 0] >= start) & (marks[:, 0] < start + 28 * pace)].astype(np.float64)
        frames = np.maximum((part[:, 0] - start) / pace + 28 * n + rng.integers(-2, 3, len(part)), 0)
        bins = part[:, 1] + rng.integers(-1, 2, len(part)) * rng.integers(0, 2, len(part))
        parts.append(np.stack((frames, np.clip(bins, 0, BINS - 1)), axis=1))
    return _sorted(np.concatenate(parts))


def copied(marks: NDArray[np.uint16], seconds: float, rng: np.random.Generator) -> tuple[int, NDArray[np.uint16]]:
    """An excerpt as after MP3 at 64 kbit/s: a fifth of the landmarks lost, a fifth new, a quarter shifted by a step."""
    frames = round(seconds / FRAME_S)
    start = int(rng.integers(0, max(1, int(marks[-1, 0]) - frames)))
    part = marks[(marks[:, 0] >= start) & (marks[:, 0] < start + frames)].astype(np.int64)
    part = part[rng.random(len(part)) < 0.79] - (start, 0)
    part += rng.integers(-1, 2, part.shape) * (rng.random((len(part), 1)) < 0.3)
    new = np.stack((rng.integers(0, frames, len(part) // 4), rng.integers(0, BINS, len(part) // 4)), axis=1)
    return start, _sorted(np.clip(np.concatenate((part, new)), 0, (frames, BINS - 1)))


def _sorted(marks: NDArray[Any]) -> NDArray[np.uint16]:
    whole: NDArray[np.uint16] = np.unique(marks.astype(np.uint16), axis=0)
    return whole


def scale(pool: list[Fingerprint], n_clips: int, n_planted: int = 1_000) -> dict[str, Any]:
    """Time, memory and recall of a search among `n_clips` clips with `n_planted` excerpts of them."""
    rng = np.random.default_rng(1)
    prints = [Fingerprint(str(i), 0.0, made_up(pool, rng)) for i in range(n_clips)]
    planted: dict[tuple[str, str], float] = {}
    for i, source in enumerate(rng.choice(n_clips, n_planted, replace=False)):
        seconds = float(SECONDS[i % len(SECONDS)])
        prints.append(Fingerprint(f"copy {i}", 0.0, copied(prints[source].landmarks, seconds, rng)[1]))
        planted[str(source), f"copy {i}"] = seconds
    before = _peak_gb()
    start, cpu = time.perf_counter(), time.process_time()
    found = {(p.a, p.b) for p in find_near_duplicates(prints)}
    return {
        "clips": len(prints), "landmarks": sum(len(p.landmarks) for p in prints),
        "seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu,
        "gb_before": before, "gb_at_peak": _peak_gb(),
        "recall": {f"{s} s": [sum(p in found for p, t in planted.items() if t == s),
                              sum(t == s for t in planted.values())] for s in SECONDS},
        "others_raised": len(found - set(planted)),
    }  # fmt: skip


def _peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def report(result: dict[str, Any]) -> Iterator[str]:
    """The figures as lines of text."""
    e, a = result["excerpts"], result["alarms"]
    cost = result["cost"]
    yield f"fingerprint: {cost['ms_per_30_s']:.1f} ms and {cost['bytes_per_s'] * 30:.0f} bytes for 30 s"
    yield f"one id, two folders: {e['found']} of {e['sharing_samples']} pairs found; missed: {e['missed']}"
    yield f"  found besides: {e['found_besides']}"
    yield f"two ids: {len(a['raised'])} of {a['pairs_of_two_ids']:,} pairs raised, {len(a['false'])} falsely"
    yield from (f"  {r}" for r in a["raised"])
    if "scale" in result:
        yield f"scale: {json.dumps(result['scale'])}"


def main() -> int:
    """Measure and print; 1 if a true excerpt was missed or a false pair was reported."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--clips", type=int, default=100_000, help="of the large collection; 0: none")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    names = files(args.data)
    prints, cost = prints_of(args.data, names)
    found = find_near_duplicates(prints)
    result: dict[str, Any] = {
        "files": len(names), "cost": cost,
        "excerpts": excerpts(args.data, names, found), "alarms": alarms(args.data, names, found),
    }  # fmt: skip
    whole = [p for p in prints if p.track_id.startswith("emotify")]
    result["robustness"] = robustness(args.data, [p.track_id for p in whole], whole)
    if args.clips:
        result["scale"] = scale(whole, args.clips)
    print(*report(result), sep="\n")
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    return int(bool(result["excerpts"]["missed"] or result["alarms"]["false"]))


if __name__ == "__main__":
    sys.exit(main())
