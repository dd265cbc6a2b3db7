"""page/occlusion.py: what decided is named only where something did."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from genrelab.core.storage import Folder
from genrelab.report.report import build_report
from tests.support.scored_run import OCCLUSION, write_run

BY_ITSELF = "Only what decided:"


@pytest.mark.parametrize(
    ("drop", "words", "heard"),
    [
        ([[0.1, 0.0, -0.05], [0.3, 0.02, 0.0]], "the probability falls by 30.0 points", True),
        ([[0.0, 0.0004, -0.0004], [0.0, 0.0, 0.0]], "No single patch changes this answer.", False),
        ([[0.0, 0.0, -0.2], [0.0, 0.0, 0.0]], "No single patch carries this answer", False),
    ],
)
def test_evidence_audio_is_offered_only_if_a_patch_decided(
    tmp_path: Path, drop: list[list[float]], words: str, heard: bool
) -> None:
    run, found = Folder(tmp_path / "RUN"), copy.deepcopy(OCCLUSION)
    track: dict[str, Any] = found["tracks"][0]
    track |= {"drop": drop, "evidence": "occlusion/1.wav"}
    write_run(run)
    run.write_json("svm/occlusion.json", found)
    build_report(run)
    page = run.read_bytes("report.html").decode()
    assert words in page
    assert (BY_ITSELF in page) == heard
