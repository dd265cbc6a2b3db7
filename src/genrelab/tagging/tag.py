"""Genres into the tags of a library; `untag.py` is the way back.

A file is tagged in a copy, the copy is proven (same audio, same other tags, a way back that ends in the very bytes of
the file), a line of the journal is on the disk, and only then the copy takes the file's place.
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
from genrelab.predict.batch import predict_files
from genrelab.predict.cache import open_cache
from genrelab.predict.classifier import Classifier
from genrelab.predict.prediction import UNKNOWN, Prediction
from genrelab.tagging import binary_patch, replace_file, tags
from genrelab.tagging.journal import Entry, TagJournal, lock

MIN_CONFIDENCE = 0.5
"""Below it a genre is more likely wrong than right."""

Classify = Callable[[Iterable[Path]], Iterator[Prediction]]
"""Answers for files, in their order; may be ahead of what is asked for."""

OnWritten = Callable[[Path], None]
"""Told of every file that was written: its audio is the same, its size and time are not."""


@contextmanager
def open_classifier(
    bundle: Classifier, jobs: int | None, progress: Callable[[int, int], None] | None = None
) -> Iterator[tuple[Classify, OnWritten]]:
    """A model that can be asked, and that remembers what it said; with whom to tell of files that were written.

    Args:
        bundle: see `load_bundle`; answers that its `decision` declines are `unknown`.
        jobs: worker processes; None: one a core.
        progress: called with (done, in all).

    Raises:
        BundleError: the model cannot hear.
        SettingsError: `jobs` cannot be.
    """
    with open_cache() as memory:

        def touched(path: Path) -> None:
            with suppress(OSError):  # gone again: it is then heard again where it turns up
                memory.rekey(path)

        yield partial(predict_files, bundle, jobs=jobs, memory=memory, progress=progress), touched


@dataclass(frozen=True)
class TagSettings:
    """What is written, and where.

    Attributes:
        min_confidence: an answer below it is not written.
        overwrite: also where there is a genre already.
        field: write into this field instead of the genre's own, which then stays as it is.
        dry_run: only say what would be done; nothing is written into the folder.
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
    """What became of a file.

    Attributes:
        path: the file.
        status: `tagged`, `would tag`, `kept`, `unsure` or `failed_result`; of `untag`: `restored`, `unchanged` or `failed_result`.
        before: genres that stood in the file.
        after: the genre that was written, None where none was.
        confidence: of the model's answer, None where it was not asked.
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
    """Ctrl-C; `journal` leads back from what was tagged so far, None where nothing was."""

    def __init__(self, journal: Path | None) -> None:
        super().__init__()
        self.journal = journal


@dataclass(frozen=True)
class _Candidate:
    path: Path
    seen: replace_file.FileStamp
    found: tags.GenreTag


def check_folder(folder: Path) -> None:
    """Raises SettingsError where DIR is no folder."""
    if not folder.is_dir():
        what = "a file, not a folder" if folder.exists() else "no such folder"
        raise SettingsError(f"{folder}: {what}: name the folder that holds the music")


def tag(
    folder: Path, hear: Classify, settings: TagSettings, show: OnResult, touched: OnWritten = lambda _: None
) -> Path | None:
    """Writes the genre of every file below a folder that has none; files that have one are not even heard.

    Args:
        folder: DIR.
        hear: asks the model.
        settings: what is written.
        show: gets a row for each file, in the order of their names.
        touched: see there.

    Returns:
        The journal, None where nothing was written.

    Raises:
        TagError: nothing can be written in the folder, or another run is at it.
        SettingsError: it is no folder.
        Interrupted: Ctrl-C.
    """
    check_folder(folder)
    with nullcontext() if settings.dry_run else lock(folder):
        if not settings.dry_run:
            replace_file.remove_leftovers(folder)
        files = list(find_audio_files([folder]))
        with TagJournal(folder) as journal:
            write = partial(_write_tag, folder=folder, journal=journal, touched=touched)
            try:
                for row in _tag_files(files, hear, settings, write):
                    show(row)
            except KeyboardInterrupt as e:
                raise TaggingInterrupted(journal.path) from e
            return journal.path


def _tag_files(
    files: Iterable[Path | DecodeError], hear: Classify, settings: TagSettings, write: Callable[..., TagResult]
) -> Iterator[TagResult]:
    waiting: deque[_Candidate | TagResult] = deque()

    def to_hear() -> Iterator[Path]:
        for path in files:
            found = _check_file(path, settings)
            waiting.append(found)
            if isinstance(found, _Candidate):
                yield found.path

    for prediction in hear(to_hear()):
        while isinstance(next_one := waiting.popleft(), TagResult):
            yield next_one
        assert prediction.path == str(next_one.path), "an answer to another file"
        row = _decide(next_one, prediction, settings)
        yield write(next_one, row, prediction.model) if row.status == "tagged" else row
    for left in waiting:
        yield (
            left
            if isinstance(left, TagResult)
            else TagResult(str(left.path), "failed", reason="the model gave no answer")
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
        replace_file.check_writable(path)  # before an hour of listening, and in --dry-run, too
    except (TagError, OSError) as e:
        return failed_result(path, e)
    return candidate


def _decide(candidate: _Candidate, prediction: Prediction, settings: TagSettings) -> TagResult:
    path, before, genre, sure = str(candidate.path), candidate.found.genres, prediction.genre, prediction.confidence
    if prediction.error is not None or genre is None or sure is None:
        return TagResult(path, "failed", before, reason=prediction.error or "the model gave no answer")
    if genre == UNKNOWN:
        return TagResult(path, "unsure", before, None, sure, f"unknown: perhaps {prediction.guess}")
    if sure < settings.min_confidence:
        return TagResult(path, "unsure", before, None, sure, f"perhaps {genre}")
    if [g.casefold() for g in before] == [genre.casefold()]:  # how it is spelled is its owner's choice
        return TagResult(path, "kept", before, None, sure, "says the same already")
    return TagResult(path, "would tag" if settings.dry_run else "tagged", before, genre, sure)


def _write_tag(
    candidate: _Candidate, row: TagResult, model: str, *, folder: Path, journal: TagJournal, touched: OnWritten
) -> TagResult:
    path, found = candidate.path, candidate.found
    assert row.after is not None and row.confidence is not None  # that is what `tagged` says
    said: dict[str, Any] = {
        "path": path.relative_to(folder).as_posix(),
        "field": found.field,
        "before": found.values,
        "after": row.after,
        "confidence": row.confidence,
        "provenance": f"genrelab {__version__} {model} p={row.confidence:.2f}",
        "provenance_before": found.provenance,
    }
    try:
        names = path.stat().st_nlink
        with replace_file.temporary_copy(path) as copy:
            shutil.copyfile(path, copy)
            tags.write(copy, found, [said["after"]], [said["provenance"]])
            said |= _make_undo(path, copy)
            replace_file.copy_attributes(copy, path)
            journal.append(Entry(**said))
            replace_file.replace_if_unchanged(copy, path, candidate.seen)
    except (TagError, OSError) as e:
        return failed_result(path, e, row)
    touched(path)
    linked = f"its other names (hard links: {names - 1}) keep the earlier tags" if names > 1 else None
    return TagResult(row.path, row.status, row.before, row.after, row.confidence, linked)


def _make_undo(path: Path, copy: Path) -> dict[str, Any]:
    """Proves that the copy holds the same audio, and that the file can be made from it again."""
    payload = sha256_of_audio(path)
    if sha256_of_audio(copy) != payload:
        raise TagError(path, "writing tags would change its audio (a damaged file, perhaps): left as it is")
    made, size = hashlib.sha256(), path.stat().st_size
    with path.open("rb") as earlier, copy.open("rb") as later:
        undo = binary_patch.make(earlier, later)
        with suppress(binary_patch.PatchError):  # as the file is being written to by others; then the sums differ, too
            binary_patch.apply(undo, later, made.update, size)
    before = replace_file.sha256(path)
    if made.hexdigest() != before:
        raise TagError(path, "was changed while genrelab was at work on it: run again")
    return {
        "payload_sha256": payload,
        "size_before": size,
        "sha256_before": before,
        "sha256_after": replace_file.sha256(copy),
        "undo": undo,
    }


def failed_result(path: Path, fault: TagError | DecodeError | OSError, row: TagResult | None = None) -> TagResult:
    """The row of a file that `fault` speaks of; `row` says what was known of it."""
    reason = (fault.strerror or str(fault)) if isinstance(fault, OSError) else fault.reason
    before, sure = (row.before, row.confidence) if row else ((), None)
    return TagResult(str(path), "failed", before, None, sure, reason)
