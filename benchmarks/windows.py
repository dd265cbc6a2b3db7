"""`predict --windows 5` of songs of four minutes against all windows, with the same bundle.

    python benchmarks/windows.py DATA [--model BUNDLE] [--songs 60] [--json PATH]

A song joins the clips of one artist. Five windows, and five more if two genres are close, should cost at most 15 % of
the whole file and give the same genre for at least 90 % of the songs. The starter model, unless another one is given,
runs in this process, on one core.
"""

from __future__ import annotations

from sides import Row, alternate, arguments, one_core, report  # isort: skip

import tempfile
from pathlib import Path

import numpy as np
from songs import clips_by_artist, join

from genrelab.predict.classifier import load_bundle

SONG_S = 240
WANTED_SHARE, WANTED_SAME = 0.15, 0.9


def main() -> int:
    """Measure, print the row and write it; 1 if a goal is missed."""
    parser = arguments("five windows against the whole file")
    parser.add_argument("--model", type=Path, help="default: the starter model")
    parser.add_argument("--songs", type=int, default=60)
    options = parser.parse_args()
    one_core()
    model = load_bundle(options.model)
    sides = {"the whole file": model.with_windows("all").predict, "5 windows": model.with_windows(5).predict}
    with tempfile.TemporaryDirectory() as folder:
        artists = sorted(clips_by_artist(options.data).items())[: options.songs]
        songs = [join(clips, Path(folder) / f"{i}.mp3", SONG_S) for i, (_, clips) in enumerate(artists)]
        measured = alternate(sides, songs, keep=True)
    whole, five = (measured.answers[side] for side in sides)
    failed = [p for p in (*whole, *five) if p.error]
    if failed:
        raise SystemExit(f"{failed[0].path}: {failed[0].error}")
    same = np.array([a.genre == b.genre for a, b in zip(whole, five, strict=True)])
    off = [np.abs([a.probabilities[g] - b.probabilities[g] for g in model.genres]).max()
           for a, b in zip(whole, five, strict=True)]  # fmt: skip
    ratio, quartiles = measured.ratio("5 windows", "the whole file")
    row = Row(
        "windows" if options.model is None else f"windows_{model.name}",
        f"`predict --windows 5` of songs of 4 minutes with {model.name}", "hearing all of them with the same bundle",
        ratio, quartiles, len(songs),
        at_most=WANTED_SHARE,
        medians={f"{side}, ms of CPU a song": 1000 * measured.median(side) for side in sides},
        checks={f"the same genre for {WANTED_SAME:.0%} of the songs or more": bool(same.mean() >= WANTED_SAME)},
        extra={
            "same genre": float(same.mean()),
            "windows of the whole file": len(whole[0].timeline),
            "windows heard on average": float(np.mean([len(p.timeline) for p in five])),
            "seconds of a window": model.clips.clip_s,
            "largest difference of a probability, median": float(np.median(off)),
        },
    )  # fmt: skip
    return report(row, options.json)


if __name__ == "__main__":
    raise SystemExit(main())
