"""The card states what a reader of its figures must know, and how to use the model."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genrelab.audio.clips import clip_starts
from genrelab.bundle.model_card import calibration_section, card_text, split_usage, usage_section, was_fitted
from genrelab.core.config import (
    EMBEDDING_CLIPS,
    ClipSettings,
    EmbeddingView,
    FramesView,
    MelImageView,
    PrepareSettings,
    SamplesView,
    TableView,
    TrainSettings,
)
from genrelab.datasets import folder
from genrelab.datasets.base import DatasetOptions
from genrelab.evaluation import metrics
from genrelab.models.registry import create
from genrelab.prepare.pipeline import prepare
from genrelab.records.examples import Examples, load_examples
from genrelab.records.task import Task, make_task
from tests.support.evidence import evidence_from_confidences
from tests.support.in_memory import examples_of


@pytest.fixture
def task(music: Path, tmp_path: Path) -> Task:
    settings = PrepareSettings(views=(SamplesView(n_samples=50),))
    prepared = prepare(folder.load(music, DatasetOptions()), tmp_path / "prepared", settings, jobs=1)
    return make_task(prepared, TrainSettings(split="random"))


def card_of(task: Task, tmp_path: Path) -> str:
    examples: Examples = load_examples(task.prepared, "samples", task.labels(chooses=False), cache=tmp_path)
    y = examples.y[examples.role == "score"]
    scores = metrics.score(y, np.full((len(y), 3), 1 / 3), task.genres)
    about = {"scores": scores, "notes": ["a note of the model"]}
    return card_text(create("majority", TrainSettings(), task.genres), task, examples, about, ClipSettings())


def test_card_states_data_split_scores_and_limits(task: Task, tmp_path: Path) -> None:
    text = card_of(task, tmp_path)
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings == [
        *("# majority", "## Scores", "## Limits", "## Training data", "## Licence", "## Input and output"),
    ]
    counts = task.split.counts
    assert f"{counts['training']} tracks of" in text and f"{counts['test']} test" in text
    trained = [g for g, part in zip(task.prepared.tracks["genre"], task.split.parts, strict=True) if part == "training"]
    by_genre = ", ".join(f"{genre} {trained.count(genre)}" for genre in sorted(set(trained)))
    assert f"tracks of {task.prepared.name}: {by_genre}." in text and len(trained) < len(task.split.parts)
    assert "Split `random`" in text and "- a note of the model" in text and "ambient" in text
    assert f"Measured on {counts['test']} test tracks, which" in text
    assert (
        "| score | value | 95 % interval |" in text and "| chance | 33.3 % | |" in text and "| always guessing " in text
    )
    assert text.count("\n| choir |") == 1 and "Artists may be in both the training and the test set" in text
    assert "Licences of the training tracks: unknown (" in text and "other collections" in text


def test_card_lists_the_licences_of_the_training_tracks(task: Task, tmp_path: Path) -> None:
    training = [i for i, part in enumerate(task.split.parts) if part == "training"]
    licences: list[str | None] = ["of a test track"] * len(task.split.parts)
    for n, i in enumerate(training):
        licences[i] = None if n == 0 else f"CC {min(n % 8, 6)}"
    tracks = {**task.prepared.tracks, "licence": licences}
    text = card_of(replace(task, prepared=replace(task.prepared, tracks=tracks)), tmp_path)
    assert "CC 6 (" in text and "2 other licences (" in text and "unknown (1 track)" in text
    assert "of a test track" not in text


def test_card_describes_the_input_of_each_export_format() -> None:
    clips = ClipSettings(clip_s=10.0, max_clips=4)
    mel = "\n".join(usage_section("litert", MelImageView(), clips, 8))
    assert "`model.tflite`" in mel and "float32 (windows, 224, 224)" in mel and "float32 (windows, 8)" in mel
    assert "22,050 Hz" in mel and "settings.json" in mel and "up to 10.5 s is one clip" in mel
    assert "n > 4 clips, these are used: the first (number 0)" in mel and "floor((i + 1/2) n / 4) for i = 1 to 3" in mel
    for used, n in product((1, 4, 10, 12), range(13, 1_000)):
        numbers = [0, *(math.floor(Fraction(2 * i + 1, 2) * n / used) for i in range(1, used))]
        assert clip_starts(n * 10.0, ClipSettings(clip_s=10.0, max_clips=used)) == tuple(10.0 * i for i in numbers)
    assert "the first (number 0). Silent" in "\n".join(
        usage_section("litert", MelImageView(), ClipSettings(max_clips=1), 8)
    )
    wave = "\n".join(usage_section("waveform-onnx", MelImageView(), clips, 8))
    assert "mono, full scale 1, 22,050 Hz" in wave and "float32 (8,)" in wave and "views.compute" not in wave
    assert "The audio only needs resampling: the graph adjusts its level and cuts windows." in wave
    assert "Only the beginning of a track is used" in "\n".join(usage_section("onnx", FramesView(), clips, 8))
    assert "mean over its rows" in "\n".join(usage_section("onnx", TableView(columns=("a",)), clips, 8))
    assert "tf.saved_model.load" in "\n".join(usage_section("saved-model", MelImageView(), clips, 8))


def test_card_of_a_model_on_embeddings_names_the_networks_and_the_early_stop(task: Task, tmp_path: Path) -> None:
    bundle, graph = (
        "\n".join(usage_section(f, EmbeddingView(), EMBEDDING_CLIPS, 8)) for f in ("onnx", "waveform-onnx")
    )
    assert "float32 (windows, 456)" in bundle and "mono audio at 16,000 Hz" in bundle
    assert "The frozen music networks are part of genrelab" in bundle
    assert (
        "mono, full scale 1, 16,000 Hz" in graph
        and "adjusts its level, cuts windows and runs the frozen music networks" in graph
    )
    for text in (bundle, graph):
        assert "A track of up to 3.15 s is one clip" in text and "stops when the result is clear" in text
    mel = "\n".join(usage_section("onnx", MelImageView(), ClipSettings(), 8))
    assert "frozen" not in mel and "is clear" not in mel
    y = task.labels(chooses=False).y
    examples = examples_of(np.zeros((len(y), 456)), np.maximum(y, 0), view=EmbeddingView())
    scores = metrics.score(np.zeros(3, int), np.full((3, 3), 1 / 3), task.genres)
    model, about = create("musicnn", TrainSettings(), task.genres), {"scores": scores, "notes": []}
    card = card_text(model, task, examples, about, EMBEDDING_CLIPS)
    assert "the model classified the mean of up to 5 windows of 3 s" in card
    assert "the mean of up to" not in card_of(task, tmp_path)


def test_card_reports_the_calibration_and_its_tracks(task: Task, tmp_path: Path) -> None:
    examples: Examples = load_examples(task.prepared, "samples", task.labels(chooses=False), cache=tmp_path)
    y = examples.y[examples.role == "score"]
    scores = metrics.score(y, np.full((len(y), 3), 1 / 3), task.genres)
    before, after = {"log_loss": 2.5, "ece": 0.31}, {"log_loss": 1.25, "ece": 0.062}
    scored = {"before": before, "after": after, "coverage": {"covered": 0.875, "set_size": 2.25}}
    scored["precision"] = {"asked": 0.9, "answered": 0.4, "precision": 0.95}
    calibration = {"temperature": 1.37, "fitted_on": "validation", "scored": scored}
    first, second, third = task.genres
    evidence = evidence_from_confidences(
        {first: [800] * 60, third: [700] * 3}, {first: [500], second: [900] * 25}, [123] * 26
    )
    about = {"scores": scores, "notes": [], "calibration": calibration}
    model = create("majority", TrainSettings(), task.genres)
    text = card_text(model, task, examples, about, ClipSettings(), evidence)
    assert text.index("## Scores") < text.index("## Confidence") < text.index("## Limits")
    assert "Calibrated on 89 tracks (validation). They are by 89 artists; " in text and "Temperature: 1.37." in text
    assert "every genre of probability 0.123 or more" in text
    assert "| genre | precision 50 % | precision 80 % | precision 90 % |" in text
    assert f"| {first} | 0.5 (60 of 61 correct, 61 artists) | 0.5 (60 of 61 correct, 61 artists) | never |" in text
    assert f"| {third} | 0.7 (3 of 3 correct, 3 artists) | never | never |" in text
    assert f"Genres that reach none of these precisions: {second}." in text and f"| {second} | never" not in text
    assert "A minimum reaches its precision with a probability of 70 %." in text
    assert (
        "changes these scores: log loss from 2.500 to 1.250, ECE from 0.310 to 0.062." in text
        and "for 87.5 % of" in text
    )
    assert "gives a genre to 40.0 % of them, and 95.0 % of these answers are correct" in text
    assert "if there is none, the most probable ones until they add up to 0.9" in text
    scored["precision"]["precision"] = None
    model.needs_validation = True  # type: ignore[misc]
    text = card_text(model, task, examples, about, ClipSettings(), evidence)
    assert "The best epoch was chosen on them, too." in text and "gives a genre to 40.0 % of them." in text
    model.settings = TrainSettings(preset="article")
    assert "The best epoch" not in card_text(model, task, examples, about, ClipSettings(), evidence), "it uses the last"
    text = card_text(
        model, task, examples, about | {"calibration": calibration | {"fitted": False}}, ClipSettings(), evidence
    )
    assert "Not calibrated: 89 tracks (validation). They are by" in text and "log loss 1.250, ECE 0.062. `" in text
    assert "Temperature" not in text and "Calibrated on" not in text and "calibration changes" not in text


def test_fitted_temperature_is_recognised_in_old_and_new_metrics() -> None:
    calibrations: tuple[dict[str, Any], ...] = ({"n": 16}, {"n": 20}, {}, {"n": 400, "fitted": False})
    assert [was_fitted(c) for c in calibrations] == [False, True, True, False]


@pytest.mark.parametrize("heading", ["## Input and output", "## How it is fed"])
def test_last_section_is_split_off_in_cards_of_every_version(heading: str) -> None:
    assert split_usage(f"# svm\n\n{heading}\n\n`x`") == ("# svm\n\n", f"{heading}\n\n`x`")
    assert split_usage("# svm\n") == ("# svm\n", "")


def test_few_calibration_tracks_are_named() -> None:
    few = evidence_from_confidences({"a": [800]}, {"b": [500]}, [123])
    text = "\n".join(calibration_section(None, few, "validation"))
    assert "Not calibrated: 2 tracks (validation), at least 20 are needed." in text
