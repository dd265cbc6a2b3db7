from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genrelab.bundle.bundle import load_bundle
from genrelab.core.config import DescriptorsView, PrepareSettings, TrainSettings
from genrelab.core.errors import PreparedError
from genrelab.core.storage import Folder
from genrelab.datasets import folder
from genrelab.datasets.base import DatasetOptions
from genrelab.export.refit import refit
from genrelab.prepare.pipeline import prepare
from genrelab.records.prepared import Prepared, read_parquet
from genrelab.records.task import make_task
from genrelab.runs.train import train
from genrelab.training.cross_fit import cross_fit

SETTINGS = TrainSettings(models=("gaussian_nb",), view="descriptors", split="random")


@pytest.fixture
def prepared(music: Path, tmp_path: Path) -> Prepared:
    """Two shards, of fourteen and of thirteen tracks."""
    settings = PrepareSettings(views=(DescriptorsView(),))
    return prepare(folder.load(music, DatasetOptions()), tmp_path / "prepared", settings, jobs=1)


def _cut(prepared: Prepared, number: int = 1) -> str:
    name = prepared.shards("descriptors")[number]
    path = prepared.folder.local / name
    path.write_bytes(path.read_bytes()[:-20])
    return name


def test_training_goes_on_with_the_rest_and_names_what_is_lost(prepared: Prepared, tmp_path: Path) -> None:
    name = _cut(prepared)
    messages: list[str] = []
    board = train(prepared, Folder(tmp_path / "run"), SETTINGS, notify=messages.append)
    (sentence,) = (s.strip() for s in messages if name in s)
    assert f"{name}: cut off after 12 of 13 records; 1 track cannot be read: " in sentence
    assert sentence.endswith("Run the same `prepare` again to decode them again")
    assert Folder(tmp_path / "run").read_json("run.json")["dataset"]["corrupt"] == {"descriptors": [sentence]}
    assert any(sentence in note for row in board.rows for note in row.notes)
    answers = read_parquet(Folder(tmp_path / "run"), "gaussian_nb/predictions.parquet")
    assert answers.num_rows == 26


@pytest.mark.parametrize("harm", ["strict", "no shard at all", "every shard empty"])
def test_training_stops_with_the_same_advice(prepared: Prepared, tmp_path: Path, harm: str) -> None:
    settings, names = SETTINGS, prepared.shards("descriptors")
    if harm == "strict":
        _cut(prepared)
        settings = TrainSettings(**(SETTINGS.to_json() | {"models": ("gaussian_nb",), "strict": True}))
    for name in names if harm != "strict" else ():
        if harm == "no shard at all":
            (prepared.folder.local / name).unlink()
        else:
            (prepared.folder.local / name).write_bytes(b"")
    with pytest.raises(PreparedError) as stopped:
        train(prepared, Folder(tmp_path / "run"), settings)
    message = str(stopped.value)
    assert "cannot be read: " in message and "Run the same `prepare` again" in message and "--split" not in message


def test_studies_and_searches_name_what_is_lost(prepared: Prepared) -> None:
    name = _cut(prepared)
    messages: list[str] = []
    with cross_fit(make_task(prepared, SETTINGS), SETTINGS, np.ones(len(prepared), bool), messages.append) as fits:
        fits.windows("gaussian_nb")
        fits.windows("gaussian_nb")
    assert len(messages) == 1 and name in messages[0] and "1 track cannot be read" in messages[0]


def test_model_is_not_fitted_again_on_fewer_tracks(prepared: Prepared, tmp_path: Path) -> None:
    train(prepared, Folder(tmp_path / "run"), SETTINGS)
    home = tmp_path / "run" / "gaussian_nb"
    bundle = load_bundle(home / "bundle")
    refit(home, bundle)
    _cut(prepared)
    with pytest.raises(PreparedError, match=r"cut off after 12 of 13 records.*Run the same `prepare` again"):
        refit(home, bundle)
