#!/usr/bin/env python
"""Fits the gate "music or not" (`genrelab.features.gate`) and prints what it does, for docs/results.md.

    mkdir -p sounds && cd sounds && apt-get download $(PYTHONPATH=../scripts python -m gate_files)
    for f in *.deb; do dpkg-deb -x "$f" "${f%%_*}"; done; cd ..

    python scripts/gate.py DATA --sounds sounds [--out FILE] [--rows FILE]

espeak-ng and fluidsynth must be installed. DATA has the folders gtzan_2s, gtzan_15s, gtzan_30s, emotify_30s, assorted
and the table gtzan_fault_filtered/artists.csv. No gate is fitted to anything in assorted.

The recipe: logistic regression on the outputs of the frozen networks for windows of 3 s, scaled and clipped. Music and
no music have the same weight in sum, so have all kinds of no music (but `WEIGHTS`), all recordings of a kind, all
windows of a recording. The penalty is chosen, and every figure but those of assorted is taken, on artists, instruments
and packages of music and whole kinds of no music that had no part in the fit. The score is shifted so that `PASSED` of
the recordings that are no music, of such kinds, lie above 0. Same packages, same bytes.
"""

from __future__ import annotations

import argparse
import os
import pickle
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from genrelab.core.processes import THREAD_VARIABLES

os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))  # before NumPy: the order of sums over threads varies

import numpy as np
from gate_rows import Recording, assorted, music, no_music
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from genrelab.features.gate import FILE, MAX_DEVIATIONS

PENALTIES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
FOLDS = 8
WEIGHTS = {"tones": 3.0, "solos": 0.5}  # of a recording: tones are rare in the list and must not pass; solos are made
PASSED = 0.02  # of what is no music, of kinds not seen
LEAST_DEVIATION = 1e-3  # outputs that vary less say nothing
WINDOWS = (1, 2, 5, 10)
COLLECTIONS = ("GTZAN", "Emotify", "packages", "solos")

Gate = dict[str, NDArray[np.float32]]
Floats = NDArray[np.float64]


def weights(recordings: Sequence[Recording]) -> Floats:
    """One for every window, in sum the number of windows, half of it for music."""
    kinds = ["music" if r.music else r.kind for r in recordings]
    w = [WEIGHTS.get(r.family, 1) / (kinds.count(k) * len(r.rows)) for r, k in zip(recordings, kinds, strict=True)]
    rows = np.repeat(w, [len(r.rows) for r in recordings])
    is_music = windows_of_music(recordings)
    for half in (is_music, ~is_music):
        rows[half] *= len(rows) / 2 / rows[half].sum()
    return rows


def windows_of_music(recordings: Sequence[Recording]) -> NDArray[np.bool_]:
    """Which windows are of music, (windows,)."""
    return np.concatenate([np.full(len(r.rows), r.music) for r in recordings])


def fit(recordings: Sequence[Recording], C: float) -> Gate:
    """The gate of these recordings."""
    rows = np.concatenate([r.rows for r in recordings]).astype(np.float64)
    is_music, w = windows_of_music(recordings), weights(recordings)
    mean = np.average(rows, axis=0, weights=w)
    deviation = np.sqrt(np.average((rows - mean) ** 2, axis=0, weights=w))
    scale = np.where(deviation > LEAST_DEVIATION, 1 / np.maximum(deviation, LEAST_DEVIATION), 0)
    scaled = ((rows - mean) * scale).clip(-MAX_DEVIATIONS, MAX_DEVIATIONS)
    model = LogisticRegression(C=C, max_iter=5_000, tol=1e-6).fit(scaled, is_music, sample_weight=w)
    found = {"mean": mean, "scale": scale, "weight": model.coef_[0], "bias": model.intercept_[0]}
    return {name: np.asarray(values, np.float32) for name, values in found.items()}


def scores(gate: Gate, rows: NDArray[np.float32]) -> Floats:
    """As `genrelab.features.gate.music_score` computes them."""
    wide = {name: values.astype(np.float64) for name, values in gate.items()}
    scaled = (rows.astype(np.float64) - wide["mean"]) * wide["scale"]
    found: Floats = scaled.clip(-MAX_DEVIATIONS, MAX_DEVIATIONS) @ wide["weight"] + wide["bias"]
    return found


def folds(recordings: Sequence[Recording], apart: Callable[[Recording], str]) -> NDArray[np.int64]:
    """The fold of each recording: music by artist, the rest by what must stay apart, like families spread."""
    artists = sorted({r.group for r in recordings if r.music})
    order = np.random.default_rng(0).permutation(len(artists))
    kinds = sorted({(r.family, apart(r)) for r in recordings if not r.music})
    number = {("music", artists[j]): i % FOLDS for i, j in enumerate(order)}
    number |= {("none", kind): i % FOLDS for i, (_, kind) in enumerate(kinds)}
    return np.array([number["music", r.group] if r.music else number["none", apart(r)] for r in recordings])


def unseen(recordings: Sequence[Recording], C: float, apart: Callable[[Recording], str]) -> list[Floats]:
    """Scores of every recording's windows by a gate that saw neither its artist nor its kind."""
    fold = folds(recordings, apart)
    gates = [fit([r for r, f in zip(recordings, fold, strict=True) if f != k], C) for k in range(FOLDS)]
    return [scores(gates[f], r.rows) for r, f in zip(recordings, fold, strict=True)]


def pooled(windows: Floats, n: int = max(WINDOWS)) -> float:
    """The mean over at most `n` windows, spread evenly; one is the middle one."""
    if len(windows) > n:
        windows = windows[np.round(np.linspace(0, len(windows) - 1, n)).astype(int) if n > 1 else [len(windows) // 2]]
    return float(windows.mean())


def limit(recordings: Sequence[Recording], found: Sequence[Floats], share: float) -> float:
    """The score that this share of what is no music exceeds, kinds weighted equally."""
    none = [(pooled(s), r.kind) for r, s in zip(recordings, found, strict=True) if not r.music]
    kinds = [kind for _, kind in none]
    scored = sorted(((score, 1 / kinds.count(kind)) for score, kind in none), reverse=True)
    above = np.cumsum([weight for _, weight in scored]) / len(set(kinds))
    return float(scored[int(np.searchsorted(above, share))][0])


def rejected(pairs: Sequence[tuple[Recording, Floats]], low: float, n: int = max(WINDOWS)) -> str:
    """Share and number of recordings whose score lies below."""
    if not pairs:
        return "–"
    below = [pooled(s, n) < low for _, s in pairs]
    return f"{100 * np.mean(below):.1f} %"


def choose(recordings: Sequence[Recording]) -> float:
    """The penalty that rejects the least music, collections weighted equally, at the limit for unseen families."""
    wrong = {}
    for C in PENALTIES:
        found = unseen(recordings, C, lambda r: r.family)
        low = limit(recordings, found, PASSED)
        lost: dict[str, list[bool]] = {}
        for r, s in zip(recordings, found, strict=True):
            if r.music:
                lost.setdefault(r.family, []).append(pooled(s) < low)
        wrong[C] = float(np.mean([np.mean(v) for v in lost.values()]))
        print(f"C {C:g}: {100 * wrong[C]:.2f} % of music rejected", file=sys.stderr, flush=True)
    return min(PENALTIES, key=lambda C: (wrong[C], C))


Scored = list[tuple[Recording, Floats]]


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def no_music_table(by_kind: Scored, by_family: Scored, low: float) -> str:
    """What of each kind is rejected, by gates that did not see the kind, or nothing of its family."""
    rows, total = [], {r.kind: r.family for r, _ in by_kind if not r.music}
    for kind, family in [*sorted(total.items(), key=lambda item: item[::-1]), ("all", "")]:
        own = [(r, s) for r, s in by_kind if not r.music and kind in (r.kind, "all")]
        apart = [(r, s) for r, s in by_family if not r.music and kind in (r.kind, "all")]
        long, short = [p for p in own if len(p[1]) > 1], [p for p in own if len(p[1]) == 1]
        figures = [*(rejected(long, low, n) for n in WINDOWS), rejected(short, low), rejected(apart, low)]
        rows.append([family, kind, str(len(own)), *figures])
    windows = [f"{n} windows" if n > 1 else "1 window" for n in WINDOWS]
    return table(["family", "kind", "recordings", *windows, "0.5 to 3 s long", "all, family apart"], rows)


def music_table(found: Scored, low: float) -> str:
    """What music is rejected by gates that saw neither its artist nor its package."""
    rows = []
    parts = sorted({(r.family, r.kind) for r, _ in found if r.music})
    for family, kind in [*((f, "") for f in COLLECTIONS), *parts]:
        mine = [(r, s) for r, s in found if r.music and r.family == family and kind in ("", r.kind)]
        plain, other = [p for p in mine if p[0].plain], [p for p in mine if not p[0].plain]
        figures = [*(rejected(plain, low, n) for n in WINDOWS), rejected(other, low)]
        rows.append([family, kind or "all", str(len(plain)), *figures])
    windows = [f"{n} windows" if n > 1 else "1 window" for n in WINDOWS]
    return table(["collection", "genre", "tracks", *windows, "altered, 0.5 to 9 s long"], rows)


def trade_off(recordings: Sequence[Recording], by_kind: Sequence[Floats], by_family: Sequence[Floats]) -> str:
    """Rejected music against passed no music, for other limits."""
    rows = []
    for share in (0.005, 0.01, PASSED, 0.03, 0.05, 0.1):
        low, row = limit(recordings, by_kind, share), [f"{100 * share:g} %"]
        for family in COLLECTIONS:
            row.append(rejected([p for p in zip(recordings, by_kind, strict=True) if p[0].music and p[0].plain
                                 and p[0].family == family], low))  # fmt: skip
        for found in (by_kind, by_family):
            row.append(rejected([p for p in zip(recordings, found, strict=True) if not p[0].music], low))
        rows.append(row)
    headers = ["limit", "GTZAN rejected", *COLLECTIONS[1:], "no music rejected, kind apart", "family apart"]
    return table(headers, rows)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Fits the gate 'music or not' and prints what it does.")
    parser.add_argument("data", type=Path)
    parser.add_argument("--sounds", type=Path, required=True, help="unpacked packages, see the top of this file")
    parser.add_argument("--out", type=Path, default=FILE)
    parser.add_argument("--rows", type=Path, help="a file for the networks' outputs: read if there, else written")
    arguments = parser.parse_args(argv)
    if arguments.rows and arguments.rows.exists():
        recordings, tests = pickle.loads(arguments.rows.read_bytes())
    else:
        recordings = [*no_music(arguments.sounds), *music(arguments.data, arguments.sounds)]
        tests = assorted(arguments.data)
    if arguments.rows:
        arguments.rows.write_bytes(pickle.dumps((recordings, tests)))
    write(recordings, arguments.out, tests)


def write(recordings: Sequence[Recording], out: Path, tests: dict[str, NDArray[np.float32]]) -> None:
    """Fits, writes the coefficients to `out` and prints the section for docs/results.md."""
    C = choose(recordings)
    by_kind = unseen(recordings, C, lambda r: r.kind)
    by_family = unseen(recordings, C, lambda r: r.family)
    low = limit(recordings, by_kind, PASSED)
    gate = fit(recordings, C)
    gate["bias"] = np.asarray(gate["bias"] - low, np.float32)
    np.savez(out, **gate)  # type: ignore[arg-type]
    print(f"C {C:g}, {sum(len(r.rows) for r in recordings)} windows, limit {low:.2f} before the shift\n")
    pairs = list(zip(recordings, by_kind, strict=True))
    print(no_music_table(pairs, list(zip(recordings, by_family, strict=True)), low))
    print(music_table(pairs, low))
    print(trade_off(recordings, by_kind, by_family))
    rows = [[name, *(f"{pooled(scores(gate, rows), n):+.1f}" for n in WINDOWS)] for name, rows in tests.items()]
    print(table(["file", *(f"{n} windows" if n > 1 else "1 window" for n in WINDOWS)], rows))


if __name__ == "__main__":
    main()
