"""page/occlusion.py: a patch is named only if it changes the probability."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from genrelab.core.storage import Folder
from genrelab.report.report import build_report
from tests.support.scored_run import OCCLUSION, write_run

ALONE = "The three strongest patches alone:"


@pytest.mark.parametrize(
    ("drop", "words", "played"),
    [
        ([[0.1, 0.0, -0.05], [0.3, 0.02, 0.0]], "the probability falls by 30.0 points", True),
        ([[0.0, 0.0004, -0.0004], [0.0, 0.0, 0.0]], "No single patch changes the probability.", False),
        ([[0.0, 0.0, -0.2], [0.0, 0.0, 0.0]], "The probability does not fall, whichever patch is left out", False),
    ],
)
def test_strongest_patches_are_played_only_if_one_lowers_the_probability(
    tmp_path: Path, drop: list[list[float]], words: str, played: bool
) -> None:
    run, found = Folder(tmp_path / "RUN"), copy.deepcopy(OCCLUSION)
    track: dict[str, Any] = found["tracks"][0]
    track |= {"drop": drop, "evidence": "occlusion/1.wav"}
    write_run(run)
    run.write_json("svm/occlusion.json", found)
    build_report(run)
    page = run.read_bytes("report.html").decode()
    assert words in page
    assert (ALONE in page) == played
