"""Re-encodings planted in random collections are all found, and collections without them raise no alarm."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from genrelab.datasets.synth_voices import SR
from genrelab.features.fingerprint import Fingerprint, Landmarks, landmarks
from genrelab.leakage.near_duplicates import find_near_duplicates
from tests.support.songs import encode_and_decode, genres, song

SONGS = [(genre, artist) for artist in range(3) for genre in genres()]
SEEDS = range(200)

Samples = NDArray[np.float32]


@cache
def original(number: int) -> tuple[Samples, Landmarks]:
    """One of the songs, and its landmarks."""
    genre, artist = SONGS[number]
    y = song(genre, artist, 0)
    return y, landmarks(y, SR)


@cache
def copied(number: int, kind: int) -> Landmarks:
    """Landmarks of a copy: another format, bit rate, level, beginning or end."""
    y, _ = original(number)
    start, end = ((0, 8), (1.37, 8), (0, 5), (2.2, 7.1))[kind % 4]
    container = ("mp3", "ogg")[kind // 4 % 2]
    part = (0.3, 0.9)[kind // 8] * y[round(start * SR) : round(end * SR)]
    return landmarks(encode_and_decode(part, container, (64_000, 128_000)[kind // 8]), SR)


def collection(seed: int, n_copies: int) -> tuple[list[Fingerprint], set[frozenset[str]]]:
    """Twelve songs and copies of some of them, and which are the same recording."""
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(SONGS))[:12].tolist()
    prints = [Fingerprint(f"song {i}", 0.0, original(i)[1]) for i in chosen]
    planted = set()
    for i in chosen[:n_copies]:
        prints.append(Fingerprint(f"copy of {i}", 0.0, copied(i, int(rng.integers(16)))))
        planted.add(frozenset((f"song {i}", f"copy of {i}")))
    return [prints[i] for i in rng.permutation(len(prints))], planted


@pytest.mark.parametrize("seeds", [SEEDS[:20], pytest.param(SEEDS[20:], marks=pytest.mark.slow)], ids=["20", "180"])
def test_every_reencoding_is_found_and_nothing_else(seeds: range) -> None:
    for seed in seeds:
        prints, planted = collection(seed, n_copies=4)
        assert {frozenset((pair.a, pair.b)) for pair in find_near_duplicates(prints)} == planted, seed


@pytest.mark.parametrize("seeds", [SEEDS[:20], pytest.param(SEEDS[20:], marks=pytest.mark.slow)], ids=["20", "180"])
def test_different_songs_raise_no_alarm(seeds: range) -> None:
    for seed in seeds:
        assert find_near_duplicates(collection(seed, n_copies=0)[0]) == [], seed
