"""The export formats: how each is written into a folder and loaded for prediction."""

from __future__ import annotations

import hashlib
import json
import tempfile
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrelab.audio.clips import Clip, resample
from genrelab.bundle.bundle import Bundle, load_bundle
from genrelab.bundle.manifest import CARD_FILE, MANIFEST_FILE, MODEL_FILE, manifest_bytes
from genrelab.core.stderr import silence_c_stderr
from genrelab.core.tensorflow import load_tensorflow
from genrelab.export.waveform_graph import SAMPLES, unsupported_reason, waveform_onnx
from genrelab.features.views import compute
from genrelab.models.keras_loading import load_network
from genrelab.models.onnx_export import INPUT, OUTPUT, with_temperature

SIGNATURE = "serving_default"
TFLITE = "model.tflite"

MAX_DIFFERENCE = 1e-3
"""Largest difference of a probability between two formats of a model."""


@dataclass(frozen=True)
class TrainedModel:
    """A trained model on this disk: its bundle, and its folder in a RUN, if it is in one."""

    bundle: Bundle
    home: Path | None  # RUN/MODEL

    @property
    def keras(self) -> Path | None:
        """Its `model.keras`; None if there is none."""
        file = None if self.home is None else self.home / "model.keras"
        return file if file is not None and file.exists() else None


@dataclass(frozen=True)
class ModelInput:
    """The input of a model for a track: clips, mono at the rate of the view, and their windows (n, *view.shape)."""

    clips: tuple[NDArray[np.float32], ...] = field(repr=False)
    windows: NDArray[np.float32] = field(repr=False)


Predictor = Callable[[ModelInput], NDArray[Any]]
"""Returns probabilities (rows, genres), one row per window or per clip: their mean is the track's."""


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        file: name of the file to open, `.` for the folder itself.
        write: writes the model into an empty folder.
        load: loads such a folder as a `Predictor`.
        missing: returns why a model cannot have this format; None if it can, as every bundle can be ONNX.
    """

    file: str
    write: Callable[[TrainedModel, Path], None]
    load: Callable[[Path], Predictor]
    missing: Callable[[TrainedModel], str | None] = lambda _: None


def model_input(bundle: Bundle, clips: Iterable[Clip]) -> ModelInput:
    """Compute the input of a bundle for these clips.

    Raises:
        DecodeError: see `views.compute`.
    """
    assert bundle.reads_audio
    kept, windows = [], []
    for clip in clips:
        found = compute(bundle.view, clip.y, clip.sr, start_s=clip.start_s)
        if found:
            kept.append(resample(clip.y, clip.sr, sample_rate(bundle)))
            windows += [w.x for w in found]
    return ModelInput(tuple(kept), np.array(windows, np.float32).reshape(-1, *bundle.view.shape))


def sample_rate(bundle: Bundle) -> int:
    """Sampling rate in Hz that its view is computed from; 0 if it takes no audio."""
    return int(getattr(bundle.view, "sr", 0))


def _needs_keras(trained: TrainedModel) -> str | None:
    if trained.keras is not None:
        return None
    return (
        "LiteRT and SavedModel need the model.keras of a neural network, and there is none beside this bundle: use "
        "--format onnx, which onnxruntime runs on servers, on phones and in browsers"
    )


def _write_onnx(trained: TrainedModel, folder: Path) -> None:
    """Write the bundle with its temperature in the graph, for programs that do not read bundle.json."""
    bundle = trained.bundle
    contents = {name: (bundle.path / name).read_bytes() for name in (MANIFEST_FILE, MODEL_FILE, CARD_FILE)}
    if bundle.temperature != 1:
        contents[MODEL_FILE] = with_temperature(contents[MODEL_FILE], bundle.temperature)
        manifest = json.loads(contents[MANIFEST_FILE])
        manifest["temperature"] = 1.0
        manifest["files"][MODEL_FILE] = hashlib.sha256(contents[MODEL_FILE]).hexdigest()
        contents[MANIFEST_FILE] = manifest_bytes(manifest)
    for name, content in contents.items():
        (folder / name).write_bytes(content)


def _onnx_predictor(folder: Path) -> Predictor:
    bundle = load_bundle(folder)
    return lambda inputs: bundle.probabilities(inputs.windows)


def _write_waveform(trained: TrainedModel, folder: Path) -> None:
    (folder / MODEL_FILE).write_bytes(waveform_onnx(trained.bundle))


def _waveform_predictor(folder: Path) -> Predictor:
    import onnxruntime

    session = onnxruntime.InferenceSession((folder / MODEL_FILE).read_bytes(), providers=["CPUExecutionProvider"])
    return lambda inputs: np.stack([session.run([OUTPUT], {SAMPLES: y})[0] for y in inputs.clips])


def _write_saved_model(trained: TrainedModel, folder: Path) -> None:
    assert trained.keras is not None
    network = load_network(trained.keras)
    tf, keras = load_tensorflow()
    temperature = trained.bundle.temperature

    def probabilities(x: Any) -> dict[str, Any]:
        return {OUTPUT: tf.nn.softmax(network(x, training=False) / temperature)}

    archive = keras.export.ExportArchive()  # with a tf.Module instead, the conversion to LiteRT loses the weights
    archive.track(network)
    signature = [tf.TensorSpec([None, *trained.bundle.view.shape], tf.float32, name=INPUT)]
    archive.add_endpoint(SIGNATURE, probabilities, input_signature=signature)
    archive.write_out(str(folder), verbose=False)


def _saved_model_predictor(folder: Path) -> Predictor:
    tf, _ = load_tensorflow()
    loaded = tf.saved_model.load(str(folder))
    return lambda inputs: loaded.signatures[SIGNATURE](**{INPUT: tf.constant(inputs.windows)})[OUTPUT].numpy()


def _write_litert(trained: TrainedModel, folder: Path) -> None:
    tf, _ = load_tensorflow()
    with tempfile.TemporaryDirectory(prefix="genrelab-") as saved:
        _write_saved_model(trained, Path(saved))
        with silence_c_stderr:
            content = tf.lite.TFLiteConverter.from_saved_model(saved).convert()
    (folder / TFLITE).write_bytes(content)


def _litert_predictor(folder: Path) -> Predictor:
    with warnings.catch_warnings(), silence_c_stderr:
        warnings.filterwarnings("ignore", r"\s*Warning: tf\.lite\.Interpreter is deprecated", UserWarning)
        interpreter = _interpreter()(model_content=(folder / TFLITE).read_bytes())
        runner = interpreter.get_signature_runner(SIGNATURE)

    def predict(inputs: ModelInput) -> NDArray[Any]:
        with silence_c_stderr:  # the first call prints the delegate
            return np.asarray(runner(**{INPUT: inputs.windows})[OUTPUT])

    return predict


def _interpreter() -> Any:
    """LiteRT's own, if installed: TensorFlow's is deprecated."""
    try:
        return import_module("ai_edge_litert.interpreter").Interpreter
    except ImportError:
        tf, _ = load_tensorflow()
        return tf.lite.Interpreter


FORMATS = {
    "onnx": Format(MODEL_FILE, _write_onnx, _onnx_predictor),
    "litert": Format(TFLITE, _write_litert, _litert_predictor, _needs_keras),
    "saved-model": Format(".", _write_saved_model, _saved_model_predictor, _needs_keras),
    "waveform-onnx": Format(
        MODEL_FILE, _write_waveform, _waveform_predictor, lambda trained: unsupported_reason(trained.bundle.view)
    ),
}
"""The formats by name."""
