"""A worker of `prepare`, from its start to its first result, against a process that imports TensorFlow.

    python benchmarks/worker_start.py [--rounds 5] [--json PATH]

New processes in turn; memory is the peak of each. Goal: at least 10 times as fast, and a tenth of the memory.
"""

from __future__ import annotations

from sides import Row, alternate, arguments, one_core, report  # isort: skip

import subprocess
import sys
import tempfile
import time

import numpy as np

PEAK = "int(next(l for l in open('/proc/self/status') if l.startswith('VmHWM')).split()[1])"
"""KB. Not getrusage: there a new process starts with the memory of its parent."""

TENSORFLOW = f"import tensorflow; print({PEAK})"


def main() -> int:
    """Measure, print the row and write it; 1 if a goal is missed."""
    parser = arguments("a worker's start against TensorFlow's", data=False)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    one_core()
    from genrelab.prepare import make_piece  # noqa: F401 - so that both sides find their files in the page cache

    sides = {"import tensorflow": lambda _: run_program(TENSORFLOW), "a worker": lambda _: start_worker()}
    measured = alternate(sides, range(options.rounds), keep=True)
    memory = {side: float(np.median([kb / 1e3 for kb, _ in measured.answers[side]])) for side in sides}
    wall = {side: float(np.median([s for _, s in measured.answers[side]])) for side in sides}
    ratio, quartiles = measured.ratio("import tensorflow", "a worker")
    less = memory["import tensorflow"] / memory["a worker"]
    row = Row(
        "worker_start", "the start of a worker of `prepare`", "importing TensorFlow", ratio, quartiles, options.rounds,
        at_least=10,
        medians={f"{side}, s of CPU": measured.median(side) for side in sides},
        checks={
            "a tenth of the memory or less": less >= 10,
            "begins in half a second of CPU": measured.median("a worker") < 0.5,
        },
        extra={
            "times less memory": less,
            **{f"{side}, MB at most": mb for side, mb in memory.items()},
            **{f"{side}, s by the clock": s for side, s in wall.items()},
        },
    )  # fmt: skip
    return report(row, options.json)


def run_program(program: str) -> tuple[int, float]:
    """Run a program; the KB that it prints, and wall-clock seconds."""
    start = time.perf_counter()
    printed = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    return int(printed), time.perf_counter() - start


def start_worker() -> tuple[int, float]:
    """The same for a worker in a pool of this process, as in `prepare`."""
    from genrelab.core.processes import process_pool
    from genrelab.prepare import make_piece, work_unit

    start = time.perf_counter()
    with process_pool(1) as pool:
        with tempfile.TemporaryDirectory() as folder:
            pool.submit(make_piece.make_piece, work_unit.Piece(0, folder, (), work_unit.PrepareSettings())).result()
        took = time.perf_counter() - start
        return pool.submit(eval, PEAK).result(), took


if __name__ == "__main__":
    raise SystemExit(main())
