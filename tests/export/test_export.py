"""RUN/MODEL → a folder in another form, with the same answers, or a refusal that says what to use instead."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from genrelab.bundle.bundle import load_bundle
from genrelab.cli.main import app
from genrelab.core.config import MelImageView, SamplesView, StatisticsView, TableView
from genrelab.core.errors import BundleError, MissingRequirementError, ModelError, SettingsError
from genrelab.export import formats
from genrelab.export.export import export, find_trained_model
from tests.support.sounds import music
from tests.support.untrained_models import GENRES, bundle_of, model_of

TRAIN_ONLY = ("tensorflow", "keras", "tf2onnx", "skl2onnx", "sklearn", "pandas", "pyarrow", "librosa", "matplotlib")
MEL = MelImageView(sr=8_000, n_fft=256, size=16)


def call(*words: object) -> tuple[int, str, str]:
    """Exit status, standard output, standard error of a command in this process."""
    result = CliRunner().invoke(app, [str(w) for w in words])
    return result.exit_code, result.stdout, result.stderr


def test_onnx_is_the_bundle_itself(tmp_path: Path) -> None:
    model = model_of(tmp_path)
    folder = export(model, "onnx")
    assert folder == model / "export" / "onnx"
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "bundle.json", "model.onnx", "settings.json"]
    for name in ("README.md", "bundle.json", "model.onnx"):
        assert (folder / name).read_bytes() == (model / "bundle" / name).read_bytes()
    assert load_bundle(folder).fingerprint == load_bundle(model / "bundle").fingerprint


def test_temperature_is_built_into_the_exported_network(tmp_path: Path) -> None:
    model = model_of(tmp_path, temperature=3.0)
    folder = export(model, "onnx")
    exported, bundle = load_bundle(folder), load_bundle(model / "bundle")
    assert exported.temperature == 1 and json.loads((folder / "settings.json").read_text())["temperature"] == 3
    x = np.random.default_rng(0).standard_normal((5, 400)).astype(np.float32)
    np.testing.assert_allclose(exported.probabilities(x), bundle.probabilities(x), atol=1e-6)
    assert np.abs(exported.answers(x) - bundle.answers(x)).max() > 0.01
    onnx.checker.check_model(str(folder / "model.onnx"), full_check=True)


def test_waveform_onnx_settings_describe_its_input(tmp_path: Path) -> None:
    folder = export(model_of(tmp_path, MEL), "waveform-onnx")
    onnx.checker.check_model(str(folder / "model.onnx"), full_check=True)
    settings = json.loads((folder / "settings.json").read_text())
    assert settings["format"] == "waveform-onnx" and settings["file"] == "model.onnx" and settings["sr"] == 8_000
    assert settings["input"] == {"name": "samples", "dtype": "float32", "shape": [None]}
    assert settings["output"] == {"name": "probabilities", "dtype": "float32", "shape": [4]}
    assert settings["genres"] == list(GENRES) and settings["pooling"] == "mean"
    assert settings["view"]["n_fft"] == 256 and settings["clips"]["clip_s"] == 30
    card = (folder / "README.md").read_text()
    assert (
        card.startswith("# svm\n\nA card.\n") and card.count("## Input and output") == 1 and "As a bundle" not in card
    )
    assert "full scale 1, 8,000 Hz" in card and "A track of up to 31.5 s is one clip" in card


def test_onnx_settings_describe_input_and_output(tmp_path: Path) -> None:
    folder = export(model_of(tmp_path), "onnx")
    settings = json.loads((folder / "settings.json").read_text())
    assert settings["input"] == {"name": "x", "dtype": "float32", "shape": [None, 400]}
    assert settings["output"]["shape"] == [None, 4] and settings["dataset"] == "a test"


def test_bundle_outside_a_run_needs_out(tmp_path: Path) -> None:
    bundle_of(tmp_path / "got", SamplesView(sr=8_000, n_samples=400))
    with pytest.raises(SettingsError, match="is not in the folder of a run: give a folder for the export with --out"):
        export(tmp_path / "got", "onnx")
    assert export(tmp_path / "got", "waveform-onnx", tmp_path / "out") == tmp_path / "out"
    with pytest.raises(ModelError, match=r"need the model\.keras of a neural network"):
        export(tmp_path / "got", "litert", tmp_path / "other")


def test_bundle_inside_a_run_is_exported_beside_it(tmp_path: Path) -> None:
    model = model_of(tmp_path)
    assert find_trained_model(model / "bundle").home == model
    assert export(model / "bundle", "onnx") == model / "export" / "onnx"


def test_a_table_of_features_is_exported_as_a_bundle(tmp_path: Path) -> None:
    folder = export(model_of(tmp_path, TableView(columns=("a", "b", "c")), temperature=2.0), "onnx")
    settings = json.loads((folder / "settings.json").read_text())
    assert settings["sr"] is None and load_bundle(folder).view.shape == (3,)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_bundle_is_never_replaced(tmp_path: Path, overwrite: bool) -> None:
    model = model_of(tmp_path)
    before = (model / "bundle" / "bundle.json").read_bytes()
    with pytest.raises(SettingsError, match="bundle exists and is not an export of genrelab"):
        export(model, "waveform-onnx", model / "bundle", overwrite=overwrite)
    assert (model / "bundle" / "bundle.json").read_bytes() == before


def test_litert_interpreter_is_used_if_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    own = SimpleNamespace(Interpreter=object())
    monkeypatch.setitem(sys.modules, "ai_edge_litert", SimpleNamespace(interpreter=own))
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", own)
    assert formats._interpreter() is own.Interpreter


@pytest.mark.parametrize("form", ["litert", "saved-model"])
def test_model_without_a_keras_network_is_refused(tmp_path: Path, form: str) -> None:
    model = model_of(tmp_path, StatisticsView())
    with pytest.raises(ModelError, match=rf"svm cannot be exported as {form}: .* model\.keras .* use --format onnx"):
        export(model, form)
    assert not (model / "export").exists()


def test_unusable_model_address_or_format_is_refused(tmp_path: Path) -> None:
    model = model_of(tmp_path / "run")
    model_of(tmp_path / "run", name="knn")
    with pytest.raises(BundleError, match=r"run is not a bundle: did you mean .*run/knn/bundle\?"):
        export(tmp_path / "run", "onnx")
    with pytest.raises(BundleError, match="no such folder"):
        export(tmp_path / "run" / "mlp", "onnx")
    with pytest.raises(
        SettingsError, match="unknown --format 'tflite': use one of onnx, litert, saved-model, waveform-onnx"
    ):
        export(model, "tflite")
    with pytest.raises(
        SettingsError, match=r"memory://run/svm is not on this disk: give a folder for the export with --out"
    ):
        export("memory://run/svm", "onnx")
    with pytest.raises(BundleError, match=r"memory://run/nowhere has no bundle"):
        export("memory://run/nowhere", "onnx", tmp_path / "out")
    (model / "metrics.json").unlink()
    with pytest.raises(ModelError, match="is unfinished: finish it with `genrelab train --resume`"):
        export(model, "onnx")


def test_format_with_different_probabilities_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Converters fail in silence, too: LiteRT's has lost all weights of a network and said nothing."""
    model = model_of(tmp_path, MEL)
    export(model, "waveform-onnx")
    before = (model / "export" / "waveform-onnx" / "model.onnx").read_bytes()
    other = find_trained_model(model_of(tmp_path / "other", MEL, seed=1))
    right = formats.FORMATS["waveform-onnx"]
    broken = replace(right, write=lambda trained, folder: right.write(other, folder))
    monkeypatch.setitem(formats.FORMATS, "waveform-onnx", broken)
    with pytest.raises(
        ModelError, match=r"the waveform-onnx export differ from those of the bundle by .*nothing was written"
    ):
        export(model, "waveform-onnx")
    silent = replace(right, load=lambda folder: lambda heard: np.full((1, 4), np.nan))
    monkeypatch.setitem(formats.FORMATS, "waveform-onnx", silent)
    with pytest.raises(ModelError, match="by nan"):
        export(model, "waveform-onnx")
    assert (model / "export" / "waveform-onnx" / "model.onnx").read_bytes() == before
    assert [p.name for p in (model / "export").iterdir()] == ["waveform-onnx"]


@pytest.mark.parametrize("form", ["onnx", "waveform-onnx"])
def test_format_that_swaps_its_windows_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    right = formats.FORMATS[form]
    mixed = replace(right, load=lambda folder: lambda heard: right.load(folder)(heard)[::-1])
    monkeypatch.setitem(formats.FORMATS, form, mixed)
    with pytest.raises(
        ModelError, match=rf"the {form} export differ from those of the bundle by .*nothing was written"
    ):
        export(model_of(tmp_path, MEL), form)


def test_onnx_formats_need_no_tensorflow(tmp_path: Path) -> None:
    model = model_of(tmp_path, MEL)
    look = (
        "import sys\nfrom genrelab.export.export import export\n"
        f"for form in ('onnx', 'waveform-onnx'): export({str(model)!r}, form)\n"
        f"print(*[m for m in {TRAIN_ONLY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
    y, folder = music(8_000, 2.0), model / "export" / "waveform-onnx"
    np.save(tmp_path / "y.npy", y)
    use = (
        "import sys, numpy as np, onnxruntime\n"
        f"session = onnxruntime.InferenceSession({str(folder / 'model.onnx')!r})\n"
        f"print(*session.run(None, {{'samples': np.load({str(tmp_path / 'y.npy')!r})}})[0])\n"
        "assert not [m for m in sys.modules if m.startswith('genrelab')]"
    )
    done = subprocess.run([sys.executable, "-c", use], capture_output=True, text=True, check=True)
    expected = load_classifier(model).predict(y, sr=8_000).probabilities
    np.testing.assert_allclose([float(p) for p in done.stdout.split()], list(expected.values()), atol=1e-3)


def test_missing_onnx_package_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    model = model_of(tmp_path, MEL)
    with pytest.raises(MissingRequirementError, match=r"needs the package onnx, .*: pip install 'genrelab\[train\]'"):
        export(model, "waveform-onnx")
    assert export(model, "onnx").is_dir() and not (model / "export" / "waveform-onnx").exists()


def load_classifier(model: Path) -> Any:
    from genrelab.predict.classifier import load_bundle as load

    return load(model / "bundle")


def test_the_command_prints_the_folder_or_its_settings(tmp_path: Path) -> None:
    model = model_of(tmp_path)
    assert call("export", model, "--format", "onnx") == (0, f"{model / 'export' / 'onnx'}\n", "")
    status, out, _ = call("export", model, "--format", "waveform-onnx", "--out", tmp_path / "w", "--json")
    said = json.loads(out)
    assert status == 0 and said["path"] == str(tmp_path / "w") and said["format"] == "waveform-onnx"
    status, out, err = call("export", model, "--format", "litert")
    assert (status, out) == (1, "") and err.startswith("Error: svm cannot be exported as litert: ")


@pytest.mark.parametrize(
    "words",
    [(), ("--check",), ("a.wav",), ("a.wav", "--format", "onnx"), ("a.wav", "--check", "--format", "onnx")],
)
def test_wrong_usage_exits_2(tmp_path: Path, words: tuple[str, ...]) -> None:
    status, out, err = call("export", model_of(tmp_path), *words)
    assert status == 2 and out == "" and "Usage: " in err
