"""`genrelab doctor ROOT` as a user meets it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from genrelab.cli.output import doctor as doctor_output
from genrelab.datasets.exclusions import DEFAULT_FILE_NAME, read
from genrelab.doctor import machine
from genrelab.doctor.machine import NOTE, OK, REPAIR, Finding
from genrelab.models import devices
from genrelab.models.devices import Device
from tests.support.command import call
from tests.support.doctor import here  # noqa: F401 - a fixture
from tests.support.faulty import collection, tune, write


@pytest.fixture(autouse=True)
def quick(here: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:  # noqa: F811
    """A machine that is well, without asking for it; the current folder is the test's."""

    @contextmanager
    def asking() -> Iterator[Any]:
        yield lambda: ("2.20", [Device("CPU:0", 0.5)])

    monkeypatch.setattr(devices, "device_probe", asking)
    monkeypatch.setattr(machine, "check_machine", lambda model: iter([Finding("genrelab", "genrelab", OK, "1.0")]))
    monkeypatch.setattr(doctor_output, "prepared_bytes", lambda checkup: 3e9)
    monkeypatch.chdir(tmp_path)


def clean(root: Path) -> Path:
    for i in range(3):
        write(root / ("rock", "jazz")[i % 2] / f"{i}.wav", tune(i))
    return root


def test_clean_folder_passes_and_nothing_is_written(tmp_path: Path) -> None:
    root = clean(tmp_path / "music")
    status, out, err = call("doctor", root)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[-1] == "No problems found." and "REPAIR" not in out
    assert [line.split()[:5] for line in lines if line.startswith("note ")] == [
        ["note", "data", "found", "artists", "are"]
    ]
    assert any("3 of 3 decoded" in line and "22,050 Hz mono" in line for line in lines)
    assert "TensorFlow" not in out and any("needs about 6.0 GB" in line for line in lines)
    assert [p.name for p in tmp_path.iterdir()] == ["music"]


def test_problems_are_listed_by_kind_with_the_next_command(tmp_path: Path) -> None:
    root = collection(tmp_path / "music")
    status, out, _ = call("doctor", root, "--dataset", "folder")
    assert status == 1
    assert "REPAIR  data      undecodable      2 tracks that cannot be decoded" in out
    assert "                                   jazz/text.mp3: cannot be decoded" in out
    assert "note    data      clipped          1 track clipped" in out
    before, _, after = out.partition("To repair: ")
    assert after.startswith(
        "two labels (3), missing (1), empty (1), undecodable (2), too short (1), silent (1), cut off (3)"
    )
    assert "recording is also in another genre" in before and "→ remove the files in the wrong genre" in before
    assert before.index("missing") < before.index("clipped")
    assert "8 of 21 tracks should be excluded. This command writes the list:" in after
    assert after.rstrip().endswith(f"doctor {root} --dataset folder --manifest {DEFAULT_FILE_NAME}")
    assert [p.name for p in tmp_path.iterdir()] == ["music"], "nothing is written unasked"


def test_manifest_is_written_where_it_was_asked_for(tmp_path: Path) -> None:
    root = collection(tmp_path / "music")
    for _ in range(2):  # its own manifest is replaced
        status, out, _ = call("doctor", root, "--dataset", "folder", "--manifest", "out.csv")
        assert status == 1 and "Wrote out.csv: 8 of 21 tracks to exclude." in out
        assert out.rstrip().endswith(f"prepare {root} --dataset folder --out prepared --exclude out.csv")
        assert len(read(tmp_path / "out.csv")) == 8


def test_manifest_rows_added_by_hand_survive_the_next_check(tmp_path: Path) -> None:
    root = clean(tmp_path / "music")
    (root / "rock" / "empty.mp3").touch()
    assert call("doctor", root, "--manifest", DEFAULT_FILE_NAME)[0] == 1
    manifest = tmp_path / DEFAULT_FILE_NAME
    manifest.write_text(f"{manifest.read_text()}rock/0.wav,rock/0.wav,near duplicate: I keep the other one\n")
    _, out, _ = call("doctor", root, "--manifest", DEFAULT_FILE_NAME)
    assert [row.track_id for row in read(manifest)] == ["rock/empty.mp3", "rock/0.wav"]
    assert f"Wrote {DEFAULT_FILE_NAME}: 1 of 4 tracks to exclude and 1 row that you added." in out
    (root / "rock" / "empty.mp3").unlink()
    status, out, _ = call("doctor", root, "--manifest", DEFAULT_FILE_NAME)
    assert status == 0 and [row.track_id for row in read(manifest)] == ["rock/0.wav"]


def test_repaired_tracks_are_dropped_from_the_previous_manifest(tmp_path: Path) -> None:
    root = clean(tmp_path / "music")
    (root / "rock" / "empty.mp3").touch()
    assert (
        call("doctor", root, "--manifest", DEFAULT_FILE_NAME)[0] == 1 and len(read(tmp_path / DEFAULT_FILE_NAME)) == 1
    )
    write(root / "rock" / "new.wav", tune(9)).replace(root / "rock" / "empty.mp3")
    status, out, _ = call("doctor", root, "--manifest", DEFAULT_FILE_NAME)
    assert status == 0 and "No problems found." in out and read(tmp_path / DEFAULT_FILE_NAME) == ()


def test_only_the_first_of_many_problems_are_listed(tmp_path: Path) -> None:
    root = clean(tmp_path / "music")
    for i in range(9):
        (root / "rock" / f"empty{i}.mp3").touch()
    _, out, _ = call("doctor", root)
    assert "9 tracks of 0 bytes" in out and out.count("rock/empty") < 12
    assert "… and 4 more; --json lists all" in out


def test_json_is_one_object_with_everything(tmp_path: Path) -> None:
    root = collection(tmp_path / "music")
    status, out, _ = call("doctor", root, "--json", "--manifest", "out.csv")
    told = json.loads(out)
    assert (status, told["ok"], told["data"]["dataset"], told["data"]["tracks"]) == (1, False, "folder", 21)
    kinds = {kind["name"]: kind for kind in told["data"]["kinds"]}
    assert kinds["two labels"]["count"] == 3 and kinds["two labels"]["excluded"] and kinds["clipped"]["state"] == "note"
    assert kinds["clipped"]["tracks"][0]["path"] == "rock/clipped.wav"
    files = {f["path"]: f for f in told["data"]["files"]}
    assert files["rock/clean0.wav"]["duration_s"] == 4.0 and len(files["rock/clean0.wav"]["audio_sha256"]) == 64
    assert files["jazz/text.mp3"]["state"] == "undecodable" and len(files) == 21
    assert told["data"]["manifest"] == "out.csv" and "--exclude out.csv" in told["data"]["next"]
    assert {f["part"] for f in told["findings"]} == {"genrelab", "training"}
    assert (tmp_path / "out.csv").exists() and not (tmp_path / DEFAULT_FILE_NAME).exists()


def test_other_file_at_the_manifest_path_is_refused_before_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = collection(tmp_path / "music")
    (tmp_path / DEFAULT_FILE_NAME).write_text("my own notes\n")
    monkeypatch.setattr(doctor_output, "check_dataset", None)
    status, out, err = call("doctor", root, "--manifest", DEFAULT_FILE_NAME)
    assert (status, out) == (1, "") and "is not a list of exclusions: choose another file" in err
    assert (tmp_path / DEFAULT_FILE_NAME).read_text() == "my own notes\n"


def test_plain_folder_gets_no_manifest_and_no_tensorflow_check(tmp_path: Path) -> None:
    write(tmp_path / "songs" / "a.wav", tune(1))
    (tmp_path / "songs" / "b.mp3").touch()
    status, out, _ = call("doctor", tmp_path / "songs")
    assert status == 1 and "only the files are checked" in out and "No track has a genre" in out
    assert "To repair: empty (1)." in out and "prepare" not in out and "TensorFlow" not in out
    assert not (tmp_path / DEFAULT_FILE_NAME).exists()


def test_problem_of_the_machine_fails_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = clean(tmp_path / "music")
    monkeypatch.setattr(
        machine, "check_machine", lambda model: iter([Finding("decoders", "mp3", REPAIR, "none", "do this")])
    )
    status, out, _ = call("doctor", root)
    assert status == 1 and "To repair: mp3." in out and "→ do this" in out


def test_tensorflow_is_checked_where_it_was_asked_for(tmp_path: Path) -> None:
    _, out, _ = call("doctor", clean(tmp_path / "music"), "--accelerator")
    assert "CPU:0" in out and "trains a small model correctly" in out
    assert "CPU:0" in call("doctor", "--accelerator")[1]


def test_files_without_genres_are_not_fit_for_training(tmp_path: Path) -> None:
    write(tmp_path / "songs" / "a.wav", tune(1))
    status, out, _ = call("doctor", tmp_path / "songs")
    assert status == 0 and out.endswith("genrelab can classify these files, but not train on them.\n")


def test_capacity_is_not_checked_without_the_train_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "can_train", lambda: False)
    monkeypatch.setattr(devices, "device_probe", None)
    status, out, _ = call("doctor", clean(tmp_path / "music"))
    assert status == 0 and "TensorFlow" not in out


def test_tensorflow_is_not_checked_for_a_table_of_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "device_probe", None)
    (tmp_path / "t.csv").write_text("genre,x\nrock,1\njazz,2\n")
    status, out, _ = call("doctor", tmp_path / "t.csv")
    assert status == 0 and "TensorFlow" not in out and "2 tracks" in out
    assert "No problems found." in out


def test_names_that_would_break_the_table_are_escaped(tmp_path: Path) -> None:
    root = clean(tmp_path / "music")
    (root / "rock" / "a\x1b[2J\nb.mp3").touch()
    _, out, _ = call("doctor", root)
    assert "\x1b" not in out and "rock/a\\x1b[2J\\nb.mp3" in out


def test_options_that_need_root_are_refused_without_it() -> None:
    for words in (("--jobs", 2), ("--manifest", "x.csv"), ("--dataset", "fma"), ("--label", "genre")):
        status, _, err = call("doctor", *words)
        assert status == 2 and "without ROOT" in err


def test_ctrl_c_writes_no_manifest_and_reports_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor_output, "check_dataset", interrupted)
    status, _, err = call("doctor", collection(tmp_path / "music"))
    assert status == 130 and "run the same command to start over" in err and not (tmp_path / DEFAULT_FILE_NAME).exists()


def test_training_devices_disk_and_memory_are_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fails() -> Any:
        raise RuntimeError("ends with status 1: no libcudart")

    assert [(f.state, f.found) for f in machine.check_training(fails)] == [(REPAIR, "ends with status 1: no libcudart")]
    monkeypatch.setattr(machine, "NVIDIA", tmp_path)
    wrong = Device("CPU:0", 1.0, "learns wrongly")
    states = {f.name: f.state for f in machine.check_training(lambda: ("2.20", [wrong]))}
    assert states == {"TensorFlow": OK, "CPU:0": REPAIR, "GPU": NOTE}
    monkeypatch.setattr(machine, "free_memory", lambda: 10**9)
    (disk, memory) = machine.check_capacity(1e15, jobs=8)
    assert disk.state == memory.state == NOTE and memory.remedy == "use --jobs 3"
    assert [f.state for f in machine.check_capacity(1e6, jobs=2)] == [OK]
