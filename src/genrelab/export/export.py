"""Trained model → bundle with a model card; RUN/MODEL → a folder in another format."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genrelab.audio.clips import Clip
from genrelab.bundle.bundle import Bundle, load_bundle, write_bundle
from genrelab.bundle.manifest import CARD_FILE, MANIFEST_FILE
from genrelab.bundle.model_card import card_text, join_paragraphs, split_usage, usage_section
from genrelab.bundle.remote import load_bundle_at
from genrelab.core.config import EMBEDDING_CLIPS, ClipSettings, EmbeddingView, View, view_to_json
from genrelab.core.errors import ModelError, SettingsError, printable
from genrelab.core.storage import Folder
from genrelab.core.text import pluralize
from genrelab.export.export_folder import finish_export, replacing
from genrelab.export.formats import (
    FORMATS,
    MAX_DIFFERENCE,
    ModelInput,
    TrainedModel,
    model_input,
    sample_rate,
)
from genrelab.export.waveform_graph import SAMPLES
from genrelab.models.onnx_export import INPUT, OUTPUT

if TYPE_CHECKING:
    from genrelab.evaluation.calibration import Calibration
    from genrelab.models.base import Model
    from genrelab.records.examples import Examples
    from genrelab.records.task import Task

TIMED_WINDOWS = 20
PROBE_S = 4.0  # length of each noise that an export is checked on
PROBE_COLOURS = (1, 4, 16, 64)  # lengths of moving averages, in samples: darker and darker noise


def write_model_bundle(
    folder: Path,
    model: Model,
    task: Task,
    examples: Examples,
    about: dict[str, Any],
    calibration: Calibration,
) -> tuple[float, int]:
    """Write a model's bundle.

    Args:
        about: the content of `metrics.json`.
        calibration: its temperature and evidence.

    Returns:
        Milliseconds for the windows of a track (without decoding and view), and the size of the network in bytes.
    """
    onnx, clips = model.onnx(), clip_settings(task, examples.view)
    prepared = task.prepared
    licences = sorted({x for x in prepared.tracks["licence"] if x})
    write_bundle(
        folder,
        onnx=onnx,
        name=model.name,
        genres=task.genres,
        view=examples.view,
        clips=clips,
        metrics=about["scores"],
        dataset=prepared.name,
        split=task.split.policy,
        licence=f"{pluralize(licences, 'licence')} of the tracks, such as {licences[0]}" if licences else None,
        temperature=calibration.temperature,
        calibration=calibration.evidence,
        readme=card_text(model, task, examples, about, clips, calibration.evidence),
    )
    return _milliseconds(load_bundle(folder), examples), len(onnx)


def clip_settings(task: Task, view: View) -> ClipSettings:
    """The clips that a bundle classifies: those of its preparation, no longer than the longest training track.

    A model trained on 3 s excerpts fails on the statistics of 30 s: songs are then classified in clips of 3 s. A track
    longer by no more than the tolerance is still one clip. Models on `embedding` read windows of 3 s in any case and
    get `EMBEDDING_CLIPS`.
    """
    settings = ClipSettings(**task.prepared.about["settings"].get("clips", {}))
    if isinstance(view, EmbeddingView):
        return replace(EMBEDDING_CLIPS, min_s=settings.min_s)
    t = task.prepared.tracks
    tracks = zip(t["duration_s"], t["status"], task.split.parts, strict=True)
    lengths = [d for d, status, part in tracks if d is not None and status == "ok" and part == "training"]
    return replace(settings, clip_s=min(settings.clip_s, max(lengths, default=settings.clip_s)))


def _milliseconds(bundle: Bundle, examples: Examples) -> float:
    """Median over a few windows, one at a time, times the number of windows of a track."""
    x = examples.rows("score", at_most=TIMED_WINDOWS).x.astype(np.float32)
    bundle.probabilities(x[:1])
    times = []
    for i in range(len(x)):
        start = time.perf_counter()
        bundle.probabilities(x[i : i + 1])
        times.append(time.perf_counter() - start)
    windows = len(examples) / len(np.unique(examples.track))
    return round(1000 * float(np.median(times)) * windows, 3)


def find_trained_model(address: str | Path) -> TrainedModel:
    """Find the model in RUN/MODEL or in a bundle; from an fsspec address its bundle is downloaded.

    Raises:
        SettingsError: an address that cannot be used here.
        ModelError: an unfinished model.
        BundleError: see `load_bundle`.
    """
    where = Folder(address)
    if not where.is_local:
        return TrainedModel(load_bundle_at(str(address)), None)
    folder = where.local
    if (folder / "dataset.json").exists():
        rest = "train a model on it and export that, or use --format tfrecord-article for its tracks"
        raise SettingsError(f"{printable(str(folder))} is the output of `prepare`, not a model: {rest}")
    if (folder / MANIFEST_FILE).exists():
        home = folder.parent if folder.name == "bundle" and (folder.parent / "metrics.json").exists() else None
        return TrainedModel(load_bundle(folder), home)
    inner = folder / "bundle"
    if inner.exists() and not (folder / "metrics.json").exists():
        raise ModelError(f"{printable(str(folder))} is unfinished: finish it with `genrelab train --resume`")
    return TrainedModel(load_bundle(inner if inner.exists() else folder), folder)


def export(address: str | Path, form: str, out: Path | None = None, *, overwrite: bool = False) -> Path:
    """Write a trained model in another format.

    Args:
        address: RUN/MODEL, or a bundle.
        form: `onnx`, `litert`, `saved-model` or `waveform-onnx`.
        out: folder; RUN/MODEL/export/<format> unless given. An earlier export there is replaced.
        overwrite: replace an earlier export even if it contains files that export did not write.

    Returns:
        The folder: the model, `settings.json`, `README.md`.

    Raises:
        ModelError: the model does not have this format.
        SettingsError: an unknown format, or `out` may not be replaced or written.
        BundleError: see `load_bundle`.
    """
    if form not in FORMATS:
        known = f"{', '.join(FORMATS)}, or tfrecord-article for the output of `prepare`"
        raise SettingsError(f"unknown --format {form!r}: use one of {known}")
    if out is None and not Folder(address).is_local:
        raise SettingsError(f"{address} is not on this disk: give a folder for the export with --out")
    trained = find_trained_model(address)
    if reason := FORMATS[form].missing(trained):
        raise ModelError(f"{trained.bundle.name} cannot be exported as {form}: {reason}")
    if out is None and trained.home is None:
        where = printable(str(trained.bundle.path))
        raise SettingsError(f"{where} is not in the folder of a run: give a folder for the export with --out")
    target = out or Path(trained.home or "", "export", form)
    with replacing(target, source=trained.bundle.path, overwrite=overwrite) as folder:
        FORMATS[form].write(trained, folder)
        _check_against_bundle(trained, form, folder)
        _write_readme_and_settings(trained.bundle, form, folder)
    return target


def _write_readme_and_settings(bundle: Bundle, form: str, folder: Path) -> None:
    """Write `README.md` and, last, `settings.json`: fields of bundle.json, inputs and outputs of the model."""
    if form != "onnx":  # its bundle.json contains the checksum of the card
        text, _ = split_usage((bundle.path / CARD_FILE).read_text())
        section = usage_section(form, bundle.view, bundle.clips, len(bundle.genres))
        (folder / CARD_FILE).write_text(join_paragraphs(text.rstrip("\n"), *section))
    finish_export(folder, {"format": form, "file": FORMATS[form].file, **_settings(bundle, form)})


def _settings(bundle: Bundle, form: str) -> dict[str, Any]:
    shape: list[int | None] = [None] if form == "waveform-onnx" else [None, *bundle.view.shape]
    output_shape = [len(bundle.genres)] if form == "waveform-onnx" else [None, len(bundle.genres)]
    return {
        "name": bundle.name,
        "genres": list(bundle.genres),
        "sr": sample_rate(bundle) or None,
        "input": {"name": SAMPLES if form == "waveform-onnx" else INPUT, "dtype": "float32", "shape": shape},
        "output": {"name": OUTPUT, "dtype": "float32", "shape": output_shape},
        "view": view_to_json(bundle.view),
        "clips": asdict(bundle.clips),
        "pooling": "mean",
        "temperature": bundle.temperature,  # already in the model
        "dataset": bundle.dataset,
        "split": bundle.split,
        "licence": bundle.licence,
        "bundle": bundle.fingerprint,
        "created_by": f"genrelab {version('genrelab')}",
    }


def _check_against_bundle(trained: TrainedModel, form: str, folder: Path) -> None:
    """Refuse an export whose probabilities differ from those of the bundle: converters may fail silently."""
    bundle, rng = trained.bundle, np.random.default_rng(0)
    if bundle.reads_audio:
        tracks = [model_input(bundle, [clip]) for clip in _noises(sample_rate(bundle), rng)]
    else:
        tracks = [ModelInput((), x) for x in rng.standard_normal((4, 1, *bundle.view.shape)).astype(np.float32)]
    together = ModelInput(tuple(y for t in tracks for y in t.clips), np.concatenate([t.windows for t in tracks]))
    actual, expected = FORMATS[form].load(folder)(together), bundle.probabilities(together.windows)
    if len(actual) != len(expected):  # one row per clip
        expected = np.stack([bundle.probabilities(t.windows).mean(axis=0) for t in tracks])
    difference = float(np.abs(actual - expected).max())
    if not difference <= MAX_DIFFERENCE:
        raise ModelError(
            f"{bundle.name}: the probabilities of the {form} export differ from those of the bundle by "
            f"{difference:.1e} (at most {MAX_DIFFERENCE:g} is allowed): nothing was written; use another --format"
        )


def _noises(sr: int, rng: np.random.Generator) -> list[Clip]:
    """Clips that differ enough to detect an export that mixes up its inputs."""
    ys = [0.1 * rng.standard_normal(int(PROBE_S * sr)) for _ in PROBE_COLOURS]
    ys = [np.convolve(y, np.ones(n) / n, mode="same") for y, n in zip(ys, PROBE_COLOURS, strict=True)]
    return [Clip(0.0, y.astype(np.float32), sr) for y in ys]
