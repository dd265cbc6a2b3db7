"""A file that was renamed or moved since it was tagged is found by its audio; a doubt is a failure that says why."""

from __future__ import annotations

import shutil
from pathlib import Path

import mutagen
import pytest

from genrelab.tagging import renamed, tag, tags
from genrelab.tagging.tag import TagSettings
from genrelab.tagging.untag import untag
from genrelab.tagging.write_tag import TagResult
from tests.support.containers import make, tag_richly
from tests.support.named_model import FakeClassifier


@pytest.fixture
def library(tmp_path: Path) -> Path:
    for n, name in enumerate("abc"):
        made = make(tmp_path, "flac", seconds=0.5 + n / 10)
        tag_richly(made)
        made.rename(tmp_path / f"jazz 83 {name}.flac")
    return tmp_path


def tagged(folder: Path) -> Path:
    journal = tag.tag([folder], FakeClassifier(), TagSettings(), lambda _: None)
    assert journal is not None
    return journal


def restored(journal: Path, sentences: list[str] | None = None) -> dict[str, TagResult]:
    rows: list[TagResult] = []
    untag(journal, rows.append, ([] if sentences is None else sentences).append)
    return {row.path: row for row in rows}


def test_renamed_and_moved_files_are_restored_and_keep_their_names(library: Path) -> None:
    before = {p.stem[-1]: p.read_bytes() for p in library.glob("*.flac")}
    journal, sentences = tagged(library), list[str]()
    moved = {"a": library / "new a.flac", "b": library / "deep" / "er" / "b.flac"}
    moved["b"].parent.mkdir(parents=True)
    for name, path in moved.items():
        (library / f"jazz 83 {name}.flac").rename(path)
    rows = restored(journal, sentences)
    assert {row.status for row in rows.values()} == {"restored"}
    for name, path in moved.items():
        assert rows[str(path)].reason == f"renamed; it was jazz 83 {name}.flac"
        assert path.read_bytes() == before[name]
        assert not (library / f"jazz 83 {name}.flac").exists()
    assert rows[str(library / "jazz 83 c.flac")].reason is None
    assert len(sentences) == 1 and "for their audio" in sentences[0]
    again = restored(journal)
    assert {row.status for row in again.values()} == {"unchanged"}, "found again"


def test_nothing_is_hashed_while_no_file_is_missing_and_all_once_if_one_is(
    library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, hashed = tagged(library), list[str]()
    hash_audio = renamed.sha256_of_audio

    def noting(path: Path) -> str:
        hashed.append(path.name)
        return hash_audio(path)

    monkeypatch.setattr(renamed, "sha256_of_audio", noting)
    restored(journal)
    assert hashed == []
    for name in "ab":
        (library / f"jazz 83 {name}.flac").rename(library / f"new {name}.flac")
    restored(journal)
    assert sorted(hashed) == ["jazz 83 c.flac", "new a.flac", "new b.flac"]


def test_renamed_file_with_other_edits_loses_only_the_genre(library: Path) -> None:
    journal, path = tagged(library), library / "new.flac"
    (library / "jazz 83 a.flac").rename(path)
    audio = mutagen.File(path)
    audio["TITLE"] = "Better"
    audio.save()
    row = restored(journal)[str(path)]
    assert (row.status, row.before, row.after) == ("restored", ("Jazz",), ())
    assert row.reason == "renamed; it was jazz 83 a.flac; other tags have changed since then and were kept"
    assert (tags.read(path).genres, tags.artist_and_title(path)[1]) == ((), "Better")


@pytest.mark.parametrize("names", ["bcd", "bca", "bac"], ids=["shift", "circle", "swap"])
def test_files_that_took_each_others_names_are_restored_and_keep_their_new_ones(library: Path, names: str) -> None:
    files = {name: library / f"jazz 83 {name}.flac" for name in "abcd"}
    tag_richly(files["b"], genres=("Rock",))
    before = {name: files[name].read_bytes() for name in "abc"}
    journal = tag.tag([library], FakeClassifier(), TagSettings(overwrite=True), lambda _: None)
    assert journal is not None
    for name in "abc":
        files[name].rename(library / name)
    for name, new in zip("abc", names, strict=True):
        (library / name).rename(files[new])
    rows = restored(journal)
    for name, new in zip("abc", names, strict=True):
        assert files[new].read_bytes() == before[name]
        reason = f"renamed; it was {files[name].name}" if new != name else None
        assert (rows[str(files[new])].status, rows[str(files[new])].reason) == ("restored", reason)
    assert {row.status for row in restored(journal).values()} == {"unchanged"}, "found again"


def test_lost_file_is_named_if_another_file_has_its_name(library: Path) -> None:
    before = (library / "jazz 83 a.flac").read_bytes()
    journal, path, rows = tagged(library), library / "jazz 83 b.flac", list[TagResult]()
    (library / "jazz 83 a.flac").replace(path)
    untag(journal, rows.append)
    lost, found = sorted((row for row in rows if row.path == str(path)), key=lambda row: row.status)
    reason = "now has different audio, and no file in this folder has the tagged audio"
    assert (lost.status, lost.reason) == ("failed", reason)
    assert (found.status, found.reason) == ("restored", "renamed; it was jazz 83 a.flac")
    assert path.read_bytes() == before


def test_of_two_files_with_its_audio_the_one_with_the_genre_is_restored(library: Path) -> None:
    journal = tagged(library)
    first, second = library / "new 1.flac", library / "new 2.flac"
    (library / "jazz 83 a.flac").rename(first)
    shutil.copy(first, second)
    row = restored(journal)[str(library / "jazz 83 a.flac")]
    assert row.status == "failed"
    several = "several files have the tagged audio (new 1.flac, new 2.flac): rename one back"
    assert row.reason == f"is gone, and {several}"
    assert tags.read(first).genres == tags.read(second).genres == ("Jazz",)
    audio = mutagen.File(second)
    audio["GENRE"] = "Bebop"
    audio.save()
    assert restored(journal)[str(first)].status == "restored"
    assert tags.read(second).genres == ("Bebop",)


def test_renamed_file_whose_genre_was_changed_since_is_left_alone(library: Path) -> None:
    journal, path = tagged(library), library / "new.flac"
    (library / "jazz 83 a.flac").rename(path)
    audio = mutagen.File(path)
    audio["GENRE"] = "Bebop"
    audio.save()
    row = restored(journal)[str(library / "jazz 83 a.flac")]
    assert row.status == "failed" and "new.flac has the tagged audio, but its genre was edited later" in str(row.reason)
    assert tags.read(path).genres == ("Bebop",)


def test_deleted_file_is_reported(library: Path) -> None:
    journal = tagged(library)
    (library / "jazz 83 a.flac").unlink()
    (library / "link.flac").symlink_to(library / "jazz 83 b.flac")
    row = restored(journal)[str(library / "jazz 83 a.flac")]
    assert row.status == "failed" and "is gone: deleted, or moved out" in str(row.reason)
