"""Journals of version 1, which knew one genre for each file, are read like those of version 2."""

from __future__ import annotations

import json
from pathlib import Path

from genrelab.tagging import tag
from genrelab.tagging.journal import Entry, TagJournal, UnreadableLine, read_newest_first
from genrelab.tagging.tag import TagSettings
from genrelab.tagging.untag import untag
from genrelab.tagging.write_tag import TagResult
from tests.support.containers import make
from tests.support.named_model import FakeClassifier

ENTRY = Entry("a/b.mp3", None, ("Own", "More"), ("Rock", "Pop"), 0.8, "genrelab", (), "0", 9, "1", "2", b"undo")


def written(folder: Path, entry: Entry = ENTRY) -> Path:
    (folder / ".genrelab").mkdir(parents=True)
    with TagJournal(folder) as journal:
        journal.append(entry)
    assert journal.path is not None
    return journal.path


def test_entry_with_several_genres_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert json.loads(path.read_text())["version"] == 2
    assert json.loads(path.read_text())["after"] == ["Rock", "Pop"]
    assert list(read_newest_first(path)) == [ENTRY]


def test_entry_of_version_1_has_one_genre(tmp_path: Path) -> None:
    path = written(tmp_path)
    line = json.loads(path.read_text()) | {"version": 1, "after": "Rock"}
    path.write_text(json.dumps(line) + "\n")
    (found,) = read_newest_first(path)
    assert isinstance(found, Entry) and found.after == ("Rock",)
    path.write_text(json.dumps(line | {"after": ["Rock"]}) + "\n")
    (damaged,) = read_newest_first(path)
    assert isinstance(damaged, UnreadableLine) and "is damaged" in damaged.reason


def test_version_of_the_future_is_named(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": 4}) + "\n")
    (line,) = read_newest_first(path)
    assert isinstance(line, UnreadableLine) and "has an unknown version" in line.reason


def test_library_with_a_journal_of_version_1_is_restored(tmp_path: Path) -> None:
    before = make(tmp_path, "mp3", seconds=0.5).read_bytes()
    journal = tag.tag([tmp_path], FakeClassifier(), TagSettings(), lambda _: None)
    assert journal is not None
    line = json.loads(journal.read_text())
    journal.write_text(json.dumps(line | {"version": 1, "after": line["after"][0]}) + "\n")
    rows: list[TagResult] = []
    untag(journal, rows.append)
    assert [(row.status, row.before) for row in rows] == [("restored", ("Rock",))]
    assert (tmp_path / "mp3.mp3").read_bytes() == before
