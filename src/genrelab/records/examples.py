"""Prepared windows with their genres and roles: as arrays in memory, or as batches from TFRecord shards.

One object serves every model: classical ones use `rows`, deep ones `batches`. Both give the windows in the same
order, so that a model's probabilities align with `track`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrelab.core.config import FLAT_VIEWS, PARQUET_VIEWS, View
from genrelab.core.errors import PreparedError
from genrelab.core.tensorflow import load_tensorflow
from genrelab.core.text import join_first
from genrelab.records import tfrecord
from genrelab.records.prepared import Prepared
from genrelab.records.shards import check_shards, readable_copy

BALANCED_BELOW = 1.5
"""`--class-weight auto` uses no weights while the largest genre has less than this many times the smallest."""

CACHE_BYTES = 2 << 30
"""Payloads of the windows in use are cached in memory below this size, else read from the shards each epoch."""

PARALLEL_SHARDS = 8
"""Shards read in parallel; a fixed number, so that the order does not depend on the machine's cores."""


@dataclass(frozen=True)
class Labels:
    """Genre, role and group of each track of PREPARED, in their order.

    Attributes:
        genres: the task's genres, sorted; `y` are indices into them.
        y: shape (tracks,), -1 where the track has no genre of the task.
        role: shape (tracks,), `fit`, `choose`, `score` or `none`.
        group: shape (tracks,), number of the artist, or a number of its own where the artist is unknown.
    """

    genres: tuple[str, ...]
    y: NDArray[np.int64]
    role: NDArray[np.str_]
    group: NDArray[np.int64]


@dataclass(frozen=True)
class WindowArrays:
    """Windows in memory: `x` (rows, *view.shape), `y`, `group`, `track` (rows,)."""

    x: NDArray[Any]
    y: NDArray[np.int64]
    group: NDArray[np.int64]
    track: NDArray[np.int64]


@dataclass(frozen=True)
class Examples:
    """All windows of one view whose track has a role.

    Attributes:
        track, start_s: one entry per window, in reading order: that of the shards, or of the tracks in flat views.
        fingerprint: of the prepared inputs and settings.
        damage: a message that names damaged shards and the tracks left out because of them; "" where there are none.
    """

    view: View
    labels: Labels
    track: NDArray[np.int64]
    start_s: NDArray[np.float32]
    fingerprint: str = ""
    damage: str = ""
    _values: NDArray[np.float32] | None = field(default=None, repr=False)  # of flat views
    _shards: tuple[Path, ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.track)

    @property
    def genres(self) -> tuple[str, ...]:
        """Genres that `y` indexes."""
        return self.labels.genres

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one window."""
        return self.view.shape

    @property
    def y(self) -> NDArray[np.int64]:
        """Genre number of each window."""
        return self.labels.y[self.track]

    @property
    def role(self) -> NDArray[np.str_]:
        """`fit`, `choose` or `score` of each window."""
        return self.labels.role[self.track]

    @property
    def group(self) -> NDArray[np.int64]:
        """Artist number of each window."""
        return self.labels.group[self.track]

    def rows(self, *roles: str, at_most: int | None = None) -> WindowArrays:
        """Windows of these roles (of all if none is given), or the first of them, in memory, in the view's dtype.

        All windows of a table are the table itself, no copy; do not modify them.
        """
        chosen = np.isin(self.role, roles) if roles else np.ones(len(self), bool)
        if at_most is not None:
            chosen[np.flatnonzero(chosen)[at_most:]] = False
        x = self._read_rows(chosen) if self._values is None else _select_rows(self._values, chosen)
        return WindowArrays(x, self.y[chosen], self.group[chosen], self.track[chosen])

    def batches(self, *roles: str, batch_size: int, in_order: bool = True) -> Any:
        """A `tf.data.Dataset` of (x float32 (batch, *shape), y int64 (batch,)), the same at every run.

        Records are cached in memory if they fit, and the next batch is prepared while the last one is used. Without
        `in_order` shards are read in parallel, in another fixed order, for rows that are shuffled anyway.
        """
        tf, _ = load_tensorflow()
        wanted = np.isin(self.labels.role, roles or ("fit", "choose", "score"))
        if self._values is not None:
            chosen = wanted[self.track]
            data = tf.data.Dataset.from_tensor_slices((self._values[chosen], self.y[chosen]))
        else:
            data = self._payload_dataset(tf, wanted, in_order=in_order)
        data = data.batch(batch_size)
        if self._values is None:
            data = data.map(lambda x, y: (self._decode_payloads(tf, x), y), num_parallel_calls=tf.data.AUTOTUNE)
        return data.prefetch(tf.data.AUTOTUNE)

    def class_weights(self, policy: str) -> NDArray[np.float64] | None:
        """Weight of each genre, shape (genres,), mean 1 over the windows to fit; None for no weights.

        `balanced` is n / (genres * n_genre), as scikit-learn's; `auto` does so where the largest genre has
        `BALANCED_BELOW` times the smallest or more.
        """
        n = np.bincount(self.y[self.role == "fit"], minlength=len(self.genres))
        if policy == "none" or (policy == "auto" and n.max() < BALANCED_BELOW * max(1, n.min())):
            return None
        return np.asarray(n.sum() / (len(n) * np.maximum(n, 1)), np.float64)

    def _read_rows(self, chosen: NDArray[np.bool_], place: NDArray[np.int64] | None = None) -> NDArray[Any]:
        """The windows that `chosen` (windows,) marks, in reading order, or each at its `place` (chosen,)."""
        x = np.empty((int(chosen.sum()), *self.shape), self.view.dtype)
        row = filled = 0
        if not len(x):
            return x
        for shard in self._shards:
            for _, _, record in tfrecord.read_records(shard):
                if isinstance(record, tfrecord.CorruptRecord):
                    raise PreparedError(f"{shard} changed while it was being read: run the same command again")
                if self.labels.role[record.track] == "none":
                    continue
                if chosen[row]:
                    at = filled if place is None else place[filled]
                    x[at] = np.frombuffer(record.x, self.view.dtype).reshape(self.shape)
                    filled += 1
                    if filled == len(x):
                        return x
                row += 1
        return x

    def _payload_dataset(self, tf: Any, wanted: NDArray[np.bool_], *, in_order: bool) -> Any:
        """Dataset of (payload bytes, y) for the tracks that `wanted` (tracks,) marks, cached in memory if they fit."""
        y_of = tf.constant(np.where(wanted, self.labels.y, -1))
        fields = {"track": tf.io.FixedLenFeature([], tf.int64), "x": tf.io.FixedLenFeature([], tf.string)}

        def parse(contents: Any) -> Any:
            parsed = tf.io.parse_example(contents, fields)
            y = tf.gather(y_of, parsed["track"])
            return tf.boolean_mask(parsed["x"], y >= 0), tf.boolean_mask(y, y >= 0)

        data = tf.data.TFRecordDataset(
            [str(s) for s in self._shards],
            buffer_size=4 << 20,
            num_parallel_reads=None if in_order else PARALLEL_SHARDS,
        )
        data = data.batch(64).map(parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).unbatch()
        size = int(wanted[self.track].sum()) * int(np.prod(self.shape)) * np.dtype(self.view.dtype).itemsize
        options = tf.data.Options()
        options.deterministic = True  # the same order at every run, so that a seed repeats a training
        return (data.cache() if size < CACHE_BYTES else data).with_options(options)

    def _decode_payloads(self, tf: Any, payloads: Any) -> Any:
        """Payloads (batch,) → float32 (batch, *shape)."""
        dtype = {"<f2": tf.float16, "<f4": tf.float32}[self.view.dtype]
        x = tf.cast(tf.io.decode_raw(payloads, dtype, little_endian=True), tf.float32)
        return tf.ensure_shape(tf.reshape(x, [-1, *self.shape]), [None, *self.shape])


def load_examples(prepared: Prepared, view_name: str, labels: Labels, *, cache: Path, strict: bool = False) -> Examples:
    """The windows of a view whose tracks have a role.

    Args:
        cache: folder for copies of shards that are not on this disk, or are damaged; created when needed, and needed
            as long as the examples are used.
        strict: refuse damaged shards instead of leaving out lost tracks.

    Raises:
        PreparedError: the view or its table is missing or damaged; damaged shards leave a genre or a role without
            tracks; or `strict`, and a shard is damaged.
    """
    view = prepared.view(view_name)
    if view_name in PARQUET_VIEWS:
        return _from_table(prepared, view, labels)
    found = check_shards(prepared, view, cache=cache)
    if found.damage and strict:
        raise PreparedError(found.damage)
    track = np.array([t for shard in found.shards for t in shard.track], np.int64)
    _check_enough(labels, track, found.damage)
    start_s = np.array([t for shard in found.shards for t in shard.start_s], np.float32)
    keep = labels.role[track] != "none"
    examples = Examples(
        view, labels, track[keep], start_s[keep], prepared.about["fingerprint"], found.damage,
        _shards=tuple(readable_copy(shard, cache) for shard in found.shards),
    )  # fmt: skip
    return _as_table(examples) if view_name in FLAT_VIEWS else examples


def _check_enough(labels: Labels, track: NDArray[np.int64], damage: str) -> None:
    """Refuse damage that leaves a genre without training tracks, or a role without tracks."""
    if not damage:
        return
    left = np.isin(np.arange(len(labels.role)), track)

    def is_lost(wanted: NDArray[np.bool_]) -> bool:
        return bool(wanted.any() and not (wanted & left).any())

    genres = [g for number, g in enumerate(labels.genres) if is_lost((labels.role == "fit") & (labels.y == number))]
    if genres:
        raise PreparedError(f"no training track is left of {join_first(genres)}: {damage}")
    for role, part in (("choose", "to choose the best epoch with"), ("score", "to score models with")):
        if is_lost(labels.role == role):
            raise PreparedError(f"no track is left {part}: {damage}")


def _as_table(examples: Examples) -> Examples:
    """The same windows in memory, in the order of their tracks, as in a table: shards have another order."""
    order = np.argsort(examples.track, kind="stable")
    values = examples._read_rows(np.ones(len(order), bool), np.argsort(order))
    values.flags.writeable = False  # all models of a run share the array
    track, start_s = examples.track[order], examples.start_s[order]
    return replace(examples, track=track, start_s=start_s, _values=values, _shards=())


def _from_table(prepared: Prepared, view: View, labels: Labels) -> Examples:
    ids, starts, _, values = prepared.features(view.name)
    number = {t: i for i, t in enumerate(prepared.tracks["track_id"])}
    track = np.array([number[i] for i in ids], np.int64)
    keep = labels.role[track] != "none"
    fingerprint = prepared.about["fingerprint"]
    values.flags.writeable = False  # all models of a run share the array
    return Examples(view, labels, track[keep], starts[keep], fingerprint, _values=_select_rows(values, keep))


def _select_rows(values: NDArray[np.float32], rows: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Rows of `values` (n, columns) that `rows` (n,) marks; no copy (of hundreds of megabytes) where it marks all."""
    return values if rows.all() else values[rows]
