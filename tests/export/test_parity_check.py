"""All formats of a model give the same probabilities for the same files."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from genrelab.cli.main import app
from genrelab.core.config import (
    ClipSettings,
    EmbeddingView,
    LogMelView,
    MelImageView,
    PrepareSettings,
    StatisticsView,
    TrainSettings,
)
from genrelab.core.errors import DecodeError, MissingRequirementError, ModelError
from genrelab.core.storage import Folder
from genrelab.datasets import folder
from genrelab.datasets.base import DatasetOptions
from genrelab.export import formats, parity_check
from genrelab.export.export import export, find_trained_model
from genrelab.export.parity_check import check_parity
from genrelab.prepare.pipeline import prepare
from genrelab.runs.train import train
from tests.support.sounds import music
from tests.support.tones import write_tone
from tests.support.untrained_models import model_of

MEL = MelImageView(sr=8_000, n_fft=256, size=16)
TRAINED, COMMAND = "trained object", "command line"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Songs of three lengths, two rates, one in stereo."""
    home = tmp_path_factory.mktemp("songs")
    for i, (seconds, sr) in enumerate([(0.7, 44_100), (2.0, 22_050), (5.3, 22_050)]):
        y = music(sr, seconds, seed=i)
        soundfile.write(home / f"{i}.wav", np.stack([y, 0.5 * y], axis=1) if i == 1 else y, sr)
    return sorted(home.iterdir())


def rows_of(found: parity_check.ParityReport) -> dict[str, parity_check.FormResult]:
    return {row.path: row for row in found.paths}


@pytest.mark.slow
def test_all_formats_of_a_keras_network_give_the_same_probabilities(
    files: list[Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from genrelab.core.tensorflow import load_tensorflow
    from genrelab.models.onnx_export import network_to_onnx

    _, keras = load_tensorflow()
    view = LogMelView(n_mels=32, window_s=0.9, hop_s=0.6)
    keras.utils.set_random_seed(0)
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input(view.shape),
            layers.Rescaling(1 / 40, offset=1.0),
            layers.Reshape((*view.shape, 1)),
            layers.Conv2D(4, 3, strides=2, activation="relu"),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(4),
        ]
    )
    model = model_of(
        tmp_path, view, name="short_chunk", onnx=network_to_onnx(network, n_genres=4), temperature=1.7,
        clips=ClipSettings(clip_s=2.0),
    )  # fmt: skip
    network.save(model / "model.keras")
    capfd.readouterr()
    found = check_parity(model, files)
    assert found.ok and [row.ok for row in found.paths] == [True] * 6
    assert all(row.largest_difference is not None and row.largest_difference < 1e-3 for row in found.paths)
    for form in ("litert", "saved-model"):
        made = export(model, form)
        settings = json.loads((made / "settings.json").read_text())
        assert settings["format"] == form and (made / "README.md").read_text().count("## Input and output") == 1
    assert sorted(p.name for p in (model / "export" / "litert").iterdir()) == [
        *("README.md", "model.tflite", "settings.json")
    ]
    assert capfd.readouterr().err == ""  # no messages of TensorFlow or LiteRT


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RUN of a model of scikit-learn, with its PREPARED inside."""
    home = tmp_path_factory.mktemp("classical")
    for g, genre in enumerate(("ambient", "beat", "choir")):
        for i in range(7):
            write_tone(home / "music" / genre / f"{i}.wav", hz=220 * (g + 1) + 7 * i, seconds=1.0, seed=10 * g + i)
    settings = PrepareSettings(views=(StatisticsView(), EmbeddingView()))
    prepared = prepare(folder.load(home / "music", DatasetOptions()), home / "run" / "prepared", settings, jobs=1)
    train(prepared, Folder(home / "run"), TrainSettings(models=("svm", "musicnn"), split="random"))
    return home / "run"


def test_all_formats_of_a_classical_model_give_the_same_probabilities(
    files: list[Path], run: Path, tmp_path: Path
) -> None:
    """With a temperature, too, which is in bundle.json, not in the trained object."""
    learned = [run.parent / "music" / genre / "0.wav" for genre in ("ambient", "beat", "choir")]
    shutil.copytree(run, tmp_path / "run")
    _set(tmp_path / "run" / "svm" / "bundle" / "bundle.json", "temperature", 1.7)
    found = check_parity(
        tmp_path / "run" / "svm", [*files, *learned]
    )  # songs, unlike its training tracks, get similar probabilities
    rows = rows_of(found)
    assert found.ok and list(rows) == [TRAINED, "bundle", COMMAND, "litert", "saved-model", "waveform-onnx"]
    for path in (TRAINED, "bundle", COMMAND):
        assert rows[path].ok and rows[path].largest_difference is not None
        assert rows[path].largest_difference < 1e-5
    assert rows[TRAINED].note == "not stored, so trained again from the run's prepared tracks"
    for path in ("litert", "saved-model", "waveform-onnx"):
        assert rows[path].ok is None and rows[path].largest_difference is None and "--format onnx" in rows[path].note


def test_model_on_embeddings_uses_all_windows_in_every_format(run: Path, tmp_path: Path) -> None:
    """Twelve clips, more than its bundle uses of a track; by default it would stop when the result is clear."""
    y = music(22_050, 36.0)
    soundfile.write(tmp_path / "song.wav", y, 22_050)
    bundle, song = find_trained_model(run / "musicnn").bundle, tmp_path / "song.wav"
    given = parity_check._load_inputs(bundle, [song], lambda _: None)[0][song]
    assert given.windows.shape == (12, 456) and len(given.clips) == 12
    rows = rows_of(check_parity(run / "musicnn", [tmp_path / "song.wav"]))
    for path in (TRAINED, "bundle", COMMAND, "waveform-onnx"):
        assert rows[path].ok and rows[path].largest_difference is not None, rows[path]
        assert rows[path].largest_difference < 1e-5
    for path in ("litert", "saved-model"):
        assert rows[path].ok is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda run: shutil.rmtree(run / "prepared"), "the prepared tracks of .* are missing or were changed"),
        (
            lambda run: _set(run / "prepared" / "dataset.json", "fingerprint", "0"),
            "are missing or were changed after the run: prepare and train again",
        ),
        (
            lambda run: _set(run / "settings.json", "task", "0"),
            "genres, artists or splits of its tracks differ from those of .*: train again",
        ),
        (lambda run: _set(run / "settings.json", "novelty", 1), "settings.json or run.json is damaged"),
        (lambda run: (run / "run.json").unlink(), "settings.json or run.json is damaged"),
    ],
)
def test_reason_is_given_if_the_model_cannot_be_refitted(
    files: list[Path], run: Path, tmp_path: Path, change: Any, reason: str
) -> None:
    shutil.copytree(run, tmp_path / "run")
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    about["dataset"]["prepared"] = str(tmp_path / "run" / "prepared")
    (tmp_path / "run" / "run.json").write_text(json.dumps(about))
    change(tmp_path / "run")
    with pytest.raises(MissingRequirementError, match=reason):
        parity_check._by_trained(find_trained_model(tmp_path / "run" / "svm"), [])


def _set(file: Path, key: str, value: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), key: value}))


def test_network_is_not_trained_again(run: Path, tmp_path: Path) -> None:
    model = model_of(tmp_path, MEL, name="raw_cnn")
    for name in ("settings.json", "run.json"):
        shutil.copy(run / name, tmp_path / name)
    with pytest.raises(MissingRequirementError, match=r"model\.keras is missing, and a network is not trained again"):
        parity_check._by_trained(find_trained_model(model), [])


def test_existing_export_is_never_executed(files: list[Path], tmp_path: Path) -> None:
    model = model_of(tmp_path, MEL)
    (export(model, "waveform-onnx") / "model.onnx").write_text("a stranger's")
    assert rows_of(check_parity(model, files[:1]))["waveform-onnx"].ok


def test_command_line_comparison_does_not_use_the_cache(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENRELAB_CACHE", str(tmp_path / "cache"))
    bundle = find_trained_model(model_of(tmp_path, MEL)).bundle
    assert parity_check._by_command(bundle, files[:2]).shape == (2, 4)
    assert not (tmp_path / "cache").exists()


def test_equal_probabilities_for_all_files_are_noted(files: list[Path], tmp_path: Path) -> None:
    trained = find_trained_model(model_of(tmp_path, MEL, temperature=9e5))
    reference = parity_check._by_bundle(trained.bundle, files)
    same = "all files have the same probabilities: use other files"
    assert parity_check._compare("bundle", lambda: (reference, ""), None)[0] == parity_check.FormResult(
        "bundle", 0.0, True, same
    )
    for n, scale in ((1, 1.0), (3, 1e5)):  # one file is not enough
        row, _ = parity_check._compare("bundle", lambda p=reference[:n] * scale: (p, ""), None)  # type: ignore[misc]
        assert row.note == "reference for the other formats"


def test_format_with_different_probabilities_is_reported_and_exits_1(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(tmp_path / "run", MEL)
    other, right = find_trained_model(model_of(tmp_path / "other", MEL, seed=1)), formats.FORMATS["waveform-onnx"]
    broken = replace(right, write=lambda _, folder: right.write(other, folder))
    monkeypatch.setitem(formats.FORMATS, "waveform-onnx", broken)
    words = ["export", str(model), "--check", *map(str, files[:2])]
    result = CliRunner().invoke(app, [*words, "--json"])
    said = json.loads(result.stdout)
    rows = {row["path"]: row for row in said["paths"]}
    assert result.exit_code == 1 and said["ok"] is False and said["limit"] == 1e-3
    assert rows["waveform-onnx"]["ok"] is False and rows["waveform-onnx"]["largest_difference"] > 1e-3
    assert rows[COMMAND]["ok"] is True
    monkeypatch.undo()
    result = CliRunner().invoke(app, words)
    lines = result.stdout.splitlines()
    assert result.exit_code == 0 and lines[0] == "svm, 2 files: probabilities may differ by up to 0.001"
    assert lines[3].startswith(TRAINED) and "not compared: " in lines[3]
    assert lines[8].split()[0] == "waveform-onnx" and lines[8].split()[2] == "yes"


def test_failing_format_is_reported_and_the_others_are_compared(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(tmp_path, MEL)
    fault: Exception = ModelError("no, not today")
    monkeypatch.setattr("genrelab.export.parity_check.predict_file", lambda *_: (_ for _ in ()).throw(fault))
    monkeypatch.setattr("genrelab.export.parity_check.sys.executable", "false")
    found = rows_of(check_parity(model, files[:1]))
    assert found["bundle"] == parity_check.FormResult("bundle", None, False, "no, not today")
    fault = ValueError("of what no one\nhas thought")
    found = rows_of(check_parity(model, files[:1]))
    assert found["bundle"] == parity_check.FormResult(
        "bundle", None, False, "cannot be run: of what no one has thought"
    )
    assert found[COMMAND].ok is False and found[COMMAND].note == "`genrelab predict` failed: exit 1"
    assert found["waveform-onnx"].ok


def test_outputs_that_are_not_probabilities_fail_the_check(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = replace(formats.FORMATS["waveform-onnx"], load=lambda _: lambda h: np.full((1, 4), np.nan))
    monkeypatch.setitem(formats.FORMATS, "waveform-onnx", empty)
    monkeypatch.setattr("genrelab.export.parity_check._by_command", parity_check._by_bundle)
    row = rows_of(check_parity(model_of(tmp_path, MEL), files[:1]))["waveform-onnx"]
    assert row.ok is False and row.note == "returns values that are not probabilities"


def test_file_that_cannot_be_decoded_is_left_out_and_named(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "no.mp3").write_text("this is no audio")
    soundfile.write(tmp_path / "silent.wav", np.zeros(16_000), 8_000)
    monkeypatch.setattr("genrelab.export.parity_check._by_command", parity_check._by_bundle)
    said: list[str] = []
    found = check_parity(
        model_of(tmp_path, MEL), [tmp_path / "no.mp3", *files[:2], tmp_path / "silent.wav"], said.append
    )
    assert found.ok and found.files == tuple(map(str, files[:2]))
    assert [name in why for name, why in zip(("no.mp3", "silent.wav"), found.left_out, strict=True)] == [True, True]
    assert [line for line in said if line.startswith("left out: ")] == [f"left out: {why}" for why in found.left_out]


def test_models_and_files_that_cannot_be_compared_are_refused(files: list[Path], tmp_path: Path) -> None:
    from genrelab.core.config import SamplesView, TableView

    with pytest.raises(ModelError, match="reads columns of a table"):
        check_parity(model_of(tmp_path / "a", TableView(columns=("a", "b"))), files)
    (tmp_path / "no.mp3").write_text("this is no audio")
    with pytest.raises(DecodeError, match=r"no\.mp3"):
        check_parity(model_of(tmp_path / "b", MEL), [tmp_path / "no.mp3"])
    late = np.concatenate([np.zeros(80_000), music(8_000, 10.0)]).astype(np.float32)
    soundfile.write(tmp_path / "late.wav", late, 8_000)
    clips = ClipSettings(clip_s=10.0)
    model = model_of(tmp_path / "c", SamplesView(sr=8_000, n_samples=400), clips=clips)
    with pytest.raises(DecodeError, match="its beginning is silent, and svm uses nothing else"):
        check_parity(model, [tmp_path / "late.wav"])
