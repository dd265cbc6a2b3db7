"""Program: trained model → bundle: everything that `predict` needs, and a card that says how good it is."""

from __future__ import annotations

import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from genrelab.bundle import Bundle, load_bundle, write_bundle
from genrelab.config import ClipSettings
from genrelab.examples import Examples
from genrelab.model import Model
from genrelab.task import Task

TIMED_WINDOWS = 20


def bundle(folder: Path, model: Model, task: Task, examples: Examples, about: dict[str, Any]) -> tuple[float, int]:
    """Write a model's bundle.

    Args:
        about: what stands in `metrics.json`.

    Returns:
        Milliseconds that the bundle takes for a track's windows (decoding and view not counted), and bytes of
        its network.
    """
    onnx = model.onnx()
    prepared = task.prepared
    licences = sorted({x for x in prepared.tracks["licence"] if x})
    write_bundle(
        folder,
        onnx=onnx,
        name=model.name,
        genres=task.genres,
        view=examples.view,
        clips=heard(task),
        metrics=about["scores"],
        dataset=prepared.name,
        split=task.split.policy,
        licence=f"{len(licences)} licences of the tracks, such as {licences[0]}" if licences else None,
        readme=card(model, task, examples, about),
    )
    return _milliseconds(load_bundle(folder), examples), len(onnx)


def heard(task: Task) -> ClipSettings:
    """Clips as long as the longest that there was to learn from.

    A model of 3 s excerpts is lost on the statistics of 30 s: a song is then heard in stretches of 3 s. Only tracks
    of the training part count; one that is longer by no more than the tolerance is still heard as a whole.
    """
    settings = ClipSettings(**task.prepared.about["settings"].get("clips", {}))
    t = task.prepared.tracks
    tracks = zip(t["duration_s"], t["status"], task.split.parts, strict=True)
    learned = [d for d, status, part in tracks if d is not None and status == "ok" and part == "training"]
    return replace(settings, clip_s=min(settings.clip_s, max(learned, default=settings.clip_s)))


def _milliseconds(ready: Bundle, examples: Examples) -> float:
    """Median over a few windows, one at a time, times the windows of a track."""
    x = examples.rows("score", at_most=TIMED_WINDOWS).x.astype(np.float32)
    ready.probabilities(x[:1])
    took = []
    for i in range(len(x)):
        began = time.perf_counter()
        ready.probabilities(x[i : i + 1])
        took.append(time.perf_counter() - began)
    windows = len(examples) / len(np.unique(examples.track))
    return round(1000 * float(np.median(took)) * windows, 3)


def card(model: Model, task: Task, examples: Examples, about: dict[str, Any]) -> str:
    """The model card: data, split, n, scores with intervals, per-genre scores, what it was not tested on."""
    s, split = about["scores"], task.split
    lines = [
        f"# {model.display}",
        "",
        f"Genre classifier made by genrelab {version('genrelab')}: reads `{examples.view.name}`, answers one of "
        f"{len(task.genres)} genres: {', '.join(task.genres)}.",
        "",
        f"Trained on {split.counts['training']} tracks of {task.prepared.name}, split `{split.policy}`; "
        f"scored on {s['n']} tracks of the {split.scored_part} part.",
        *[f"- {note}" for note in (*task.notes, *about["notes"])],
        "",
        "| score | value |",
        "|---|---|",
        f"| accuracy | {s['accuracy']:.3f} [{s['accuracy_low']:.3f}, {s['accuracy_high']:.3f}] (95 %, over "
        f"{s['interval_over']}) |",
        *[f"| {name} | {s[name]:.3f} |" for name in ("balanced_accuracy", "macro_f1", "top3", "log_loss", "ece")],
        f"| chance | {1 / len(task.genres):.3f} |",
        "",
        "| genre | n | precision | recall | F1 |",
        "|---|---|---|---|---|",
        *[_row(genre, scores) for genre, scores in s["per_genre"].items()],
        "",
        "Not tested on: other collections, recordings by microphone, speech, and music of none of these genres: it "
        "answers one of its genres whatever it hears.",
        "",
    ]
    return "\n".join(lines)


def _row(genre: str, scores: dict[str, Any]) -> str:
    if not scores["n"]:
        return f"| {genre} | 0 | not measured | not measured | not measured |"
    shown = " | ".join("–" if scores[k] is None else f"{scores[k]:.3f}" for k in ("precision", "recall", "f1"))
    return f"| {genre} | {scores['n']} | {shown} |"
