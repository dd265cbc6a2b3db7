"""Which files `learn` learns from, and as what: folders, the genres in their tags, and a person's corrections."""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from os.path import realpath
from pathlib import Path

from genrelab.audio.file_tags import FileTags, read_file_tags
from genrelab.audio.files import find_audio_files
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
"""With one track of a genre none would be left to find out whether it is recognised."""


@dataclass(frozen=True)
class LabelledFile:
    """A file, the genre that it is learned as, its artist where known, and who it is credited to as written."""

    path: Path
    genre: str
    artist: str | None
    credit: Credit = Credit()  # noqa: RUF009 - it is frozen
    recording: str | None = None  # equal for files that are known to be pieces of one recording


@dataclass(frozen=True)
class LabelledFiles:
    """What `learn` learns from.

    Attributes:
        files: sorted by path; with `--all-values` a file may be there once for each of its genres.
        failed: file → why it cannot be used.
        notes: findings of the reading, one sentence each.
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
    """The tracks of a collection, as their folders (or what else `load_dataset` finds) say.

    Args:
        artists: CSV with the columns id and artist.
        keep_spellings: folders whose names are spellings of one genre stay several genres.
        group_column: of a table: equal cells are pieces of one recording.

    Raises:
        DatasetError: ROOT holds no labelled audio.
    """
    _check_is_labelled(root)
    options = DatasetOptions(artists=artists, keep_spellings=keep_spellings, group_column=group_column)
    dataset = load_dataset(root, options=options)
    if dataset.features is not None:
        raise DatasetError(f"{root}: a table of features holds no audio to learn from: name a folder of music")
    usable = [t for t in dataset.tracks if t.path is not None and t.genre is not None and t.problem is None]
    files = (LabelledFile(dataset.root / str(t.path), str(t.genre), t.artist, t.credit, t.recording) for t in usable)
    failed = {str(dataset.root / (t.path or t.track_id)): t.problem for t in dataset.tracks if t.problem is not None}
    found = tuple(sorted(files, key=lambda f: f.path))
    _check_folders_are_genres(root, found)
    return LabelledFiles(found, failed, dataset.notes)


def _check_is_labelled(root: Path) -> None:
    """Raises DatasetError with what to do where a folder has no folders of genres."""
    if not root.exists() or (root.is_file() and root.suffix.lower() in (".csv", ".parquet")):
        return  # `load_dataset` says what it can and cannot do with it
    try:
        detect(root)
    except DatasetError as e:
        if root.is_file():
            raise DatasetError(f"{root}: is a file: name the folder that holds a folder for each genre") from e
        n = sum(isinstance(path, Path) for path in find_audio_files([root]))
        if not n:
            raise DatasetError(f"{root}: no audio in this folder or below it") from e
        raise DatasetError(
            f"{root}: holds {pluralize(n, 'audio file')} but no folder for each genre: name the folder above it if "
            "this is one genre, or add --labels tags to learn from the genres in the files"
        ) from e


def _check_folders_are_genres(root: Path, files: Sequence[LabelledFile]) -> None:
    """Raises DatasetError where most folders have the name of their artist: Artist/Album/song.mp3."""
    artists: dict[str, list[set[str]]] = defaultdict(list)
    for f in files:
        people = people_in((f.artist or "", *f.credit.names, *f.credit.album_names))
        artists[f.genre].append({name_key(name) for name in (f.artist or "", *people)})
    same = sum(all(name_key(genre) in credited for credited in found) for genre, found in artists.items())
    if same > len(artists) / 2:
        raise DatasetError(
            f"{root}: its folders look like artists, not genres ({same} of {len(artists)} have the artist's name): add "
            "--labels tags to learn from the genres in the files"
        )


def from_tags(root: Path, *, all_values: bool, keep_spellings: bool = False) -> LabelledFiles:
    """The files below a folder whose tags hold a genre: of several the first, or with `all_values` each of them.

    Spellings of one genre (`Hip Hop`, `hip-hop`) are joined under the one that most files have; texts such as `Other`
    are no genre.

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
        raise DatasetError(f"{root}: no audio in this folder or below it")
    if not labels:
        raise DatasetError(
            f"{root}: none of {pluralize(n_files, 'audio file')} has a genre in its tags; --labels folders learns from "
            "folders"
        )
    files = sorted((_labelled(path, genre, read[path]) for path, genre in labels), key=lambda f: (f.path, f.genre))
    n_labelled = len({f.path for f in files})
    counts = f"{pluralize(n_labelled, 'file')} with a genre in the tags, {n_files - n_labelled} without"
    return LabelledFiles(tuple(files), failed, (counts, *notes, *passed_over))


def _read_all(paths: Iterable[Path | DecodeError]) -> tuple[dict[Path, FileTags], dict[str, str]]:
    """The tags of files, and why those of others cannot be used."""
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
            failed[str(path)] = e.strerror or str(e)
    return read, failed


def _readable(path: Path) -> FileTags:
    """The tags of a file; raises TagError where they cannot be used, and OSError."""
    found = read_file_tags(path)
    if not found.genres:
        tags.read(path)  # says what is wrong with the file, if that is why
    if unusable := [g for g in found.genres if not is_printable_line(g)]:
        raise TagError(path, f"its genre cannot be used: {unusable[0][:80]!r}")
    return found


def _label(read: Mapping[Path, FileTags], *, all_values: bool, keep: bool) -> tuple[list[tuple[Path, str]], list[str]]:
    """(file, genre) for each genre that is learned, and what became of those that were written."""
    written = {path: found.genres for path, found in read.items() if found.genres}
    known = {spelling_key(genre) for texts in written.values() for genre in separate_genres(texts)}
    if not keep:  # texts that name no genre stay, for the note on them
        written = {path: separate_genres(texts, known) or ("; ".join(texts),) for path, texts in written.items()}
    labels = [(path, g) for path, genres in written.items() for g in (genres if all_values else genres[:1])]
    joined = join_genres([genre for _, genre in labels], keep_spellings=keep)
    notes = list(joined.notes)
    several = [genres for genres in written.values() if len(genres) > 1]
    if several and not all_values:
        example = " and ".join(several[0][:2])
        note = f"{pluralize(several, 'file')} with several genres, of which the first counts, such as {example}"
        notes.append(f"{note}: --all-values learns each")
    return [(path, g) for (path, _), g in zip(labels, joined.names, strict=True) if g is not None], notes


def _labelled(path: Path, genre: str, read: FileTags) -> LabelledFile:
    people = people_in(read.credit.names or read.credit.album_names)
    return LabelledFile(path, genre, read.credit.text if people else None, read.credit)


def apply_corrections(labelled: LabelledFiles, table: Path, root: Path) -> LabelledFiles:
    """The same files with a person's decisions: a genre instead of another, a further file, or none where it is empty.

    A genre that is there in another spelling (`hip hop` beside `Hip-Hop`) is that genre.

    Args:
        table: CSV with the columns path (relative to `root`, or absolute) and genre.

    Raises:
        SettingsError: the table cannot be used, or names a file that is not there; the message names the line.
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
        raise SettingsError(f"{table}: is not UTF-8: save it as UTF-8") from e
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
                raise SettingsError(f"{table}, line {rows.line_num}: the genre cannot be {genre[:80]!r}")
            decided[realpath(path)] = (path, genre)
    except csv.Error as e:
        raise SettingsError(f"{table}, line {rows.reader.line_num}: is no CSV ({e}): is a quote open?") from e
    return decided


def without_small_genres(labelled: LabelledFiles) -> LabelledFiles:
    """The same without genres of fewer than `MIN_PER_GENRE` files and without `unknown`, which notes name.

    Raises:
        DatasetError: fewer than two genres are left.
    """
    labelled = _without_unknown(labelled)
    sizes = Counter(f.genre for f in labelled.files)
    small = sorted(g for g, n in sizes.items() if n < MIN_PER_GENRE)
    if len(sizes) - len(small) < 2:
        raise DatasetError(
            f"two genres with {MIN_PER_GENRE} tracks or more are needed to tell them apart. Found: "
            f"{join_first([f'{g} {n}' for g, n in sizes.most_common()]) or 'none'}"
        )
    paths = {f.path for f in labelled.files}
    n_alone = len(paths - {f.path for f in _without(labelled.files, small)})
    if n_alone > len(paths) / 2:
        raise DatasetError(
            f"{n_alone} of {pluralize(paths, 'track')} stand alone in their genre ({join_first(small)}): are "
            "these genres? Two tracks of each or more are needed"
        )
    if not small:
        return labelled
    note = f"left out, as one track is too few: {join_first(small)}"
    return replace(labelled, files=_without(labelled.files, small), notes=(*labelled.notes, note))


def _without_unknown(labelled: LabelledFiles) -> LabelledFiles:
    """The same without a genre called `unknown`: that is what a model answers where it names no genre."""
    names = [g for g in labelled.genres if g.casefold() == UNKNOWN]
    if not names:
        return labelled
    left = _without(labelled.files, names)
    n = pluralize(len(labelled.files) - len(left), "track")
    note = f"left out: {n} of the genre {', '.join(names)}, as that is what a model answers where it names no genre"
    return replace(labelled, files=left, notes=(*labelled.notes, note))


def _without(files: Iterable[LabelledFile], genres: Iterable[str]) -> tuple[LabelledFile, ...]:
    left_out = set(genres)
    return tuple(f for f in files if f.genre not in left_out)
