"""Make songs of minutes and files of hours by joining real clips; MP3 is joined frame by frame, without encoding."""

from __future__ import annotations

import subprocess
from collections import defaultdict
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import soundfile

from genrelab.audio import clips as audio_clips
from genrelab.datasets.base import DatasetOptions, Track
from genrelab.datasets.registry import load_dataset

CLIP_S = 30
SR = 22_050


def clips_by_artist(data: Path) -> dict[str, list[Path]]:
    """Clips of 30 s by artist, from the folders emotify_30s and gtzan_30s of `data`.

    Artists are from tags and from the table beside gtzan_30s. Without these folders `data` is read.
    """
    table = data / "gtzan_fault_filtered" / "artists.csv"
    stated = {"emotify_30s": DatasetOptions(), "gtzan_30s": DatasetOptions(artists=table if table.exists() else None)}
    roots = {data / name: options for name, options in stated.items() if (data / name).is_dir()}
    found: dict[str, list[Path]] = defaultdict(list)
    for root, options in (roots or {data: DatasetOptions()}).items():
        for track in load_dataset(root, options=options).tracks:
            if track.path is not None:
                found[_artist_key(track)].append(root / track.path)
    return dict(found)


def join(clips: list[Path], song: Path, seconds: int) -> Path:
    """Join the clips into one MP3, repeating them until it is long enough.

    MP3 clips are joined frame by frame, after a header that states the new length; others are encoded.
    """
    if all(clip.suffix == ".mp3" for clip in clips):
        parts = song.with_suffix(".txt")
        parts.write_text("".join(f"file '{clip}'\n" for clip in islice(cycle(clips), -(-seconds // CLIP_S))))
        command = ["ffmpeg", "-y", "-loglevel", "error", "-f", "concat", "-safe", "0", "-i", parts, "-t", str(seconds)]
        subprocess.run([*command, "-map", "a:0", "-c", "copy", song], check=True)
    else:
        y = np.concatenate([audio_clips.resample(*audio_clips.read(clip), SR) for clip in clips])
        soundfile.write(song, np.resize(y, seconds * SR), SR, bitrate_mode="CONSTANT", compression_level=0.2)
    return song


def _artist_key(track: Track) -> str:
    """The artist; an unknown one counts as an artist of its own."""
    return track.artist or track.track_id
