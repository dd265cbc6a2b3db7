"""A folder of audio files that change as those of a collection do: renames, swaps, edits, restored backups, links."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from genrelab.core import file_stamp

HEADER = 44
OLD = 1_577_836_800
"""A time in whole seconds, long before any test."""

SIZES = {"short": 3_000, "middle": 150_000, "long": 1_300_000}
"""Bytes of audio: read whole for a stamp; where there is no change time; by blocks only."""


def wav(audio: bytes) -> bytes:
    """A WAV file of 16-bit samples."""
    head = b"WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x80\x3e\0\0\2\0\x10\0data" + len(audio).to_bytes(4, "little")
    return b"RIFF" + (len(head) + len(audio)).to_bytes(4, "little") + head + audio


def audio_in(path: Path) -> str:
    """What identifies the audio of a file made by `wav`, whatever follows it."""
    content = path.read_bytes()
    return hashlib.sha256(content[HEADER : HEADER + int.from_bytes(content[40:44], "little")]).hexdigest()


def pretend_fat(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on a stamp is taken as on a drive without inodes and change times, whose clock has steps of 2 s."""

    def fstat(descriptor: int) -> SimpleNamespace:
        found = os.fstat(descriptor)
        mtime = found.st_mtime_ns - found.st_mtime_ns % 2_000_000_000
        return SimpleNamespace(st_size=found.st_size, st_mtime_ns=mtime, st_ctime_ns=OLD * 10**9, st_ino=1)

    monkeypatch.setattr(file_stamp, "os", SimpleNamespace(stat=os.stat, fstat=fstat, stat_result=os.stat_result))


class ChangingFiles:
    """Files of few sizes, many with the same mtime, in a folder and its backup.

    Args:
        sizes: names in `SIZES`.

    Attributes:
        names: paths of the files; a file may be a link.
    """

    def __init__(self, folder: Path, seed: int, sizes: tuple[str, ...]) -> None:
        self.rng, self._folder, self._n_names = np.random.default_rng(seed), folder, 0
        self._backup = folder.with_name(f"{folder.name} backup")
        self._targets = folder.with_name(f"{folder.name} targets")
        for one in (folder, self._backup, self._targets):
            one.mkdir()
        self.names = [self._new_name() for _ in range(4 * len(sizes))]
        for i, path in enumerate(self.names):
            path.write_bytes(wav(self.rng.bytes(SIZES[sizes[i % len(sizes)]])))
            os.utime(path, (OLD, OLD))
        for path in self.names[::2]:
            shutil.copy2(path, self._backup)

    def change(self, path: Path | None = None) -> None:
        """One random change, of this file or of any."""
        path = self._any() if path is None else path
        changes: tuple[Callable[[Path], None], ...] = (
            self.swap_names, self.swap_contents, self.edit, self.edit, self.edit, self.copy_over, self.back_up,
            self.restore, self.rename, self.replace, self.hard_link, self.soft_link, self.tag, self.set_time,
        )  # fmt: skip
        changes[self.rng.integers(len(changes))](path)

    def swap_names(self, path: Path) -> None:
        other, aside = self._any(), self._folder / "aside"
        path.rename(aside)
        if other != path:
            other.rename(path)
        aside.rename(other)

    def swap_contents(self, path: Path) -> None:
        other = self._any()
        one, two = path.read_bytes(), other.read_bytes()
        self._write(path, two)
        self._write(other, one)

    def edit(self, path: Path) -> None:
        """Some bytes at the head, in the middle or at the tail of the audio; the size stays."""
        content = bytearray(path.read_bytes())
        n = int.from_bytes(content[40:44], "little")
        length = min(n, int(self.rng.choice([2, 2_000, n])))
        at = HEADER + int(self.rng.choice([0, self.rng.integers(n - length + 1), n - length]))
        content[at : at + length] = self.rng.bytes(length)
        self._write(path, bytes(content))

    def copy_over(self, path: Path) -> None:
        other = self._any()
        if not path.samefile(other):
            shutil.copy2(other, path)

    def back_up(self, path: Path) -> None:
        shutil.copy2(path, self._backup)

    def restore(self, path: Path) -> None:
        kept = self._backup / path.name
        if kept.exists():
            shutil.copy2(kept, path)

    def rename(self, path: Path) -> None:
        at, new = self.names.index(path), self._new_name()
        path.rename(new)
        self.names[at] = new

    def replace(self, path: Path) -> None:
        """As an editor does that writes another file first, with other audio of the same length."""
        self._write(path.with_suffix(".tmp"), wav(self.rng.bytes(path.stat().st_size - HEADER)), path.stat())
        path.with_suffix(".tmp").replace(path)

    def hard_link(self, path: Path) -> None:
        other = self._any()
        if not path.samefile(other):
            path.unlink()
            path.hardlink_to(other.resolve())

    def soft_link(self, path: Path) -> None:
        """To other audio, which no other change renames or deletes."""
        other, target = self._any(), self._targets / self._new_name().name
        target.hardlink_to(other.resolve())
        path.unlink()
        path.symlink_to(target)

    def tag(self, path: Path) -> None:
        self._write(path, path.read_bytes() + self.rng.bytes(8) if path.stat().st_size < 1_400_000 else b"")

    def set_time(self, path: Path) -> None:
        """To now in even seconds, as on FAT, or to the time of many others."""
        now = int(self.rng.choice([OLD, 2 * (path.stat().st_ctime_ns // 2_000_000_000)]))
        os.utime(path, (now, now))

    def _write(self, path: Path, content: bytes, times: os.stat_result | None = None) -> None:
        """In place; usually with its old time."""
        if not content:
            return
        times = times or path.stat()
        path.write_bytes(content)
        if self.rng.random() < 0.8:
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    def _any(self) -> Path:
        return self.names[self.rng.integers(len(self.names))]

    def _new_name(self) -> Path:
        self._n_names += 1
        return self._folder / f"{self._n_names:04}.wav"
