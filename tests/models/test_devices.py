from __future__ import annotations

import signal
import subprocess
import sys
from typing import Any

import pytest

from genrelab.models import devices
from genrelab.models.devices import Device, device_probe


def _instead(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    real = subprocess.Popen
    monkeypatch.setattr(devices.subprocess, "Popen", lambda words, **more: real([sys.executable, "-c", code], **more))


@pytest.mark.slow
def test_every_device_of_this_machine_trains_correctly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "TIMEOUT_S", None)
    with device_probe() as answer:
        version, found = answer()
    assert version[0].isdigit() and found[0].name == "CPU:0"
    assert all(device.error is None for device in found)


def test_device_that_trains_wrongly_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def learn(name: str) -> float:
        if name == "GPU:1":
            raise RuntimeError("out of\nmemory")
        return {"CPU:0": 1e-4, "GPU:0": 0.3}[name]

    monkeypatch.setattr(devices, "fit_on_device", learn)
    tried = [devices._check_device(name).error for name in ("CPU:0", "GPU:0", "GPU:1")]
    assert tried == [
        None,
        "gives wrong results in training: a weight is off by 0.3; at most 0.02 is allowed",
        "RuntimeError: out of memory",
    ]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import sys; sys.exit('libcudart.so: not found')", "exited with status 1: libcudart.so: not found"),
        ("import os; os.abort()", "exited with status -6: no output"),
        ("print('no JSON')", "exited with status 0: no output"),
    ],
)
def test_error_of_a_tensorflow_that_does_not_start_is_quoted(
    monkeypatch: pytest.MonkeyPatch, code: str, words: str
) -> None:
    _instead(monkeypatch, code)
    with device_probe() as answer, pytest.raises(RuntimeError, match=words):
        answer()


def test_report_after_other_output_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    _instead(monkeypatch, """print('hello\\n["2.20", [{"name": "CPU:0", "seconds": 1.5, "error": null}]]')""")
    with device_probe() as answer:
        assert answer() == ("2.20", [Device("CPU:0", 1.5)])


def test_unused_probe_process_is_killed_and_a_silent_one_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    real = subprocess.Popen

    def begin(words: list[str], **more: Any) -> Any:
        started.append(real([sys.executable, "-c", "import signal; signal.pause()"], **more))
        return started[0]

    monkeypatch.setattr(devices.subprocess, "Popen", begin)
    with pytest.raises(KeyboardInterrupt), device_probe():
        raise KeyboardInterrupt
    assert started[0].returncode == -signal.SIGKILL, "it is ended, not left behind"
    monkeypatch.setattr(devices, "TIMEOUT_S", 0)
    started.clear()
    with device_probe() as answer, pytest.raises(RuntimeError, match="no result within"):
        answer()
    assert started[0].returncode == -signal.SIGKILL
