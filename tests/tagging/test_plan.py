"""A plan changes nothing; applied, it writes what a person left in it, and only into files that are as they were."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import mutagen
import pytest

from genrelab.core.errors import SettingsError, TagError
from genrelab.tagging import journal as tag_journal
from genrelab.tagging import plan as plans
from genrelab.tagging import replace_file, tag, tags
from genrelab.tagging.new_file import PART_SUFFIX
from genrelab.tagging.plan import apply_plan, make_plan
from genrelab.tagging.tag import TagSettings
from genrelab.tagging.untag import untag
from genrelab.tagging.write_tag import TaggingInterrupted, TagResult
from tests.support.containers import make, tag_richly
from tests.support.guards import HANG_S
from tests.support.killed_tagging import PLAN
from tests.support.named_model import FakeClassifier
from tests.support.paths import PROJECT

KILLED_WRITE = """
import os, pathlib, signal, sys
from genrelab.tagging.new_file import new_file
with new_file(pathlib.Path(sys.argv[1])):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def library(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    for name in ("a", "b", "c"):
        made = make(folder / "deep", "mp3", seconds=0.5)
        tag_richly(made)
        made.rename(folder / "deep" / f"jazz 83 {name}.mp3")
    made = make(folder, "flac", seconds=0.5)
    tag_richly(made, genres=("Metal",))
    made.rename(folder / "rock 90 own.flac")
    return folder


def planned(folder: Path, file: Path, **settings: Any) -> list[TagResult]:
    rows: list[TagResult] = []
    make_plan(file, [folder], FakeClassifier(), TagSettings(**settings), rows.append, model="svm")
    return rows


def applied(file: Path, **settings: Any) -> tuple[dict[str, TagResult], Path | None]:
    """Rows by the last parts of their paths, and the journal."""
    rows: list[TagResult] = []
    journal = apply_plan(file, rows.append, **settings)
    return {Path(row.path).name: row for row in rows}, journal


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def edit(file: Path, number: int, **changes: object) -> None:
    found = lines(file)
    found[number] |= changes
    file.write_text("".join(json.dumps(line) + "\n" for line in found))


def music(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def without_journal(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in music(folder).items() if not name.startswith(".genrelab")}


# --- made ---


def test_plan_names_what_would_change_and_changes_nothing(library: Path, tmp_path: Path) -> None:
    before, file = music(library), tmp_path / PLAN
    rows = planned(library, file, overwrite=True)
    assert [row.status for row in rows] == ["would tag"] * 4
    assert music(library) == before, "not even a folder for journals"
    head, *found = lines(file)
    assert head == {"root": str(library), "model": "svm", "field": None}
    assert [line["path"] for line in found] == [*(f"deep/jazz 83 {n}.mp3" for n in "abc"), "rock 90 own.flac"]
    assert [(line["old"], line["new"], line["confidence"]) for line in found[2:]] == [
        ([], ["Jazz"], 0.83),
        (["Metal"], ["Rock"], 0.9),
    ]
    assert found[0]["audio_sha256"] == plans.sha256_of_audio(library / "deep" / "jazz 83 a.mp3")
    assert list(found[0]) == ["path", "audio_sha256", "old", "new", "confidence"]


def test_plan_that_is_there_is_not_replaced_nor_one_that_cannot_be_written(library: Path, tmp_path: Path) -> None:
    (tmp_path / PLAN).write_text("edited by hand")
    with pytest.raises(SettingsError, match="exists"):
        planned(library, tmp_path / PLAN)
    assert (tmp_path / PLAN).read_text() == "edited by hand"
    with pytest.raises(SettingsError, match="cannot be written"):
        planned(library, tmp_path / "no folder" / PLAN)


def test_plan_appears_only_when_it_is_complete(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(SettingsError, match="No space left"):
            planned(library, tmp_path / PLAN)
    assert [p.name for p in tmp_path.iterdir()] == ["music"]

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(plans, "sha256_of_audio", interrupt)
        with pytest.raises(KeyboardInterrupt):
            planned(library, tmp_path / PLAN)
    assert [p.name for p in tmp_path.iterdir()] == ["music"]


def test_names_that_are_not_utf8_survive(library: Path, tmp_path: Path) -> None:
    strange = library / "deep" / os.fsdecode(b"jazz 83 \xff.mp3")
    (library / "deep" / "jazz 83 a.mp3").rename(strange)
    planned(library, tmp_path / PLAN)
    assert applied(tmp_path / PLAN)[0][strange.name].status == "tagged"
    assert tags.read(strange).genres == ("Jazz",)


# --- applied ---


def test_what_a_person_left_in_the_plan_is_written_and_taken_back(library: Path, tmp_path: Path) -> None:
    before = music(library)
    planned(library, tmp_path / PLAN, overwrite=True)
    edit(tmp_path / PLAN, 1, new=["Bebop", "Jazz"])
    kept = (tmp_path / PLAN).read_text().splitlines()
    (tmp_path / PLAN).write_text("\ufeff" + "\r\n".join([*kept[:2], "", *kept[3:]]) + "\r\n")
    rows, journal = applied(tmp_path / PLAN)
    assert {row.status for row in rows.values()} == {"tagged"}
    assert list(rows) == ["jazz 83 a.mp3", "jazz 83 c.mp3", "rock 90 own.flac"]
    assert tags.read(library / "deep" / "jazz 83 a.mp3").genres == ("Bebop", "Jazz")
    assert tags.read(library / "deep" / "jazz 83 a.mp3").provenance[0].endswith("svm p=0.83")
    assert tags.read(library / "rock 90 own.flac").genres == ("Rock",)
    assert journal is not None and journal.parent == library / ".genrelab"
    again, no_journal = applied(tmp_path / PLAN)
    assert {(row.status, row.reason) for row in again.values()} == {("kept", "has this genre")}
    assert no_journal is None
    untag(journal, lambda _: None)
    assert without_journal(library) == before


def test_changed_files_are_refused_by_name_and_the_others_are_written(library: Path, tmp_path: Path) -> None:
    planned(library, tmp_path / PLAN, overwrite=True)
    audio = mutagen.File(library / "deep" / "jazz 83 a.mp3")
    audio.tags["TCON"] = mutagen.id3.TCON(encoding=3, text=["Mine"])
    audio.save()
    other = make(tmp_path, "mp3", seconds=0.7)
    shutil.copy(other, library / "deep" / "jazz 83 b.mp3")
    (library / "rock 90 own.flac").unlink()
    rows, _ = applied(tmp_path / PLAN)
    assert [row.status for row in rows.values()] == ["failed", "failed", "tagged", "failed"]
    reasons = [str(row.reason) for row in rows.values()]
    where = f"{tmp_path / PLAN}, line"
    assert reasons[0] == f"its genre changed after the plan was made ({where} 2): make a new plan"
    assert reasons[1] == f"its audio changed after the plan was made ({where} 3): make a new plan"
    assert reasons[3] == f"is gone, but listed in {where} 5: make a new plan"
    assert tags.read(library / "deep" / "jazz 83 a.mp3").genres == ("Mine",)
    assert tags.read(library / "deep" / "jazz 83 b.mp3").genres == ()
    assert tags.read(library / "deep" / "jazz 83 c.mp3").genres == ("Jazz",)


def test_other_tags_may_change_meanwhile(library: Path, tmp_path: Path) -> None:
    planned(library, tmp_path / PLAN)
    audio = mutagen.File(library / "deep" / "jazz 83 a.mp3")
    audio.tags["TIT2"].text = ["A better title"]
    audio.save()
    assert {row.status for row in applied(tmp_path / PLAN)[0].values()} == {"tagged"}
    assert tags.artist_and_title(library / "deep" / "jazz 83 a.mp3")[1] == "A better title"


def test_plan_for_another_field_writes_that_field(library: Path, tmp_path: Path) -> None:
    planned(library, tmp_path / PLAN, field="SUBGENRE")
    applied(tmp_path / PLAN)
    path = library / "rock 90 own.flac"
    assert (tags.read(path).genres, tags.read(path, "SUBGENRE").genres) == (("Metal",), ("Rock",))


def test_dry_run_checks_the_plan_and_writes_nothing(library: Path, tmp_path: Path) -> None:
    planned(library, tmp_path / PLAN)
    before = music(library)
    edit(tmp_path / PLAN, 2, audio_sha256="0" * 64)
    rows, journal = applied(tmp_path / PLAN, dry_run=True)
    assert [row.status for row in rows.values()] == ["would tag", "failed", "would tag"]
    assert (journal, music(library)) == (None, before)


def test_read_only_file_and_locked_library_are_named(library: Path, tmp_path: Path) -> None:
    planned(library, tmp_path / PLAN)
    (library / "deep" / "jazz 83 a.mp3").chmod(0o444)
    with tag_journal.lock(library), pytest.raises(TagError, match="another genrelab is writing tags"):
        applied(tmp_path / PLAN)
    assert "is read-only" in str(applied(tmp_path / PLAN)[0]["jazz 83 a.mp3"].reason)


def test_leftovers_of_a_killed_run_are_removed(library: Path, tmp_path: Path) -> None:
    planned(library, tmp_path / PLAN)
    (library / "deep" / ".0a1b2c3d.genrelab-tmp").write_text("left")
    applied(tmp_path / PLAN)
    assert list(library.rglob(f"*{replace_file.TEMP_SUFFIX}")) == []


def test_ctrl_c_keeps_the_journal(library: Path, tmp_path: Path) -> None:
    planned(library, tmp_path / PLAN)
    before, rows = without_journal(library), list[TagResult]()

    def show(row: TagResult) -> None:
        rows.append(row)
        if len(rows) == 2:
            raise KeyboardInterrupt

    with pytest.raises(TaggingInterrupted) as interrupted:
        apply_plan(tmp_path / PLAN, show)
    assert interrupted.value.journal is not None
    untag(interrupted.value.journal, lambda _: None)
    assert without_journal(library) == before


@pytest.mark.parametrize("other", ["tag", "plan"])
def test_plan_that_is_being_made_survives_another_run(library: Path, other: str) -> None:
    file, own = library / PLAN, library / "rock 90 own.flac"

    def meanwhile(row: TagResult) -> None:
        if row.path == str(own) and other == "tag":
            tag.tag([own], FakeClassifier(), TagSettings(overwrite=True), lambda _: None)
        elif row.path == str(own):
            planned(library, file)

    make_plan(file, [library], FakeClassifier(), TagSettings(), meanwhile, model="svm")
    assert len(lines(file)) == 4
    assert list(library.rglob(f"*{PART_SUFFIX}")) == []


def test_what_a_killed_plan_left_is_removed_by_the_next_of_that_name(library: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-c", KILLED_WRITE, str(tmp_path / PLAN)]
    assert subprocess.run(words, cwd=PROJECT, timeout=HANG_S).returncode == -signal.SIGKILL
    planned(library, tmp_path / "other.jsonl")
    assert len(list(tmp_path.glob(f".*{PART_SUFFIX}"))) == 1
    planned(library, tmp_path / PLAN)
    assert list(tmp_path.glob(f".*{PART_SUFFIX}")) == []


# --- plans that were not written like this ---


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"path": 7}, "path must be a string"),
        ({"path": "../out.mp3"}, "is outside the library"),
        ({"path": "{out}"}, "is outside the library"),
        ({"path": "link/out.mp3"}, "leads through a link"),
        ({"path": "link.mp3"}, "leads through a link"),
        ({"path": "\ud800.mp3"}, "not a valid file name"),
        ({"path": "deep"}, "not a regular file"),
        ({"path": "deep/../deep/jazz 83 a.mp3"}, "is outside the library"),
        ({"audio_sha256": None}, "audio_sha256 must be 64 hexadecimal digits"),
        ({"audio_sha256": "F" * 64}, "audio_sha256 must be"),
        ({"old": "Rock"}, "old must be a list of strings"),
        ({"new": [7]}, "new must be a list of strings"),
        ({"new": []}, "new is empty: delete the line"),
        ({"new": [" "]}, "new has ' ', which cannot be"),
        ({"new": ["a\nb"]}, "which cannot be a genre"),
        ({"confidence": "0.9"}, "confidence must be a number from 0 to 1"),
        ({"confidence": True}, "confidence must be"),
        ({"confidence": float("nan")}, "confidence must be"),
        ({"confidence": 1.5}, "confidence must be"),
        ({"confidence": 10**400}, "confidence must be a number from 0 to 1"),
        ({"confidence": -(10**400)}, "confidence must be"),
        ({"confidence": float("inf")}, "confidence must be"),
        ({"confidence": -1}, "confidence must be"),
        ({"confidence": None}, "confidence must be"),
        ({"confidence": [0.5]}, "confidence must be"),
        ({"confidence": {"p": 0.5}}, "confidence must be"),
        ({"more": 1}, "must be an object with path, audio_sha256, old, new, confidence"),
    ],
)
def test_line_that_is_not_right_is_a_row_and_the_others_are_written(
    library: Path, tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    planned(library, tmp_path / PLAN)
    outside = tmp_path / "out.mp3"
    shutil.copy(library / "deep" / "jazz 83 a.mp3", outside)
    (library / "link").symlink_to(tmp_path)
    (library / "link.mp3").symlink_to(outside)
    before = outside.read_bytes()
    if changes.get("path") == "{out}":
        changes = {"path": str(outside)}
    edit(tmp_path / PLAN, 1, **changes)
    rows, _ = applied(tmp_path / PLAN)
    assert [row.status for row in rows.values()] == ["failed", "tagged", "tagged"]
    bad = next(iter(rows.values()))
    assert reason in str(bad.reason)
    assert "path" in changes or bad.path == f"{tmp_path / PLAN}, line 2"
    assert outside.read_bytes() == before


def test_number_of_more_digits_than_python_reads_is_a_row(library: Path, tmp_path: Path) -> None:
    planned(library, tmp_path / PLAN)
    (tmp_path / PLAN).write_text((tmp_path / PLAN).read_text().replace("0.83", "9" * 5000, 1))
    rows, _ = applied(tmp_path / PLAN)
    assert [row.status for row in rows.values()] == ["failed", "tagged", "tagged"]


def test_line_that_is_no_json_is_a_row(library: Path, tmp_path: Path) -> None:
    planned(library, tmp_path / PLAN)
    kept = (tmp_path / PLAN).read_bytes().splitlines()
    (tmp_path / PLAN).write_bytes(b"\n".join([*kept[:2], b"\xff{", b"[]", b"[" * 100_000, kept[3]]))
    rows, _ = applied(tmp_path / PLAN)
    assert [row.status for row in rows.values()] == ["tagged", "failed", "failed", "failed", "tagged"]
    assert "is not JSON" in str(rows[f"{PLAN}, line 3"].reason)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"root": "music"}, "root must be an absolute path"),
        ({"root": None}, "root must be an absolute path"),
        ({"root": "/no/such/folder"}, "/no/such/folder: no such folder: change `root`"),
        ({"model": 7}, "model must be a name"),
        ({"model": "a\nb"}, "model must be a name"),
        ({"field": "A=B"}, "--subgenre-field must be"),
        ({"field": 7}, "field must be null or a name"),
        ({"more": 1}, "must be an object with root, model, field"),
    ],
)
def test_first_line_that_is_not_right_is_refused(
    library: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    planned(library, tmp_path / PLAN)
    before = music(library)
    edit(tmp_path / PLAN, 0, **changes)
    with pytest.raises(SettingsError, match=f"{PLAN}, line 1: {message}"):
        applied(tmp_path / PLAN)
    assert music(library) == before


def test_file_that_is_no_plan_is_refused(library: Path, tmp_path: Path) -> None:
    for name, content in (("empty", b""), ("text", b"my notes\n"), ("audio", b"\xff\xfb" * 99)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SettingsError, match=f"{name}, line 1: is not JSON"):
            applied(tmp_path / name)
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(SettingsError, match="cannot be read"):
            applied(path)


# --- kills ---


def kill(folder: Path, file: Path, where: str, n: int) -> bool:
    """Apply the plan in a process of its own that is killed; False where it was done before."""
    words = [sys.executable, "-m", "tests.support.killed_tagging", str(folder), where, str(n), str(file)]
    process = subprocess.run(words, cwd=PROJECT, timeout=HANG_S)
    assert process.returncode in (0, -signal.SIGKILL)
    return process.returncode != 0


@pytest.mark.slow
def test_kill_at_any_moment_leaves_every_file_old_or_new_and_all_is_taken_back(tmp_path: Path) -> None:
    made = [make(tmp_path / "made", c, seconds=0.5) for c in ("mp3", "flac", "ogg", "opus", "m4a", "wav")]
    for path in made[::2]:
        tag_richly(path)
    folder, file = tmp_path / "music", tmp_path / PLAN
    folder.mkdir()
    for n in range(24):
        shutil.copy(made[n % 6], folder / f"{n:03}{made[n % 6].suffix}")
    before = music(folder)
    planned(folder, file)
    done: set[str] = set()
    points = ("before the journal", "in a line", "before the rename", "after the rename", "before a change")
    for n, where in enumerate(points):
        assert kill(folder, file, where, 2 + n)
        for name, content in before.items():
            found = (folder / name).read_bytes()
            if found != content:
                assert tags.read(folder / name).genres == ("Rock",)
                done.add(name)
            assert name not in done or found != content, "what was written stays written"
    assert 0 < len(done) < len(before)
    assert not kill(folder, file, "", 0)
    assert {tags.read(folder / name).genres for name in before} == {("Rock",)}
    assert list(folder.rglob(f"*{replace_file.TEMP_SUFFIX}")) == []
    for journal in sorted((folder / ".genrelab").glob("*.jsonl"), reverse=True):
        untag(journal, lambda _: None)
    assert without_journal(folder) == before
