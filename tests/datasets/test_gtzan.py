"""GTZAN in its usual copies, the fault-filtered split, the table of artists."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from genrelab.core.errors import DatasetError, DownloadError
from genrelab.datasets import gtzan
from genrelab.datasets.artists import UNKNOWN_ARTISTS
from genrelab.datasets.base import Dataset, DatasetOptions


def files(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def lists(folder: Path, train: str = "", valid: str = "", test: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    for name, ids in (("train", train), ("valid", valid), ("test", test)):
        lines = [f"{i.split('.')[0]}/{i}.wav\n" for i in ids.split()]
        (folder / f"{name}_filtered.txt").write_text("".join(lines))
    return folder


def load(root: Path, **options: Any) -> Dataset:
    return gtzan.load(root, DatasetOptions(**options))


@pytest.mark.parametrize("folder", ["genres", "genres_original", ".", "archive/Data/genres_original"])
@pytest.mark.parametrize("suffix", ["wav", "au", "mp3", "flac", "WAV"])
def test_usual_folder_layouts_are_read(tmp_path: Path, folder: str, suffix: str) -> None:
    files(tmp_path, f"{folder}/blues/blues.00001.{suffix}", f"{folder}/hiphop/hiphop.00099.{suffix}")
    dataset = load(tmp_path)
    assert dataset.name == "gtzan"
    assert [(t.track_id, t.genre) for t in dataset.tracks] == [
        ("blues.00001", "blues"),
        ("hiphop.00099", "hiphop"),
    ]
    for track in dataset.tracks:
        assert track.path is not None
        assert (tmp_path / track.path).is_file()
        assert (track.artist, track.official_split, track.problem) == (None, None, None)
    assert dataset.notes == (UNKNOWN_ARTISTS,)


def test_one_file_of_each_track_in_a_fixed_order_of_preference(tmp_path: Path) -> None:
    files(
        tmp_path,
        *(f"mp3/blues/blues.00001.{s}" for s in ("mp3", "flac", "au", "wav")),
        *(f"{folder}/jazz/jazz.00002.au" for folder in ("genres", "copy")),
        "rock/rock.00003.mp3",
        "rock/rock.00003.flac",
    )
    dataset = load(tmp_path)
    assert [t.path for t in dataset.tracks] == [
        "mp3/blues/blues.00001.wav",
        "copy/jazz/jazz.00002.au",
        "rock/rock.00003.flac",
    ]
    assert dataset.notes[0] == (
        "skipped: 5 files with the tracks in another format: genres/jazz/jazz.00002.au, mp3/blues/blues.00001.au, "
        "mp3/blues/blues.00001.flac, mp3/blues/blues.00001.mp3, rock/rock.00003.mp3"
    )
    assert len(dataset.unused) == 5 and all(u.is_audio for u in dataset.unused)
    reasons = {u.path: u.reason for u in dataset.unused}
    assert reasons["rock/rock.00003.mp3"] == "rock/rock.00003.flac is used instead"


def test_other_files_and_hidden_ones_are_not_tracks(tmp_path: Path) -> None:
    files(
        tmp_path,
        "pop/pop.00001.wav",
        "pop/hit.wav",
        "pop/pop.00002.ogg",
        "pop/._pop.00003.wav",
        ".t/pop.00004.wav",
    )
    dataset = load(tmp_path)
    assert [t.track_id for t in dataset.tracks] == ["pop.00001"]
    assert dataset.notes[0] == "skipped: 2 audio files not named like GTZAN's: pop/hit.wav, pop/pop.00002.ogg"
    assert {(u.path, u.is_audio) for u in dataset.unused} == {
        ("pop/hit.wav", True), ("pop/pop.00002.ogg", True), ("pop/._pop.00003.wav", False), (".t", False),
    }  # fmt: skip


@pytest.mark.parametrize("bin_name", ["#recycle", "$RECYCLE.BIN", "@eaDir", "lost+found"])
def test_copies_in_a_recycle_bin_are_neither_tracks_nor_copies(tmp_path: Path, bin_name: str) -> None:
    files(tmp_path, "pop/pop.00001.wav", f"{bin_name}/pop.00001.wav", f"pop/{bin_name}/pop.00009.wav")
    dataset = load(tmp_path)
    assert [t.path for t in dataset.tracks] == ["pop/pop.00001.wav"]
    assert {(u.path, u.is_audio) for u in dataset.unused} == {(bin_name, False), (f"pop/{bin_name}", False)}


def test_the_known_problem_is_named_and_another_copy_is_used(tmp_path: Path) -> None:
    files(tmp_path, "jazz/jazz.00053.wav", "jazz/jazz.00054.wav")
    assert load(tmp_path).notes[0] == "known problem of GTZAN: jazz/jazz.00054.wav is broken in the usual copy"
    files(tmp_path, "jazz/jazz.00054.mp3")
    dataset = load(tmp_path)
    assert dataset.tracks[1].path == "jazz/jazz.00054.mp3"
    assert not any("known problem" in note for note in dataset.notes)


def test_no_track(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no tracks found"):
        load(files(tmp_path, "rock/a.wav"))


# === Official split ===


def test_official_parts(tmp_path: Path) -> None:
    root = files(tmp_path / "a", *(f"blues/blues.0000{n}.wav" for n in range(5)))
    split_files = lists(tmp_path / "lists", "blues.00000 blues.00001 blues.00007", "blues.00002", "blues.00003")
    dataset = load(root, split_files=split_files)
    assert [t.official_split for t in dataset.tracks] == [
        "training",
        "training",
        "validation",
        "test",
        "excluded",
    ]
    assert dataset.notes == (
        "fault-filtered split: 2 training / 1 validation / 1 test / 1 excluded (not in any list)",
        "fault-filtered split: 1 of 5 listed tracks missing",
        UNKNOWN_ARTISTS,
    )


def test_windows_line_ends_are_read(tmp_path: Path) -> None:
    split_files = lists(tmp_path / "lists", "blues.00000")
    (split_files / "valid_filtered.txt").write_bytes(b"blues/blues.00001.wav\r\n\r\n")
    root = files(tmp_path / "a", "blues/blues.00000.wav", "blues/blues.00001.wav")
    parts = [t.official_split for t in load(root, split_files=split_files).tracks]
    assert parts == ["training", "validation"]


def test_inconsistent_split_lists_are_refused(tmp_path: Path) -> None:
    root = files(tmp_path / "a", "blues/blues.00000.wav")
    with pytest.raises(DatasetError, match=r"train_filtered\.txt cannot be read: No such file.*--split-files needs"):
        load(root, split_files=tmp_path / "nowhere")
    split_files = lists(tmp_path / "lists", "blues.00000", "blues.00000")
    with pytest.raises(DatasetError, match=r"blues\.00000 is in two lists, training and validation"):
        load(root, split_files=split_files)
    (split_files / "valid_filtered.txt").write_text("<html>\n")
    with pytest.raises(DatasetError, match=r"valid_filtered\.txt, line 1: '<html>' is not the name of a GTZAN file"):
        load(root, split_files=split_files)


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    """Lists on a server of our own, and their sums in place of the published ones."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    folder = lists(tmp_path / "published", "blues.00000", "blues.00001", "blues.00002")
    sums = {
        part: (name, hashlib.sha256((folder / name).read_bytes()).hexdigest())
        for part, (name, _) in gtzan.SPLIT_FILES.items()
    }
    monkeypatch.setattr(gtzan, "SPLIT_FILES", sums)

    class Silent(SimpleHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            """Silence."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_lists_are_fetched_once(published: tuple[Path, str], tmp_path: Path) -> None:
    folder, url = published
    fetched = gtzan.fetch_split_files(tmp_path / "cache", mirror=url)
    assert sorted(p.name for p in fetched.iterdir()) == sorted(p.name for p in folder.iterdir())
    for copy in fetched.iterdir():
        assert copy.read_bytes() == (folder / copy.name).read_bytes()
    # No server is needed for what is there and right.
    assert gtzan.fetch_split_files(tmp_path / "cache", mirror="http://127.0.0.1:9") == fetched


@pytest.mark.parametrize("slash", ["", "/"])
def test_lists_come_from_the_mirror_of_the_variable(
    published: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slash: str
) -> None:
    folder, url = published
    monkeypatch.setenv("GENRELAB_MIRROR", url + slash)
    fetched = gtzan.fetch_split_files(tmp_path / "cache")
    assert sorted(p.name for p in fetched.iterdir()) == sorted(p.name for p in folder.iterdir())


def test_lists_that_were_changed_are_refused(published: tuple[Path, str], tmp_path: Path) -> None:
    folder, url = published
    (folder / "test_filtered.txt").write_text("blues/blues.00001.wav\n")
    with pytest.raises(DownloadError, match=r"test_filtered\.txt cannot be downloaded.*give it with --split-files"):
        gtzan.fetch_split_files(tmp_path / "cache", mirror=url)
    assert not (tmp_path / "cache/gtzan_fault_filtered/test_filtered.txt").exists()


def test_missing_split_lists_cannot_be_fetched(published: tuple[Path, str], tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="cannot be downloaded"):
        gtzan.fetch_split_files(tmp_path / "cache", mirror=f"{published[1]}/nowhere")


def test_download_as_split_files_fetches_into_the_user_cache(
    published: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def fetched(cache_dir: Path) -> Path:
        asked.append(cache_dir.name)
        return published[0]

    monkeypatch.setattr(gtzan, "fetch_split_files", fetched)
    root = files(tmp_path / "a", "blues/blues.00002.wav")
    assert load(root, split_files=Path("download")).tracks[0].official_split == "test"
    assert asked == ["genrelab"]


# === Artists ===


def test_artists(tmp_path: Path) -> None:
    root = files(tmp_path / "a", *(f"blues/blues.0000{n}.wav" for n in range(5)))
    table = tmp_path / "artists.csv"
    table.write_text(
        "\ufeffid,artist,title\nblues.00000,John Lee Hooker,x\nblues.00001.au, John Lee Hooker ,y\n"
        'blues/blues.00002.wav,"Hill, Z. Z.",z\nblues.00003,,\nblues.00077,Nobody,\nblues,Somebody,\n',
        encoding="utf-8",
    )
    dataset = load(root, artists=table)
    assert [t.artist for t in dataset.tracks] == [
        "John Lee Hooker",
        "John Lee Hooker",
        "Hill, Z. Z.",
        None,
        None,
    ]
    assert UNKNOWN_ARTISTS not in dataset.notes and "--artists FILE" in UNKNOWN_ARTISTS
    assert dataset.notes == (
        "artist known for 3 of 5 tracks, from artists.csv",
        "2 rows of artists.csv without a matching file: blues.00077, blues",
    )


def test_inconsistent_artist_tables_are_refused(tmp_path: Path) -> None:
    root = files(tmp_path / "a", "blues/blues.00000.wav")
    table = tmp_path / "artists.csv"
    with pytest.raises(DatasetError, match=r"artists\.csv cannot be read: No such file"):
        load(root, artists=table)
    table.write_text("id,name\nblues.00000,A\n")
    with pytest.raises(DatasetError, match=r"the columns id and artist are needed\. Found: id, name"):
        load(root, artists=table)
    table.write_text("track_id,artist\nblues.00000,A\nblues.00000.wav,B\n")
    with pytest.raises(DatasetError, match=r"two artists for blues\.00000: A and B"):
        load(root, artists=table)
    table.write_text('track_id,artist\nblues.00000,"Weird" Al\n')
    with pytest.raises(DatasetError, match=r"artists\.csv, line 2: a quotation mark is not closed, or not doubled"):
        load(root, artists=table)


# === Real ===


@pytest.mark.real
@pytest.mark.parametrize(
    ("folder", "n", "parts", "with_artist"),
    [
        ("gtzan_2s", 306, {"training": 230, "validation": 76}, 279),
        ("gtzan_15s", 81, {"training": 38, "validation": 43}, 77),
        ("gtzan_30s", 12, {"training": 3, "validation": 9}, 12),
    ],
)
def test_real_parts(shared: Path, folder: str, n: int, parts: dict[str, int], with_artist: int) -> None:
    official = shared / "data/gtzan_fault_filtered"
    dataset = load(shared / "data" / folder, split_files=official, artists=official / "artists.csv")
    assert len(dataset.tracks) == n
    assert Counter(t.official_split for t in dataset.tracks) == parts
    assert sum(t.artist is not None for t in dataset.tracks) == with_artist
    assert f"fault-filtered split: {930 - sum(parts.values())} of 930 listed tracks missing" in dataset.notes


@pytest.mark.real
def test_real_parts_joined_are_merged_by_id(shared: Path) -> None:
    dataset = load(shared / "data")
    assert len(dataset.tracks) == 314
    assert dataset.notes[0].startswith("skipped: 85 files with the tracks in another format: ")


@pytest.mark.real
def test_real_lists_are_the_published_ones(shared: Path) -> None:
    for name, sha256 in gtzan.SPLIT_FILES.values():
        content = (shared / "data/gtzan_fault_filtered" / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == sha256
