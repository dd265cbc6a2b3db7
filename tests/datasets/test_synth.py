"""genrelab/datasets/synth.py: styles that can be played, colours that can be heard."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from genrelab.datasets.synth import RELATED, SCALES, STEPS, STYLES, Colour, Layer, Style, artist_style, render
from genrelab.datasets.synth_voices import SR, VOICES

COLOUR = Colour.random(np.random.default_rng(0))
DRY = dataclasses.replace(
    COLOUR, key=0, tempo=0.5, eq_db=(0.0,) * 8, reverb_s=0.01, wet=0.0, drive=0.1, floor_db=-120.0, peak=0.5
)


def layers(style: Style) -> tuple[Layer, ...]:
    return (*style.drums, *style.bass, *style.chords, *style.lead)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("genre", STYLES)
def test_styles_can_be_played(genre: str) -> None:
    style = STYLES[genre]
    assert style.scale in SCALES
    assert 40 <= style.tempo[0] < style.tempo[1] <= 200
    assert set(RELATED[genre]) < set(STYLES) - {genre}
    for layer in layers(style):
        assert layer.voice in VOICES
        assert len(layer.steps) == STEPS
        assert set(layer.steps) <= set(".x?0123456789")
    y = render(style, COLOUR, rng(), 2.0)
    assert y.shape == (2 * SR,)
    assert y.dtype == np.float32
    assert np.abs(y).max() == pytest.approx(COLOUR.peak, rel=1e-3)


def test_same_seed_same_track_other_seed_another() -> None:
    style = STYLES["Rock"]
    a = render(style, COLOUR, rng(1), 1.5)
    np.testing.assert_array_equal(a, render(style, COLOUR, rng(1), 1.5))
    assert not np.array_equal(a, render(style, COLOUR, rng(2), 1.5))


@pytest.mark.parametrize("beats", [60.0, 120.0])
def test_steps_fall_where_the_tempo_puts_them(beats: float) -> None:
    style = Style((beats, beats), "major", ((0,),), drums=(Layer("kick", "x...x...x...x...", 1.0, 0, 2),))
    y = render(style, DRY, rng(), 4.0)
    loud = np.abs(y).reshape(-1, SR // 50).max(axis=1) > 0.1  # frames of 20 ms
    onsets = np.flatnonzero(loud & ~np.r_[False, loud[:-1]])
    period = 60 / beats * 50
    gaps = np.diff(onsets)
    assert abs(gaps[gaps > period / 2].mean() - period) < 0.05 * period  # a track strays from its tempo by 3 %


def test_digits_and_chords_are_steps_of_the_scale() -> None:
    def pitches(steps: str, scale: str) -> set[int]:
        style = Style((60, 60), scale, ((0,),), bass=(Layer("organ", steps, 1.0, 4, 16),))
        y = render(style, DRY, rng(3), 3.5)
        spectrum = np.abs(np.fft.rfft(y * np.hanning(len(y))))
        hz = np.fft.rfftfreq(len(y), 1 / SR)
        band = (hz > 180) & (hz < 520)
        peaks = hz[band & (spectrum > 0.5 * spectrum[band].max())]
        semitones = np.round(12 * np.log2(peaks[peaks < 1.9 * peaks.min()] / 261.63)).astype(int)  # no overtones
        return set((semitones - semitones.min()).tolist())

    assert pitches("x...............", "major") == {0, 4, 7}
    assert pitches("x...............", "minor") == {0, 3, 7}
    assert pitches("4...............", "major") == {0}


def test_an_artist_mostly_plays_as_the_genre_does() -> None:
    artists = [artist_style("Folk", rng(seed)) for seed in range(200)]
    own = np.mean([style.bass == STYLES["Folk"].bass for style in artists])
    assert 0.7 < own < 0.9
    borrowed = {style.drums for style in artists} - {STYLES["Folk"].drums}
    assert borrowed == {STYLES[g].drums for g in RELATED["Folk"]}
    # What belongs together is borrowed together.
    assert all(s.tempo == STYLES["Folk"].tempo for s in artists if s.drums == STYLES["Folk"].drums)


def test_tracks_of_one_artist_share_their_sound_colour() -> None:
    def bands(colour: Colour, seed: int) -> np.ndarray:
        power = np.abs(np.fft.rfft(render(STYLES["Pop"], colour, rng(seed), 3.0))) ** 2
        return np.log([part.mean() for part in np.array_split(power[20:], 40)])

    ours, theirs = Colour.random(rng(1)), Colour.random(rng(2))
    one, two, other = bands(ours, 10), bands(ours, 11), bands(theirs, 10)
    assert np.abs(one - two).mean() < 0.5 * np.abs(one - other).mean()
