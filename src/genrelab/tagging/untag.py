"""Restores the tags of a library as they were before `tag`, from its journal."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from genrelab.audio.content_hash import sha256_of_audio
from genrelab.core.errors import TagError
from genrelab.core.progress import Notify, ignore
from genrelab.core.text import join_all
from genrelab.tagging import binary_patch, replace_file, tags
from genrelab.tagging.journal import FOLDER, Entry, FieldChange, UnreadableLine, lock, read_newest_first
from genrelab.tagging.renamed import RenamedFiles
from genrelab.tagging.write_tag import OnResult, TagResult, failed_result


def untag(journal: Path, show: OnResult, notify: Notify = ignore) -> None:
    """Restore the tags of every file in a journal, byte for byte, the last one first.

    If tags of a file were edited since then, they stay, and what was written is restored if it is still there. A
    file that was renamed or moved inside FOLDER, even to the name of another, is found by its audio and keeps its new
    name.

    Args:
        journal: FOLDER/.genrelab/tags-TIME.jsonl.
        show: called with the result of each file.
        notify: called before long work.

    Raises:
        TagError: no journal, or FOLDER is not writable.
    """
    journal = journal.absolute()
    if not journal.is_file() or journal.parent.name != FOLDER:
        raise TagError(journal, f"not a journal: give FOLDER/{FOLDER}/tags-TIME.jsonl, which `tag` wrote")
    root = journal.parent.parent
    with lock(root):
        remove_leftovers, renamed = replace_file.LeftoverRemover(root), RenamedFiles(root, journal, notify)
        for entry in read_newest_first(journal):
            if isinstance(entry, UnreadableLine):
                status = "unchanged" if entry.torn else "failed"
                show(TagResult(f"{journal}, line {entry.line}", status, reason=entry.reason))
            else:
                show(_restore(root, entry, renamed, remove_leftovers))


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
            raise TagError(path, replace_file.CHANGED)
        reasons = (f"renamed; it was {entry.path}", row.reason)
        return replace(row, reason="; ".join(filter(None, reasons)))
    except (TagError, OSError) as e:
        return failed_result(path, e)


def _restore_at(path: Path, entry: Entry) -> TagResult | None:
    """None if the tagged file is gone, or a file with other audio has its name."""
    try:
        seen, checksum = replace_file.file_stamp(path), replace_file.sha256(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if checksum == entry.sha256_before:
        return TagResult(str(path), "unchanged", reason="has its earlier tags")
    if checksum == entry.sha256_after:
        return _restore_file(path, entry, seen)
    return _restore_fields(path, entry, seen) if sha256_of_audio(path) == entry.payload_sha256 else None


def _restore_file(path: Path, entry: Entry, seen: replace_file.FileStamp) -> TagResult:
    """Restore the earlier file from the later one, which has not changed since `tag`."""
    with replace_file.temporary_copy(path) as copy:
        try:
            with path.open("rb") as later, copy.open("xb") as out:
                binary_patch.apply(entry.undo, later, out.write, entry.size_before)
        except binary_patch.PatchError as e:
            raise TagError(path, f"the journal cannot restore the earlier file: {e}") from e
        if replace_file.sha256(copy) != entry.sha256_before:
            raise TagError(path, "the journal cannot restore the earlier file: it was edited")
        if sha256_of_audio(copy) != sha256_of_audio(path):  # of a file without audio, the hash covers all of it
            raise TagError(path, "the journal would change more than tags: refused")
        replace_file.copy_attributes(copy, path)
        replace_file.replace_if_unchanged(copy, path, seen)
    music = {name: one.fields for name, one in entry.music.items()}
    return _restored_result(path, entry, _StillWritten(bool(entry.after), music, ()))


def _restored_result(path: Path, entry: Entry, restored: _StillWritten, reason: str | None = None) -> TagResult:
    before, after = (entry.after, entry.before) if restored.genre else ((), ())
    music = {
        name: FieldChange(entry.music[name].after, tuple(dict.fromkeys(itertools.chain(*fields.values()))), None)
        for name, fields in restored.music.items()
    }
    return TagResult(str(path), "restored", before, after, reason=reason, music=music)


@dataclass(frozen=True)
class _StillWritten:
    """What `tag` wrote and a file still has.

    Attributes:
        genre: the genre or its origin?
        music: for TEMPO and KEY, the keys of the tag and their earlier values.
        changed: names of what was edited since.
    """

    genre: bool
    music: Mapping[str, Mapping[str, tuple[str, ...]]]
    changed: Sequence[str]


def _still_written(path: Path, entry: Entry, found: tags.GenreTag) -> _StillWritten:
    earlier = not entry.after or (found.values == entry.before and found.provenance == entry.provenance_before)
    edited = not earlier and found.values != entry.after
    music, changed = {}, ["genre"] if edited else []
    for name, one in entry.music.items():
        now = tags.read_keys(path, one.fields)
        differ = {key: before for key, before in one.fields.items() if now[key] != before}
        ours = {key: before for key, before in differ.items() if now[key] == one.after}
        if ours:
            music[name] = ours
        if len(ours) < len(differ):
            changed.append(name)
    return _StillWritten(not earlier and not edited, music, changed)


def _restore_fields(path: Path, entry: Entry, seen: replace_file.FileStamp) -> TagResult:
    """Restore only the fields that `tag` wrote, in a file that was edited since then; what was edited stays."""
    found = tags.read(path, entry.field)
    left = _still_written(path, entry, found)
    edited = f"its {join_all(left.changed)} {'has' if len(left.changed) == 1 else 'have'} changed since then"
    if not left.genre and not left.music:
        if left.changed:
            raise TagError(path, f"{edited}, by hand or by a later `tag`: undo that first")
        what = join_all([*(["genre"] if entry.after else []), *entry.music])
        return TagResult(str(path), "unchanged", reason=f"has its earlier {what}; other tags have changed since then")
    ours = found.provenance == (entry.provenance,)  # False if another field was tagged or untagged since then
    with replace_file.temporary_copy(path) as copy:
        shutil.copyfile(path, copy)
        genres, origin = entry.before if left.genre else None, entry.provenance_before if ours else found.provenance
        tags.write(copy, found, genres, origin, dict(itertools.chain(*(f.items() for f in left.music.values()))))
        if sha256_of_audio(copy) != entry.payload_sha256:
            raise TagError(path, replace_file.AUDIO_WOULD_CHANGE)
        replace_file.copy_attributes(copy, path)
        replace_file.replace_if_unchanged(copy, path, seen)
    kept = f"{edited} and {'was' if len(left.changed) == 1 else 'were'} kept" if left.changed else None
    return _restored_result(path, entry, left, kept or "other tags have changed since then and were kept")
