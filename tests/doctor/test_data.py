from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genrelab.core.config import PrepareSettings
from genrelab.core.errors import DatasetError, SettingsError
from genrelab.core.processes import DECODER_CRASHED
from genrelab.datasets.base import Dataset, DatasetOptions, Track
from genrelab.datasets.demo import synthesise
from genrelab.datasets.registry import load_dataset
from genrelab.doctor import data
from genrelab.doctor.data import PLAIN_FILES, Checkup, check_dataset, find_dataset, prepared_bytes, published_faults
from tests.support.doctor import here  # noqa: F401 - a fixture
from tests.support.faulty import SR, collection, tune, write


def _nothing(*_: object) -> None: ...


def by_kind(found: Checkup) -> dict[str, list[str]]:
    tracks = found.dataset.tracks
    kinds = {f.kind for f in found.faults}
    return {kind: [tracks[f.index].track_id for f in found.faults if f.kind == kind] for kind in kinds}


def test_each_problem_is_found_and_clean_files_have_none(tmp_path: Path) -> None:
    """With worker processes: this one goes the whole way."""
    dataset = load_dataset(collection(tmp_path))
    steps: list[tuple[int, int]] = []
    found = check_dataset(dataset, jobs=2, progress=lambda done, total: steps.append((done, total)))
    assert by_kind(found) == {
        "missing": ["rock/gone.wav"],
        "empty": ["jazz/empty.mp3"],
        "undecodable": ["jazz/nan.wav", "jazz/text.mp3"],
        "too short": ["jazz/short.wav"],
        "silent": ["rock/silent.wav"],
        "two labels": ["jazz/one.mp3", "jazz/tagged.mp3", "rock/same.mp3"],
        "cut off": ["jazz/lies.mp3", "jazz/lies.wav", "jazz/truncated.flac"],
        "mostly silent": ["rock/half.wav"],
        "clipped": ["rock/clipped.wav"],
        "channels cancel": ["rock/against.wav"],
        "mono as stereo": ["rock/equal.wav"],
        "low rate": ["jazz/slow.wav"],
        "near duplicate": ["jazz/again.ogg"],
    }
    assert steps[0] == (0, 21) and steps[-1] == (21, 21) and len(found.sounds) == len(dataset.tracks) == 21
    assert [row.track_id for row in found.exclusions] == [
        "jazz/empty.mp3", "jazz/nan.wav", "jazz/one.mp3", "jazz/short.wav", "jazz/tagged.mp3", "jazz/text.mp3",
        "rock/same.mp3", "rock/silent.wav",
    ]  # fmt: skip
    reasons = {row.path: row.reason for row in found.exclusions}
    assert (
        reasons["jazz/tagged.mp3"]
        == "two labels: the same audio, with other tags, as rock/same.mp3; here jazz, there rock"
    )
    assert reasons["rock/same.mp3"] == "two labels: the same file as jazz/one.mp3; here rock, there jazz"
    assert reasons["jazz/empty.mp3"] == "empty"


@pytest.mark.usefixtures("here")
def test_excluded_tracks_are_exactly_those_prepare_would_lose(tmp_path: Path) -> None:
    """The check-up and the preparation agree on which files can be used."""
    from genrelab.datasets.exclusions import exclude
    from genrelab.prepare.make_piece import _process_track
    from genrelab.prepare.work_unit import Item, Piece

    dataset = load_dataset(collection(tmp_path))
    excluded = exclude(dataset, check_dataset(dataset, progress=_nothing).exclusions)
    piece = Piece(0, "", (), PrepareSettings(views=()))
    for i, track in enumerate(excluded.tracks):
        if track.problem is None and not str(track.path).endswith("gone.wav"):
            outcome = _process_track(Item(i, str(tmp_path / str(track.path))), piece)[0]
            assert outcome.status == "ok", track


@pytest.mark.usefixtures("here")
def test_clean_folder_has_no_problems(music: Path) -> None:
    (music / "beat" / "broken.mp3").unlink()
    found = check_dataset(load_dataset(music), progress=_nothing)
    assert (found.faults, found.exclusions) == ((), [])


@pytest.mark.usefixtures("here")
def test_problems_planted_in_the_demo_are_found(tmp_path: Path) -> None:
    synthesise(tmp_path, tracks_per_genre=3, seconds=2)
    found = by_kind(check_dataset(load_dataset(tmp_path), progress=_nothing))
    assert {kind: len(ids) for kind, ids in found.items()} == {
        "missing": 1, "undecodable": 2, "too short": 1, "silent": 1,
    }  # fmt: skip


def test_file_that_crashes_its_worker_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    dataset = load_dataset(collection(tmp_path))
    crash = 3
    monkeypatch.setattr(
        data,
        "map_in_processes",
        lambda f, things, jobs: ((i, None if i == crash else f(t)) for i, t in reversed(list(enumerate(things)))),
    )
    found = check_dataset(dataset, progress=_nothing)
    assert (found.sounds[crash].state, found.sounds[crash].error) == ("undecodable", DECODER_CRASHED)
    assert dataset.tracks[crash].track_id in by_kind(found)["undecodable"]
    assert by_kind(found)["empty"] == ["jazz/empty.mp3"], "answers in any order stand with their files"


@pytest.mark.usefixtures("here")
def test_known_problem_of_gtzan_is_reported(tmp_path: Path) -> None:
    for i in range(3):
        write(tmp_path / "jazz" / f"jazz.{53 + i:05d}.wav", tune(i))
    good = check_dataset(load_dataset(tmp_path), progress=_nothing)
    assert by_kind(good) == {"known": ["jazz.00054"]} and good.exclusions == []
    (tmp_path / "jazz" / "jazz.00054.wav").write_bytes(b"no audio" * 100)
    bad = check_dataset(load_dataset(tmp_path), progress=_nothing)
    assert by_kind(bad) == {"undecodable": ["jazz.00054"]}
    assert [row.track_id for row in bad.exclusions] == ["jazz.00054"]


def test_known_problems_are_those_that_were_published() -> None:
    fma = published_faults(Dataset("fma-small", Path(), (Track("1", None, None),)))
    assert len(fma) == 21 and {"99134", "108925", "133297", "1486", "98558", "98569", "143992"} <= fma.keys()
    assert list(published_faults(Dataset("gtzan", Path(), (Track("1", None, None),)))) == ["jazz.00054"]
    assert published_faults(Dataset("folder", Path(), (Track("1", None, None),))) == {}


@pytest.mark.usefixtures("here")
def test_clips_of_unusual_length_for_their_collection_are_reported(tmp_path: Path) -> None:
    long = np.tile(tune(1), 8)[: 30 * SR]
    for i in range(3):
        write(tmp_path / f"rock.0000{i}.wav", np.roll(long, 5_000 * i) if i else long[::-1])
    write(tmp_path / "rock.00003.wav", tune(2))
    write(tmp_path / "rock.00004.wav", np.tile(tune(3), 5))
    found = by_kind(check_dataset(load_dataset(tmp_path), progress=_nothing))
    assert found["too short"] == ["rock.00003"] and found["length"] == ["rock.00004"]


def test_plain_folder_of_audio_is_checked_without_a_dataset(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", tune(1))
    (tmp_path / "cover.jpg").touch()
    for root in (tmp_path, tmp_path / "a.wav"):
        dataset = find_dataset(root, "auto", DatasetOptions())
        assert (dataset.name, [t.path for t in dataset.tracks], dataset.genres) == (PLAIN_FILES, ["a.wav"], ())
        assert "only the files are checked" in dataset.notes[0] and "It can read" not in dataset.notes[0]
    with pytest.raises(DatasetError, match="not in a genre folder"):
        find_dataset(tmp_path, "folder", DatasetOptions())
    with pytest.raises(DatasetError, match="does not exist"):
        find_dataset(tmp_path / "none", "auto", DatasetOptions())
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DatasetError, match="no column genre"):
        find_dataset(tmp_path / "t.csv", "auto", DatasetOptions())


def test_folder_of_tables_is_refused_with_their_names(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("genre,x\nrock,1\n")
    with pytest.raises(
        DatasetError, match=r"is not a dataset that genrelab can read\. Did you mean .*/t\.csv\? It can read: "
    ):
        find_dataset(tmp_path, "auto", DatasetOptions())
    (tmp_path / "u.parquet").touch()
    with pytest.raises(DatasetError, match=r"Did you mean .*/t\.csv\? \(or another of its tables: u\.parquet\)"):
        find_dataset(tmp_path, "auto", DatasetOptions())


def test_table_of_features_is_checked_for_its_split_only(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("genre,artist,split,x\nrock,Ann,train,1\nrock,Ann,test,2\njazz,Bob,train,3\n")
    found = check_dataset(find_dataset(tmp_path / "t.csv", "auto", DatasetOptions()), progress=_nothing)
    assert by_kind(found) == {"split": ["2"]} and found.sounds == () and found.exclusions == []


def test_fewer_than_one_worker_is_refused(music: Path) -> None:
    with pytest.raises(SettingsError, match="--jobs"):
        check_dataset(load_dataset(music), jobs=0, progress=_nothing)


@pytest.mark.usefixtures("here")
def test_estimated_size_of_the_preparation_is_close(tmp_path: Path) -> None:
    from genrelab.prepare.pipeline import prepare

    for i in range(4):
        write(tmp_path / "music" / "rock" / f"{i}.wav", tune(i))
    dataset = load_dataset(tmp_path / "music")
    expected = prepared_bytes(check_dataset(dataset, progress=_nothing))
    prepare(dataset, tmp_path / "out", jobs=1)
    written = sum(p.stat().st_size for p in (tmp_path / "out").rglob("*.tfrecord"))
    assert 0.8 < expected / written < 1.25


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("name", ["gtzan_15s", "gtzan_30s", "assorted", "gtzan_2s", "emotify_30s", "fma"])
def test_real_music_has_no_unexpected_problems(shared: Path, name: str) -> None:
    found = by_kind(check_dataset(find_dataset(shared / "data" / name, "auto", DatasetOptions()), progress=_nothing))
    expected: dict[str, dict[str, int]] = {
        "fma": {"missing": 50},  # only eight clips of its first tracks are there
        "emotify_30s": {"near duplicate": 1},  # one recording twice, two seconds apart
    }
    assert {kind: len(ids) for kind, ids in found.items()} == expected.get(name, {})
