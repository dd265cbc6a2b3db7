from __future__ import annotations

import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from genrelab.serve import temp_folder


@pytest.fixture(autouse=True)
def _temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_folder_is_private_and_removed_afterwards() -> None:
    with temp_folder.folder() as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "1").write_bytes(b"x")
    assert not folder.exists()


def test_folder_is_removed_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), temp_folder.folder() as folder:
        raise ZeroDivisionError
    assert not folder.exists()


HOLD = """
import sys, tempfile
from genrelab.serve import temp_folder
tempfile.tempdir = sys.argv[1]
with temp_folder.folder() as folder:
    (folder / "song").write_bytes(b"x")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="nothing is swept there")
def test_sweep_removes_only_folders_of_dead_services(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        held = Path(other.stdout.readline().strip())
        with temp_folder.folder() as ours:
            assert (held / "song").exists()
            temp_folder.remove_stale(tmp_path)
            assert ours.exists()
        other.kill()
    assert (held / "song").exists()
    temp_folder.remove_stale(tmp_path)
    assert not held.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="nothing is swept there")
def test_sweep_keeps_other_folders_and_links(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    for kept in (elsewhere, tmp_path / f"{temp_folder.PREFIX}notes"):
        kept.mkdir()
        (kept / "song").write_bytes(b"x")
    (tmp_path / f"{temp_folder.PREFIX}abcdefgh").symlink_to(elsewhere)
    (tmp_path / f"{temp_folder.PREFIX}12345678").write_bytes(b"x")
    before = sorted(tmp_path.iterdir())
    temp_folder.remove_stale(tmp_path)
    assert sorted(tmp_path.iterdir()) == before
    assert (elsewhere / "song").exists()
