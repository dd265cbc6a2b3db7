"""The voices of synthesised music, each a function that makes one note or drum stroke."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

SR = 22_050

Samples = NDArray[np.float32]
Voice = Callable[[float, int, np.random.Generator], Samples]
"""(frequency in Hz, samples, random numbers) -> one note within about ±1, shape (samples,)."""


def _as_float32(y: Any) -> Samples:
    return np.asarray(y, np.float32)


def time(n: int) -> Samples:
    """Seconds of `n` samples."""
    return _as_float32(np.arange(n) / SR)


def decay(n: int, seconds: float) -> Samples:
    """Exponential envelope with this time constant."""
    return _as_float32(np.exp(-time(n) / seconds))


def _swell(n: int, attack_s: float, release_s: float = 0.03) -> Samples:
    """Envelope with straight edges, so that held notes do not click."""
    t = time(n)
    return _as_float32(np.clip(np.minimum(t / attack_s, (n / SR - t) / release_s), 0.0, 1.0))


def _wave(freq: float, n: int, amplitudes: NDArray[np.float64], *, vibrato: float = 0.0) -> Samples:
    """Harmonics 1, 2, ... of `freq` with these amplitudes, those above half the rate left out; vibrato in semitones."""
    k = np.arange(1, 1 + len(amplitudes))
    table = np.zeros(2_048)
    phase = np.arange(2_048) / 2_048
    for harmonic in k[k * freq < 0.45 * SR]:
        table += amplitudes[harmonic - 1] * np.sin(2 * np.pi * harmonic * phase)
    t = time(n)
    cycles = freq * t.astype(np.float64)
    if vibrato:
        cycles += freq * (2 ** (vibrato / 12) - 1) * (1 - np.cos(2 * np.pi * 5.5 * t)) / (2 * np.pi * 5.5)
    return _as_float32((table / np.abs(table).max())[(cycles * 2_048).astype(np.int64) % 2_048].astype(np.float32))


def _partials(count: int, slope: float) -> NDArray[np.float64]:
    return np.arange(1.0, 1 + count) ** -slope


def noise(n: int, rng: np.random.Generator) -> Samples:
    """White noise within ±1."""
    return rng.uniform(-1.0, 1.0, n).astype(np.float32)


def _bright(y: Samples) -> Samples:
    return np.diff(y, prepend=y[:1])


def _dull(y: Samples, width: int) -> Samples:
    return np.convolve(y, np.full(width, 1 / width, np.float32), mode="same")


def _pluck(freq: float, n: int, rng: np.random.Generator, *, damping: float = 0.996) -> Samples:
    """Karplus and Strong's string (1983), one period at a time instead of one sample."""
    period = max(2, round(SR / freq))
    string = np.empty((-(-n // period), period), np.float32)
    string[0] = _dull(noise(period, rng), 3)
    for i in range(1, len(string)):
        string[i] = (0.5 * damping) * (string[i - 1] + np.roll(string[i - 1], 1))
    return 1.6 * string.ravel()[:n] * _swell(n, 0.001)


def _guitar(freq: float, n: int, rng: np.random.Generator) -> Samples:
    """A distorted power chord."""
    strings = _pluck(freq, n, rng, damping=0.999) + _pluck(1.5 * freq, n, rng, damping=0.999)
    return _as_float32(0.6 * np.tanh(9 * strings) * _swell(n, 0.002))


def _sawtooth(
    freq: float, n: int, rng: np.random.Generator, *, partials: int, seconds: float, attack_s: float
) -> Samples:
    return _wave(freq, n, _partials(partials, 1.0)) * decay(n, seconds) * _swell(n, attack_s)


def _sub(freq: float, n: int, rng: np.random.Generator) -> Samples:
    return _as_float32(np.tanh(1.6 * _wave(freq, n, _partials(2, 2.5))) * decay(n, 0.6) * _swell(n, 0.006))


def _pad(freq: float, n: int, rng: np.random.Generator) -> Samples:
    pair = _wave(0.996 * freq, n, _partials(14, 1.3)) + _wave(1.004 * freq, n, _partials(14, 1.3))
    return 0.5 * pair * _swell(n, 0.25, 0.2)


def _square(freq: float, n: int, rng: np.random.Generator) -> Samples:
    odd = np.where(np.arange(24) % 2 == 0, _partials(24, 1.0), 0.0)
    return _wave(freq, n, odd) * decay(n, 0.25) * _swell(n, 0.003)


def _organ(freq: float, n: int, rng: np.random.Generator) -> Samples:
    return _wave(freq, n, np.array([1, 0.8, 0.6, 0.5, 0, 0.3, 0, 0.3])) * _swell(n, 0.02)


def _piano(freq: float, n: int, rng: np.random.Generator) -> Samples:
    hammer = 0.3 * _dull(noise(n, rng), 8) * decay(n, 0.008)
    return (_wave(freq, n, _partials(10, 1.5)) * decay(n, 150 / freq) + hammer) * _swell(n, 0.002)


def _modulated(freq: float, n: int, rng: np.random.Generator, *, ratio: float, index: float, seconds: float) -> Samples:
    """An electric piano or a bell by frequency modulation."""
    t, fade = 2 * np.pi * freq * time(n), decay(n, seconds)
    return _as_float32(np.sin(t + index * fade * np.sin(ratio * t)) * fade * _swell(n, 0.002))


def _flute(freq: float, n: int, rng: np.random.Generator) -> Samples:
    breath = 0.15 * _dull(noise(n, rng), 4)
    return (_wave(freq, n, np.array([1, 0.25, 0.1]), vibrato=0.3) + breath) * _swell(n, 0.06)


def _sing(freq: float, n: int, rng: np.random.Generator) -> Samples:
    """Sung vowels: harmonics under two formants."""
    hz = freq * np.arange(1, 31)
    formants = (rng.uniform(350, 850), rng.uniform(900, 2_200))
    envelope = sum(np.exp(-(((hz - f) / 250) ** 2)) for f in formants) + 0.03
    return _wave(freq, n, envelope * _partials(30, 0.5), vibrato=0.5) * _swell(n, 0.05)


def _rap(freq: float, n: int, rng: np.random.Generator) -> Samples:
    """Spoken syllables: a consonant's hiss, then a short low vowel."""
    hiss = 0.25 * _bright(noise(n, rng)) * decay(n, 0.02)
    return (_sing(rng.uniform(95, 150), n, rng) * decay(n, 0.12) + hiss) * _swell(n, 0.008)


def _texture(freq: float, n: int, rng: np.random.Generator) -> Samples:
    """A ring-modulated cloud of noise."""
    cloud = _dull(noise(n, rng), int(rng.integers(2, 40)))
    return _as_float32(2 * cloud * np.sin(2 * np.pi * freq * time(n)) * _swell(n, 0.1, 0.3))


def _kick(freq: float, n: int, rng: np.random.Generator) -> Samples:
    t = time(n)
    return _as_float32(np.sin(2 * np.pi * (48 * t - 4.5 * np.exp(-t / 0.035))) * decay(n, 0.12))


def _snare(freq: float, n: int, rng: np.random.Generator) -> Samples:
    return _as_float32(0.7 * noise(n, rng) * decay(n, 0.07) + 0.5 * np.sin(2 * np.pi * 190 * time(n)) * decay(n, 0.05))


def _hiss(freq: float, n: int, rng: np.random.Generator, *, seconds: float) -> Samples:
    return 0.6 * _bright(noise(n, rng)) * decay(n, seconds)


def _clap(freq: float, n: int, rng: np.random.Generator) -> Samples:
    hands = sum(np.roll(decay(n, 0.008), int(d * SR)) for d in (0.0, 0.011, 0.023))
    return 0.6 * _bright(_dull(noise(n, rng), 2)) * (hands + decay(n, 0.09))


def _conga(freq: float, n: int, rng: np.random.Generator, *, hz: float) -> Samples:
    t = time(n)
    skin = np.sin(2 * np.pi * hz * (t - 0.01 * np.exp(-t / 0.02)))
    return _as_float32(skin * decay(n, 0.11) + 0.2 * noise(n, rng) * decay(n, 0.006))


VOICES: dict[str, Voice] = {
    "pluck": _pluck, "guitar": _guitar, "sub": _sub, "pad": _pad, "square": _square, "organ": _organ, "piano": _piano,
    "flute": _flute, "sing": _sing, "rap": _rap, "texture": _texture, "kick": _kick, "snare": _snare, "clap": _clap,
    "bass": partial(_sawtooth, partials=9, seconds=0.35, attack_s=0.004),
    "saw": partial(_sawtooth, partials=24, seconds=0.5, attack_s=0.005),
    "keys": partial(_modulated, ratio=1.0, index=1.8, seconds=0.5),
    "bell": partial(_modulated, ratio=1.414, index=6.0, seconds=0.9),
    "hat": partial(_hiss, seconds=0.025), "open": partial(_hiss, seconds=0.16), "crash": partial(_hiss, seconds=0.5),
    "shaker": partial(_hiss, seconds=0.05), "low": partial(_conga, hz=170), "high": partial(_conga, hz=290),
}  # fmt: skip
"""All voices by the name that a `Layer` gives."""
