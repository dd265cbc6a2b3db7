"""Finds the audio files that a list of names refers to: named files as they are, and audio files below named folders.

Below a folder hidden entries are skipped: snapshots, recycle bins, macOS's shadow files, genrelab's own journals. Links
to files are followed, links to folders are not (they may form a cycle).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

from genrelab.core.errors import DecodeError, SettingsError, printable
from genrelab.core.progress import Notify, ignore

STANDARD_INPUT = "-"
"""The name that stands for a list of names on standard input."""

AUDIO_SUFFIXES = frozenset(
    (
        *(".3ga", ".3gp", ".aac", ".ac3", ".aif", ".aifc", ".aiff", ".amr", ".ape", ".asf", ".au", ".caf", ".dsf"),
        *(".eac3", ".flac", ".m4a", ".m4b", ".mka", ".mp1", ".mp2", ".mp3", ".mp4", ".mpa", ".mpc", ".mpga", ".oga"),
        *(".ogg", ".opus", ".ra", ".rf64", ".shn", ".snd", ".spx", ".tak", ".tta", ".w64", ".wav", ".webm", ".wma"),
        ".wv",
    )
)
"""Suffixes of files that are taken for audio when a folder is searched; whether they are audio shows when decoding."""


def expand_names(names: Iterable[str]) -> Iterator[str]:
    """The names of a command line, with those of standard input in place of `-`: one a line, or separated by NUL.

    Raises:
        SettingsError: standard input is closed.
    """
    for name in names:
        if name == STANDARD_INPUT:
            if sys.stdin is None:
                raise SettingsError("- means a list on standard input, and that is closed: name files or folders")
            content = sys.stdin.buffer.read().removeprefix(b"\xef\xbb\xbf")  # the BOM of Windows
            lines = content.split(b"\0") if b"\0" in content else content.splitlines()
            yield from (os.fsdecode(line) for line in lines if line)
        else:
            yield name


def common_folder(paths: Sequence[str | Path]) -> Path:
    """The deepest folder that holds all these files and folders; a single folder is returned as it is named.

    Names that don't exist are passed over: a typing error shouldn't make the folder another one.

    Raises:
        SettingsError: none exists, or they lie on several drives.
    """
    found = [Path(path) for path in paths if os.path.lexists(path)]
    if not found:
        first = printable(str(paths[0])) if paths else "an empty list"
        raise SettingsError(f"{first}: no such file or folder: name the music")
    folders = list(dict.fromkeys(path if _is_folder(path) else path.parent for path in found))
    if len(folders) == 1:
        return folders[0]
    try:
        return Path(os.path.commonpath([os.path.realpath(folder) for folder in folders]))
    except ValueError as e:  # Windows
        raise SettingsError("the files lie on several drives: name those of one drive at a time") from e


def path_below(root: Path, path: Path) -> str:
    """The path of a file or folder relative to `root`, with forward slashes; the file itself may be a link.

    Raises:
        ValueError: it doesn't lie below `root`.
    """
    real = os.path.realpath(path) if _is_folder(path) else Path(os.path.realpath(path.parent), path.name)
    return Path(real).relative_to(os.path.realpath(root)).as_posix()


def find_audio_files(
    paths: Iterable[str | Path], exclude: Sequence[str] = (), notify: Notify = ignore
) -> Iterator[Path | DecodeError]:
    """Named files as they are, and files with an audio suffix below named folders, sorted; each once.

    For a folder that holds no audio or cannot be listed an error is yielded in its place.

    Args:
        exclude: patterns such as `*.wav` or `Podcasts/*`. A file or folder is left out if one of them fits its name,
            or its path below the common folder of `paths`.
        notify: called with a sentence for each pattern that fits nothing.

    Raises:
        SettingsError: there are files, and all are left out.
    """
    named = list(map(Path, paths))
    excluder = _Excluder(named, exclude)
    seen = set()
    for path in named:
        if exclude and excluder.leaves_out_named(path):
            continue
        for found in _audio_files_below(path, excluder) if _is_folder(path) else [path]:
            key = Path(found.path if isinstance(found, DecodeError) else found).absolute()
            if key not in seen:
                seen.add(key)
                yield found
    if excluder.count and not seen:
        raise SettingsError("--exclude leaves no file: give fewer or narrower patterns")
    for pattern in excluder.unused if seen else ():
        notify(f"--exclude {printable(pattern)}: fits no file or folder below {printable(str(excluder.root))}")


class _Excluder:
    """Says which files and folders the patterns of `--exclude` leave out.

    Attributes:
        root: the common folder of the named files and folders.
        count: how many were left out.
        unused: patterns that have fitted nothing so far.
    """

    def __init__(self, paths: list[Path], patterns: Sequence[str]) -> None:
        self.count, self.unused = 0, list(dict.fromkeys(patterns))
        self.root = common_folder(paths) if patterns and any(map(os.path.lexists, paths)) else Path()
        self._patterns = {pattern: pattern.removeprefix("./").rstrip("/") for pattern in self.unused}

    def leaves_out_named(self, path: Path) -> bool:
        """Is a named file or folder left out, by itself or by a folder in which it lies?"""
        parts = self._below_root(path).split("/")
        return any(self._fits("/".join(parts[:n])) for n in range(1, len(parts) + 1))

    def kept(self, parent: str, names: list[str]) -> list[str]:
        """Those of the files or folders in `parent` that aren't left out."""
        if not self._patterns:
            return names
        below = self._below_root(Path(parent))
        return [name for name in names if not self._fits(name if below == "." else f"{below}/{name}")]

    def _below_root(self, path: Path) -> str:
        try:
            return path_below(self.root, path)
        except (OSError, ValueError):  # a name that doesn't exist
            return path.as_posix()

    def _fits(self, relative: str) -> bool:
        name = relative.rpartition("/")[2]
        for given, pattern in self._patterns.items():
            if fnmatch(relative, pattern) or fnmatch(name, pattern):
                self.unused = [other for other in self.unused if other != given]
                self.count += 1
                return True
        return False


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # no permission: opening it reports why
        return False


def _audio_files_below(folder: Path, excluder: _Excluder) -> list[Path | DecodeError]:
    errors: list[DecodeError] = []

    def note_error(e: OSError) -> None:
        errors.append(DecodeError(e.filename, e.strerror or str(e), stage="read"))

    files, excluded_before = [], excluder.count
    for parent, folders, names in os.walk(folder, onerror=note_error):
        folders[:] = excluder.kept(parent, [f for f in folders if not f.startswith(".")])
        files += [Path(parent, n) for n in excluder.kept(parent, list(filter(_looks_like_audio, names)))]
    if not files and not errors and excluder.count == excluded_before:
        known = " ".join(sorted(AUDIO_SUFFIXES))
        errors.append(DecodeError(folder, f"no audio file in this folder: looked for {known}", stage="read"))
    return [*sorted(files), *errors]


def _looks_like_audio(name: str) -> bool:
    stem, _, ending = name.rpartition(".")
    return f".{ending.lower()}" in AUDIO_SUFFIXES and bool(stem) and not name.startswith(".")
