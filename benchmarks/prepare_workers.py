"""`prepare` with two workers against one, by the clock: on an idle machine at least 1.8 times as fast.

    python benchmarks/prepare_workers.py DATA [--clips 100] [--rounds 2] [--json PATH]

All of `prepare` with its default views, of real clips. Beside other work both sides wait for a core, and the ratio says
little: the load of the machine is written down.
"""

from __future__ import annotations

from sides import Row, alternate, arguments, mp3_clips, report  # isort: skip

import os
import tempfile
import time
from pathlib import Path

from genrelab.dataset import Dataset, Track
from genrelab.prepare import prepare


def main() -> int:
    """Measures, prints, writes."""
    parser = arguments("two workers against one")
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    paths = mp3_clips(options.data.resolve(), options.clips)  # tracks stand below /, wherever they are
    tracks = tuple(Track(f"{i:06d}", str(p), f"genre {i % 2}") for i, p in enumerate(paths))
    dataset = Dataset("clips", Path("/"), tracks)

    def prepared(jobs: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            prepare(dataset, Path(folder) / "prepared", jobs=jobs)

    sides = {"one worker": lambda _: prepared(1), "two workers": lambda _: prepared(2)}
    measured = alternate(sides, range(options.rounds), warm_up=0, clock=time.perf_counter)
    ratio, quartiles = measured.ratio("one worker", "two workers")
    row = Row(
        "prepare_workers", f"`prepare` of {len(paths)} clips with two workers", "one worker", ratio, quartiles,
        options.rounds,
        at_least=1.8,
        medians={f"{side}, s by the clock": measured.median(side) for side in sides},
        checks={"there are two cores": len(os.sched_getaffinity(0)) >= 2},
    )  # fmt: skip
    return report(row, options.json)


if __name__ == "__main__":
    raise SystemExit(main())
