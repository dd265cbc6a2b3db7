"""The page and its files over HTTP: complete, under a security policy, cached; and the texts in both languages."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import re
from collections.abc import Mapping

import pytest

from tests.support.paths import PROJECT

pytest.importorskip("fastapi")
pytest.importorskip("httpx")
import httpx
from fastapi import FastAPI

from genrelab.serve import pages

WEB = pages.FOLDER
OURS = sorted(f for f in WEB.iterdir() if f.suffix in (".js", ".css", ".html"))


def ask(path: str, *, method: str = "GET", **headers: str) -> httpx.Response:
    app = FastAPI(docs_url=None)
    app.include_router(pages.router())

    async def once() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8000") as client:
            sent = {name.replace("_", "-"): text for name, text in headers.items()}
            return await client.request(method, path, headers={"accept-encoding": "identity"} | sent)

    return asyncio.run(once())


def policy(answer: httpx.Response) -> Mapping[str, list[str]]:
    rules = answer.headers["content-security-policy"].split("; ")
    return {name: sources for name, *sources in (rule.split() for rule in rules)}


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/docs", "text/html; charset=utf-8"),
        ("/web/page.js", "text/javascript; charset=utf-8"),
        ("/web/page.css", "text/css; charset=utf-8"),
        ("/web/icon.svg", "image/svg+xml"),
        ("/web/vendor/wavesurfer.esm.js", "text/javascript; charset=utf-8"),
        ("/web/vendor/LICENSE-wavesurfer.txt", "text/plain; charset=utf-8"),
    ],
)
def test_page_files_are_sent_with_their_content_type(path: str, kind: str) -> None:
    answer = ask(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    assert answer.headers["cache-control"] == "no-cache"
    file = {"/": "index.html", "/docs": "docs.html"}.get(path, path.removeprefix("/web/"))
    assert answer.content == (WEB / file).read_bytes()


@pytest.mark.parametrize(
    "path",
    [
        "/web/", "/web/nothing.js", "/web/index.html", "/web/docs.html", "/web/vendor/README.md", "/web/../pages.py",
        "/web/%2e%2e/predict.py", "/web/..%2fpredict.py", "/web//etc/passwd", "/web/vendor", "/web/page.js/",
    ],
)  # fmt: skip
def test_other_paths_are_not_found(path: str) -> None:
    assert ask(path).status_code == 404


def test_gzip_is_used_only_if_the_client_accepts_it() -> None:
    plain, packed = ask("/web/page.css"), ask("/web/page.css", accept_encoding="br;q=1, GZIP ; q=0.5")
    assert packed.headers["content-encoding"] == "gzip" and packed.content == plain.content
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 2
    assert packed.headers["etag"] != plain.headers["etag"]
    assert plain.headers["vary"] == packed.headers["vary"] == "Accept-Encoding"
    for refused in ("br", "", "gzip;q=0", "identity, gzip ; q=0.0, br"):
        assert "content-encoding" not in ask("/web/page.css", accept_encoding=refused).headers
    assert gzip.decompress(pages.load_files()["page.css"].packed or b"") == plain.content


def test_unchanged_file_is_answered_with_304() -> None:
    etag = ask("/").headers["etag"]
    for known in (etag, f'"other", W/{etag}'):
        answer = ask("/", if_none_match=known)
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
    assert ask("/", if_none_match='"other"').status_code == 200
    packed = ask("/", accept_encoding="gzip").headers["etag"]
    assert ask("/", if_none_match=packed).status_code == 200  # that is another sequence of bytes
    assert ask("/", if_none_match=packed, accept_encoding="gzip").status_code == 304


def test_head_is_get_without_a_body() -> None:
    head, get = ask("/", method="HEAD"), ask("/")
    assert head.status_code == 200
    assert {k: head.headers[k] for k in ("etag", "content-type", "content-length")} == {
        k: get.headers[k] for k in ("etag", "content-type", "content-length")
    }


def test_content_security_policy_allows_only_own_sources() -> None:
    rules = policy(ask("/"))
    assert rules["default-src"] == ["'none'"]
    assert rules["script-src"] == ["'self'"]
    assert rules["connect-src"] == ["'self'", "ws://127.0.0.1:8000", "wss://127.0.0.1:8000"]
    assert not any("unsafe" in source or "*" in source for sources in rules.values() for source in sources)
    assert policy(ask("/docs"))["script-src"] == ["'self'"]


@pytest.mark.parametrize("host", ["evil.example; script-src *", "a b", "a,b", "'self'", "ä.example"])
def test_invalid_host_does_not_get_into_the_security_policy(host: str) -> None:
    sent = policy(ask("/", host=host)) if host.isascii() else {"connect-src": pages._connect_src(host).split()}
    assert sent["connect-src"] == ["'self'"]
    assert pages._connect_src("[::1]:8000") == "'self' ws://[::1]:8000 wss://[::1]:8000"


def test_pages_have_no_external_urls_and_no_inline_scripts() -> None:
    for file in OURS:
        text = file.read_text("utf-8")
        assert not re.search(r"""(src|href|url|import|from)[=(\s]*["'(]?(https?:)?//""", text), file.name
        assert "innerHTML" not in text and "eval(" not in text, file.name
        if file.suffix == ".html":
            assert not re.search(r"<script(?![^>]*\ssrc=)|\son\w+=|\sstyle=", text), file.name


def test_web_files_have_fewer_than_300_lines() -> None:
    assert {f.name: n for f in OURS if (n := len(f.read_text("utf-8").splitlines())) >= 300} == {}


def test_vendored_files_match_their_checksums() -> None:
    table = (WEB / "vendor" / "README.md").read_text("utf-8")
    named = dict(re.findall(r"\| `([\w.-]+)` \|.*\| `([0-9a-f]{64})` \|", table))
    code = {f.name for f in (WEB / "vendor").iterdir() if f.suffix in (".js", ".css")}
    assert set(named) == code
    for name, digest in named.items():
        assert hashlib.sha256((WEB / "vendor" / name).read_bytes()).hexdigest() == digest, name


def texts_of(language: str) -> dict[str, str]:
    """Key → text, or texts, of a module with one key per line."""
    text = (WEB / f"{language}.js").read_text("utf-8")
    body = text[text.index("export default {") : text.index("\n};")]
    return {k.strip('"'): v for k, v in re.findall(r'^  ("[\w-]+"|\w+): (.+),$', body, re.MULTILINE)}


def test_both_languages_have_the_same_texts() -> None:
    english, chinese = texts_of("english"), texts_of("chinese")
    assert len(english) > 100
    assert list(english) == list(chinese)
    for key, text in english.items():
        names = set(re.findall(r"\{(\w+)\}", text))
        assert set(re.findall(r"\{(\w+)\}", chinese[key])) == names, key
    assert [k for k, v in chinese.items() if v == english[k] and re.search("[a-z]{3}", re.sub(r"\{\w+\}", "", v))] == []


def test_every_text_the_page_uses_exists_and_none_is_unused() -> None:
    known, files = set(texts_of("english")), {f.name: f.read_text("utf-8") for f in OURS}
    html = set(re.findall(r'data-text(?:-label)?="(\w+)"', files["index.html"]))
    assert html <= known
    code = "".join(t for name, t in files.items() if name.endswith(".js") and name not in ("english.js", "chinese.js"))
    assert set(re.findall(r'\bt\("([\w-]+)"', code)) <= known
    quoted = set(re.findall(r'"([\w-]+)"', code))
    built = {k for k in known if k.startswith(("problem_", "reliability_")) or k.endswith("_detail")}
    touch = {k for k in known if k.endswith("_touch") and k.removesuffix("_touch") in html | quoted}
    assert known - html - quoted - built - touch == set()


def test_texts_in_the_html_are_those_of_the_english_page() -> None:
    english = texts_of("english")
    written = re.findall(r'data-text="(\w+)"[^>]*>([^<]+)<', (WEB / "index.html").read_text("utf-8"))
    assert len(written) > 5
    assert [key for key, text in written if english[key] != f'"{text}"'] == []


def test_page_has_no_text_that_a_program_hears() -> None:
    """Only people and microphones listen."""
    about_people = {"tags_note", "mic_listening"}
    words = re.compile(r"\b(hear|heard|hearing|listen\w*|sure|whoever|nobody)\b", re.IGNORECASE)
    assert {k for k, v in texts_of("english").items() if words.search(v)} <= about_people
    assert [k for k, v in texts_of("chinese").items() if "听" in v.replace("听众", "")] == []


def test_every_problem_kind_of_a_file_has_a_text() -> None:
    from genrelab.serve.problems import KINDS

    ours = {k.removeprefix("problem_") for k in texts_of("english") if k.startswith("problem_")} - {
        "network",
        "other",
        "page",
    }
    assert ours <= set(KINDS)
    not_on_the_page = {
        "bad-request",
        "bad-parameter",
        "not-found",
        "method-not-allowed",
        "internal",
        "upgrade-required",
    }
    assert set(KINDS) - ours <= not_on_the_page, "a kind without a title in english.js"
    assert {f"{kind}_detail" for kind in ours} <= set(texts_of("english"))


def test_files_of_the_first_page_load_are_small() -> None:
    """Before gzip; the test in the browser measures the transfer."""
    # Only the reader's language is loaded, by a dynamic import.
    wanted, seen = ["page.js", "page.css", "answer.css", "index.html", "icon.svg", "english.js"], set[str]()
    while wanted:
        if (name := wanted.pop()) not in seen:
            seen.add(name)
            wanted += re.findall(r'^import (?:.* from )?"\./([\w.-]+)";', (WEB / name).read_text("utf-8"), re.MULTILINE)
    assert {"i18n.js", "timeline-strip.js"} <= seen and not any("vendor" in name for name in seen)
    assert seen.isdisjoint({"chinese.js", "batch.js", "microphone.js", "model-details.js", "markdown.js"})
    assert sum((WEB / name).stat().st_size for name in seen) < 100_000


def test_web_folder_is_part_of_the_package() -> None:
    toml = (PROJECT / "pyproject.toml").read_text("utf-8")
    assert '"serve/web/**/*"' in toml
