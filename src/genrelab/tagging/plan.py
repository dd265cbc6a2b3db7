"""A plan of what `tag` would write, which a person may read and edit before it is applied.

JSON Lines. The first line says where and with what:

    {"root": "/home/me/Music", "model": "svm", "field": null}

Each further line is a file to be changed, by its path below the root:

    {"path": "a/b.mp3", "audio_sha256": "…", "old": ["Rock"], "new": ["Punk"], "confidence": 0.83}
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from genrelab.audio.content_hash import sha256_of_audio
from genrelab.audio.files import common_folder, find_audio_files, path_below
from genrelab.core.errors import SettingsError, TagError, printable
from genrelab.core.progress import Notify, ignore
from genrelab.core.text import is_printable_line
from genrelab.tagging import replace_file, tags
from genrelab.tagging.classify import Classify
from genrelab.tagging.journal import TagJournal
from genrelab.tagging.new_file import new_file
from genrelab.tagging.tag import TagSettings, check_field, tag_files, would_tag
from genrelab.tagging.write_tag import (
    Candidate,
    OnResult,
    OnWritten,
    TagResult,
    failed_result,
    open_journal,
    write_tag,
)


@dataclass(frozen=True)
class PlanHeader:
    """The first line of a plan.

    Attributes:
        root: the library, an absolute path.
        model: name of the model that chose the genres.
        field: the field to be written; None: the genre's own.
    """

    root: str
    model: str
    field: str | None


@dataclass(frozen=True)
class PlanLine:
    """A file to be changed.

    Attributes:
        path: relative to the root, with forward slashes.
        audio_sha256: of its audio without tags.
        old: its genres when the plan was made.
        new: the genres to be written.
        confidence: of the model.
    """

    path: str
    audio_sha256: str
    old: tuple[str, ...]
    new: tuple[str, ...]
    confidence: float


# --- make a plan ---


def make_plan(
    file: Path,
    names: Sequence[str | Path],
    classify: Classify,
    settings: TagSettings,
    show: OnResult,
    *,
    model: str,
    notify: Notify = ignore,
) -> None:
    """Write down what `tag` would do with the same arguments; no audio file is touched.

    Args:
        file: the plan; it appears when it is complete.
        model: name of the model.

    Raises:
        SettingsError: the plan is there already or cannot be written; see `tag`, too.
    """
    root = common_folder(names)
    if file.exists():
        raise SettingsError(f"{printable(str(file))}: is there already: name another file for --plan, or remove it")
    files = list(find_audio_files(names, settings.exclude, notify))
    with _new_plan(file) as out:
        header = PlanHeader(str(Path(root).resolve()), model, settings.field)
        out.write(_to_line(header))

        def note(candidate: Candidate, row: TagResult, model: str) -> TagResult:
            path = candidate.path
            try:
                audio = sha256_of_audio(path)
                if replace_file.file_stamp(path) != candidate.seen:
                    raise TagError(path, "was changed while genrelab was at work on it: run again")
            except (TagError, OSError) as e:
                return failed_result(path, e, row)
            assert row.confidence is not None, "a row with nothing to write"
            out.write(_to_line(PlanLine(path_below(root, path), audio, row.before, row.after, row.confidence)))
            return would_tag(candidate, row, model)

        for row in tag_files(files, classify, settings, note):
            show(row)


def _to_line(line: PlanHeader | PlanLine) -> bytes:
    """JSON, ASCII only where it must be: names that are not UTF-8 survive, and genres stay readable."""
    text = json.dumps(asdict(line), ensure_ascii=False) + "\n"
    try:
        return text.encode()
    except UnicodeEncodeError:
        return (json.dumps(asdict(line)) + "\n").encode()


@contextmanager
def _new_plan(file: Path) -> Iterator[BinaryIO]:
    """A file that appears at the end of the block, unless that fails."""
    try:
        with new_file(file) as out:
            yield out
    except BrokenPipeError:  # of our output, not of this file
        raise
    except OSError as e:
        raise SettingsError(f"{printable(str(file))}: cannot be written ({e.strerror}): choose another --plan") from e


# --- apply it ---


def apply_plan(file: Path, show: OnResult, *, dry_run: bool = False, on_written: OnWritten = ignore) -> Path | None:
    """Write the genres of a plan; a file that was changed since is named and left as it is.

    Args:
        file: what `make_plan` wrote; lines may have been edited or removed since.
        show: called with the result of each line.
        dry_run: only check; nothing is written.
        on_written: see `OnWritten`.

    Returns:
        The journal, None if nothing was written.

    Raises:
        SettingsError: the plan cannot be read, or its first line is not clear.
        TagError: the root is not writable, or another run is at work in it.
        TaggingInterrupted: Ctrl-C.
    """
    with _open_plan(file) as f:
        header = _read_header(file, f)
        root = Path(header.root)
        remove_leftovers = ignore if dry_run else replace_file.LeftoverRemover(root)
        with nullcontext() if dry_run else open_journal(root) as journal:
            for number, text in enumerate(f, 2):
                if text.strip():
                    found = _check_line(file, number, text, header)
                    if isinstance(found, TagResult):
                        show(found)
                    else:
                        remove_leftovers(found[0].path.parent)
                        show(_apply_line(*found, header, journal, on_written))
            return journal.path if journal is not None else None


def _apply_line(
    candidate: Candidate, row: TagResult, header: PlanHeader, journal: TagJournal | None, on_written: OnWritten
) -> TagResult:
    if journal is None:
        return would_tag(candidate, row, header.model)
    return write_tag(candidate, row, header.model, root=Path(header.root), journal=journal, on_written=on_written)


def _check_line(file: Path, number: int, text: bytes, header: PlanHeader) -> tuple[Candidate, TagResult] | TagResult:
    """The file that a line names and what is to be written into it; or a row that says why nothing is."""
    where, root = f"{file}, line {number}", Path(header.root)
    try:
        line = _parse_line(text)
    except (ValueError, RecursionError) as e:
        return TagResult(where, "failed", reason=" ".join(str(e).split()))
    path = root / line.path
    try:
        replace_file.check_inside(root, line.path)
        candidate = Candidate(path, replace_file.file_stamp(path), tags.read(path, header.field))
        before = candidate.found.genres
        row = TagResult(str(path), "tagged", before, line.new, line.confidence)
        if sha256_of_audio(path) != line.audio_sha256:
            raise TagError(path, f"is not the audio of the plan ({where}): plan again")
        if before == line.new:
            return replace(row, status="kept", after=(), reason="says the same already")
        if before != line.old:
            raise TagError(path, f"its genre was changed since the plan was made ({where}): plan again")
        replace_file.check_writable(path)
    except FileNotFoundError:
        return TagResult(str(path), "failed", reason=f"is gone, but {where} names it: plan again")
    except (TagError, OSError) as e:
        return failed_result(path, e)
    return candidate, row


# --- read it ---


@contextmanager
def _open_plan(file: Path) -> Iterator[BinaryIO]:
    try:
        f = file.open("rb")
    except OSError as e:
        raise SettingsError(f"{printable(str(file))}: cannot be read ({e.strerror}): name what --plan wrote") from e
    with f:
        yield f


def _read_header(file: Path, f: BinaryIO) -> PlanHeader:
    where = f"{printable(str(file))}, line 1"
    try:
        fields = _parse_object(f.readline().removeprefix(b"\xef\xbb\xbf"), PlanHeader)
        header = PlanHeader(**fields)
        _require(isinstance(header.root, str) and Path(header.root).is_absolute(), "root must be an absolute path")
        _require(isinstance(header.model, str) and is_printable_line(header.model), "model must be a name")
        _require(header.field is None or isinstance(header.field, str), "field must be null or a name")
        check_field(header.field)
    except (ValueError, RecursionError, SettingsError) as e:
        raise SettingsError(f"{where}: {printable(str(e))}: name a file that --plan wrote") from e
    if not Path(header.root).is_dir():
        root = printable(header.root)
        raise SettingsError(f"{where}: {root}: no such folder: correct `root` if the music was moved")
    return header


def _parse_line(text: bytes) -> PlanLine:
    fields = _parse_object(text, PlanLine)
    _require(isinstance(fields["path"], str), "path must be a text")
    audio = fields["audio_sha256"]
    _require(
        isinstance(audio, str) and bool(re.fullmatch("[0-9a-f]{64}", audio)),
        "audio_sha256 must be 64 hexadecimal digits",
    )
    for name in ("old", "new"):
        values = fields[name]
        _require(
            isinstance(values, list) and all(isinstance(v, str) for v in values), f"{name} must be a list of texts"
        )
        fields[name] = tuple(values)
    _require(bool(fields["new"]), "new names no genre: delete the line to leave the file as it is")
    for name in fields["new"]:
        _require(bool(name.strip()) and is_printable_line(name), f"new holds {name!r}, which is no name of a genre")
    confidence = fields["confidence"]
    _require(
        type(confidence) in (int, float) and 0 <= confidence <= 1,  # not of a NaN, and of a whole number of any size
        "confidence must be a number from 0 to 1",
    )
    return PlanLine(**fields)


def _parse_object(text: bytes, kind: Callable[..., PlanHeader | PlanLine]) -> dict[str, Any]:
    try:
        fields = json.loads(text)
    except ValueError as e:
        raise ValueError(f"is no JSON ({e})") from e
    names = list(kind.__annotations__)
    _require(isinstance(fields, dict) and sorted(fields) == sorted(names), f"must be an object with {', '.join(names)}")
    return dict(fields)


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)
