"""Measures an epoch of each network on this machine."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genrelab.core.config import MelImageView, SamplesView, TrainSettings
from genrelab.core.errors import GenrelabError
from genrelab.core.processes import process_pool
from genrelab.core.tensorflow import load_tensorflow
from genrelab.core.text import join_first, pluralize

if TYPE_CHECKING:
    from genrelab.models.keras_training import NetworkData

FEW_WINDOWS, MANY_WINDOWS = 32, 128
"""For a fast network: windows of an epoch with its checkpoint, and of an epoch of steps alone."""

SLOW_BATCH = 8
"""Windows of a batch for a slow network, which spends nearly all of its time on the windows."""

EPOCHS = 2
"""The first one is not counted: TensorFlow builds its graphs in it."""

GENRES = 8
NETWORKS = ("mobilenet_v2", "raw_cnn")
"""The faster one first, so that it is measured where there is no time for both."""

EPOCH_RANGE = (TrainSettings().patience + 1, TrainSettings().epochs)
"""Fewest and most epochs of a training."""

FIT_SHARE, EVALUATION_COST = 0.8, 1 / 3
"""Share of the windows that are trained on; evaluating one of the others costs a third: no backward pass."""


@dataclass(frozen=True)
class NetworkCost:
    """Times of one network on this machine, in wall-clock seconds.

    Attributes:
        name: of the model.
        once_s: per window, before the first epoch: the frozen base runs once.
        epoch_s: of an epoch without its windows.
        window_s: per training window and epoch.
    """

    name: str
    once_s: float
    epoch_s: float
    window_s: float

    def seconds(self, windows: int, epochs: int) -> float:
        """Duration of a training on `windows` windows, training and validation together."""
        each = FIT_SHARE + (1 - FIT_SHARE) * EVALUATION_COST
        return windows * self.once_s + epochs * (self.epoch_s + windows * each * self.window_s)


@dataclass(frozen=True)
class TrainingCost:
    """The measured networks and their device; `reason`: why the `missing` ones, or all, were not measured."""

    networks: tuple[NetworkCost, ...] = ()
    device: str = ""
    start_s: float = 0.0
    reason: str | None = None
    missing: tuple[str, ...] = ()


def measure_training(names: Iterable[str], *, seconds: float, more_s: int) -> TrainingCost:
    """Measure the networks among these models, as far as `seconds` allow, in a process of its own.

    Args:
        more_s: value of `--seconds`, for the message, that would allow twice the time.
    """
    wanted = [n for n in NETWORKS if n in names]
    if not wanted:
        return TrainingCost(reason="none of the models is a network")
    if find_spec("tensorflow") is None:
        return TrainingCost(reason="TensorFlow is not installed: pip install 'genrelab[train]'", missing=tuple(wanted))
    end, networks, error = time.perf_counter() + max(1.0, seconds), list[NetworkCost](), ""
    device, start_s = "", 0.0
    try:
        with process_pool(1) as pool:  # which ends its process when it is left by an exception
            device, start_s = pool.submit(_load_device).result(max(0.0, end - time.perf_counter()))
            for name in wanted:
                networks.append(pool.submit(_measure, name).result(max(0.0, end - time.perf_counter())))
    except TimeoutError:
        error = f"not measured within {seconds:.0f} s: use --seconds {more_s}"
    except (GenrelabError, BrokenProcessPool, ValueError, OSError) as e:
        error = f"TensorFlow failed: {' '.join(str(e).split())}"
    missing = tuple(wanted[len(networks) :])
    reason = f"{join_first(missing)}: {error}" if missing else None
    return TrainingCost(tuple(networks), device, start_s, reason, missing)


def _load_device() -> tuple[str, float]:
    """TensorFlow's device, and the seconds that loading it takes."""
    start = time.perf_counter()
    tf, _ = load_tensorflow()
    gpus = tf.config.list_logical_devices("GPU")
    return pluralize(gpus, "GPU") if gpus else "CPU", time.perf_counter() - start


def _measure(name: str) -> NetworkCost:
    return _measure_raw_cnn() if name == "raw_cnn" else _measure_mobilenet()


def _measure_raw_cnn() -> NetworkCost:
    from genrelab.models.raw_cnn import build_network

    shape = SamplesView().shape
    return NetworkCost("raw_cnn", 0.0, *_step_times(build_network(shape, GENRES), shape))


def _measure_mobilenet() -> NetworkCost:
    from genrelab.models.mobilenet import build_head, join_networks, load_base

    shape = MelImageView().shape
    network = join_networks(shape, load_base(shape, "none"))
    images = np.random.default_rng(0).uniform(-80, 0, (2 * SLOW_BATCH, *shape)).astype(np.float32)
    network.predict(images[:SLOW_BATCH], batch_size=SLOW_BATCH, verbose=0)  # builds its graph
    start = time.perf_counter()
    network.predict(images, batch_size=SLOW_BATCH, verbose=0)
    once_s = (time.perf_counter() - start) / len(images)
    outputs = np.random.default_rng(0).uniform(0, 6, (MANY_WINDOWS, network.output_shape[-1])).astype(np.float32)
    return NetworkCost("mobilenet_v2", once_s, *_epoch_times(build_head(outputs, GENRES), outputs.shape[1:]))


def _epoch_times(network: Any, shape: tuple[int, ...]) -> tuple[float, float]:
    """Seconds of an epoch besides its windows (mainly its checkpoint), and seconds per window."""
    from genrelab.models.keras_training import fit_network, full_batches

    settings, stamps = TrainSettings(epochs=EPOCHS), list[float]()
    with tempfile.TemporaryDirectory() as folder:
        fit_network(
            network, _noise(shape, FEW_WINDOWS), _noise(shape, FEW_WINDOWS // 4), settings=settings,
            folder=Path(folder), progress=lambda done, total: stamps.append(time.perf_counter()),
        )  # fmt: skip
    windows = _noise(shape, MANY_WINDOWS)
    data = full_batches(windows, windows.data.unbatch(), settings.batch_size)
    start = time.perf_counter()
    network.fit(data, verbose=0)  # its graph is there already
    window_s = (time.perf_counter() - start) / MANY_WINDOWS
    return max(0.0, stamps[-1] - stamps[0] - FEW_WINDOWS * window_s), window_s


def _step_times(network: Any, shape: tuple[int, ...]) -> tuple[float, float]:
    """As `_epoch_times`, with the checkpoint's usual share added: writing one takes longer than the few steps here."""
    from genrelab.models.checkpoints import SAVE_INTERVAL_FACTOR
    from genrelab.models.keras_training import full_batches

    network.compile("adam", "sparse_categorical_crossentropy")  # from logits or not takes the same time
    few, more = _noise(shape, SLOW_BATCH), _noise(shape, 2 * SLOW_BATCH)
    network.fit(full_batches(few, few.data.unbatch(), SLOW_BATCH), verbose=0)  # builds its graph
    data = full_batches(more, more.data.unbatch(), SLOW_BATCH)
    start = time.perf_counter()
    network.fit(data, verbose=0)
    return 0.0, (1 + 1 / SAVE_INTERVAL_FACTOR) * (time.perf_counter() - start) / (2 * SLOW_BATCH)


def _noise(shape: tuple[int, ...], n: int) -> NetworkData:
    from genrelab.models.keras_training import network_data_from_arrays

    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((n, *shape)).astype(np.float32), rng.integers(0, GENRES, n)
    return network_data_from_arrays(x, y, batch_size=TrainSettings().batch_size)
