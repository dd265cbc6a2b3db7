"""Download FMA's archives, resume interrupted transfers, check the SHA-1, unpack in Python.

The archives hold bzip2 members, which the unzip programs of some systems refuse; Python's zipfile reads them.
Clips get their own names only when they are complete, and `.genrelab.json` is written last, so that
running the same command again continues where it stopped, for whatever reason.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
import time
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import requests

from genrelab.core.errors import DownloadError, SettingsError, printable

FMA_URL = "https://os.unil.cloud.switch.ch/fma"
GIB = 1 << 30
MARKER_FILE = ".genrelab.json"
"""Marks a folder that was unpacked completely."""

MAX_TRIES = 5  # in a row without one new byte
TIMEOUT_S = (10, 60)  # to connect, and between two pieces
PACKET = 1 << 16  # bytes received at once; the most that a broken connection loses
READ_BYTES = 1 << 20  # bytes of a file on disk read at once

DownloadProgress = Callable[[str, int, int], None]
"""Called with the stage (`download`, `retry`, `check`, `unpack`), what is done of it, and its total (0: unknown)."""


@dataclass(frozen=True)
class Archive:
    """A zip file to download. Its sizes are rounded: they are for the test of free space, not for the check."""

    folder: str  # its only top folder; the file is `<folder>.zip`
    sha1: str
    size: int  # bytes
    unpacked: int  # bytes


CATALOGUE: Mapping[str, Archive] = {
    "fma-metadata": Archive(
        "fma_metadata", "f0df49ffe5f2a6008d7dc83c6915b31835dfe733", int(0.34 * GIB), int(1.5 * GIB)
    ),
    "fma-small": Archive("fma_small", "ade154f733639d52e35e32f5593efe5be76c6d70", int(7.2 * GIB), int(7.5 * GIB)),
    "fma-medium": Archive("fma_medium", "c67b69ea232021025fca9231fc1c7c1a063ab50b", 22 * GIB, 23 * GIB),
    "fma-large": Archive("fma_large", "497109f4dd721066b5ce5e5f250ec604dc78939e", 93 * GIB, 98 * GIB),
    "fma-full": Archive("fma_full", "0f0ace23fbe9ba30ecb7e95f763e435ea802b8ab", 879 * GIB, 900 * GIB),
}


class _TransientDownloadError(Exception):
    """A transfer that ended early, for a reason that may be temporary."""


def download(
    name: str,
    out: Path,
    *,
    base_url: str = FMA_URL,
    catalogue: Mapping[str, Archive] = CATALOGUE,
    progress: DownloadProgress = lambda stage, done, total: None,
    keep_archive: bool = False,
    backoff_s: float = 1.0,
) -> Path:
    """Download one archive and unpack it below `out`; does nothing where that was done before.

    Args:
        name: one of the catalogue's, such as `fma-small`.
        out: folder that gets `fma_small/` (made if it is not there).
        base_url: where `<folder>.zip` lies.
        catalogue: archives by name.
        progress: see `DownloadProgress`.
        keep_archive: keep the zip file after it was unpacked.
        backoff_s: wait before the first retry, in seconds; it doubles with each further one.

    Returns:
        The folder that was unpacked, such as `out/fma_small`.

    Raises:
        SettingsError: an unknown name.
        DownloadError: no space, no connection, a wrong checksum, an archive that cannot be unpacked.
    """
    archive = catalogue.get(name)
    if archive is None:
        raise SettingsError(f"unknown download {printable(name)!r}: known are {', '.join(catalogue)}")
    folder, zip_path = out / archive.folder, out / f"{archive.folder}.zip"
    try:
        if _is_complete(folder, archive):
            return folder
        out.mkdir(parents=True, exist_ok=True)
        if not zip_path.exists():
            _fetch_archive(name, archive, zip_path, base_url, progress, backoff_s)
        _check_sha1(zip_path, archive.sha1, progress)
        _unpack(zip_path, archive, progress)
        if not keep_archive:
            zip_path.unlink()
    except OSError as e:
        which = printable(str(e.filename or out))
        raise DownloadError(f"{which}: {e.strerror or e}; run the same command again to go on") from e
    return folder


def _is_complete(folder: Path, archive: Archive) -> bool:
    marker = folder / MARKER_FILE
    if not marker.exists():
        return False
    about = json.loads(marker.read_text(encoding="utf-8"))
    n_files = sum(path.is_file() for path in folder.rglob("*")) - 1
    return about["sha1"] == archive.sha1 and n_files >= int(about["files"])


def _check_space(what: str, need: int, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < need:
        raise DownloadError(
            f"{what} needs {need / GIB:,.1f} GiB more, and {printable(str(folder))} has {free / GIB:,.1f} GiB free: "
            "make room, or give another folder"
        )


# === Download ===


def _fetch_archive(
    name: str, archive: Archive, zip_path: Path, base_url: str, progress: DownloadProgress, backoff_s: float
) -> None:
    """Download the archive. Until it is complete it is called `.part`, from which a later run resumes."""
    part = zip_path.with_name(f"{zip_path.name}.part")
    _check_space(name, max(0, archive.size - _size(part)) + archive.unpacked, zip_path.parent)
    url = f"{base_url}/{zip_path.name}"
    most_bytes, failures = _size(part), 0
    while True:
        try:
            _fetch_rest(url, part, progress)
            break
        except _TransientDownloadError as e:
            failures = failures + 1 if _size(part) <= most_bytes else 0
            most_bytes = max(most_bytes, _size(part))
            if failures >= MAX_TRIES:
                raise DownloadError(
                    f"{url}: {e}; {MAX_TRIES} tries brought no further byte. {_size(part):,} bytes are kept: run the "
                    "same command again to go on"
                ) from e
            progress("retry", failures, MAX_TRIES)
            time.sleep(min(60.0, backoff_s * 2.0 ** max(0, failures - 1)))
    part.replace(zip_path)


def _fetch_rest(url: str, part: Path, progress: DownloadProgress) -> None:
    """Append the missing bytes to `part`; from the beginning where the server supports no ranges.

    Raises:
        _TransientDownloadError: another try may succeed.
        DownloadError: another try would not.
    """
    have = _size(part)
    # Compressed in transit, byte counts would mean something else.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
            if have and response.status_code == requests.codes.requested_range_not_satisfiable:
                return  # no bytes after these: complete or wrong, which the checksum shows
            _check_status(url, response)
            start = _start_offset(response, have, part)
            length = response.headers.get("Content-Length", "")
            total = start + int(length) if length.isdecimal() else 0
            with part.open("ab" if start else "wb") as file:
                for packet in response.iter_content(PACKET):
                    file.write(packet)
                    progress("download", file.tell(), total)
    except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as e:
        raise _TransientDownloadError(printable(str(e))) from e
    except requests.RequestException as e:
        raise DownloadError(f"{url} cannot be fetched: {printable(str(e))}") from e


def _check_status(url: str, response: requests.Response) -> None:
    status = response.status_code
    if status in (requests.codes.request_timeout, requests.codes.too_many_requests) or status >= 500:
        raise _TransientDownloadError(f"the server answers {status} {response.reason}")
    if status not in (requests.codes.ok, requests.codes.partial_content):
        raise DownloadError(f"{url}: the server answers {status} {response.reason}: is the address right?")


def _start_offset(response: requests.Response, have: int, part: Path) -> int:
    """Byte at which the response starts: where `part` ends, or 0 from a server that supports no ranges."""
    if response.status_code == requests.codes.ok:
        return 0
    if response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
        return have
    part.unlink(missing_ok=True)
    raise _TransientDownloadError("the server sent another range than it was asked for")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _check_sha1(zip_path: Path, sha1: str, progress: DownloadProgress) -> None:
    """Compare with the published checksum; a wrong file is renamed, so that the next run starts again."""
    digest, done, total = hashlib.sha1(usedforsecurity=False), 0, _size(zip_path)
    with zip_path.open("rb") as file:
        while piece := file.read(READ_BYTES):
            digest.update(piece)
            done += len(piece)
            progress("check", done, total)
    if digest.hexdigest() != sha1:
        aside = zip_path.with_name(f"{zip_path.name}.bad")
        zip_path.replace(aside)
        raise DownloadError(
            f"{printable(str(zip_path))} ({total:,} bytes) has the SHA-1 {digest.hexdigest()}, published is {sha1}: it "
            f"was set aside as {aside.name}; run the same command again to fetch it anew"
        )


# === Unpack ===


def _unpack(zip_path: Path, archive: Archive, progress: DownloadProgress) -> None:
    """Unpack every member below `archive.folder`; complete ones that are already there are skipped."""
    out = zip_path.parent
    try:
        with zipfile.ZipFile(zip_path) as source:
            members = [m for m in source.infolist() if not m.is_dir()]
            targets = [_member_path(m, out, archive.folder) for m in members]
            missing = [(m, t) for m, t in zip(members, targets, strict=True) if not _is_unpacked(m, t)]
            total = sum(m.file_size for m in members)
            done = total - sum(m.file_size for m, _ in missing)
            _check_space(f"unpacking {zip_path.name}", total - done, out)
            for member, target in missing:
                _unpack_one(source, member, target)
                done += member.file_size
                progress("unpack", done, total)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as e:  # the last: an unknown compression
        raise DownloadError(f"{printable(str(zip_path))} cannot be unpacked: {printable(str(e))}") from e
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
        raise DownloadError(f"the archive holds {printable(name)!r}, which lies outside of {folder}/: not unpacked")
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
