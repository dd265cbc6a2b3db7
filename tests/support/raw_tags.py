"""Tags made byte by byte, as no library would write them, to be put before and behind audio."""

from __future__ import annotations

import io
import struct

from mutagen import apev2

LYRICS3 = b"LYRICSBEGININD00002" + b"10" + b"000021LYRICS200"


def id3v2(*frames: tuple[bytes, bytes], version: int = 3, flags: int = 0, padding: int = 0) -> bytes:
    """An ID3v2 tag of frames as they are given; flag 0x10 adds the footer of version 2.4, 0x80 unsynchronises it."""
    if version == 2:
        body = b"".join(name + len(data).to_bytes(3, "big") + data for name, data in frames)
    else:
        body = b"".join(name + len(data).to_bytes(4, "big") + b"\0\0" + data for name, data in frames)
    body = body.replace(b"\xff", b"\xff\0") if flags & 0x80 else body
    body += bytes(padding)
    rest = bytes((version, 0, flags)) + bytes(len(body) >> shift & 127 for shift in (21, 14, 7, 0))
    return b"ID3" + rest + body + (b"3DI" + rest if flags & 0x10 else b"")


def text(words: str) -> bytes:
    """The content of a text frame of ID3v2.4; of versions 2.2 and 2.3 for ASCII only."""
    return (b"\3" if not words.isascii() else b"\0") + words.encode()


def ape(**fields: str | list[str]) -> bytes:
    """An APEv2 tag with header and footer; `_` in a name becomes a space."""
    tags = apev2.APEv2()
    for name, value in fields.items():
        tags[name.replace("_", " ")] = value
    out = io.BytesIO()
    tags.save(out)
    return out.getvalue()


def chunk(name: bytes, content: bytes, *, big: bool = False) -> bytes:
    """A chunk of RIFF, or of IFF (`big`), padded to an even length."""
    return name + struct.pack(">I" if big else "<I", len(content)) + content + bytes(len(content) % 2)


def with_chunks(content: bytes, *chunks: bytes) -> bytes:
    """A WAV or AIFF with further chunks at its end."""
    content += b"".join(chunks)
    layout = ">I" if content[:4] == b"FORM" else "<I"
    return content[:4] + struct.pack(layout, len(content) - 8) + content[8:]
