"""An answer counts where it is sure enough; what was heard stays as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from genrelab.core.config import SamplesView
from genrelab.core.errors import BundleError, SettingsError
from genrelab.evaluation.calibration import Evidence
from genrelab.predict.prediction import Decision, Prediction
from tests.support.bundles import GENRES, SR, bundle_for, noise
from tests.support.evidence import evidence_from_confidences

FOLK = Prediction("a.wav", "Folk", 0.5, {"Blues": 0.3, "Folk": 0.5, "Rock": 0.2}, 1.0, "svm", None)
FAULT = Prediction("b.wav", None, None, {}, None, "svm", "no audio")


def evidence(*, folk: int) -> Evidence:
    """Blues and Folk answered right 40 times, Folk with this confidence; Rock never right."""
    return evidence_from_confidences({"Blues": [900] * 40, "Folk": [folk] * 40}, {"Rock": [600] * 30}, [100] * 30)


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
    said = Decision(thresholds)(FOLK)
    assert (said.genre, said.confidence, said.probabilities) == (genre, 0.5, FOLK.probabilities)
    assert said.guess == "Folk" and said.genre_set is None and "set" not in said.to_json()
    assert Decision(thresholds)(FAULT) == FAULT and FAULT.guess is None


@pytest.mark.parametrize(
    ("least", "expected"),
    [(0.0, ["Folk", "Blues", "Rock"]), (0.2, ["Folk", "Blues", "Rock"]), (0.25, ["Folk", "Blues"]), (0.9, ["Folk"])],
)
def test_genre_set_holds_all_likely_genres_and_is_never_empty(least: float, expected: list[str]) -> None:
    said = Decision(least_likely=least)(FOLK)
    assert said.to_json(top=1)["set"] == expected and said.genre == "Folk"
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
    heard, decided = plain.predict(noise(1), SR), asked.predict(noise(1), SR)
    assert heard.genre in GENRES and heard.genre_set is None
    assert decided.genre == "unknown" and decided.genre_set is not None and decided.genre_set[0] == heard.genre
    assert (decided.confidence, decided.timeline) == (heard.confidence, heard.timeline)
    assert [p.genre for p in asked.predict_many([tmp_path / "none.wav"])] == [None]


@pytest.mark.parametrize("share", [0, 1, -0.5, 90, float("nan")])
def test_invalid_shares_are_refused(tmp_path: Path, share: float) -> None:
    bundle = bundle_for(tmp_path / "bundle", SamplesView(sr=SR, n_samples=4_000), calibration=evidence(folk=700))
    for ask, name in ((bundle.with_min_precision, "min_precision"), (bundle.with_coverage, "coverage")):
        with pytest.raises(SettingsError, match=f"{name} must be above 0 and below 1"):
            ask(share)


def test_bundle_without_calibration_is_refused_with_a_remedy(tmp_path: Path) -> None:
    bundle = bundle_for(tmp_path / "old", SamplesView(sr=SR, n_samples=4_000))
    with pytest.raises(BundleError, match=r"old: keeps no calibration, which min_precision goes by: train linear"):
        bundle.with_min_precision(0.9)
    with pytest.raises(BundleError, match=r"old: keeps no calibration, which coverage goes by"):
        bundle.with_coverage(0.9)
