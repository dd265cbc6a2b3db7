from __future__ import annotations

from collections import namedtuple
from pathlib import Path

import pytest

from genrelab import outlook
from genrelab.config import PrepareSettings, SamplesView
from genrelab.errors import PreparedError
from genrelab.outlook import Outlook
from genrelab.pieces import Item, Kept, Piece
from genrelab.storage import Folder

SETTINGS = PrepareSettings(views=(SamplesView(),))
KEPT = Kept("", 1.0, {}, [], None)


@pytest.fixture
def song(tmp_path: Path) -> str:
    (tmp_path / "a.wav").write_bytes(b"sound")
    return str(tmp_path / "a.wav")


def _pieces(work: Path, *tracks: list[Item]) -> list[Piece]:
    """Orders for these tracks; each is made already, of 1,000 bytes a track."""
    made = [Piece(n, str(work), tuple(items), SETTINGS) for n, items in enumerate(tracks)]
    for piece in made:
        piece.folder.mkdir()
        (piece.folder / "samples.tfrecord").write_bytes(bytes(1_000_000 * len(piece.items)))
    return made


def test_seconds_and_bytes_of_what_is_left(song: str, tmp_path: Path) -> None:
    todo, said = _pieces(tmp_path, *([Item(0, song)] * 10 for _ in range(6))), list[str]()
    it = Outlook(todo, 2, Folder(tmp_path), said.append)
    assert said == [f"60 tracks to prepare into {tmp_path} (samples)"]
    it.after(todo[0], 20.0)
    assert len(said) == 1, "the other worker may be at dearer ones"
    it.after(todo[1], 40.0)
    assert said[1:] == ["about 60 s more with 2 workers, 40 MB"], "3 s a track, and 20 for each"
    it.after(todo[2], 99.0)
    assert len(said) == 2


def test_what_costs_nothing_counts_on_neither_side(song: str, tmp_path: Path) -> None:
    missing, unlabelled, kept = Item(0, song + "?"), Item(0, song, "no genre label"), Item(0, song, kept=KEPT)
    free = [missing, unlabelled, kept] * 3
    todo, said = _pieces(tmp_path, free, [*free, Item(0, song)], [*free, Item(0, song)], free), list[str]()
    it = Outlook(todo, 1, Folder(tmp_path), said.append)
    assert said == [f"{3 * 4 + 3 * 4 + 3 * 4 + 2 - 12} tracks to prepare into {tmp_path} (samples)"], (
        "missing ones are tried"
    )
    it.after(todo[0], 0.1)
    assert len(said) == 1
    it.after(todo[1], 7.0)
    assert len(said) == 2 and said[1].startswith("about 7 s more with 1 worker")


def test_nothing_is_told_of_nothing(song: str, tmp_path: Path) -> None:
    said: list[str] = []
    Outlook([], 1, Folder(tmp_path), said.append)
    assert not said
    (only,) = _pieces(tmp_path, [Item(0, song)])
    Outlook([only], 1, Folder(tmp_path), said.append).after(only, 1.0)
    assert said == [f"1 tracks to prepare into {tmp_path} (samples)"]


def test_the_disk_must_hold_pieces_and_shards(song: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    todo, usage = _pieces(tmp_path, [Item(0, song)] * 10, [Item(0, song)] * 10), namedtuple("usage", "free")
    for free, fits in ((30_000_000, True), (29_999_999, False)):
        monkeypatch.setattr(outlook.shutil, "disk_usage", lambda _, free=free: usage(free))
        Outlook(todo, 1, Folder("memory://elsewhere"), str).after(todo[0], 1.0)
        it = Outlook(todo, 1, Folder(tmp_path), str)
        if fits:
            it.after(todo[0], 1.0)
        else:
            with pytest.raises(PreparedError, match=r"about 0\.0 GB more are needed and 0\.0 GB are free"):
                it.after(todo[0], 1.0)
