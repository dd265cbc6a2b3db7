"""What `make bench` concludes: ratios of alternated sides, what is met, what fell."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import PROJECT

BENCHMARKS = PROJECT / "benchmarks"
sys.path.append(str(BENCHMARKS))
from render_performance import ORDER, render  # noqa: E402
from run_all import SCRIPTS, fell  # noqa: E402
from sides import Row, alternate, report  # noqa: E402


def row(ratio: float, at_least: float | None = 2.0, **more: Any) -> Row:
    return Row("r", "ours", "theirs", ratio, (ratio - 0.1, ratio + 0.1), 3, at_least, **more)


def test_sides_alternate_and_pairs_give_the_spread() -> None:
    now, order = 0.0, list[str]()

    def spend(name: str, factor: float) -> Any:
        def side(thing: float) -> float:
            nonlocal now
            now += factor * thing
            order.append(name)
            return thing

        return side

    measured = alternate({"slow": spend("slow", 3.0), "fast": spend("fast", 1.0)}, [1.0, 2.0, 5.0], clock=lambda: now,
                         keep=True)  # fmt: skip
    assert measured.ratio("slow", "fast") == (3.0, (3.0, 3.0))
    assert measured.answers["fast"] == [1.0, 2.0, 5.0]
    assert order == ["slow", "fast", "fast", "slow", "slow", "fast", "fast", "slow"]  # the first pair does not count


def test_a_row_is_met_when_the_ratio_and_all_else_hold() -> None:
    assert row(2.0).met
    assert not row(1.99).met
    assert not row(2.0, checks={"the same numbers": False}).met
    assert row(1.2, at_least=None, at_most=1.3).met
    assert not row(1.31, at_least=None, at_most=1.3).met


def test_ratio_is_the_last_line_and_a_missed_one_exits_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report(row(2.345), tmp_path / "r.json") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "ratio 2.35"
    assert report(row(1.0), tmp_path / "r.json") == 1
    found = json.loads((tmp_path / "r.json").read_text())
    assert (found["ratio"], found["met"], found["wanted"]) == (1.0, False, "at least 2")


def test_a_ratio_that_fell_by_more_than_its_spread_is_named() -> None:
    before = row(2.0).to_json()  # 1.9 to 2.1
    assert fell(before, row(1.85).to_json()) is None
    assert "1.75" in str(fell(before, row(1.75).to_json()))
    less = row(1.0, at_least=None, at_most=1.3).to_json()
    assert fell(less, row(0.5, at_least=None, at_most=1.3).to_json()) is None
    assert "1.25" in str(fell(less, row(1.25, at_least=None, at_most=1.3).to_json()))
    assert fell(None, less) is None


def test_every_row_has_a_script_and_a_place_on_the_page() -> None:
    assert set(ORDER) == set(SCRIPTS)
    assert all((BENCHMARKS / words.split()[0]).is_file() for words in SCRIPTS.values())


def test_the_page_shows_every_figure_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("render_performance.DOCS", tmp_path)
    monkeypatch.setattr("render_performance.FIGURES", tmp_path)
    report(row(1.0), tmp_path / f"{ORDER[0]}.json")
    (tmp_path / "performance-remarks.md").write_text("## Other figures\n")
    render()
    page = (tmp_path / "performance.md").read_text()
    assert "| ours | theirs | 1.0 | 0.9 – 1.1 | at least 2 | **missed** |" in page
    assert page.endswith("## Other figures\n")
