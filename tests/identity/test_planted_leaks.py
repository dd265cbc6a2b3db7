"""Planted leaks by name are found in every one of 200 random collections, and clean collections raise no alarm."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from genrelab.datasets.base import Dataset
from genrelab.datasets.registry import load_dataset
from genrelab.splits.split import Split, make_split
from tests.identity.collections import (
    CREDITS,
    ONLY_NUMBERED,
    PIECES,
    PLAIN_NAMES,
    Collection,
    clean,
    with_pieces,
    with_spellings,
)

SEEDS = range(200)


def loaded(made: Collection, tmp_path: Path) -> Dataset:
    """The collection as a list of files, in a shuffled order."""
    table = pd.DataFrame({"path": made.names, "genre": made.genres, "artist": made.artists})
    file = tmp_path / "tracks.csv"
    table.sample(frac=1, random_state=0).to_csv(file, index=False)
    return load_dataset(file)


def split_of(dataset: Dataset, policy: str, seed: int) -> Split:
    t = dataset.tracks
    return make_split(
        policy, track_ids=[x.track_id for x in t], paths=[x.path for x in t], genres=[x.genre for x in t],
        artists=[x.artist for x in t], official=[None] * len(t), usable=[True] * len(t), seed=seed,
        recordings=[x.recording for x in t],
    )  # fmt: skip


def parts(split: Split, dataset: Dataset, made: Collection, tracks: set[int]) -> set[str]:
    part = {x.path: p for x, p in zip(dataset.tracks, split.parts, strict=True)}
    return {part[made.names[i]] for i in tracks}


@pytest.mark.parametrize("style", range(len(PIECES)), ids=list(PIECES))
def test_pieces_of_a_recording_stay_together_whatever_the_policy(style: int, tmp_path: Path) -> None:
    for seed in SEEDS[style :: len(PIECES)]:
        made = with_pieces(seed)
        dataset = loaded(made, tmp_path)
        planted = made.together[-4:]
        n = sum(map(len, planted))
        verb = "may be" if list(PIECES)[style] in ONLY_NUMBERED else "are"
        found = f"{n} tracks {verb} pieces of 4 recordings (judging by the"
        assert any(note.startswith(found) for note in dataset.notes), dataset.notes
        for policy in ("artist", "random", "article"):
            split = split_of(dataset, policy, seed)
            assert all(len(parts(split, dataset, made, group)) == 1 for group in planted), (seed, policy)
            assert any("are pieces or copies of" in note for note in split.notes)


@pytest.mark.parametrize("style", range(len(CREDITS)), ids=list(CREDITS))
def test_a_person_stays_on_one_side_however_credited(style: int, tmp_path: Path) -> None:
    for seed in SEEDS[style :: len(CREDITS)]:
        made = with_spellings(seed)
        dataset = loaded(made, tmp_path)
        split = split_of(dataset, "artist", seed)
        assert all(len(parts(split, dataset, made, group)) == 1 for group in made.together), seed
        n_written, n_people = len({a.strip() for a in made.artists}), len(made.together)
        expected = f"{n_people} artists from {n_written} names: "
        assert any(note.startswith(expected) for note in dataset.notes) == (n_written != n_people)


@pytest.mark.parametrize("style", range(len(PLAIN_NAMES)), ids=list(PLAIN_NAMES))
def test_a_clean_collection_raises_no_alarm(style: int, tmp_path: Path) -> None:
    for seed in SEEDS[style :: len(PLAIN_NAMES)]:
        made = clean(seed)
        dataset = loaded(made, tmp_path)
        assert {t.recording for t in dataset.tracks} == {None}
        assert not [note for note in dataset.notes if "piece" in note]
        assert not [note for note in dataset.notes if "names: " in note]
        assert len({t.artist for t in dataset.tracks}) == len(made.together)
