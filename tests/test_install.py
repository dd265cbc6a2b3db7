"""The wheel of this tree in an empty environment: what a user gets who wants to use a model, or to learn genres."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import mutagen
import numpy as np
import pytest
import soundfile

from genrelab.datasets.synth_voices import SR as SONG_SR
from tests.support.guards import HANG_S
from tests.support.paths import PROJECT
from tests.support.songs import song

ROOT = PROJECT
NOT_THERE = (
    "tensorflow", "keras", "sklearn", "pandas", "pyarrow", "librosa", "matplotlib", "jinja2", "onnx", "skl2onnx",
    "tf2onnx", "optuna",
)  # fmt: skip
TRAIN_ONLY = ("tensorflow", "keras", "librosa", "matplotlib", "jinja2", "tf2onnx", "optuna")
"""Of these the extra `learn` needs none either."""

NETWORKS = ("LICENSE.txt", "gate.npz", "msd_musicnn.onnx", "msd_vgg.onnx", "tags.npz")
MAX_WHEEL_BYTES = 15_000_000
PROBE = "mdurl"  # a package of 10 kB that constraints.txt names


def run(*words: object, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(w) for w in words], capture_output=True, text=True, **more)  # type: ignore[call-overload, no-any-return]


def pip(*words: object) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *words)


def build(tmp: Path) -> Path:
    """The wheel of a copy of the tree: nothing is left in the tree itself."""
    tree = tmp / "tree"
    shutil.copytree(ROOT / "src", tree / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    built = pip("wheel", "--no-deps", "--wheel-dir", tmp, tree)
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp.glob("genrelab-*.whl")
    return wheel


def check_contents(wheel: Path) -> None:
    assert wheel.stat().st_size < MAX_WHEEL_BYTES
    held = {name for name in zipfile.ZipFile(wheel).namelist() if not name.endswith("/")}
    ours = {p.relative_to(ROOT / "src").as_posix() for p in (ROOT / "src" / "genrelab").rglob("*") if p.is_file()}
    ours = {name for name in ours if "__pycache__" not in name}
    assert ours - held == set()
    assert {"genrelab/py.typed", "genrelab/bundle/starter/model.onnx", "genrelab/bundle/starter/bundle.json"} <= held
    assert {f"genrelab/features/networks/{name}" for name in NETWORKS} <= held
    assert {
        "genrelab/bundle/starter/README.md",
        *(n for n in ours if n.startswith("genrelab/report/templates/")),
    } <= held
    assert {re.sub(r"-[\d.]+\.dist-info$", "-.dist-info", name.split("/")[0]) for name in held} == {
        "genrelab",
        "genrelab-.dist-info",
    }


def install(wheel: Path, into: Path, extra: str = "") -> None:
    """Into an environment, which is created where there is none."""
    if not into.exists():
        venv.create(into, with_pip=False, symlinks=True)
    constraints = ("--constraint", ROOT / "constraints.txt")
    installed = pip("--python", into / "bin" / "python", "install", *constraints, f"{wheel}{extra}")
    assert installed.returncode == 0, installed.stderr


class Fresh:
    """The installed command, in an environment with nothing but PATH and HOME."""

    def __init__(self, folder: Path, home: Path) -> None:
        self._bin, self._home = folder / "bin", home

    def genrelab(self, *words: object, status: int = 0) -> str:
        result = self._run(self._bin / "genrelab", *words)
        assert result.returncode == status, f"{words}: {result.stdout} {result.stderr}"
        return result.stdout

    def python(self, code: str) -> str:
        result = self._run(self._bin / "python", "-c", code)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def installed(self, modules: tuple[str, ...]) -> list[str]:
        """Which of these could be imported."""
        code = f"from importlib.util import find_spec; print(*[m for m in {modules!r} if find_spec(m)])"
        return self.python(code).split()

    def _run(self, *words: object) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(self._bin), "/usr/bin", "/bin"])
        return run(*words, env={"PATH": path, "HOME": str(self._home)}, cwd=self._home, timeout=HANG_S)


def library(folder: Path) -> dict[Path, str]:
    """A few short tunes, and the SHA-256 of each file."""
    folder.mkdir()
    for i, suffix in enumerate(("mp3", "flac", "ogg", "wav")):
        t, rng = np.arange(3 * 22_050) / 22_050, np.random.default_rng(i)
        y = sum(np.sin(2 * np.pi * 110 * (i + 2) * k * t) / k for k in range(1, 6)) * (t % 0.5 < 0.3)
        soundfile.write(folder / f"{i}.{suffix}", 0.1 * y + 0.01 * rng.standard_normal(len(t)), 22_050)
    return digests(folder)


def digests(folder: Path) -> dict[Path, str]:
    return {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.glob("*.*")) if p.is_file()}


@pytest.mark.slow
def test_installed_wheel_predicts_tags_and_untags_and_with_an_extra_learns(tmp_path: Path) -> None:
    """One test, not several: each would install everything anew in its own worker."""
    version = re.search(rf"^{PROBE}==.*", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert version is not None
    probe = pip("download", "--no-deps", "--dest", tmp_path / "probe", version[0])
    if probe.returncode:
        pytest.skip(f"needs a package index: {probe.stderr.strip().splitlines()[-1]}")
    left = building_leaves()
    wheel = build(tmp_path)
    check_contents(wheel)
    install(wheel, tmp_path / "venv")
    assert building_leaves() == left, "nothing new in the tree"

    home, music = tmp_path / "home", tmp_path / "music"
    home.mkdir()
    fresh, before = Fresh(tmp_path / "venv", home), library(music)
    assert fresh.installed(NOT_THERE) == []
    check_doctor(fresh)
    check_answers(fresh, music)
    check_tags(fresh, music, before)
    fresh.genrelab("playlists", music, "--out", tmp_path / "lists", "--any")
    assert "#EXTM3U" in "".join(p.read_text() for p in (tmp_path / "lists").glob("*.m3u8"))
    check_learning_is_offered(fresh, music)
    install(wheel, tmp_path / "venv", "[learn]")
    check_learning(fresh, tmp_path)
    assert [p.name for p in home.iterdir()] == [".cache"], "nothing else is written to a user's home"


def building_leaves() -> set[str]:
    return {p.name for p in ROOT.iterdir() if p.name in ("build", "dist") or p.suffix == ".egg-info"}


def check_doctor(fresh: Fresh) -> None:
    assert fresh.genrelab("--version").startswith("genrelab ")
    assert "predict" in fresh.genrelab("--help")
    report = json.loads(fresh.genrelab("doctor", "--json"))
    assert report["ok"]
    by_name = {f["name"]: f for f in report["findings"]}
    assert by_name["train"]["state"] == "note" and "not installed" in by_name["train"]["found"]
    assert by_name["mp3"]["state"] == by_name["model"]["state"] == "ok"


def check_answers(fresh: Fresh, music: Path) -> None:
    """Of tunes that hardly sound like music."""
    answers = json.loads(fresh.genrelab("predict", music, "--json"))
    assert [a["path"] for a in answers] == [str(p) for p in sorted(music.iterdir())]
    assert all(a["error"] is None and a["genre"] in {*a["probabilities"], "unknown"} for a in answers)
    answers = json.loads(fresh.genrelab("predict", music, "--any", "--json"))
    assert all(a["genre"] in a["probabilities"] for a in answers)


def check_tags(fresh: Fresh, music: Path, before: dict[Path, str]) -> None:
    journal = json.loads(fresh.genrelab("tag", music, "--any", "--json"))["journal"]
    assert all(digest != before[p] for p, digest in digests(music).items())
    assert all(mutagen.File(p, easy=True)["genre"] for p in before if p.suffix != ".wav")
    fresh.genrelab("untag", journal)
    assert digests(music) == before


def check_learning_is_offered(fresh: Fresh, music: Path) -> None:
    """What is missing is named with the command that installs it, before anything is read."""
    result = fresh._run(fresh._bin / "genrelab", "learn", music, "--out", music / "mine")
    assert result.returncode == 1 and result.stderr.count("\n") == 1, result.stderr
    assert "which is not installed: pip install 'genrelab[learn]'" in result.stderr


def check_learning(fresh: Fresh, folder: Path) -> None:
    for genre in ("Experimental", "Pop"):
        (folder / "labelled" / genre).mkdir(parents=True)
        for i in range(3):
            soundfile.write(folder / "labelled" / genre / f"{i}.wav", song(genre, i, i, 3.0), SONG_SR)
    assert fresh.installed(TRAIN_ONLY) == []
    found = json.loads(fresh.genrelab("learn", folder / "labelled", "--out", folder / "mine", "--json"))
    assert (found["tracks"], [g["tracks"] for g in found["genres"]], found["failed"]) == (6, [3, 3], {})
    new = folder / "new.wav"
    soundfile.write(new, song("Pop", 9, 9, 9.0), SONG_SR)
    (answer,) = json.loads(fresh.genrelab("predict", new, "--model", folder / "mine", "--any", "--tags", "--json"))
    assert answer["genre"] == "Pop" and answer["tags"]
