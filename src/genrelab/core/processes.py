"""Worker processes: spawned interpreters with one thread each, which exit when their parent does."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from genrelab.core.errors import SettingsError

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing.process import BaseProcess

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # in glibc's malloc.h

DECODER_CRASHED = "the decoder crashed on this file"
"""Error message for a file that crashes a worker."""

_lock = threading.Lock()
_pools = 0
"""Open pools; while there are any, the environment limits libraries to one thread."""
_original_values: dict[str, str | None] = {}
"""The `THREAD_VARIABLES` before the first pool was opened."""


def use_one_thread() -> None:
    """Limit NumPy to one thread in this process unless the user set a number; call it before NumPy is imported.

    The matrix products for one song are so small that more threads would mostly wait for each other.
    """
    for name in THREAD_VARIABLES:
        os.environ.setdefault(name, "1")


def keep_freed_memory() -> None:
    """Keep up to 128 MiB of freed memory in this process for the next song; to be called by programs.

    glibc returns large arrays to the system at once, and most arrays of a song are large: allocating them again page
    by page takes up to a quarter of the time per song. No effect with another C library.
    """
    import ctypes
    import platform

    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 32 << 20)  # the most that glibc allows
        mallopt(_M_TRIM_THRESHOLD, 128 << 20)


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process, on Linux only; see its manual page."""
    if sys.platform == "linux":
        import ctypes

        unused = ctypes.c_ulong(0)
        ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), unused, unused, unused)


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def process_pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of `jobs` workers, started on demand, which are killed if an exception leaves the block.

    They are spawned, because a fork of a process with threads can hang.
    """
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    class Pool(ProcessPoolExecutor):
        """Defers Ctrl-C in `submit`, which starts workers: one that is half started would print a traceback."""

        def submit(self, *args: Any, **kwargs: Any) -> Any:
            with _sigint_deferred():
                return super().submit(*args, **kwargs)

    context = multiprocessing.get_context("spawn")
    with _single_threaded_workers(), Pool(jobs, mp_context=context, initializer=_initialize_worker) as pool:
        try:
            yield pool
        except BaseException:
            with _sigint_deferred():  # a second one would leave workers behind
                # Not all children of this process: the user's own may be among them. Only `_processes` has the pool's.
                for process in list((pool._processes or {}).values()):
                    process.kill()
                # Wait for the pool's own thread: at interpreter exit it would be woken through a pipe that is closed.
                pool.shutdown(wait=True, cancel_futures=True)
            raise


def check_workers_start(pool: ProcessPoolExecutor, remedy: str = "") -> None:
    """Refuse a pool whose workers die at startup, so that work is not retried forever.

    Args:
        remedy: how to do without workers, appended to the error message.

    Raises:
        SettingsError: the workers die.
    """
    from concurrent.futures.process import BrokenProcessPool

    try:
        pool.submit(os.getpid).result()
    except BrokenProcessPool as e:
        raise SettingsError(
            "workers cannot start: free some memory; if you run your own script, put its code below "
            f"`if __name__ == '__main__':`{remedy}"
        ) from e


@contextmanager
def _single_threaded_workers() -> Iterator[None]:
    """Processes started in this block get one thread; the last such block to end restores the user's own settings."""
    global _pools
    with _lock:
        if not _pools:
            _original_values.update((name, os.environ.get(name)) for name in THREAD_VARIABLES)
            os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
        _pools += 1
    try:
        yield
    finally:
        with _lock:
            _pools -= 1
            for name, value in () if _pools else _original_values.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


@contextmanager
def _sigint_deferred() -> Iterator[None]:
    """Defer Ctrl-C to the end of this block; a process started in it has the signal blocked until it unblocks it.

    Blocking it in this thread is not enough: another one, such as that of a progress bar, may receive it, and Python
    then interrupts the main thread.
    """
    import signal

    received: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    in_main = threading.current_thread() is threading.main_thread() and before is not None
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if hasattr(signal, "pthread_sigmask") else None
    if in_main:
        signal.signal(signal.SIGINT, lambda number, _: received.append(number))
    try:
        yield
    finally:
        if in_main:
            signal.signal(signal.SIGINT, before)
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if received:
            signal.raise_signal(signal.SIGINT)


def _initialize_worker() -> None:
    """Ignore Ctrl-C, which the parent handles, and exit at once when the parent was killed."""
    import multiprocessing
    import signal

    keep_freed_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # a pending one is ignored, too
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_with_parent, args=(parent,), daemon=True).start()


def _exit_with_parent(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
