"""page.py and what stands on the page of a run and of a preparation, as HTML."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from genrelab.core.errors import PreparedError
from genrelab.core.storage import Folder
from genrelab.evaluation.percent import format_interval, percent, points
from genrelab.records.prepared import read_parquet, write_parquet
from genrelab.report.page.blocks import Table, sentence, with_full_stop
from genrelab.report.report import build_report
from tests.support import scored_run
from tests.support.scored_run import CLEAN, HOSTILE, ids, write_run, write_studies


class Found(HTMLParser):
    """Ids, links, tables and the charts' specifications of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.sources: list[str] = []
        self.tables: list[list[str]] = []
        self.labels: list[str] = []
        self.text: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = {k: v or "" for k, v in attrs}
        if "id" in known:
            self.ids.append(known["id"])
        if "href" in known and tag == "a":
            self.links.append(known["href"])
        if "src" in known:
            self.sources.append(known["src"])
        if tag == "table":
            self.tables.append([])
        if tag in ("caption", "th") and self.tables:
            self.tables[-1].append(f"{tag} {known.get('scope', '')}".strip())
        if known.get("class") == "chart":
            self.labels.append(known["data-label"])

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a run with every study, whose audio lies beside it."""
    top = tmp_path_factory.mktemp("page")
    root, run = top / "music & more", Folder(top / "RUN")
    root.mkdir()
    for i in range(60):
        (root / HOSTILE.replace("0", str(i))).write_bytes(b"RIFF")
    write_run(run, root=root)
    write_studies(run)
    build_report(run)
    return run.read_bytes("report.html").decode()


def without_scripts(page: str) -> str:
    return re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)


def test_the_page_needs_no_network_and_escapes_every_name(page: str) -> None:
    html = without_scripts(page)
    assert "<b>" not in html and "<i>" not in html and "&lt;i&gt;" in html
    assert "http:" not in html and "https:" not in html
    assert "sourceMappingURL" not in page
    assert "<title>music &amp; more: genrelab report</title>" in html
    assert len(page) < 5_000_000


def test_tuning_of_other_tracks_is_named_but_not_shown(tmp_path: Path) -> None:
    run = Folder(tmp_path / "RUN")
    write_run(run)
    write_studies(run)
    split = read_parquet(run, "split.parquet")
    parts = ["training"] * 9 + ["test"] * (len(split) - 9)
    write_parquet(run, "split.parquet", split.set_column(split.schema.get_field_index("part"), "part", [parts]))
    learned = [f"{t}\t{sha}\n" for t, sha in zip(ids(9), split["sha256"].to_pylist()[:9], strict=True)]
    said = "tune/svm is not shown: its search used other tracks than this run"
    for seen, shown in ((learned, True), (learned[:5], True), ([*learned, "<b>9</b>\tf00\n"], False)):
        run.write_bytes("tune/svm/tracks.txt", "".join(seen).encode())
        build_report(run)
        page = run.read_bytes("report.html").decode()
        assert ("Best trial and default settings" in page) == shown
        assert (said in page) != shown


def test_a_page_of_many_genres_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    genres = tuple(f"genre {i}" for i in range(90))
    monkeypatch.setattr(scored_run, "GENRES", genres)
    run, rng, n = Folder(tmp_path / "RUN"), np.random.default_rng(0), 1_000
    truth, artists = rng.integers(0, 90, n), [f"artist {i // 3}" for i in range(n)]
    for i in range(10):
        p = np.exp(rng.normal(size=(n, 90)) + np.eye(90)[truth])
        scored_run.write_model(run, f"model_{i}", "test", truth, p / p.sum(axis=1, keepdims=True), artists)
    scored_run.write_split(run, "test", truth, artists)
    run.write_json("run.json", scored_run.run_facts("test", n))
    build_report(run)
    page = run.read_bytes("report.html").decode()
    assert len(page) < 5_000_000
    assert "Most frequent mistakes, 100 of " in page and "0 of " not in "".join(re.findall(r'"tip": "(.{5})', page))


def test_every_study_has_a_part_and_every_link_a_target(page: str) -> None:
    found = Found(page)
    parts = (
        "comparisons",
        "audit",
        "honesty",
        "more-data",
        "robustness",
        "doubts",
        "tuning",
        "models",
        "environment",
    )
    assert set(parts) <= set(found.ids)
    assert len(found.ids) == len(set(found.ids))
    assert {link.removeprefix("#") for link in found.links} <= set(found.ids)


def test_tables_have_captions_and_scopes_and_charts_have_words(page: str) -> None:
    found = Found(page)
    assert len(found.tables) > 15
    for table in found.tables:
        assert table[0] == "caption"
        assert set(table[1:]) <= {"th col", "th row"}
    assert len(found.labels) > 15
    assert all(found.labels)


def test_every_chart_is_readable_json(page: str) -> None:
    specs = re.findall(r'<script type="application/json">(.*?)</script>', page, flags=re.DOTALL)
    assert len(specs) == len(Found(page).labels)
    assert all("data" in json.loads(s) or "layer" in json.loads(s) for s in specs)


def test_audio_is_linked_from_the_page_to_the_file(page: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    from urllib.parse import unquote

    players = [s for s in Found(page).sources if not s.startswith("data:")]
    assert len(players) > 10
    assert all(s.startswith("../music%20%26%20more/") for s in players)
    names = {HOSTILE.replace("0", str(i)) for i in range(60)}
    assert {unquote(s).removeprefix("../music & more/") for s in players} <= names


def test_study_findings_are_on_the_page(page: str) -> None:
    text = " ".join(" ".join(Found(without_scripts(page)).text).split())
    for words in (
        "There are leaks: some of the 60 test tracks are also among the 240 training and validation tracks",
        "1 of 60 scored tracks is a recording that was learned",
        "random tracks − artists kept apart",
        "the last doubling brought 10 points",
        "a phone costs 20 points",
        "svm: 45.0 % in the best of 3 trials, 40.0 % with the default settings",
        "label blues, suggested pop (98 %)",
        "Temperature 1.83, fitted on validation",
        "Without 0.0 to 1.0 s, 1,000 to 10,000 Hz, the probability falls by 30.0 points",
        "overfitting gap 25.0 points",
        "windows of test tracks",
    ):
        assert words in text, words


def test_where_no_temperature_was_fitted_none_is_shown(tmp_path: Path) -> None:
    run = Folder(tmp_path / "RUN")
    write_run(run)
    write_studies(run)
    stored = run.read_json("svm/metrics.json")
    run.write_json("svm/metrics.json", stored | {"calibration": stored["calibration"] | {"n": 16, "fitted": False}})
    build_report(run)
    text = " ".join(" ".join(Found(without_scripts(run.read_bytes("report.html").decode())).text).split())
    assert "Not calibrated; n = 60" in text or "Not calibrated" in text
    assert "Temperature 1" not in text and "log loss before" not in text


def test_clean_split_is_stated_and_missing_studies_are_left_out(tmp_path: Path) -> None:
    run = Folder(tmp_path / "RUN")
    write_run(run)
    run.write_json("audit.json", CLEAN)
    build_report(run)
    page = run.read_bytes("report.html").decode()
    assert "No leak was found between the 240 training and validation tracks and the 60 test tracks" in page
    assert not {"honesty", "doubts", "tuning", "robustness", "more-data", "map"} & set(Found(page).ids)
    assert "The prepared folder was moved or changed" in page
    assert "no audio: its folder is unknown" in page


@pytest.mark.parametrize("name", ["audit", "honesty", "learning_curve", "robustness", "doubts", "tune/svm/trials"])
def test_incomplete_study_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    run = Folder(tmp_path / "RUN")
    write_run(run)
    run.write_json(f"{name}.json", {"verdict": "clean", "checks": [], "models": [{}], "rows": [{}]})
    with pytest.raises(PreparedError, match=r"make it again|missing from its files"):
        build_report(run)


@pytest.mark.parametrize("name", ["audit.json", "svm/occlusion.json", "honesty.json"])
def test_truncated_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    run = Folder(tmp_path / "RUN")
    write_run(run)
    run.write_bytes(name, b'{"checks": [')
    with pytest.raises(PreparedError, match=f"{name} is damaged"):
        build_report(run)


def test_numbers_and_sentences_are_formatted() -> None:
    assert (percent(0.4123), percent(None)) == ("41.2", "–")
    assert (points(-0.05), points(0.05), points(None)) == ("−5.0", "+5.0", "–")
    assert format_interval(0.1, 0.25) == "10.0 to 25.0"
    assert format_interval(None, 0.25) == "–"
    assert [sentence(s) for s in ("a b", "Is it?", "")] == ["A b.", "Is it?", ""]
    given = ("svm is first", "Is it?", "", "Run: `genrelab report`")
    assert [with_full_stop(s) for s in given] == ["svm is first.", "Is it?", "", "Run: `genrelab report`"]
    assert np.ndim(Table("c", ("a",), [("b",)]).rows) == 2
