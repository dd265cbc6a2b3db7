"""The article's network on raw audio: two 1-D convolutions over the first 10,000 samples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from genrelab.accelerator import load_tensorflow
from genrelab.keras_model import KerasModel

if TYPE_CHECKING:
    from genrelab.examples import Examples


class RawCnn(KerasModel):
    """16 million weights, of which all but 27,000 lie between the last convolution and the first dense layer."""

    name = "raw_cnn"
    views = ("samples",)

    def fit(self, examples: Examples, folder: Path) -> Self:
        """See Model."""
        self._begin(examples)
        with self.strategy.scope():
            self.network_ = build_network(examples.shape, len(self.genres))
        weights = examples.class_weights(self.settings.class_weight)
        history = self._train(self.network_, *self._parts(examples), folder, class_weights=weights)
        self._conclude(history, history.epochs)
        return self


def build_network(shape: tuple[int, ...], n_genres: int) -> Any:
    """The network of the article: samples (batch, *shape) to logits (batch, n_genres)."""
    _, keras = load_tensorflow()
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(shape),
            layers.Reshape((*shape, 1)),
            layers.Conv1D(128, 3, activation="relu"),
            layers.MaxPooling1D(2),
            layers.Conv1D(64, 3, activation="relu"),
            layers.MaxPooling1D(2),
            layers.Flatten(),
            layers.Dense(100, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(20, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(n_genres),
        ],
        name="raw_cnn",
    )
