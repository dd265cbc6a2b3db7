"""ID3v2 in MP3, WAV and AIFF: genrelab's frames change, every other one is kept byte for byte.

Mutagen writes frames as it parsed them, and so would lose one that it cannot read, or a date in words. So all others
are passed to it as unknown frames, which it writes unchanged; it drops only empty frames, which the standard forbids.
"""

from __future__ import annotations

# ruff: noqa: D102 - `TagFormat` documents the methods that its subclasses override
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from genrelab.audio.content_hash import chunks
from genrelab.audio.file_tags import read_file_tags
from genrelab.audio.tag_blocks import ID3V2, read_at, syncsafe
from genrelab.core.errors import TagError
from genrelab.core.text import join_first
from genrelab.tagging.formats import FieldValues, TagFormat, blocks_around, digest, digests

NEW_ID3_VERSION = 3
"""Every player, car and version of Windows reads ID3v2.3."""


_NAME = re.compile(rb"[A-Z0-9]{4}")
_HEADER = 10
_ENCODINGS = {0: "latin-1", 1: "utf-16", 2: "utf-16-be", 3: "utf-8"}


class Id3(TagFormat):
    """ID3v2 in a chunk of WAV and AIFF."""

    genre, field_pattern = "TCON", "TXXX:{}"
    tempo, musical_keys = "TBPM", ("TKEY",)
    keys_have_case = True

    def load(self, kind: Any, path: Path) -> Any:
        return kind(path, translate=False, load_v1=False)

    def get(self, tags: Any, key: str) -> list[str]:
        return [str(text) for frame in tags.getall(key) for text in frame.text]

    def keeps_its_form(self, tags: Any, key: str) -> bool:
        return True  # a text frame has only texts and an encoding that suits them

    def put(self, tags: Any, key: str, values: Sequence[str | bytes]) -> None:
        from mutagen import id3

        tags.delall(key)
        if values and key == self.genre:
            tags.add(id3.TCON(encoding=3, text=values))
        elif values and key in (self.tempo, *self.musical_keys):
            plain = all(str(value).isascii() for value in values)  # every reader knows Latin-1, which is 0
            tags.add(id3.Frames[key](encoding=0 if plain else 3, text=values))
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
        """Tags for a file without ID3v2, with the values of its other tags, as players read ID3v2 first."""
        audio.add_tags()
        tags = audio.tags
        self.copy_values(tags, path)
        return tags

    def copy_values(self, tags: Any, path: Path) -> None:
        """Copy title, album and artist of the file's other tags."""
        from mutagen import id3

        tags.version = (2, NEW_ID3_VERSION, 0)
        found = read_file_tags(path)
        texts = ((id3.TIT2, found.title), (id3.TALB, found.album), (id3.TPE1, found.artist))
        for frame, text in texts:
            if text:
                values = [text] if isinstance(text, str) else list(text)
                tags.setall(frame.__name__, [frame(encoding=3, text=values)])

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


class Mp3(Id3):
    """The first ID3v2 tag before the audio, which every player reads; all other tags are kept unchanged."""

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

        try:  # mutagen reads ID3v1 if there is no ID3v2
            tags = id3.ID3(path, v2_version=NEW_ID3_VERSION)
        except id3.ID3NoHeaderError:
            tags = id3.ID3()
        self.copy_values(tags, path)
        return tags

    def save(self, audio: Any, path: Path, new_values: FieldValues) -> None:
        _remove_footer(path)
        super().save(audio, path, new_values)

    def save_id3(self, tags: Any, path: Path, **how: Any) -> None:
        from mutagen import id3

        after = path.stat().st_size - tags.size
        with path.open("rb") as f:
            f.seek(-min(after, 131), 2)  # mutagen would rewrite an ID3v1 tag within this distance
            tail = f.read()
        tags.save(path, v1=1, **how)
        with path.open("r+b") as f:
            f.truncate(id3.ID3(path, load_v1=False).size + after)
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

    def other_blocks(self, path: Path) -> list[str]:
        before, after = blocks_around(path)
        own = next((block for block in before if not block.start and block.kind == ID3V2), None)
        return digests(path, [block for block in (*before, *after) if block is not own])


def refuse_flac_after_tags(path: Path) -> None:
    """Refuse a FLAC file after more than one ID3v2 tag, which mutagen does not recognise.

    Raises:
        TagError: it is one.
        OSError: it cannot be read.
    """
    before, _ = blocks_around(path)
    with path.open("rb") as f:
        is_flac = before and read_at(f, before[-1].end, 4) == b"fLaC"
    if is_flac and [block.kind for block in before] != [ID3V2]:
        kinds = join_first([block.kind for block in before])
        remedy = "remove them with a tag editor, or copy the audio: ffmpeg -i IN.flac -map_metadata 0 -c copy OUT.flac"
        raise TagError(path, f"a FLAC file with tags of other formats before its audio ({kinds}): {remedy}")


def _remove_footer(path: Path) -> None:
    """Remove the footer of a tag at the start of a file: it repeats the header, and mutagen would not update it."""
    before, _ = blocks_around(path)
    content = path.read_bytes() if before and before[0].kind == ID3V2 else b""
    if content[:4] == b"ID3\4" and content[5] & 0x10:
        end, flags = before[0].end, content[5] & ~0x10
        path.write_bytes(content[:5] + bytes((flags,)) + content[6 : end - _HEADER] + content[end:])


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
        size = tag[at + 4 : at + 8]
        length = int.from_bytes(size) if tag[3] == 3 else syncsafe(size)
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
