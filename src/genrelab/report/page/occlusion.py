"""Occlusion maps: the mel spectrogram of a track with the patches whose attenuation changes the prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import numpy as np

from genrelab.core.errors import printable
from genrelab.core.storage import Folder
from genrelab.evaluation.percent import format_percent
from genrelab.report.page import charts_models
from genrelab.report.page.blocks import TrackCard, TrackList, sentence
from genrelab.report.page.charts import Chart
from genrelab.report.page.studies import read_study
from genrelab.report.page.tracks import TrackInfo, data_url

MIN_SHOWN_DROP = 0.05  # percentage points; below this a drop would be printed as 0.0


def occlusion_tracks(run: Folder, model: str, known: TrackInfo) -> list[TrackList]:
    """The tracks of a model's `occlusion.json` with their maps; empty if the study was not made.

    Raises:
        PreparedError: the file is damaged.
    """
    if not run.exists(f"{model}/occlusion.json"):
        return []
    study = read_study(run, f"{model}/occlusion.json")
    tracks = [_track_card(found, known, model) for found in study["tracks"]]
    note = "Without an orange patch, the predicted genre is less probable; without a blue one, it is more probable."
    if study.get("sentence"):
        note = f"{sentence(study['sentence'])} {note}"
    return [TrackList("Which patches matter", tracks, note)] if tracks else []


def _track_card(found: Mapping[str, Any], known: TrackInfo, folder: str) -> TrackCard:
    mel, drop = np.array(found["mel"], np.float32), np.array(found["drop"], np.float64)
    patches = _patches(found, drop)
    span = (float(found["t_edges"][0]), float(found["t_edges"][-1]))
    spec = charts_models.occlusion_map(
        patches, data_url(mel.T.astype(np.float16), colours="gray"), span=span, bands=_frequency_ticks(found["mel_hz"])
    )
    text = f"{printable(found['truth'])}, classified as {printable(found['answer'])}, {format_percent(found['p'])}"
    label, matters = _strongest_patch(patches)
    evidence = quote(f"{folder}/{found['evidence']}") if matters and found.get("evidence") else None
    return replace(known.card(found["track_id"], f"{text}. {label}."), chart=Chart(spec, label), evidence=evidence)


def _strongest_patch(patches: Sequence[Mapping[str, Any]]) -> tuple[str, bool]:
    """A sentence on the patch with the largest effect, and whether one lowers the probability (not by 0.0 points)."""
    most, least = (pick(patches, key=lambda p: p["drop"]) for pick in (max, min))
    if most["drop"] >= MIN_SHOWN_DROP:
        return (
            f"Without {most['t0']:.1f} to {most['t1']:.1f} s, {most['hz']}, "
            f"the probability falls by {most['drop']:.1f} points"
        ), True
    if least["drop"] > -MIN_SHOWN_DROP:
        return "No single patch changes the probability", False
    return "The probability does not fall, whichever patch is left out", False


def _patches(found: Mapping[str, Any], drop: Any) -> list[dict[str, Any]]:
    times, edges = found["t_edges"], found["f_edges_hz"]
    bands = np.interp(edges, found["mel_hz"], np.arange(len(found["mel_hz"])) + 0.5)
    bands[0], bands[-1] = 0, len(found["mel_hz"])
    return [
        {
            "t0": round(times[j], 2),
            "t1": round(times[j + 1], 2),
            "f0": round(float(bands[i]), 1),
            "f1": round(float(bands[i + 1]), 1),
            "hz": f"{edges[i]:,.0f} to {edges[i + 1]:,.0f} Hz",
            "drop": round(100 * float(drop[i, j]), 2),
        }
        for i in range(drop.shape[0])
        for j in range(drop.shape[1])
    ]


def _frequency_ticks(mel_hz: Sequence[float]) -> list[tuple[float, str]]:
    """Positions of 250 Hz, 1 kHz and 4 kHz in mel bands, and their labels."""
    wanted = [hz for hz in (250, 1_000, 4_000) if mel_hz[0] < hz < mel_hz[-1]]
    places = np.interp(wanted, mel_hz, np.arange(len(mel_hz)) + 0.5)
    return [(round(float(at), 2), f"{hz:,}") for at, hz in zip(places, wanted, strict=True)]
