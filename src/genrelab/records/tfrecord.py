"""One table of fields: how a window of a track is written to TFRecord, and read back.

A record is a `tf.train.Example` with the fields below. The payload travels as raw little-endian bytes whose
dtype and shape stand in `dataset.json`: a list of floats costs twenty times as much to write. TensorFlow reads
these files, but is not needed to write or to check them.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import google_crc32c
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

FIELDS = {"track": "int64", "start_s": "float", "x": "bytes"}
"""track: index in tracks.parquet. start_s: where the window starts. x: the payload."""

_LENGTH = struct.Struct("<Q")
_CRC = struct.Struct("<I")
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
    """A record that cannot be used. `lost` counts those behind it that cannot be found any more, too."""

    offset: int
    reason: str
    lost: int = 1


def shard_name(number: int, of: int, n_records: int) -> str:
    """`00000-of-00004-0250.tfrecord`: which shard, of how many, how many records."""
    return f"{number:05d}-of-{of:05d}-{n_records:04d}.tfrecord"


def shard_records(name: str) -> int:
    """How many records a shard's name promises."""
    match = re.fullmatch(r"\d{5,}-of-\d{5,}-(\d{4,})\.tfrecord", name)
    if match is None:
        raise ValueError(f"not the name of a shard: {name}")
    return int(match[1])


def encode(record: Record) -> bytes:
    """The bytes of one record with TFRecord's frame: length, its checksum, content, its checksum."""
    example = _example()()
    for name, kind in FIELDS.items():
        getattr(example.features.feature[name], _KINDS[kind][0]).value.append(getattr(record, name))
    content: bytes = example.SerializeToString(deterministic=True)
    length = _LENGTH.pack(len(content))
    return length + _CRC.pack(_masked_crc(length)) + content + _CRC.pack(_masked_crc(content))


def decode(content: bytes) -> Record:
    """The record that `encode` framed; `content` is without the frame.

    Raises:
        ValueError: no Example, or a field is missing.
    """
    example = _example()()
    try:
        example.ParseFromString(content)
        feature = example.features.feature
        return Record(**{n: getattr(feature[n], _KINDS[k][0]).value[0] for n, k in FIELDS.items()})
    except Exception as e:
        raise ValueError(f"not a genrelab record: {e}") from e


def write_records(path: Path, records: Iterable[Record]) -> int:
    """Write a TFRecord file; the number of records."""
    n = 0
    with path.open("wb") as f:
        for record in records:
            f.write(encode(record))
            n += 1
    return n


def read_records(path: Path, *, expected: int | None = None) -> Iterator[tuple[int, int, Record | CorruptRecord]]:
    """Every record of a file with its offset and its length on disk, the corrupt ones named.

    After a broken length nothing behind it can be found: one `CorruptRecord` then stands for all that `expected`
    (from the shard's name) still promises.
    """
    seen = 0
    with path.open("rb") as f:
        while True:
            offset = f.tell()
            head = f.read(12)
            if not head and (expected is None or seen >= expected):
                return
            content, trouble, framed = _content(f, head)
            if not framed:
                lost = max(1, (expected or 0) - seen)
                yield offset, 0, CorruptRecord(offset, trouble, lost)
                return
            seen += 1
            yield offset, f.tell() - offset, _checked(offset, content, trouble)


def _content(f: BinaryIO, head: bytes) -> tuple[bytes, str, bool]:
    """Content behind a head, what is wrong with it, and whether the next record can be found."""
    if len(head) < 12:
        return b"", "the file ends inside a record", False
    if _CRC.unpack(head[8:])[0] != _masked_crc(head[:8]):
        return b"", "the length does not match its checksum", False
    (n,) = _LENGTH.unpack(head[:8])
    content, foot = f.read(n), f.read(4)
    if len(foot) < 4:
        return b"", "the file ends inside a record", False
    trouble = "" if _CRC.unpack(foot)[0] == _masked_crc(content) else "the content does not match its checksum"
    return content, trouble, True


def _checked(offset: int, content: bytes, trouble: str) -> Record | CorruptRecord:
    if trouble:
        return CorruptRecord(offset, trouble)
    try:
        return decode(content)
    except ValueError as e:
        return CorruptRecord(offset, str(e))


def _masked_crc(content: bytes) -> int:
    """TFRecord's checksum: CRC-32C, rotated right by 15 bits, plus a constant (tensorflow/core/lib/hash/crc32c.h)."""
    crc = int(google_crc32c.value(content))
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@cache
def _example() -> Any:
    """The message class of `tf.train.Example`, described here so that writing needs no TensorFlow.

    It lives in a descriptor pool of its own: TensorFlow registers the same name in the default one.
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
