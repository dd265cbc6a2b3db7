"""page/data.py: excluded is not failed, durations are told or drawn, and the map says why there is no answer."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from genrelab.core.config import PrepareSettings, SamplesView
from genrelab.datasets.exclusions import Exclusion, exclude
from genrelab.datasets.registry import load_dataset
from genrelab.prepare.pipeline import prepare
from genrelab.report.page import data as page_data
from genrelab.report.page.blocks import Figure, Table
from genrelab.report.page.charts import PALE
from genrelab.report.page.tracks import track_info
from tests.support.tones import write_tone


def prepared_with_durations(*seconds: float) -> Any:
    """A preparation of tracks that last so long."""
    return SimpleNamespace(tracks={"duration_s": list(seconds)})


def test_excluded_tracks_are_not_counted_as_failed(tmp_path: Path) -> None:
    for name in ("rock/a.wav", "rock/b.wav", "jazz/c.wav"):
        write_tone(tmp_path / "music" / name, hz=300)
    (tmp_path / "music" / "jazz" / "broken.wav").write_text("this is no audio")
    asked = exclude(load_dataset(tmp_path / "music"), [Exclusion("rock/b.wav", "", "too loud")])
    prepared = prepare(asked, tmp_path / "out", PrepareSettings(views=(SamplesView(n_samples=500),)), jobs=1)
    tracks = track_info(prepared.tracks, prepared.about["root"], prepared.folder)
    section = page_data.sections(prepared, tracks, {}, {}, "")[0]
    assert "2 usable (1 failed, 1 excluded)" in section.sentences[0]
    counts, failures = section.blocks[0], section.blocks[-1]
    assert isinstance(counts, Figure) and isinstance(failures, Table)
    colour = counts.chart.spec["encoding"]["color"]["scale"]
    assert colour["domain"] == ["usable", "excluded", "failed"] and colour["range"][1] == PALE
    assert "1 excluded" in failures.caption and "excluded in" not in failures.caption


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        ((30.0, 30.1, 29.9), "Each lasts 30.0 s, 0.0 hours in all."),
        ((30.0,) * 100 + (1.2,), "100 tracks last 30.0 s, 1 lasts 1.2 s; 0.8 hours in all."),
        ((30.0,) * 100 + (1.2, 90.0), "100 tracks last 30.0 s, 2 last 1.2 to 90.0 s; 0.9 hours in all."),
    ],
)
def test_durations_that_are_nearly_all_alike_are_a_sentence(seconds: tuple[float, ...], words: str) -> None:
    assert page_data._duration_sentence(prepared_with_durations(*seconds)) == [words]
    assert page_data._duration_histogram(prepared_with_durations(*seconds)) == []


@pytest.mark.parametrize("seconds", [(1.0, 100.0), (0.0131, 2.9), (28.0, 30.0, 31.5), (200.0, 3_600.0)])
def test_durations_that_differ_are_drawn_in_round_bins_that_hold_all(seconds: tuple[float, ...]) -> None:
    (figure,) = page_data._duration_histogram(prepared_with_durations(*seconds))
    bins = figure.chart.spec["data"]["values"]
    assert sum(b["n"] for b in bins) == len(seconds)
    assert 10 <= len(bins) <= 25
    edges = page_data._bin_edges(np.array(seconds))
    step = edges[1] - edges[0]
    assert round(float(step / 10 ** np.floor(np.log10(step) + 1e-9)), 6) in (1, 2, 5)


def test_the_map_says_why_a_track_has_no_answer() -> None:
    parts = {"a": "training", "b": "validation", "c": "test", "d": "excluded"}
    told = page_data._map_answers(parts, {"c": "rock"})
    assert told == {"a": "none, learned from", "b": "none, chose settings", "c": "rock", "d": "none, left out"}
