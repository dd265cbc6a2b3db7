"""Measure several ways ("sides") to do the same work, in turn on the same inputs: medians, their ratio and its spread.

Every row of docs/performance.md is one script that ends in `report`. CPU seconds are those of this process and of the
children that it waited for, on one core (`one_core`): other work on the machine makes them noisy, never far off.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

# A script's own folder comes first in sys.path, and contains a `statistics.py` that hides Python's.
_HERE = str(Path(__file__).resolve().parent)
sys.path[:] = [p for p in sys.path if p != _HERE] + [_HERE]

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

FIGURES = Path(__file__).with_name("figures")
"""One JSON file per row, written by the last `make bench`."""

THREADS = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"),
    *("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"),
)
PACKAGES = ("numpy", "scipy", "librosa", "soundfile", "soxr", "av", "onnxruntime", "tensorflow-cpu", "keras")


def one_core() -> None:
    """Restrict this process, and all that it starts, to one core and one thread, NumPy's thread pools included."""
    from threadpoolctl import threadpool_limits

    from genrelab.bundle import bundle

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    os.environ.update(dict.fromkeys(THREADS, "1"))  # for libraries loaded later, and for child processes
    threadpool_limits(1)
    bundle.THREADS = 1


def cpu_s() -> float:
    """CPU seconds of this process and of the children that it waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


@dataclass
class Measured:
    """Times and results of each side, one entry per input.

    Attributes:
        seconds: by side.
        answers: by side, if they were kept.
    """

    seconds: dict[str, NDArray[np.float64]]
    answers: dict[str, list[Any]] = field(default_factory=dict)

    def median(self, side: str) -> float:
        """Median seconds per input."""
        return float(np.median(self.seconds[side]))

    def ratio(self, above: str, below: str) -> tuple[float, tuple[float, float]]:
        """Ratio of the medians, and the quartiles of the ratios of pairs."""
        low, high = np.quantile(self.seconds[above] / self.seconds[below], (0.25, 0.75))
        return self.median(above) / self.median(below), (float(low), float(high))


def alternate(
    sides: Mapping[str, Callable[[Any], Any]],
    things: Sequence[Any],
    *,
    warm_up: int = 1,
    clock: Callable[[], float] = cpu_s,
    keep: bool = False,
) -> Measured:
    """Run every side on every input; the order of the sides alternates.

    Args:
        sides: by name.
        things: inputs: clips, songs, rounds.
        warm_up: number of inputs that are run once before the measurement, as imports, filter banks and compilation
            cost time only once.
        clock: returns seconds.
        keep: keep the results of the sides.
    """
    for thing in things[:warm_up]:
        for side in sides.values():
            side(thing)
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    answers: dict[str, list[Any]] = {name: [] for name in sides}
    names = list(sides)
    for i, thing in enumerate(things):
        for name in names if i % 2 else reversed(names):
            start = clock()
            result = sides[name](thing)
            seconds[name].append(clock() - start)
            if keep:
                answers[name].append(result)
    return Measured({name: np.array(s) for name, s in seconds.items()}, answers if keep else {})


@dataclass
class Row:
    """One row of the page.

    Attributes:
        name: of the row, and of its file in `figures/`.
        what, against: descriptions of the two sides.
        ratio: against over what, or, if `at_most` is given, what over against.
        quartiles: of the ratios of pairs.
        n: number of pairs.
        medians: printed as they are, with their unit in the name.
        checks: further conditions by description; all must hold.
        extra: further figures.
    """

    name: str
    what: str
    against: str
    ratio: float
    quartiles: tuple[float, float]
    n: int
    at_least: float | None = None
    at_most: float | None = None
    medians: dict[str, float] = field(default_factory=dict)
    checks: dict[str, bool] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def wanted(self) -> str:
        """The goal, as text."""
        return f"at least {self.at_least:g}" if self.at_least is not None else f"at most {self.at_most:g}"

    @property
    def met(self) -> bool:
        """Does the ratio meet its goal, and do all checks hold?"""
        holds = self.ratio >= self.at_least if self.at_least is not None else self.ratio <= (self.at_most or 0.0)
        return holds and all(self.checks.values())

    def to_json(self) -> dict[str, Any]:
        """The row as JSON."""
        return {
            "row": self.name,
            "what": self.what,
            "against": self.against,
            "ratio": _rounded(self.ratio),
            "quartiles": [_rounded(q) for q in self.quartiles],
            "n": self.n,
            "wanted": self.wanted,
            "at_least": self.at_least,
            "at_most": self.at_most,
            "met": self.met,
            "medians": {name: _rounded(value) for name, value in self.medians.items()},
            "checks": self.checks,
            "extra": _plain(self.extra),
            "command": command(),
            "machine": machine(),
        }


def arguments(about: str, *, data: bool = True) -> argparse.ArgumentParser:
    """A parser with the arguments that all rows share.

    Args:
        about: description, one sentence.
        data: does the script read real clips?
    """
    parser = argparse.ArgumentParser(description=about)
    if data:
        parser.add_argument("data", type=Path, metavar="DATA", help="folder with real audio at any depth")
    parser.add_argument("--json", type=Path, metavar="PATH", help="default: benchmarks/figures/ROW.json")
    return parser


def report(row: Row, path: Path | None) -> int:
    """Print a row, with `ratio X.XX` last, and write its JSON; 0 if its goals are met, else 1."""
    path = path or FIGURES / f"{row.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(row.to_json(), indent=1) + "\n")
    print(f"{row.what} against {row.against}: {row.n} pairs in turn, {row.wanted} wanted")
    width = max((len(name) for name in (*row.medians, *row.extra)), default=0)
    for name, value in (*row.medians.items(), *_plain(row.extra).items()):
        print(f"  {name:<{width}}  {_format_value(value)}")
    for check, holds in row.checks.items():
        print(f"  {'holds' if holds else 'MISSED'}: {check}")
    print(f"  quartiles of the pairs' ratios {row.quartiles[0]:.2f} to {row.quartiles[1]:.2f}")
    print(f"  {'met' if row.met else 'MISSED'}; written to {path}")
    print(f"ratio {row.ratio:.2f}", flush=True)
    return 0 if row.met else 1


def command() -> str:
    """The command line of this script, without `--json` and with $GENRELAB_DATA for the path of the data."""
    data = os.environ.get("GENRELAB_DATA")
    words, is_path = [f"benchmarks/{Path(sys.argv[0]).name}"], False
    for word in sys.argv[1:]:
        if not is_path and word != "--json":
            words.append("$GENRELAB_DATA" if data and word == data else shlex.quote(word))
        is_path = word == "--json"
    return " ".join(["python", *words])


def machine() -> dict[str, Any]:
    """Description of this machine, its packages and its load."""
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: v for name in PACKAGES if (v := _version(name))},
        "load": load,
    }


def mp3_clips(data: Path, n: int, *, seconds: tuple[float, float] = (28, 32)) -> list[Path]:
    """Up to `n` MP3 files of about 30 s anywhere under `data`, chosen evenly.

    Raises:
        SystemExit: there are fewer than two.
    """
    import soundfile

    low, high = seconds
    found = [p for p in sorted(data.rglob("*.mp3")) if low <= soundfile.info(p).duration <= high]
    if len(found) < 2:
        raise SystemExit(f"{data} holds {len(found)} MP3 files of 30 s: two at least are needed")
    return [found[i] for i in np.unique(np.linspace(0, len(found) - 1, min(n, len(found))).round().astype(int))]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return float(f"{value:.8g}") if isinstance(value, float) else value


def _format_value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_format_value(v)}" for k, v in value.items())
    return f"{value:.4g}" if isinstance(value, float) and not 0.99 < value < 1 else str(value)
