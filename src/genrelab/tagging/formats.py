"""The tag formats that mutagen writes, with one interface: the keys of fields, and saving without loss.

ID3v2, the most complicated one, has its own file: `id3.py`.

| tags | in | genre | another field NAME |
|---|---|---|---|
| ID3v2 | MP3, WAV, AIFF | `TCON` | `TXXX:NAME` |
| Vorbis comments | FLAC, Ogg | `GENRE` | `NAME` |
| MP4 | MP4, M4A | `©gen` | `----:com.apple.iTunes:NAME` |
| ASF | WMA | `WM/Genre` | `NAME` |
| APEv2 | WavPack, Musepack, Monkey's Audio | `Genre` | `NAME` |
"""

from __future__ import annotations

# ruff: noqa: D102 - `TagFormat` documents the methods that its subclasses override
import hashlib
import io
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from genrelab.audio.content_hash import atoms
from genrelab.audio.tag_blocks import APEV2, TagBlock, read_at, tags_after, tags_before
from genrelab.core.errors import TagError

FieldValues = Mapping[str, list[str]]
"""Keys and their new values; an empty list removes the key."""


class TagFormat:
    """Tags that mutagen loads and saves without special treatment."""

    genre, field_pattern = "GENRE", "{}"

    def key(self, field: str | None) -> str:
        """The key of a field; None: the genre's own."""
        return self.genre if field is None else self.field_pattern.format(field)

    def load(self, kind: Any, path: Path) -> Any:
        """Mutagen's object for a file of the class `kind`; its `tags` may be None."""
        return kind(path)

    def get(self, tags: Any, key: str) -> list[str]:
        """Values of a key as text."""
        return [str(v) for v in tags[key]] if key in tags else []

    def put(self, tags: Any, key: str, values: Sequence[str | bytes]) -> None:
        """Set a key's values; none: remove the key."""
        if values:
            tags[key] = values
        elif key in tags:
            del tags[key]

    def save(self, audio: Any, path: Path, new_values: FieldValues) -> None:
        """Write these keys, and keep all other tags."""
        if audio.tags is None:
            audio.add_tags()
        for key, values in new_values.items():
            self.put(audio.tags, key, values)
        audio.save(path)

    def items(self, audio: Any) -> Iterator[tuple[str, str]]:
        """Every tag as (key, digest), to compare tags independently of their order."""
        for key, value in audio.tags.items():
            yield key, digest(value)

    def other_blocks(self, path: Path) -> list[str]:
        """A digest of every other tag around the stream, which saving must not change."""
        return []


class Vorbis(TagFormat):
    """Vorbis comments in Ogg."""

    def load(self, kind: Any, path: Path) -> Any:
        audio = kind(path)
        for key, value in audio.tags or ():
            if "\ufffd" in value or re.fullmatch(r"unknown\d+", key):  # mutagen's substitutes for unreadable text
                raise TagError(path, "a comment is not UTF-8 and would be damaged: repair it with a tag editor first")
        return audio

    def items(self, audio: Any) -> Iterator[tuple[str, str]]:
        yield from audio.tags


class Flac(Vorbis):
    """Vorbis comments in FLAC, which also has other metadata blocks."""

    def items(self, audio: Any) -> Iterator[tuple[str, str]]:
        yield from super().items(audio)
        for block in audio.metadata_blocks:
            if block.code not in (1, 4):  # padding, comments
                yield f"block {block.code}", digest(block.write())

    def other_blocks(self, path: Path) -> list[str]:
        before, after = blocks_around(path)
        return digests(path, [*before, *after])


class Mp4(TagFormat):
    """Atoms of iTunes."""

    genre, field_pattern = "©gen", "----:com.apple.iTunes:{}"

    def get(self, tags: Any, key: str) -> list[str]:
        return [v if isinstance(v, str) else bytes(v).decode("utf-8", "replace") for v in tags.get(key, [])]

    def put(self, tags: Any, key: str, values: Sequence[str | bytes]) -> None:
        freeform = key.startswith("----")
        super().put(tags, key, [str(v).encode() for v in values] if freeform else values)

    def save(self, audio: Any, path: Path, new_values: FieldValues) -> None:
        size = path.stat().st_size
        super().save(audio, path, new_values)
        # mutagen moves the offsets of the first fragment only
        if path.stat().st_size != size and _has_absolute_offsets(path):
            raise TagError(path, "a fragmented MP4 that cannot be changed: remux it first (ffmpeg -i IN -c copy OUT)")


class Asf(TagFormat):
    """Windows Media."""

    genre = "WM/Genre"

    def items(self, audio: Any) -> Iterator[tuple[str, str]]:
        for key, value in audio.tags:
            yield key, digest((value.TYPE, value.value, value.language, value.stream))


class Ape(TagFormat):
    """APEv2 at the end of a file."""

    genre = "Genre"

    def load(self, kind: Any, path: Path) -> Any:
        from mutagen import apev2

        audio = kind(path)
        _, after = blocks_around(path)
        if (own := _last_ape(after)) is not None:  # mutagen finds it only before some others
            with path.open("rb") as f:
                audio.tags = apev2.APEv2(io.BytesIO(read_at(f, own.start, own.end - own.start)))
        return audio

    def get(self, tags: Any, key: str) -> list[str]:
        value = tags.get(key)
        return list(value) if value is not None and value.kind == 0 else []

    def save(self, audio: Any, path: Path, new_values: FieldValues) -> None:
        with path.open("r+b") as f:  # mutagen would remove other tags after its own, or write after them
            after = list(itertools.takewhile(lambda block: block.kind != APEV2, tags_after(f, f.seek(0, 2))))
            start = after[-1].start if after else f.seek(0, 2)
            f.seek(start)
            rest = f.read()
            f.truncate(start)
        super().save(audio, path, new_values)
        with path.open("ab") as f:
            f.write(rest)

    def other_blocks(self, path: Path) -> list[str]:
        before, after = blocks_around(path)
        own = _last_ape(after)
        if own is None:
            before = [block for block in before if block.kind != APEV2]
        return digests(path, [block for block in (*before, *after) if block is not own])


def _last_ape(after: Sequence[TagBlock]) -> TagBlock | None:
    return next((block for block in after if block.kind == APEV2), None)


def blocks_around(path: Path) -> tuple[list[TagBlock], list[TagBlock]]:
    """Every tag before the stream, and every one after it, the last one first."""
    with path.open("rb") as f:
        return tags_before(f), tags_after(f, f.seek(0, 2))


def digests(path: Path, blocks: Sequence[TagBlock]) -> list[str]:
    """A digest of each of these tags."""
    with path.open("rb") as f:
        return [digest(read_at(f, block.start, block.end - block.start)) for block in blocks]


def digest(value: Any) -> str:
    """A digest, to compare values that may be as large as a cover."""
    return hashlib.sha256(repr(value).encode("utf-8", "surrogatepass")).hexdigest()


def _has_absolute_offsets(path: Path) -> bool:
    """Does a fragmented MP4 hold absolute file offsets?"""
    with path.open("rb") as f:
        for name, at, length in atoms(f, 0, f.seek(0, 2)):
            if name == b"mfra":
                return True
            for inner, start, n in atoms(f, at, at + length) if name == b"moof" else ():
                for leaf, offset, _ in atoms(f, start, start + n) if inner == b"traf" else ():
                    f.seek(offset)
                    if leaf == b"tfhd" and f.read(4)[3] & 1:
                        return True
    return False
