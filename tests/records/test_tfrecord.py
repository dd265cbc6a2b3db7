from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrelab.records.tfrecord import (
    CorruptRecord,
    Record,
    decode,
    encode,
    read_records,
    shard_name,
    shard_records,
    write_records,
)

RECORDS = [Record(i, i * 1.5, os.urandom(200)) for i in range(10)]


def _read(path: Path, expected: int | None = None) -> list[Record | CorruptRecord]:
    return [r for _, _, r in read_records(path, expected=expected)]


@given(st.integers(0, 2**40), st.floats(0, 1e6, width=32), st.binary(max_size=500))
def test_encoded_record_is_decoded_unchanged(track: int, start_s: float, x: bytes) -> None:
    record = Record(track, start_s, x)
    assert decode(encode(record)[12:-4]) == record


def test_a_file_reads_back_with_spans(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    assert write_records(path, RECORDS) == 10
    found = list(read_records(path, expected=10))
    assert [r for _, _, r in found] == RECORDS
    offset, length, _ = found[3]
    assert path.read_bytes()[offset : offset + length] == encode(RECORDS[3])


def test_a_changed_byte_costs_one_record_and_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    write_records(path, RECORDS)
    content = bytearray(path.read_bytes())
    content[len(encode(RECORDS[0])) + 40] ^= 1
    path.write_bytes(content)
    found = _read(path, 10)
    assert [i for i, r in enumerate(found) if isinstance(r, CorruptRecord)] == [1]
    assert found[2:] == RECORDS[2:]
    assert "checksum" in found[1].reason  # type: ignore[union-attr]


@pytest.mark.parametrize("cut", [1, 100, 240])
def test_a_file_that_ends_early_counts_what_is_lost(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.tfrecord"
    write_records(path, RECORDS)
    path.write_bytes(path.read_bytes()[:-cut])
    found = _read(path, 10)
    good = [r for r in found if isinstance(r, Record)]
    assert good == RECORDS[: len(good)]
    assert sum(r.lost for r in found if isinstance(r, CorruptRecord)) == 10 - len(good) > 0


def test_a_file_cut_between_records_is_not_taken_for_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    write_records(path, RECORDS[:7])
    assert sum(r.lost for r in _read(path, 10) if isinstance(r, CorruptRecord)) == 3


def test_broken_length_loses_the_rest_and_counts_it(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    write_records(path, RECORDS)
    content = bytearray(path.read_bytes())
    content[2 * len(encode(RECORDS[0]))] ^= 1
    path.write_bytes(content)
    found = _read(path, 10)
    assert sum(r.lost for r in found if isinstance(r, CorruptRecord)) == 10 - sum(isinstance(r, Record) for r in found)


def test_shard_names_carry_their_count() -> None:
    assert shard_name(0, 4, 250) == "00000-of-00004-0250.tfrecord"
    assert shard_records(shard_name(3, 20_000, 123_456)) == 123_456
    with pytest.raises(ValueError, match="not the name of a shard"):
        shard_records("00000.tfrecord")


@pytest.mark.slow
def test_tensorflow_reads_what_is_written_without_it(tmp_path: Path) -> None:
    import tensorflow as tf

    path = tmp_path / "a.tfrecord"
    write_records(path, RECORDS)
    fields = {
        "track": tf.io.FixedLenFeature([], tf.int64),
        "start_s": tf.io.FixedLenFeature([], tf.float32),
        "x": tf.io.FixedLenFeature([], tf.string),
    }
    for content, record in zip(tf.data.TFRecordDataset(str(path)).as_numpy_iterator(), RECORDS, strict=True):
        parsed = tf.io.parse_single_example(content, fields)
        assert Record(int(parsed["track"]), float(parsed["start_s"]), parsed["x"].numpy()) == record
