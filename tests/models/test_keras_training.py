from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from genrelab.core.config import TrainSettings
from genrelab.core.errors import ModelError
from genrelab.core.tensorflow import as_numpy, load_tensorflow, seed_everything
from genrelab.models import keras_training
from genrelab.models.checkpoints import read_history
from genrelab.models.keras_training import fit_network, full_batches, network_data_from_arrays
from tests.support.paths import PROJECT

pytestmark = pytest.mark.slow  # TensorFlow takes seconds to import


def clouds(n: int = 75) -> tuple[Any, Any]:
    y = np.arange(n) % 3
    return np.random.default_rng(0).normal(size=(n, 6)) + 3 * np.eye(3, 6)[y], y


def small_network(dropout: float = 0.5) -> Any:
    _, keras = load_tensorflow()
    layers = keras.layers
    return keras.Sequential(
        [keras.Input((6,)), layers.Dense(8, activation="relu"), layers.Dropout(dropout), layers.Dense(3)]
    )


def constant_network() -> Any:
    """All genres are equally probable at first."""
    _, keras = load_tensorflow()
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, kernel_initializer="zeros")])


def trained(folder: Path, network: Any = None, *, n_fit: int = 50, **more: Any) -> tuple[Any, Any]:
    """History and weights of a small network on 50 rows (not a multiple of the batch), chosen on 25."""
    settings = TrainSettings(**{"epochs": 4, "batch_size": 16, **more.pop("settings", {})})
    seed_everything(settings.seed)
    network = network or small_network()
    x, y = clouds()
    choose = network_data_from_arrays(x[50:], y[50:], batch_size=16) if more.pop("choose", True) else None
    fit = network_data_from_arrays(x[:n_fit], y[:n_fit], batch_size=16)
    history = fit_network(network, fit, choose, settings=settings, folder=folder, **more)
    return history, np.concatenate([w.ravel() for w in network.get_weights()])


def test_learns_and_ends_with_the_best_weights(tmp_path: Path) -> None:
    network = small_network(dropout=0)
    history, _ = trained(tmp_path, network, settings={"epochs": 60, "patience": 3}, learning_rate=0.05)
    rows = read_history(tmp_path)
    losses = [r["val_loss"] for r in rows]
    assert history.learned
    assert history.val_accuracy > 0.9
    assert history.epochs == len(rows) < 60
    assert history.best_epoch == 1 + int(np.argmin(losses)) == len(rows) - 3
    x, y = clouds()
    logits = network.predict(x[50:], verbose=0)
    loss = np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(25), y[50:]])
    np.testing.assert_allclose(loss, min(losses), rtol=1e-5)


def test_same_seed_same_numbers_and_another_seed_others(tmp_path: Path) -> None:
    first, second = (trained(tmp_path / name)[1] for name in "ab")
    np.testing.assert_array_equal(first, second)
    other = trained(tmp_path / "c", settings={"seed": 1})[1]
    assert np.abs(other - first).max() > 1e-3


def test_resumed_training_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    """Dropout, order of the rows, Adam's moments and early stopping all go on where they stood."""

    def interrupt(done: int, at_most: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    _, expected = trained(tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "b", progress=interrupt)
    assert len(read_history(tmp_path / "b")) == 2
    seen: list[tuple[int, int]] = []
    history, weights = trained(tmp_path / "b", resume=True, progress=lambda *at: seen.append(at))
    np.testing.assert_array_equal(weights, expected)
    assert seen == [(3, 4), (4, 4)]
    assert history.epochs == 4
    assert (tmp_path / "a/history.csv").read_text() == (tmp_path / "b/history.csv").read_text()


def test_timing_an_epoch_beforehand_changes_no_number(tmp_path: Path) -> None:
    estimates: list[tuple[float, int]] = []

    def timed(seconds: float, epochs: int) -> None:
        estimates.append((seconds, epochs))

    _, expected = trained(tmp_path / "a")
    _, weights = trained(tmp_path / "b", timed=timed)
    ((seconds, left),) = estimates
    assert seconds > 0 and left == 4
    np.testing.assert_array_equal(weights, expected)
    assert (tmp_path / "a/history.csv").read_text() == (tmp_path / "b/history.csv").read_text()
    trained(tmp_path / "b", resume=True, timed=timed)
    assert len(estimates) == 1, "it is finished"
    trained(tmp_path / "b", resume=True, timed=timed, settings={"epochs": 6})
    assert [epochs for _, epochs in estimates] == [4, 2]


def test_the_estimate_of_an_epoch_has_its_steps_and_what_it_costs_besides(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a device that computes while the next step is prepared: time passes when something is read from it."""
    now = queued = 0.0

    def read(variable: Any) -> Any:
        nonlocal now, queued
        now, queued = now + queued, 0.0
        return as_numpy(variable)

    def epoch(network: Any, data: Any, validation: Any, callbacks: Any = ()) -> None:
        nonlocal now, queued
        now += 10.0  # such as starting, and scoring one batch
        for _ in data:
            queued += 3.0
            for callback in callbacks:
                callback.on_train_batch_end(0)
        now, queued = now + queued, 0.0

    monkeypatch.setattr(keras_training, "as_numpy", read)
    monkeypatch.setattr(keras_training, "_train_epoch", epoch)
    monkeypatch.setattr(keras_training, "time", SimpleNamespace(perf_counter=lambda: now))
    x, y = clouds()
    fit, choose = (network_data_from_arrays(x[rows], y[rows], batch_size=16) for rows in (slice(50), slice(50, 75)))
    network = small_network()
    keras_training._compile(network, 0.001)
    found = keras_training._time_epoch(network, fit, choose, TrainSettings(batch_size=16), None)
    assert found == pytest.approx(10 + 4 * 3 + 1), "four steps, and one more batch to score at a third of a step"


OVERFITS: dict[str, Any] = {"epochs": 8, "patience": 1}
"""With a learning rate of 1.0 the validation loss rises soon."""


def test_without_early_stopping_all_epochs_are_run_and_the_best_weights_used(tmp_path: Path) -> None:
    stopped, _ = trained(tmp_path / "a", settings=OVERFITS, learning_rate=1.0)
    whole, _ = trained(tmp_path / "b", settings={**OVERFITS, "early_stopping": False}, learning_rate=1.0)
    losses = [r["val_loss"] for r in read_history(tmp_path / "b")]
    assert stopped.epochs < whole.epochs == 8
    assert whole.best_epoch == 1 + int(np.argmin(losses)) < 8
    assert whole.val_loss == min(losses)


def test_article_preset_runs_all_epochs_and_keeps_the_last_weights(tmp_path: Path) -> None:
    network = small_network(dropout=0)
    settings = {**OVERFITS, "preset": "article"}
    history, weights = trained(tmp_path, network, settings=settings, learning_rate=1.0)
    rows = read_history(tmp_path)
    assert (history.epochs, history.best_epoch, history.val_loss) == (8, 8, rows[-1]["val_loss"])
    assert min(r["val_loss"] for r in rows) < history.val_loss
    x, y = clouds()
    logits = network.predict(x[50:], verbose=0)
    loss = np.mean(
        np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1)) + logits.max(1) - logits[np.arange(25), y[50:]]
    )
    np.testing.assert_allclose(loss, history.val_loss, rtol=1e-4)
    again, kept = trained(tmp_path, small_network(dropout=0), settings=settings, learning_rate=1.0, resume=True)
    assert again == history
    np.testing.assert_array_equal(kept, weights)


def test_a_network_that_only_guesses_is_stopped(tmp_path: Path) -> None:
    """It learns nothing at a rate of 0, but its validation loss is always as good as before: patience is no help."""
    guesses: dict[str, Any] = {"settings": {"epochs": 40, "patience": 40}, "learning_rate": 0.0, "stops_guessing": True}
    history, _ = trained(tmp_path, constant_network(), **guesses)
    assert history.epochs == len(read_history(tmp_path)) == 25, "100 steps, 4 an epoch; 10 epochs would be too few"
    assert history.learned is False
    assert history.guess_loss == pytest.approx(np.log(3), rel=0.01)
    again, _ = trained(tmp_path, constant_network(), **guesses, resume=True)
    assert (again, len(read_history(tmp_path))) == (history, 25)
    guesses["settings"] = {"epochs": 25, "patience": 40}
    whole, _ = trained(tmp_path, constant_network(), **guesses, resume=True)
    assert (whole.epochs, whole.learned, whole.guess_loss) == (25, False, None), "no epoch is left that was not run"


def test_a_finished_training_is_not_trained_again(tmp_path: Path) -> None:
    first, expected = trained(tmp_path, settings={"epochs": 30, "patience": 1}, learning_rate=1.0)
    assert first.epochs < 30
    seen: list[tuple[int, int]] = []
    again, weights = trained(tmp_path, settings={"epochs": 30, "patience": 1}, learning_rate=1.0, resume=True,
                             progress=lambda *at: seen.append(at))  # fmt: skip
    assert (again, seen) == (first, [])
    np.testing.assert_array_equal(weights, expected)


def test_training_on_other_rows_starts_over(tmp_path: Path) -> None:
    trained(tmp_path)
    seen: list[tuple[int, int]] = []
    trained(tmp_path, n_fit=40, resume=True, progress=lambda *at: seen.append(at))
    assert seen[0] == (1, 4)


def test_without_validation_it_trains_for_all_epochs(tmp_path: Path) -> None:
    history, weights = trained(tmp_path, choose=False)
    assert (history.epochs, history.best_epoch, history.learned) == (4, 4, None)
    np.testing.assert_array_equal(trained(tmp_path, choose=False, resume=True)[1], weights)


def test_training_on_noise_counts_as_not_learned(tmp_path: Path) -> None:
    network = small_network()
    history, _ = trained(tmp_path, network, learning_rate=0.0)
    assert history.learned is False


def test_class_weights_change_what_is_learned(tmp_path: Path) -> None:
    _, plain = trained(tmp_path / "a")
    _, ones = trained(tmp_path / "b", class_weights=np.ones(3))
    np.testing.assert_array_equal(plain, ones)
    _, weighted = trained(tmp_path / "c", class_weights=np.array([0.1, 1.0, 1.9]))
    assert np.abs(weighted - plain).max() > 1e-3


def test_nan_loss_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not finite"):
        trained(tmp_path, learning_rate=float("nan"))


def test_the_last_batch_is_filled_with_rows_that_weigh_nothing() -> None:
    x, y = clouds(5)
    part = network_data_from_arrays(x, y, batch_size=2)
    batches = list(full_batches(part, part.data.unbatch(), 4, np.array([2.0, 3.0, 4.0])).as_numpy_iterator())
    assert [b[0].shape for b in batches] == [(4, 6), (4, 6)]
    np.testing.assert_array_equal(np.concatenate([b[2] for b in batches]), [2, 3, 4, 2, 3, 0, 0, 0])
    np.testing.assert_allclose(np.concatenate([b[0] for b in batches])[:5], x, rtol=1e-6)
    assert not batches[1][0][1:].any()


TWO_DEVICES = """
import sys
from pathlib import Path
import tensorflow as tf  # before load_tensorflow, which makes the devices
one = tf.config.LogicalDeviceConfiguration()
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], [one, one])
from tests.models.test_keras_training import *
found = []
for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
    seed_everything(42)
    with strategy.scope():
        network = small_network(dropout=0)
    folder = Path(sys.argv[1]) / str(strategy.num_replicas_in_sync)
    found.append((trained(folder, network, n_fit=33, class_weights=np.array([0.5, 1.0, 1.5])), read_history(folder)))
(_, alone), (_, mirrored) = (f[0] for f in found)
print(strategy.num_replicas_in_sync, np.abs(alone - mirrored).max())
print(max(abs(a[k] - b[k]) for a, b in zip(found[0][1], found[1][1], strict=True) for k in a))
"""


def test_two_devices_give_the_same_result_as_one(tmp_path: Path) -> None:
    """33 rows in batches of 16: the last batch holds one row, which two devices cannot share."""
    env = os.environ | {"PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        [sys.executable, "-c", TWO_DEVICES, tmp_path], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    devices, weights_off, figures_off = (float(word) for word in done.stdout.split())
    assert devices == 2
    assert weights_off < 1e-5
    assert figures_off < 1e-5
