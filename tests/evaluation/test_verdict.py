"""verdict.py: one rule, one sentence, and no winner where the tracks do not support one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from genrelab.evaluation.comparison import compare_all
from genrelab.evaluation.verdict import RunFacts, Verdict, reach_verdict


def scored(accuracy: float, *, n: int = 60, half: float = 0.05) -> dict[str, Any]:
    low, high = max(0.0, accuracy - half), min(1.0, accuracy + half)
    return {"n": n, "accuracy": accuracy, "accuracy_low": low, "accuracy_high": high}


def verdict(
    accuracy: dict[str, float], *, separable: tuple[str, ...] = (), n: int = 60, half: float = 0.05, **more: Any
) -> Verdict:
    """The verdict on models of these accuracies; the first is significantly better than those in `separable`."""
    models = {m: {"display": f"{m} (x)", "scores": scored(a, n=n, half=half)} for m, a in accuracy.items()}
    first, *others = [m for m in accuracy if m != "majority"] or [""]
    pairs = [
        {
            "a": first,
            "b": m,
            "separable": m in separable,
            "difference": accuracy[first] - accuracy[m],
            "only_a": 3,
            "only_b": 3,
        }
        for m in others
    ]
    facts = {
        "dataset": {"genres": more.get("genres", ["a", "b"]), **more.get("dataset", {})},
        "split": {"no_test": more.get("part") == "validation", "policy": "artist", "notes": []},
        "part": more.get("part", "test"),
        "chance": 0.1,
        "majority": 0.2,
        "majority_genre": "rock",
    }
    return reach_verdict(RunFacts(facts, models, pairs, more.get("audit")))


@pytest.mark.parametrize("n", [1, 3, 9])
def test_under_ten_tracks_nothing_is_concluded(n: int) -> None:
    found = verdict({"svm": 0.9, "knn": 0.1}, separable=("knn",), n=n)
    tracks = "1 test track" if n == 1 else f"{n} test tracks"
    assert found == Verdict("too_few", f"{tracks}: too few to conclude anything.", "test", n)
    assert not found.ranked and found.recommended is None and found.best == ()


def test_ten_tracks_are_ranked() -> None:
    assert verdict({"svm": 0.9, "knn": 0.5}, n=10).best == ("svm",)


def test_significantly_best_model_is_named_with_its_rivals() -> None:
    two = verdict({"svm": 0.5, "knn": 0.4, "majority": 0.2}, separable=("knn",))
    assert (two.kind, two.recommended) == ("best", "svm")
    assert two.sentence == (
        "svm (x) is best on the 60 test tracks: 50.0 %, significantly better than knn (x) (40.0 %)."
    )
    three = verdict({"svm": 0.5, "knn": 0.4, "mlp": 0.3}, separable=("knn", "mlp")).sentence
    assert three.endswith("50.0 %, significantly better than all 2 other models.")


def test_models_that_are_not_significantly_different_are_counted() -> None:
    one = verdict({"svm": 0.5, "knn": 0.45, "mlp": 0.3, "majority": 0.2}, separable=("mlp",))
    assert (one.kind, one.best, one.similar, one.recommended) == ("not_significant", ("svm",), ("knn",), "svm")
    assert one.sentence == (
        "svm (x) is best on the 60 test tracks: 50.0 %, not significantly better than knn (x) (45.0 %)."
    )
    two = verdict({"svm": 0.5, "knn": 0.45, "mlp": 0.44}).sentence
    assert two.endswith("not significantly better than knn (x) (45.0 %) and 1 other model.")


def test_equal_accuracies_have_no_winner() -> None:
    tie = verdict({"svm": 0.5, "knn": 0.5, "mlp": 0.4})
    assert (tie.kind, tie.best, tie.similar) == ("tie", ("svm", "knn"), ("mlp",))
    assert tie.sentence == (
        "svm (x) and knn (x) are equally good on the 60 test tracks: 50.0 % each, "
        "not significantly better than mlp (x) (40.0 %)."
    )
    many = verdict(dict.fromkeys(("svm", "knn", "mlp", "gaussian_nb"), 0.5)).sentence
    assert many.startswith("svm (x) and 3 other models are equally good")


def test_single_model_is_compared_with_the_baseline() -> None:
    one = verdict({"svm": 0.5, "majority": 0.2})
    assert (one.kind, one.best, one.recommended) == ("one_model", (), "svm")
    assert one.sentence == (
        "svm (x) is right on 50.0 % of the 60 test tracks, significantly better than always guessing rock (20.0 %)."
    )


def test_models_like_the_baseline_are_not_recommended() -> None:
    none = verdict({"svm": 0.22, "knn": 0.2})
    assert (none.kind, none.recommended) == ("not_above_baseline", None)
    assert none.sentence == (
        "No model is significantly better than always guessing rock (20.0 %) on the 60 test tracks."
    )
    one = verdict({"svm": 0.22}).sentence
    assert one == (
        "svm (x) (22.0 %) is not significantly better than always guessing rock (20.0 %) on the 60 test tracks."
    )
    assert verdict({"majority": 0.2}).sentence == (
        "Only the baseline was scored on the 60 test tracks: always guessing rock (20.0 %)."
    )


def test_leaks_and_implausible_accuracies_leave_no_winner() -> None:
    audit = {"verdict": "leaks", "checks": [{"name": "same_audio", "leaking": 1, "of": 60}]}
    leaks = verdict({"svm": 0.9, "knn": 0.3}, separable=("knn",), audit=audit)
    assert (leaks.kind, leaks.best, leaks.recommended) == ("leaks", (), None)
    assert leaks.sentence == "The accuracies are invalid: 1 of 60 test tracks shares audio with training tracks."
    gtzan = ["blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock"]
    assert verdict({"svm": 0.99, "knn": 0.3}, genres=gtzan).kind == "too_good"
    synthetic = {"synthesised": True}
    assert verdict({"svm": 0.99, "knn": 0.3}, separable=("knn",), genres=gtzan, dataset=synthetic).kind == "best"
    assert verdict({"svm": 0.9, "knn": 0.3}, genres=gtzan).kind == "not_significant"


def test_validation_tracks_are_named_where_there_is_no_test_set() -> None:
    found = verdict({"svm": 0.5, "knn": 0.4}, part="validation")
    assert "best on the 60 validation tracks (there is no test set): 50.0 %" in found.sentence
    assert found.part == "validation"


def test_colours_follow_the_adjusted_p_values() -> None:
    correct = {m: np.arange(300) < n for m, n in {"svm": 240, "knn": 239, "mlp": 150}.items()}
    models = {m: {"display": m, "scores": scored(float(c.mean()), n=300)} for m, c in correct.items()}
    facts = {
        "dataset": {"genres": []},
        "split": {"no_test": False},
        "part": "test",
        "chance": 0.1,
        "majority": 0.2,
        "majority_genre": "rock",
    }
    found = reach_verdict(RunFacts(facts, models, compare_all(correct), None))
    assert [found.is_strong(m) for m in models] == [True, True, False]
    assert found.kinds[0].startswith("best, or not significantly different")
    assert verdict({"svm": 0.5}).kinds == ("", "") and verdict({"svm": 0.5}).is_strong("svm")
