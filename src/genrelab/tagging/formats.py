"""The tag formats that mutagen writes, behind one interface: how each names a field and is saved without loss.

ID3v2, the most complicated of them, has a file of its own: `id3.py`.

| tags | in | genre | another field NAME |
|---|---|---|---|
| ID3v2 | MP3, WAV, AIFF | `TCON` | `TXXX:NAME` |
| Vorbis comments | FLAC, Ogg | `GENRE` | `NAME` |
| MP4 | MP4, M4A | `©gen` | `----:com.apple.iTunes:NAME` |
| ASF | WMA | `WM/Genre` | `NAME` |
| APEv2 | WavPack, Musepack, Monkey's Audio | `Genre` | `NAME` |
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from genrelab.audio.content_hash import atoms
from genrelab.core.errors import TagError

FieldValues = Mapping[str, list[str]]
"""Keys and their new values; an empty list removes the key."""


class TagFormat:
    """Tags that mutagen loads and saves without special treatment."""

    genre, field_pattern, artist, title = "GENRE", "{}", "ARTIST", "TITLE"

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

    def genre_names(self, tags: Any, key: str) -> list[str]:
        """Genres as names, where a tag may hold numbers."""
        return self.get(tags, key)

    def genres_elsewhere(self, path: Path) -> list[str]:
        """Genres in another tag of the file."""
        return []


class Vorbis(TagFormat):
    """Vorbis comments in Ogg."""

    def load(self, kind: Any, path: Path) -> Any:
        audio = kind(path)
        for key, value in audio.tags or ():
            if "\ufffd" in value or re.fullmatch(r"unknown\d+", key):  # mutagen's substitutes for what it cannot read
                raise TagError(path, "a comment is not UTF-8 and would be damaged: mend it with a tag editor first")
        return audio

    def items(self, audio: Any) -> Iterator[tuple[str, str]]:
        yield from audio.tags


class Flac(Vorbis):
    """Vorbis comments in FLAC, which has other metadata blocks as well."""

    def items(self, audio: Any) -> Iterator[tuple[str, str]]:
        yield from super().items(audio)
        for block in audio.metadata_blocks:
            if block.code not in (1, 4):  # padding, comments
                yield f"block {block.code}", digest(block.write())

    def genres_elsewhere(self, path: Path) -> list[str]:
        return genres_around(path)


class Mp4(TagFormat):
    """Atoms of iTunes."""

    genre, field_pattern, artist, title = "©gen", "----:com.apple.iTunes:{}", "©ART", "©nam"

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
            raise TagError(path, "an MP4 in fragments that cannot be moved: remux it first (ffmpeg -i IN -c copy OUT)")


class Asf(TagFormat):
    """Windows Media."""

    genre, artist, title = "WM/Genre", "Author", "Title"

    def items(self, audio: Any) -> Iterator[tuple[str, str]]:
        for key, value in audio.tags:
            yield key, digest((value.TYPE, value.value, value.language, value.stream))


class Ape(TagFormat):
    """APEv2 at the end of a file."""

    genre, artist, title = "Genre", "Artist", "Title"

    def get(self, tags: Any, key: str) -> list[str]:
        value = tags.get(key)
        return list(value) if value is not None and value.kind == 0 else []

    def save(self, audio: Any, path: Path, new_values: FieldValues) -> None:
        with path.open("rb") as f:
            f.seek(max(0, f.seek(0, 2) - 128))
            tail = f.read()
        super().save(audio, path, new_values)
        with path.open("r+b") as f:
            f.seek(max(0, f.seek(0, 2) - 128))
            if tail.startswith(b"TAG") and f.read() != tail:  # mutagen removes an ID3v1 tag behind its own
                f.write(tail)

    def genres_elsewhere(self, path: Path) -> list[str]:
        return genres_around(path)


def genres_around(path: Path) -> list[str]:
    """Genres in ID3v2 before a stream, and in ID3v1 and APEv2 behind it."""
    from mutagen import apev2, id3

    found: list[str] = []
    with suppress(id3.error):  # no tag, or an unreadable one: no genre in it
        found += [genre for frame in id3.ID3(path).getall("TCON") for genre in frame.genres]
    with suppress(apev2.error):
        found += Ape().get(apev2.APEv2(path), Ape.genre)
    return found


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
