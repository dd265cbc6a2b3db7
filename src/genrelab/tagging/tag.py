"""Write genres into the tags of a library; `untag.py` reverts it.

A copy of the file is tagged and verified (same audio, same other tags, a patch that restores the file byte for byte),
a line of the journal is written to disk, and only then the copy replaces the file.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from genrelab import __version__
from genrelab.audio.content_hash import sha256_of_audio
from genrelab.audio.files import find_audio_files
from genrelab.core.errors import DecodeError, SettingsError, TagError
from genrelab.core.progress import Progress, ignore
from genrelab.predict.batch import predict_files
from genrelab.predict.cache import open_cache
from genrelab.predict.classifier import Classifier
from genrelab.predict.prediction import UNKNOWN, Prediction
from genrelab.tagging import binary_patch, replace_file, tags
from genrelab.tagging.journal import Entry, TagJournal, lock

MIN_CONFIDENCE = 0.5
"""Below it a genre is more likely wrong than right."""

Classify = Callable[[Iterable[Path]], Iterator[Prediction]]
"""Returns the predictions of files, in their order; may consume files ahead."""

OnWritten = Callable[[Path], None]
"""Called with every file that was written: its audio is the same, its size and mtime are not."""


@contextmanager
def open_classifier(
    bundle: Classifier, jobs: int | None, progress: Progress = ignore
) -> Iterator[tuple[Classify, OnWritten]]:
    """A classifier with the prediction cache, and the callback that updates the cache for files that were written.

    Args:
        bundle: see `load_bundle`; predictions that its `decision` rejects are `unknown`.
        jobs: number of worker processes; None: one per core.
        progress: called with (done, total).

    Raises:
        BundleError: the model does not take audio.
        SettingsError: `jobs` is invalid.
    """
    with open_cache() as cache:

        def on_written(path: Path) -> None:
            with suppress(OSError):  # gone again: classified anew if it turns up
                cache.rekey(path)

        yield partial(predict_files, bundle, jobs=jobs, cache=cache, progress=progress), on_written


@dataclass(frozen=True)
class TagSettings:
    """What is written, and where.

    Attributes:
        min_confidence: predictions below it are not written.
        overwrite: also write if there is a genre already.
        field: write into this field instead of the genre's own, which is then kept.
        dry_run: only report what would be done; nothing is written into the folder.
    """

    min_confidence: float = MIN_CONFIDENCE
    overwrite: bool = False
    field: str | None = None
    dry_run: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.min_confidence <= 1:
            raise SettingsError(f"--min-confidence must be from 0 to 1. Received: {self.min_confidence}")
        name = self.field
        if name is not None and (not re.fullmatch(r"[ -9;<>-}]{2,64}", name) or name.strip() != name):
            raise SettingsError(f"--subgenre-field must be 2 to 64 letters of ASCII, without = : ~. Received: {name!r}")
        if name is not None and name.casefold() in ("genre", tags.PROVENANCE.casefold()):
            raise SettingsError(f"--subgenre-field must be a field of its own, such as SUBGENRE. Received: {name}")


@dataclass(frozen=True)
class TagResult:
    """The result for one file.

    Attributes:
        path: the file.
        status: `tagged`, `would tag`, `kept`, `unsure` or `failed`; of `untag`: `restored`, `unchanged` or `failed`.
        before: earlier genres of the file.
        after: the genre that was written, None if none was.
        confidence: of the prediction, None if the file was not classified.
        reason: why not, or what else is worth knowing.
    """

    path: str
    status: str
    before: tuple[str, ...] = ()
    after: str | None = None
    confidence: float | None = None
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The object that `tag --json` prints."""
        return asdict(self) | {"before": list(self.before)}


OnResult = Callable[[TagResult], None]


class TaggingInterrupted(KeyboardInterrupt):
    """Ctrl-C; `journal` restores what was tagged so far, None if nothing was."""

    def __init__(self, journal: Path | None) -> None:
        super().__init__()
        self.journal = journal


@dataclass(frozen=True)
class _Candidate:
    path: Path
    seen: replace_file.FileStamp
    found: tags.GenreTag


def check_folder(folder: Path) -> None:
    """Raises SettingsError if DIR is no folder."""
    if not folder.is_dir():
        what = "a file, not a folder" if folder.exists() else "no such folder"
        raise SettingsError(f"{folder}: {what}: name the folder that holds the music")


def tag(
    folder: Path, classify: Classify, settings: TagSettings, show: OnResult, on_written: OnWritten = ignore
) -> Path | None:
    """Write the genre of every file below a folder that has none; files that have one are not even classified.

    Args:
        folder: DIR.
        classify: see `Classify`.
        settings: what is written.
        show: called with the result of each file, in the order of their names.
        on_written: see `OnWritten`.

    Returns:
        The journal, None if nothing was written.

    Raises:
        TagError: the folder is not writable, or another run is at work in it.
        SettingsError: it is no folder.
        TaggingInterrupted: Ctrl-C.
    """
    check_folder(folder)
    with nullcontext() if settings.dry_run else lock(folder):
        if not settings.dry_run:
            replace_file.remove_leftovers(folder)
        files = list(find_audio_files([folder]))
        with TagJournal(folder) as journal:
            write = partial(_write_tag, folder=folder, journal=journal, on_written=on_written)
            try:
                for row in _tag_files(files, classify, settings, write):
                    show(row)
            except KeyboardInterrupt as e:
                raise TaggingInterrupted(journal.path) from e
            return journal.path


def _tag_files(
    files: Iterable[Path | DecodeError], classify: Classify, settings: TagSettings, write: Callable[..., TagResult]
) -> Iterator[TagResult]:
    waiting: deque[_Candidate | TagResult] = deque()

    def files_to_classify() -> Iterator[Path]:
        for path in files:
            found = _check_file(path, settings)
            waiting.append(found)
            if isinstance(found, _Candidate):
                yield found.path

    for prediction in classify(files_to_classify()):
        while isinstance(next_one := waiting.popleft(), TagResult):
            yield next_one
        assert prediction.path == str(next_one.path), "an answer to another file"
        row = _decide(next_one, prediction, settings)
        yield write(next_one, row, prediction.model) if row.status == "tagged" else row
    for rest in waiting:
        yield (
            rest
            if isinstance(rest, TagResult)
            else TagResult(str(rest.path), "failed", reason="the model gave no answer")
        )


def _check_file(path: Path | DecodeError, settings: TagSettings) -> _Candidate | TagResult:
    if isinstance(path, DecodeError):  # a folder that cannot be listed
        return failed_result(Path(path.path), path)
    if path.is_symlink():
        return TagResult(str(path), "kept", reason="a link: what it points to is tagged where it lies")
    try:
        candidate = _Candidate(path, replace_file.file_stamp(path), tags.read(path, settings.field))
        if candidate.found.genres and not settings.overwrite:
            return TagResult(str(path), "kept", candidate.found.genres, reason="has one already")
        replace_file.check_writable(path)  # before an hour of classifying, and in --dry-run, too
    except (TagError, OSError) as e:
        return failed_result(path, e)
    return candidate


def _decide(candidate: _Candidate, prediction: Prediction, settings: TagSettings) -> TagResult:
    path, before, genre, confidence = (
        str(candidate.path),
        candidate.found.genres,
        prediction.genre,
        prediction.confidence,
    )
    if prediction.error is not None or genre is None or confidence is None:
        return TagResult(path, "failed", before, reason=prediction.error or "the model gave no answer")
    if genre == UNKNOWN:
        return TagResult(path, "unsure", before, None, confidence, f"unknown: perhaps {prediction.guess}")
    if confidence < settings.min_confidence:
        return TagResult(path, "unsure", before, None, confidence, f"perhaps {genre}")
    if [g.casefold() for g in before] == [genre.casefold()]:  # the owner's spelling is kept
        return TagResult(path, "kept", before, None, confidence, "says the same already")
    return TagResult(path, "would tag" if settings.dry_run else "tagged", before, genre, confidence)


def _write_tag(
    candidate: _Candidate, row: TagResult, model: str, *, folder: Path, journal: TagJournal, on_written: OnWritten
) -> TagResult:
    path, found = candidate.path, candidate.found
    assert row.after is not None and row.confidence is not None  # given by `tagged`
    entry: dict[str, Any] = {
        "path": path.relative_to(folder).as_posix(),
        "field": found.field,
        "before": found.values,
        "after": row.after,
        "confidence": row.confidence,
        "provenance": f"genrelab {__version__} {model} p={row.confidence:.2f}",
        "provenance_before": found.provenance,
    }
    try:
        n_links = path.stat().st_nlink
        with replace_file.temporary_copy(path) as copy:
            shutil.copyfile(path, copy)
            tags.write(copy, found, [entry["after"]], [entry["provenance"]])
            entry |= _make_undo(path, copy)
            replace_file.copy_attributes(copy, path)
            journal.append(Entry(**entry))
            replace_file.replace_if_unchanged(copy, path, candidate.seen)
    except (TagError, OSError) as e:
        return failed_result(path, e, row)
    on_written(path)
    linked = f"its other names (hard links: {n_links - 1}) keep the earlier tags" if n_links > 1 else None
    return TagResult(row.path, row.status, row.before, row.after, row.confidence, linked)


def _make_undo(path: Path, copy: Path) -> dict[str, Any]:
    """Verify that the copy holds the same audio and that the file can be restored from it; fields of `Entry`."""
    payload = sha256_of_audio(path)
    if sha256_of_audio(copy) != payload:
        raise TagError(path, "writing tags would change its audio (a damaged file, perhaps): left as it is")
    restored, size = hashlib.sha256(), path.stat().st_size
    with path.open("rb") as earlier, copy.open("rb") as later:
        undo = binary_patch.make(earlier, later)
        with suppress(binary_patch.PatchError):  # another program is writing to the file: the checksums differ, too
            binary_patch.apply(undo, later, restored.update, size)
    before = replace_file.sha256(path)
    if restored.hexdigest() != before:
        raise TagError(path, "was changed while genrelab was at work on it: run again")
    return {
        "payload_sha256": payload,
        "size_before": size,
        "sha256_before": before,
        "sha256_after": replace_file.sha256(copy),
        "undo": undo,
    }


def failed_result(path: Path, error: TagError | DecodeError | OSError, row: TagResult | None = None) -> TagResult:
    """The result of a file that failed with `error`; `row`: its result so far."""
    reason = (error.strerror or str(error)) if isinstance(error, OSError) else error.reason
    before, confidence = (row.before, row.confidence) if row else ((), None)
    return TagResult(str(path), "failed", before, None, confidence, reason)
