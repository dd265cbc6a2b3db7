"""A run of `tag`, `tag --apply` or `untag` that kills itself at the n-th call of something.

python -m tests.support.killed_tagging DIR WHERE N [PLAN | JOURNAL…]
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from genrelab.tagging import journal as tag_journal
from genrelab.tagging import plan, replace_file, tag, untag
from genrelab.tagging.tag import TagSettings
from tests.support.killed_at import kill_before_change
from tests.support.named_model import FakeClassifier

PLAN = "plan.jsonl"
"""The name by which a plan is told from a journal."""


def killed_at_call(n: int, function: Callable[..., Any], *, done: str) -> Callable[..., Any]:
    """Like `function`, but the n-th call is the process's last, after `nothing`, `half` or `all` of it."""

    def wrapped(*args: Any) -> Any:
        nonlocal n
        n -= 1
        if n == 0:
            if done != "nothing":
                first, second = args
                function(first, second[: len(second) // 2] if done == "half" else second)
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args)

    return wrapped


if __name__ == "__main__":
    folder, where, n, journals = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4:]
    if where == "before the journal":
        replace_file.copy_attributes = killed_at_call(n, replace_file.copy_attributes, done="nothing")
    elif where == "in a line":
        write = killed_at_call(n, tag_journal.FileIO.write, done="half")
        tag_journal.FileIO = type("Cut", (tag_journal.FileIO,), {"write": write})  # type: ignore[misc]
    elif where == "before the rename":
        Path.replace = killed_at_call(n, Path.replace, done="nothing")  # type: ignore[method-assign]
    elif where == "after the rename":
        Path.replace = killed_at_call(n, Path.replace, done="all")  # type: ignore[method-assign]
    elif where == "before a change":
        kill_before_change(n, folder)
    if journals and journals[0].endswith(PLAN):
        plan.apply_plan(Path(journals[0]), lambda _: None)
        sys.exit()
    for journal in journals:
        untag.untag(Path(journal), lambda _: None)
    if not journals:
        tag.tag([folder], FakeClassifier(), TagSettings(), lambda _: None)
