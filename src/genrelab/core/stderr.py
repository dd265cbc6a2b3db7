"""Silences C libraries on the terminal; Python's own stderr is not affected, in any thread.

mpg123, inside libsndfile, reports odd tags and damaged frames on C's `stderr` and has no setting to turn that off.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import sys
import threading


class _StderrSilencer:
    """While any thread is inside, the C variable `stderr` points to a null stream. Entering is cheap."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._saved: int | None = None

    def __enter__(self) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1 and (found := _c_stderr()):
                variable, null_stream = found
                self._saved, variable.value = variable.value, null_stream

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0 and (found := _c_stderr()):
                found[0].value = self._saved


@functools.cache
def _c_stderr() -> tuple[ctypes.c_void_p, int] | None:
    """C's variable and a null stream; None where the C library is not known to allow replacing it."""
    name = {"linux": "stderr", "darwin": "__stderrp"}.get(sys.platform)
    if name is None or (sys.platform == "linux" and platform.libc_ver()[0] != "glibc"):
        return None
    libc = ctypes.CDLL(None)
    libc.fopen.restype = ctypes.c_void_p
    null_stream = libc.fopen(os.devnull.encode(), b"w")
    return (ctypes.c_void_p.in_dll(libc, name), null_stream) if null_stream else None


silence_c_stderr = _StderrSilencer()
"""`with silence_c_stderr:` around calls of libsndfile."""
