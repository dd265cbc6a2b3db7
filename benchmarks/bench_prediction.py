"""Predictions of `genrelab bench` for 80 clips against a real `genrelab prepare`: wall-clock and CPU time, disk.

    python benchmarks/bench_prediction.py DATA [--clips 80] [--rounds 3]

DATA is a ROOT of MP3 clips of 30 s in folders of genres, such as emotify_30s; 80 of them are linked into a folder. Each
round runs `bench` and `prepare` in turn, each as a process of its own. The ratio is prediction over measurement: for
wall-clock time it should be between 0.75 and 1.25. Other work on the machine, which varies between both, does not
change CPU seconds by much: these are compared, too.
"""

from __future__ import annotations

from sides import Row, arguments, mp3_clips, report  # isort: skip

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from genrelab.core.config import DEFAULT_VIEWS

OFF = 0.25


def _link_clips(data: Path, n: int, folder: Path) -> Path:
    clips = mp3_clips(data, n)
    for clip in clips:
        link = folder / clip.relative_to(data)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(clip.resolve())
    return folder


def _run_genrelab(*words: str) -> str:
    """Standard output of the command line."""
    command = [sys.executable, "-m", "genrelab", *words]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout


def _predict_cost(root: Path, n: int) -> dict[str, float]:
    """The prediction of `bench`, without training a network."""
    views = ",".join(DEFAULT_VIEWS)  # what `prepare` makes below
    options = ("--tracks", str(n), "--models", "majority", "--views", views, "--json")
    result: dict[str, Any] = json.loads(_run_genrelab("bench", str(root), *options))
    amount, forecast = result["amounts"][0], result["forecast"]
    cpu_s = forecast["cpu_fixed_s"] + n * forecast["cpu_track_s"]
    return {"clock": amount["seconds"], "CPU": cpu_s, "disk": amount["n_bytes"], "busy": result["busy"]}


def _measure_cost(root: Path) -> dict[str, float]:
    """The cost of `prepare`."""
    with tempfile.TemporaryDirectory() as folder:
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        _run_genrelab("prepare", str(root), "--out", f"{folder}/prepared")
        seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        size = sum(p.stat().st_size for p in Path(folder).rglob("*") if p.is_file())
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"clock": seconds, "CPU": cpu_s, "disk": float(size)}


def main() -> int:
    """Measure, print the row and write it; 1 if a goal is missed."""
    parser = arguments("what bench predicts of a preparation, over what it takes")
    parser.add_argument("--clips", type=int, default=80)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    predicted, measured = [], []
    with tempfile.TemporaryDirectory() as folder:
        root = _link_clips(options.data, options.clips, Path(folder))
        n = sum(1 for p in root.rglob("*.mp3"))
        for _ in range(options.rounds):
            predicted.append(_predict_cost(root, n))
            measured.append(_measure_cost(root))
    pairs = list(zip(predicted, measured, strict=True))
    ratios = {w: np.array([p[w] / m[w] for p, m in pairs]) for w in ("clock", "CPU", "disk")}
    medians = {w: float(np.median(r)) for w, r in ratios.items()}
    low, high = np.quantile(ratios["clock"], (0.25, 0.75))
    row = Row(
        "bench_prediction", f"`genrelab bench --tracks {n}`", f"`genrelab prepare` of {n} real clips of 30 s",
        medians["clock"], (float(low), float(high)), options.rounds,
        at_most=1 + OFF,
        medians={
            "predicted, s": float(np.median([s["clock"] for s in predicted])),
            "taken, s": float(np.median([t["clock"] for t in measured])),
            "taken, MB": float(np.median([t["disk"] for t in measured])) / 1e6,
        },
        checks={f"{w}: within {OFF:.0%}": bool(abs(m - 1) <= OFF) for w, m in medians.items()},
        extra={
            "predicted over taken, CPU": medians["CPU"],
            "predicted over taken, disk": medians["disk"],
            "cores that other work took": float(np.median([s["busy"] for s in predicted])),
        },
    )  # fmt: skip
    return report(row, options.json)


if __name__ == "__main__":
    raise SystemExit(main())
