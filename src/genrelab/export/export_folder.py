"""The folder of an export, recognised by its `settings.json`; no other folder is replaced."""

from __future__ import annotations

import glob
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
_ADDRESS = re.compile(r"[a-z][a-z0-9+]+:/")  # as a path, gs://bucket is gs:/bucket; C:/ is a path
UNFINISHED = ".genrelab-unfinished"
"""Marker file in an incomplete folder, which is being written or removed."""


def finish_export(folder: Path, settings: dict[str, Any]) -> None:
    """Write `settings.json`, which makes the folder an export, as the last file."""
    names = sorted(_files(folder) - {SETTINGS, UNFINISHED})
    text = json.dumps({EXPORT_KEY: 1, "files": names, **settings}, indent=1, ensure_ascii=False)
    (folder / SETTINGS).write_text(f"{text}\n", encoding="utf-8")


def is_export(folder: Path) -> bool:
    """Is this folder a complete export?"""
    return _exported_files(folder) is not None and not (folder / UNFINISHED).exists()


@contextmanager
def replacing(out: Path, *, source: Path | None, overwrite: bool) -> Iterator[Path]:
    """Yield an empty folder beside `out` that replaces it when the block succeeds.

    An earlier export is complete at every moment: under its name or, between two renames, under `.NAME.old-…`, from
    which the next export restores it after a kill.

    Args:
        source: what is being exported, which must not be replaced; None where it is not on this disk.
        overwrite: replace an earlier export even if it contains files that export did not write.

    Raises:
        SettingsError: `out` is an address, is not an export, contains files that would be lost, or cannot be written.
    """
    if _ADDRESS.match(out.as_posix()):
        raise SettingsError(f"{printable(str(out))} is not on this disk: export into a local folder, then copy it")
    out = out.resolve()  # for a link, its target is replaced
    try:
        _clean_up_after_kill(out)
        _refuse_loss(out, source, overwrite)
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


def _clean_up_after_kill(out: Path) -> None:
    """Remove what a killed export left beside `out`, and restore the earlier export that it had renamed."""
    names = [f".{glob.escape(out.name)}.{what}-{8 * '[0-9a-f]'}" for what in ("new", "old")]
    for leftover in [p for name in names for p in out.parent.glob(name)]:
        if is_export(leftover) and not out.exists():
            leftover.rename(out)
        elif (leftover / UNFINISHED).exists() or not _foreign_files(leftover):
            _remove(leftover)


def _remove(folder: Path) -> None:
    """Remove a folder, its marker last, so that the next export recognises a half-removed one; errors are ignored."""
    with suppress(OSError):
        (folder / UNFINISHED).touch()
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != UNFINISHED:
                path.unlink()
        shutil.rmtree(folder)


def _refuse_loss(out: Path, source: Path | None, overwrite: bool) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if _exported_files(out) is None:
        raise SettingsError(f"{printable(str(out))} exists and is not an export of genrelab: choose another --out")
    if source is not None and source.resolve().is_relative_to(out):
        raise SettingsError(f"{printable(str(out))} contains what is to be exported: choose another --out")
    if (foreign := _foreign_files(out)) and not overwrite:
        raise SettingsError(
            f"{printable(str(out))} contains {printable(foreign[0])}, which export did not write: remove it with "
            "--overwrite, or choose another --out"
        )


def _files(folder: Path) -> set[str]:
    """Relative paths of all files in a folder, at any depth."""
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_symlink() or not p.is_dir()}


def _foreign_files(folder: Path) -> list[str]:
    """Files in a folder that export did not write."""
    return sorted(_files(folder) - (_exported_files(folder) or set()))


def _exported_files(folder: Path) -> set[str] | None:
    """Relative paths of the files that export wrote into a folder; None if it is not an export."""
    try:
        settings = json.loads((folder / SETTINGS).read_bytes())
        return {*settings["files"], SETTINGS} if EXPORT_KEY in settings else None
    except (OSError, ValueError, TypeError, KeyError):
        return None
