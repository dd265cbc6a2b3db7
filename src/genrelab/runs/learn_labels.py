"""Which files `learn` learns from, and as what: folders, the genres in their tags, and a person's corrections."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from genrelab.audio.files import find_audio_files
from genrelab.core.errors import DatasetError, DecodeError, SettingsError, TagError, printable
from genrelab.core.genre_names import spelling_key
from genrelab.core.text import is_printable_line, join_first, pluralize
from genrelab.datasets.artists import NO_ARTIST, fold_name
from genrelab.datasets.base import DatasetOptions
from genrelab.datasets.registry import detect, load_dataset
from genrelab.predict.prediction import UNKNOWN
from genrelab.tagging import tags

SOURCES = ("folders", "tags")

MIN_PER_GENRE = 2
"""With one track of a genre none would be left to find out whether it is recognised."""


@dataclass(frozen=True)
class LabelledFile:
    """A file, the genre that it is learned as, and its artist where known."""

    path: Path
    genre: str
    artist: str | None


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


def from_folders(root: Path, artists: Path | None) -> LabelledFiles:
    """The tracks of a collection, as their folders (or what else `load_dataset` finds) say.

    Args:
        artists: CSV with the columns id and artist.

    Raises:
        DatasetError: ROOT holds no labelled audio.
    """
    _check_is_labelled(root)
    dataset = load_dataset(root, options=DatasetOptions(artists=artists))
    if dataset.features is not None:
        raise DatasetError(f"{root}: a table of features holds no audio to learn from: name a folder of music")
    usable = [t for t in dataset.tracks if t.path is not None and t.genre is not None and t.problem is None]
    files = (LabelledFile(dataset.root / str(t.path), str(t.genre), t.artist) for t in usable)
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
    artists: dict[str, set[str]] = defaultdict(set)
    for f in files:
        artists[f.genre].add(fold_name(f.artist or ""))
    same = sum(found == {fold_name(genre)} for genre, found in artists.items())
    if same > len(artists) / 2:
        raise DatasetError(
            f"{root}: its folders look like artists, not genres ({same} of {len(artists)} have the artist's name): add "
            "--labels tags to learn from the genres in the files"
        )


def from_tags(root: Path, *, all_values: bool) -> LabelledFiles:
    """The files below a folder whose tags hold a genre: of several the first, or with `all_values` each of them.

    Spellings of one genre (`Hip Hop`, `hip-hop`) are joined under the one that most files have.

    Raises:
        DatasetError: no file has a genre.
    """
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder")
    found: list[LabelledFile] = []
    failed: dict[str, str] = {}
    n_files = 0
    for path in find_audio_files([root]):
        try:
            if isinstance(path, DecodeError):
                raise path
            n_files += 1
            genres = _separate(tags.read(path).genres)
            if unusable := [g for g in genres if not is_printable_line(g)]:
                raise TagError(path, f"its genre cannot be used: {unusable[0][:80]!r}")
            found += [LabelledFile(path, g, _artist(path)) for g in (genres if all_values else genres[:1])]
        except (TagError, DecodeError) as e:
            failed[str(e.path)] = e.reason
        except OSError as e:
            failed[str(path)] = e.strerror or str(e)
    if not found:
        raise DatasetError(
            f"{root}: none of {pluralize(n_files, 'audio file')} has a genre in its tags; --labels folders learns from "
            "folders"
            if n_files
            else f"{root}: no audio in this folder or below it"
        )
    n_labelled = len({f.path for f in found})
    notes = [f"{pluralize(n_labelled, 'file')} with a genre in the tags, {n_files - n_labelled} without"]
    return LabelledFiles(_one_spelling(found), failed, tuple(notes))


def _separate(values: Iterable[str]) -> tuple[str, ...]:
    """Genres of which many programs write several into one value: `Classical; Chamber`."""
    names = (" ".join(name.split()) for value in values for name in value.split(";"))
    return tuple(dict.fromkeys(name for name in names if name))


def _artist(path: Path) -> str | None:
    artist, _ = tags.artist_and_title(path)
    return None if not artist or fold_name(artist) in NO_ARTIST else artist


def _one_spelling(files: list[LabelledFile]) -> tuple[LabelledFile, ...]:
    """The files, each genre in its most frequent spelling (of equally frequent ones the first in order)."""
    spellings: dict[str, Counter[str]] = defaultdict(Counter)
    for f in files:
        spellings[spelling_key(f.genre)][f.genre] += 1
    name = {key: min(found, key=lambda s: (-found[s], s)) for key, found in spellings.items()}
    joined = {replace(f, genre=name[spelling_key(f.genre)]) for f in files}  # a set: two spellings in one file
    return tuple(sorted(joined, key=lambda f: (f.path, f.genre)))


def apply_corrections(labelled: LabelledFiles, table: Path, root: Path) -> LabelledFiles:
    """The same files with a person's decisions: a genre instead of another, a further file, or none where it is empty.

    A genre that is there in another spelling (`hip hop` beside `Hip-Hop`) is that genre.

    Args:
        table: CSV with the columns path (relative to `root`, or absolute) and genre.

    Raises:
        SettingsError: the table cannot be used, or names a file that is not there; the message names the line.
    """
    by_path = {_key(f.path): f for f in labelled.files}
    decided = _read_corrections(table, root)
    known = set(labelled.genres)
    spelled = {spelling_key(genre): genre for genre in labelled.genres}
    kept = [f for f in labelled.files if _key(f.path) not in decided]
    for key, (path, wanted) in decided.items():
        genre = wanted if wanted in known else spelled.get(spelling_key(wanted), wanted)
        if genre and key in by_path:
            kept.append(replace(by_path[key], genre=genre))
        elif genre:
            kept.append(LabelledFile(path, genre, _artist_or_none(path)))
    note = f"{pluralize(decided, 'correction')} from {table.name}"
    files = tuple(sorted(kept, key=lambda f: (f.path, f.genre)))
    failed = {path: why for path, why in labelled.failed.items() if _key(Path(path)) not in decided}
    return LabelledFiles(files, failed, (*labelled.notes, note))


def _artist_or_none(path: Path) -> str | None:
    try:
        return _artist(path)
    except (TagError, OSError):
        return None


def _key(path: Path) -> str:
    return os.path.realpath(path)


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
            decided[_key(path)] = (path, genre)
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
    note = (
        f"left out: {pluralize(len(labelled.files) - len(left), 'track')} of the genre {', '.join(names)}, as that is "
    )
    return replace(labelled, files=left, notes=(*labelled.notes, f"{note}what a model answers where it names no genre"))


def _without(files: Iterable[LabelledFile], genres: Iterable[str]) -> tuple[LabelledFile, ...]:
    left_out = set(genres)
    return tuple(f for f in files if f.genre not in left_out)
