"""A thousand hostile uploads to a real service: no answer is 5xx, none hangs, nothing is left, and it stays live."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import re
import select
import socket
import subprocess
import sys
import threading
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from genrelab.core.config import ClipSettings, StatisticsView
from tests.support.bundles import bundle_for
from tests.support.containers import MADE, make
from tests.support.guards import HANG_S, killed_if_it_hangs, wait_until
from tests.support.live_service import FLOODS, health_seconds, health_seconds_under_flood

UPLOADS = 1_000
MOST_BYTES = 2_000_000
FLOODED_S = 0.5
"""Of its processor's time, that a look at its health may wait while it is flooded by a few clients."""

START = """
import sys
from genrelab.serve import server
from genrelab.serve.limits import Limits
from genrelab.serve.settings import ServeSettings
limits = Limits(upload_bytes={most}, audio_s=600, classify_s=30, upload_s=6, idle_s=2, workers=2, queue=16, uploads=48)
settings = ServeSettings(models=sys.argv[1:], port=0, limits=limits)
server.serve(settings, lambda address, _: print(address, flush=True))
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc"),
]


class Service:
    """What is attacked."""

    def __init__(self, folder: Path) -> None:
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        clips = ClipSettings(clip_s=5.0, max_clips=6)
        model = bundle_for(folder / "b", StatisticsView(), clips, np.zeros((518, 3), np.float32)).path
        self.log = (folder / "log").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-c", START.format(most=MOST_BYTES), str(model)],
            stdout=subprocess.PIPE, stderr=self.log, text=True, env=os.environ | {"TMPDIR": str(self.temporary)},
        )  # fmt: skip
        assert self.process.stdout is not None
        with killed_if_it_hangs(self.process):
            self.port = int(self.process.stdout.readline().strip().rsplit(":", 1)[1])

    @property
    def kept(self) -> list[Path]:
        """What is on disk of uploads."""
        return [p for p in self.temporary.rglob("*") if p.is_file() and "models" not in p.parts]

    def cpu_s(self) -> float:
        """Seconds that it has computed; others that use the machine make them no more."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def send(self, content: bytes, length: int | None = None, name: bytes = b"a.mp3", path: str = "/v1/predict") -> int:
        """An upload with a plain head: the status."""
        head = f"POST {path}?top=3 HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nContent-Type: audio/mpeg\r\n"
        return self.raw(f"{head}Content-Length: {len(content) if length is None else length}\r\n\r\n".encode(), content)

    def form(self, body: bytes, boundary: bytes = b"edge", path: str = "/v1/predict") -> int:
        head = b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n" % (path.encode(), len(body))
        return self.raw(head + b"Content-Type: multipart/form-data; boundary=" + boundary + b"\r\n\r\n", body)

    def raw(self, *pieces: bytes, pause: float = 0.0, then: Callable[[socket.socket], None] | None = None) -> int:
        """The status that the pieces are answered with; 0 where the service only closes the connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=HANG_S) as connection:
            try:
                for piece in pieces:
                    connection.sendall(piece)
                    if pause and select.select([connection], [], [], pause)[0]:
                        break  # it is answered
                if then:
                    then(connection)
                return status_of(connection)
            except (ConnectionResetError, BrokenPipeError):
                try:
                    return status_of(connection)
                except OSError:
                    return 0


def status_of(connection: socket.socket) -> int:
    """Of the answer; a service that says nothing for too long is a TimeoutError."""
    said = b""
    while b"\r\n" not in said:
        more = connection.recv(4096)
        if not more:
            return 0
        said += more
    match = re.match(rb"HTTP/1\.1 (\d{3}) ", said)
    assert match, said
    return int(match[1])


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    made = Service(tmp_path_factory.mktemp("hostile"))
    yield made
    made.process.terminate()
    made.process.communicate(timeout=HANG_S)
    made.log.close()


# --- what is sent ---


def sound_files(folder: Path) -> list[bytes]:
    """One of each container that genrelab reads and writes tags of."""
    return [make(folder, container).read_bytes() for container in MADE]


def mutated(content: bytes, rng: random.Random) -> bytes:
    found = bytearray(content)
    kind = rng.randrange(6)
    if kind == 0:  # bits, most of them in the head
        for _ in range(rng.choice((1, 4, 32))):
            found[min(int(rng.expovariate(1 / 200)), len(found) - 1)] ^= 1 << rng.randrange(8)
    elif kind == 1:
        for _ in range(rng.choice((1, 50, 1000))):
            found[rng.randrange(len(found))] = rng.randrange(256)
    elif kind == 2:
        del found[rng.randrange(len(found)) :]
    elif kind == 3:  # numbers of 32 bits that claim much
        at = rng.randrange(0, min(len(found), 200) - 4)
        found[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0"))
    elif kind == 4:
        a, b = sorted(rng.sample(range(len(found)), 2))
        found[a:b] = found[a:b] * rng.choice((0, 2, 5))
    else:
        found = bytearray(rng.randbytes(rng.randrange(200))) + found[rng.randrange(len(found)) :]
    return bytes(found[:MOST_BYTES])


def long_silence(hours: float, *, says_so: bool) -> bytes:
    """FLAC at 8 kHz; where it does not say how long it is, as streams do not."""
    file, hour = io.BytesIO(), np.zeros(8_000 * 3600, np.int16)
    with soundfile.SoundFile(file, "w", 8_000, 1, format="FLAC") as flac:
        for _ in range(round(hours)):
            flac.write(hour)
    content = bytearray(file.getvalue())
    if not says_so:
        content[21] &= 0xF0
        content[22:26] = bytes(4)
    return bytes(content)


def bombs() -> list[bytes]:
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("song.mp3", bytes(100_000_000))
    y = np.zeros((8_000, 1), np.int16)
    wav = io.BytesIO()
    soundfile.write(wav, y, 8_000, format="WAV")
    giant = bytearray(wav.getvalue())
    giant[40:44] = b"\xff\xff\xff\xff"  # a data chunk of 4 GiB
    wide = bytearray(wav.getvalue())
    wide[22:24] = b"\xff\xff"  # 65,535 channels
    fast = bytearray(wav.getvalue())
    fast[24:28] = b"\xff\xff\xff\x7f"  # 2 GHz
    return [
        zipped.getvalue(),
        gzip.compress(bytes(50_000_000)),
        bytes(giant),
        bytes(wide),
        bytes(fast),
        b"",
        b"\0" * 1000,
    ]


NAMES = (
    b"../../../../etc/passwd", b"/etc/passwd", b"..\\..\\windows\\win.ini", b"a\0.mp3", b"con.mp3", b"%2e%2e%2f",
    b"x" * 30_000, "\u202egnp.mp3".encode(), b"\xff\xfe\xfd", b"$(touch /tmp/genrelab-was-here)", b"| id", b"<script>",
    b"a\r\nX-Evil: 1", b'a"; filename="b', b".", b"..", b"~root", b"", b"-rf",
)  # fmt: skip


def with_name(content: bytes, name: bytes) -> bytes:
    head = b'--edge\r\nContent-Disposition: form-data; name="f"; filename="' + name + b'"\r\n\r\n'
    return head + content + b"\r\n--edge--\r\n"


FORMS = (
    b"", b"--edge", b"--edge--\r\n", b"--wrong\r\n\r\nx\r\n--wrong--\r\n", b"\r\n" * 1000, b"--edge\r\n" * 5000,
    b"--edge\r\n" + b"X: y\r\n" * 20_000 + b"\r\nz\r\n--edge--\r\n", with_name(b"x", b"a") * 400,
    b"--edge\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n\r\n" + b"\r\n--edg" * 20_000,
)  # fmt: skip


def attacks(service: Service, sounds: list[bytes], rng: random.Random) -> list[tuple[str, Callable[[], int]]]:
    """(kind, upload) of all that is sent but mutated sounds, which fill up what is missing."""
    song = sounds[0]
    head = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\n"
    chunk = b"8000\r\n" + bytes(0x8000) + b"\r\n"
    made: list[tuple[str, Callable[[], int]]] = []

    def add(kind: str, times: int, upload: Callable[..., int], *args: object, **more: object) -> None:
        made.extend([(kind, lambda: upload(*args, **more))] * times)

    for bomb in bombs():
        add("bomb", 4, service.send, bomb)
        add("bomb", 1, service.form, with_name(bomb, b"a.mp3"), path="/v1/predict/batch")
    for says_so in (True, False):
        add("ten hours", 3, service.send, long_silence(10, says_so=says_so))
    for name in NAMES:
        add("name", 3, service.form, with_name(song, name))
        add("name", 1, service.form, with_name(song, name), path="/v1/predict/batch")
    for form in FORMS:
        add("form", 2, service.form, form)
        add("form", 1, service.form, form, path="/v1/predict/batch")
    add("boundary", 3, service.form, with_name(song, b"a"), boundary=b"x" * 5000)
    add("endless", 4, service.raw, head + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 400)
    add("large", 4, service.send, bytes(MOST_BYTES + 1))
    add("claims much", 4, service.send, b"abc", length=1 << 40)
    add("too short", 10, service.raw, head + b"Content-Length: 1000\r\n\r\nabc", then=lambda c: c.shutdown(1))
    add("waits", 10, service.raw, head + b"Content-Length: 1000\r\n\r\nabc")
    add("drips", 6, service.raw, head + b"Content-Length: 1000\r\n\r\n", *[b"a"] * 60, pause=0.2)
    add("slow head", 6, service.raw, b"POST /v1/predict HTTP/1.1\r\nHos")
    for lie in (b"-1", b"1e3", b"0x10", b"18446744073709551616", b"3\r\nContent-Length: 5", b""):
        add("length", 3, service.raw, head + b"Content-Length: " + lie + b"\r\n\r\nabc", then=lambda c: c.shutdown(1))
    both = head + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /v1/ready HTTP/1.1\r\n\r\n"
    add("both lengths", 3, service.raw, both, then=lambda c: c.shutdown(1))
    add("chunk", 3, service.raw, head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n")
    add(
        "chunk",
        3,
        service.raw,
        head + b"Transfer-Encoding: chunked\r\n\r\nffffffffffff\r\nabc",
        then=lambda c: c.shutdown(1),
    )
    add(
        "gone",
        20,
        service.raw,
        head + b"Content-Length: %d\r\n\r\n" % len(song) + song[:-1],
        then=lambda c: c.shutdown(2),
    )
    add("no HTTP", 5, service.raw, rng.randbytes(300), then=lambda c: c.shutdown(1))
    while len(made) < UPLOADS:
        add("mutated", 1, service.send, mutated(rng.choice(sounds), rng))
    rng.shuffle(made)
    return made


@pytest.mark.timing(
    reason="clients that drip and stall are cut off after seconds, while twelve others use all there is"
)
def test_service_survives_a_thousand_hostile_uploads(service: Service, tmp_path: Path) -> None:
    rng, sounds = random.Random(2020), sound_files(tmp_path)
    descriptors, stop, done, overtaken = service.descriptors(), threading.Event(), list[str](), list[int]()
    seen: Counter[tuple[str, int | str]] = Counter()

    def watch() -> None:
        while not stop.wait(0.1):
            before = len(done)
            health_seconds(service.port)  # which is an error where it is not answered
            overtaken.append(len(done) - before)

    def send(attack: tuple[str, Callable[[], int]]) -> None:
        kind, upload = attack
        try:
            seen[kind, upload()] += 1
        except OSError as e:
            seen[kind, type(e).__name__] += 1
        done.append(kind)

    watcher = threading.Thread(target=watch)
    uploads = attacks(service, sounds, rng)
    watcher.start()
    try:
        with ThreadPoolExecutor(12) as clients:
            list(clients.map(send, uploads))
    finally:
        stop.set()
        watcher.join()

    told = json.dumps({f"{kind} {status}": n for (kind, status), n in sorted(seen.items(), key=str)}, indent=1)
    print(told, max(overtaken))
    assert seen.total() == UPLOADS
    assert not [k for k in seen if isinstance(k[1], str)], told  # hangs, and connections that break without a word
    assert not [k for k in seen if isinstance(k[1], int) and k[1] >= 500], told
    assert 0 < max(overtaken) < UPLOADS // 10, "so many uploads came between a look at its health and the answer"
    assert_status_codes_of_each_attack(seen, told)
    wait_until(lambda: not service.kept, "the removal of all that was sent")
    wait_until(lambda: service.descriptors() <= descriptors + 4, "the end of all connections")
    assert service.send(sounds[0]) == 200
    service.log.seek(0)
    log = service.log.read()
    assert "Traceback" not in log
    assert not Path("/tmp/genrelab-was-here").exists()


def assert_status_codes_of_each_attack(seen: Counter[tuple[str, int | str]], told: str) -> None:
    """The reasons are the real ones, not one for all."""

    def statuses(kind: str) -> set[int | str]:
        return {status for k, status in seen if k == kind} - {429}

    assert statuses("mutated") >= {200, 415}, told
    assert statuses("ten hours") == {422}, told
    assert statuses("large") == {413} and statuses("claims much") == {413}, told
    assert statuses("endless") <= {413, 408, 0}, told
    assert statuses("waits") == {408}, told
    assert statuses("drips") <= {408, 0}, told
    assert statuses("name") <= {200, 400}, told


@pytest.mark.timing(reason="that others are served soon while it is flooded is a statement about time")
@pytest.mark.parametrize("flood", FLOODS)
def test_service_stays_responsive_while_flooded(service: Service, flood: Callable[[socket.socket, int], bytes]) -> None:
    looks = health_seconds_under_flood(service.port, flood, clients=4, seconds=3, clock=service.cpu_s)
    assert looks
    assert max(looks) < FLOODED_S, looks
