"""`learn`: from labelled music to a bundle with the owner's own genres, in about a minute and without TensorFlow."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from genrelab.bundle.bundle import recover_or_refuse, write_bundle
from genrelab.core.config import EMBEDDING_CLIPS
from genrelab.core.errors import DatasetError, SettingsError, printable
from genrelab.core.processes import available_cores
from genrelab.core.progress import Notify, Progress, ignore
from genrelab.core.text import join_first, pluralize
from genrelab.identity.artists import link_artists
from genrelab.identity.recordings import find_recordings
from genrelab.runs.embedding_cache import VIEW, Embedded, embed_files
from genrelab.runs.learn_advice import advice
from genrelab.runs.learn_card import learn_card
from genrelab.runs.learn_copies import held_out_together, near_copies, sharing_audio
from genrelab.runs.learn_head import Learned, Rows, learn_head
from genrelab.runs.learn_labels import (
    SOURCES,
    LabelledFile,
    LabelledFiles,
    apply_corrections,
    from_folders,
    from_tags,
    without_small_genres,
)
from genrelab.runs.learn_music import MusicCheck, check_music
from genrelab.runs.learn_result import LearnResult

MIN_GROUPS = 3
"""Genres of fewer artists are learned from and not scored: the number of folds is that of the fewest artists."""


@dataclass(frozen=True)
class LearnSettings:
    """What `learn` learns from, and how.

    Attributes:
        labels: `folders` or `tags`.
        all_values: of several genres in a file's tags each is learned, not only the first.
        artists: CSV with the columns id and artist, for folders.
        corrections: CSV with the columns path and genre: a person's decisions.
        keep_spellings: genres stay as they are written.
        group_column: of a table of files: its equal cells are pieces of one recording.
        jobs: number of worker processes; None: one a core.
    """

    labels: str = "folders"
    all_values: bool = False
    artists: Path | None = None
    corrections: Path | None = None
    keep_spellings: bool = False
    jobs: int | None = None
    seed: int = 42
    group_column: str | None = None

    def __post_init__(self) -> None:
        if self.labels not in SOURCES:
            raise SettingsError(f"--labels must be one of {', '.join(SOURCES)}. Received: {self.labels}")
        if self.labels == "tags" and self.artists is not None:
            raise SettingsError("--artists goes with --labels folders: files with tags name their artists themselves")
        if self.labels == "tags" and self.group_column is not None:
            raise SettingsError("--group-column goes with --labels folders and a table of files")
        if self.labels == "folders" and self.all_values:
            raise SettingsError("--all-values goes with --labels tags: a folder is one genre")


def learn(
    root: Path, out: Path, settings: LearnSettings, *, notify: Notify = ignore, progress: Progress = ignore
) -> LearnResult:
    """Learn the genres of a folder and write a bundle that `predict`, `tag`, `playlists` and `serve` use.

    Args:
        root: the music.
        out: folder of the bundle; one that is there is replaced.
        notify: called with findings as they are made, one sentence each.
        progress: called with (files done, files in all).

    Raises:
        DatasetError: no labelled audio, or fewer than two genres of two usable tracks.
        SettingsError: settings or a table that cannot be used.
        BundleError: `out` holds something else than a bundle.
        ModelError: the tracks are all alike.
    """
    recover_or_refuse(out)  # before an hour of work
    spelled = settings.keep_spellings
    labelled = (
        from_tags(root, all_values=settings.all_values, keep_spellings=spelled)
        if settings.labels == "tags"
        else from_folders(root, settings.artists, keep_spellings=spelled, group_column=settings.group_column)
    )
    if settings.corrections is not None:
        labelled = apply_corrections(labelled, settings.corrections, root)
    for note in labelled.notes:  # before anything is refused: they may say why
        notify(note)
    told = len(labelled.notes)
    labelled = without_small_genres(labelled)
    paths = sorted({f.path for f in labelled.files})
    embedded = embed_files(paths, jobs=settings.jobs or available_cores(), notify=notify, progress=progress)
    found = dict(zip(paths, embedded, strict=True))
    usable = _usable(labelled, found)
    same = _same_people_and_recordings(usable.files, root)
    rows, copies = _rows(usable, found, same.artists, same.recordings)
    notes = [*same.notes, *_notes_of_copies(usable.files, copies)]
    usable = replace(usable, notes=tuple(dict.fromkeys((*usable.notes, *notes))))
    for note in usable.notes[told:]:
        notify(note)
    learned = learn_head(rows, usable.genres, VIEW, seed=settings.seed)
    n_artists = len({artist for artist in same.artists if artist is not None})
    return _write(out, root, usable, learned, check_music(usable.files, rows.x), n_artists)


@dataclass(frozen=True)
class _Same:
    """Artist and recording of each labelled file, None where unknown or by itself, and what was found."""

    artists: tuple[str | None, ...]
    recordings: tuple[str | None, ...]
    notes: tuple[str, ...]


def _same_people_and_recordings(files: Sequence[LabelledFile], root: Path) -> _Same:
    """A file of several genres counts once: a name's share of the music isn't that of the genres."""
    credited = list(dict.fromkeys((f.path, f.credit) for f in files))
    linked = link_artists([credit for _, credit in credited])
    artist_of = dict(zip(credited, linked.artists, strict=True))
    # Of several genres the most frequent: pieces of a recording may differ in the others.
    sizes = Counter(f.genre for f in files)
    once = {f.path: f for f in sorted(files, key=lambda f: (f.path, sizes[f.genre], f.genre))}
    folder = root.parent if root.is_file() else root
    names = [_name(path, folder) for path in once]
    recordings = find_recordings(names, [f.genre for f in once.values()], [f.recording for f in once.values()])
    recording_of = dict(zip(once, recordings.of, strict=True))
    return _Same(
        tuple(artist_of[f.path, f.credit] for f in files),
        tuple(recording_of[f.path] for f in files),
        (*linked.notes, *recordings.notes),
    )


def _usable(labelled: LabelledFiles, found: dict[Path, Embedded]) -> LabelledFiles:
    """The files that have an embedding, each audio once; the same audio under two genres is left out."""
    failed = {str(path): one.error for path, one in found.items() if one.error is not None}
    ok = [f for f in labelled.files if found[f.path].error is None]
    by_audio: dict[bytes | None, list[LabelledFile]] = defaultdict(list)
    for f in ok:
        by_audio[found[f.path].payload].append(f)
    kept: list[LabelledFile] = []
    copies = torn = 0
    for same in by_audio.values():
        paths = sorted({f.path for f in same})
        genres_of = {path: frozenset(f.genre for f in same if f.path == path) for path in paths}
        if len(set(genres_of.values())) > 1:
            torn += 1
            reason = f"the same audio stands under other genres, too: {', '.join(sorted({f.genre for f in same}))}"
            failed |= dict.fromkeys(map(str, paths), reason)
            continue
        copies += len(paths) - 1
        kept += [f for f in same if f.path == paths[0]]
    notes = [*labelled.notes]
    notes += [f"{copies} {'copy' if copies == 1 else 'copies'} of other files left out"] if copies else []
    notes += [f"left out, as the same audio stands under two genres: {pluralize(torn, 'recording')}"] if torn else []
    files = tuple(sorted(kept, key=lambda f: (f.path, f.genre)))
    result = LabelledFiles(files, labelled.failed | {k: str(v) for k, v in failed.items()}, tuple(notes))
    try:
        return without_small_genres(result)
    except DatasetError as e:
        first = join_first([f"{k}: {v}" for k, v in failed.items()], most=3)
        raise DatasetError(
            f"{e}; {pluralize(len(failed), 'file')} cannot be used: {first}" if failed else str(e)
        ) from e


def _rows(
    labelled: LabelledFiles,
    found: dict[Path, Embedded],
    artists: Sequence[str | None],
    recordings: Sequence[str | None],
) -> tuple[Rows, list[tuple[int, int]]]:
    """One row per file and genre, and pairs of rows that are nearly the same recording, or share a stretch of one.

    A file of several genres, an artist, pieces of a recording, and near copies are held out as a whole; a file of
    several genres is scored once, and right if one of them is answered.

    Args:
        artists, recordings: of each file, None where unknown or by itself.
    """
    number = {genre: i for i, genre in enumerate(labelled.genres)}
    x = np.stack([_embedding(found[f.path]) for f in labelled.files])
    genres_of: dict[Path, set[int]] = defaultdict(set)
    for f in labelled.files:
        genres_of[f.path].add(number[f.genre])
    own = [f"file {f.path}" if len(genres_of[f.path]) > 1 else None for f in labelled.files]
    names = [other if artist is None else artist.casefold() for artist, other in zip(artists, own, strict=True)]
    y = np.array([number[f.genre] for f in labelled.files])
    paths = [f.path for f in labelled.files]
    copies = [(i, j) for i, j in near_copies(x) if paths[i] != paths[j]]
    copies += sharing_audio(paths, [found[path].prints for path in paths])
    groups = held_out_together(names, copies, recordings)
    right = [frozenset(genres_of[path]) for path in paths]
    first = np.array([i == 0 or paths[i] != paths[i - 1] for i in range(len(paths))])  # they are sorted
    never = _never_held_out(y, groups)
    return Rows(x, np.arange(len(x)), y, groups, never, right=right, scored=first), copies


def _never_held_out(y: Any, groups: Sequence[str | None]) -> Any:
    """Marks the tracks (tracks,) of genres with so few artists that all others would be scored by fewer folds.

    With all that is held out together with them: nothing is learned from and scored at once. Where fewer than two
    genres were left to be scored, two artists must do.
    """
    names = np.array([f"track {i}" if g is None else g for i, g in enumerate(groups)])
    for least in (MIN_GROUPS, 2):
        never, found = np.ones(len(y), bool), np.zeros(len(y), bool)
        while (never != found).any():
            never = found
            n_groups = np.array([len(np.unique(names[(y == genre) & ~never])) for genre in range(y.max() + 1)])
            found = np.isin(names, names[np.isin(y, np.flatnonzero(n_groups < least))])
        if (n_groups >= least).sum() >= 2:
            return never
    return np.zeros(len(y), bool)


def _notes_of_copies(files: Sequence[LabelledFile], copies: Sequence[tuple[int, int]]) -> list[str]:
    if not copies:
        return []
    pairs = sorted({(files[i].path, files[j].path) for i, j in copies})
    return [
        f"{pluralize(pairs, 'pair')} of tracks sound nearly the same (copies or excerpts, perhaps), so that neither is "
        f"scored by what was learned from the other: {join_first([f'{a.name} and {b.name}' for a, b in pairs], most=3)}"
    ]


def _embedding(one: Embedded) -> Any:
    assert one.x is not None
    return one.x


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def _write(
    out: Path, root: Path, labelled: LabelledFiles, learned: Learned, music: MusicCheck, n_artists: int
) -> LearnResult:
    genres = advice(labelled.genres, [f.genre for f in labelled.files], learned)
    result = LearnResult(
        out, len({f.path for f in labelled.files}), n_artists, learned.scores, genres, labelled.failed,
        (*_unknown_artists(labelled.files, scored=learned.scores is not None), *music.notes, *learned.notes),
    )  # fmt: skip
    write_bundle(
        out, onnx=learned.model.onnx(), name=printable(out.resolve().name) or "learned", genres=labelled.genres,
        view=VIEW, clips=EMBEDDING_CLIPS, metrics=learned.scores or {},
        dataset=f"{printable(root.resolve().name)} ({result.n_tracks} tracks)",
        split="artist (cross-validation)", licence=None, temperature=learned.temperature,
        calibration=learned.evidence, own_names=True, gate=music.gate, readme=learn_card(result, learned),
    )  # fmt: skip
    return result


def _unknown_artists(files: Sequence[LabelledFile], *, scored: bool) -> list[str]:
    unknown = sum(f.artist is None for f in files)
    if not unknown or not scored:
        return []
    return [
        f"the artist of {pluralize(unknown, 'track')} is not known: if tracks of one artist are on both sides, the "
        "score is too high"
    ]
