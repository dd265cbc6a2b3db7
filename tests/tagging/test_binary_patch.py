"""An earlier file comes back byte for byte from a later one and a few bytes."""

from __future__ import annotations

import io
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrelab.tagging import binary_patch


def noise(n: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).bytes(n)


def there_and_back(earlier: bytes, later: bytes) -> bytes:
    """The patch, after it was seen to work."""
    made = binary_patch.make(io.BytesIO(earlier), io.BytesIO(later))
    out = io.BytesIO()
    binary_patch.apply(made, io.BytesIO(later), out.write, len(earlier))
    assert out.getvalue() == earlier
    return made


pieces = st.lists(
    st.sampled_from([noise(40, 1), noise(700, 2), noise(5_000, 3), bytes(900), b"words ", b""]), max_size=8
)


@given(pieces, pieces)
def test_any_file_is_restored_from_any_other(earlier: list[bytes], later: list[bytes]) -> None:
    there_and_back(b"".join(earlier), b"".join(later))


AUDIO = noise(3 << 20)


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (AUDIO, b"tags" * 300 + AUDIO),
        (AUDIO, AUDIO + b"tags" * 300),
        (b"tags" * 300 + AUDIO, AUDIO),
        (AUDIO[:1_500_000] + b"old" + AUDIO[1_500_000:], AUDIO[:1_500_000] + b"something new" * 99 + AUDIO[1_500_000:]),
        (b"SIZE" + AUDIO + b"old", b"size" + AUDIO + b"new" * 500),
    ],
)
def test_unchanged_audio_is_not_stored_in_the_patch(earlier: bytes, later: bytes) -> None:
    assert len(there_and_back(earlier, later)) < 2_000


def test_moved_cover_is_not_stored_in_the_patch() -> None:
    cover, words = noise(400_000, 5), noise(3_000, 6)
    assert len(there_and_back(cover + words + AUDIO, words + b"more" * 20 + cover + AUDIO)) < 2_000
    assert len(there_and_back(words + cover + AUDIO, cover + words + AUDIO)) < 2_000


def test_changed_page_numbers_cost_a_few_bytes_each() -> None:
    earlier, later = bytearray(AUDIO), bytearray(b"new page" * 40 + AUDIO)
    for at in range(0, len(AUDIO) - 8, 4_500):
        later[320 + at : 328 + at] = bytes(8)
    assert len(there_and_back(bytes(earlier), bytes(later))) < 40 * (len(AUDIO) // 4_500)


def test_a_patch_takes_no_more_memory_than_a_block_or_two() -> None:
    n, written = 64 << 20, 0
    packed = zlib.compress(binary_patch.OP.pack(0, 0, n) + bytes(n))
    assert len(packed) < n / 900

    def write(block: bytes) -> None:
        nonlocal written
        written += len(block)

    tracemalloc.start()
    binary_patch.apply(packed, io.BytesIO(), write, n)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert written == n
    assert most < 8 * binary_patch.BLOCK
    there_and_back(AUDIO, b"")  # more than a block of it, and nothing to take


def test_a_patch_for_another_file_or_a_damaged_one_is_refused() -> None:
    earlier, later = AUDIO[:9_000], b"tags" + AUDIO[:9_000]
    good = binary_patch.make(io.BytesIO(earlier), io.BytesIO(later))
    endless = zlib.compress(binary_patch.OP.pack(0, 1 << 60, 0))
    elsewhere = zlib.compress(binary_patch.OP.pack(1 << 63, 9_000, 0))
    literal_cut_off = zlib.compress(binary_patch.OP.pack(0, 0, 9_000) + b"short")
    for bad, size in [
        (good, 8_999),
        (good, 9_001),
        (good[:-3], 9_000),
        (b"nonsense", 9_000),
        (endless, 9_000),
        (endless, 1 << 61),
        (elsewhere, 9_000),
        (literal_cut_off, 9_000),
        (zlib.compress(b"odd"), 9_000),
    ]:
        with pytest.raises(binary_patch.PatchError):
            binary_patch.apply(bad, io.BytesIO(later), lambda _: None, size)
