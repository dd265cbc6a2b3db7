from __future__ import annotations

from pathlib import Path

from genrelab.core.sqlite import move_aside


def test_file_moved_aside_earlier_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "answers.sqlite"
    moved = []
    for content in (b"first", b"second", b"third"):
        file.write_bytes(content)
        (tmp_path / "answers.sqlite-journal").write_bytes(content[:2])
        moved.append(move_aside(file))
    assert [p.name for p in moved] == ["answers-aside.sqlite", "answers-aside2.sqlite", "answers-aside3.sqlite"]
    assert [p.read_bytes() for p in moved] == [b"first", b"second", b"third"]
    assert [p.with_name(f"{p.name}-journal").read_bytes() for p in moved] == [b"fi", b"se", b"th"]
    assert not file.exists()
