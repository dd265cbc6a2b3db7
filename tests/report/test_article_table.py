from __future__ import annotations

import csv
import html
import io
import re
from typing import Any

import pytest

from genrelab.core.hyperparameters import KEPT_BETTER
from genrelab.report.article_table import CSV_COLUMNS, ArticleTable, as_csv, as_markdown, make_table
from genrelab.report.page.article import render_article


def _board(split: str, part: str, n: int, scores: dict[str, tuple[float, float, float]], kind: str) -> dict[str, Any]:
    """`leaderboard.json` of a run, as far as the table needs it."""
    rows = [
        {"folder": m, "model": m, "view": "table", "accuracy": a, "accuracy_low": low, "accuracy_high": high, "n": n}
        for m, (a, low, high) in scores.items()
    ]
    best = [m for m in scores if m != "majority"]
    conclusion = {"kind": kind, "sentence": f"The word: {kind} it is.", "best": best[:1], "similar": best[1:]}
    return {
        "title": "songs|<b>.csv", "split": split, "part": part, "n": n, "rows": rows, "conclusion": conclusion,
        "not_run": [{"model": "raw_cnn", "reason": "no audio"}],
    }  # fmt: skip


ARTICLE = {"svm": (0.7, 0.6, 0.8), "knn": (0.6, 0.5, 0.7), "majority": (0.2, 0.1, 0.3)}
HONEST = {"svm": (0.4, 0.3, 0.5), "knn": (0.55, 0.45, 0.65), "majority": (0.2, 0.1, 0.3)}


def _table(kind: str = "not_significant", honest: dict[str, Any] = HONEST, part: str = "test") -> ArticleTable:
    boards = _board("article", "test", 90, ARTICLE, "best"), _board("artist", part, 80, honest, kind)
    return make_table(*boards, caption="3 epochs", differs=["Data: few tracks"])


def test_the_best_model_with_the_honest_split_comes_first() -> None:
    table = _table()
    assert [row.model for row in table.rows] == ["knn", "svm", "majority"]
    assert table.rows[0].cells == ("knn", "45", "60.0 [50.0, 70.0]", "55.0 [45.0, 65.0]", "+5.0 [−9.1, +19.1]")
    assert [row.stated for row in table.rows] == ["45", "47.75", None]
    assert "45.5" not in table.rows[1].cells  # the figure of the MLP


def test_the_conclusion_hedges_what_may_be_chance() -> None:
    words = _table().sentence
    assert words.startswith(
        "knn is right on 60.0 % of 90 test tracks with the article's split and 55.0 % of 80 test tracks"
    )
    assert "a difference of +5.0 [−9.1, +19.1] points, which may be chance" in words
    assert words.endswith("with the artist split 1 other model is not significantly worse.")
    assert words.count(". ") == 0, "one sentence"


def test_the_conclusion_says_what_a_clear_difference_means() -> None:
    table = _table("best", {"svm": (0.4, 0.3, 0.5), "knn": (0.3, 0.2, 0.4)})
    assert "so the article's split makes it look better than it is" in table.sentence
    assert table.sentence.endswith("with the artist split it is significantly better than all others.")
    harder = _table("best", {"svm": (0.9, 0.85, 0.95)})
    assert "so the article's split is not easier here" in harder.sentence


def test_nothing_is_concluded_from_too_few_tracks() -> None:
    assert _table("too_few").sentence == "With the artist split: The word: too_few it is."


def test_the_conclusion_says_that_the_honest_figures_are_invalid() -> None:
    assert _table("leaks").sentence.endswith("may be chance; the artist split leaks, too: leaks it is.")
    expected = "may be chance; but with the artist split the word: too_good it is."
    assert _table("too_good").sentence.endswith(expected)


def test_validation_tracks_are_named_where_there_are_no_test_tracks() -> None:
    table = _table(part="validation")
    assert "artist split, % of 80 validation tracks" in table.headers
    assert "of 80 validation tracks with the artist split" in table.sentence


def test_a_model_that_was_trained_with_one_split_only_has_no_difference() -> None:
    boards = (
        _board("article", "test", 90, ARTICLE, "best"),
        _board("artist", "test", 80, {"svm": HONEST["svm"]}, "best"),
    )
    boards[1]["not_run"] = [{"model": "knn", "reason": "no memory"}]
    table = make_table(*boards, caption="")
    knn = next(row for row in table.rows if row.model == "knn")
    assert knn.cells[2:] == ("60.0 [50.0, 70.0]", "–", "–")
    assert "knn: no memory (with the artist split)" in table.untrained and "raw_cnn: no audio" in table.untrained


def test_a_model_without_both_scores_leads_without_a_comparison() -> None:
    boards = (
        _board("article", "test", 90, {"svm": ARTICLE["svm"]}, "best"),
        _board("artist", "test", 80, HONEST, "best"),
    )
    assert make_table(*boards, caption="").sentence == "With the artist split: The word: best it is."


def test_all_forms_of_the_table_agree() -> None:
    table = _table()
    found = table.to_json()
    rows = list(csv.DictReader(io.StringIO(as_csv(table))))
    assert tuple(rows[0]) == CSV_COLUMNS
    page, text = html.unescape(render_article(table, "90 tracks")), as_markdown(table)
    assert found["sentence"] in page
    for model, row in zip(found["models"], rows, strict=True):
        assert (row["model"], row["article_percent"]) == (model["model"], model["stated_percent"] or "")
        for key in ("article_split", "honest_split"):
            assert float(row[key]) == model[key]["accuracy"] and int(row[f"{key}_n"]) == model[key]["n"]
        assert float(row["difference"]) == pytest.approx(model["difference"]["difference"], abs=1e-6)
    for cells in (row.cells for row in table.rows):
        assert "| " + " | ".join(c.replace("[", r"\[").replace("]", r"\]") for c in cells) + " |" in text
        assert re.search(r"<tr[^>]*>.*" + ".*".join(re.escape(c) for c in cells) + ".*</tr>", page)
    for sentence in (*table.sentences, *table.differs, *table.kept_better, "raw_cnn: no audio"):
        assert sentence in page
    assert len(table.kept_better) == len(KEPT_BETTER) and r"songs\|\<b\>.csv" in text


def test_the_table_is_the_first_thing_on_the_page_and_names_are_escaped() -> None:
    page = render_article(_table(), "90 tracks")
    assert "<b>" not in page and "songs|&lt;b&gt;.csv" in page
    body = page[page.index("<main") :]
    assert body.index("<table") < body.index('class="chart"') < body.index("What differs")
    assert 'href="article/report.html"' in body and 'href="honest/report.html"' in body
