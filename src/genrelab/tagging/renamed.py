"""Finds files of a library that were renamed or moved inside it since they were tagged, by their audio."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from genrelab.audio.content_hash import sha256_of_audio
from genrelab.audio.files import find_audio_files, path_below
from genrelab.core.errors import TagError
from genrelab.core.progress import Notify
from genrelab.core.text import join_first
from genrelab.tagging import replace_file, tags
from genrelab.tagging.journal import Entry, read_newest_first


class RenamedFiles:
    """Files of a library by the hash of their audio; all are read when the first one is asked for, and only then.

    Args:
        root: the library.
        journal: names the files that were tagged: those that still hold their own audio are not another
            one under a new name.
        notify: called before the library is read.
    """

    def __init__(self, root: Path, journal: Path, notify: Notify) -> None:
        self._root, self._journal, self._notify = root, journal, notify
        self._by_audio: dict[str, list[Path]] | None = None

    def find(self, entry: Entry) -> Path:
        """The one file that is this entry's under another name.

        Raises:
            TagError: there is none, or it isn't clear which one it is.
        """
        path, candidates = self._root / entry.path, self._files().get(entry.payload_sha256, [])
        lost = "holds other audio now" if path.exists() else "is gone"
        for fits in (_is_as_written, _has_written_genre, _has_earlier_genre):
            found = [candidate for candidate in candidates if _safely(fits, candidate, entry)]
            if len(found) == 1:
                return found[0]
            if found:
                names = join_first([path_below(self._root, one) for one in found])
                reason = (
                    f"{lost}, and several files hold the audio that was tagged: {names}: give one of them its old name"
                )
                raise TagError(path, reason)
        if candidates:
            names = join_first([path_below(self._root, one) for one in candidates])
            raise TagError(
                path, f"{lost}; {names} holds the audio that was tagged, but its genre was changed since: left as it is"
            )
        if path.exists():
            raise TagError(path, f"{lost}, and what was tagged under this name is nowhere in this folder")
        raise TagError(path, "is gone: deleted since it was tagged, or moved out of this folder")

    def _files(self) -> dict[str, list[Path]]:
        if self._by_audio is None:
            self._notify(f"files are gone or renamed: looking for their audio under other names in {self._root}")
            entries = (line for line in read_newest_first(self._journal) if isinstance(line, Entry))
            known = {(entry.path, entry.payload_sha256) for entry in entries}
            self._by_audio = defaultdict(list)
            for path in find_audio_files([self._root]):
                if isinstance(path, Path) and not path.is_symlink():
                    with suppress(TagError, OSError):  # one that can't be read can't be told from any other
                        replace_file.file_stamp(path)
                        audio = sha256_of_audio(path)
                        if (path_below(self._root, path), audio) not in known:
                            self._by_audio[audio].append(path)
        return self._by_audio


def _safely(fits: Callable[[Path, Entry], bool], path: Path, entry: Entry) -> bool:
    try:
        return fits(path, entry)
    except (TagError, OSError):
        return False


def _is_as_written(path: Path, entry: Entry) -> bool:
    return replace_file.sha256(path) == entry.sha256_after


def _has_written_genre(path: Path, entry: Entry) -> bool:
    return tags.read(path, entry.field).values == entry.after


def _has_earlier_genre(path: Path, entry: Entry) -> bool:
    return tags.read(path, entry.field).values == entry.before
