"""A bundle says everything that is needed to use it, and what is wrong with it when something is."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from genrelab.bundle import ROWS_AT_ONCE, load_bundle, write_bundle
from genrelab.config import ClipSettings, LogMelView, MelImageView, SamplesView, StatisticsView, TableView, View
from genrelab.errors import BundleError

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

GENRES = ("Blues", "Folk", "Rock")
VIEW = SamplesView(sr=8_000, n_samples=16)
WEIGHTS = np.random.default_rng(0).standard_normal((16, 3)).astype(np.float32)


def network(
    weights: NDArray[np.float32] = WEIGHTS,
    *,
    shape: tuple[int | str, ...] = ("n", 16),
    last: str = "Softmax",
    output: str = "probabilities",
    domain: str = "",
    elsewhere: str | None = None,
) -> bytes:
    """softmax(x @ weights) for windows of any shape."""
    w = numpy_helper.from_array(weights, "w")
    if elsewhere is not None:
        w.ClearField("raw_data")
        w.data_location = TensorProto.EXTERNAL
        w.external_data.add(key="location", value=elsewhere)
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "w"], ["logits"], domain=domain),
        helper.make_node(last, ["logits"], [output]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", weights.shape[1]])],
        [w],
    )
    opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    model: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    return model


def write(folder: Path, **changes: Any) -> Path:
    settings: dict[str, Any] = {
        "onnx": network(),
        "name": "svm",
        "genres": GENRES,
        "view": VIEW,
        "clips": ClipSettings(),
        "metrics": {"accuracy": 0.5},
        "dataset": "gtzan",
        "split": "artist",
        "licence": None,
        "readme": "# A card\n",
    }
    write_bundle(folder, **(settings | changes))
    return folder


def edit(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    about = json.loads((folder / "bundle.json").read_text())
    change(about)
    (folder / "bundle.json").write_text(json.dumps(about))


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


# --- what it gives ---


def test_a_bundle_comes_back_as_it_was_written(tmp_path: Path) -> None:
    bundle = load_bundle(write(tmp_path / "svm" / "bundle", licence="CC BY", temperature=1.5))
    assert (bundle.name, bundle.genres, bundle.view, bundle.clips) == ("svm", GENRES, VIEW, ClipSettings())
    assert (bundle.temperature, bundle.metrics, bundle.dataset) == (1.5, {"accuracy": 0.5}, "gtzan")
    assert (bundle.split, bundle.licence) == ("artist", "CC BY")
    assert bundle.versions["numpy"] == np.__version__
    assert bundle.created_by.startswith("genrelab ")


def test_what_stands_in_the_folder(tmp_path: Path) -> None:
    folder = write(tmp_path / "bundle")
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "bundle.json", "model.onnx"]
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]
    about = json.loads((folder / "bundle.json").read_text())
    assert set(about) == {
        "format_version", "name", "genres", "view", "clips", "pooling", "temperature", "metrics", "dataset", "split",
        "licence", "versions", "files", "created_by",
    }  # fmt: skip
    assert about["format_version"] == 1
    assert about["pooling"] == "mean"
    assert about["files"]["model.onnx"] == hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()


def test_writing_again_replaces_and_gives_the_same_bytes(tmp_path: Path) -> None:
    first = {p.name: p.read_bytes() for p in write(tmp_path / "bundle").iterdir()}
    write(tmp_path / "bundle", name="knn")
    assert load_bundle(tmp_path / "bundle").name == "knn"
    assert {p.name: p.read_bytes() for p in write(tmp_path / "bundle").iterdir()} == first
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.parametrize("rows", [0, 1, ROWS_AT_ONCE, ROWS_AT_ONCE + 1])
def test_probabilities_are_the_networks(tmp_path: Path, rows: int) -> None:
    x = np.random.default_rng(1).standard_normal((rows, 16)).astype(np.float32)
    p = load_bundle(write(tmp_path / "bundle")).probabilities(x)
    assert p.dtype == np.float64
    assert p.shape == (rows, 3)
    np.testing.assert_allclose(p, softmax(x @ WEIGHTS) if rows else np.empty((0, 3)), atol=1e-6)
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-12)


def test_temperature_divides_the_logarithm(tmp_path: Path) -> None:
    x = np.random.default_rng(1).standard_normal((5, 16)).astype(np.float32)
    p = load_bundle(write(tmp_path / "bundle", temperature=2.0)).probabilities(x)
    np.testing.assert_allclose(p, softmax(x @ WEIGHTS / 2), atol=1e-6)
    p = load_bundle(write(tmp_path / "bundle", temperature=0.001)).probabilities(x)
    np.testing.assert_allclose(p.max(axis=1), 1)  # nothing underflows into 0 / 0


def test_threads_share_a_bundle(tmp_path: Path) -> None:
    bundle = load_bundle(write(tmp_path / "bundle"))
    xs = list(np.random.default_rng(1).standard_normal((40, 3, 16)).astype(np.float32))
    with ThreadPoolExecutor(4) as pool:
        for x, p in zip(xs, pool.map(bundle.probabilities, xs), strict=True):
            np.testing.assert_allclose(p, softmax(x @ WEIGHTS), atol=1e-6)


@pytest.mark.parametrize(
    "view", [LogMelView(), MelImageView(), StatisticsView(), TableView(columns=("mean", "variance"))]
)
def test_every_view_travels(tmp_path: Path, view: View) -> None:
    weights = np.zeros((int(np.prod(view.shape)), 3), np.float32)
    bundle = load_bundle(write(tmp_path / "bundle", view=view, onnx=network(weights, shape=("n", *view.shape))))
    assert bundle.view == view
    assert bundle.hears is not isinstance(view, TableView)
    np.testing.assert_allclose(bundle.probabilities(np.zeros((2, *view.shape), view.dtype)), 1 / 3, atol=1e-6)


# --- what it refuses ---


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"nowhere: no such folder; .*RUN/MODEL/bundle"):
        load_bundle(tmp_path / "nowhere")


def test_a_file_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "song.mp3").write_bytes(b"x")
    with pytest.raises(BundleError, match="Not a directory"):
        load_bundle(tmp_path / "song.mp3")


@pytest.mark.parametrize("name", ["bundle.json", "model.onnx", "README.md"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    (write(tmp_path / "bundle") / name).unlink()
    with pytest.raises(BundleError, match=f"{name}: is missing"):
        load_bundle(tmp_path / "bundle")


@pytest.mark.parametrize("name", ["model.onnx", "README.md"])
def test_a_changed_file_is_named(tmp_path: Path, name: str) -> None:
    file = write(tmp_path / "bundle") / name
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(BundleError, match=f"{name}: changed"):
        load_bundle(tmp_path / "bundle")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', "\xff", "[" * 100_000, "9" * 5_000])
def test_what_is_no_json_object_is_refused(tmp_path: Path, text: str) -> None:
    (write(tmp_path / "bundle") / "bundle.json").write_text(text, encoding="latin-1")
    with pytest.raises(BundleError, match=r"bundle\.json: not "):
        load_bundle(tmp_path / "bundle")


@pytest.mark.parametrize("version", [2, 0, "1", True, None])
def test_an_unknown_version_is_named(tmp_path: Path, version: Any) -> None:
    edit(write(tmp_path / "bundle"), lambda about: about.update(format_version=version))
    with pytest.raises(BundleError, match=f"format_version is {version!r}, this genrelab knows 1"):
        load_bundle(tmp_path / "bundle")


ODD: list[Any] = [None, True, -1, 0, 1e999, float("nan"), "", "x", [], ["x"], [1], {}, {"x": "y"}, {"name": "samples"}]


@pytest.mark.parametrize(
    "key", ["name", "genres", "view", "clips", "pooling", "temperature", "metrics", "files", "created_by", "licence"]
)
def test_whatever_stands_in_bundle_json_is_loaded_or_refused(tmp_path: Path, key: str) -> None:
    folder = write(tmp_path / "bundle")
    original = (folder / "bundle.json").read_text()
    refused = 0
    for value in ODD:
        edit(folder, lambda about, value=value: about.update({key: value}))
        try:
            load_bundle(folder)
        except BundleError as e:
            refused += 1
            assert "bundle.json" in str(e)
            assert "\n" not in str(e)
        (folder / "bundle.json").write_text(original)
    assert refused >= 8
    edit(folder, lambda about: about.pop(key))
    with pytest.raises(BundleError, match=f"{key} is missing"):
        load_bundle(folder)


@pytest.mark.parametrize("settings", ["view", "clips"])
def test_every_setting_of_view_and_clips_is_looked_at(tmp_path: Path, settings: str) -> None:
    view = LogMelView()
    weights = np.zeros((int(np.prod(view.shape)), 3), np.float32)
    folder = write(tmp_path / "bundle", view=view, onnx=network(weights, shape=("n", *view.shape)))
    original = (folder / "bundle.json").read_text()
    for number in json.loads(original)[settings]:
        for value in [None, True, "x", "", [], {}, -1, float("nan"), 1e999, 10**400]:
            edit(folder, lambda about, value=value, number=number: about[settings].update({number: value}))
            with pytest.raises(BundleError, match=r"bundle\.json"):
                load_bundle(folder)
            (folder / "bundle.json").write_text(original)
        edit(folder, lambda about, number=number: about[settings].pop(number))
        with pytest.raises(BundleError, match=r"bundle\.json"):
            load_bundle(folder)
        (folder / "bundle.json").write_text(original)
    load_bundle(folder)


@pytest.mark.parametrize("genres", [["Rock", "Blues", "Folk"], ["Folk", "Folk", "Rock"], ["Rock"]])
def test_genres_must_be_sorted_and_different(tmp_path: Path, genres: list[str]) -> None:
    edit(write(tmp_path / "bundle"), lambda about: about.update(genres=genres))
    with pytest.raises(BundleError, match="genres must be"):
        load_bundle(tmp_path / "bundle")


def test_genres_must_match_the_networks_output(tmp_path: Path) -> None:
    edit(write(tmp_path / "bundle"), lambda about: about.update(genres=["Blues", "Folk", "Jazz", "Rock"]))
    with pytest.raises(BundleError, match=r"model\.onnx: the model answers \(2, 3\) to 2 windows of 4 genres"):
        load_bundle(tmp_path / "bundle")


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (b"", "not a usable network"),
        (b"garbage", "not a usable network"),
        (network()[:-40], "not a usable network"),
        (network(domain="of.mine"), "not a usable network: .*of.mine"),
        (network(output="scores"), "has no output 'probabilities'"),
        (network(shape=("n", 4, 4)), "reads .* the view samples gives"),
        (network(shape=("n", "m")), "reads .* the view samples gives"),
        (network(shape=(1, 16)), "reads .* the view samples gives"),
        (network(elsewhere="weights.bin"), "names other files"),
        (network(elsewhere="/etc/passwd"), "names other files"),
    ],
)
def test_a_network_that_cannot_be_used_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: bytes, words: str
) -> None:
    (tmp_path / "weights.bin").write_bytes(WEIGHTS.tobytes())
    monkeypatch.chdir(tmp_path)  # where onnxruntime would look for them
    with pytest.raises(BundleError, match=words) as e:
        load_bundle(write(tmp_path / "bundle", onnx=model))
    assert "\n" not in str(e.value)


def test_numbers_that_are_no_probabilities_are_refused(tmp_path: Path) -> None:
    x = np.ones((2, 16), np.float32)
    with pytest.raises(BundleError, match="no probabilities"):
        load_bundle(write(tmp_path / "bundle", onnx=network(last="Exp"))).probabilities(x)
    with pytest.raises(BundleError, match="no probabilities"):
        load_bundle(write(tmp_path / "bundle")).probabilities(x * np.float32("nan"))


def test_windows_of_another_shape_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"reads windows of shape \(16,\)\. Received: \(15,\)"):
        load_bundle(write(tmp_path / "bundle")).probabilities(np.zeros((2, 15), np.float32))


def test_a_bundle_cannot_be_changed(tmp_path: Path) -> None:
    bundle = load_bundle(write(tmp_path / "bundle"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        bundle.name = "other"  # type: ignore[misc]
