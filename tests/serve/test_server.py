"""The command `genrelab serve` as a process: its address, its signals, what it refuses to do."""

from __future__ import annotations

import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import soundfile

from genrelab.core.config import ClipSettings, StatisticsView
from tests.support.bundles import bundle_for, noise
from tests.support.command import call

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends signals")


class Service:
    """A running `genrelab serve`."""

    def __init__(self, *words: object, temporary: Path, **environment: str) -> None:
        command = [sys.executable, "-m", "genrelab", "serve", "--port", "0", "--workers", "1", *map(str, words)]
        env = os.environ | {"TMPDIR": str(temporary)} | environment
        self.temporary = temporary
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline()
        if not self.said:
            raise AssertionError(self.process.communicate()[1])
        address = urlsplit(next(w for w in self.said.split() if w.startswith("http://")))
        self.host, self.port = str(address.hostname), int(address.port or 0)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, dict[str, object]]:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Exit status, and what stood on standard error."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=20)
        return self.process.returncode, err


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    services: list[Service] = []
    temporary = tmp_path / "temporary"
    temporary.mkdir()

    def start(*words: object, **environment: str) -> Service:
        services.append(Service(*words, temporary=temporary, **environment))
        return services[-1]

    yield start
    for service in services:
        if service.process.poll() is None:
            service.process.kill()
            service.process.communicate()


def bundle(folder: Path, rock: float = 0.0) -> Path:
    clips = ClipSettings(clip_s=5.0, max_clips=6)
    zeros = np.zeros((518, 3), np.float32)
    return bundle_for(folder, StatisticsView(), clips, zeros, bias=(0.0, 0.0, rock)).path


def song(seconds: float = 30.0) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, noise(seconds, 22_050), 22_050, format="FLAC")
    return file.getvalue()


def test_service_prints_its_address_and_exits_with_status_0(started: Callable[..., Service], tmp_path: Path) -> None:
    service = started("--model", f"mine={bundle(tmp_path / 'b', rock=9.0)}")
    assert service.said == f"mine: listening at http://127.0.0.1:{service.port} (Ctrl-C ends)\n"
    status, answer = service.ask("POST", "/v1/predict", song(3.0))
    assert (status, answer["genre"], answer["model"], answer["error"]) == (200, "Rock", "mine", None)
    assert list(service.temporary.iterdir())
    assert service.end() == (0, "")
    assert not list(service.temporary.iterdir())


def test_ctrl_c_ends_the_service(started: Callable[..., Service], tmp_path: Path) -> None:
    assert started("--model", bundle(tmp_path / "b")).end(signal.SIGINT) == (0, "")


@pytest.mark.slow
def test_accepted_requests_are_answered_when_stopped_under_load(
    started: Callable[..., Service], tmp_path: Path
) -> None:
    service = started("--model", bundle(tmp_path / "b"))
    content, stop = song(6.0), threading.Event()
    seen: list[tuple[float, str]] = []

    def client() -> None:
        while not stop.is_set():
            began = time.monotonic()
            try:
                status, answer = service.ask("POST", "/v1/predict", content)
                said = f"{status} {'whole' if status != 200 or answer['genre'] else answer}"
            except OSError as e:
                said = type(e).__name__
                stop.set()
            seen.append((began, said))

    clients = [threading.Thread(target=client) for _ in range(8)]
    for thread in clients:
        thread.start()
    time.sleep(2.0)
    told = time.monotonic()
    status, err = service.end()
    took = time.monotonic() - told
    stop.set()
    for thread in clients:
        thread.join()
    assert (status, err) == (0, "")
    assert took < 10
    before = Counter(said for began, said in seen if began < told - 0.3)
    after = Counter(said for began, said in seen if began >= told - 0.3)
    assert before.total() >= 8 and set(before) == {"200 whole"}
    assert set(after) <= {"200 whole", "503 whole", "ConnectionRefusedError", "ConnectionResetError"}
    assert not list(service.temporary.iterdir())


@pytest.mark.slow
def test_unfinished_upload_gets_503_when_the_service_stops(started: Callable[..., Service], tmp_path: Path) -> None:
    service = started("--model", bundle(tmp_path / "b"))
    with socket.create_connection((service.host, service.port), timeout=20) as connection:
        connection.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n\r\nabc")
        time.sleep(0.5)
        service.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        for _ in range(12):  # slow, but never idle
            time.sleep(0.5)
            try:
                connection.sendall(b"x" * 5000)
            except OSError:
                break
        said = connection.recv(10_000)
    _, err = service.process.communicate(timeout=20)
    assert (service.process.returncode, time.monotonic() - began < 12) == (0, True)
    assert said.startswith(b"HTTP/1.1 503 ") and b"urn:genrelab:problem:stopping" in said
    assert "Traceback" not in err


def test_second_signal_ends_the_service_at_once(started: Callable[..., Service], tmp_path: Path) -> None:
    service = started("--model", bundle(tmp_path / "b"))
    with socket.create_connection((service.host, service.port), timeout=20) as connection:
        connection.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n\r\nabc")
        time.sleep(0.5)
        began = time.monotonic()
        service.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        status, err = service.end()
        assert (status, time.monotonic() - began < 4) == (0, True)
        assert "Traceback" not in err
        assert b" 503 " in connection.recv(10_000)[:20]


def test_service_stopped_before_it_listens_leaves_no_files(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from genrelab.serve import server; from genrelab.serve.settings import ServeSettings;"
    )
    code += "init = server._Signals.__init__;"
    code += "server._Signals.__init__ = lambda self: (init(self), os.kill(os.getpid(), signal.SIGTERM)) and None;"
    code += "server.serve(ServeSettings(models=sys.argv[1:], port=0), lambda *_: print('listening'))"
    words = [sys.executable, "-c", code, str(bundle(tmp_path / "b"))]
    (temporary := tmp_path / "temporary").mkdir()
    ended = subprocess.run(
        words, capture_output=True, text=True, env=os.environ | {"TMPDIR": str(temporary)}, timeout=60
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("how", ["hup", "watch"])
def test_a_bundle_that_changed_is_loaded_again(started: Callable[..., Service], tmp_path: Path, how: str) -> None:
    path = bundle(tmp_path / "b", rock=9.0)
    service = started("--model", path, *(["--watch"] if how == "watch" else []))
    assert service.ask("POST", "/v1/predict", song(3.0))[1]["genre"] == "Rock"
    bundle(path, rock=-9.0)
    if how == "hup":
        service.process.send_signal(signal.SIGHUP)
    until = time.monotonic() + 20
    while service.ask("POST", "/v1/predict", song(3.0))[1]["genre"] == "Rock":
        assert time.monotonic() < until
        time.sleep(0.1)
    status, err = service.end()
    assert status == 0
    assert err.count("loaded again") == 1


def test_token_from_the_environment_is_required(started: Callable[..., Service], tmp_path: Path) -> None:
    service = started("--model", bundle(tmp_path / "b"), GENRELAB_TOKEN="a-long-secret")
    assert service.ask("GET", "/v1/models")[0] == 401
    assert service.ask("GET", "/v1/models", Authorization="Bearer a-long-secret")[0] == 200
    assert service.ask("GET", "/v1/health")[0] == 200


def test_port_in_use_is_a_one_line_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        status, out, err = call("serve", "--port", taken.getsockname()[1])
    assert (status, out) == (1, "")
    assert "cannot listen at 127.0.0.1 port" in err and "choose another --port" in err


def test_unknown_host_is_a_one_line_error() -> None:
    status, _, err = call("serve", "--host", "no.such.host.invalid", "--insecure")
    assert status == 1 and err.startswith("Error: cannot listen at no.such.host.invalid")


def test_invalid_bundle_is_a_one_line_error(tmp_path: Path) -> None:
    status, _, err = call("serve", "--port", "0", "--model", tmp_path)
    assert status == 1 and err.startswith("Error: ") and len(err.splitlines()) == 1
    left = list(Path(tempfile.gettempdir()).glob(f"genrelab-serve-{os.getpid()}-*"))
    assert not left


def test_host_names_are_checked_unless_allowed_or_insecure(started: Callable[..., Service], tmp_path: Path) -> None:
    closed, proxied = (
        started("--model", bundle(tmp_path / "b"), *words)
        for words in ((), ("--allow-origin", "https://music.example.org"))
    )
    assert closed.ask("GET", "/v1/models", Host="music.example.org")[0] == 403
    assert proxied.ask("GET", "/v1/models", Host="music.example.org")[0] == 200
    assert closed.ask("GET", "/v1/models", Host="localhost")[0] == 200
    insecure = started("--model", bundle(tmp_path / "b"), "--insecure")
    assert insecure.ask("GET", "/v1/models", Host="music.lan")[0] == 200
