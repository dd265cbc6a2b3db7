"""Restore the tags of a library as they were before `tag`, from its journal."""

from __future__ import annotations

import shutil
from pathlib import Path

from genrelab.audio.content_hash import sha256_of_audio
from genrelab.core.errors import TagError
from genrelab.tagging import binary_patch, replace_file, tags
from genrelab.tagging.journal import FOLDER, Entry, UnreadableLine, lock, read_newest_first
from genrelab.tagging.tag import OnResult, TagResult, failed_result


def untag(journal: Path, show: OnResult) -> None:
    """Restore the tags of every file in a journal, byte for byte, the last one first.

    A file whose other tags were edited since keeps them; its genre is restored if it is still the one that was written.

    Args:
        journal: DIR/.genrelab/tags-….jsonl.
        show: called with the result of each file.

    Raises:
        TagError: no journal, or DIR is not writable.
    """
    journal = journal.absolute()
    if not journal.is_file() or journal.parent.name != FOLDER:
        raise TagError(journal, f"no journal: name a tags-….jsonl that lies in DIR/{FOLDER}, where `tag` wrote it")
    folder = journal.parent.parent
    with lock(folder):
        replace_file.remove_leftovers(folder)
        for entry in read_newest_first(journal):
            show(
                _unreadable_line_result(journal, entry)
                if isinstance(entry, UnreadableLine)
                else _restore(folder, entry)
            )


def _unreadable_line_result(journal: Path, line: UnreadableLine) -> TagResult:
    where = f"{journal}, line {line.line}"
    if line.torn:
        return TagResult(where, "unchanged", reason="was cut off by a kill, before its file was touched")
    return TagResult(where, "failed", reason=line.reason)


def _restore(folder: Path, entry: Entry) -> TagResult:
    path = folder / entry.path
    try:
        _check_inside(folder, entry.path)
        seen, checksum = replace_file.file_stamp(path), replace_file.sha256(path)
        if checksum == entry.sha256_before:
            return TagResult(str(path), "unchanged", reason="is as it was before")
        restore = _restore_file if checksum == entry.sha256_after else _restore_fields
        return restore(path, entry, seen)
    except (FileNotFoundError, NotADirectoryError):
        return TagResult(str(path), "failed", reason="is gone: moved, renamed or deleted since it was tagged")
    except (TagError, OSError) as e:
        return failed_result(path, e)


def _check_inside(folder: Path, relative: str) -> None:
    """Refuse paths outside the library, in case the journal was tampered with."""
    path = folder / relative
    parts = relative.split("/")
    if Path(relative).is_absolute() or Path(relative).drive or "\0" in relative or {"", ".", ".."} & set(parts):
        raise TagError(path, "leads out of the library: refused")
    if any(folder.joinpath(*parts[:n]).is_symlink() for n in range(1, len(parts) + 1)):
        raise TagError(path, "leads through a link, which `tag` never does: refused")


def _restore_file(path: Path, entry: Entry, seen: replace_file.FileStamp) -> TagResult:
    """Restore the earlier file from the later one, which is unchanged since `tag`."""
    with replace_file.temporary_copy(path) as copy:
        try:
            with path.open("rb") as later, copy.open("xb") as out:
                binary_patch.apply(entry.undo, later, out.write, entry.size_before)
        except binary_patch.PatchError as e:
            raise TagError(path, f"the journal does not lead back to the earlier file: {e}") from e
        if replace_file.sha256(copy) != entry.sha256_before:
            raise TagError(path, "the journal does not lead back to the earlier file: it was changed")
        if sha256_of_audio(copy) != sha256_of_audio(path):  # of a file without audio, the hash covers all of it
            raise TagError(path, "the journal would change more than tags, which `tag` never does: refused")
        replace_file.copy_attributes(copy, path)
        replace_file.replace_if_unchanged(copy, path, seen)
    return TagResult(str(path), "restored", (entry.after,), ", ".join(entry.before) or None)


def _restore_fields(path: Path, entry: Entry, seen: replace_file.FileStamp) -> TagResult:
    """Restore only our fields, in a file that was edited since."""
    found = tags.read(path, entry.field)
    if found.values == entry.before and found.provenance == entry.provenance_before:
        return TagResult(str(path), "unchanged", reason="its genre is as it was before; other tags were changed since")
    audio = sha256_of_audio(path)
    if audio != entry.payload_sha256:
        raise TagError(path, "is not the audio that was tagged: another file has taken its name")
    if found.values != (entry.after,):
        raise TagError(path, "its genre was changed since, by hand or by a later `tag`: undo that first, or leave it")
    ours = found.provenance == (entry.provenance,)  # False if another field was tagged, or untagged, since
    with replace_file.temporary_copy(path) as copy:
        shutil.copyfile(path, copy)
        tags.write(copy, found, entry.before, entry.provenance_before if ours else found.provenance)
        if sha256_of_audio(copy) != audio:
            raise TagError(path, "writing tags would change its audio (a damaged file, perhaps): left as it is")
        replace_file.copy_attributes(copy, path)
        replace_file.replace_if_unchanged(copy, path, seen)
    reason = "other tags were changed since: they stay"
    return TagResult(str(path), "restored", (entry.after,), ", ".join(entry.before) or None, reason=reason)
