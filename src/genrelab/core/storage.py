"""Files of PREPARED and RUN at any fsspec address: a local folder, `gs://`, `memory://` and others.

Every write goes to a temporary name and is renamed, so that a reader never sees half a file.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from fsspec.core import url_to_fs

from genrelab.core.errors import SettingsError


class Folder:
    """A folder at any fsspec address.

    Args:
        address: a local path or an address such as `gs://bucket/prepared` or `memory://prepared`.

    Raises:
        SettingsError: an empty address, or one whose file system is not available here.
    """

    def __init__(self, address: str | Path) -> None:
        self.address = str(address)
        if not self.address.strip():
            raise SettingsError(
                "the address of a folder is empty: give one, such as ./prepared or gs://bucket/prepared"
            )
        try:
            self.fs, self.root = url_to_fs(self.address)
        except (ValueError, ImportError) as e:
            raise SettingsError(
                f"{self.address}: this kind of address cannot be used here ({e}): choose a local folder, or install "
                "the package for it"
            ) from e
        self.is_local = "file" in self.fs.protocol or "local" in self.fs.protocol

    def __str__(self) -> str:
        return self.address

    def __truediv__(self, name: str) -> Folder:
        return Folder(f"{self.address.rstrip('/')}/{name}")

    @property
    def local(self) -> Path:
        """The folder as a local path; only valid where `is_local`."""
        assert self.is_local, f"{self.address} is not on this disk: use a local folder"
        return Path(self.root)

    def path(self, name: str = "") -> str:
        """Path of `name` for the file system behind the address."""
        return f"{self.root.rstrip('/')}/{name}" if name else self.root

    def exists(self, name: str = "") -> bool:
        """Is there a file or folder of that name?"""
        return bool(self.fs.exists(self.path(name)))

    def names(self, name: str = "") -> list[str]:
        """Sorted names of the entries of the folder `name`; empty where it does not exist."""
        if not self.exists(name):
            return []
        return sorted(Path(p).name for p in self.fs.ls(self.path(name), detail=False))

    def read_bytes(self, name: str) -> bytes:
        """Content of a file."""
        return cast(bytes, self.fs.cat_file(self.path(name)))

    def read_json(self, name: str) -> dict[str, Any]:
        """Content of a JSON file whose top level is an object.

        Raises:
            ValueError: it is damaged, or its top level is something else.
        """
        content = json.loads(self.read_bytes(name))
        if not isinstance(content, dict):
            raise ValueError(f"{name} is not a JSON object")
        return content

    def sha256(self, name: str) -> str | None:
        """SHA-256 of a file, read as a stream; None where it cannot be read."""
        try:
            with self.fs.open(self.path(name), "rb") as f:
                return hashlib.file_digest(f, "sha256").hexdigest()
        except OSError:
            return None

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write under a temporary name, then rename."""
        with self.replacing(name) as temporary, self.fs.open(temporary, "wb") as f:
            f.write(content)

    def write_json(self, name: str, content: dict[str, Any]) -> None:
        """Write a JSON file, indented and with stable bytes."""
        self.write_bytes(name, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())

    def make_folder(self, path: str | Path | None = None) -> None:
        """Create this folder, or another one on the same file system, with its parents.

        Raises:
            SettingsError: there is a file of that name, or the place is not writable.
        """
        try:
            self.fs.makedirs(str(path or self.root), exist_ok=True)
        except OSError as e:
            reason = e.strerror or str(e)
            raise SettingsError(
                f"{self.address}: this folder cannot be created ({reason}): choose another --out"
            ) from e

    @contextmanager
    def replacing(self, name: str) -> Iterator[str]:
        """Path of a temporary file beside `name` that replaces it when the block ends without an exception.

        Raises:
            SettingsError: the folder cannot be created, or `name` is a folder.
        """
        final = self.path(name)
        folder, _, last = final.rpartition("/")
        self.make_folder(folder)
        if self.is_local and Path(final).is_dir():
            raise SettingsError(f"{final} is a folder: give the name of a file")
        temporary = f"{folder}/.{last}.{uuid.uuid4().hex[:8]}.tmp"
        try:
            yield temporary
            if self.is_local:
                Path(temporary).replace(final)
            else:
                self.fs.mv(temporary, final)
        except BaseException:
            if self.fs.exists(temporary):
                self.fs.rm_file(temporary)
            raise

    def publish_tree(self, local_folder: Path) -> None:
        """Copy every file below a local folder here; a no-op where it already is this folder."""
        if self.is_local and self.local.resolve() == local_folder.resolve():
            return
        for file in sorted(p for p in local_folder.rglob("*") if p.is_file()):
            with self.replacing(file.relative_to(local_folder).as_posix()) as temporary:
                self.fs.put_file(str(file), temporary)

    def fetch(self, name: str, into: Path) -> Path:
        """The file as a local path: itself where local, else a copy in the folder `into`."""
        if self.is_local:
            return Path(self.path(name))
        copy = into / name
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            partial = copy.with_name(f"{copy.name}.tmp")
            self.fs.get_file(self.path(name), str(partial))
            partial.replace(copy)
        return copy

    def remove(self, name: str = "") -> None:
        """Remove a file or a folder with its content; no effect where it does not exist."""
        if self.exists(name):
            self.fs.rm(self.path(name), recursive=True)

    def size(self, name: str) -> int:
        """Size in bytes of a file, or of all files below a folder."""
        return int(self.fs.du(self.path(name), total=True))
