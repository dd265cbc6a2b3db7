"""Files with one fault each, made here."""

from __future__ import annotations

import struct
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile
from mutagen.id3 import ID3, TIT2
from numpy.typing import NDArray

from tests.support.sounds import music

SR = 22_050
SECONDS = 4.0


@lru_cache
def tune(seed: int, seconds: float = SECONDS) -> NDArray[np.float32]:
    y = music(SR, seconds, seed=seed)
    y.flags.writeable = False  # many tests share it
    return y


def clipped(seed: int) -> NDArray[np.float32]:
    return np.clip(30 * tune(seed), -1, 1)


def write(path: Path, y: NDArray[np.float32], sr: int = SR, **more: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, y, sr, **more)
    return path


def cut(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: round(share * len(content))])
    return path


def wav_with_false_length(path: Path, y: NDArray[np.float32], stated: int) -> Path:
    """A WAV whose chunks state so many bytes of sound."""
    write(path, y)
    content = bytearray(path.read_bytes())
    at = content.find(b"data") + 4
    content[at : at + 4] = struct.pack("<I", stated)
    content[4:8] = struct.pack("<I", min(36 + stated, 0xFFFFFFFF))
    path.write_bytes(content)
    return path


def mp3_with_false_length(path: Path, y: NDArray[np.float32], times: int) -> Path:
    """An MP3 whose Xing header states so many times the frames that there are."""
    write(path, y)
    content = bytearray(path.read_bytes())
    at = max(content.find(b"Xing"), content.find(b"Info")) + 8
    (n,) = struct.unpack(">I", content[at : at + 4])
    content[at : at + 4] = struct.pack(">I", n * times)
    path.write_bytes(content)
    return path


def tagged(path: Path, title: str) -> Path:
    tags = ID3()
    tags.add(TIT2(text=title))
    tags.save(path)
    return path


def collection(root: Path) -> Path:
    """A folder of two genres: three clean tunes, and one file of each fault."""
    for i in range(3):
        write(root / "rock" / f"clean{i}.wav", tune(i))
    write(root / "rock" / "clipped.wav", clipped(10))
    write(root / "rock" / "silent.wav", np.zeros(3 * SR, np.float32))
    write(root / "rock" / "half.wav", np.concatenate([tune(11), np.zeros(6 * SR, np.float32)]))
    write(root / "rock" / "equal.wav", np.stack([tune(12)] * 2, axis=1))
    write(root / "rock" / "against.wav", np.stack([tune(13), -tune(13)], axis=1))
    cut(write(root / "jazz" / "truncated.flac", tune(14)), 0.3)
    (root / "jazz" / "text.mp3").write_text("this is no music\n" * 100)
    (root / "jazz" / "empty.mp3").touch()
    write(root / "jazz" / "nan.wav", np.append(tune(15), np.float32(np.nan)), subtype="FLOAT")
    write(root / "jazz" / "short.wav", tune(16, 0.2))
    write(root / "jazz" / "slow.wav", music(8_000, 4, seed=17), 8_000)
    wav_with_false_length(root / "jazz" / "lies.wav", tune(18), 60 * 2 * SR)
    mp3_with_false_length(root / "jazz" / "lies.mp3", tune(19), 3)
    original = write(root / "jazz" / "one.mp3", tune(20))
    (root / "rock" / "same.mp3").write_bytes(original.read_bytes())
    (root / "jazz" / "tagged.mp3").write_bytes(original.read_bytes())
    tagged(root / "jazz" / "tagged.mp3", "another title")
    write(root / "jazz" / "again.ogg", tune(0))
    (root / "rock" / "gone.wav").symlink_to("nowhere.wav")
    return root
