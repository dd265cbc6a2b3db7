"""Habits of the tests themselves: none waits by sleeping, and none says how long something takes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.support.paths import PROJECT

TESTS = PROJECT / "tests"
CLOCKS = {"time.monotonic", "time.perf_counter", "time.time", "time.process_time", "time.thread_time"}
SLEEPS = {"time.sleep", "asyncio.sleep"}
MAY = {
    "support/guards.py": "the one place where a condition of another process is looked at again and again",
    "support/hand_clock.py": "a clock that a test moves; it starts at the real one",
    "support/virtual_clock.py": "an event loop whose time jumps: nothing waits in it",
    "support/fake_workers.py": "pauses of a client on the virtual clock",
    "support/live_service.py": "seconds that an answer takes, for tests with the marker `timing`",
}
"""Helpers that may use a clock or sleep, and why."""


def calls(tree: ast.AST, timed: bool = False) -> Iterator[tuple[str, int]]:
    """`module.function` and line of every call outside of functions with the marker `timing`."""
    for node in ast.iter_child_nodes(tree):
        inner = timed
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inner = timed or any("mark.timing" in ast.unparse(d) for d in node.decorator_list)
        if isinstance(node, ast.Call) and not timed:
            zero = [isinstance(a, ast.Constant) and a.value == 0 for a in node.args]
            if not (zero and all(zero)):  # sleep(0) only lets others run
                yield ast.unparse(node.func), node.lineno
        yield from calls(node, inner)


def offences(path: Path, forbidden: set[str]) -> list[str]:
    tree = ast.parse(path.read_text())
    return [f"{path.relative_to(TESTS)}:{line} {name}" for name, line in calls(tree) if name in forbidden]


def test_no_test_sleeps_or_measures_time() -> None:
    """What is about time by nature carries the marker `timing` with its reason, and runs alone."""
    paths = [p for p in TESTS.rglob("*.py") if p.relative_to(TESTS).as_posix() not in MAY]
    assert [o for p in sorted(paths) for o in offences(p, SLEEPS | CLOCKS)] == []


def test_a_planted_sleep_is_found() -> None:
    tree = ast.parse(
        "import time, asyncio, pytest\n"
        "def test_a(): time.sleep(0.1)\n"
        "async def test_b(): await asyncio.sleep(0)\n"
        "@pytest.mark.timing(reason='about time')\n"
        "def test_c(): time.sleep(1)\n"
        "def test_d(): assert time.monotonic() < 3\n"
    )
    found = [(name, line) for name, line in calls(tree) if name in SLEEPS | CLOCKS]
    assert found == [("time.sleep", 2), ("time.monotonic", 6)]


def test_every_timing_marker_gives_its_reason() -> None:
    for path in TESTS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            for decorator in getattr(node, "decorator_list", []):
                if "mark.timing" in ast.unparse(decorator):
                    assert isinstance(decorator, ast.Call), f"{path}:{decorator.lineno}: @pytest.mark.timing(reason=…)"
                    assert [k.arg for k in decorator.keywords] == ["reason"], f"{path}:{decorator.lineno}"
