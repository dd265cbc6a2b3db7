"""Downloads FMA's archives, resumes interrupted transfers and checks the SHA-1; `unpack.py` unpacks them.

The same command continues after any interruption.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from pathlib import Path

import requests

from genrelab.core.errors import DownloadError, SettingsError, printable
from genrelab.core.progress import Notify, ignore
from genrelab.datasets.unpack import GIB, READ_BYTES, Archive, DownloadProgress, check_space, is_complete, unpack

FMA_URL = "https://os.unil.cloud.switch.ch/fma"
MIRROR_VARIABLE = "GENRELAB_MIRROR"
MAX_TRIES = 5  # in a row without a new byte
TIMEOUT_S = (10, 60)  # to connect, and between two packets
PACKET = 1 << 16  # bytes received at once

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
    mirror: str | None = None,
    archive_file: Path | None = None,
    catalogue: Mapping[str, Archive] = CATALOGUE,
    progress: DownloadProgress = lambda stage, done, total: None,
    notify: Notify = ignore,
    keep_archive: bool = False,
    backoff_s: float = 1.0,
) -> Path:
    """Download one archive and unpack it below `out`, unless that was done before.

    Args:
        name: one of the catalogue's, such as `fma-small`.
        out: folder for `fma_small/`. A `<folder>.zip` in it is used if it is the published one, else renamed.
        mirror: address of the folder of `<folder>.zip`; see `mirror_url`.
        archive_file: the archive on this disk, if it was downloaded before; it is not changed.
        catalogue: archives by name.
        progress: see `DownloadProgress`.
        notify: receives messages for the user.
        keep_archive: keep the zip file after unpacking.
        backoff_s: wait before the first retry, in seconds; it doubles with each further one.

    Returns:
        The unpacked folder, such as `out/fma_small`.

    Raises:
        SettingsError: an unknown name, or a mirror that is not an address.
        DownloadError: no space, no connection, a wrong checksum, or a damaged archive.
    """
    archive = catalogue.get(name)
    if archive is None:
        raise SettingsError(f"unknown download {printable(name)!r}: use one of {', '.join(catalogue)}")
    folder, url = out / archive.folder, f"{mirror_url(FMA_URL, mirror)}/{archive.folder}.zip"
    try:
        if is_complete(folder, archive):
            return folder
        out.mkdir(parents=True, exist_ok=True)
        if archive_file is not None:
            if wrong := _why_wrong(archive_file, archive, progress):
                raise DownloadError(f"{wrong}; copy it again, or leave out --archive to download it")
            unpack(archive_file, archive, out, progress)
            return folder
        zip_path = out / f"{archive.folder}.zip"
        if zip_path.exists() and (wrong := _why_wrong(zip_path, archive, progress)):
            notify(f"{wrong}; renamed to {_set_aside(zip_path)}; downloading it again")
        if not zip_path.exists():
            _fetch_archive(name, archive, zip_path, url, progress, backoff_s)
            if wrong := _why_wrong(zip_path, archive, progress):
                aside = _set_aside(zip_path)
                raise DownloadError(f"{wrong}; renamed to {aside}; run the same command to download it again")
        unpack(zip_path, archive, out, progress)
        if not keep_archive:
            zip_path.unlink()
    except OSError as e:
        which = printable(str(e.filename or out))
        raise DownloadError(f"{which}: {e.strerror or 'cannot be written'}; run the same command to continue") from e
    return folder


def mirror_url(published: str, mirror: str | None = None) -> str:
    """The address below which files are downloaded: `mirror`, else $GENRELAB_MIRROR, else the published one.

    Raises:
        SettingsError: it is not an http address.
    """
    url = (mirror or os.environ.get(MIRROR_VARIABLE) or published).strip().rstrip("/")
    if not url.lower().startswith(("http://", "https://")):
        raise SettingsError(
            f"the mirror must be an http or https address, such as {published}. Received: {printable(url)}. Use "
            "--archive for an archive on this disk"
        )
    return url


# === Download ===


def _fetch_archive(
    name: str, archive: Archive, zip_path: Path, url: str, progress: DownloadProgress, backoff_s: float
) -> None:
    """Download the archive. Until it is complete it is named `.part`; a later call resumes it."""
    part = zip_path.with_name(f"{zip_path.name}.part")
    check_space(name, max(0, archive.size - _size(part)) + archive.unpacked, zip_path.parent)
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
                    f"{url}: {e}, {MAX_TRIES} times in a row. {_size(part):,} bytes are kept: run the same command to "
                    "continue"
                ) from e
            progress("retry", failures, MAX_TRIES)
            time.sleep(min(60.0, backoff_s * 2.0 ** max(0, failures - 1)))
    part.replace(zip_path)


def _fetch_rest(url: str, part: Path, progress: DownloadProgress) -> None:
    """Append the missing bytes to `part`, or all bytes if the server does not support ranges.

    Raises:
        _TransientDownloadError: another try may succeed.
        DownloadError: another try would not.
    """
    have = _size(part)
    # With compression in transit byte counts would be wrong.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
            if have and response.status_code == requests.codes.requested_range_not_satisfiable:
                return  # no further bytes: it is complete or wrong, which the checksum shows
            _check_status(url, response)
            start = _start_offset(response, have, part)
            length = response.headers.get("Content-Length", "")
            total = start + int(length) if length.isdecimal() else 0
            with part.open("ab" if start else "wb") as file:
                for packet in response.iter_content(PACKET):
                    file.write(packet)
                    progress("download", file.tell(), total)
    except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as e:
        raise _TransientDownloadError("the server cannot be reached, or the connection was lost") from e
    except requests.RequestException as e:
        raise DownloadError(f"{url} cannot be downloaded: is the address right?") from e


def _check_status(url: str, response: requests.Response) -> None:
    status = response.status_code
    if status in (requests.codes.request_timeout, requests.codes.too_many_requests) or status >= 500:
        raise _TransientDownloadError(f"the server answers {status} {response.reason}")
    if status not in (requests.codes.ok, requests.codes.partial_content):
        raise DownloadError(f"{url}: the server answers {status} {response.reason}: is the address right?")


def _start_offset(response: requests.Response, have: int, part: Path) -> int:
    """Byte at which the response starts: where `part` ends, or 0 if the server does not support ranges."""
    if response.status_code == requests.codes.ok:
        return 0
    if response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
        return have
    part.unlink(missing_ok=True)
    raise _TransientDownloadError("the server sent a different range from the one requested")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _why_wrong(zip_path: Path, archive: Archive, progress: DownloadProgress) -> str | None:
    """Why an archive is not the published one, by its checksum; None if it is."""
    digest, done, total = hashlib.sha1(usedforsecurity=False), 0, _size(zip_path)
    with zip_path.open("rb") as file:
        while piece := file.read(READ_BYTES):
            digest.update(piece)
            done += len(piece)
            progress("check", done, total)
    if digest.hexdigest() == archive.sha1:
        return None
    found = f"its SHA-1 is {digest.hexdigest()}, not {archive.sha1}"
    return f"{printable(str(zip_path))} ({total:,} bytes) is not the published archive: {found}"


def _set_aside(zip_path: Path) -> str:
    """Rename a wrong archive, so that it is not used again; returns its new name."""
    return zip_path.replace(zip_path.with_name(f"{zip_path.name}.bad")).name
