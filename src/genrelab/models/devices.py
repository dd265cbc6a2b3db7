"""The devices that TensorFlow finds, and whether each of them trains a small model correctly.

Importing TensorFlow takes seconds and may fail in C++: `device_probe` does it in a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from subprocess import PIPE

import numpy as np

TIMEOUT_S = 120.0
"""Time limit of the probe."""

STEPS, RATE, MAX_WEIGHT_ERROR = 200, 0.1, 0.02
"""Steps and rate of gradient descent on a linear model of eight weights; the largest error allowed at the end."""


@dataclass(frozen=True)
class Device:
    """One device, such as `CPU:0`; `error` is None if it trains correctly."""

    name: str
    seconds: float
    error: str | None = None


DeviceReport = tuple[str, list[Device]]
"""Version of TensorFlow, and its devices."""


@contextmanager
def device_probe() -> Iterator[Callable[[], DeviceReport]]:
    """Start TensorFlow in a process of its own, in the background; yields a function that waits for its report.

    The function raises a RuntimeError with TensorFlow's last line of output if TensorFlow does not start here. When
    the block is left, the process is killed.
    """
    command = [sys.executable, "-c", "from genrelab.models.devices import print_devices; print_devices()"]
    with subprocess.Popen(command, stdout=PIPE, stderr=PIPE, text=True, errors="replace") as process:
        try:
            yield lambda: _read_report(process)
        finally:
            process.kill()


def _read_report(process: subprocess.Popen[str]) -> DeviceReport:
    try:
        out, err = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired as e:
        raise RuntimeError(f"no result within {TIMEOUT_S:.0f} s") from e
    try:
        version, devices = json.loads(out.splitlines()[-1])
    except (ValueError, IndexError) as e:
        last = (err.strip() or "no output").splitlines()[-1]
        raise RuntimeError(f"exited with status {process.returncode}: {last}") from e
    return version, [Device(**device) for device in devices]


def print_devices() -> None:
    """Print the report that `device_probe` reads, as JSON on the last line."""
    from genrelab.core.tensorflow import load_tensorflow

    tf, _ = load_tensorflow()
    names = [f"{d.device_type}:{d.name.rpartition(':')[2]}" for d in tf.config.list_logical_devices()]
    print(json.dumps([tf.__version__, [asdict(_check_device(name)) for name in names]]))


def _check_device(name: str) -> Device:
    started, error = time.perf_counter(), None
    try:
        off = fit_on_device(name)
        if not off < MAX_WEIGHT_ERROR:
            wrong = f"a weight is off by {off:.2g}; at most {MAX_WEIGHT_ERROR:g} is allowed"
            error = f"gives wrong results in training: {wrong}"
    except Exception as e:  # noqa: BLE001 - any error of a device is the result
        error = " ".join(f"{type(e).__name__}: {e}".split())
    return Device(name, time.perf_counter() - started, error)


def fit_on_device(name: str) -> float:
    """Fit a linear model without noise on a device; returns the largest difference of a weight from the true one."""
    from genrelab.core.tensorflow import load_tensorflow

    tf, _ = load_tensorflow()
    rng = np.random.default_rng(0)
    X, true = rng.standard_normal((256, 8)).astype(np.float32), np.linspace(-1, 1, 8, dtype=np.float32)[:, None]
    with tf.device(name):
        x, y, w = tf.constant(X), tf.constant(X @ true), tf.Variable(tf.zeros((8, 1)))
        for _ in range(STEPS):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((x @ w - y) ** 2)
            w.assign_sub(RATE * tape.gradient(loss, w))
    return float(np.abs(w.numpy() - true).max())
