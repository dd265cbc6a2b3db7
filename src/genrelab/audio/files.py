"""Finds the audio files that a list of paths refers to: named files as they are, and audio files below named folders.

Below a folder hidden entries are skipped: snapshots, recycle bins, macOS's shadow files, genrelab's own journals. Links
to files are followed, links to folders are not (they may form a cycle).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from genrelab.core.errors import DecodeError

AUDIO_SUFFIXES = frozenset(
    (
        *(".3ga", ".3gp", ".aac", ".ac3", ".aif", ".aifc", ".aiff", ".amr", ".ape", ".asf", ".au", ".caf", ".dsf"),
        *(".eac3", ".flac", ".m4a", ".m4b", ".mka", ".mp1", ".mp2", ".mp3", ".mp4", ".mpa", ".mpc", ".mpga", ".oga"),
        *(".ogg", ".opus", ".ra", ".rf64", ".shn", ".snd", ".spx", ".tak", ".tta", ".w64", ".wav", ".webm", ".wma"),
        ".wv",
    )
)
"""Suffixes of files that are taken for audio when a folder is searched; whether they are audio shows when decoding."""


def find_audio_files(paths: Iterable[str | Path]) -> Iterator[Path | DecodeError]:
    """Named files as they are, and files with an audio suffix below named folders, sorted; each once.

    For a folder that holds no audio or cannot be listed an error is yielded in its place.
    """
    seen = set()
    for path in map(Path, paths):
        for found in _audio_files_below(path) if _is_folder(path) else [path]:
            key = Path(found.path if isinstance(found, DecodeError) else found).absolute()
            if key not in seen:
                seen.add(key)
                yield found


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # no permission: opening it reports why
        return False


def _audio_files_below(folder: Path) -> list[Path | DecodeError]:
    errors: list[DecodeError] = []

    def note_error(e: OSError) -> None:
        errors.append(DecodeError(e.filename, e.strerror or str(e), stage="read"))

    files = []
    for parent, folders, names in os.walk(folder, onerror=note_error):
        folders[:] = [f for f in folders if not f.startswith(".")]
        files += [Path(parent, n) for n in names if _looks_like_audio(n)]
    if not files and not errors:
        known = " ".join(sorted(AUDIO_SUFFIXES))
        errors.append(DecodeError(folder, f"no audio file in this folder: looked for {known}", stage="read"))
    return [*sorted(files), *errors]


def _looks_like_audio(name: str) -> bool:
    stem, _, ending = name.rpartition(".")
    return f".{ending.lower()}" in AUDIO_SUFFIXES and bool(stem) and not name.startswith(".")
