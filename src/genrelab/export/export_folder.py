"""The folder of an export: told from all others by its `settings.json`, and only then ever replaced."""

from __future__ import annotations

import json
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from genrelab.core.errors import SettingsError, printable

SETTINGS = "settings.json"
EXPORT_KEY = "genrelab_export"
"""Key of `settings.json` that no other program writes; its value is the version of the file."""
UNFINISHED = ".genrelab-unfinished"
"""File in a folder that is not whole yet, or no longer."""


def finish_export(folder: Path, settings: dict[str, Any]) -> None:
    """Write `settings.json`, last: with it the folder is an export."""
    names = sorted(_files(folder) - {SETTINGS, UNFINISHED})
    text = json.dumps({EXPORT_KEY: 1, "files": names, **settings}, indent=1, ensure_ascii=False)
    (folder / SETTINGS).write_text(f"{text}\n", encoding="utf-8")


def is_export(folder: Path) -> bool:
    """Did export write this folder, to its end?"""
    return _exported_files(folder) is not None and not (folder / UNFINISHED).exists()


@contextmanager
def replacing(out: Path, *, source: Path, overwrite: bool) -> Iterator[Path]:
    """An empty folder beside `out` that takes its place when the block ends well.

    An earlier export is whole at every moment: under its name, or, between two renamings, under `.NAME.old-…`, from
    where the next export fetches it back if a kill comes in between.

    Args:
        source: what is being exported, which must not be replaced.
        overwrite: replace an earlier export though it holds files of somebody else's.

    Raises:
        SettingsError: `out` is no export, holds what would be lost, or cannot be written.
    """
    out = out.resolve()  # of a link, what it points to is replaced
    try:
        _clear_up(out)
        _refuse_loss(out, source.resolve(), overwrite)
        unfinished, earlier = (out.with_name(f".{out.name}.{what}-{uuid.uuid4().hex[:8]}") for what in ("new", "old"))
        unfinished.mkdir(parents=True)
        (unfinished / UNFINISHED).touch()
        try:
            yield unfinished
            (unfinished / UNFINISHED).unlink()
            if out.exists():
                out.rename(earlier)
            unfinished.rename(out)
        except BaseException:
            _remove(unfinished)
            if earlier.exists() and not out.exists():
                earlier.rename(out)
            raise
        _remove(earlier)
    except OSError as e:
        reason = " ".join(str(e).split())
        raise SettingsError(f"{printable(str(out))} cannot be written ({reason}): choose another --out") from e


def _clear_up(out: Path) -> None:
    """Remove what a kill left beside `out`; an earlier export that it caught half way gets its name back."""
    if not out.parent.is_dir():
        return
    ours = re.compile(rf"\.{re.escape(out.name)}\.(new|old)-[0-9a-f]{{8}}")
    for left in sorted(p for p in out.parent.iterdir() if ours.fullmatch(p.name) and p.is_dir()):
        if is_export(left) and not out.exists():
            left.rename(out)
        elif (left / UNFINISHED).exists() or not _foreign(left):
            _remove(left)


def _remove(folder: Path) -> None:
    """The mark goes last, so that the next export knows the rest of what a kill leaves; what stays is no error."""
    with suppress(OSError):
        (folder / UNFINISHED).touch()
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != UNFINISHED:
                path.unlink()
        shutil.rmtree(folder)


def _refuse_loss(out: Path, source: Path, overwrite: bool) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if _exported_files(out) is None:
        raise SettingsError(f"{printable(str(out))} is there and is no export of genrelab: choose another --out")
    if source.is_relative_to(out):
        raise SettingsError(f"{printable(str(out))} holds the bundle that is to be exported: choose another --out")
    if (foreign := _foreign(out)) and not overwrite:
        raise SettingsError(
            f"{printable(str(out))} holds {printable(foreign[0])}, which export did not write: --overwrite removes it, "
            "or choose another --out"
        )


def _files(folder: Path) -> set[str]:
    """What lies in a folder at any depth, but for the folders themselves."""
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_symlink() or not p.is_dir()}


def _foreign(folder: Path) -> list[str]:
    """Files that export did not put into a folder."""
    return sorted(_files(folder) - (_exported_files(folder) or set()))


def _exported_files(folder: Path) -> set[str] | None:
    """Names of what export put into a folder; None where it is no export."""
    try:
        said = json.loads((folder / SETTINGS).read_bytes())
        return {*said["files"], SETTINGS} if EXPORT_KEY in said else None
    except (OSError, ValueError, TypeError, KeyError):
        return None
