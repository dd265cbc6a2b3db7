"""What an epoch of each network takes here, measured in a process of its own: TensorFlow starts slowly."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genrelab.core.config import MelImageView, SamplesView, TrainSettings
from genrelab.core.text import join_first

if TYPE_CHECKING:
    from genrelab.models.keras_training import NetworkData

FEW_WINDOWS, MANY_WINDOWS = 32, 128
"""Windows of a whole epoch with its checkpoint, and of one of steps alone: of a network that is quick."""

SLOW_BATCH = 8
"""Windows of a batch of a network that is slow; of its time nearly all is the windows'."""

EPOCHS = 2
"""The first is not counted: TensorFlow builds its graphs in it."""

GENRES = 8
NETWORKS = ("mobilenet_v2", "raw_cnn")
"""The quicker one first: where the time does not do for both it is known at least."""

FIT_SHARE, EVALUATION_COST = 0.8, 1 / 3
"""Of all windows are learned from; to look at one of the others takes a third: there and not back."""


@dataclass(frozen=True)
class NetworkCost:
    """One network's times here, seconds by the clock.

    Attributes:
        name: the model's.
        once_s: for each window, before the first epoch: the frozen base runs once.
        epoch_s: of an epoch besides its windows.
        window_s: for each window that is learned from, each epoch.
    """

    name: str
    once_s: float
    epoch_s: float
    window_s: float

    def seconds(self, windows: int, epochs: int) -> float:
        """Of a training with so many windows in all."""
        each = FIT_SHARE + (1 - FIT_SHARE) * EVALUATION_COST
        return windows * self.once_s + epochs * (self.epoch_s + windows * each * self.window_s)


@dataclass(frozen=True)
class TrainingCost:
    """What was measured, and on what; `reason`: why the `missing` ones, or all, were not."""

    networks: tuple[NetworkCost, ...] = ()
    device: str = ""
    start_s: float = 0.0
    reason: str | None = None
    missing: tuple[str, ...] = ()


def measure_training(names: Iterable[str], *, seconds: float, more_s: int) -> TrainingCost:
    """The networks among these models, as far as the time goes.

    Args:
        more_s: of `--seconds`, that would give twice the time.
    """
    wanted = [n for n in NETWORKS if n in names]
    if not wanted:
        return TrainingCost(reason="no network among the models")
    if find_spec("tensorflow") is None:
        return TrainingCost(reason="TensorFlow is not installed: pip install 'genrelab[train]'", missing=tuple(wanted))
    words = [sys.executable, "-c", "from genrelab.bench.training import tell; tell()", *wanted]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace") as child:
        try:
            out, err = child.communicate(timeout=max(1.0, seconds))
            over = ""
        except subprocess.TimeoutExpired:
            child.kill()
            out, err = child.communicate()
            over = f"no answer within {seconds:.0f} s; --seconds {more_s} allows twice as long"
        except BaseException:
            child.kill()
            raise
    return _parse_output(out, wanted, over or (err.strip() or f"ends with status {child.returncode}").splitlines()[-1])


def _parse_output(out: str, wanted: list[str], trouble: str) -> TrainingCost:
    """From the lines of the process: what it runs on, then a network each."""
    lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    networks = tuple(NetworkCost(**line) for line in lines[1:])
    missing = tuple(name for name in wanted if name not in {n.name for n in networks})
    reason = f"{join_first(missing)}: {trouble}" if missing else None
    device, start_s = (lines[0]["device"], lines[0]["start_s"]) if lines else ("", 0.0)
    return TrainingCost(networks, device, start_s, reason, missing)


def print_measurements() -> None:
    """Print what `measure_training` asks for, a JSON object a line, as soon as it is known."""
    began = time.perf_counter()
    from genrelab.core.tensorflow import load_tensorflow

    tf, _ = load_tensorflow()
    gpus = tf.config.list_logical_devices("GPU")
    device = f"{len(gpus)} GPU" if gpus else "CPU"
    print(json.dumps({"device": device, "start_s": time.perf_counter() - began}), flush=True)
    measures: dict[str, Callable[[], NetworkCost]] = {"raw_cnn": _raw_cnn, "mobilenet_v2": _mobilenet}
    for name in sys.argv[1:]:
        print(json.dumps(asdict(measures[name]())), flush=True)


def _raw_cnn() -> NetworkCost:
    from genrelab.models.raw_cnn import build_network

    shape = SamplesView().shape
    return NetworkCost("raw_cnn", 0.0, *_step_times(build_network(shape, GENRES), shape))


def _mobilenet() -> NetworkCost:
    from genrelab.models.mobilenet import build_head, join_networks, load_base

    shape = MelImageView().shape
    network = join_networks(shape, load_base(shape, "none"))
    images = np.random.default_rng(0).uniform(-80, 0, (2 * SLOW_BATCH, *shape)).astype(np.float32)
    network.predict(images[:SLOW_BATCH], batch_size=SLOW_BATCH, verbose=0)  # builds its graph
    began = time.perf_counter()
    network.predict(images, batch_size=SLOW_BATCH, verbose=0)
    once_s = (time.perf_counter() - began) / len(images)
    outputs = np.random.default_rng(0).uniform(0, 6, (MANY_WINDOWS, network.output_shape[-1])).astype(np.float32)
    return NetworkCost("mobilenet_v2", once_s, *_epoch_times(build_head(outputs, GENRES), outputs.shape[1:]))


def _epoch_times(network: Any, shape: tuple[int, ...]) -> tuple[float, float]:
    """What an epoch takes besides its windows, its checkpoint above all, and what each window takes."""
    from genrelab.models.keras_training import fit_network, full_batches

    settings, stamps = TrainSettings(epochs=EPOCHS), list[float]()
    with tempfile.TemporaryDirectory() as folder:
        fit_network(
            network, _noise(shape, FEW_WINDOWS), _noise(shape, FEW_WINDOWS // 4), settings=settings, folder=Path(folder),
            progress=lambda done, total: stamps.append(time.perf_counter()),
        )  # fmt: skip
    many = _noise(shape, MANY_WINDOWS)
    data = full_batches(many, many.data.unbatch(), settings.batch_size)
    began = time.perf_counter()
    network.fit(data, verbose=0)  # its graph is there already
    window_s = (time.perf_counter() - began) / MANY_WINDOWS
    return max(0.0, stamps[-1] - stamps[0] - FEW_WINDOWS * window_s), window_s


def _step_times(network: Any, shape: tuple[int, ...]) -> tuple[float, float]:
    """Without a checkpoint, which is never more than a share of the time and would take longer here than all steps."""
    from genrelab.models.checkpoints import SAVE_INTERVAL_FACTOR
    from genrelab.models.keras_training import full_batches

    network.compile("adam", "sparse_categorical_crossentropy")  # from logits or not takes the same time
    few, more = _noise(shape, SLOW_BATCH), _noise(shape, 2 * SLOW_BATCH)
    network.fit(full_batches(few, few.data.unbatch(), SLOW_BATCH), verbose=0)  # builds its graph
    data = full_batches(more, more.data.unbatch(), SLOW_BATCH)
    began = time.perf_counter()
    network.fit(data, verbose=0)
    return 0.0, (1 + 1 / SAVE_INTERVAL_FACTOR) * (time.perf_counter() - began) / (2 * SLOW_BATCH)


def _noise(shape: tuple[int, ...], n: int) -> NetworkData:
    from genrelab.models.keras_training import network_data_from_arrays

    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((n, *shape)).astype(np.float32), rng.integers(0, GENRES, n)
    return network_data_from_arrays(x, y, batch_size=TrainSettings().batch_size)
