"""Bundles at an fsspec address (`s3://bucket/run/svm/bundle`): copied to this disk and loaded from there."""

from __future__ import annotations

import atexit
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from genrelab.bundle.bundle import Bundle, load_bundle
from genrelab.bundle.manifest import BUNDLE_SOURCES, CARD_FILE, MANIFEST_FILE, MAX_BYTES, MODEL_FILE, one_line
from genrelab.core.errors import BundleError, printable
from genrelab.core.text import join_first

if TYPE_CHECKING:
    from genrelab.core.storage import Folder

_ADDRESS = re.compile(r"[A-Za-z][\w+.-]*(?:::|://)", re.ASCII)
_FILES = (MANIFEST_FILE, MODEL_FILE, CARD_FILE)
_COPIES: dict[str, Path] = {}
"""Address → the folder that this process has copied it to."""


def is_address(name: str | Path) -> bool:
    """Is it an fsspec address rather than the path of a folder? A `Path` never is: it loses a slash of `s3://`."""
    return isinstance(name, str) and _ADDRESS.match(name) is not None


def load_bundle_at(name: str | Path) -> Bundle:
    """The bundle in a folder or at an address, complete and unchanged.

    Raises:
        BundleError: see `load_bundle` and `fetch_bundle`; it names the address, not the copy.
        SettingsError: see `fetch_bundle`.
    """
    folder = fetch_bundle(name)
    try:
        return load_bundle(folder)
    except BundleError as e:
        if not is_address(name):
            raise
        raise BundleError(str(e).replace(str(folder), printable(str(name)))) from e


def fetch_bundle(name: str | Path) -> Path:
    """The folder of a bundle on this disk: itself, or a copy of an address, kept until this process ends.

    An address may also be RUN/MODEL. The copy is made once, and again if one of its files is gone; it is checked when
    it is loaded.

    Raises:
        BundleError: no bundle there, or it cannot be fetched.
        SettingsError: an unknown kind of address, or one that needs a package.
    """
    if not is_address(name):
        return Path(name)
    from genrelab.core.storage import Folder  # late: a bundle on this disk needs no fsspec

    source = Folder(name)
    if source.is_local:
        return source.local
    address = str(name).rstrip("/")
    copy = _COPIES.get(address)
    if copy is None or not all((copy / file).is_file() for file in _FILES):  # the system may clean temporary folders
        copy = _COPIES[address] = _fetch(address)
    return copy


def _fetch(address: str) -> Path:
    from genrelab.core.storage import Folder

    where = Path(tempfile.mkdtemp(prefix="genrelab-bundle-"))
    atexit.register(shutil.rmtree, where, ignore_errors=True)
    try:
        source = _folder_of_bundle(Folder(address))
        for file in _FILES:
            if source.size(file) > MAX_BYTES[file]:
                raise BundleError(f"{printable(str(source))}/{file} is larger than {MAX_BYTES[file]:,} bytes")
            source.fetch(file, where)
    except BundleError:
        raise
    except Exception as e:  # file systems have no common base class for errors
        raise BundleError(f"{printable(address)} cannot be downloaded: {printable(one_line(e))}") from e
    return where


def _folder_of_bundle(source: Folder) -> Folder:
    """The folder itself, or `bundle` in it if it is RUN/MODEL.

    Raises:
        BundleError: neither contains a bundle.
    """
    if source.exists(MANIFEST_FILE):
        return source
    if source.exists(f"bundle/{MANIFEST_FILE}"):
        return source / "bundle"
    models = [name for name in source.names() if source.exists(f"{name}/bundle/{MANIFEST_FILE}")]
    why = f"is the folder of a run: add the name of a model ({join_first(models)})"
    raise BundleError(f"{printable(str(source))} {why if models else f'has no bundle; {BUNDLE_SOURCES}'}")
