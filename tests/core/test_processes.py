"""Workers have one thread each, the one that asks for them gets its surroundings back, and none outlives it."""

from __future__ import annotations

import multiprocessing
import os
import platform
import signal
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from genrelab.core.processes import THREAD_VARIABLES, process_pool, use_one_thread
from tests.support.guards import HANG_S


def test_the_users_own_number_of_threads_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    use_one_thread()
    assert [os.environ[name] for name in THREAD_VARIABLES] == ["3", "1", "1"]


def test_workers_have_one_thread_and_the_environment_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with process_pool(1) as pool:
        assert [pool.submit(os.getenv, name).result() for name in THREAD_VARIABLES] == ["1", "1", "1"]
        assert pool.submit(os.getppid).result() == os.getpid()
    assert os.environ["OMP_NUM_THREADS"] == "3"
    assert "MKL_NUM_THREADS" not in os.environ


def test_environment_is_restored_with_the_last_of_overlapping_pools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    one, two = process_pool(1), process_pool(1)
    one.__enter__()
    two.__enter__()
    one.__exit__(None, None, None)
    assert [os.environ[name] for name in THREAD_VARIABLES] == ["1", "1", "1"], "workers of the other may start later"
    two.__exit__(None, None, None)
    assert os.environ["OMP_NUM_THREADS"] == "3"
    assert "MKL_NUM_THREADS" not in os.environ


def _echo(other: Connection) -> None:
    while True:
        other.send(other.recv())


def test_pool_ends_only_its_own_workers() -> None:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    bystander = context.Process(target=_echo, args=(there,))
    try:
        with pytest.raises(KeyboardInterrupt), process_pool(1) as pool:
            worker = pool.submit(os.getpid).result()
            pool.submit(signal.pause)
            bystander.start()
            there.close()
            raise KeyboardInterrupt
        assert [p.pid for p in multiprocessing.active_children()] == [bystander.pid] != [worker]
        here.send("still there?")
        assert here.poll(HANG_S) and here.recv() == "still there?"
    finally:
        bystander.kill()
        bystander.join()


KILLED = """
import os, signal
from genrelab.core.processes import process_pool
if __name__ == "__main__":
    with process_pool(1) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        pool.submit(signal.pause)
        signal.pause()
"""


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(KILLED)
    with subprocess.Popen([sys.executable, tmp_path / "parent.py"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        worker = int(process.stdout.readline())
        process.kill()
        try:
            process.communicate(timeout=HANG_S)  # the pipe ends with the last process that holds it: the worker
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
            pytest.fail("the worker goes on without its parent")


def test_freed_memory_is_kept_for_the_next_array() -> None:
    program = (
        "import resource, numpy as np\n"
        "from genrelab.core.processes import keep_freed_memory\n"
        "keep_freed_memory()\n"
        "def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "np.ones(1 << 20)\n"
        "before = faults()\n"
        "for _ in range(20): np.ones(1 << 20)\n"
        "print(faults() - before)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    if platform.libc_ver()[0] == "glibc":
        assert int(result.stdout) < 2_048, "8 MiB are 2,048 pages: they came once"


@pytest.mark.parametrize("at", ["submit", "shutdown"])
def test_ctrl_c_received_by_another_thread_waits_until_workers_are_started_or_stopped(
    monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """As by the thread of a progress bar; a worker that is half started would print a traceback."""
    steps: list[str] = []
    now = threading.Event()
    other = threading.Thread(target=lambda: now.wait() and signal.raise_signal(signal.SIGINT))
    other.start()
    original = getattr(ProcessPoolExecutor, at)

    def interrupted(*given: Any, **more: Any) -> Any:
        if steps:
            return original(*given, **more)
        steps.append("interrupted")
        now.set()
        other.join()
        result = original(*given, **more)
        steps.append("done")
        return result

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        monkeypatch.setattr(ProcessPoolExecutor, at, interrupted)
        with pytest.raises(KeyboardInterrupt), process_pool(1) as pool:
            pool.submit(os.getpid).result()
            if at == "shutdown":
                raise ValueError
        assert steps == ["interrupted", "done"]
    finally:
        signal.signal(signal.SIGINT, before)
    assert not multiprocessing.active_children()


def _sigint() -> tuple[bool, bool]:
    """Is it ignored in this process, and is it blocked?"""
    blocked = signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    return signal.getsignal(signal.SIGINT) is signal.SIG_IGN, blocked


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="needs POSIX signals")
def test_ctrl_c_waits_while_a_worker_is_spawned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a worker ignores it, it would end the worker with a traceback."""
    while_spawned, before = list[bool](), _sigint()
    original = ProcessPoolExecutor.submit

    def submit(*given: Any, **more: Any) -> Any:
        while_spawned.append(_sigint()[1])
        return original(*given, **more)

    monkeypatch.setattr(ProcessPoolExecutor, "submit", submit)
    with process_pool(1) as pool:
        assert pool.submit(_sigint).result() == (True, False)
    assert while_spawned == [True] and _sigint() == before and not before[1]
