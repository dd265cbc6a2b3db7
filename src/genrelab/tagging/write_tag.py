"""Writes genres, tempo and key into one file, so that nothing else changes and `untag` can restore it.

A copy of the file is tagged and verified (same audio, same other tags, a patch that restores the file byte for byte),
a line of the journal is written, and then the copy replaces the file.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from genrelab import __version__
from genrelab.audio.content_hash import sha256_of_audio
from genrelab.audio.files import path_below, why_unreadable
from genrelab.core.errors import DecodeError, TagError
from genrelab.tagging import binary_patch, replace_file, tags
from genrelab.tagging.journal import Entry, FieldChange, TagJournal, WrittenMusic, lock

OnWritten = Callable[[Path], None]
"""Called with every written file: its audio is the same, its size and mtime are not."""


@dataclass(frozen=True)
class TagResult:
    """The result for one file.

    Attributes:
        path: the file.
        status: `tagged`, `would tag`, `kept`, `unsure` or `failed`; of `untag`: `restored`, `unchanged` or `failed`.
        before: earlier genres of the file.
        after: the written genres; empty if none were written.
        confidence: of the prediction; None if the file was not classified.
        reason: why nothing was written, or a remark.
        music: tempo and key, if they were to be written; their values before are those of all tags of the file.
    """

    path: str
    status: str
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    confidence: float | None = None
    reason: str | None = None
    music: Mapping[str, FieldChange] = field(default_factory=dict)

    @property
    def new_music(self) -> dict[str, FieldChange]:
        """Tempo and key that are written."""
        return {name: change for name, change in self.music.items() if change.after}

    def to_json(self) -> dict[str, Any]:
        """The object that `tag --json` prints."""
        row = asdict(self)
        music: dict[str, Any] = row.pop("music")
        return row | {"before": list(self.before), "after": list(self.after)} | music


OnResult = Callable[[TagResult], None]


class TaggingInterrupted(KeyboardInterrupt):
    """Ctrl-C; `journal` restores the files tagged so far; None if there are none."""

    def __init__(self, journal: Path | None) -> None:
        super().__init__()
        self.journal = journal


@dataclass(frozen=True)
class Candidate:
    """A file that may be tagged.

    Attributes:
        path: the file.
        seen: its stamp when its tags were read; another one later means that the file changed.
        found: its genre.
        music: its tempo and key, if they are to be written.
    """

    path: Path
    seen: replace_file.FileStamp
    found: tags.GenreTag
    music: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@contextmanager
def open_journal(root: Path) -> Iterator[TagJournal]:
    """Lock a library and open its journal; Ctrl-C inside the block becomes `TaggingInterrupted`.

    Raises:
        TagError: the folder is not writable, or another run writes tags in it.
    """
    with lock(root), TagJournal(root) as journal:
        try:
            yield journal
        except KeyboardInterrupt as e:
            raise TaggingInterrupted(journal.path) from e


def write_tag(
    candidate: Candidate, row: TagResult, model: str, *, root: Path, journal: TagJournal, on_written: OnWritten
) -> TagResult:
    """Write the genres `row.after`, and the tempo and key of `row.music`, into a file.

    Args:
        row: the planned result; its status becomes `tagged`, or `failed` with the reason.
        model: name of the model, for the field with the origin of the genre.
        root: the library; paths in the journal are relative to it.
        on_written: see `OnWritten`.
    """
    path, found, music = candidate.path, candidate.found, row.new_music
    assert row.after or music, "nothing to write"
    provenance = f"genrelab {__version__} {model} p={row.confidence:.2f}" if row.after else ""
    try:
        n_links = path.stat().st_nlink
        with replace_file.temporary_copy(path) as copy:
            shutil.copyfile(path, copy)
            texts = {key: change.after for name, change in music.items() for key in found.music[name]}
            tags.write(copy, found, row.after or None, [provenance], texts)
            entry = Entry(
                path=path_below(root, path),
                field=found.field,
                before=found.values if row.after else (),
                after=row.after,
                confidence=row.confidence,
                provenance=provenance,
                provenance_before=found.provenance,
                music={name: WrittenMusic(found.music[name], c.after, c.confidence) for name, c in music.items()},
                **_make_undo(path, copy),
            )
            replace_file.copy_attributes(copy, path)
            journal.append(entry)
            replace_file.replace_if_unchanged(copy, path, candidate.seen)
    except (TagError, OSError) as e:
        return failed_result(path, e, row)
    on_written(path)
    linked = f"hard links that keep the earlier tags: {n_links - 1:,}" if n_links > 1 else None
    return replace(row, status="tagged", reason="; ".join(filter(None, (row.reason, linked))) or None)


def _make_undo(path: Path, copy: Path) -> dict[str, Any]:
    """Verify that the copy has the same audio and that the file can be restored from it; return fields of `Entry`."""
    payload = sha256_of_audio(path)
    if sha256_of_audio(copy) != payload:
        raise TagError(path, replace_file.AUDIO_WOULD_CHANGE)
    restored, size = hashlib.sha256(), path.stat().st_size
    with path.open("rb") as earlier, copy.open("rb") as later:
        undo = binary_patch.make(earlier, later)
        with suppress(binary_patch.PatchError):  # another program writes to the file: checksums differ
            binary_patch.apply(undo, later, restored.update, size)
    before = replace_file.sha256(path)
    if restored.hexdigest() != before:
        raise TagError(path, replace_file.CHANGED)
    return {
        "payload_sha256": payload,
        "size_before": size,
        "sha256_before": before,
        "sha256_after": replace_file.sha256(copy),
        "undo": undo,
    }


def failed_result(path: Path, error: TagError | DecodeError | OSError, row: TagResult | None = None) -> TagResult:
    """The result of a file that failed; `row`: its result so far."""
    reason = why_unreadable(path) or error.strerror or str(error) if isinstance(error, OSError) else error.reason
    if row is None:
        return TagResult(str(path), "failed", reason=reason)
    music = {name: replace(change, after=()) for name, change in row.music.items()}
    return replace(row, path=str(path), status="failed", after=(), reason=reason, music=music)
