"""The training files of `learn` and their genres: from folders, tags, and a person's corrections."""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from os.path import realpath
from pathlib import Path

from genrelab.audio.file_tags import FileTags, read_file_tags
from genrelab.audio.files import find_audio_files, why_unreadable
from genrelab.core.errors import DatasetError, DecodeError, SettingsError, TagError, printable
from genrelab.core.text import is_printable_line, join_first, pluralize
from genrelab.datasets.artists import tags_of
from genrelab.datasets.base import DatasetOptions
from genrelab.datasets.registry import detect, load_dataset
from genrelab.identity.artist_names import name_key, people_in
from genrelab.identity.artists import Credit
from genrelab.identity.genre_names import spelling_key
from genrelab.identity.genres import join_genres, separate_genres
from genrelab.predict.prediction import UNKNOWN
from genrelab.tagging import tags

SOURCES = ("folders", "tags")

MIN_PER_GENRE = 2
"""With one track of a genre, none would be left for a test."""


@dataclass(frozen=True)
class LabelledFile:
    """A file, its genre, its artist if known, and its credit as written."""

    path: Path
    genre: str
    artist: str | None
    credit: Credit = Credit()  # noqa: RUF009 - it is frozen
    recording: str | None = None  # equal for pieces of one recording


@dataclass(frozen=True)
class LabelledFiles:
    """The training files of `learn`.

    Attributes:
        files: sorted by path; with `--all-values` a file is there once for each of its genres.
        failed: file → why it cannot be used.
        notes: remarks, one sentence each.
    """

    files: tuple[LabelledFile, ...]
    failed: dict[str, str]
    notes: tuple[str, ...]

    @property
    def genres(self) -> tuple[str, ...]:
        """Names of the genres, sorted."""
        return tuple(sorted({f.genre for f in self.files}))


def from_folders(
    root: Path, artists: Path | None, *, keep_spellings: bool = False, group_column: str | None = None
) -> LabelledFiles:
    """The tracks of a collection, with the genres of their folders, or of another dataset that `load_dataset` finds.

    Args:
        artists: CSV with the columns id and artist.
        keep_spellings: folders with spellings of one genre stay different genres.
        group_column: column of a table; equal cells are pieces of one recording.

    Raises:
        DatasetError: ROOT contains no labelled audio.
    """
    _check_is_labelled(root)
    options = DatasetOptions(artists=artists, keep_spellings=keep_spellings, group_column=group_column)
    dataset = load_dataset(root, options=options)
    if dataset.features is not None:
        raise DatasetError(f"{root}: a table of features has no audio: give a folder of music")
    usable = [t for t in dataset.tracks if t.path is not None and t.genre is not None and t.problem is None]
    files = (LabelledFile(dataset.root / str(t.path), str(t.genre), t.artist, t.credit, t.recording) for t in usable)
    failed = {str(dataset.root / (t.path or t.track_id)): t.problem for t in dataset.tracks if t.problem is not None}
    found = tuple(sorted(files, key=lambda f: f.path))
    _check_folders_are_genres(root, found)
    return LabelledFiles(found, failed, (dataset.summary, *dataset.notes))


def _check_is_labelled(root: Path) -> None:
    """Raise DatasetError with the remedy if a folder has no folders of genres."""
    if not root.exists() or (root.is_file() and root.suffix.lower() in (".csv", ".parquet")):
        return  # `load_dataset` reports the error
    try:
        detect(root)
    except DatasetError as e:
        if root.is_file():
            raise DatasetError(f"{root} is a file: give the folder that contains one folder per genre") from e
        n = sum(isinstance(path, Path) for path in find_audio_files([root]))
        if not n:
            raise DatasetError(f"{root}: no audio files in this folder or below it") from e
        raise DatasetError(
            f"{root} has {pluralize(n, 'audio file')}, but no folder per genre: if this is one genre, give the folder "
            "above it; or add --labels tags to use the genres in the tags"
        ) from e


def _check_folders_are_genres(root: Path, files: Sequence[LabelledFile]) -> None:
    """Raise DatasetError if most folders have the name of their artist, as in Artist/Album/song.mp3."""
    artists: dict[str, list[set[str]]] = defaultdict(list)
    for f in files:
        people = people_in((f.artist or "", *f.credit.names, *f.credit.album_names))
        artists[f.genre].append({name_key(name) for name in (f.artist or "", *people)})
    same = sum(all(name_key(genre) in credited for credited in found) for genre, found in artists.items())
    if same > len(artists) / 2:
        raise DatasetError(
            f"{root}: its folders seem to be artists, not genres ({same} of {len(artists)} are named after the artist "
            "of their tracks): add --labels tags to use the genres in the tags"
        )


def from_tags(root: Path, *, all_values: bool, keep_spellings: bool = False) -> LabelledFiles:
    """The files below a folder with a genre in their tags: the first of several, or with `all_values` each of them.

    Spellings of one genre (`Hip Hop`, `hip-hop`) are joined under the most frequent one; texts such as `Other` are no
    genre.

    Args:
        keep_spellings: genres stay as they are written.

    Raises:
        DatasetError: no file has a genre.
    """
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder")
    passed_over: list[str] = []
    paths = list(find_audio_files([root], notify=passed_over.append))
    n_files = sum(isinstance(path, Path) for path in paths)
    read, failed = _read_all(paths)
    labels, notes = _label(read, all_values=all_values, keep=keep_spellings)
    if not n_files:
        raise DatasetError(f"{root}: no audio files in this folder or below it")
    if not labels:
        raise DatasetError(
            f"{root}: none of {pluralize(n_files, 'audio file')} has a genre in its tags: use --labels folders if "
            "folders are genres"
        )
    files = sorted((_labelled(path, genre, read[path]) for path, genre in labels), key=lambda f: (f.path, f.genre))
    n_labelled = len({f.path for f in files})
    counts = f"{pluralize(n_labelled, 'file')} with a genre in the tags, {n_files - n_labelled} without"
    return LabelledFiles(tuple(files), failed, (counts, *notes, *passed_over))


def _read_all(paths: Iterable[Path | DecodeError]) -> tuple[dict[Path, FileTags], dict[str, str]]:
    """The tags of files, and why those of the others cannot be used."""
    read: dict[Path, FileTags] = {}
    failed: dict[str, str] = {}
    for path in paths:
        try:
            if isinstance(path, DecodeError):
                raise path
            read[path] = _readable(path)
        except (TagError, DecodeError) as e:
            failed[str(e.path)] = e.reason
        except OSError as e:
            failed[str(path)] = why_unreadable(Path(e.filename or "")) or e.strerror or str(e)
    return read, failed


def _readable(path: Path) -> FileTags:
    """The tags of a file; raises TagError if they cannot be used, and OSError."""
    found = read_file_tags(path)
    if not found.genres:
        tags.read(path)  # an error if the file is damaged
    if unusable := [g for g in found.genres if not is_printable_line(g)]:
        raise TagError(path, f"its genre has invalid characters: {unusable[0][:80]!r}")
    return found


def _label(read: Mapping[Path, FileTags], *, all_values: bool, keep: bool) -> tuple[list[tuple[Path, str]], list[str]]:
    """(file, genre) for each genre that is used, and notes on the written ones."""
    written = {path: found.genres for path, found in read.items() if found.genres}
    known = {spelling_key(genre) for texts in written.values() for genre in separate_genres(texts)}
    if not keep:  # texts that name no genre stay, for their note
        written = {path: separate_genres(texts, known) or ("; ".join(texts),) for path, texts in written.items()}
    labels = [(path, g) for path, genres in written.items() for g in (genres if all_values else genres[:1])]
    joined = join_genres([genre for _, genre in labels], keep_spellings=keep)
    notes = list(joined.notes)
    several = [genres for genres in written.values() if len(genres) > 1]
    if several and not all_values:
        example = " and ".join(several[0][:2])
        note = f"{pluralize(several, 'file')} with several genres, such as {example}: the first one is used"
        notes.append(f"{note} (--all-values uses all)")
    return [(path, g) for (path, _), g in zip(labels, joined.names, strict=True) if g is not None], notes


def _labelled(path: Path, genre: str, read: FileTags) -> LabelledFile:
    people = people_in(read.credit.names or read.credit.album_names)
    return LabelledFile(path, genre, read.credit.text if people else None, read.credit)


def apply_corrections(labelled: LabelledFiles, table: Path, root: Path) -> LabelledFiles:
    """The files with a person's corrections: another genre, a further file, or no genre to leave a file out.

    Another spelling of a known genre (`hip hop` for `Hip-Hop`) is that genre.

    Args:
        table: CSV with the columns path (relative to `root`, or absolute) and genre.

    Raises:
        SettingsError: the table cannot be used, or names a missing file; the message names the line.
    """
    by_path = {realpath(f.path): f for f in labelled.files}
    decided = _read_corrections(table, root)
    known = set(labelled.genres)
    spelled = {spelling_key(genre): genre for genre in labelled.genres}
    kept = [f for f in labelled.files if realpath(f.path) not in decided]
    for key, (path, wanted) in decided.items():
        genre = wanted if wanted in known else spelled.get(spelling_key(wanted), wanted)
        if genre and key in by_path:
            kept.append(replace(by_path[key], genre=genre))
        elif genre:
            kept.append(_labelled(path, genre, tags_of(path)))
    files = tuple(sorted(kept, key=lambda f: (f.path, f.genre)))
    failed = {path: why for path, why in labelled.failed.items() if realpath(path) not in decided}
    return LabelledFiles(files, failed, (*labelled.notes, f"{pluralize(decided, 'correction')} from {table.name}"))


def _read_corrections(table: Path, root: Path) -> dict[str, tuple[Path, str]]:
    try:
        text = table.read_bytes().decode("utf-8-sig")
    except OSError as e:
        raise SettingsError(f"{table}: {e.strerror}: --corrections needs a CSV with the columns path and genre") from e
    except UnicodeDecodeError as e:
        raise SettingsError(f"{table} is not UTF-8: save it as UTF-8") from e
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    decided: dict[str, tuple[Path, str]] = {}
    try:
        if not {"path", "genre"} <= set(rows.fieldnames or ()):
            raise SettingsError(f"{table}: its first line must name the columns path and genre")
        for row in rows:
            path, genre = root / (row["path"] or ""), " ".join((row["genre"] or "").split())
            if not row["path"] or not path.is_file():
                raise SettingsError(f"{table}, line {rows.line_num}: no such file: {printable(str(path))}")
            if not is_printable_line(genre):
                raise SettingsError(f"{table}, line {rows.line_num}: the genre has invalid characters: {genre[:80]!r}")
            decided[realpath(path)] = (path, genre)
    except csv.Error as e:
        raise SettingsError(f"{table}, line {rows.reader.line_num}: not CSV: is a quotation mark missing?") from e
    return decided


def without_small_genres(labelled: LabelledFiles) -> LabelledFiles:
    """The files without genres of fewer than `MIN_PER_GENRE` files and without `unknown`, with notes on them.

    Raises:
        DatasetError: fewer than two genres are left.
    """
    labelled = _without_unknown(labelled)
    sizes = Counter(f.genre for f in labelled.files)
    small = sorted(g for g, n in sizes.items() if n < MIN_PER_GENRE)
    if len(sizes) - len(small) < 2:
        raise DatasetError(
            f"at least two genres with {MIN_PER_GENRE} tracks each are needed. Found: "
            f"{join_first([f'{g} {n}' for g, n in sizes.most_common()]) or 'none'}"
        )
    paths = {f.path for f in labelled.files}
    n_alone = len(paths - {f.path for f in _without(labelled.files, small)})
    if n_alone > len(paths) / 2:
        raise DatasetError(
            f"tracks that are alone in their genre: {n_alone:,} of {len(paths):,} ({join_first(small)}): are these "
            "genres? At least two tracks of each are needed"
        )
    if not small:
        return labelled
    note = f"genres with only one track left out: {join_first(small)}"
    return replace(labelled, files=_without(labelled.files, small), notes=(*labelled.notes, note))


def _without_unknown(labelled: LabelledFiles) -> LabelledFiles:
    """The files without a genre called `unknown`, which is a model's answer when it names no genre."""
    names = [g for g in labelled.genres if g.casefold() == UNKNOWN]
    if not names:
        return labelled
    left = _without(labelled.files, names)
    n = pluralize(len(labelled.files) - len(left), "track")
    note = f"{n} of the genre {', '.join(names)} left out: a model gives this answer when it names no genre"
    return replace(labelled, files=left, notes=(*labelled.notes, note))


def _without(files: Iterable[LabelledFile], genres: Iterable[str]) -> tuple[LabelledFile, ...]:
    left_out = set(genres)
    return tuple(f for f in files if f.genre not in left_out)
