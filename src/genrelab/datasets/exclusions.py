"""Tracks that are left out with a reason: a small CSV, written by `doctor ROOT`, edited by hand, kept by `prepare`.

An excluded track stays in the dataset with its reason as its `problem`: it is counted and named in failures.csv.
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
from genrelab.datasets.base import Dataset

DEFAULT_FILE_NAME = "genrelab-exclude.csv"
"""Name of the file that `doctor ROOT` writes to the current folder."""

EXCLUDED_PREFIX = "excluded: "
"""Start of an excluded track's `problem`."""

COLUMNS = ("track_id", "path", "reason")


@dataclass(frozen=True)
class Exclusion:
    """One row: a track by its id, else by its path, and why it is left out."""

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
        is_manifest = not file.is_dir() and _read_rows(file)[0][: len(COLUMNS)] == list(COLUMNS)
    except (DatasetError, IndexError):
        is_manifest = False
    if not is_manifest:
        raise DatasetError(f"{file} is there and no manifest of exclusions: name another file with --manifest")


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
    """Rows that a person added to a manifest: whose reason starts with none of `kinds`; none where there is no file.

    Raises:
        DatasetError: as `read`.
    """
    rows = read(file) if file.exists() else ()
    return tuple(row for row in rows if row.reason.partition(":")[0] not in kinds)


def read(file: Path) -> tuple[Exclusion, ...]:
    """The rows of a manifest; columns in any order, `;` or tab between them as spreadsheets write.

    Raises:
        DatasetError: it cannot be read, is a list of doubts, has neither column `track_id` nor `path`, or a row that
            names no track.
    """
    header, *rows = _read_rows(file) or [[]]
    names = [cell.strip().casefold() for cell in header]
    if "decision" in names and "reason" not in names:  # its rows are tracks to check: all would be excluded
        raise DatasetError(
            f"{file}: this is a list of doubts, not of exclusions: fill in its column decision, then "
            "`genrelab relabel PREPARED RUN --out FOLDER` makes a table with the labels that you accepted"
        )
    if not {"track_id", "path"} & set(names):
        raise DatasetError(
            f"{file}: no manifest of exclusions: it needs a column track_id or path, and may have reason. "
            f"Found: {join_first(header) or 'nothing'}"
        )
    found = []
    for number, row in enumerate(rows, start=2):
        if not any(cell.strip() for cell in row):
            continue
        cells = dict(zip(names, (cell.strip() for cell in row), strict=False))
        reason = cells.get("reason") or "no reason given"
        exclusion = Exclusion(cells.get("track_id", ""), cells.get("path", ""), reason)
        if not (exclusion.track_id or exclusion.path):
            raise DatasetError(f"{file}, row {number}: names no track: fill in track_id or path, or delete the row")
        found.append(exclusion)
    return tuple(found)


def _read_rows(file: Path) -> list[list[str]]:
    try:
        text = file.read_text(encoding="utf-8-sig")
        delimiter = max(",;\t", key=text.partition("\n")[0].count)
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as e:
        raise DatasetError(f"{file} cannot be read as a manifest: {getattr(e, 'strerror', None) or e}") from e


def exclude(dataset: Dataset, rows: Sequence[Exclusion]) -> Dataset:
    """The dataset with the named tracks as problems: by their id, else by their path below ROOT.

    Returns:
        the same tracks in the same order; notes give the number of excluded tracks, and the rows that match none.

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
        raise DatasetError(f"{dataset.root}: every one of {pluralize(reasons, 'track')} is excluded: nothing is left")
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
            f"excluded by the manifest: {len(named):,} of {pluralize(dataset.tracks, 'track')}: {join_first(named)}"
        )
    if unmatched:
        notes.append(f"{pluralize(unmatched, 'row')} of the manifest naming no track here: {join_first(unmatched)}")
    return notes


def _path_below(root: Path, path: str) -> str:
    """A path as in `Track.path`: relative to ROOT if it lies below it."""
    pure, top = PurePath(path), root.absolute()
    return pure.relative_to(top).as_posix() if pure.is_relative_to(top) else path


def _normalize_path(path: str) -> str:
    # macOS stores names decomposed, tables mostly hold them composed; Windows writes backslashes.
    return unicodedata.normalize("NFC", path.replace("\\", "/").removeprefix("./"))
