"""What `learn` learns from: folders, tags and a person's corrections; what cannot be used is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from genrelab.core.errors import DatasetError, SettingsError
from genrelab.identity.artists import Credit
from genrelab.runs.learn_labels import (
    LabelledFile,
    LabelledFiles,
    apply_corrections,
    from_folders,
    from_tags,
    without_small_genres,
)
from tests.support.containers import make, tag_richly
from tests.support.labelled_music import write_folders, write_track
from tests.support.raw_tags import id3v2, text


def genres_of(labelled: LabelledFiles) -> dict[str, list[str]]:
    """File name → its genres."""
    found: dict[str, list[str]] = {}
    for f in labelled.files:
        found.setdefault(f.path.name, []).append(f.genre)
    return found


# --- folders ---


def test_folders_name_genres_and_tags_name_artists(tmp_path: Path) -> None:
    root = write_folders(tmp_path / "music", tracks=2, genres=("Blues", "Folk"))
    write_track(root / "Folk" / "deep" / "unknown.flac", 1, 9)
    found = from_folders(root, None)
    assert [(f.path.relative_to(root).as_posix(), f.genre, f.artist) for f in found.files] == [
        ("Blues/0.flac", "Blues", "Artist 0"),
        ("Blues/1.flac", "Blues", "Artist 1"),
        ("Folk/0.flac", "Folk", "Artist 2"),
        ("Folk/1.flac", "Folk", "Artist 3"),
        ("Folk/deep/unknown.flac", "Folk", None),
    ]
    assert found.genres == ("Blues", "Folk") and found.failed == {}
    assert any(note.endswith("tracks: Blues 2, Folk 3") for note in found.notes)


def test_artists_of_folders_may_come_from_a_table(tmp_path: Path) -> None:
    root = write_folders(tmp_path / "music", tracks=2, genres=("Blues", "Folk"))
    (tmp_path / "artists.csv").write_text("id,artist\nBlues/0.flac,Somebody\nFolk/1.flac,Somebody\n")
    found = from_folders(root, tmp_path / "artists.csv")
    assert [f.artist for f in found.files] == ["Somebody", "Artist 1", "Artist 2", "Somebody"]


def test_recordings_that_a_table_states_are_kept(tmp_path: Path) -> None:
    for i, name in enumerate(("ax", "by", "cz", "dw")):
        write_track(tmp_path / f"{name}.flac", 0, i)
    rows = "ax.flac,Blues,s1\nby.flac,Blues,s1\ncz.flac,Folk,s2\ndw.flac,Folk,\n"
    (tmp_path / "t.csv").write_text(f"path,genre,song_id\n{rows}")
    found = from_folders(tmp_path / "t.csv", None)
    assert [f.recording for f in found.files] == ["s1", "s1", "s2", None]


def test_folder_whose_name_cannot_be_a_genre_is_refused(tmp_path: Path) -> None:
    root = write_folders(tmp_path / "music", tracks=2, genres=("Blues", "a\x07bell"))
    with pytest.raises(DatasetError, match=r"'a\\x07bell' cannot be the name of a genre: rename it"):
        from_folders(root, None)


def test_root_without_labelled_audio_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for root in (tmp_path / "nowhere", tmp_path / "empty"):
        with pytest.raises(DatasetError):
            from_folders(root, None)
    rows = "".join(f"{i},{('Blues', 'Folk')[i % 2]},{i / 7},{i / 3}\n" for i in range(20))
    (tmp_path / "table.csv").write_text(f"track_id,label,a,b\n{rows}")
    with pytest.raises(DatasetError, match="a table of features has no audio: give a folder of music"):
        from_folders(tmp_path / "table.csv", None)


@pytest.mark.parametrize(
    (("files", "folder", "message")),
    [
        ((), "", "music: no audio files in this folder or below it"),
        (("notes.txt",), "", "music: no audio files in this folder or below it"),
        (("a.flac", "b.flac"), "", "music has 2 audio files, but no folder per genre: if this is one genre, give"),
        (("a.flac",), "", "music has 1 audio file, but no folder per genre: .* or add --labels tags"),
        (("a.flac",), "a.flac", "a.flac is a file: give the folder that contains one folder per genre"),
    ],
)
def test_what_has_no_folders_of_genres_is_refused_with_what_to_do(
    tmp_path: Path, files: tuple[str, ...], folder: str, message: str
) -> None:
    (tmp_path / "music").mkdir()
    for i, name in enumerate(files):
        path = tmp_path / "music" / name
        path.write_text("words") if path.suffix == ".txt" else write_track(path, 0, i)
    with pytest.raises(DatasetError, match=message):
        from_folders(tmp_path / "music" / folder, None)


def test_folders_of_artists_and_albums_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "music"
    for g, artist in enumerate(("Ann", "The  BAND", "Bob")):
        for i in range(2):
            write_track(root / artist / "An album" / f"{i}.flac", g, i, by="the band" if g == 1 else artist)
    message = r"its folders seem to be artists, not genres \(3 of 3 are named after the artist of their tracks\): add"
    with pytest.raises(DatasetError, match=message):
        from_folders(root, None)
    for genre in ("Blues", "Folk", "Rock"):
        write_track(root / genre / "0.flac", 4, 0, by="Ann")
    assert len(from_folders(root, None).genres) == 6, "half of them may be called like their artist"


def test_folders_of_artists_with_guests_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "music"
    for g, artist in enumerate(("Ann", "Beatles, The", "Bob")):
        write_track(root / artist / "0.flac", g, 0, by=artist)
        write_track(root / artist / "1.flac", g, 1, by=f"{artist} feat. Guest {g}")
    with pytest.raises(DatasetError, match="its folders seem to be artists, not genres"):
        from_folders(root, None)


def test_folders_keep_the_credit_as_it_is_written(tmp_path: Path) -> None:
    root = tmp_path / "music"
    for genre in ("Blues", "Folk"):
        for i in range(2):
            write_track(root / genre / f"{i}.flac", 0, i, by=f"{genre} {i} feat. Else")
    assert [f.credit.names for f in from_folders(root, None).files] == [
        ("Blues 0 feat. Else",), ("Blues 1 feat. Else",), ("Folk 0 feat. Else",), ("Folk 1 feat. Else",)
    ]  # fmt: skip


# --- tags ---


def test_first_genre_of_the_tags_counts_or_all(tmp_path: Path) -> None:
    write_track(tmp_path / "a.flac", 0, 0, genres=("Blues", "Folk"), by="Ann")
    write_track(tmp_path / "deep" / "b.flac", 0, 1, genres=("Folk",))
    write_track(tmp_path / "c.flac", 0, 2, by="Ann")
    first, every = (from_tags(tmp_path, all_values=all_values) for all_values in (False, True))
    assert genres_of(first) == {"a.flac": ["Blues"], "b.flac": ["Folk"]}
    assert genres_of(every) == {"a.flac": ["Blues", "Folk"], "b.flac": ["Folk"]}
    assert [f.artist for f in every.files] == ["Ann", "Ann", None]
    assert [f.credit for f in every.files] == [Credit(("Ann",)), Credit(("Ann",)), Credit()]
    assert every.notes == ("2 files with a genre in the tags, 1 without",)
    several = "1 file with several genres, such as Blues and Folk: the first one is used (--all-values uses all)"
    assert first.notes == (*every.notes, several)


def test_several_genres_in_one_value_are_several(tmp_path: Path) -> None:
    write_track(tmp_path / "a.flac", 0, 0, genres=("Classical;  Chamber ; ", "Piano;Classical"))
    write_track(tmp_path / "b.flac", 0, 1, genres=(" ; ",))
    write_track(tmp_path / "c.flac", 0, 2, genres=("Rock/Pop, live",))
    write_track(tmp_path / "d.flac", 0, 3, genres=("Rock/Pop",))
    write_track(tmp_path / "e.flac", 0, 4, genres=("Chamber/Piano",))  # both are genres here, though nowhere else
    first, every = (from_tags(tmp_path, all_values=all_values) for all_values in (False, True))
    assert genres_of(first) == {
        "a.flac": ["Classical"], "c.flac": ["Rock/Pop, live"], "d.flac": ["Rock"], "e.flac": ["Chamber"]
    }  # fmt: skip
    assert genres_of(every) == {
        "a.flac": ["Chamber", "Classical", "Piano"], "c.flac": ["Rock/Pop, live"], "d.flac": ["Pop", "Rock"],
        "e.flac": ["Chamber", "Piano"],
    }  # fmt: skip
    assert first.notes[0] == every.notes[0] == "4 files with a genre in the tags, 1 without"
    assert first.notes[-1].startswith("3 files with several genres, such as Classical and")


@pytest.mark.parametrize("all_values", [False, True])
def test_texts_that_name_no_genre_are_counted_and_not_learned(tmp_path: Path, all_values: bool) -> None:
    for i, genre in enumerate(("Blues", "Other", "unknown", "Misc", "(255)", "Other", "(17)", "-")):
        write_track(tmp_path / f"{i}.flac", 0, i, genres=(genre,))
    write_track(tmp_path / "8.flac", 0, 8, genres=("Other", "Folk"))
    found = from_tags(tmp_path, all_values=all_values)
    assert genres_of(found) == {"0.flac": ["Blues"], "6.flac": ["Rock"], "8.flac": ["Folk"]}
    assert found.notes[0] == "3 files with a genre in the tags, 6 without"
    assert found.notes[1].startswith("6 tracks labelled (255), -, Misc") and "without a genre" in found.notes[1]


def test_spellings_stay_as_they_are_with_keep_spellings(tmp_path: Path) -> None:
    for i, genre in enumerate(("Hip Hop", "hip-hop", "Rock; Pop", "Other")):
        write_track(tmp_path / f"{i}.flac", 0, i, genres=(genre,))
    found = from_tags(tmp_path, all_values=True, keep_spellings=True)
    assert found.genres == ("Hip Hop", "Other", "Rock; Pop", "hip-hop")
    assert found.notes == ("4 files with a genre in the tags, 0 without",)


def test_second_tag_of_a_file_may_hold_its_genre(tmp_path: Path) -> None:
    path = make(tmp_path, "mp3", seconds=0.5)
    first, second = id3v2((b"TPE1", text("Ann"))), id3v2((b"TCON", text("Jazz")), version=4)
    path.write_bytes(first + second + path.read_bytes())
    (found,) = from_tags(tmp_path, all_values=False).files
    assert (found.genre, found.credit) == ("Jazz", Credit(("Ann",)))


@pytest.mark.parametrize("container", ["mp3", "m4a", "ogg"])
def test_tags_of_every_container_are_read(tmp_path: Path, container: str) -> None:
    path = make(tmp_path, container, seconds=0.5)
    tag_richly(path, genres=("Folk",))
    (found,) = from_tags(tmp_path, all_values=True).files
    assert (found.path, found.genre) == (path, "Folk") and found.artist


def test_spellings_of_a_genre_are_joined_to_that_of_most_files(tmp_path: Path) -> None:
    spellings = ("Hip Hop", "hip-hop", "Hip Hop", "HipHop", "Rock", "rock", "Polka!", "Polka")
    for i, genre in enumerate(spellings):
        write_track(tmp_path / f"{i}.flac", 0, i, genres=(genre,))
    found = from_tags(tmp_path, all_values=False)
    assert [f.genre for f in found.files] == [*["Hip Hop"] * 4, "Rock", "Rock", "Polka", "Polka"]
    assert found.genres == ("Hip Hop", "Polka", "Rock"), "of equally frequent ones the usual one, or the first in order"
    assert found.notes[1].startswith("genres joined: Hip Hop, HipHop, hip-hop → Hip Hop")


def test_two_spellings_in_one_file_are_one_genre(tmp_path: Path) -> None:
    write_track(tmp_path / "a.flac", 0, 0, genres=("Hip-Hop", "hip hop", "Rap"))
    write_track(tmp_path / "b.flac", 0, 1, genres=("Hip-Hop",))
    assert genres_of(from_tags(tmp_path, all_values=True)) == {"a.flac": ["Hip-Hop", "Rap"], "b.flac": ["Hip-Hop"]}


@pytest.mark.parametrize("name", ["Various Artists", "va", " ", "Unknown Artist"])
def test_nobodys_name_is_no_artist(tmp_path: Path, name: str) -> None:
    write_track(tmp_path / "a.flac", 0, 0, genres=("Blues",), by=name)
    assert from_tags(tmp_path, all_values=False).files == (
        LabelledFile(tmp_path / "a.flac", "Blues", None, Credit((name,) if name.strip() else ())),
    )


def test_file_whose_tags_cannot_be_used_is_a_named_row(tmp_path: Path) -> None:
    write_track(tmp_path / "good.flac", 0, 0, genres=("Blues",))
    write_track(tmp_path / "odd.flac", 0, 1, genres=("Bl\x07ues",))
    (tmp_path / "text.mp3").write_text("no sound\n" * 100)
    found = from_tags(tmp_path, all_values=False)
    assert genres_of(found) == {"good.flac": ["Blues"]}
    assert set(found.failed) == {str(tmp_path / "odd.flac"), str(tmp_path / "text.mp3")}
    assert found.failed[str(tmp_path / "odd.flac")] == r"its genre has invalid characters: 'Bl\x07ues'"
    assert found.failed[str(tmp_path / "text.mp3")]


def test_folder_without_tagged_files_is_refused_with_a_remedy(tmp_path: Path) -> None:
    write_track(tmp_path / "music" / "a.flac", 0, 0)
    with pytest.raises(DatasetError, match="none of 1 audio file has a genre in its tags: use --labels folders"):
        from_tags(tmp_path / "music", all_values=False)
    with pytest.raises(DatasetError, match="nowhere: no such folder"):
        from_tags(tmp_path / "nowhere", all_values=False)


# --- corrections ---


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_folders(tmp_path / "music", tracks=3, genres=("Blues", "Folk"))


def corrected(root: Path, table: str) -> LabelledFiles:
    (root.parent / "mine.csv").write_text(table)
    return apply_corrections(from_folders(root, None), root.parent / "mine.csv", root)


def labels(found: LabelledFiles, root: Path) -> dict[str, str]:
    return {f.path.relative_to(root).as_posix(): f.genre for f in found.files}


def test_corrections_change_add_and_leave_out(root: Path) -> None:
    write_track(root / "loose.flac", 0, 9, by="Ann")
    before = labels(from_folders(root, None), root)
    found = corrected(
        root, f"path,why,genre\nBlues/0.flac,heard it,Folk\nloose.flac,,Blues\n{root / 'Folk' / '1.flac'},,\n"
    )
    expected = before | {"Blues/0.flac": "Folk", "loose.flac": "Blues"}
    del expected["Folk/1.flac"]
    assert labels(found, root) == expected
    assert list(found.files) == sorted(found.files, key=lambda f: f.path)
    artists = {f.path.name: f.artist for f in found.files if f.path.name == "loose.flac" or f.genre == "Folk"}
    assert artists["loose.flac"] == "Ann" and artists["0.flac"] is not None, "artists stay, or are read"
    assert found.notes[-1] == "3 corrections from mine.csv"


def test_correction_may_name_a_genre_that_no_folder_has(root: Path) -> None:
    found = corrected(root, "path,genre\nBlues/0.flac, Rhythm  &  Blues \nBlues/1.flac,Rhythm & Blues\n")
    assert found.genres == ("Blues", "Folk", "Rhythm & Blues")


def test_correction_replaces_all_genres_of_a_file(tmp_path: Path) -> None:
    write_track(tmp_path / "a.flac", 0, 0, genres=("Blues", "Folk"), by="Ann")
    write_track(tmp_path / "b.flac", 0, 1, genres=("Bl\x07ues",))
    (tmp_path / "mine.csv").write_text("\ufeffpath,genre\r\na.flac,Soul\r\n./b.flac,Blues\r\n")
    found = apply_corrections(from_tags(tmp_path, all_values=True), tmp_path / "mine.csv", tmp_path)
    assert [(f.path.name, f.genre, f.artist) for f in found.files] == [
        ("a.flac", "Soul", "Ann"),
        ("b.flac", "Blues", None),
    ]
    assert found.failed == {}, "what was decided on is no failure"


def test_last_of_two_corrections_counts(root: Path) -> None:
    found = corrected(root, "path,genre\nBlues/0.flac,\nBlues/../Blues/0.flac,Folk\n")
    assert labels(found, root)["Blues/0.flac"] == "Folk" and len(found.files) == 6


def test_names_with_commas_and_line_breaks_are_quoted(root: Path) -> None:
    strange = 'Blues/a, "b"\n\u2028c.flac'
    write_track(root / strange, 0, 9)
    quoted = strange.replace('"', '""')
    assert labels(corrected(root, f'path,genre\n"{quoted}",Folk\n'), root)[strange] == "Folk"
    with pytest.raises(SettingsError, match=r"mine\.csv, line 4: no such file"):
        corrected(root, f'path,genre\n"{quoted}",Folk\nnowhere.flac,Folk\n')


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("path,genre\nBlues/0.flac,Folk\nBlues/nowhere.flac,Folk\n", r"line 3: no such file: .*Blues/nowhere\.flac"),
        ("path,genre\nBlues,Folk\n", "line 2: no such file: .*Blues$"),
        ("path,genre\n,Folk\n", "line 2: no such file"),
        ("path,genre\nBlues/0.flac,Fo\x07lk\n", r"line 2: the genre has invalid characters: 'Fo\\x07lk'"),
        (f"path,genre\nBlues/0.flac,{'x' * 1_001}\n", "line 2: the genre has invalid characters"),
        ("file,genre\nBlues/0.flac,Folk\n", "its first line must name the columns path and genre"),
        ("Blues/0.flac,Folk\n", "its first line must name the columns path and genre"),
        ("", "its first line must name the columns path and genre"),
        ('path,genre\n"Blues/0.flac,Folk\n', "line 2: not CSV: is a quotation mark missing"),
    ],
)
def test_corrections_that_cannot_be_used_are_refused_by_line(root: Path, table: str, message: str) -> None:
    with pytest.raises(SettingsError, match=rf"mine\.csv(, |: ){message}"):
        corrected(root, table)


def test_corrections_that_cannot_be_read_are_refused(root: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.csv: No such file .*: --corrections needs a CSV with the columns"):
        apply_corrections(from_folders(root, None), root / "none.csv", root)
    (root / "latin.csv").write_bytes("path,genre\nBlues/0.flac,Volkslied \xfc\n".encode("latin-1"))
    with pytest.raises(SettingsError, match=r"latin\.csv is not UTF-8: save it as UTF-8"):
        apply_corrections(from_folders(root, None), root / "latin.csv", root)


# --- small genres ---


def files(**sizes: int) -> LabelledFiles:
    return LabelledFiles(
        tuple(LabelledFile(Path(f"{g}/{i}"), g, None) for g, n in sizes.items() for i in range(n)), {}, ("a note",)
    )


def test_genre_with_one_track_is_left_out_by_name() -> None:
    found = without_small_genres(files(Blues=2, Folk=1, Rock=3, Ska=1))
    assert found.genres == ("Blues", "Rock") and len(found.files) == 5
    assert found.notes == ("a note", "genres with only one track left out: Folk, Ska")
    assert without_small_genres(files(Blues=2, Rock=3)) == files(Blues=2, Rock=3)


@pytest.mark.parametrize(
    ("sizes", "found"), [({"Blues": 9}, "Blues 9"), ({"Blues": 9, "Folk": 1}, "Blues 9, Folk 1"), ({}, "none")]
)
def test_fewer_than_two_genres_are_refused(sizes: dict[str, int], found: str) -> None:
    with pytest.raises(DatasetError, match=f"at least two genres with 2 tracks each are needed. Found: {found}$"):
        without_small_genres(files(**sizes))


def test_tracks_that_mostly_stand_alone_are_refused() -> None:
    """Folders of songs, or of albums: what is left would not be what the owner calls genres."""
    alone = {f"Song {i}": 1 for i in range(5)}
    with pytest.raises(
        DatasetError, match=r"tracks that are alone in their genre: 5 of 9 \(Song 0, .*are these genres\?"
    ):
        without_small_genres(files(Blues=2, Folk=2, **alone))
    assert without_small_genres(files(Blues=2, Folk=3, **alone)).genres == ("Blues", "Folk"), "half of them may"


def test_tracks_with_another_genre_do_not_stand_alone() -> None:
    every = [
        LabelledFile(Path(f"{i}"), g, None) for i in range(4) for g in (f"a{i}", f"b{i}", ("Blues", "Folk")[i % 2])
    ]
    assert without_small_genres(LabelledFiles(tuple(every), {}, ())).genres == ("Blues", "Folk")


def test_a_genre_called_unknown_is_left_out_and_named() -> None:
    files = [LabelledFile(Path(f"{g}{i}.mp3"), g, None) for g in ("Rock", "Jazz", "Unknown") for i in range(2)]
    found = without_small_genres(LabelledFiles(tuple(files), {}, ()))
    assert found.genres == ("Jazz", "Rock")
    assert found.notes == ("2 tracks of the genre Unknown left out: a model gives this answer when it names no genre",)


def test_a_correction_in_another_spelling_joins_the_genre_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").touch()
    (tmp_path / "decided.csv").write_text("path,genre\na.mp3,hip hop\n")
    labelled = LabelledFiles((LabelledFile(tmp_path / "b.mp3", "Hip-Hop", None),), {}, ())
    assert apply_corrections(labelled, tmp_path / "decided.csv", tmp_path).genres == ("Hip-Hop",)
