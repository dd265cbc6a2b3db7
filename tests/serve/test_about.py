"""How often answers were right is counted for each genre by itself."""

from __future__ import annotations

from genrelab.serve.about import CONFIDENCE_STEPS, evidence_by_genre
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
