"""`prepare` with two workers against one, in wall-clock time: on an idle machine at least 1.8 times as fast.

    python benchmarks/prepare_workers.py DATA [--tracks 400] [--rounds 2] [--json PATH]

`prepare` with its default views on real clips, repeated where there are too few, until PREPARED is written: the search
for duplicates, which follows, would take far longer than it ever does, as all tracks have some. Beside other work both
sides wait for a core, and the ratio means little: the load of the machine is recorded.
"""

from __future__ import annotations

from sides import Row, alternate, arguments, mp3_clips, report  # isort: skip

import os
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

from genrelab.datasets.base import Dataset, Track
from genrelab.prepare.pipeline import prepare


def main() -> int:
    """Measure, print the row and write it; 1 if a goal is missed."""
    parser = arguments("two workers against one")
    parser.add_argument("--tracks", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    clips = mp3_clips(options.data.resolve(), options.tracks)  # paths are relative to /
    paths = islice(cycle(clips), options.tracks)
    tracks = tuple(Track(f"{i:06d}", str(p), f"genre {i % 2}") for i, p in enumerate(paths))
    dataset, spent = Dataset("clips", Path("/"), tracks), 0.0

    def prepared(jobs: int) -> None:
        nonlocal spent
        with tempfile.TemporaryDirectory() as folder:
            start, out = time.time(), Path(folder) / "prepared"
            prepare(dataset, out, jobs=jobs)
            spent += (out / "dataset.json").stat().st_mtime - start

    sides = {"one worker": lambda _: prepared(1), "two workers": lambda _: prepared(2)}
    measured = alternate(sides, range(options.rounds), warm_up=0, clock=lambda: spent)
    ratio, quartiles = measured.ratio("one worker", "two workers")
    row = Row(
        "prepare_workers",
        f"`prepare` of {len(tracks)} tracks ({len(clips)} clips) with two workers, without the search for copies",
        "one worker", ratio, quartiles,
        options.rounds,
        at_least=1.8,
        medians={f"{side}, s by the clock": measured.median(side) for side in sides},
        checks={"there are two cores": len(os.sched_getaffinity(0)) >= 2},
    )  # fmt: skip
    return report(row, options.json)


if __name__ == "__main__":
    raise SystemExit(main())
