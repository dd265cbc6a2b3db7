"""What a service says of a model: how often answers were right of each genre, and whether it knows what is no music."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from genrelab.core.config import (
    EMBEDDING_CLIPS,
    ClipSettings,
    EmbeddingView,
    FramesView,
    LogMelView,
    MelImageView,
    SamplesView,
)
from genrelab.serve.about import CONFIDENCE_STEPS, describe, evidence_by_genre, window_s
from tests.support.bundles import bundle_for
from tests.support.evidence import evidence_from_confidences


def test_evidence_is_counted_by_genre_and_confidence() -> None:
    right = {"Blues": [1_000, 999, 50], "Rock": [600, 649]}
    wrong = {"Blues": [49], "Rock": [650], "Folk": [0]}
    found = evidence_by_genre(evidence_from_confidences(right, wrong))
    assert {genre: sum(counts["n"]) for genre, counts in found.items()} == {"Blues": 4, "Folk": 1, "Rock": 3}
    assert found["Blues"]["n"] == [1, 1, *[0] * (CONFIDENCE_STEPS - 3), 2], "the last step holds its upper end"
    assert found["Blues"]["right"] == [0, 1, *[0] * (CONFIDENCE_STEPS - 3), 2]
    assert (found["Rock"]["n"][12:14], found["Rock"]["right"][12:14]) == ([2, 1], [2, 0])
    assert found["Folk"]["right"] == [0] * CONFIDENCE_STEPS


def test_genre_that_was_never_answered_has_no_tracks() -> None:
    found = evidence_by_genre(evidence_from_confidences({"Blues": [700]}, {"Rock": []}))
    assert found["Rock"] == {"n": [0] * CONFIDENCE_STEPS, "right": [0] * CONFIDENCE_STEPS}


@pytest.mark.parametrize(("gate", "embedding"), [(True, True), (False, True), (True, False)])
def test_gate_is_said_where_the_model_has_one(tmp_path: Path, gate: bool, embedding: bool) -> None:
    view, clips = (EmbeddingView(), EMBEDDING_CLIPS) if embedding else (LogMelView(), ClipSettings())
    bundle = bundle_for(tmp_path / "b", view, clips, gate=gate)
    assert describe("b", bundle, None)["gate"] is (gate and embedding)


@pytest.mark.parametrize(
    ("view", "clip_s", "seconds"),
    [
        (LogMelView(window_s=1.5), 30.0, 1.5),
        (MelImageView(), 30.0, 30.0),
        (SamplesView(sr=8_000, n_samples=12_000), 30.0, 1.5),
        (FramesView(), 30.0, FramesView().n_frames * FramesView().hop_length / FramesView().sr),
        (EmbeddingView(), 3.0, 3.0),
    ],
)
def test_window_of_each_view(view: Any, clip_s: float, seconds: float) -> None:
    assert window_s(SimpleNamespace(view=view, clips=ClipSettings(clip_s=clip_s))) == seconds  # type: ignore[arg-type]
