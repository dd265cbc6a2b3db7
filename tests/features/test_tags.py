"""genrelab/features/tags.py: the networks' last layer gives the tags that they were trained on."""

from __future__ import annotations

import numpy as np
import pytest

from genrelab.core.config import NETWORK_OUTPUTS, EmbeddingView
from genrelab.datasets.synth_voices import SR
from genrelab.features.embedding import FOLDER
from genrelab.features.tags import TAGS, tag_probabilities
from genrelab.features.views import compute
from tests.support.songs import genres, song
from tests.support.sounds import awkward

VIEW = EmbeddingView()


def test_tags_are_fifty_different_names() -> None:
    assert len(TAGS) == len(set(TAGS)) == 50
    assert len({tag.casefold() for tag in TAGS}) == 50 and all(tag == " ".join(tag.split()) != "" for tag in TAGS)


def test_stored_layer_fits_the_networks_and_the_names() -> None:
    with np.load(FOLDER / "tags.npz", allow_pickle=False) as stored:
        assert stored["kernel"].shape == (sum(NETWORK_OUTPUTS.values()), len(TAGS))
        assert stored["bias"].shape == (len(NETWORK_OUTPUTS), len(TAGS))


@pytest.mark.parametrize("genre", genres()[:3])
def test_tags_of_music_are_probabilities_of_which_few_are_likely(genre: str) -> None:
    row = compute(VIEW, song(genre, 1, 1, 3.0), SR)[0].x
    p = tag_probabilities(row[None])
    assert p.shape == (50,) and p.dtype == np.float64
    assert ((p > 0) & (p < 1)).all() and p.max() > 0.05 and np.median(p) < 0.1


def test_tags_of_different_songs_differ() -> None:
    rock, folk = (tag_probabilities(compute(VIEW, song(g, 1, 1, 3.0), SR)[0].x[None]) for g in ("Rock", "Folk"))
    assert np.abs(rock - folk).max() > 0.05


@pytest.mark.parametrize("name", ["silence", "noise", "square", "clipped by far"])
def test_tags_of_awkward_sounds_are_probabilities(name: str) -> None:
    p = tag_probabilities(compute(VIEW, awkward(VIEW.sr, 3.0)[name], VIEW.sr)[0].x[None])
    assert np.isfinite(p).all() and (p >= 0).all() and (p <= 1).all()


def test_tags_are_the_mean_over_windows_and_networks() -> None:
    """Against the layers as they are stored, network by network and window by window."""
    rows = np.random.default_rng(0).standard_normal((3, *VIEW.shape)).astype(np.float32)
    with np.load(FOLDER / "tags.npz", allow_pickle=False) as stored:
        kernel, bias = stored["kernel"].astype(np.float64), stored["bias"].astype(np.float64)
    expected = np.zeros(len(TAGS))
    for row in rows.astype(np.float64):
        first = 0
        for network, n in enumerate(NETWORK_OUTPUTS.values()):
            logits = row[first : first + n] @ kernel[first : first + n] + bias[network]
            expected += 1 / (1 + np.exp(-logits)) / (len(rows) * len(NETWORK_OUTPUTS))
            first += n
    np.testing.assert_allclose(tag_probabilities(rows), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("genre", "tag"),
    [
        ("Electronic", "electronic"),
        ("Experimental", "experimental"),
        ("Hip-Hop", "Hip-Hop"),
        ("Instrumental", "instrumental"),
        ("Pop", "pop"),
    ],
)
def test_names_are_in_the_order_of_the_outputs(genre: str, tag: str) -> None:
    """Else these would hardly be among the five likeliest of fifty."""
    p = tag_probabilities(compute(VIEW, song(genre, 1, 1, 3.0), SR)[0].x[None])
    assert tag in [TAGS[i] for i in np.argsort(-p)[:5]]
