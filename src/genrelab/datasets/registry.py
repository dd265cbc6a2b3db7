"""Shelf of datasets: one look-alike module per source; which one a ROOT is, is found out by looking at it.

A module holds `NAME`, `LOOKS_FOR` (what a ROOT of this kind looks like), `matches(root)` (why it fits, or
None) and `load(root, options)`. To add one, write its file and put its name into `DETECTION_ORDER`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from genrelab.core.csv_tables import SUFFIXES
from genrelab.core.errors import DatasetError, SettingsError, printable
from genrelab.core.text import is_printable_line, join_first
from genrelab.datasets.base import Dataset, DatasetOptions

DETECTION_ORDER = ("fma", "gtzan", "table", "folder")
"""Modules in the order in which they look at a ROOT: FMA's own CSV files before any table."""

FMA_NAMES = {"fma-small": "small", "fma-medium": "medium", "fma-large": "large", "fma-full": "full"}
"""Names that choose a subset as well."""

NAMES = ("auto", *FMA_NAMES, *DETECTION_ORDER)
"""What `--dataset` understands."""


class DatasetModule(Protocol):
    """What every module of this shelf offers."""

    NAME: str
    EXPECTED_LAYOUT: str

    def matches(self, root: Path) -> str | None:
        """Why `root` is such a dataset, in words, or None."""

    def load(self, root: Path, options: DatasetOptions) -> Dataset:
        """The tracks of `root`."""


def load_dataset(root: str | Path, *, name: str = "auto", options: DatasetOptions | None = None) -> Dataset:
    """Tracks, genres, artists and official split of what lies at ROOT. Nothing is decoded.

    Args:
        root: a folder of music, a folder of FMA or GTZAN, or a table.
        name: one of `NAMES`; `auto` looks at ROOT, and the first note says what was found.
        options: what the command line says about ROOT.

    Returns:
        The dataset; `notes` say what was counted on the way.

    Raises:
        DatasetError: a missing ROOT, one that fits nothing, or tables that do not add up.
        SettingsError: an unknown name, or options that contradict each other.
    """
    if name not in NAMES:
        raise SettingsError(f"unknown dataset {printable(name)!r}: known are {', '.join(NAMES)}")
    options = _with_subset(name, options or DatasetOptions())
    root = _existing(root)
    if name != "auto":
        with _readable(root):
            return _check_genre_names(_module("fma" if name in FMA_NAMES else name).load(root, options))
    found, reason = detect(root)
    with _readable(root):
        dataset = _check_genre_names(_module(found).load(root, options))
    return replace(dataset, notes=(f"taken for {found}: {reason}", *dataset.notes))


def detect(root: str | Path) -> tuple[str, str]:
    """Name of the module that reads ROOT, and why.

    Raises:
        DatasetError: ROOT is missing, or fits nothing; the message names what was looked for.
    """
    root = _existing(root)
    with _readable(root):
        for name in DETECTION_ORDER:
            reason = _module(name).matches(root)
            if reason is not None:
                return name, reason
    looked_for = "; ".join(f"{name}: {_module(name).EXPECTED_LAYOUT}" for name in DETECTION_ORDER)
    raise DatasetError(f"{printable(str(root))} fits no dataset.{_tables_in(root)} Looked for {looked_for}")


def _tables_in(root: Path) -> str:
    """A folder of tables is none; the user may have meant one of them."""
    tables = [p for p in sorted(root.iterdir()) if p.suffix.lower() in SUFFIXES] if root.is_dir() else []
    if not tables:
        return ""
    more = f" (or another of its tables: {join_first([p.name for p in tables[1:]])})" if tables[1:] else ""
    return f" Did you mean {printable(str(tables[0]))}?{more}"


def _check_genre_names(dataset: Dataset) -> Dataset:
    """The dataset, unless a genre has a name that no bundle can hold: refused now, not after an hour of training."""
    for genre in dataset.genres:
        if not is_printable_line(genre):
            raise DatasetError(f"{printable(str(dataset.root))}: no genre can be called {genre[:80]!r}: rename it")
    return dataset


@contextmanager
def _readable(root: Path) -> Iterator[None]:
    """The system's own word on a folder or table that cannot be read, as an error of ours."""
    try:
        yield
    except OSError as e:
        which = printable(str(e.filename or root))
        raise DatasetError(f"{which} cannot be read: {e.strerror or e}") from e


def _existing(root: str | Path) -> Path:
    path = Path(root).expanduser()
    if not path.exists():
        raise DatasetError(f"{printable(str(path))} does not exist: give a folder of music, FMA, GTZAN or a table")
    return path


def _with_subset(name: str, options: DatasetOptions) -> DatasetOptions:
    subset = FMA_NAMES.get(name)
    if subset is None:
        return options
    if options.subset not in (None, subset):
        raise SettingsError(f"{name} and the subset {options.subset} contradict each other: give one of them")
    return replace(options, subset=subset)


def _module(name: str) -> DatasetModule:
    # Late, so that a dataset costs only its own imports.
    return cast(DatasetModule, import_module(f"genrelab.datasets.{name}"))
