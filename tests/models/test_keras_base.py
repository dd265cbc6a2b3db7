from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnxruntime
import pytest

from genrelab.core.config import SamplesView, TrainSettings
from genrelab.core.errors import ModelError
from genrelab.core.tensorflow import load_tensorflow
from genrelab.models import keras_base, keras_training
from genrelab.models.keras_base import KerasModel
from genrelab.models.keras_training import History
from tests.support.in_memory import examples_of, tones

pytestmark = pytest.mark.slow  # TensorFlow takes seconds to import


class Small(KerasModel):
    """Spectrum and one dense layer; normalisation and dropout are what a conversion could get wrong."""

    name = "small"
    views = ("samples",)

    def fit(self, examples: Any, folder: Path) -> Self:
        self._start_fit(examples)
        _, keras = load_tensorflow()
        layers = keras.layers
        mean = examples.rows("fit").x.mean(axis=0)
        with self.strategy.scope():
            self.network_ = keras.Sequential(
                [
                    keras.Input(examples.shape),
                    layers.Normalization(mean=mean, variance=np.ones_like(mean)),
                    layers.Reshape((*examples.shape, 1)),
                    layers.Conv1D(8, 16, activation="relu"),
                    layers.GlobalAveragePooling1D(),
                    layers.BatchNormalization(),
                    layers.Dropout(0.1),
                    layers.Dense(len(self.genres)),
                ]
            )
        history = self._train(self.network_, *self._parts(examples), folder, learning_rate=0.05)
        self._finish_fit(history, history.epochs)
        return self


def fitted(folder: Path, examples: Any = None, **settings: Any) -> Small:
    examples = examples or tones()
    return Small(TrainSettings(**{"epochs": 30, "batch_size": 16, **settings}), examples.genres).fit(examples, folder)


def test_model_learns_and_reports_its_curve(tmp_path: Path) -> None:
    examples = tones()
    model = fitted(tmp_path)
    probabilities = model.predict_proba(examples)
    assert probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (probabilities.argmax(axis=1) == examples.y)[examples.role == "score"].mean() > 0.8
    assert model.notes == []
    assert model.curve is not None
    assert set(model.curve) == {"epochs", "best_epoch", "learned", "loss", "val_loss", "val_accuracy"}
    assert model.curve["learned"] is True


def test_cost_summary_and_progress_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras_base, "LINE_INTERVAL_S", 0.0)
    monkeypatch.setattr(keras_training, "_time_epoch", lambda *_: 2.0)
    said: list[str] = []
    seen: list[tuple[int, int]] = []
    examples = tones()
    model = Small(TrainSettings(epochs=3, batch_size=16), examples.genres)
    model.notify, model.progress, model.prints_summary = said.append, lambda *at: seen.append(at), True
    model.fit(examples, tmp_path)
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert "Dense" in said[0] and "Total params" in said[0]
    n = (examples.role == "fit").sum()
    stops = "; it stops earlier if the validation tracks show no further gain"
    assert said[1] == (
        f"small: trains 179 of 195 weights on {n} training tracks: about 2.0 s per epoch, at most 6.0 s for 3 "
        f"epochs{stops}"
    )
    assert [re.sub(r"\d\S* m?s\b", "T", line) for line in said[2:]] == [
        "  small: epoch 2 of 3, T per epoch, at most T left",
        "  small: epoch 3 of 3, T per epoch, at most T left",
    ]
    resumed = Small(TrainSettings(epochs=7, batch_size=16), examples.genres)
    resumed.notify, resumed.resume = said.append, True
    said.clear()
    resumed.fit(examples, tmp_path)
    assert said[0].endswith(f": about 2.0 s per epoch, at most 8.0 s for 4 remaining epochs{stops}")


def test_nothing_is_promised_about_an_earlier_end_without_early_stopping(tmp_path: Path) -> None:
    said: list[str] = []
    examples = tones()
    model = Small(TrainSettings(epochs=1, early_stopping=False), examples.genres)
    model.notify = said.append
    model.fit(examples, tmp_path)
    assert len(said) == 1
    assert re.search(r"per epoch, \S+ m?s for 1 epoch$", said[0])


def test_a_network_that_was_stopped_as_guessing_is_noted(tmp_path: Path) -> None:
    model = Small(TrainSettings(), ("a", "b"))
    model._finish_fit(History(10, 3, False, 2.31, 2.312, 0.1, guess_loss=2.3026), 10)
    assert model.notes == [
        "stopped after 10 epochs: its loss, 2.31 on the validation tracks, is still that of guessing, 2.30",
        "did not learn: on the validation tracks its best epoch (3 of 10, accuracy 10.0 %) is no better than "
        "predictions that ignore the audio",
    ]
    assert model.curve is not None and "guess_loss" not in model.curve


def test_graph_and_saved_model_give_the_probabilities_of_the_model(tmp_path: Path) -> None:
    _, keras = load_tensorflow()
    examples = tones()
    model = fitted(tmp_path, epochs=2)
    x, expected = examples.rows().x, model.predict_proba(examples)
    session = onnxruntime.InferenceSession(model.onnx())
    assert [(o.name, o.shape) for o in session.get_outputs()] == [("probabilities", ["batch", 3])]
    assert [(i.name, i.shape) for i in session.get_inputs()] == [("x", ["batch", 200])]
    for n in (1, len(x)):
        np.testing.assert_allclose(session.run(None, {"x": x[:n]})[0], expected[:n], atol=1e-5)
    model.save(tmp_path)
    loaded = keras.models.load_model(tmp_path / "model.keras")
    logits = loaded.predict(x, verbose=0)
    np.testing.assert_allclose(np.exp(logits) / np.exp(logits).sum(1, keepdims=True), expected, atol=1e-5)


def test_model_that_does_not_learn_is_noted(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    role = np.array(["fit", "fit", "choose"])[np.arange(60) // 3 % 3]
    noise = examples_of(rng.normal(size=(60, 50)), np.arange(60) % 3, view=SamplesView(n_samples=50), role=role)
    model = fitted(tmp_path, noise, epochs=2)
    assert model.curve is not None
    assert model.curve["learned"] is False
    assert any(n.startswith("did not learn: on the validation tracks its best epoch") for n in model.notes)


def test_training_without_validation_rows_is_noted(tmp_path: Path) -> None:
    x, y = tones().rows().x, tones().y
    model = fitted(tmp_path, examples_of(x, y, view=SamplesView(n_samples=200)), epochs=2)
    assert model.notes == ["no validation tracks: the last epoch is used (2 epochs in all)"]
    assert model.curve is not None
    assert "val_loss" not in model.curve


def test_one_validation_row_is_enough_to_train(tmp_path: Path) -> None:
    role = np.array(["fit"] * 59 + ["choose"])
    model = fitted(
        tmp_path, examples_of(tones().rows().x, tones().y, view=SamplesView(n_samples=200), role=role), epochs=1
    )
    assert model.curve is not None


def test_a_genre_without_training_rows_is_refused(tmp_path: Path) -> None:
    y = np.arange(60) % 3
    view = SamplesView(n_samples=50)
    examples = examples_of(np.zeros((60, 50)), y, view=view, role=np.where(y == 1, "choose", "fit"))
    with pytest.raises(ModelError, match="small: no training track of genre1"):
        fitted(tmp_path, examples)


def test_missing_tensorflow_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Small.missing_requirement(TrainSettings()) is None
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "small needs TensorFlow" in str(Small.missing_requirement(TrainSettings()))


def test_strategy_of_the_settings_is_used(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="--strategy gpu"):
        fitted(tmp_path, strategy="gpu")
