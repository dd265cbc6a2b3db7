"""FMA's tables in FMA's exact layout, written here, and the real part of FMA where it is at hand."""

from __future__ import annotations

import csv
import io
import shlex
import shutil
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genrelab.core.errors import DatasetError, SettingsError
from genrelab.datasets import fma
from genrelab.datasets.base import Dataset, DatasetOptions
from genrelab.datasets.fma import COLUMNS
from genrelab.datasets.fma_metadata.tables import read_tracks
from genrelab.datasets.registry import detect, load_dataset

HEADER = (
    *("album.date_created", "album.id", "album.title", "artist.id", "artist.latitude", "artist.name"),
    *("artist.tags", "set.split", "set.subset", "track.bit_rate", "track.genre_top", "track.genres"),
    *("track.license", "track.title"),
)
ROWS = [
    # id, album, artist, split, subset, genre
    (2, "1,AWOL - A Way Of Life", "1,AWOL", "training", "small", "Hip-Hop"),
    (5, "1,AWOL - A Way Of Life", "1,A.W.O.L.", "training", "small", "Hip-Hop"),  # one id, two spellings
    (1486, "7,", "9,Same Name", "validation", "medium", "Rock"),
    (99134, "-1,", "10,Same Name", "test", "small", "Rock"),  # two ids, one name
    (140, "61,Alec", "54,Alec", "training", "large", ""),
    (100010, "61,Alec", "54,Alec", "test", "large", "Folk"),
]


def tracks_csv(rows: Sequence[tuple[Any, ...]] = ROWS, header: Sequence[str] = HEADER) -> str:
    """Two header rows, the third line `track_id,,,`, then the rows."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["", *(name.split(".")[0] for name in header)])
    writer.writerow(["", *(name.split(".")[1] for name in header)])
    writer.writerow(["track_id", *("" for _ in header)])
    for track_id, album, artist, split, subset, genre in rows:
        cells = {
            "album.date_created": "2008-11-26 01:44:45", "album.id": album.split(",")[0],
            "album.title": album.split(",")[1], "artist.id": artist.split(",")[0], "artist.latitude": "40.05",
            "artist.name": artist.split(",")[1], "artist.tags": "['a, b', \"it's\"]", "set.split": split,
            "set.subset": subset, "track.bit_rate": "256000", "track.genre_top": genre, "track.genres": "[21, 4]",
            "track.license": "CC BY", "track.title": "over\ntwo lines, \"quoted\"",
        }  # fmt: skip
        writer.writerow([track_id, *(cells[name] for name in header)])
    return text.getvalue()


GENRES_CSV = "genre_id,#tracks,parent,title,top_level\n1,8693,38,Avant-Garde,38\n38,38154,0,Experimental,38\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with fma_metadata and fma_small, three of whose clips are on disk."""
    folder = tmp_path / "fma"
    (folder / "fma_metadata").mkdir(parents=True)
    (folder / "fma_metadata/tracks.csv").write_text(tracks_csv(), encoding="utf-8")
    (folder / "fma_metadata/genres.csv").write_text(GENRES_CSV)
    for name in ("000/000002.mp3", "000/000005.mp3", "100/100010.mp3"):
        (folder / "fma_small" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "fma_small" / name).touch()
    return folder


def load(root: Path, **options: Any) -> Dataset:
    return fma.load(root, DatasetOptions(**options))


def ids(dataset: Dataset) -> list[int]:
    return [int(t.track_id) for t in dataset.tracks]


# === Subsets and tracks ===


@pytest.mark.parametrize(
    ("subset", "expected"),
    [
        (None, [2, 5, 99134]),
        ("small", [2, 5, 99134]),
        ("medium", [2, 5, 1486, 99134]),
        ("large", [2, 5, 140, 1486, 99134, 100010]),
        ("full", [2, 5, 140, 1486, 99134, 100010]),
    ],
)
def test_a_subset_holds_the_smaller_ones(root: Path, subset: str | None, expected: list[int]) -> None:
    dataset = load(root, subset=subset)
    assert ids(dataset) == expected
    assert dataset.name == f"fma-{subset or 'small'}"


def test_subset_by_name(root: Path) -> None:
    assert load_dataset(root, name="fma-medium").name == "fma-medium"
    assert load_dataset(root, name="fma", options=DatasetOptions(subset="large")).name == "fma-large"
    assert load_dataset(root).name == "fma-small"
    with pytest.raises(SettingsError, match="unknown FMA subset 'tiny': use one of small, medium, large, full"):
        load(root, subset="tiny")


def test_track_fields_are_read(root: Path) -> None:
    tracks = {t.track_id: t for t in load(root, subset="full").tracks}
    first = tracks["2"]
    assert (first.genre, first.official_split, first.licence) == ("Hip-Hop", "training", "CC BY")
    assert (first.artist, first.album) == ("1 AWOL", "1 AWOL - A Way Of Life")
    assert first.path == "fma_small/000/000002.mp3"
    assert tracks["100010"].path == "fma_small/100/100010.mp3"
    assert tracks["140"].genre is None
    assert (tracks["1486"].album, tracks["99134"].album) == ("7", None)  # no title; id -1 is no album


def test_artists_are_grouped_by_id(root: Path) -> None:
    artists = {t.track_id: t.artist for t in load(root, subset="full").tracks}
    assert artists["2"] == artists["5"] == "1 AWOL"
    assert (artists["1486"], artists["99134"]) == ("9 Same Name", "10 Same Name")


def test_notes_count_what_was_read(root: Path) -> None:
    assert load(root).notes == (
        "tracks.csv: 6 rows, 3 of them in small; official split: 2 training / 0 validation / 1 test",
        "without a genre: 1 row, 0 of them in small",
        "known problem of FMA (too short or undecodable): 1 track: 99134",
        "clips in fma_small/: 1 of 3 tracks missing",
    )
    full = load(root, subset="full").notes
    assert full[1] == "without a genre: 1 row, 1 of them in full"
    assert full[3] == "known problem of FMA (wrong duration): 1 track: 1486"


def test_known_faults_are_the_published_ones() -> None:
    assert sorted(map(int, fma.KNOWN_PROBLEMS)) == [
        *(1486, 5574, 65753, 80391, 98558, 98559, 98560, 98565, 98566, 98567, 98568, 98569, 98571),
        *(99134, 105247, 108924, 108925, 126981, 127336, 133297, 143992),
    ]


# === Where things lie ===


def test_clips_as_root_with_the_metadata_beside(root: Path) -> None:
    dataset = load(root / "fma_small")
    assert dataset.root == root / "fma_small"
    assert dataset.tracks[0].path == "000/000002.mp3"
    assert dataset.notes[-1] == "clips in fma_small: 1 of 3 tracks missing"


def test_metadata_as_root_with_the_clips_beside(root: Path) -> None:
    for given in (root / "fma_metadata", root / "fma_metadata/tracks.csv"):
        assert detect(given)[0] == "fma"
        dataset = load(given)
        assert dataset.root == root
        assert dataset.tracks == load(root).tracks


def test_tables_among_the_clips(root: Path) -> None:
    shutil.move(root / "fma_metadata/tracks.csv", root / "fma_small/tracks.csv")
    assert detect(root / "fma_small") == ("fma", "tracks.csv")
    assert load(root / "fma_small").tracks[0].path == "000/000002.mp3"
    shutil.move(root / "fma_small/tracks.csv", root / "tracks.csv")
    assert load(root).tracks[0].path == "fma_small/000/000002.mp3"


@pytest.mark.parametrize("unpacked_too", [False, True])
def test_metadata_in_a_zip_of_bzip2_members(root: Path, unpacked_too: bool) -> None:
    whole = load(root)
    with zipfile.ZipFile(root / "fma_metadata.zip", "w", zipfile.ZIP_BZIP2) as archive:
        archive.write(root / "fma_metadata/tracks.csv", "fma_metadata/tracks.csv")
        archive.write(root / "fma_metadata/genres.csv", "fma_metadata/genres.csv")
    shutil.rmtree(root / "fma_metadata")
    if unpacked_too:
        (root / "fma_metadata").mkdir()  # begun, but tracks.csv is not there yet
    assert load(root) == whole
    assert load(root / "fma_small").notes == (*whole.notes[:-1], whole.notes[-1].replace("small/", "small"))
    assert detect(root / "fma_small") == ("fma", "fma_metadata.zip beside it")


@pytest.mark.parametrize(
    ("folders", "subset", "expected"),
    [
        (["fma_small", "fma_medium"], "small", "fma_small"),
        (["fma_medium", "fma_full"], "small", "fma_medium"),  # a larger one serves a smaller subset
        (["fma_small", "fma_large"], "medium", "fma_large"),
        (["fma_small"], "large", "fma_small"),  # better than none; what it lacks is missing
        ([], "medium", "fma_medium"),
    ],
)
def test_clips_folder_is_chosen_by_subset(root: Path, folders: list[str], subset: str, expected: str) -> None:
    shutil.rmtree(root / "fma_small")
    for folder in folders:
        (root / folder).mkdir()
    dataset = load(root, subset=subset)
    assert dataset.tracks[0].path == f"{expected}/000/000002.mp3"
    n = len(dataset.tracks)
    assert dataset.notes[-1] == f"clips in {expected}/: {n} of {n} tracks missing"


def test_tables_beside_the_clips(root: Path) -> None:
    shutil.move(root / "fma_metadata/tracks.csv", root / "tracks.csv")
    shutil.rmtree(root / "fma_metadata")
    assert detect(root / "fma_small") == ("fma", "tracks.csv beside it")
    assert load(root / "fma_small").tracks[0].path == "000/000002.mp3"


def test_files_that_no_row_names_are_listed_and_clips_of_other_subsets_are_not(root: Path) -> None:
    clips = root / "fma_small"
    for name in ("000/000003.mp3", "extra.wav", "README.txt", "000/._000002.mp3", "#recycle/000/000005.mp3"):
        (clips / name).parent.mkdir(exist_ok=True, parents=True)
        (clips / name).touch()
    dataset = load(root)
    assert {(u.path, u.is_audio) for u in dataset.unused} == {
        ("fma_small/000/000003.mp3", True), ("fma_small/extra.wav", True), ("fma_small/README.txt", False),
        ("fma_small/000/._000002.mp3", False), ("fma_small/#recycle", False),
    }  # fmt: skip
    note = "skipped: 2 audio files not in tracks.csv: fma_small/000/000003.mp3, fma_small/extra.wav"
    assert note in dataset.notes
    assert [u.path for u in load(clips).unused if u.is_audio] == ["000/000003.mp3", "extra.wav"]


# === Clips without metadata ===


def numbered(folder: Path, *ids: int, suffix: str = "mp3") -> None:
    for i in ids:
        file = folder / f"{i // 1000:03d}" / f"{i:06d}.{suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


@pytest.mark.parametrize("below", [".", "fma_small", "fma_medium", "fma_large", "FMA-full", "clips", "music/fma_full"])
def test_clips_without_metadata_are_refused_with_what_is_missing(tmp_path: Path, below: str) -> None:
    root = tmp_path / "my data"
    numbered(root / below, 2, 5, 140, 1_005, 99_134, 155_320)
    (root / below / "README.txt").touch()
    (root / "checksums").touch()
    (root / "stray.mp3").touch()
    for name in ("auto", "folder"):
        with pytest.raises(DatasetError) as caught:
            load_dataset(root, name=name)
        message = str(caught.value)
        place = {".": tmp_path, "music/fma_full": root / "music"}.get(below, root)
        command = f"genrelab download fma-metadata --out {shlex.quote(str(place))}"
        assert "contains FMA's clips (6 files such as 000/000002.mp3)" in message
        assert "tracks.csv, fma_metadata/ or fma_metadata.zip" in message and f"`{command}`" in message
    again = root if place in (root, root.parent) else place
    assert (f"then use {shlex.quote(str(place))} as ROOT" in message) == (
        again == place and place not in (root, root.parent)
    )
    (place / "fma_metadata").mkdir()  # as the command leaves it
    (place / "fma_metadata/tracks.csv").write_text(tracks_csv(), encoding="utf-8")
    assert ids(load_dataset(again)) == [2, 5, 99134]


def test_several_folders_of_clips_are_refused_by_their_names(tmp_path: Path) -> None:
    for name in ("fma_small", "fma_medium"):
        numbered(tmp_path / name, 2, 5, 140)
    with pytest.raises(DatasetError, match=r"6 files such as 000/000002\.mp3"):
        load_dataset(tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ["80/a.mp3", "90s/b.mp3", "1970/c.mp3"],
        ["80/01.mp3", "90/02.mp3"],
        ["100/track 1.mp3", "200/track 2.mp3"],
        ["100/000001.mp3", "200/000002.mp3"],  # numbers that don't begin with those of the folder
        ["1970/197001.mp3", "1980/198001.mp3"],
        ["rock/000/000001.mp3", "pop/001/001002.mp3"],  # genres, each with numbered folders
        ["rock/a.mp3", "rock/b.mp3", "pop/c.mp3", "000/000001.mp3"],
        ["house/128/128000.mp3", "techno/130/130001.mp3"],
    ],
)
def test_genres_with_numbers_are_genres(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert {t.track_id for t in load_dataset(tmp_path).tracks} == set(names)


# === Bad tables ===


def test_no_tracks_csv(root: Path) -> None:
    (root / "fma_metadata/tracks.csv").unlink()
    with pytest.raises(DatasetError, match=r"fma_metadata/tracks\.csv not found: download it with .*fma-metadata"):
        load(root)


def test_a_cut_table_is_not_read_as_a_shorter_one(root: Path) -> None:
    table = root / "fma_metadata/tracks.csv"
    table.write_text(tracks_csv()[:-60], encoding="utf-8")
    with pytest.raises(DatasetError, match=r"tracks\.csv: data row 6 has \d+ of 15 cells.*download it again"):
        load(root)


def test_custom_table_error_suggests_the_table_dataset(root: Path) -> None:
    (root / "fma_metadata/tracks.csv").write_text("path,genre\na.mp3,rock\n")
    with pytest.raises(DatasetError, match=r"does not have FMA's 2 header rows.*--dataset table"):
        load(root)
    with pytest.raises(DatasetError, match="not one of FMA's tables: give the path of FMA's folder"):
        load(root / "fma_metadata/tracks.csv")


def test_missing_columns_and_doubled_ids(root: Path) -> None:
    table = root / "fma_metadata/tracks.csv"
    table.write_text(tracks_csv(header=[c for c in HEADER if c not in ("artist.id", "set.split")]))
    with pytest.raises(DatasetError, match=r"tracks\.csv lacks the columns artist\.id, set\.split"):
        load(root)
    table.write_text(tracks_csv([*ROWS, ROWS[0]]))
    with pytest.raises(DatasetError, match="1 track id given to several tracks, such as '2'"):
        load(root)


def test_unreadable_table_is_reported(root: Path) -> None:
    (root / "fma_metadata/tracks.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(DatasetError, match=r"tracks\.csv cannot be read: the file is damaged"):
        load(root)
    shutil.rmtree(root / "fma_metadata")
    (root / "fma_metadata.zip").write_bytes(b"half an archive")
    with pytest.raises(DatasetError, match=r"fma_metadata\.zip/tracks\.csv cannot be read: the file is damaged"):
        load(root)


# === Parsed tables ===


def test_empty_cells_are_none(root: Path) -> None:
    first, *others = read_tracks(root, columns=COLUMNS)
    assert first == {
        "track_id": "2",
        "album.id": "1",
        "album.title": "AWOL - A Way Of Life",
        "artist.id": "1",
        "artist.name": "AWOL",
        "set.split": "training",
        "set.subset": "small",
        "track.genre_top": "Hip-Hop",
        "track.license": "CC BY",
    }
    assert any(row["track.genre_top"] is None for row in others)


def test_chosen_columns_and_long_cells(root: Path) -> None:
    table = root / "fma_metadata/tracks.csv"
    table.write_text(tracks_csv().replace("over", "o" * 200_000, 1), encoding="utf-8")
    rows = list(read_tracks(root, columns=["track.title"]))
    assert len(rows) == 6
    assert set(rows[0]) == {"track_id", "track.title"}
    assert len(str(rows[0]["track.title"])) > 200_000


# === Precomputed features ===


def features_csv(rows: dict[int, Sequence[Any]]) -> str:
    """FMA's layout: feature, statistics, number, then the line `track_id`."""
    lines = [
        "feature,chroma_cens,chroma_cens,mfcc,zcr",
        "statistics,kurtosis,kurtosis,mean,max",
        "number,01,02,01,01",
        "track_id,,,,",
    ]
    return "\n".join(lines + [",".join(map(str, (i, *row))) for i, row in rows.items()]) + "\n"


ECHONEST_CSV = """\
,echonest,echonest,echonest,echonest,echonest,echonest,echonest
,audio_features,audio_features,metadata,metadata,ranks,social_features,temporal_features
,acousticness,tempo,album_date,artist_latitude,artist_discovery_rank,artist_familiarity,000
track_id,,,,,,,
2,0.4,165.9,,32.7,,0.38,0.87
5,0.04,100.3,"2008, May",40.1,2635,0.39,
"""


def write_beside(root: Path, name: str, content: str) -> Path:
    path = root / "fma_metadata" / name
    path.write_text(content)
    return path


def test_features_csv(root: Path) -> None:
    table = features_csv({140: (9, 9, 9, 9), 5: (1, -2.5, 3e-3, 0.25), 2: (5, 6, 7, 8), 77: ("far", 0, 0, 0)})
    path = write_beside(root, "features.csv", table)
    dataset = load_dataset(path)
    assert dataset.name == "fma-small"
    assert dataset.features is not None
    assert dataset.features.columns == (
        *("chroma_cens_kurtosis_01", "chroma_cens_kurtosis_02", "mfcc_mean_01", "zcr_max_01"),
    )
    assert dataset.features.values.dtype == np.float32
    np.testing.assert_array_equal(dataset.features.values, np.float32([[5, 6, 7, 8], [1, -2.5, 3e-3, 0.25]]))
    assert [(t.track_id, t.path, t.genre, t.artist) for t in dataset.tracks] == [
        ("2", None, "Hip-Hop", "A.W.O.L."),
        ("5", None, "Hip-Hop", "A.W.O.L."),
    ]
    assert dataset.notes[0] == "read as fma: it has the header rows of FMA's features.csv"
    assert "features.csv: 4 feature columns; skipped: 1 track without a row" in dataset.notes
    assert ids(load(path, subset="full")) == [2, 5, 140]


def test_echonest_csv(root: Path) -> None:
    path = write_beside(root, "echonest.csv", ECHONEST_CSV)
    with pytest.raises(DatasetError, match=r"empty or infinite cells in temporal_features_000: .*--drop"):
        load(path)
    dataset = load(path, drop=("temporal_features_000",))
    assert dataset.features is not None
    assert dataset.features.columns == ("acousticness", "tempo", "artist_familiarity")
    np.testing.assert_array_equal(dataset.features.values, np.float32([[0.4, 165.9, 0.38], [0.04, 100.3, 0.39]]))


def test_invalid_features_are_refused(root: Path) -> None:
    path = write_beside(root, "features.csv", features_csv({2: (1, 2, 3, "nan"), 5: (1, "inf", 3, 4)}))
    wanted = r"features\.csv: empty or infinite cells in chroma_cens_kurtosis_02, zcr_max_01: .*--drop"
    with pytest.raises(DatasetError, match=wanted):
        load(path)
    with pytest.raises(SettingsError, match=r"--drop: features\.csv has no column zcr"):
        load(path, drop=("zcr",))
    path.write_text(features_csv({2: (1, 2, "much", 4)}))
    with pytest.raises(DatasetError, match=r"features\.csv: track 2 has a cell that is not a number"):
        load(path)
    path.write_text(features_csv({2: (1, 2, 3, 4)}) + "2,1,2,3,4\n")
    with pytest.raises(DatasetError, match="track 2 has several rows"):
        load(path)
    path.write_text(features_csv({2: (1, 2, 3, 4)}) + "5,1,2\n")
    with pytest.raises(DatasetError, match="data row 2 has 3 of 5 cells"):
        load(path)
    path.write_text(features_csv({140: (1, 2, 3, 4)}))
    with pytest.raises(DatasetError, match=r"features\.csv: no tracks found"):
        load(path)


def test_features_need_tracks_csv_beside_them(root: Path) -> None:
    path = write_beside(root, "features.csv", features_csv({2: (1, 2, 3, 4)}))
    (root / "fma_metadata/tracks.csv").unlink()
    with pytest.raises(DatasetError, match=r"which has tracks\.csv"):
        load(path)


# === Real ===


@pytest.mark.real
def test_real_rows_are_all_read(shared: Path) -> None:
    rows = list(read_tracks(shared / "data/fma", columns=COLUMNS))
    assert len(rows) == 681
    assert Counter(row["set.subset"] for row in rows) == {"small": 58, "medium": 136, "large": 487}
    assert Counter(row["set.split"] for row in rows) == {"training": 563, "validation": 47, "test": 71}
    assert sum(row["track.genre_top"] is None for row in rows) == 51


@pytest.mark.real
def test_real_empty_cells_are_those_that_pandas_finds(shared: Path) -> None:
    import pandas as pd

    table = pd.read_csv(
        shared / "data/fma/fma_metadata/tracks.csv",
        index_col=0, header=[0, 1], keep_default_na=False, na_values=[""], low_memory=False,
    )  # fmt: skip
    rows = list(read_tracks(shared / "data/fma", columns={".".join(column) for column in table.columns}))
    assert [row["track_id"] for row in rows] == list(map(str, table.index))
    for column in table.columns:
        empty = [row[".".join(column)] is None for row in rows]
        assert empty == list(table[column].isna()), column


@pytest.mark.real
def test_real_subsets(shared: Path) -> None:
    dataset = load(shared / "data/fma")
    assert Counter(t.genre for t in dataset.tracks) == {
        "Folk": 27, "Rock": 9, "International": 9, "Hip-Hop": 5, "Pop": 4, "Experimental": 4,
    }  # fmt: skip
    assert Counter(t.official_split for t in dataset.tracks) == {"training": 45, "validation": 4, "test": 9}
    assert dataset.notes[-1] == "clips in fma_small/: 50 of 58 tracks missing"
    assert "without a genre: 51 rows" in dataset.notes[1]
    assert [len(load(shared / "data/fma", subset=s).tracks) for s in ("medium", "large", "full")] == [
        194,
        681,
        681,
    ]
    assert len({t.artist for t in load(shared / "data/fma", subset="full").tracks}) == 84
    assert load(shared / "data/fma/fma_small").tracks[0].path == "000/000002.mp3"
