"""ID3v2 in MP3, WAV and AIFF: our frames change, every other one is kept byte for byte.

Mutagen writes frames as it parsed them: one that it cannot read, or a date in words, would be lost. So all others are
passed to it as unknown frames, which it writes unchanged; it drops only empty frames, which the standard forbids.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from genrelab.audio.content_hash import InconsistentFileError, chunks
from genrelab.tagging.formats import FieldValues, TagFormat, digest, genres_around

NEW_ID3_VERSION = 3
"""ID3v2.3 is what every player, car and version of Windows reads."""


_NAME = re.compile(rb"[A-Z0-9]{4}")
_HEADER = 10
_ENCODINGS = {0: "latin-1", 1: "utf-16", 2: "utf-16-be", 3: "utf-8"}


class Id3(TagFormat):
    """ID3v2 in a chunk of WAV and AIFF."""

    genre, field_pattern, artist, title = "TCON", "TXXX:{}", "TPE1", "TIT2"

    def load(self, kind: Any, path: Path) -> Any:
        return kind(path, translate=False, load_v1=False)

    def get(self, tags: Any, key: str) -> list[str]:
        return [str(text) for frame in tags.getall(key) for text in frame.text]

    def genre_names(self, tags: Any, key: str) -> list[str]:
        return [word for frame in tags.getall(key) for word in getattr(frame, "genres", frame.text)]

    def put(self, tags: Any, key: str, values: Sequence[str | bytes]) -> None:
        from mutagen import id3

        tags.delall(key)
        if values and key == self.genre:
            tags.add(id3.TCON(encoding=3, text=values))
        elif values:
            tags.add(id3.TXXX(encoding=3, desc=key.removeprefix("TXXX:"), text=values))

    def save(self, audio: Any, path: Path, new_values: FieldValues) -> None:
        tags = self.new_tags(audio, path) if audio.tags is None else audio.tags
        frames = raw_frames(self.tag_bytes(path))
        if frames is not None:
            tags.clear()
            tags.unknown_frames = [frame for frame in frames if frame_key(frame) not in new_values]
        for key, values in new_values.items():
            self.put(tags, key, values)
        self.save_id3(tags, path, v2_version=4 if tags.version >= (2, 4) else 3, v23_sep=None)

    def new_tags(self, audio: Any, path: Path) -> Any:
        """Tags for a file without ID3v2."""
        audio.add_tags()
        audio.tags.version = (2, NEW_ID3_VERSION, 0)
        return audio.tags

    def save_id3(self, tags: Any, path: Path, **how: Any) -> None:
        """Write the tag into its place in the file."""
        tags.save(path, **how)

    def items(self, audio: Any) -> Iterator[tuple[str, str]]:
        for key, frame in audio.tags.items():
            fields = {name: repr(value) for name, value in vars(frame).items() if name != "encoding"}
            yield key, digest(sorted(fields.items()))
        for frame in audio.tags.unknown_frames:
            yield "", digest(frame)

    def tag_bytes(self, path: Path) -> bytes:
        """The raw tag in the file; empty if there is none."""
        with path.open("rb") as f:
            for offset, length in chunks(f, b"id3 ", b"ID3 "):
                f.seek(offset)
                return f.read(length)
        return b""


class Wave(Id3):
    """WAV, which may also have a genre in its INFO list."""

    def genres_elsewhere(self, path: Path) -> list[str]:
        with path.open("rb") as f:
            try:
                lists = list(chunks(f, b"LIST"))
            except InconsistentFileError:
                return []
            for offset, length in lists:
                f.seek(offset)
                if (genre := _info_genre(f.read(min(length, 1 << 20)))) is not None:
                    return [genre]
        return []


class Mp3(Id3):
    """ID3v2 before the audio; an ID3v1 or APEv2 tag behind it is kept unchanged."""

    def load(self, kind: Any, path: Path) -> Any:
        from mutagen import id3

        audio = kind(path)
        try:
            audio.tags = id3.ID3(path, translate=False, load_v1=False)
        except id3.ID3NoHeaderError:
            audio.tags = None
        return audio

    def new_tags(self, audio: Any, path: Path) -> Any:
        from mutagen import id3

        tags = id3.ID3()
        with suppress(id3.ID3NoHeaderError):  # players read ID3v2 first: copy ID3v1's values into it
            tags = id3.ID3(path, v2_version=NEW_ID3_VERSION)
        tags.version = (2, NEW_ID3_VERSION, 0)
        return tags

    def save_id3(self, tags: Any, path: Path, **how: Any) -> None:
        from mutagen import id3

        behind = path.stat().st_size - tags.size
        with path.open("rb") as f:
            f.seek(-min(behind, 131), 2)  # how far mutagen looks for an ID3v1 tag, which it would rewrite
            tail = f.read()
        tags.save(path, v1=1, **how)
        with path.open("r+b") as f:
            f.truncate(id3.ID3(path, load_v1=False).size + behind)
            f.seek(-len(tail), 2)
            f.write(tail)

    def tag_bytes(self, path: Path) -> bytes:
        from mutagen import id3

        try:
            size = id3.ID3(path, load_v1=False).size
        except id3.ID3NoHeaderError:
            return b""
        with path.open("rb") as f:
            return f.read(size)

    def genres_elsewhere(self, path: Path) -> list[str]:
        return genres_around(path)


def raw_frames(tag: bytes) -> list[bytes] | None:
    """Every frame of an ID3v2.3 or 2.4 tag with its header.

    Args:
        tag: the whole tag, from `ID3` on.

    Returns:
        None if the frames cannot be split off unchanged: another version, an unsynchronised or extended tag,
        inconsistent sizes, a compressed text frame.
    """
    if len(tag) < _HEADER or tag[3] not in (3, 4) or tag[5]:
        return None
    frames, at = [], _HEADER
    while at + _HEADER <= len(tag) and tag[at]:
        length = _frame_size(tag[at + 4 : at + 8], tag[3])
        end = at + _HEADER + length
        packed = tag[at : at + 4] in (b"TCON", b"TXXX") and tag[at + 9]
        if not _NAME.fullmatch(tag[at : at + 4]) or end > len(tag) or length < 0 or packed:
            return None
        frames.append(tag[at:end])
        at = end
    return None if tag[at:].strip(b"\0") else frames


def frame_key(frame: bytes) -> str:
    """Mutagen's key of a raw frame: `TCON`, or `TXXX:` and the name of the field."""
    name = frame[:4].decode()
    if name != "TXXX" or len(frame) == _HEADER:
        return name
    text = frame[_HEADER + 1 :].decode(_ENCODINGS.get(frame[_HEADER], "latin-1"), "replace")
    return f"TXXX:{text.split(chr(0))[0]}"


def _frame_size(four: bytes, version: int) -> int:
    """Size of a frame; negative if the bytes are invalid in version 2.4."""
    if version == 3:
        return int.from_bytes(four, "big")
    return -1 if max(four) > 127 else sum(b << shift for b, shift in zip(four, (21, 14, 7, 0), strict=True))


def _info_genre(info: bytes) -> str | None:
    """The genre in a LIST chunk of WAV."""
    at = 4
    while info[:4] == b"INFO" and at + 8 <= len(info):
        length = int.from_bytes(info[at + 4 : at + 8], "little")
        if info[at : at + 4] == b"IGNR":
            return info[at + 8 : at + 8 + length].split(b"\0")[0].decode("utf-8", "replace")
        at += 8 + length + length % 2
    return None
