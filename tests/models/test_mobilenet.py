from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest

from genrelab.core.config import MelImageView, TrainSettings
from genrelab.core.errors import MissingRequirementError, ModelError, SettingsError
from genrelab.core.tensorflow import load_tensorflow, seed_everything
from genrelab.models import keras_base, keras_training, mobilenet, registry
from genrelab.models.keras_training import fit_network, network_data
from genrelab.models.mobilenet import WEIGHTS_VARIABLE, MobileNetV2
from genrelab.records.examples import Examples
from tests.support.in_memory import examples_of

pytestmark = [
    pytest.mark.slow,  # TensorFlow takes seconds to import
    # Keras 3.15 writes weights through `np.array(variable)`, which NumPy 2 warns of.
]
SIZE = 32


def images(n: int = 30) -> Examples:
    """Three genres as bands at three pitches, in dB, in images of 32 x 32."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % 3
    x = rng.uniform(-80, -60, (n, SIZE, SIZE))
    for i in range(n):
        x[i, :, 8 * y[i] : 8 * y[i] + 8] += 50
    role = np.array(["fit", "fit", "fit", "choose", "score"])[np.arange(n) // 3 % 5]
    return examples_of(x, y, view=MelImageView(size=SIZE), role=role)


def model_of(examples: Examples, **settings: Any) -> MobileNetV2:
    settings = {"imagenet_weights": "none", "epochs": 3, "batch_size": 16, **settings}
    return MobileNetV2(TrainSettings(**settings), examples.genres)


def with_busy_statistics(base: Any) -> Any:
    """Random weights answer alike to everything; other batch statistics than a batch's own, and livelier answers."""
    rng = np.random.default_rng(0)
    for layer in base.layers:
        if "moving_mean" in {v.name for v in layer.weights}:
            gamma, beta, mean, variance = layer.get_weights()
            layer.set_weights(
                [gamma, rng.normal(0, 0.5, beta.shape), mean, variance * rng.uniform(0.02, 0.1, variance.shape)]
            )
    return base


def test_cached_outputs_network_and_graph_agree(tmp_path: Path) -> None:
    examples = images()
    model = model_of(examples).fit(examples, tmp_path)
    cached = model.predict_proba(examples)
    assert cached.shape == (30, 3)
    same = images()  # not the object that was fitted on: the whole network answers
    np.testing.assert_allclose(model.predict_proba(same), cached, atol=1e-6)
    session = onnxruntime.InferenceSession(model.onnx())
    assert session.get_inputs()[0].shape == ["batch", SIZE, SIZE]
    answer = session.run(["probabilities"], {"x": examples.rows().x})[0]
    np.testing.assert_allclose(answer, cached, atol=1e-5)


def test_saved_model_can_be_loaded(tmp_path: Path) -> None:
    _, keras = load_tensorflow()
    examples = images()
    model = model_of(examples, epochs=1).fit(examples, tmp_path)
    model.save(tmp_path)
    loaded = keras.models.load_model(tmp_path / "model.keras")
    logits = loaded.predict(examples.rows().x, verbose=0)
    expected = np.log(model.predict_proba(examples))
    np.testing.assert_allclose(
        logits - logits.mean(1, keepdims=True), expected - expected.mean(1, keepdims=True), atol=1e-4
    )


def test_the_base_runs_once_and_not_again_on_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = images()
    first = model_of(examples).fit(examples, tmp_path).predict_proba(examples)
    again = model_of(examples)
    again.resume = True
    asked: list[int] = []
    outputs = MobileNetV2._outputs
    monkeypatch.setattr(MobileNetV2, "_outputs", lambda self, network, part: (
        asked.append(len(network.layers)), outputs(self, network, part))[1])  # fmt: skip
    np.testing.assert_array_equal(again.fit(examples, tmp_path).predict_proba(examples), first)
    assert asked == [len(again.head_.layers)]
    other = model_of(examples, seed=1)  # other random weights: the kept outputs are not theirs
    other.resume = True
    other.fit(examples, tmp_path)
    assert len(list(tmp_path.glob("base_outputs-*.npy"))) == 1
    assert len(asked) == 2


def test_the_base_and_the_head_have_a_cost_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, outputs = 0.0, MobileNetV2._outputs

    def slow(self: MobileNetV2, network: Any, part: Any) -> Any:
        nonlocal now
        now += 1.0 + 20 * len(part.y) / 15  # 20 s for a batch
        return outputs(self, network, part)

    monkeypatch.setattr(MobileNetV2, "_outputs", slow)
    monkeypatch.setattr(keras_base, "time", SimpleNamespace(perf_counter=lambda: now, monotonic=lambda: now))
    monkeypatch.setattr(keras_training, "_time_epoch", lambda *_: 2.0)
    said: list[str] = []
    examples = images(75)
    model = model_of(examples, batch_size=15)
    model.notify = said.append
    model.fit(examples, tmp_path)
    assert said[0] == "mobilenet_v2: computes the outputs of the frozen base for 75 windows, once: about 101 s"
    assert said[1].startswith("mobilenet_v2: then trains 3,843 of 2,2")
    assert " on 45 training tracks: about 2.0 s per epoch, at most 6.0 s for 3 epochs; it stops earlier" in said[1]


def test_every_record_goes_through_the_base_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examples, shown, outputs = images(), dict[str, int](), MobileNetV2._outputs

    def counted(self: MobileNetV2, network: Any, part: Any) -> Any:
        shown[network.name] = shown.get(network.name, 0) + len(part.y)
        return outputs(self, network, part)

    monkeypatch.setattr(MobileNetV2, "_outputs", counted)
    model_of(examples).fit(examples, tmp_path).predict_proba(examples)
    assert shown == {"mobilenet_v2": len(examples), "head": len(examples)}


def test_low_frequencies_are_at_the_bottom_of_the_image() -> None:
    _, keras = load_tensorflow()
    seen = keras.Sequential([keras.Input((2, 3, 3)), keras.layers.Flatten()])
    network = mobilenet.join_networks((3, 2), seen)  # 3 frames of 2 bands
    x = np.array([[[-80.0, 0.0], [-40.0, 0.0], [-20.0, 0.0]]], np.float32)
    image = network.predict(x, verbose=0).reshape(2, 3, 3)
    np.testing.assert_allclose(image[..., 0], [[1, 1, 1], [-1, 0, 0.5]], atol=1e-6)
    assert (image[..., :1] == image).all()


def test_a_step_at_learning_rate_0_changes_nothing(tmp_path: Path) -> None:
    """Batch normalisation must not even update its statistics, though blocks are unfrozen."""
    examples = images()
    seed_everything(0)
    base = with_busy_statistics(mobilenet.load_base(examples.shape, "none"))
    outputs = mobilenet.join_networks(examples.shape, base)
    network = mobilenet.join_networks(examples.shape, base, mobilenet.build_head(np.zeros((4, 1280), np.float32), 3))
    mobilenet.unfreeze(base, 17)
    x = examples.rows().x
    before, weights = outputs.predict(x, verbose=0), base.get_weights()
    fit = network_data(examples, "fit", batch_size=16)
    fit_network(network, fit, None, settings=TrainSettings(epochs=1), folder=tmp_path, learning_rate=0.0)
    assert before.std(axis=0).max() > 1e-3
    np.testing.assert_array_equal(outputs.predict(x, verbose=0), before)
    for a, b in zip(base.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("n", "first"), [(1, 16), (3, 14), (17, 0), (40, 0)])
def test_unfreezes_the_last_blocks(n: int, first: int) -> None:
    base = mobilenet.load_base((SIZE, SIZE), "none")
    assert base.trainable_variables == []
    mobilenet.unfreeze(base, n)
    names = {v.path.split("/")[-2] for v in base.trainable_variables}
    blocks = {
        int(name.split("_")[1]) if name.startswith("block_") else 0 for name in names if not name.startswith("Conv")
    }
    assert blocks == set(range(first, 17))
    assert "Conv_1" in names
    assert not any("BN" in name or "bn" in name for name in names)


def test_fine_tuning_starts_from_the_head_and_is_kept_if_it_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = images()
    monkeypatch.setattr(mobilenet, "_load_weights_file", lambda make, file: with_busy_statistics(make(None)))
    settings = {"imagenet_weights": "patched", "epochs": 2, "fine_tune": 2}
    model = model_of(examples, **settings).fit(examples, tmp_path / "a")
    assert model.curve is not None
    assert model.curve["epochs"] == 4
    assert model.curve["best_epoch"] > 2
    session = onnxruntime.InferenceSession(model.onnx())
    answer = session.run(["probabilities"], {"x": examples.rows().x})[0]
    np.testing.assert_allclose(answer, model.predict_proba(examples), atol=1e-4)

    monkeypatch.setattr(mobilenet, "FINE_TUNE_RATE", 0.0)
    kept = model_of(examples, **settings).fit(examples, tmp_path / "b")
    assert kept.curve is not None
    assert kept.curve["best_epoch"] <= 2
    assert any("did not lower the validation loss" in note for note in kept.notes)
    head = model_of(examples, **{**settings, "fine_tune": 0}).fit(examples, tmp_path / "c")
    np.testing.assert_array_equal(kept.predict_proba(examples), head.predict_proba(examples))


def test_random_weights_are_named_in_every_table() -> None:
    examples = images(6)
    assert model_of(examples).display == "mobilenet_v2 (random initialisation)"
    assert model_of(examples, imagenet_weights="auto").display == "mobilenet_v2"


def test_weights_come_from_the_option_then_the_variable_then_keras_own_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(WEIGHTS_VARIABLE, raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert mobilenet.weights_file("auto") is None
    cached = tmp_path / "models" / mobilenet.KERAS_FILE
    cached.parent.mkdir()
    cached.touch()
    assert mobilenet.weights_file("auto") == cached
    monkeypatch.setenv(WEIGHTS_VARIABLE, "named.h5")
    assert mobilenet.weights_file("auto") == Path("named.h5")
    assert mobilenet.weights_file("given.h5") == Path("given.h5")
    assert mobilenet.weights_file("none") is None


def test_a_weights_file_is_used(tmp_path: Path) -> None:
    seed_everything(3)
    base = mobilenet.load_base((SIZE, SIZE), "none")
    base.save_weights(tmp_path / "some.weights.h5")
    seed_everything(4)
    loaded = mobilenet.load_base((64, 64), str(tmp_path / "some.weights.h5"))
    for a, b in zip(base.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_file_without_mobilenet_weights_is_refused(tmp_path: Path) -> None:
    _, keras = load_tensorflow()
    (tmp_path / "text.weights.h5").write_text("no weights")
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save_weights(tmp_path / "dense.weights.h5")
    narrow = keras.applications.MobileNetV2(input_shape=(32, 32, 3), alpha=0.5, include_top=False, weights=None)
    narrow.save_weights(tmp_path / "narrow.weights.h5")
    for name in ("text", "dense", "narrow"):
        with pytest.raises(ModelError, match=rf"{name}.weights.h5 does not contain the weights of MobileNetV2 1\.0"):
            mobilenet.load_base((SIZE, SIZE), str(tmp_path / f"{name}.weights.h5"))


def test_offline_without_weights_the_remedies_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, keras = load_tensorflow()

    def offline(**more: Any) -> Any:
        assert more["weights"] == "imagenet"
        print("Downloading data from https://…")
        raise Exception("URL fetch failure: [Errno -3]")  # as Keras does

    monkeypatch.delenv(WEIGHTS_VARIABLE, raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(keras.applications, "MobileNetV2", offline)
    with pytest.raises(
        MissingRequirementError, match=r"cannot be downloaded \(URL fetch failure.*--imagenet-weights FILE or .*none"
    ):
        model_of(images(6), imagenet_weights="auto").fit(images(), tmp_path)
    assert capsys.readouterr() == ("", "")


def test_missing_requirement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WEIGHTS_VARIABLE, "/nowhere/weights.h5")
    assert MobileNetV2.missing_requirement(TrainSettings(imagenet_weights="none")) is None
    assert "/nowhere/weights.h5, which is not a file" in str(MobileNetV2.missing_requirement(TrainSettings()))
    with pytest.raises(SettingsError, match=r"--imagenet-weights /typo\.h5: no such file"):
        MobileNetV2.missing_requirement(TrainSettings(imagenet_weights="/typo.h5"))


def test_missing_requirement_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from genrelab.models import registry\n"
        "from genrelab.core.config import TrainSettings\n"
        "for n in registry.known_models(): registry.model_class(n).missing_requirement(TrainSettings())\n"
        "print([m for m in ('tensorflow', 'keras', 'sklearn', 'onnx', 'pandas') if m in sys.modules])\n"
    )
    env = {k: v for k, v in os.environ.items() if k != WEIGHTS_VARIABLE}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.real
def test_imagenet_weights_on_real_music(shared: Path, tmp_path: Path) -> None:
    """2 s excerpts of GTZAN: ImageNet's features, and not random ones, tell genres of unknown artists apart."""
    from sklearn.model_selection import StratifiedGroupKFold

    from genrelab.audio.clips import read
    from genrelab.features.views import compute

    files = sorted((shared / "data/gtzan_2s").glob("*/*"))
    view = MelImageView()
    x = np.stack([compute(view, *read(f))[0].x for f in files])
    y = np.unique([f.parent.name for f in files], return_inverse=True)[1]
    with (shared / "data/gtzan_fault_filtered/artists.csv").open(newline="") as f:
        artist_of = {r["id"]: r["artist"] for r in csv.DictReader(f)}
    artist = np.unique([artist_of.get(".".join(f.name.split(".")[:2])) or f.name for f in files], return_inverse=True)[
        1
    ]
    folds = [held for _, held in StratifiedGroupKFold(5, shuffle=True, random_state=0).split(y, y, artist)]
    role = np.full(len(y), "fit", dtype="U6")
    role[folds[0]], role[folds[1]] = "score", "choose"
    examples = examples_of(x, y, view=view, role=role, group=artist)
    accuracy = {}
    for weights in (str(shared / "weights/mobilenet_v2_1.0_224_no_top.weights.h5"), "none"):
        model = registry.create("mobilenet_v2", TrainSettings(imagenet_weights=weights), examples.genres)
        model.fit(examples, tmp_path / ("random" if weights == "none" else "imagenet"))
        right = model.predict_proba(examples).argmax(axis=1) == y
        accuracy[weights == "none"] = right[role == "score"].mean()
    assert accuracy[False] > 0.4
    assert accuracy[False] > accuracy[True]
