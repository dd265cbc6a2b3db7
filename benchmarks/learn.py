"""What `genrelab learn` is worth with few tracks, and how long it takes.

    python benchmarks/learn.py DATA [--draws 10]

1. k tracks a genre of the GTZAN tracks here: of five folds with artists apart four give k tracks of each genre to learn
   from, and all tracks of the fifth are scored; so every track is scored once a draw. Mean and standard deviation over
   the draws; tracks of unknown artist are left out.
2. `genrelab learn` of Emotify's 100 tracks: the score that it prints.
3. `genrelab learn` of 60 clips of 30 s in a new process, with an empty cache and then with a full one, in seconds.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
from starter import VIEW, gtzan_tracks, load_rows

from genrelab.core.config import TrainSettings
from genrelab.models.classical import Musicnn
from genrelab.predict.pooling import pool
from genrelab.runs.learn_head import Rows

GENRELAB = str(Path(sys.executable).with_name("genrelab"))
TRACKS = (1, 3, 5, 10, 20)
N_CLIPS = 60


def few_tracks(rows: Rows, genres: tuple[str, ...], k: int, seed: int) -> float:
    """Accuracy over all tracks of known artists, learned from k tracks of each genre of other artists."""
    rng, settings = np.random.default_rng(seed), TrainSettings(seed=seed)
    known = np.flatnonzero([a is not None for a in rows.artists])
    artists = np.array([rows.artists[i] for i in known])
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(known, rows.y[known], artists)
    right = 0
    for fitted, out in folds:
        chosen = np.concatenate([_some(rng, known[fitted][rows.y[known[fitted]] == g], k) for g in range(len(genres))])
        keep = np.isin(rows.track, chosen)
        number = {track: i for i, track in enumerate(chosen)}
        part = Rows(
            rows.x[keep], np.array([number[t] for t in rows.track[keep]]), rows.y[chosen],
            [rows.artists[i] for i in chosen],
        )  # fmt: skip
        model = Musicnn(settings, genres).fit(part.examples(VIEW, genres), Path())
        scored = np.isin(rows.track, known[out])
        tracks, p = pool(rows.track[scored], model._proba(rows.x[scored]))
        right += int((p.argmax(axis=1) == rows.y[tracks]).sum())
    return right / len(known)


def _some(rng: np.random.Generator, tracks: np.ndarray, k: int) -> np.ndarray:
    return rng.permutation(tracks)[:k]


def learn_in_new_process(folder: Path, out: Path, cache: Path) -> tuple[float, str]:
    """Seconds, and what it prints."""
    start = time.perf_counter()
    done = subprocess.run(
        [GENRELAB, "learn", str(folder), "--out", str(out)], env={**os.environ, "GENRELAB_CACHE": str(cache)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return time.perf_counter() - start, done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--draws", type=int, default=10)
    options = parser.parse_args()
    tracks = gtzan_tracks(options.data)
    genres = tuple(sorted({t.genre for t in tracks}))
    rows = load_rows(tracks, genres)
    print(f"| tracks a genre | accuracy, mean of {options.draws} draws | s.d. |\n|---|---|---|")
    for k in TRACKS:
        found = [few_tracks(rows, genres, k, seed) for seed in range(options.draws)]
        print(f"| {k} | {np.mean(found):.1%} | {np.std(found):.1%} |", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        emotify, some = options.data / "emotify_30s", Path(scratch) / "music"
        print("\n" + learn_in_new_process(emotify, Path(scratch) / "emotify", Path(scratch) / "cache")[1])
        for folder in sorted(p for p in emotify.iterdir() if p.is_dir()):
            for clip in sorted(folder.glob("*.mp3"))[: N_CLIPS // 4]:
                (some / folder.name).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(clip, some / folder.name / clip.name)
        for what in ("first", "second"):
            seconds, _ = learn_in_new_process(some, Path(scratch) / "bundle", Path(scratch) / "cache60")
            print(f"learn of {N_CLIPS} clips of 30 s, the {what} time: {seconds:.1f} s")


if __name__ == "__main__":
    main()
