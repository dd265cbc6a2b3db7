"""One graph from samples to probabilities answers as the bundle does, whatever the length of the clip."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from genrelab.audio.clips import Clip, read_clips, resample
from genrelab.bundle.bundle import load_bundle
from genrelab.core.config import (
    EMBEDDING_CLIPS,
    EmbeddingView,
    FramesView,
    LogMelView,
    MelImageView,
    SamplesView,
    StatisticsView,
    TableView,
    View,
)
from genrelab.core.errors import ModelError
from genrelab.export.export import export
from genrelab.export.formats import model_input
from genrelab.export.waveform_graph import _starts, waveform_onnx
from genrelab.features.embedding import window_starts
from genrelab.models.onnx_export import Nodes
from tests.support.sounds import awkward, music
from tests.support.untrained_models import bundle_of

VIEWS: dict[str, View] = {
    "mel_image": MelImageView(sr=8_000, n_fft=512, size=32),
    "log_mel": LogMelView(sr=8_000, n_fft=512, hop_length=128, n_mels=32, window_s=0.5, hop_s=0.5),
    "log_mel that overlaps": LogMelView(
        sr=8_000, n_fft=256, hop_length=100, n_mels=20, window_s=0.333, hop_s=0.1, top_db=60.0
    ),
    "log_mel with gaps": LogMelView(sr=8_000, n_fft=256, hop_length=64, n_mels=20, window_s=0.2, hop_s=0.45),
    "samples": SamplesView(sr=8_000, n_samples=3_000),
}

SOUND = music(8_000, 4.0)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The largest difference between graph and bundle on samples, for a view by its name."""

    @cache
    def pair(name: str) -> tuple[Any, Any]:
        folder = tmp_path_factory.mktemp("bundle") / "bundle"
        bundle = load_bundle(bundle_of(folder, VIEWS[name], temperature=2.5 if "overlaps" in name else 1.0))
        return bundle, onnxruntime.InferenceSession(waveform_onnx(bundle))

    def off(name: str, y: NDArray[np.float32]) -> float:
        bundle, session = pair(name)
        expected = bundle.probabilities(model_input(bundle, [Clip(0.0, y, 8_000)]).windows).mean(axis=0)
        answer = session.run(None, {"samples": y})[0]
        assert answer.shape == (len(bundle.genres),) and answer.dtype == np.float32
        assert answer.sum() == pytest.approx(1, abs=1e-5)
        return float(np.abs(answer - expected).max())

    return off


@pytest.mark.parametrize("name", VIEWS)
@settings(max_examples=30)
@given(n=st.integers(1, 30_000))
def test_clips_of_any_length_match_the_bundle(asked: Any, name: str, n: int) -> None:
    assert asked(name, SOUND[-n:]) < 1e-3  # the end is the loudest; the beginning is much like noise


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("n", [1_600, 2_664, 4_000, 5_999, 6_000, 6_001, 8_000])
def test_clips_at_window_boundaries_match_the_bundle(asked: Any, name: str, n: int) -> None:
    assert asked(name, music(8_000, 1.0)[-n:]) < 1e-3


@pytest.mark.parametrize("name", VIEWS)
def test_awkward_sounds_match_the_bundle(asked: Any, name: str) -> None:
    for kind, y in awkward(8_000, 1.5).items():
        assert asked(name, y) < 1e-3, kind


def test_networks_of_these_tests_detect_a_wrong_hop(tmp_path: Path) -> None:
    """A test that could not fail would prove nothing: a hop that is off by a frame in a hundred shows."""
    view = VIEWS["log_mel"]
    bundle = load_bundle(bundle_of(tmp_path / "bundle", view))
    y = music(8_000, 1.0)
    right = bundle.probabilities(model_input(bundle, [Clip(0.0, y, 8_000)]).windows)
    wrong = bundle.probabilities(model_input(bundle, [Clip(0.0, np.roll(y, 80), 8_000)]).windows)
    assert np.abs(right - wrong).max() > 1e-2


@pytest.fixture(scope="module")
def embedding_pair(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A bundle on `embedding`, and its graph."""
    bundle = load_bundle(bundle_of(tmp_path_factory.mktemp("bundle") / "bundle", EmbeddingView(), temperature=20.0))
    return bundle, onnxruntime.InferenceSession(waveform_onnx(bundle))


@pytest.mark.parametrize("seconds", [0.01, 0.5, 2.0, 2.9, 2.992, 3.0, 3.1, 4.4, 4.488, 4.6, 7.48, 10.0, 30.0, 31.5])
def test_frozen_networks_are_in_the_graph(embedding_pair: Any, seconds: float) -> None:
    bundle, session = embedding_pair
    y = music(16_000, 32.0)[-round(16_000 * seconds) :]
    expected = bundle.probabilities(model_input(bundle, [Clip(0.0, y, 16_000)]).windows)[0]
    answer = session.run(None, {"samples": y})[0]
    assert 0.2 < expected.max() < 0.99  # so unsure that every difference shows
    np.testing.assert_allclose(answer, expected, atol=1e-3)


def test_awkward_sounds_match_the_bundle_on_embeddings(embedding_pair: Any) -> None:
    bundle, session = embedding_pair
    for kind, y in awkward(16_000, 3.2).items():
        expected = bundle.probabilities(model_input(bundle, [Clip(0.0, y, 16_000)]).windows)[0]
        np.testing.assert_allclose(session.run(None, {"samples": y})[0], expected, atol=1e-3, err_msg=kind)


@pytest.fixture(scope="module")
def starts_in_onnx() -> Any:
    """The starts of the windows of a clip of so many samples, as the graph computes them."""
    from onnx import TensorProto, helper

    nodes = Nodes("")
    nodes.named("starts", _starts(nodes, "n_samples", EmbeddingView()))
    given_, made = (
        helper.make_tensor_value_info(name, TensorProto.INT64, shape)
        for name, shape in (("n_samples", []), ("starts", ["windows"]))
    )
    graph = helper.make_graph(nodes.nodes, "starts", [given_], [made], nodes.constants)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    return lambda n: session.run(None, {"n_samples": np.array(n, np.int64)})[0].tolist()


@settings(max_examples=300)
@given(n=st.one_of(st.integers(1, 520_000), st.integers(1, 20).map(lambda i: 23_936 * i)))  # halves of a window: ties
def test_windows_of_embeddings_start_as_in_python(starts_in_onnx: Any, n: int) -> None:
    assert starts_in_onnx(n) == window_starts(n, EmbeddingView())


@pytest.mark.real
def test_real_files_match_the_bundle(shared: Path, tmp_path: Path) -> None:
    bundle = load_bundle(bundle_of(tmp_path / "bundle", MelImageView()))
    session = onnxruntime.InferenceSession(waveform_onnx(bundle))
    files = sorted((shared / "data" / "assorted").glob("*.ogg"))[:3]
    assert files
    for file in files:
        for clip in read_clips(file, bundle.clips):
            expected = bundle.probabilities(model_input(bundle, [clip]).windows)[0]
            answer = session.run(None, {"samples": resample(clip.y, clip.sr, bundle.view.sr)})[0]
            np.testing.assert_allclose(answer, expected, atol=1e-3)


def test_graph_on_embeddings_contains_both_networks_and_its_rate(tmp_path: Path) -> None:
    bundle = load_bundle(bundle_of(tmp_path / "bundle", EmbeddingView(), clips=EMBEDDING_CLIPS))
    content = waveform_onnx(bundle)
    said = {p.key: p.value for p in onnx.load_model_from_string(content).metadata_props}
    assert (said["sr"], said["clip_s"], said["view"]) == ("16000", "3.0", "embedding")
    assert 2_700_000 < len(content) < 3_500_000


def test_graph_metadata_describes_its_input(tmp_path: Path) -> None:
    bundle = load_bundle(bundle_of(tmp_path / "bundle", VIEWS["mel_image"]))
    proto = onnx.load_model_from_string(waveform_onnx(bundle))
    onnx.checker.check_model(proto, full_check=True)
    said = {p.key: p.value for p in proto.metadata_props}
    assert said["sr"] == "8000" and json.loads(said["genres"]) == list(bundle.genres)
    assert said["clip_s"] == "30.0" and said["min_s"] == "0.5" and said["view"] == "mel_image"
    assert said["created_by"].startswith("genrelab ") and said["bundle"] == bundle.fingerprint
    (samples,) = proto.graph.input
    assert samples.name == "samples" and samples.type.tensor_type.shape.dim[0].dim_param == "n_samples"


@pytest.mark.parametrize(
    ("view", "reason"),
    [
        (StatisticsView(), r"svm cannot be exported as waveform-onnx: .* the view statistics: use --format onnx"),
        (FramesView(n_frames=4), "no operators for the view frames"),
        (TableView(columns=("a", "b")), "it reads columns of a table"),
    ],
)
def test_features_are_refused_with_the_reason(tmp_path: Path, view: View, reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        export(bundle_of(tmp_path / "bundle", view), "waveform-onnx", tmp_path / "out")


def test_operators_of_another_version_are_refused(tmp_path: Path) -> None:
    bundle = load_bundle(bundle_of(tmp_path / "bundle", VIEWS["samples"], opset=13))
    with pytest.raises(ModelError, match="uses ONNX opset 13; genrelab can extend opset 17 only"):
        waveform_onnx(bundle)
