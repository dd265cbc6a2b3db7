"""genrelab/features/embedding.py, its networks, and the script that builds them."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType

import librosa
import numpy as np
import onnx
import pytest

from genrelab.core.config import NETWORK_OUTPUTS, EmbeddingView, view_from_json, view_to_json
from genrelab.core.errors import SettingsError
from genrelab.features.embedding import (
    FOLDER,
    embed_window,
    embedding,
    embedding_columns,
    log_mel,
    network_file,
    window_length,
    window_starts,
)
from genrelab.features.views import compute
from tests.support.paths import PROJECT
from tests.support.sounds import music

VIEW = EmbeddingView()
SR = VIEW.sr
BUILT_FILES = ("LICENSE.txt", "msd_musicnn.onnx", "msd_vgg.onnx", "tags.npz")
"""What `scripts/embedding.py` builds; other files of the folder have scripts of their own."""


def of_seconds(seconds: float) -> np.ndarray:
    return music(SR, seconds)[: round(seconds * SR)]


@pytest.mark.parametrize("seconds", [2.992, 1.0])
def test_log_mel_matches_librosa(seconds: float) -> None:
    y = of_seconds(seconds)
    mel = librosa.feature.melspectrogram(y=y, sr=SR, n_fft=512, hop_length=256, n_mels=96).T
    wanted = np.log10(1 + 10_000 * mel)
    found = log_mel(y, VIEW)
    assert found.shape == (187, 96) and found.dtype == np.float32
    np.testing.assert_allclose(found, wanted[np.arange(187) % len(wanted)], atol=1e-4)


def test_frames_of_a_short_clip_are_repeated() -> None:
    found = log_mel(of_seconds(0.5), VIEW)
    frames = 1 + SR // 2 // 256
    np.testing.assert_array_equal(found[frames : 2 * frames], found[:frames])


@pytest.mark.parametrize(
    ("seconds", "starts_s"),
    [
        (0.5, [0.0]),
        (2.992, [0.0]),
        (3.0, [0.004]),
        (4.4, [0.704]),
        (4.488, [0.0, 1.496]),  # 1.5 windows are rounded to 2, as is 2.5
        (7.48, [0.0, 4.488]),
        (10.0, [0.0, 3.504, 7.008]),
        (30.0, [0.0, 6.752, 13.504, 20.256, 27.008]),
        (600.0, [0.0, 149.252, 298.504, 447.756, 597.008]),
    ],
)
def test_windows_are_spread_over_the_clip(seconds: float, starts_s: list[float]) -> None:
    found = window_starts(round(seconds * SR), VIEW)
    np.testing.assert_allclose(np.array(found) / SR, starts_s, atol=1e-4)
    assert all(type(start) is int for start in found)


def test_the_embedding_is_the_mean_over_its_windows() -> None:
    y = of_seconds(10.0)
    starts = window_starts(len(y), VIEW)
    rows = [embed_window(y[start : start + window_length(VIEW)], VIEW) for start in starts]
    found = embedding(y, VIEW)
    assert found.shape == VIEW.shape == (456,) and found.dtype == np.float32 and len(starts) == 3
    np.testing.assert_allclose(found, np.mean(rows, axis=0), atol=1e-6)
    assert np.abs(rows[0] - rows[2]).max() > 0.1  # the sound swells: the windows differ


@pytest.mark.parametrize("seconds", [0.01, 0.5, 3.0])
def test_short_clips_and_silence_are_finite(seconds: float) -> None:
    y = of_seconds(seconds)
    for clip in (y, 0 * y):
        assert np.isfinite(embed_window(clip, VIEW)).all()


def test_other_rates_give_nearly_the_same() -> None:
    at_44 = compute(VIEW, music(44_100, 3.5), 44_100)[0].x
    at_22 = compute(VIEW, music(22_050, 3.5), 22_050)[0].x
    scale = np.abs(at_44).mean()
    assert np.abs(at_44 - at_22).mean() < 0.1 * scale


def test_columns_are_named_by_network() -> None:
    names = embedding_columns(VIEW)
    assert len(names) == len(set(names)) == 456
    assert (names[0], names[199], names[200], names[455]) == (
        "msd_musicnn_000",
        "msd_musicnn_199",
        "msd_vgg_000",
        "msd_vgg_255",
    )


def test_settings_that_the_networks_cannot_read_are_refused() -> None:
    assert view_from_json(view_to_json(VIEW)) == VIEW
    assert EmbeddingView(max_windows=2).shape == (456,)
    for wrong in ({"sr": 22_050}, {"networks": ("msd_musicnn",)}, {"n_frames": 100}):
        with pytest.raises(SettingsError, match="view embedding: its networks were trained with their own settings"):
            EmbeddingView(**wrong)
    with pytest.raises(SettingsError, match="max_windows must be above 0"):
        EmbeddingView(max_windows=0)


@pytest.mark.parametrize("name", NETWORK_OUTPUTS)
def test_networks_are_checked_graphs_with_half_precision_weights(name: str) -> None:
    content = network_file(name).read_bytes()
    proto = onnx.load_model_from_string(content)
    onnx.checker.check_model(proto, full_check=True)
    (output,) = proto.graph.output
    assert output.type.tensor_type.shape.dim[1].dim_value == NETWORK_OUTPUTS[name]
    assert len(content) < 2_000_000


def test_licence_is_in_the_folder_of_the_networks() -> None:
    text = (FOLDER / "LICENSE.txt").read_text()
    assert "Music Technology Group" in text and "Permission to use, copy, modify, and/or distribute" in text


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("embedding_script", PROJECT / "scripts" / "embedding.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def test_a_wheel_of_other_content_is_refused(tmp_path: Path) -> None:
    (tmp_path / "musicnn.whl").write_bytes(b"other")
    with pytest.raises(SystemExit, match=r"is not that of musicnn==0\.1\.0"):
        load_script().build(tmp_path / "musicnn.whl")


@pytest.mark.slow
def test_the_script_builds_the_files_that_are_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorflow", reason="needs TensorFlow, which reads the checkpoints")
    script = load_script()
    monkeypatch.setenv("PIP_RETRIES", "1")
    try:
        wheel = script.fetch_wheel(tmp_path)
    except subprocess.CalledProcessError:
        pytest.skip("needs the wheel musicnn 0.1.0 from PyPI, which cannot be fetched")
    built = script.build(wheel)
    assert sorted(built) == sorted(BUILT_FILES)
    for name, content in built.items():
        assert content == (FOLDER / name).read_bytes(), name
