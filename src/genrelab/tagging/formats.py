"""The tag formats that mutagen writes, with one interface: the keys of fields, and saving without loss.

ID3v2, the most complicated one, has its own file: `id3.py`.

| tags | in | genre | tempo | key | another field NAME |
|---|---|---|---|---|---|
| ID3v2 | MP3, WAV, AIFF | `TCON` | `TBPM` | `TKEY` | `TXXX:NAME` |
| Vorbis comments | FLAC, Ogg | `GENRE` | `BPM` | `INITIALKEY` | `NAME` |
| MP4 | MP4, M4A | `©gen` | `tmpo` | `----:com.apple.iTunes:initialkey` | `----:com.apple.iTunes:NAME` |
| ASF | WMA | `WM/Genre` | `WM/BeatsPerMinute` | `WM/InitialKey` | `NAME` |
| APEv2 | WavPack, Musepack, Monkey's Audio | `Genre` | `BPM` | `INITIALKEY` | `NAME` |

Only ID3v2 and ASF define a field for the key. Elsewhere `INITIALKEY` is what Mixxx, Traktor, Serato, Rekordbox and
beets read; Picard and VirtualDJ use `KEY`. A file that has `KEY` keeps it: the new key is then written there.
Every other field of the same tag that is read as tempo or key, such as `TEMPO`, also gets the new value.
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
from genrelab.audio.file_tags import field_of, values_that_count
from genrelab.audio.tag_blocks import APEV2, TagBlock, read_at, tags_after, tags_before
from genrelab.core.errors import TagError

FieldValues = Mapping[str, list[str]]
"""Keys and their new values; an empty list removes the key."""


TEMPO, KEY = "tempo", "key"
"""Names of these fields in messages, plans and journals."""

MUSIC_TEXTS = {TEMPO: r"[1-9]\d{0,2}", KEY: r"[A-G][b#]?m?|o|(1[0-2]|[1-9])[ABdm]"}
"""What a plan may write: a whole number of beats per minute; a key as in ID3v2 (`F#m`, `o` for none), or a number of
the DJ programs' wheels (`8A`, `1m`)."""

MUSIC_RULES = {TEMPO: "one whole number, such as 128", KEY: "one key, such as F#m"}
"""`MUSIC_TEXTS` in words."""


def is_music_text(name: str, values: Sequence[str]) -> bool:
    """Is it one value that may be written as TEMPO or KEY?"""
    return len(values) == 1 and re.fullmatch(MUSIC_TEXTS[name], values[0]) is not None


class TagFormat:
    """Tags that mutagen loads and saves without special treatment."""

    genre, field_pattern = "GENRE", "{}"
    tempo = "BPM"
    musical_keys: tuple[str, ...] = ("INITIALKEY", "KEY")
    keys_have_case = False

    def key(self, field: str | None) -> str:
        """The key of a field; None: the genre's own."""
        return self.genre if field is None else self.field_pattern.format(field)

    def music_keys(self, tags: Any, name: str) -> tuple[str, ...]:
        """The keys to write for TEMPO or KEY: the usual one, and every other one that has a value."""
        usual = (self.tempo,) if name == TEMPO else self.musical_keys
        known = [key for key in tags.keys() if field_of(key) == name] if tags else []  # noqa: SIM118 - not a dictionary
        in_use = [key for key in known if values_that_count(name, self.get(tags, key))]
        in_use = sorted({key if self.keys_have_case else key.upper() for key in in_use})
        return tuple(dict.fromkeys((next((key for key in usual if key in in_use), usual[0]), *in_use)))

    def keeps_its_form(self, tags: Any, key: str) -> bool:
        """Is the value of a key still the same after it was replaced by its own text? Changes `tags`."""
        before = repr(tags.get(key))
        self.put(tags, key, self.get(tags, key))
        return repr(tags.get(key)) == before

    def load(self, kind: Any, path: Path) -> Any:
        """Mutagen's object for a file of the class `kind`; its `tags` may be None."""
        return kind(path)

    def get(self, tags: Any, key: str) -> list[str]:
        """Values of a key as text."""
        return [str(v) for v in tags[key]] if key in tags else []

    def put(self, tags: Any, key: str, values: Sequence[Any]) -> None:
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
    tempo, musical_keys = "tmpo", ("----:com.apple.iTunes:initialkey", "----:com.apple.iTunes:KEY")
    keys_have_case = True

    def get(self, tags: Any, key: str) -> list[str]:
        return [bytes(v).decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in tags.get(key, [])]

    def put(self, tags: Any, key: str, values: Sequence[Any]) -> None:
        from mutagen.mp4 import MP4FreeForm

        kind = int if key == self.tempo else str
        freeform = key.startswith("----")
        super().put(tags, key, [MP4FreeForm(str(v).encode()) if freeform else kind(v) for v in values])

    def save(self, audio: Any, path: Path, new_values: FieldValues) -> None:
        size = path.stat().st_size
        super().save(audio, path, new_values)
        # mutagen moves the offsets of the first fragment only
        if path.stat().st_size != size and _has_absolute_offsets(path):
            raise TagError(path, "a fragmented MP4 that cannot be changed: remux it first (ffmpeg -i IN -c copy OUT)")


class Asf(TagFormat):
    """Windows Media."""

    genre, tempo, musical_keys = "WM/Genre", "WM/BeatsPerMinute", ("WM/InitialKey", "INITIALKEY")
    keys_have_case = True

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
