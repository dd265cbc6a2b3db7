"""cautions.py: each rule speaks where it must, and a clean run is left alone."""

from __future__ import annotations

from typing import Any

import pytest

from genrelab.evaluation.verdict import recommended_model, verdict
from genrelab.evaluation.warnings import OVERFITTING_REMEDIES, find_warnings

GTZAN = ["blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock"]


def facts(**split: Any) -> dict[str, Any]:
    return {
        "dataset": {"name": "folder", "genres": ["blues", "jazz"]},
        "split": {"policy": "artist", "no_test": False, "notes": [], **split},
        "part": "validation" if split.get("no_test") else "test",
        "chance": 0.5,
        "majority": 0.55,
        "majority_genre": "blues",
    }


def model(
    accuracy: float, *, half: float = 0.05, validation: float | None = None, training: float = 0.8
) -> dict[str, Any]:
    scores = {
        "n": 400,
        "n_groups": 90,
        "interval_over": "artists",
        "accuracy": accuracy,
        "accuracy_low": accuracy - half,
        "accuracy_high": accuracy + half,
        "per_genre": {"blues": {"n": 220}, "jazz": {"n": 180}},
    }
    chose = {"n": 200, "accuracy": validation, "accuracy_low": 0, "accuracy_high": 0}
    if validation is not None:
        chose |= {"accuracy_low": validation - half, "accuracy_high": validation + half}
    return {
        "display": "",
        "scores": scores,
        "training": {"n": 1_000, "accuracy": training},
        "validation": chose if validation is not None else None,
    }


def pair(a: str, b: str, *, separable: bool) -> dict[str, Any]:
    return {"a": a, "b": b, "separable": separable, "difference": 0.1, "low": 0.02, "high": 0.18}


def told(
    models: dict[str, dict[str, Any]], run: dict[str, Any] | None = None, **more: Any
) -> dict[str, dict[str, Any]]:
    named = {folder: {**m, "display": m["display"] or folder} for folder, m in models.items()}
    given: dict[str, Any] = {"comparisons": [], "audit": None, **more}
    found = find_warnings(facts=run or facts(), models=named, **given)
    assert all(set(c) == {"rule", "sentence", "remedies"} and "\n" not in c["sentence"] for c in found)
    return {c["rule"]: c for c in found}


CLEAN = {"svm": model(0.85, validation=0.86), "knn": model(0.70, validation=0.71), "majority": model(0.55, half=0.2)}
SURE = [pair("svm", "knn", separable=True)]


def test_clean_run_has_no_warnings() -> None:
    audit = {"verdict": "clean", "checks": [], "sentences": []}
    assert told(CLEAN, comparisons=SURE, audit=audit) == {}


def test_leaks_are_counted_by_kind_and_come_first() -> None:
    checks = [
        {"name": "same_artist", "leaking": 12, "of": 400, "known": 400},
        {"name": "same_audio", "leaking": 0, "of": 400, "known": 400},
        {"name": "near_duplicate", "leaking": 3, "of": 390, "known": 390},
    ]
    found = told(CLEAN, facts(policy="random"), comparisons=SURE, audit={"verdict": "leaks", "checks": checks})
    assert list(found) == ["leaks", "split"]
    assert "(same artist: 12 of 400; near duplicate: 3 of 390)" in found["leaks"]["sentence"]
    assert found["leaks"]["remedies"]


@pytest.mark.parametrize(
    ("genres", "accuracy", "speaks"),
    [
        (GTZAN, 0.96, True),
        (GTZAN, 0.94, False),
        (["Hip-Hop", "Pop", "Rock", "Folk", "Electronic", "Experimental", "Instrumental", "International"], 0.72, True),
        (
            ["Hip-Hop", "Pop", "Rock", "Folk", "Electronic", "Experimental", "Instrumental", "International"],
            0.68,
            False,
        ),
        (["blues", "jazz"], 0.99, False),
    ],
)
def test_implausibly_high_accuracy_gives_a_warning(genres: list[str], accuracy: float, speaks: bool) -> None:
    run = facts()
    run["dataset"]["genres"] = sorted(genres)
    found = told({"svm": model(accuracy, half=0.01)}, run)
    assert ("too_good" in found) is speaks
    if speaks:
        assert f"svm {accuracy:.1%}".replace("%", " %") in found["too_good"]["sentence"]


def test_artists_on_both_sides_of_a_split_give_a_warning() -> None:
    assert (
        "one artist's tracks on both sides"
        in told(CLEAN, facts(policy="article"), comparisons=SURE)["split"]["sentence"]
    )
    unknown = facts(policy="official", notes=["artists are unknown: the same artist may be on both sides"])
    assert told(CLEAN, unknown, comparisons=SURE)["split"]["sentence"].startswith("artists are unknown")


def test_scoring_the_validation_part_gives_a_warning() -> None:
    assert (
        "every figure is of the validation part"
        in told(CLEAN, facts(no_test=True), comparisons=SURE)["no_test"]["sentence"]
    )


def test_validation_decides_between_models_the_test_cannot_separate() -> None:
    models = {"svm": model(0.80, validation=0.70), "knn": model(0.72, validation=0.74)}
    unsure = [pair("svm", "knn", separable=False)]
    said = told(models, comparisons=unsure)["choice"]["sentence"]
    assert said == (
        "svm is first on the test part (80.0 %), validation would have chosen knn, and the test part cannot tell them "
        "apart: quote 72.0 %, of knn; 80.0 % is the highest of 2, so luck is in it"
    )
    assert "choice" not in told(models, comparisons=SURE)
    assert "choice" not in told(
        {"svm": model(0.80, validation=0.75), "knn": model(0.72, validation=0.7)}, comparisons=unsure
    )


def test_headline_warning_and_hint_name_the_same_model() -> None:
    models = {"svm": model(0.80, validation=0.70), "knn": model(0.72, validation=0.74)}
    unsure, first = [pair("svm", "knn", separable=False)], {"folder": None, "sentence": "svm is first"}
    named = {folder: {**m, "display": folder} for folder, m in models.items()}
    given: dict[str, Any] = {"facts": facts(), "models": named}
    found = find_warnings(**given, comparisons=unsure, audit=None)
    said = verdict(**given, winner=first, warnings=found)
    assert "svm reaches 80.0 % [75.0, 85.0]" in said
    assert (
        "Validation would have chosen knn, which reaches 72.0 % [67.0, 77.0]: quote that figure, for it was not picked "
        "on the test part. Believe"
    ) in said
    assert recommended_model(**given, warnings=found) == "knn" and recommended_model(**given, warnings=[]) == "svm"
    leaking = {"verdict": "leaks", "checks": [{"name": "same_audio", "leaking": 1, "of": 4}]}
    assert "choice" not in told(models, comparisons=unsure, audit=leaking), "no figure is to be quoted"
    tie = {"svm": model(0.8, validation=0.7), "knn": model(0.8, validation=0.74)}
    assert "choice" not in told(tie, comparisons=unsure), "it is the same figure"


def test_study_that_was_already_run_is_not_suggested() -> None:
    models = {"svm": model(0.80, validation=0.70), "knn": model(0.72, validation=0.74)}
    for policy in ("artist", "random"):
        found = told(models, facts(policy=policy), studies=["honesty"])
        assert "--honesty" not in str(found) and "honesty study of this run" in str(found)
        assert "--honesty" in str(told(models, facts(policy=policy)))


def test_intervals_wider_than_the_models_differ_give_a_warning() -> None:
    models = {"svm": model(0.80, half=0.1), "knn": model(0.72, half=0.1), "majority": model(0.5)}
    said = told(models)["wide_intervals"]["sentence"]
    assert "20.0 points wide" in said
    assert "within 8.0 points: 400 tracks of 90 artists are too few" in said
    assert "wide_intervals" in told(models, comparisons=[pair("svm", "knn", separable=False)])
    assert "wide_intervals" not in told(models, comparisons=SURE), "the answers rank them"
    assert "wide_intervals" not in told({"svm": model(0.80, half=0.1)})


def test_validation_above_test_beyond_chance_gives_a_warning() -> None:
    models = {"svm": model(0.70, validation=0.85), "knn": model(0.62, half=0.12, validation=0.75)}
    said = told(models)["validation_above"]["sentence"]
    assert said == "validation lies above test: svm by 15.0 points (chance explains 7.1)"
    said = told(models, facts(no_test=True))["validation_above"]["sentence"]
    assert said.startswith("the part that chooses lies above validation: svm")


def test_overfitting_gap_gives_a_warning_with_remedies() -> None:
    models = {"svm": model(0.70, validation=0.72, training=0.99), "knn": model(0.68, validation=0.7, training=0.8)}
    found = told(models)["overfitting"]
    assert found["sentence"] == "training far above unseen tracks (overfitting): svm 99.0 % against 72.0 %"
    assert found["remedies"] == OVERFITTING_REMEDIES
    unseen = told({"svm": model(0.70, training=0.99)})["overfitting"]["sentence"]
    assert unseen == "training far above unseen tracks (overfitting): svm 99.0 % against 70.0 %"
    old = {"svm": {k: v for k, v in model(0.8).items() if k not in ("training", "validation")}}
    assert told(old) == {}  # a run of an earlier genrelab


def test_genres_with_few_scored_tracks_are_named() -> None:
    thin = model(0.85, validation=0.86)
    thin["scores"]["per_genre"] = {"blues": {"n": 4}, "jazz": {"n": 5}, "metal": {"n": 0}}
    assert told({"svm": thin})["thin_genre"]["sentence"].startswith("fewer than 5 scored tracks: blues (4 tracks);")


def test_models_not_above_the_majority_line_are_named() -> None:
    models = {"svm": model(0.85), "raw_cnn": model(0.58), "majority": model(0.55)}
    assert (
        told(models, comparisons=[])["not_above_majority"]["sentence"]
        == "not safely above the majority line (55.0 %): raw_cnn"
    )
    run = facts() | {"majority": 0.3}
    assert "not safely above chance (50.0 %)" in told({"svm": model(0.52)}, run)["not_above_majority"]["sentence"]


def test_verdict_states_data_winner_and_what_to_trust() -> None:
    named = {folder: {**m, "display": folder} for folder, m in CLEAN.items()}
    first = {"folder": "svm", "sentence": "svm is first, and better than the other model by more than chance"}
    said = verdict(facts=facts(), models=named, winner=first, warnings=[])
    assert said == (
        "3 models answered 400 test tracks of 90 artists of folder, artist split. "
        "svm is first, and better than the other model by more than chance. "
        "svm reaches 85.0 % [80.0, 90.0], above chance (50.0 %) and the majority line (55.0 %). "
        "Believe the interval more than the figure in its middle."
    )
    unsure = verdict(facts=facts(), models=named, winner={"folder": None, "sentence": "x"}, warnings=[])
    assert unsure.endswith("Believe the intervals, not the order of the models that cannot be told apart.")
    leaky = verdict(facts=facts(), models=named, winner=first, warnings=[{"rule": "leaks"}])
    assert leaky.endswith("Believe none of these figures before the leaks are out.")
