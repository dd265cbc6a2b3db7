"""Training through genrelab's input pipeline against the bare step on batches that are in memory.

    python benchmarks/input_pipeline.py DATA raw_cnn|short_chunk [--uncached] [--json PATH]

An epoch as `fit_network` runs it, from shards through cache, shuffle and batches, against Keras on tensors that are
ready in memory. Goal: at most 1.05 times the CPU seconds. `short_chunk` is a network of the size of the short-chunk CNN
(Won et al., Evaluation of CNN-based automatic music tagging models, 2020), on log-mel windows of 3 s. With `--uncached`
records are read again each epoch, as happens to those that do not fit into memory.
"""

from __future__ import annotations

from sides import Row, alternate, arguments, one_core, report  # isort: skip

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from training_rows import examples_of

from genrelab.core.config import LogMelView, SamplesView, View
from genrelab.core.tensorflow import load_tensorflow, seed_everything
from genrelab.models import raw_cnn
from genrelab.models.keras_training import LEARNING_RATE, _compile, _shuffled, full_batches, network_data
from genrelab.records import examples


class Task(NamedTuple):
    """A network, its view, and the size of its training set."""

    view: View
    build: Callable[[tuple[int, ...], int], Any]
    rows: int
    batch: int


def short_chunk(shape: tuple[int, ...], n_genres: int) -> Any:
    """Seven convolutions of 128 to 512 channels and a dense layer of 512: 3.7 million weights."""
    _, keras = load_tensorflow()
    layers = keras.layers
    network = [keras.Input(shape), layers.Reshape((*shape, 1)), layers.BatchNormalization()]
    for channels in (128, 128, 256, 256, 256, 256, 512):
        network += [layers.Conv2D(channels, 3, padding="same"), layers.BatchNormalization(), layers.ReLU()]
        network += [layers.MaxPooling2D(2, padding="same")]
    network += [layers.GlobalMaxPooling2D(), layers.Dense(512), layers.BatchNormalization(), layers.ReLU()]
    return keras.Sequential([*network, layers.Dropout(0.5), layers.Dense(n_genres)], name="short_chunk")


TASKS = {
    "raw_cnn": Task(SamplesView(), raw_cnn.build_network, rows=128, batch=32),
    "short_chunk": Task(LogMelView(), short_chunk, rows=32, batch=16),
}


def main() -> int:
    """Measure, print the row and write it; 1 if a goal is missed."""
    parser = arguments("training through the pipeline against the bare step")
    parser.add_argument("network", choices=TASKS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--uncached", action="store_true")
    options = parser.parse_args()
    one_core()
    seed_everything(0)
    task = TASKS[options.network]
    name = f"input_pipeline_{options.network}"
    if options.uncached:
        examples.CACHE_BYTES, name = 0, f"{name}_uncached"
    with tempfile.TemporaryDirectory() as folder:
        part = network_data(examples_of(options.data, task.view, task.rows, Path(folder)), "fit", batch_size=task.batch,
                       in_order=False)  # fmt: skip
        network = task.build(part.shape, 4)
        _compile(network, LEARNING_RATE)
        ready = in_memory(full_batches(part, part.data.unbatch(), task.batch))
        sides = {
            "in memory": lambda _: network.fit(ready, verbose=0, shuffle=False),
            "genrelab": lambda seed: network.fit(
                full_batches(part, _shuffled(part, seed), task.batch), verbose=0, shuffle=False
            ),
        }
        measured = alternate(sides, range(options.rounds))
    ratio, quartiles = measured.ratio("genrelab", "in memory")
    row = Row(
        name, f"training {options.network} through the input pipeline",
        "the same steps on batches in memory", ratio, quartiles, options.rounds,
        at_most=1.05,
        medians={f"{side}, s of CPU an epoch": measured.median(side) for side in sides},
        extra={"rows": task.rows, "rows a batch": task.batch, "weights": network.count_params()},
    )  # fmt: skip
    return report(row, options.json)


def in_memory(data: Any) -> Any:
    """The batches of a dataset as tensors in memory."""
    tf, _ = load_tensorflow()
    batches = list(data)
    stacked = [tf.stack(columns) for columns in zip(*batches, strict=True)]
    return tf.data.Dataset.from_tensor_slices(tuple(stacked))


if __name__ == "__main__":
    raise SystemExit(main())
