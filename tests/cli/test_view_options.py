"""`--view-option`: refused before any work, or used all the way from `prepare` to the exported model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from genrelab.cli.run import large_window_lines, parse_views
from genrelab.core.config import MelImageView, SamplesView, StatisticsView
from genrelab.records.prepared import open_prepared
from tests.support.command import call
from tests.support.tones import write_tone


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two genres of ten tracks each."""
    for genre, hz in (("jazz", 200), ("rock", 900)):
        for i in range(10):
            write_tone(tmp_path / "music" / genre / f"{i}.wav", hz=hz + 9 * i, seed=i)
    return tmp_path / "music"


def _prepare(root: Path, *words: object) -> tuple[int, str, str]:
    return call("prepare", root, "--out", root.parent / "prepared", "--views", "samples,mel_image", "--jobs", 1, *words)


def test_prepared_views_have_the_given_settings(root: Path) -> None:
    options = ("--view-option", "samples.n_samples=300", "--view-option", "samples.sr=8000", "--view-option",
               "mel_image.size=16")  # fmt: skip
    status, _, err = _prepare(root, *options)
    assert status == 0, err
    views = open_prepared(str(root.parent / "prepared")).views
    assert views["samples"] == SamplesView(sr=8_000, n_samples=300) and views["mel_image"] == MelImageView(size=16)
    status, _, err = _prepare(root, *options)
    assert status == 0 and "is up to date: 20 tracks" in err
    before = json.loads((root.parent / "prepared" / "dataset.json").read_text())
    status, _, err = _prepare(root, *options[:2])
    assert status == 1 and "views.samples.sr is 8000, not 44100" in err and "choose another --out" in err
    assert json.loads((root.parent / "prepared" / "dataset.json").read_text()) == before


def test_remedy_for_a_missing_view_keeps_the_changed_settings(root: Path) -> None:
    status, _, err = _prepare(root, "--view-option", "samples.n_samples=300", "--view-option", "mel_image.size=16")
    assert status == 0, err
    status, _, err = call("train", root.parent / "prepared", "--out", root.parent / "run", "--models", "knn")
    remedy = "prepare with --views mel_image,samples,statistics --view-option mel_image.size=16 --view-option samples."
    assert status == 1 and f"{remedy}n_samples=300\n" in err
    words = err.split("prepare with ")[1].split()
    status, _, err = call("prepare", root, "--out", root.parent / "more", "--jobs", 1, *words)
    assert status == 0, err
    old, new = (open_prepared(str(root.parent / name)).views for name in ("prepared", "more"))
    assert {**old, "statistics": StatisticsView()} == new


def test_fma_exact_cannot_be_on_and_off(root: Path) -> None:
    words = ("--views", "statistics", "--fma-exact", "--view-option")
    status, _, err = call("prepare", root, "--out", root.parent / "out", *words, "statistics.fma_exact=false")
    assert status == 1 and not (root.parent / "out").exists()
    assert "--fma-exact and --view-option statistics.fma_exact=false contradict each other" in err
    assert parse_views("statistics", True, ["statistics.fma_exact=true"]) == (StatisticsView(fma_exact=True),)
    assert parse_views("samples", True, ["samples.sr=8000"]) == (SamplesView(sr=8_000),)


def test_large_windows_are_named_with_the_space_that_they_take(root: Path) -> None:
    _, _, err = _prepare(root, "--view-option", "samples.n_samples=500000")
    assert "samples: one window takes 2.0 MB; 20 tracks with a window each take 40.0 MB, and twice that" in err
    assert "mel_image: one window" not in err
    assert not list(large_window_lines(parse_views("all"), 8_000))


@pytest.mark.parametrize("command", ["prepare", "run", "bench"])
def test_unusable_options_are_refused_before_any_work(root: Path, command: str) -> None:
    out = root.parent / "out"
    for option, message in [
        ("samples.n_samples=0", "n_samples cannot be 0: it must be above 0 and at most 10,000,000"),
        ("samples.length=5", "the view samples has no setting 'length': use sr, n_samples"),
        ("frames.n_frames=5", "the view frames is not prepared: name it in --views, too (now: samples)"),
    ]:
        words = ("--out", out) if command != "bench" else ()
        status, said, err = call(command, root, *words, "--views", "samples", "--view-option", option)
        assert status == 1 and not said and f"Error: --view-option {option}: {message}" in err
        assert not out.exists()


def test_a_table_of_features_has_no_view_to_change(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text(
        "track_id,genre,a,b\n" + "".join(f"{i},{'jazz' if i % 2 else 'rock'},{i}.5,2\n" for i in range(20))
    )
    status, _, err = call("prepare", table, "--out", tmp_path / "out", "--view-option", "samples.sr=8000")
    assert status == 1 and "is a table of features, which has no view to change: leave the option out" in err
    assert not (tmp_path / "out").exists()


def _bundle_view(run: Path, model: str) -> dict[str, Any]:
    view: dict[str, Any] = json.loads((run / model / "bundle" / "bundle.json").read_text())["view"]
    return view


@pytest.mark.slow
def test_models_are_trained_used_and_exported_with_other_view_settings(root: Path) -> None:
    run, song = root.parent / "run", root / "jazz" / "0.wav"
    status, _, err = _prepare(root, "--view-option", "samples.n_samples=500", "--view-option", "mel_image.size=32")
    assert status == 0, err
    status, _, err = call(
        "train", root.parent / "prepared", "--out", run, "--models", "raw_cnn,mobilenet_v2", "--epochs", 1,
        "--imagenet-weights", "none",
    )  # fmt: skip
    assert status == 0, err
    assert _bundle_view(run, "raw_cnn")["shape"] == [500] and _bundle_view(run, "mobilenet_v2")["shape"] == [32, 32]
    for model in ("raw_cnn", "mobilenet_v2"):
        status, out, err = call("predict", song, "--model", run / model / "bundle", "--any", "--json")
        assert status == 0 and json.loads(out)[0]["genre"] in ("jazz", "rock"), err
        status, out, err = call("export", run / model, "--format", "waveform-onnx", "--json")
        assert status == 0 and json.loads(out)["view"] == _bundle_view(run, model), err


@pytest.mark.slow
def test_mobilenet_refuses_an_image_that_is_too_small(root: Path) -> None:
    status, _, err = _prepare(root, "--view-option", "mel_image.size=16")
    assert status == 0, err
    words = ("--models", "mobilenet_v2", "--imagenet-weights", "none")
    status, _, err = call("train", root.parent / "prepared", "--out", root.parent / "run", *words)
    assert status == 1 and "mobilenet_v2 needs a mel_image of 32 x 32 or more, and this one is 16 x 16" in err
