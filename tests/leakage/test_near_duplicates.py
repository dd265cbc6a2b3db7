"""leakage/near_duplicates.py: the same recording is found, however it was cut and encoded; different songs are not."""

from __future__ import annotations

import numpy as np
import pytest

from genrelab.datasets.synth_voices import SR
from genrelab.features.fingerprint import Fingerprint, landmarks
from genrelab.leakage import near_duplicates as near
from genrelab.leakage.near_duplicates import find_near_duplicates
from tests.support.songs import Samples, encode_and_decode, genres, song


def _print(name: str, y: Samples, start_s: float = 0.0) -> Fingerprint:
    return Fingerprint(name, start_s, landmarks(y, SR))


@pytest.fixture(scope="module")
def library() -> list[Fingerprint]:
    """Two songs each of one artist in every genre, which are as alike as synthetic music gets."""
    return [_print(f"{g}/{i}", song(g, 7, i)) for g in genres()[:6] for i in (0, 1)]


def test_different_songs_are_no_duplicates(library: list[Fingerprint]) -> None:
    assert find_near_duplicates(library) == []


@pytest.mark.parametrize("container", ["mp3", "ogg"])
def test_a_reencoded_excerpt_is_found_where_it_was_cut(library: list[Fingerprint], container: str) -> None:
    y = song(genres()[2], 7, 1)
    excerpt = encode_and_decode(0.3 * y[round(3.317 * SR) : round(6.1 * SR)], container)
    (pair,) = find_near_duplicates([*library, _print("copy", excerpt)])
    assert (pair.a, pair.b) == (f"{genres()[2]}/1", "copy")
    assert pair.offset_s == pytest.approx(-3.317, abs=0.1)  # what sounds in a at 3.317 s sounds in the copy at 0
    assert near.THRESHOLD <= pair.score <= 1


def test_clips_of_one_track_are_not_duplicates_of_each_other(library: list[Fingerprint]) -> None:
    y = song(genres()[0], 7, 0)
    clips = [_print("long", y, 30.0), _print("long", y, 60.0)]
    (pair,) = find_near_duplicates([*clips, library[0]])
    assert (pair.a, pair.b) == ("long", f"{genres()[0]}/0")
    assert round(pair.offset_s) in (-30, -60)


def test_limited_memory_finds_the_same_duplicates(library: list[Fingerprint], monkeypatch: pytest.MonkeyPatch) -> None:
    prints = [*library, _print("copy", encode_and_decode(song(genres()[4], 7, 0), "mp3"))]
    whole = find_near_duplicates(prints)
    assert [(p.a, p.b) for p in whole] == [(f"{genres()[4]}/0", "copy")]
    monkeypatch.setattr(near, "MAX_PAIRS", 50)
    assert find_near_duplicates(prints) == whole
    monkeypatch.setattr(near, "MAX_KEYS", 4_000)
    assert [(p.a, p.b) for p in find_near_duplicates(prints)] == [(f"{genres()[4]}/0", "copy")]


@pytest.mark.parametrize(
    "versions", [2, near.COMMON_HASH_CLIPS, near.COMMON_HASH_CLIPS + 1, 3 * near.COMMON_HASH_CLIPS]
)
def test_each_of_many_versions_is_found_with_another(library: list[Fingerprint], versions: int) -> None:
    many = [Fingerprint(str(i), 0.0, library[0].landmarks) for i in range(versions)]
    pairs = find_near_duplicates([*library[2:], *many])
    assert {name for p in pairs for name in (p.a, p.b)} == {p.track_id for p in many}
    assert len(pairs) <= versions * max(near.COMMON_HASH_PARTNERS, near.COMMON_HASH_CLIPS - 1), (
        "as many versions, as much work"
    )


def test_empty_or_short_fingerprints_give_no_duplicates(library: list[Fingerprint]) -> None:
    empty = np.zeros((0, 2), np.uint16)
    assert find_near_duplicates([]) == []
    assert find_near_duplicates([Fingerprint("a", 0.0, empty), Fingerprint("b", 0.0, empty), library[0]]) == []
    short = Fingerprint("short", 0.0, library[0].landmarks[: near.MIN_LANDMARKS - 1])
    assert find_near_duplicates([short, library[0]]) == []
