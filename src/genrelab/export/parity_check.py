"""`export --check`: do all formats of a model give the same probabilities for the same files?"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from genrelab.audio import clips as audio_clips
from genrelab.bundle.bundle import Bundle
from genrelab.core.errors import DecodeError, GenrelabError, MissingRequirementError, ModelError
from genrelab.core.progress import Notify, ignore
from genrelab.evaluation.calibration import apply_temperature
from genrelab.export.export import find_trained_model
from genrelab.export.formats import (
    FORMATS,
    MAX_DIFFERENCE,
    ModelInput,
    TrainedModel,
    model_input,
)
from genrelab.models.keras_loading import load_network
from genrelab.predict.classifier import load_bundle
from genrelab.predict.file import predict_file
from genrelab.predict.pooling import pool

TRAINED, BUNDLE, COMMAND = "trained object", "bundle", "command line"
EXPORTED = ("litert", "saved-model", "waveform-onnx")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FormResult:
    """The result for one format of the model.

    Attributes:
        path: name of the format.
        largest_difference: of a probability from the reference; None if it was not compared.
        ok: is it within the limit? None if the model has no such format.
        note: why not, or a remark.
    """

    path: str
    largest_difference: float | None
    ok: bool | None
    note: str = ""


@dataclass(frozen=True)
class ParityReport:
    """The result of `check_parity`; the first of `paths` with a difference is the reference for the other formats."""

    model: str
    bundle: str
    files: tuple[str, ...]
    left_out: tuple[str, ...]  # the reason for each unusable file
    limit: float
    ok: bool
    paths: tuple[FormResult, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


def check_parity(address: str | Path, files: Sequence[Path], notify: Notify = ignore) -> ParityReport:
    """Classify files with every format of a model and compare the probabilities.

    Args:
        address: RUN/MODEL, or a bundle.
        files: audio files; unusable ones are left out.
        notify: called with each step.

    Raises:
        DecodeError: no file can be used; the error of the first.
        ModelError: the model does not take audio.
        SettingsError, BundleError: see `export.find_trained_model`.
    """
    trained = find_trained_model(address)
    bundle = trained.bundle
    if not bundle.reads_audio:
        raise ModelError(f"{bundle.name} reads columns of a table: --check needs a model that classifies audio")
    inputs, left_out = _load_inputs(bundle, files, notify)
    results: list[FormResult] = []
    reference: Floats | None = None
    with tempfile.TemporaryDirectory(prefix="genrelab-") as scratch:
        for name, run in _predictors(trained, inputs, Path(scratch)):
            notify(f"  {name} …")
            result, p = _compare(name, run, reference)
            reference = p if reference is None else reference
            results.append(result)
    ok = all(result.ok is not False for result in results)
    return ParityReport(
        bundle.name, str(bundle.path), tuple(map(str, inputs)), left_out, MAX_DIFFERENCE, ok, tuple(results)
    )


def _load_inputs(
    bundle: Bundle, files: Sequence[Path], notify: Notify
) -> tuple[dict[Path, ModelInput], tuple[str, ...]]:
    inputs: dict[Path, ModelInput] = {}
    failures: list[DecodeError] = []
    # All clips, even for a bundle that would stop early.
    clips = replace(bundle.clips, max_clips=sys.maxsize) if bundle.reads_embedding else bundle.clips
    for file in files:
        try:
            found = model_input(bundle, audio_clips.read_clips(file, clips))
            if not len(found.windows):
                raise DecodeError(file, f"its beginning is silent, and {bundle.name} uses nothing else", stage="check")
            inputs[file] = found
        except DecodeError as e:
            failures.append(e)
            notify(f"left out: {e}")
    if not inputs:
        raise failures[0]
    return inputs, tuple(map(str, failures))


def _compare(
    name: str, run: Callable[[], tuple[Floats, str]], reference: Floats | None
) -> tuple[FormResult, Floats | None]:
    """Run one format and compare it: the result and, if there are any, its probabilities (files, genres)."""
    try:
        p, note = run()
    except MissingRequirementError as e:
        return FormResult(name, None, None, f"not compared: {e}"), None
    except Exception as e:  # noqa: BLE001 - runtimes raise anything for a broken export, which is a result here
        reason = str(e) if isinstance(e, GenrelabError) else f"cannot be run: {e}"
        return FormResult(name, None, False, " ".join(reason.split())), None
    if not np.isfinite(p).all():
        return FormResult(name, None, False, "returns values that are not probabilities"), None
    if reference is None:
        if len(p) > 1 and np.ptp(p, axis=0).max() < MAX_DIFFERENCE:
            note = "; ".join(filter(None, [note, "all files have the same probabilities: use other files"]))
        return FormResult(name, 0.0, True, note or "reference for the other formats"), p
    difference = float(np.abs(p - reference).max())
    return FormResult(name, difference, difference <= MAX_DIFFERENCE, note), p


def _predictors(
    trained: TrainedModel, inputs_by_file: dict[Path, ModelInput], scratch: Path
) -> Iterator[tuple[str, Callable[[], tuple[Floats, str]]]]:
    """The name of every format, and a function that returns its probabilities (files, genres) and a note."""
    bundle, files, inputs = trained.bundle, list(inputs_by_file), list(inputs_by_file.values())
    yield TRAINED, lambda: _by_trained(trained, inputs)
    yield BUNDLE, lambda: (_by_bundle(bundle, files), "")
    yield COMMAND, lambda: (_by_command(bundle, files), "")
    for form in EXPORTED:
        yield form, lambda form=form: (_by_form(trained, form, inputs, scratch / form), "")  # type: ignore[misc]


def _by_trained(trained: TrainedModel, inputs: list[ModelInput]) -> tuple[Floats, str]:
    if trained.keras is not None:
        network, note = load_network(trained.keras), ""
        found = [softmax(network.predict(one.windows, verbose=0).astype(np.float64), axis=1) for one in inputs]
    elif trained.home is None:
        raise MissingRequirementError("the bundle is not in the folder of a run")
    else:
        from genrelab.export.refit import refit  # late: imports training packages

        try:
            model = refit(trained.home, trained.bundle)
        except GenrelabError as e:
            raise MissingRequirementError(str(e)) from e
        note = "not stored, so trained again from the run's prepared tracks"
        found = [model._proba(one.windows) for one in inputs]
    return _pooled_probabilities(apply_temperature(p, trained.bundle.temperature) for p in found), note


def _by_bundle(bundle: Bundle, files: Sequence[Path]) -> Floats:
    classifier = load_bundle(bundle.path).with_windows("all" if bundle.reads_embedding else None)
    predictions = [predict_file(classifier, file) for file in files]
    return _probability_table(bundle, [p.to_json() for p in predictions])


def _by_command(bundle: Bundle, files: Sequence[Path]) -> Floats:
    """Run `genrelab predict` in a subprocess; for single files it does not use its cache."""
    command = [sys.executable, "-m", "genrelab", "predict", *(str(f.resolve()) for f in files)]
    command += ["--model", str(bundle.path.resolve()), "--json"]
    command += ["--windows", "all"] if bundle.reads_embedding else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        predictions = json.loads(done.stdout)
        if len(predictions) != len(files):
            raise ValueError(f"{len(predictions)} results for {len(files)} files")
        return _probability_table(bundle, predictions)
    except (ValueError, KeyError, TypeError) as e:
        output = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
        raise ModelError(f"`genrelab predict` failed: {output[-1]}") from e


def _by_form(trained: TrainedModel, form: str, inputs: list[ModelInput], scratch: Path) -> Floats:
    """Export again and load that: RUN/MODEL/export may be untrusted, and some formats run code."""
    if reason := FORMATS[form].missing(trained):
        raise MissingRequirementError(reason)
    scratch.mkdir()
    FORMATS[form].write(trained, scratch)
    return _pooled_probabilities(map(FORMATS[form].load(scratch), inputs))


def _pooled_probabilities(tracks: Iterable[NDArray[Any]]) -> Floats:
    return np.concatenate([pool(np.zeros(len(rows), np.int64), rows)[1] for rows in tracks])


def _probability_table(bundle: Bundle, predictions: list[dict[str, Any]]) -> Floats:
    for prediction in predictions:
        if prediction["error"]:
            raise ModelError(f"{prediction['path']}: {prediction['error']}")
    return np.array([[p["probabilities"][g] for g in bundle.genres] for p in predictions])
