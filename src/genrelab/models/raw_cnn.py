"""The article's network on raw audio: two 1-D convolutions over the first 10,000 samples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from genrelab.core.tensorflow import load_tensorflow
from genrelab.models.keras_base import KerasModel

if TYPE_CHECKING:
    from genrelab.records.examples import Examples


class RawCnn(KerasModel):
    """16 million weights, all but 27,000 of them between the last convolution and the first dense layer."""

    name = "raw_cnn"
    views = ("samples",)

    def fit(self, examples: Examples, folder: Path) -> Self:
        """See Model."""
        self._start_fit(examples)
        with self.strategy.scope():
            self.network_ = build_network(
                examples.shape, len(self.genres), dense=self.chosen["dense"], dropout=self.chosen["dropout"]
            )
        weights = examples.class_weights(self.class_weight)
        rate = self.chosen["learning_rate"]
        history = self._train(
            self.network_, *self._parts(examples), folder, class_weights=weights, learning_rate=rate,
            stops_guessing=True,
        )  # fmt: skip
        self._finish_fit(history, history.epochs)
        return self


def build_network(shape: tuple[int, ...], n_genres: int, *, dense: int = 100, dropout: float = 0.5) -> Any:
    """The network of the article: samples (batch, *shape) to logits (batch, n_genres).

    Args:
        dense: units of the first dense layer.
        dropout: share of the outputs of both dense layers that is dropped during training.
    """
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
            layers.Dense(dense, activation="relu"),
            layers.Dropout(dropout),
            layers.Dense(20, activation="relu"),
            layers.Dropout(dropout),
            layers.Dense(n_genres),
        ],
        name="raw_cnn",
    )
