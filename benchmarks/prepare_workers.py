"""`prepare` with two workers against one, by the clock: on an idle machine at least 1.8 times as fast.

    python benchmarks/prepare_workers.py DATA [--tracks 400] [--rounds 2] [--json PATH]

`prepare` with its default views, of real clips, each several times where there are not so many, until PREPARED stands:
the search for copies, which comes after it, would take long as it never does where all tracks have some. Beside other
work both sides wait for a core, and the ratio says little: the load of the machine is written down.
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
    """Measures, prints, writes."""
    parser = arguments("two workers against one")
    parser.add_argument("--tracks", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    clips = mp3_clips(options.data.resolve(), options.tracks)  # tracks stand below /, wherever they are
    paths = islice(cycle(clips), options.tracks)
    tracks = tuple(Track(f"{i:06d}", str(p), f"genre {i % 2}") for i, p in enumerate(paths))
    dataset, spent = Dataset("clips", Path("/"), tracks), 0.0

    def prepared(jobs: int) -> None:
        nonlocal spent
        with tempfile.TemporaryDirectory() as folder:
            began, out = time.time(), Path(folder) / "prepared"
            prepare(dataset, out, jobs=jobs)
            spent += (out / "dataset.json").stat().st_mtime - began

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
