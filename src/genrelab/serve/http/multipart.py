"""Incremental multipart/form-data parser that writes each part with a file name into a spool."""

from __future__ import annotations

import logging

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from genrelab.serve.http.spool import Spool
from genrelab.serve.problems import Problem, quoted

MAX_HEADER_BYTES, MAX_HEADERS = 8_192, 16
"""Of a part: bytes of one header, and their number."""
MAX_NAME_CHARS = 1_000
"""Characters of a client's file name that are kept."""
PLAIN = (b"", b"7bit", b"8bit", b"binary")
"""Content-Transfer-Encodings without effect; the others are for mail."""

_silent_logger = logging.Logger("genrelab.serve.http.multipart", logging.CRITICAL)
"""For the parser, which logs errors of a body: clients could flood the log."""


class MultipartBody:
    """One multipart body.

    Args:
        boundary: from the Content-Type.
        spool: for the files.
        max_parts: of the body.

    Raises:
        Problem: an invalid boundary.
    """

    def __init__(self, boundary: bytes, spool: Spool, max_parts: int) -> None:
        if not boundary:
            raise _malformed("its Content-Type has no boundary")
        self._spool, self._max_parts = spool, max_parts
        self._delimiter, self._n_delimiters = b"\r\n--" + boundary, 0
        self._headers: dict[bytes, bytes] = {}
        self._header_name = self._header_value = b""
        self._file_started = self._ended = False
        try:
            self._parser = MultipartParser(boundary, {
                "on_part_begin": self._headers.clear, "on_header_field": self._on_header_name,
                "on_header_value": self._on_header_value, "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers_finished, "on_part_data": self._on_part_data,
                "on_end": self._on_end,
            }, max_header_count=MAX_HEADERS, max_header_size=MAX_HEADER_BYTES)  # fmt: skip
        except FormParserError as e:
            raise _malformed("its boundary is too long") from e
        self._parser.logger = _silent_logger

    def feed(self, data: bytes) -> None:
        """Parse the next bytes of the body.

        Raises:
            Problem: bad-request, bad-parameter, or a limit of the spool.
        """
        # Counted in advance: content with very many near-boundaries would keep the parser busy for seconds.
        self._n_delimiters += data.count(self._delimiter)
        if self._n_delimiters > self._max_parts + 1:
            raise _malformed(f"it has more than {self._max_parts:,} parts")
        try:
            self._parser.write(data)
        except FormParserError as e:
            raise _malformed("the boundary is missing, or a part has invalid headers") from e

    def close(self) -> None:
        """The body has ended.

        Raises:
            Problem: it was incomplete.
        """
        if not self._ended:
            raise _malformed("the final boundary is missing")

    def _on_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._header_name.lower()] = self._header_value
        self._header_name = self._header_value = b""

    def _on_headers_finished(self) -> None:
        disposition, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if disposition != b"form-data":
            raise _malformed("a part has no Content-Disposition: form-data")
        if b"filename" not in options:
            field_name = _decode_name(options.get(b"name", b""))
            raise Problem(
                "bad-parameter",
                f"The form field {quoted(field_name)} is not a file. Send options in the query: ?top=3.",
            )
        if self._headers.get(b"content-transfer-encoding", b"").strip().lower() not in PLAIN:
            raise _malformed("a part has a Content-Transfer-Encoding; send the bytes unencoded")
        file_name = _decode_name(options[b"filename"])
        self._file_started = bool(file_name)  # where no file was chosen, browsers send a part without name and content
        if file_name:
            self._spool.start(file_name)

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if not self._file_started:
            self._spool.start("")
            self._file_started = True
        self._spool.add(data[start:end])

    def _on_end(self) -> None:
        self._ended = True


def _decode_name(name: bytes) -> str:
    """A name as text, cut to `MAX_NAME_CHARS`. Browsers percent-encode quotation marks and line breaks in it."""
    name = name.replace(b"%22", b'"').replace(b"%0D", b"\r").replace(b"%0A", b"\n")
    try:
        return name.decode()[:MAX_NAME_CHARS]
    except UnicodeDecodeError:
        return name.decode("latin-1")[:MAX_NAME_CHARS]


def _malformed(why: str) -> Problem:
    return Problem("bad-request", f"The body is not valid multipart/form-data: {why}.")
