"""warnings.py: each rule finds its case, in one short sentence, and a clean run has no warning."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from genrelab.evaluation.verdict import RunFacts, reach_verdict
from genrelab.evaluation.warnings import find_warnings

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


def cautions(
    models: dict[str, dict[str, Any]], run: dict[str, Any] | None = None, studies: Collection[str] = (), **more: Any
) -> dict[str, dict[str, Any]]:
    named = {folder: {**m, "display": m["display"] or folder} for folder, m in models.items()}
    known = RunFacts(run or facts(), named, more.get("comparisons", ()), more.get("audit"), "honesty" in studies)
    found = find_warnings(known, reach_verdict(known))
    for caution in found:
        assert set(caution) == {"rule", "sentence", "remedies", "details"}
        assert "\n" not in caution["sentence"] and ";" not in caution["sentence"]
        assert len(caution["sentence"].split()) <= 20
    return {c["rule"]: c for c in found}


CLEAN = {"svm": model(0.85, validation=0.86), "knn": model(0.70, validation=0.71), "majority": model(0.55, half=0.2)}
SURE = [pair("svm", "knn", separable=True)]


def test_clean_run_has_no_warnings() -> None:
    audit = {"verdict": "clean", "checks": [], "sentences": []}
    assert cautions(CLEAN, comparisons=SURE, audit=audit) == {}


def test_leaks_are_counted_by_kind_and_come_first() -> None:
    checks = [
        {"name": "near_duplicate", "leaking": 1, "of": 390, "known": 390},
        {"name": "same_artist", "leaking": 12, "of": 400, "known": 400},
        {"name": "same_audio", "leaking": 0, "of": 400, "known": 400},
    ]
    found = cautions(CLEAN, facts(policy="random"), comparisons=SURE, audit={"verdict": "leaks", "checks": checks})
    assert list(found) == ["leaks", "split"]
    leaks = found["leaks"]
    assert leaks["sentence"] == (
        "12 of 400 test tracks share artists with training tracks: the accuracies are too high"
    )
    assert leaks["details"] == "1 of 390 test tracks is a near-duplicate of a training track"
    assert "--split artist" in str(leaks["remedies"]) and "doctor" in str(leaks["remedies"])
    by_artist = cautions(CLEAN, comparisons=SURE, audit={"verdict": "leaks", "checks": checks[1:]})["leaks"]
    assert by_artist["remedies"] == [], "the split is by artist already, and nothing is a copy"


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
    found = cautions({"svm": model(accuracy, half=0.01)}, run)
    assert ("too_good" in found) is speaks
    if speaks:
        assert found["too_good"]["sentence"].endswith("which only a leak explains: svm")
        assert found["too_good"]["details"].startswith(f"svm {accuracy:.1%}; ".replace("%", " %"))


@pytest.mark.parametrize("n", [400, 3])
def test_synthetic_tracks_give_the_first_warning_and_their_accuracy_is_not_implausible(n: int) -> None:
    run = facts(policy="random")
    run["dataset"] |= {"genres": GTZAN, "synthesised": True}
    svm = model(0.99, half=0.01)
    svm["scores"]["n"] = n
    found = cautions({"svm": svm}, run)
    assert list(found) == ["synthesised", "split"]
    sentence = "the tracks are synthetic: these scores do not apply to real music"
    assert found["synthesised"] == {"rule": "synthesised", "sentence": sentence, "remedies": [], "details": ""}
    run["dataset"]["synthesised"] = False
    assert "synthesised" not in cautions({"svm": svm}, run)


def test_artists_on_both_sides_of_a_split_give_a_warning() -> None:
    found = cautions(CLEAN, facts(policy="article"), comparisons=SURE)["split"]["sentence"]
    assert found == "the article split puts artists in both the training and the test set, which raises accuracies"
    unknown = facts(policy="official", notes=["artists are unknown: the same artist may be on both sides"])
    assert cautions(CLEAN, unknown, comparisons=SURE)["split"]["sentence"].startswith("artists are unknown")


def test_accuracies_of_validation_tracks_give_a_warning() -> None:
    found = cautions(CLEAN, facts(no_test=True), comparisons=SURE)["no_test"]
    assert found["sentence"] == "there is no test set: all accuracies are of validation tracks"
    assert "--split artist" not in str(found["remedies"]), "that is the split of this run"
    other = cautions(CLEAN, facts(no_test=True, policy="official"), comparisons=SURE)["no_test"]
    assert "--split artist" in str(other["remedies"])


def test_luck_of_the_best_model_is_named_where_validation_chooses_another() -> None:
    models = {"svm": model(0.80, validation=0.70), "knn": model(0.72, validation=0.74)}
    unsure = [pair("svm", "knn", separable=False)]
    found = cautions(models, comparisons=unsure)["choice"]
    assert found["sentence"] == "expect less than the 80.0 % of svm, the highest of 2 models on these tracks"
    assert found["details"] == "validation tracks favour knn, which reaches 72.0 % here"
    assert "choice" not in cautions(models, comparisons=SURE)
    other = {"svm": model(0.80, validation=0.75), "knn": model(0.72, validation=0.7)}
    assert "choice" not in cautions(other, comparisons=unsure)
    leaking = {"verdict": "leaks", "checks": [{"name": "same_audio", "leaking": 1, "of": 4}]}
    assert "choice" not in cautions(models, comparisons=unsure, audit=leaking), "no figure is valid then"
    tie = {"svm": model(0.8, validation=0.7), "knn": model(0.8, validation=0.74)}
    assert "choice" not in cautions(tie, comparisons=unsure), "it is the same figure"


def test_few_tracks_give_no_warning_about_accuracies() -> None:
    few = {"svm": model(0.80, half=0.1, training=1.0), "knn": model(0.52, half=0.1)}
    assert {"overfitting", "not_above_majority", "wide_intervals"} & set(cautions(few))
    for m in few.values():
        m["scores"]["n"] = 9
    assert cautions(few) == {}
    assert list(cautions(few, facts(policy="random"))) == ["split"]


def test_study_that_was_already_run_is_not_suggested() -> None:
    models = {"svm": model(0.80, validation=0.70), "knn": model(0.72, validation=0.74)}
    for policy in ("artist", "random"):
        found = cautions(models, facts(policy=policy), studies=["honesty"])
        assert found and "--honesty" not in str(found)
        assert "--honesty" in str(cautions(models, facts(policy=policy)))


def test_intervals_wider_than_the_models_differ_give_a_warning() -> None:
    models = {"svm": model(0.80, half=0.1), "knn": model(0.72, half=0.1), "majority": model(0.5)}
    found = cautions(models)["wide_intervals"]
    assert (
        found["sentence"] == "400 test tracks by 90 artists are too few to rank the models: no two differ significantly"
    )
    assert "20.0 points wide" in found["details"] and "differ by only 8.0 points" in found["details"]
    assert "wide_intervals" in cautions(models, comparisons=[pair("svm", "knn", separable=False)])
    assert "wide_intervals" not in cautions(models, comparisons=SURE), "paired predictions rank them"
    assert "wide_intervals" not in cautions({"svm": model(0.80, half=0.1)})


def test_validation_above_test_beyond_chance_gives_a_warning() -> None:
    models = {"svm": model(0.70, validation=0.85), "knn": model(0.62, half=0.12, validation=0.75)}
    found = cautions(models)["validation_above"]
    assert found["sentence"] == "better on validation tracks than on test tracks by more than chance: svm"
    assert found["details"] == "svm by 15.0 points (chance explains 7.1)"
    found = cautions(models, facts(no_test=True))["validation_above"]
    assert "better on tracks set aside from training than on validation tracks" in found["sentence"]
    both = {"svm": model(0.70, validation=0.85), "knn": model(0.62, validation=0.75)}
    assert cautions(both)["validation_above"]["sentence"].endswith("by more than chance: svm and knn")


def test_overfitting_remedies_fit_the_kind_of_model() -> None:
    models = {"svm": model(0.70, validation=0.72, training=0.99), "knn": model(0.68, validation=0.7, training=0.8)}
    found = cautions(models)["overfitting"]
    assert found["sentence"] == "overfitting, over 20 points better on training tracks than on new ones: svm"
    assert found["details"] == "svm 99.0 % on training tracks, 72.0 % on new ones"
    assert "dropout" not in str(found["remedies"]) and "--epochs" not in str(found["remedies"])
    network = models | {"raw_cnn": model(0.7, training=1.0) | {"curve": {"best_epoch": 2}}}
    found = cautions(network)["overfitting"]
    assert found["sentence"].endswith(": svm and raw_cnn")
    assert "raw_cnn: fewer `--epochs`, or dropout" in str(found["remedies"])
    unseen = cautions({"svm": model(0.70, training=0.99)})["overfitting"]["details"]
    assert unseen == "svm 99.0 % on training tracks, 70.0 % on new ones"
    old = {"svm": {k: v for k, v in model(0.8).items() if k not in ("training", "validation")}}
    assert cautions(old) == {}  # a run of an earlier genrelab


def test_genres_with_few_test_tracks_are_named() -> None:
    thin = model(0.85, validation=0.86)
    thin["scores"]["per_genre"] = {"blues": {"n": 4}, "jazz": {"n": 5}, "metal": {"n": 0}}
    found = cautions({"svm": thin})["thin_genre"]
    assert found["sentence"] == "fewer than 5 test tracks in blues: recall and F1 there mean little"
    assert found["details"] == "blues: 4 tracks"
    thin["scores"]["per_genre"] = {f"genre {i}": {"n": 1} for i in range(30)}
    assert "in every genre:" in cautions({"svm": thin})["thin_genre"]["sentence"]


def test_models_not_above_the_baseline_are_named() -> None:
    models = {"svm": model(0.85), "raw_cnn": model(0.58) | {"curve": {}}, "majority": model(0.55)}
    found = cautions(models)["not_above_majority"]
    assert found["sentence"] == "not significantly better than always guessing blues (55.0 %): raw_cnn"
    assert "--epochs" in str(found["remedies"])
    run = facts() | {"majority": 0.3}
    only = cautions({"svm": model(0.52), "knn": model(0.9)}, run)["not_above_majority"]
    assert only["sentence"] == "not significantly better than chance (50.0 %): svm" and "--epochs" not in str(only)
    none = cautions({"svm": model(0.52)}, run)["not_above_majority"]["sentence"]
    assert none == "the models may have learned nothing, or 400 test tracks are too few to show it"
