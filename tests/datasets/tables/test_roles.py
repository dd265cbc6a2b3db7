"""genrelab/datasets/tables/roles.py: who a row is credited to, and columns under other names."""

from __future__ import annotations

from pathlib import Path

import pytest

from genrelab.datasets import table
from genrelab.datasets.base import Dataset, DatasetOptions
from genrelab.identity.artists import Credit


def load(folder: Path, text: str, **options: str) -> Dataset:
    (folder / "t.csv").write_text(text)
    return table.load(folder / "t.csv", DatasetOptions(**options))  # type: ignore[arg-type]


def test_all_columns_of_a_credit(tmp_path: Path) -> None:
    dataset = load(
        tmp_path,
        "track_id;genre;Artist;Album Artist;MusicBrainz_ArtistID;musicbrainz_albumartistid;Compilation;x\n"
        "1;a;X feat. Y;Various Artists;u1; u2;1;1.5\n".replace("u1; u2", "u1/u2;u3")
        + "2;b;Z;;;;0;2.5\n3;b;;W;;;yes;3.5\n",
    )
    assert [t.credit for t in dataset.tracks] == [
        Credit(("X feat. Y",), ("u1", "u2"), ("Various Artists",), ("u3",), True),
        Credit(("Z",)),
        Credit((), (), ("W",), (), True),
    ]
    assert [t.artist for t in dataset.tracks] == ["X feat. Y", "Z", None]
    assert dataset.features is not None and dataset.features.columns == ("x",)


@pytest.mark.parametrize("name", ["artist", "Artist Name", "artist_name", "artists", "Performer"])
def test_names_of_the_artist_column(tmp_path: Path, name: str) -> None:
    dataset = load(tmp_path, f"track_id,genre,{name},x\n1,a,X,1.5\n2,b,Y,2\n")
    assert [t.credit.names for t in dataset.tracks] == [("X",), ("Y",)]


def test_artist_column_option(tmp_path: Path) -> None:
    text = "track_id,genre,who,artist,x\n1,a,W,X,1.5\n2,b,V,Y,2\n"
    dataset = load(tmp_path, text, artist_column="who")
    assert [(t.artist, t.credit.names) for t in dataset.tracks] == [("W", ("W",)), ("V", ("V",))]


def test_credits_of_a_manifest(tmp_path: Path) -> None:
    dataset = load(tmp_path, "path,genre,artist,albumartist,artist_mbid\na.wav,a,X,Y,id\n")
    assert dataset.tracks[0].credit == Credit(("X",), ("id",), ("Y",))
    assert not any("ignored" in n for n in dataset.notes)


@pytest.mark.parametrize("header", ["Track ID,Genre,x", "trackId,GENRE,x", " track_id , genre , x "])
def test_names_of_columns_as_people_write_them(tmp_path: Path, header: str) -> None:
    dataset = load(tmp_path, f"{header}\n7,a,1.5\n8,b,2\n")
    assert [(t.track_id, t.genre) for t in dataset.tracks] == [("7", "a"), ("8", "b")]
