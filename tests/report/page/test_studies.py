"""page/studies.py: what the studies say stands once, and a table is there only where it tells something."""

from __future__ import annotations

import copy
from typing import Any

from genrelab.report.page import studies as page_studies
from genrelab.report.page.blocks import Section, Table
from genrelab.studies import learning_curve
from tests.support.scored_run import HONESTY, LEARNING_CURVE


def tables(section: Section) -> dict[str, Table]:
    return {b.caption: b for b in section.blocks if isinstance(b, Table)}


def honesty_of(n: int) -> dict[str, Any]:
    """A study of `n` models, each with one difference that is told in a sentence."""
    found = copy.deepcopy(HONESTY)
    models = []
    for i in range(n):
        model = copy.deepcopy(found["models"][0]) | {"model": f"model_{i}"}
        model["differences"][0]["sentence"] = f"model_{i} seems better"
        models.append(model)
    told = [f"model_{i} seems better" for i in range(n)]
    return found | {"models": models, "sentences": [*told, "not run: windows"]}


def test_differences_of_few_models_stand_once_as_sentences() -> None:
    section = page_studies.honesty_section(honesty_of(3))
    assert len(section.sentences) == 4
    assert "seems better" not in str(tables(section))


def test_differences_of_many_models_stand_in_an_open_table_and_once_in_words() -> None:
    section = page_studies.honesty_section(honesty_of(4))
    assert section.sentences == ["not run: windows"]
    found = tables(section)
    assert not found["Differences between the splits"].folded
    assert found["The differences in words"].folded
    assert str(found).count("model_2 seems better") == 1


def test_genres_with_too_noisy_curves_are_one_sentence() -> None:
    assert page_studies.NOISY == learning_curve.NOISY
    found = copy.deepcopy(LEARNING_CURVE)
    noisy = {"gain": 0.5, "low": -1.0, "high": 1.0, "verdict": learning_curve.NOISY}
    found["models"] = [found["models"][0], found["models"][0] | {"model": "knn", "genres": {"blues": noisy}}]
    section = page_studies.learning_curve_section(found, "n = 60 test tracks")
    assert [c.partition(":")[0] for c in tables(section)] == ["svm"]
    assert section.sentences[-1].startswith("knn: too few scored tracks of each genre")
