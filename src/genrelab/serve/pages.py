"""The page and /docs with all of their parts, read once and served from memory."""

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
"""What is served; other files of the folder are not."""

WAVESURFER_STYLE = "sha256-Y/8t1dAKa3ay+RZEiEFEDr8dFiQhpaFvYXXUfT3p6ZU="
"""The style sheet that wavesurfer.js writes into itself, at the height that `web/player.js` gives it."""

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' '{style}'; img-src 'self' blob:; media-src 'self' blob:; "
    "connect-src {connect}; worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Of the page. Its only worker is what the spectrogram is reckoned by, which brings its own source along."""

DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Of /docs: Swagger UI writes styles into what it draws."""

HOST = re.compile(r"[A-Za-z0-9.-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")


@dataclass(frozen=True)
class StaticFile:
    """A file as it is sent.

    Attributes:
        body, packed: as it is, and by gzip; None where that is no shorter.
        etag: of the body, without quotation marks.
        kind: its content type.
    """

    body: bytes
    packed: bytes | None
    etag: str
    kind: str


@cache
def load_files() -> dict[str, StaticFile]:
    """Every file that is served, by its path below the folder: what is no key here cannot be asked for."""
    files = sorted(f for f in FOLDER.rglob("*") if f.suffix in TYPES and f.is_file())
    return {f.relative_to(FOLDER).as_posix(): _load_file(f) for f in files}


def router() -> APIRouter:
    """GET and HEAD of `/`, `/docs` and `/web/NAME`."""
    found = load_files()
    pages = APIRouter(include_in_schema=False)

    async def page(request: Request) -> Response:
        policy = PAGE_POLICY.format(style=WAVESURFER_STYLE, connect=_connect(request.headers.get("host", "")))
        return _answer(request, found["index.html"], policy)

    async def docs(request: Request) -> Response:
        return _answer(request, found["docs.html"], DOCS_POLICY)

    async def part(request: Request, name: str) -> Response:
        if name not in found or name.endswith(".html"):  # a page without its policy is no page of ours
            raise HTTPException(404, "no such file: the page is /")
        return _answer(request, found[name])

    for path, endpoint in (("/", page), ("/docs", docs), ("/web/{name:path}", part)):
        pages.add_api_route(path, endpoint, methods=["GET", "HEAD"])
    return pages


def _load_file(file: Path) -> StaticFile:
    body = file.read_bytes()
    packed = gzip.compress(body, mtime=0)
    etag = hashlib.sha256(body).hexdigest()[:32]
    return StaticFile(body, packed if len(packed) < len(body) else None, etag, TYPES[file.suffix])


def _connect(host: str) -> str:
    """Where the page may connect to: to us. Not every browser takes 'self' to mean our WebSocket, too."""
    return f"'self' ws://{host} wss://{host}" if HOST.fullmatch(host) else "'self'"


def _answer(request: Request, part: StaticFile, policy: str | None = None) -> Response:
    packed = part.packed if _takes_gzip(request.headers.get("accept-encoding", "")) else None
    etag = f'"{part.etag}{"" if packed is None else "-gzip"}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    if policy is not None:
        headers["Content-Security-Policy"] = policy
    if _etag_matches(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers=headers)
    if packed is not None:
        headers["Content-Encoding"] = "gzip"
    return Response(part.body if packed is None else packed, headers=headers, media_type=part.kind)


def _takes_gzip(accepted: str) -> bool:
    """What the header Accept-Encoding says of gzip (RFC 9110, 12.5.3)."""
    weights: dict[str, float] = {}
    for one in accepted.lower().split(","):
        name, _, weight = one.partition(";")
        try:
            weights[name.strip()] = float(weight.replace(" ", "").removeprefix("q=") or 1)
        except ValueError:
            weights[name.strip()] = 0
    return weights.get("gzip", weights.get("*", 0)) > 0


def _etag_matches(wanted: str, etag: str) -> bool:
    """Is it among those of the header If-None-Match, which are compared weakly (RFC 9110, 13.1.2)?"""
    return wanted.strip() == "*" or etag in (one.strip().removeprefix("W/") for one in wanted.split(","))
