"""Splits tracks for training, model selection and testing.

A split gives every track a part (training, validation, test, excluded) and a role: models are fitted on
`fit`, epochs and hyper-parameters are chosen on `choose`, and `score` is used once, by the report.
`notes` are caveats for readers of the results.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from genrelab.core.config import PARTS
from genrelab.core.errors import SettingsError, SplitError, printable
from genrelab.core.text import pluralize
from genrelab.splits.grouping import share_out
from genrelab.splits.track_table import TrackTable, artists_with_recordings

POLICIES = ("auto", "official", "artist", "random", "article")

FRACTIONS = (0.64, 0.16, 0.20)  # training, validation, test
CHOOSE_FRACTION = 0.2  # of the training groups, if there are no validation tracks for model selection
ARTICLE_TEST, ARTICLE_SEED = 0.2, 42  # scikit-learn's train_test_split as the article calls it, twice
MIN_SCORED_TRACKS = 5  # a genre with fewer test tracks is named in the notes


@dataclass(frozen=True)
class Split:
    """The part and the role of every track, in track order."""

    policy: str  # official, artist, random or article; the chosen one for `auto`
    parts: tuple[str, ...]  # of config.PARTS
    roles: tuple[str, ...]  # fit, choose, score or none
    notes: tuple[str, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Number of tracks in each part, in reading order."""
        return {part: self.parts.count(part) for part in PARTS}

    @property
    def no_test(self) -> bool:
        """Are models tested on the validation part, as there are no test tracks?"""
        return "test" not in self.parts

    @property
    def scored_part(self) -> str:
        """`test`, or `validation` if there are no test tracks."""
        return "validation" if self.no_test else "test"

    def digest(self, track_ids: Sequence[str]) -> str:
        """SHA-256 of the part of every track, independent of their order."""
        lines = sorted(f"{i}\t{part}\n" for i, part in zip(track_ids, self.parts, strict=True))
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def make_split(
    policy: str,
    *,
    track_ids: Sequence[str],
    paths: Sequence[str | None],
    genres: Sequence[str | None],
    artists: Sequence[str | None],
    official: Sequence[str | None],
    usable: Sequence[bool],
    seed: int,
    recordings: Sequence[object | None] | None = None,
) -> Split:
    """Give every track its part and its role. The same tracks get the same split in any order.

    Tracks of one recording have the same part, except possibly in the `official` split.

    Args:
        policy: one of POLICIES.
        track_ids: unique.
        paths: None without audio; `article` shuffles them, as the article did.
        genres: None without a label.
        artists: None if unknown.
        official: one of config.PARTS, None if the dataset states none.
        usable: was the track decoded? Others, and tracks without a label, are `excluded`.
        seed: for `artist` and `random`, and for the training groups that get the role `choose`.
        recordings: equal for tracks of one recording (pieces, copies); None for a track by itself.

    Raises:
        SplitError: a genre would have no training tracks, or nothing could be tested; the message names the
            policies that would work.
        SettingsError: an unknown policy.
    """
    if policy not in POLICIES:
        raise SettingsError(f"--split must be one of {', '.join(POLICIES)}. Received: {policy}")
    kept = [i for i, genre in enumerate(genres) if usable[i] and genre]
    tracks = TrackTable(
        rows=tuple(sorted(kept, key=lambda i: (paths[i] or track_ids[i], track_ids[i]))),
        genres=tuple((genre or "") if usable[i] else "" for i, genre in enumerate(genres)),
        artists=artists_with_recordings(artists, recordings),
        recordings=tuple(recordings or [None] * len(track_ids)),
        official=tuple(official),
        seed=seed,
    )
    if len(tracks.names) < 2:
        found = f"only one genre ({printable(tracks.names[0])})" if tracks.names else "no usable tracks"
        raise SplitError(f"{found}: add tracks of two genres or more")
    return _split_auto(tracks) if policy == "auto" else _split_or_suggest(policy, tracks)


def _split_or_suggest(policy: str, tracks: TrackTable) -> Split:
    try:
        return _split_by_policy(policy, tracks)
    except SplitError as refused:
        remedies = []
        for other in ("artist", "random"):
            with suppress(SplitError):
                _split_by_policy(other, tracks)
                remedies.append(f"--split {other}")
        remedy = f"use {' or '.join(remedies)}" if remedies else "add tracks"
        raise SplitError(f"{policy} split {refused}: {remedy}") from refused


def _split_auto(tracks: TrackTable) -> Split:
    notes: list[str] = []
    known, n = tracks.known_artists, len(tracks.rows)
    published = any(tracks.official[i] is not None for i in tracks.rows)  # most collections have none
    for policy in ("official", "artist", "random") if published else ("artist", "random"):
        try:
            if policy == "artist" and 2 * known < n:
                remedy = "add them with `prepare --artists FILE`"
                raise SplitError(f"needs artists, and only {known:,} of {n:,} tracks have one ({remedy})")
            split = _split_by_policy(policy, tracks)
        except SplitError as refused:
            notes.append(f"the {policy} split was not used: it {refused}")
        else:
            return replace(split, notes=(*notes, *split.notes))
    raise SplitError(f"no split is possible: {'; '.join(notes)}; add tracks")


def _split_by_policy(policy: str, tracks: TrackTable) -> Split:
    """The split of one policy; messages of its SplitErrors continue `the ... split`."""
    parts, notes = POLICIES_BY_NAME[policy](tracks)
    trained = {tracks.genres[i] for i in tracks.rows if parts[i] == "training"}
    untrained = [printable(g) for g in tracks.names if g not in trained]
    if untrained:
        raise SplitError(f"leaves {', '.join(untrained)} without usable training tracks")
    roles, role_notes = _assign_roles(tracks, parts)
    if (n := tracks.n_recordings) < len(tracks.rows):
        notes.append(f"{pluralize(tracks.rows, 'track')} are pieces or copies of {pluralize(n, 'recording')}")
    if unusable := len(parts) - len(tracks.rows):
        notes.append(f"excluded: {pluralize(unusable, 'track')} (failed, missing or without a genre)")
    part = "test" if "test" in parts else "validation"
    notes += [*role_notes, *_leak_notes(tracks, roles, part), *_thin_notes(tracks, roles, part)]
    return Split(policy, tuple(parts), tuple(roles), tuple(notes))


def _official_parts(tracks: TrackTable) -> tuple[list[str], list[str]]:
    if all(tracks.official[i] is None for i in tracks.rows):
        raise SplitError("does not exist for this dataset")
    usable = set(tracks.rows)
    parts = [(part or "excluded") if i in usable else "excluded" for i, part in enumerate(tracks.official)]
    outside = sum(parts[i] == "excluded" for i in tracks.rows)
    note = f"excluded: {pluralize(outside, 'track')} outside the official split"
    return parts, [note] if outside else []


def _artist_parts(tracks: TrackTable) -> tuple[list[str], list[str]]:
    if not tracks.known_artists:
        raise SplitError("needs artists, and none is known (add them with `prepare --artists FILE`)")
    parts, notes = _parts_by_groups(tracks, tracks.artists, "known artists")
    if unknown := len(tracks.rows) - tracks.known_artists:
        notes.append(f"only in training: {pluralize(unknown, 'track')} by unknown artists")
    return parts, notes


def _random_parts(tracks: TrackTable) -> tuple[list[str], list[str]]:
    return _parts_by_groups(tracks, tracks.own_group, "tracks")


def _parts_by_groups(tracks: TrackTable, groups: Sequence[str | None], unit: str) -> tuple[list[str], list[str]]:
    """64/16/20 by whole groups, stratified by genre; tracks without a group are in training."""
    part_of = _assign_groups(tracks, tracks.rows, groups, FRACTIONS, needs=(1, 3, 2))
    parts = [PARTS[part_of[i]] if i in part_of else "excluded" for i in range(len(tracks.genres))]
    pairs = {(tracks.genres[i], groups[i]) for i in tracks.rows if groups[i] is not None}
    n_groups = Counter(genre for genre, _ in pairs)
    whole = _with_counts((g for g in tracks.names if n_groups[g] < 2), tracks.sizes)
    if len({tracks.genres[i] for i, part in part_of.items() if PARTS[part] == "test"}) < 2:
        few_groups = f" (with fewer than two {unit}: {whole})" if whole else ""
        raise SplitError(f"has test tracks of fewer than two genres{few_groups}")
    return parts, [f"only in training, with fewer than two {unit}: {whole}"] if whole else []


def _assign_groups(
    tracks: TrackTable,
    rows: Sequence[int],
    groups: Sequence[str | None],
    fractions: Sequence[float],
    needs: Sequence[int],
) -> dict[int, int]:
    genres, groups = [tracks.genres[i] for i in rows], [groups[i] for i in rows]
    parts = share_out(genres, groups, fractions, needs=needs, seed=tracks.seed)
    return dict(zip(rows, parts, strict=True))


def _article_parts(tracks: TrackTable) -> tuple[list[str], list[str]]:
    from sklearn.model_selection import train_test_split

    own_group = tracks.own_group
    recordings = list(dict.fromkeys(own_group[i] for i in tracks.rows))
    try:
        rest, test = train_test_split(recordings, test_size=ARTICLE_TEST, random_state=ARTICLE_SEED)
        training, validation = train_test_split(rest, test_size=ARTICLE_TEST, random_state=ARTICLE_SEED)
    except ValueError as e:
        raise SplitError(f"needs more than {pluralize(recordings, 'track')}") from e
    part = dict.fromkeys(training, "training") | dict.fromkeys(validation, "validation") | dict.fromkeys(test, "test")
    usable = set(tracks.rows)
    parts = [part[group] if i in usable else "excluded" for i, group in enumerate(own_group)]
    return parts, [
        "in the split of Hermez et al. 2020 an artist may be in the training and the test set: only for comparison"
    ]


POLICIES_BY_NAME = {
    "official": _official_parts, "artist": _artist_parts, "random": _random_parts, "article": _article_parts,
}  # fmt: skip


def _assign_roles(tracks: TrackTable, parts: Sequence[str]) -> tuple[list[str], list[str]]:
    """The role of every track, and notes; without validation tracks some training groups get the role `choose`."""
    if "test" not in parts and "validation" not in parts:
        raise SplitError("has no usable test or validation tracks")
    role = {"training": "fit", "validation": "choose", "test": "score", "excluded": "none"}
    if "test" in parts and "validation" in parts:
        return [role[p] for p in parts], []
    role["validation"] = "score"
    roles = [role[p] for p in parts]
    training = [i for i in tracks.rows if parts[i] == "training"]
    artists = [artist or own_group for artist, own_group in zip(tracks.artists, tracks.own_group, strict=True)]
    for groups in (artists, tracks.own_group):  # single tracks if no genre has an artist to spare
        part_of = _assign_groups(tracks, training, groups, (1 - CHOOSE_FRACTION, CHOOSE_FRACTION), needs=(1, 2))
        choosing = [i for i, part in part_of.items() if part == 1]
        if choosing:
            break
    else:
        raise SplitError("has no validation tracks, and too few training tracks to hold some out")
    for i in choosing:
        roles[i] = "choose"
    unit = "artists" if groups is artists and any(tracks.artists[i] for i in training) else "tracks"
    scored = "validation tracks:" if "test" in parts else "test tracks: models are tested on the validation set, and"
    return roles, [f"no {scored} a fifth of the training {unit} is used for model selection"]


def _leak_notes(tracks: TrackTable, roles: Sequence[str], part: str) -> list[str]:
    scored = [tracks.artists[i] for i in tracks.rows if roles[i] == "score"]
    learned = {tracks.artists[i] for i in tracks.rows if roles[i] in ("fit", "choose")} - {None}
    if not any(scored) or not learned:
        return [unknown_artists_note(part)]
    unknown = f" (artist unknown for {scored.count(None):,})" if None in scored else ""
    leaked = sum(a in learned for a in scored)
    found = f"{leaked:,} of {pluralize(scored, f'{part} track')} {'is' if leaked == 1 else 'are'}"
    note = f"{found} by artists of the training set{unknown}"
    return [note] if leaked else []


def unknown_artists_note(part: str) -> str:
    """A note on a split of tracks by unknown artists."""
    return f"artists are unknown: the same artist may be in the training and the {part} set"


def _thin_notes(tracks: TrackTable, roles: Sequence[str], part: str) -> list[str]:
    scored = Counter(tracks.genres[i] for i in tracks.rows if roles[i] == "score")
    absent = [printable(g) for g in tracks.names if not scored[g]]
    thin = _with_counts((g for g in tracks.names if 0 < scored[g] < MIN_SCORED_TRACKS), scored)
    notes = [f"no {part} tracks: {', '.join(absent)}"] if absent else []
    return [*notes, f"fewer than {MIN_SCORED_TRACKS} {part} tracks: {thin}"] if thin else notes


def _with_counts(genres: Iterable[str], sizes: Counter[str]) -> str:
    return ", ".join(f"{printable(g)} ({pluralize(sizes[g], 'track')})" for g in genres)
