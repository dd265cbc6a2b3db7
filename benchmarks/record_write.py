"""Writing records of about 100 KB: raw bytes without TensorFlow against `tf.train.Example` with a list of floats.

    python benchmarks/record_write.py DATA [--rounds 40] [--json PATH]

The payloads are mel images of real clips. Goal: at least 20 times as fast; both files must contain the same numbers.
"""

from __future__ import annotations

from sides import Row, alternate, arguments, mp3_clips, one_core, report  # isort: skip

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from mel_record import VIEW, float_list_writer
from numpy.typing import NDArray

from genrelab.audio import clips as audio_clips
from genrelab.features import views
from genrelab.records import tfrecord

IMAGES = 20
"""Number of records per timed round: a single one is too fast to be timed."""

Images = list[NDArray[Any]]


def images_of(data: Path) -> Images:
    """Mel images of real clips, (224, 224) float16."""
    found = (views.compute(VIEW, *audio_clips.read(path)) for path in mp3_clips(data, IMAGES))
    return [window.x for windows in found for window in windows]


def main() -> int:
    """Measure, print the row and write it; 1 if a goal is missed."""
    parser = arguments("records with raw bytes against lists of floats")
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    one_core()
    images = images_of(options.data)
    with tempfile.TemporaryDirectory() as folder, Path(folder, "ours.tfrecord").open("wb") as shard:
        root = Path(folder)
        lists = float_list_writer(root / "lists.tfrecord")

        def theirs(_: int) -> None:
            for x in images:
                lists(x)

        def ours(_: int) -> None:
            for i, x in enumerate(images):
                shard.write(tfrecord.encode(tfrecord.Record(i, 0.0, x.tobytes())))

        measured = alternate({"float_list": theirs, "genrelab": ours}, range(options.rounds))
        shard.flush()
        same = holds_the_same(root / "ours.tfrecord", images)
    ratio, quartiles = measured.ratio("float_list", "genrelab")
    per_record = 1e6 / len(images)
    row = Row(
        "record_write", "writing a record of 100 KB", "`tf.train.Example` with float_list",
        ratio, quartiles, options.rounds,
        at_least=20,
        medians={f"{side}, µs of CPU a record": per_record * measured.median(side) for side in measured.seconds},
        checks={"TensorFlow reads the same numbers back": same},
    )  # fmt: skip
    return report(row, options.json)


def holds_the_same(path: Path, images: Images) -> bool:
    """Does TensorFlow read the same images from our file?"""
    import tensorflow as tf

    fields = {"x": tf.io.FixedLenFeature([], tf.string)}
    read = [
        tf.io.parse_single_example(r, fields)["x"].numpy() for r in tf.data.TFRecordDataset(str(path)).take(len(images))
    ]
    return len(read) == len(images) and all(
        np.array_equal(np.frombuffer(r, VIEW.dtype).reshape(VIEW.shape), x) for r, x in zip(read, images, strict=True)
    )


if __name__ == "__main__":
    raise SystemExit(main())
