"""A bundle contains everything that is needed to use it; errors say what is wrong with it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from genrelab.bundle.bundle import BATCH_SIZE, load_bundle, replace_card, write_bundle
from genrelab.core.config import (
    ClipSettings,
    LogMelView,
    MelImageView,
    SamplesView,
    StatisticsView,
    TableView,
    View,
    view_to_json,
)
from genrelab.core.errors import BundleError
from tests.support.evidence import evidence_from_confidences

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

GENRES = ("Blues", "Folk", "Rock")
SUM_OF_ONE = np.repeat(np.array([[1.0, 1.0, -1.0]], np.float32) / 16, 16, axis=0)
VIEW = SamplesView(sr=8_000, n_samples=16)
WEIGHTS = np.random.default_rng(0).standard_normal((16, 3)).astype(np.float32)
EVIDENCE = evidence_from_confidences(
    {"Blues": [900], "Rock": [400, 400]}, {"Blues": [700], "Folk": [500, 350]}, [0, 12, 300], by=2
)


def network(
    weights: NDArray[np.float32] = WEIGHTS,
    *,
    shape: tuple[int | str, ...] = ("n", 16),
    last: str = "Softmax",
    output: str = "probabilities",
    domain: str = "",
    elsewhere: str | None = None,
    outputs: tuple[str, ...] = (),
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
        [
            helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", weights.shape[1]]),
            *map(helper.make_empty_tensor_value_info, outputs),
        ],
        [w],
    )
    opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    model: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    return model


def write(folder: Path, **changes: Any) -> Path:
    arguments: dict[str, Any] = {
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
    write_bundle(folder, **(arguments | changes))
    return folder


def edit(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    about = json.loads((folder / "bundle.json").read_text())
    change(about)
    (folder / "bundle.json").write_text(json.dumps(about))


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


# --- written and loaded ---


def test_calibration_evidence_is_stored_and_loaded(tmp_path: Path) -> None:
    folder = write(tmp_path / "bundle", calibration=EVIDENCE, temperature=1.3)
    assert load_bundle(folder).calibration == EVIDENCE
    assert '"true": [ 900, 400, 400, 0, 12, 300 ],' in (folder / "bundle.json").read_text(), "one line for each number"
    replace_card(folder, "# Another card\n")
    assert load_bundle(folder).calibration == EVIDENCE
    assert load_bundle(write(tmp_path / "without")).calibration is None


def test_gate_is_stored_only_where_it_is_off(tmp_path: Path) -> None:
    with_gate, without = write(tmp_path / "with"), write(tmp_path / "without", gate=False)
    assert (load_bundle(with_gate).gate, load_bundle(without).gate) == (True, False)
    stored = [json.loads((folder / "bundle.json").read_text()) for folder in (with_gate, without)]
    assert "gate" not in stored[0] and stored[1] == stored[0] | {"gate": False}
    replace_card(without, "# Another\n")
    assert load_bundle(without).gate is False


def test_own_names_are_stored_only_where_they_are(tmp_path: Path) -> None:
    """Bundles without them, as older ones are, stay the same to the byte."""
    theirs, ours = write(tmp_path / "theirs"), write(tmp_path / "ours", own_names=True)
    assert (load_bundle(theirs).own_names, load_bundle(ours).own_names) == (False, True)
    stored = [json.loads((folder / "bundle.json").read_text()) for folder in (theirs, ours)]
    assert "own_names" not in stored[0] and stored[1] == stored[0] | {"own_names": True}
    replace_card(ours, "# Another\n")
    assert load_bundle(ours).own_names is True


@pytest.mark.parametrize("key", ["own_names", "gate"])
@pytest.mark.parametrize("value", [1, 0, None, "true", [], {}])
def test_optional_keys_must_be_true_or_false(tmp_path: Path, key: str, value: Any) -> None:
    edit(write(tmp_path / "b"), lambda about: about.update({key: value}))
    with pytest.raises(BundleError, match=rf"bundle\.json: {key} must be true or false\. Received: "):
        load_bundle(tmp_path / "b")


def test_bundle_round_trip_keeps_every_field(tmp_path: Path) -> None:
    bundle = load_bundle(write(tmp_path / "svm" / "bundle", licence="CC BY", temperature=1.5))
    assert (bundle.name, bundle.genres, bundle.view, bundle.clips) == ("svm", GENRES, VIEW, ClipSettings())
    assert (bundle.temperature, bundle.metrics, bundle.dataset) == (1.5, {"accuracy": 0.5}, "gtzan")
    assert (bundle.split, bundle.licence) == ("artist", "CC BY")
    assert bundle.versions["numpy"] == np.__version__
    assert bundle.created_by.startswith("genrelab ")


def test_bundle_folder_holds_three_files_with_checksums(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("names", [["notes.txt"], ["README.md"], ["bundle.json", "model.onnx", "README.md", "mine"]])
def test_writing_replaces_nothing_but_a_bundle(tmp_path: Path, names: list[str]) -> None:
    (tmp_path / "mine").mkdir()
    for name in names:
        (tmp_path / "mine" / name).write_text("mine")
    with pytest.raises(BundleError, match="mine exists and is not a bundle, or contains other files"):
        write(tmp_path / "mine")
    assert {p.name: p.read_text() for p in (tmp_path / "mine").iterdir()} == dict.fromkeys(names, "mine")
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


def test_bundle_left_under_its_temporary_name_is_restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a kill between the two renames leaves it; then a disk that is full."""
    write(tmp_path / "bundle").rename(tmp_path / ".bundle.old-123")
    with monkeypatch.context() as m, pytest.raises(OSError, match="full"):
        m.setattr(Path, "write_bytes", lambda *_: (_ for _ in ()).throw(OSError("full")))
        write(tmp_path / "bundle", name="knn")
    assert load_bundle(tmp_path / "bundle").name == "svm"
    write(tmp_path / "bundle", name="knn")
    assert load_bundle(tmp_path / "bundle").name == "knn"


@pytest.mark.parametrize("rows", [0, 1, BATCH_SIZE, BATCH_SIZE + 1])
def test_probabilities_are_those_of_the_network(tmp_path: Path, rows: int) -> None:
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
    """Sixteen threads, each with more windows than go through the network together."""
    bundle = load_bundle(write(tmp_path / "bundle", temperature=2.0))
    xs = np.random.default_rng(1).standard_normal((16, BATCH_SIZE + 8, 16)).astype(np.float32)
    alone, together = [bundle.probabilities(x) for x in xs], Barrier(len(xs))

    def classify(x: NDArray[np.float32]) -> list[NDArray[np.float64]]:
        together.wait()
        return [bundle.probabilities(x) for _ in range(20)]

    with ThreadPoolExecutor(len(xs)) as pool:
        for expected, answers in zip(alone, pool.map(classify, xs), strict=True):
            for p in answers:
                np.testing.assert_array_equal(p, expected)


@pytest.mark.parametrize(
    "view", [LogMelView(), MelImageView(), StatisticsView(), TableView(columns=("mean", "variance"))]
)
def test_every_view_is_stored_and_loaded(tmp_path: Path, view: View) -> None:
    weights = np.zeros((int(np.prod(view.shape)), 3), np.float32)
    bundle = load_bundle(write(tmp_path / "bundle", view=view, onnx=network(weights, shape=("n", *view.shape))))
    assert bundle.view == view
    assert bundle.reads_audio is not isinstance(view, TableView)
    np.testing.assert_allclose(bundle.probabilities(np.zeros((2, *view.shape), view.dtype)), 1 / 3, atol=1e-6)


# --- refused ---


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"nowhere: no such folder; .*`genrelab learn`.*`genrelab train` .*bundle"):
        load_bundle(tmp_path / "nowhere")


def test_file_in_place_of_a_bundle_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "song.mp3").write_bytes(b"x")
    with pytest.raises(BundleError, match="is a file; a bundle is a folder"):
        load_bundle(tmp_path / "song.mp3")


@pytest.mark.parametrize("name", ["bundle.json", "model.onnx", "README.md"])
def test_missing_file_is_named(tmp_path: Path, name: str) -> None:
    (write(tmp_path / "bundle") / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        load_bundle(tmp_path / "bundle")


@pytest.mark.parametrize("name", ["model.onnx", "README.md"])
def test_changed_file_is_named(tmp_path: Path, name: str) -> None:
    file = write(tmp_path / "bundle") / name
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(BundleError, match=f"{name} was changed"):
        load_bundle(tmp_path / "bundle")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', "\xff", "[" * 100_000, "9" * 5_000])
def test_bundle_json_that_is_not_an_object_is_refused(tmp_path: Path, text: str) -> None:
    (write(tmp_path / "bundle") / "bundle.json").write_text(text, encoding="latin-1")
    with pytest.raises(BundleError, match=r"bundle\.json: not "):
        load_bundle(tmp_path / "bundle")


@pytest.mark.parametrize("version", [2, 0, "1", True, None])
def test_unknown_version_is_named(tmp_path: Path, version: Any) -> None:
    edit(write(tmp_path / "bundle"), lambda about: about.update(format_version=version))
    with pytest.raises(
        BundleError, match=f"format_version must be 1: use the version of genrelab that wrote it. Received: {version!r}"
    ):
        load_bundle(tmp_path / "bundle")


ODD: list[Any] = [None, True, -1, 0, 1e999, float("nan"), "", "x", [], ["x"], [1], {}, {"x": "y"}, {"name": "samples"}]


@pytest.mark.parametrize(
    "key", ["name", "genres", "view", "clips", "pooling", "temperature", "metrics", "files", "created_by", "licence"]
)
def test_odd_values_in_bundle_json_are_loaded_or_refused(tmp_path: Path, key: str) -> None:
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


@pytest.mark.parametrize("value", [*ODD, {**EVIDENCE.to_json(), "fitted_on": "a\nb"}, {**EVIDENCE.to_json(), "n": 1}])
def test_invalid_calibration_is_refused(tmp_path: Path, value: Any) -> None:
    edit(write(tmp_path / "bundle"), lambda about: about.update(calibration=value))
    with pytest.raises(BundleError, match=r"bundle\.json: (calibration: |not valid JSON: \S+ is not a finite)") as e:
        load_bundle(tmp_path / "bundle")
    assert str(e.value).isprintable()


@pytest.mark.parametrize("settings", ["view", "clips"])
def test_every_setting_of_view_and_clips_is_validated(tmp_path: Path, settings: str) -> None:
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


@pytest.mark.parametrize(
    ("settings", "number", "value"),
    [
        ("clips", "tolerance", 1.1),
        ("clips", "clip_s", 601),
        ("view", "window_s", "1"),
        ("view", "window_s", 601.0),
        ("view", "sr", 400_001),
        ("view", "sr", 3_000_000_000),
        ("view", "hop_s", 0.029),
        ("view", "hop_length", 20),
    ],
)
def test_excessive_settings_are_refused_before_anything_is_computed(
    tmp_path: Path, settings: str, number: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Computing with them could fill the memory: `"1" * sr` is a text of `sr` letters."""
    view = LogMelView()
    weights = np.zeros((int(np.prod(view.shape)), 3), np.float32)
    folder = write(tmp_path / "bundle", view=view, onnx=network(weights, shape=("n", *view.shape)))
    edit(folder, lambda about: about[settings].update({number: value}))
    if settings == "view":
        monkeypatch.setattr(LogMelView, "shape", property(lambda _: pytest.fail("computed")))
    with pytest.raises(BundleError, match=rf"bundle\.json: (view|clips): {number} (cannot|must) be"):
        load_bundle(folder)


@pytest.mark.parametrize("depth", [25, 200, 900, 950, 970, 985, 990, 995, 1_000, 3_000])
@pytest.mark.parametrize("within", [(), ("view", "sr"), ("view", "shape"), ("clips", "clip_s"), ("metrics", "x")])
def test_too_deeply_nested_json_is_refused(tmp_path: Path, within: tuple[str, ...], depth: int) -> None:
    """Deeper than the interpreter's stack, or nearly: code that recurses would fail."""
    folder = write(tmp_path / "bundle")
    for opened, closed in (("[", "]"), ('{"a":', "}")):
        edit(folder, lambda about: (about[within[0]] if within else about).update({within[-1] if within else "x": "@"}))
        text = (folder / "bundle.json").read_text().replace('"@"', depth * opened + "1" + depth * closed)
        (folder / "bundle.json").write_text(text)
        with pytest.raises(BundleError, match=r"bundle\.json: (lists and objects are nested|not valid JSON)") as e:
            load_bundle(folder)
        assert len(str(e.value)) < 1_000
        write(folder)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.data())
def test_mutated_bundle_json_is_loaded_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    """Anywhere in bundle.json: a value replaced, a key taken away, one added."""
    folder = tmp_path / "bundle"
    if not folder.exists():
        write(folder, calibration=EVIDENCE)
    original = (folder / "bundle.json").read_text()
    about = json.loads(original)
    for _ in range(data.draw(st.integers(1, 3))):
        place: Any = about
        while (key := data.draw(st.sampled_from(_keys(place)))) is not None and data.draw(st.booleans()):
            if not _keys(place[key])[1:]:
                break
            place = place[key]
        if key is not None and isinstance(place, dict) and data.draw(st.integers(0, 4)) == 0:
            del place[key]
        elif key is not None:
            place[key] = data.draw(JSON)
        elif isinstance(place, dict):
            place[data.draw(st.text(max_size=8))] = data.draw(JSON)
    (folder / "bundle.json").write_text(json.dumps(about))
    try:
        bundle = load_bundle(folder)
        p = bundle.probabilities(np.ones((2, 16), np.float32))
        np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-9)
        if bundle.calibration is not None:
            assert list(bundle.calibration.thresholds(0.5)) == list(bundle.genres)
    except BundleError as e:
        assert "\n" not in str(e)
    finally:
        (folder / "bundle.json").write_text(original)


def _keys(place: Any) -> list[Any]:
    """None first: here."""
    if isinstance(place, dict):
        return [None, *place]
    return [None, *range(len(place))] if isinstance(place, list) else [None]


@pytest.mark.parametrize("text", ["a\nb", "\x1b[2J", "\ud800", "x" * 1_001, "\x00"])
@pytest.mark.parametrize("key", ["name", "dataset", "split", "licence", "created_by", "genres"])
def test_unprintable_names_are_refused(tmp_path: Path, key: str, text: str) -> None:
    """Control characters could rewrite a terminal; lone surrogates cannot be encoded."""
    value: Any = ["Blues", "Folk", text] if key == "genres" else text
    edit(write(tmp_path / "bundle"), lambda about: about.update({key: sorted(value) if key == "genres" else value}))
    with pytest.raises(BundleError, match=rf"bundle\.json: {key} cannot be") as e:
        load_bundle(tmp_path / "bundle")
    assert str(e.value).isprintable()


@pytest.mark.parametrize("name", ["Ænima", "日本語", "R&B / Soul", "🎷", "a\u200db"])
def test_genres_may_be_written_in_any_script(tmp_path: Path, name: str) -> None:
    genres = tuple(sorted(("Blues", "Folk", name)))
    assert load_bundle(write(tmp_path / "bundle", genres=genres)).genres == genres


@pytest.mark.parametrize(
    ("where", "number", "value"),
    [
        ("clips", "clip_s", 3_601.0), ("clips", "max_clips", 10_001), ("view", "n_fft", 1 << 18),
        ("view", "n_mels", 5_000), ("view", "window_s", 1e5), ("view", "sr", 10_000_001),
    ],
)  # fmt: skip
def test_settings_that_would_fill_the_memory_are_refused(tmp_path: Path, where: str, number: str, value: float) -> None:
    view = LogMelView()
    folder = write(tmp_path / "bundle", view=view, onnx=network(np.zeros((10, 3), np.float32)))
    about = json.loads((folder / "bundle.json").read_text())
    about[where][number] = value
    if where == "view":
        about["view"] = view_to_json(dataclasses.replace(view, **{number: value}))
    (folder / "bundle.json").write_text(json.dumps(about))
    with pytest.raises(BundleError, match=rf"{number} cannot be {value}"):
        load_bundle(folder)


@pytest.mark.parametrize("name", ["bundle.json", "model.onnx", "README.md"])
def test_pipe_device_or_huge_file_in_a_bundle_is_refused(tmp_path: Path, name: str) -> None:
    """Reading a pipe would block, and reading a device would never end."""
    file = write(tmp_path / "bundle") / name
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(BundleError, match=rf"{name} is not a regular file"):
        load_bundle(tmp_path / "bundle")
    file.unlink()
    file.symlink_to("/dev/zero")
    with pytest.raises(BundleError, match=rf"{name} is not a regular file"):
        load_bundle(tmp_path / "bundle")
    file.unlink()
    with file.open("wb") as hole:
        hole.truncate(1 << 41)  # two terabytes, none of them on the disk
    with pytest.raises(BundleError, match=rf"{name} is larger than"):
        load_bundle(tmp_path / "bundle")


@pytest.mark.parametrize("genres", [["Rock", "Blues", "Folk"], ["Folk", "Folk", "Rock"], ["Rock"]])
def test_genres_must_be_sorted_and_different(tmp_path: Path, genres: list[str]) -> None:
    edit(write(tmp_path / "bundle"), lambda about: about.update(genres=genres))
    with pytest.raises(BundleError, match="genres must be"):
        load_bundle(tmp_path / "bundle")


def test_genres_must_match_the_networks_output(tmp_path: Path) -> None:
    edit(write(tmp_path / "bundle"), lambda about: about.update(genres=["Blues", "Folk", "Jazz", "Rock"]))
    with pytest.raises(BundleError, match=r"model\.onnx: the model returns an array of shape \(2, 3\), not \(2, 4\)"):
        load_bundle(tmp_path / "bundle")


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (b"", "unusable network"),
        (b"garbage", "unusable network"),
        (network()[:-40], "unusable network"),
        (network(domain="of.mine"), "unusable network: .*of.mine"),
        (network(output="scores"), "must have one output, 'probabilities'"),
        (network(outputs=("x",)), "must have one output, 'probabilities'. Received: 2"),
        (network(shape=("n", 4, 4)), "its input is .*, but the view samples needs"),
        (network(shape=("n", "m")), "its input is .*, but the view samples needs"),
        (network(shape=(1, 16)), "its input is .*, but the view samples needs"),
        (network(elsewhere="weights.bin"), "refers to other files"),
        (network(elsewhere="/etc/passwd"), "refers to other files"),
    ],
)
def test_unusable_network_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: bytes, words: str) -> None:
    (tmp_path / "weights.bin").write_bytes(WEIGHTS.tobytes())
    monkeypatch.chdir(tmp_path)  # where onnxruntime would search for them
    with pytest.raises(BundleError, match=words) as e:
        load_bundle(write(tmp_path / "bundle", onnx=model))
    assert "\n" not in str(e.value)


def test_network_memory_is_measured_for_a_full_batch_of_windows(tmp_path: Path) -> None:
    """One window needs 64 MiB, a batch two GiB."""
    proto = onnx.load_model_from_string(network())
    proto.graph.initializer.append(numpy_helper.from_array(np.array([1, 1 << 20]), "times"))
    added = [
        helper.make_node("Tile", ["flat", "times"], ["wide"]),
        helper.make_node("ReduceMax", ["wide"], ["largest"], axes=[1]),
        helper.make_node("Add", ["logits", "largest"], ["sum"]),
    ]
    last = proto.graph.node.pop()
    last.input[0] = "sum"
    proto.graph.node.extend([*added, last])
    with pytest.raises(BundleError, match="Tile: needs memory for more than"):
        load_bundle(write(tmp_path / "bundle", onnx=proto.SerializeToString()))


def test_outputs_that_are_not_probabilities_are_refused(tmp_path: Path) -> None:
    x = np.ones((2, 16), np.float32)
    with pytest.raises(BundleError, match="not probabilities"):
        load_bundle(write(tmp_path / "bundle", onnx=network(last="Exp"))).probabilities(x)
    with pytest.raises(BundleError, match="not probabilities"):  # their sum is 1
        load_bundle(write(tmp_path / "bundle", onnx=network(SUM_OF_ONE, last="Identity"))).probabilities(x)
    with pytest.raises(BundleError, match="not probabilities"):
        load_bundle(write(tmp_path / "bundle")).probabilities(x * np.float32("nan"))


def test_windows_of_another_shape_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"reads windows of shape \(16,\)\. Received: \(15,\)"):
        load_bundle(write(tmp_path / "bundle")).probabilities(np.zeros((2, 15), np.float32))


def test_bundle_is_immutable(tmp_path: Path) -> None:
    bundle = load_bundle(write(tmp_path / "bundle"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        bundle.name = "other"  # type: ignore[misc]


def test_replacing_the_card_leaves_the_model_unchanged(tmp_path: Path) -> None:
    before = load_bundle(write(tmp_path / "b"))
    network_before = (tmp_path / "b" / "model.onnx").read_bytes()
    replace_card(tmp_path / "b", "# Another card\n")
    after = load_bundle(tmp_path / "b")
    assert (tmp_path / "b" / "README.md").read_text() == "# Another card\n"
    assert (tmp_path / "b" / "model.onnx").read_bytes() == network_before
    assert after.fingerprint != before.fingerprint
    assert dataclasses.replace(after, fingerprint=before.fingerprint) == before
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_card_of_a_modified_bundle_is_not_replaced(tmp_path: Path) -> None:
    (write(tmp_path / "b") / "README.md").write_text("# Changed\n")
    with pytest.raises(BundleError, match=r"README\.md was changed after"):
        replace_card(tmp_path / "b", "# Another card\n")
    assert (tmp_path / "b" / "README.md").read_text() == "# Changed\n"
