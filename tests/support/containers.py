"""One file of every container that is tagged, bare or with tags of all sorts, made here."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import mutagen
import numpy as np
import soundfile
from mutagen import apev2, id3
from mutagen.flac import Picture
from mutagen.mp4 import MP4Cover, MP4FreeForm

COVER = b"\x89PNG\r\n\x1a\n" + np.random.default_rng(7).bytes(20_000)
"""Something that does not compress, as a picture does not."""

SR = 44_100


def sound(seconds: float) -> np.ndarray:
    rng = np.random.default_rng(3)
    t = np.arange(round(seconds * SR)) / SR
    y = 0.3 * np.sin(2 * np.pi * 330 * t) * (1 + np.sin(3 * t)) / 2 + 0.05 * rng.standard_normal(len(t))
    return np.stack([y, 0.5 * y], axis=1).astype(np.float32)


def by_soundfile(path: Path, seconds: float) -> None:
    soundfile.write(path, sound(seconds), SR)


def by_ffmpeg(codec: str, **options: str) -> Callable[[Path, float], None]:
    def write(path: Path, seconds: float) -> None:
        rate = 48_000 if codec == "libopus" else SR
        with av.open(str(path), "w", options=options) as container:
            stream = container.add_stream(codec, rate=rate)
            stream.layout, stream.bit_rate = "stereo", 128_000
            y = np.ascontiguousarray(sound(seconds * rate / SR).T)
            frame = av.AudioFrame.from_ndarray(y, format="fltp", layout="stereo")
            frame.sample_rate = rate
            resampler = av.AudioResampler(stream.codec_context.codec.audio_formats[0].name, "stereo", rate)
            fifo, at = av.AudioFifo(), 0
            for part in resampler.resample(frame):
                part.pts = None
                fifo.write(part)
            while part := fifo.read(stream.codec_context.frame_size or 1024, partial=True):
                part.pts, part.time_base = at, Fraction(1, rate)
                at += part.samples
                container.mux(stream.encode(part))
            container.mux(stream.encode(None))

    return write


FRAGMENTS = "frag_keyframe+empty_moov+default_base_moof+skip_trailer"
"""As streaming services send it: no fragment says where in the file it stands."""

MADE: dict[str, tuple[str, Callable[[Path, float], None]]] = {
    "mp3": (".mp3", by_soundfile),
    "wav": (".wav", by_soundfile),
    "aiff": (".aiff", by_soundfile),
    "flac": (".flac", by_soundfile),
    "ogg": (".ogg", by_soundfile),
    "opus": (".opus", by_ffmpeg("libopus")),
    "ogg flac": (".oga", by_ffmpeg("flac")),
    "m4a": (".m4a", by_ffmpeg("aac")),
    "m4a, moov first": (".m4a", by_ffmpeg("aac", movflags="faststart")),
    "m4a, fragmented": (".m4a", by_ffmpeg("aac", movflags=FRAGMENTS, frag_duration="500000")),
    "alac": (".m4a", by_ffmpeg("alac")),
    "wma": (".wma", by_ffmpeg("wmav2")),
    "wavpack": (".wv", by_ffmpeg("wavpack")),
}
"""Name of a container → suffix, and what writes one (path, seconds)."""


def make(folder: Path, container: str, *, seconds: float = 1.5) -> Path:
    """A file without tags of ours or a genre."""
    suffix, write = MADE[container]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{container.replace(', ', '-').replace(' ', '-')}{suffix}"
    write(path, seconds)
    return path


def tag_richly(path: Path, *, genres: tuple[str, ...] = (), id3_version: int = 4) -> None:
    """Title, artist, cover, several values to a key, something unknown; genres only where they are given."""
    audio = mutagen.File(path)
    if audio.tags is None:
        audio.add_tags()
    if isinstance(audio.tags, id3.ID3):
        _tag_id3(audio.tags, genres)
        audio.save(v2_version=id3_version, v23_sep=None)
    elif type(audio).__name__ == "MP4":
        audio.tags.update({"©nam": ["Lied"], "©ART": ["Ä", "B"], "trkn": [(3, 9)], "covr": [MP4Cover(COVER, 14)]})
        audio.tags["----:com.apple.iTunes:MOOD"] = [MP4FreeForm(b"calm")]
        if genres:
            audio.tags["©gen"] = list(genres)
        audio.save()
    elif type(audio).__name__ == "ASF":
        audio.tags.update({"Title": ["Lied"], "Author": ["Ä", "B"], "WM/Mood": ["calm"]})
        if genres:
            audio.tags["WM/Genre"] = list(genres)
        audio.save()
    else:
        _tag_plainly(audio, genres)
        audio.save()


def _tag_id3(tags: id3.ID3, genres: tuple[str, ...]) -> None:
    tags.add(id3.APIC(encoding=3, mime="image/png", type=3, desc="front", data=COVER))
    tags.add(id3.TIT2(encoding=3, text=["Lied"]))
    tags.add(id3.TPE1(encoding=3, text=["Ä", "B"]))
    tags.add(id3.TSOP(encoding=3, text=["A"]))
    tags.add(id3.TXXX(encoding=3, desc="MOOD", text=["calm"]))
    tags.add(id3.COMM(encoding=3, lang="deu", desc="", text=["schön"]))
    tags.add(id3.PRIV(owner="someone", data=b"\x00\x01\xff\xfe"))
    if genres:
        tags.add(id3.TCON(encoding=3, text=list(genres)))


def _tag_plainly(audio: mutagen.FileType, genres: tuple[str, ...]) -> None:
    picture = Picture()
    picture.type, picture.mime, picture.data = 3, "image/png", COVER
    audio["TITLE"], audio["ARTIST"], audio["MOOD"] = ["Lied"], ["Ä", "B"], ["calm"]
    if hasattr(audio, "add_picture"):
        audio.add_picture(picture)
    elif isinstance(audio.tags, apev2.APEv2):
        audio["Cover Art (Front)"] = apev2.APEValue(b"cover.png\0" + COVER, apev2.BINARY)
    else:
        audio["COVERART"] = [COVER.hex()]
    if genres:
        audio["GENRE"] = list(genres)


def id3v1(*, title: bytes = b"Lied", genre: int = 255) -> bytes:
    """128 bytes for the end of an MP3."""
    return struct.pack("<3s30s30s30s4s30sB", b"TAG", title, b"B", b"", b"1999", b"by hand", genre)


def samples(path: Path) -> np.ndarray:
    """All that FFmpeg decodes of a file, shape (channels, samples)."""
    with av.open(str(path)) as container:
        frames = [f.to_ndarray() for f in container.decode(audio=0)]
    return np.concatenate([f if f.ndim == 2 else f[None] for f in frames], axis=1)
