"""Faults of tracks, derived from the measurements of their files: a table of kinds, and a rule for each.

A kind excludes the track (it is useless for training, or counts twice), asks for a repair (the track is usable, but
part of it is missing), or is a note. Thresholds are such that clean music has no faults (docs/results.md).
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


KINDS = {
    kind.name: kind
    for kind in (
        FaultKind(
            "two labels",
            REPAIR,
            "holding one recording under two genres",
            "decide which is right: remove the other file",
            excluded=True,
        ),
        FaultKind(
            "missing", REPAIR, "named by the tables, and not on disk", "fetch or copy them; training goes without"
        ),
        FaultKind("empty", REPAIR, "of 0 bytes", "fetch or copy them anew", excluded=True),
        FaultKind("undecodable", REPAIR, "read by no decoder", "fetch or copy them anew", excluded=True),
        FaultKind(
            "too short", REPAIR, "too short to tell a genre by", "fetch them anew, or leave them out", excluded=True
        ),
        FaultKind("silent", REPAIR, "without a sound", "fetch them anew, or leave them out", excluded=True),
        FaultKind("copy", REPAIR, "holding the very audio of another", "keep one of each", excluded=True),
        FaultKind(
            "cut off", REPAIR, "shorter than their own headers say", "fetch or copy them anew; what is there is used"
        ),
        FaultKind("damaged", NOTE, "damaged inside: what cannot be decoded is left out", "fetch or copy them anew"),
        FaultKind(
            "length", NOTE, "of another length than it should be", "listen: a wrong file, or a header that lies?"
        ),
        FaultKind("mostly silent", NOTE, "silent for more than half of it", "listen: do they tell a genre?"),
        FaultKind(
            "clipped",
            NOTE,
            "clipped: peaks cut off at full scale",
            "usable; a quieter copy is better where there is one",
        ),
        FaultKind(
            "channels cancel",
            NOTE,
            "whose channels cancel each other out: one of them is inverted",
            "usable: models hear the loudest channel alone there; invert one channel to repair them",
        ),
        FaultKind(
            "left out",
            NOTE,
            "of which a part is left out",
            "fetch or copy them anew; what is there is used",
        ),
        FaultKind("mono as stereo", NOTE, "with equal channels", "none needed: models hear their mean"),
        FaultKind(
            "low rate", NOTE, "of a low sampling rate", "models learn what is missing above it; mix no rates by genre"
        ),
        FaultKind(
            "near duplicate",
            NOTE,
            "that may be the same recording as another: a re-encoding, an excerpt, a remix",
            "no score proves it: listen; keep both on one side of a split, or add one to the manifest",
        ),
        FaultKind(
            "split", NOTE, "by an artist on both sides of the official split", "measure with --split artist as well"
        ),
        FaultKind("known", NOTE, "known to be faulty, and sound in this copy", "none needed"),
    )
}
"""In the order in which they are printed: first what a person must decide and no new copy repairs."""

CLIP_S, CLIP_TOLERANCE_S = 30.0, 1.0
"""Length of the clips that FMA and GTZAN publish, and its tolerance."""

LENGTH_TOLERANCE_S, LENGTH_TOLERANCE_SHARE = 0.5, 0.05
"""Tolerance between the decoded and the stated length of a file, in seconds and as a share; the larger counts."""

CLIPPED_SHARE, MOSTLY_SILENT_SHARE = 0.01, 0.5
"""Thresholds: share of samples in runs at full scale of a clipped file; share of silent time of a silent one."""

LOW_RATE = 16_000
"""Hz. A lower rate holds nothing above 8 kHz: cymbals, for example, are lost."""


@dataclass(frozen=True)
class Fault:
    """One fault of one track (`index` in its dataset), with a description."""

    kind: str
    index: int
    detail: str


def collection_clip_s(dataset: Dataset, sounds: Sequence[AudioMeasurement]) -> float | None:
    """The length that every clip of this collection should have: 30 s for FMA and GTZAN if most clips have it."""
    durations = [s.duration_s for s in sounds if s.state == "heard"]
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
    if sound.state != "heard":
        return
    short = excluding is not None and excluding[0] == "too short"
    length_fault = _length_fault(sound, None if short else clip_s)
    if length_fault is not None:
        yield length_fault
    elif sound.damage:
        yield "damaged", sound.damage
    if excluding is None and sound.silent > MOSTLY_SILENT_SHARE:
        yield "mostly silent", f"{sound.silent:.0%} of it"
    if sound.clipped >= CLIPPED_SHARE:
        yield "clipped", f"{sound.clipped:.1%} of the samples"
    if sound.cancelled > 0:
        where = "" if sound.cancelled == 1 else f"in {sound.cancelled:.0%} of it "
        yield "channels cancel", f"{where}only the loudest one is used"
    yield from (("left out", note) for note in sound.notes)
    if sound.equal_channels:
        yield "mono as stereo", f"{sound.channels} equal channels"
    if sound.sr < LOW_RATE:
        yield "low rate", f"{sound.sr:,} Hz: nothing above {sound.sr / 2_000:g} kHz"


def _excluding_fault(sound: AudioMeasurement, clip_s: float | None, clips: ClipSettings) -> tuple[str, str] | None:
    if sound.state != "heard":
        return sound.state, (sound.error or "") if sound.state == "undecodable" else ""
    if not sound.finite:
        return "undecodable", NOT_FINITE
    if sound.duration_s < clips.min_s:
        return "too short", f"{sound.duration_s:.2f} s, at least {clips.min_s:g} s are needed"
    if sound.peak < SILENT_PEAK:
        return "silent", "no sample reaches -80 dBFS"
    if sound.mono_peak < SILENT_PEAK:
        return "silent", "no sample of its channels' mean reaches -80 dBFS"
    if clip_s is not None and sound.duration_s < clip_s / 2:
        return "too short", f"{sound.duration_s:.2f} s, the clips of this collection last {clip_s:g} s"
    return None


def _length_fault(sound: AudioMeasurement, clip_s: float | None) -> tuple[str, str] | None:
    decoded, stated = sound.duration_s, sound.stated_s
    if stated is not None and abs(decoded - stated) > max(LENGTH_TOLERANCE_S, LENGTH_TOLERANCE_SHARE * stated):
        return "cut off" if decoded < stated else "length", f"{decoded:.1f} s decoded, {stated:.1f} s by its own header"
    if clip_s is not None and abs(decoded - clip_s) > CLIP_TOLERANCE_S:
        return "length", f"{decoded:.1f} s, the clips of this collection last {clip_s:g} s"
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
        if sound.state == "heard" and i not in excluded:
            groups.setdefault(sound.audio_sha256, []).append(i)
    for group in groups.values():
        kept, *others = sorted(group, key=lambda i: _keep_priority(dataset.tracks[i], i))
        genre = {i: dataset.tracks[i].genre for i in group if dataset.tracks[i].genre is not None}
        for i in group if len({*genre.values()}) > 1 else others:
            other = next((k for k in genre if i in genre and genre[k] != genre[i]), None)
            kind, k = ("copy", kept) if other is None else ("two labels", other)
            if k != i:
                same = "the same file as" if sounds[i].sha256 == sounds[k].sha256 else "other tags, the same audio as"
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


def near_duplicate_faults(dataset: Dataset, pairs: Sequence[tuple[int, int, float, float]]) -> Iterator[Fault]:
    """Tracks that share audio without being copies; each pair is a fault of its first track.

    Args:
        pairs: (index, index of the other, offset in the other in seconds, share of matching landmarks).
    """
    for a, b, offset_s, score in pairs:
        shift = (
            f", {abs(offset_s):.1f} s {'later' if offset_s > 0 else 'earlier'} there" if abs(offset_s) >= 0.1 else ""
        )
        detail = f"{score:.0%} alike to {track_name(dataset.tracks[b])}{shift}{_describe_differences(dataset, a, b)}"
        yield Fault("near duplicate", a, detail)


# --- published problems, and the official split ---


def known_faulty(
    dataset: Dataset, listed: Mapping[str, str], sounds: Sequence[AudioMeasurement], excluded: set[int]
) -> Iterator[Fault]:
    """Tracks on a published list of faulty ones that are fine here; the others have a fault already."""
    for i, track in enumerate(dataset.tracks):
        if track.track_id in listed and sounds[i].state == "heard" and i not in excluded:
            yield Fault("known", i, f"published as {listed[track.track_id]}")


def across_split(dataset: Dataset) -> Iterator[Fault]:
    """Scored tracks whose artist is also in the training part of the official split; `prepare` audits albums, too."""
    labelled = [t for t in dataset.tracks if t.genre is not None]
    learned = {artist_key(t.artist) for t in labelled if t.official_split == "training"} - {None}
    for i, track in enumerate(dataset.tracks):
        scored = track.genre is not None and track.official_split in ("validation", "test")
        if scored and artist_key(track.artist) in learned:
            yield Fault("split", i, f"{track.official_split}; {printable(str(track.artist))} is in training, too")
