"""Transfer learning: MobileNetV2 with ImageNet weights, frozen, and a linear head on its outputs for the mel image."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from genrelab.core.config import TrainSettings
from genrelab.core.errors import MissingRequirementError, ModelError, SettingsError, printable
from genrelab.core.hyperparameters import resolve_params
from genrelab.core.tensorflow import as_numpy, load_tensorflow
from genrelab.models.keras_base import KerasModel, network_data, network_data_from_arrays

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genrelab.models.keras_base import History, NetworkData
    from genrelab.records.examples import Examples

WEIGHTS_VARIABLE = "GENRELAB_IMAGENET_WEIGHTS"
KERAS_FILE = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
REMEDIES = (
    f"download {KERAS_FILE} (MobileNetV2 1.0 224, no top) elsewhere and give it with --imagenet-weights PATH or "
    f"{WEIGHTS_VARIABLE}=PATH, or use --imagenet-weights none (random initialisation)"
)
DOWNLOAD_TIMEOUT_S = 20.0

HEAD_DROPOUT = 0.5
HEAD_DECAY_ROWS = 20.0
"""Over the number of training rows: the head's L2 factor, which falls as rows are added, as logistic regression's
does; 20 and the next number were the best of a few tried on five-fold splits of 306 real excerpts of 2 s."""
VARIANCE_FLOOR = 1e-2  # the base's outputs lie in 0 to 6; some are all but constant in a small training part
FINE_TUNE_RATE = 1e-5
BLOCKS = 17  # inverted-residual blocks of the base


class MobileNetV2(KerasModel):
    """The base runs once per window; the head is trained on its outputs, then the last blocks if wanted."""

    name = "mobilenet_v2"
    views = ("mel_image",)
    _cached_base_outputs: tuple[Examples, NDArray[np.float32]] | None = None
    """Examples that the frozen base has run on, and its outputs."""

    def __init__(self, settings: TrainSettings, genres: tuple[str, ...]) -> None:
        super().__init__(settings.of(self.name), genres)
        self.chosen = resolve_params(self.name, settings.params)

    @classmethod
    def missing_requirement(cls, settings: TrainSettings) -> str | None:
        """See Model. Whether weights can be downloaded shows only in `fit`.

        Raises:
            SettingsError: the weights file that was named is not there.
        """
        if settings.imagenet_weights not in ("auto", "none") and not Path(settings.imagenet_weights).is_file():
            raise SettingsError(f"--imagenet-weights {printable(settings.imagenet_weights)}: no such file: {REMEDIES}")
        named = os.environ.get(WEIGHTS_VARIABLE)
        if settings.imagenet_weights == "auto" and named and not Path(named).is_file():
            reason = f"mobilenet_v2 needs the weights that {WEIGHTS_VARIABLE} names, and {printable(named)} is no file"
            return f"{reason}: {REMEDIES}"
        return super().missing_requirement(settings)

    @property
    def display(self) -> str:
        """See Model; random weights and tuned hyper-parameters are named."""
        remarks = ["random initialisation"] if self.settings.imagenet_weights == "none" else []
        remarks += ["tuned"] if self.name in self.settings.params else []
        return f"{self.name} ({', '.join(remarks)})" if remarks else self.name

    def fit(self, examples: Examples, folder: Path) -> Self:
        """See Model."""
        need = self.missing_requirement(self.settings)
        if need is not None:
            raise MissingRequirementError(need)
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
        weights = examples.class_weights(self.settings.class_weight)
        rate = self.chosen["learning_rate"]
        history = self._train(self.head_, fit, choose, folder, class_weights=weights, stage="head", learning_rate=rate)
        self._cached_base_outputs = (examples, outputs)
        epochs = history.epochs
        if self.settings.fine_tune:
            epochs, history = self._fine_tune(examples, folder, weights, history)
        self._finish_fit(history, epochs)
        return self

    def predict_proba(self, examples: Examples) -> NDArray[np.float64]:
        """See Model; outputs of the frozen base that were computed before are not computed again."""
        if self._cached_base_outputs is None or self._cached_base_outputs[0] is not examples:
            return super().predict_proba(examples)
        part = network_data_from_arrays(self._cached_base_outputs[1], batch_size=self.settings.batch_size)
        return self._softmax(self.head_, part)

    def _base_outputs(self, examples: Examples, folder: Path) -> NDArray[np.float32]:
        """The base's outputs for all windows, shape (n, 1280); kept in `folder` for a run that is resumed."""
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
        outputs = self._outputs(network, network_data(examples, batch_size=self.settings.batch_size)).astype(np.float32)
        folder.mkdir(parents=True, exist_ok=True)
        for other in folder.glob("base_outputs-*.npy"):
            other.unlink()
        temporary = folder / ".base_outputs.tmp.npy"
        np.save(temporary, outputs)
        temporary.replace(file)
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
        """Train the last blocks too; the head alone stays where that does not lower the validation loss."""
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
                f"({history.val_loss:.3f}, the head alone {head.val_loss:.3f}): the head alone is kept"
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
        MissingRequirementError: no weights are here and none can be downloaded.
        ModelError: the file does not hold MobileNetV2's weights.
    """
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
    """The file for a value of `--imagenet-weights`; None for random weights, or where it is still to be downloaded."""
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
    reason = "some layers kept random weights"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Keras warns where it leaves layers as they are
            base.load_weights(file)
        fits = not any(np.array_equal(as_numpy(v), b) for v, b in zip(kernels, before, strict=True))
    except (ValueError, OSError, KeyError, TypeError, UserWarning) as e:
        reason, fits = " ".join(str(e).split())[:200], False
    if not fits:
        raise ModelError(
            f"{printable(str(file))} does not hold the weights of MobileNetV2 1.0 without its top: {reason}"
        )
    return base


def _download_weights(make: Any) -> Any:
    """The base with the weights that Keras downloads. Its progress goes to stderr: stdout is for results."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_S)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return make("imagenet")
    except Exception as e:  # Keras raises a bare Exception where a download fails
        reason = " ".join(str(e).split()).rpartition("-- ")[2]  # what went wrong, without the long address
        raise MissingRequirementError(
            f"mobilenet_v2 needs ImageNet weights, and they cannot be downloaded ({reason}): {REMEDIES}"
        ) from e
    finally:
        socket.setdefaulttimeout(before)


def build_head(outputs: NDArray[np.float32], n_genres: int, *, hidden: int = 0, dropout: float = HEAD_DROPOUT) -> Any:
    """Standardise with the training part's statistics, then a linear classifier that starts from nothing.

    Args:
        outputs: the base's outputs for the training rows, shape (rows, 1280).
        hidden: units of a layer before the classifier; 0 for none.
        dropout: share of what the classifier reads, and the hidden layer, that is left out while training.

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
            # Random starting weights on 1,280 inputs are noise that a small training part never gets rid of.
            layers.Dense(
                n_genres,
                kernel_initializer="zeros",
                kernel_regularizer=keras.regularizers.L2(HEAD_DECAY_ROWS / len(outputs)),
            ),
        ],
        name="head",
    )


def join_networks(shape: tuple[int, ...], base: Any, *after: Any) -> Any:
    """Network from mel images in dB, (batch, frames, n_mels), through the base in inference mode, to what comes after.

    The image stands as in a picture of a spectrogram: time runs to the right, low frequencies lie at the bottom.
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
