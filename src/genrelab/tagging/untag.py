"""Restore the tags of a library as they were before `tag`, from its journal."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from genrelab.audio.content_hash import sha256_of_audio
from genrelab.core.errors import TagError
from genrelab.core.progress import Notify, ignore
from genrelab.tagging import binary_patch, replace_file, tags
from genrelab.tagging.journal import FOLDER, Entry, UnreadableLine, lock, read_newest_first
from genrelab.tagging.renamed import RenamedFiles
from genrelab.tagging.write_tag import OnResult, TagResult, failed_result


def untag(journal: Path, show: OnResult, notify: Notify = ignore) -> None:
    """Restore the tags of every file in a journal, byte for byte, the last one first.

    A file whose other tags were edited since keeps them; its genre is restored if it is still the one that was written.
    One that was renamed or moved inside DIR, even to the name of another, is found by its audio and keeps its new name.

    Args:
        journal: DIR/.genrelab/tags-….jsonl.
        show: called with the result of each file.
        notify: called with what takes long.

    Raises:
        TagError: no journal, or DIR is not writable.
    """
    journal = journal.absolute()
    if not journal.is_file() or journal.parent.name != FOLDER:
        raise TagError(journal, f"no journal: name a tags-….jsonl that lies in DIR/{FOLDER}, where `tag` wrote it")
    root = journal.parent.parent
    with lock(root):
        remove_leftovers, renamed = replace_file.LeftoverRemover(root), RenamedFiles(root, journal, notify)
        for entry in read_newest_first(journal):
            if isinstance(entry, UnreadableLine):
                show(_unreadable_line_result(journal, entry))
            else:
                show(_restore(root, entry, renamed, remove_leftovers))


def _unreadable_line_result(journal: Path, line: UnreadableLine) -> TagResult:
    where = f"{journal}, line {line.line}"
    if line.torn:
        return TagResult(where, "unchanged", reason="was cut off by a kill, before its file was touched")
    return TagResult(where, "failed", reason=line.reason)


def _restore(
    root: Path, entry: Entry, renamed: RenamedFiles, remove_leftovers: replace_file.LeftoverRemover
) -> TagResult:
    path = root / entry.path
    try:
        replace_file.check_inside(root, entry.path)
        remove_leftovers(path.parent)
        row = _restore_at(path, entry)
        if row is not None:
            return row
        path = renamed.find(entry)
        remove_leftovers(path.parent)
        row = _restore_at(path, entry)
        if row is None:
            raise TagError(path, "was changed while genrelab was at work on it: run again")
        reasons = (f"was called {entry.path} when it was tagged", row.reason)
        return replace(row, reason="; ".join(filter(None, reasons)))
    except (TagError, OSError) as e:
        return failed_result(path, e)


def _restore_at(path: Path, entry: Entry) -> TagResult | None:
    """None if the file that was tagged is not there: it is gone, or one of other audio has its name now."""
    try:
        seen, checksum = replace_file.file_stamp(path), replace_file.sha256(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if checksum == entry.sha256_before:
        return TagResult(str(path), "unchanged", reason="is as it was before")
    if checksum == entry.sha256_after:
        return _restore_file(path, entry, seen)
    return _restore_fields(path, entry, seen) if sha256_of_audio(path) == entry.payload_sha256 else None


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
    return TagResult(str(path), "restored", entry.after, entry.before)


def _restore_fields(path: Path, entry: Entry, seen: replace_file.FileStamp) -> TagResult:
    """Restore only our fields, in a file that was edited since."""
    found = tags.read(path, entry.field)
    if found.values == entry.before and found.provenance == entry.provenance_before:
        return TagResult(str(path), "unchanged", reason="its genre is as it was before; other tags were changed since")
    if found.values != entry.after:
        raise TagError(path, "its genre was changed since, by hand or by a later `tag`: undo that first, or leave it")
    ours = found.provenance == (entry.provenance,)  # False if another field was tagged, or untagged, since
    with replace_file.temporary_copy(path) as copy:
        shutil.copyfile(path, copy)
        tags.write(copy, found, entry.before, entry.provenance_before if ours else found.provenance)
        if sha256_of_audio(copy) != entry.payload_sha256:
            raise TagError(path, "writing tags would change its audio (a damaged file, perhaps): left as it is")
        replace_file.copy_attributes(copy, path)
        replace_file.replace_if_unchanged(copy, path, seen)
    reason = "other tags were changed since: they stay"
    return TagResult(str(path), "restored", entry.after, entry.before, reason=reason)
