"""One extended M3U8 playlist per genre of a library, sorted by confidence, and one of unsure tracks."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from genrelab import __version__
from genrelab.audio.files import find_audio_files
from genrelab.core.errors import DecodeError, SettingsError, TagError, printable
from genrelab.predict.prediction import UNKNOWN, Prediction
from genrelab.tagging import tags
from genrelab.tagging.replace_file import temp_path
from genrelab.tagging.tag import Classify, check_folder

UNSURE = "unsure"
MARK = "# Written by genrelab"
"""A playlist with this line may be replaced; any other is left alone."""

FORBIDDEN_CHARACTERS = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')
"""Characters that some file systems refuse in names."""

RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""Names that Windows reserves for devices."""


@dataclass(frozen=True)
class PlaylistResult:
    """The playlists that were written.

    Attributes:
        files: playlist → number of its tracks.
        removed: playlists of an earlier run that would be empty now; kept as long as a track fails.
        failed: track → why it is in no playlist.
    """

    files: dict[Path, int]
    removed: tuple[Path, ...]
    failed: dict[str, str]


@dataclass(frozen=True)
class _Item:
    path: Path
    confidence: float
    lines: str


def write_playlists(folder: Path, out: Path, classify: Classify, min_confidence: float) -> PlaylistResult:
    """Write the playlists of a library; if no track can be in one, all existing ones are kept.

    Args:
        folder: DIR.
        out: folder for the playlists; created if missing.
        classify: returns predictions in the order of the files.
        min_confidence: tracks below it go into `unsure.m3u8`, as do those predicted as `unknown`.

    Raises:
        SettingsError: no such folder, `out` cannot be written, or a playlist there was not written by genrelab.
    """
    check_folder(folder)
    found = list(find_audio_files([folder]))
    _make_folder(out)
    failed = {error.path: error.reason for error in found if isinstance(error, DecodeError)}
    lists: dict[str, list[_Item]] = defaultdict(list)
    base = Path(os.path.realpath(out))
    for path, prediction in _classify_files([p for p in found if isinstance(p, Path)], classify):
        try:
            genre, item = _playlist_item(path, prediction, base)
        except ValueError as e:
            failed[str(path)] = str(e)
            continue
        unsure = genre == UNKNOWN or item.confidence < min_confidence
        lists[UNSURE if unsure else f"genre {genre}"].append(item)
    if not lists:  # perhaps the disk with the music is not mounted
        return PlaylistResult({}, (), failed)
    lists.setdefault(UNSURE, [])
    key_of_file = {out / f"{name}.m3u8": key for key, name in _file_names(lists).items()}
    _check_replaceable(key_of_file)
    for file, key in key_of_file.items():
        _write(file, key.removeprefix("genre "), lists[key])
    removed = () if failed else _remove_stale(out, key_of_file)
    return PlaylistResult({file: len(lists[key]) for file, key in key_of_file.items()}, removed, failed)


def _make_folder(out: Path) -> None:
    """Create the folder and check that it is writable, before the music is classified."""
    what = "made a folder"
    try:
        out.mkdir(parents=True, exist_ok=True)
        what = "written to"
        temporary = temp_path(out)
        temporary.touch(exist_ok=False)
        temporary.unlink()
    except OSError as e:
        raise SettingsError(f"{out}: cannot be {what} ({e.strerror}): choose another --out") from e


def _classify_files(files: list[Path], classify: Classify) -> Iterator[tuple[Path, Prediction]]:
    for path, prediction in zip(files, classify(files), strict=True):
        assert prediction.path == str(path), "an answer to another file"
        yield path, prediction


def _playlist_item(path: Path, prediction: Prediction, base: Path) -> tuple[str, _Item]:
    """Raises ValueError if a file can be in no playlist."""
    if prediction.genre is None or prediction.confidence is None:
        raise ValueError(prediction.error or "the model gave no answer")
    relative = Path(os.path.relpath(Path(os.path.realpath(path.parent), path.name), base)).as_posix()
    if "\n" in relative or "\r" in relative:
        raise ValueError("its name has a line break, which no playlist can hold: rename it")
    try:
        relative.encode()
    except UnicodeEncodeError:
        raise ValueError("its name is not UTF-8, which a playlist has to be: rename it") from None
    if relative.startswith(("#", " ")):  # a comment, or what players strip
        relative = f"./{relative}"
    seconds = -1 if prediction.duration_s is None else round(prediction.duration_s)
    lines = f"#EXTINF:{seconds},{_title(path)}\n{relative}\n"
    return prediction.genre, _Item(path, prediction.confidence, lines)


def _title(path: Path) -> str:
    try:
        artist, title = tags.artist_and_title(path)
    except (TagError, OSError):  # it was classified: missing titles are no error
        artist, title = "", ""
    name = " - ".join(part for part in (artist, title) if part) if title else path.stem
    return " ".join(printable(" ".join(name.split())).split())


def _file_names(keys: Iterable[str]) -> dict[str, str]:
    """For each list a name that is valid on any file system and differs from all others by more than case."""
    names = {UNSURE: UNSURE}
    taken = {UNSURE}
    for key in sorted(set(keys) - {UNSURE}):
        name = FORBIDDEN_CHARACTERS.sub("_", key.removeprefix("genre "))
        name = name.encode("utf-8", "replace")[:200].decode("utf-8", "ignore").strip(" .") or "_"
        if RESERVED.fullmatch(name):
            name = f"_{name}"
        chosen, n = name, 1
        while chosen.casefold() in taken:
            n += 1
            chosen = f"{name} ({n})"
        names[key] = chosen
        taken.add(chosen.casefold())
    return names


def _remove_stale(out: Path, current: Iterable[Path]) -> tuple[Path, ...]:
    """Remove playlists of an earlier run that were not written again; return them."""
    stale = [file for file in sorted(out.glob("*.m3u8")) if _is_ours(file) and not any(map(file.samefile, current))]
    for file in stale:
        file.unlink()
    return tuple(stale)


def _check_replaceable(files: Iterable[Path]) -> None:
    for file in files:
        if file.exists() and not _is_ours(file):
            raise SettingsError(f"{file}: a playlist that genrelab did not write is in the way: choose another --out")


def _is_ours(file: Path) -> bool:
    try:
        if not file.is_file():
            return False
        with file.open("rb") as f:
            return any(line.startswith(MARK.encode()) for line in f.read(400).splitlines()[:3])
    except OSError:  # what cannot be read is not ours to replace
        return False


def _write(file: Path, genre: str, items: list[_Item]) -> None:
    items = sorted(items, key=lambda item: (-item.confidence, str(item.path)))
    head = f"#EXTM3U\n{MARK} {__version__}, which replaces this file\n#PLAYLIST:{printable(genre)}\n"
    temporary = temp_path(file.parent)
    try:
        temporary.write_text(head + "".join(item.lines for item in items), "utf-8", newline="\n")
        temporary.replace(file)
    except OSError as e:
        raise SettingsError(f"{file}: cannot be written ({e.strerror}): choose another --out") from e
    finally:
        temporary.unlink(missing_ok=True)
