"""An epoch of `mobilenet_v2`'s head on stored outputs of the frozen base, against one that runs the base again.

    python benchmarks/head_epoch.py DATA [--rows 256] [--json PATH]

Both are trained by `fit_network` on the same real images, to the same result up to rounding; the first epoch of each,
in which TensorFlow builds its graphs, is left out. Goal: at least 30 times as fast. Random weights: they cost the same.
"""

from __future__ import annotations

from sides import Measured, Row, arguments, cpu_s, one_core, report  # isort: skip

import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from training_rows import examples_of

from genrelab.core.config import MelImageView, TrainSettings
from genrelab.core.tensorflow import seed_everything
from genrelab.models.keras_training import (
    NetworkData,
    fit_network,
    full_batches,
    network_data,
    network_data_from_arrays,
)
from genrelab.models.mobilenet import build_head, join_networks, load_base

EPOCHS = {"the base again": 2, "genrelab": 8}
"""Counted epochs per round."""


def main() -> int:
    """Measure, print the row and write it; 1 if a goal is missed."""
    parser = arguments("an epoch on kept base outputs against one with the base")
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    one_core()
    seed_everything(0)
    settings = TrainSettings(imagenet_weights="none")
    seconds: dict[str, list[float]] = {side: [] for side in EPOCHS}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        examples = examples_of(options.data, MelImageView(), options.rows, home)
        base, images = load_base(examples.shape, "none"), network_data(examples, batch_size=settings.batch_size)
        start = cpu_s()
        outputs = base_outputs(join_networks(examples.shape, base), images, settings.batch_size)
        once = cpu_s() - start
        stored = network_data_from_arrays(outputs, examples.y, batch_size=settings.batch_size)
        for i in range(options.rounds):
            networks = {side: build_head(outputs, len(examples.genres)) for side in EPOCHS}
            again = join_networks(examples.shape, base, networks["the base again"])
            for side, network, part in (("the base again", again, images), ("genrelab", networks["genrelab"], stored)):
                seconds[side] += epochs(network, part, EPOCHS[side], home / f"{side} {i}")
    measured = Measured({side: np.array(s) for side, s in seconds.items()})
    per_round = {side: np.median(np.reshape(s, (options.rounds, -1)), axis=1) for side, s in seconds.items()}
    _, quartiles = Measured(per_round).ratio("the base again", "genrelab")
    row = Row(
        "head_epoch", f"an epoch of mobilenet_v2's head, {options.rows} images", "running the frozen base again",
        measured.median("the base again") / measured.median("genrelab"), quartiles, options.rounds,
        at_least=30,
        medians={f"{side}, s of CPU an epoch": measured.median(side) for side in EPOCHS},
        extra={"the base once, s of CPU": once},
    )  # fmt: skip
    return report(row, options.json)


def base_outputs(network: Any, images: NetworkData, size: int) -> Any:
    """Outputs of the base for the images, as `MobileNetV2.fit` stores them."""
    data = full_batches(images, images.data.unbatch(), size).map(lambda x, y, weight: x)
    return np.asarray(network.predict(data, verbose=0)[: len(images.y)], np.float32)


def epochs(network: Any, part: NetworkData, n: int, folder: Path) -> list[float]:
    """CPU seconds of each of `n` epochs, after one that is not counted."""
    folder.mkdir()
    ends = [0.0]
    fit_network(
        network, part, None, settings=TrainSettings(epochs=n + 1), folder=folder,
        progress=lambda *_: ends.append(cpu_s()),
    )  # fmt: skip
    return [b - a for a, b in pairwise(ends[1:])]


if __name__ == "__main__":
    raise SystemExit(main())
