from __future__ import annotations

import asyncio
import itertools
import json
import logging
import random
import threading
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")
from starlette.requests import Request

from genrelab.serve.http.body import BodyReader, ClientDisconnected
from genrelab.serve.http.uploads import Uploads
from genrelab.serve.limits import Limits
from genrelab.serve.problems import Problem
from tests.support import virtual_clock
from tests.support.fake_workers import Exchange, service
from tests.support.guards import HANG_S

FORM = [("content-type", "multipart/form-data; boundary=b")]
SMALL = Limits(upload_bytes=1000, batch_bytes=3000, batch_files=3, uploads=4)
END = b"--b--\r\n"


def part(content: bytes = b"sound", name: str | None = "a.mp3", *, headers: bytes = b"", field: str = "f") -> bytes:
    filename = "" if name is None else f'; filename="{name}"'
    head = f'--b\r\nContent-Disposition: form-data; name="{field}"{filename}\r\n'.encode()
    return head + headers + b"\r\n" + content + b"\r\n"


def ask(
    folder: Path, pieces: Any, headers: Any = (), *, limits: Limits = SMALL, path: str = "/v1/predict", **more: Any
) -> tuple[Exchange, Any]:
    """One request and the application that it went to; afterwards no file is left."""
    app = service(folder, limits)
    pieces = [pieces] if isinstance(pieces, bytes) else pieces
    exchange = Exchange(app, "POST", path, headers=headers, pieces=pieces, **more)
    virtual_clock.run(exchange.run())
    assert list(folder.iterdir()) == []
    assert app.state.draining.in_flight == 0
    return exchange, app.state.worker_queue


def request(exchange: Exchange) -> Request:
    return Request(exchange._scope, exchange._receive)


def status_and_kind(exchange: Exchange) -> tuple[int, str]:
    about = json.loads(exchange.body)
    assert exchange.status == about["status"]
    return exchange.status, about["type"].rpartition(":")[2]


def pieces_every(seconds: float, piece: bytes, n: int) -> list[bytes | float]:
    """A body whose pieces come at these intervals."""
    return [p for _ in range(n - 1) for p in (piece, seconds)] + [piece]


def in_pieces(body: bytes, sizes: Any) -> list[bytes]:
    pieces, at = [], 0
    while at < len(body):
        size = next(sizes)
        pieces.append(body[at : at + size])
        at += size
    return pieces


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10_000])
def test_form_content_does_not_depend_on_the_chunk_size(tmp_path: Path, size: int) -> None:
    content = b"\r\n--bb\r--\r\n-" + bytes(range(256)) + b"\r\n--"
    body = part(content) + END
    exchange, worker_queue = ask(tmp_path, in_pieces(body, itertools.repeat(size)), FORM)
    assert (exchange.status, worker_queue.contents) == (200, [content])


def test_batch_content_does_not_depend_on_the_chunk_size(tmp_path: Path) -> None:
    rng = random.Random(0)
    for _ in range(20):
        contents = [rng.randbytes(rng.randrange(300)) for _ in range(3)]
        body = b"".join(part(c, f"{i}") for i, c in enumerate(contents)) + END
        pieces = in_pieces(body, iter(lambda: rng.randrange(1, 200), None))
        exchange, worker_queue = ask(tmp_path, pieces, FORM, path="/v1/predict/batch")
        assert worker_queue.contents == contents
        assert [a["path"] for a in json.loads(exchange.body)] == ["0", "1", "2"]


def test_a_large_file_is_written_as_it_comes(tmp_path: Path) -> None:
    content = random.Random(0).randbytes(3 << 20)
    limits = Limits()
    for body, headers in ((content, ()), (part(content) + END, FORM)):
        exchange, worker_queue = ask(tmp_path, in_pieces(body, itertools.repeat(65_536)), headers, limits=limits)
        assert exchange.status == 200
        assert worker_queue.contents == [content]


@pytest.mark.parametrize(
    ("filename", "said"),
    [
        ("../../../etc/passwd", "../../../etc/passwd"),
        ("/etc/passwd", "/etc/passwd"),
        ("a\\\\b.mp3", "a\\b.mp3"),
        ('x\\"y.mp3', 'x"y.mp3'),
        ("Größe \u2013 \U0001f3b5.mp3", "Größe \u2013 \U0001f3b5.mp3"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("nul\x00.mp3", "nul\x00.mp3"),
        ("x" * 3000, "x" * 1000),
        ("a; name=b", "a; name=b"),
        ("a%22b%0D%0Ac%25%0a.mp3", 'a"b\r\nc%25%0a.mp3'),  # as browsers write what would end it
    ],
)
def test_file_name_is_returned_but_never_used_as_a_path(tmp_path: Path, filename: str, said: str) -> None:
    exchange, worker_queue = ask(tmp_path, part(name=filename) + END, FORM)
    assert json.loads(exchange.body)["path"] == said
    assert worker_queue.orders[0].path.parent == tmp_path
    assert worker_queue.orders[0].path.name.isdigit()


def test_latin_1_file_name_is_decoded(tmp_path: Path) -> None:
    body = part(name="PLACE").replace(b"PLACE", b"caf\xe9.mp3") + END
    assert json.loads(ask(tmp_path, body, FORM)[0].body)["path"] == "café.mp3"


def test_empty_unnamed_file_part_is_ignored(tmp_path: Path) -> None:
    exchange, worker_queue = ask(tmp_path, part(b"", "") + part() + END, FORM)
    assert (exchange.status, worker_queue.contents) == (200, [b"sound"])
    assert status_and_kind(ask(tmp_path, part(b"", "") + END, FORM)[0]) == (400, "bad-request")
    exchange, worker_queue = ask(
        tmp_path, part(b"sound", "") + END, FORM
    )  # content without a name is a file all the same
    assert (exchange.status, worker_queue.contents) == (200, [b"sound"])


def test_empty_file_of_a_batch_reaches_the_worker_queue(tmp_path: Path) -> None:
    exchange, worker_queue = ask(tmp_path, part(b"") + part(b"x") + END, FORM, path="/v1/predict/batch")
    assert (exchange.status, worker_queue.contents) == (200, [b"", b"x"])


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "multipart/form-data; boundary=b"),
        (b"sound", "multipart/form-data; boundary=b"),
        (part(), "multipart/form-data; boundary=b"),  # cut off
        (part()[:30], "multipart/form-data; boundary=b"),
        (END, "multipart/form-data; boundary=b"),
        (part() + END, "multipart/form-data"),
        (part() + END, "multipart/form-data; boundary="),
        (part() + END, "multipart/form-data; boundary=" + "b" * 300),
        (part() + END, "multipart/form-data; boundary=other"),
        (b"--b\r\n\r\nsound\r\n" + END, "multipart/form-data; boundary=b"),
        (
            b"--b\r\nContent-Disposition: attachment; filename=a\r\n\r\nsound\r\n" + END,
            "multipart/form-data; boundary=b",
        ),
        (b"--b\r\nContent-\x00: x\r\n\r\nsound\r\n" + END, "multipart/form-data; boundary=b"),
        (part(headers=b"X: " + b"a" * 10_000 + b"\r\n") + END, "multipart/form-data; boundary=b"),
        (part(headers=b"".join(b"X%d: a\r\n" % i for i in range(30))) + END, "multipart/form-data; boundary=b"),
        (part(headers=b"Content-Transfer-Encoding: base64\r\n") + END, "multipart/form-data; boundary=b"),
        (part() + part() + END, "multipart/form-data; boundary=b"),  # two files
        (part(b"", "") * 9 + part() + END, "multipart/form-data; boundary=b"),
        (part(b"\r\n--bX" * 50) + END, "multipart/form-data; boundary=b"),  # keeps the parser busy
        (b"", "audio/wav"),
    ],
)
def test_malformed_body_is_a_bad_request(tmp_path: Path, body: bytes, content_type: str) -> None:
    exchange, worker_queue = ask(tmp_path, body, [("content-type", content_type)])
    assert status_and_kind(exchange) == (400, "bad-request")
    assert worker_queue.orders == []


def test_batch_must_be_multipart(tmp_path: Path) -> None:
    assert status_and_kind(ask(tmp_path, b"sound", path="/v1/predict/batch")[0]) == (400, "bad-request")


def test_content_encoding_is_refused(tmp_path: Path) -> None:
    assert status_and_kind(ask(tmp_path, b"\x1f\x8b", [("content-encoding", "gzip")])[0]) == (400, "bad-request")
    assert ask(tmp_path, b"sound", [("content-encoding", "identity")])[0].status == 200


def test_options_as_form_fields_are_refused(tmp_path: Path) -> None:
    exchange, _ = ask(tmp_path, part(b"3", None, field="top") + part() + END, FORM)
    assert status_and_kind(exchange) == (422, "bad-parameter")
    assert "'top'" in json.loads(exchange.body)["detail"]


def test_too_large_content_length_is_refused(tmp_path: Path) -> None:
    exchange, _ = ask(tmp_path, b"x" * 1001, [("content-length", "1001")])
    assert status_and_kind(exchange) == (413, "too-large")
    assert json.loads(exchange.body)["limit"] == 1000


@pytest.mark.parametrize("length", [[], [("content-length", "10")], [("content-length", "nonsense")]])
def test_too_large_body_is_refused_whatever_its_content_length(tmp_path: Path, length: Any) -> None:
    assert status_and_kind(ask(tmp_path, [b"x" * 600, b"x" * 600], length)[0]) == (413, "too-large")
    assert status_and_kind(ask(tmp_path, part(b"x" * 1001) + END, [*FORM, *length])[0]) == (413, "too-large")


def test_batch_over_its_limits_is_refused(tmp_path: Path) -> None:
    path = "/v1/predict/batch"
    assert ask(tmp_path, part(b"x" * 1000) * 3 + END, FORM, path=path)[0].status == 200
    assert status_and_kind(ask(tmp_path, part() * 4 + END, FORM, path=path)[0]) == (413, "too-large")
    assert status_and_kind(ask(tmp_path, part(b"x" * 1001) + END, FORM, path=path)[0]) == (413, "too-large")
    limits = Limits(batch_bytes=3000, batch_files=300)
    body = part(b"x" * 1_000_000) * 10 + END
    assert status_and_kind(ask(tmp_path, body, FORM, path=path, limits=limits)[0]) == (413, "too-large")


def test_endless_body_is_refused(tmp_path: Path) -> None:
    pieces = itertools.repeat(b"x" * 500, 10_000)
    exchange, _ = ask(tmp_path, pieces, [("transfer-encoding", "chunked")])
    assert status_and_kind(exchange) == (413, "too-large")


def test_too_long_pause_in_a_body_is_refused(tmp_path: Path) -> None:
    chunked = [("transfer-encoding", "chunked")]
    assert ask(tmp_path, [b"x", SMALL.idle_s - 0.1, b"x"], chunked)[0].status == 200
    exchange, _ = ask(tmp_path, [b"x", SMALL.idle_s + 0.1, b"x"], chunked)
    assert status_and_kind(exchange) == (408, "too-slow")
    assert exchange.headers["connection"] == "close"


def test_upload_over_its_time_limit_is_refused(tmp_path: Path) -> None:
    chunked = [("transfer-encoding", "chunked")]
    exchange, _ = ask(tmp_path, pieces_every(7.0, b"x" * 70_000, 100), chunked, limits=Limits(upload_s=60.0))
    assert status_and_kind(exchange) == (408, "too-slow")
    assert exchange.received == 9  # the last one after 56 s
    assert ask(tmp_path, pieces_every(7.0, b"x" * 70_000, 9), chunked, limits=Limits(upload_s=60.0))[0].status == 200


def test_disconnect_leaves_no_files(tmp_path: Path) -> None:
    limits = Limits()
    for pieces in ([b"x" * 300_000, None], [part(b"x" * 300_000), None]):
        headers = FORM if len(pieces[0] or b"") > 300_000 else ()
        exchange, worker_queue = ask(tmp_path, pieces, headers, limits=limits, unfinished=True)
        assert (exchange.status, worker_queue.orders) == (499, [])


def test_upload_is_refused_when_all_places_are_taken(tmp_path: Path) -> None:
    async def scenario() -> list[Exchange]:
        app = service(tmp_path, SMALL)  # a batch takes 2 of 4 places, a file one
        app.state.worker_queue.gate.clear()
        batch = Exchange(app, "POST", "/v1/predict/batch", headers=FORM, pieces=[part() + END])
        files = [Exchange(app, "POST", "/v1/predict", pieces=[b"sound"]) for _ in range(2)]
        running = [asyncio.create_task(x.run()) for x in (batch, *files)]
        await virtual_clock.idle()
        assert len(app.state.worker_queue.orders) == 3
        app.state.worker_queue.waiting = 50
        late = await Exchange(app, "POST", "/v1/predict", pieces=[b"sound"]).run()
        app.state.worker_queue.gate.set()
        await asyncio.gather(*running)
        again = await Exchange(app, "POST", "/v1/predict", pieces=[b"sound"]).run()
        return [batch, *files, late, again]

    exchanges = virtual_clock.run(scenario())
    assert [x.status for x in exchanges] == [200, 200, 200, 429, 200]
    assert int(exchanges[3].headers["retry-after"]) == 50


def test_batches_take_half_of_the_places(tmp_path: Path) -> None:
    async def scenario() -> None:
        app = service(tmp_path, SMALL)
        app.state.worker_queue.gate.clear()
        batch, late = (
            Exchange(app, "POST", "/v1/predict/batch", headers=FORM, pieces=[part() + END]) for _ in range(2)
        )
        running = asyncio.create_task(batch.run())
        await virtual_clock.idle()
        assert len(app.state.worker_queue.orders) == 1
        assert (await late.run()).status == 429
        app.state.worker_queue.gate.set()
        assert (await Exchange(app, "POST", "/v1/predict", pieces=[b"sound"]).run()).status == 200
        await running

    virtual_clock.run(scenario())


def test_body_below_the_minimum_rate_is_refused(tmp_path: Path) -> None:
    pieces = pieces_every(1.0, b"x" * 400, 20)
    exchange, _ = ask(tmp_path, pieces, limits=Limits(idle_s=10.0, body_bytes_s=1000))
    assert status_and_kind(exchange) == (408, "too-slow")
    assert exchange.received == 12  # the last one after 11 s
    assert "1,000 bytes a second" in json.loads(exchange.body)["detail"]
    assert ask(tmp_path, pieces, limits=Limits(idle_s=10.0, body_bytes_s=400))[0].status == 200


def test_batch_larger_than_all_places_is_accepted_if_it_is_alone(tmp_path: Path) -> None:
    limits = Limits(upload_bytes=1000, batch_bytes=100_000, uploads=2)
    assert ask(tmp_path, part() + END, FORM, path="/v1/predict/batch", limits=limits)[0].status == 200


def test_upload_that_cannot_be_stored_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> Exchange:
        app = service(tmp_path / "not there", SMALL)
        return await Exchange(app, "POST", "/v1/predict", pieces=[b"sound"]).run()

    exchange = asyncio.run(scenario())
    assert status_and_kind(exchange) == (503, "not-ready")
    assert str(tmp_path) not in exchange.body.decode()
    assert "cannot write an upload" in caplog.text


def test_bad_requests_are_not_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    ask(tmp_path, b"nonsense", FORM)
    assert [r for r in caplog.records if r.levelno >= logging.INFO] == []


@pytest.mark.parametrize("removed_first", [True, False])
def test_upload_cancelled_while_a_thread_writes_leaves_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, removed_first: bool
) -> None:
    reached, let_go, removed, write = threading.Event(), threading.Event(), threading.Event(), BodyReader._write
    remove = BodyReader._remove

    def held_write(reader: BodyReader, data: bytes, last: bool) -> None:
        if not removed_first:
            write(reader, data, last)
        reached.set()
        assert let_go.wait(HANG_S)
        if removed_first:
            write(reader, data, last)

    def observed_remove(reader: BodyReader) -> None:
        remove(reader)
        removed.set()

    monkeypatch.setattr(BodyReader, "_write", held_write)
    monkeypatch.setattr(BodyReader, "_remove", observed_remove)

    async def scenario() -> None:
        received = Uploads(Limits(), tmp_path)
        exchange = Exchange(None, "POST", "/", pieces=[b"x" * 300_000] * 5, unfinished=True)

        async def read() -> None:
            async with received.received(request(exchange), batch=False):
                raise AssertionError("it never ends")

        reading = asyncio.create_task(read())
        assert await asyncio.to_thread(reached.wait, HANG_S)
        reading.cancel()
        await asyncio.wait([reading])
        if not removed_first:
            assert removed.is_set()
        let_go.set()
        assert received.slots_in_use == 0

    asyncio.run(scenario())  # its end waits for the threads
    assert list(tmp_path.iterdir()) == []


def test_files_exist_only_inside_the_context(tmp_path: Path) -> None:
    async def scenario() -> None:
        kept = Uploads(SMALL, tmp_path)
        sound = Exchange(None, "POST", "/", pieces=[b"sound"])
        with pytest.raises(ZeroDivisionError):
            async with kept.received(request(sound), batch=False) as files:
                assert [(f.name, f.size, f.path.read_bytes()) for f in files] == [("", 5, b"sound")]
                assert kept.slots_in_use == 1
                raise ZeroDivisionError
        gone = Exchange(None, "POST", "/", pieces=[None])
        with pytest.raises(ClientDisconnected):
            async with kept.received(request(gone), batch=False):
                pass
        with pytest.raises(Problem):
            large = Exchange(None, "POST", "/", headers=[("content-length", "99999")])
            async with kept.received(request(large), batch=False):
                pass
        assert (kept.slots_in_use, list(tmp_path.iterdir())) == (0, [])

    asyncio.run(scenario())
