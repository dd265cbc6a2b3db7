"""A prediction counts where its confidence is high enough; its probabilities stay the same."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from genrelab.core.config import EmbeddingView, SamplesView
from genrelab.core.errors import BundleError, SettingsError
from genrelab.evaluation.calibration import Evidence
from genrelab.features.gate import MIN_MUSIC_SCORE
from genrelab.features.tags import TAGS, tag_probabilities
from genrelab.predict.prediction import NOT_MUSIC, UNKNOWN, UNSURE, Decision, Prediction
from tests.support import heard_levels
from tests.support.bundles import GENRES, SR, bundle_for, noise
from tests.support.evidence import evidence_from_confidences
from tests.support.heard_levels import ROCK, hear_levels, level_bundle, song

FOLK = Prediction("a.wav", "Folk", 0.5, {"Blues": 0.3, "Folk": 0.5, "Rock": 0.2}, 1.0, "svm", None)
FAULT = Prediction("b.wav", None, None, {}, None, "svm", "no audio")


def evidence(*, folk: int) -> Evidence:
    """Blues and Folk answered right 60 times, Folk with this confidence; Rock never right."""
    return evidence_from_confidences({"Blues": [900] * 60, "Folk": [folk] * 60}, {"Rock": [600] * 30}, [100] * 30)


@pytest.mark.parametrize(
    ("thresholds", "genre"),
    [
        (None, "Folk"),
        ({"Blues": None, "Folk": 0.5, "Rock": None}, "Folk"),
        ({"Blues": 0.1, "Folk": 0.501, "Rock": 0.1}, "unknown"),
        ({"Blues": 0.1, "Folk": None, "Rock": 0.1}, "unknown"),
    ],
)
def test_an_answer_below_its_genres_threshold_is_unknown(
    thresholds: dict[str, float | None] | None, genre: str
) -> None:
    decided = Decision(thresholds)(FOLK)
    assert (decided.genre, decided.confidence, decided.probabilities) == (genre, 0.5, FOLK.probabilities)
    assert decided.guess == "Folk" and decided.genre_set is None and "set" not in decided.to_json()
    assert Decision(thresholds)(FAULT) == FAULT and FAULT.guess is None


@pytest.mark.parametrize(
    ("least", "expected"),
    [(0.0, ["Folk", "Blues", "Rock"]), (0.2, ["Folk", "Blues", "Rock"]), (0.25, ["Folk", "Blues"]), (0.9, ["Folk"])],
)
def test_genre_set_holds_all_likely_genres_and_is_never_empty(least: float, expected: list[str]) -> None:
    decided = Decision(least_likely=least)(FOLK)
    assert decided.to_json(top=1)["set"] == expected and decided.genre == "Folk"
    assert Decision(least_likely=least)(FAULT).to_json()["set"] == []


def test_answer_less_sure_than_all_calibration_tracks_has_a_larger_set() -> None:
    sets = [Decision(least_likely=0.55, coverage=c)(FOLK).genre_set for c in (0.5, 0.6, 0.8, 0.9)]
    assert sets == [("Folk",), ("Folk", "Blues"), ("Folk", "Blues"), ("Folk", "Blues", "Rock")]
    assert Decision(least_likely=0.5, coverage=0.9)(FOLK).genre_set == ("Folk",), "it is as sure as they were"


def test_precision_and_coverage_can_be_set_on_a_bundle(tmp_path: Path) -> None:
    view = SamplesView(sr=SR, n_samples=4_000)
    plain = bundle_for(tmp_path / "bundle", view, calibration=evidence(folk=700))
    asked = plain.with_min_precision(0.9).with_coverage(0.6).with_windows(1)
    assert asked.decision == Decision({"Blues": 0.9, "Folk": 0.7, "Rock": None}, 0.7, 0.6)
    assert plain.decision == plain.with_min_precision(None).with_coverage(None).decision == Decision()
    plain_prediction, decided = plain.predict(noise(1), SR), asked.predict(noise(1), SR)
    assert plain_prediction.genre in GENRES and plain_prediction.genre_set is None
    assert (
        decided.genre == "unknown" and decided.genre_set is not None and decided.genre_set[0] == plain_prediction.genre
    )
    assert (decided.confidence, decided.timeline) == (plain_prediction.confidence, plain_prediction.timeline)
    assert [p.genre for p in asked.predict_many([tmp_path / "none.wav"])] == [None]


@pytest.mark.parametrize("share", [0, 1, -0.5, 90, float("nan")])
def test_invalid_shares_are_refused(tmp_path: Path, share: float) -> None:
    bundle = bundle_for(tmp_path / "bundle", SamplesView(sr=SR, n_samples=4_000), calibration=evidence(folk=700))
    for ask, name in ((bundle.with_min_precision, "min_precision"), (bundle.with_coverage, "coverage")):
        with pytest.raises(SettingsError, match=f"{name} must be above 0 and below 1"):
            ask(share)


def test_bundle_without_calibration_is_refused_with_a_remedy(tmp_path: Path) -> None:
    bundle = bundle_for(tmp_path / "old", SamplesView(sr=SR, n_samples=4_000))
    with pytest.raises(BundleError, match=r"old has no calibration, which min_precision needs: train linear"):
        bundle.with_min_precision(0.9)
    with pytest.raises(BundleError, match=r"old has no calibration, which coverage needs"):
        bundle.with_coverage(0.9)


# --- what is no music ---

NEVER, ALWAYS = dict.fromkeys(GENRES, None), dict.fromkeys(GENRES, 0.0)


@pytest.mark.parametrize(
    ("score", "decision", "genre", "because"),
    [
        (MIN_MUSIC_SCORE - 1e-9, Decision(), UNKNOWN, NOT_MUSIC),
        (MIN_MUSIC_SCORE, Decision(), "Folk", None),
        (None, Decision(), "Folk", None),  # the model does not read `embedding`
        (-1.0, Decision(ALWAYS), UNKNOWN, NOT_MUSIC),
        (-1.0, Decision(NEVER), UNKNOWN, NOT_MUSIC),  # the gate comes first
        (1.0, Decision(NEVER), UNKNOWN, UNSURE),
        (None, Decision(NEVER), UNKNOWN, UNSURE),
        (1.0, Decision(ALWAYS), "Folk", None),
        (-1.0, Decision(gate=False), "Folk", None),
        (-1.0, Decision(NEVER, gate=False), UNKNOWN, UNSURE),
    ],
)
def test_what_is_no_music_is_unknown_before_it_is_unsure(
    score: float | None, decision: Decision, genre: str, because: str | None
) -> None:
    plain_prediction = replace(FOLK, music_score=score)
    decided = decision(plain_prediction)
    assert decided == replace(plain_prediction, genre=genre, unknown_because=because)
    assert decided.guess == "Folk" and decided.to_json()["unknown_because"] == because


def test_error_is_neither_unsure_nor_no_music() -> None:
    fault = replace(FAULT, music_score=-1.0)
    assert Decision(NEVER)(fault) == fault and fault.to_json()["unknown_because"] is None


def test_genre_set_of_what_is_no_music_stays() -> None:
    decided = Decision(least_likely=0.25)(replace(FOLK, music_score=-1.0))
    assert (decided.genre, decided.genre_set) == (UNKNOWN, ("Folk", "Blues"))


def test_any_genre_counts_by_its_own_threshold() -> None:
    decision = Decision({"Blues": 0.3, "Folk": None, "Rock": 0.9})
    assert [decision.counts(g, 0.3) for g in GENRES] == [True, False, False]
    assert decision.counts("Blues", 0.3 - 1e-12) and not decision.counts("Blues", 0.299)
    assert all(Decision().counts(g, 0.0) for g in GENRES)


def test_with_any_names_the_likeliest_genre_whatever_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hear_levels(monkeypatch)
    plain = level_bundle(tmp_path / "bundle", calibration=evidence(folk=700))
    strict = plain.with_min_precision(0.9).with_coverage(0.6)
    assert strict.decision.thresholds is not None and strict.decision.thresholds["Rock"] is None
    for level, because in ((ROCK, UNSURE), (-ROCK, NOT_MUSIC)):
        y = song(level, level)
        unknown, named = strict.predict(y, heard_levels.SR), strict.with_any().predict(y, heard_levels.SR)
        assert (unknown.genre, unknown.unknown_because) == (UNKNOWN, because)
        assert named == replace(unknown, genre="Rock", unknown_because=None)
        assert named.genre_set is not None and named.genre_set[0] == "Rock", "what was asked for besides stays"
    assert plain.decision == Decision(), "a new one is made"


def test_probabilities_of_the_unknown_are_those_of_all_genres_and_add_up_to_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hear_levels(monkeypatch)
    bundle = level_bundle(tmp_path / "bundle", calibration=evidence(folk=700)).with_min_precision(0.9)
    found = [bundle.predict(song(level, level, level), heard_levels.SR) for level in (ROCK, -ROCK, heard_levels.NONE)]
    assert {p.genre for p in found} == {UNKNOWN} and {p.unknown_because for p in found} == {UNSURE, NOT_MUSIC}
    for p in found:
        assert tuple(p.probabilities) == bundle.genres and sum(p.probabilities.values()) == pytest.approx(1, abs=1e-12)
        assert p.confidence == max(p.probabilities.values()) and UNKNOWN not in p.probabilities


# --- tags ---


def test_tags_are_those_of_the_windows_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hear_levels(monkeypatch)
    prediction = level_bundle(tmp_path / "bundle").predict(song(ROCK, ROCK), heard_levels.SR)
    row = np.zeros((1, *EmbeddingView().shape), np.float32)
    row[0, :4] = heard_levels.OUTPUTS[ROCK]
    assert prediction.tags is not None and tuple(prediction.tags) == TAGS
    assert list(prediction.tags.values()) == pytest.approx(tag_probabilities(row).tolist(), abs=1e-7)
    assert prediction.music_score == heard_levels.MUSIC


def test_tags_are_in_the_json_on_demand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hear_levels(monkeypatch)
    prediction = level_bundle(tmp_path / "bundle").predict(song(ROCK, ROCK), heard_levels.SR)
    assert "tags" not in prediction.to_json() and "music_score" not in prediction.to_json(tags=True)
    assert json.loads(json.dumps(prediction.to_json(tags=True)))["tags"] == prediction.tags
    assert len(prediction.to_json(tags=True, top=2)["tags"]) == len(TAGS), "top is about genres"
    other = bundle_for(tmp_path / "other", SamplesView(sr=SR, n_samples=4_000)).predict(noise(1), SR)
    assert other.tags is other.music_score is None and "tags" not in other.to_json(tags=True)
