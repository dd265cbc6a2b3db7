"""The model behind `learn` is scored on artists that it does not know, and says what more tracks would bring."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from genrelab.core.errors import ModelError
from genrelab.evaluation.calibration import MIN_TRACKS
from genrelab.runs.embedding_cache import VIEW
from genrelab.runs.learn_head import Learned, Rows, learn_head

GENRES = ("Blues", "Folk", "Rock")


def rows(
    n: int = 36,
    *,
    n_genres: int = 3,
    by: int = 1,
    genre: float = 1.0,
    artist: float = 0.0,
    noise: float = 1.0,
    known: bool = True,
    seed: int = 0,
) -> Rows:
    """One row a track, the artists taking turns: `by` tracks of each, all of one genre.

    Args:
        genre, artist, noise: size of what an embedding says of each, and of the track alone.
        known: are the artists known?
    """
    rng = np.random.default_rng(seed)
    n_artists = n // by
    who = np.arange(n) % n_artists
    y = who % n_genres
    parts = (
        (genre, rng.standard_normal((n_genres, *VIEW.shape))[y]),
        (
            artist,
            rng.standard_normal((n_artists, *VIEW.shape))[who],
        ),
    )
    x = sum(size * part for size, part in parts) + noise * rng.standard_normal((n, *VIEW.shape))
    artists: Sequence[str | None] = [f"Artist {i}" if known else None for i in who]
    return Rows(np.asarray(x, np.float32), np.arange(n), y, artists)


def learn(given: Rows, *, seed: int = 42, learning_curve: bool = False) -> Learned:
    return learn_head(given, GENRES[: int(given.y.max()) + 1], VIEW, seed=seed, learning_curve=learning_curve)


def accuracy(learned: Learned) -> float:
    assert learned.scores is not None
    return float(learned.scores["accuracy"])


# --- artists ---


def test_scores_keep_artists_apart() -> None:
    """Embeddings say who plays, and nothing of the genre: of an unknown artist it can only be guessed."""
    only_artists = {"n": 60, "n_genres": 2, "by": 6, "genre": 0.0, "artist": 3.0}
    honest = learn(rows(**only_artists))  # type: ignore[arg-type]
    leaking = learn(rows(**only_artists, known=False))  # type: ignore[arg-type]
    assert accuracy(leaking) > 0.95, "with tracks of the artist to learn from it would seem to know"
    assert accuracy(honest) < 0.75
    assert honest.scores is not None and honest.scores["interval_over"] == "artists"
    assert honest.scores["n_groups"] == 10
    assert set(honest.evidence.thresholds(0.8).values()) != set(leaking.evidence.thresholds(0.8).values())  # type: ignore[union-attr]
    assert honest.evidence is not None and sum(honest.evidence.right) < 0.75 * 60


def test_half_of_the_tracks_is_scored_with_artists_apart_too() -> None:
    honest = learn(rows(60, n_genres=2, by=6, genre=0.0, artist=3.0), learning_curve=True)
    assert np.nanmean(honest.half_recall) < 0.75


def test_genre_of_a_single_artist_is_learned_and_never_scored() -> None:
    given = rows(48)
    artists = [*given.artists]
    for i in np.flatnonzero(given.y == 2):
        artists[i] = "the only one"
    learned = learn(Rows(given.x, given.track, given.y, artists))
    assert learned.scores is not None and learned.scores["not_measured"] == ["Rock"]
    assert not (given.y[learned.tracks] == 2).any() and len(learned.tracks) == 32
    assert learned.model.genres == GENRES


def test_tracks_that_are_never_held_out_are_learned_from_only() -> None:
    given = rows(48)
    never = np.arange(48) < 20
    learned = learn(Rows(given.x, given.track, given.y, given.artists, never))
    assert learned.tracks.tolist() == list(range(20, 48))


@pytest.mark.parametrize(("known", "by", "noted"), [(True, 1, False), (False, 1, True), (True, 4, False)])
def test_unknown_artists_are_noted_and_known_ones_are_not(known: bool, by: int, noted: bool) -> None:
    """Also where no two tracks have the same."""
    learned = learn(rows(36, by=by, known=known))
    assert any("by unknown artists" in note for note in learned.notes) is noted


# --- scores and calibration ---


def test_clear_genres_are_recognised_and_probabilities_are_those_of_held_out_tracks() -> None:
    given = rows(36)
    learned = learn(given, learning_curve=True)
    assert accuracy(learned) > 0.9
    assert learned.tracks.tolist() == list(range(36)) and learned.p.shape == (36, 3)
    np.testing.assert_allclose(learned.p.sum(axis=1), 1)
    assert learned.scores is not None and learned.scores["n"] == 36 and learned.scores["genres"] == list(GENRES)
    assert learned.evidence is not None and learned.evidence.n == 36
    assert learned.evidence.fitted_on == "all tracks, out of fold"
    assert (learned.half_recall > 0.5).all()


def test_noise_is_recognised_as_often_as_by_guessing() -> None:
    learned = learn(rows(90, genre=0.0))
    assert accuracy(learned) < 0.5
    assert learned.evidence is not None
    assert all(t.confidence is None for t in learned.evidence.thresholds(0.8).values())


def test_several_rows_of_a_track_are_held_out_together_and_pooled() -> None:
    given = rows(36)
    rng = np.random.default_rng(1)
    x = np.concatenate([given.x, given.x + 0.1 * rng.standard_normal(given.x.shape).astype(np.float32)])
    learned = learn(Rows(x, np.tile(np.arange(36), 2), given.y, given.artists))
    assert learned.tracks.tolist() == list(range(36)) and learned.p.shape == (36, 3)


def test_too_few_tracks_are_learned_and_not_scored() -> None:
    few, enough = (learn(rows(n, n_genres=2), learning_curve=True) for n in (MIN_TRACKS - 2, MIN_TRACKS))
    assert few.scores is None and few.evidence is None and few.temperature == 1 and len(few.tracks) == 0
    assert np.isnan(few.half_recall).all() and few.model.onnx()
    assert enough.scores is not None and enough.evidence is not None


def test_half_is_measured_though_a_genre_has_few_tracks() -> None:
    """Of a genre of two tracks half is one: where it is held out the other one is learned from."""
    given = rows(40)
    y = np.where(np.arange(40) < 2, 2, np.arange(40) % 2)
    learned = learn(Rows(given.x, given.track, y, given.artists), learning_curve=True)
    assert learned.scores is not None and not np.isnan(learned.half_recall).any()


def test_genre_that_is_never_held_out_is_not_measured_and_the_others_are() -> None:
    given = rows(48)
    learned = learn(Rows(given.x, given.track, given.y, given.artists, given.y == 2), learning_curve=True)
    assert np.isnan(learned.half_recall).tolist() == [False, False, True]


def test_any_of_several_genres_is_right_and_each_track_is_scored_once() -> None:
    """The second 12 tracks are the first once more, under another genre."""
    given = rows(12, n_genres=2)
    x, y = np.concatenate([given.x, given.x]), np.append(given.y, np.full(12, 2))
    twice = Rows(
        x, np.arange(24), y, [*given.artists, *given.artists],
        right=[frozenset({int(genre), 2}) for genre in np.tile(given.y, 2)], scored=np.arange(24) < 12,
    )  # fmt: skip
    learned = learn(twice, learning_curve=True)
    assert learned.scores is not None and learned.evidence is not None
    assert learned.tracks.tolist() == list(range(12)) and learned.scores["n"] == learned.evidence.n == 12
    assert accuracy(learned) > 0.9 and np.nanmin(learned.half_recall) > 0.6, "half counts alike"
    only = learn(Rows(x, np.arange(24), y, twice.artists))
    assert only.scores is not None and only.scores["n"] == 24 and accuracy(only) < 0.75


def test_truth_is_the_answer_where_that_is_right() -> None:
    given = Rows(np.zeros((3, 1), np.float32), np.arange(3), np.array([0, 1, 2]), [None] * 3)
    p = np.array([[0.1, 0.2, 0.7], [0.8, 0.1, 0.1]])
    assert given.truth(np.array([0, 2]), p).tolist() == [0, 2]
    several = Rows(**vars(given) | {"right": [frozenset({0, 2}), frozenset({1}), frozenset({1, 2})]})
    assert several.truth(np.array([0, 2]), p).tolist() == [2, 2]
    assert several.truth(np.empty(0, np.int64), np.empty((0, 3))).tolist() == []


def test_same_seed_gives_the_same_model_and_scores() -> None:
    given = rows(48, by=2, genre=0.3)
    first, again = learn(given, learning_curve=True), learn(given, learning_curve=True)
    assert first.model.onnx() == again.model.onnx()
    assert (first.scores, first.temperature, first.evidence) == (again.scores, again.temperature, again.evidence)
    np.testing.assert_array_equal(first.half_recall, again.half_recall)
    assert any(learn(given, seed=seed).scores != first.scores for seed in (1, 2, 3)), "else the seed does nothing"


def test_rows_that_are_all_alike_are_refused() -> None:
    given = rows(24)
    with pytest.raises(ModelError):
        learn(Rows(np.zeros_like(given.x), given.track, given.y, given.artists))


def test_artists_are_groups_and_each_unknown_one_is_its_own() -> None:
    given = rows(6, n_genres=2)
    artists = ["Ann", None, "Bob", "Ann", None, "Bob"]
    group: NDArray[np.int64] = Rows(given.x, given.track, given.y, artists).examples(VIEW, GENRES[:2]).labels.group
    assert group[0] == group[3] and group[2] == group[5] and len(set(group.tolist())) == 4
