"""Splits: policies, refusals, roles and notes."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from genrelab.core.errors import SettingsError, SplitError
from genrelab.splits.split import Split, make_split
from genrelab.splits.track_table import artist_key


class Table:
    """Tracks to split, written as (genre, artist, official part) with a count each."""

    def __init__(self, *rows: tuple[str | None, str | None, str | None, int], named: bool = True) -> None:
        self.rows = [row[:3] for row in rows for _ in range(row[3])]
        self.usable = [True] * len(self.rows)
        self.paths = [f"{i:03d}.mp3" if named else None for i in range(len(self.rows))]

    def split(
        self,
        policy: str,
        *,
        seed: int = 0,
        order: list[int] | None = None,
        recordings: list[str | None] | None = None,
    ) -> Split:
        at = order or list(range(len(self.rows)))
        return make_split(
            policy,
            track_ids=[f"t{i}" for i in at],
            paths=[self.paths[i] for i in at],
            genres=[self.rows[i][0] for i in at],
            artists=[self.rows[i][1] for i in at],
            official=[self.rows[i][2] for i in at],
            usable=[self.usable[i] for i in at],
            seed=seed,
            recordings=None if recordings is None else [recordings[i] for i in at],
        )

    def count(self, split: Split, **wanted: Any) -> Counter[str]:
        """Tracks of each part among the rows with that genre or artist."""
        field = {"genre": 0, "artist": 1}
        chosen = [i for i, row in enumerate(self.rows) if all(row[field[k]] == v for k, v in wanted.items())]
        return Counter(split.parts[i] for i in chosen)


def albums(genre: str, n_artists: int, tracks: int = 4) -> list[tuple[str, str, None, int]]:
    return [(genre, f"{genre} artist {i}", None, tracks) for i in range(n_artists)]


OFFICIAL = [
    (genre, f"{genre} {part} {i}", part, 4)
    for genre in ("rock", "jazz")
    for part, n in (("training", 8), ("validation", 2), ("test", 2))
    for i in range(n)
]


# --- official


def test_official_is_taken_as_it_stands() -> None:
    split = Table(*OFFICIAL, ("rock", "x", None, 3), ("jazz", "y", "excluded", 2)).split("official")
    assert split.counts == {"training": 64, "validation": 16, "test": 16, "excluded": 5}
    assert Counter(split.roles) == {"fit": 64, "choose": 16, "score": 16, "none": 5}
    assert split.notes == ("excluded: 5 tracks outside the official split",)
    assert (split.no_test, split.scored_part) == (False, "test")


def test_without_test_tracks_the_validation_part_is_scored() -> None:
    table = Table(*[row for row in OFFICIAL if row[2] != "test"])
    split = table.split("official")
    assert (split.no_test, split.scored_part) == (True, "validation")
    assert Counter(split.roles) == {"fit": 48, "choose": 16, "score": 16}
    assert all(r == "score" for r, p in zip(split.roles, split.parts, strict=True) if p == "validation")
    artists = {
        role: {row[1] for row, r in zip(table.rows, split.roles, strict=True) if r == role} for role in split.roles
    }
    assert not artists["fit"] & artists["choose"]
    assert {row[0] for row, r in zip(table.rows, split.roles, strict=True) if r == "choose"} == {
        "rock",
        "jazz",
    }
    assert (
        "no test tracks: models are tested on the validation set, and a fifth of the training artists is used for "
        "model selection"
    ) in split.notes


def test_without_validation_tracks_some_training_tracks_replace_them() -> None:
    rows = [(genre, None, part, n) for genre, _, part, n in OFFICIAL if part != "validation"]
    split = Table(*rows).split("official")
    assert Counter(split.roles) == {"fit": 52, "choose": 12, "score": 16}
    assert "no validation tracks: a fifth of the training tracks is used for model selection" in split.notes


def test_only_artist_of_a_genre_is_never_taken_for_validation() -> None:
    rows = [row for row in OFFICIAL if row[2] != "test"]
    table = Table(*rows, ("ska", "one", "training", 5), ("ska", "two", "validation", 5))
    split = table.split("official")
    assert all(split.roles[i] == "fit" for i, row in enumerate(table.rows) if row[1] == "one")


def test_genre_without_training_tracks_is_refused_with_a_remedy() -> None:
    table = Table(*OFFICIAL, *[("ska", f"s{i}", "validation", 3) for i in range(4)])
    with pytest.raises(SplitError) as refused:
        table.split("official")
    assert str(refused.value) == (
        "official split leaves ska without usable training tracks: use --split artist or --split random"
    )


def test_remedy_that_would_be_refused_is_not_suggested() -> None:
    table = Table(*[(genre, None, part, n) for genre, _, part, n in OFFICIAL], ("ska", None, "test", 4))
    with pytest.raises(SplitError, match=r"without usable training tracks: use --split random$"):
        table.split("official")


def test_official_policy_is_refused_without_an_official_split() -> None:
    with pytest.raises(SplitError, match="official split does not exist for this dataset: use --split artist or"):
        Table(*albums("rock", 5), *albums("jazz", 5)).split("official")


def test_official_split_with_training_tracks_only_is_refused() -> None:
    table = Table(("rock", "a", "training", 1), ("jazz", "b", "training", 1))
    with pytest.raises(SplitError, match="no usable test or validation tracks: add tracks"):
        table.split("official")


def test_genre_that_could_not_be_decoded_is_excluded() -> None:
    table = Table(*OFFICIAL, ("ska", "s", "test", 2))
    table.usable[-2:] = [False, False]
    split = table.split("official")
    assert split.counts["excluded"] == 2
    assert "excluded: 2 tracks (failed, missing or without a genre)" in split.notes


# --- artist


def test_an_artist_is_never_on_two_sides() -> None:
    table = Table(*albums("rock", 20), *albums("jazz", 13), *albums("pop", 9, 7))
    split = table.split("artist")
    for artist in {row[1] for row in table.rows}:
        assert len(table.count(split, artist=artist)) == 1
    for genre in ("rock", "jazz", "pop"):
        n = table.count(split, genre=genre)
        shares = [n[p] / n.total() for p in ("training", "validation", "test")]
        assert shares == pytest.approx([0.64, 0.16, 0.20], abs=0.06)
    assert split.notes == ()


def test_spellings_of_an_artist_count_as_one() -> None:
    assert artist_key(" The  Beatles ") == artist_key("the beatles") != artist_key("beatles")
    assert artist_key("Beyonce\u0301") == artist_key("Beyonc\u00e9")
    assert artist_key("  ") is artist_key(None) is None
    assert artist_key("Various  Artists") is artist_key("UNKNOWN") is None, "they would tie strangers together"
    spellings = [("rock", name, None, 3) for name in ("ABBA", "Abba", " abba  ", "abba")]
    table = Table(*spellings, *albums("rock", 6), *albums("jazz", 6))
    split = table.split("artist")
    assert len({split.parts[i] for i in range(12)}) == 1


def test_genres_of_one_artist_and_unknown_artists_stay_in_training() -> None:
    table = Table(*albums("rock", 9), *albums("jazz", 9), ("ska", "only", None, 6), ("jazz", None, None, 5))
    split = table.split("artist")
    assert table.count(split, genre="ska") == {"training": 6}
    assert table.count(split, artist=None) == {"training": 5}
    assert split.notes == (
        "only in training, with fewer than two known artists: ska (6 tracks)",
        "only in training: 5 tracks by unknown artists",
        "no test tracks: ska",
    )


def test_artist_is_refused_only_when_fewer_than_two_genres_can_be_tested() -> None:
    one = Table(*albums("rock", 9), ("jazz", "only", None, 20))
    with pytest.raises(
        SplitError,
        match=r"artist split has test tracks of fewer than two genres .*jazz \(20 tracks\)\): use --split random$",
    ):
        one.split("artist")
    two = Table(*albums("rock", 2), *albums("jazz", 2), ("ska", "only", None, 20), ("pop", "p", None, 1))
    assert {row[0] for row, p in zip(two.rows, two.split("artist").parts, strict=True) if p == "test"} == {
        "rock",
        "jazz",
    }


def test_without_any_artist_the_artist_policy_is_refused() -> None:
    with pytest.raises(SplitError, match=r"artist split needs artists, and none is known .*: use --split random"):
        Table(("rock", None, None, 20), ("jazz", "  ", None, 20)).split("artist")


# --- random and article


def test_random_is_stratified() -> None:
    table = Table(("rock", None, None, 100), ("jazz", None, None, 50), ("ska", None, None, 1))
    split = table.split("random")
    assert table.count(split, genre="rock") == {"training": 64, "validation": 16, "test": 20}
    assert table.count(split, genre="jazz") == {"training": 32, "validation": 8, "test": 10}
    assert table.count(split, genre="ska") == {"training": 1}
    assert split.notes == (
        "only in training, with fewer than two tracks: ska (1 track)",
        "artists are unknown: the same artist may be in the training and the test set",
        "no test tracks: ska",
    )


def test_random_counts_the_artists_that_leak() -> None:
    table = Table(*albums("rock", 1, 50), *albums("jazz", 50, 1), ("jazz", None, None, 10))
    split = table.split("random")
    unknown = sum(p == "test" for p, row in zip(split.parts, table.rows, strict=True) if row[1] is None)
    words = f"10 of 22 test tracks are by artists of the training set (artist unknown for {unknown})"
    assert unknown and words in split.notes


def test_article_is_scikit_learns_split_of_the_sorted_paths() -> None:
    table = Table(*albums("rock", 10), *albums("jazz", 10))
    rest, test = train_test_split(sorted(table.paths), test_size=0.2, random_state=42)
    training, validation = train_test_split(rest, test_size=0.2, random_state=42)
    for seed in (0, 1):  # ours changes nothing
        split = table.split("article", seed=seed)
        parts = {part: {p for p, q in zip(table.paths, split.parts, strict=True) if q == part} for part in split.parts}
        assert parts == {"training": set(training), "validation": set(validation), "test": set(test)}
    assert (
        split.notes[0]
        == "in the split of Hermez et al. 2020 an artist may be in the training and the test set: only for comparison"
    )
    assert split.notes[1].endswith("of 16 test tracks are by artists of the training set")


@pytest.mark.parametrize("policy", ["article", "random"])
def test_too_few_tracks_are_refused(policy: str) -> None:
    with pytest.raises(SplitError, match=f"^{policy} split .*: add tracks$"):
        Table(("rock", None, None, 1), ("jazz", None, None, 1)).split(policy)


def test_single_tracks_validate_if_no_genre_can_spare_an_artist() -> None:
    split = Table(*albums("rock", 2, 5), *albums("jazz", 2, 5)).split("artist")
    assert Counter(split.roles) == {"fit": 8, "choose": 2, "score": 10}
    assert "no validation tracks: a fifth of the training tracks is used for model selection" in split.notes


def test_two_tracks_per_genre_are_too_few_to_validate() -> None:
    with pytest.raises(SplitError, match="has no validation tracks, and too few training tracks to hold"):
        Table(("rock", None, None, 2), ("jazz", None, None, 2)).split("random")


# --- auto


def test_auto_takes_official_then_artist_then_random() -> None:
    assert Table(*OFFICIAL).split("auto").policy == "official"
    without = [(genre, artist, None, n) for genre, artist, _, n in OFFICIAL]
    assert Table(*without).split("auto").policy == "artist"
    assert Table(*[(genre, None, None, n) for genre, _, _, n in OFFICIAL]).split("auto").policy == "random"


def test_auto_notes_the_policies_that_were_not_used() -> None:
    split = Table(*OFFICIAL, ("ska", None, "test", 104)).split("auto")
    assert split.policy == "random"
    assert split.notes[:2] == (
        "the official split was not used: it leaves ska without usable training tracks",
        "the artist split was not used: it needs artists, and only 96 of 200 tracks have one (add them with "
        "`prepare --artists FILE`)",
    )


def test_auto_uses_the_artist_split_only_if_half_are_known() -> None:
    half = Table(*albums("rock", 5), *albums("jazz", 5), ("rock", None, None, 40))
    assert half.split("auto").policy == "artist"
    less = Table(*albums("rock", 5), *albums("jazz", 5), ("rock", None, None, 41))
    assert less.split("auto").policy == "random"
    assert "it needs artists, and only 40 of 81 tracks have one" in "; ".join(less.split("auto").notes)


def test_auto_error_gives_the_reasons() -> None:
    with pytest.raises(SplitError, match=r"no split is possible: .*artist.*random.*; add tracks$"):
        Table(("rock", None, None, 1), ("jazz", None, None, 1)).split("auto")


# --- all policies


@pytest.mark.parametrize("policy", ["auto", "official", "artist", "random", "article"])
def test_one_genre_only_is_refused(policy: str) -> None:
    with pytest.raises(SplitError, match=r"only one genre \(rock\): add tracks"):
        Table(*[row for row in OFFICIAL if row[0] == "rock"]).split(policy)


def test_names_of_genres_stay_on_one_line() -> None:
    table = Table(*OFFICIAL, ("a\nb", "s", "test", 4))
    with pytest.raises(SplitError, match=r"leaves a\\nb without"):
        table.split("official")


@pytest.mark.parametrize("policy", ["official", "artist", "random", "article"])
def test_the_same_tracks_get_the_same_parts_in_any_order(policy: str) -> None:
    table = Table(*OFFICIAL)
    ids = [f"t{i}" for i in range(len(table.rows))]
    order = np.random.default_rng(0).permutation(len(ids)).tolist()
    one, two = table.split(policy, seed=5), table.split(policy, seed=5, order=order)
    shuffled = [ids[i] for i in order]
    assert dict(zip(ids, zip(one.parts, one.roles, strict=True), strict=True)) == dict(
        zip(shuffled, zip(two.parts, two.roles, strict=True), strict=True)
    )
    assert one.digest(ids) == two.digest(shuffled)


@pytest.mark.parametrize("policy", ["artist", "random"])
def test_seed_changes_the_parts(policy: str) -> None:
    table = Table(*OFFICIAL)
    assert table.split(policy, seed=1).parts != table.split(policy, seed=2).parts


def test_the_digest_is_of_sorted_lines() -> None:
    split = Split("random", ("test", "training"), ("score", "fit"), ())
    assert split.digest(["b", "a"]) == hashlib.sha256(b"a\ttraining\nb\ttest\n").hexdigest()


def test_tracks_without_path_are_split_by_id() -> None:
    table = Table(*OFFICIAL, named=False)
    assert table.split("article").counts["test"] == 20


def test_unlabelled_tracks_are_excluded_and_counted() -> None:
    table = Table(*OFFICIAL, (None, "x", "training", 1))
    split = table.split("artist")
    assert (split.parts[-1], split.roles[-1]) == ("excluded", "none")
    assert "excluded: 1 track (failed, missing or without a genre)" in split.notes


def test_genres_with_few_scored_tracks_are_named() -> None:
    rows = [*OFFICIAL, ("ska", "s", "training", 4), ("ska", "v", "validation", 2), ("ska", "u", "test", 3)]
    assert "fewer than 5 test tracks: ska (3 tracks)" in Table(*rows).split("official").notes


def test_an_unknown_policy_is_answered_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match=r"auto, official, artist, random, article\. Received: album"):
        Table(*OFFICIAL).split("album")


# --- real tables


@pytest.mark.real
def test_artist_split_of_gtzan_has_the_wanted_sizes(shared: Path) -> None:
    with (shared / "data/gtzan_fault_filtered/artists.csv").open(encoding="utf-8") as f:
        rows = [(r["genre"], r["artist"] or None, None, 1) for r in csv.DictReader(f)]
    table = Table(*rows)
    split = table.split("artist", seed=42)
    assert "only in training: 81 tracks by unknown artists" in split.notes
    for genre in {row[0] for row in rows}:
        n = table.count(split, genre=genre)
        assert [n[p] for p in ("training", "validation", "test")] == pytest.approx([64, 16, 20], abs=2)


@pytest.mark.real
def test_artist_split_of_fma_small_has_the_wanted_sizes(shared: Path) -> None:
    with (shared / "data/tables/fma_small_46_features.csv").open(encoding="utf-8") as f:
        rows = [(r["genre_top"], r["artist"] or None, r["split"], 1) for r in csv.DictReader(f)]
    table = Table(*rows)
    split = table.split("artist", seed=42)
    assert "only in training: 82 tracks by unknown artists" in split.notes
    for genre in {row[0] for row in rows}:
        n = table.count(split, genre=genre)
        shares = [n[p] / n.total() for p in ("training", "validation", "test")]
        assert shares == pytest.approx([0.64, 0.16, 0.20], abs=0.005)
    official = table.split("auto")
    assert (official.policy, official.no_test) == ("official", True)
    assert Counter(official.roles) == {"fit": 5117, "choose": 1280, "score": 800}


# --- recordings

PIECES = Table(*(row for genre in ("rock", "jazz", "pop") for row in albums(genre, 12, 5)))
UNKNOWN = Table(*((genre, None, None, 60) for genre in ("rock", "jazz", "pop")))
OF_FIVE: list[str | None] = [f"song {i // 5}" for i in range(180)]


def sides(split: Split, recordings: list[str | None]) -> list[set[str]]:
    found: dict[str, set[str]] = {}
    for part, recording in zip(split.parts, recordings, strict=True):
        if recording is not None:
            found.setdefault(recording, set()).add(part)
    return list(found.values())


@pytest.mark.parametrize("policy", ["random", "article", "auto"])
@pytest.mark.parametrize("table", [PIECES, UNKNOWN], ids=["artists", "no artists"])
def test_pieces_of_a_recording_are_never_on_two_sides(policy: str, table: Table) -> None:
    split = table.split(policy, recordings=OF_FIVE)
    assert all(len(parts) == 1 for parts in sides(split, OF_FIVE))
    assert "180 tracks are pieces or copies of 36 recordings" in split.notes
    if policy != "auto":
        alone = table.split(policy)
        assert any(len(parts) > 1 for parts in sides(alone, OF_FIVE)), "the test would pass without recordings"


def test_a_recording_joins_the_artists_of_its_pieces() -> None:
    table = Table(*(row for genre in ("rock", "jazz") for row in albums(genre, 20, 2)))
    recordings: list[str | None] = [None] * 80
    recordings[0], recordings[2], recordings[5] = "cover", "cover", "cover"  # of three artists
    for seed in range(20):
        split = table.split("artist", seed=seed, recordings=recordings)
        assert len({split.parts[i] for i in range(6)}) == 1


def test_a_piece_without_an_artist_has_that_of_its_recording() -> None:
    rows = [("rock", "Anna", None, 2), ("rock", None, None, 2), *albums("rock", 9), *albums("jazz", 9)]
    recordings: list[str | None] = ["a"] * 4 + [None] * 72
    found = {Table(*rows).split("artist", seed=seed, recordings=recordings).parts[:4] for seed in range(30)}
    assert all(len(set(parts)) == 1 for parts in found) and len(found) > 1, "no longer in training only"


def test_pieces_choose_together_where_there_is_no_validation_part() -> None:
    rows = [(g, None, part, n) for g in ("rock", "jazz") for part, n in (("training", 60), ("test", 20))]
    recordings: list[str | None] = [f"r{i // 4}" for i in range(160)]
    split = Table(*rows).split("official", recordings=recordings)
    roles: dict[str | None, set[str]] = {}
    for role, recording in zip(split.roles, recordings, strict=True):
        roles.setdefault(recording, set()).add(role)
    assert {"choose"} in roles.values() and all(len(found) == 1 for found in roles.values())


def test_the_official_split_may_part_a_recording() -> None:
    rows = [(g, None, part, 10) for g in ("rock", "jazz") for part in ("training", "validation", "test")]
    split = Table(*rows).split("official", recordings=["one"] * 60)
    assert split.parts[:30:10] == ("training", "validation", "test")


def test_recordings_do_not_depend_on_the_order_of_tracks() -> None:
    order = np.random.default_rng(0).permutation(180).tolist()
    there = PIECES.split("random", recordings=OF_FIVE)
    back = PIECES.split("random", recordings=OF_FIVE, order=order)
    assert [there.parts[i] for i in order] == list(back.parts)


def test_no_recordings_change_nothing() -> None:
    for policy in ("artist", "random", "article"):
        assert PIECES.split(policy, recordings=[None] * 180) == PIECES.split(policy)
