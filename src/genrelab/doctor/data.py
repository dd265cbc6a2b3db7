"""Checks a dataset: worker processes decode and measure every file, then rules find its faults.

Writes no files; `cli/output/doctor.py` prints the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from genrelab.audio.files import find_audio_files
from genrelab.core.config import DEFAULT_VIEWS, VIEWS, ClipSettings
from genrelab.core.csv_tables import SUFFIXES
from genrelab.core.errors import DatasetError, SettingsError
from genrelab.core.processes import DECODER_CRASHED, available_cores
from genrelab.core.progress import Progress
from genrelab.core.worker_pool import map_in_processes
from genrelab.datasets import fma, gtzan
from genrelab.datasets.base import Dataset, DatasetOptions, Track, sort_tracks
from genrelab.datasets.exclusions import Exclusion
from genrelab.datasets.registry import load_dataset
from genrelab.doctor import faults
from genrelab.doctor.faults import KINDS, Fault
from genrelab.doctor.measure import AudioMeasurement, measure_audio
from genrelab.features.fingerprint import Fingerprint, unpack
from genrelab.leakage.near_duplicates import NearDuplicate, find_near_duplicates

PLAIN_FILES = "files"
"""Name of a pseudo-dataset: audio files without genres."""


@dataclass(frozen=True)
class Checkup:
    """The measurement of every track's file (none if the dataset has no audio by design), and all faults."""

    dataset: Dataset
    sounds: tuple[AudioMeasurement, ...]
    faults: tuple[Fault, ...]

    @property
    def exclusions(self) -> list[Exclusion]:
        """Rows of the manifest: each track that should be excluded, once, with all reasons."""
        reasons: dict[int, list[str]] = {}
        for fault in self.faults:
            if KINDS[fault.kind].excluded:
                reason = f"{fault.kind}: {fault.detail}" if fault.detail else fault.kind
                reasons.setdefault(fault.index, []).append(reason)
        tracks = self.dataset.tracks
        return [Exclusion(tracks[i].track_id, tracks[i].path or "", "; ".join(r)) for i, r in sorted(reasons.items())]


def find_dataset(root: Path, name: str, options: DatasetOptions) -> Dataset:
    """The dataset at ROOT; if it matches no known layout, the audio files there as tracks without a genre.

    Raises:
        DatasetError: no dataset and no audio there, or inconsistent tables.
    """
    try:
        return load_dataset(root, name=name, options=options)
    except DatasetError as e:
        notes: list[str] = []
        found = list(find_audio_files([root], notify=notes.append)) if name == "auto" and root.exists() else []
        files = [f for f in found if isinstance(f, Path)]
        notes += [str(f) for f in found if not isinstance(f, Path)]
        if not files or (root.is_file() and root.suffix.lower() in SUFFIXES):
            raise
        top = root if root.is_dir() else root.parent
        paths = [f.relative_to(top).as_posix() for f in files]
        tracks = sort_tracks(Track(p, p, genre=None) for p in paths)
        reason = str(e).partition(" It can read: ")[0].rstrip(".")
        notes = [f"no genres ({reason}): only the files are checked", *notes]
        return Dataset(PLAIN_FILES, top, tracks, tuple(notes))


def check_dataset(dataset: Dataset, *, jobs: int | None = None, progress: Progress) -> Checkup:
    """Decode every file of a dataset and find its faults.

    Args:
        jobs: number of worker processes; None: one per core.
        progress: called with (done, total).

    Raises:
        SettingsError: `jobs` below 1, or workers that die on start.
    """
    if jobs is not None and jobs < 1:
        raise SettingsError(f"--jobs must be 1 or more. Received: {jobs}")
    if dataset.features is not None:
        return Checkup(dataset, (), tuple(faults.across_split(dataset)))
    sounds = _measure_files(dataset, jobs or available_cores(), progress)
    found = [*_file_faults(dataset, sounds)]
    excluded = {f.index for f in found if KINDS[f.kind].excluded}
    found += faults.copies(dataset, sounds, excluded)
    excluded = {f.index for f in found if KINDS[f.kind].excluded}
    found += faults.near_duplicate_faults(dataset, _near_duplicates(sounds, excluded))
    found += faults.known_faulty(dataset, published_faults(dataset), sounds, excluded)
    found += faults.across_split(dataset)
    order = list(KINDS)
    return Checkup(dataset, sounds, tuple(sorted(found, key=lambda f: (order.index(f.kind), f.index))))


def _measure_files(dataset: Dataset, jobs: int, progress: Progress) -> tuple[AudioMeasurement, ...]:
    paths = {i: str(dataset.root / t.path) for i, t in enumerate(dataset.tracks) if t.path is not None}
    sounds = [AudioMeasurement("missing", t.problem or "the table names no file") for t in dataset.tracks]
    places = list(paths)
    progress(0, len(places))
    for done, (place, sound) in enumerate(map_in_processes(measure_audio, list(paths.values()), jobs=jobs), 1):
        sounds[places[place]] = sound or AudioMeasurement("undecodable", DECODER_CRASHED)
        progress(done, len(places))
    return tuple(sounds)


def _file_faults(dataset: Dataset, sounds: tuple[AudioMeasurement, ...]) -> Iterator[Fault]:
    """Faults of each file by itself."""
    clip_s = faults.collection_clip_s(dataset, sounds)
    for i, sound in enumerate(sounds):
        for kind, detail in faults.file_faults(sound, clip_s, ClipSettings()):
            yield Fault(kind, i, detail)


def _near_duplicates(sounds: tuple[AudioMeasurement, ...], excluded: set[int]) -> list[NearDuplicate]:
    prints = [
        Fingerprint(str(i), start_s, unpack(marks))
        for i, sound in enumerate(sounds)
        for start_s, marks in (() if i in excluded else sound.prints)
    ]
    return find_near_duplicates(prints)


def published_faults(dataset: Dataset) -> Mapping[str, str]:
    """Published problems of this dataset's tracks: track id → description."""
    return {"fma": fma.KNOWN_PROBLEMS, "gtzan": gtzan.KNOWN_PROBLEMS}.get(dataset.name.partition("-")[0], {})


def prepared_bytes(checkup: Checkup) -> float:
    """Estimated size in bytes of what `prepare` writes for these tracks with its default views."""
    import numpy as np

    from genrelab.audio import clips as audio_clips
    from genrelab.features import views

    settings, sr = ClipSettings(), 22_050
    noise = np.random.default_rng(0).standard_normal(round(settings.clip_s * sr)).astype(np.float32)
    chosen = tuple(VIEWS[name]() for name in DEFAULT_VIEWS)
    bytes_per_clip = sum(w.x.nbytes for windows in views.compute_all(chosen, noise, sr).values() for w in windows)
    durations = (s.duration_s for s in checkup.sounds if s.state == "decoded")
    return float(bytes_per_clip * sum(len(audio_clips.clip_starts(seconds, settings)) for seconds in durations))
