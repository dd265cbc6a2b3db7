from __future__ import annotations

import csv
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from conftest import write_tone

from genrelab import records, views
from genrelab.config import PrepareSettings, SamplesView, StatisticsView
from genrelab.dataset import Dataset, DatasetOptions
from genrelab.datasets import folder
from genrelab.errors import PreparedError
from genrelab.prepare import estimate, prepare
from genrelab.prepared import Prepared, open_prepared
from genrelab.storage import Folder

SETTINGS = PrepareSettings(views=(StatisticsView(), SamplesView(n_samples=500)), shard_tracks=12)


def _load(root: Path) -> Dataset:
    return folder.load(root, DatasetOptions())


def _bytes(prepared: Path) -> dict[str, str]:
    """Every file of PREPARED with the hash of its content."""
    files = [p for p in sorted(prepared.rglob("*")) if p.is_file()]
    return {p.relative_to(prepared).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def _records(prepared: Prepared, view: str) -> list[records.Record]:
    shards = [prepared.folder.local / s for s in prepared.shards(view)]
    found = [r for s in shards for _, _, r in records.read_records(s, expected=records.shard_records(s.name))]
    assert all(isinstance(r, records.Record) for r in found)
    return found  # type: ignore[return-value]


def test_every_track_stands_in_the_tables_once(music: Path, tmp_path: Path) -> None:
    prepared = prepare(_load(music), tmp_path / "out", SETTINGS, jobs=1)
    assert prepared.about["counts"] == {"tracks": 28, "ok": 27, "failed": 1, "missing": 0, "unlabelled": 0}
    assert prepared.tracks["index"] == list(range(28))
    assert prepared.genres == ("ambient", "beat", "choir")
    assert [s.split("/")[1] for s in prepared.shards("samples")] == [
        "00000-of-00003-0012.tfrecord", "00001-of-00003-0011.tfrecord", "00002-of-00003-0004.tfrecord",
    ]  # fmt: skip
    found = _records(prepared, "samples")
    ok = [i for i, s in enumerate(prepared.tracks["status"]) if s == "ok"]
    assert [r.track for r in found] == ok
    ids, starts, columns, values = prepared.features()
    assert (len(ids), len(columns), values.shape, set(starts)) == (27, 518, (27, 518), {0.0})
    failures = list(csv.DictReader((tmp_path / "out" / "failures.csv").read_text().splitlines()))
    assert [(f["track_id"], f["stage"]) for f in failures] == [("beat/broken.mp3", "decode")]
    assert not (tmp_path / "out" / ".work").exists()


def test_a_record_holds_what_the_view_computes(music: Path, tmp_path: Path) -> None:
    import soundfile

    prepared = prepare(_load(music), tmp_path / "out", SETTINGS, jobs=1)
    y, sr = soundfile.read(music / prepared.tracks["path"][0], dtype="float32")
    assert _records(prepared, "samples")[0].x == views.compute(SETTINGS.views[1], y, sr)[0].x.tobytes()
    assert prepared.tracks["sha256"][0] == hashlib.sha256((music / "ambient" / "0.wav").read_bytes()).hexdigest()
    assert prepared.tracks["duration_s"][0] == 1.5


@pytest.mark.slow
def test_the_same_bytes_whatever_the_number_of_workers(music: Path, tmp_path: Path) -> None:
    for jobs in (1, 2):
        prepare(_load(music), tmp_path / f"jobs{jobs}", SETTINGS, jobs=jobs)
    assert _bytes(tmp_path / "jobs1") == _bytes(tmp_path / "jobs2")


def test_again_does_nothing(music: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(_load(music), out, SETTINGS, jobs=1)
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()}
    said: list[str] = []
    prepare(_load(music), out, SETTINGS, jobs=1, say=said.append)
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()} == before
    assert any("up to date" in s for s in said)


def test_changed_inputs_decode_only_what_changed(music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    prepare(_load(music), out, SETTINGS, jobs=1)
    write_tone(music / "ambient" / "3.wav", hz=999)  # changed
    write_tone(music / "ambient" / "35.wav", hz=333)  # new, in the middle of the order
    (music / "choir" / "8.wav").unlink()  # gone
    said: list[str] = []
    prepare(_load(music), out, SETTINGS, jobs=1, say=said.append)
    assert any(s.startswith("25 of 28 tracks have not changed") for s in said)
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
    assert changed <= {"tracks.parquet", "dataset.json"} and "tracks.parquet" in changed
    assert prepared.tracks["artist"][0] == "Someone"
    assert [o for o in prepared.tracks["status"] if o != "ok"] == ["failed"]


def test_other_settings_are_refused_by_name(music: Path, tmp_path: Path) -> None:
    prepare(_load(music), tmp_path / "out", SETTINGS, jobs=1)
    other = PrepareSettings(views=(StatisticsView(), SamplesView(n_samples=400)), shard_tracks=12)
    with pytest.raises(PreparedError, match=r"views\.samples\.n_samples is 500 there, 400 here"):
        prepare(_load(music), tmp_path / "out", other, jobs=1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(PreparedError, match="holds other files"):
        prepare(_load(music), tmp_path / "mine", SETTINGS, jobs=1)


def test_an_unfinished_preparation_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "out" / ".work").mkdir(parents=True)
    with pytest.raises(PreparedError, match="unfinished"):
        open_prepared(str(tmp_path / "out"))
    with pytest.raises(PreparedError, match="holds no preparation"):
        open_prepared(str(tmp_path / "nothing"))


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


def test_estimate_is_measured(music: Path, tmp_path: Path) -> None:
    said: list[str] = []
    prepare(_load(music), tmp_path / "out", SETTINGS, jobs=1, say=said.append)
    assert any("28 tracks to prepare" in s and "MB" in s for s in said)
    assert estimate([], SETTINGS) is None


PREPARE = """
import sys
from pathlib import Path
from genrelab.datasets import folder
from genrelab.dataset import DatasetOptions
from genrelab.prepare import prepare
from genrelab.config import *
if __name__ == "__main__":
    settings = PrepareSettings(views=(StatisticsView(), SamplesView(n_samples=500)), shard_tracks=12)
    prepare(folder.load(Path(sys.argv[1]), DatasetOptions()), sys.argv[2], settings, jobs=2)
"""


@pytest.mark.slow
def test_killed_at_random_moments_it_resumes_to_the_same_bytes(music: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(PREPARE)
    command = [sys.executable, str(script), str(music)]
    began = time.monotonic()
    subprocess.run([*command, str(tmp_path / "undisturbed")], check=True, timeout=120)
    whole = time.monotonic() - began
    moments, out = random.Random(5), tmp_path / "killed"
    for _ in range(20):
        process = subprocess.Popen([*command, str(out)], stderr=subprocess.DEVNULL)
        try:
            process.wait(moments.uniform(0.1, 1.1) * whole)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        if (out / "dataset.json").exists():  # it got through: begin anew, so that every kill meets work
            assert _bytes(out) == _bytes(tmp_path / "undisturbed")
            shutil.rmtree(out)
    subprocess.run([*command, str(out)], check=True, timeout=120)
    assert _bytes(out) == _bytes(tmp_path / "undisturbed")
    assert not list(out.rglob("*.tmp"))


CRASH = """
import os
import genrelab.decode
from pathlib import Path
clips = genrelab.decode.clips
def crash(path, *args, **kwargs):
    if "5.wav" in str(path) and "choir" in str(path):
        os._exit(11)  # as a decoder does that meets a hostile file
    return clips(path, *args, **kwargs)
genrelab.decode.clips = crash
"""


@pytest.mark.slow
def test_a_file_that_brings_the_decoder_down_is_a_counted_failure(music: Path, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(CRASH)
    script = tmp_path / "script.py"
    script.write_text(PREPARE.replace("jobs=2", "jobs=2"))
    dataset_only = "import genrelab.prepare\ngenrelab.prepare.estimate = lambda *a, **k: None\n"
    script.write_text(dataset_only + PREPARE)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    out = tmp_path / "out"
    subprocess.run([sys.executable, str(script), str(music), str(out)], check=True, timeout=120, env=environment)
    prepared = open_prepared(str(out))
    broken = [prepared.tracks["track_id"][i] for i, s in enumerate(prepared.tracks["status"]) if s == "failed"]
    assert broken == ["beat/broken.mp3", "choir/5.wav"]
    assert "crashed" in prepared.tracks["error"][prepared.tracks["track_id"].index("choir/5.wav")]


def test_dataset_json_says_what_is_in_a_payload(music: Path, tmp_path: Path) -> None:
    prepare(_load(music), tmp_path / "out", SETTINGS, jobs=1)
    about = json.loads((tmp_path / "out" / "dataset.json").read_text())
    samples = about["settings"]["views"]["samples"]
    assert (samples["dtype"], samples["shape"], samples["sr"]) == ("<f4", [500], 44_100)
    assert Folder(tmp_path / "out").size("samples") > 27 * 2000
