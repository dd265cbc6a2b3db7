"""What `benchmarks/serve.py` concludes of memory."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.guards import HANG_S
from tests.support.paths import PROJECT

BENCHMARKS = PROJECT / "benchmarks"

PROGRAM = """
import sys
from collections import Counter
sys.path.insert(0, sys.argv[1])
import serve
held = iter([100.0, 103.0, 104.0, 105.0, 105.0, 105.0])
serve.memory = lambda pid: next(held)
seen = [eval(words) for words in sys.argv[2:]]
serve.ask = lambda *_, **__: serve.Seen([0.1], *seen.pop(0))
grown = serve.growth("", 0, [], 0, 100)
sys.exit(f"grown: {None if grown is None else round(grown, 6)}")
"""
ALL_HEARD, SOME_REFUSED = "(Counter({200: 20}),)", "(Counter({200: 19, 429: 1}),)"
SOME_LOST, NONE_ANSWERED = "(Counter({200: 19}), Counter(OSError=1))", "(Counter(),)"


@pytest.mark.parametrize(
    ("last", "grown"), [(ALL_HEARD, "0.05"), (SOME_REFUSED, "None"), (SOME_LOST, "None"), (NONE_ANSWERED, "None")]
)
def test_memory_growth_is_reported_only_if_every_request_succeeded(last: str, grown: str) -> None:
    """In a process of its own: the benchmark takes one thread for good."""
    command = [sys.executable, "-c", PROGRAM, str(BENCHMARKS), ALL_HEARD, last, *[ALL_HEARD] * 3]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG_S)
    assert done.stderr.strip().splitlines()[-1] == f"grown: {grown}"
