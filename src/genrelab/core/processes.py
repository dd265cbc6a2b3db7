"""Worker processes: fresh interpreters with one thread each, which end when their parent does."""

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
"""What is said of a file that brings a worker down."""

_lock = threading.Lock()
_pools = 0
"""Pools that are open; while there are any, the environment says one thread."""
_original_values: dict[str, str | None] = {}
"""What it said before."""


def use_one_thread() -> None:
    """One thread for NumPy in this process, unless the user has said otherwise; to be called before it is loaded.

    The products that a song needs are so small that threads spend more time waiting for each other.
    """
    for name in THREAD_VARIABLES:
        os.environ.setdefault(name, "1")


def keep_freed_memory() -> None:
    """Memory that is freed stays with this process for the next song, up to 128 MiB; to be called by programs.

    glibc gives large arrays back to the system at once, and most of what a song needs are large arrays: having them
    back page by page costs up to a quarter of its time. Where the C library knows no such setting, nothing is done.
    """
    import ctypes
    import platform

    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 32 << 20)  # the most that glibc allows
        mallopt(_M_TRIM_THRESHOLD, 128 << 20)


def prctl(option: int, value: int) -> None:
    """Tells Linux something of this process (see prctl(2)); elsewhere nothing is done."""
    if sys.platform == "linux":
        import ctypes

        none = ctypes.c_ulong(0)
        ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), none, none, none)


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def process_pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """`jobs` workers, begun as they are needed; where the block is left by an exception they are ended at once.

    They are spawned, for a fork of a process with threads can hang.
    """
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    class Pool(ProcessPoolExecutor):
        """Its workers are spawned by `submit`, where Ctrl-C waits: one that has not begun could not but tell of it."""

        def submit(self, *given: Any, **more: Any) -> Any:
            with _interrupts_wait():
                return super().submit(*given, **more)

    context = multiprocessing.get_context("spawn")
    with _single_threaded_workers(), Pool(jobs, mp_context=context, initializer=_initialize_worker) as pool:
        try:
            yield pool
        except BaseException:
            # Not all of this process's children: the user's own may be among them. Nobody else can name ours.
            for process in list((pool._processes or {}).values()):
                process.terminate()
            # Waits for the pool's own thread: at the interpreter's end it would be woken through a pipe that is gone.
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def check_workers_start(pool: ProcessPoolExecutor, else_do: str = "") -> None:
    """Refuse a pool whose workers die before they do anything, so that nobody tries for ever.

    Args:
        else_do: how to do without workers, as a sentence's end.

    Raises:
        SettingsError: they die.
    """
    from concurrent.futures.process import BrokenProcessPool

    try:
        pool.submit(os.getpid).result()
    except BrokenProcessPool as e:
        raise SettingsError(
            "worker processes die before they begin: is there enough memory, and does the script that asks for them "
            f"begin with `if __name__ == '__main__':`?{else_do}"
        ) from e


@contextmanager
def _single_threaded_workers() -> Iterator[None]:
    """Processes that begin meanwhile have one thread; with the last such block the user's own number is back."""
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
def _interrupts_wait() -> Iterator[None]:
    """Ctrl-C counts after this block, and for a process that is spawned in it once that process allows it."""
    import signal

    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _initialize_worker() -> None:
    """Leave Ctrl-C to the parent, and end at once when the parent was killed instead of waiting for orders for ever."""
    import multiprocessing
    import signal

    keep_freed_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # what waited is ignored with the rest
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_with_parent, args=(parent,), daemon=True).start()


def _exit_with_parent(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
