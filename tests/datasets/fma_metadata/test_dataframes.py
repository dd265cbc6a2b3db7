"""FMA's tables as DataFrames: types, odd cells, and tables that are not read as shorter ones."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import genrelab
from genrelab.core.errors import DatasetError, MissingRequirementError
from genrelab.datasets.demo import COLUMNS
from genrelab.datasets.fma_metadata.dataframes import CATEGORIES, DATES, LISTS
from tests.datasets.test_fma import ECHONEST_CSV, GENRES_CSV, features_csv

HEADER = [f"{group}.{column}" for group, columns in COLUMNS.items() for column in columns.split()]

EMPTY = dict.fromkeys(HEADER, "") | {
    "album.id": "-1", "album.tags": "[]", "artist.id": "1", "artist.tags": "[]", "set.split": "training",
    "set.subset": "large", "track.bit_rate": "256000", "track.genres": "[]", "track.genres_all": "[]",
    "track.tags": "[]",
}  # fmt: skip
FULL = {
    "album.date_created": "2008-11-26 01:44:45", "album.date_released": "2009-01-05 00:00:00", "album.type": "Album",
    "album.information": "<p>1999</p>", "artist.active_year_begin": "2006-01-01 00:00:00", "artist.bio": "No,\r\nbio",
    "artist.latitude": "40.0583238", "artist.name": "Null", "artist.tags": "['awol', \"it's, yes\"]",
    "set.subset": "small", "track.date_created": "2008-11-26 01:48:12", "track.genre_top": "Hip-Hop",
    "track.genres": "[21, 4]", "track.genres_all": "[21, 4]", "track.license": "CC BY", "track.tags": "['déjà', 'a']",
    "track.title": 'None, "quoted"\nand a second line',
}  # fmt: skip


def tracks_csv(rows: dict[int, dict[str, str]], line_break: str = "\n") -> str:
    """In FMA's layout with all 52 columns; cells that a row does not name are those of a sparse track."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=line_break)
    for level in (0, 1):
        writer.writerow(["", *(name.split(".")[level] for name in HEADER)])
    writer.writerow(["track_id", *("" for _ in HEADER)])
    writer.writerows([i, *(EMPTY | row).values()] for i, row in rows.items())
    return text.getvalue()


ROWS = {2: FULL, 140: {}, 10: {"set.subset": "medium", "track.title": "NA", "track.genre_top": "Rock"}}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "fma"
    (folder / "fma_metadata").mkdir(parents=True)
    contents = {
        "tracks": tracks_csv(ROWS),
        "genres": GENRES_CSV,
        "features": features_csv({2: (1, -2.5, 3e-3, 0.25), 5: ("", 6, 7, 8)}),
        "echonest": ECHONEST_CSV,
    }
    for name, text in contents.items():
        (folder / f"fma_metadata/{name}.csv").write_text(text, encoding="utf-8", newline="")
    return folder


# === Types ===


def test_tracks_have_the_types_of_fmas_own_reader(root: Path) -> None:
    tracks = genrelab.read_fma_tracks(root)
    assert tracks.shape == (3, 52)
    assert (tracks.index.name, list(tracks.index)) == ("track_id", [2, 140, 10])
    assert list(tracks.columns) == [tuple(name.split(".")) for name in HEADER]
    assert all(isinstance(cell, list) for column in LISTS for cell in tracks[column])
    assert {str(tracks[column].dtype)[:10] for column in DATES} == {"datetime64"}
    assert {str(tracks[column].dtype) for column in CATEGORIES} == {"category"}
    assert tracks["track", "bit_rate"].dtype == np.int64 and tracks["artist", "latitude"].dtype == np.float64


def test_lists_and_dates_are_parsed_and_empty_cells_are_missing(root: Path) -> None:
    tracks = genrelab.read_fma_tracks(root)
    assert tracks.loc[2, ("artist", "tags")] == ["awol", "it's, yes"]
    assert tracks.loc[2, ("track", "genres_all")] == [21, 4]
    assert tracks.loc[140, ("track", "genres")] == []
    assert tracks.loc[2, ("track", "date_created")] == pd.Timestamp("2008-11-26 01:48:12")
    assert tracks[list(DATES)].loc[140].isna().all()
    assert tracks["track", "genre_top"].isna().tolist() == [False, True, False]
    assert list(tracks["album", "information"].cat.categories) == ["<p>1999</p>"]


def test_words_for_nothing_stay_titles_and_line_breaks_stay(root: Path) -> None:
    tracks = genrelab.read_fma_tracks(root)
    assert tracks.loc[2, ("artist", "name")] == "Null"
    assert tracks.loc[10, ("track", "title")] == "NA"
    assert tracks.loc[2, ("track", "title")] == 'None, "quoted"\nand a second line'
    assert tracks.loc[2, ("artist", "bio")] == "No,\r\nbio"


def test_a_subset_is_chosen_by_comparison(root: Path) -> None:
    tracks = genrelab.read_fma_tracks(root)
    subset = tracks["set", "subset"]
    assert subset.dtype == pd.CategoricalDtype(["small", "medium", "large"], ordered=True)
    assert list(tracks[tracks["set", "subset"] <= "medium"].index) == [2, 10]
    (root / "fma_metadata/tracks.csv").write_text(tracks_csv({**ROWS, 7: {"set.subset": "full"}}))
    subset = genrelab.read_fma_tracks(root)["set", "subset"]
    assert list(subset.cat.categories) == ["small", "medium", "large", "full"]


def test_all_dates_missing_are_still_dates(root: Path) -> None:
    (root / "fma_metadata/tracks.csv").write_text(tracks_csv({1: {}}))
    tracks = genrelab.read_fma_tracks(root)
    assert {str(tracks[column].dtype)[:10] for column in DATES} == {"datetime64"}


def test_genres_features_and_echonest(root: Path) -> None:
    genres = genrelab.read_fma_genres(root)
    assert genres.index.name == "genre_id" and list(genres.columns) == ["#tracks", "parent", "title", "top_level"]
    assert genres.loc[38].to_dict() == {"#tracks": 38154, "parent": 0, "title": "Experimental", "top_level": 38}
    features = genrelab.read_fma_features(root)
    assert features.columns.names == ["feature", "statistics", "number"]
    assert set(features.dtypes) == {np.dtype("float64")}
    assert features["mfcc"].loc[2].tolist() == [0.003] and np.isnan(features.iloc[1, 0])
    echonest = genrelab.read_fma_echonest(root)
    assert echonest["echonest", "audio_features", "tempo"].tolist() == [165.9, 100.3]
    assert echonest.loc[2].isna().sum() == 2


def test_pandas_own_reader_gives_the_same_numbers(root: Path) -> None:
    for read, name in ((genrelab.read_fma_features, "features"), (genrelab.read_fma_echonest, "echonest")):
        wanted = pd.read_csv(root / f"fma_metadata/{name}.csv", index_col=0, header=[0, 1, 2])
        pd.testing.assert_frame_equal(read(root), wanted, check_names=False)


# === Places ===


def test_every_place_gives_the_same_frames(root: Path) -> None:
    wanted = genrelab.read_fma_tracks(root)
    folder = root / "fma_metadata"
    with zipfile.ZipFile(root / "fma_metadata.zip", "w", zipfile.ZIP_BZIP2) as archive:
        for table in folder.iterdir():
            archive.write(table, f"fma_metadata/{table.name}")
    (root / "fma_small/000").mkdir(parents=True)
    for place in (folder, str(folder / "tracks.csv"), root / "fma_metadata.zip", root / "fma_small"):
        pd.testing.assert_frame_equal(genrelab.read_fma_tracks(place), wanted)
    assert len(genrelab.read_fma_features(root / "fma_metadata.zip")) == 2
    (folder / "tracks.csv").unlink()
    assert len(genrelab.read_fma_genres(folder)) == len(genrelab.read_fma_genres(folder / "genres.csv")) == 2


# === Tables that are not whole ===


def test_missing_tables_are_named_with_the_remedy(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nowhere does not exist: give FMA's folder, .* or genres\.csv"):
        genrelab.read_fma_genres(tmp_path / "nowhere")
    (root / "fma_metadata/features.csv").unlink()
    with pytest.raises(DatasetError, match=r"features\.csv not found: download it with .*fma-metadata"):
        genrelab.read_fma_features(root)
    (tmp_path / "other").mkdir()
    with pytest.raises(DatasetError, match="is not a folder of FMA"):
        genrelab.read_fma_tracks(tmp_path / "other")


def test_errors_name_the_file_that_was_read_and_what_to_give(root: Path, tmp_path: Path) -> None:
    table, other = root / "fma_metadata/tracks.csv", tmp_path / "notes.txt"
    other.write_text("no table")
    remedy = "give FMA's folder, fma_metadata.zip or"
    with pytest.raises(DatasetError) as e:
        genrelab.read_fma_genres(table)
    assert str(e.value) == f"{table} does not have FMA's row `genre_id,…`; {remedy} genres.csv"
    with pytest.raises(DatasetError) as e:
        genrelab.read_fma_tracks(other)
    assert str(e.value) == f"{other} does not have FMA's 2 header rows and a row `track_id,,`; {remedy} tracks.csv"
    other.write_text(tracks_csv({}))
    with pytest.raises(DatasetError) as e:
        genrelab.read_fma_tracks(other)
    assert str(e.value).startswith(f"{other} is cut off or damaged: ")
    with pytest.raises(DatasetError) as e:
        genrelab.read_fma_tracks("/dev/null")
    assert str(e.value) == f"/dev/null is neither a folder nor a file: {remedy} tracks.csv"


def test_errors_name_the_place_in_an_archive(root: Path, tmp_path: Path) -> None:
    archive = tmp_path / "fma_metadata.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("fma_metadata/tracks.csv", "path,genre\n")
    for read, words in (
        (genrelab.read_fma_tracks, "tracks.csv does not have FMA's"),
        (genrelab.read_fma_genres, "genres.csv not found"),
    ):
        with pytest.raises(DatasetError) as e:
            read(archive)
        assert str(e.value).startswith(f"{archive}/{words}")


@pytest.mark.parametrize("lost", [1, 2, 30, 60])
def test_a_table_that_is_cut_off_is_refused(root: Path, lost: int) -> None:
    table = root / "fma_metadata/tracks.csv"
    table.write_text(tracks_csv({**ROWS, 11: {"track.title": 'a "title"'}})[:-lost], encoding="utf-8", newline="")
    if lost == 1:  # the last line break
        assert len(genrelab.read_fma_tracks(root)) == 4
        return
    with pytest.raises(DatasetError, match=r"tracks\.csv.* (is cut off or damaged|data row 4 has)"):
        genrelab.read_fma_tracks(root)


def test_damaged_tables_are_refused(root: Path) -> None:
    table = root / "fma_metadata/tracks.csv"
    table.write_text(tracks_csv({}))
    with pytest.raises(DatasetError, match=r"fma_metadata/tracks\.csv is cut off or damaged"):
        genrelab.read_fma_tracks(root)
    table.write_bytes(tracks_csv(ROWS).encode() + b"\xff\xfe")
    with pytest.raises(DatasetError, match=r"tracks\.csv cannot be read: the file is damaged"):
        genrelab.read_fma_tracks(root)
    table.write_text(GENRES_CSV)
    with pytest.raises(DatasetError, match="does not have FMA's 2 header rows and a row `track_id,,`"):
        genrelab.read_fma_tracks(root)
    (root / "fma_metadata/genres.csv").write_text(tracks_csv(ROWS))
    with pytest.raises(DatasetError, match="does not have FMA's row `genre_id,…`"):
        genrelab.read_fma_genres(root)


def test_an_archive_damaged_in_the_middle_is_refused(root: Path) -> None:
    archive = root / "fma_metadata.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_BZIP2) as file:
        file.writestr("fma_metadata/tracks.csv", tracks_csv(dict.fromkeys(range(500), FULL)))
    whole = bytearray(archive.read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    archive.write_bytes(whole)
    with pytest.raises(DatasetError, match=r"tracks\.csv cannot be read: the file is damaged"):
        genrelab.read_fma_tracks(archive)


@pytest.mark.parametrize(
    ("column", "cell", "words"),
    [
        ("track.tags", "['open", r"track 7: track\.tags has .*not a Python list"),
        ("track.genres", "21", "not a Python list"),
        ("track.genres", "[" * 5_000, "not a Python list"),
        ("album.tags", "[print(1)]", "not a Python list"),
        ("album.date_created", "26th of May", r"album\.date_created has '26th of May', which is not a date"),
        ("set.subset", "tiny", "track 7: unknown subset 'tiny'"),
        ("set.subset", "", "track 7: no subset: use one of small, medium, large, full"),
        ("set.subset", "nan", "track 7: unknown subset 'nan'"),
    ],
)
def test_a_cell_that_is_not_what_its_column_holds_is_named(root: Path, column: str, cell: str, words: str) -> None:
    (root / "fma_metadata/tracks.csv").write_text(tracks_csv({**ROWS, 7: {column: cell}}))
    with pytest.raises(DatasetError, match=words):
        genrelab.read_fma_tracks(root)


def test_doubled_ids_and_words_among_features_are_refused(root: Path) -> None:
    table = root / "fma_metadata/features.csv"
    table.write_text(features_csv({2: (1, 2, 3, 4)}) + "2,1,2,3,4\n")
    with pytest.raises(DatasetError, match="track_id 2 has several rows"):
        genrelab.read_fma_features(root)
    table.write_text(features_csv({2: (1, 2, "much", 4)}))
    with pytest.raises(DatasetError, match=r"not numbers in mfcc\.mean\.01"):
        genrelab.read_fma_features(root)


@settings(max_examples=30)
@given(st.lists(st.tuples(*[st.text("ab\"',\r\n \t;#é[]", max_size=6)] * 2), min_size=1, max_size=20))
def test_pandas_gets_the_cells_that_were_checked(
    tmp_path_factory: pytest.TempPathFactory, cells: list[tuple[str, str]]
) -> None:
    table = tmp_path_factory.mktemp("fma") / "tracks.csv"
    rows = {i: {"artist.bio": bio, "track.license": licence} for i, (bio, licence) in enumerate(cells)}
    table.write_text(tracks_csv(rows, "\r\n"), encoding="utf-8", newline="")
    tracks = genrelab.read_fma_tracks(table)
    found = [tracks[column].astype(object).fillna("") for column in (("artist", "bio"), ("track", "license"))]
    assert list(zip(*found, strict=True)) == cells


# === Without pandas ===


def test_import_is_without_pandas_and_the_error_names_what_to_install(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import sys, genrelab; genrelab.read_fma_tracks; print('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingRequirementError, match=r"needs pandas, .*: pip install 'genrelab\[learn\]'"):
        genrelab.read_fma_tracks(root)


# === Real ===


@pytest.mark.real
def test_real_tracks_and_genres(shared: Path) -> None:
    tracks = genrelab.read_fma_tracks(shared / "data/fma")
    assert tracks.shape == (681, 52)
    assert tracks["set", "subset"].value_counts().to_dict() == {"large": 487, "medium": 136, "small": 58}
    assert (tracks["set", "subset"] <= "medium").sum() == 194
    assert tracks["track", "genre_top"].isna().sum() == 51
    genres = genrelab.read_fma_genres(shared / "data/fma")
    used = {number for numbers in tracks["track", "genres_all"] for number in numbers}
    assert len(genres) == 163 and used <= set(genres.index)
