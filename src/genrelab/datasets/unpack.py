"""Unpacks FMA's archives, and continues an interrupted unpacking.

They hold bzip2 members, which the unzip programs of some systems refuse; Python's zipfile reads them. Files get their
own names only when they are complete, and `.genrelab.json` is written last.
"""

from __future__ import annotations

import json
import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from genrelab.core.errors import DownloadError, printable

GIB = 1 << 30
READ_BYTES = 1 << 20  # bytes of a file on disk read at once
MARKER_FILE = ".genrelab.json"
"""Marks a folder that was unpacked completely."""

DownloadProgress = Callable[[str, int, int], None]
"""Called with the stage (`download`, `retry`, `check`, `unpack`), the bytes done, and their total (0: unknown)."""


@dataclass(frozen=True)
class Archive:
    """A zip file to download. Its rounded sizes are for the check of free space only."""

    folder: str  # its only top folder; the file is `<folder>.zip`
    sha1: str
    size: int  # bytes
    unpacked: int  # bytes


def is_complete(folder: Path, archive: Archive) -> bool:
    """Was the archive unpacked to this folder, and are all of its files still there?"""
    marker = folder / MARKER_FILE
    if not marker.exists():
        return False
    about = json.loads(marker.read_text(encoding="utf-8"))
    n_files = sum(path.is_file() for path in folder.rglob("*")) - 1
    return about["sha1"] == archive.sha1 and n_files >= int(about["files"])


def check_space(what: str, need: int, folder: Path) -> None:
    """Raise a DownloadError if `what` needs more bytes than the disk of `folder` has free."""
    free = shutil.disk_usage(folder).free
    if free < need:
        raise DownloadError(
            f"{what} needs {need / GIB:,.1f} GiB, and {printable(str(folder))} has {free / GIB:,.1f} GiB free: free "
            "some space, or choose another folder"
        )


def unpack(zip_path: Path, archive: Archive, out: Path, progress: DownloadProgress) -> None:
    """Unpack every member below `out/archive.folder`; complete ones that are already there are skipped.

    Raises:
        DownloadError: not enough space, or a damaged archive.
    """
    try:
        with zipfile.ZipFile(zip_path) as source:
            members = [m for m in source.infolist() if not m.is_dir()]
            targets = [_member_path(m, out, archive.folder) for m in members]
            missing = [(m, t) for m, t in zip(members, targets, strict=True) if not _is_unpacked(m, t)]
            total = sum(m.file_size for m in members)
            done = total - sum(m.file_size for m, _ in missing)
            check_space(f"unpacking {zip_path.name}", total - done, out)
            for member, target in missing:
                _unpack_one(source, member, target)
                done += member.file_size
                progress("unpack", done, total)
    except (zipfile.BadZipFile, zlib.error, EOFError) as e:
        raise DownloadError(f"{printable(str(zip_path))} is damaged: delete it, and download it again") from e
    marker = out / archive.folder / MARKER_FILE
    temporary = marker.with_name(f"{MARKER_FILE}.tmp")
    temporary.write_text(json.dumps({"sha1": archive.sha1, "files": len(members)}), encoding="utf-8")
    temporary.replace(marker)


def _member_path(member: zipfile.ZipInfo, out: Path, folder: str) -> Path:
    """Path to unpack a member to, always below `out/folder`."""
    name = member.filename
    parts = PurePosixPath(name).parts
    is_link = stat.S_ISLNK(member.external_attr >> 16)
    if is_link or "\\" in name or ".." in parts or len(parts) < 2 or parts[0] != folder:
        raise DownloadError(f"the archive is not unpacked: {printable(name)!r} would be written outside of {folder}/")
    return out / Path(*parts)


def _is_unpacked(member: zipfile.ZipInfo, target: Path) -> bool:
    if not target.is_file() or target.stat().st_size != member.file_size:
        return False
    crc = 0
    with target.open("rb") as file:
        while piece := file.read(READ_BYTES):
            crc = zlib.crc32(piece, crc)
    return crc == member.CRC


def _unpack_one(source: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.tmp")
    try:
        with source.open(member) as packed, temporary.open("wb") as file:
            shutil.copyfileobj(packed, file, READ_BYTES)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
