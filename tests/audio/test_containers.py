"""The list of `benchmarks/containers.py`: what is decoded is what FFmpeg's command line decodes, or a named error."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks import containers
from benchmarks.containers import Row

ROWS = containers.all_rows()


def test_the_list_is_long_and_names_each_once() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS) >= 60


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg isn't installed")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name.replace(" ", "_"))
def test_decoded_length_is_the_true_one(row: Row, tmp_path: Path) -> None:
    found = containers.measure(row, tmp_path)
    assert found.verdict == ("named error" if row.refused else found.verdict)
    assert found.verdict in ("pass", "named error"), found
