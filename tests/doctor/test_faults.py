from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from genrelab.core.config import ClipSettings
from genrelab.datasets.base import Dataset, Track
from genrelab.doctor import faults
from genrelab.doctor.faults import KINDS, Fault, collection_clip_s, file_faults
from genrelab.doctor.measure import AudioMeasurement
from genrelab.leakage.near_duplicates import NearDuplicate

CLEAN = AudioMeasurement(
    "decoded", None, None, "soundfile", 44_100, 2, 30.0, 30.01, True, 1.2, 1.1, 0.002, 0.02, False, "file", "audio"
)
"""A loud record as MP3: it overshoots, and a few of its peaks are flat."""


def kinds(sound: AudioMeasurement, clip_s: float | None = None) -> list[str]:
    found = list(file_faults(sound, clip_s, ClipSettings()))
    assert all(kind in KINDS for kind, _ in found)
    return [kind for kind, _ in found]


def test_clean_music_has_no_problems() -> None:
    assert kinds(CLEAN) == kinds(CLEAN, 30.0) == []
    assert kinds(replace(CLEAN, duration_s=29.98, stated_s=29.99), 30.0) == []
    assert kinds(replace(CLEAN, duration_s=240.0, stated_s=251.0)) == [], "guessed headers of old encoders"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"state": "missing"}, ["missing"]),
        ({"state": "empty"}, ["empty"]),
        ({"state": "undecodable", "error": "why"}, ["undecodable"]),
        ({"finite": False}, ["undecodable"]),
        ({"duration_s": 0.4, "stated_s": 0.4}, ["too short"]),
        ({"duration_s": 0.4, "stated_s": 30.0}, ["too short", "cut off"]),
        ({"peak": 5e-5, "mono_peak": 5e-5, "silent": 1.0}, ["silent"]),
        ({"mono_peak": 0.0}, ["silent"]),
        ({"duration_s": 20.0}, ["cut off"]),
        ({"duration_s": 45.0}, ["length"]),
        ({"damage": "lost sync"}, ["damaged"]),
        ({"damage": "lost sync", "duration_s": 20.0}, ["cut off"]),
        ({"silent": 0.51}, ["mostly silent"]),
        ({"clipped": 0.03}, ["clipped"]),
        ({"cancelled": 1.0}, ["channels cancel"]),
        ({"notes": ("part 2 of its 3 parts cannot be decoded and is left out: why",)}, ["left out"]),
        ({"duration_s": 29.0, "stated_s": 0.0}, ["length"]),
        ({"duration_s": 45.0, "stated_s": 4.5}, ["length"]),
        ({"equal_channels": True}, ["mono as stereo"]),
        ({"sr": 8_000}, ["low rate"]),
        ({"clipped": 0.03, "equal_channels": True, "sr": 8_000}, ["clipped", "mono as stereo", "low rate"]),
    ],
)
def test_each_problem_has_its_kind(change: dict[str, object], expected: list[str]) -> None:
    assert kinds(replace(CLEAN, **change)) == expected  # type: ignore[arg-type]


def test_only_kinds_that_spoil_a_training_are_excluded() -> None:
    assert {k.name for k in KINDS.values() if k.excluded} == {
        "two labels", "empty", "undecodable", "too short", "silent", "copy",
    }  # fmt: skip
    assert {k.name for k in KINDS.values() if k.state == faults.REPAIR and not k.excluded} == {"missing", "cut off"}


def dataset(name: str, *tracks: Track) -> Dataset:
    return Dataset(name, Path("root"), tracks or (Track("1", "1.mp3", "rock"),))


def test_collections_of_clips_have_an_expected_clip_length() -> None:
    sounds = [CLEAN, CLEAN, replace(CLEAN, duration_s=4.0, stated_s=4.0), AudioMeasurement("missing")]
    assert collection_clip_s(dataset("fma-small"), sounds) == collection_clip_s(dataset("gtzan"), sounds) == 30.0
    assert collection_clip_s(dataset("fma-full"), sounds) is None, "whole songs"
    assert collection_clip_s(dataset("folder"), sounds) is None
    excerpts = [replace(CLEAN, duration_s=15.0)] * 3
    assert collection_clip_s(dataset("gtzan"), excerpts) is None and collection_clip_s(dataset("gtzan"), []) is None
    assert kinds(sounds[2], 30.0) == ["too short"] and kinds(sounds[2]) == []
    assert kinds(replace(CLEAN, duration_s=20.0, stated_s=20.0), 30.0) == ["length"]


def _copies(tracks: list[Track], sounds: list[AudioMeasurement], harmed: frozenset[int] = frozenset()) -> list[Fault]:
    return list(faults.copies(dataset("folder", *tracks), sounds, set(harmed)))


def test_first_copy_is_kept_unless_another_is_scored_or_labelled() -> None:
    tracks = [Track(str(i), f"{i}.mp3", "rock") for i in range(3)]
    sounds = [replace(CLEAN, sha256=f"file {i % 2}", audio_sha256="same") for i in range(3)]
    assert _copies(tracks, sounds) == [
        Fault("copy", 1, "the same audio, with other tags, as 0.mp3"),
        Fault("copy", 2, "the same file as 0.mp3"),
    ]
    tracks[0] = replace(tracks[0], genre=None)
    assert [f.index for f in _copies(tracks, sounds)] == [2, 0]
    parts = [
        replace(t, genre="rock", official_split=p) for t, p in zip(tracks, ("training", "test", None), strict=True)
    ]
    first, second = _copies(parts, sounds)
    assert (first.index, second.index) == (0, 2), "the test part stays whole"
    assert first.detail.endswith("1.mp3; here training, there test") and "there" not in second.detail


def test_copies_with_conflicting_genres_are_all_excluded() -> None:
    names = {"pop/wrong.mp3": "pop", "rock/030.mp3": "rock", "rock/031.mp3": "rock", "x.mp3": None}
    tracks = [Track(name, name, genre) for name, genre in names.items()]
    found = _copies(tracks, [replace(CLEAN, audio_sha256="same")] * 4)
    assert next(iter(KINDS)) == "two labels", "named first"
    assert found == [
        Fault("two labels", 0, "the same file as rock/030.mp3; here pop, there rock"),
        Fault("two labels", 1, "the same file as pop/wrong.mp3; here rock, there pop"),
        Fault("two labels", 2, "the same file as pop/wrong.mp3; here rock, there pop"),
        Fault("copy", 3, "the same file as pop/wrong.mp3"),
    ]


def test_tracks_with_problems_do_not_count_as_copies() -> None:
    tracks = [Track(str(i), f"{i}.mp3", "rock") for i in range(2)]
    assert _copies(tracks, [CLEAN, CLEAN], frozenset({0})) == []
    assert _copies(tracks, [AudioMeasurement("missing"), AudioMeasurement("missing")]) == []


def test_near_duplicates_are_reported_at_their_first_track() -> None:
    data = dataset("folder", *(Track(str(i), f"{i}.mp3", g) for i, g in enumerate(("rock", "jazz", "rock"))))
    pairs = [NearDuplicate("0", "1", 2.0, 0.9), NearDuplicate("0", "2", 0.03, 0.8)]
    assert list(faults.near_duplicate_faults(data, pairs)) == [
        Fault("near duplicate", 0, "90 % similar to 1.mp3, 2.0 s later there; here rock, there jazz"),
        Fault("near duplicate", 0, "80 % similar to 2.mp3"),
    ]


def test_known_problems_are_reported_where_this_copy_is_intact() -> None:
    data = dataset("fma-small", *(Track(str(i), f"{i}.mp3", "rock") for i in (1, 2, 3)))
    listed = {"1": "wrong duration", "2": "wrong duration", "3": "undecodable"}
    found = list(faults.known_faulty(data, listed, [CLEAN, CLEAN, AudioMeasurement("undecodable")], excluded={1, 2}))
    assert found == [Fault("known", 0, "published problem: wrong duration")]


def test_artists_on_both_sides_of_the_official_split_are_reported() -> None:
    data = dataset(
        "table",
        Track("1", "1", "rock", "Ann", "First", "training"),
        Track("2", "2", "rock", "ann", "Second", "test"),
        Track("3", "3", "rock", "Bob", "First", "validation"),
        Track("4", "4", "rock", "Cid", None, "test"),
        Track("5", "5", None, "Ann", None, "test"),
        Track("6", "6", "rock", "Ann", None, "excluded"),
        Track("7", "7", "rock", None, None, "training"),
        Track("8", "8", "rock", None, None, "test"),
    )
    assert list(faults.across_split(data)) == [
        Fault("split", 1, "test; ann is also in training"),
    ]
