"""The web page, /docs and their static files, read once and served from memory."""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request, Response

FOLDER = Path(__file__).resolve().with_name("web")

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
"""File types that are served; other files of the folder are not."""

WAVESURFER_STYLE = "sha256-Y/8t1dAKa3ay+RZEiEFEDr8dFiQhpaFvYXXUfT3p6ZU="
"""Hash of the style sheet that wavesurfer.js injects, at the height that `web/player.js` sets."""

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' '{style}'; img-src 'self' blob:; media-src 'self' blob:; "
    "connect-src {connect}; worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Of the page. Its only web worker computes the spectrogram; its source is a blob."""

DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Of /docs: Swagger UI uses inline styles."""

GZIP = re.compile(r"\bgzip\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))")
"""In Accept-Encoding, in lower case: gzip, unless it is refused by a weight of 0."""
HOST = re.compile(r"[A-Za-z0-9.-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")


@dataclass(frozen=True)
class StaticFile:
    """A static file, ready to be sent.

    Attributes:
        body, packed: uncompressed, and by gzip; None where that is no shorter.
        etag: of the body, without quotation marks.
        kind: its content type.
    """

    body: bytes
    packed: bytes | None
    etag: str
    kind: str


@cache
def load_files() -> dict[str, StaticFile]:
    """Every static file by its path below the folder; only these keys can be requested."""
    files = sorted(f for f in FOLDER.rglob("*") if f.suffix in TYPES and f.is_file())
    return {f.relative_to(FOLDER).as_posix(): _load_file(f) for f in files}


def router() -> APIRouter:
    """GET and HEAD of `/`, `/docs` and `/web/NAME`."""
    files = load_files()
    pages = APIRouter(include_in_schema=False)

    async def page(request: Request) -> Response:
        policy = PAGE_POLICY.format(style=WAVESURFER_STYLE, connect=_connect_src(request.headers.get("host", "")))
        return _file_response(request, files["index.html"], policy)

    async def docs(request: Request) -> Response:
        return _file_response(request, files["docs.html"], DOCS_POLICY)

    async def static_file(request: Request, name: str) -> Response:
        if name not in files or name.endswith(".html"):  # pages are only served with their policy
            raise HTTPException(404, "no such file")
        return _file_response(request, files[name])

    for path, endpoint in (("/", page), ("/docs", docs), ("/web/{name:path}", static_file)):
        pages.add_api_route(path, endpoint, methods=["GET", "HEAD"])
    return pages


def _load_file(file: Path) -> StaticFile:
    body = file.read_bytes()
    packed = gzip.compress(body, mtime=0)
    etag = hashlib.sha256(body).hexdigest()[:32]
    return StaticFile(body, packed if len(packed) < len(body) else None, etag, TYPES[file.suffix])


def _connect_src(host: str) -> str:
    """Value of connect-src: this service only. Not every browser lets 'self' include its WebSocket."""
    return f"'self' ws://{host} wss://{host}" if HOST.fullmatch(host) else "'self'"


def _file_response(request: Request, static_file: StaticFile, policy: str | None = None) -> Response:
    packed = static_file.packed if GZIP.search(request.headers.get("accept-encoding", "").lower()) else None
    etag = f'"{static_file.etag}{"" if packed is None else "-gzip"}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    if policy is not None:
        headers["Content-Security-Policy"] = policy
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if packed is not None:
        headers["Content-Encoding"] = "gzip"
    return Response(static_file.body if packed is None else packed, headers=headers, media_type=static_file.kind)
