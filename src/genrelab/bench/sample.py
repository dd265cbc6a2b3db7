"""Chooses the tracks that `bench` measures: a sample of a dataset, or synthesised clips in FMA's format."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from genrelab.core.errors import DatasetError, printable
from genrelab.core.processes import available_cores
from genrelab.core.text import pluralize
from genrelab.core.worker_pool import map_in_processes
from genrelab.datasets.base import Dataset, Track

SECONDS, SR = 30.0, 44_100
"""Length and rate of a clip of fma-small, -medium and -large; stereo, at 256 kbit/s (93 GiB are 106,574 clips)."""

LEVEL = 0.2
"""libsndfile's compression level that yields 256 kbit/s at a constant bit rate."""


def synthesise_clips(folder: Path, n: int) -> Dataset:
    """Write `n` clips like FMA's into a folder, in alternating styles, the same ones at every call.

    Raises:
        DatasetError: this machine cannot encode MP3.
    """
    clips = [(str(folder / f"{i}.mp3"), i) for i in range(n)]
    if failed := [
        clips[place][0] for place, done in map_in_processes(_write_clip, clips, jobs=available_cores()) if done is None
    ]:
        raise DatasetError(f"{failed[0]} cannot be encoded as MP3: run `genrelab bench ROOT` on your own files")
    tracks = tuple(Track(str(i), Path(path).name, genre) for (path, i), genre in zip(clips, _genres(n), strict=True))
    return Dataset("synthesised", folder, tracks)


def _genres(n: int) -> list[str]:
    from genrelab.datasets.synth import STYLES

    return [list(STYLES)[i % len(STYLES)] for i in range(n)]


def _write_clip(clip: tuple[str, int]) -> bool:
    """Render and encode a clip (path, number); its second channel lags a little, as in a room. Runs in a worker."""
    import soundfile

    from genrelab.audio.clips import resample
    from genrelab.datasets.synth import Colour, artist_style, render
    from genrelab.datasets.synth_voices import SR as RENDERED

    path, number = clip
    rng = np.random.default_rng((7, number))
    style = artist_style(_genres(number + 1)[-1], rng)
    y = resample(render(style, Colour.random(rng), rng, SECONDS), RENDERED, SR)
    y = y + 0.002 * rng.standard_normal(len(y)).astype(np.float32)  # above 11 kHz there would be nothing to encode
    stereo = np.stack([y, np.roll(y, 37)], axis=1)
    soundfile.write(path, stereo, SR, format="MP3", bitrate_mode="CONSTANT", compression_level=LEVEL)
    return True


def usable(dataset: Dataset) -> Dataset:
    """The tracks of a dataset that `prepare` decodes: with a genre, no known problem, and an existing file.

    Raises:
        DatasetError: there are none.
    """
    root = printable(str(dataset.root))
    if dataset.features is not None:
        raise DatasetError(f"{root} is a table of features: bench needs audio files")
    there = tuple(t for t in dataset.tracks if t.genre is not None and t.problem is None and _is_there(dataset, t))
    if not there:
        raise DatasetError(
            f"{root}: no track has both a genre and a file ({pluralize(dataset.tracks, 'track')} in all)"
        )
    return replace(dataset, tracks=there)


def _is_there(dataset: Dataset, track: Track) -> bool:
    return track.path is not None and (dataset.root / track.path).is_file()


def sample_evenly(dataset: Dataset, n: int, *, but: frozenset[str] = frozenset()) -> Dataset:
    """`n` tracks, spread evenly; where there are fewer they are repeated under other ids.

    Args:
        but: ids that are used only where there are too few others: files read before are in the page cache.
    """
    fresh = [t for t in dataset.tracks if t.track_id not in but]
    pool = fresh if len(fresh) >= n else [*fresh, *(t for t in dataset.tracks if t.track_id in but)]
    places = np.linspace(0, len(pool) - 1, min(n, len(pool))).round().astype(int)
    chosen = [pool[i] for i in places]
    repeated = [replace(chosen[i % len(chosen)], track_id=f"{chosen[i % len(chosen)].track_id} ({i})") for i in
             range(len(chosen), n)]  # fmt: skip
    return replace(dataset, tracks=(*chosen, *repeated))
