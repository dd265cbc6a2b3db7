"""Everything below a folder is either audio or named with why it is not used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from genrelab.datasets.scan import MISNAMED, NO_AUDIO, NOT_A_FILE, scan, unused_notes


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_every_name_is_audio_or_unused_with_a_reason(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp3", "rock/b.FLAC", "rock/cover.jpg", "rock/live/#recycle/c.mp3", ".genrelab/x.jsonl", ".git/y")
    (tmp_path / "link").symlink_to(tmp_path / "rock")
    os.mkfifo(tmp_path / "rock" / "pipe.mp3")
    found = scan(tmp_path)
    assert found.audio == ["a.mp3", "rock/b.FLAC"]
    assert found.folders == ["rock"]
    assert {u.path for u in found.unused} == {
        "rock/cover.jpg", "rock/live/#recycle", ".git", "link", "rock/pipe.mp3",
    }  # fmt: skip
    reasons = {u.path: u.reason for u in found.unused}
    assert reasons["rock/cover.jpg"] == NO_AUDIO and reasons["rock/pipe.mp3"] == NOT_A_FILE
    assert not any(u.is_audio for u in found.unused)
    assert sum(len(note) > 0 for note in unused_notes(found.unused)) == 5, "one for each reason"


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_names_that_are_no_utf8_are_written_with_escapes(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/r\xe9gional"
    try:
        os.mkdir(folder)  # noqa: PTH102 - bytes
    except OSError:
        pytest.skip("this file system holds UTF-8 names only")
    for name in (b"a.mp3", b"\xff.txt"):
        Path(os.fsdecode(folder + b"/" + name)).touch()
    touch(tmp_path, "rock/b.mp3")
    found = scan(tmp_path)
    assert found.audio == ["rock/b.mp3"]
    assert [(u.path, u.reason, u.is_audio) for u in found.unused] == [
        (r"r\xe9gional/a.mp3", MISNAMED, True),
        (r"r\xe9gional/\xff.txt", NO_AUDIO, False),
    ]
    assert all(u.path.isprintable() for u in found.unused)


def test_a_root_that_may_not_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> object:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError):
        scan(tmp_path)
