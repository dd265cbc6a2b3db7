from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
import uuid
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from genrelab.audio.content_hash import sha256_of_audio
from genrelab.cli.run import outcome_lines
from genrelab.core.config import ClipSettings, EmbeddingView, PrepareSettings, SamplesView, StatisticsView
from genrelab.core.errors import PreparedError, SettingsError
from genrelab.datasets import folder
from genrelab.datasets.base import Dataset, DatasetOptions, FeatureTable, Track
from genrelab.datasets.exclusions import Exclusion, exclude
from genrelab.features import views
from genrelab.features.fingerprint import landmarks
from genrelab.prepare import estimate, work_unit
from genrelab.prepare.make_piece import make_piece
from genrelab.prepare.pipeline import prepare
from genrelab.records import tfrecord
from genrelab.records.prepared import Prepared, open_prepared, read_parquet, write_parquet
from tests.support.changed_tables import accept_features
from tests.support.paths import PROJECT
from tests.support.tones import write_tone

SETTINGS = PrepareSettings(views=(StatisticsView(), SamplesView(n_samples=500)), shard_tracks=12)


def _load(root: Path) -> Dataset:
    return folder.load(root, DatasetOptions())


def _bytes(prepared: Path) -> dict[str, str]:
    """Every file of PREPARED with the hash of its content."""
    files = [p for p in sorted(prepared.rglob("*")) if p.is_file()]
    return {p.relative_to(prepared).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def _records(prepared: Prepared, view: str) -> list[tfrecord.Record]:
    shards = [prepared.folder.local / s for s in prepared.shards(view)]
    found = [r for s in shards for _, _, r in tfrecord.read_records(s, expected=tfrecord.shard_records(s.name))]
    assert all(isinstance(r, tfrecord.Record) for r in found)
    return found  # type: ignore[return-value]


def test_every_track_is_in_the_tables_once(music: Path, tmp_path: Path) -> None:
    prepared = prepare(_load(music), tmp_path / "out", SETTINGS, jobs=1)
    assert prepared.about["counts"] == {"tracks": 28, "ok": 27, "failed": 1, "missing": 0, "unlabelled": 0}
    assert prepared.tracks["index"] == list(range(28))
    assert prepared.genres == ("ambient", "beat", "choir")
    assert prepared.shards("samples") == [f"samples/0000{i}-of-00003-0009.tfrecord" for i in range(3)]
    found = [r.track for r in _records(prepared, "samples")]
    ok = [i for i, s in enumerate(prepared.tracks["status"]) if s == "ok"]
    assert sorted(found) == ok
    for shard in (found[:9], found[9:18], found[18:]):
        assert sorted(prepared.tracks["genre"][i] for i in shard) == ["ambient"] * 3 + ["beat"] * 3 + ["choir"] * 3
        assert {prepared.tracks["genre"][i] for i in shard[:3]} == set(prepared.genres)
    ids, starts, columns, values = prepared.features()
    assert (len(ids), len(columns), values.shape, set(starts)) == (27, 518, (27, 518), {0.0})
    failures = list(csv.DictReader((tmp_path / "out" / "failures.csv").read_text().splitlines()))
    assert [(f["track_id"], f["stage"]) for f in failures] == [("beat/broken.mp3", "decode")]
    assert not (tmp_path / "out" / ".work").exists()


@pytest.mark.parametrize("shard_tracks", [1, 12, 250])
def test_tables_keep_the_order_of_the_tracks_however_shards_are_dealt(
    music: Path, tmp_path: Path, shard_tracks: int
) -> None:
    """The classical models read these; they are written a row group at a time."""
    settings = replace(SETTINGS, shard_tracks=shard_tracks)
    prepared = prepare(_load(music), tmp_path / "out", settings, jobs=1)
    ok = [t for t, s in zip(prepared.tracks["track_id"], prepared.tracks["status"], strict=True) if s == "ok"]
    ids, _, _, values = prepared.features()
    held = prepared.fingerprints()
    assert held is not None and ids == ok == [p.track_id for p in held[0]]
    for i in (0, 13, 26):
        y, sr = soundfile.read(music / ids[i], dtype="float32")
        np.testing.assert_array_equal(values[i], views.compute(SETTINGS.views[0], y, sr)[0].x)
    groups = pq.ParquetFile(tmp_path / "out" / "features.parquet").metadata.num_row_groups
    assert groups == {1: 27, 12: 3, 250: 1}[shard_tracks]
    assert len(prepared.shards("samples")) == {1: 27, 12: 3, 250: 2}[shard_tracks]


def test_genres_that_fail_in_part_are_dealt_over_shards(music: Path, tmp_path: Path) -> None:
    """Tracks that fail have no records, and so do not count."""
    shutil.rmtree(music / "choir")
    for i in range(9):
        if i not in (2, 6):
            (music / "ambient" / f"{i}.wav").write_text("this is no audio")
    prepared = prepare(_load(music), tmp_path / "out", replace(SETTINGS, shard_tracks=250), jobs=1)
    found = [r.track for r in _records(prepared, "samples")]
    assert [prepared.tracks["genre"][i] for i in found].count("ambient") == 2
    assert ["ambient" in {prepared.tracks["genre"][i] for i in part} for part in (found[:6], found[6:])] == [True] * 2


def test_a_record_holds_what_the_view_computes(music: Path, tmp_path: Path) -> None:
    prepared = prepare(_load(music), tmp_path / "out", SETTINGS, jobs=1)
    y, sr = soundfile.read(music / prepared.tracks["path"][0], dtype="float32")
    (record,) = (r for r in _records(prepared, "samples") if r.track == 0)
    assert record.x == views.compute(SETTINGS.views[1], y, sr)[0].x.tobytes()
    assert prepared.tracks["sha256"][0] == hashlib.sha256((music / "ambient" / "0.wav").read_bytes()).hexdigest()
    assert prepared.tracks["duration_s"][0] == 1.5


def test_one_table_holds_all_views_that_are_stored_as_columns(music: Path, tmp_path: Path) -> None:
    for path in (music / "ambient").iterdir():
        path.unlink()
    write_tone(music / "ambient" / "long.wav", hz=220, seconds=3.5)
    for path in [p for genre in ("beat", "choir") for p in sorted((music / genre).iterdir())[2:]]:
        path.unlink()
    clips = ClipSettings(clip_s=1.5)
    alone = {
        view.name: prepare(_load(music), tmp_path / view.name, PrepareSettings((view,), clips), jobs=1).features()
        for view in (StatisticsView(), EmbeddingView())
    }
    both = PrepareSettings((EmbeddingView(), SamplesView(n_samples=500), StatisticsView()), clips)
    prepared = prepare(_load(music), tmp_path / "both", both, jobs=1)
    ids, starts, columns, values = prepared.features()
    assert ids[:2] == ["ambient/long.wav"] * 2 and list(starts[:2]) == [0.0, 1.5]
    assert columns == (*alone["statistics"][2], *alone["embedding"][2])
    np.testing.assert_array_equal(values, np.hstack([alone["statistics"][3], alone["embedding"][3]]))
    for name, wanted in alone.items():
        found = prepared.features(name)
        assert (found[0], found[2]) == (wanted[0], wanted[2])
        np.testing.assert_array_equal(found[3], wanted[3])
    assert prepared.about["settings"]["views"]["embedding"]["networks"] == ["msd_musicnn", "msd_vgg"]
    assert prepared.about["records"] == {"samples": len(set(ids))}


def test_pieces_of_an_earlier_version_are_made_again(music: Path, tmp_path: Path) -> None:
    """It kept rows in a file of another name."""
    items = [work_unit.Item(i, str(path)) for i, path in enumerate(sorted((music / "choir").iterdir()))]
    (piece,) = work_unit.plan(items[:2], tmp_path, SETTINGS, tracks=5)
    make_piece(piece)
    assert work_unit.is_done(piece)
    (piece.folder / "features.npy").rename(piece.folder / "statistics.npy")
    about = json.loads((piece.folder / "piece.json").read_text())
    about["files"] = work_unit.file_sizes(piece.folder)
    (piece.folder / "piece.json").write_text(json.dumps(about))
    assert not work_unit.is_done(piece)


def test_a_table_without_the_columns_of_a_view_is_damaged(music: Path, tmp_path: Path) -> None:
    prepared = prepare(_load(music), tmp_path / "out", SETTINGS, jobs=1)
    stored = read_parquet(prepared.folder, "features.parquet")
    write_parquet(prepared.folder, "features.parquet", stored.drop_columns(["mfcc_mean_01"]))
    with pytest.raises(PreparedError, match=r"features.parquet was changed or damaged: run the same `prepare` again"):
        prepared.features("statistics")
    accept_features(prepared.folder)
    prepared = open_prepared(prepared.folder)
    with pytest.raises(PreparedError, match=r"has no column mfcc_mean_01: run the same `prepare` again"):
        prepared.features("statistics")
    with pytest.raises(PreparedError, match="has no view 'embedding'"):
        prepared.features("embedding")


@pytest.mark.slow
def test_the_same_bytes_whatever_the_number_of_workers(music: Path, tmp_path: Path) -> None:
    settings = replace(SETTINGS, views=(*SETTINGS.views, EmbeddingView()))
    for jobs in (1, 2):
        prepare(_load(music), tmp_path / f"jobs{jobs}", settings, jobs=jobs)
    assert _bytes(tmp_path / "jobs1") == _bytes(tmp_path / "jobs2")


def test_second_prepare_changes_nothing(music: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(_load(music), out, SETTINGS, jobs=1)
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()}
    messages: list[str] = []
    prepare(_load(music), out, SETTINGS, jobs=1, notify=messages.append)
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()} == before
    assert any("up to date" in s for s in messages)


def test_only_changed_inputs_are_decoded_again(music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    prepare(_load(music), out, SETTINGS, jobs=1)
    write_tone(music / "ambient" / "3.wav", hz=999)  # changed
    write_tone(music / "ambient" / "35.wav", hz=333)  # new, in the middle of the order
    (music / "choir" / "8.wav").unlink()  # gone
    messages: list[str] = []
    prepare(_load(music), out, SETTINGS, jobs=1, notify=messages.append)
    assert any("25 of 28 tracks" in s for s in messages)
    prepare(_load(music), tmp_path / "fresh", SETTINGS, jobs=1)
    assert _bytes(out) == _bytes(tmp_path / "fresh")


def test_other_labels_rewrite_only_the_tables(music: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(_load(music), out, SETTINGS, jobs=1)
    before = _bytes(out)
    artists = tmp_path / "artists.csv"
    artists.write_text("id,artist\nambient/0.wav,Someone\n")
    dataset = folder.load(music, DatasetOptions(artists=artists))
    prepared = prepare(dataset, out, SETTINGS, jobs=1)
    changed = {n for n, h in _bytes(out).items() if before[n] != h}
    assert changed <= {"tracks.parquet", "dataset.json", "audit.json"} and "tracks.parquet" in changed
    assert prepared.tracks["artist"][0] == "Someone"
    assert [o for o in prepared.tracks["status"] if o != "ok"] == ["failed"]


def test_other_settings_are_refused_by_name(music: Path, tmp_path: Path) -> None:
    prepare(_load(music), tmp_path / "out", SETTINGS, jobs=1)
    other = PrepareSettings(views=(StatisticsView(), SamplesView(n_samples=400)), shard_tracks=12)
    with pytest.raises(PreparedError, match=r"views\.samples\.n_samples is 500, not 400.* or remove it;"):
        prepare(_load(music), tmp_path / "out", other, jobs=1)
    more = PrepareSettings(views=(*SETTINGS.views, EmbeddingView()), shard_tracks=12)
    with pytest.raises(PreparedError, match=r"is absent, not present.*; or keep its views: --views samples,stati"):
        prepare(_load(music), tmp_path / "out", more, jobs=1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(PreparedError, match="contains other files"):
        prepare(_load(music), tmp_path / "mine", SETTINGS, jobs=1)


def test_an_unfinished_preparation_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "out" / ".work").mkdir(parents=True)
    with pytest.raises(PreparedError, match="unfinished"):
        open_prepared(str(tmp_path / "out"))
    with pytest.raises(PreparedError, match="is not the output of `prepare`: run"):
        open_prepared(str(tmp_path / "nothing"))


def test_run_given_as_a_preparation_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    with pytest.raises(PreparedError, match=r"run is a run folder: give the prepared folder"):
        open_prepared(str(tmp_path / "run"))
    (tmp_path / "run" / "prepared").mkdir()
    (tmp_path / "run" / "prepared" / "dataset.json").write_text("{}")
    with pytest.raises(PreparedError, match=r"contains it: use .*run/prepared$"):
        open_prepared(str(tmp_path / "run"))


def test_excluded_and_failed_tracks_are_reported_separately(music: Path, tmp_path: Path) -> None:
    rows = [Exclusion("", f"choir/{i}.wav", "copy: of another") for i in range(3)]
    messages: list[str] = []
    prepared = prepare(exclude(_load(music), rows), tmp_path / "out", SETTINGS, jobs=1, notify=messages.append)
    assert any("25 tracks to decode" in s for s in messages)
    head, failed, *named = outcome_lines(prepared)
    assert head.startswith("28 tracks: 24 usable, 3 excluded, 1 failed; see ")
    assert failed.startswith("failed: beat/broken.mp3: ")
    assert named[0] == "  choir/0.wav: excluded: copy: of another"


@pytest.mark.parametrize("genre", ["g", None])
def test_preparation_without_a_usable_track_is_an_error_and_keeps_its_failures(
    tmp_path: Path, genre: str | None
) -> None:
    (tmp_path / "music").mkdir()
    for name in ("a.wav", "b.wav"):
        (tmp_path / "music" / name).write_text("no audio")
    tracks = tuple(Track(n, n, genre) for n in ("a.wav", "b.wav"))
    for _ in range(2):  # the second time nothing has changed
        with pytest.raises(
            PreparedError, match=r"none of the tracks can be used .2 tracks.; the first error: a\.wav: .*failures\.csv"
        ):
            prepare(Dataset("d", tmp_path / "music", tracks), tmp_path / "out", SETTINGS, jobs=1)
        assert (tmp_path / "out" / "failures.csv").read_text().count(".wav") >= 2


def test_a_missing_file_is_counted(music: Path, tmp_path: Path) -> None:
    dataset = _load(music)
    (music / "choir" / "8.wav").unlink()
    prepared = prepare(dataset, tmp_path / "out", SETTINGS, jobs=1)
    assert prepared.about["counts"]["missing"] == 1
    assert prepared.about["by_genre"]["choir"] == {"missing": 1, "ok": 8}


def test_memory_addresses_work_like_folders(music: Path, tmp_path: Path) -> None:
    address = f"memory://{uuid.uuid4().hex}/prepared"
    os.environ["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    try:
        remote = prepare(_load(music), address, SETTINGS, jobs=1)
        prepare(_load(music), address, SETTINGS, jobs=1)
    finally:
        del os.environ["XDG_CACHE_HOME"]
    prepare(_load(music), tmp_path / "local", SETTINGS, jobs=1)
    for name in _bytes(tmp_path / "local"):
        assert remote.folder.read_bytes(name) == (tmp_path / "local" / name).read_bytes(), name


def test_remaining_work_is_reported_once_after_the_first_piece(music: Path, tmp_path: Path) -> None:
    messages: list[str] = []
    prepare(_load(music), tmp_path / "out", SETTINGS, jobs=1, notify=messages.append)
    assert messages[0] == "  28 tracks to decode; views: statistics, samples"
    assert [s for s in messages if "s left with 1 worker" in s] == [messages[1]]


def test_full_disk_stops_prepare_and_a_later_run_resumes(
    music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = namedtuple("used", "total used free")
    with monkeypatch.context() as patch:
        patch.setattr(estimate.shutil, "disk_usage", lambda _: used(10**9, 10**9, 1_000))
        with pytest.raises(PreparedError, match=r"MB more, and 0 MB is free: free some"):
            prepare(_load(music), tmp_path / "out", SETTINGS, jobs=1)
    messages: list[str] = []
    prepare(_load(music), tmp_path / "out", SETTINGS, jobs=1, notify=messages.append)
    assert messages[0] in {f"resuming: {n} of 28 tracks are done" for n in (5, 10)}


@pytest.mark.slow
def test_killed_at_random_moments_it_resumes_to_the_same_bytes(music: Path, tmp_path: Path) -> None:
    undisturbed, killed, finished = (tmp_path / n for n in ("undisturbed", "killed", "finished"))
    prepare(_load(music), undisturbed, SETTINGS, jobs=2)
    finished.mkdir()
    command = [sys.executable, "-m", "tests.support.killed_preparation", str(music), str(killed), str(finished)]
    done = subprocess.run(command, check=True, cwd=PROJECT, stdout=subprocess.PIPE)
    assert int(done.stdout) > 20, "kills in the main process"
    for out in (killed, *finished.iterdir()):
        shutil.rmtree(out / ".work", ignore_errors=True)  # a kill in the last step may leave it, and is harmless
        shutil.rmtree(out / ".work.dead", ignore_errors=True)
        for unfinished in out.rglob(".*.tmp"):  # what a kill leaves of a file that had no name yet is harmless, too
            unfinished.unlink()
        assert _bytes(out) == _bytes(undisturbed)


def _interrupted(dataset: Dataset, out: str | Path, settings: PrepareSettings = SETTINGS, *, after: int) -> None:
    """Begin a preparation and stop it when `after` tracks are done."""

    def stop(done: int, _: int) -> None:
        if done >= after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(dataset, out, settings, jobs=1, progress=stop)


@pytest.fixture
def small(music: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nine tracks, a piece each."""
    for genre in ("beat", "choir"):
        shutil.rmtree(music / genre)
    monkeypatch.setattr("genrelab.prepare.work_unit.PIECE_TRACKS", 1)
    return music


def test_resume_distinguishes_files_of_equal_size_and_time(small: Path, tmp_path: Path) -> None:
    for path in small.rglob("*.wav"):
        os.utime(path, (1e9, 1e9))
    _interrupted(_load(small), tmp_path / "out", after=6)
    (small / "ambient" / "0.wav").unlink()  # from here on every index stands for another file
    prepare(_load(small), tmp_path / "out", SETTINGS, jobs=1)
    prepare(_load(small), tmp_path / "fresh", SETTINGS, jobs=1)
    assert _bytes(tmp_path / "out") == _bytes(tmp_path / "fresh")


def test_resume_redoes_changed_files_and_incomplete_pieces(small: Path, tmp_path: Path) -> None:
    _interrupted(_load(small), tmp_path / "out", after=5)
    write_tone(small / "ambient" / "1.wav", hz=777)
    (tmp_path / "out" / ".work" / "piece-000003" / "samples.tfrecord").unlink()
    messages: list[str] = []
    prepare(_load(small), tmp_path / "out", SETTINGS, jobs=1, notify=messages.append)
    assert any("resuming: 3 of " in s for s in messages)
    prepare(_load(small), tmp_path / "fresh", SETTINGS, jobs=1)
    assert _bytes(tmp_path / "out") == _bytes(tmp_path / "fresh")


@pytest.mark.parametrize("where", ["local", "memory"])
def test_resume_with_other_settings_is_refused(
    small: Path, tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    out = tmp_path / "out" if where == "local" else f"memory://{uuid.uuid4().hex}/out"
    _interrupted(_load(small), out, after=2)
    other = PrepareSettings(views=(SamplesView(n_samples=400),), shard_tracks=12)
    with pytest.raises(PreparedError, match=r"other settings .*n_samples is 500, not 400.*remove .*work"):
        prepare(_load(small), out, other, jobs=1)


@pytest.mark.parametrize("lock", [True, False])
def test_prepare_works_after_a_kill_before_the_first_piece(small: Path, tmp_path: Path, lock: bool) -> None:
    (tmp_path / "out" / ".work").mkdir(parents=True)
    if lock:
        (tmp_path / "out" / ".work.lock").touch()
    assert len(prepare(_load(small), tmp_path / "out", SETTINGS, jobs=1)) == 9


def test_a_kill_while_the_work_folder_is_removed_leaves_nothing_behind(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    _interrupted(_load(small), out, after=4)
    shutil.copytree(out / ".work", tmp_path / "work")
    prepare(_load(small), out, SETTINGS, jobs=1)
    for name in (".work", ".work.dead"):
        shutil.copytree(tmp_path / "work", out / name)
    (out / ".work" / "piece-000001" / "features.npy").unlink()
    messages: list[str] = []
    prepare(_load(small), out, SETTINGS, jobs=1, notify=messages.append)
    assert any("up to date" in s for s in messages)
    assert [p.name for p in out.iterdir() if p.name.startswith(".")] == []


def _table(tmp_path: Path, *, genre: str = "jazz") -> Dataset:
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    tracks = tuple(Track(str(i), None, genre if i else None) for i in range(3))
    return Dataset("table", tmp_path / "features.csv", tracks, features=FeatureTable(("f1", "f2"), rows))


def test_preparation_of_a_table_is_kept_repaired_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as m, pytest.raises(KeyboardInterrupt):
        m.setattr("genrelab.prepare.assemble.write_tables", _interrupt)
        prepare(_table(tmp_path), tmp_path / "out")
    prepare(_table(tmp_path), tmp_path / "out")
    messages: list[str] = []
    prepare(_table(tmp_path), tmp_path / "out", notify=messages.append)
    assert any("up to date" in s for s in messages)
    content = bytearray((tmp_path / "out" / "features.parquet").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "out" / "features.parquet").write_bytes(content)
    prepare(_table(tmp_path), tmp_path / "out")
    prepare(_table(tmp_path), tmp_path / "fresh")
    assert _bytes(tmp_path / "out") == _bytes(tmp_path / "fresh")
    assert prepare(_table(tmp_path, genre="rock"), tmp_path / "out").genres == ("rock",)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("kind", ["audio", "table"])
def test_concurrent_prepare_is_refused(small: Path, tmp_path: Path, kind: str) -> None:
    fcntl = pytest.importorskip("fcntl")
    dataset = _load(small) if kind == "audio" else _table(tmp_path)
    (tmp_path / "out").mkdir()
    lock = os.open(tmp_path / "out", os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        with pytest.raises(PreparedError, match="another `genrelab prepare` is writing here"):
            prepare(dataset, tmp_path / "out", SETTINGS, jobs=1)
    finally:
        os.close(lock)
    prepare(dataset, tmp_path / "out", SETTINGS, jobs=1)
    assert [p.name for p in (tmp_path / "out").iterdir() if p.name.startswith(".")] == []


def test_output_folder_below_a_file_is_refused(small: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "sub"):
        with pytest.raises(SettingsError, match="this folder cannot be created"):
            prepare(_load(small), out, SETTINGS, jobs=1)


def test_fingerprints_are_stored_beside_the_records(small: Path, tmp_path: Path) -> None:
    prepared = prepare(_load(small), tmp_path / "out", SETTINGS, jobs=1)
    held = prepared.fingerprints()
    assert held is not None
    prints, payloads = held
    assert [p.track_id for p in prints] == prepared.tracks["track_id"]
    y, sr = soundfile.read(small / "ambient" / "0.wav", dtype="float32")
    assert prints[0].landmarks.tolist() == landmarks(y, sr).tolist() and prints[0].start_s == 0.0
    assert payloads["ambient/0.wav"] == sha256_of_audio(small / "ambient" / "0.wav")


@pytest.mark.parametrize("harm", ["of an earlier version", "damaged", "gone"])
def test_missing_or_damaged_fingerprints_are_added(small: Path, tmp_path: Path, harm: str) -> None:
    out = tmp_path / "out"
    prepare(_load(small), out, SETTINGS, jobs=1)
    fresh = _bytes(out)
    if harm == "damaged":
        (out / "fingerprints.parquet").write_bytes(b"PAR1")
    else:
        (out / "fingerprints.parquet").unlink()
    if harm == "of an earlier version":
        about = json.loads((out / "dataset.json").read_text())
        del about["files"]["fingerprints.parquet"]
        (out / "dataset.json").write_text(json.dumps(about))
        (out / "audit.json").unlink()
        assert open_prepared(str(out)).fingerprints() is None
    messages: list[str] = []
    prepare(_load(small), out, SETTINGS, jobs=1, notify=messages.append)
    assert any("9 of 9 tracks" in s for s in messages)
    assert _bytes(out) == fresh


def test_dataset_json_describes_the_record_payload(music: Path, tmp_path: Path) -> None:
    prepare(_load(music), tmp_path / "out", SETTINGS, jobs=1)
    about = json.loads((tmp_path / "out" / "dataset.json").read_text())
    samples = about["settings"]["views"]["samples"]
    assert (samples["dtype"], samples["shape"], samples["sr"]) == ("<f4", [500], 44_100)
    assert sum(file.stat().st_size for file in (tmp_path / "out" / "samples").iterdir()) > 27 * 2000
