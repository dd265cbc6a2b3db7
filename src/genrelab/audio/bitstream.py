"""Finds a bitstream such as DTS or AC-3 whose bytes were stored as samples: a PCM decoder makes loud noise of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from genrelab.audio.lengths import frame_sizes

REASON = "contains {} bitstream, not PCM samples: decode it first (for a WAV: ffmpeg -i IN.wav OUT.flac)"
"""Error message, for a name with its article."""

LOSSLESS = ("pcm_", "flac", "alac", "wavpack", "tta", "ape", "tak", "shorten", "mlp", "truehd", "wmalossless")
"""Prefixes of FFmpeg's names of codecs whose samples may be the bytes of a bitstream."""

WAV_CODECS = {"dca": "a DTS", "ac3": "an AC-3", "eac3": "an E-AC-3", "mp3float": "an MPEG", "aac": "an AAC"}
"""Codecs that FFmpeg finds in a WAV of PCM, by its name; others are called `another`."""

PCM_TAGS = ("\x01\0\0\0", "\xfe\xff\0\0")
"""Codec tags of a PCM WAV. FFmpeg searches it for DTS and others, and would decode them."""

FIRST, MORE, MAX_SILENT = 1 << 11, 1 << 16, 1 << 22
"""Samples per channel examined after the silence; further samples in case of doubt; maximum length of the silence."""

QUIET, LEAD = 1e-3, 8
"""Samples below QUIET are silence; the last LEAD of them may belong to the bitstream."""

NOISY = 0.9
"""Mean difference of neighbouring values over the mean value: about 1.3 in noise and bitstreams, far less in music."""

FRAMES = {"an AC-3": 4, "an MPEG": 6, "an AAC": 6, "an Ogg": 4}
"""Minimum number of consecutive frames with the sizes in their headers: noise has them in one of 10^14 files."""

_MARKS = (
    ("a DTS", 3, 0x7FFE, 0x8001, 0xFC00, 0xFFF0),
    ("a DTS", 3, 0x1FFF, 0xE800, 0x07F0, 0xFFFF),  # 14 bits of it in each sample
    ("an IEC 61937", 2, 0xF872, 0x4E1F, 0, 0),
    ("an SMPTE 337", 2, 0x6F87, 0x54E1, 0, 0),  # 20 bits, of which 16 are stored
    ("an SMPTE 337", 2, 0x96F8, 0xA54E, 0, 0),  # 24 bits
)
"""Name, minimum count, two samples, bits that are set in the third, bits that are equal in every fourth.

The bits hold the size of a frame, for example. Clipped noise often has the first two samples of DTS, but with different
samples after them.
"""

_DATA_TYPES = {
    1: "an AC-3", 4: "an MPEG", 5: "an MPEG", 6: "an MPEG", 7: "an AAC", 8: "an MPEG", 9: "an MPEG", 10: "an MPEG",
    11: "a DTS", 12: "a DTS", 13: "a DTS", 17: "a DTS", 19: "an AAC", 20: "an AAC", 21: "an E-AC-3", 22: "a TrueHD",
    28: "a Dolby E",
}  # fmt: skip
"""Content of IEC 61937 and SMPTE 338M, by the lowest five bits of the word after the preamble."""

_AC3_KBITS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)

Block = NDArray[np.float32]


def find(read: Callable[[int], Block]) -> str | None:
    """The name, with its article, of the bitstream at the start of a file or after initial silence; None for music.

    Args:
        read: returns the next `n` samples, shape (samples, channels), from the start on; fewer at the end.
    """
    x, silent = read(FIRST), 0
    while len(x) and not (loud := (np.abs(x) >= QUIET).any(axis=1)).any():
        silent += len(x)
        if silent > MAX_SILENT:
            return None
        x = read(FIRST)
    if not len(x):
        return None
    x = x[max(int(loud.argmax()) - LEAD, 0) :]
    found, certain = _search(x)
    if not certain and (found is not None or _is_noisy(x)):
        found, certain = _search(np.concatenate([x, read(MORE)]))
    return found if certain else None


def find_in_frames(frames: Iterator[Block]) -> str | None:
    """The same for frames of any length, shape (samples, channels), from the start."""

    def read(n: int) -> Block:
        pieces = list[Block]()
        while sum(map(len, pieces)) < n and (frame := next(frames, None)) is not None:
            pieces.append(frame)
        return np.concatenate(pieces) if pieces else np.empty((0, 1), np.float32)

    return find(read)


def _is_noisy(x: Block) -> bool:
    """Do values jump as in noise? Then the next mark of a bitstream may be far away."""
    flat = x.ravel()
    return bool(np.abs(np.diff(flat)).mean() > NOISY * np.abs(flat).mean()) if len(flat) > 1 else False


def _search(x: Block) -> tuple[str | None, bool]:
    """The bitstream in a block, and whether it is certain; both byte orders are tried."""
    with np.errstate(all="ignore"):  # samples that are not finite
        words = np.clip(np.floor(x * 32_768), -32_768, 32_767).astype("<i2").ravel()
    suspect = None
    for swapped in (False, True):
        ordered = words.byteswap() if swapped else words
        for name, min_count, found in _marks(ordered.view(np.uint16)):
            if len(found) >= min_count:
                return _DATA_TYPES.get(found[0] & 31, name) if name == "an IEC 61937" else name, True
            suspect = name
        data = ordered.tobytes()
        for name, pattern, size in _CHAINS:
            n = max((_chain(data, m.start(), size, FRAMES[name]) for m in pattern.finditer(data)), default=0)
            if n == FRAMES[name]:
                return name, True
            suspect = name if n > 1 else suspect
    return suspect, False


def _marks(words: NDArray[np.uint16]) -> Iterator[tuple[str, int, list[int]]]:
    """Each mark that is found: its name, its minimum count, and the samples after it."""
    pairs = words[:-3].astype(np.uint32) << 16 | words[1:-2]
    for name, min_count, first, second, bits, same in _MARKS:
        at = np.flatnonzero(pairs == (first << 16 | second)) + 2
        at = at[words[at] & bits == bits]
        if len(at):
            after = (words[at].astype(np.uint32) << 16 if bits else 0) | (words[at + 1] & same).astype(np.uint32)
            kinds, counts = np.unique(after, return_counts=True)
            yield name, min_count, words[at[after == kinds[counts.argmax()]]].tolist()


def _chain(data: bytes, first: int, size: Callable[[bytes, int, int], int], limit: int) -> int:
    """Number of consecutive frames from `first` on, `limit` at most."""
    at, n = first, 0
    while n < limit and at + 8 <= len(data) and (step := size(data, at, first)):
        at, n = at + step, n + 1
    return n


def _ac3_size(data: bytes, at: int, _first: int) -> int:
    """Bytes of a frame of AC-3 or E-AC-3; 0 if there is none."""
    if data[at : at + 2] != b"\x0b\x77":
        return 0
    bsid = data[at + 5] >> 3
    if 11 <= bsid <= 16:
        return 2 * ((data[at + 2] << 8 | data[at + 3]) & 0x7FF) + 2
    rate, code = data[at + 4] >> 6, data[at + 4] & 63
    if bsid > 10 or rate == 3 or code >= 2 * len(_AC3_KBITS):
        return 0
    kbits = _AC3_KBITS[code >> 1]
    return (kbits * 4, (320 * kbits // 147 + (code & 1)) * 2, kbits * 6)[rate]


def _adts_size(data: bytes, at: int, first: int) -> int:
    """Bytes of a frame of AAC in ADTS with the profile and rate of the first; 0 if there is none."""
    same = data[at : at + 2] == data[first : first + 2] and (data[at + 2] ^ data[first + 2]) & 0xFD == 0
    size = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
    return size if same and data[at + 2] >> 2 & 15 < 13 and size > 7 else 0


def _loas_size(data: bytes, at: int, _first: int) -> int:
    """Bytes of a frame of AAC in LOAS; 0 if there is none."""
    if data[at] != 0x56 or data[at + 1] >> 5 != 7:
        return 0
    size = (data[at + 1] & 31) << 8 | data[at + 2]
    return size + 3 if size else 0


def _mpeg_size(data: bytes, at: int, first: int) -> int:
    """Bytes of an MPEG frame of the version, layer and rate of the first; 0 if there is none."""
    same = data[at] == 0xFF and data[at + 1] == data[first + 1] and (data[at + 2] ^ data[first + 2]) & 0x0C == 0
    sizes, _ = frame_sizes(data[at + 1]) or ({}, 0) if same else ({}, 0)
    return sizes.get(data[at + 2], 0)


def _ogg_size(data: bytes, at: int, _first: int) -> int:
    """Bytes of an Ogg page; 0 if there is none."""
    segments = data[at + 27 : at + 27 + data[at + 26]] if at + 27 <= len(data) else b""
    return 27 + len(segments) + sum(segments) if data[at : at + 5] == b"OggS\0" else 0


_CHAINS = (
    ("an AC-3", re.compile(rb"\x0b\x77"), _ac3_size),
    ("an AAC", re.compile(rb"\xff[\xf0\xf1\xf8\xf9]"), _adts_size),
    ("an AAC", re.compile(rb"\x56[\xe0-\xff]", re.DOTALL), _loas_size),
    ("an Ogg", re.compile(rb"OggS\x00"), _ogg_size),
    ("an MPEG", re.compile(rb"\xff[\xe2-\xe5\xf2-\xf5\xfa-\xfd][\x10-\xef]", re.DOTALL), _mpeg_size),
)
"""Name, start of a frame, and its size by its header. Not layer I: it is not in use, and quiet music
resembles it."""
