from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from genrelab.service import scratch


@pytest.fixture(autouse=True)
def _temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_the_folder_is_ours_alone_and_gone_afterwards() -> None:
    with scratch.folder() as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "1").write_bytes(b"x")
    assert not folder.exists()


def test_it_is_gone_after_a_fault_too() -> None:
    with pytest.raises(ZeroDivisionError), scratch.folder() as folder:
        raise ZeroDivisionError
    assert not folder.exists()


def test_what_a_killed_service_left_goes_and_that_of_a_living_one_stays(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left, living = tmp_path / f"{scratch.PREFIX}{ended.pid}-abc", tmp_path / f"{scratch.PREFIX}{os.getpid()}-abc"
    strange, link = tmp_path / f"{scratch.PREFIX}notes", tmp_path / f"{scratch.PREFIX}{ended.pid}-link"
    for folder in (left, living, strange):
        folder.mkdir()
        (folder / "song").write_bytes(b"x")
    link.symlink_to(living)
    with scratch.folder():
        assert not left.exists()
        assert (living / "song").exists() and (strange / "song").exists() and link.is_symlink()
