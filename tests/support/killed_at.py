"""SIGKILL at a chosen point of a program's work, not at a random moment: before one of its changes to the disk."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CHANGES = ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "shutil.rmtree")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def kill_before_change(n: int, folder: Path, others: Sequence[int] = ()) -> None:
    """Kill this process, after the `others`, when it is about to change something below `folder` for the n-th time."""
    left = n

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal left
        if event not in CHANGES and (event != "open" or not args[2] & WRITES):
            return
        if any(isinstance(a, (str, os.PathLike)) and os.fspath(a).startswith(str(folder)) for a in args):
            left -= 1
            if left == 0:
                for process in (*others, os.getpid()):
                    os.kill(process, signal.SIGKILL)

    sys.addaudithook(hook)
