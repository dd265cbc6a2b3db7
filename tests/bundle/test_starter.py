"""The starter model that comes with genrelab, and the script that makes it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import pytest

import genrelab
from genrelab.audio.files import find_audio_files
from genrelab.identity.genre_names import usual_name
from genrelab.predict import classifier
from tests.support.paths import PROJECT
from tests.support.sounds import music

SCRIPT = PROJECT / "scripts/starter.py"


def test_starter_model_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GENRELAB_MODEL", raising=False)
    answer = genrelab.load_bundle().predict(music(44_100, 6.0), sr=44_100)
    assert answer.error is None
    assert answer.model == "starter"
    assert answer.genre in answer.probabilities
    assert sum(answer.probabilities.values()) == pytest.approx(1)
    assert len(answer.timeline) == 2  # of 3 s each
    assert answer.tags is not None and answer.music_score is not None


def test_environment_variable_selects_another_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GENRELAB_MODEL", str(tmp_path / "none"))
    with pytest.raises(genrelab.core.errors.BundleError, match="none"):
        genrelab.load_bundle()


def test_starter_is_small_and_its_card_is_complete() -> None:
    files = {p.name: p.stat().st_size for p in classifier.STARTER.iterdir()}
    assert set(files) == {"model.onnx", "bundle.json", "README.md"}
    assert sum(files.values()) < 5_000_000
    bundle = genrelab.load_bundle(classifier.STARTER)
    card = (classifier.STARTER / "README.md").read_text()
    s = bundle.metrics
    assert list(bundle.genres) == [usual_name(g) for g in bundle.genres] and len(bundle.genres) == 11
    assert bundle.licence is not None and "demonstration" in bundle.licence and "CC BY-NC-SA" in bundle.licence
    assert s["interval_over"] == "artists"
    for figure in (s["accuracy"], s["accuracy_low"], s["accuracy_high"], s["top3"]):
        assert f"{100 * figure:.1f}" in card
    for word in ("leak", "Not tested on", "Licence", "demonstration", "Million Song Dataset", "GTZAN by genre"):
        assert word in card
    both = np.array(confusions(card)).sum(axis=0)
    assert both.tolist() == s["confusion"], "the tables of both collections add up to that of all tracks"


def test_published_figures_are_those_of_the_card() -> None:
    card, readme, results = (
        path.read_text()
        for path in (classifier.STARTER / "README.md", PROJECT / "README.md", PROJECT / "docs/results.md")
    )
    for collection in ("GTZAN", "Emotify"):
        row = next(line for line in card.splitlines() if line.startswith(f"| {collection} | "))
        n, _, accuracy, top3, log_loss, _ = (cell.strip() for cell in row.strip("|").split("|")[1:])
        share, low, high = (f.strip("[],").rstrip("%") for f in accuracy.replace("%", "").split())
        assert f"{share} %" in readme and f"{low} to {high}" in readme and f"n = {n}" in readme
        assert f"| {collection} | {n} | {share} [{low}, {high}] | {top3.rstrip(' %')} | {log_loss} |" in results


def confusions(card: str) -> list[list[list[int]]]:
    """The confusion tables of a card."""
    found = []
    for block in card.split("Rows: ")[1:]:
        rows = [line for line in block.splitlines()[4:] if line.startswith("|")]
        found.append([[int(cell) for cell in row.strip("|").split("|")[1:]] for row in rows[:11]])
    return found


def test_sampling_rate_of_a_file_does_not_change_the_result() -> None:
    bundle = genrelab.load_bundle(classifier.STARTER)
    answers = [list(bundle.predict(music(sr, 5.0), sr=sr).probabilities.values()) for sr in (44_100, 48_000, 96_000)]
    for other in answers[1:]:
        np.testing.assert_allclose(other, answers[0], atol=0.05)


@pytest.mark.real
@pytest.mark.slow
def test_script_reproduces_the_starter_bundle(shared: Path, tmp_path: Path) -> None:
    """With the same packages all but the rounding of processors is the same; the accuracy holds with any packages."""
    command = [sys.executable, str(SCRIPT), str(shared / "data"), "--out", str(tmp_path / "starter")]
    subprocess.run(command, capture_output=True, text=True, check=True)
    made, kept = (json.loads((p / "bundle.json").read_text()) for p in (tmp_path / "starter", classifier.STARTER))
    if made["versions"] == kept["versions"]:
        figures = ("files", "metrics", "calibration")  # the card has them, rounded
        assert {k: v for k, v in made.items() if k not in figures} == {k: kept[k] for k in made if k not in figures}
        assert (tmp_path / "starter" / "README.md").read_text() == (classifier.STARTER / "README.md").read_text()
        for name, values in numbers_of(classifier.STARTER).items():
            # The last bits of the features change where the optimiser stops.
            off = 1e-3 * np.abs(values).max() if name in ("coef", "intercept") else 1e-4
            np.testing.assert_allclose(numbers_of(tmp_path / "starter")[name], values, rtol=1e-4, atol=off)
    assert made["metrics"]["accuracy"] >= 0.68
    assert made["metrics"]["top3"] >= 0.88


def numbers_of(bundle: Path) -> dict[str, Any]:
    """The constants of a bundle's network by name."""
    return {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(bundle / "model.onnx").graph.initializer}


@pytest.mark.real
def test_every_real_file_gets_a_genre(shared: Path) -> None:
    bundle = genrelab.load_bundle(classifier.STARTER)
    paths = list(find_audio_files([shared / "data/assorted"]))
    assert len(paths) == 16
    for path in paths:
        assert isinstance(path, Path)
        answer = bundle.predict(path)
        assert answer.error is None, path.name
        assert answer.confidence is not None and 0.1 < answer.confidence <= 1, path.name
