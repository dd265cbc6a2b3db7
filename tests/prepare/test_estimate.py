from __future__ import annotations

from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest

from genrelab.core.config import PrepareSettings, SamplesView
from genrelab.core.errors import PreparedError
from genrelab.core.storage import Folder
from genrelab.prepare import estimate
from genrelab.prepare.estimate import Estimate
from genrelab.prepare.work_unit import Item, Piece, ReusableTrack

SETTINGS = PrepareSettings(views=(SamplesView(),))
KEPT = ReusableTrack("", 1.0, {}, [], [])


@pytest.fixture
def song(tmp_path: Path) -> str:
    (tmp_path / "a.wav").write_bytes(b"sound")
    return str(tmp_path / "a.wav")


def _pieces(work: Path, *tracks: list[Item]) -> list[Piece]:
    """Orders for these tracks; each is made already, of 1 MB a track."""
    made = [Piece(n, str(work), tuple(items), SETTINGS) for n, items in enumerate(tracks)]
    for piece in made:
        piece.folder.mkdir(parents=True)
        (piece.folder / "samples.tfrecord").write_bytes(bytes(1_000_000 * len(piece.items)))
    return made


def _estimate(pieces: list[Piece], jobs: int, folder: Folder, *, done: int = 0) -> tuple[Estimate, list[str]]:
    messages: list[str] = []
    return Estimate(pieces, pieces[done:], jobs, folder, messages.append), messages


def test_remaining_seconds_and_bytes_are_reported(song: str, tmp_path: Path) -> None:
    todo = _pieces(tmp_path, *([Item(0, song)] * 10 for _ in range(6)))
    it, messages = _estimate(todo, 2, Folder(tmp_path / "out"))
    assert messages == ["  60 tracks to decode; views: samples"]
    it.after(todo[0], 20.0)
    assert len(messages) == 1, "the other worker may be at dearer ones"
    it.after(todo[1], 40.0)
    assert messages[1:] == ["  about 60 s left with 2 workers; 100 MB more disk space needed"], (
        "3 s a track, 20 for each"
    )
    it.after(todo[2], 99.0)
    assert len(messages) == 2


def test_reused_tracks_need_disk_space_and_no_time(song: str, tmp_path: Path) -> None:
    missing, unlabelled, kept, new = Item(0, song + "?"), Item(0, song, "none"), Item(0, song, kept=KEPT), Item(0, song)
    old = Item(0, song, kept=replace(KEPT, fingerprints=None))
    todo = _pieces(tmp_path, [missing, unlabelled, kept, kept], [kept, kept, new], [new, old, kept, kept])
    it, messages = _estimate(todo, 1, Folder(tmp_path / "out"))
    assert messages == ["  3 tracks to decode, 7 to reuse; views: samples"], "all but the unlabelled"
    it.after(todo[0], 0.1)
    assert len(messages) == 1, "none was read"
    it.after(todo[1], 2.5)
    assert messages[1:] == [f"  about 5 s left with 1 worker; {2 * 4 * 7 / 5 + 7:.0f} MB more disk space needed"], (
        "two are read, four have records"
    )


def test_no_estimate_is_given_without_remaining_work(song: str, tmp_path: Path) -> None:
    only = _pieces(tmp_path, [Item(0, song)])
    it, messages = _estimate(only, 1, Folder(tmp_path / "out"))
    it.after(only[0], 1.0)
    assert messages == ["  1 track to decode; views: samples"]


@pytest.mark.parametrize(("address", "done", "needed_mb"), [("", 0, 50), ("", 1, 60), ("memory://elsewhere", 0, 20)])
def test_the_disk_must_hold_pieces_and_shards(
    song: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, done: int, needed_mb: int
) -> None:
    """Pieces of 10 MB. Twice the two that are left, and once those that are made, in this run or before; where shards
    go elsewhere only the two that are left.
    """
    made = _pieces(tmp_path, *([Item(0, song)] * 10 for _ in range(3 + done)))
    usage, folder = namedtuple("usage", "free"), Folder(address or tmp_path / "out")
    for free, fits in ((needed_mb * 1_000_000, True), (needed_mb * 1_000_000 - 1, False)):
        monkeypatch.setattr(estimate.shutil, "disk_usage", lambda _, free=free: usage(free))
        it, _ = _estimate(made, 1, folder, done=done)
        if fits:
            it.after(made[done], 1.0)
        else:
            with pytest.raises(PreparedError, match=r"needs about \d+ MB more, and \d+ MB is free"):
                it.after(made[done], 1.0)


def test_replaced_shards_count_as_free_space(song: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One track more, in a folder whose disk is nearly full of the others."""
    todo = _pieces(tmp_path / "out" / ".work", *([Item(0, song, kept=KEPT)] * 10 for _ in range(3)), [Item(0, song)])
    (tmp_path / "out" / "samples").mkdir()
    (tmp_path / "out" / "samples" / "00000-of-00001-0030.tfrecord").write_bytes(bytes(30_000_000))
    usage = namedtuple("usage", "free")
    for free, fits in ((22_000_000, True), (21_999_999, False)):  # pieces of 20 and of 1 MB, and shards grow by 1
        monkeypatch.setattr(estimate.shutil, "disk_usage", lambda _, free=free: usage(free))
        it, _ = _estimate(todo, 1, Folder(tmp_path / "out"))
        if fits:
            it.after(todo[0], 1.0)
        else:
            with pytest.raises(PreparedError, match="free some disk space"):
                it.after(todo[0], 1.0)


def test_disk_is_checked_after_every_piece_and_before_the_shards(
    song: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    todo, usage = _pieces(tmp_path, *([Item(0, song)] for _ in range(4))), namedtuple("usage", "free")
    (todo[0].folder / "samples.tfrecord").write_bytes(b"")  # every track of it fails
    monkeypatch.setattr(estimate.shutil, "disk_usage", lambda _: usage(1_000_000))
    it, _ = _estimate(todo, 1, Folder(tmp_path / "out"))
    it.after(todo[0], 1.0)
    with pytest.raises(PreparedError, match="free some disk space"):
        it.after(todo[1], 1.0)
    it, messages = _estimate(todo, 1, Folder(tmp_path / "out"), done=4)
    with pytest.raises(PreparedError, match="free some disk space"):
        it.check_disk_space()
    assert messages == []


def test_pieces_without_a_track_give_no_disk_estimate(
    song: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a folder that is half unpacked: what a table's head takes is no track's."""
    todo = _pieces(tmp_path, [Item(0, song + "?")] * 10, [Item(0, song)] * 10)
    monkeypatch.setattr(estimate.shutil, "disk_usage", lambda _: namedtuple("usage", "free")(0))
    it, _ = _estimate(todo, 1, Folder(tmp_path / "out"))
    it.after(todo[0], 1.0)
