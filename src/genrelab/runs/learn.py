"""`learn`: trains a bundle with the owner's own genres on labelled music, in about a minute and without TensorFlow."""

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
from genrelab.runs.learn_music import check_music
from genrelab.runs.learn_result import LearnResult

MIN_GROUPS = 3
"""Genres of fewer artists are not tested: the smallest number of artists limits the number of folds."""

MIN_TEST_TRACKS = 10
"""With fewer held-out tracks the accuracy is meaningless."""


@dataclass(frozen=True)
class LearnSettings:
    """Settings of `learn`.

    Attributes:
        labels: `folders` or `tags`.
        all_values: use all genres in a file's tags, not only the first.
        artists: CSV with the columns id and artist, for folders.
        corrections: CSV with the columns path and genre, made by a person.
        keep_spellings: genres stay as they are written.
        group_column: column of a table of files; equal cells are pieces of one recording.
        jobs: number of worker processes; None: one per core.
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
            raise SettingsError("--artists needs --labels folders: with --labels tags the artists are in the tags")
        if self.labels == "tags" and self.group_column is not None:
            raise SettingsError("--group-column needs --labels folders and a table of files")
        if self.labels == "folders" and self.all_values:
            raise SettingsError("--all-values needs --labels tags: a folder is one genre")


def learn(
    root: Path, out: Path, settings: LearnSettings, *, notify: Notify = ignore, progress: Progress = ignore
) -> LearnResult:
    """Train on the genres of a folder and write a bundle for `predict`, `tag`, `playlists` and `serve`.

    Args:
        root: the music.
        out: folder of the bundle; an earlier bundle is replaced.
        notify: called with each remark, one sentence.
        progress: called with (files done, total).

    Raises:
        DatasetError: no labelled audio, or fewer than two genres of two usable tracks.
        SettingsError: invalid settings, or an unusable table.
        BundleError: `out` is not a bundle.
        ModelError: all tracks are equal.
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
    if settings.labels == "tags" or settings.corrections is not None:
        labelled = _identify(labelled, root, with_notes=settings.labels == "tags")
    for i, note in enumerate(labelled.notes):  # before an error: they may explain it
        notify(f"  {note}" if i and not note.startswith("skipped") else note)
    n_reported = len(labelled.notes)
    labelled = without_small_genres(labelled)
    paths = sorted({f.path for f in labelled.files})
    embedded = embed_files(paths, jobs=settings.jobs or available_cores(), notify=notify, progress=progress)
    found = dict(zip(paths, embedded, strict=True))
    usable = _usable(labelled, found)
    rows, copies = _rows(usable, found)
    for note in (*usable.notes[n_reported:], *_duplicate_notes(usable.files, copies)):
        notify(note)
    artists = {f.artist for f in usable.files} - {None}
    group_name = "artists" if artists else "recordings"
    learned = learn_head(rows, usable.genres, VIEW, seed=settings.seed, group_name=group_name)
    return _write(out, root, usable, learned, check_music(usable.files, rows.x), len(artists))


def _identify(labelled: LabelledFiles, root: Path, *, with_notes: bool) -> LabelledFiles:
    """The files with linked artists and recordings, as `load_dataset` has them for folders.

    A file of several genres counts once; for its recording, its most frequent genre counts.
    """
    files = labelled.files
    credited = list(dict.fromkeys((f.path, f.credit) for f in files))
    linked = link_artists([credit for _, credit in credited])
    artist_of = dict(zip(credited, linked.artists, strict=True))
    sizes = Counter(f.genre for f in files)
    once = {f.path: f for f in sorted(files, key=lambda f: (f.path, sizes[f.genre], f.genre))}
    folder = root.parent if root.is_file() else root
    names = [path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.as_posix() for path in once]
    artists = [artist_of[f.path, f.credit] for f in once.values()]
    genres, stated = [f.genre for f in once.values()], [f.recording for f in once.values()]
    recordings = find_recordings(names, genres, stated, artists)
    recording_of = dict(zip(once, recordings.of, strict=True))
    identified = (replace(f, artist=artist_of[f.path, f.credit], recording=recording_of[f.path]) for f in files)
    notes = (*linked.notes, *recordings.notes) if with_notes else ()
    return replace(labelled, files=tuple(identified), notes=(*labelled.notes, *notes))


def _usable(labelled: LabelledFiles, found: dict[Path, Embedded]) -> LabelledFiles:
    """The files with an embedding, each audio once; the same audio with different genres is left out."""
    failed = {str(path): one.error for path, one in found.items() if one.error is not None}
    ok = [f for f in labelled.files if found[f.path].error is None]
    by_audio: dict[bytes | None, list[LabelledFile]] = defaultdict(list)
    for f in ok:
        by_audio[found[f.path].payload].append(f)
    kept: list[LabelledFile] = []
    copies = conflicts = 0
    for same in by_audio.values():
        paths = sorted({f.path for f in same})
        genres_of = {path: frozenset(f.genre for f in same if f.path == path) for path in paths}
        if len(set(genres_of.values())) > 1:
            conflicts += 1
            reason = f"the same audio has different genres: {', '.join(sorted({f.genre for f in same}))}"
            failed |= dict.fromkeys(map(str, paths), reason)
            continue
        copies += len(paths) - 1
        kept += [f for f in same if f.path == paths[0]]
    notes = [*labelled.notes]
    notes += [f"{pluralize(copies, 'duplicate')} left out"] if copies else []
    notes += [f"{pluralize(conflicts, 'recording')} with different genres left out"] if conflicts else []
    files = tuple(sorted(kept, key=lambda f: (f.path, f.genre)))
    result = LabelledFiles(files, labelled.failed | {k: str(v) for k, v in failed.items()}, tuple(notes))
    try:
        return without_small_genres(result)
    except DatasetError as e:
        first = join_first([f"{k}: {v}" for k, v in failed.items()], most=3)
        text = f"{e}; {pluralize(failed, 'file')} cannot be used: {first}"
        raise DatasetError(text if failed else str(e)) from e


def _rows(labelled: LabelledFiles, found: dict[Path, Embedded]) -> tuple[Rows, list[tuple[int, int]]]:
    """One row per file and genre, and pairs of rows that are near-duplicates, or share a stretch of a recording.

    The genres of a file, an artist, pieces of a recording and near-duplicates are held out as a whole. A file of
    several genres is tested once, and each of them is correct.
    """
    files = labelled.files
    number = {genre: i for i, genre in enumerate(labelled.genres)}
    x = np.stack([np.asarray(found[f.path].x) for f in files])
    genres_of: dict[Path, set[int]] = defaultdict(set)
    for f in files:
        genres_of[f.path].add(number[f.genre])
    own = [f"file {f.path}" if len(genres_of[f.path]) > 1 else None for f in files]
    names = [other if f.artist is None else f.artist.casefold() for f, other in zip(files, own, strict=True)]
    y = np.array([number[f.genre] for f in files])
    paths = [f.path for f in files]
    copies = [(i, j) for i, j in near_copies(x) if paths[i] != paths[j]]
    copies += sharing_audio(paths, [found[path].prints for path in paths])
    groups = held_out_together(names, copies, [f.recording for f in files])
    right = [frozenset(genres_of[path]) for path in paths]
    first = np.array([i == 0 or paths[i] != paths[i - 1] for i in range(len(paths))])  # they are sorted
    never = _never_held_out(y, groups)
    return Rows(x, np.arange(len(x)), y, groups, never, right=right, scored=first), copies


def _never_held_out(y: Any, groups: Sequence[str | None]) -> Any:
    """Marks tracks (tracks,) of genres with few artists, which would reduce the number of folds for all genres.

    Their whole groups are marked, so that no group is in both the training and the test set. If fewer than two genres
    were left to test, two artists per genre are enough.
    """
    names = np.array([f"track {i}" if g is None else g for i, g in enumerate(groups)])
    for min_groups in (MIN_GROUPS, 2):
        never, found = np.ones(len(y), bool), np.zeros(len(y), bool)
        while (never != found).any():
            never = found
            n_groups = np.array([len(np.unique(names[(y == genre) & ~never])) for genre in range(y.max() + 1)])
            found = np.isin(names, names[np.isin(y, np.flatnonzero(n_groups < min_groups))])
        if (n_groups >= min_groups).sum() >= 2:
            return never
    return np.zeros(len(y), bool)


def _duplicate_notes(files: Sequence[LabelledFile], copies: Sequence[tuple[int, int]]) -> list[str]:
    if not copies:
        return []
    pairs = sorted({(files[i].path, files[j].path) for i, j in copies})
    return [
        f"{pluralize(pairs, 'pair')} of near-duplicates, which are held out together: "
        f"{join_first([f'{a.name} and {b.name}' for a, b in pairs], most=3)}"
    ]


def _write(
    out: Path, root: Path, labelled: LabelledFiles, learned: Learned, music: tuple[bool, list[str]], n_artists: int
) -> LearnResult:
    genres = advice(labelled.genres, [f.genre for f in labelled.files], learned)
    result = LearnResult(
        out, len({f.path for f in labelled.files}), n_artists, learned.scores, genres, labelled.failed,
        (*_score_notes(labelled.files, learned.scores), *music[1], *learned.notes),
    )  # fmt: skip
    write_bundle(
        out, onnx=learned.model.onnx(), name=printable(out.resolve().name) or "learned", genres=labelled.genres,
        view=VIEW, clips=EMBEDDING_CLIPS, metrics=learned.scores or {},
        dataset=f"{printable(root.resolve().name)} ({pluralize(result.n_tracks, 'track')})",
        split="artist (cross-validation)", licence=None, temperature=learned.temperature,
        calibration=learned.evidence, own_names=True, gate=music[0], readme=learn_card(result, learned),
    )  # fmt: skip
    return result


def _score_notes(files: Sequence[LabelledFile], scores: dict[str, Any] | None) -> list[str]:
    if scores is None:
        return []
    notes = []
    if scores["n"] < MIN_TEST_TRACKS:
        notes.append(f"only {pluralize(scores['n'], 'track')} could be tested: too few to judge this model")
    if unknown := sum(f.artist is None for f in files):
        tracks = pluralize(unknown, "track")
        notes.append(
            f"the artist of {tracks} is unknown: if an artist is in both the training and the test set, the accuracy "
            "is too high"
        )
    return notes
