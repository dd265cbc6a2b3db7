"""Finds the audio files of a command line: named files, and audio files below named folders.

`walk` searches every folder. It skips hidden entries (snapshots, macOS's shadow files, genrelab's own journals),
folders of systems and servers (recycle bins, previews, snapshots), and links to folders (they may form a cycle). It
follows links to files, and searches a named folder whatever it is.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatch, translate
from pathlib import Path

from genrelab.core.errors import DecodeError, SettingsError, printable
from genrelab.core.progress import Notify, ignore
from genrelab.core.text import join_first, pluralize

STANDARD_INPUT = "-"
"""Instead of a name: names are read from standard input."""

AUDIO_SUFFIXES = frozenset(
    (
        *(".3ga", ".3gp", ".aac", ".ac3", ".aif", ".aifc", ".aiff", ".amr", ".ape", ".asf", ".au", ".caf", ".dsf"),
        *(".eac3", ".flac", ".m4a", ".m4b", ".mka", ".mp1", ".mp2", ".mp3", ".mp4", ".mpa", ".mpc", ".mpga", ".oga"),
        *(".ogg", ".opus", ".ra", ".rf64", ".shn", ".snd", ".spx", ".tak", ".tta", ".w64", ".wav", ".webm", ".wma"),
        ".wv",
    )
)
"""Suffixes of audio files, for the search below a folder. Decoding shows whether they are audio."""

SYSTEM_FOLDERS = (
    # Windows
    *("$recycle.bin", "recycler", "recycled", "system volume information", "found.[0-9][0-9][0-9]", "thumbs.db"),
    *("$winreagent", "$windows.~bt", "$windows.~ws", "$sysreset", "$extend", "config.msi", "msdownld.tmp"),
    # macOS, Linux, Android
    *("__macosx", "network trash folder", "temporary items", "thevolumesettingsfolder", "lost+found", "lost.dir"),
    # network drives
    *("[#@]recycle", "[#@]recycle[ _]bin", "recycle bin", "recycle.bin", "trashbox", "[#@]trash", "@quarantine"),
    *("[#@~]snapshot", "[#@~]snapshots", "@recently-snapshot", "@sharesnap", "@eadir", "@tmp", "@sharebin"),
    *("@appstore", "@database", "@docker", "@syno*", "@cloudsync", "@s2s", "@download", "@__thumb", "@upload_cache"),
    # programs that copy folders
    *("_gsdata_", "!sync"),
)
"""Folders that drives, servers and systems create, as patterns in lower case: their files were deleted, are copies, or
are not music. Hidden ones need no pattern."""

HIDDEN, SYSTEM, LINK = "hidden", "a folder of the operating system or of a NAS", "a link to a folder, not followed"
"""Why an entry below a folder is skipped."""

_IS_SYSTEM_FOLDER = re.compile("|".join(map(translate, SYSTEM_FOLDERS)), re.IGNORECASE).match

PassedOver = Callable[[str, str], None]
"""Called with the path of each skipped folder or file, and the reason."""


def walk(
    folder: str | Path, on_error: Callable[[OSError], None], passed_over: PassedOver = lambda path, why: None
) -> Iterator[tuple[str, list[str], list[str]]]:
    """As `os.walk`, sorted, without what is skipped (see the top of this file).

    Args:
        folder: searched even if it is hidden, a system folder or a link.
        on_error: called for each folder that cannot be listed.
    """
    for parent, folders, files in os.walk(folder, onerror=on_error):
        reasons = {name: _why_not_searched(parent, name) for name in folders}
        reasons |= {name: HIDDEN for name in files if name.startswith(".")}
        for name, why in sorted(reasons.items()):
            if why is not None:
                passed_over(os.path.join(parent, name), why)  # noqa: PTH118 - a Path for each of many files takes long
        folders[:] = sorted(name for name in folders if reasons[name] is None)
        yield parent, folders, sorted(name for name in files if name not in reasons)


def _why_not_searched(parent: str, name: str) -> str | None:
    if name.startswith("."):
        return HIDDEN
    if _IS_SYSTEM_FOLDER(name):
        return SYSTEM
    path = os.path.join(parent, name)  # noqa: PTH118 - as above
    is_junction = getattr(os.path, "isjunction", os.path.islink)  # a link of Windows, known from Python 3.12 on
    return LINK if os.path.islink(path) or is_junction(path) else None  # noqa: PTH114 - as above


def expand_names(names: Iterable[str]) -> Iterator[str]:
    """The names of a command line, with those from standard input in place of `-`: one per line, or separated by NUL.

    Raises:
        SettingsError: standard input is closed.
    """
    for name in names:
        if name == STANDARD_INPUT:
            if sys.stdin is None:
                raise SettingsError("standard input is closed: give files or folders instead of -")
            content = sys.stdin.buffer.read().removeprefix(b"\xef\xbb\xbf")  # the BOM of Windows
            lines = content.split(b"\0") if b"\0" in content else content.splitlines()
            yield from (os.fsdecode(line) for line in lines if line)
        else:
            yield name


def common_folder(paths: Sequence[str | Path]) -> Path:
    """The deepest folder that holds all these files and folders; a single folder is returned as it is named.

    Names that do not exist are ignored, so that a typing error does not change the folder.

    Raises:
        SettingsError: none exists, or they are on several drives.
    """
    found = [Path(path) for path in paths if os.path.lexists(path)]
    if not found:
        first = printable(str(paths[0])) if paths else "the list of files is empty"
        raise SettingsError(f"{first}: no such file or folder: check the name")
    folders = list(dict.fromkeys(path if _is_folder(path) else path.parent for path in found))
    if len(folders) == 1:
        return folders[0]
    try:
        return Path(os.path.commonpath([os.path.realpath(folder) for folder in folders]))
    except ValueError as e:  # Windows
        raise SettingsError("the files are on several drives: give the files of one drive at a time") from e


def path_below(root: Path, path: Path) -> str:
    """The path of a file or folder relative to `root`, with forward slashes; the file itself may be a link.

    Raises:
        ValueError: it is not below `root`.
    """
    real = os.path.realpath(path) if _is_folder(path) else Path(os.path.realpath(path.parent), path.name)
    return Path(real).relative_to(os.path.realpath(root)).as_posix()


def find_audio_files(
    paths: Iterable[str | Path], exclude: Sequence[str] = (), notify: Notify = ignore
) -> Iterator[Path | DecodeError]:
    """Named files, and files with an audio suffix below named folders, sorted; each once.

    In place of a folder without audio, or one that cannot be listed, an error is yielded.

    Args:
        exclude: patterns such as `*.wav` or `Podcasts/*`, matched against the name of each file and folder, and
            against its path below the common folder of `paths`.
        notify: called with a sentence for each pattern without a match, and with one on skipped folders.

    Raises:
        SettingsError: the patterns match all files.
    """
    named = list(map(Path, paths))
    excluder = _Excluder(named, exclude)
    seen = set()
    for path in named:
        if exclude and excluder.excludes_named(path):
            continue
        for found in _audio_files_below(path, excluder) if _is_folder(path) else [path]:
            key = Path(found.path if isinstance(found, DecodeError) else found).absolute()
            if key not in seen:
                seen.add(key)
                yield found
    if excluder.count and not seen:
        raise SettingsError("--exclude matches every file: use fewer or narrower patterns")
    if excluder.passed_over:
        notify(passed_over_sentence(excluder.passed_over))
    for pattern in excluder.unused if seen else ():
        notify(f"--exclude {printable(pattern)} matches no file or folder below {printable(str(excluder.root))}")


class _Excluder:
    """Applies the patterns of `--exclude`.

    Attributes:
        root: the common folder of the named files and folders.
        count: number of files and folders excluded so far.
        unused: patterns without a match so far.
        passed_over: system folders and links to folders that match no pattern; path → reason.
    """

    def __init__(self, paths: list[Path], patterns: Sequence[str]) -> None:
        self.count, self.unused = 0, list(dict.fromkeys(patterns))
        self.passed_over: dict[str, str] = {}
        self.root = common_folder(paths) if patterns and any(map(os.path.lexists, paths)) else Path()
        self._patterns = {pattern: pattern.removeprefix("./").rstrip("/") for pattern in self.unused}

    def excludes_named(self, path: Path) -> bool:
        """Does a pattern match a named file or folder, or a folder that holds it?"""
        parts = self._below_root(path).split("/")
        return any(self._matches("/".join(parts[:n])) for n in range(1, len(parts) + 1))

    def kept(self, parent: str, names: list[str]) -> list[str]:
        """The files or folders in `parent` that no pattern matches."""
        if not self._patterns:
            return names
        below = self._below_root(Path(parent))
        return [name for name in names if not self._matches(name if below == "." else f"{below}/{name}")]

    def note_passed_over(self, path: str, why: str) -> None:
        """Record what `walk` skips, unless it is hidden or matches a pattern."""
        parent, name = os.path.split(path)
        if why != HIDDEN and self.kept(parent, [name]):
            self.passed_over[path] = why

    def _below_root(self, path: Path) -> str:
        try:
            return path_below(self.root, path)
        except (OSError, ValueError):  # a name that doesn't exist
            return path.as_posix()

    def _matches(self, relative: str) -> bool:
        name = relative.rpartition("/")[2]
        for given, pattern in self._patterns.items():
            if fnmatch(relative, pattern) or fnmatch(name, pattern):
                self.unused = [other for other in self.unused if other != given]
                self.count += 1
                return True
        return False


def why_unreadable(path: Path) -> str | None:
    """Why nothing can be read from a file: missing, empty, a folder, a pipe, no permission; None if it is readable."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            return "a folder, not a file"
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would block forever
            return "not a regular file"
        if status.st_size == 0:
            return "the file is empty"
        path.open("rb").close()
    except FileNotFoundError:
        return "a link to a missing file" if path.is_symlink() else "no such file"
    except PermissionError:
        return "no permission to read it"
    except (OSError, ValueError) as e:
        return getattr(e, "strerror", None) or "not a valid file name"
    return None


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # no permission: reported when it is opened
        return False


def _audio_files_below(folder: Path, excluder: _Excluder) -> list[Path | DecodeError]:
    errors: list[DecodeError] = []

    def note_error(e: OSError) -> None:
        errors.append(DecodeError(e.filename, e.strerror or str(e), stage="read"))

    files, excluded_before = [], excluder.count
    for parent, folders, names in walk(folder, note_error, excluder.note_passed_over):
        folders[:] = excluder.kept(parent, folders)
        files += [Path(parent, n) for n in excluder.kept(parent, list(filter(looks_like_audio, names)))]
    if not files and not errors and excluder.count == excluded_before:
        known = " ".join(sorted(AUDIO_SUFFIXES))
        errors.append(DecodeError(folder, f"no audio file in this folder (audio suffixes: {known})", stage="read"))
    return [*sorted(files), *errors]


def passed_over_sentence(passed_over: Mapping[str, str]) -> str:
    """A sentence on the skipped folders.

    Args:
        passed_over: path → `SYSTEM` or `LINK`.
    """
    kinds = (
        (SYSTEM, "folder of the operating system or a NAS", "folders of the operating system or a NAS"),
        (LINK, "link to a folder", "links to folders"),
    )
    found = [([p for p, why in passed_over.items() if why == kind], one, many) for kind, one, many in kinds]
    parts = [f"{pluralize(paths, one, many)} ({join_first(paths, most=3)})" for paths, one, many in found if paths]
    return f"skipped: {', '.join(parts)}; give the path of a folder to include it"


def looks_like_audio(name: str) -> bool:
    """Is it the name of an audio file that is not hidden?"""
    stem, _, ending = name.rpartition(".")
    return f".{ending.lower()}" in AUDIO_SUFFIXES and bool(stem) and not name.startswith(".")
