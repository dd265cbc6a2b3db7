"""What is wrong with a track, judged from what was measured of its file: a table of kinds, and one rule for each.

A kind does harm (the track teaches nothing, or teaches twice: it is excluded), asks for a repair (the track can be
used, yet there should be more of it), or is a note. Limits are such that clean music raises nothing (docs/results.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from genrelab.audio.clips import NOT_FINITE, SILENT_PEAK
from genrelab.core.config import ClipSettings
from genrelab.core.errors import printable
from genrelab.datasets.base import Dataset, Track
from genrelab.doctor.measure import Sound
from genrelab.splits.split import artist_key

REPAIR, NOTE = "repair", "note"


@dataclass(frozen=True)
class Kind:
    """One kind of fault.

    Attributes:
        what: said of the files that have it.
        remedy: what to do.
        excluded: does it go into the manifest?
    """

    name: str
    state: str
    what: str
    remedy: str
    excluded: bool = False


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "two labels",
            REPAIR,
            "holding one recording under two genres",
            "decide which is right: remove the other file",
            excluded=True,
        ),
        Kind("missing", REPAIR, "named by the tables, and not on disk", "fetch or copy them; training goes without"),
        Kind("empty", REPAIR, "of 0 bytes", "fetch or copy them anew", excluded=True),
        Kind("undecodable", REPAIR, "read by no decoder", "fetch or copy them anew", excluded=True),
        Kind("too short", REPAIR, "too short to tell a genre by", "fetch them anew, or leave them out", excluded=True),
        Kind("silent", REPAIR, "without a sound", "fetch them anew, or leave them out", excluded=True),
        Kind("copy", REPAIR, "holding the very audio of another", "keep one of each", excluded=True),
        Kind("cut off", REPAIR, "shorter than their own headers say", "fetch or copy them anew; what is there is used"),
        Kind("damaged", NOTE, "damaged inside: what cannot be decoded is left out", "fetch or copy them anew"),
        Kind("length", NOTE, "of another length than it should be", "listen: a wrong file, or a header that lies?"),
        Kind("mostly silent", NOTE, "silent for more than half of it", "listen: do they tell a genre?"),
        Kind(
            "clipped",
            NOTE,
            "clipped: peaks cut off at full scale",
            "usable; a quieter copy is better where there is one",
        ),
        Kind("mono as stereo", NOTE, "with equal channels", "none needed: models hear their mean"),
        Kind(
            "low rate", NOTE, "of a low sampling rate", "models learn what is missing above it; mix no rates by genre"
        ),
        Kind(
            "near duplicate",
            NOTE,
            "that may be the same recording as another: a re-encoding, an excerpt, a remix",
            "no score proves it: listen; keep both on one side of a split, or add one to the manifest",
        ),
        Kind("split", NOTE, "by an artist on both sides of the official split", "measure with --split artist as well"),
        Kind("known", NOTE, "known to be faulty, and sound in this copy", "none needed"),
    )
}
"""In the order in which they are told: first what only a person can decide, and no new copy mends."""

CLIP_S, CLIP_OFF_S = 30.0, 1.0
"""Length of the clips that FMA and GTZAN publish, and by how much one may differ."""

OFF_S, OFF_SHARE = 1.0, 0.05
"""A file may differ from the length that it states by so many seconds or by this share of it, whichever is more."""

CLIPPED, MOSTLY = 0.01, 0.5
"""Share of samples in runs at full scale from which on a file counts as clipped; share of its time that is silent."""

LOW_RATE = 16_000
"""Below it there is nothing above 8 kHz at best: no cymbal sounds like one."""


@dataclass(frozen=True)
class Fault:
    """Something that is wrong with one track (`index` in its dataset), in words."""

    kind: str
    index: int
    detail: str


def collection_clip_s(dataset: Dataset, sounds: Sequence[Sound]) -> float | None:
    """How long every clip of this collection should be: 30 s where it is FMA or GTZAN and most of its clips are so."""
    heard = [s.duration_s for s in sounds if s.state == "heard"]
    by_clips = dataset.name == "gtzan" or dataset.name in ("fma-small", "fma-medium", "fma-large")
    return CLIP_S if by_clips and heard and abs(median(heard) - CLIP_S) <= CLIP_OFF_S else None


def faults_of(sound: Sound, clip_s: float | None, clips: ClipSettings) -> Iterator[tuple[str, str]]:
    """(kind, detail) of everything that is wrong with one file; of what does harm only the first.

    Args:
        clip_s: how long every clip of the collection should be, None where that is not known.
        clips: `min_s` is the least length that preparing accepts.
    """
    harm = _harm(sound, clip_s, clips)
    if harm is not None:
        yield harm
    if sound.state != "heard":
        return
    short = harm is not None and harm[0] == "too short"
    off = _length(sound, None if short else clip_s)
    if off is not None:
        yield off
    elif sound.damage:
        yield "damaged", sound.damage
    if harm is None and sound.silent > MOSTLY:
        yield "mostly silent", f"{sound.silent:.0%} of it"
    if sound.clipped >= CLIPPED:
        yield "clipped", f"{sound.clipped:.1%} of the samples"
    if sound.equal_channels:
        yield "mono as stereo", f"{sound.channels} equal channels"
    if sound.sr < LOW_RATE:
        yield "low rate", f"{sound.sr:,} Hz: nothing above {sound.sr / 2_000:g} kHz"


def _harm(sound: Sound, clip_s: float | None, clips: ClipSettings) -> tuple[str, str] | None:
    if sound.state != "heard":
        return sound.state, (sound.error or "") if sound.state == "undecodable" else ""
    if not sound.finite:
        return "undecodable", NOT_FINITE
    if sound.duration_s < clips.min_s:
        return "too short", f"{sound.duration_s:.2f} s, at least {clips.min_s:g} s are needed"
    if sound.peak < SILENT_PEAK:
        return "silent", "no sample reaches -80 dBFS"
    if sound.mono_peak < SILENT_PEAK:
        return "silent", "its channels cancel each other out: their mean is silent"
    if clip_s is not None and sound.duration_s < clip_s / 2:
        return "too short", f"{sound.duration_s:.2f} s, the clips of this collection last {clip_s:g} s"
    return None


def _length(sound: Sound, clip_s: float | None) -> tuple[str, str] | None:
    there, stated = sound.duration_s, sound.stated_s
    if stated is not None and abs(there - stated) > max(OFF_S, OFF_SHARE * stated):
        return "cut off" if there < stated else "length", f"{there:.1f} s decoded, {stated:.1f} s by its own header"
    if clip_s is not None and abs(there - clip_s) > CLIP_OFF_S:
        return "length", f"{there:.1f} s, the clips of this collection last {clip_s:g} s"
    return None


# --- copies ---

PARTS_KEPT = ("test", "validation", "training")
"""Of copies the one is kept whose part comes first here: what others measure on stays whole."""


def copies(dataset: Dataset, sounds: Sequence[Sound], harmed: set[int]) -> Iterator[Fault]:
    """Tracks that hold the very audio of another one, which is kept; `harmed` ones are left aside.

    Where the genres differ none of those that have one is kept: a wrong label must not stay by chance.
    """
    groups: dict[str, list[int]] = {}
    for i, sound in enumerate(sounds):
        if sound.state == "heard" and i not in harmed:
            groups.setdefault(sound.audio_sha256, []).append(i)
    for group in groups.values():
        kept, *others = sorted(group, key=lambda i: _rank(dataset.tracks[i], i))
        genre = {i: dataset.tracks[i].genre for i in group if dataset.tracks[i].genre is not None}
        for i in group if len({*genre.values()}) > 1 else others:
            other = next((k for k in genre if i in genre and genre[k] != genre[i]), None)
            kind, k = ("copy", kept) if other is None else ("two labels", other)
            if k != i:
                same = "the same file as" if sounds[i].sha256 == sounds[k].sha256 else "other tags, the same audio as"
                yield Fault(kind, i, f"{same} {named(dataset.tracks[k])}{_apart(dataset, i, k)}")


def _rank(track: Track, index: int) -> tuple[bool, int, int]:
    part = track.official_split
    return (track.genre is None, PARTS_KEPT.index(part) if part in PARTS_KEPT else len(PARTS_KEPT), index)


def named(track: Track) -> str:
    """How a track is called in a message: its path, else its id."""
    return printable(track.path or track.track_id)


def _apart(dataset: Dataset, i: int, k: int) -> str:
    """What two tracks that share audio do not share: the genre, the part of the official split."""
    a, b = dataset.tracks[i], dataset.tracks[k]
    said = ""
    if a.genre != b.genre and a.genre is not None and b.genre is not None:
        said += f"; here {printable(a.genre)}, there {printable(b.genre)}"
    if {a.official_split, b.official_split} <= {*PARTS_KEPT} and a.official_split != b.official_split:
        said += f"; here {a.official_split}, there {b.official_split}"
    return said


def near(dataset: Dataset, pairs: Sequence[tuple[int, int, float, float]]) -> Iterator[Fault]:
    """Tracks that share audio without being copies; each pair is told at its first track.

    Args:
        pairs: (index, index of the other, seconds that it sounds later there, share of landmarks that meet).
    """
    for a, b, offset_s, score in pairs:
        shift = (
            f", {abs(offset_s):.1f} s {'later' if offset_s > 0 else 'earlier'} there" if abs(offset_s) >= 0.1 else ""
        )
        detail = f"{score:.0%} alike to {named(dataset.tracks[b])}{shift}{_apart(dataset, a, b)}"
        yield Fault("near duplicate", a, detail)


# --- what is known, and the official split ---


def known(dataset: Dataset, listed: Mapping[str, str], sounds: Sequence[Sound], harmed: set[int]) -> Iterator[Fault]:
    """Tracks on a published list of faulty ones that are sound here; the others have their fault already."""
    for i, track in enumerate(dataset.tracks):
        if track.track_id in listed and sounds[i].state == "heard" and i not in harmed:
            yield Fault("known", i, f"published as {listed[track.track_id]}")


def across_split(dataset: Dataset) -> Iterator[Fault]:
    """Scored tracks whose artist is also learned from under the official split; `prepare` audits albums as well."""
    labelled = [t for t in dataset.tracks if t.genre is not None]
    learned = {artist_key(t.artist) for t in labelled if t.official_split == "training"} - {None}
    for i, track in enumerate(dataset.tracks):
        scored = track.genre is not None and track.official_split in ("validation", "test")
        if scored and artist_key(track.artist) in learned:
            yield Fault("split", i, f"{track.official_split}; {printable(str(track.artist))} is in training, too")
