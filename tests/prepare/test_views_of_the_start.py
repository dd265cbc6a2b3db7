"""Views of the first clip use only that, whatever the length of the track and the number of windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from genrelab.core.config import (
    ClipSettings,
    FramesView,
    MelImageView,
    PrepareSettings,
    SamplesView,
    TrainSettings,
    View,
)
from genrelab.export.parity_check import _load_inputs
from genrelab.predict.classifier import load_bundle
from genrelab.prepare import make_piece
from genrelab.prepare.work_unit import Item
from genrelab.records import tfrecord
from genrelab.studies.occlusion import first_stretch
from genrelab.studies.reclassify import load_inputs
from genrelab.studies.robustness import study
from tests.support.bundles import GENRES, SR, bundle_for, noise
from tests.support.finished_run import Sounds, no_bar, write_finished_run

RAW = SamplesView(sr=SR, n_samples=900)
FRAMES = FramesView(sr=22_050, n_frames=20)
MEL = MelImageView(sr=SR, n_fft=512, size=16)
CLIPS = ClipSettings(clip_s=0.5, max_clips=2)
"""Two of six stretches, as those below have."""


@pytest.mark.parametrize("view", [RAW, FRAMES])
@pytest.mark.parametrize("windows", [None, 1, 2, 3, "all"])
def test_predict_uses_only_the_beginning(tmp_path: Path, view: View, windows: int | str | None) -> None:
    y = noise(3.2)
    bundle = bundle_for(tmp_path / "bundle", view, CLIPS)
    soundfile.write(tmp_path / "a.wav", y, SR, subtype="FLOAT")
    beginning = bundle.predict(y[: SR // 2], SR)
    asked = bundle.with_windows(windows)  # type: ignore[arg-type]
    for found in (asked.predict(tmp_path / "a.wav"), asked.predict(y, SR)):
        assert (found.error, found.probabilities) == (None, beginning.probabilities)
        assert [w.start_s for w in found.timeline] == [0]
    y[: SR // 2] = 0
    assert "silent" in str(asked.predict(y, SR).error)


@pytest.mark.parametrize("view", [RAW, FRAMES])
def test_prepare_stores_one_window_from_the_beginning(tmp_path: Path, view: View) -> None:
    soundfile.write(tmp_path / "a.wav", noise(3.2), SR, subtype="FLOAT")
    found = {}
    for name, clips in (("two", CLIPS), ("all", ClipSettings(clip_s=0.5, max_clips=100))):
        made = make_piece._make_track(Item(0, str(tmp_path / "a.wav")), PrepareSettings(views=(MEL, view), clips=clips))
        found[name] = [content for view_name, content in made.records if view_name == view.name]
        assert len(made.records) - len(found[name]) == len(made.fingerprints) == (2 if name == "two" else 6)
    assert found["two"] == found["all"]
    (only,) = found["two"]
    assert tfrecord.decode(only[12:-4]).start_s == 0


def test_robustness_study_uses_only_the_beginning(tmp_path: Path) -> None:
    sounds: Sounds = {f"{g}/{i}.wav": (g, noise(3.2, seed=7 * i + len(g)), SR) for i in range(2) for g in GENRES}
    models = {n: bundle_for(tmp_path / "run" / n / "bundle", v, CLIPS) for n, v in (("mel", MEL), ("raw", RAW))}
    right = {n: [m.predict(y, sr).genre == genre for genre, y, sr in sounds.values()] for n, m in models.items()}
    run = write_finished_run(tmp_path / "run", models, sounds)
    for model in study(run, TrainSettings(), jobs=1, notify=lambda _: None, bar=no_bar)["models"]:
        rows = {c["name"]: c for c in model["conditions"]}
        assert rows["clean"]["refused"] == 0
        assert rows["clean"]["accuracy"] == pytest.approx(np.mean(right[model["model"]]))


def test_occlusion_and_parity_use_only_the_beginning(tmp_path: Path) -> None:
    y = noise(3.2)
    run = write_finished_run(
        tmp_path / "run",
        {"raw": bundle_for(tmp_path / "run" / "raw" / "bundle", RAW, CLIPS)},
        {"a.wav": ("Folk", y, SR)},
    )
    who = load_inputs(run)
    clip = first_stretch(who.tracks[0], who.models[0].view, who.models[0].clips)
    assert clip.start_s == 0
    np.testing.assert_array_equal(clip.y, y[:900])
    bundle, song = load_bundle(tmp_path / "run" / "raw" / "bundle"), tmp_path / "root" / "a.wav"
    inputs = _load_inputs(bundle, [song], lambda _: None)[0][song]
    np.testing.assert_array_equal(inputs.windows, y[None, :900])
