"""Reads all tags of a file, and every value of a field, whatever the container.

MP3 and similar files may have several ID3v2 tags before and after the audio, APEv2 and ID3v1; FLAC and WavPack may have
them around their own tags; WAV and AIFF may have several chunks of tags. If several tags have a field, the first one
counts: the container's own tag, then ID3v2, APEv2 and ID3v1, whose texts are cut short.
"""

from __future__ import annotations

import io
import re
import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from genrelab.audio.content_hash import ASF_HEADER, MP4_FIRST
from genrelab.audio.flac import COMMENTS, metadata_blocks
from genrelab.audio.part import Part
from genrelab.audio.tag_blocks import (
    APEV2,
    ID3V1,
    ID3V2,
    MAX_TAGS,
    InconsistentFileError,
    TagBlock,
    read_at,
    tags_after,
    tags_before,
)
from genrelab.identity.artists import Credit
from genrelab.identity.genres import separate_genres

FIELDS = {
    key: field
    for field, keys in {
        "artist": "artist tpe1 art",
        "artists": "artists",
        "performer": "performer",
        "album artist": "albumartist tpe2 aart albumartists",
        "artist id": "musicbrainzartistid",
        "album artist id": "musicbrainzalbumartistid",
        "compilation": "compilation tcmp cpil iscompilation itunescompilation",
        "title": "title tit2 nam",
        "album": "album talb alb albumtitle",
        "genre": "genre tcon gen",
        "tempo": "bpm tbpm tmpo beatsperminute tempo",
        "key": "initialkey key tkey",
    }.items()
    for key in keys.split()
}
"""Key of any format, in lower case, without punctuation and prefix → its field."""

RIFF_FIELDS = {b"IART": "artist", b"INAM": "title", b"IPRD": "album", b"IGNR": "genre"}
AIFF_FIELDS = {b"AUTH": "artist", b"NAME": "title"}
"""Chunks of plain text, and their fields."""

OWN_APEV2 = (b"wvpk", b"MAC ", b"MPCK", b"MP+\7", b"OFR ", b"tBaK")
"""First bytes of streams whose own tag is APEv2; that of others is ID3v2."""

MAX_TEXT = 1 << 20
"""Maximum bytes read of a chunk of plain text."""

MAX_CHUNKS = 1_000
"""Maximum number of chunks: about ten are usual."""

_PREFIX = re.compile(r"^(?:----:[^:]*:|WM/|TXXX:)", re.IGNORECASE)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

Fields = dict[str, list[str]]
"""Fields of one tag, and their values as written."""


@dataclass(frozen=True)
class FileTags:
    """The tags of a file.

    Attributes:
        credit: its artists. The names are those of the field `artist`, and of the field with one artist per value.
        artist: values of the artist field, as written.
        title, album: None if there is none; several values are joined by commas.
        genres: values of the genre field, as written (ID3 numbers as names), of the first tag that names a genre, else
            of the first tag with any value. For `separate_genres`.
        readable: False if a tag is damaged; the values of the others are there.
        tempo, key: as written, of the first tag with a value that counts (see `values_that_count`).
    """

    credit: Credit = Credit()  # noqa: RUF009 - it is frozen
    artist: tuple[str, ...] = ()
    title: str | None = None
    album: str | None = None
    genres: tuple[str, ...] = ()
    readable: bool = True
    tempo: tuple[str, ...] = ()
    key: tuple[str, ...] = ()


def read_file_tags(path: str | Path) -> FileTags:
    """Read all tags of a file; without audio or tags every field is empty.

    Raises:
        OSError: it cannot be read.
    """
    found: list[Fields] = []
    readable = True
    with Path(path).open("rb") as f:
        for read in _readers(f, Path(path)):
            try:
                found += read()
            except OSError:
                raise
            except Exception:  # noqa: BLE001 - parsers of damaged tags raise errors of any kind
                readable = False
    return _merge(found, readable)


def _merge(found: Sequence[Fields], readable: bool) -> FileTags:
    def first(field: str) -> tuple[str, ...]:
        return next((values for fields in found if (values := values_that_count(field, fields.get(field, ())))), ())

    def ids(field: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(_UUID.findall(" ".join(first(field)).casefold())))

    genres = [values for fields in found if (values := _clean(fields.get("genre", ())))]
    artist, album_artist = first("artist"), first("album artist")
    names = tuple(dict.fromkeys((*artist, *first("artists")))) or (() if album_artist else first("performer"))
    compilation = {text.casefold() for text in first("compilation")} & {"1", "true", "yes"}
    return FileTags(
        credit=Credit(names, ids("artist id"), album_artist, ids("album artist id"), bool(compilation)),
        artist=artist or first("artists"),
        title=", ".join(first("title")) or None,
        album=", ".join(first("album")) or None,
        genres=next((values for values in genres if separate_genres(values)), next(iter(genres), ())),
        readable=readable,
        tempo=first("tempo"),
        key=first("key"),
    )


def values_that_count(field: str, values: Iterable[str]) -> tuple[str, ...]:
    """Each value of a field once. A tempo needs a digit from 1 to 9: it is neither 0, for "unknown", nor `Moderato`."""
    return tuple(text for text in _clean(values) if field != "tempo" or re.search("[1-9]", text))


def _clean(values: Iterable[str]) -> tuple[str, ...]:
    """Each value once, without blank ones; NUL and line breaks separate values in every format."""
    texts = (" ".join(text.split()) for value in values for text in re.split("[\0\n]", value))
    return tuple(dict.fromkeys(text for text in texts if text))


# --- which tags a file holds ---


def _readers(f: BinaryIO, path: Path) -> Iterator[Callable[[], list[Fields]]]:
    """A reader for each tag of a file, in their order of precedence."""
    size = f.seek(0, 2)
    before, after = _blocks(lambda: tags_before(f)), _blocks(lambda: tags_after(f, size))
    if before is None or after is None:
        yield _damaged
    around = [*(before or ()), *(after or ())]
    start = before[-1].end if before else 0
    head = read_at(f, start, 16)
    if head[:4] == b"fLaC":
        yield lambda: _flac(f, start + 4)
    elif head[:4] in (b"RIFF", b"RF64", b"FORM") and head[8:12] in (b"WAVE", b"AIFF", b"AIFC"):
        yield from _chunk_readers(f, start, head[:4])
    elif (opened := _mutagen_kind(head)) is not None:
        yield lambda: _by_mutagen(opened, path, start)
    order = (APEV2, ID3V2, ID3V1) if head[:4] in OWN_APEV2 else (ID3V2, APEV2, ID3V1)
    for block in sorted((b for b in around if b.kind in order), key=lambda b: order.index(b.kind)):
        yield _block_reader(f, block)


def _blocks(find: Callable[[], list[TagBlock]]) -> list[TagBlock] | None:
    with suppress(InconsistentFileError):
        return find()
    return None


def _damaged() -> list[Fields]:
    raise InconsistentFileError


def _block_reader(f: BinaryIO, block: TagBlock) -> Callable[[], list[Fields]]:
    def read() -> list[Fields]:
        from mutagen import apev2, id3

        content = io.BytesIO(read_at(f, block.start, block.end - block.start))
        return [_fields(apev2.APEv2(content) if block.kind == APEV2 else id3.ID3(content, load_v1=block.kind == ID3V1))]

    return read


def _chunk_readers(f: BinaryIO, start: int, form: bytes) -> Iterator[Callable[[], list[Fields]]]:
    """ID3v2 in chunks, then plain texts."""
    chunks = list(_chunks(f, start + 12, f.seek(0, 2), ">4sI" if form == b"FORM" else "<4sI"))
    tags = [TagBlock(ID3V2, at, at + n) for name, at, n in chunks if name in (b"id3 ", b"ID3 ")]
    yield from (_block_reader(f, tag) for tag in tags[:MAX_TAGS])
    if len(tags) > MAX_TAGS or len(chunks) == MAX_CHUNKS:
        yield _damaged
    texts: Fields = defaultdict(list)
    for name, at, length in chunks:
        if form == b"FORM" and name in AIFF_FIELDS:
            texts[AIFF_FIELDS[name]].append(_decode(read_at(f, at, min(length, MAX_TEXT))))
        elif form != b"FORM" and name == b"LIST" and read_at(f, at, 4) == b"INFO":
            for inner, offset, n in _chunks(f, at + 4, at + length, "<4sI"):
                if inner in RIFF_FIELDS:
                    texts[RIFF_FIELDS[inner]].append(_decode(read_at(f, offset, min(n, MAX_TEXT))))
    yield lambda: [texts]


def _chunks(f: BinaryIO, at: int, end: int, layout: str) -> Iterator[tuple[bytes, int, int]]:
    """Name, offset and length of chunks, up to damage; the size in the header of the file is not used."""
    data_size = 0xFFFFFFFF
    for _ in range(MAX_CHUNKS):
        head = read_at(f, at, min(8, end - at))
        if len(head) < 8 or not re.fullmatch(rb"[ -~]{4}", head[:4]):
            return
        name, length = struct.unpack(layout, head)
        if name == b"ds64":  # of RF64, where 32 bits are too few for the size of the audio
            data_size = int.from_bytes(read_at(f, at + 16, 8), "little")
        if name == b"data" and length == 0xFFFFFFFF:
            length = data_size
        yield name, at + 8, min(length, end - at - 8)
        at += 8 + length + length % 2


def _decode(raw: bytes) -> str:
    raw = raw.split(b"\0")[0]
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def _flac(f: BinaryIO, at: int) -> list[Fields]:
    """Fields of each comment block; there should be one."""
    from mutagen.flac import VCFLACDict

    found = [read_at(f, place, length) for kind, place, length in metadata_blocks(f, at) if kind == COMMENTS]
    return [_fields(VCFLACDict(content)) for content in found]


def _mutagen_kind(head: bytes) -> Callable[[Any], Any] | None:
    """Mutagen's class for a container with its own tags."""
    import mutagen
    from mutagen import asf, dsdiff, dsf, mp4

    kinds: dict[bytes, Callable[[Any], Any]] = {
        ASF_HEADER: asf.ASF, b"OggS": mutagen.File, b"DSD ": dsf.DSF, b"FRM8": dsdiff.DSDIFF,
        **dict.fromkeys(MP4_FIRST, mp4.MP4),
    }  # fmt: skip
    return kinds.get(head) or kinds.get(head[:4]) or kinds.get(head[4:8])


def _by_mutagen(kind: Callable[[Any], Any], path: Path, start: int) -> list[Fields]:
    with Part(path, start).open() as f:  # without other programs' tags before the container
        tags = kind(f).tags  # an error if mutagen returns None for an unknown file
    return [_fields(tags)] if tags is not None else []


# --- the fields of one tag ---


def field_of(key: str) -> str | None:
    """The field of FIELDS that a key of any format belongs to; None: another one."""
    return FIELDS.get("".join(c for c in _PREFIX.sub("", key).casefold() if c.isalnum()))


def _fields(tags: Any) -> Fields:
    """The known fields of a tag that mutagen has read."""
    fields: Fields = defaultdict(list)
    for key, values in _pairs(tags):
        if (field := field_of(key)) is not None:
            fields[field] += [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in values]
    return fields


def _pairs(tags: Any) -> Iterator[tuple[str, Iterable[Any]]]:
    from mutagen import apev2, asf, id3, mp4

    if isinstance(tags, id3.ID3):
        for frame in tags.values():
            texts = frame.genres if frame.FrameID == "TCON" else getattr(frame, "text", ())
            yield getattr(frame, "desc", "") if frame.FrameID == "TXXX" else frame.FrameID, texts
    elif isinstance(tags, apev2.APEv2):
        yield from ((key, list(tags[key])) for key in tags.keys() if tags[key].kind == apev2.TEXT)  # noqa: SIM118
    elif isinstance(tags, mp4.MP4Tags):
        yield from ((key, values if isinstance(values, list) else [values]) for key, values in tags.items())
    elif isinstance(tags, asf.ASFTags):
        yield from (("artist" if key == "Author" else key, [value]) for key, value in tags)
    else:  # Vorbis comments
        yield from ((key, [value]) for key, value in tags)
