"""Keeps C libraries from talking on the terminal; Python's own stderr does not go through it, in no thread.

mpg123, inside libsndfile, remarks on odd tags and damaged frames on C's `stderr` and cannot be told not to.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import sys
import threading


class _StderrSilencer:
    """While anyone is inside, the C variable `stderr` points to a stream that goes nowhere. Entering is cheap."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._saved: int | None = None

    def __enter__(self) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1 and (found := _c_stderr()):
                variable, nowhere = found
                self._saved, variable.value = variable.value, nowhere

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0 and (found := _c_stderr()):
                found[0].value = self._saved


@functools.cache
def _c_stderr() -> tuple[ctypes.c_void_p, int] | None:
    """C's variable and a stream to nowhere; None where the C library is not known to let itself be told."""
    name = {"linux": "stderr", "darwin": "__stderrp"}.get(sys.platform)
    if name is None or (sys.platform == "linux" and platform.libc_ver()[0] != "glibc"):
        return None
    libc = ctypes.CDLL(None)
    libc.fopen.restype = ctypes.c_void_p
    nowhere = libc.fopen(os.devnull.encode(), b"w")
    return (ctypes.c_void_p.in_dll(libc, name), nowhere) if nowhere else None


silence_c_stderr = _StderrSilencer()
"""`with quiet_c_stderr:` around calls of libsndfile."""
