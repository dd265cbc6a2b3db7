from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

from genrelab.core.config import VIEWS, MelImageView, TrainSettings
from genrelab.models.majority import Majority
from tests.support.in_memory import blobs, examples_of, table_view


def test_probabilities_are_the_shares_of_the_training_rows(tmp_path: Path) -> None:
    y = [0, 1, 1, 2, 0, 0, 0]
    examples = examples_of(np.zeros((7, 2)), y, view=table_view(2), role=["fit"] * 4 + ["score"] * 3)
    model = Majority(TrainSettings(), examples.genres).fit(examples, tmp_path)
    probabilities = model.predict_proba(examples)
    assert probabilities.shape == (7, 3)
    np.testing.assert_allclose(probabilities, np.tile([0.25, 0.5, 0.25], (7, 1)))


def test_first_of_equally_frequent_genres_is_predicted(tmp_path: Path) -> None:
    examples = blobs()
    model = Majority(TrainSettings(), examples.genres).fit(examples, tmp_path)
    assert (model.predict_proba(examples).argmax(axis=1) == 0).all()


def test_its_graph_takes_any_view_and_any_number_of_windows(tmp_path: Path) -> None:
    assert set(Majority.views) == set(VIEWS)
    view = MelImageView(size=32)
    examples = examples_of(np.zeros((4, 32, 32)), [0, 1, 1, 1], view=view)
    session = onnxruntime.InferenceSession(Majority(TrainSettings(), examples.genres).fit(examples, tmp_path).onnx())
    for n in (1, 5):
        answer = session.run(["probabilities"], {"x": np.zeros((n, 32, 32), np.float32)})[0]
        np.testing.assert_allclose(answer, np.tile([0.25, 0.75], (n, 1)))
