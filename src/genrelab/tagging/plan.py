"""A plan: what `tag` would write, for a person to read and edit before it is applied.

It is JSON Lines. The first line has the folder, the model and the field:

    {"root": "/home/me/Music", "model": "svm", "field": null}

Each other line is a file to change, with its path below the root:

    {"path": "a/b.mp3", "audio_sha256": "…", "old": ["Rock"], "new": ["Punk"], "confidence": 0.83}

If the tempo or key of the file changes, too, the line has `"tempo": {"old": [], "new": ["128"], "confidence": 0.91}` or
`"key"` in the same form. `new` is empty where the genre, the tempo or the key stays.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from genrelab.audio.content_hash import sha256_of_audio
from genrelab.audio.files import common_folder, find_audio_files, path_below
from genrelab.core.errors import SettingsError, TagError, printable
from genrelab.core.progress import Notify, ignore
from genrelab.core.text import is_printable_line, join_all
from genrelab.tagging import replace_file, tags
from genrelab.tagging.classify import Classify
from genrelab.tagging.formats import KEY, MUSIC_RULES, TEMPO, is_music_text
from genrelab.tagging.journal import FieldChange, text_tuple
from genrelab.tagging.new_file import new_file
from genrelab.tagging.tag import TagSettings, Write, check_field, is_music_field, tag_files, would_tag
from genrelab.tagging.write_tag import (
    Candidate,
    OnResult,
    OnWritten,
    TagResult,
    failed_result,
    open_journal,
    write_tag,
)

CHANGE = ("old", "new", "confidence")
"""Fields of the change of the genre, the tempo or the key."""


@dataclass(frozen=True)
class PlanHeader:
    """The first line of a plan.

    Attributes:
        root: the library, an absolute path.
        model: name of the model that chose the genres.
        field: the field to write; None: the genre field.
    """

    root: str
    model: str
    field: str | None


@dataclass(frozen=True)
class PlanLine:
    """A file to change.

    Attributes:
        path: relative to the root, with forward slashes.
        audio_sha256: of its audio without tags.
        old: its genres when the plan was made.
        new: the genres to write; empty if only tempo or key are written.
        confidence: of the model; None if it classified nothing.
        music: the changes of TEMPO and KEY.
    """

    path: str
    audio_sha256: str
    old: tuple[str, ...]
    new: tuple[str, ...]
    confidence: float | None
    music: Mapping[str, FieldChange] = field(default_factory=dict)


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
    """Write what `tag` would do with the same arguments; no audio file is changed.

    Args:
        file: the plan; it appears when it is complete.
        model: name of the model.

    Raises:
        SettingsError: the plan exists or cannot be written; see also `tag`.
    """
    root = common_folder(names)
    if file.exists():
        raise SettingsError(f"{printable(str(file))} exists: remove it, or choose another --plan")
    files = list(find_audio_files(names, settings.exclude, notify))
    with _new_plan(file) as out:
        header = PlanHeader(str(Path(root).resolve()), model, settings.field)
        out.write(_to_line(header))

        def note(candidate: Candidate, row: TagResult, model: str) -> TagResult:
            path = candidate.path
            try:
                audio = sha256_of_audio(path)
                if replace_file.file_stamp(path) != candidate.seen:
                    raise TagError(path, replace_file.CHANGED)
            except (TagError, OSError) as e:
                return failed_result(path, e, row)
            line = PlanLine(path_below(root, path), audio, row.before, row.after, row.confidence, row.new_music)
            out.write(_to_line(line))
            return would_tag(candidate, row, model)

        for row in tag_files(files, classify, settings, note):
            show(row)


def _to_line(line: PlanHeader | PlanLine) -> bytes:
    """JSON with readable genres; bytes of a name that is not UTF-8 are escaped, as in JSON."""
    fields = asdict(line)
    for name, change in fields.pop("music", {}).items():
        fields[name] = dict(zip(CHANGE, change.values(), strict=True))
    return (json.dumps(fields, ensure_ascii=False) + "\n").encode(errors="backslashreplace")


@contextmanager
def _new_plan(file: Path) -> Iterator[BinaryIO]:
    """The plan, which gets its name at the end of the block."""
    try:
        with new_file(file) as out:
            yield out
    except BrokenPipeError:  # of standard output, not of this file
        raise
    except OSError as e:
        raise SettingsError(f"{printable(str(file))}: cannot be written ({e.strerror}): choose another --plan") from e


# --- apply it ---


def apply_plan(file: Path, show: OnResult, *, dry_run: bool = False, on_written: OnWritten = ignore) -> Path | None:
    """Write the genres of a plan; a file that changed since then is reported and not written.

    Args:
        file: the plan, in which lines may have been edited or removed.
        show: called with the result of each line.
        dry_run: only check; nothing is written.
        on_written: see `OnWritten`.

    Returns:
        The journal, None if nothing was written.

    Raises:
        SettingsError: the plan cannot be read, or its first line is invalid.
        TagError: the root is not writable, or another run writes tags in it.
        TaggingInterrupted: Ctrl-C.
    """
    with _open_plan(file) as f:
        header = _read_header(file, f)
        root = Path(header.root)
        remove_leftovers = ignore if dry_run else replace_file.LeftoverRemover(root)
        with nullcontext() if dry_run else open_journal(root) as journal:
            write: Write = would_tag
            if journal is not None:
                write = partial(write_tag, root=root, journal=journal, on_written=on_written)
            for number, text in enumerate(f, 2):
                if text.strip():
                    found = _check_line(file, number, text, header)
                    if isinstance(found, TagResult):
                        show(found)
                    else:
                        remove_leftovers(found[0].path.parent)
                        show(write(*found, header.model))
            return journal.path if journal is not None else None


def _check_line(file: Path, number: int, text: bytes, header: PlanHeader) -> tuple[Candidate, TagResult] | TagResult:
    """The file of a line and what to write into it; or the result if nothing is written."""
    where, root = f"{file}, line {number}", Path(header.root)
    try:
        line = _parse_line(text, header.field)
    except (ValueError, RecursionError) as e:
        return TagResult(where, "failed", reason=" ".join(str(e).split()))
    path = root / line.path
    try:
        replace_file.check_inside(root, line.path)
        candidate = Candidate(path, replace_file.file_stamp(path), tags.read(path, header.field))
        if sha256_of_audio(path) != line.audio_sha256:
            raise TagError(path, f"its audio changed after the plan was made ({where}): make a new plan")
        row = _left_to_write(path, line, candidate.found, where)
        if row.status == "kept":
            return row
        replace_file.check_writable(path)
    except FileNotFoundError:
        return TagResult(str(path), "failed", reason=f"is gone, but listed in {where}: make a new plan")
    except (TagError, OSError) as e:
        return failed_result(path, e)
    return candidate, row


def _left_to_write(path: Path, line: PlanLine, found: tags.GenreTag, where: str) -> TagResult:
    """The result, without what the file already has; raises TagError if it has something else than the plan says."""
    now = {"genre": found.genres, **tags.read_music(path)}
    old = {"genre": line.old, **{name: change.before for name, change in line.music.items()}}
    new = {"genre": line.new, **{name: change.after for name, change in line.music.items()}}
    left = {n: values for n, values in new.items() if values and now[n] != values and not found.has_music(n, values)}
    if changed := [name for name in left if now[name] != old[name]]:
        raise TagError(path, f"its {join_all(changed)} changed after the plan was made ({where}): make a new plan")
    music = {name: change for name, change in line.music.items() if name in left}
    if odd := [name for name in music if name not in found.music]:
        raise TagError(path, f"its {odd[0]} is not plain text: delete `{odd[0]}` in {where} to leave it as it is")
    row = TagResult(str(path), "tagged", found.genres, left.get("genre", ()), line.confidence, music=music)
    has = join_all([name for name, values in new.items() if values])
    return row if left else replace(row, status="kept", reason=f"has this {has}")


# --- read it ---


def _open_plan(file: Path) -> BinaryIO:
    try:
        return file.open("rb")
    except OSError as e:
        reason = f"cannot be read ({e.strerror}): give a file written by --plan"
        raise SettingsError(f"{printable(str(file))}: {reason}") from e


def _read_header(file: Path, f: BinaryIO) -> PlanHeader:
    where = f"{printable(str(file))}, line 1"
    try:
        line = f.readline().removeprefix(b"\xef\xbb\xbf")
        header = PlanHeader(**_parse_object(line, tuple(PlanHeader.__annotations__)))
        _require(isinstance(header.root, str) and Path(header.root).is_absolute(), "root must be an absolute path")
        _require(isinstance(header.model, str) and is_printable_line(header.model), "model must be a name")
        _require(header.field is None or isinstance(header.field, str), "field must be null or a name")
        check_field(header.field)
    except (ValueError, RecursionError, SettingsError) as e:
        raise SettingsError(f"{where}: {printable(str(e))}: correct this line, or give a file written by --plan") from e
    if not Path(header.root).is_dir():
        root = printable(header.root)
        raise SettingsError(f"{where}: {root}: no such folder: change `root` if the music was moved")
    return header


def _parse_line(text: bytes, field: str | None) -> PlanLine:
    fields = _parse_object(text, ("path", "audio_sha256", *CHANGE), optional=(TEMPO, KEY))
    _require(isinstance(fields["path"], str), "path must be a string")
    audio = fields["audio_sha256"]
    is_hash = isinstance(audio, str) and re.fullmatch("[0-9a-f]{64}", audio) is not None
    _require(is_hash, "audio_sha256 must be 64 hexadecimal digits")
    genre = _parse_change({name: fields[name] for name in CHANGE}, "")
    changes = {name: _parse_change(fields[name], f"{name}: ") for name in (TEMPO, KEY) if name in fields}
    music = {name: change for name, change in changes.items() if change.after}  # the others stay
    _require(bool(genre.after or music), "new is empty: delete the line to leave the file as it is")
    _require(not (music and is_music_field(field)), f"field {field} in line 1 is one of tempo or key: change it there")
    for name in genre.after:
        _require(bool(name.strip()) and is_printable_line(name), f"new has {name!r}, which cannot be a genre")
    for name, change in music.items():
        _require(is_music_text(name, change.after), f"{name}: new must be {MUSIC_RULES[name]}")
    return PlanLine(fields["path"], audio, genre.before, genre.after, genre.confidence, music)


def _parse_change(change: Any, where: str) -> FieldChange:
    _require(isinstance(change, dict) and {*change} == {*CHANGE}, f"{where}must be an object with {', '.join(CHANGE)}")
    old, new = (text_tuple(change[name], f"{where}{name}") for name in ("old", "new"))
    confidence = change["confidence"]
    valid = type(confidence) in (int, float) and 0 <= confidence <= 1  # neither NaN nor a boolean
    _require(valid or (confidence is None and not new), f"{where}confidence must be a number from 0 to 1")
    return FieldChange(old, new, confidence)


def _parse_object(text: bytes, names: Sequence[str], optional: Sequence[str] = ()) -> dict[str, Any]:
    try:
        fields = json.loads(text)
    except ValueError as e:
        raise ValueError("is not JSON") from e
    complete = isinstance(fields, dict) and set(names) <= set(fields) <= {*names, *optional}
    _require(complete, f"must be an object with {', '.join(names)}")
    return dict(fields)


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)
