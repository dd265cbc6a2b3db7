"""Take pictures of the report of a run and of the service's page: 1,280 and 390 px wide, light and dark.

    python scripts/page_pictures.py [--run RUN] [--service] [--model BUNDLE] [--out docs/pictures]

Without --run it synthesises the demo's corpus and trains the quick models on it with every study (about three minutes).
Each picture shows two screens. Needs the extras serve (for --service) and dev, and Chromium.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image
from playwright.sync_api import sync_playwright

from genrelab.datasets.demo import synthesise
from genrelab.datasets.synth import STYLES, Colour, artist_style, render
from genrelab.datasets.synth_voices import SR

WIDTHS = {1280: 900, 390: 844}  # px: width and height of a screen
SCHEMES = ("light", "dark")
COLOURS = 256  # of a picture; more would make the files large
MAX_BYTES = 300_000
MEDLEY_S = 12.0  # of each style
MODELS = "majority,logistic_regression,knn,gaussian_nb,svm,mlp"
STUDIES = ("--honesty", "--learning-curve", "--robustness", "--doubts")
VISIBLE_DRAWN = "[...document.querySelectorAll('.chart')].every(c => c.dataset.drawn === 'done' || !c.offsetParent)"


def demo_run(folder: Path) -> Path:
    """Train on the demo's corpus with every study, and tune one model."""
    corpus, run = folder / "corpus", folder / "run"
    synthesise(corpus)
    source = (str(corpus), "--dataset", "fma-small", "--models", MODELS)
    genrelab("run", *source, *STUDIES, "--out", str(run))
    genrelab("tune", str(run / "prepared"), "--model", "svm", "--trials", "12", "--out", str(run))
    genrelab("report", str(run))
    return run


def genrelab(*words: str) -> None:
    """Run a command of genrelab, with its output on this terminal."""
    subprocess.run([sys.executable, "-m", "genrelab", *words], check=True)


@contextmanager
def pages(browser: Any) -> Iterator[Iterator[tuple[Any, str]]]:
    """A new page for each width and colour scheme, two screens high, and the end of its picture's name."""
    opened = [
        (
            browser.new_page(viewport={"width": width, "height": 2 * height}, color_scheme=scheme),
            f"{width}-{scheme}.png",
        )
        for width, height in WIDTHS.items()
        for scheme in SCHEMES
    ]
    yield iter(opened)
    for page, _ in opened:
        page.close()


def save(page: Any, file: Path) -> None:
    """Write what the page shows as a small PNG."""
    file.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB").quantize(COLOURS)
    picture.save(file, optimize=True)
    assert file.stat().st_size < MAX_BYTES, f"{file}: {file.stat().st_size:,} bytes"
    print(file)


def picture_report(browser: Any, run: Path, out: Path) -> None:
    """The top of `report.html`, and its studies."""
    address = (run / "report.html").resolve().as_uri()
    with pages(browser) as opened:
        for page, ending in opened:
            for name, place in (("report", ""), ("studies", "#honesty")):
                page.goto(f"{address}{place}")
                page.wait_for_function(VISIBLE_DRAWN)
                save(page, out / f"{name}-{ending}")


def medley(file: Path) -> Path:
    """Write one excerpt of each style, one after the other, to a file."""
    rng = np.random.default_rng(7)
    excerpts = [render(artist_style(genre, rng), Colour.random(rng), rng, MEDLEY_S) for genre in sorted(STYLES)]
    soundfile.write(file, np.concatenate(excerpts), SR)
    return file


def picture_service(browser: Any, models: list[str], out: Path) -> None:
    """The service's page after it has classified a medley of synthesised songs."""
    command = [sys.executable, "-m", "genrelab", "serve", "--port", "0"]
    command += [word for model in models for word in ("--model", model)]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as service,
        pages(browser) as opened,
    ):
        assert service.stdout is not None
        try:
            address = next(word for word in service.stdout.readline().split() if word.startswith("http://"))
            song = medley(Path(folder) / "medley.mp3")
            for page, ending in opened:
                page.goto(address)
                page.set_input_files("input[type=file]:not([webkitdirectory])", song)
                page.wait_for_selector("#verdict:not(.pending):not([hidden])", timeout=60_000)
                page.wait_for_timeout(3_000)
                save(page, out / f"service-{ending}")
        finally:
            service.terminate()


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, help="a finished RUN; without it a demo is made")
    parser.add_argument("--service", action="store_true", help="take the pictures of the service's page")
    parser.add_argument(
        "--model", action="append", default=[], help="bundle of the service; default: the starter model"
    )
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        run = args.run or (None if args.service else demo_run(Path(folder)))
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        if run is not None:
            picture_report(browser, run, args.out)
        if args.service:
            picture_service(browser, args.model, args.out)
        browser.close()


if __name__ == "__main__":
    main()
