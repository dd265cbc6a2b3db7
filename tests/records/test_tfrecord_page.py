"""docs/tfrecord.md: its reader gives the windows, labels and sets that genrelab's own reader gives."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genrelab.core.config import PARQUET_VIEWS, VIEWS, MelImageView, PrepareSettings, SamplesView, TrainSettings
from genrelab.core.storage import Folder
from genrelab.datasets import folder
from genrelab.datasets.base import DatasetOptions
from genrelab.prepare.pipeline import prepare
from genrelab.records.examples import Examples, load_examples
from genrelab.records.task import Task, make_task, write_split
from genrelab.records.tfrecord import FIELDS, shard_name
from tests.support.paths import PROJECT
from tests.support.tones import write_tone

PAGE = (PROJECT / "docs" / "tfrecord.md").read_text(encoding="utf-8")


@pytest.fixture
def task(music: Path, tmp_path: Path) -> Task:
    """PREPARED and the split of RUN, at the places that the page names."""
    settings = PrepareSettings(
        views=(SamplesView(n_samples=500), MelImageView(sr=8_000, n_fft=256, size=16)), shard_tracks=7
    )
    write_tone(music / "one track, unlabelled.wav", hz=300)
    prepared = prepare(folder.load(music, DatasetOptions()), tmp_path / "prepared", settings, jobs=1)
    made = make_task(prepared, TrainSettings(split="random"))
    write_split(Folder(tmp_path / "runs" / "first"), made)
    return made


def _reader(view: str) -> dict[str, Any]:
    """The names that the code of the page defines, for another view."""
    code = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {}
    exec(code[1].replace('"samples"', repr(view)), names)
    return names


def _pairs(x: Any, y: Any) -> list[tuple[bytes, int]]:
    """Windows with their labels, in an order that does not depend on the reader's."""
    return sorted((window.tobytes(), int(label)) for window, label in zip(x, y, strict=True))


def _examples(task: Task, view: str, tmp_path: Path) -> Examples:
    return load_examples(task.prepared, view, task.labels(chooses=False), cache=tmp_path / "cache")


@pytest.mark.slow
@pytest.mark.parametrize("view", ["samples", "mel_image"])
def test_reader_of_the_page_gives_the_windows_of_each_set(
    task: Task, tmp_path: Path, view: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    reader = _reader(view)
    assert reader["genres"] == list(task.genres)
    examples, parts = _examples(task, view, tmp_path), np.array(task.split.parts)
    everything = examples.rows()
    for part in ("training", "validation", "test"):
        batches = list(reader["batches"](part, batch_size=4).as_numpy_iterator())
        x, y = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
        own = parts[everything.track] == part
        assert _pairs(x, y.argmax(axis=1)) == _pairs(everything.x[own].astype(np.float32), everything.y[own])
        assert (y.sum(axis=1) == 1).all() and len(x) > 0


@pytest.mark.slow
def test_reader_of_the_page_goes_on_after_a_damaged_record(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = Path(task.prepared.folder.path(task.prepared.shards("samples")[0]))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    monkeypatch.chdir(tmp_path)
    reader = _reader("samples")
    n_read = sum(len(y) for part in ("training", "validation", "test") for _, y in reader["batches"](part))
    n_own = len(_examples(task, "samples", tmp_path))
    assert n_own == sum(task.prepared.usable) - 1, "genrelab loses the damaged record"
    assert 0.6 * n_own < n_read < n_own, "TensorFlow loses the rest of the file, and no other file"


def test_page_names_the_fields_of_a_record_and_a_shard() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", PAGE, re.MULTILINE))
    assert rows == FIELDS and shard_name(0, 4, 250) in PAGE


def test_page_names_the_views_that_are_in_shards() -> None:
    listed = re.search(r"The views in shards are (.+?)\.", PAGE, re.DOTALL)
    assert listed is not None and set(re.findall(r"`(\w+)`", listed[1])) == set(VIEWS) - set(PARQUET_VIEWS)
