"""Tracks to leave out, each with a reason: a CSV that `doctor ROOT --manifest` writes and a person may edit.

An excluded track stays in the dataset with the reason as its `problem`: it is counted, and listed in failures.csv.
"""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from genrelab.core.errors import DatasetError
from genrelab.core.storage import Folder
from genrelab.core.text import join_first, pluralize
from genrelab.datasets.artists import read_rows
from genrelab.datasets.base import Dataset

DEFAULT_FILE_NAME = "genrelab-exclude.csv"
"""Name of the file that messages suggest."""

EXCLUDED_PREFIX = "excluded: "
"""Start of an excluded track's `problem`."""

COLUMNS = ("track_id", "path", "reason")


@dataclass(frozen=True)
class Exclusion:
    """One row: a track by its id, else by its path, and the reason."""

    track_id: str
    path: str
    reason: str


def check_replaceable(file: Path) -> None:
    """Refuse to overwrite anything but a manifest of exclusions.

    Raises:
        DatasetError: `file` is a folder, or another kind of file.
    """
    if not file.exists():
        return
    try:
        is_manifest = not file.is_dir() and read_rows(file)[0][: len(COLUMNS)] == list(COLUMNS)
    except DatasetError:
        is_manifest = False
    if not is_manifest:
        raise DatasetError(f"{file} exists and is not a list of exclusions: choose another file")


def write(file: Path, rows: Iterable[Exclusion]) -> None:
    """Write the whole manifest, in place of an earlier one.

    Raises:
        DatasetError: `file` is something else.
        SettingsError: its folder cannot be made.
    """
    check_replaceable(file)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((row.track_id, row.path, row.reason) for row in rows)
    content = text.getvalue().encode("utf-8", "backslashreplace")  # a name that is not Unicode: its id still matches
    Folder(file.absolute().parent).write_bytes(file.name, content)


def read_manual_rows(file: Path, kinds: Collection[str]) -> tuple[Exclusion, ...]:
    """Rows that a person added to a manifest: their reason starts with none of `kinds`. None if there is no file.

    Raises:
        DatasetError: as `read`.
    """
    rows = read(file) if file.exists() else ()
    return tuple(row for row in rows if row.reason.partition(":")[0] not in kinds)


def read(file: Path) -> tuple[Exclusion, ...]:
    """The rows of a manifest; columns in any order, `;` or tab between them as spreadsheets write.

    Raises:
        DatasetError: it cannot be read, is a list of doubts, has neither column `track_id` nor `path`, or has a row
            without a track.
    """
    names, rows = read_rows(file)
    if "decision" in names and "reason" not in names:  # its rows are tracks to check: all would be excluded
        raise DatasetError(
            f"{file} is a list of doubts, not of exclusions: fill in its column decision, then "
            "`genrelab relabel PREPARED RUN --out FOLDER` writes a table with the accepted labels"
        )
    if not {"track_id", "path"} & set(names):
        raise DatasetError(
            f"{file} is not a list of exclusions: it needs a column track_id or path, and may have a column reason. "
            f"Found: {join_first(names) or 'nothing'}"
        )
    found = []
    for number, cells in enumerate(rows, start=2):
        if not any(cells.values()):
            continue
        reason = cells.get("reason") or "no reason given"
        exclusion = Exclusion(cells.get("track_id", ""), cells.get("path", ""), reason)
        if not (exclusion.track_id or exclusion.path):
            raise DatasetError(f"{file}, row {number}: no track: fill in track_id or path, or delete the row")
        found.append(exclusion)
    return tuple(found)


def exclude(dataset: Dataset, rows: Sequence[Exclusion]) -> Dataset:
    """The dataset with the named tracks as problems: by their id, else by their path below ROOT.

    Returns:
        The same tracks in the same order, with notes on excluded tracks and on rows without a matching track.

    Raises:
        DatasetError: every track would be excluded.
    """
    by_id = {t.track_id: i for i, t in enumerate(dataset.tracks)}
    by_path = {_normalize_path(t.path): i for i, t in enumerate(dataset.tracks) if t.path is not None}
    reasons: dict[int, list[str]] = {}
    unmatched = []
    for row in rows:
        i = by_id.get(row.track_id)
        if i is None and row.path:
            i = by_path.get(_normalize_path(_path_below(dataset.root, row.path)))
        if i is None:
            unmatched.append(row.track_id or row.path)
        elif row.reason not in reasons.setdefault(i, []):
            reasons[i].append(row.reason)
    if len(reasons) == len(dataset.tracks):
        raise DatasetError(f"{dataset.root}: no track is left: every track is excluded")
    tracks = tuple(
        replace(t, problem=f"{EXCLUDED_PREFIX}{'; '.join(reasons[i])}") if i in reasons else t
        for i, t in enumerate(dataset.tracks)
    )
    return replace(dataset, tracks=tracks, notes=(*dataset.notes, *_exclusion_notes(dataset, list(reasons), unmatched)))


def _exclusion_notes(dataset: Dataset, excluded: list[int], unmatched: list[str]) -> list[str]:
    notes = []
    if excluded:
        named = [dataset.tracks[i].path or dataset.tracks[i].track_id for i in sorted(excluded)]
        notes.append(
            f"excluded by the list: {len(named):,} of {pluralize(dataset.tracks, 'track')}: {join_first(named)}"
        )
    if unmatched:
        notes.append(f"{pluralize(unmatched, 'row')} of the list without a matching track: {join_first(unmatched)}")
    return notes


def _path_below(root: Path, path: str) -> str:
    """A path as in `Track.path`: relative to ROOT if it lies below it."""
    pure, top = PurePath(path), root.absolute()
    return pure.relative_to(top).as_posix() if pure.is_relative_to(top) else path


def _normalize_path(path: str) -> str:
    # macOS stores names decomposed, tables mostly hold them composed; Windows writes backslashes.
    return unicodedata.normalize("NFC", path.replace("\\", "/").removeprefix("./"))
