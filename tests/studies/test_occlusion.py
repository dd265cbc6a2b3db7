"""Patches that change a prediction are found where they were put."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from genrelab.core.config import ClipSettings, MelImageView, SamplesView
from genrelab.core.storage import Folder
from genrelab.features.spectrogram import mel_filters
from genrelab.studies.occlusion import TIMES, hardest_tracks, study
from genrelab.studies.reclassify import load_inputs
from tests.support.bundles import GENRES, bundle_for, noise
from tests.support.finished_run import Sounds, no_bar, write_finished_run

SR = 22_050
VIEW = MelImageView(size=40)
HUM = (0.5 * np.sin(2 * np.pi * 60 * np.arange(2 * SR) / SR)).astype(np.float32)
"""Keeps the loudest bin, which the view's levels are relative to, the same whichever patch is turned down."""

SOUNDS: Sounds = {f"{g}/{i}.wav": (g, noise(2.0, SR, seed=7 * i + len(g)) + HUM, SR) for i in range(2) for g in GENRES}


def weights_of_band(low: float, high: float, times: slice = slice(None)) -> NDArray[np.float32]:
    """Weights of a model that predicts Rock by the level of one band, in some of the frames."""
    centres = np.fft.rfftfreq(VIEW.n_fft, 1 / SR)[mel_filters(SR, VIEW.n_fft, VIEW.size).argmax(axis=1)]
    used = np.zeros(VIEW.shape, np.float32)
    used[times] = (centres >= low) & (centres < high)
    weights = np.zeros((used.size, 3), np.float32)
    weights[:, 2] = 10 * used.ravel() / used.sum()  # bundle_for takes a hundredth: 0.1 for a dB of their mean
    return weights


def run_with(folder: Path, bias: float = 2.5, **weights: NDArray[np.float32]) -> Folder:
    """The louder the band, the more Rock: with this bias, about two in three."""
    told = {"bias": (0.0, 0.0, bias)}
    models = {n: bundle_for(folder / "run" / n / "bundle", VIEW, weights=w, **told) for n, w in weights.items()}
    return write_finished_run(folder / "run", models, SOUNDS)


def explain(run: Folder, notify: list[str] | None = None, jobs: int = 1) -> dict[str, object]:
    return study(run, jobs=jobs, notify=(notify if notify is not None else []).append, bar=no_bar)


@pytest.mark.parametrize(("band", "low", "high"), [(1, 300, 900), (2, 1_200, 3_500), (3, 4_500, 10_000)])
def test_a_model_of_one_band_is_explained_by_that_band(tmp_path: Path, band: int, low: float, high: float) -> None:
    found = explain(run_with(tmp_path, one=weights_of_band(low, high)))["one"]
    for track in found["tracks"]:
        drop = np.array(track["drop"])
        assert 0.3 < track["p"] < 0.9
        assert drop.shape == (len(track["f_edges_hz"]) - 1, len(track["t_edges"]) - 1) == (4, TIMES)
        assert drop[band].min() > 0.01
        assert np.abs(np.delete(drop, band, axis=0)).max() < 0.1 * drop[band].min()


def test_a_model_of_one_moment_is_explained_by_that_moment(tmp_path: Path) -> None:
    found = explain(run_with(tmp_path, one=weights_of_band(1_200, 3_500, slice(21, 24))))["one"]  # 1.05 to 1.2 s of 2
    for track in found["tracks"]:
        drop = np.abs(np.array(track["drop"]))
        assert np.unravel_index(drop.argmax(), drop.shape) == (2, 4)
        assert drop[:, [0, 1, 2, 6, 7]].max() < 0.05 * drop.max()


def test_written_files_have_every_field(tmp_path: Path) -> None:
    run, said = run_with(tmp_path, one=weights_of_band(1_200, 3_500), two=weights_of_band(300, 900)), list[str]()
    found = explain(run, said)
    assert set(found) == {"one", "two"}
    assert "2 models" in said[0]
    for name in found:
        stored = run.read_json(f"{name}/occlusion.json")
        assert len(stored["tracks"]) == 3
        for i, track in enumerate(stored["tracks"], 1):
            assert track["path"] == track["track_id"]
            assert track["truth"] == SOUNDS[track["path"]][0]
            assert (track["start_s"], track["end_s"], track["duration_s"]) == (0, 2, 2)
            assert (len(track["mel"]), len(track["mel_hz"])) == (48, 48)
            assert len(track["mel"][0]) <= 96
            assert track["evidence"] == f"occlusion/{i}.wav"
            assert all(track["drop"][band][at] > 0 for band, at in track["evidence_patches"])
            assert soundfile.info(tmp_path / "run" / name / track["evidence"]).subtype == "PCM_16"


def test_mistakes_come_first_sorted_by_probability(tmp_path: Path) -> None:
    run = run_with(tmp_path, one=weights_of_band(1_200, 3_500))
    tracks = explain(run)["one"]["tracks"]
    assert all(t["answer"] != t["truth"] for t in tracks)
    assert [t["p"] for t in tracks] == sorted((t["p"] for t in tracks), reverse=True)
    ear, who = load_inputs(run).models[0], load_inputs(run).tracks
    ranked = [(t.genre == GENRES[answer]) for t, answer in hardest_tracks(run, ear, who, 6)]
    assert ranked == sorted(ranked)
    assert True in ranked


def test_samples_model_is_explained_within_its_window(tmp_path: Path) -> None:
    view = SamplesView(sr=SR, n_samples=4_410)
    bundle = bundle_for(tmp_path / "run" / "raw" / "bundle", view)
    found = explain(write_finished_run(tmp_path / "run", {"raw": bundle}, SOUNDS))["raw"]
    for track in found["tracks"]:
        assert track["end_s"] == pytest.approx(0.2)
        assert np.abs(track["drop"]).max() > 0


@pytest.mark.parametrize(("n_samples", "rate"), [(1, SR), (50, 8_000), (50, SR), (200, SR), (255, 44_100)])
def test_window_of_few_samples_is_skipped_with_a_reason(tmp_path: Path, n_samples: int, rate: int) -> None:
    bundle = bundle_for(tmp_path / "run" / "raw" / "bundle", SamplesView(sr=44_100, n_samples=n_samples))
    sounds: Sounds = {
        name: (genre, noise(2.0, rate, seed=i), rate) for i, (name, (genre, *_)) in enumerate(SOUNDS.items())
    }
    said: list[str] = []
    assert explain(write_finished_run(tmp_path / "run", {"raw": bundle}, sounds), said) == {}
    n = round(n_samples / 44_100 * rate)
    reads = f"the model reads only {n} sample{'' if n == 1 else 's'}, at least 256 are needed"
    assert [s.split(": no occlusion map: ")[1] for s in said[1:]] == [reads] * 3


def test_first_non_silent_stretch_is_explained(tmp_path: Path) -> None:
    y = noise(3.0, SR)
    y[:SR] = 0
    sounds: Sounds = {"a.wav": ("Folk", y, SR), "b.wav": ("Rock", noise(3.0, SR, seed=1), SR)}
    clips = ClipSettings(clip_s=1.0, max_clips=3)
    bundle = bundle_for(tmp_path / "run" / "one" / "bundle", VIEW, clips, weights=weights_of_band(1_200, 3_500))
    found = explain(write_finished_run(tmp_path / "run", {"one": bundle}, sounds))["one"]["tracks"]
    assert {t["track_id"]: (t["start_s"], t["end_s"]) for t in found} == {"a.wav": (1, 2), "b.wav": (0, 1)}
    assert next(t for t in found if t["track_id"] == "a.wav")["t_edges"][0] == 1


def test_constant_model_is_not_explained(tmp_path: Path) -> None:
    said: list[str] = []
    run = run_with(tmp_path, deaf=np.zeros((1_600, 3), np.float32), one=weights_of_band(1_200, 3_500))
    assert set(explain(run, said)) == {"one"}
    assert "  deaf: no occlusion map: the same answer for every track" in said


def test_model_without_a_decisive_patch_is_reported(tmp_path: Path) -> None:
    said: list[str] = []
    found = explain(run_with(tmp_path, bias=12.0, sure=weights_of_band(1_200, 3_500)), said)
    assert "no single patch" in found["sure"]["sentence"]
    assert any("sure: no single patch" in sentence for sentence in said)


def test_run_does_not_fail_if_occlusion_fails(tmp_path: Path) -> None:
    said: list[str] = []
    run = run_with(tmp_path, one=weights_of_band(1_200, 3_500))
    (tmp_path / "run" / "one" / "bundle" / "model.onnx").write_bytes(b"damaged")
    assert explain(run, said) == {}
    assert said[-1].startswith("Occlusion maps: not made: ")
    for file in (tmp_path / "root").rglob("*.wav"):
        file.unlink()
    assert explain(run, said) == {}
    assert "is no longer in" in said[-1]


def test_unreadable_track_is_reported(tmp_path: Path) -> None:
    said: list[str] = []
    run = run_with(tmp_path, one=weights_of_band(1_200, 3_500))
    gone = explain(run)["one"]["tracks"][1]["track_id"]
    (tmp_path / "root" / gone).write_bytes(b"no audio")
    left = explain(run, said)["one"]["tracks"]
    assert len(left) == 2
    assert any(s.startswith(f"  {gone}: no occlusion map: ") for s in said)


def test_previous_evidence_files_are_removed(tmp_path: Path) -> None:
    run = run_with(tmp_path, one=weights_of_band(1_200, 3_500))
    run.write_bytes("one/occlusion/9.wav", b"of another time")
    explain(run)
    assert run.names("one/occlusion") == ["1.wav", "2.wav", "3.wav"]
