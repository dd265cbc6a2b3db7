"""Finds the files of a manifest that was written by another program, on another system or in another folder.

A path that exists as written is never changed.
"""

from __future__ import annotations

import itertools
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from genrelab.core.errors import DatasetError, printable
from genrelab.core.text import pluralize

_QUOTES = "\"'“”„«» \t"

_FILE_URL = re.compile(r"file:(?://(?:localhost)?(?=/))?", re.IGNORECASE)

_ROOT = re.compile(r"/?([A-Za-z]):/|(//[^/]+/)|/")
"""How a path of another machine may start: a drive, a server, the root folder."""

_TRIED = 50
"""Number of paths on which a number of leading folders is tried."""


@dataclass(frozen=True)
class ManifestPaths:
    """The files of a manifest.

    Attributes:
        folder: all paths are relative to it: the table's folder, or the deepest one that contains all files.
        paths: with forward slashes; None where the table gives none.
        notes: on paths that are spelled differently on this disk.
    """

    folder: Path
    paths: tuple[str | None, ...]
    notes: tuple[str, ...]


def find_paths(root: Path, written: Sequence[str | None]) -> ManifestPaths:
    """The files of a manifest; paths that don't exist in any spelling stay as written.

    Args:
        root: the table; relative paths start from its folder.
        written: the cells of its column of paths.

    Raises:
        DatasetError: the paths have no folder in common (two drives).
    """
    base = os.path.abspath(root.parent)  # noqa: PTH100 - links stay as the user wrote them
    full = [w and _normal(os.path.join(base, w)) for w in written]  # noqa: PTH118 - normpath is not in Path
    missing = [i for i, path in enumerate(full) if path is not None and not os.path.lexists(path)]
    found = _search(base, {i: str(written[i]) for i in missing})
    full = [found.get(i, path) for i, path in enumerate(full)]
    try:
        folder = Path(os.path.commonpath([base, *(os.path.dirname(f) for f in full if f)]))  # noqa: PTH120
    except ValueError as e:
        raise DatasetError(f"{root}: its paths have no folder in common: move the files to one drive") from e
    paths = tuple(f and Path(f).relative_to(folder).as_posix() for f in full)
    notes = []
    if found:
        first = min(found)
        notes.append(
            f"{pluralize(found, 'path')} found under another spelling, such as {printable(str(written[first]))}: "
            f"{printable(str(paths[first]))}"
        )
    return ManifestPaths(folder, paths, tuple(notes))


def _search(base: str, written: dict[int, str]) -> dict[int, str]:
    """Row → the file of its path, if one is found."""
    disk = _Disk()
    found: dict[int, str] = {}
    for row, text in written.items():
        candidates = [os.path.join(base, s) for s in _spellings(text)]  # noqa: PTH118
        exact = filter(os.path.isfile, candidates)  # Path.is_file raises where a name is too long
        hit = next(exact, None) or next(filter(None, map(disk.find, candidates)), None)
        if hit is not None:
            found[row] = _normal(hit)
    rest = {row: text for row, text in written.items() if row not in found}
    return found | _search_moved(base, rest, disk)


def _spellings(text: str) -> Iterator[str]:
    """Other ways to write a path: without quotes, from a URL, with forward slashes, percent signs and `~` resolved."""
    forms = [text.strip(_QUOTES)]
    forms.append(_FILE_URL.sub("", forms[0], count=1))
    forms += [f.replace("\\", "/") for f in forms]
    forms += [unquote(f) for f in forms]
    forms += [
        f"{mount}/{m[1].lower()}/{f[m.end() :]}"
        for f in forms
        if (m := re.match(r"/?([A-Za-z]):/", f))
        for mount in ("/mnt", "")
    ]
    yield from dict.fromkeys(os.path.expanduser(f) for f in forms if f)  # noqa: PTH111 - an unknown ~user stays


def _search_moved(base: str, written: dict[int, str], disk: _Disk) -> dict[int, str]:
    """Absolute paths of another machine, or of a folder that was moved: below `base` without some leading folders.

    All paths from one drive lose the same folders, so that two files never become one.
    """
    groups: dict[str, dict[int, list[str]]] = defaultdict(dict)
    for row, text in written.items():
        plain = unquote(_FILE_URL.sub("", text.strip(_QUOTES), count=1)).replace("\\", "/")
        plain = re.sub(r"^//[?.]/", "", plain)
        if m := _ROOT.match(plain):
            groups[m[0].casefold()][row] = [p for p in plain[m.end() :].split("/") if p]
    found: dict[int, str] = {}
    for rows in groups.values():
        folders = [parts[:-1] for parts in rows.values()]
        shared = sum(1 for _ in itertools.takewhile(lambda same: len(set(same)) == 1, zip(*folders, strict=False)))
        tried = dict(list(rows.items())[:_TRIED])
        hits = [len(_below(base, tried, n, disk)) for n in range(shared + 1)]
        if any(hits):
            found |= _below(base, rows, hits.index(max(hits)), disk)
    return found


def _below(base: str, rows: dict[int, list[str]], n: int, disk: _Disk) -> dict[int, str]:
    """Row → the file below `base` whose path is the row's without its first `n` folders."""
    hits = {row: disk.find(os.path.join(base, *parts[n:])) for row, parts in rows.items()}  # noqa: PTH118
    return {row: hit for row, hit in hits.items() if hit is not None}


class _Disk:
    """Finds files whose names differ from the given ones in Unicode form, or in upper and lower case."""

    def __init__(self) -> None:
        self._listed: dict[str, dict[str, list[str]]] = {}
        self._folders: dict[str, str | None] = {}

    def find(self, path: str) -> str | None:
        """The file as it is spelled on the disk; None if there is none, or if two match."""
        found = self._find(_normal(path))
        return found if found is not None and os.path.isfile(found) else None  # noqa: PTH113

    def _find(self, path: str) -> str | None:
        if os.path.lexists(path):
            return path
        parent, name = os.path.split(path)
        if not name or parent == path:
            return None
        if parent not in self._folders:
            self._folders[parent] = self._find(parent)
        folder = self._folders[parent]
        if folder is None:
            return None
        names = self._names(folder)
        for form in (_composed(name), _composed(name).casefold()):
            if len(fitting := names.get(form, [])) == 1:
                return os.path.join(folder, fitting[0])  # noqa: PTH118
        return None

    def _names(self, folder: str) -> dict[str, list[str]]:
        """Normal forms of the names in a folder → the names."""
        if folder not in self._listed:
            names: dict[str, list[str]] = defaultdict(list)
            try:
                for name in os.listdir(folder):  # noqa: PTH208 - names alone, of which there may be many
                    for form in {_composed(name), _composed(name).casefold()}:
                        names[form].append(name)
            except OSError:
                pass  # no folder, or no permission: nothing is found
            self._listed[folder] = names
        return self._listed[folder]


def _normal(path: str) -> str:
    """The path without `..` and with one slash in front (normpath may leave two)."""
    return re.sub("^/+", "/", os.path.normpath(path))


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)
