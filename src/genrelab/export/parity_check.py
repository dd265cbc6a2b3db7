"""The same files through every form of a model: do they all give the same probabilities?"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrelab.audio import clips as audio_clips
from genrelab.bundle.bundle import Bundle
from genrelab.core.errors import DecodeError, GenrelabError, MissingRequirementError, ModelError
from genrelab.core.progress import Notify
from genrelab.evaluation.calibration import apply_temperature
from genrelab.export.export import find_trained_model
from genrelab.export.formats import (
    FORMATS,
    MAX_DIFFERENCE,
    ModelInput,
    Predictor,
    TrainedModel,
    keras_predictor,
    model_input,
)
from genrelab.predict.classifier import load_bundle
from genrelab.predict.file import pool, predict_file

TRAINED, BUNDLE, COMMAND = "trained object", "bundle", "command line"
EXPORTED = ("litert", "saved-model", "waveform-onnx")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FormResult:
    """One form of the model.

    Attributes:
        path: by which the files went.
        largest_difference: of a probability from the reference; None where there is none.
        ok: is it within the limit? None where the model has no such form.
        note: why not, or what was compared.
    """

    path: str
    largest_difference: float | None
    ok: bool | None
    note: str = ""


@dataclass(frozen=True)
class ParityReport:
    """What `check_parity` found; the first of `paths` that has a difference is what the others are compared with."""

    model: str
    bundle: str
    files: tuple[str, ...]
    left_out: tuple[str, ...]  # why, one sentence a file that cannot be used
    limit: float
    ok: bool
    paths: tuple[FormResult, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


class _FormMissing(Exception):  # noqa: N818 - no error: the model has no such form
    """With the reason."""


def check_parity(address: str | Path, files: Sequence[Path], notify: Notify = lambda _: None) -> ParityReport:
    """Show files to every form of a model and compare the probabilities of the genres.

    Args:
        address: RUN/MODEL, or a bundle.
        files: audio files; what cannot be used of them is left out.
        say: is told what is being done.

    Raises:
        DecodeError: no file can be used; of the first.
        ModelError: the model does not hear audio.
        SettingsError, BundleError: see `export.find_trained_model`.
    """
    trained = find_trained_model(address)
    bundle = trained.bundle
    if not bundle.hears:
        raise ModelError(f"{bundle.name} reads columns of a table: it cannot be shown a file")
    heard, left_out = _load_inputs(bundle, files, notify)
    rows: list[FormResult] = []
    reference: Floats | None = None
    with tempfile.TemporaryDirectory(prefix="genrelab-") as scratch:
        for name, way in _predictors(trained, heard, Path(scratch)):
            notify(f"{name} …")
            row, p = _compare(name, way, reference)
            reference = p if reference is None else reference
            rows.append(row)
    ok = all(row.ok is not False for row in rows)
    return ParityReport(
        bundle.name, str(bundle.path), tuple(map(str, heard)), left_out, MAX_DIFFERENCE, ok, tuple(rows)
    )


def _load_inputs(
    bundle: Bundle, files: Sequence[Path], notify: Notify
) -> tuple[dict[Path, ModelInput], tuple[str, ...]]:
    heard: dict[Path, ModelInput] = {}
    failures: list[DecodeError] = []
    for file in files:
        try:
            heard[file] = _load_input(bundle, file)
        except DecodeError as e:
            failures.append(e)
            notify(f"left out: {e}")
    if not heard:
        raise failures[0]
    return heard, tuple(map(str, failures))


def _load_input(bundle: Bundle, file: Path) -> ModelInput:
    heard = model_input(bundle, audio_clips.read_clips(file, bundle.clips))
    if not len(heard.windows):
        raise DecodeError(file, f"the beginning, which is what {bundle.name} listens to, is silent", stage="check")
    return heard


def _compare(
    name: str, way: Callable[[], tuple[Floats, str]], reference: Floats | None
) -> tuple[FormResult, Floats | None]:
    """A row and, where there are any, the probabilities (files, genres) behind it."""
    try:
        p, note = way()
    except _FormMissing as e:
        return FormResult(name, None, None, str(e)), None
    except MissingRequirementError as e:
        return FormResult(name, None, None, f"not compared: {e}"), None
    except Exception as e:  # noqa: BLE001 - runtimes raise what they like of a broken form, and that is the finding
        reason = str(e) if isinstance(e, GenrelabError) else f"{type(e).__name__}: {e}"
        return FormResult(name, None, False, " ".join(reason.split())), None
    if not np.isfinite(p).all():
        return FormResult(name, None, False, "answers numbers that are no probabilities"), None
    if reference is None:
        if len(p) > 1 and np.ptp(p, axis=0).max() < MAX_DIFFERENCE:
            note = "; ".join(filter(None, [note, "all files get the same answer: this compares nothing"]))
        return FormResult(name, 0.0, True, note or "what the others are compared with"), p
    off = float(np.abs(p - reference).max())
    return FormResult(name, off, off <= MAX_DIFFERENCE, note), p


def _predictors(
    trained: TrainedModel, heard_of: dict[Path, ModelInput], scratch: Path
) -> Iterator[tuple[str, Callable[[], tuple[Floats, str]]]]:
    """Functions that give the probabilities (files, genres) of every form, and a note."""
    bundle, files, heard = trained.bundle, list(heard_of), list(heard_of.values())
    yield TRAINED, lambda: _by_trained(trained, heard)
    yield BUNDLE, lambda: (_by_bundle(bundle, files), "")
    yield COMMAND, lambda: (_by_command(bundle, files), "")
    for form in EXPORTED:
        yield form, lambda form=form: (_by_form(trained, form, heard, scratch / form), "")  # type: ignore[misc]


def _by_trained(trained: TrainedModel, heard: list[ModelInput]) -> tuple[Floats, str]:
    if trained.keras is not None:
        return _pooled_probabilities(keras_predictor(trained.keras, trained.bundle.temperature), heard), ""
    if trained.home is None:
        raise _FormMissing("not compared: a bundle alone, without its RUN")
    from genrelab.export.refit import refit  # needs what training needs

    try:
        model = refit(trained.home, trained.bundle)
    except GenrelabError as e:
        raise _FormMissing(f"not compared: {e}") from e

    def answer(h: ModelInput) -> Floats:
        return apply_temperature(model._proba(h.windows), trained.bundle.temperature)

    return _pooled_probabilities(answer, heard), "fitted again from the run's PREPARED: it is not kept"


def _by_bundle(bundle: Bundle, files: Sequence[Path]) -> Floats:
    ready = load_bundle(bundle.path)
    found = [predict_file(ready, file) for file in files]
    return _table(bundle, [p.to_json() for p in found])


def _by_command(bundle: Bundle, files: Sequence[Path]) -> Floats:
    """As a person would ask, in a process of its own; files that are named are heard, whatever it remembers."""
    words = [sys.executable, "-m", "genrelab", "predict", *(str(f.resolve()) for f in files)]
    words += ["--model", str(bundle.path.resolve()), "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    try:
        return _table(bundle, json.loads(done.stdout))
    except (ValueError, KeyError, TypeError) as e:
        said = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
        raise ModelError(f"`genrelab predict` fails: {said[-1]}") from e


def _by_form(trained: TrainedModel, form: str, heard: list[ModelInput], scratch: Path) -> Floats:
    """What export would write now; what lies in RUN/MODEL/export may be a stranger's, and forms run code."""
    if reason := FORMATS[form].missing(trained):
        raise _FormMissing(reason)
    scratch.mkdir()
    FORMATS[form].write(trained, scratch)
    return _pooled_probabilities(FORMATS[form].ask(scratch), heard)


def _pooled_probabilities(answer: Predictor, heard: list[ModelInput]) -> Floats:
    tracks = [np.asarray(answer(h), np.float64) for h in heard]
    return np.concatenate([pool(np.zeros(len(rows), np.int64), rows)[1] for rows in tracks])


def _table(bundle: Bundle, predictions: list[dict[str, Any]]) -> Floats:
    for prediction in predictions:
        if prediction["error"]:
            raise ModelError(f"{prediction['path']}: {prediction['error']}")
    return np.array([[p["probabilities"][g] for g in bundle.genres] for p in predictions])
