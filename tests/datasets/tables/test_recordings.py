"""genrelab/datasets/tables/recordings.py: rows of one recording are known as such, and every row has its own id."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from genrelab.datasets import table
from genrelab.datasets.base import Dataset, DatasetOptions

N = 24
GENRES = [f"g{i // 6}" for i in range(N)]


def load(folder: Path, columns: dict[str, Sequence[object]], **options: Any) -> Dataset:
    columns = {"genre": GENRES, **columns, "x": [i * 37 % 11 / 7 for i in range(N)]}
    rows = [",".join("" if v is None else str(v) for v in row) for row in zip(*columns.values(), strict=True)]
    (folder / "t.csv").write_text("\n".join([",".join(columns), *rows]) + "\n")
    return table.load(folder / "t.csv", DatasetOptions(**options))


def recordings(dataset: Dataset) -> dict[str, str | None]:
    return {t.track_id: t.recording for t in dataset.tracks}


def features(dataset: Dataset) -> tuple[str, ...]:
    assert dataset.features is not None
    return dataset.features.columns


@pytest.mark.parametrize("name", ["track_id", "Track ID", "trackId"])
def test_repeated_ids_are_pieces_of_one_recording(tmp_path: Path, name: str) -> None:
    dataset = load(tmp_path, {name: [*(i // 3 for i in range(21)), 7, 8, 9]})
    assert list(recordings(dataset).items())[:3] == [("7", None), ("8", None), ("9", None)]
    assert {k: v for k, v in recordings(dataset).items() if v == "6"} == {"6#1": "6", "6#2": "6", "6#3": "6"}
    assert (
        f"21 rows share 7 ids of column {name}: rows with the same id are pieces of one recording, such as 0#1, "
        "0#2 and 1 more" in dataset.notes
    )
    assert dataset.features is not None  # each row keeps its own values
    assert dataset.features.values[dataset.features.columns.index("x"), 0] == pytest.approx(21 * 37 % 11 / 7)


def test_id_column_may_be_named(tmp_path: Path) -> None:
    dataset = load(tmp_path, {"key": [f"k{i // 2}" for i in range(N)]}, id_column="key")
    assert recordings(dataset)["k3#2"] == "k3"
    assert features(dataset) == ("x",)


def test_pieces_under_two_genres_stay_together_and_are_named(tmp_path: Path) -> None:
    dataset = load(tmp_path, {"track_id": [i % 12 for i in range(N)]})
    assert len(set(recordings(dataset).values())) == 12
    assert any(n.startswith("12 recordings with several genres: 0, 1,") for n in dataset.notes)


def test_ids_stay_unique_whatever_they_look_like(tmp_path: Path) -> None:
    dataset = load(tmp_path, {"track_id": ["a", "a", "a#1", "a##1", *map(str, range(20))]})
    assert recordings(dataset) | {"a###1": "a", "a###2": "a", "a#1": None, "a##1": None} == recordings(dataset)


@pytest.mark.parametrize(
    "name", ["filename", "File Name", "file", "song", "track_name", "audio", "wav", "id", "recording"]
)
def test_unique_names_are_the_ids(tmp_path: Path, name: str) -> None:
    dataset = load(tmp_path, {name: [f"{g}.{i:05d}.{i % 6}.wav" for i, g in enumerate(GENRES)]})
    assert dataset.tracks[0].track_id == "g0.00000.0.wav"
    assert set(recordings(dataset).values()) == {None}
    assert f"ids from column {name} (change it with --id-column)" in dataset.notes
    assert features(dataset) == ("x",)


def test_index_without_a_name_that_holds_names(tmp_path: Path) -> None:
    rows = (f"{g}.{i:05d}.wav,{g},{i * 37 % 11}\n" for i, g in enumerate(GENRES))
    (tmp_path / "t.csv").write_text(",genre,x\n" + "".join(rows))
    dataset = table.load(tmp_path / "t.csv", DatasetOptions())
    assert dataset.tracks[0].track_id == "g0.00000.wav"
    assert features(dataset) == ("x",)
    (tmp_path / "t.csv").write_text(",genre,x\n" + "".join(f"{i},g{i % 2},{i * 37 % 11}\n" for i in range(N)))
    assert table.load(tmp_path / "t.csv", DatasetOptions()).tracks[0].track_id == "1"


@pytest.mark.parametrize("name", ["filename", "song_id", "recording", "id", "song"])
def test_repeated_names_are_recordings(tmp_path: Path, name: str) -> None:
    dataset = load(tmp_path, {name: [i // 3 for i in range(N)]})
    assert recordings(dataset)["4#3"] == "4"
    assert features(dataset) == ("x",)


def test_the_first_name_column_counts_and_the_next_may_tell_recordings(tmp_path: Path) -> None:
    columns = {"song_id": [i // 3 for i in range(N)], "filename": [f"{i}.wav" for i in range(N)]}
    dataset = load(tmp_path, columns)
    assert recordings(dataset)["13.wav"] == "4"
    assert "8 recordings from column song_id" in dataset.notes
    assert features(dataset) == ("x",)


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("filename", ["a.wav"] * N),  # constant
        ("filename", [*(f"{i}.wav" for i in range(N - 1)), ""]),  # not in all rows
        ("audio", [i / 7 for i in range(N)]),  # a measurement
        ("track", [i % 8 for i in range(N)]),  # the number on its album: of several genres
        ("file", ["part1.h5"] * 14 + ["part2.h5"] * 10),  # fewer than could be split by genre
    ],
)
def test_what_names_no_track_leaves_rows_numbered(tmp_path: Path, name: str, cells: Sequence[object]) -> None:
    dataset = load(tmp_path, {name: cells})
    assert [t.track_id for t in dataset.tracks] == [str(n) for n in range(1, N + 1)]
    assert set(recordings(dataset).values()) == {None}
    assert "ids are row numbers, as there is no column track_id (change it with --id-column)" in dataset.notes


def test_titles_of_several_artists_are_several_recordings(tmp_path: Path) -> None:
    titles = ["Intro" if i % 6 < 2 else f"Song {i}" for i in range(N)]
    dataset = load(tmp_path, {"name": titles, "artist": [f"A{i // 6}" for i in range(N)]})
    found = recordings(dataset)
    assert found["Intro (A0)#1"] == found["Intro (A0)#2"] == "Intro (A0)"
    assert found["Intro (A3)#1"] == "Intro (A3)"
    assert found["Song 2"] is None


def test_group_column_states_the_recordings(tmp_path: Path) -> None:
    dataset = load(tmp_path, {"take": [i // 4 if i > 3 else None for i in range(N)]}, group_column="take")
    assert recordings(dataset)["1"] is None
    assert recordings(dataset)["8"] == recordings(dataset)["5"] == "1"
    assert "5 recordings from column take; 4 rows without one" in dataset.notes
    assert features(dataset) == ("x",)


def test_group_column_goes_before_repeated_ids(tmp_path: Path) -> None:
    columns = {"track_id": [i // 2 for i in range(N)], "take": ["t" if i < 6 else None for i in range(N)]}
    dataset = load(tmp_path, columns, group_column="take")
    assert recordings(dataset)["1#2"] == "t"
    assert recordings(dataset)["5#1"] == "5"


def test_manifest_of_pieces(tmp_path: Path) -> None:
    columns = {"path": [f"{i}.wav" for i in range(N)], "song_id": [i // 3 for i in range(N)]}
    dataset = load(tmp_path, columns)
    assert recordings(dataset)["13.wav"] == "4"
    assert recordings(load(tmp_path, columns, id_column="song_id"))["4#2"] == "4"
    assert [t.path for t in dataset.tracks][:2] == ["0.wav", "1.wav"]


def test_artists_file_names_recordings_of_several_rows(tmp_path: Path) -> None:
    (tmp_path / "artists.csv").write_text("id,artist\n0,Nina\n3,Miles\n")
    columns = {"track_id": [i // 2 for i in range(N)], "artist": ["B"] * N}
    dataset = load(tmp_path, columns, artists=tmp_path / "artists.csv")
    artists = {t.track_id: (t.artist, t.credit.names) for t in dataset.tracks}
    assert artists["0#1"] == artists["0#2"] == ("Nina", ("Nina",))
    assert artists["3#2"] == ("Miles", ("Miles",))
    assert artists["4#1"] == ("B", ("B",))
    assert not any("naming no file" in n for n in dataset.notes)
