"""Multipart/form-data, piece by piece, into a spool: a file for each part that has a file name."""

from __future__ import annotations

import logging

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from genrelab.serve.http.spool import Spool
from genrelab.serve.problems import Problem, quoted

MAX_HEADER_BYTES, MAX_HEADERS = 8_192, 16
"""That a part may have before its content."""
MAX_NAME_CHARS = 1_000
"""Of a client's file name that are kept."""
PLAIN = (b"", b"7bit", b"8bit", b"binary")
"""Content-Transfer-Encodings that change nothing; others belong to mail."""

_silent_logger = logging.Logger("genrelab.serve.http.multipart", logging.CRITICAL)
"""The parser logs what is wrong with a body; strangers would fill the log."""


class MultipartBody:
    """What becomes of one multipart body.

    Args:
        boundary: that the Content-Type names.
        spool: where files go.
        most: parts that there may be.

    Raises:
        Problem: a boundary that cannot be.
    """

    def __init__(self, boundary: bytes, spool: Spool, most: int) -> None:
        if not boundary:
            raise _malformed("its Content-Type names no boundary")
        self._spool, self._most = spool, most
        self._delimiter, self._delimiters = b"\r\n--" + boundary, 0
        self._parts, self._ended = 0, False
        self._headers: dict[str, bytes] = {}
        self._field = self._value = b""
        self._header_bytes, self._name = 0, ""
        self._file_started = False
        try:
            self._parser = MultipartParser(boundary, {
                "on_part_begin": self._part_begins, "on_header_field": self._header_field,
                "on_header_value": self._header_value, "on_header_end": self._header_ends,
                "on_headers_finished": self._headers_end, "on_part_data": self._data, "on_part_end": self._part_ends,
                "on_end": self._end,
            })  # fmt: skip
        except FormParserError as e:
            raise _malformed("its boundary is too long") from e
        self._parser.logger = _silent_logger

    def feed(self, data: bytes) -> None:
        """More of the body.

        Raises:
            Problem: bad-request, bad-parameter, or what the spool refuses.
        """
        # Content that nearly is a boundary, over and over, would keep the parser busy for seconds.
        self._delimiters += data.count(self._delimiter)
        if self._delimiters > self._most + 1:
            raise _malformed("its boundary stands in it too often")
        try:
            self._parser.write(data)
        except FormParserError as e:
            raise _malformed("it does not keep to its boundary, or a part's headers are none") from e

    def close(self) -> None:
        """The body is over.

        Raises:
            Problem: not for the parser.
        """
        if not self._ended:
            raise _malformed("it ends before its last boundary")

    def _part_begins(self) -> None:
        self._parts += 1
        if self._parts > self._most:
            raise _malformed(f"it has more than {self._most} parts")
        self._headers, self._header_bytes = {}, 0
        self._field = self._value = b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]
        self._count(end - start)

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._count(end - start)

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES:
            raise _malformed(f"a part has more than {MAX_HEADER_BYTES:,} bytes of headers")

    def _header_ends(self) -> None:
        name = self._field.decode("latin-1").lower()
        if name in self._headers or len(self._headers) >= MAX_HEADERS:
            raise _malformed("a part has a header twice, or too many")
        self._headers[name] = self._value
        self._field = self._value = b""

    def _headers_end(self) -> None:
        disposition, options = parse_options_header(self._headers.get("content-disposition", b""))
        if disposition != b"form-data":
            raise _malformed("a part has no Content-Disposition: form-data")
        if b"filename" not in options:
            field = _decode_name(options.get(b"name", b""))
            raise Problem(
                "bad-parameter", f"The form field {quoted(field)} is no file: options go into the query, as in ?top=3."
            )
        if self._headers.get("content-transfer-encoding", b"").strip().lower() not in PLAIN:
            raise _malformed("a part has a Content-Transfer-Encoding: send the bytes as they are")
        self._name, self._file_started = _decode_name(options[b"filename"]), False
        if self._name:
            self._begin()

    def _begin(self) -> None:
        self._spool.start(self._name)
        self._file_started = True

    def _data(self, data: bytes, start: int, end: int) -> None:
        if not self._file_started:  # a browser sends a part without name and content where no file was chosen
            self._begin()
        self._spool.add(data[start:end])

    def _part_ends(self) -> None:
        self._file_started = False

    def _end(self) -> None:
        self._ended = True


def _decode_name(name: bytes) -> str:
    """A client's name; no more of it than a name needs. Browsers write the characters that would end it in this way."""
    name = name.replace(b"%22", b'"').replace(b"%0D", b"\r").replace(b"%0A", b"\n")
    try:
        return name.decode()[:MAX_NAME_CHARS]
    except UnicodeDecodeError:
        return name.decode("latin-1")[:MAX_NAME_CHARS]


def _malformed(why: str) -> Problem:
    return Problem("bad-request", f"The body cannot be read as multipart/form-data: {why}.")
