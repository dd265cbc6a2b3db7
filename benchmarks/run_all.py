"""Measure every row of docs/performance.md: `make bench`.

    python benchmarks/run_all.py DATA [--only ROW …]

Runs the scripts one after the other, writes their JSON into `benchmarks/figures/`, renders the page, and compares each
ratio with the committed figure. Exits 1 if a row is missed, fails, or got worse by more than its spread.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from render_performance import FIGURES, ORDER, render

SCRIPTS = {
    "statistics": "statistics.py {data}",
    "log_mel": "log_mel.py {data}",
    "record_librosa": "record_librosa.py {data}",
    "record_article": "record_article.py {data}",
    "record_floor": "record_floor.py {data}",
    "windows": "windows.py {data}",
    "cold": "cold.py {data}",
    "record_write": "record_write.py {data}",
    "head_epoch": "head_epoch.py {data}",
    "input_pipeline_raw_cnn": "input_pipeline.py {data} raw_cnn",
    "input_pipeline_short_chunk": "input_pipeline.py {data} short_chunk",
    "svm_fit": "svm_fit.py",
    "worker_start": "worker_start.py",
    "prepare_memory": "prepare_memory.py {data}",
    "prepare_workers": "prepare_workers.py {data}",
}
"""Command of each row; `ORDER` has the same rows in the order of the page."""

MIN_SPREAD = 0.05
"""Minimum relative spread of a ratio, even if the pairs of one run agree better: machines vary from day to day."""


def main() -> int:
    """Measure all rows; 1 if one is missed or got worse."""
    parser = argparse.ArgumentParser(description="all rows of docs/performance.md")
    parser.add_argument("data", nargs="?", default=os.environ.get("GENRELAB_DATA"), metavar="DATA")
    parser.add_argument("--only", nargs="+", choices=SCRIPTS, default=list(SCRIPTS))
    options = parser.parse_args()
    if not options.data:
        print("name the folder of the data, or set GENRELAB_DATA", file=sys.stderr)
        return 2
    assert set(ORDER) == set(SCRIPTS)
    before, problems, start = {name: committed(name) for name in options.only}, list[str](), time.perf_counter()
    for name in options.only:
        problems += measure(name, options.data)
    problems += [sentence for name in options.only if (sentence := fell(before[name], latest(name)))]
    render()
    print(f"\n{len(options.only)} rows in {(time.perf_counter() - start) / 60:.1f} minutes")
    for problem in problems:
        print(problem)
    return 1 if problems else 0


def measure(name: str, data: str) -> list[str]:
    """Run one row's script; returns its problems."""
    print(f"\n== {name}", flush=True)
    script, *arguments = SCRIPTS[name].split()
    arguments = [data if word == "{data}" else word for word in arguments]
    environment = {**os.environ, "GENRELAB_DATA": data}
    status = subprocess.run([sys.executable, Path(__file__).with_name(script), *arguments], env=environment).returncode
    if status == 0:
        return []
    row = latest(name)
    return [f"{name}: missed or failed" + (f" (ratio {row['ratio']}, {row['wanted']} wanted)" if row else "")]


def latest(name: str) -> dict[str, Any] | None:
    """The row as last measured; None if there is none."""
    path = FIGURES / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def committed(name: str) -> dict[str, Any] | None:
    """The committed row; None if there is none."""
    found = subprocess.run(["git", "show", f"HEAD:./{name}.json"], cwd=FIGURES, capture_output=True, text=True)
    return json.loads(found.stdout) if found.returncode == 0 else None


def fell(before: dict[str, Any] | None, after: dict[str, Any] | None) -> str | None:
    """A sentence if a row is worse than the committed one by more than the spread of that one, else None."""
    if before is None or after is None:
        return None
    low, high = before["quartiles"]
    spread = max(high - low, MIN_SPREAD * before["ratio"])
    loss = before["ratio"] - after["ratio"] if before["at_least"] is not None else after["ratio"] - before["ratio"]
    if loss <= spread:
        return None
    return f"{after['row']}: ratio {after['ratio']}, committed {before['ratio']} with a spread of {spread:.3g}"


if __name__ == "__main__":
    raise SystemExit(main())
