"""page/data.py: excluded is not failed, durations are text or a chart, the map names tracks without a prediction."""

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
from genrelab.report.page.blocks import Figure, Fold, Table
from genrelab.report.page.charts import PALE
from genrelab.report.page.tracks import track_info
from tests.support.tones import write_tone


def prepared_with_durations(*seconds: float) -> Any:
    """A preparation of tracks with these durations."""
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
    counts, more = section.blocks
    assert isinstance(counts, Figure) and isinstance(more, Fold)
    failures = more.blocks[-1]
    assert isinstance(failures, Table)
    colour = counts.chart.spec["encoding"]["color"]["scale"]
    assert colour["domain"] == ["usable", "excluded", "failed"] and colour["range"][1] == PALE
    assert "1 excluded" in failures.caption and "excluded in" not in failures.caption


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        ((30.0, 30.1, 29.9), "30.0 s each, 0.0 hours in total"),
        ((30.0,) * 100 + (1.2,), "30.0 s each (1 of 1.2 s), 0.8 hours in total"),
        ((30.0,) * 100 + (1.2, 90.0), "30.0 s each (2 of 1.2 to 90.0 s), 0.9 hours in total"),
    ],
)
def test_durations_that_are_nearly_equal_are_text(seconds: tuple[float, ...], words: str) -> None:
    assert page_data._duration_text(prepared_with_durations(*seconds)) == words
    assert page_data._duration_histogram(prepared_with_durations(*seconds)) == []


@pytest.mark.parametrize("seconds", [(1.0, 100.0), (0.0131, 2.9), (28.0, 30.0, 31.5), (200.0, 3_600.0)])
def test_different_durations_are_drawn_in_round_bins(seconds: tuple[float, ...]) -> None:
    (figure,) = page_data._duration_histogram(prepared_with_durations(*seconds))
    bins = figure.chart.spec["data"]["values"]
    assert sum(b["n"] for b in bins) == len(seconds)
    assert 10 <= len(bins) <= 25
    edges = page_data._bin_edges(np.array(seconds))
    step = edges[1] - edges[0]
    assert round(float(step / 10 ** np.floor(np.log10(step) + 1e-9)), 6) in (1, 2, 5)


def test_map_names_the_part_of_tracks_without_a_prediction() -> None:
    parts = {"a": "training", "b": "validation", "c": "test", "d": "excluded"}
    named = {"a": "none (training track)", "b": "none (validation track)", "c": "rock", "d": "none (excluded track)"}
    assert page_data._map_answers(parts, {"c": "rock"}) == named
