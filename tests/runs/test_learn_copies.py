"""Tracks that are nearly one recording are found, and held out with each other and with their artists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from genrelab.core.config import EmbeddingView
from genrelab.datasets.synth_voices import SR
from genrelab.features import embedding
from genrelab.runs import learn_copies
from genrelab.runs.embedding_cache import Embedded, embed_file
from genrelab.runs.learn import LearnSettings, learn
from genrelab.runs.learn_copies import MAX_DISTANCE, held_out_together, near_copies, sharing_audio
from tests.support.labelled_music import embed_by_code
from tests.support.songs import Samples, encoded, song


@pytest.fixture
def music(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two genres of ten songs, and an excerpt of their first as an MP3 of 64 kbit/s; every embedding is another."""
    embed_by_code(monkeypatch)

    def embed_window(y: Samples, view: EmbeddingView) -> Samples:
        row = np.random.default_rng(np.abs(y[:100]).view(np.uint32)).standard_normal(view.shape)
        return row.astype(np.float32)

    monkeypatch.setattr(embedding, "embed_window", embed_window)
    monkeypatch.setenv("GENRELAB_CACHE", str(tmp_path / "cache"))
    for genre in ("Folk", "Rock"):
        (tmp_path / "music" / genre).mkdir(parents=True)
        for i in range(10):
            soundfile.write(tmp_path / "music" / genre / f"{i}.flac", song(genre, i, i), SR)
        part = song(genre, 0, 0)[2 * SR : 6 * SR]
        (tmp_path / "music" / genre / "part.mp3").write_bytes(encoded(part, "mp3"))
    return tmp_path / "music"


def embed(paths: list[Path]) -> list[Embedded]:
    return [embed_file(path)[1] for path in paths]


# --- fingerprints ---


def test_song_and_excerpt_of_it_are_held_out_together(music: Path) -> None:
    """Their embeddings and their artists differ."""
    paths = [music / "Rock" / name for name in ("part.mp3", "1.flac", "0.flac", "2.flac")]
    found = embed(paths)
    assert near_copies(np.stack([one.x for one in found if one.x is not None])) == []
    pairs = sharing_audio(paths, [one.prints for one in found])
    assert pairs == [(0, 2)]
    groups = held_out_together(["ann", "bob", "cid", "dan"], pairs)
    assert groups[0] == groups[2] and len(set(groups)) == 3


def test_of_a_file_with_several_rows_the_first_stands_for_all(music: Path) -> None:
    whole, part = music / "Rock" / "0.flac", music / "Rock" / "part.mp3"
    paths = [whole, whole, part, part, part]
    assert sharing_audio(paths, [one.prints for one in embed(paths)]) == [(0, 2)]


def test_tracks_without_landmarks_share_nothing(tmp_path: Path) -> None:
    paths = [tmp_path / "a", tmp_path / "b", tmp_path / "c"]
    assert sharing_audio(paths, [(), ((0.0, b""),), ((0.0, b""),)]) == [] == sharing_audio([], [])


def test_learn_holds_excerpts_out_with_their_songs(music: Path, tmp_path: Path) -> None:
    messages: list[str] = []
    paths = sorted(music.rglob("*.*"))
    rows = [f"{path.parent.name}/{path.name},Artist {i}\n" for i, path in enumerate(paths)]
    (tmp_path / "artists.csv").write_text("id,artist\n" + "".join(rows))
    settings = LearnSettings(artists=tmp_path / "artists.csv")
    result = learn(music, tmp_path / "out", settings, notify=messages.append)
    assert result.scores is not None and (result.scores["n"], result.scores["n_groups"]) == (22, 20)
    (note,) = [sentence for sentence in messages if "near-duplicates" in sentence]
    assert note.startswith("2 pairs of near-duplicates") and note.endswith(": 0.flac and part.mp3, 0.flac and part.mp3")


# --- embeddings ---


def at_distance(row: np.ndarray, distance: float, seed: int) -> np.ndarray:  # type: ignore[type-arg]
    """A row whose distance from another is this share of the other's length; both are of one length."""
    other = np.random.default_rng(seed).standard_normal(len(row))
    other -= row * (other @ row) / (row @ row)
    angle = 2 * np.arcsin(distance / 2)
    return np.asarray(row * np.cos(angle) + other * np.linalg.norm(row) / np.linalg.norm(other) * np.sin(angle))


@pytest.mark.parametrize("block", [1, 3, 1_000])
def test_tracks_below_the_distance_are_pairs(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(learn_copies, "BLOCK", block)
    x = 5 * np.random.default_rng(0).standard_normal((6, 200))
    x[4] = at_distance(x[1], MAX_DISTANCE * 0.95, 1)
    x[2] = at_distance(x[0], MAX_DISTANCE * 1.05, 2)
    x[5] = x[3]
    assert near_copies(x.astype(np.float32)) == [(1, 4), (3, 5)]


def test_loudness_of_an_embedding_does_not_matter_to_what_is_near() -> None:
    row = np.random.default_rng(0).standard_normal(200)
    for size in (0.01, 1.0, 100.0):
        x = size * np.stack([row, at_distance(row, 0.2, 1), at_distance(row, 0.3, 2)])
        assert near_copies(x.astype(np.float32))[0] == (0, 1) and (0, 2) not in near_copies(x.astype(np.float32))


def test_rows_without_a_length_are_no_copies() -> None:
    assert near_copies(np.zeros((3, 10), np.float32)) == []
    assert near_copies(np.ones((1, 10), np.float32)) == []


def test_artists_and_copies_are_chained_into_groups() -> None:
    artists = ["Ann", None, "Bob", "Ann", None, "Cid", None]
    found = held_out_together(artists, [(1, 2), (4, 6)])
    assert found[0] == found[3] and found[1] == found[2] and found[4] == found[6]
    assert len(set(found)) == 4 and found[5] == "Cid"
    chained = held_out_together(artists, [(0, 2), (2, 5), (5, 6)])
    assert len({chained[i] for i in (0, 2, 3, 5, 6)}) == 1 and chained[1] is chained[4] is None


def test_without_copies_and_artists_each_track_is_alone() -> None:
    assert held_out_together([None, None], []) == [None, None]
    assert held_out_together(["Ann", "Bob"], []) == ["Ann", "Bob"]


def test_artist_who_is_called_like_a_group_is_not_in_it() -> None:
    names = held_out_together(["ann", "ann", *(f"group {i}" for i in range(3))], [])
    assert len(set(names)) == 4 and names[0] == names[1]
