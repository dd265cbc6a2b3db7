"""Which module reads a ROOT is found out by looking at it."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from genrelab.core.errors import DatasetError, SettingsError
from genrelab.datasets.base import DatasetOptions
from genrelab.datasets.registry import DETECTION_ORDER, NAMES, detect, load_dataset


def touch(root: Path, *names: str) -> Path:
    """Empty files below `root`; nothing here decodes them."""
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return root


@pytest.mark.parametrize("name", DETECTION_ORDER)
def test_modules_have_the_same_interface(name: str) -> None:
    module = import_module(f"genrelab.datasets.{name}")
    assert name == module.NAME
    assert module.EXPECTED_LAYOUT
    assert callable(module.matches)
    assert callable(module.load)
    assert "icence" in module.__doc__


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (["tracks.csv", "000/000002.mp3"], "fma"),
        (["fma_metadata/tracks.csv", "fma_small/000/000002.mp3"], "fma"),
        (["fma_metadata.zip"], "fma"),
        (["blues/blues.00001.wav", "jazz/jazz.00003.wav"], "gtzan"),
        (["genres_original/blues/blues.00001.au", "jazz/odd name.wav"], "gtzan"),  # half
        (["blues/blues.00001.wav", "jazz/other.wav", "jazz/further.wav"], "folder"),  # less than half
        (["blues/blues.1.wav", "jazz/jazz.000033.wav"], "folder"),
        (["rock/a.mp3", "pop/b.flac"], "folder"),
        (["rock/a.mp3", "pop/b.flac", "blues.00001.txt", "jazz.00001.csv"], "folder"),
    ],
)
def test_folder_layouts_are_detected(tmp_path: Path, files: list[str], found: str) -> None:
    name, reason = detect(touch(tmp_path, *files))
    assert name == found
    assert reason


def test_clips_beside_their_metadata(tmp_path: Path) -> None:
    touch(tmp_path, "fma_metadata/tracks.csv", "fma_small/000/000002.mp3")
    assert detect(tmp_path / "fma_small") == ("fma", "fma_metadata/ beside it")


def test_table_layouts_are_detected(tmp_path: Path) -> None:
    manifest = tmp_path / "songs.csv"
    manifest.write_text("path,genre\na.mp3,rock\n")
    assert detect(manifest)[0] == "table"
    features = tmp_path / "features.csv"
    features.write_text("feature,mfcc\nstatistics,mean\nnumber,01\ntrack_id,\n2,0.5\n")
    assert detect(features)[0] == "fma"
    features.write_text("track_id,mfcc,genre\n2,0.5,rock\n")
    assert detect(features)[0] == "table"
    echonest = tmp_path / "echonest.csv"
    echonest.write_text(",echonest\n,audio_features\n,tempo\ntrack_id,\n2,120\n")
    assert detect(echonest)[0] == "fma"


def test_undetected_folder_error_lists_the_expected_layouts(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        detect(touch(tmp_path, "readme.txt"))
    message = str(caught.value)
    assert str(tmp_path) in message
    assert "\n" not in message
    for wanted in ("tracks.csv", "<genre>.<5 digits>", ".parquet", "folder per genre"):
        assert wanted in message


def test_missing_root_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nowhere does not exist"):
        load_dataset(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match=r"no\\nwhere does not exist"):
        detect(tmp_path / "no\nwhere")


def test_unknown_name_error_lists_the_known_ones(tmp_path: Path) -> None:
    known = "auto, fma-small, fma-medium, fma-large, fma-full, fma, gtzan, table, folder"
    with pytest.raises(SettingsError, match=f"unknown dataset 'gtzam': use one of {known}"):
        load_dataset(tmp_path, name="gtzam")
    assert ", ".join(NAMES) == known


def test_a_name_and_a_subset_must_agree(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="fma-small and the subset large cannot be used together"):
        load_dataset(tmp_path, name="fma-small", options=DatasetOptions(subset="large"))


def test_the_first_note_is_the_kind_of_dataset(tmp_path: Path) -> None:
    touch(tmp_path, "blues/blues.00001.wav", "jazz/jazz.00003.wav")
    found = load_dataset(str(tmp_path))
    assert found.name == "gtzan"
    assert found.notes[0] == "read as gtzan: 2 of 2 audio files are named <genre>.<5 digits>.<ext>"
    told = load_dataset(tmp_path, name="gtzan")
    assert told.tracks == found.tracks
    assert told.notes == found.notes[1:]


def test_explicit_name_overrides_detection(tmp_path: Path) -> None:
    touch(tmp_path, "rock/a.mp3", "pop/b.mp3")
    with pytest.raises(DatasetError, match=r"not a folder of FMA, which has tracks\.csv"):
        load_dataset(tmp_path, name="fma-small")
    with pytest.raises(DatasetError, match="no tracks found"):
        load_dataset(tmp_path, name="gtzan")


def test_unreadable_root_raises_a_dataset_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Path) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(DatasetError, match="cannot be read: Permission denied"):
        detect(touch(tmp_path, "rock/a.mp3"))


def test_detection_imports_nothing_heavy() -> None:
    code = "import sys, genrelab.datasets.registry; print([m for m in sys.argv[1:] if m in sys.modules])"
    heavy = [
        "tensorflow",
        "keras",
        "sklearn",
        "pandas",
        "pyarrow",
        "librosa",
        "requests",
        "genrelab.datasets.fma",
    ]
    done = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["auto", "folder"])
def test_a_genre_that_no_bundle_can_hold_is_refused_before_any_work(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "rock/a.mp3", "po\x1b[31mp/b.mp3")
    with pytest.raises(DatasetError, match=r"'po\\x1b\[31mp' cannot be the name of a genre: rename it"):
        load_dataset(tmp_path, name=name)


@pytest.mark.parametrize(
    ("option", "users"),
    [("group_column", "table"), ("label", "table"), ("split_files", "gtzan"), ("subset", "fma")],
)
def test_an_option_that_the_dataset_does_not_use_is_refused(tmp_path: Path, option: str, users: str) -> None:
    root = touch(tmp_path, "rock/a.mp3", "jazz/b.mp3")
    flag = option.replace("_", "-")
    with pytest.raises(SettingsError, match=rf"--{flag} is for datasets of the kind {users}, and .* kind folder"):
        load_dataset(root, options=DatasetOptions(**{option: "small"}))  # type: ignore[arg-type]
    assert len(load_dataset(root, options=DatasetOptions(keep_spellings=True)).tracks) == 2


def test_one_song_one_artist_and_one_genre_however_written(tmp_path: Path) -> None:
    table = tmp_path / "tracks.csv"
    table.write_text(
        "path,genre,artist\na_part1.wav,Hip-Hop,Ann feat. Ben\na_part2.wav,hip hop,Ann\nb.wav,Rock; Pop,Ben\n"
        "c.wav,rock,Cy\nd.wav,Other,Various Artists\n"
    )
    dataset = load_dataset(table)
    tracks = {t.track_id: t for t in dataset.tracks}
    assert [t.genre for t in tracks.values()] == ["Hip-Hop", "Hip-Hop", "Rock", "Rock", None]
    assert len({tracks[name].artist for name in ("a_part1.wav", "a_part2.wav", "b.wav")}) == 1
    assert tracks["a_part1.wav"].artist_credit == "Ann feat. Ben" and tracks["d.wav"].artist is None
    assert tracks["a_part1.wav"].recording == tracks["a_part2.wav"].recording is not None
    for word in ("genres joined", "several genres", "without a genre", "artists from", "Various Artists", "pieces of"):
        assert any(word in note for note in dataset.notes), word
    kept = load_dataset(table, options=DatasetOptions(keep_spellings=True))
    assert [t.genre for t in kept.tracks] == ["Hip-Hop", "hip hop", "Rock; Pop", "rock", "Other"]
