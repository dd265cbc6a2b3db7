"""Detects the encoding of a text file: UTF-8, UTF-16, UTF-32, or Windows-1252 as a guess."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

import numpy as np

from genrelab.core.errors import DatasetError

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def detect_encoding(path: Path) -> tuple[str, str | None]:
    """The encoding of a text file, and a note where it is a guess.

    UTF-8, UTF-16 or UTF-32 with or without a byte order mark, else Windows-1252.

    Raises:
        DatasetError: it is empty, cannot be read, contains NUL bytes, or contradicts its byte order mark.
    """
    try:
        with path.open("rb") as f:
            block = f.read(1 << 20)
        if not block.strip():
            raise DatasetError(f"{path} is empty: give a table with a header and rows")
        encoding = next((e for mark, e in _BYTE_ORDER_MARKS if block.startswith(mark)), None)
        certain, encoding = encoding is not None, encoding or _utf_16_without_mark(block) or "utf-8"
        line = _first_wrong_line(path, encoding)
        if line is None:
            return encoding, None
        if certain or encoding != "utf-8":
            raise DatasetError(f"{path}, line {line:,} is not {encoding}: save the table as UTF-8")
        return _eight_bit_encoding(path, path.read_bytes(), line)
    except OSError as e:
        raise DatasetError(f"{path} cannot be read: {e.strerror}") from e


def _utf_16_without_mark(block: bytes) -> str | None:
    """UTF-16 has zeros only at odd or only at even bytes, and line ends."""
    zeros = np.frombuffer(block, np.uint8) == 0
    even, odd = int(zeros[::2].sum()), int(zeros[1::2].sum())
    encoding = "utf-16-le" if odd else "utf-16-be"
    if min(even, odd) > 0 or 50 * max(even, odd) < len(block):
        return None
    text = block.decode(encoding, errors="ignore")
    return encoding if "\n" in text or "\r" in text else None


def _first_wrong_line(path: Path, encoding: str) -> int | None:
    """The first line that is not in this encoding.

    Raises:
        DatasetError: there is a NUL byte, which no text contains.
    """
    lines = 1
    with path.open("rb") as f:
        try:
            for text in codecs.iterdecode(iter(lambda: f.read(1 << 20), b""), encoding):
                if "\0" in text:
                    line = lines + text[: text.index("\0")].count("\n")
                    raise DatasetError(f"{path}, line {line:,} contains a NUL byte: save the table again as CSV")
                lines += text.count("\n")
        except UnicodeDecodeError as e:
            return lines + bytes(e.object[: e.start]).count(b"\n")
    return None


def _eight_bit_encoding(path: Path, content: bytes, line: int) -> tuple[str, str]:
    """Windows-1252, or Latin-1 where that leaves a byte undefined, and a note.

    Raises:
        DatasetError: most other characters are UTF-8, and would be read as others.
    """
    if b"\0" in content:
        raise DatasetError(f"{path} contains NUL bytes: save the table again as CSV")
    text = content.decode("utf-8", "surrogateescape")
    wrong = len(re.findall("[\udc80-\udcff]", text))
    if len(re.findall("[^\x00-\x7f\udc80-\udcff]", text)) > wrong:
        raise DatasetError(f"{path}, line {line:,} is not UTF-8, but other lines are: save the table as UTF-8")
    try:
        content.decode("cp1252")
    except UnicodeDecodeError:
        encoding, name = "latin-1", "Latin-1"
    else:
        encoding, name = "cp1252", "Windows-1252"
    note = f"the table is not UTF-8 (line {line:,}) and was read as {name}: if letters look wrong, save it as UTF-8"
    return encoding, note
