"""Faults of tracks, found by rules from the measurements of their files.

A kind of fault excludes the track (it is useless for training, or counts twice), asks for a repair (part of the track
is missing), or is a note. The thresholds are chosen so that clean music has no faults (docs/results.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from genrelab.audio.clips import NOT_FINITE, SILENT_PEAK
from genrelab.core.config import ClipSettings
from genrelab.core.errors import printable
from genrelab.datasets.base import Dataset, Track
from genrelab.doctor.measure import AudioMeasurement
from genrelab.leakage.near_duplicates import NearDuplicate
from genrelab.splits.track_table import artist_key

REPAIR, NOTE = "repair", "note"


@dataclass(frozen=True)
class FaultKind:
    """One kind of fault.

    Attributes:
        state: `repair` or `note`.
        what: phrase that describes the files that have it.
        remedy: what to do.
        excluded: is the track excluded by the manifest?
    """

    name: str
    state: str
    what: str
    remedy: str
    excluded: bool = False


AGAIN = "copy or download them again"
REPLACE = "replace them, or leave them out"

_REPAIR_KINDS = (
    ("two labels", "whose recording is also in another genre", "remove the files in the wrong genre", True),
    ("missing", "listed in a table, but without a file", f"{AGAIN}; genrelab works without them until then", False),
    ("empty", "of 0 bytes", AGAIN, True),
    ("undecodable", "that cannot be decoded", AGAIN, True),
    ("too short", "too short to classify", REPLACE, True),
    ("silent", "without any sound", REPLACE, True),
    ("copy", "with exactly the same audio as another", "keep one of each", True),
    ("cut off", "shorter than the header states", f"{AGAIN}; genrelab uses what is there", False),
)
_NOTE_KINDS = (
    ("damaged", "with damage inside: genrelab skips what cannot be decoded", AGAIN),
    ("length", "of an unexpected length", "play them: is it the wrong file, or a wrong header?"),
    ("mostly silent", "silent for more than half of the time", "play them: is there enough music?"),
    ("clipped", "clipped: peaks cut off at full scale", "usable; prefer a version that is not clipped"),
    (
        "channels cancel",
        "whose channels cancel each other out: one is inverted",
        "usable: genrelab uses the loudest channel; invert one channel to repair the file",
    ),
    ("left out", "used only in part", f"{AGAIN}; genrelab uses what is there"),
    ("mono as stereo", "with identical channels", "nothing to do: genrelab uses the mean of the channels"),
    ("low rate", "with a low sample rate", "use one sample rate in all genres: a model would learn the difference"),
    (
        "near duplicate",
        "nearly the same as another: a re-encoding, an excerpt or a remix, perhaps",
        "play both; keep them in the same set (training or test), or exclude one",
    ),
    (
        "split",
        "by an artist who is in both the training and the test set of the official split",
        "also test with --split artist",
    ),
    ("known", "published as faulty, but fine here", "nothing to do"),
)

KINDS = {
    kind.name: kind
    for kind in (
        *(FaultKind(name, REPAIR, what, remedy, excluded) for name, what, remedy, excluded in _REPAIR_KINDS),
        *(FaultKind(name, NOTE, what, remedy) for name, what, remedy in _NOTE_KINDS),
    )
}
"""In the order in which they are printed: first what only a person can decide, not a new copy."""

CLIP_S, CLIP_TOLERANCE_S = 30.0, 1.0
"""Length of the clips that FMA and GTZAN publish, and its tolerance."""

LENGTH_TOLERANCE_S, LENGTH_TOLERANCE_SHARE = 0.5, 0.05
"""Tolerance between the decoded and the stated length of a file, in seconds and as a share; the larger counts."""

CLIPPED_SHARE, MOSTLY_SILENT_SHARE = 0.01, 0.5
"""Thresholds: share of samples in runs at full scale of a clipped file; share of silent time of a silent one."""

LOW_RATE = 16_000
"""Hz. A lower rate has no frequencies above 8 kHz: it loses cymbals, for example."""


@dataclass(frozen=True)
class Fault:
    """One fault of one track (`index` in its dataset), with a description."""

    kind: str
    index: int
    detail: str


def collection_clip_s(dataset: Dataset, sounds: Sequence[AudioMeasurement]) -> float | None:
    """The length that every clip of this collection should have: 30 s for FMA and GTZAN if most clips have it."""
    durations = [s.duration_s for s in sounds if s.state == "decoded"]
    by_clips = dataset.name == "gtzan" or dataset.name in ("fma-small", "fma-medium", "fma-large")
    return CLIP_S if by_clips and durations and abs(median(durations) - CLIP_S) <= CLIP_TOLERANCE_S else None


def file_faults(sound: AudioMeasurement, clip_s: float | None, clips: ClipSettings) -> Iterator[tuple[str, str]]:
    """(kind, detail) of all faults of one file; of excluding faults only the first.

    Args:
        clip_s: length that every clip of the collection should have, None if unknown.
        clips: `min_s` is the minimum length that `prepare` accepts.
    """
    excluding = _excluding_fault(sound, clip_s, clips)
    if excluding is not None:
        yield excluding
    if sound.state != "decoded":
        return
    short = excluding is not None and excluding[0] == "too short"
    length_fault = _length_fault(sound, None if short else clip_s)
    if length_fault is not None:
        yield length_fault
    elif sound.damage:
        yield "damaged", sound.damage
    if excluding is None and sound.silent > MOSTLY_SILENT_SHARE:
        yield "mostly silent", f"{100 * sound.silent:.0f} % of the time"
    if sound.clipped >= CLIPPED_SHARE:
        yield "clipped", f"{100 * sound.clipped:.1f} % of the samples"
    if sound.cancelled > 0:
        yield "channels cancel", f"{100 * sound.cancelled:.0f} % of the time"
    yield from (("left out", note) for note in sound.notes)
    if sound.equal_channels:
        yield "mono as stereo", f"{sound.channels} equal channels"
    if sound.sr < LOW_RATE:
        yield "low rate", f"{sound.sr:,} Hz: no sound above {sound.sr / 2_000:g} kHz"


def _excluding_fault(sound: AudioMeasurement, clip_s: float | None, clips: ClipSettings) -> tuple[str, str] | None:
    if sound.state != "decoded":
        return sound.state, (sound.error or "") if sound.state == "undecodable" else ""
    if not sound.finite:
        return "undecodable", NOT_FINITE
    if sound.duration_s < clips.min_s:
        return "too short", f"{sound.duration_s:.2f} s, the minimum is {clips.min_s:g} s"
    if sound.peak < SILENT_PEAK:
        return "silent", "no sample reaches -80 dBFS"
    if sound.mono_peak < SILENT_PEAK:
        return "silent", "no sample of the mean of its channels reaches -80 dBFS"
    if clip_s is not None and sound.duration_s < clip_s / 2:
        return "too short", f"{sound.duration_s:.2f} s; clips of this collection last {clip_s:g} s"
    return None


def _length_fault(sound: AudioMeasurement, clip_s: float | None) -> tuple[str, str] | None:
    decoded, stated = sound.duration_s, sound.stated_s
    if stated is not None and abs(decoded - stated) > max(LENGTH_TOLERANCE_S, LENGTH_TOLERANCE_SHARE * stated):
        return (
            "cut off" if decoded < stated else "length",
            f"{decoded:.1f} s decoded, {stated:.1f} s according to the header",
        )
    if clip_s is not None and abs(decoded - clip_s) > CLIP_TOLERANCE_S:
        return "length", f"{decoded:.1f} s; clips of this collection last {clip_s:g} s"
    return None


# --- copies ---

PART_PRIORITY = ("test", "validation", "training")
"""Of several copies the one whose part comes first here is kept, so that published test parts stay complete."""


def copies(dataset: Dataset, sounds: Sequence[AudioMeasurement], excluded: set[int]) -> Iterator[Fault]:
    """Tracks with exactly the audio of another one, which is kept; tracks in `excluded` are skipped.

    If the genres differ none of the labelled copies is kept: a wrong label must not stay by chance.
    """
    groups: dict[str, list[int]] = {}
    for i, sound in enumerate(sounds):
        if sound.state == "decoded" and i not in excluded:
            groups.setdefault(sound.audio_sha256, []).append(i)
    for group in groups.values():
        kept, *others = sorted(group, key=lambda i: _keep_priority(dataset.tracks[i], i))
        genre = {i: dataset.tracks[i].genre for i in group if dataset.tracks[i].genre is not None}
        for i in group if len({*genre.values()}) > 1 else others:
            other = next((k for k in genre if i in genre and genre[k] != genre[i]), None)
            kind, k = ("copy", kept) if other is None else ("two labels", other)
            if k != i:
                same = (
                    "the same file as"
                    if sounds[i].sha256 == sounds[k].sha256
                    else "the same audio, with other tags, as"
                )
                yield Fault(kind, i, f"{same} {track_name(dataset.tracks[k])}{_describe_differences(dataset, i, k)}")


def _keep_priority(track: Track, index: int) -> tuple[bool, int, int]:
    part = track.official_split
    return (track.genre is None, PART_PRIORITY.index(part) if part in PART_PRIORITY else len(PART_PRIORITY), index)


def track_name(track: Track) -> str:
    """The name of a track in messages: its path, else its id."""
    return printable(track.path or track.track_id)


def _describe_differences(dataset: Dataset, i: int, k: int) -> str:
    """How two tracks with the same audio differ: in genre, in the part of the official split."""
    a, b = dataset.tracks[i], dataset.tracks[k]
    text = ""
    if a.genre != b.genre and a.genre is not None and b.genre is not None:
        text += f"; here {printable(a.genre)}, there {printable(b.genre)}"
    if {a.official_split, b.official_split} <= {*PART_PRIORITY} and a.official_split != b.official_split:
        text += f"; here {a.official_split}, there {b.official_split}"
    return text


def near_duplicate_faults(dataset: Dataset, pairs: Sequence[NearDuplicate]) -> Iterator[Fault]:
    """Tracks that share audio without being copies; each pair is a fault of its first track.

    Args:
        pairs: their names are indices of tracks.
    """
    for pair in pairs:
        a, b = int(pair.a), int(pair.b)
        direction = "later" if pair.offset_s > 0 else "earlier"
        shift = f", {abs(pair.offset_s):.1f} s {direction} there" if abs(pair.offset_s) >= 0.1 else ""
        same = f"{100 * pair.score:.0f} % similar to {track_name(dataset.tracks[b])}{shift}"
        yield Fault("near duplicate", a, f"{same}{_describe_differences(dataset, a, b)}")


# --- published problems, and the official split ---


def known_faulty(
    dataset: Dataset, listed: Mapping[str, str], sounds: Sequence[AudioMeasurement], excluded: set[int]
) -> Iterator[Fault]:
    """Tracks on a published list of faulty ones that are fine here; others have a fault already."""
    for i, track in enumerate(dataset.tracks):
        if track.track_id in listed and sounds[i].state == "decoded" and i not in excluded:
            yield Fault("known", i, f"published problem: {listed[track.track_id]}")


def across_split(dataset: Dataset) -> Iterator[Fault]:
    """Test and validation tracks whose artist is also in the official training part; `prepare` also checks albums."""
    labelled = [t for t in dataset.tracks if t.genre is not None]
    training = {artist_key(t.artist) for t in labelled if t.official_split == "training"} - {None}
    for i, track in enumerate(dataset.tracks):
        held_out = track.genre is not None and track.official_split in ("validation", "test")
        if held_out and artist_key(track.artist) in training:
            yield Fault("split", i, f"{track.official_split}; {printable(str(track.artist))} is also in training")
