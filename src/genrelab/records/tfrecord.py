"""Writes windows of tracks to TFRecord files, and reads them back; says which tracks lie in which of them.

A record is a `tf.train.Example` with the fields below. The payload is stored as raw little-endian bytes whose
dtype and shape are in `dataset.json`: a list of floats costs twenty times as much to write. TensorFlow reads
these files, but is not needed to write or to check them.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import google_crc32c
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

FIELDS = {"track": "int64", "start_s": "float", "x": "bytes"}
"""track: index in tracks.parquet. start_s: where the window starts. x: the payload."""

CUT_OFF = "the file ends inside a record"
"""The reason of the last `CorruptRecord` of a file that is too short."""

_LENGTH = struct.Struct("<Q")
_CRC = struct.Struct("<I")
_SHARD_NAME = re.compile(r"\d{5,}-of-\d{5,}-(\d{4,})\.tfrecord")
_KINDS = {"bytes": ("bytes_list", 1, "TYPE_BYTES"), "float": ("float_list", 2, "TYPE_FLOAT"),
          "int64": ("int64_list", 3, "TYPE_INT64")}  # fmt: skip


@dataclass(frozen=True)
class Record:
    """One window of one track."""

    track: int
    start_s: float
    x: bytes


@dataclass(frozen=True)
class CorruptRecord:
    """A record that cannot be used. `lost` includes the records after it that cannot be located any more."""

    offset: int
    reason: str
    lost: int = 1


def deal_tracks(genres: Sequence[str | None], shard_tracks: int) -> list[list[int]]:
    """The tracks of each shard, as indices in the order of their records.

    The tracks of a genre are dealt out over all shards, so that a shard that is lost never takes a whole genre with it
    (unless that has one track), and are spread evenly over each, so that the same holds for one that is cut off. There
    are two shards or more wherever there are two tracks.

    Args:
        genres: of each track; None of a track that has no records.
        shard_tracks: the most tracks that a shard may hold.
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
    """`00000-of-00004-0250.tfrecord`: number of the shard, of how many, number of records."""
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
    """The bytes of one record in TFRecord framing: length, its checksum, content, its checksum."""
    example = _example_class()()
    for name, kind in FIELDS.items():
        getattr(example.features.feature[name], _KINDS[kind][0]).value.append(getattr(record, name))
    content: bytes = example.SerializeToString(deterministic=True)
    length = _LENGTH.pack(len(content))
    return length + _CRC.pack(_masked_crc(length)) + content + _CRC.pack(_masked_crc(content))


def decode(content: bytes) -> Record:
    """The inverse of `encode`; `content` is without the framing.

    Raises:
        ValueError: no Example, or a field is missing.
    """
    example = _example_class()()
    try:
        example.ParseFromString(content)
        feature = example.features.feature
        return Record(**{n: getattr(feature[n], _KINDS[k][0]).value[0] for n, k in FIELDS.items()})
    except Exception as e:
        raise ValueError(f"not a genrelab record: {e}") from e


def write_records(path: Path, records: Iterable[Record]) -> int:
    """Write a TFRecord file; returns the number of records."""
    n = 0
    with path.open("wb") as f:
        for record in records:
            f.write(encode(record))
            n += 1
    return n


def read_records(path: Path, *, expected: int | None = None) -> Iterator[tuple[int, int, Record | CorruptRecord]]:
    """(offset, length on disk, record) of every record of a file; corrupt ones are `CorruptRecord`s.

    After a damaged length no further record can be located: one `CorruptRecord` of length 0 then counts all that are
    still `expected` (from the shard's name).
    """
    seen = 0
    with path.open("rb") as f:
        while True:
            offset = f.tell()
            header = f.read(12)
            if not header and (expected is None or seen >= expected):
                return
            content, problem, is_framed = _read_content(f, header)
            if not is_framed:
                lost = max(1, (expected or 0) - seen)
                yield offset, 0, CorruptRecord(offset, problem, lost)
                return
            seen += 1
            yield offset, f.tell() - offset, _decode_checked(offset, content, problem)


def _read_content(f: BinaryIO, header: bytes) -> tuple[bytes, str, bool]:
    """Content after a record's header, what is wrong with it, and whether the next record can be located."""
    if len(header) < 12:
        return b"", CUT_OFF, False
    if _CRC.unpack(header[8:])[0] != _masked_crc(header[:8]):
        return b"", "the length does not match its checksum", False
    (n,) = _LENGTH.unpack(header[:8])
    content, footer = f.read(n), f.read(4)
    if len(footer) < 4:
        return b"", CUT_OFF, False
    problem = "" if _CRC.unpack(footer)[0] == _masked_crc(content) else "the content does not match its checksum"
    return content, problem, True


def _decode_checked(offset: int, content: bytes, problem: str) -> Record | CorruptRecord:
    if problem:
        return CorruptRecord(offset, problem)
    try:
        return decode(content)
    except ValueError as e:
        return CorruptRecord(offset, str(e))


def _masked_crc(content: bytes) -> int:
    """TFRecord's checksum: CRC-32C, rotated right by 15 bits, plus a constant (tensorflow/core/lib/hash/crc32c.h)."""
    crc = int(google_crc32c.value(content))
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@cache
def _example_class() -> Any:
    """The message class of `tf.train.Example`, defined here so that writing needs no TensorFlow.

    It has a descriptor pool of its own: TensorFlow registers the same name in the default one.
    """
    file = descriptor_pb2.FileDescriptorProto(name="genrelab/example.proto", package="tensorflow", syntax="proto3")
    field = descriptor_pb2.FieldDescriptorProto
    feature = descriptor_pb2.DescriptorProto(name="Feature")
    feature.oneof_decl.add(name="kind")
    for attribute, number, kind in _KINDS.values():
        lists = file.message_type.add(name=attribute)
        lists.field.add(name="value", number=1, label=field.LABEL_REPEATED, type=getattr(field, kind))
        feature.field.add(name=attribute, number=number, label=field.LABEL_OPTIONAL, type=field.TYPE_MESSAGE,
                          type_name=f".tensorflow.{attribute}", oneof_index=0)  # fmt: skip
    file.message_type.append(feature)
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry", options={"map_entry": True})
    entry.field.add(name="key", number=1, label=field.LABEL_OPTIONAL, type=field.TYPE_STRING)
    entry.field.add(name="value", number=2, label=field.LABEL_OPTIONAL, type=field.TYPE_MESSAGE,
                    type_name=".tensorflow.Feature")  # fmt: skip
    features.field.add(name="feature", number=1, label=field.LABEL_REPEATED, type=field.TYPE_MESSAGE,
                       type_name=".tensorflow.Features.FeatureEntry")  # fmt: skip
    example = file.message_type.add(name="Example")
    example.field.add(name="features", number=1, label=field.LABEL_OPTIONAL, type=field.TYPE_MESSAGE,
                      type_name=".tensorflow.Features")  # fmt: skip
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.Example"))
