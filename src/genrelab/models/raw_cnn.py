"""The article's network on raw audio: two 1-D convolutions over the first 10,000 samples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from genrelab.core.errors import ModelError
from genrelab.core.tensorflow import load_tensorflow
from genrelab.models.keras_base import KerasModel

if TYPE_CHECKING:
    from genrelab.records.examples import Examples


CHANNELS = 64  # of the second convolution
MIN_SAMPLES = 10  # both convolutions and poolings then leave one position
MAX_DENSE_WEIGHTS = 500_000_000
"""Most weights of the first dense layer: 2 GB, and three times as much with Adam's moments."""


class RawCnn(KerasModel):
    """16 million weights, all but 27,000 of them between the last convolution and the first dense layer."""

    name = "raw_cnn"
    views = ("samples",)

    def fit(self, examples: Examples, folder: Path) -> Self:
        """See Model.

        Raises:
            ModelError: the window is too short or too long, or see Model.
        """
        _check_size(examples.shape[0], self.chosen["dense"])
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


def _check_size(n: int, dense: int) -> None:
    """Refuse windows of `n` samples for which there is no network of a reasonable size."""
    if n < MIN_SAMPLES:
        raise ModelError(
            f"raw_cnn needs {MIN_SAMPLES} samples or more, and the view samples has {n}: prepare into another folder "
            "with a larger samples.n_samples"
        )
    positions = ((n - 2) // 2 - 2) // 2
    if (weights := CHANNELS * positions * dense) > MAX_DENSE_WEIGHTS:
        raise ModelError(
            f"raw_cnn: {n:,} samples and {dense:,} units make {weights:,} weights in the first dense layer, more than "
            f"the limit of {MAX_DENSE_WEIGHTS:,}: prepare into another folder with a smaller samples.n_samples"
        )


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
            layers.Conv1D(CHANNELS, 3, activation="relu"),
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
