"""The checks of the machine: each uses its component, and a broken one is reported with its remedy."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import tomllib
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from genrelab.audio import clips as audio_clips
from genrelab.audio.clips import probe
from genrelab.cli.main import app
from genrelab.doctor import machine
from genrelab.doctor.machine import NOTE, OK, REPAIR, Finding, check_machine
from genrelab.features import embedding
from tests.support.paths import PROJECT

FORMATS = ("wav", "flac", "ogg", "aiff", "aac", "m4a", "mp3", "opus")
Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GENRELAB_MODEL", raising=False)


def found(**more: Any) -> dict[str, Finding]:
    return {f.name: f for f in check_machine(**more)}


def test_this_machine_has_no_problems() -> None:
    by_name = found()
    assert [f for f in by_name.values() if f.state == REPAIR] == []
    assert all(f.remedy is None for f in by_name.values() if f.state == OK)
    assert {f.part for f in by_name.values()} == {"genrelab", "packages", "decoders", "model", "machine"}
    assert [f.name for f in by_name.values() if f.part == "decoders"] == list(FORMATS)
    assert by_name["soundfile"].found.count("libsndfile") == by_name["av"].found.count("FFmpeg") == 1
    assert "11 genres: loaded in" in by_name["model"].found
    assert by_name["train"].state == OK


def test_checked_packages_are_the_dependencies_of_the_wheel() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert sorted(machine.min_versions()) == sorted(need.split(">=")[0] for need in project["dependencies"])


@pytest.mark.parametrize("suffix", machine.TONES)
def test_packaged_test_sounds_are_tones(suffix: str) -> None:
    y, sr = audio_clips.read(machine.TONES[suffix])
    padded = suffix == "aac"  # its frames do not state where the sound starts and ends
    assert probe(machine.TONES[suffix]).duration_s == pytest.approx(machine.TONE_S, abs=0.2 if padded else 0.001)
    assert 0.3 < np.abs(y).max() < 1
    assert len(y) / sr >= machine.TONE_S


def test_a_broken_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def broken(name: str) -> Any:
        if name == "soxr":
            raise ImportError("libsoxr.so.0: cannot open\nshared object file")
        return real(name)

    monkeypatch.setattr(importlib, "import_module", broken)
    by_name = found()
    assert by_name["soxr"].state == REPAIR
    assert by_name["soxr"].found == "libsoxr.so.0: cannot open shared object file"
    assert by_name["soxr"].remedy is not None and "pip install" in by_name["soxr"].remedy
    assert by_name["numpy"].state == by_name["model"].state == OK, "the others are still checked"


def test_a_package_that_is_too_old_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = machine.version
    old = {"mutagen": "1.9", "numpy": "2.0rc1"}  # by its letters 1.9 would be newer than 1.47
    monkeypatch.setattr(machine, "version", lambda name: old.get(name) or real(name))
    monkeypatch.setattr(machine, "requires", lambda _: ["mutagen>=1.47", "numpy>=2.0", 'keras>=3.8; extra == "train"'])
    by_name = found()
    assert by_name["mutagen"].found == "1.9 is too old: genrelab needs 1.47 or newer"
    assert by_name["mutagen"].state == REPAIR and by_name["numpy"].state == OK and "keras" not in by_name


def test_part_of_scipy_that_is_used_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.fft", None)
    assert found()["scipy"].state == REPAIR


@pytest.mark.parametrize("wrong", ["nothing", "another tone"])
def test_a_decoder_that_does_not_work_is_found(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    real = audio_clips.read

    def broken(path: Path) -> Any:
        if path.suffix != ".m4a":
            return real(path)
        if wrong == "nothing":
            raise OSError("no decoder")
        return np.sin(np.arange(8_000) * 2 * np.pi * 880 / 8_000), 8_000

    monkeypatch.setattr(audio_clips, "read", broken)
    states = {name: f.state for name, f in found().items() if name in FORMATS}
    assert states == {name: REPAIR if name == "m4a" else OK for name in FORMATS}


def test_a_model_that_cannot_be_used_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = found(model=tmp_path / "nowhere")["model"]
    assert (named.state, "nowhere: no such folder" in named.found) == (REPAIR, True)
    assert named.remedy is not None and "another bundle" in named.remedy
    monkeypatch.setattr("genrelab.predict.classifier.STARTER", tmp_path / "gone")
    shipped = found()["model"]
    assert shipped.state == REPAIR and shipped.remedy is not None and shipped.remedy.endswith("genrelab")


def test_music_networks_that_are_gone_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = found()["music networks"]
    assert whole.state == OK and whole.found.startswith("msd_musicnn, msd_vgg: 3 s processed in ")
    embedding._sessions.cache_clear()
    monkeypatch.setattr(embedding, "FOLDER", tmp_path)
    gone = found()["music networks"]
    assert gone.state == REPAIR and "msd_musicnn.onnx" in gone.found
    assert gone.remedy is not None and gone.remedy.endswith("genrelab")


@pytest.mark.parametrize(
    ("missing", "words"),
    [(machine.TRAIN_PACKAGES, "not installed"), (("keras", "onnx"), "incomplete: keras, onnx missing")],
)
def test_missing_train_packages_are_only_a_note(
    monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...], words: str
) -> None:
    monkeypatch.setattr(machine, "find_spec", lambda name: None if name in missing else name)
    finding = found()["train"]
    assert (finding.state, finding.found) == (NOTE, words)
    assert finding.remedy is not None and "genrelab[train]" in finding.remedy


def _needs(listed: list[str]) -> set[str]:
    return {re.split(r"[>=\[]", need)[0].replace("-", "_") for need in listed}


def test_train_packages_are_those_of_the_extra() -> None:
    extras = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    needs = _needs([need for extra in ("learn", "train", "train-base") for need in extras[extra]])
    renamed = {"scikit_learn": "sklearn", "tensorflow_cpu": "tensorflow"}
    # protobuf is imported as google.protobuf; tensorboard shows results, and no training imports it.
    found = {renamed.get(n, n) for n in needs} - {"genrelab", "protobuf", "tensorboard"}
    assert found == set(machine.TRAIN_PACKAGES)
    assert {renamed.get(n, n) for n in _needs(extras["learn"])} == set(machine.LEARN_PACKAGES)


def test_a_cache_that_cannot_be_written_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("GENRELAB_CACHE", str(tmp_path / "file" / "cache"))
    finding = found()["cache"]
    assert finding.state == NOTE and finding.remedy is not None and "GENRELAB_CACHE" in finding.remedy
    monkeypatch.setenv("GENRELAB_CACHE", str(tmp_path / "new" / "cache"))
    assert found()["cache"].state == OK
    assert not (tmp_path / "new").exists(), "the check creates nothing"


def test_too_little_disk_or_memory_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: Usage(10**12, 10**12, 10**6))
    monkeypatch.setattr(machine, "free_memory", lambda: 10**6)
    by_name = found()
    for name in ("this folder", "temporary files", "memory"):
        assert by_name[name].state == REPAIR
        assert "1 MB free" in by_name[name].found
    monkeypatch.setattr(machine, "free_memory", lambda: None)
    assert found()["memory"].state == OK


def test_doctor_command_prints_findings_and_sets_the_exit_status(tmp_path: Path) -> None:
    good = CliRunner().invoke(app, ["doctor", "--json"])
    report = json.loads(good.stdout)
    assert (good.exit_code, report["ok"]) == (0, True)
    assert set(report["findings"][0]) == {"part", "name", "state", "found", "remedy"}
    bad = CliRunner().invoke(app, ["doctor", "--model", str(tmp_path / "nowhere\x1b")])
    assert bad.exit_code == 1
    assert "REPAIR  model" in bad.stdout and "→ give another bundle" in bad.stdout and "\x1b" not in bad.stdout
    assert bad.stdout.splitlines()[-1] == "To repair: model."
    assert CliRunner().invoke(app, ["doctor"]).stdout.splitlines()[-1] == "No problems found."


def test_doctor_imports_no_train_package() -> None:
    names = repr(machine.TRAIN_PACKAGES)
    look = (
        "import sys; from genrelab.doctor.machine import check_machine; list(check_machine()); "
        f"print(*[m for m in {names} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
