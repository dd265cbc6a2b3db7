"""genrelab/datasets/table.py: manifests and tables of features; nothing is guessed in silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from genrelab.core.errors import DatasetError, SettingsError
from genrelab.datasets import table
from genrelab.datasets.base import Dataset, DatasetOptions
from genrelab.datasets.registry import load_dataset

FEATURES = "track_id,tempo,energy,genre,split,artist\n10,120.5,0.5,Rock,train,1.0\n9,90,0.25,Pop,test,\n"


def put(folder: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def load(path: Path, **options: Any) -> Dataset:
    return table.load(path, DatasetOptions(**options))


def note(dataset: Dataset, word: str) -> str:
    """The one note that holds `word`."""
    (found,) = [n for n in dataset.notes if word in n]
    return found


def columns(dataset: Dataset) -> tuple[str, ...]:
    assert dataset.features is not None
    return dataset.features.columns


def values(dataset: Dataset) -> list[list[float]]:
    assert dataset.features is not None
    return dataset.features.values.tolist()


# === Features ===


def test_features_follow_their_tracks(tmp_path: Path) -> None:
    dataset = load(put(tmp_path, FEATURES))
    assert [(t.track_id, t.path, t.genre, t.artist, t.official_split) for t in dataset.tracks] == [
        ("9", None, "Pop", None, "test"),
        ("10", None, "Rock", "1", "training"),
    ]
    assert columns(dataset) == ("tempo", "energy")
    assert values(dataset) == [[90, 0.25], [120.5, 0.5]]
    assert dataset.features is not None and dataset.features.values.dtype == np.float32
    assert (dataset.name, dataset.root) == ("table", tmp_path / "t.csv")


def test_artists_file_takes_precedence_over_the_artist_column(tmp_path: Path) -> None:
    artists = put(tmp_path, "id,artist\n9,Nina\n11,Miles\n", "artists.csv")
    dataset = load(put(tmp_path, FEATURES), artists=artists)
    assert [(t.track_id, t.artist) for t in dataset.tracks] == [("9", "Nina"), ("10", "1")]
    assert note(dataset, "artist known") == "artist known for 1 of 2 tracks, from artists.csv"
    assert note(dataset, "matching") == "1 row of artists.csv without a matching file: 11"
    assert values(dataset) == [[90, 0.25], [120.5, 0.5]]


def test_notes_name_the_columns(tmp_path: Path) -> None:
    dataset = load(put(tmp_path, FEATURES))
    assert dataset.notes == (
        "genres from column genre: Pop 1, Rock 1",
        "official split from column split: training 1, test 1",
        "artists from column artist; 1 row without one",
        "2 feature columns: tempo, energy",
        "4 other columns: track_id, genre, split, artist",
    )


@pytest.mark.parametrize("kind", ["csv", "index", "columns"])
def test_parquet_holds_the_same(tmp_path: Path, kind: str) -> None:
    expected = load(put(tmp_path, FEATURES))
    frame = pd.read_csv(tmp_path / "t.csv").astype({"genre": "category"})
    frame = frame.set_index("track_id") if kind == "index" else frame
    frame.to_parquet(tmp_path / "t.parquet")
    dataset = load(tmp_path / "t.parquet")
    assert dataset.tracks == expected.tracks
    assert values(dataset) == values(expected)


@pytest.mark.parametrize(("separator", "name"), [(";", "t.csv"), ("\t", "t.tsv"), ("|", "t.csv"), ("\t", "t.csv")])
def test_other_separators(tmp_path: Path, separator: str, name: str) -> None:
    assert values(load(put(tmp_path, FEATURES.replace(",", separator), name))) == [[90, 0.25], [120.5, 0.5]]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_other_encodings(tmp_path: Path, encoding: str) -> None:
    text = "track_id,x,genre\n1,2,Forró\n".replace("\n", "\r\n")
    dataset = load(put(tmp_path, text.encode(encoding)))
    assert dataset.genres == ("Forró",)
    assert any("Windows-1252" in n for n in dataset.notes) == (encoding == "latin-1")


def test_label_is_the_first_usual_column_unless_given(tmp_path: Path) -> None:
    path = put(tmp_path, "track_id,mood,label,genre_top,x\n1,sad,3,Rock,0\n2,gay,4,Pop,1\n")
    assert load(path).genres == ("Pop", "Rock")
    assert load(path, label="mood").genres == ("gay", "sad")
    # A second label is never a feature, though it is a number.
    assert columns(load(path)) == columns(load(path, label="mood")) == ("x",)
    assert note(load(path), "left out") == "2 columns left out: label (by its name), mood (text)"


def test_columns_that_leak_the_genre_are_no_features(tmp_path: Path) -> None:
    text = ",track_id,id,index,album,subset,genres,Path2,x,Genre\n0,7,7,0,1,2,3,4,5,a\n1,8,8,1,1,2,3,6,6,b\n"
    assert columns(load(put(tmp_path, text))) == ("Path2", "x")
    pd.DataFrame({"x": [1.0, 2.0], "genre": ["a", "b"]}, index=[5, 7]).to_parquet(tmp_path / "t.parquet")
    assert columns(load(tmp_path / "t.parquet")) == ("x",)


def test_dropped_and_text_columns_are_left_out(tmp_path: Path) -> None:
    path = put(tmp_path, "track_id,genre,a,b,mood,flag\n1,x,1,2,t,True\n2,y,3,4,u,False\n")
    dataset = load(path, drop=("b",))
    assert columns(dataset) == ("a",)
    assert values(dataset) == [[1], [3]]
    assert note(dataset, "left out") == "3 columns left out: b (--drop), mood (text), flag (true or false)"


def test_many_features_are_abridged(tmp_path: Path) -> None:
    names = [f"f{n}" for n in range(46)]
    path = put(tmp_path, ",".join(["genre", *names]) + "\n" + ",".join(["a", *map(str, range(46))]) + "\n")
    assert note(load(path), "feature columns:") == "46 feature columns: f0, f1, ... f45"


def test_named_columns(tmp_path: Path) -> None:
    path = put(tmp_path, "key,who,fold,style,x\na,W,valid,s,1\nb,V,none,t,2\n")
    dataset = load(path, id_column="key", artist_column="who", split_column="fold", label="style")
    assert [(t.track_id, t.artist, t.official_split) for t in dataset.tracks] == [
        ("a", "W", "validation"),
        ("b", "V", "excluded"),
    ]


def test_rows_without_ids_are_numbered_and_noted(tmp_path: Path) -> None:
    dataset = load(put(tmp_path, "genre,x\n" + "".join(f"a,{n / 2}\n" for n in range(12))))
    assert [t.track_id for t in dataset.tracks] == [str(n) for n in range(1, 13)]
    assert values(dataset) == [[n / 2] for n in range(12)]
    assert "ids are row numbers" in note(dataset, "track_id (")


def test_whole_numbers_stay_whole(tmp_path: Path) -> None:
    dataset = load(put(tmp_path, "track_id,genre,artist,x\n2.0,1.0,311.0,1\n000003,2,NA,2\n4,nan,None,3\n"))
    assert [(t.track_id, t.genre, t.artist) for t in dataset.tracks] == [
        ("2", "1", "311"),
        ("000003", "2", "NA"),  # an artist may be called so
        ("4", None, "None"),
    ]
    frame = pd.DataFrame({"track_id": [1.0, 2.0], "genre": ["a", None], "artist": [5.0, np.nan], "x": [1, 2]})
    frame.to_parquet(tmp_path / "t.parquet")
    dataset = load(tmp_path / "t.parquet")
    assert [(t.track_id, t.genre, t.artist) for t in dataset.tracks] == [("1", "a", "5"), ("2", None, None)]


def test_rows_without_a_genre_are_counted(tmp_path: Path) -> None:
    dataset = load(put(tmp_path, "track_id,genre,x\n1,,1\n2,a,2\n3,  ,3\n"))
    assert [t.genre for t in dataset.tracks] == [None, "a", None]
    assert note(dataset, "without a genre") == "2 rows without a genre"


def test_missing_numbers_are_an_error_that_names_them(tmp_path: Path) -> None:
    path = put(tmp_path, "track_id,genre,x,y,z\n7,a,1,,3\n8,b,2,NaN,\n9,b,2,1,4\n5,b,2,2,4\n")
    with pytest.raises(DatasetError) as e:
        load(path)
    assert "missing numbers (--impute median fills them, --drop leaves a column out) in 2 feature columns" in str(
        e.value
    )
    assert "y (2 rows, first row 1, id 7), z (1 row, first row 2, id 8)" in str(e.value)
    assert columns(load(path, drop=("y", "z"))) == ("x",)


def test_impute_keeps_the_gaps_for_the_models(tmp_path: Path) -> None:
    path = put(tmp_path, "track_id,genre,x,y\n7,a,1,\n8,b,2,5\n9,b,3,100\n")
    dataset = load(path, impute="median")
    assert dataset.features is not None
    # A median over all rows would carry test rows into training.
    np.testing.assert_array_equal(dataset.features.values, np.float32([[1, np.nan], [2, 5], [3, 100]]))
    assert note(dataset, "missing").startswith("1 number missing in 1 feature column (y): filled with the medians")
    with pytest.raises(SettingsError, match="--impute must be median"):
        load(path, impute="mean")


@pytest.mark.parametrize("cell", ["inf", "-inf", "1e39"])
def test_infinite_numbers_are_always_an_error(tmp_path: Path, cell: str) -> None:
    path = put(tmp_path, f"track_id,genre,x\n1,a,0\n2,b,{cell}\n")
    for impute in (None, "median"):
        with pytest.raises(DatasetError, match=r"infinite .*: x \(1 row, first row 2, id 2\)"):
            load(path, impute=impute)


def test_column_without_any_number_is_left_out(tmp_path: Path) -> None:
    dataset = load(put(tmp_path, "track_id,genre,x,y\n1,a,0,\n2,b,1,\n"))
    assert columns(dataset) == ("x",)
    assert note(dataset, "left out") == "1 column left out: y (empty)"


def test_column_of_the_name_of_one_of_genrelab_itself_is_left_out(tmp_path: Path) -> None:
    """`features.parquet` has a column `start_s`."""
    dataset = load(put(tmp_path, "track_id,genre,x,start_s\n1,a,0,3.5\n2,b,1,4.5\n"))
    assert columns(dataset) == ("x",)
    assert note(dataset, "left out") == "1 column left out: start_s (by its name)"


@pytest.mark.parametrize("text", ["genre,x\na,0.5\nb,1.5\n", "genre;x\na;0,5\nb;1,5\n"])
def test_table_of_one_feature(tmp_path: Path, text: str) -> None:
    assert values(load(put(tmp_path, text))) == [[0.5], [1.5]]


def test_typo_in_a_numeric_column_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="row 3, column x: '1,5' is not a number"):
        load(put(tmp_path, 'track_id,genre,x\n1,a,0.5\n2,b,2\n3,c,"1,5"\n'))


def test_second_label_among_the_features_is_named(tmp_path: Path) -> None:
    rows = "".join(f"{i},{'abc'[i % 3]},{i % 3},{i % 3 + (i == 7)},{i / 7}\n" for i in range(15))
    dataset = load(put(tmp_path, "track_id,genre,target,mode,x\n" + rows))
    assert (
        note(dataset, "one value per genre")
        == "1 feature with one value per genre, which gives the genre away (leave out with --drop): target"
    )


# === Manifest ===


def test_manifest_with_paths_from_its_own_folder(tmp_path: Path) -> None:
    path = put(tmp_path, "path,genre,artist,album,split,bpm\nb/x.mp3,Rock,A,Al,test,90\n./a.mp3,Pop,,,val,80\n")
    dataset = load(path)
    assert [(t.track_id, t.path, t.genre, t.artist, t.album, t.official_split) for t in dataset.tracks] == [
        ("./a.mp3", "a.mp3", "Pop", None, None, "validation"),
        ("b/x.mp3", "b/x.mp3", "Rock", "A", "Al", "test"),
    ]
    assert dataset.root == tmp_path
    assert dataset.features is None
    assert str(tmp_path) in note(dataset, "list of audio files")
    assert note(dataset, "ignored") == "1 column ignored, as the audio is used: bpm"


@pytest.mark.parametrize("absolute", [True, False])
def test_paths_that_leave_the_folder_move_the_root(tmp_path: Path, absolute: bool) -> None:
    (tmp_path / "lists").mkdir()
    there = f"{tmp_path}/music" if absolute else "../music"
    path = put(tmp_path / "lists", f"path,genre\n{there}/a.mp3,x\nhere.mp3,y\n")
    dataset = load(path)
    assert dataset.root == tmp_path
    assert {t.path for t in dataset.tracks} == {"music/a.mp3", "lists/here.mp3"}
    assert {t.track_id for t in dataset.tracks} == {f"{there}/a.mp3", "here.mp3"}
    assert note(dataset, "list of audio files").endswith(f"below {tmp_path}")


def test_relative_table_and_absolute_paths_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, f"path,genre\n{tmp_path}/a.mp3,x\n")
    monkeypatch.chdir(tmp_path)
    dataset = load(Path("t.csv"))
    assert [t.path for t in dataset.tracks] == ["a.mp3"]
    assert dataset.root.samefile(tmp_path)


def test_manifest_ids_and_labels_of_other_columns(tmp_path: Path) -> None:
    path = put(tmp_path, "Track_ID,Path,mood\n12,a.mp3,sad\n3,b.mp3,glad\n")
    dataset = load(path, label="mood")
    assert [(t.track_id, t.path, t.genre) for t in dataset.tracks] == [("3", "b.mp3", "glad"), ("12", "a.mp3", "sad")]


def test_blank_and_doubled_paths_are_counted(tmp_path: Path) -> None:
    dataset = load(put(tmp_path, "track_id,path,genre\n1,a.mp3,x\n2,,y\n3,./a.mp3,y\n"))
    assert [t.problem for t in dataset.tracks] == [None, "row 2 of the table has no path", None]
    assert note(dataset, "without a path") == "1 row without a path: row 2"
    assert note(dataset, "several rows") == "1 file in several rows, treated as one recording: a.mp3"
    assert [t.recording for t in dataset.tracks] == ["a.mp3", None, "a.mp3"]
    assert load(put(tmp_path, "path,genre\na.mp3,x\n,y\n")).tracks[1].track_id == "row 2"


def test_names_with_newlines_and_unicode(tmp_path: Path) -> None:
    dataset = load(put(tmp_path, 'path,genre,artist\n"a\nb ü.mp3","x,y","Q ""R"""\n'))
    (track,) = dataset.tracks
    assert (track.path, track.genre, track.artist) == ("a\nb ü.mp3", "x,y", 'Q "R"')


# === Faults ===


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        ("", {}, "is empty"),
        ("\n \n", {}, "is empty"),
        ("genre,x\n", {}, "the table has no rows"),
        ("path,title\na.mp3,t\n", {}, "no column genre or genre_top or label: .* 2 columns: path, title"),
        (
            f"{','.join(f'f{i}' for i in range(40))},file,style\n{'1,' * 40}a.wav,rock\n",
            {},
            r"42 columns: of text: file, style; of numbers: f0, f1, f2, f3, f4 and 35 more",
        ),
        ("genre,x\na,1\n", {"label": "mood"}, r"no column mood \(--label\); 2 columns: genre, x"),
        ("genre,x\na,1\n", {"split_column": "s"}, r"no column s \(--split-column\)"),
        ("genre,x\na,1\n", {"artist_column": "s"}, r"no column s \(--artist-column\)"),
        ("genre,x\na,1\n", {"id_column": "s"}, r"no column s \(--id-column\)"),
        ("genre,x\na,1\n", {"drop": ("s",)}, r"no column s \(--drop\)"),
        ("genre,x\na,1\n", {"group_column": "s"}, r"no column s \(--group-column\)"),
        ("genre,x\na,1\n", {"drop": ("x",)}, "no column is usable as a feature; 2 columns"),
        (
            "genre;x\na;b\n",
            {},
            r"no column is usable as a feature; 2 columns: .*; 1 column left out: x \(text\)",
        ),
        ("genre,x,x\na,1,2\n", {}, "two columns are called x"),
        ("genre,x\na,1\nb,2,3\n", {}, "line 3 does not match the header of 2 fields separated by ','"),
        ("genre,x,y\na,1\n", {}, "line 2 does not match the header"),
        ("genre,x,y\na,1,2,3\nb,1,2,3\n", {}, "line 2 does not match the header"),
        ('genre,x\n"a,1\nb,2\n', {}, "does not match the header"),
        ("track_id,genre,x\n1,a,1\n,b,2\n", {}, "1 row without an id in column track_id \\(2\\)"),
        ("genre,x,split\na,1,train\nb,2,trian\n", {}, "row 2, column split: unknown split 'trian'"),
        (b"PAR1\0\0\0", {}, "contains NUL bytes|contains a NUL byte"),
    ],
)
def test_bad_tables(tmp_path: Path, content: str | bytes, options: dict[str, Any], words: str) -> None:
    with pytest.raises(DatasetError, match=words) as e:
        load(put(tmp_path, content), **options)
    assert "\n" not in str(e.value)
    assert "t.csv" in str(e.value)


def test_bad_parquet(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be read as a Parquet file"):
        load(put(tmp_path, "genre,x\n", "t.parquet"))
    with pytest.raises(DatasetError, match="cannot be read as a Parquet file"):
        load(tmp_path / "missing.parquet")
    frame = pd.DataFrame({"genre": ["a"], "x": [1]}, index=pd.Index(["b"], name="genre"))
    frame.to_parquet(tmp_path / "twice.parquet")
    with pytest.raises(DatasetError, match="two columns are called genre"):
        load(tmp_path / "twice.parquet")
    with pytest.raises(DatasetError, match="cannot be read: No such file"):
        load(tmp_path / "missing.csv")


@pytest.mark.parametrize("name", ["t.csv", "t.CSV", "t.tsv", "t.parquet"])
def test_matches_tables_only(tmp_path: Path, name: str) -> None:
    assert table.matches(put(tmp_path, "", name)) == f"a {Path(name).suffix.lower()} file"
    assert table.matches(tmp_path) is None
    assert table.matches(put(tmp_path, "", "t.txt")) is None
    (tmp_path / "folder.csv").mkdir()
    assert table.matches(tmp_path / "folder.csv") is None


# === Real tables ===


@pytest.mark.real
def test_real_fma_features(shared: Path) -> None:
    dataset = load(shared / "data" / "tables" / "fma_small_46_features.csv")
    assert dataset.features is not None
    assert dataset.features.values.shape == (7_197, 46)
    assert len(dataset.genres) == 8
    assert sum(t.artist is None for t in dataset.tracks) == 82
    assert note(dataset, "feature columns:") == "46 feature columns: zcr_mean, zcr_var, ... mfcc19_var"
    assert note(dataset, "artists from").endswith("; 82 rows without one")
    assert "training 6,397, validation 800" in note(dataset, "official split")


@pytest.mark.real
def test_real_gtzan_and_echonest_features(shared: Path) -> None:
    gtzan = load(shared / "data" / "tables" / "gtzan_57_features.csv")
    assert len(columns(gtzan)) == 57
    assert "training 443, validation 197, excluded 70" in note(gtzan, "official split")
    echonest = load(shared / "data" / "tables" / "fma_medium_echonest.csv")
    assert len(columns(echonest)) == 8
    assert "Old-Time / Historic" in echonest.genres


def test_a_list_without_artists_takes_them_from_the_files_tags(tmp_path: Path) -> None:
    import mutagen.flac
    import soundfile

    for name, artist in (("a", "Ann feat. Ben"), ("b", "Ben"), ("c", None)):
        soundfile.write(tmp_path / f"{name}.flac", np.zeros(100), 8_000)
        if artist is not None:
            tags = mutagen.flac.FLAC(tmp_path / f"{name}.flac")
            tags.update(artist=artist)
            tags.save()
    table = tmp_path / "list.csv"
    table.write_text("path,genre\na.flac,rock\nb.flac,rock\nc.flac,pop\ngone.flac,pop\n")
    dataset = load_dataset(table)
    first, second, *others = (t.artist for t in dataset.tracks)
    assert first == second is not None and others == [None, None]
    assert "artist known for 2 of 4 tracks, from tags" in dataset.notes
    table.write_text("path,genre,artist\na.flac,rock,\nb.flac,rock,Cy\n")
    assert [t.artist for t in load_dataset(table).tracks] == [None, "Cy"], "a column of artists is the owner's word"
