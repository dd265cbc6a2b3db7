"""Every row of docs/performance.md: `make bench`.

    python benchmarks/run_all.py DATA [--only ROW …]

Runs the scripts one after the other, puts their JSON into `benchmarks/figures/`, renders the page, and compares each
ratio with the figure that was committed. Exits 1 where a row is missed, fails, or fell by more than its spread.
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
    "statistics_exact": "statistics.py {data} --exact",
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
"""How each row is measured; `ORDER` says the same rows as the page has them."""

LEAST_SPREAD = 0.05
"""Of a ratio, even where the pairs of one run agree better: the machine itself is another one from day to day."""


def main() -> int:
    """Measures all rows; 1 if one is missed or fell."""
    parser = argparse.ArgumentParser(description="all rows of docs/performance.md")
    parser.add_argument("data", nargs="?", default=os.environ.get("GENRELAB_DATA"), metavar="DATA")
    parser.add_argument("--only", nargs="+", choices=SCRIPTS, default=list(SCRIPTS))
    options = parser.parse_args()
    if not options.data:
        print("name the folder of the data, or set GENRELAB_DATA", file=sys.stderr)
        return 2
    assert set(ORDER) == set(SCRIPTS)
    before, faults, began = {name: committed(name) for name in options.only}, list[str](), time.perf_counter()
    for name in options.only:
        faults += measured(name, options.data)
    faults += [said for name in options.only if (said := fell(before[name], now(name)))]
    render()
    print(f"\n{len(options.only)} rows in {(time.perf_counter() - began) / 60:.1f} minutes")
    for fault in faults:
        print(fault)
    return 1 if faults else 0


def measured(name: str, data: str) -> list[str]:
    """Runs one row's script; what is wrong with it."""
    print(f"\n== {name}", flush=True)
    script, *words = SCRIPTS[name].split()
    words = [data if word == "{data}" else word for word in words]
    environment = {**os.environ, "GENRELAB_DATA": data}
    status = subprocess.run([sys.executable, Path(__file__).with_name(script), *words], env=environment).returncode
    if status == 0:
        return []
    row = now(name)
    return [f"{name}: missed or failed" + (f" (ratio {row['ratio']}, {row['wanted']} wanted)" if row else "")]


def now(name: str) -> dict[str, Any] | None:
    """The row as it stands in the folder."""
    path = FIGURES / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def committed(name: str) -> dict[str, Any] | None:
    """The row as Git has it; None where it has none."""
    found = subprocess.run(["git", "show", f"HEAD:./{name}.json"], cwd=FIGURES, capture_output=True, text=True)
    return json.loads(found.stdout) if found.returncode == 0 else None


def fell(before: dict[str, Any] | None, after: dict[str, Any] | None) -> str | None:
    """What is to be said of a row that is worse than the committed one by more than that one's spread."""
    if before is None or after is None:
        return None
    low, high = before["quartiles"]
    spread = max(high - low, LEAST_SPREAD * before["ratio"])
    loss = before["ratio"] - after["ratio"] if before["at_least"] is not None else after["ratio"] - before["ratio"]
    if loss <= spread:
        return None
    return f"{after['row']}: ratio {after['ratio']}, committed {before['ratio']} with a spread of {spread:.3g}"


if __name__ == "__main__":
    raise SystemExit(main())
