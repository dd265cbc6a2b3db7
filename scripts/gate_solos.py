"""Music of one instrument, for `scripts/gate.py`: random melodies, chords and rhythms, played by fluidsynth."""

from __future__ import annotations

import struct
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from gate_sounds import SR, Random, Samples

from genrelab.audio import clips as audio_clips

SOUND_FONT = "fluid-soundfont-gm/usr/share/sounds/sf2/FluidR3_GM.sf2"
TICKS = 480  # of a quarter note
DRUMS = 9  # the channel of the drum kit
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 3, 5, 7, 10), (0, 2, 4, 7, 9), (0, 2, 3, 5, 7, 9, 10))

INSTRUMENTS: dict[str, tuple[tuple[int, ...], float]] = {
    "piano": ((0, 1, 2, 3, 4, 5, 6, 7), 0.6),
    "mallets and bells": ((8, 9, 10, 11, 12, 13, 14, 46), 0.4),
    "organ and accordion": ((16, 17, 18, 19, 20, 21, 22), 0.6),
    "guitar and plucked": ((24, 25, 26, 27, 28, 29, 30, 104, 105, 106, 107), 0.5),
    "bass": ((32, 33, 34, 35, 36, 38), 0.0),
    "strings": ((40, 41, 42, 43, 44, 45, 48, 110), 0.2),
    "choir": ((52, 53, 54), 0.6),
    "brass": ((56, 57, 58, 59, 60, 61), 0.1),
    "saxophone and reeds": ((64, 65, 66, 67, 68, 69, 70, 71), 0.0),
    "flutes": ((72, 73, 74, 75, 76, 77, 79), 0.0),
    "pads and leads": ((50, 51, 80, 81, 82, 85, 88, 89, 90, 91, 92, 94, 95), 0.6),
    "drums": ((0, 8, 16, 24, 25, 32, 40), 0.0),
}
"""Kind -> programs of General MIDI (kits for drums) and how often several notes sound together."""

Note = tuple[float, float, int, int]  # beat of its start, beats, key, velocity


def melody(rng: Random, beats: float, chords: float, lowest: int) -> list[Note]:
    """A walk through a scale over a grid of beats, repeated phrase by phrase with changes."""
    scale, root = SCALES[rng.integers(len(SCALES))], lowest + int(rng.integers(0, 12))
    lengths = rng.choice([0.25, 0.5, 0.5, 1, 1, 2, 4] if rng.random() < 0.7 else [2, 4, 8], 12)
    steps, step, at, notes = rng.choice([-2, -1, -1, 1, 1, 2, 3, -3], 12), int(rng.integers(0, 10)), 0.0, []
    together, held = rng.random() < chords, rng.uniform(0.6, 1.3)
    while at < beats:
        for length, change in zip(lengths, steps, strict=True):
            step = int(np.clip(step + change + (rng.random() < 0.1) * rng.integers(-2, 3), 0, 13))
            velocity = int(rng.integers(55, 120))
            for third in range(3 if together and rng.random() < 0.6 else 1):
                degree = step + 2 * third
                notes.append(
                    (at, held * length, root + 12 * (degree // len(scale)) + scale[degree % len(scale)], velocity)
                )
            at += length
            if rng.random() < 0.08:
                at += length
    return notes


def beat(rng: Random, beats: float, chords: float, lowest: int) -> list[Note]:
    """A pattern of two bars on a drum kit, repeated with fills."""
    keys = rng.choice([36, 38, 42, 42, 46, 41, 45, 49, 51, 37, 39, 54, 62, 63, 64], 5, replace=False)
    pattern = rng.random((32, 5)) < rng.uniform(0.1, 0.4)
    hits = ((at, k) for at in range(int(4 * beats)) for k in range(5) if pattern[at % 32, k] != (rng.random() < 0.04))
    return [(at / 4, 0.2, int(keys[k]), int(rng.integers(50, 120))) for at, k in hits]


def midi(notes: list[Note], program: int, channel: int, bpm: float) -> bytes:
    """A file of one track."""
    events = [(0, bytes([0xFF, 0x51, 3]) + int(6e7 / bpm).to_bytes(3, "big")), (0, bytes([0xC0 | channel, program]))]
    for at, length, key, velocity in notes:
        events += [(int(at * TICKS), bytes([0x90 | channel, key, velocity]))]
        events += [(int((at + length) * TICKS), bytes([0x80 | channel, key, 0]))]
    body, now = b"", 0
    for ticks, event in sorted(events):
        body, now = body + variable_length(ticks - now) + event, ticks
    body += bytes([0, 0xFF, 0x2F, 0])
    return b"MThd" + struct.pack(">IHHH", 6, 0, 1, TICKS) + b"MTrk" + struct.pack(">I", len(body)) + body


def variable_length(number: int) -> bytes:
    """A number as MIDI stores times."""
    parts = [number & 0x7F]
    while number := number >> 7:
        parts.insert(0, 0x80 | number & 0x7F)
    return bytes(parts)


def player(folder: Path, kind: str) -> Callable[[Random, int], Samples]:
    """A maker of music for one kind of instrument."""
    programs, chords = INSTRUMENTS[kind]

    def make(rng: Random, n: int) -> Samples:
        bpm, program = rng.uniform(55, 170), programs[rng.integers(len(programs))]
        compose = beat if kind == "drums" else melody
        notes = compose(rng, n / SR * bpm / 60 + 4, chords, 28 if kind == "bass" else int(rng.integers(43, 64)))
        with tempfile.TemporaryDirectory() as scratch:
            score, wav = Path(scratch) / "solo.mid", Path(scratch) / "solo.wav"
            score.write_bytes(midi(notes, program, DRUMS if kind == "drums" else 0, bpm))
            command = [
                "fluidsynth",
                "-ni",
                "-g",
                "0.6",
                "-r",
                "44100",
                "-F",
                str(wav),
                str(folder / SOUND_FONT),
                str(score),
            ]
            subprocess.run(command, check=True, capture_output=True)
            y, sr = audio_clips.read(wav, seconds=n / SR)
        return audio_clips.resample(y, sr, SR).astype(np.float64)

    return make
