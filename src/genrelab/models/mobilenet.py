"""Transfer learning: frozen MobileNetV2 with ImageNet weights, and a linear head on its outputs for the mel image."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import socket
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from genrelab.core.config import TrainSettings
from genrelab.core.errors import MissingRequirementError, ModelError, SettingsError, printable
from genrelab.core.storage import Folder
from genrelab.core.tensorflow import as_numpy, load_tensorflow
from genrelab.models.keras_base import KerasModel
from genrelab.models.keras_training import network_data, network_data_from_arrays

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genrelab.models.keras_training import History, NetworkData
    from genrelab.records.examples import Examples

WEIGHTS_VARIABLE = "GENRELAB_IMAGENET_WEIGHTS"
KERAS_FILE = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
REMEDIES = (
    f"download {KERAS_FILE} on another machine, copy it here, and give its path with --imagenet-weights FILE or "
    f"{WEIGHTS_VARIABLE}=FILE; or use --imagenet-weights none (random initialisation)"
)
DOWNLOAD_TIMEOUT_S = 20.0

HEAD_DROPOUT = 0.5
HEAD_DECAY_ROWS = 20.0
"""The L2 factor of the head is this over the number of training rows, as in logistic regression; this and the next
value were the best of a few tried on five-fold splits of 306 real excerpts of 2 s."""
VARIANCE_FLOOR = 1e-2  # the base's outputs are 0 to 6; some are nearly constant in a small training set
FINE_TUNE_RATE = 1e-5
MIN_SIZE = 32  # pixels: the base halves an image five times
BLOCKS = 17  # inverted-residual blocks of the base


class MobileNetV2(KerasModel):
    """The base runs once per window; the head is trained on its outputs, then, with --fine-tune, the last blocks."""

    name = "mobilenet_v2"
    views = ("mel_image",)
    _cached_base_outputs: tuple[Examples, NDArray[np.float32]] | None = None
    """Examples, and the outputs of the frozen base for them."""

    @classmethod
    def missing_requirement(cls, settings: TrainSettings) -> str | None:
        """See Model. Whether the weights can be downloaded is not known before `fit`.

        Raises:
            SettingsError: the weights file named by the settings does not exist.
        """
        file = weights_file(settings.imagenet_weights)
        if file is None or file.is_file():
            return super().missing_requirement(settings)
        if settings.imagenet_weights == "auto":
            return f"mobilenet_v2: {WEIGHTS_VARIABLE} is {printable(str(file))}, which is not a file: {REMEDIES}"
        raise SettingsError(f"--imagenet-weights {printable(str(file))}: no such file: {REMEDIES}")

    def _remarks(self) -> list[str]:
        random = ["random initialisation"] if self.settings.imagenet_weights == "none" else []
        return random + super()._remarks()

    def fit(self, examples: Examples, folder: Path) -> Self:
        """See Model."""
        self._start_fit(examples)
        with self.strategy.scope():
            self.base_ = load_base(examples.shape, self.settings.imagenet_weights)
        outputs = self._base_outputs(examples, folder)
        fit, choose = (self._head_part(examples, outputs, role) for role in ("fit", "choose"))
        with self.strategy.scope():
            self.head_ = build_head(
                outputs[examples.role == "fit"], len(self.genres),
                hidden=self.chosen["hidden"], dropout=self.chosen["dropout"],
            )  # fmt: skip
            self.network_ = join_networks(examples.shape, self.base_, self.head_)
        weights = examples.class_weights(self.class_weight)
        rate = self.chosen["learning_rate"]
        history = self._train(self.head_, fit, choose, folder, class_weights=weights, stage="head", learning_rate=rate)
        self._cached_base_outputs = (examples, outputs)
        epochs = history.epochs
        if self.settings.fine_tune:
            epochs, history = self._fine_tune(examples, folder, weights, history)
        self._finish_fit(history, epochs)
        return self

    def predict_proba(self, examples: Examples) -> NDArray[np.float64]:
        """See Model; outputs of the frozen base are computed only once."""
        if self._cached_base_outputs is None or self._cached_base_outputs[0] is not examples:
            return super().predict_proba(examples)
        part = network_data_from_arrays(self._cached_base_outputs[1], batch_size=self.settings.batch_size)
        return self._softmax(self.head_, part)

    def _base_outputs(self, examples: Examples, folder: Path) -> NDArray[np.float32]:
        """The base's outputs for all windows, shape (n, 1280); stored in `folder` for resuming."""
        digest = hashlib.sha256(f"{examples.fingerprint} {examples.view}".encode())
        digest.update(examples.track.tobytes())
        for array in self.base_.get_weights():
            digest.update(array.tobytes())
        self.key_ = digest.hexdigest()[:16]
        file = folder / f"base_outputs-{self.key_}.npy"
        if self.resume and file.exists():
            return np.asarray(np.load(file), np.float32)
        with self.strategy.scope():
            network = join_networks(examples.shape, self.base_)
        windows = network_data(examples, batch_size=self.settings.batch_size)
        if self.notify is not None:
            self._print_outputs_cost(network, windows, what="the frozen base")
        outputs = self._outputs(network, windows).astype(np.float32)
        for other in folder.glob("base_outputs-*.npy"):
            other.unlink()
        with Folder(folder).replacing(file.name) as temporary, Path(temporary).open("wb") as f:
            np.save(f, outputs)
        return outputs

    def _head_part(self, examples: Examples, outputs: NDArray[np.float32], role: str) -> NetworkData:
        chosen = examples.role == role
        key = f"{self.key_}-{hashlib.sha256(chosen.tobytes()).hexdigest()}"
        return network_data_from_arrays(
            outputs[chosen], examples.y[chosen], batch_size=self.settings.batch_size, key=key
        )

    def _fine_tune(
        self, examples: Examples, folder: Path, weights: NDArray[np.float64] | None, head: History
    ) -> tuple[int, History]:
        """Train the last blocks too; undone if that does not lower the validation loss."""
        unfreeze(self.base_, self.settings.fine_tune)
        before = self.network_.get_weights()
        history = self._train(
            self.network_, *self._parts(examples), folder, class_weights=weights,
            learning_rate=FINE_TUNE_RATE, stage="fine_tune", earlier=head.epochs,
        )  # fmt: skip
        epochs = head.epochs + history.epochs
        if history.val_loss >= head.val_loss:
            self.network_.set_weights(before)
            self.notes.append(
                f"--fine-tune {self.settings.fine_tune} did not lower the validation loss "
                f"({history.val_loss:.3f}, head only {head.val_loss:.3f}): only the trained head is used"
            )
            return epochs, head
        self._cached_base_outputs = None
        return epochs, history


def load_base(shape: tuple[int, ...], weights: str) -> Any:
    """MobileNetV2 without its top, frozen: images (batch, frames, n_mels, 3) in [-1, 1] to (batch, 1280).

    Args:
        shape: (frames, n_mels) of the view.
        weights: `auto`, `none`, or the path of a weights file.

    Raises:
        MissingRequirementError: there are no weights on this machine and they cannot be downloaded.
        ModelError: the image is too small, or the file does not contain weights of MobileNetV2.
    """
    if min(shape) < MIN_SIZE:
        raise ModelError(
            f"mobilenet_v2 needs a mel_image of {MIN_SIZE} x {MIN_SIZE} or more, and this one is {shape[0]} x "
            f"{shape[1]}: prepare into another folder with a larger mel_image.size"
        )
    _, keras = load_tensorflow()

    def make(source: str | None) -> Any:
        size = (shape[1], shape[0], 3)
        return keras.applications.MobileNetV2(input_shape=size, include_top=False, weights=source, pooling="avg")

    file = weights_file(weights)
    if file is not None:
        base = _load_weights_file(make, file)
    elif weights == "none":
        base = make(None)
    else:
        base = _download_weights(make)
    base.trainable = False
    return base


def weights_file(weights: str) -> Path | None:
    """The file for a value of `--imagenet-weights`; None for random weights, or if it must be downloaded."""
    if weights == "none":
        return None
    if weights != "auto":
        return Path(weights)
    if named := os.environ.get(WEIGHTS_VARIABLE):
        return Path(named)
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    cached = home / "models" / KERAS_FILE
    return cached if cached.is_file() else None


def _load_weights_file(make: Any, file: Path) -> Any:
    base = make(None)
    kernels = [v for v in base.trainable_variables if v.name.endswith("kernel")]
    before = [as_numpy(v) for v in kernels]
    reason = "weights of some layers are missing"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Keras only warns if it skips layers
            base.load_weights(file)
        fits = not any(np.array_equal(as_numpy(v), b) for v, b in zip(kernels, before, strict=True))
    except (ValueError, OSError, KeyError, TypeError, UserWarning):
        reason, fits = "other layers or another format", False
    if not fits:
        raise ModelError(
            f"{printable(str(file))} does not contain the weights of MobileNetV2 1.0 without top ({reason}): {REMEDIES}"
        )
    return base


def _download_weights(make: Any) -> Any:
    """The base with weights downloaded by Keras, whose own messages are discarded."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_S)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return make("imagenet")
    except Exception as e:  # Keras raises a bare Exception if a download fails
        reason = " ".join(str(e).split()).rpartition("-- ")[2]  # the cause, without the long address
        raise MissingRequirementError(
            f"mobilenet_v2 needs ImageNet weights, which cannot be downloaded ({reason}): {REMEDIES}"
        ) from e
    finally:
        socket.setdefaulttimeout(before)


def build_head(outputs: NDArray[np.float32], n_genres: int, *, hidden: int = 0, dropout: float = HEAD_DROPOUT) -> Any:
    """Standardisation with the statistics of the training set, then a linear classifier with zero weights.

    Args:
        outputs: the base's outputs for the training rows, shape (rows, 1280).
        hidden: units of a layer before the classifier; 0 for none.
        dropout: share of the inputs of the classifier and of the hidden layer that is dropped during training.

    Returns:
        Network from (batch, 1280) to logits (batch, n_genres).
    """
    _, keras = load_tensorflow()
    layers = keras.layers
    mean, variance = outputs.mean(axis=0, dtype=np.float64), outputs.var(axis=0, dtype=np.float64)
    return keras.Sequential(
        [
            keras.Input(outputs.shape[1:]),
            layers.Normalization(mean=mean.astype(np.float32), variance=(variance + VARIANCE_FLOOR).astype(np.float32)),
            layers.Dropout(dropout),
            *([layers.Dense(hidden, activation="relu"), layers.Dropout(dropout)] if hidden else []),
            # Random initial weights on 1,280 inputs are noise that a small training set does not remove.
            layers.Dense(
                n_genres,
                kernel_initializer="zeros",
                kernel_regularizer=keras.regularizers.L2(HEAD_DECAY_ROWS / len(outputs)),
            ),
        ],
        name="head",
    )


def join_networks(shape: tuple[int, ...], base: Any, *after: Any) -> Any:
    """Network from mel images in dB, (batch, frames, n_mels), through the base in inference mode and `after`.

    The image is oriented as in a picture of a spectrogram: time to the right, low frequencies at the bottom.
    """
    _, keras = load_tensorflow()
    inputs = keras.Input(shape)
    x = keras.layers.Rescaling(1 / 40, offset=1.0)(inputs)  # [-80, 0] dB to [-1, 1]
    x = keras.ops.flip(keras.ops.transpose(x, (0, 2, 1)), axis=1)
    x = keras.ops.repeat(x[..., None], 3, axis=-1)
    x = base(x, training=False)
    for network in after:
        x = network(x)
    return keras.Model(inputs, x, name="mobilenet_v2")


def unfreeze(base: Any, n_blocks: int) -> None:
    """Make the last blocks and the last convolution trainable, their batch normalisation excepted."""
    _, keras = load_tensorflow()
    first = BLOCKS - min(n_blocks, BLOCKS)
    prefixes = tuple("expanded_conv_" if i == 0 else f"block_{i}_" for i in range(first, BLOCKS))
    base.trainable = True
    for layer in base.layers:
        wanted = layer.name.startswith((*prefixes, "Conv_1"))
        layer.trainable = wanted and not isinstance(layer, keras.layers.BatchNormalization)
