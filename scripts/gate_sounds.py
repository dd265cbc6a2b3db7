"""Sounds that are no music, made here with NumPy or spoken by espeak-ng, for `scripts/gate.py`.

A maker takes a generator of random numbers and a number of samples at 16 kHz, and returns about so many, at any level.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, fftconvolve, lfilter, sosfilt

from genrelab.audio import clips as audio_clips

SR = 16_000
Samples = NDArray[np.float64]
Random = np.random.Generator
Maker = Callable[[Random, int], Samples]

LANGUAGES = (
    "af ar bg bn cs cy da de el en-gb en-us es et fa fi fr-fr hi hr hu id it ja ka ko lt lv nl pl pt ro ru sv sw ta "
    "tr vi"
)
VOICES = LANGUAGES.split()
TEXT = "Maria, Anton, {} telefon. Radio {}, {}. Alina domo kama sento {}; Peter in Berlin, no {} oro talen."


def log_uniform(rng: Random, low: float, high: float) -> float:
    """A number between both, evenly spread on a logarithmic scale."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def coloured(rng: Random, n: int, exponent: float) -> Samples:
    """Noise whose power falls with frequency to the power `exponent` (0 white, 1 pink, 2 brown); deviation 1."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    spectrum *= np.maximum(np.arange(len(spectrum)), 1 + n // 2000) ** (-exponent / 2)
    y = np.fft.irfft(spectrum, n)
    return np.asarray(y / y.std())


def band(y: Samples, low: float, high: float) -> Samples:
    """The part between two frequencies in Hz."""
    return np.asarray(sosfilt(butter(2, [low, min(high, 7_900)], "band", fs=SR, output="sos"), y))


def slow(rng: Random, n: int, hz: float) -> Samples:
    """A random curve between 0 and 1 that turns about `hz` times a second."""
    knots = rng.random(max(3, int(n / SR * hz) + 3))
    return np.interp(np.linspace(0, len(knots) - 1, n), np.arange(len(knots)), knots)


def tone(hz: Samples, amplitudes: Samples) -> Samples:
    """A sound of harmonics with these amplitudes whose pitch in Hz is given for every sample."""
    phase = 2 * np.pi * np.cumsum(hz) / SR
    parts = (a * np.sin(k * phase) * (k * hz < 7_800) for k, a in enumerate(amplitudes, 1))
    return np.asarray(sum(parts), np.float64) + 0 * phase


def fade(n: int, seconds: float = 0.01) -> Samples:
    """1, with linear ramps at both ends."""
    ramp = max(1, min(n // 2, int(seconds * SR)))
    return np.minimum(1, np.minimum(np.arange(n), np.arange(n)[::-1]) / ramp)


def train(rng: Random, n: int, event: Callable[[], Samples], gaps: tuple[float, float]) -> Samples:
    """One event after the other, with pauses of so many seconds between them."""
    y, at = np.zeros(n), int(rng.uniform(0, 0.3) * SR)
    while at < n:
        sound = event()[: n - at]
        y[at : at + len(sound)] += sound
        at += max(1, len(sound)) + int(rng.uniform(*gaps) * SR)
    return y


def steady_noise(rng: Random, n: int) -> Samples:
    return coloured(rng, n, rng.choice([0, 1, 2, rng.uniform(-0.5, 2.5)]))


def band_noise(rng: Random, n: int) -> Samples:
    low = log_uniform(rng, 60, 4_000)
    return band(rng.standard_normal(n), low, low * rng.uniform(1.2, 6))


def wind(rng: Random, n: int) -> Samples:
    y = coloured(rng, n, rng.uniform(1, 2.2)) * slow(rng, n, rng.uniform(0.2, 2)) ** 2
    low = log_uniform(rng, 200, 900)
    return y + rng.uniform(0, 0.4) * band(rng.standard_normal(n), low, 1.3 * low) * slow(rng, n, 1) ** 2


def surf(rng: Random, n: int) -> Samples:
    return coloured(rng, n, rng.uniform(0.3, 1.5)) * (0.05 + slow(rng, n, rng.uniform(0.2, 0.6)) ** 3)


def drops(rng: Random, n: int) -> Samples:
    """Rain, applause, fire: many short bursts of noise over a floor."""
    burst = rng.standard_normal(int(log_uniform(rng, 0.001, 0.02) * SR))
    burst *= np.exp(-np.linspace(0, 6, len(burst)))
    hits = np.where(rng.random(n) < log_uniform(rng, 2, 2_000) / SR, rng.standard_normal(n) ** 3, 0)
    y = fftconvolve(hits, burst)[:n] + log_uniform(rng, 1e-3, 0.3) * coloured(rng, n, rng.uniform(0, 1))
    low = log_uniform(rng, 50, 1_500)
    return band(y, low, low * log_uniform(rng, 3, 60))


def engine(rng: Random, n: int) -> Samples:
    """Firing strokes with resonances and noise, the speed slowly changing."""
    base, change = log_uniform(rng, 12, 150), rng.choice([0.02, 0.1, 0.6])
    hz = base * (1 + change * (slow(rng, n, 0.5) - 0.5)) * (1 + 0.01 * rng.standard_normal(n).cumsum() / np.sqrt(n))
    y = tone(hz, rng.random(40) * np.arange(1, 41) ** -rng.uniform(0.2, 1.2))
    y = y / y.std() + rng.uniform(0.05, 1) * coloured(rng, n, 1) * (1 + rng.random() * np.sign(y))
    low = log_uniform(rng, 80, 800)
    return np.asarray(y + band(y, low, 2 * low))


def steady_tone(rng: Random, n: int) -> Samples:
    shape = rng.integers(4)
    k = np.arange(1, 31)
    amplitudes = [np.r_[1, np.zeros(29)], (k % 2) / k, 1 / k, (k % 2) / k**2.0][shape]
    wobble = rng.choice([0, 0, rng.uniform(0, 0.02)]) * np.sin(2 * np.pi * rng.uniform(3, 8) * np.arange(n) / SR)
    return tone(log_uniform(rng, 40, 7_000) * (1 + wobble), amplitudes)


def sweep(rng: Random, n: int) -> Samples:
    low, high = log_uniform(rng, 30, 600), log_uniform(rng, 800, 7_800)
    position = np.arange(n) / SR / rng.uniform(0.5, 30) + rng.random()
    position = position % 1 if rng.random() < 0.5 else 1 - np.abs(position % 2 - 1)
    hz = low * (high / low) ** position if rng.random() < 0.5 else low + (high - low) * position
    return tone(hz, np.array([1.0]) if rng.random() < 0.7 else 1 / np.arange(1.0, 6))


def hum(rng: Random, n: int) -> Samples:
    amplitudes = rng.random(30) * np.arange(1, 31) ** -rng.uniform(0.3, 2)
    y = tone(np.full(n, rng.choice([50.0, 60.0, 100.0, 120.0])), amplitudes)
    return np.asarray(y / y.std() + log_uniform(rng, 1e-3, 0.5) * coloured(rng, n, rng.uniform(0, 1.5)))


def clicks(rng: Random, n: int) -> Samples:
    sound = np.exp(-np.arange(400) / log_uniform(rng, 1, 80)) * rng.choice([rng.standard_normal(400), np.ones(400)])
    rate = log_uniform(rng, 0.5, 30)
    if rng.random() < 0.5:
        return train(rng, n, lambda: sound, (1 / rate, 1 / rate + 1e-4))
    return train(rng, n, lambda: sound * rng.random(), (0, 2 / rate))


def alarm(rng: Random, n: int) -> Samples:
    """Beeps, dialling, Morse code and sirens of one or two pitches."""
    pitches = log_uniform(rng, 300, 3_500) * np.array([1, rng.uniform(1.05, 1.6)])
    unit, partials = log_uniform(rng, 0.05, 0.6), rng.choice([np.r_[1, np.zeros(4)], 1 / np.arange(1.0, 6)])
    together, morse, order = rng.random() < 0.3, rng.random() < 0.3, iter(range(10**6))

    def beep() -> Samples:
        length = int(unit * SR * (rng.choice([1, 3]) if morse else 1))
        hz = pitches if together else pitches[[next(order) % 2]]
        return fade(length) * sum(tone(np.full(length, h), partials) for h in hz)

    return train(rng, n, beep, (0, 0) if rng.random() < 0.3 else (unit / 2, unit / 2 + rng.choice([0, unit])))


def bird(rng: Random, n: int) -> Samples:
    """Whistled syllables that glide and trill, in short phrases."""
    base, syllables = log_uniform(rng, 1_200, 5_500), []
    for _ in range(rng.integers(1, 8)):
        t = np.linspace(0, 1, int(log_uniform(rng, 0.03, 0.5) * SR))
        hz = base * 2 ** (
            rng.uniform(-0.5, 0.5) + rng.uniform(-0.6, 0.6) * t + rng.uniform(-0.5, 0.5) * np.sin(np.pi * t)
        )
        hz *= 1 + rng.choice([0, 0.1]) * np.sin(2 * np.pi * rng.uniform(10, 60) * t)
        syllables.append(np.sin(np.pi * t) * tone(hz, np.array([1, rng.uniform(0, 0.2)])))
        syllables.append(np.zeros(int(rng.uniform(0, 0.15) * SR)))
    phrase = np.concatenate(syllables)
    return train(rng, n, lambda: rng.uniform(0.4, 1) * phrase, (0.05, rng.uniform(0.1, 2)))


def insect(rng: Random, n: int) -> Samples:
    """Chirps of a high carrier in fast pulses, or buzzing wings."""
    t = np.arange(n) / SR
    if rng.random() < 0.3:
        return tone(log_uniform(rng, 90, 600) * (1 + 0.2 * (slow(rng, n, 3) - 0.5)), 1 / np.arange(1.0, 25)) * slow(
            rng, n, 2
        )
    rate = log_uniform(rng, 8, 120)
    pulses = np.maximum(0, np.sin(2 * np.pi * rate * t)) ** rng.uniform(0.5, 4)
    groups = np.sin(2 * np.pi * rng.uniform(0.3, 4) * t) > rng.uniform(-1.2, 0.5)
    low = log_uniform(rng, 2_000, 6_500)
    carrier = band(rng.standard_normal(n), low, low * 1.15) if rng.random() < 0.5 else np.sin(2 * np.pi * low * t)
    return carrier * pulses * groups


def call(rng: Random, n: int) -> Samples:
    """Howls, whale calls, moos: harmonics whose pitch glides, through a resonance, with echoes."""
    base, low = log_uniform(rng, 70, 1_600), log_uniform(rng, 200, 1_500)
    slope, breath = rng.uniform(0.3, 2), log_uniform(rng, 1e-3, 0.3)

    def one() -> Samples:
        m = int(log_uniform(rng, 0.3, 3.5) * SR)
        t = np.linspace(0, 1, m)
        bend = rng.uniform(-0.8, 0.8) * np.sin(np.pi * t) + rng.uniform(-0.7, 0.7) * t + 0.05 * slow(rng, m, 6)
        y = tone(base * 2 ** (rng.uniform(-0.5, 0.5) + bend), np.asarray(np.arange(1, 16) ** -slope, np.float64))
        y = y + breath * rng.standard_normal(m)
        return (y + 2 * band(y, low, 2 * low)) * np.sin(np.pi * t) ** rng.uniform(0.3, 1.5)

    return train(rng, n, one, (0.05, rng.uniform(0.2, 3)))


def bark(rng: Random, n: int) -> Samples:
    """Barks, croaks, quacks: short harsh bursts with resonances."""
    base, low = log_uniform(rng, 60, 900), log_uniform(rng, 300, 2_000)
    length, rough = log_uniform(rng, 0.04, 0.4), rng.uniform(0.1, 1.5)

    def one() -> Samples:
        m = int(length * rng.uniform(0.7, 1.3) * SR)
        t = np.linspace(0, 1, m)
        y = tone(base * (1 + 0.3 * np.sin(np.pi * t)), np.ones(20)) / 4 + rough * rng.standard_normal(m)
        return band(y, low, rng.uniform(1.5, 3) * low) * np.minimum(1, 12 * t) * np.exp(-3 * t)

    return train(rng, n, one, (0.03, rng.uniform(0.1, 1.2)))


def babble(rng: Random, n: int) -> Samples:
    """Syllables of formants over a spoken pitch contour."""
    base, size = log_uniform(rng, 80, 280), rng.uniform(0.85, 1.2)

    def syllable() -> Samples:
        m = int(rng.uniform(0.08, 0.3) * SR)
        t = np.linspace(0, 1, m)
        y = tone(base * 2 ** (rng.uniform(-0.3, 0.3) - 0.2 * t), np.ones(35)) + 0.3 * rng.standard_normal(m)
        for hz in size * np.array([rng.uniform(250, 850), rng.uniform(850, 2_300), rng.uniform(2_300, 3_000)]):
            pole = np.exp(-np.pi * rng.uniform(60, 150) / SR)
            y = lfilter([1 - pole], [1, -2 * pole * np.cos(2 * np.pi * hz / SR), pole**2], y)
        hiss = band(rng.standard_normal(int(rng.uniform(0, 0.12) * SR) + 1), 2_000, 7_000)
        return np.asarray(np.r_[rng.uniform(0, 0.5) * hiss, y / y.std() * np.sin(np.pi * t) ** 0.5])

    return train(rng, n, syllable, (0, rng.choice([0.03, 0.03, 0.5])))


def espeak(rng: Random, n: int) -> Samples:
    """Names, pseudo-words and numbers, read by one voice in one language."""
    variant = rng.choice(["", "+f1", "+f2", "+f3", "+f4", "+m1", "+m3", "+m5", "+m7"])
    options = ["-v", rng.choice(VOICES) + variant, "-s", str(rng.integers(110, 230)), "-p", str(rng.integers(20, 80))]
    parts: list[Samples] = []
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "speech.wav"
        while sum(map(len, parts)) < n:
            text = TEXT.format(*rng.integers(0, 3_000, 5))
            subprocess.run(["espeak-ng", *options, "-w", str(wav), text], check=True, capture_output=True)
            y, sr = audio_clips.read(wav)
            parts += [audio_clips.resample(y, sr, SR).astype(np.float64), np.zeros(int(rng.uniform(0, 0.5) * SR))]
    speech = np.concatenate(parts)
    start = int(rng.integers(0, len(speech) - n + 1))
    return speech[start : start + n]


MADE: dict[str, tuple[str, Maker]] = {
    "noise of all colours": ("noise", steady_noise),
    "noise in a band": ("noise", band_noise),
    "wind (made)": ("noise", wind),
    "surf (made)": ("noise", surf),
    "rain, applause, fire (made)": ("noise", drops),
    "engines (made)": ("noise", engine),
    "tones": ("tones", steady_tone),
    "sweeps": ("tones", sweep),
    "mains hum": ("tones", hum),
    "clicks": ("tones", clicks),
    "beeps and sirens": ("tones", alarm),
    "bird whistles (made)": ("calls", bird),
    "insects (made)": ("calls", insect),
    "howls and whale calls (made)": ("calls", call),
    "barks and croaks (made)": ("calls", bark),
    "babble (made)": ("synthetic speech", babble),
    "espeak-ng": ("synthetic speech", espeak),
}
"""Kind -> its family and its maker."""
