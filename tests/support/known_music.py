"""Music of known tempo and key: click tracks, drum patterns, chord progressions and the songs of the demo corpus."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.signal
from numpy.typing import NDArray

from genrelab.datasets import demo
from genrelab.datasets.synth import SCALES, render
from genrelab.datasets.synth_voices import SR, VOICES

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Pattern:
    """A bar of drums: the slowest and the fastest tempo, the strokes of each voice, steps of a beat."""

    tempo: tuple[float, float]
    strokes: dict[str, str]
    steps_per_beat: int = 4


PATTERNS = {
    "four on the floor": Pattern(
        (110, 140), {"kick": "x...x...x...x...", "open": "..x...x...x...x.", "clap": "....x.......x..."}
    ),
    "rock": Pattern((90, 150), {"kick": "x.......x.x.....", "snare": "....x.......x...", "hat": "x.x.x.x.x.x.x.x."}),
    "off-beat rock": Pattern(
        (90, 150), {"kick": "x..x....x.x....x", "snare": "....x.......x...", "hat": "x.x.x.x.x.x.x.x."}
    ),
    "hip-hop": Pattern((75, 105), {"kick": "x.....x...x.....", "snare": "....x.......x...", "hat": "x.x.x.xxx.x.x.x."}),
    "reggae": Pattern((65, 95), {"kick": "........x.......", "snare": "........x.......", "hat": "..x...x...x...x."}),
    "break": Pattern((95, 175), {"kick": "x.x.......xx....", "snare": "....x..x.x..x..x", "hat": "x.x.x.x.x.x.x.x."}),
    "bossa nova": Pattern(
        (110, 150), {"kick": "x..xx..xx..xx..x", "high": "x..x..x...x..x..", "hat": "xxxxxxxxxxxxxxxx"}
    ),
    "waltz": Pattern((85, 180), {"kick": "x...........", "hat": "....x...x...", "shaker": "x...x...x..."}),
    "shuffle": Pattern((80, 150), {"kick": "x.....x.....", "snare": "...x.....x..", "hat": "x.xx.xx.xx.x"}, 3),
    "ballad": Pattern((60, 85), {"kick": "x.......x.x.....", "snare": "....x.......x...", "hat": "x.x.x.x.x.x.x.x."}),
    "swing": Pattern((110, 200), {"open": "x..x.xx..x.x", "hat": "...x.....x..", "kick": "x..x..x..x.."}, 3),
    "reggaeton": Pattern(
        (85, 105), {"kick": "x...x...x...x...", "snare": "...x..x....x..x.", "hat": "x.x.x.x.x.x.x.x."}
    ),
    "metal": Pattern(
        (100, 160), {"kick": "xxxxxxxxxxxxxxxx", "snare": "....x.......x...", "crash": "x...x...x...x..."}
    ),
    "polka": Pattern((90, 130), {"kick": "x.......x.......", "snare": "....x.......x..."}),
    "six-eight": Pattern((50, 75), {"kick": "x.....", "snare": "...x..", "hat": "xxxxxx"}, 3),
}
"""Drums of styles, each at the tempos at which it is played."""

PROGRESSIONS = {
    "major": ((0, 4, 5, 3), (0, 3, 4, 0), (1, 4, 0, 0), (0, 5, 3, 4), (0, 3, 0, 4)),
    "minor": ((0, 3, 4, 0), (0, 5, 3, 4), (0, 6, 5, 4), (0, 0, 3, 4), (3, 0, 4, 0)),
}
"""Degrees of the roots of chords, one a bar; the fifth of minor has a leading note."""

MODES = {"major": 0, "minor": 12}
"""Scales of the demo corpus that have a key; its others lack notes of both modes or have notes of neither."""

TIMBRES = ("piano", "organ", "saw", "pluck", "keys", "bass")


@dataclass(frozen=True)
class Known:
    """A sound and what is known of it.

    Attributes:
        kind: for the rows of a table.
        y: mono samples at 22,050 Hz, (n,).
        bpm: tempo; None where it is not the question.
        key: 0 to 11 for major, 12 to 23 for minor, from C; None where it is not the question.
    """

    kind: str
    y: Samples
    bpm: float | None = None
    key: int | None = None


def with_noise(y: Samples, snr_db: float, rng: np.random.Generator) -> Samples:
    """`y` and white noise with a power of `snr_db` below that of `y`."""
    level = np.sqrt(float(np.mean(np.square(y, dtype=np.float64)))) * 10 ** (-snr_db / 20)
    return (y + level * rng.standard_normal(len(y))).astype(np.float32)


def click_track(bpm: float, seconds: float, rng: np.random.Generator, *, jitter_s: float = 0.0) -> Samples:
    """A click on each beat, all equal; each is early or late by `jitter_s` (standard deviation), independently."""
    beat, click = 60 / bpm, _click()
    beats = np.arange(rng.uniform(0.1, 0.1 + beat), seconds - 0.1, beat)
    y = np.zeros(int(seconds * SR), np.float32)
    for at in beats + jitter_s * rng.standard_normal(len(beats)):
        _add(y, click, at)
    return y


def drum_pattern(name: str, bpm: float, seconds: float, rng: np.random.Generator, *, jitter_s: float = 0.0) -> Samples:
    """A bar of `PATTERNS` again and again, with strokes of varied loudness."""
    pattern = PATTERNS[name]
    strokes, n_steps = pattern.strokes, len(pattern.strokes["hat" if "hat" in pattern.strokes else "kick"])
    step = 60 / bpm / pattern.steps_per_beat
    kit = {voice: VOICES[voice](261.6, SR // 5, rng).astype(np.float32) for voice in strokes}
    start = rng.uniform(0, step * n_steps)
    y = np.zeros(int(seconds * SR), np.float32)
    for i in range(int((seconds - start) / step)):
        for voice, steps in strokes.items():
            if steps[i % n_steps] == "x":
                at = start + i * step + jitter_s * rng.standard_normal()
                _add(y, rng.uniform(0.3, 0.5) * kit[voice], at)
    return y


def progression(
    key: int,
    seconds: float,
    rng: np.random.Generator,
    *,
    timbre: str = "piano",
    cents: float = 0.0,
    bpm: float = 120.0,
    drums: str | None = None,
    number: int = 0,
) -> Samples:
    """Chords of a key with a bass and a melody of notes of the scale.

    Args:
        key: see `Known`.
        cents: how much sharper than A = 440 Hz.
        drums: a pattern of `PATTERNS`.
        number: of the progression.
    """
    mode = "minor" if key >= 12 else "major"
    roots, scale, bar = PROGRESSIONS[mode][number], SCALES[mode], 4 * 60 / bpm
    y = np.zeros(int(seconds * SR), np.float32)
    notes: dict[tuple[str, float, float], Samples] = {}

    def play(voice: str, degree: int, octave: int, at: float, length: float, level: float) -> None:
        leading = mode == "minor" and roots[int(at / bar) % len(roots)] == 4 and degree % 7 == 6
        semitones = scale[degree % 7] + leading + 12 * (degree // 7 + octave - 4) + key % 12
        hz = 261.63 * 2 ** ((semitones + cents / 100) / 12)
        note = (voice, hz, length)
        if note not in notes:
            notes[note] = VOICES[voice](hz, int(length * SR), rng).astype(np.float32)
        _add(y, level * notes[note], at)

    for i in range(int(np.ceil(seconds / bar))):
        root = roots[i % len(roots)]
        play("bass", root, 2, i * bar, 0.45 * bar, 0.3)
        play("bass", root, 2, (i + 0.5) * bar, 0.45 * bar, 0.3)
        for beat in range(4):
            for third in (0, 2, 4):
                play(timbre, root + third, 4 - (root > 3), (i + beat / 4) * bar, 0.24 * bar, 0.15)
        for eighth in range(8):
            if rng.random() < 0.5:
                chord_note = rng.random() < 0.7
                degree = root + int(rng.choice((0, 2, 4))) if chord_note else int(rng.integers(0, 7))
                play(timbre, degree, 5, (i + eighth / 8) * bar, 0.12 * bar, 0.15)
    if drums:
        y += 0.5 * drum_pattern(drums, bpm, seconds, rng)
    return y


def demo_songs(
    seconds: float = 20.0, *, seed: int = 7, per_genre: int = 20, limit: int | None = None
) -> Iterator[Known]:
    """Songs of the demo corpus before they are encoded. `key` is None where the scale has no major or minor key."""
    rng = np.random.default_rng(seed)
    artists = [a for genre in demo.STYLES for a in demo._make_artists(genre, max(3, per_genre // 2), rng)]
    songs = [s for s in demo._make_songs(artists, per_genre, rng) if s.problem is None]
    for song in songs[:limit]:
        style, colour = song.artist.style, song.artist.colour
        bpm, key = _plan_of(song, seed)
        y = render(style, colour, np.random.default_rng((seed, song.track_id)), seconds)
        known_key = key % 12 + MODES[style.scale] if style.scale in MODES else None
        yield Known(f"demo, {song.artist.genre}", y, bpm, known_key)


def _plan_of(song: demo.Song, seed: int) -> tuple[float, int]:
    """Tempo and semitones above C: what `synth.render` draws first."""
    style, colour, rng = song.artist.style, song.artist.colour, np.random.default_rng((seed, song.track_id))
    slowest, fastest = style.tempo
    bpm = (slowest + colour.tempo * (fastest - slowest)) * rng.uniform(0.97, 1.03)
    return bpm, colour.key + int(rng.integers(-2, 3))


def _click() -> Samples:
    t = np.arange(SR // 50) / SR
    return (0.5 * np.sin(2 * np.pi * 1_500 * t) * np.exp(-t / 0.004)).astype(np.float32)


def _add(y: Samples, sound: Samples, at: float) -> None:
    start = max(0, round(at * SR))
    played = y[start : start + len(sound)]
    played += sound[: len(played)]


# --- Sets of sounds, for benchmarks and for what is fitted ---

CLICKS = ((0.0, None), (0.005, None), (0.01, 20.0), (0.015, 10.0), (0.0, 6.0), (0.0, 0.0))
"""Jitter in seconds and signal-to-noise ratio in dB of click tracks."""


def tempo_sounds(rng: np.random.Generator, seconds: float = 20.0, *, n_tempos: int = 16) -> Iterator[Known]:
    """Click tracks of 50 to 210 beats a minute, and drums with and without noise at the tempos of their style."""
    for bpm in np.linspace(51, 209, 2 * n_tempos):
        for jitter_s, snr_db in CLICKS:
            wanted = bpm + rng.uniform(-2, 2)
            y = click_track(wanted, seconds, rng, jitter_s=jitter_s)
            kind = "clicks" if 70 <= wanted <= 180 else "clicks, below 70 or above 180 BPM"
            yield Known(kind, y if snr_db is None else with_noise(y, snr_db, rng), wanted)
    for name, pattern in PATTERNS.items():
        for bpm in np.geomspace(*pattern.tempo, n_tempos):
            for noisy in (False, True):
                wanted = bpm * rng.uniform(0.98, 1.02)
                y = drum_pattern(name, wanted, seconds, rng, jitter_s=0.004)
                yield Known(f"drums, {name}", with_noise(y, 6.0, rng) if noisy else y, wanted)


def key_sounds(rng: np.random.Generator, seconds: float = 20.0) -> Iterator[Known]:
    """Progressions in all keys with all timbres: in tune, or up to 40 cents off with noise at 10 dB, drums or both."""
    variants = {
        "progressions": (0.0, None, None),
        "progressions, detuned, noise": (40.0, None, 10.0),
        "progressions, detuned, drums": (40.0, "rock", None),
        "progressions, detuned, drums, noise": (40.0, "break", 10.0),
    }
    for key in range(24):
        for i, timbre in enumerate(TIMBRES):
            kind, (cents, drums, snr_db) = list(variants.items())[(key + i) % len(variants)]
            bpm, detuned, number = rng.uniform(75, 160), rng.uniform(-cents, cents), int(rng.integers(5))
            y = progression(
                key, seconds, rng, timbre=timbre, cents=detuned, bpm=bpm, drums=drums, number=number
            )  # fmt: skip
            yield Known(kind, y if snr_db is None else with_noise(y, snr_db, rng), bpm, key)


def beatless_sounds(rng: np.random.Generator) -> Iterator[Known]:
    """White and brown noise, swelling noise, and tones, of 2 to 20 s."""
    for seconds in (2, 5, 10, 20):
        t = np.arange(seconds * SR) / SR
        for _ in range(6):
            noise = 10 ** rng.uniform(-3, -0.5) * rng.standard_normal(len(t))
            swell = noise * (1 + 0.5 * np.sin(2 * np.pi * rng.uniform(0.1, 0.4) * t))
            tone = 0.3 * np.sin(2 * np.pi * rng.uniform(100, 2_000) * t) + 1e-3 * noise
            brown = scipy.signal.lfilter([0.1], [1, -0.98], noise)
            for kind, y in (("white noise", noise), ("brown noise", brown), ("swelling noise", swell), ("tone", tone)):
                yield Known(kind, y.astype(np.float32))
