"""Take the picture of the page in README: a medley of synthesised music classified by `genrelab serve`, in Chromium.

    python scripts/page_picture.py [--out docs/page.png] [--model BUNDLE]

Needs the extras serve and dev, and Chromium.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from playwright.sync_api import sync_playwright

from genrelab.datasets.synth import STYLES, Colour, artist_style, render
from genrelab.datasets.synth_voices import SR

SECONDS = 12.0


def medley(file: Path) -> Path:
    """Write one excerpt of each style, one after the other, to a file."""
    rng = np.random.default_rng(7)
    pieces = [render(artist_style(genre, rng), Colour.random(rng), rng, SECONDS) for genre in sorted(STYLES)]
    soundfile.write(file, np.concatenate(pieces), SR)
    return file


def main() -> None:
    """Start a service, upload the medley, wait for the result and take the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/page.png"))
    parser.add_argument("--model", action="append", default=[])
    args = parser.parse_args()
    command = [sys.executable, "-m", "genrelab", "serve", "--port", "0"]
    command += [word for model in args.model for word in ("--model", model)]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as service,
    ):
        assert service.stdout is not None
        address = next(word for word in service.stdout.readline().split() if word.startswith("http://"))
        try:
            song = medley(Path(folder) / "medley.mp3")
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
                page = browser.new_page(viewport={"width": 1000, "height": 1000}, device_scale_factor=1.5)
                page.goto(address)
                page.set_input_files("input[type=file]:not([webkitdirectory])", song)
                page.wait_for_selector("#verdict:not(.pending):not([hidden])", timeout=60_000)
                page.wait_for_timeout(3_000)
                page.screenshot(path=args.out, clip={"x": 0, "y": 200, "width": 1000, "height": 790}, full_page=True)
                browser.close()
        finally:
            service.terminate()


if __name__ == "__main__":
    main()
