from __future__ import annotations

import math
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrelab.core.errors import PreparedError
from genrelab.records.tfrecord import (
    CUT_OFF,
    CorruptRecord,
    Record,
    deal_tracks,
    decode,
    encode,
    is_shard,
    read_at,
    read_records,
    shard_name,
    shard_records,
)

RECORDS = [Record(i, i * 1.5, os.urandom(200)) for i in range(10)]


def write(path: Path, records: list[Record]) -> None:
    path.write_bytes(b"".join(map(encode, records)))


def _read(path: Path, expected: int | None = None) -> list[Record | CorruptRecord]:
    return [r for _, _, r in read_records(path, expected=expected)]


@given(st.integers(0, 2**40), st.floats(0, 1e6, width=32), st.binary(max_size=500))
def test_encoded_record_is_decoded_unchanged(track: int, start_s: float, x: bytes) -> None:
    record = Record(track, start_s, x)
    assert decode(encode(record)[12:-4]) == record


def test_a_file_reads_back_with_spans(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    write(path, RECORDS)
    found = list(read_records(path, expected=10))
    assert [r for _, _, r in found] == RECORDS
    offset, length, _ = found[3]
    assert path.read_bytes()[offset : offset + length] == encode(RECORDS[3])


def test_a_changed_byte_costs_one_record_and_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    write(path, RECORDS)
    content = bytearray(path.read_bytes())
    content[len(encode(RECORDS[0])) + 40] ^= 1
    path.write_bytes(content)
    found = _read(path, 10)
    assert [i for i, r in enumerate(found) if isinstance(r, CorruptRecord)] == [1]
    assert found[2:] == RECORDS[2:]
    assert "checksum" in found[1].reason  # type: ignore[union-attr]


def test_a_record_is_read_at_its_place_unless_it_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    write(path, RECORDS)
    spans = [(offset, length) for offset, length, _ in read_records(path)]
    assert [read_at(path, *span) for span in spans[::-1]] == RECORDS[::-1]
    content = bytearray(path.read_bytes())
    content[spans[4][0] + 40] ^= 1
    path.write_bytes(content)
    assert read_at(path, *spans[3]) == RECORDS[3]
    with pytest.raises(PreparedError, match="changed while it was being read: run the same command again"):
        read_at(path, *spans[4])


@pytest.mark.parametrize("cut", [1, 100, 240])
def test_a_file_that_ends_early_ends_with_a_corrupt_record(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.tfrecord"
    write(path, RECORDS)
    path.write_bytes(path.read_bytes()[:-cut])
    found = _read(path, 10)
    good = [r for r in found if isinstance(r, Record)]
    assert found == [*RECORDS[: len(good)], CorruptRecord(CUT_OFF)] and len(good) < 10


def test_a_file_cut_between_records_is_not_taken_for_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    write(path, RECORDS[:7])
    assert _read(path, 10) == [*RECORDS[:7], CorruptRecord(CUT_OFF)]


def test_a_broken_length_loses_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    write(path, RECORDS)
    content = bytearray(path.read_bytes())
    content[2 * len(encode(RECORDS[0]))] ^= 1
    path.write_bytes(content)
    assert _read(path, 10) == [*RECORDS[:2], CorruptRecord("the length does not match its checksum")]


@given(st.lists(st.sampled_from(["blues", "jazz", "rock", None]), max_size=60), st.integers(1, 30))
def test_tracks_of_a_genre_are_dealt_over_all_shards(genres: list[str | None], shard_tracks: int) -> None:
    shards = deal_tracks(genres, shard_tracks)
    usable = [i for i, genre in enumerate(genres) if genre is not None]
    assert sorted(i for shard in shards for i in shard) == usable
    assert len(shards) == max(1, min(2, len(usable)), math.ceil(len(usable) / shard_tracks))
    assert max(map(len, shards)) <= min(map(len, shards)) + 1 and len(shards[0]) <= shard_tracks
    for genre in {genres[i] for i in usable}:
        n = [sum(genres[i] == genre for i in shard) for shard in shards]
        assert max(n) - min(n) <= 1, "so that a lost shard takes its share of each genre, and no genre of two tracks"


@given(st.integers(2, 40), st.integers(2, 40), st.integers(2, 40))
def test_half_of_a_shard_holds_half_of_each_genre(blues: int, jazz: int, rock: int) -> None:
    genres = ["blues"] * blues + ["jazz"] * jazz + ["rock"] * rock
    for shard in deal_tracks(genres, 250):
        held = Counter(genres[i] for i in shard)
        half = Counter(genres[i] for i in shard[: len(shard) // 2])
        assert all(abs(half[genre] - held[genre] / 2) <= 1.5 for genre in held)


def test_a_shard_lists_its_tracks_in_a_fixed_order() -> None:
    genres = ["jazz", "blues", "jazz", None, "blues", "jazz", "jazz"]
    assert deal_tracks(genres, 250) == [[0, 1, 5], [2, 4, 6]]
    assert deal_tracks([], 250) == deal_tracks([None], 1) == [[]]


@pytest.mark.parametrize("name", ["00000.tfrecord", "00000-of-00004-0250.tfrecord.tmp", "x-of-00004-0250.tfrecord", ""])
def test_other_names_are_no_names_of_shards(name: str) -> None:
    assert not is_shard(name) and is_shard(shard_name(0, 4, 250))


def test_shard_names_carry_their_count() -> None:
    assert shard_name(0, 4, 250) == "00000-of-00004-0250.tfrecord"
    assert shard_records(shard_name(3, 20_000, 123_456)) == 123_456
    with pytest.raises(ValueError, match="not the name of a shard"):
        shard_records("00000.tfrecord")


@pytest.mark.slow
def test_tensorflow_reads_what_is_written_without_it(tmp_path: Path) -> None:
    import tensorflow as tf

    path = tmp_path / "a.tfrecord"
    write(path, RECORDS)
    fields = {
        "track": tf.io.FixedLenFeature([], tf.int64),
        "start_s": tf.io.FixedLenFeature([], tf.float32),
        "x": tf.io.FixedLenFeature([], tf.string),
    }
    for content, record in zip(tf.data.TFRecordDataset(str(path)).as_numpy_iterator(), RECORDS, strict=True):
        parsed = tf.io.parse_single_example(content, fields)
        assert Record(int(parsed["track"]), float(parsed["start_s"]), parsed["x"].numpy()) == record
