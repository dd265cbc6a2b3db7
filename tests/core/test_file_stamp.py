"""A stamp stays the same as long as the file does, and no longer."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from genrelab.core import file_stamp
from genrelab.core.file_stamp import BLOCK, BLOCKS, FINE_STEP_NS, MORE_BLOCKS, Stamp, stamp_of
from tests.support.changing_files import OLD, pretend_fat


def stamp(path: Path) -> Stamp:
    found = stamp_of(path)
    assert found is not None
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "song.mp3").write_bytes(bytes(2 * BLOCKS * BLOCK))
    os.utime(tmp_path / "song.mp3", (OLD, OLD))
    return tmp_path / "song.mp3"


def test_reading_a_file_or_another_name_for_it_leaves_its_stamp(path: Path, tmp_path: Path) -> None:
    found = stamp(path)
    path.read_bytes()
    (tmp_path / "link.mp3").symlink_to(path)
    assert stamp(path) == stamp_of(str(path)) == stamp(tmp_path / "link.mp3") == found
    assert len(found.digest) == 32 and found.settled
    (tmp_path / "hard.mp3").hardlink_to(path)  # this is a change of the file, too
    assert stamp(tmp_path / "hard.mp3") == stamp(path) != found


def test_size_time_change_time_and_inode_make_another_stamp(path: Path, tmp_path: Path) -> None:
    found = [stamp(path)]
    os.utime(path, (OLD + 2, OLD + 2))
    found.append(stamp(path))
    os.utime(path, (OLD, OLD))
    found.append(stamp(path))
    shutil.copy2(path, tmp_path / "copy.mp3")
    found.append(stamp(tmp_path / "copy.mp3"))
    path.write_bytes(path.read_bytes() + b"\0")
    os.utime(path, (OLD, OLD))
    found.append(stamp(path))
    assert len({s.digest for s in found}) == 5


@pytest.mark.parametrize("size", [0, 1, BLOCK, MORE_BLOCKS * BLOCK, MORE_BLOCKS * BLOCK + 1, 5_000_000])
def test_content_at_head_tail_and_between_tells_where_times_do_not(
    path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_fat(monkeypatch)
    path.write_bytes(bytes(size))
    os.utime(path, (OLD, OLD))
    before = stamp(path)
    last = (size - BLOCK) * 31 // (MORE_BLOCKS - 1)  # the start of one of the blocks between
    for at in {0, size - 1, *([last] if size > MORE_BLOCKS * BLOCK else [size // 2])} if size else ():
        with path.open("r+b") as f:
            f.seek(at)
            f.write(b"\1")
        os.utime(path, (OLD, OLD))
        changed = stamp(path)
        assert changed != before, f"at {at}"
        before = changed
    path.touch()
    os.utime(path, (OLD, OLD))
    assert stamp(path) == before


def test_little_of_a_long_file_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(bytes(5_000_000))
    n_read = []

    def add(digest: object, f: object, size: int, n: int) -> None:
        n_read.append(n * BLOCK)

    monkeypatch.setattr(file_stamp, "_add_blocks", add)
    os.utime(path, (OLD, OLD))
    stamp(path)
    pretend_fat(monkeypatch)
    stamp(path)
    assert n_read == [128 << 10, 1 << 20]


@pytest.mark.parametrize(
    ("mtime_ns", "ctime_ns", "settled"),
    [
        (0, 0, False),  # one that counts whole seconds
        (-2_000_000_000, -2_000_000_000, False),
        (-4_000_000_000, -4_000_000_000, True),
        (60_000_000_000, 60_000_000_000, False),  # the server's clock is ahead
        (1, 1, True),
        (-4_000_000_000, 1, True),
        (0, 1, False),
        (-4_000_000_000, 0, False),
    ],
)
def test_stamp_is_not_settled_while_a_change_could_have_the_same_time(
    path: Path, monkeypatch: pytest.MonkeyPatch, mtime_ns: int, ctime_ns: int, settled: bool
) -> None:
    now = OLD * 10**9 + 500_000_000

    def fstat(_: int) -> SimpleNamespace:
        return SimpleNamespace(
            st_size=10, st_ino=1, st_mtime_ns=OLD * 10**9 + mtime_ns, st_ctime_ns=OLD * 10**9 + ctime_ns
        )

    monkeypatch.setattr(file_stamp, "time", SimpleNamespace(time_ns=lambda: now))
    monkeypatch.setattr(file_stamp, "os", SimpleNamespace(stat=os.stat, fstat=fstat))
    assert stamp(path).settled is settled


def test_file_that_was_changed_this_moment_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of most file systems stands still for milliseconds."""
    waited: list[float] = []
    now = path.stat().st_ctime_ns + FINE_STEP_NS // 2
    monkeypatch.setattr(file_stamp, "time", SimpleNamespace(time_ns=lambda: now, sleep=waited.append))
    stamp(path)
    assert waited == [FINE_STEP_NS / 1e9]
    now += FINE_STEP_NS
    stamp(path)
    assert len(waited) == 1


def test_what_is_no_readable_file_has_no_stamp(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to(tmp_path / "none")
    for name in ("none", "dangling", "pipe", ".", "a\0b"):
        assert stamp_of(tmp_path / name) is None
