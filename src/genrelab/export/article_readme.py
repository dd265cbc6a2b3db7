"""The `README.md` beside records in the article's form: what they hold, and code that reads them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from string import Template

from genrelab.core.config import MelImageView, View
from genrelab.core.errors import printable
from genrelab.core.text import pluralize

TEST_SHARE, VALIDATION_SHARE = 0.2, 0.16
"""Shares of the shards that are the article's test and validation sets (64/16/20)."""

_TEXT = Template("""# $name as TFRecords of the article

Written by `genrelab export --format tfrecord-article`, for code that follows the article *Music Genre Classification
with TensorFlow* (C. Hermez, W. Cheung, J. Gu, 2020): $records of $tracks in $shards. The name of a file has the number
of its shard and the number of its records. Tracks are shuffled with the seed $seed; all records of a track are in one
file.

| feature | type | content |
|---|---|---|
| `song` | $n floats | $song |
| `class` | one int64 | number of the genre, see `labels.csv` |
| `one_hot_class` | $classes floats | 1 at the number of the genre, 0 elsewhere |

`tracks.csv` has the track, its artist and its file for every record, in the order of the records.

## Genres

$genres

## Read the records

```python
import re
from pathlib import Path

import tensorflow as tf

files = sorted(str(file) for file in Path(".").glob("*.tfrec"))  # run this in the folder of this file
test, validation, training = files[:$test], files[$test:$validation], files[$validation:]


def parse(record):
    fields = {
        "song": tf.io.FixedLenFeature([$n], tf.float32),
        "class": tf.io.FixedLenFeature([], tf.int64),
        "one_hot_class": tf.io.VarLenFeature(tf.float32),
    }
    parsed = tf.io.parse_single_example(record, fields)
    one_hot = tf.reshape(tf.sparse.to_dense(parsed["one_hot_class"]), [$classes])
    song = $song_of_record
    return song, one_hot


def count(files):
    return sum(int(re.search(r"-([0-9]*)\\.", Path(file).name).group(1)) for file in files)


def batches(files, train=False):
    unordered = tf.data.Options()
    unordered.deterministic = False
    data = tf.data.TFRecordDataset(files, num_parallel_reads=tf.data.AUTOTUNE).with_options(unordered)
    data = data.map(parse, num_parallel_calls=tf.data.AUTOTUNE).ignore_errors().cache()
    data = data.shuffle(2048).repeat() if train else data
    data = data.batch(32)$channels
    return data.prefetch(tf.data.AUTOTUNE)


# steps = max(1, count(training) // 32)
# model.fit(batches(training, train=True), steps_per_epoch=steps, validation_data=batches(validation))
```

## Accuracy with this split is too high

$leak

A model that has learned how an artist sounds then scores better on the test set than on music by artists that are new
to it. `genrelab train` keeps every artist in one set; `genrelab train --split article` shows the difference.
""")

_IMAGE = 'tf.reshape(parsed["song"], [$size, $size, 1])  # low frequencies first, time to the right'
_CHANNELS = ".map(lambda song, one_hot: (tf.repeat(song, 3, axis=-1), one_hot))  # three channels, of a batch only"


def split_by_shard(shards: int) -> tuple[int, int]:
    """Where the validation and the training shards begin: test shards come first, at least one each."""
    n_test = max(1, round(TEST_SHARE * shards))
    return n_test, n_test + max(1, round(VALIDATION_SHARE * shards))


def readme_text(
    name: str, view: View, genres: Sequence[str], *, tracks: int, records: int, shards: int, seed: int, leak: str
) -> str:
    """The text of `README.md`.

    Args:
        leak: a sentence on artists in several sets.
    """
    validation, training = split_by_shard(shards)
    is_image = isinstance(view, MelImageView)
    return _TEXT.substitute(
        name=printable(name), tracks=pluralize(tracks, "track"), records=pluralize(records, "record"),
        shards=pluralize(shards, "shard"), seed=seed, n=math.prod(view.shape), classes=len(genres), song=_song(view),
        genres="\n".join(f"{number}. {printable(genre)}" for number, genre in enumerate(genres)),
        test=validation, validation=training, leak=leak,
        song_of_record=Template(_IMAGE).substitute(size=view.shape[0]) if is_image else 'parsed["song"]',
        channels=_CHANNELS if is_image else "",
    )  # fmt: skip


def _song(view: View) -> str:
    if isinstance(view, MelImageView):
        size = view.shape[0]
        return (
            f"log-mel spectrogram of a clip as one channel, {size} mel bands (low first) x {size} frames: dB below the "
            f"loudest value, {-view.top_db:g} to 0; the code below repeats it to the three channels of a picture"
        )
    sr = getattr(view, "sr", 0)
    return f"the first samples of the track, mono, full scale 1, at {sr:,} Hz; a shorter track is followed by zeros"
