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
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import soundfile

from genrelab.core.config import ClipSettings, StatisticsView
from genrelab.serve import server
from genrelab.serve.limits import Limits
from tests.support.bundles import bundle_for, noise
from tests.support.command import call
from tests.support.guards import HANG_S, killed_if_it_hangs, wait_until
from tests.support.held_file import HeldFiles
from tests.support.live_service import read_until_closed

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends signals")


WITH_LIMITS = """
import sys
from genrelab.serve import server
from genrelab.serve.limits import Limits
from genrelab.serve.settings import ServeSettings
settings = ServeSettings(models=sys.argv[1:], port=0, limits={limits})
server.serve(settings, lambda address, _: print(address, flush=True))
"""


class Service:
    """A running `genrelab serve`, or one of models with other limits than the command knows."""

    def __init__(self, *words: object, temporary: Path, limits: Limits | None = None, **environment: str) -> None:
        command = [sys.executable, "-m", "genrelab", "serve", "--port", "0", "--workers", "1", *map(str, words)]
        if limits is not None:
            command = [sys.executable, "-c", WITH_LIMITS.format(limits=limits), *map(str, words)]
        env = os.environ | {"TMPDIR": str(temporary)} | environment
        self.temporary = temporary
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
        assert self.process.stdout is not None
        with killed_if_it_hangs(self.process):
            self.said = self.process.stdout.readline()
        if not self.said:
            raise AssertionError(self.process.communicate()[1])
        address = urlsplit(next(w for w in self.said.split() if w.startswith("http://")))
        self.host, self.port = str(address.hostname), int(address.port or 0)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, dict[str, object]]:
        status, said = self._ask(method, path, body, headers)
        return status, json.loads(said)

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=HANG_S)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def figures(self, *names: str) -> list[float]:
        """Those of its /metrics."""
        text = self._ask("GET", "/metrics", None, {})[1].decode()
        lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return [float(lines[name]) for name in names]

    def refuses(self) -> bool:
        """Has it noticed that it is to stop?"""
        try:
            return self.ask("GET", "/v1/ready")[0] == 503
        except OSError:  # it does not listen any more
            return True

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Exit status, and what stood on standard error."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> tuple[int, str]:
        _, err = self.process.communicate(timeout=HANG_S)
        return self.process.returncode, err


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    services: list[Service] = []
    temporary = tmp_path / "temporary"
    temporary.mkdir()

    def start(*words: object, limits: Limits | None = None, **environment: str) -> Service:
        services.append(Service(*words, temporary=temporary, limits=limits, **environment))
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
    assert service.said == f"mine: listening on http://127.0.0.1:{service.port} (Ctrl-C stops it)\n"
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
    held, clients = HeldFiles(tmp_path / "hook", "/uploads/"), 8
    patient = Limits(classify_s=600, upload_s=600, idle_s=600, stop_s=600)
    path = os.pathsep.join([str(held.folder), os.environ.get("PYTHONPATH", "")])
    service = started(bundle(tmp_path / "b"), limits=patient, PYTHONPATH=path)
    content, seen = song(6.0), [list[str]() for _ in range(clients)]

    def ask_on_and_on(answers: list[str]) -> None:
        while not answers or answers[-1][0].isdigit():
            try:
                status, answer = service.ask("POST", "/v1/predict", content)
                answers.append(f"{status} {'whole' if status != 200 or answer['genre'] else answer}")
            except OSError as e:
                answers.append(type(e).__name__)

    threads = [threading.Thread(target=ask_on_and_on, args=(answers,)) for answers in seen]
    for thread in threads:
        thread.start()
    held.wait()  # the worker is in the middle of the first one
    waiting = ("genrelab_files_hearing", "genrelab_files_waiting")
    wait_until(lambda: service.figures(*waiting) == [1, clients - 1])
    service.process.send_signal(signal.SIGTERM)
    wait_until(service.refuses)
    held.close()
    assert service.ended() == (0, "")
    for thread in threads:
        thread.join(HANG_S)
    assert [answers[0] for answers in seen] == ["200 whole"] * clients
    after = {said for answers in seen for said in answers[1:]}
    closed = {"BrokenPipeError", "ConnectionRefusedError", "ConnectionResetError", "RemoteDisconnected"}
    assert after <= {"503 whole", *closed}
    assert not list(service.temporary.iterdir())


UNFINISHED = b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n\r\nabc"


@pytest.mark.slow
def test_unfinished_upload_gets_503_when_the_service_stops(started: Callable[..., Service], tmp_path: Path) -> None:
    service = started(bundle(tmp_path / "b"), limits=Limits(upload_s=600, idle_s=600, stop_s=0.1))
    with socket.create_connection((service.host, service.port), timeout=HANG_S) as connection:
        connection.sendall(UNFINISHED)
        wait_until(lambda: service.figures("genrelab_uploads") == [1])
        service.process.send_signal(signal.SIGTERM)
        said = read_until_closed(connection)
    status, err = service.ended()
    assert status == 0
    assert said.startswith(b"HTTP/1.1 503 ") and b"urn:genrelab:problem:stopping" in said
    assert "Traceback" not in err


def test_second_signal_ends_the_service_at_once(started: Callable[..., Service], tmp_path: Path) -> None:
    """It would give the upload more time than this test has."""
    service = started(bundle(tmp_path / "b"), limits=Limits(upload_s=6_000, idle_s=6_000, stop_s=6_000))
    with socket.create_connection((service.host, service.port), timeout=HANG_S) as connection:
        connection.sendall(UNFINISHED)
        wait_until(lambda: service.figures("genrelab_uploads") == [1])
        service.process.send_signal(signal.SIGTERM)
        wait_until(service.refuses)
        status, err = service.end()
        assert status == 0
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
        words, capture_output=True, text=True, env=os.environ | {"TMPDIR": str(temporary)}, timeout=HANG_S
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
    assert service.process.stderr is not None
    with service.process, killed_if_it_hangs(service.process):
        assert any("reloaded from" in line for line in service.process.stderr)  # reads no further than that line
        assert service.ask("POST", "/v1/predict", song(3.0))[1]["genre"] != "Rock"
        service.process.terminate()
        assert "reloaded from" not in service.process.stderr.read()
    assert service.process.returncode == 0


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
    assert "cannot listen on 127.0.0.1 port" in err and "choose another --port" in err


def test_unknown_host_is_a_one_line_error() -> None:
    status, _, err = call("serve", "--host", "no.such.host.invalid", "--insecure")
    assert status == 1 and err.startswith("Error: cannot listen on no.such.host.invalid")


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


def test_responses_do_not_wait_for_tcp_acknowledgements() -> None:
    """asyncio sets TCP_NODELAY where the listening socket names its protocol."""
    with server.open_socket("127.0.0.1", 0) as listening:
        assert listening.proto == socket.IPPROTO_TCP
