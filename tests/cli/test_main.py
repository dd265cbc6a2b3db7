from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest
import typer

from genrelab.cli import console
from genrelab.core.errors import SettingsError
from tests.support.command import call, interruptible
from tests.support.guards import HANG_S
from tests.support.held_file import DECODED, HeldFiles
from tests.support.paths import PROJECT
from tests.support.tones import write_tone

COMMANDS = (
    *("demo", "download", "bench", "prepare", "train", "tune", "run", "report", "explore", "relabel", "export"),
    *("learn", "predict", "tag", "untag", "playlists", "serve", "doctor"),
)
README = (PROJECT / "README.md").read_text()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    status, out, _ = call(command, "--help")
    assert status == 0
    assert f"Example: genrelab {command}" in " ".join(out.split())
    assert f"genrelab {command}" in README or command == "demo"


@pytest.mark.parametrize("words", [("tag", ""), ("playlists", "", "--out", "x"), ("predict", ""), ("untag", "")])
def test_empty_path_is_not_taken_for_the_current_folder(words: tuple[str, ...]) -> None:
    status, out, err = call(*words)
    assert (status, out) == (2, "")
    assert "the name is empty" in " ".join(err.split())


@pytest.mark.parametrize(
    ("command", "package", "extra"),
    [
        ("prepare", "pyarrow", "train"),
        ("learn", "sklearn", "learn"),
        ("learn", "pandas", "learn"),
        ("serve", "fastapi", "serve"),
    ],
)
def test_missing_package_is_named_with_the_install_command(
    capsys: pytest.CaptureFixture[str], command: str, package: str, extra: str
) -> None:
    def run() -> None:
        raise ModuleNotFoundError(f"No module named '{package}'", name=package)

    run.__name__ = command
    with pytest.raises(typer.Exit):
        console.command(run)()
    said = f"Error: this needs {package}, which is not installed: pip install 'genrelab[{extra}]'\n"
    assert capsys.readouterr().err == said


def test_version_is_printed_and_wrong_usage_exits_2() -> None:
    assert call("--version")[1].startswith("genrelab ")
    assert call("prepare")[0] == 2
    assert call("nonsense")[0] == 2


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("prepare", "{tmp}/nowhere", "--out", "{tmp}/p"), "nowhere"),
        (("prepare", "{tmp}/empty", "--out", "{tmp}/p"), "It can read: "),
        (("prepare", "{tmp}/music", "--out", "{tmp}/p", "--views", "mel"), "unknown view 'mel': use"),
        (("train", "{tmp}/nowhere", "--out", "{tmp}/r"), "is not the output of `prepare`"),
        (("train", "{tmp}/nowhere", "--out", "{tmp}/r", "--models", "resnet"), "unknown model 'resnet': use"),
        (("train", "{tmp}/nowhere", "--out", "{tmp}/r", "--split", "mine"), "--split must be one of"),
        (
            ("train", "{tmp}/nowhere", "--out", "{tmp}/r", "--view", "nonsense"),
            "--view must be one of statistics, table",
        ),
        (("train", "{tmp}/nowhere", "--out", "{tmp}/r", "--models", "knn,knn"), "--models names a model twice"),
        (("train", "{tmp}/nowhere", "--out", "{tmp}/r", "--seed", "-1"), "--seed must be"),
        (("train", "{tmp}/nowhere", "--out", "{tmp}/r", "--pca", "nan"), "--pca must be"),
        (("train", "{tmp}/nowhere", "--out", "{tmp}/r", "--pca", "inf"), "--pca must be"),
        (("report", "{tmp}/nowhere"), "nowhere"),
        (("predict", "a.mp3", "--model", "{tmp}/nowhere"), "no such folder"),
        (("download", "fma-tiny", "--out", "{tmp}/d"), "fma-small"),
    ],
)
def test_a_known_failure_is_one_line_and_exit_1(
    music: Path, tmp_path: Path, words: tuple[str, ...], expected: str
) -> None:
    (tmp_path / "empty").mkdir()
    status, out, err = call(*(w.format(tmp=tmp_path) for w in words))
    assert (status, out) == (1, "")
    last = err.strip().splitlines()[-1]
    assert last.startswith("Error: ") and expected in last
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--view", "frames", "--models", "knn"), "add --pca"),
        (("--view", "frames"), "add --pca"),
        (("--view", "table"), "--view table is not prepared: use one of statistics, samples, mel_image"),
        (("--views", "samples", "--models", "knn"), "knn reads the view statistics"),
        (("--models", "mobilenet_v2", "--imagenet-weights", "/typo.h5"), "no such file"),
    ],
)
def test_untrainable_settings_are_refused_before_preparing(
    music: Path, tmp_path: Path, words: tuple[str, ...], expected: str
) -> None:
    status, _, err = call("run", music, "--out", tmp_path / "run", "--jobs", 1, *words)
    assert status == 1 and expected in err.strip().splitlines()[-1]
    assert not (tmp_path / "run").exists()


def test_table_is_trained_only_with_the_table_view(tmp_path: Path) -> None:
    rows = [f"{i},{'rock' if i % 2 else 'jazz'},{i % 2 + i / 100},{i}" for i in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["track_id,label,a,b", *rows]))
    words = ("run", tmp_path / "t.csv", "--label", "label", "--models", "majority", "--out")
    status, _, err = call(*words, tmp_path / "a", "--view", "statistics")
    assert status == 1 and "--view statistics is not prepared: use one of table" in err
    assert not (tmp_path / "a").exists()
    status, _, err = call(*words, tmp_path / "b", "--view", "table")
    assert status == 0, err


def test_demo_does_not_replace_a_folder_with_other_files(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "tracks.csv").write_text("precious")
    status, _, err = call("demo", "--out", tmp_path)
    assert status == 1 and "contains other files" in err
    assert [p.name for p in tmp_path.rglob("*")] == ["corpus", "tracks.csv"]


def test_top_of_zero_is_a_usage_error() -> None:
    assert call("predict", "a.mp3", "--model", "m", "--top", "0")[0] == 2


def test_ctrl_c_prints_the_command_that_resumes(music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before RUN is cleared that is the same command; afterwards --overwrite would lose what is there."""
    words = ["run", str(music), "--out", str(tmp_path / "run"), "--models", "majority", "--jobs", "1"]
    words += ["--views", "statistics"]
    assert call(*words)[0] == 0

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    def hint(where: str, *more: str) -> str:
        with monkeypatch.context() as patch:
            patch.setattr(where, interrupt)
            patch.setattr("sys.argv", ["genrelab", *words, *more])
            status, _, err = call(*words, *more)
        assert status == 130
        return err.strip().splitlines()[-1].strip()

    before, during = "genrelab.prepare.pipeline.prepare", "genrelab.export.export.write_model_bundle"
    same = shlex.join(["genrelab", *words])
    assert hint(before, "--overwrite", "--seed", "2") == f"{same} --overwrite --seed 2"
    assert hint(during, "--overwrite", "--seed", "2") == f"{same} --seed 2 --resume"
    assert hint(during, "--seed", "2", "--resume") == f"{same} --seed 2 --resume"
    assert call(*words, "--seed", "2", "--resume")[0] == 0
    words[3] = str(tmp_path / "fresh")
    assert hint(before) == shlex.join(["genrelab", *words, "--resume"])
    assert call(*words, "--resume")[0] == 0


def test_folder_with_one_genre_is_refused(tmp_path: Path) -> None:
    for i in range(6):
        write_tone(tmp_path / "music" / "jazz" / f"{i}.wav", hz=300 + i)
    status, _, err = call("run", tmp_path / "music", "--out", tmp_path / "run", "--jobs", 1)
    assert status == 1 and "only one genre (jazz): add tracks" in err


@pytest.mark.slow
def test_run_predict_and_report_work_on_a_folder(music: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ("run", music, "--out", run, "--models", "majority,svm", "--jobs", 1)
    status, out, err = call(*words, "--json")
    assert status == 0, err
    board = json.loads(out)
    assert [r["folder"] for r in board["rows"]] == ["majority", "svm"], "too few test tracks to rank"
    assert board["rows"][1]["accuracy"] > board["majority"]
    status, out, err = call(*words)
    assert status == 1 and "--overwrite" in err
    assert call(*words, "--overwrite")[0] == 0
    bundle = run / "svm" / "bundle"
    status, out, _ = call("predict", music / "beat", "--model", bundle, "--json")
    found = json.loads(out)
    assert status == 1  # broken.mp3 is among them
    assert [f["error"] is not None for f in found] == [False] * 9 + [True]
    assert found[-1]["genre"] is None
    about = {"path", "genre", "confidence", "probabilities", "unknown_because", "duration_s", "model", "error", "notes"}
    assert set(found[0]) == about
    assert call("report", run)[1].count("svm") >= 1


@pytest.mark.slow
def test_command_printed_at_ctrl_c_resumes_the_preparation(music: Path, tmp_path: Path) -> None:
    write_tone(music / "choir" / "last.wav", hz=200)  # of the sixth piece: the worker that comes to it has made others
    words = [sys.executable, "-m", "genrelab", "prepare", str(music), "--out", str(tmp_path / "out"), "--jobs", "2"]
    with (
        HeldFiles(tmp_path / "hooks", "/last.wav", hook=DECODED) as held,
        subprocess.Popen(
            words, stderr=subprocess.PIPE, text=True, preexec_fn=interruptible, env=held.environment
        ) as process,
    ):
        held.wait()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=HANG_S)
    assert process.returncode == 130, err
    assert not (tmp_path / "out" / "dataset.json").exists()
    assert "Traceback" not in err
    command = err.strip().splitlines()[-1].split()
    assert command[command.index("prepare") :] == words[3:]
    again = subprocess.run(command, capture_output=True, text=True, timeout=HANG_S)
    assert again.returncode == 0, again.stderr
    assert "resuming: " in again.stderr


def test_bench_rehearses_with_the_modules_that_the_command_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, object] = {}

    def bench(*_: object, **options: object) -> NoReturn:
        given.update(options)
        raise SettingsError("enough")

    monkeypatch.setattr("genrelab.bench.bench.bench", bench)
    status, _, err = call("bench", "--models", "svm")
    assert (status, err.splitlines()[-1]) == (1, "Error: enough")
    code = f"import importlib, sys; [importlib.import_module(m) for m in {given['preload']}]; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"genrelab.prepare.pipeline", "genrelab.cli.options", "typer"} <= set(loaded)
    assert not {"tensorflow", "genrelab.bench.bench"} & set(loaded)
