"""The page in a browser: no network, no error, all charts drawn, readable on a phone, accessible in light and dark."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import numpy as np
import pytest
import soundfile

from genrelab.core.config import MelImageView, PrepareSettings, StatisticsView
from genrelab.core.storage import Folder
from genrelab.datasets.registry import load_dataset
from genrelab.prepare.pipeline import prepare
from genrelab.report.report import build_report
from tests.support import scored_run
from tests.support.command import call
from tests.support.guards import HANG_S
from tests.support.scored_run import HOSTILE, write_run, write_studies
from tests.support.tones import write_tone

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright (the extra dev)")
axe_api = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")

DRAWN = "[...document.querySelectorAll('.chart')].every(c => c.dataset.drawn === 'done')"
VISIBLE_DRAWN = "[...document.querySelectorAll('.chart')].every(c => c.dataset.drawn === 'done' || !c.offsetParent)"
ON_PAPER = "dispatchEvent(new Event('beforeprint'))"  # opens and draws everything


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs chromium on the path")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")
MODELS = (
    "majority", "logistic_regression", "knn", "gaussian_nb", "svm", "mlp", "musicnn", "raw_cnn", "mobilenet_v2",
)  # fmt: skip
MAX_WORDS = 800  # before anything is unfolded
MAX_PHONE_PX = 7_000


@pytest.fixture(scope="module")
def full_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run of all models on ten genres, with every study and its preparation."""
    top, rng, n = tmp_path_factory.mktemp("full"), np.random.default_rng(0), 60
    run, music = Folder(top / "RUN"), top / "music"
    for i, genre in enumerate(GENRES):
        for j in range(2):
            write_tone(music / genre / f"{j}.wav", hz=220 + 50 * i + 7 * j, seconds=0.5, seed=2 * i + j)
    views = PrepareSettings(views=(StatisticsView(), MelImageView()))
    prepared = prepare(load_dataset(music), top / "RUN" / "prepared", views, jobs=1)
    truth, artists = rng.integers(0, len(GENRES), n), [f"artist {i // 3}" for i in range(n)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scored_run, "GENRES", GENRES)
        for i, name in enumerate(MODELS):
            p = np.exp(rng.normal(size=(n, len(GENRES))) + 0.5 * i * np.eye(len(GENRES))[truth])
            scored_run.write_model(run, name, "test", truth, p / p.sum(axis=1, keepdims=True), artists)
        scored_run.write_split(run, "test", truth, artists)
        facts = scored_run.run_facts("test", n)
    run.write_json("run.json", facts | {"dataset": facts["dataset"] | {"fingerprint": prepared.about["fingerprint"]}})
    write_studies(run)
    for study in ("honesty", "learning_curve", "robustness"):
        found = run.read_json(f"{study}.json")
        run.write_json(f"{study}.json", found | {"models": [found["models"][0] | {"model": m} for m in MODELS[1:]]})
    build_report(run)
    return top / "RUN" / "report.html"


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run with every study, whose audio can be played."""
    top = tmp_path_factory.mktemp("browser")
    root, run = top / "music", Folder(top / "RUN")
    root.mkdir()
    tone = np.sin(2 * math.pi * 440 * np.arange(4_000) / 8_000).astype(np.float32)
    for i in range(60):
        soundfile.write(root / HOSTILE.replace("0", str(i)), tone, 8_000)
    write_run(run, root=root)
    write_studies(run)
    build_report(run)
    return top / "RUN" / "report.html"


def patient_page(browser: Any, **options: Any) -> Any:
    """A page whose waits end with what they wait for."""
    page = browser.new_page(**options)
    page.set_default_timeout(1_000 * HANG_S)
    return page


class Opened:
    """A page in a browser with everything unfolded, and its errors, messages and requests."""

    def __init__(self, browser: Any, file: Path, *, width: int, scheme: str) -> None:
        self.page = patient_page(browser, viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.errors: list[str] = []
        self.page.on("console", lambda m: self.errors.append(f"{m.type}: {m.text}"))
        self.page.on("pageerror", lambda e: self.errors.append(f"error: {e}"))
        self.page.route("**/*", self._only_files)
        self.page.goto(file.as_uri())
        self.page.evaluate(ON_PAPER)
        self.page.wait_for_function(DRAWN)

    def _only_files(self, route: Any) -> None:
        if urlparse(route.request.url).scheme in ("file", "data"):
            route.continue_()
        else:
            self.errors.append(f"request: {route.request.url}")
            route.abort()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_page_is_complete_and_accessible(browser: Any, page_file: Path, width: int, scheme: str) -> None:
    opened = Opened(browser, page_file, width=width, scheme=scheme)
    page = opened.page
    assert opened.errors == []
    n = page.locator(".chart").count()
    assert n > 15
    assert page.locator(".chart svg[role=img][aria-label]").count() == n
    marks = page.eval_on_selector_all(".chart svg", "all => all.map(s => s.querySelectorAll('path, text').length)")
    assert min(marks) >= 3
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = axe_api.Axe().run(page).response["violations"]
    assert [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in ("serious", "critical")] == []
    page.close()


@pytest.mark.slow
def test_audio_loads_and_tables_sort_by_keyboard(browser: Any, page_file: Path) -> None:
    opened = Opened(browser, page_file, width=1280, scheme="light")
    page = opened.page
    sources = page.eval_on_selector_all("audio", "all => all.map(a => a.src)")
    assert sources and all(Path(unquote(urlparse(s).path)).is_file() for s in sources)
    seconds = page.eval_on_selector(
        "audio",
        "a => new Promise(done => { a.onloadedmetadata = () => done(a.duration); a.preload = 'metadata'; a.load(); })",
    )
    assert seconds == pytest.approx(0.5)

    button = page.locator("table.sortable thead button", has_text="recall %").first
    button.focus()
    page.keyboard.press("Enter")
    table = button.locator("xpath=ancestor::table")
    column = [c.strip() for c in table.locator("tbody tr td:nth-child(4)").all_inner_texts()]
    figures = [float(c) for c in column if c != "–"]
    assert figures == sorted(figures, reverse=True) and column[-1] == "–"
    assert table.locator("th[aria-sort=descending]").count() == 1

    page.keyboard.press("Tab")  # the next thing that has the focus shows it
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert opened.errors == []
    page.close()


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_full_report_is_short_before_unfolding(browser: Any, full_page: Path, width: int) -> None:
    page = patient_page(browser, viewport={"width": width, "height": 900})
    page.goto(full_page.as_uri())
    page.wait_for_function(VISIBLE_DRAWN)
    sections = page.eval_on_selector_all("main > section", "all => all.map(s => s.id)")
    studies = {"audit", "honesty", "more-data", "robustness", "doubts", "tuning", "data", "map", "sound"}
    assert studies <= set(sections)
    assert len(page.inner_text("body").split()) < MAX_WORDS
    if width == 390:
        assert page.evaluate("document.documentElement.scrollHeight") < MAX_PHONE_PX
    page.close()


@pytest.mark.slow
def test_contents_are_beside_the_page_and_mark_the_current_section(browser: Any, full_page: Path) -> None:
    page = patient_page(browser, viewport={"width": 1280, "height": 900})
    page.goto(full_page.as_uri())
    for section in ("robustness", "data"):
        page.click(f"nav a[href='#{section}']")
        page.wait_for_function(f"document.querySelector('nav [aria-current]')?.hash === '#{section}'")
        assert page.locator("nav [aria-current]").count() == 1
        assert page.locator("nav").bounding_box()["y"] == 0  # it stays in the window
    page.close()


@pytest.mark.slow
def test_contents_and_models_are_closed_on_phones(browser: Any, full_page: Path) -> None:
    for width, n_open in ((1280, 1), (390, 0)):
        page = patient_page(browser, viewport={"width": width, "height": 900})
        page.goto(full_page.as_uri())
        assert page.locator("details.model[open]").count() == n_open
        assert page.eval_on_selector(".contents", "d => d.open") == bool(n_open)
        page.close()


@pytest.mark.slow
def test_pressing_a_name_shows_its_interval(browser: Any, full_page: Path) -> None:
    page = patient_page(browser, viewport={"width": 1280, "height": 900})
    page.goto(full_page.as_uri())
    chart = page.locator("#more-data .chart")
    chart.scroll_into_view_if_needed()
    bands = "#more-data .mark-area path"
    page.wait_for_function(f"document.querySelectorAll('{bands}').length === {len(MODELS) - 1}")
    opacity = f"[...document.querySelectorAll('{bands}')].filter(p => +getComputedStyle(p).opacity > 0).length"
    assert page.evaluate(opacity) == 0
    chart.locator("text", has_text="musicnn").last.click()
    page.wait_for_function(f"{opacity} === 1")
    page.close()


@pytest.mark.slow
def test_a_link_into_a_closed_model_opens_it(browser: Any, page_file: Path) -> None:
    page = patient_page(browser)
    page.goto(f"{page_file.as_uri()}#model-knn")
    assert page.eval_on_selector("#model-knn", "d => d.open")
    assert not page.eval_on_selector("#model-majority", "d => d.open")
    page.close()


@pytest.mark.slow
def test_opened_tables_are_wide_enough_for_their_columns(browser: Any, full_page: Path) -> None:
    opened = Opened(browser, full_page, width=1280, scheme="light")
    page = opened.page
    page.wait_for_function("document.querySelectorAll('.block.spread').length > 0")
    cut_off = "all => all.filter(t => t.scrollWidth > t.clientWidth + 1).map(t => t.getAttribute('aria-label'))"
    assert page.eval_on_selector_all("details.figures[open] .scroll", cut_off) == []
    page.eval_on_selector_all(".spread > details.figures", "all => all.forEach(d => { d.open = false; })")
    page.wait_for_function("document.querySelectorAll('.block.spread').length === 0")
    page.close()


@pytest.mark.slow
def test_leaderboard_fits_on_a_phone(browser: Any, page_file: Path) -> None:
    page = Opened(browser, page_file, width=390, scheme="light").page
    right = page.eval_on_selector_all(
        "#leaderboard td", "all => all.map(c => [c.dataset.column, c.getBoundingClientRect().right])"
    )
    assert [column for column, _ in right][1] == "accuracy % [95 % interval]"
    assert max(at for _, at in right) <= 390
    page.close()


@pytest.mark.slow
def test_tap_and_hover_show_details_of_a_data_point(browser: Any, page_file: Path) -> None:
    page = Opened(browser, page_file, width=1280, scheme="dark").page
    chart = page.locator("#tuning .chart").last
    chart.scroll_into_view_if_needed()
    box = chart.locator(".role-mark path").first.bounding_box()
    beside = (box["x"] + box["width"] + 6, box["y"] + box["height"] / 2)
    page.mouse.click(*beside)
    assert chart.locator(".pressed").inner_text().startswith("trial: ")
    page.mouse.move(box["x"] + box["width"] / 2, beside[1])
    tip = page.locator("#vg-tooltip-element.visible")
    tip.wait_for()
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert tip.evaluate("t => getComputedStyle(t).backgroundColor") == paper
    page.close()


@pytest.mark.slow
def test_moved_page_explains_its_missing_audio(browser: Any, page_file: Path, tmp_path: Path) -> None:
    moved = tmp_path / "report.html"
    moved.write_bytes(page_file.read_bytes())
    page = patient_page(browser)
    page.goto(moved.as_uri())
    player = page.locator("audio").first
    player.evaluate("a => { a.preload = 'metadata'; a.load(); }")
    page.locator("audio + .missing").first.wait_for(state="attached")
    assert "Keep the page in its folder" in page.locator("audio + .missing").first.text_content()
    page.close()


@pytest.mark.real
@pytest.mark.slow
def test_page_of_ten_models_on_real_audio_works(browser: Any, shared: Path, tmp_path: Path) -> None:
    artists = shared / "data" / "gtzan_fault_filtered" / "artists.csv"
    words = ("--artists", artists, "--split", "artist", "--models", "majority,gaussian_nb,svm")
    status, _, err = call("run", shared / "data" / "gtzan_2s", "--out", tmp_path, *words)
    assert status == 0, err
    for i in range(7):
        shutil.copytree(tmp_path / "svm", tmp_path / f"svm {i}")
    assert len(build_report(Folder(tmp_path)).rows) == 10
    page_file = tmp_path / "report.html"
    assert page_file.stat().st_size < 5_000_000
    opened = Opened(browser, page_file, width=1280, scheme="light")
    assert opened.errors == []
    sources = opened.page.eval_on_selector_all("audio", "all => all.map(a => a.src)")
    assert sources and all(Path(unquote(urlparse(s).path)).is_file() for s in sources)
    opened.page.close()
