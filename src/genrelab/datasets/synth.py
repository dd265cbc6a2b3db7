"""Synthesised tracks: a style defines what is played, a colour how an artist's room and gear sound.

A style is a set of layers, each a voice and a bar of sixteen steps. A step is `.` (rest), `x` (the chord, or
a stroke of a drum), a digit (that many scale steps above the chord's root) or `?` (the next note of a melody).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import scipy.fft

from genrelab.datasets.synth_voices import SR, VOICES, Samples, decay, noise

STEPS = 16
"""Steps of a bar."""

SCALES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "pentatonic": (0, 3, 5, 7, 10),
    "phrygian": (0, 1, 4, 5, 7, 8, 10),
    "chromatic": (0, 1, 3, 4, 6, 7, 9, 10, 11),
}


@dataclass(frozen=True)
class Layer:
    """One instrument's bar."""

    voice: str
    steps: str
    level: float = 0.5
    octave: int = 4  # 0: a drum, which has no pitch
    length: float = 1.0  # of a note, in steps


@dataclass(frozen=True)
class Style:
    """How a genre is played."""

    tempo: tuple[float, float]  # beats a minute, slowest and fastest
    scale: str
    roots: tuple[tuple[int, ...], ...]  # chord progressions: a scale step for each bar
    drums: tuple[Layer, ...] = ()
    bass: tuple[Layer, ...] = ()
    chords: tuple[Layer, ...] = ()
    lead: tuple[Layer, ...] = ()
    swing: float = 0.0  # share of a step by which every second step is late


HELD = "x..............."  # one chord a bar

STYLES = {
    "Electronic": Style(
        (118, 136), "minor", ((0, 0, 5, 6), (0, 5, 3, 6), (0,)),
        drums=(
            Layer("kick", "x...x...x...x...", 0.9, 0, 3), Layer("open", "..x...x...x...x.", 0.4, 0, 2),
            Layer("clap", "....x.......x...", 0.5, 0, 2),
        ),
        bass=(Layer("saw", "..0...0...0...0.", 0.5, 2, 2),),
        chords=(Layer("pad", HELD, 0.15, 4, 16),),
        lead=(Layer("square", "0242024202420247", 0.2, 5, 1),),
    ),
    "Experimental": Style(
        (50, 150), "chromatic", ((0, 3, 1, 6), (0, 7, 2, 5), (0, 1)),
        drums=(Layer("low", "x.....x......x..", 0.4, 0, 4), Layer("crash", "..........x.....", 0.3, 0, 8)),
        bass=(Layer("texture", "0.......4.......", 0.7, 2, 10),),
        chords=(Layer("texture", "..3.......7.....", 0.6, 5, 7),),
        lead=(Layer("bell", "..?.....?..?...?", 0.4, 5, 6),),
    ),
    "Folk": Style(
        (82, 120), "major", ((0, 3, 4, 0), (0, 4, 5, 3), (0, 5, 3, 4)),
        drums=(Layer("shaker", "x...x...x...x...", 0.15, 0, 2),),
        bass=(Layer("pluck", "0.......4.......", 0.6, 2, 6),),
        chords=(Layer("pluck", "..2.4.7...4.2.4.", 0.6, 4, 5), Layer("pluck", HELD, 0.3, 3, 12)),
        lead=(Layer("sing", "?...?...?.?.?...", 0.3, 4, 3),),
    ),
    "Hip-Hop": Style(
        (80, 100), "minor", ((0, 0, 3, 3), (0, 5), (0,)),
        drums=(
            Layer("kick", "x.....x...x.....", 1.0, 0, 4), Layer("snare", "....x.......x...", 0.7, 0, 3),
            Layer("hat", "x.x.x.xxx.x.x.x.", 0.4, 0, 1),
        ),
        bass=(Layer("sub", "0.....0...4.....", 0.8, 2, 5),),
        chords=(Layer("keys", "x.......x.......", 0.15, 4, 6),),
        lead=(Layer("rap", "?.???.?.??.???..", 0.6, 3, 2),),
        swing=0.25,
    ),
    "Instrumental": Style(
        (62, 108), "major", ((0, 5, 3, 4), (5, 3, 0, 4), (0, 2, 3, 4)),
        bass=(Layer("piano", "0.......4.......", 0.6, 2, 8),),
        chords=(Layer("piano", "0.2.4.7.4.2.4.2.", 0.45, 4, 4), Layer("pad", HELD, 0.15, 4, 16)),
        lead=(Layer("flute", "?.......?...?...", 0.25, 5, 6),),
    ),
    "International": Style(
        (92, 132), "phrygian", ((0, 0, 1, 0), (0, 1, 6, 0), (0,)),
        drums=(
            Layer("low", "x..x..x...x..x..", 0.6, 0, 3), Layer("high", "..x..x.xx...x.xx", 0.5, 0, 2),
            Layer("shaker", "x.x.x.x.x.x.x.x.", 0.3, 0, 1),
        ),
        bass=(Layer("organ", "0...............", 0.25, 3, 16),),
        chords=(Layer("pluck", "0.40..2.4.0.2.4.", 0.5, 4, 3),),
        lead=(Layer("flute", "?.?.?...?.??....", 0.4, 5, 2),),
    ),
    "Pop": Style(
        (98, 128), "major", ((0, 4, 5, 3), (0, 3, 4, 4), (5, 3, 0, 4)),
        drums=(
            Layer("kick", "x.....x.x.......", 0.8, 0, 3), Layer("clap", "....x.......x...", 0.6, 0, 2),
            Layer("hat", "x.x.x.x.x.x.x.x.", 0.3, 0, 1),
        ),
        bass=(Layer("bass", "0.0.0.0.0.0.0.4.", 0.5, 2, 2),),
        chords=(Layer("saw", "x.....x.....x...", 0.15, 4, 4),),
        lead=(Layer("sing", "?.?.?...?.?.??..", 0.45, 5, 2),),
    ),
    "Rock": Style(
        (112, 160), "pentatonic", ((0, 2, 3, 0), (0, 4, 2, 3), (0, 3)),
        drums=(
            Layer("kick", "x..x....x.x.....", 0.9, 0, 3), Layer("snare", "....x.......x...", 0.8, 0, 3),
            Layer("crash", "x...x...x...x...", 0.3, 0, 4),
        ),
        bass=(Layer("bass", "0.0.0.0.0.0.0.0.", 0.5, 2, 2),),
        chords=(Layer("guitar", "0.00..0.00.0..00", 0.4, 3, 2),),
        lead=(Layer("sing", "?...?.?.?.......", 0.35, 4, 3),),
    ),
}  # fmt: skip

RELATED = {
    "Electronic": ("Pop", "Hip-Hop", "Experimental"), "Experimental": ("Electronic", "Instrumental", "International"),
    "Folk": ("International", "Instrumental", "Pop"), "Hip-Hop": ("Electronic", "Pop", "International"),
    "Instrumental": ("Folk", "Experimental", "Electronic"), "International": ("Folk", "Hip-Hop", "Pop"),
    "Pop": ("Rock", "Electronic", "Folk"), "Rock": ("Pop", "Folk", "Experimental"),
}  # fmt: skip
"""Genres that a genre's artists borrow from."""

BORROWED = 0.22
"""Chance that an artist takes a part of their music from a related genre: what keeps the corpus from being easy."""


def artist_style(genre: str, rng: np.random.Generator) -> Style:
    """Style of one artist: the genre's, with some parts borrowed from related genres."""
    style = STYLES[genre]
    for parts in (("tempo", "drums", "swing"), ("scale", "roots"), ("bass",), ("chords",), ("lead",)):
        other = STYLES[RELATED[genre][rng.integers(3)]]
        if rng.random() < BORROWED:
            style = dataclasses.replace(style, **{name: getattr(other, name) for name in parts})
    return style


@dataclass(frozen=True)
class Colour:
    """Effect of an artist's room and gear on everything they play."""

    timbre: int  # seed of the voices and drums: the singer, the kit
    key: int  # semitones above C that most tracks are near
    tempo: float  # 0 to 1: where in the style's range
    eq_db: tuple[float, ...]  # gains at octaves from 63 Hz
    reverb_s: float  # time constant of the decay
    wet: float
    drive: float
    floor_db: float  # noise floor below full scale
    floor_slope: float  # of its spectrum: 0 is white, 1 is brown
    peak: float

    @classmethod
    def random(cls, rng: np.random.Generator) -> Colour:
        """The sound of one artist."""
        return cls(
            timbre=int(rng.integers(1 << 31)),
            key=int(rng.integers(-6, 6)),
            tempo=rng.random(),
            eq_db=tuple(rng.normal(0.0, 5.0, 8).tolist()),
            reverb_s=float(np.exp(rng.uniform(np.log(0.03), np.log(0.5)))),
            wet=rng.uniform(0.05, 0.5),
            drive=rng.uniform(0.3, 2.5),
            floor_db=rng.uniform(-75.0, -40.0),
            floor_slope=rng.uniform(0.0, 1.0),
            peak=rng.uniform(0.4, 0.95),
        )


def render(style: Style, colour: Colour, rng: np.random.Generator, seconds: float) -> Samples:
    """One track.

    Args:
        style: what is played.
        colour: how it sounds.
        rng: key, progression, melody and small errors; the only source of randomness.
        seconds: how long.

    Returns:
        Mono samples at `SR`, shape (seconds * SR,), within ±1.
    """
    n = int(seconds * SR)
    tempo = (style.tempo[0] + colour.tempo * (style.tempo[1] - style.tempo[0])) * rng.uniform(0.97, 1.03)
    step = 60 / tempo / 4 * SR
    key = colour.key + int(rng.integers(-2, 3))
    roots = style.roots[rng.integers(len(style.roots))]
    y = np.zeros(n, np.float32)
    for layer in (*style.drums, *style.bass, *style.chords, *style.lead):
        _play(y, layer, style, colour, key, roots, step, rng)
    return _apply_colour(y, colour, rng)


def _play(
    y: Samples,
    layer: Layer,
    style: Style,
    colour: Colour,
    key: int,
    roots: tuple[int, ...],
    step: float,
    rng: np.random.Generator,
) -> None:
    """Add a layer's notes to `y`; each different note is made only once."""
    notes: dict[int, Samples] = {}
    melody = 0
    for i in range(int(len(y) / step) + 1):
        char = layer.steps[i % STEPS]
        if char == "." or (char == "?" and rng.random() < 0.3):
            continue
        if char == "?":
            melody = int(np.clip(melody + rng.integers(-2, 3), -4, 7))
        root = roots[i // STEPS % len(roots)]
        start = int((i + style.swing * (i % 2)) * step)
        for degree in _degrees(layer, char, root, melody):
            if degree not in notes:
                timbre = np.random.default_rng(colour.timbre)  # anew for each note: one singer, one kit
                notes[degree] = _note(layer, style.scale, key, degree, step, timbre)
            played = y[start : start + len(notes[degree])]
            played += np.float32(layer.level * rng.uniform(0.8, 1.0)) * notes[degree][: len(played)]


def _degrees(layer: Layer, char: str, root: int, melody: int) -> tuple[int, ...]:
    """Scale steps above the key that sound together."""
    if layer.octave == 0:
        return (0,)
    if char == "?":
        return (melody + root,)
    return (root, root + 2, root + 4) if char == "x" else (int(char) + root,)


def _note(layer: Layer, scale: str, key: int, degree: int, step: float, rng: np.random.Generator) -> Samples:
    octave, place = divmod(degree, len(SCALES[scale]))
    semitones = SCALES[scale][place] + 12 * (octave + layer.octave - 4) + key
    return VOICES[layer.voice](261.63 * 2 ** (semitones / 12), int(layer.length * step), rng).astype(np.float32)


def _apply_colour(y: Samples, colour: Colour, rng: np.random.Generator) -> Samples:
    """Apply drive, room, equaliser and noise floor."""
    n = len(y)
    y = np.tanh(colour.drive * y)
    tail = min(n, int(5 * colour.reverb_s * SR))
    room = (noise(tail, rng) * decay(tail, colour.reverb_s)).astype(np.float32)
    room *= colour.wet / np.sqrt(np.sum(room**2))
    room[0] += 1 - colour.wet
    size = scipy.fft.next_fast_len(n + tail, real=True)
    hz = np.maximum(scipy.fft.rfftfreq(size, 1 / SR), 20.0)
    gains = 10 ** (np.interp(np.log2(hz / 63), np.arange(len(colour.eq_db)), colour.eq_db) / 20)
    floor = scipy.fft.rfft(noise(size, rng)) * (hz / 500) ** -colour.floor_slope * 10 ** (colour.floor_db / 20)
    spectrum = scipy.fft.rfft(y, size) * scipy.fft.rfft(room, size) * gains
    played = scipy.fft.irfft(spectrum, size)[:n]
    played /= max(float(np.abs(played).max()), 1e-9)
    mixed = played + scipy.fft.irfft(floor, size)[:n]
    return np.asarray(colour.peak * mixed / max(float(np.abs(mixed).max()), 1e-9), np.float32)
