"""After tagging, the way back ends in the very bytes of every file; and no kill in between loses one."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mutagen
import pytest

from genrelab.audio.content_hash import sha256_of_audio
from genrelab.core.errors import TagError
from genrelab.tagging import binary_patch, replace_file, tag, tags
from genrelab.tagging import journal as tag_journal
from genrelab.tagging.tag import TagSettings
from genrelab.tagging.untag import untag
from genrelab.tagging.write_tag import TagResult
from tests.support.containers import MADE, id3v1, make, tag_richly
from tests.support.guards import HANG_S
from tests.support.named_model import FakeClassifier
from tests.support.paths import PROJECT


def tagged(folder: Path, **settings: Any) -> Path:
    """The journal of a run in which no file failed."""
    rows: list[TagResult] = []
    journal = tag.tag([folder], FakeClassifier(), TagSettings(**settings), rows.append)
    assert journal is not None
    assert [r for r in rows if r.status == "failed"] == []
    return journal


def restored(journal: Path) -> dict[str, TagResult]:
    rows: list[TagResult] = []
    untag(journal, rows.append)
    return {Path(r.path).name: r for r in rows}


def music(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file() and ".genrelab" not in p.parts}


def library_of_three(folder: Path) -> Path:
    for name in ("jazz 83 a", "jazz 83 b", "jazz 83 c"):
        make(folder, "mp3", seconds=0.5).rename(folder / f"{name}.mp3")
        tag_richly(folder / f"{name}.mp3")
    return folder


def edit(journal: Path, number: int, **changes: object) -> None:
    """Another journal than the one that was written."""
    lines = journal.read_text().splitlines()
    lines[number] = json.dumps(json.loads(lines[number]) | changes)
    journal.write_text("\n".join(lines) + "\n")


# --- exactly ---


def test_every_container_is_restored_byte_for_byte(tmp_path: Path) -> None:
    for n, genres in enumerate([None, (), ("Rock", "Pop")]):
        for container in MADE:
            path = make(tmp_path / str(n), container)
            if genres is not None:
                tag_richly(path, genres=genres, id3_version=3 + n % 2)
            path.rename(path.with_name(f"{n} {path.name}"))
    with next(tmp_path.rglob("*.mp3")).open("ab") as f:
        f.write(id3v1(genre=17))
    before = music(tmp_path)
    audio = {p.name: sha256_of_audio(p) for p in tmp_path.rglob("*.*") if p.is_file()}
    journal = tagged(tmp_path, overwrite=True)
    between = music(tmp_path)
    assert all(between[name] != before[name] for name in before)
    assert {p.name: sha256_of_audio(p) for p in tmp_path.rglob("*.*") if p.name in audio} == audio
    assert journal.stat().st_size < 0.05 * sum(map(len, before.values()))
    rows = restored(journal)
    assert {r.status for r in rows.values()} == {"restored"}
    assert len(rows) == len(before) == 3 * len(MADE)
    assert music(tmp_path) == before
    assert {r.status for r in restored(journal).values()} == {"unchanged"}
    assert music(tmp_path) == before


def test_other_field_is_restored_too(tmp_path: Path) -> None:
    library_of_three(tmp_path)
    tag_richly(tmp_path / "jazz 83 a.mp3", genres=("Metal",))
    before = music(tmp_path)
    journal = tagged(tmp_path, field="SUBGENRE")
    assert {r.status for r in restored(journal).values()} == {"restored"}
    assert music(tmp_path) == before


def test_later_run_must_be_undone_before_a_previous_one(tmp_path: Path) -> None:
    library_of_three(tmp_path)
    before = music(tmp_path)
    first = tagged(tmp_path)
    for path in tmp_path.glob("jazz*"):
        path.rename(path.with_name(path.name.replace("jazz", "folk")))
    middle = music(tmp_path)
    second = tagged(tmp_path, overwrite=True)
    for n in range(3):
        edit(first, n, path=f"folk 83 {'abc'[n]}.mp3")
    rows = restored(first)
    assert {r.status for r in rows.values()} == {"failed"}
    assert all("by a later `tag`" in str(r.reason) for r in rows.values())
    restored(second)
    assert music(tmp_path) == middle
    restored(first)
    assert list(music(tmp_path).values()) == list(before.values())


def test_a_library_may_move_with_its_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = music(library_of_three(tmp_path / "here"))
    journal = tagged(tmp_path / "here")
    shutil.move(tmp_path / "here", tmp_path / "there")
    monkeypatch.chdir(tmp_path / "there" / ".genrelab")
    assert {r.status for r in restored(Path(journal.name)).values()} == {"restored"}
    assert music(tmp_path / "there") == before


@pytest.mark.real
def test_real_files_are_restored_byte_for_byte(tmp_path: Path, shared: Path) -> None:
    folders = [p for p in sorted((shared / "data").iterdir()) if p.is_dir()]
    files = [f for d in folders for f in sorted(d.rglob("*"))[::7] if f.suffix in (".mp3", ".ogg", ".flac", ".wav")]
    for n, file in enumerate(files[:80]):
        shutil.copyfile(file, tmp_path / f"{n} {file.name}")
    before = music(tmp_path)
    assert len(before) > 20
    restored(tagged(tmp_path, overwrite=True))
    assert music(tmp_path) == before


# --- files that went on living ---


def test_later_edits_are_kept_and_the_genre_is_removed(tmp_path: Path) -> None:
    path = library_of_three(tmp_path) / "jazz 83 a.mp3"
    journal = tagged(tmp_path)
    audio = mutagen.File(path)
    audio.tags["TIT2"].text = ["A better title"]
    audio.save()
    row = restored(journal)[path.name]
    assert (row.status, row.reason) == ("restored", "other tags have changed since then and were kept")
    assert (tags.read(path).genres, tags.read(path).provenance) == ((), ())
    assert tags.artist_and_title(path)[1] == "A better title"
    assert restored(journal)[path.name].status == "unchanged"


def test_genre_that_was_changed_since_is_kept(tmp_path: Path) -> None:
    path = library_of_three(tmp_path) / "jazz 83 a.mp3"
    journal = tagged(tmp_path)
    audio = mutagen.File(path)
    audio.tags["TCON"].text = ["Bebop"]
    audio.save()
    rows = restored(journal)
    assert [r.status for r in rows.values()] == ["restored", "restored", "failed"]
    assert "its genre has changed since then" in str(rows[path.name].reason)
    assert tags.read(path).genres == ("Bebop",)


@pytest.mark.parametrize("container", ["mp3", "wav", "flac", "ogg", "m4a", "wma", "wavpack"])
def test_two_fields_are_undone_in_the_order_of_their_runs(tmp_path: Path, container: str) -> None:
    path = make(tmp_path, container, seconds=0.5)
    tag_richly(path, genres=("Rock", "Pop"))
    path = path.rename(tmp_path / f"jazz 83 a{path.suffix}")
    first, second = tagged(tmp_path, overwrite=True), tagged(tmp_path, field="SUBGENRE")
    assert (tags.read(path).genres, tags.read(path, "SUBGENRE").genres) == (("Jazz",), ("Jazz",))
    assert restored(first)[path.name].status == "restored"
    assert (tags.read(path).genres, tags.read(path, "SUBGENRE").genres) == (("Rock", "Pop"), ("Jazz",))
    assert restored(second)[path.name].status == "restored"
    assert (tags.read(path).values, tags.read(path, "SUBGENRE").values) == (("Rock", "Pop"), ())
    assert tags.read(path).provenance == ()
    assert tags.artist_and_title(path) == ("Ä, B", "Lied")


def meanwhile(function: Callable[..., Any], do: Callable[[], object]) -> Callable[..., Any]:
    """Like `function`, after which something else happens."""

    def wrapped(*args: Any) -> Any:
        result = function(*args)
        do()
        return result

    return wrapped


def test_a_file_that_changes_while_it_is_restored_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = library_of_three(tmp_path) / "jazz 83 c.mp3"  # the first that is restored
    journal = tagged(tmp_path)
    others = lambda: tag_richly(path, genres=("Mine",))  # noqa: E731
    monkeypatch.setattr(binary_patch, "apply", meanwhile(binary_patch.apply, others))
    assert "changed while" in str(restored(journal)[path.name].reason)
    assert tags.read(path).genres == ("Mine",)
    assert list(tmp_path.rglob(f"*{replace_file.TEMP_SUFFIX}")) == []


def test_audio_that_would_change_is_not_restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(tmp_path, "flac", seconds=0.5)
    journal = tagged(tmp_path)
    tag_richly(path, genres=("Rock",))
    between, write = path.read_bytes(), tags.write

    def damage(copy: Path, *more: Any) -> None:
        write(copy, *more)
        content = bytearray(copy.read_bytes())
        content[-100] ^= 1
        copy.write_bytes(content)

    monkeypatch.setattr(tags, "write", damage)
    assert "would change its audio" in str(restored(journal)[path.name].reason)
    assert path.read_bytes() == between


def test_missing_replaced_or_read_only_files_are_named(tmp_path: Path) -> None:
    library_of_three(tmp_path)
    journal = tagged(tmp_path)
    (tmp_path / "jazz 83 a.mp3").unlink()
    make(tmp_path / "other", "mp3", seconds=1.0).rename(tmp_path / "jazz 83 b.mp3")
    tag_richly(tmp_path / "jazz 83 b.mp3", genres=("Metal",))
    other = (tmp_path / "jazz 83 b.mp3").read_bytes()
    (tmp_path / "jazz 83 c.mp3").chmod(0o444)
    rows = restored(journal)
    assert "is gone" in str(rows["jazz 83 a.mp3"].reason)
    assert "now has different audio, and no file in this folder has the tagged audio" in str(
        rows["jazz 83 b.mp3"].reason
    )
    assert "read-only" in str(rows["jazz 83 c.mp3"].reason)
    assert (tmp_path / "jazz 83 b.mp3").read_bytes() == other


# --- journals that were not written like this ---


def test_truncated_journal_line_is_noted_and_a_damaged_one_fails(tmp_path: Path) -> None:
    before = music(library_of_three(tmp_path))
    journal = tagged(tmp_path)
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-100])
    rows = restored(journal)
    assert [r.status for r in rows.values()] == ["unchanged", "restored", "restored"]
    assert "`tag` was stopped" in str(next(iter(rows.values())).reason)
    journal.write_bytes(b"\xff{nonsense\n" + whole + b"[]\n{}\n")
    assert sorted(r.status for r in restored(journal).values()) == ["failed"] * 3 + ["restored"] + ["unchanged"] * 2
    assert music(tmp_path) == before


@pytest.mark.parametrize(
    "path", ["../out.mp3", "a/../../out.mp3", "/{out}", "link/out.mp3", "link.mp3", "", ".", "a//b", "a\0b"]
)
def test_a_journal_reaches_nothing_outside_its_library(tmp_path: Path, path: str) -> None:
    folder = library_of_three(tmp_path / "music")
    journal = tagged(folder)
    outside = tmp_path / "out.mp3"
    shutil.copy(folder / "jazz 83 a.mp3", outside)
    (folder / "link").symlink_to(tmp_path)
    (folder / "link.mp3").symlink_to(outside)
    before = outside.read_bytes()
    edit(journal, 0, path=path.format(out=str(outside).lstrip("/")))
    *_, row = restored(journal).values()
    assert row.status == "failed"
    assert "refused" in str(row.reason)
    assert outside.read_bytes() == before


@pytest.mark.parametrize(
    "changes",
    [
        {"undo": base64.b64encode(b"nonsense").decode()},
        {"undo": 7},
        {"undo": "§"},
        {"size_before": 10**15},
        {"size_before": "many"},
        {"sha256_before": "0" * 64},
        {"before": [7]},
        {"before": None},
        {"path": None},
        {"version": 1},
        {"version": 3},
        {"version": True},
        {"after": "Jazz"},
        {"after": [7]},
        {"more": 1},
    ],
)
def test_a_journal_that_was_tampered_with_changes_nothing(tmp_path: Path, changes: dict[str, object]) -> None:
    journal = tagged(library_of_three(tmp_path))
    between = (tmp_path / "jazz 83 a.mp3").read_bytes()
    edit(journal, 0, **changes)
    *_, row = restored(journal).values()
    assert row.status == "failed"
    assert (tmp_path / "jazz 83 a.mp3").read_bytes() == between
    assert list(tmp_path.rglob(f"*{replace_file.TEMP_SUFFIX}")) == []


def test_a_journal_rewrites_tags_only(tmp_path: Path) -> None:
    """Whoever knows a file of the library can write a journal that fits it."""
    journal = tagged(library_of_three(tmp_path))
    notes, song = tmp_path / "notes.txt", tmp_path / "jazz 83 a.mp3"
    notes.write_text("my only notes\n")
    between = music(tmp_path)
    for path, other in ((notes, b"#!/bin/sh\nevil\n"), (song, song.read_bytes()[:-500] + bytes(500))):
        undo = binary_patch.make(io.BytesIO(other), io.BytesIO(path.read_bytes()))
        sums = {"sha256_before": hashlib.sha256(other).hexdigest(), "sha256_after": replace_file.sha256(path)}
        (tmp_path / "other").write_bytes(other)
        sums["payload_sha256"] = sha256_of_audio(tmp_path / "other")
        (tmp_path / "other").unlink()
        undo_text = base64.b64encode(undo).decode()
        edit(journal, 0, path=path.name, undo=undo_text, size_before=len(other), **sums)
        assert "would change more than tags" in str(restored(journal)[path.name].reason)
        assert music(tmp_path)[path.name] == between[path.name]


def test_named_pipe_in_place_of_a_file_fails_without_blocking(tmp_path: Path, no_waiting: None) -> None:
    path = library_of_three(tmp_path) / "jazz 83 a.mp3"
    journal = tagged(tmp_path)
    path.unlink()
    os.mkfifo(path)
    assert "not a regular file" in str(restored(journal)[path.name].reason)


def test_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    journal = tagged(library_of_three(tmp_path))
    elsewhere = Path(shutil.copy(journal, tmp_path / "tags.jsonl"))
    for wrong in (elsewhere, tmp_path, tmp_path / "none.jsonl", tmp_path / ".genrelab"):
        with pytest.raises(TagError, match="not a journal"):
            restored(wrong)
    with tag_journal.lock(tmp_path), pytest.raises(TagError, match="another genrelab is writing tags"):
        restored(journal)


# --- kills ---


def run_and_kill(folder: Path, where: str, n: int = 0, *, journals: Sequence[Path] = ()) -> bool:
    """A run in a process of its own that is killed; False where it was done before."""
    words = [sys.executable, "-m", "tests.support.killed_tagging", str(folder), where, str(n), *map(str, journals)]
    process = subprocess.run(words, cwd=PROJECT, timeout=HANG_S)
    assert process.returncode in (0, -signal.SIGKILL)
    return process.returncode != 0


def check_each_is_whole(folder: Path, before: dict[str, bytes]) -> tuple[int, int]:
    """Every file is as it was or as a journal says it was left; how many of each."""
    journals = (folder / ".genrelab").glob("*.jsonl")
    found = [e for j in journals for e in tag_journal.read_newest_first(j) if isinstance(e, tag_journal.Entry)]
    known = {(e.path, e.sha256_after) for e in found}
    tagged_ones = 0
    for name, content in before.items():
        if (folder / name).read_bytes() != content:
            assert (name, replace_file.sha256(folder / name)) in known
            assert tags.read(folder / name).genres == ("Rock",)
            tagged_ones += 1
    return tagged_ones, len(before) - tagged_ones


@pytest.mark.slow
def test_a_kill_at_any_moment_loses_nothing(tmp_path: Path) -> None:
    chance = random.Random(0)
    made = [make(tmp_path / "made", c, seconds=0.5) for c in ("mp3", "flac", "ogg", "opus", "m4a", "wav")]
    for path in made[::2]:
        tag_richly(path)
    folder = tmp_path / "music"
    folder.mkdir()
    for n in range(100):
        shutil.copy(made[n % 6], folder / f"{n:03}{made[n % 6].suffix}")
    before = music(folder)
    points = ["before the journal", "in a line", "before the rename", "after the rename"]
    for n in range(20):
        assert run_and_kill(folder, points[n % 4], 1 + n // 4)
        assert check_each_is_whole(folder, before)[1] > 0
    for _ in range(8):
        assert run_and_kill(folder, "before a change", chance.randint(1, 20))
        check_each_is_whole(folder, before)
    assert not run_and_kill(folder, "")
    assert check_each_is_whole(folder, before) == (100, 0)
    assert list(folder.rglob(f"*{replace_file.TEMP_SUFFIX}")) == []

    journals = sorted((folder / ".genrelab").glob("*.jsonl"), reverse=True)
    for n in range(4):
        assert run_and_kill(
            folder, ("before the rename", "after the rename", "before a change")[n % 3], 20, journals=journals
        )
        check_each_is_whole(folder, before)
    assert not run_and_kill(folder, "", journals=journals)
    assert music(folder) == before
    assert os.listdir(folder / ".genrelab") != []  # noqa: PTH208 - the journals stay
