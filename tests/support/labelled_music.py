"""Tracks with genre and artist encoded in their samples, and a network that recognises them, for tests of `learn`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import mutagen
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from genrelab.core.config import EmbeddingView
from genrelab.features import embedding
from genrelab.predict import file
from genrelab.runs import embedding_cache, learn_music

SR = EmbeddingView().sr
SECONDS = 0.5


def write_track(
    path: Path, genre: int, track: int, *, artist: int = 0, genres: Sequence[str] = (), by: str | None = None
) -> Path:
    """A FLAC that `embed_by_code` knows; equal numbers give equal audio.

    Args:
        genre, artist, track: the content: 0 to 8, 0 to 49, 0 to 19.
        genres, by: genres and artist in its tags.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    code = 1_000 * (genre + 1) + 20 * artist + track
    soundfile.write(path, np.full(round(SECONDS * SR), code / 10_000), SR, format="FLAC")
    if genres or by:
        tags = mutagen.File(path)
        tags.update({"genre": list(genres)} if genres else {})
        tags.update({"artist": by} if by else {})
        tags.save()
    return path


def write_folders(root: Path, *, tracks: int = 8, genres: Sequence[str] = ("Blues", "Folk", "Rock")) -> Path:
    """A folder per genre with tracks 0.flac, 1.flac …, each by its own artist."""
    for g, genre in enumerate(genres):
        for i in range(tracks):
            write_track(root / genre / f"{i}.flac", g, i, artist=tracks * g + i, by=f"Artist {tracks * g + i}")
    return root


def embed_by_code(
    monkeypatch: pytest.MonkeyPatch,
    *,
    genre: float = 1.0,
    artist: float = 0.0,
    noise: float = 1.0,
    no_music: Sequence[int] = (),
) -> list[int]:
    """Replace networks and worker processes; returns a number for each window that is computed.

    An embedding is a vector of the genre, one of the artist and one of the track, added up.

    Args:
        genre, artist, noise: how large these are.
        no_music: genres that do not sound like music.
    """
    processed: list[int] = []

    def embed_window(y: NDArray[np.float32], view: EmbeddingView) -> NDArray[np.float32]:
        code = round(10_000 * float(np.median(y)))
        processed.append(code)
        parts = ((genre, (1, code // 1_000)), (artist, (2, code % 1_000 // 20)), (noise, (3, code)))
        row = sum(size * np.random.default_rng(seed).standard_normal(view.shape) for size, seed in parts)
        return np.asarray(row, np.float32)

    def music_score(rows: NDArray[np.float32]) -> NDArray[np.float64]:
        score = np.ones(len(rows))
        for g in no_music:
            of_genre = np.random.default_rng((1, g + 1)).standard_normal(rows.shape[1])
            score[rows @ of_genre > genre * (of_genre @ of_genre) / 2] = -1
        return score

    def map_here(function: Callable[[Any], Any], items: Sequence[Any], *, jobs: int) -> Iterator[tuple[int, Any]]:
        yield from ((i, function(item)) for i, item in enumerate(items))

    monkeypatch.setattr(embedding, "embed_window", embed_window)
    monkeypatch.setattr(embedding_cache, "map_in_processes", map_here)
    for module in (file, learn_music):
        monkeypatch.setattr(module, "music_score", music_score)
    return processed
