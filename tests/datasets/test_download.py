"""Archives from a server of our own on 127.0.0.1 that breaks off, lies, and serves ranges; no other address."""

from __future__ import annotations

import hashlib
import io
import random
import shutil
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from genrelab.core.errors import DownloadError, SettingsError
from genrelab.datasets import download as module
from genrelab.datasets.download import CATALOGUE, FMA_URL, download
from genrelab.datasets.unpack import MARKER_FILE, Archive
from tests.support.command import call

CLIPS = {f"fma_small/000/{n:06d}.mp3": random.Random(n).randbytes(20_000 + n) for n in (2, 5, 10, 140, 141)} | {
    "fma_small/README.txt": b"eight genres\n"
}


@dataclass
class Answer:
    """How the server treats one request."""

    status: int = 0  # 0: the right one
    breaks_after: int | None = None  # bytes of the body, then the connection is closed
    body: bytes | None = None  # sent instead of the truth
    length: int | None = None  # stated instead of the true one


@dataclass
class Site:
    """What the server serves, how it misbehaves, and what it was asked."""

    body: bytes
    ranges: bool = True
    answers: list[Answer] = field(default_factory=list)  # for the first requests; then all is well
    shift: int = 0  # ranges begin so many bytes too late
    asked: list[str | None] = field(default_factory=list)  # the Range header of each request
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    server: Any

    def do_GET(self) -> None:
        site: Site = self.server.site
        asked = self.headers.get("Range")
        site.asked.append(asked)
        answer = site.answers.pop(0) if site.answers else Answer()
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and site.ranges else 0
        whole = site.body if answer.body is None else answer.body
        if self.path != "/fma_small.zip":
            answer.status = 404
        status = answer.status or (416 if start >= len(whole) else 206 if start else 200)
        body = whole[start + site.shift if start else 0 :] if status in (200, 206) else b""
        self.send_response(status)
        if status == 206:
            first = start + site.shift
            self.send_header("Content-Range", f"bytes {first}-{len(whole) - 1}/{len(whole)}")
        self.send_header("Content-Length", str(len(body) if answer.length is None else answer.length))
        self.end_headers()
        self.wfile.write(body[: answer.breaks_after])

    def log_message(self, *args: Any) -> None:
        """Silence."""


def zipped(members: dict[str, bytes]) -> bytes:
    """A zip file with bzip2 members, as FMA's are."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_BZIP2) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_BZIP2)
    return buffer.getvalue()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(module, "PACKET", 1_000)  # breaks fall between packets: figures below are exact
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.site = Site(zipped(CLIPS), url=f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.site
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(site: Site, out: Path, *, sha1: str | None = None, size: int = 0, **options: Any) -> Path:
    """Download from the site what its catalogue calls fma-small."""
    unpacked = sum(map(len, CLIPS.values()))
    archive = Archive("fma_small", sha1 or hashlib.sha1(site.body).hexdigest(), size or len(site.body), unpacked)
    return download("fma-small", out, mirror=site.url, catalogue={"fma-small": archive}, backoff_s=0.0, **options)


def unpacked_files(out: Path) -> dict[str, bytes]:
    files = [p for p in out.rglob("*") if p.is_file() and p.name != MARKER_FILE]
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in files}


def test_archive_is_downloaded_checked_and_unpacked(site: Site, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    folder = fetch(site, tmp_path / "data", progress=lambda *step: seen.append(step))
    assert folder == tmp_path / "data" / "fma_small"
    assert unpacked_files(tmp_path / "data") == CLIPS  # and neither the zip nor a temporary file
    assert site.asked == [None]
    last = {stage: (done, total) for stage, done, total in seen}
    n, contents = len(site.body), sum(map(len, CLIPS.values()))
    assert last == {"download": (n, n), "check": (n, n), "unpack": (contents, contents)}


def test_finished_download_is_repeated_only_if_a_file_is_missing(site: Site, tmp_path: Path) -> None:
    fetch(site, tmp_path)
    fetch(site, tmp_path)
    assert len(site.asked) == 1
    (tmp_path / "fma_small/000/000005.mp3").unlink()
    fetch(site, tmp_path)
    assert len(site.asked) == 2
    assert unpacked_files(tmp_path) == CLIPS


def test_keep_archive_leaves_the_zip_file(site: Site, tmp_path: Path) -> None:
    fetch(site, tmp_path, keep_archive=True)
    assert (tmp_path / "fma_small.zip").read_bytes() == site.body


def test_archive_that_is_already_there_is_used(site: Site, tmp_path: Path) -> None:
    (tmp_path / "fma_small.zip").write_bytes(site.body)
    fetch(site, tmp_path)
    assert site.asked == []
    assert unpacked_files(tmp_path) == CLIPS


def test_damaged_archive_on_disk_is_renamed_and_downloaded_again(site: Site, tmp_path: Path) -> None:
    damaged = site.body[:-1] + b"?"
    (tmp_path / "fma_small.zip").write_bytes(damaged)
    sentences: list[str] = []
    fetch(site, tmp_path, notify=sentences.append)
    (sentence,) = sentences
    assert hashlib.sha1(damaged).hexdigest() in sentence
    assert sentence.endswith("renamed to fma_small.zip.bad; downloading it again")
    assert (tmp_path / "fma_small.zip.bad").read_bytes() == damaged
    assert site.asked == [None]
    (tmp_path / "fma_small.zip.bad").unlink()
    assert unpacked_files(tmp_path) == CLIPS


def test_archive_in_another_place_is_used_and_stays(site: Site, tmp_path: Path) -> None:
    copied = tmp_path / "Downloads" / "fma_small (1).zip"
    copied.parent.mkdir()
    copied.write_bytes(site.body)
    folder = fetch(site, tmp_path / "data", archive_file=copied)
    assert folder == tmp_path / "data" / "fma_small"
    assert unpacked_files(tmp_path / "data") == CLIPS
    assert (site.asked, copied.read_bytes()) == ([], site.body)


def test_archive_in_another_place_that_is_wrong_is_refused_and_left_alone(site: Site, tmp_path: Path) -> None:
    copied = tmp_path / "copied.zip"
    copied.write_bytes(site.body[:-1])
    with pytest.raises(DownloadError, match=r"copied\.zip .* its SHA-1 is .*; copy it again, or leave out --archive"):
        fetch(site, tmp_path / "data", archive_file=copied)
    assert copied.read_bytes() == site.body[:-1]
    with pytest.raises(DownloadError, match=r"nowhere\.zip: No such file"):
        fetch(site, tmp_path / "data", archive_file=tmp_path / "nowhere.zip")
    assert site.asked == []


@pytest.mark.parametrize("slash", ["", "/", "//"])
def test_mirror_may_end_with_a_slash(site: Site, tmp_path: Path, slash: str) -> None:
    site.url += slash
    fetch(site, tmp_path)
    assert unpacked_files(tmp_path) == CLIPS


def test_mirror_is_the_option_else_the_variable_else_the_publisher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GENRELAB_MIRROR", raising=False)
    assert module.mirror_url(FMA_URL) == FMA_URL
    monkeypatch.setenv("GENRELAB_MIRROR", "https://mirror.example.org/fma/")
    assert module.mirror_url(FMA_URL) == "https://mirror.example.org/fma"
    assert module.mirror_url(FMA_URL, "http://near/") == "http://near"
    monkeypatch.setenv("GENRELAB_MIRROR", "")
    assert module.mirror_url(FMA_URL) == FMA_URL


@pytest.mark.parametrize("mirror", ["/mnt/fma", "ftp://old.example.org", "mirror.example.org", " "])
def test_mirror_that_is_no_http_address_is_refused(tmp_path: Path, mirror: str) -> None:
    with pytest.raises(SettingsError, match="the mirror must be an http or https address, such as https://os"):
        download("fma-small", tmp_path, mirror=mirror)


def test_variable_is_followed_by_the_command(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sha1 = hashlib.sha1(site.body).hexdigest()
    monkeypatch.setitem(CATALOGUE, "fma-small", Archive("fma_small", sha1, len(site.body), 1))  # type: ignore[arg-type]
    monkeypatch.setenv("GENRELAB_MIRROR", f"{site.url}/")
    status, out, err = call("download", "fma-small", "--out", tmp_path / "a")
    assert (status, out.strip()) == (0, str(tmp_path / "a" / "fma_small")), err
    assert unpacked_files(tmp_path / "a") == CLIPS
    monkeypatch.setenv("GENRELAB_MIRROR", "http://127.0.0.1:9")
    assert call("download", "fma-small", "--out", tmp_path / "b", "--mirror", site.url)[0] == 0
    assert unpacked_files(tmp_path / "b") == CLIPS
    (tmp_path / "fma.zip").write_bytes(site.body)
    assert call("download", "fma-small", "--out", tmp_path / "c", "--archive", tmp_path / "fma.zip")[0] == 0
    assert unpacked_files(tmp_path / "c") == CLIPS


def test_interrupted_download_resumes_by_ranges(site: Site, tmp_path: Path) -> None:
    site.answers = [Answer(breaks_after=30_000), Answer(breaks_after=0), Answer(breaks_after=10_000)]
    fetch(site, tmp_path)
    assert site.asked == [None, "bytes=30000-", "bytes=30000-", "bytes=40000-"]
    assert unpacked_files(tmp_path) == CLIPS


def test_interrupted_download_without_ranges_starts_over(site: Site, tmp_path: Path) -> None:
    site.ranges = False
    site.answers = [Answer(breaks_after=30_000)]
    fetch(site, tmp_path)
    assert site.asked == [None, "bytes=30000-"]
    assert unpacked_files(tmp_path) == CLIPS


def test_later_run_resumes_the_download(site: Site, tmp_path: Path) -> None:
    site.answers = [Answer(breaks_after=50_000)] + [Answer(status=503)] * 5
    with pytest.raises(DownloadError, match=r"503 .*50,000 bytes are kept: run the same command to continue"):
        fetch(site, tmp_path)
    assert (tmp_path / "fma_small.zip.part").stat().st_size == 50_000
    site.asked.clear()
    fetch(site, tmp_path)
    assert site.asked == ["bytes=50000-"]
    assert unpacked_files(tmp_path) == CLIPS


def test_complete_part_file_is_only_checked(site: Site, tmp_path: Path) -> None:
    (tmp_path / "fma_small.zip.part").write_bytes(site.body)
    fetch(site, tmp_path)
    assert site.asked == [f"bytes={len(site.body)}-"]
    assert unpacked_files(tmp_path) == CLIPS


def test_retries_are_bounded(site: Site, tmp_path: Path) -> None:
    # Without ranges every try brings the same first bytes: that is no progress.
    site.ranges = False
    site.answers = [Answer(breaks_after=1_000)] * 50
    with pytest.raises(DownloadError, match=r"5 times in a row\. 1,000 bytes are kept"):
        fetch(site, tmp_path)
    assert len(site.asked) == 6  # the one that brought bytes, and five that brought no more


def test_retries_are_reported_and_wait_longer_each_time(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(module.time, "sleep", waits.append)
    site.answers = [Answer(status=500)] * 4
    seen: list[tuple[str, int, int]] = []
    archive = Archive("fma_small", hashlib.sha1(site.body).hexdigest(), len(site.body), 1)
    download(
        "fma-small",
        tmp_path,
        mirror=site.url,
        catalogue={"fma-small": archive},
        progress=lambda *step: seen.append(step),
    )
    assert waits == [1.0, 2.0, 4.0, 8.0]
    assert [step for step in seen if step[0] == "retry"] == [("retry", n, 5) for n in (1, 2, 3, 4)]


def test_too_long_content_length_is_retried(site: Site, tmp_path: Path) -> None:
    site.answers = [Answer(length=len(site.body) + 1_000)]
    fetch(site, tmp_path)  # looks like one that broke off; the last packet is asked for again
    assert site.asked == [None, f"bytes={len(site.body) // 1_000}000-"]
    assert unpacked_files(tmp_path) == CLIPS


def test_too_short_content_length_fails_the_checksum(site: Site, tmp_path: Path) -> None:
    site.answers = [Answer(length=1_000)]
    with pytest.raises(DownloadError, match=r"\(1,000 bytes\) is not the published archive: its SHA-1 is"):
        fetch(site, tmp_path)
    fetch(site, tmp_path)
    assert site.asked == [None, None]


def test_wrong_checksum_is_reported_and_the_next_run_starts_over(site: Site, tmp_path: Path) -> None:
    lie = b"x" * len(site.body)
    site.answers = [Answer(body=lie)]
    with pytest.raises(DownloadError) as caught:
        fetch(site, tmp_path)
    truth = hashlib.sha1(site.body).hexdigest()
    assert hashlib.sha1(lie).hexdigest() in str(caught.value)
    assert truth in str(caught.value)
    assert "run the same command to download it again" in str(caught.value)
    assert not (tmp_path / "fma_small").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["fma_small.zip.bad"]
    fetch(site, tmp_path)
    assert site.asked == [None, None]


def test_wrong_range_is_discarded_and_the_download_starts_over(site: Site, tmp_path: Path) -> None:
    site.answers = [Answer(breaks_after=30_000)]
    site.shift = 7
    fetch(site, tmp_path)
    assert site.asked == [None, "bytes=30000-", None]  # discarded, and started again
    assert unpacked_files(tmp_path) == CLIPS


def test_not_found_is_not_retried(site: Site, tmp_path: Path) -> None:
    site.answers = [Answer(status=404)]
    with pytest.raises(DownloadError, match=r"fma_small\.zip: the server answers 404 Not Found"):
        fetch(site, tmp_path)
    assert len(site.asked) == 1


def test_refused_connection_fails_after_five_tries(site: Site, tmp_path: Path) -> None:
    closed = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    port = closed.server_address[1]
    closed.server_close()
    site.url = f"http://127.0.0.1:{port}"
    with pytest.raises(DownloadError, match=r"5 times in a row\. 0 bytes are kept"):
        fetch(site, tmp_path)


def test_too_little_disk_space_is_reported_before_any_request(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"^fma-small needs 9[0-9,.]+ GiB, and .* free: free some space"):
        fetch(site, tmp_path, size=900_000 << 30)
    assert site.asked == []


def test_bytes_already_downloaded_need_no_disk_space(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage(NamedTuple):
        free: int

    unpacked = sum(map(len, CLIPS.values()))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(unpacked + 100))
    with pytest.raises(DownloadError, match="needs"):
        fetch(site, tmp_path)
    (tmp_path / "fma_small.zip.part").write_bytes(site.body[:-100])
    fetch(site, tmp_path)
    assert unpacked_files(tmp_path) == CLIPS


def test_unpacking_resumes_where_it_stopped(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, opened = zipfile.ZipFile.open, []

    def stops_at_third(self: zipfile.ZipFile, name: Any, *rest: Any, **options: Any) -> Any:
        opened.append(name.filename)
        if len(opened) == 3:
            raise KeyboardInterrupt
        return real(self, name, *rest, **options)

    monkeypatch.setattr(zipfile.ZipFile, "open", stops_at_third)
    with pytest.raises(KeyboardInterrupt):
        fetch(site, tmp_path)
    # One file is cut by hand, as a crash of the machine would cut it.
    (tmp_path / opened[0]).write_bytes(b"cut")
    fetch(site, tmp_path)
    assert len(site.asked) == 1
    assert sorted(opened[3:]) == sorted({*CLIPS} - {opened[1]})
    assert unpacked_files(tmp_path) == CLIPS


@pytest.mark.parametrize("name", ["../evil.mp3", "fma_small/../../evil.mp3", "/evil.mp3", "other/evil.mp3", "evil"])
def test_members_that_would_land_outside_are_refused(site: Site, tmp_path: Path, name: str) -> None:
    site.body = zipped({"fma_small/000/000002.mp3": b"sound", name: b"evil"})
    with pytest.raises(DownloadError, match="would be written outside of fma_small/"):
        fetch(site, tmp_path / "data")
    assert [p for p in tmp_path.rglob("*") if p.suffix == ".mp3"] == []


def test_links_are_refused(site: Site, tmp_path: Path) -> None:
    link = zipfile.ZipInfo("fma_small/link")
    link.external_attr = 0o120777 << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(link, "/etc")
    site.body = buffer.getvalue()
    with pytest.raises(DownloadError, match="not unpacked"):
        fetch(site, tmp_path)


def test_file_that_is_no_zip_archive_is_refused(site: Site, tmp_path: Path) -> None:
    site.body = b"this is no archive"
    with pytest.raises(DownloadError, match=r"fma_small\.zip is damaged: delete it, and download it again"):
        fetch(site, tmp_path)


def test_output_folder_below_a_file_is_refused(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadError, match="file"):
        fetch(site, tmp_path / "file" / "data")


def test_an_unknown_name_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    known = "fma-metadata, fma-small, fma-medium, fma-large, fma-full"
    with pytest.raises(SettingsError, match=f"unknown download 'fma': use one of {known}"):
        download("fma", tmp_path)


def test_the_catalogue_is_the_published_one() -> None:
    assert FMA_URL == "https://os.unil.cloud.switch.ch/fma"
    assert {name: (a.folder, a.sha1) for name, a in CATALOGUE.items()} == {
        "fma-metadata": ("fma_metadata", "f0df49ffe5f2a6008d7dc83c6915b31835dfe733"),
        "fma-small": ("fma_small", "ade154f733639d52e35e32f5593efe5be76c6d70"),
        "fma-medium": ("fma_medium", "c67b69ea232021025fca9231fc1c7c1a063ab50b"),
        "fma-large": ("fma_large", "497109f4dd721066b5ce5e5f250ec604dc78939e"),
        "fma-full": ("fma_full", "0f0ace23fbe9ba30ecb7e95f763e435ea802b8ab"),
    }
    assert all(a.unpacked >= a.size for a in CATALOGUE.values())
