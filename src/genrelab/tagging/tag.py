"""Chooses the files of a library to classify, and the genres, tempo and key to write into each.

`write_tag.py` writes them, `untag.py` restores the earlier tags, `plan.py` writes a plan instead.
"""

from __future__ import annotations

import dataclasses
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from genrelab.audio.file_tags import field_of
from genrelab.audio.files import common_folder, find_audio_files, why_unreadable
from genrelab.core.errors import DecodeError, SettingsError, TagError
from genrelab.core.progress import Notify, ignore
from genrelab.core.text import join_all, join_first
from genrelab.predict.prediction import Prediction
from genrelab.tagging import replace_file, tags
from genrelab.tagging.classify import Classify, GenreChoice, find_music
from genrelab.tagging.formats import KEY, TEMPO
from genrelab.tagging.journal import FieldChange
from genrelab.tagging.write_tag import (
    Candidate,
    OnResult,
    OnWritten,
    TagResult,
    failed_result,
    open_journal,
    write_tag,
)

Write = Callable[[Candidate, TagResult, str], TagResult]
"""Writes a row into a file, and returns the result; the text is the model's name."""


@dataclass(frozen=True)
class TagSettings:
    """What is written, and where.

    Attributes:
        choice: which genres are written, and their names.
        overwrite: also replace genres, tempos and keys that files have.
        field: write into this field, and keep the genre field.
        dry_run: only report what would be done; nothing is written into the library.
        exclude: patterns of excluded files (see `find_audio_files`).
        write_tempo_key: also write tempo and key; predictions must have a `description`.
    """

    choice: GenreChoice = dataclasses.field(default_factory=GenreChoice)
    overwrite: bool = False
    field: str | None = None
    dry_run: bool = False
    exclude: Sequence[str] = ()
    write_tempo_key: bool = False

    def __post_init__(self) -> None:
        check_field(self.field)
        if self.write_tempo_key and is_music_field(self.field):
            raise SettingsError(
                f"--write-tempo-key writes into {self.field}, too: give --subgenre-field another name, such as SUBGENRE"
            )


def check_field(name: str | None) -> None:
    """Raise SettingsError if this cannot be the name of a field for genres; None is the genre field."""
    if name is not None and (not re.fullmatch(r"[ -9;<>-}]{2,64}", name) or name.strip() != name):
        raise SettingsError(f"--subgenre-field must be 2 to 64 ASCII characters other than = : ~. Received: {name!r}")
    if name is not None and name.casefold() in ("genre", tags.PROVENANCE.casefold()):
        taken = f"GENRE or {tags.PROVENANCE}"
        raise SettingsError(f"--subgenre-field must not be {taken}: use a name such as SUBGENRE. Received: {name}")


def is_music_field(name: str | None) -> bool:
    """Is this field read as tempo or key?"""
    return name is not None and field_of(name) in (TEMPO, KEY)


def tag(
    names: Sequence[str | Path],
    classify: Classify,
    settings: TagSettings,
    show: OnResult,
    on_written: OnWritten = ignore,
    notify: Notify = ignore,
) -> Path | None:
    """Write the genre into every file that has none; files with a genre are not classified.

    With `write_tempo_key` a file is classified if it has no genre, no tempo or no key.

    Args:
        names: files and folders. The journal is in their common folder.
        classify: see `Classify`.
        settings: what is written.
        show: called with the result of each file, in order.
        on_written: see `OnWritten`.
        notify: called with remarks of the search for files.

    Returns:
        The journal, None if nothing was written.

    Raises:
        TagError: the common folder is not writable, or another run writes tags in it.
        SettingsError: no name exists, or all files are excluded.
        TaggingInterrupted: Ctrl-C.
    """
    if not names:
        return None
    root = common_folder(names)
    files = list(find_audio_files(names, settings.exclude, notify))
    if settings.dry_run:
        for row in tag_files(files, classify, settings, would_tag):
            show(row)
        return None
    with open_journal(root) as journal:
        remove_leftovers = replace_file.LeftoverRemover(root)
        for file in files:
            if isinstance(file, Path):
                remove_leftovers(file.parent)
        write = partial(write_tag, root=root, journal=journal, on_written=on_written)
        for row in tag_files(files, classify, settings, write):
            show(row)
        return journal.path


def would_tag(candidate: Candidate, row: TagResult, model: str) -> TagResult:
    """A `Write` that writes nothing."""
    return replace(row, status="would tag")


def tag_files(
    files: Iterable[Path | DecodeError], classify: Classify, settings: TagSettings, write: Write
) -> Iterator[TagResult]:
    """The result of each file, in order; `write` is called for each file to change."""
    unread = _keep(dict.fromkeys((TEMPO, KEY), ())) if settings.write_tempo_key else {}
    for row in _tag_each(files, classify, settings, write):
        yield row if row.music else replace(row, music=unread)


def _tag_each(
    files: Iterable[Path | DecodeError], classify: Classify, settings: TagSettings, write: Write
) -> Iterator[TagResult]:
    waiting: deque[Candidate | TagResult] = deque()

    def files_to_classify() -> Iterator[Path]:
        for path in files:
            found = _check_file(path, settings)
            waiting.append(found)
            if isinstance(found, Candidate):
                yield found.path

    for prediction in classify(files_to_classify()):
        while isinstance(next_one := waiting.popleft(), TagResult):
            yield next_one
        assert prediction.path == str(next_one.path), "the prediction belongs to another file"
        row = _decide(next_one, prediction, settings)
        yield write(next_one, row, prediction.model) if row.after or row.new_music else row
    for rest in waiting:
        yield rest if isinstance(rest, TagResult) else TagResult(str(rest.path), "failed", reason="not classified")


def _check_file(path: Path | DecodeError, settings: TagSettings) -> Candidate | TagResult:
    if isinstance(path, DecodeError):  # a folder that cannot be listed
        return failed_result(Path(path.path), path)
    if reason := why_unreadable(path):
        return TagResult(str(path), "failed", reason=reason)
    if path.is_symlink():
        return TagResult(str(path), "kept", reason="a link, not followed")
    try:
        seen = replace_file.file_stamp(path)
        music = tags.read_music(path) if settings.write_tempo_key else {}
        if not settings.overwrite and all(music.values()) and (genres := tags.read_genres(path, settings.field)):
            reason = "has a genre, tempo and key" if music else "has a genre"
            return TagResult(str(path), "kept", genres, reason=reason, music=_keep(music))
        candidate = Candidate(path, seen, tags.read(path, settings.field), music)
        replace_file.check_writable(path)  # before an hour of classifying, and also with --dry-run
    except (TagError, OSError) as e:
        return failed_result(path, e)
    return candidate


def _keep(music: Mapping[str, tuple[str, ...]]) -> dict[str, FieldChange]:
    return {name: FieldChange(before, (), None) for name, before in music.items()}


def _decide(candidate: Candidate, prediction: Prediction, settings: TagSettings) -> TagResult:
    """The result, with the genres to write in `after`, and tempo and key in `music`."""
    path, before = str(candidate.path), candidate.found.genres
    if prediction.error is not None or prediction.genre is None or prediction.confidence is None:
        reason = prediction.error or "not classified"
        return TagResult(path, "failed", before, reason=reason, music=_keep(candidate.music))
    only_music = bool(before) and not settings.overwrite  # its tempo or key is missing
    row = TagResult(path, "kept", before) if only_music else _decide_genre(candidate, prediction, settings.choice)
    music, odd = _decide_music(candidate, prediction, overwrite=settings.overwrite)
    row = replace(row, music=music)
    genre = ("keeps its genre" if row.new_music else "has a genre") if only_music else row.reason
    reasons = (genre, f"keeps its {join_all(odd)} (not plain text)" if odd else None)
    status = "tagged" if row.new_music else row.status
    return replace(row, status=status, reason="; ".join(filter(None, reasons)) or None)


def _decide_music(
    candidate: Candidate, prediction: Prediction, *, overwrite: bool
) -> tuple[dict[str, FieldChange], list[str]]:
    """The changes of tempo and key, and the names of those that stay as their values are not plain text."""
    changes, odd = _keep(candidate.music), []
    for name, value in find_music(prediction).items() if candidate.music else ():
        before, after = candidate.music[name], (value.text,)
        there = value.is_in(before) or candidate.found.has_music(name, after)
        wanted = value.counts and (overwrite or not before) and not there
        if wanted and name not in candidate.found.music:
            odd.append(name)
        changes[name] = FieldChange(before, after if wanted and name not in odd else (), value.confidence)
    return changes, odd


def _decide_genre(candidate: Candidate, prediction: Prediction, choice: GenreChoice) -> TagResult:
    path, before, confidence = str(candidate.path), candidate.found.genres, prediction.confidence
    genres = choice.genres(prediction)
    if not genres:
        return TagResult(path, "unsure", before, (), confidence, choice.doubt(prediction))
    names = choice.names(genres)
    if not names:
        return TagResult(path, "kept", before, (), confidence, f"--genre-map has no name for {join_first(genres)}")
    if choice.same(before, names):  # the owner's spelling is kept
        return TagResult(path, "kept", before, (), confidence, "has this genre")
    placeholder = candidate.found.no_genre
    reason = f"replaces {join_first(placeholder)}, which is not a genre" if placeholder else None
    return TagResult(path, "tagged", before, names, confidence, reason)
