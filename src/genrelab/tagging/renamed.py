"""Finds files by their audio that were renamed or moved inside a library after they were tagged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Literal

from genrelab.audio.content_hash import sha256_of_audio
from genrelab.audio.files import find_audio_files, path_below
from genrelab.core.errors import TagError
from genrelab.core.progress import Notify
from genrelab.core.text import join_first
from genrelab.tagging import replace_file, tags
from genrelab.tagging.journal import Entry, read_newest_first


class RenamedFiles:
    """Files of a library by the hash of their audio; the library is read when the first file is requested.

    Args:
        root: the library.
        journal: lists the tagged files; one that still has its own audio is not a renamed one.
        notify: called before the library is read.
    """

    def __init__(self, root: Path, journal: Path, notify: Notify) -> None:
        self._root, self._journal, self._notify = root, journal, notify
        self._by_audio: dict[str, list[Path]] | None = None

    def find(self, entry: Entry) -> Path:
        """The file of an entry, under another name.

        Raises:
            TagError: there is none, or several files match.
        """
        path, candidates = self._root / entry.path, self._files().get(entry.payload_sha256, [])
        lost = "now has different audio" if path.exists() else "is gone"
        by_closeness: tuple[Callable[[Path], bool], ...] = (
            lambda path: replace_file.sha256(path) == entry.sha256_after,
            lambda path: _has_tags(path, entry, "after"),
            lambda path: _has_tags(path, entry, "before"),
            lambda path: _has_tags(path, entry, "after", enough=any),
        )
        for fits in by_closeness:
            found = [candidate for candidate in candidates if _safely(fits, candidate)]
            if len(found) == 1:
                return found[0]
            if found:
                names = join_first([path_below(self._root, one) for one in found])
                raise TagError(path, f"{lost}, and several files have the tagged audio ({names}): rename one back")
        if candidates:
            names = join_first([path_below(self._root, one) for one in candidates])
            written = "its tempo or key was" if not entry.after else "its genre was"
            raise TagError(path, f"{lost}; {names} has the tagged audio, but {written} edited later: left as it is")
        if path.exists():
            raise TagError(path, f"{lost}, and no file in this folder has the tagged audio")
        raise TagError(path, "is gone: deleted, or moved out of this folder")

    def _files(self) -> dict[str, list[Path]]:
        if self._by_audio is None:
            self._notify(f"some files are gone or renamed: searching {self._root} for their audio")
            entries = (line for line in read_newest_first(self._journal) if isinstance(line, Entry))
            known = {(entry.path, entry.payload_sha256) for entry in entries}
            self._by_audio = defaultdict(list)
            for path in find_audio_files([self._root]):
                if isinstance(path, Path) and not path.is_symlink():
                    with suppress(TagError, OSError):  # an unreadable file cannot be compared
                        replace_file.file_stamp(path)
                        audio = sha256_of_audio(path)
                        if (path_below(self._root, path), audio) not in known:
                            self._by_audio[audio].append(path)
        return self._by_audio


def _has_tags(
    path: Path, entry: Entry, when: Literal["before", "after"], *, enough: Callable[[Iterable[bool]], bool] = all
) -> bool:
    """Are the fields that were written as they were before, or after?"""
    written = {key: {"before": v, "after": one.after} for one in entry.music.values() for key, v in one.fields.items()}
    found = tags.read_keys(path, written)
    same = [found[key] == values[when] for key, values in written.items()]
    genre = [tags.read(path, entry.field).values == getattr(entry, when)] if entry.after else []
    return enough([*genre, *same])


def _safely(fits: Callable[[Path], bool], path: Path) -> bool:
    try:
        return fits(path)
    except (TagError, OSError):
        return False
