"""Small tables of features with known properties, prepared: what studies of a run's tracks are tried on."""

from __future__ import annotations

import csv
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genrelab.core.config import PrepareSettings
from genrelab.datasets import table
from genrelab.datasets.base import DatasetOptions
from genrelab.prepare.pipeline import prepare
from genrelab.records.prepared import Prepared

GENRES = ("blues", "folk", "rock", "ska")


def no_bar(title: str, unit: str) -> AbstractContextManager[Callable[[int, int], None]]:
    """A progress bar that shows nothing."""
    return nullcontext(lambda done, total: None)


def ignore_message(_: str) -> None:
    """For studies whose news nobody reads."""


def collection(
    folder: Path,
    *,
    n: int = 240,
    per_artist: int = 6,
    genre: float = 1.0,
    artist: float = 1.0,
    noise: float = 1.0,
    columns: int = 8,
    seed: int = 0,
    splits: tuple[str, ...] = (),
    leaky: bool = False,
    swapped: int = 0,
    artists: bool = True,
) -> tuple[Prepared, NDArray[np.bool_]]:
    """Tracks of four genres whose features are a genre's, an artist's and a track's own share, added up.

    Args:
        per_artist: tracks of each artist.
        genre, artist, noise: standard deviation of each share.
        splits: official parts, dealt out to the artists of each genre in turn.
        leaky: they are dealt out to an artist's tracks in turn instead.
        swapped: so many tracks get another genre as their label.

    Returns:
        The preparation in folder/prepared, and which of its tracks are labelled wrongly.
    """
    rng = np.random.default_rng(seed)
    group = np.arange(n) // per_artist
    y = group % len(GENRES)
    means = genre * rng.normal(size=(len(GENRES), columns))
    manners = artist * rng.normal(size=(int(group.max()) + 1, columns))
    x = means[y] + manners[group] + noise * rng.normal(size=(n, columns))
    wrong = np.zeros(n, bool)
    wrong[rng.choice(n, swapped, replace=False)] = True
    label = np.where(wrong, (y + 1 + rng.integers(0, len(GENRES) - 1, n)) % len(GENRES), y)
    rows = []
    for i in range(n):
        about = {"track_id": f"t{i:05d}", "genre": GENRES[label[i]], **{f"f{c}": x[i, c] for c in range(columns)}}
        about |= {"artist": f"artist {group[i]}"} if artists else {}
        turn = i if leaky else group[i] // len(GENRES)
        about |= {"split": splits[turn % len(splits)]} if splits else {}
        rows.append(about)
    return prepared_table(folder, rows), wrong


def prepared_table(folder: Path, rows: list[dict[str, object]]) -> Prepared:
    """The rows as folder/features.csv, prepared in folder/prepared."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "features.csv"
    with file.open("w", newline="") as f:
        writer = csv.DictWriter(f, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return prepare(table.load(file, DatasetOptions()), folder / "prepared", PrepareSettings(), jobs=1)
