from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from genrelab.core.config import SamplesView, TrainSettings
from genrelab.core.errors import ModelError
from genrelab.models import checkpoints, registry
from genrelab.models.raw_cnn import build_network
from tests.support.in_memory import tones

pytestmark = pytest.mark.slow  # TensorFlow takes seconds to import


def test_network_is_that_of_the_article() -> None:
    network = build_network(SamplesView().shape, 8)
    kinds = [type(layer).__name__ for layer in network.layers]
    assert kinds == [
        *("Reshape", "Conv1D", "MaxPooling1D", "Conv1D", "MaxPooling1D", "Flatten"),
        *("Dense", "Dropout", "Dense", "Dropout", "Dense"),
    ]
    assert [w.shape for w in network.get_weights()[::2]] == [
        (3, 1, 128),
        (3, 128, 64),
        (159_872, 100),
        (100, 20),
        (20, 8),
    ]
    assert [layer.rate for layer in network.layers if hasattr(layer, "rate")] == [0.5, 0.5]
    activations = [layer.activation.__name__ for layer in network.layers if hasattr(layer, "activation")]
    assert activations == ["relu", "relu", "relu", "relu", "linear"]
    assert network.count_params() == 16_014_640


def test_stops_while_it_guesses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("GUESS_EPOCHS", 3), ("GUESS_STEPS", 1), ("GUESS_MARGIN", 0.05)):  # few rows vary more
        monkeypatch.setattr(checkpoints, name, value)
    examples = tones(n=45, samples=50)
    settings = TrainSettings(epochs=9, params={"raw_cnn": {"learning_rate": 1e-7}})
    model = registry.create("raw_cnn", settings, examples.genres).fit(examples, tmp_path)
    assert model.notes[0].startswith("stopped after 3 epochs: its loss, 1.")
    assert model.curve is not None and (model.curve["epochs"], model.curve["learned"]) == (3, False)
    whole = registry.create("raw_cnn", replace(settings, epochs=3), examples.genres).fit(examples, tmp_path)
    (note,) = whole.notes
    assert note.startswith("did not learn: "), "all its epochs were run, nothing was stopped"


def test_windows_without_a_network_of_a_reasonable_size_are_refused(tmp_path: Path) -> None:
    assert build_network((10,), 3).count_params() > 0
    for samples, words in (
        (9, "raw_cnn needs 10 samples or more, and the view samples has 9: prepare into another folder with a larger"),
        (400_000, "400,000 samples and 100 units make 639,987,200 weights .*: prepare into another folder with a smal"),
    ):
        examples = tones(n=9, samples=samples)
        with pytest.raises(ModelError, match=words):
            registry.create("raw_cnn", TrainSettings(), examples.genres).fit(examples, tmp_path)


def test_learns_three_pitches(tmp_path: Path) -> None:
    examples = tones(n=90, samples=400)
    model = registry.create("raw_cnn", TrainSettings(epochs=25), examples.genres).fit(examples, tmp_path)
    probabilities = model.predict_proba(examples)
    assert (probabilities.argmax(axis=1) == examples.y)[examples.role == "score"].mean() > 0.8
    session = onnxruntime.InferenceSession(model.onnx())
    answer = session.run(["probabilities"], {"x": examples.rows().x})[0]
    np.testing.assert_allclose(answer, probabilities, atol=1e-5)
    assert (tmp_path / "history.csv").exists()
