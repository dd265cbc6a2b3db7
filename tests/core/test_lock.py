from __future__ import annotations

import errno
from pathlib import Path

import pytest

from genrelab.core.errors import PreparedError
from genrelab.core.lock import locked_folder

fcntl = pytest.importorskip("fcntl")


def test_locked_folder_is_refused_until_it_is_free(tmp_path: Path) -> None:
    news: list[str] = []
    with (
        locked_folder(tmp_path, "RUN", busy="is running here", command="tune", notify=news.append),
        pytest.raises(PreparedError, match=r"^RUN: another `genrelab tune` is running here: wait until"),
        locked_folder(tmp_path, "RUN", busy="is running here", command="tune", notify=news.append),
    ):
        pass
    with locked_folder(tmp_path, "RUN", busy="is running here", command="tune", notify=news.append):
        pass
    assert news == []


def test_folder_that_cannot_be_locked_is_reported_and_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    news: list[str] = []
    with locked_folder(tmp_path, "RUN", busy="is running here", command="tune", notify=news.append):
        assert news == ["RUN cannot be locked (No locks available): do not run another `genrelab tune` on it meanwhile"]
