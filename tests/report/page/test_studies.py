"""page/studies.py: one sentence and one picture of all models, the rest folded."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from genrelab.report.page import studies as page_studies
from genrelab.report.page.blocks import Figure, Fold, Section, Table
from tests.support.scored_run import HONESTY, LEARNING_CURVE, ROBUSTNESS

N_MODELS = 9


def of_nine_models(found: dict[str, Any]) -> dict[str, Any]:
    """The study with nine models, and more sentences than its finding."""
    models = [copy.deepcopy(found["models"][0]) | {"model": f"model_{i}"} for i in range(N_MODELS)]
    return found | {"models": models, "sentences": ["the finding", "a detail", "another"]}


SECTIONS = {
    "honesty": page_studies.honesty_section(of_nine_models(HONESTY)),
    "learning curve": page_studies.learning_curve_section(of_nine_models(LEARNING_CURVE), "60 test tracks"),
    "robustness": page_studies.robustness_section(of_nine_models(ROBUSTNESS), {}),
}


@pytest.mark.parametrize("name", SECTIONS)
def test_section_is_a_sentence_a_picture_and_a_fold(name: str) -> None:
    section = SECTIONS[name]
    assert section.sentences == ["the finding"]
    figure, fold = section.blocks
    assert isinstance(figure, Figure) and isinstance(fold, Fold)
    assert fold.sentences == ["a detail", "another"]
    assert figure.table is not None and figure.table.folded


@pytest.mark.parametrize("name", SECTIONS)
def test_all_models_are_in_one_picture(name: str) -> None:
    (figure,) = [b for b in SECTIONS[name].blocks if isinstance(b, Figure)]
    text = str(figure.chart.spec["data"]["values"])
    assert all(f"model_{i}" in text for i in range(N_MODELS))


def test_differences_between_splits_are_in_one_table() -> None:
    found = folded_tables(SECTIONS["honesty"])["Differences between the splits"]
    assert len(found.rows) == N_MODELS
    assert found.rows[2] == ("model_2", "random tracks − artists kept apart", "+19.0", "+13.0 to +25.0", "60")


def test_only_significant_changes_are_framed_in_the_matrix() -> None:
    found = copy.deepcopy(ROBUSTNESS)
    changed = found["models"][0]["conditions"][1]
    for p, framed in ((0.01, True), (0.2, False)):
        changed["p_adjusted"] = p
        (figure,) = [b for b in page_studies.robustness_section(found, {}).blocks if isinstance(b, Figure)]
        (cell,) = figure.chart.spec["data"]["values"]
        assert cell["framed"] == framed and cell["tip"].startswith("svm, through a phone: 40.0 %, −20.0 points")


def folded_tables(section: Section) -> dict[str, Table]:
    return {t.caption: t for b in section.blocks if isinstance(b, Fold) for t in b.blocks if isinstance(t, Table)}
