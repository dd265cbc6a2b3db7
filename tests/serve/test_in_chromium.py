"""The page of `genrelab serve` in a browser, with the real service: every use of it, with and without a mouse."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from genrelab.core.config import EMBEDDING_CLIPS, ClipSettings, EmbeddingView, LogMelView
from tests.support.evidence import evidence_from_confidences
from tests.support.guards import HANG_S, killed_if_it_hangs, wait_until
from tests.support.paths import STARTER
from tests.support.sounds import music

pytest.importorskip("fastapi", reason="needs the extra serve")
sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright (the extra dev)")
axe_api = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
av = pytest.importorskip("av")
pytest.importorskip("onnx")
from tests.support.bundles import bundle_for  # noqa: E402

pytestmark = pytest.mark.slow

SR = 22_050
ANSWERED = "#verdict:not(.pending):not([hidden])"
TOKEN = "a-token-of-ours+more%"
GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")
METRICS = {
    "n": 287, "accuracy": 0.498, "accuracy_low": 0.408, "accuracy_high": 0.589, "interval_over": "artists",
    "n_groups": 103, "top3": 0.808,
}  # fmt: skip
REFUSED = "the server responded with a status of"  # the console's line for each error response


# --- music ---


def with_codec(file: Path, codec: str, y: np.ndarray, sr: int = 44_100) -> Path:
    """A file in a format that soundfile cannot write."""
    with av.open(str(file), "w") as container:
        stream = container.add_stream(codec, rate=sr, layout="mono", bit_rate=96_000)
        stream.codec_context.open()  # its frame size is known only then
        resampler = av.AudioResampler(format=stream.codec_context.format, layout="mono", rate=sr)
        frame = av.AudioFrame.from_ndarray(y.astype(np.float32)[None], format="flt", layout="mono")
        frame.sample_rate = SR
        fifo = av.AudioFifo()
        for converted in [*resampler.resample(frame), *resampler.resample(None)]:
            fifo.write(converted)
        size = stream.codec_context.frame_size
        while (piece := fifo.read(size, partial=True)) is not None:
            for packet in stream.encode(piece):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return file


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One piece in several formats, one that is too long with `--max-seconds 40`, and one that is not audio."""
    folder = tmp_path_factory.mktemp("songs")
    y = music(SR, 20.0)
    soundfile.write(folder / "song.mp3", y, SR)
    soundfile.write(folder / "long.ogg", np.tile(y, 3), SR)
    soundfile.write(folder / "clip.wav", y, SR, subtype="PCM_16")
    with_codec(folder / "song.m4a", "aac", y)
    with_codec(folder / "song.wma", "wmav2", y)
    (folder / "broken.mp3").write_bytes(b"this is no audio" * 99)
    return folder


@pytest.fixture(scope="module")
def album(songs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("library") / "An album"
    (folder / "disc 2").mkdir(parents=True)
    shutil.copy(songs / "song.mp3", folder / "disc 2" / "10 last.mp3")
    shutil.copy(songs / "song.mp3", folder / "disc 2" / '2 "quoted", with comma.mp3')
    shutil.copy(songs / "song.m4a", folder / "disc 2" / "# hash.m4a")
    shutil.copy(songs / "broken.mp3", folder / "broken.mp3")
    (folder / "cover.jpg").write_bytes(b"no music")
    (folder / ".snapshots").mkdir()
    shutil.copy(songs / "song.mp3", folder / ".snapshots" / "song.mp3")
    (folder / "disc 2" / "._10 last.mp3").write_bytes(b"metadata that macOS writes on other disks")
    return folder


# --- the service and the browser ---

Serve = Callable[..., str]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with windows of 2.5 s that is right for half of its answers at every confidence."""
    folder = tmp_path_factory.mktemp("model") / "bundle"
    view = LogMelView(sr=8_000, n_fft=512, hop_length=256, n_mels=16, window_s=2.5, hop_s=2.5)
    confidences = {g: [100 * i + 50 for i in range(10) for _ in range(10)] for g in GENRES}
    bundle_for(
        folder, view, ClipSettings(max_clips=12), genres=GENRES, temperature=4.0, metrics=METRICS,
        calibration=evidence_from_confidences(confidences, confidences, by=2),
        dataset="gtzan (314 of its 1,000 tracks)", split="artist (5-fold cross-validation)",
        readme="# A model for tests\n\n## Not tested on\n\nAnything.\n",
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def serve(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Starts `genrelab serve` with options and returns its address; one service for each set of options."""
    running: dict[tuple[str, ...], tuple[subprocess.Popen[str], str]] = {}

    def start(*options: str) -> str:
        if options not in running:
            command = [sys.executable, "-m", "genrelab", "serve", "--port", "0", "--workers", "1", "--timeout", "600"]
            command += options if "--model" in options else [*options, "--model", f"ours={model}"]
            env = os.environ | {"TMPDIR": str(tmp_path_factory.mktemp("temporary"))}
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
            assert process.stdout is not None
            with killed_if_it_hangs(process):
                line = process.stdout.readline()
            running[options] = process, next(word for word in line.split() if word.startswith("http://"))
        return running[options][1]

    yield start
    for process, _ in running.values():
        process.terminate()
        process.communicate(timeout=HANG_S)


@pytest.fixture(scope="module")
def chromium(songs: Path) -> Iterator[Any]:
    """A browser whose microphone plays a song."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("needs chromium on the path")
    microphone = ("ui-for-media-stream", "device-for-media-stream")
    fakes = [f"--use-fake-{what}" for what in microphone]
    args = ["--no-sandbox", *fakes, f"--use-file-for-fake-audio-capture={songs / 'clip.wav'}"]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=args)
        yield browser
        browser.close()


class Visit:
    """The page in its own browser context, and the errors that it caused."""

    def __init__(self, chromium: Any, address: str, **options: Any) -> None:
        self.address, self.errors, self.bytes, self.pending = address, list[str](), 0, 0
        settings = {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light", "locale": "en-US"} | options
        self.context = chromium.new_context(**settings)
        self.page = self.context.new_page()
        self.page.set_default_timeout(1000 * HANG_S)
        self.page.on("console", lambda m: REFUSED in m.text or self.errors.append(f"{m.type}: {m.text}"))
        self.page.on("pageerror", lambda e: self.errors.append(f"error: {e}"))
        self.page.on("request", self._start_request)
        self.page.on("requestfinished", self._count)
        self.page.on("requestfailed", self._end_request)

    def _start_request(self, request: Any) -> None:
        self.pending += 1
        if not request.url.startswith((self.address, "blob:", "data:")):
            self.errors.append(f"request: {request.url}")

    def _count(self, request: Any) -> None:
        if request.url.startswith(self.address) and "/vendor/" not in request.url:
            sizes = request.sizes()
            self.bytes += sizes["responseBodySize"] + sizes["responseHeadersSize"]
        self._end_request(request)

    def _end_request(self, _: Any) -> None:
        self.pending -= 1

    def wait_for_files(self, start: str) -> None:
        self.wait_until(f"document.getElementById('files-count').textContent.startsWith({json.dumps(start)})")

    def open(self, path: str = "/") -> Visit:
        self.page.goto(self.address + path)
        self.page.wait_for_selector("#about-button:not(:empty)", state="attached")
        return self

    def reload(self) -> None:
        self.page.reload()
        self.page.wait_for_selector("#about-button:not(:empty)", state="attached")

    def choose(self, *files: Path) -> None:
        self.page.set_input_files("#file", [str(f) for f in files])

    def classify(self, file: Path) -> None:
        self.choose(file)
        self.page.wait_for_selector(ANSWERED)

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector)).strip().replace("\xa0", " ")

    def value(self, expression: str) -> Any:
        return self.page.evaluate(expression)

    def wait_until(self, expression: str) -> None:
        """Playwright's own wait_for_function evaluates text in the page, which its security policy forbids."""
        wait_until(lambda: self.value(expression), expression)

    def wait_for_event(self, condition: Callable[[], object]) -> None:
        """Wait for a condition on what the callbacks recorded; Playwright calls them only during a call of its own."""
        wait_until(lambda: self.value("true") and condition())

    def open_by_key(self, details: str) -> None:
        """Open the `details` whose summary has the focus."""
        for _ in range(10):  # on a busy machine Chromium sometimes drops the key
            self.page.keyboard.press("Enter")
            if self.value(f"document.querySelector({json.dumps(details)}).open"):
                return
        raise AssertionError(f"{details} cannot be opened by a key")

    def violations(self) -> list[tuple[str, str]]:
        found = axe_api.Axe().run(self.page).response["violations"]
        return [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in ("serious", "critical")]


@pytest.fixture
def visit(chromium: Any, serve: Serve) -> Iterator[Callable[..., Visit]]:
    """Opens the page of a service with these options; at the end the page must have caused no errors."""
    visits: list[Visit] = []

    def start(*options: str, path: str = "/", opened: bool = True, **settings: Any) -> Visit:
        visits.append(Visit(chromium, serve(*options), **settings))
        return visits[-1].open(path) if opened else visits[-1]

    yield start
    for one in visits:
        assert one.errors == []
        one.context.close()


# --- one file ---


@pytest.mark.parametrize("name", ["song.mp3", "song.m4a"])
def test_file_is_classified_drawn_and_played(visit: Callable[..., Visit], songs: Path, name: str) -> None:
    it = visit()
    it.classify(songs / name)
    assert it.text("#result-name") == name
    genres = it.page.locator("#bars li").all_inner_texts()
    assert len(genres) == 5 and it.text("#genre") in genres[0]
    assert re.fullmatch(r"\d+ % confidence · .*", it.text("#confidence"))
    assert it.text("#unknown-rule") == "The model always picks one of its genres, even for speech or noise."
    it.wait_until("document.querySelector('#spectrogram canvas')?.width > 0")
    assert it.value("document.querySelector('#wave > div').shadowRoot.querySelector('canvas').width") > 0
    assert not it.page.is_visible("#playback-note")
    assert it.text("#length") == "0:20"
    assert re.search(r"\d+\s% of the time$", it.page.locator("#legend li").first.inner_text())
    it.page.click("#play")
    it.wait_until("document.getElementById('now').textContent >= '0:01'")
    assert it.page.get_attribute("#play", "aria-label") == "Pause"
    assert it.value("document.getElementById('playhead').style.left") != "0%"
    it.page.click("#play")
    it.wait_until("document.getElementById('play').ariaLabel === 'Play'")
    it.page.click("#all-genres")
    assert it.page.locator("#bars li").count() == 10
    assert it.text("#status").startswith(f"{name}: ")


def test_timeline_seeks_in_the_audio(visit: Callable[..., Visit], songs: Path) -> None:
    it = visit()
    it.classify(songs / "song.mp3")
    it.page.wait_for_selector("#transport:not([hidden])")
    it.page.locator("#timeline").scroll_into_view_if_needed()
    box = it.page.locator("#timeline").bounding_box()
    it.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 10)
    it.wait_until("document.getElementById('now').textContent === '0:10'")
    assert float(it.value("parseFloat(document.getElementById('playhead').style.left)")) == pytest.approx(50, abs=0.5)
    it.page.click("#play")
    it.wait_until("document.getElementById('now').textContent >= '0:11'")
    it.page.click("#play")
    it.page.locator("#wave").click(position={"x": box["width"] / 4, "y": 40})
    it.wait_until("document.getElementById('now').textContent === '0:05'")

    strip = it.page.locator("#timeline")
    assert strip.get_attribute("role") == "slider"
    strip.focus()
    it.page.keyboard.press("Home")
    assert (it.text("#now"), strip.get_attribute("aria-valuenow")) == ("0:00", "0")
    it.page.keyboard.press("ArrowRight")  # to the next window
    assert it.text("#now") == "0:02"
    assert it.text("#here").startswith(str(strip.get_attribute("aria-valuetext")).replace("\xa0", " "))
    it.page.keyboard.press("ArrowLeft")
    assert it.text("#now") == "0:00"
    it.page.keyboard.press("End")
    assert it.text("#now") == "0:20"
    it.page.click("#as-table summary")
    it.page.wait_for_selector("#timeline-table tbody tr")
    spans = it.page.locator("#timeline-table tbody tr").all_inner_texts()
    assert spans[0].startswith("0:00") and spans[-1].split()[1] in ("0:19", "0:20")


def test_broken_file_is_explained(visit: Callable[..., Visit], songs: Path) -> None:
    it = visit()
    it.choose(songs / "broken.mp3")
    it.page.wait_for_selector("#problem:not([hidden])")
    assert it.text("#problem-title") == "broken.mp3: Not an audio file"
    assert it.text("#problem-detail") == (
        "It contains no sound, or its format is not supported. Choose MP3, FLAC, WAV, Ogg, Opus, M4A or WebM."
    )
    assert not it.page.is_visible("#result")
    assert it.page.get_attribute("#problem", "role") == "alert"
    it.classify(songs / "song.mp3")
    assert not it.page.is_visible("#problem")


def test_too_long_file_is_reported_before_and_after_sending(visit: Callable[..., Visit], songs: Path) -> None:
    it = visit("--max-seconds", "40")
    sent: list[str] = []
    it.page.on("request", lambda r: r.method == "POST" and sent.append(r.url))
    assert "40 seconds" in it.text("#limits")
    it.choose(songs / "long.ogg")
    it.page.wait_for_selector("#problem-anyway:not([hidden])")
    text = it.text("#problem-detail")
    assert text.startswith("According to its header, the file lasts 1 minute; the service takes up to 40 seconds.")
    assert "shorter excerpt" in text and "--max-seconds" in text and "send it anyway" in text
    assert sent == []
    it.page.click("#problem-anyway")
    it.page.wait_for_selector("#problem-anyway", state="hidden")
    it.page.wait_for_selector("#problem:not([hidden])")
    assert it.text("#problem-title") == "long.ogg: The recording is too long"
    assert it.text("#problem-detail").startswith("The service takes up to 40 seconds. Choose a shorter excerpt")
    assert len(sent) == 1 and not it.page.is_visible("#problem-anyway")


def test_too_large_file_is_not_sent(visit: Callable[..., Visit], songs: Path) -> None:
    it = visit("--max-upload", "0.1")
    sent: list[str] = []
    it.page.on("request", lambda r: r.method == "POST" and sent.append(r.url))
    it.choose(songs / "clip.wav")
    it.page.wait_for_selector("#problem:not([hidden])")
    assert re.fullmatch(r"The file is 882 kB; the service takes up to 100 kB\. Choose .*", it.text("#problem-detail"))
    assert sent == []


def test_file_the_browser_cannot_play_is_still_classified(visit: Callable[..., Visit], songs: Path) -> None:
    it = visit()
    it.classify(songs / "song.wma")
    assert it.text("#genre")
    assert "cannot play" in it.text("#playback-note")
    assert not it.page.is_visible("#play")
    it.page.locator("#timeline").focus()
    it.page.keyboard.press("ArrowRight")
    assert it.text("#here").startswith("0:02")


def test_unknown_genre_is_shown_as_unknown(visit: Callable[..., Visit], songs: Path) -> None:
    it = visit("--min-precision", "0.9")  # which the calibration supports for no genre
    it.classify(songs / "song.mp3")
    assert it.text("#genre") == "Confidence too low"
    assert it.text("#confidence").startswith("Best guess: ")
    assert it.text("#remark") == (
        "A genre is named only if such answers were right at least 90 % of the time in tests."
    )
    assert it.text("#status").startswith("song.mp3: Confidence too low, Best guess: ")
    assert "Confidence too low" in it.text("#history-list")
    open_details(it)
    assert "unless at least 90 % of such answers were right in tests" in it.text("#about-facts")
    assert "there is no genre" in it.text("#unknown-rule") and not it.page.is_visible("#evidence")


def test_starter_can_be_chosen_and_inspected(visit: Callable[..., Visit], songs: Path, model: Path) -> None:
    it = visit("--model", f"first={model}", "--model", f"second={STARTER}")
    it.page.select_option("#model", "second")
    it.classify(songs / "song.mp3")
    assert "second" in it.text("#history-list")
    open_details(it)
    about = json.loads((STARTER / "bundle.json").read_text())
    low, high = (f"{100 * about['metrics'][k]:.1f}".removesuffix(".0") for k in ("accuracy_low", "accuracy_high"))
    facts = it.text("#about-facts")
    for text in (
        f"of {about['metrics']['n']} test tracks", f"{low} % to {high} %", about["dataset"], about["licence"],
        f"{about['metrics']['n_groups']} artists", f"{about['clips']['clip_s']:g} s",
        f"at most {about['clips']['max_clips']}", "by artists who are not in the training set",
    ):  # fmt: skip
        assert text in facts, text
    assert it.page.locator("#card table").count() >= 2
    assert "Not tested on" in it.text("#card")
    it = visit()
    assert not it.page.is_visible("#model")


def open_details(it: Visit) -> None:
    """Opens the model's figures and its card."""
    it.page.click("#about-button")
    it.page.click("#card-box summary")
    it.page.wait_for_selector("#card :is(h3, p)")


COUNTS = {"n": [9, 0, 0, 0, 0, 12, 6, 5, 4, 0], "right": [1, 0, 0, 0, 0, 6, 4, 5, 4, 0]}


def open_with_model(it: Visit, metrics: dict[str, Any] | None = None, **fields: Any) -> Visit:
    """Opens the page with other metrics and fields of the models than those of the service."""

    def changed(route: Any) -> None:
        response = route.fetch().json()
        for model in response["models"]:
            model |= fields
            model["metrics"] |= metrics or {}
        route.fulfill(json=response)

    it.page.route("**/v1/models", changed)
    return it.open()


def call_page_function(it: Visit, module: str, function: str, *arguments: Any) -> Any:
    """The result of a function of the page."""
    call = "async ([address, name, values]) => (await import(address))[name](...values)"
    return it.page.evaluate(call, [f"{it.address}/web/{module}", function, arguments])


def test_evidence_comes_from_similar_confidences(visit: Callable[..., Visit]) -> None:
    it = visit()

    def evidence(confidence: float, counts: Any = COUNTS) -> Any:
        return call_page_function(it, "confidence.js", "evidence", counts, confidence)

    assert evidence(0.55) == {"low": 0.5, "high": 0.6, "n": 12, "right": 6}
    assert evidence(0.5) == evidence(0.55) and evidence(0.599) == evidence(0.55)
    assert evidence(0.69) == {"low": 0.6, "high": 0.8, "n": 11, "right": 9}  # with the nearer neighbour
    assert evidence(0.61) == {"low": 0.5, "high": 0.7, "n": 18, "right": 10}
    assert evidence(0.05) is None  # enough tracks only from 0 to 0.6: too wide
    assert evidence(1.0) is None
    assert evidence(0.5, {"n": [4, 5], "right": [4, 5]}) is None and evidence(0.5, None) is None


def test_confidence_text_follows_the_evidence_of_its_own_genre(visit: Callable[..., Visit], songs: Path) -> None:
    answer = {"probabilities": {"rock": 0.62, "pop": 0.38}}
    never, always = ({"n": [40] * 20, "right": [n] * 20} for n in (0, 40))
    few = {"n": [1] * 20, "right": [1] * 20}
    for evidence, confidence, counts in (
        ({"rock": never, "pop": always}, "62 % confidence · usually wrong", "was right 0 of 40 times"),
        ({"rock": always, "pop": never}, "62 % confidence · nearly always right", "was right 40 of 40 times"),
        ({"rock": few, "pop": always}, "62 % confidence", "Too few test tracks were classified as “rock” at this"),
        (None, "62 % confidence", "How often this model is right at this confidence was not tested."),
    ):
        it = open_with_model(visit(opened=False), evidence=evidence)
        answer_with(it, **answer)
        it.classify(songs / "song.mp3")
        assert it.text("#confidence") == confidence
        assert counts in it.text("#evidence")
        if "40 times" in counts:
            assert it.text("#evidence") == f"In tests, “rock” with 60–65 % confidence {counts}."
        short = confidence.replace(" confidence", "")
        assert it.text("#history-list .history-result").split("\n")[-1] == short


def test_accuracy_on_few_tracks_is_not_advertised(visit: Callable[..., Visit]) -> None:
    it = open_with_model(visit(opened=False), {"n": 2, "accuracy": 1.0, "accuracy_low": 0.16})
    assert it.text("#about-button") == "ours · only 2 test tracks"
    open_details(it)
    assert "too few to judge" in it.text("#about-facts") and "top 3" not in it.text("#about-facts")
    it = visit()
    assert it.text("#about-button") == "ours · 50 % in tests"
    title = str(it.page.get_attribute("#about-button", "title")).replace("\xa0", " ")
    assert title == "49.8 % of 287 test tracks (95 % interval: 40.8 % to 58.9 %)."


# --- answers without a genre, and tags ---


def answer_with(it: Visit, **fields: Any) -> list[str]:
    """Has every request for a prediction get this answer; returns the requested addresses."""
    asked: list[str] = []
    answer = {
        "path": "song.mp3", "genre": "rock", "confidence": 0.62, "probabilities": {"rock": 0.62, "pop": 0.38},
        "unknown_because": None, "duration_s": 20.0, "model": "ours", "error": None,
        "timeline": [{"start_s": 0.0, "end_s": 20.0, "probabilities": {"rock": 0.62, "pop": 0.38}}],
    }  # fmt: skip

    def fulfil(route: Any) -> None:
        asked.append(route.request.url)
        route.fulfill(json=answer | fields)

    it.page.route("**/v1/predict*", fulfil)
    return asked


NOT_MUSIC = {"genre": "unknown", "unknown_because": "not_music", "tags": {"ambient": 0.9}}
UNSURE = {"genre": "unknown", "unknown_because": "unsure"}


def test_sound_that_is_not_music_gets_a_genre_only_on_request(visit: Callable[..., Visit], songs: Path) -> None:
    it = open_with_model(visit(opened=False), gate=True)
    asked = answer_with(it, **NOT_MUSIC)
    it.classify(songs / "song.mp3")
    assert it.text("#genre") == "Does not sound like music"
    assert it.text("#status") == "song.mp3: Does not sound like music"
    assert it.text("#unknown-rule") == "Sound that is not music gets no genre."
    assert "Does not sound like music" in it.text("#history-list")
    for hidden in ("#confidence", "#bars", "#all-genres", "#legend", "#as-table", "#evidence", "#tags"):
        assert it.page.locator(hidden).inner_text() == "" or not it.page.is_visible(hidden), hidden
    switch = it.page.get_by_role("switch", name="Name a genre anyway")
    switch.check()
    assert (it.text("#genre"), it.text("#confidence")) == ("rock", "62 % confidence")
    assert it.text("#status") == "song.mp3: rock, 62 %"
    assert it.text("#remark") == "This does not sound like music. The genre is only the best guess."
    assert not it.page.is_visible("#evidence"), "it was measured with music"
    assert it.page.locator("#bars li").count() == 2 and it.page.is_visible("#legend")
    assert "rock" in it.text("#history-list") and "Does not" not in it.text("#history-list")
    switch.uncheck()
    assert it.text("#genre") == "Does not sound like music" and not it.page.is_visible("#bars")
    assert len(asked) == 1, "the answer holds all that is needed"


def test_unsure_answer_gets_a_genre_with_its_evidence_on_request(visit: Callable[..., Visit], songs: Path) -> None:
    it = visit()
    answer_with(it, **UNSURE)
    it.classify(songs / "song.mp3")
    assert (it.text("#genre"), it.text("#confidence")) == ("Confidence too low", "Best guess: rock, 62 %")
    assert it.page.locator("#bars li").count() == 2
    it.page.locator("#any").get_by_text("Name a genre anyway").click()
    assert (it.text("#genre"), it.text("#confidence")) == ("rock", "62 % confidence · often right")
    assert it.text("#remark") == "The confidence is too low. The genre is only the best guess."
    assert it.text("#evidence").endswith("times.")


def test_answer_with_a_genre_offers_no_switch(visit: Callable[..., Visit], songs: Path) -> None:
    it = visit()
    answer_with(it)
    it.classify(songs / "song.mp3")
    assert it.text("#genre") == "rock" and not it.page.is_visible("#any")


def test_answers_kept_by_an_earlier_version_are_shown(visit: Callable[..., Visit], songs: Path) -> None:
    it = visit()
    answer_with(it, **UNSURE)
    it.classify(songs / "song.mp3")
    kept = it.value("localStorage.getItem('genrelab.history')")
    assert '"unknown_because":"unsure",' in kept
    it.page.evaluate(
        "text => localStorage.setItem('genrelab.history', text)", kept.replace('"unknown_because":"unsure",', "")
    )
    it.reload()
    it.page.locator("#history-list button").click()
    assert it.text("#genre") == "Confidence too low"


def test_switch_names_genres_in_the_table_and_its_files(visit: Callable[..., Visit], songs: Path) -> None:
    it = visit()
    answer_with(it, **NOT_MUSIC)
    it.choose(songs / "song.mp3", songs / "song.m4a")
    it.wait_for_files("2 files classified")
    assert it.page.locator("#files-table tbody", has_text="Does not sound like music").count() == 1
    assert it.page.locator("#files-genre option").all_inner_texts() == ["All genres (2)", "No genre (2)"]
    row = next(csv.DictReader(io.StringIO(download_file(it, "#files-csv")[1][1:])))
    assert (row["genre"], row["unknown_because"]) == ("unknown", "not_music")
    it.page.locator("#files-any").get_by_role("switch").check()
    assert "Does not sound like music" not in it.text("#files-table tbody")
    assert it.page.locator("#files-genre option").all_inner_texts() == ["All genres (2)", "rock (2)"]
    row = next(csv.DictReader(io.StringIO(download_file(it, "#files-csv")[1][1:])))
    assert (row["genre"], row["unknown_because"]) == ("rock", "")


def test_most_likely_tags_are_shown_with_their_source(visit: Callable[..., Visit], songs: Path) -> None:
    it = visit()
    names = ("guitar", "indie", "sad", "happy", "folk", "60s", "House")
    asked = answer_with(it, tags=dict(zip(names, (0.4, 0.5, 0.3, 0.11, 0.2, 0.12, 0.01), strict=True)))
    it.classify(songs / "song.mp3")
    assert "tags=true" in asked[0]
    assert it.text("#tags") == (
        "Tags: indie 50 %, guitar 40 %, sad 30 %, folk 20 %, 60s 12 %\n"
        "The model for tags was trained on tags by last.fm listeners. It was not tested here."
    )
    it.reload()
    it.page.locator("#history-list button").click()
    assert it.text("#tags").startswith("Tags: indie 50 %,")


def test_tempo_and_key_are_shown_in_both_languages_and_kept(visit: Callable[..., Visit], songs: Path) -> None:
    it = visit()
    description = {"tempo_bpm": 126.4, "tempo_confidence": 0.35, "key": "F# minor", "key_confidence": 0.8}
    asked = answer_with(it, **description)
    it.classify(songs / "song.mp3")
    assert "describe=true" in asked[0]
    assert it.text("#tempo-key") == "Tempo and key: 126 BPM (35 %), F♯ minor (80 %)"
    it.reload()
    it.page.locator("#history-list button").click()
    assert it.text("#tempo-key") == "Tempo and key: 126 BPM (35 %), F♯ minor (80 %)"
    it.page.locator("#other-language").click()
    it.page.locator("#tempo-key", has_text="F♯ 小调").wait_for()


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"tempo_bpm": None, "tempo_confidence": 0, "key": None, "key_confidence": 0}, "no clear tempo, no clear key"),
        (
            {"tempo_bpm": 90, "tempo_confidence": 1, "key": "Bb major", "key_confidence": 0},
            "90 BPM (99 %), B♭ major (1 %)",
        ),
        ({}, None),
    ],
)
def test_missing_tempo_and_key_are_named(
    visit: Callable[..., Visit], songs: Path, fields: dict[str, Any], shown: str | None
) -> None:
    it = visit()
    answer_with(it, **fields)
    it.classify(songs / "song.mp3")
    assert it.page.is_visible("#tempo-key") is (shown is not None)
    assert shown is None or it.text("#tempo-key") == f"Tempo and key: {shown}"


@pytest.mark.parametrize("tags", [{"guitar": 0.09}, {}, None])
def test_unlikely_tags_are_not_shown(visit: Callable[..., Visit], songs: Path, tags: dict[str, float] | None) -> None:
    it = visit()
    answer_with(it, **({} if tags is None else {"tags": tags}))
    it.classify(songs / "song.mp3")
    assert not it.page.is_visible("#tags")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
@pytest.mark.parametrize("answer", [NOT_MUSIC, UNSURE | {"tags": {"ambient": 0.9}}])
def test_answer_without_a_genre_is_accessible(
    visit: Callable[..., Visit], songs: Path, width: int, scheme: str, answer: dict[str, Any]
) -> None:
    it = visit(viewport={"width": width, "height": 844}, color_scheme=scheme, reduced_motion="reduce")
    answer_with(it, **answer)
    it.choose(songs / "song.mp3", songs / "song.m4a")
    it.wait_for_files("2 files classified")
    it.classify(songs / "song.mp3")
    for named in (False, True):
        it.page.locator("#any").get_by_role("switch").set_checked(named)
        assert it.page.locator("#files-any").get_by_role("switch").is_checked() == named
        assert it.violations() == []
        assert it.value("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("genre", ["Electronic", "Instrumental", "Pop"])
def test_long_word_of_a_genre_is_not_broken(visit: Callable[..., Visit], songs: Path, width: int, genre: str) -> None:
    it = visit(viewport={"width": width, "height": 844})
    answer_with(it, genre=genre, probabilities={genre: 0.62, "pop": 0.38})
    it.classify(songs / "song.mp3")
    assert it.value("genre.clientHeight < 1.5 * parseFloat(getComputedStyle(genre).fontSize)")


def test_recording_gets_the_answer_of_the_service(visit: Callable[..., Visit]) -> None:
    it = visit()

    def whole(*windows: tuple[str, str | None], recording: Any = None) -> Any:
        timeline = [
            {"start_s": i, "end_s": i + 3, "genre": genre, "unknown_because": why, "probabilities": {"rock": 1.0}}
            for i, (genre, why) in enumerate(windows)
        ]
        return call_page_function(it, "timeline.js", "recordingAnswer", timeline, 10, "ours", recording)

    found = whole(("rock", None), recording={"genre": "unknown", "unknown_because": "not_music", "duration_s": 9.0})
    assert (found["genre"], found["unknown_because"], found["duration_s"]) == ("unknown", "not_music", 10)
    assert len(found["timeline"]) == 1
    for windows, expected in (
        ([("rock", None), ("unknown", "unsure")], ("rock", None)),
        ([("rock", None), ("unknown", "unsure"), ("unknown", "unsure")], ("unknown", "unsure")),
        ([("unknown", "not_music"), ("unknown", "unsure"), ("unknown", "not_music")], ("unknown", "not_music")),
    ):
        found = whole(*windows)
        assert (found["genre"], found["unknown_because"]) == expected, "without an answer of the service"


def test_model_on_embedding_is_served(visit: Callable[..., Visit], songs: Path, tmp_path: Path) -> None:
    bundle_for(tmp_path / "bundle", EmbeddingView(), EMBEDDING_CLIPS)
    it = visit("--model", f"networks={tmp_path / 'bundle'}")
    asked: list[str] = []
    it.page.on("request", lambda r: r.method == "POST" and asked.append(r.url))
    it.classify(songs / "song.mp3")
    assert all(part in asked[0] for part in ("tags=true", "timeline=true")) and "windows" not in asked[0]
    assert it.text("#unknown-rule") == "Sound that is not music gets no genre."
    if it.page.is_visible("#any"):  # what is played here is hardly music
        it.page.locator("#any").get_by_role("switch").check()
    assert it.text("#genre") in ("Blues", "Folk", "Rock")
    it.page.click("#as-table summary")
    assert it.page.locator("#timeline-table tbody tr").first.inner_text().startswith("0:00")
    open_details(it)
    assert "as many windows as make it clear, at most 10" in it.text("#about-facts")


def test_page_and_command_line_give_one_answer_for_a_file(
    visit: Callable[..., Visit], songs: Path, tmp_path: Path
) -> None:
    bundle_for(tmp_path / "bundle", EmbeddingView(), EMBEDDING_CLIPS)
    it = visit("--model", f"ours={tmp_path / 'bundle'}")
    with it.page.expect_response("**/v1/predict*") as response:
        it.classify(songs / "long.ogg")
    page = response.value.json()
    it.choose(songs / "long.ogg", songs / "song.mp3")
    it.wait_for_files("2 files classified")
    command = [
        sys.executable,
        "-m",
        "genrelab",
        "predict",
        str(songs / "long.ogg"),
        "--model",
        str(tmp_path / "bundle"),
    ]
    for options in (["--json"], ["--json", "--timeline"]):
        printed = subprocess.run([*command, *options], check=True, capture_output=True, timeout=HANG_S).stdout
        (answer,) = json.loads(printed)
        assert [answer[k] for k in ("genre", "confidence")] == [page[k] for k in ("genre", "confidence")]
    assert answer["timeline"] == page["timeline"] and len(page["timeline"]) == 20
    if it.page.is_visible("#files-any"):
        it.page.locator("#files-any").get_by_role("switch").check()
    assert f"{100 * answer['confidence']:.0f} %" in table_columns(it)[2][0]


# --- several models ---


def test_result_names_its_model_and_can_be_repeated_with_another(
    visit: Callable[..., Visit], songs: Path, model: Path
) -> None:
    it = visit("--model", f"first={model}", "--model", f"second={model}")
    it.classify(songs / "song.mp3")
    assert it.text("#by-model") == "Classified by first" and not it.page.is_visible("#rerun")
    it.page.set_input_files("#file", [str(songs / "song.mp3"), str(songs / "song.m4a")])
    it.wait_until(
        "document.getElementById('files-count').textContent.endsWith('2 files classified · Classified by first')"
    )
    it.page.select_option("#model", "second")
    assert it.text("#by-model") == "Classified by first"
    assert it.text("#rerun") == it.text("#files-again") == "Classify again with second"
    it.page.click("#rerun")
    it.page.wait_for_selector(ANSWERED)
    assert it.text("#by-model") == "Classified by second" and not it.page.is_visible("#rerun")
    it.page.click("#files-again")
    it.wait_until(
        "document.getElementById('files-count').textContent.endsWith('2 files classified · Classified by second')"
    )
    assert not it.page.is_visible("#files-again")


def test_numeric_genre_names_are_ranked_by_probability(visit: Callable[..., Visit]) -> None:
    it = visit()
    window = {"start_s": 0, "end_s": 10, "genre": "90", "probabilities": {"10": 0.2, "90": 0.8}}
    found = call_page_function(it, "timeline.js", "recordingAnswer", [window], 10, "decades")
    assert (found["genre"], found["confidence"]) == ("90", pytest.approx(0.8))


def test_touch_screens_get_texts_of_their_own(visit: Callable[..., Visit], songs: Path) -> None:
    it = visit(has_touch=True, is_mobile=True, viewport={"width": 390, "height": 844})
    assert it.text(".hint") == "Tap a button to choose music or record it."
    it.classify(songs / "song.mp3")
    assert it.text("#timeline-help").endswith("Tap to jump there.")
    it = visit()
    assert it.text(".hint") == "or drop a file or folder anywhere on this page"
    it.classify(songs / "song.mp3")
    assert "Click to jump there" in it.text("#timeline-help")


def test_chinese_locale_shows_chinese_texts_only(visit: Callable[..., Visit], songs: Path) -> None:
    it = visit(locale="zh-CN")
    assert "蓝调" in it.text("#model-genres")
    it.choose(songs / "broken.mp3")
    it.page.wait_for_selector("#problem:not([hidden])")
    text = it.text("#problem-title") + it.text("#problem-detail")
    assert re.search("[a-z]{4}", text.replace("broken.mp3", "").replace("FLAC", "").replace("WebM", "")) is None
    open_details(it)
    facts = it.text("#about-facts")
    assert "其艺人均未出现在训练集中" in facts and "1,000 首中的 314 首" in facts
    assert it.text("#card-box summary") == "模型卡（英文）"
    assert not it.value("performance.getEntriesByType('resource').some(r => r.name.includes('english.js'))")


# --- many files ---


def drop_files(it: Visit, *paths: Path) -> None:
    """Drops files on the page."""
    session = it.context.new_cdp_session(it.page)
    data = {"items": [], "files": [str(p) for p in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 300, "data": data})


def download_file(it: Visit, button: str) -> tuple[str, str]:
    """Name and text of the file that a button downloads."""
    with it.page.expect_download() as download:
        it.page.click(button)
    return download.value.suggested_filename, Path(download.value.path()).read_bytes().decode("utf-8")


@pytest.mark.parametrize("way", ["dropped", "chosen"])
def test_folder_results_are_shown_as_a_table(visit: Callable[..., Visit], album: Path, way: str) -> None:
    it = visit()
    asked: list[str] = []
    it.page.on("request", lambda r: r.method == "POST" and asked.append(r.url))
    if way == "dropped":
        drop_files(it, album)
    else:
        it.page.set_input_files("#folder", str(album))
    it.wait_for_files("3 of 4 files classified")
    assert it.text("#files-count") == "3 of 4 files classified · 1 failed · 1 other file skipped"
    assert len(asked) == 4 and not any("windows" in url for url in asked)
    assert "next to the folder “An album”" in it.text("#files-hint")
    assert it.text("#files-title") == "An album"
    names = [name.strip() for name in it.page.locator("#files-table tbody th").all_inner_texts()]
    assert names == ["broken.mp3", "disc 2/# hash.m4a", 'disc 2/2 "quoted", with comma.mp3', "disc 2/10 last.mp3"]
    assert "Not an audio file" in it.text("#files-table tbody tr:first-child")

    name, text = download_file(it, "#files-csv")
    assert text.startswith("\ufeff")  # by which Excel detects UTF-8
    table = list(csv.DictReader(io.StringIO(text[1:])))
    assert name == "An album.csv" and "\r" not in text
    assert list(table[0])[:8] == [
        "path", "genre", "confidence", "unknown_because", "duration_s", "model", "error", "p_blues",
    ]  # fmt: skip
    assert [row["path"] for row in table][3] == "An album/disc 2/10 last.mp3"
    assert table[0]["error"].startswith("not-audio: ") and table[0]["genre"] == ""
    answer = table[3]
    assert float(answer["confidence"]) == max(float(v) for k, v in answer.items() if k.startswith("p_"))

    genre = answer["genre"]
    it.page.select_option("#files-genre", genre)
    name, text = download_file(it, "#files-m3u8")
    assert name == f"An album {genre}.m3u8"
    lines = text.splitlines()
    assert lines[0] == "#EXTM3U" and lines[1].startswith("# Written by genrelab ") and lines[2] == f"#PLAYLIST:{genre}"
    assert lines[3:] and {"#EXTINF:20,10 last", "An album/disc 2/10 last.mp3"} <= set(lines)

    assert re.fullmatch(r"0\.\d{1,4}", answer["p_blues"])

    it.page.get_by_role("button", name="Open disc 2/10 last.mp3").click()
    it.page.wait_for_selector(ANSWERED)
    assert it.text("#result-name") == "10 last.mp3"
    assert it.text("#confidence").startswith(f"{100 * float(answer['confidence']):.0f} %"), "one answer for one file"


def test_several_files_are_shown_as_a_table_but_one_is_not(visit: Callable[..., Visit], songs: Path) -> None:
    it = visit()
    for way in (lambda *files: drop_files(it, *files), it.choose):
        way(songs / "song.mp3", songs / "song.m4a")
        it.wait_for_files("2 files classified")
        assert it.text("#files-title") == "Several files"
        assert "file names only" in it.text("#files-hint")
        it.reload()
    drop_files(it, songs / "song.mp3")
    it.page.wait_for_selector(ANSWERED)


def table_columns(it: Visit) -> list[list[str]]:
    rows = [row.locator("th, td").all_inner_texts() for row in it.page.locator("#files-table tbody tr").all()]
    return [[cell.strip().replace("\xa0", " ") for cell in column] for column in zip(*rows, strict=True)]


def test_table_can_be_sorted_by_every_column(visit: Callable[..., Visit], tmp_path: Path) -> None:
    it = visit()
    confidences = {"10.mp3": 0.5, "2.mp3": 0.9, "1.mp3": 0.7}
    for name in confidences:
        (tmp_path / name).write_bytes(name.encode())

    def answered(route: Any) -> None:
        name = next(n for n in confidences if f'filename="{n}"'.encode() in route.request.post_data_buffer)
        p = confidences[name]
        answer = {"genre": "rock" if p > 0.6 else "blues", "confidence": p, "probabilities": {"rock": p, "pop": 1 - p}}
        route.fulfill(json=answer | {"path": name, "unknown_because": None, "duration_s": 9.0, "model": "other"})

    it.page.route("**/v1/predict*", answered)
    it.choose(*(tmp_path / name for name in confidences))
    it.wait_for_files("3 files classified")
    assert table_columns(it)[0] == ["1.mp3", "2.mp3", "10.mp3"]
    header = it.page.locator("#files-table thead th")
    assert [h.get_attribute("aria-sort") for h in header.all()] == ["ascending", "none", "none"]
    it.page.locator("thead").get_by_role("button", name="File").click()
    assert table_columns(it)[0] == ["10.mp3", "2.mp3", "1.mp3"]
    assert header.nth(0).get_attribute("aria-sort") == "descending"
    it.page.locator("thead").get_by_role("button", name="Confidence").focus()
    it.page.keyboard.press("Enter")
    assert table_columns(it)[0] == ["2.mp3", "1.mp3", "10.mp3"]
    assert it.value("document.activeElement.dataset.text") == "confidence"
    it.page.keyboard.press("Enter")
    assert table_columns(it)[0] == ["10.mp3", "1.mp3", "2.mp3"]
    assert [h.get_attribute("aria-sort") for h in header.all()] == ["none", "none", "ascending"]
    it.page.locator("thead").get_by_role("button", name="Genre").click()
    assert table_columns(it)[:2] == [["10.mp3", "1.mp3", "2.mp3"], ["blues", "rock", "rock"]]


INSTANT_ANSWERS = """
XMLHttpRequest = class {
  upload = {};
  status = 200;
  open() {}
  setRequestHeader() {}
  send(body) {
    const p = Number(body.get("file").name.split(".")[0]) / 2000 + 0.4;
    const answer = { genre: "rock", confidence: p, probabilities: { rock: p, pop: 1 - p }, unknown_because: null };
    this.responseText = JSON.stringify({ ...answer, duration_s: 9, model: "ours" });
    setTimeout(() => this.onload());
  }
};
"""


def test_table_of_a_thousand_files_can_be_sorted_and_saved(visit: Callable[..., Visit], tmp_path: Path) -> None:
    it = visit(opened=False)
    it.page.add_init_script(INSTANT_ANSWERS)
    for i in range(1000):
        (tmp_path / f"{i}.mp3").write_bytes(b"x")
    it.open().page.set_input_files("#folder", str(tmp_path))
    it.wait_for_files("1,000 files classified")
    first, last = (getattr(it.page.locator("#files-table tbody tr"), name) for name in ("first", "last"))
    assert first.inner_text().startswith("0.mp3") and last.inner_text().startswith("999.mp3")
    it.page.locator("thead").get_by_role("button", name="Confidence").click()
    assert first.inner_text().startswith("999.mp3") and last.inner_text().startswith("0.mp3")
    lines = download_file(it, "#files-csv")[1].splitlines()
    assert len(lines) == 1001 and "/999.mp3,rock," in lines[1]


def test_busy_service_is_retried(visit: Callable[..., Visit], songs: Path) -> None:
    it = visit()
    asked: list[str] = []

    def busy_at_first(route: Any) -> None:
        asked.append(route.request.url)
        if len(asked) > 2:
            return route.continue_()
        problem = {"type": "urn:genrelab:problem:busy", "title": "Busy", "status": 429, "detail": "Try again later."}
        headers = {"Retry-After": str(len(asked)), "Content-Type": "application/problem+json"}
        return route.fulfill(status=429, headers=headers, body=json.dumps(problem))

    it.page.route("**/v1/predict*", busy_at_first)
    it.page.clock.install()
    it.page.clock.pause_at(it.value("Date.now() + 1"))
    it.choose(songs / "song.mp3")
    for seconds in (1, 2):
        it.wait_until(f"document.getElementById('work-text').textContent.includes('Trying again in {seconds} s')")
        it.page.clock.run_for(1000 * seconds - 1)
        assert len(asked) == seconds
        it.page.clock.run_for(1)
        it.wait_for_event(lambda asked_before=seconds: len(asked) > asked_before)
    it.page.clock.resume()
    it.page.wait_for_selector(ANSWERED)
    assert len(asked) == 3


def test_file_too_slow_for_a_timeline_gets_its_answer_without_one(visit: Callable[..., Visit], songs: Path) -> None:
    it = visit()
    problem = {"type": "urn:genrelab:problem:took-too-long", "title": "Too long", "status": 422, "detail": "20 s."}
    it.page.route(
        "**/v1/predict*timeline=true*",
        lambda route: route.fulfill(status=422, content_type="application/problem+json", body=json.dumps(problem)),
    )
    it.classify(songs / "song.mp3")
    assert it.text("#remark") == "The timeline of the whole file would take too long."
    assert it.text("#genre") in GENRES
    assert not it.page.is_visible("#problem") and not it.page.is_visible("#as-table")


def test_csv_formula_cells_are_escaped(visit: Callable[..., Visit]) -> None:
    it = visit()
    rows = [
        {"path": path, "answer": None, "problem": {"kind": "k", "message": "m\n"}}
        for path in ("=1+1", "@a", "-b", "\n=c", "＝1", "d")
    ]
    text = it.page.evaluate(
        "async ([address, rows]) => (await import(address)).csv(rows, ['jazz'])", [f"{it.address}/web/export.js", rows]
    )
    paths = [row[0] for row in csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""))]
    assert paths == ["path", "'=1+1", "'@a", "'-b", "'\n=c", "'＝1", "d"]


def test_stopped_folder_can_be_resumed(visit: Callable[..., Visit], album: Path) -> None:
    it = visit()
    it.page.route("**/v1/predict*", lambda route: None)  # no answer ever comes
    it.page.set_input_files("#folder", str(album))
    it.wait_until("document.querySelectorAll('#files-table tbody tr').length === 4")
    assert "waiting" in it.text("#files-table tbody") and it.text("#files-count").startswith("0 of 4 files done")
    it.page.click("#files-stop")
    assert it.text("#files-count").startswith("0 of 4 files classified") and it.text("#files-count").endswith("stopped")
    assert it.page.locator("#files-table tbody tr", has_text="not classified").count() == 4
    it.page.unroute("**/v1/predict*")
    it.page.click("#files-more")
    it.wait_for_files("3 of 4 files classified")
    assert not it.page.is_visible("#files-more") and not it.page.is_visible("#files-stop")


def test_file_name_unfit_for_a_playlist_is_reported(visit: Callable[..., Visit], songs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    shutil.copy(songs / "song.mp3", folder / "two\nlines.mp3")
    shutil.copy(songs / "song.mp3", folder / "one line.mp3")
    it = visit()
    it.page.set_input_files("#folder", str(folder))
    it.wait_for_files("2 files classified")
    assert it.text("#files-hint").endswith("1 file is not in it because its name has a line break.")
    assert "two" not in download_file(it, "#files-m3u8")[1]


# --- the microphone ---


@pytest.mark.timing(reason="a microphone sends in real time, and a service that falls behind ends the stream")
def test_microphone_is_classified_live(visit: Callable[..., Visit]) -> None:
    it = visit()
    it.page.click("#use-microphone")
    it.page.wait_for_selector(ANSWERED)
    assert it.page.is_visible("#level")
    first = it.value("document.getElementById('timeline').getAttribute('aria-valuenow')")
    it.wait_until(f"Number(document.getElementById('timeline').getAttribute('aria-valuenow')) > {first} + 2")
    assert it.text("#work-text").startswith("Recording, 0:")
    it.page.click("#work-stop")
    it.page.wait_for_selector("#transport:not([hidden])")
    assert not it.page.is_visible("#level")
    assert it.text("#remark") == "Average of the whole recording."
    it.wait_until("document.querySelector('#spectrogram canvas')?.width > 0")
    it.wait_until("/^0:[01]\\d$/.test(document.getElementById('length').textContent)")
    it.page.locator("#timeline").focus()
    it.page.keyboard.press("Home")
    it.page.click("#play")
    it.wait_until("document.getElementById('now').textContent >= '0:01'")
    assert "Recording, " in it.text("#history-list")


def test_denied_microphone_is_reported(visit: Callable[..., Visit]) -> None:
    it = visit(opened=False)
    it.page.add_init_script(
        "navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', 'NotAllowedError'));"
    )
    it.open().page.click("#use-microphone")
    it.page.wait_for_selector("#problem:not([hidden])")
    assert it.text("#problem-title") == "The microphone is blocked"
    assert it.page.is_visible("#problem-again")


# --- history and token ---


def test_history_stays_in_the_browser_and_can_be_cleared(visit: Callable[..., Visit], songs: Path) -> None:
    it = visit()
    assert not it.page.is_visible("#history")
    it.classify(songs / "song.mp3")
    it.reload()
    it.page.wait_for_selector("#history:not([hidden])")
    it.page.locator("#history-list button").click()
    assert it.text("#result-name") == "song.mp3"
    assert "choose the file again" in it.text("#remark")
    assert it.page.locator("#legend li").count() >= 1 and not it.page.is_visible("#play")
    it.page.click("#history-clear")
    assert not it.page.is_visible("#history")
    assert it.value("JSON.stringify(localStorage)") == "{}"


def test_token_is_requested_and_kept_for_the_tab(visit: Callable[..., Visit], songs: Path) -> None:
    it = visit("--token", TOKEN, opened=False)
    it.page.goto(it.address)
    it.page.wait_for_selector("#token-dialog[open]")
    assert it.text("#token-note").startswith("Ask the operator of the service for it.")
    assert it.violations() == []
    it.page.fill("#token", "not this one")
    it.page.keyboard.press("Enter")
    it.wait_until("document.getElementById('token-note').textContent === 'This token is wrong. Try again.'")
    it.page.fill("#token", TOKEN)
    it.page.keyboard.press("Enter")
    it.page.wait_for_selector("#about-button:not(:empty)")
    it.classify(songs / "song.mp3")
    assert it.value("Object.keys(localStorage).join()") == "genrelab.history"
    assert TOKEN in it.value("JSON.stringify(sessionStorage)")


def test_token_is_removed_from_the_address(visit: Callable[..., Visit], songs: Path) -> None:
    it = visit("--token", TOKEN, path="/#token=" + TOKEN.replace("%", "%25").replace("+", "%2B"))
    assert it.page.url == f"{it.address}/"
    it.page.click("#use-microphone")
    it.page.wait_for_selector(ANSWERED)


# --- keyboard, accessibility, languages, size ---


def test_page_works_without_a_mouse(visit: Callable[..., Visit], songs: Path) -> None:
    it = visit()
    it.page.on("filechooser", lambda chooser: None)  # early, because it takes effect with a delay

    def reach(target: str) -> None:
        for _ in range(40):
            it.page.keyboard.press("Tab")
            if it.value(f"document.activeElement.matches({json.dumps(target)})"):
                assert it.value("getComputedStyle(document.activeElement).outlineStyle") == "solid"
                return
        raise AssertionError(f"{target} is not reached by Tab")

    it.page.keyboard.press("Tab")
    assert it.value("document.activeElement.className") == "skip"
    reach("#choose-file")
    with it.page.expect_file_chooser() as chooser:
        it.page.keyboard.press("Enter")
    chooser.value.set_files(str(songs / "song.mp3"))
    it.page.wait_for_selector(ANSWERED)
    it.page.wait_for_selector("#transport:not([hidden])")
    assert it.value("document.activeElement.id") == "result-name"
    reach("#all-genres")
    it.page.keyboard.press("Enter")
    reach("#play")
    it.page.keyboard.press("Space")
    it.wait_until("document.getElementById('now').textContent >= '0:01'")
    reach("#timeline")
    it.page.keyboard.press("Space")
    it.wait_until("document.getElementById('play').ariaLabel === 'Play'")
    it.page.keyboard.press("End")
    it.wait_until("document.getElementById('now').textContent === '0:20'")
    reach("#as-table summary")
    it.open_by_key("#as-table")
    it.page.wait_for_selector("#timeline-table")
    reach("#history-list button")
    it.page.keyboard.press("Enter")
    assert it.value("document.activeElement.id") == "result-name"
    reach("#about > summary")
    it.open_by_key("#about")
    reach("#card-box summary")
    it.open_by_key("#card-box")
    it.page.wait_for_selector("#card h3")


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
def test_page_is_accessible_and_fits_the_screen(
    visit: Callable[..., Visit], songs: Path, album: Path, width: int, scheme: str, locale: str
) -> None:
    settings: dict[str, Any] = {"color_scheme": scheme, "locale": locale, "reduced_motion": "reduce"}
    it = visit(viewport={"width": width, "height": 844}, **settings)
    assert it.violations() == []
    it.classify(songs / "song.mp3")
    it.page.click("#as-table summary")
    it.page.click("#all-genres")
    it.page.set_input_files("#folder", str(album))
    it.wait_until("document.getElementById('files-bar').hidden")
    open_details(it)
    assert it.violations() == []
    assert it.value("document.documentElement.scrollWidth") <= width
    small = "all => all.filter(b => b.offsetParent && b.getBoundingClientRect().height < 24).map(b => b.outerHTML)"
    assert it.page.eval_on_selector_all("button, a, select, summary", small) == []
    it.choose(songs / "broken.mp3")
    it.page.wait_for_selector("#problem:not([hidden])")
    assert it.violations() == []


@pytest.mark.parametrize(
    ("locale", "lang", "title", "other"),
    [
        ("zh-TW", "zh-CN", "这是什么流派？", "English"),
        ("en-GB", "en", "Which genre is it?", "中文"),
        ("fr-FR", "en", "Which genre is it?", "中文"),
    ],
)
def test_language_can_be_switched_and_is_remembered(
    visit: Callable[..., Visit], songs: Path, locale: str, lang: str, title: str, other: str
) -> None:
    it = visit(locale=locale)
    assert (it.value("document.documentElement.lang"), it.text("h1")) == (lang, title)
    it.classify(songs / "song.mp3")
    text = it.text("#result")
    it.page.click("#other-language")
    it.wait_until(f"document.documentElement.lang !== '{lang}'")
    now = it.value("document.documentElement.lang")
    assert it.text("#result") != text and now != lang
    it.reload()
    it.page.wait_for_selector("#about-button:not(:empty)")
    assert it.value("document.documentElement.lang") == now  # it is remembered
    assert it.text("#other-language") != other
    left = it.value(
        "[...document.querySelectorAll('[data-text]')].filter(e => e.dataset.text && !e.textContent).length"
    )
    assert left == 0


def test_first_page_load_is_small(visit: Callable[..., Visit]) -> None:
    it = visit()
    it.page.wait_for_load_state("load")
    it.wait_for_event(lambda: not it.pending)
    assert 10_000 < it.bytes < 100_000, it.bytes
    assert not it.value("performance.getEntriesByType('resource').some(r => r.name.includes('/vendor/'))")


def test_api_documentation_loads_without_another_server(visit: Callable[..., Visit]) -> None:
    it = visit(opened=False)
    it.page.goto(f"{it.address}/docs")
    it.page.wait_for_selector(".opblock-summary-path")
    paths = it.page.locator(".opblock-summary-path").all_inner_texts()
    assert any("predict" in path for path in paths)
