"""The training loop of a Keras network; it can be resumed after a kill and can use several devices."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genrelab.core.config import TrainSettings
from genrelab.core.errors import ModelError
from genrelab.core.progress import Progress
from genrelab.core.tensorflow import as_numpy, is_tpu, load_tensorflow
from genrelab.models.checkpoints import Checkpoints, StopRule, guess_losses

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genrelab.records.examples import Examples

LEARNING_RATE = 1e-3  # Adam's usual one
TPU_BATCH = 16  # rows a core
SHUFFLE_BYTES = 512 << 20  # maximum size of the buffer that rows are drawn from

TIMED_STEPS = 2
EVALUATION_COST = 1 / 3
"""Time of a step on validation rows as a share of a training step: there is no backward pass."""


@dataclass(frozen=True)
class NetworkData:
    """Rows for training, validation or prediction.

    Attributes:
        data: `tf.data.Dataset` of (x float32 (batch, *shape), y int64 (batch,)).
        y: genre numbers, shape (n,), in the order of `data` unless `data` is to be shuffled.
        shape: of one x.
        key: changes when the rows do.
    """

    data: Any
    y: NDArray[np.int64]
    shape: tuple[int, ...]
    key: str = ""


@dataclass(frozen=True)
class History:
    """Result of one stage of a training.

    Attributes:
        epochs: of this stage.
        best_epoch: whose weights the network now has, counted over all stages from 1.
        learned: did it beat constant predictions? None without validation rows.
        loss, val_loss, val_accuracy: of that epoch; the last two are NaN without validation rows.
        guess_loss: cross-entropy of constant predictions on the validation rows, if the training was stopped because it
            was no better than these; else None.
    """

    epochs: int
    best_epoch: int
    learned: bool | None
    loss: float
    val_loss: float
    val_accuracy: float
    guess_loss: float | None = None


def network_data(examples: Examples, *roles: str, batch_size: int, in_order: bool = True) -> NetworkData:
    """The rows of these roles (all rows if none is given); `in_order` as in `Examples.batches`."""
    chosen = np.isin(examples.role, roles) if roles else np.ones(len(examples), bool)
    rows = hashlib.sha256(examples.track[chosen].tobytes()).hexdigest()
    data = examples.batches(*roles, batch_size=batch_size, in_order=in_order)
    return NetworkData(data, examples.y[chosen], examples.shape, f"{examples.fingerprint}-{rows}")


def network_data_from_arrays(
    x: NDArray[Any], y: NDArray[np.int64] | None = None, *, batch_size: int, key: str = ""
) -> NetworkData:
    """Rows in memory: `x` (n, *shape), `y` (n,) or None for prediction only."""
    tf, _ = load_tensorflow()
    y = np.zeros(len(x), np.int64) if y is None else y
    data = tf.data.Dataset.from_tensor_slices((x.astype(np.float32), y)).batch(batch_size)
    return NetworkData(data, y, x.shape[1:], key)


def fit_network(
    network: Any,
    fit: NetworkData,
    choose: NetworkData | None,
    *,
    settings: TrainSettings,
    folder: Path,
    class_weights: NDArray[np.float64] | None = None,
    learning_rate: float = LEARNING_RATE,
    stage: str = "fit",
    earlier: int = 0,
    resume: bool = False,
    stops_guessing: bool = False,
    progress: Progress | None = None,
    timed: Callable[[float, int], None] | None = None,
) -> History:
    """Train a network that returns logits: Adam, cross-entropy, early stopping, best weights at the end.

    With `--no-early-stopping` all epochs are run; with `--preset article` the last weights are used, too.

    The order of the rows in an epoch depends on seed and epoch alone, and a checkpoint contains the complete state: an
    interrupted and resumed training gives the same numbers as an uninterrupted one.

    Args:
        network: a Keras model, built in the strategy that it is to be trained in.
        choose: validation rows, for early stopping; without them, all `settings.epochs` are run.
        folder: gets `history.csv`, `tensorboard/` and `checkpoint/`.
        class_weights: of each genre, shape (genres,); the training figures in `history.csv` are weighted by it.
        stage: names the checkpoints; a second stage continues with the epochs after the `earlier` ones of the first.
        stops_guessing: also stop if neither loss falls below that of constant predictions (see `StopRule`).
        progress: called with (epochs done, epochs at most).
        timed: called before any epoch is trained here with (estimated seconds of an epoch, epochs left at most).

    Raises:
        ModelError: the loss is not a finite number from the first epoch on.
    """
    size = batch_size_of(network, settings, len(fit.y))
    _compile(network, learning_rate)
    key = _training_key(network, fit, choose, settings, class_weights, learning_rate)
    checkpoints = Checkpoints(folder, stage=stage, key=key, earlier=earlier)
    _restore(network, checkpoints.start(resume=resume))
    validation = None if choose is None else full_batches(choose, choose.data.unbatch(), size)
    guess = None if choose is None else guess_losses(fit.y, choose.y, balanced=class_weights is not None)
    stop = StopRule(settings, guess if stops_guessing else None, math.ceil(len(fit.y) / size))
    try:
        left = settings.epochs - len(checkpoints.rows)
        if timed is not None and left > 0 and not stop(checkpoints):
            timed(_time_epoch(network, fit, choose, settings, class_weights), left)
        for epoch in range(len(checkpoints.rows), settings.epochs):
            if stop(checkpoints):
                break
            data = full_batches(fit, _shuffled(fit, settings.seed + earlier + epoch), size, class_weights)
            row = _train_epoch(network, data, validation)
            checkpoints.add(row, [as_numpy(v) for v in _training_state(network)], network.get_weights())
            if progress is not None:
                progress(earlier + epoch + 1, earlier + settings.epochs)
    finally:
        checkpoints.close()  # also at Ctrl-C: no finished epoch is lost
    history = _make_history(network, checkpoints, settings, None if choose is None else choose.y, fit.y, guess)
    if guess is not None and stop.is_stuck(checkpoints.rows):
        stopped = len(checkpoints.rows) < settings.epochs
        return replace(history, learned=False, guess_loss=guess[1] if stopped else None)
    return history


def _time_epoch(
    network: Any, fit: NetworkData, choose: NetworkData | None, settings: TrainSettings, weights: Any
) -> float:
    """Seconds of an epoch, estimated from one of a few steps whose effect on the network is undone.

    The duration of that short epoch contains what an epoch costs besides its steps, such as filling the buffer.
    """
    tf, keras = load_tensorflow()
    before, size = [as_numpy(v) for v in _training_state(network)], batch_size_of(network, settings, len(fit.y))

    def first_batch(part: NetworkData, by_genre: Any = None) -> Any:
        return tf.data.Dataset.from_tensors(next(iter(full_batches(part, part.data.unbatch(), size, by_genre))))

    batch, validation = first_batch(fit, weights), None if choose is None else first_batch(choose)
    ends: list[float] = []

    def note_end(*_: object, **__: object) -> None:
        as_numpy(network.trainable_variables[-1])  # waits for a GPU, which is still computing the step
        ends.append(time.perf_counter())

    _train_epoch(network, batch, validation)  # builds the graphs
    start = time.perf_counter()
    data = full_batches(fit, _shuffled(fit, settings.seed), size, weights).repeat().take(1 + TIMED_STEPS)
    clock = keras.callbacks.LambdaCallback(on_train_batch_end=note_end)
    _train_epoch(network, data, validation, [clock])
    whole = time.perf_counter() - start
    _restore(network, before)
    steps = math.ceil(len(fit.y) / size) - (1 + TIMED_STEPS)
    scored = 0.0 if choose is None else EVALUATION_COST * (math.ceil(len(choose.y) / size) - 1)
    return whole + (ends[-1] - ends[0]) / TIMED_STEPS * (steps + scored)


def batch_size_of(network: Any, settings: TrainSettings, n: int) -> int:
    """Rows of a batch over all devices, a whole number for each."""
    strategy = network.distribute_strategy
    devices = int(strategy.num_replicas_in_sync)
    wanted = TPU_BATCH * devices if is_tpu(strategy) else min(settings.batch_size, n)
    return math.ceil(wanted / devices) * devices


def _compile(network: Any, learning_rate: float) -> None:
    _, keras = load_tensorflow()
    with network.distribute_strategy.scope():
        network.compile(
            keras.optimizers.Adam(learning_rate),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            weighted_metrics=[
                keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name="cross_entropy"),
                keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
            ],
        )
        network.optimizer.build(network.trainable_variables)


def _training_key(
    network: Any,
    fit: NetworkData,
    choose: NetworkData | None,
    settings: TrainSettings,
    weights: Any,
    learning_rate: float,
) -> str:
    """Hash of everything that the numbers of an epoch depend on; epochs and patience only decide which is the last."""
    content = {
        "rows": [fit.key, fit.y.tolist(), None if choose is None else [choose.key, choose.y.tolist()]],
        "network": [[v.path.split("/")[-1], list(v.shape)] for v in network.trainable_variables],
        "settings": [settings.seed, settings.batch_size, learning_rate],
        "weights": None if weights is None else weights.tolist(),
    }
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _training_state(network: Any) -> list[Any]:
    """All variables that the next epoch depends on: weights, dropout's seeds, Adam's moments."""
    return [*network.variables, *network.optimizer.variables]


def _restore(network: Any, values: list[NDArray[Any]] | None) -> None:
    if values is None:
        return
    with network.distribute_strategy.scope():
        for variable, value in zip(_training_state(network), values, strict=True):
            variable.assign(value)


def _shuffled(part: NetworkData, seed: int) -> Any:
    buffer = min(len(part.y), max(1, SHUFFLE_BYTES // (4 * math.prod(part.shape))))
    return part.data.unbatch().shuffle(buffer, seed=seed, reshuffle_each_iteration=False)


def full_batches(part: NetworkData, data: Any, size: int, class_weights: NDArray[np.float64] | None = None) -> Any:
    """Single (x, y) of a part → (x, y, weight) in batches of exactly `size` rows.

    The last batch is filled with rows of weight 0, so that every device has rows in every step and the result does not
    depend on the number of devices.
    """
    tf, _ = load_tensorflow()
    shape, steps = part.shape, math.ceil(len(part.y) / size)
    by_genre = None if class_weights is None else tf.constant(class_weights, tf.float32)

    def fill(x: Any, y: Any) -> Any:
        weight = tf.ones_like(y, tf.float32) if by_genre is None else tf.gather(by_genre, y)
        missing = [[0, size - tf.shape(y)[0]]]
        x = tf.pad(x, missing + [[0, 0]] * len(shape))
        return (
            tf.ensure_shape(x, [size, *shape]),
            tf.ensure_shape(tf.pad(y, missing), [size]),
            tf.ensure_shape(tf.pad(weight, missing), [size]),
        )

    data = data.batch(size).map(fill, num_parallel_calls=tf.data.AUTOTUNE)
    return data.apply(tf.data.experimental.assert_cardinality(steps)).prefetch(tf.data.AUTOTUNE)


def _train_epoch(network: Any, data: Any, validation: Any, callbacks: Sequence[Any] = ()) -> dict[str, float]:
    """Train for one epoch, then score."""
    trained = network.fit(data, verbose=0, shuffle=False, callbacks=list(callbacks)).history
    row = {"loss": trained["cross_entropy"][-1], "accuracy": trained["accuracy"][-1]}
    scored = {} if validation is None else network.evaluate(validation, verbose=0, return_dict=True)
    row |= {"val_loss": scored.get("cross_entropy", math.nan), "val_accuracy": scored.get("accuracy", math.nan)}
    return {name: float(value) for name, value in row.items()}


def _make_history(
    network: Any,
    checkpoints: Checkpoints,
    settings: TrainSettings,
    choose: NDArray[np.int64] | None,
    fit: NDArray[np.int64],
    guess: tuple[float, float] | None,
) -> History:
    rows, best = checkpoints.rows, checkpoints.best
    if not math.isfinite(rows[0]["loss"]) or (choose is not None and best is None):
        raise ModelError(f"the loss of {network.name} is not finite: check its view for NaN and infinity")
    row = rows[-1]
    if best is None or choose is None or guess is None:
        return History(len(rows), int(row["epoch"]), None, row["loss"], math.nan, math.nan)
    if not (settings.uses_last_epoch and math.isfinite(row["loss"])):
        row = rows[best]
        network.set_weights(checkpoints.best_weights())
    most_frequent = float((choose == np.bincount(fit).argmax()).mean())
    learned = row["val_accuracy"] > most_frequent and row["val_loss"] < guess[1]
    return History(len(rows), int(row["epoch"]), learned, row["loss"], row["val_loss"], row["val_accuracy"])
