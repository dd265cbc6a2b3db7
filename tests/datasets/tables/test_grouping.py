"""genrelab/datasets/tables/grouping.py: columns of recordings group their rows or are noted; others do neither."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from genrelab.datasets import table
from genrelab.datasets.base import Dataset, DatasetOptions

N, PIECES = 48, 2
GENRES = [f"g{i // 12}" for i in range(N)]
SONGS = [f"song {i // PIECES}" for i in range(N)]
FILES = [f"{i * 7919 % 1009:x}z.wav" for i in range(N)]


def load(folder: Path, columns: dict[str, Sequence[object]], **options: Any) -> Dataset:
    noise = np.random.default_rng(0).normal(size=N).round(4)
    pd.DataFrame({"genre": GENRES, **columns, "x": noise}).to_csv(folder / "t.csv", index=False)
    return table.load(folder / "t.csv", DatasetOptions(**options))


def n_recordings(dataset: Dataset) -> int:
    return len({t.recording for t in dataset.tracks if t.recording is not None})


def doubts(dataset: Dataset) -> list[str]:
    return [note for note in dataset.notes if "--group-column" in note]


def features(dataset: Dataset) -> tuple[str, ...]:
    assert dataset.features is not None
    return dataset.features.columns


NAMES = (
    "track_name", "title", "Song Title", "original_file", "source_track", "ytid", "youtube_id", "track_uri", "isrc",
    "originalFilename", "parent_recording", "audio_path", "song_url", "file_md5", "sample_id",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("others", ["filename", "none", "path", "artist"])
def test_columns_of_recordings_group_their_rows(tmp_path: Path, name: str, others: str) -> None:
    columns: dict[str, Sequence[object]] = {name: SONGS}
    if others == "artist":
        columns["artist"] = [f"A{i // 6}" for i in range(N)]
    elif others != "none":
        columns[others] = FILES
    dataset = load(tmp_path, columns)
    assert n_recordings(dataset) == N // PIECES
    assert doubts(dataset) == []
    assert any(name in note and ("recordings from column" in note or "ids of column" in note) for note in dataset.notes)


def test_whole_numbers_group_and_are_no_feature(tmp_path: Path) -> None:
    for name in ("source_track", "song", "youtube_id"):
        dataset = load(tmp_path, {name: [i // PIECES * 37 % 101 for i in range(N)]})
        assert n_recordings(dataset) == N // PIECES and features(dataset) == ("x",)


def test_titles_group_with_their_artist(tmp_path: Path) -> None:
    """Each artist has an `Intro` in two pieces."""
    titles = ["Intro" if i // PIECES % 3 == 0 else s for i, s in enumerate(SONGS)]
    columns = {"filename": FILES, "title": titles, "artist": [f"A{i // 6}" for i in range(N)]}
    dataset = load(tmp_path, columns)
    assert n_recordings(dataset) == N // PIECES
    assert {t.recording for t in dataset.tracks if t.artist == "A1"} == {"Intro (A1)", "song 4", "song 5"}


def test_pieces_may_stand_anywhere_in_the_table_and_some_lack_a_name(tmp_path: Path) -> None:
    rows = list(zip(GENRES, SONGS, FILES, range(N), strict=True))
    random.Random(0).shuffle(rows)
    frame = pd.DataFrame(rows, columns=["genre", "track_name", "filename", "x"])
    frame.loc[::10, "track_name"] = None
    frame["x"] = np.random.default_rng(0).normal(size=N)
    frame.to_csv(tmp_path / "t.csv", index=False)
    dataset = table.load(tmp_path / "t.csv", DatasetOptions())
    assert sum(t.recording is None for t in dataset.tracks) == 5
    assert f"{frame['track_name'].nunique()} recordings from column track_name; 5 rows without one" in dataset.notes


@pytest.mark.parametrize("name", ["take", "master", "work", "what", "group"])
@pytest.mark.parametrize("numbered", [False, True])
def test_a_column_that_may_name_recordings_is_noted(tmp_path: Path, name: str, numbered: bool) -> None:
    cells = [i // PIECES for i in range(N)] if numbered else SONGS
    dataset = load(tmp_path, {"filename": FILES, name: cells})
    assert n_recordings(dataset) == 0
    assert doubts(dataset) == [f"column {name} may name recordings: if so, use --group-column {name}"]
    assert features(dataset) == ("x",), "numbers of runs of rows tell the genre"
    stated = load(tmp_path, {"filename": FILES, name: cells}, group_column=name)
    assert n_recordings(stated) == N // PIECES and doubts(stated) == []


def some(word: str, n: int) -> Callable[[int], str]:
    return lambda i: f"{word} {i * n // N}"


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        *(
            (name, some("n", 16))
            for name in ("album_title", "source", "collection", "dataset", "user_id", "label_name")
        ),
        *((name, some("n", 16)) for name in ("publisher", "country", "language", "mood", "key", "year", "artist_url")),
        *((name, some("n", 16)) for name in ("sub_genre", "subgenre", "style", "tags", "composer", "source_id")),
        ("filename_2", lambda i: f"{i}.wav"),  # each once
        ("part_of", lambda i: ("a", "b")[i % 2]),  # of several genres
        ("what", some("n", 4)),  # one a genre
        ("title", lambda i: f"Song {i if i > 4 else 0}"),  # a few are equal, and no artist tells them apart
        ("track", lambda i: i % 12 + 1),  # the number on its album
        ("track_number", lambda i: i % 12 + 1),
        ("song_length", lambda i: i // 2 * 37 % 101),
        ("track_popularity", lambda i: i // 2 * 37 % 101),
        ("beats", lambda i: 60 + i // 12 * 20 + i * 7 % 10),  # a feature that tells the genre
        ("tempo_text", lambda i: f"{60 + i // 2},5"),  # numbers with a decimal comma
        ("comment", lambda i: "" if i % 5 else f"c{i // 10}"),
        ("remark", lambda i: f"by {i // 6}"),  # one an artist
    ],
)
def test_other_columns_neither_group_nor_are_noted(tmp_path: Path, name: str, cell: Callable[[int], object]) -> None:
    columns = {"filename": FILES, name: [cell(i) for i in range(N)]}
    dataset = load(tmp_path, columns | ({"artist": [f"A{i // 6}" for i in range(N)]} if name == "remark" else {}))
    assert n_recordings(dataset) == 0 and doubts(dataset) == []


def test_names_of_the_files_of_a_manifest_say_nothing_more(tmp_path: Path) -> None:
    names = [f"{i % 12:02}.wav" for i in range(N)]
    paths = [f"{'abcd'[i // 12]}/{i // 12}/{name}" for i, name in enumerate(names)]
    assert n_recordings(load(tmp_path, {"path": paths, "filename": names})) == 0
    assert n_recordings(load(tmp_path, {"path": paths, "filename": [f"{s}.wav" for s in SONGS]})) == N // PIECES


@pytest.mark.parametrize(
    "name", ["segment", "chunk_no", "part", "Window", "piece", "start", "offset_s", "end_s", "clipIndex"]
)
def test_the_place_of_a_piece_is_no_feature_by_its_name(tmp_path: Path, name: str) -> None:
    dataset = load(tmp_path, {name: [i % 5 * 1.5 for i in range(N)], "segment_energy": [i * 7 % 11 for i in range(N)]})
    assert features(dataset) == ("segment_energy", "x")
    assert f"1 column left out: {name} (position in a recording)" in dataset.notes


def test_numbers_that_begin_anew_in_each_recording_are_no_feature(tmp_path: Path) -> None:
    columns: dict[str, Sequence[object]] = {
        "song_id": SONGS, "which": [i % PIECES for i in range(N)], "mode": [i // PIECES % 2 for i in range(N)],
    }  # fmt: skip
    dataset = load(tmp_path, columns)
    assert features(dataset) == ("mode", "x")
    assert "1 column left out: which (position in a recording)" in dataset.notes
    assert "which" in features(load(tmp_path, {"which": columns["which"]})), "of no recordings it is a number as others"


def test_ids_of_letters_and_digits_are_no_numbers_with_faults(tmp_path: Path) -> None:
    dataset = load(tmp_path, {"spotify": [f"{i:022x}" for i in range(N)]})
    assert "1 column left out: spotify (identifiers)" in dataset.notes


@pytest.mark.parametrize("seed", range(40))
def test_clean_tables_give_no_alarm(tmp_path: Path, seed: int) -> None:
    """Songs of one row each, with what else people write beside them."""
    rng = random.Random(seed)
    rows = []
    for i in range(rng.randint(40, 120)):
        genre = rng.randrange(4)
        artist = f"Artist {genre}.{rng.randrange(6)}"
        rows.append({
            "genre": f"g{genre}", "filename": f"{i:04}.wav", "artist": artist, "album": f"{artist} {rng.randrange(2)}",
            "title": f"Title {i if rng.random() < 0.97 else 0}", "track_no": rng.randint(1, 12),
            "label": f"Label {genre} {rng.randrange(5)}", "city": f"C{artist}", "remark": f"r{rng.randrange(20)}",
            "bpm": 60 + 10 * genre + rng.randrange(20), "key": rng.choice("CDEFGAB"), "x": rng.gauss(genre, 1),
        })  # fmt: skip
    wanted = ["genre", "filename", "x", *rng.sample(list(rows[0])[2:-1], rng.randint(2, 9))]
    pd.DataFrame(rows)[list(dict.fromkeys(wanted))].to_csv(tmp_path / "t.csv", index=False)
    dataset = table.load(tmp_path / "t.csv", DatasetOptions(label="genre"))
    assert doubts(dataset) == []
    artists: dict[str, set[tuple[str | None, str | None]]] = {}
    for t in dataset.tracks:
        artists.setdefault(t.recording or t.track_id, set()).add((t.artist, t.genre))
    assert all(len(found) == 1 for found in artists.values()) and len(artists) > 0.9 * len(rows)
