"""Encodes windows of tracks as TFRecords, reads them back, and distributes tracks over shards.

A record is a `tf.train.Example` with the fields below. The payload is stored as raw little-endian bytes whose
dtype and shape are in `dataset.json`: a list of floats costs twenty times as much to write. TensorFlow reads
these files, but is not needed to write or to check them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import google_crc32c
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from genrelab.core.errors import PreparedError

FIELDS = {"track": "int64", "start_s": "float", "x": "bytes"}
"""track: index in tracks.parquet. start_s: where the window starts. x: the payload."""

CUT_OFF = "the file ends inside a record"
"""The reason of the last `CorruptRecord` of a file that is too short."""

_SHARD_NAME = re.compile(r"\d{5,}-of-\d{5,}-(\d{4,})\.tfrecord")
_KINDS = ("bytes", "float", "int64")  # of lists in a feature, numbered from 1


@dataclass(frozen=True)
class Record:
    """One window of one track."""

    track: int
    start_s: float
    x: bytes


@dataclass(frozen=True)
class CorruptRecord:
    """A record that cannot be used."""

    reason: str


def deal_tracks(genres: Sequence[str | None], shard_tracks: int) -> list[list[int]]:
    """The tracks of each shard, as indices in the order of their records.

    The tracks of a genre are distributed over all shards, so that losing a shard never loses a whole genre (unless it
    has one track), and spread evenly over each shard, so that the same holds for a shard that is cut off. Where there
    are two tracks or more, there are two shards or more.

    Args:
        genres: of each track; None where it has no records.
        shard_tracks: maximum number of tracks in a shard.
    """
    by_genre: dict[str, list[int]] = {}
    for index, genre in enumerate(genres):
        if genre is not None:
            by_genre.setdefault(genre, []).append(index)
    dealt = [index for _, tracks in sorted(by_genre.items()) for index in tracks]
    place = {i: (k + 0.5) / len(tracks) for tracks in by_genre.values() for k, i in enumerate(tracks)}
    n = max(1, min(2, len(dealt)), -(-len(dealt) // shard_tracks))
    return [sorted(dealt[k::n], key=lambda i: (place[i], i)) for k in range(n)]


def shard_name(number: int, of: int, n_records: int) -> str:
    """`00000-of-00004-0250.tfrecord`: number of the shard, number of shards, number of records."""
    return f"{number:05d}-of-{of:05d}-{n_records:04d}.tfrecord"


def is_shard(name: str) -> bool:
    """Is it the name of a shard?"""
    return _SHARD_NAME.fullmatch(name) is not None


def shard_records(name: str) -> int:
    """Number of records that a shard's name states.

    Raises:
        ValueError: not the name of a shard.
    """
    match = _SHARD_NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"not the name of a shard: {name}")
    return int(match[1])


def encode(record: Record) -> bytes:
    """The bytes of one record with its framing."""
    return encode_lists({name: (kind, [getattr(record, name)]) for name, kind in FIELDS.items()})


def encode_lists(features: Mapping[str, tuple[str, Iterable[Any]]]) -> bytes:
    """The bytes, with their framing, of a `tf.train.Example` with these features.

    Args:
        features: by name, `bytes`, `float` or `int64`, and the values of the list.
    """
    example = _example_class()()
    for name, (kind, values) in features.items():
        getattr(example.features.feature[name], f"{kind}_list").value.extend(values)
    return frame(example.SerializeToString(deterministic=True))


def frame(content: bytes) -> bytes:
    """TFRecord framing: length, its checksum, content, its checksum."""
    length = len(content).to_bytes(8, "little")
    return length + _masked_crc(length) + content + _masked_crc(content)


def decode(content: bytes) -> Record:
    """The inverse of `encode`; `content` is without the framing.

    Raises:
        ValueError: no Example, or a field is missing.
    """
    example = _example_class()()
    try:
        example.ParseFromString(content)
        feature = example.features.feature
        return Record(**{n: getattr(feature[n], f"{k}_list").value[0] for n, k in FIELDS.items()})
    except Exception as e:
        raise ValueError(f"not a genrelab record: {e}") from e


def read_records(path: Path, *, expected: int | None = None) -> Iterator[tuple[int, int, Record | CorruptRecord]]:
    """(offset, length on disk, record) of every record of a file; corrupt ones are `CorruptRecord`s.

    After a damaged length no further record can be located: one `CorruptRecord` of length 0 then stands for all that
    are still `expected` (from the shard's name).
    """
    seen = 0
    with path.open("rb") as f:
        while (header := f.read(12)) or seen < (expected or 0):
            seen, offset, is_whole = seen + 1, f.tell() - len(header), len(header) == 12
            if is_whole and header[8:] != _masked_crc(header[:8]):
                yield offset, 0, CorruptRecord("the length does not match its checksum")
                return
            content = f.read(int.from_bytes(header[:8], "little")) if is_whole else b""
            footer = f.read(4)
            if len(footer) < 4:
                yield offset, 0, CorruptRecord(CUT_OFF)
                return
            yield offset, f.tell() - offset, _decode_checked(content, footer)


def read_at(path: Path, offset: int, length: int) -> Record:
    """The record at a place that `read_records` has found to be good.

    Raises:
        PreparedError: it has changed since.
    """
    with path.open("rb") as f:
        f.seek(offset)
        framed = f.read(length)
    record = _decode_checked(framed[12:-4], framed[-4:])
    if isinstance(record, CorruptRecord):
        raise PreparedError(f"{path} changed while it was being read: run the same command again")
    return record


def _decode_checked(content: bytes, footer: bytes) -> Record | CorruptRecord:
    if footer != _masked_crc(content):
        return CorruptRecord("the content does not match its checksum")
    try:
        return decode(content)
    except ValueError as e:
        return CorruptRecord(str(e))


def _masked_crc(content: bytes) -> bytes:
    """TFRecord's checksum: CRC-32C, rotated right by 15 bits, plus a constant (tensorflow/core/lib/hash/crc32c.h)."""
    crc = int(google_crc32c.value(content))
    return (((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")


@cache
def _example_class() -> Any:
    """The message class of `tf.train.Example`, defined here so that writing needs no TensorFlow.

    It has a descriptor pool of its own: TensorFlow registers the same name in the default one.
    """
    file = descriptor_pb2.FileDescriptorProto(name="genrelab/example.proto", package="tensorflow", syntax="proto3")
    field = descriptor_pb2.FieldDescriptorProto
    feature = descriptor_pb2.DescriptorProto(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, kind in enumerate(_KINDS, 1):
        lists = file.message_type.add(name=f"{kind}_list")
        lists.field.add(name="value", number=1, label=field.LABEL_REPEATED, type=getattr(field, f"TYPE_{kind.upper()}"))
        feature.field.add(name=f"{kind}_list", number=number, type=field.TYPE_MESSAGE,
                          type_name=f".tensorflow.{kind}_list", oneof_index=0)  # fmt: skip
    file.message_type.append(feature)
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry", options={"map_entry": True})
    entry.field.add(name="key", number=1, type=field.TYPE_STRING)
    entry.field.add(name="value", number=2, type=field.TYPE_MESSAGE, type_name=".tensorflow.Feature")
    features.field.add(name="feature", number=1, label=field.LABEL_REPEATED, type=field.TYPE_MESSAGE,
                       type_name=".tensorflow.Features.FeatureEntry")  # fmt: skip
    example = file.message_type.add(name="Example")
    example.field.add(name="features", number=1, type=field.TYPE_MESSAGE, type_name=".tensorflow.Features")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.Example"))
