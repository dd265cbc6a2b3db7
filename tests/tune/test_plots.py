from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from genrelab.core.hyperparameters import SPACES
from genrelab.tune import plots as tune_plots

mpimg = pytest.importorskip("matplotlib.image")


def found(**changes: Any) -> dict[str, Any]:
    """A search of svm: the default, one that was given up, one that failed, one better."""
    usual = {"kernel": "rbf", "C": 1.0, "gamma": 1.0, "pca": None}
    trials = [
        {"number": 0, "params": usual, "value": 0.5, "state": "complete"},
        {"number": 1, "params": {**usual, "kernel": "poly", "degree": 4}, "value": 0.3, "state": "pruned"},
        {"number": 2, "params": {**usual, "C": 50.0}, "value": None, "state": "failed"},
        {"number": 3, "params": {"kernel": "linear", "C": 0.05, "pca": 0.9}, "value": 0.6, "state": "complete"},
    ]
    space = {name: p.to_json() for name, p in SPACES["svm"].items()}
    return {
        "model": "svm", "score": "accuracy over 5 artist-grouped folds of the training set", "space": space,
        "trials": trials, "best": {"number": 3, "value": 0.6}, "default": {"value": 0.5}, **changes,
    }  # fmt: skip


def test_there_is_a_plot_for_each_hyper_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    png = tune_plots.render_png

    def watched(draw: Any, **size: Any) -> bytes:
        def drawn(figure: Any) -> None:
            draw(figure)
            plots = [a for a in figure.axes if a.axison]
            seen.update({a.get_title(loc="left"): a for a in plots})
            seen["ticks"] = {a.get_title(loc="left"): [t.get_text() for t in a.get_xticklabels()] for a in plots}

        return png(drawn, **size)

    monkeypatch.setattr(tune_plots, "render_png", watched)
    picture = mpimg.imread(io.BytesIO(tune_plots.plot_parameters(found())))
    assert picture.shape[1] > 800 and len(np.unique(picture.reshape(-1, picture.shape[2]), axis=0)) > 20
    assert set(SPACES["svm"]) <= set(seen)
    assert [seen[n].get_xscale() for n in ("C", "gamma", "degree")] == ["log", "log", "linear"]
    assert seen["ticks"]["kernel"] == ["rbf", "poly", "linear", "sigmoid"]
    assert {"0.01", "1", "100"} <= set(seen["ticks"]["C"])
    assert [t for t in seen["ticks"]["degree"] if "." in t] == []
    assert seen["ticks"]["pca"] == ["none", "0.8", "0.9", "0.95", "0.99"]
    assert seen["C"].get_legend_handles_labels()[1] == ["stopped early, on fewer folds", "trial", "defaults", "best"]
    assert seen["degree"].get_legend_handles_labels()[1] == ["stopped early, on fewer folds"]
    (best,) = [c for c in seen["C"].collections if c.get_label() == "best"]
    np.testing.assert_allclose(best.get_offsets(), [[0.05, 0.6]])


def test_search_with_only_the_default_can_be_plotted() -> None:
    alone = found(trials=found()["trials"][:1], best={"number": 0, "value": 0.5})
    assert tune_plots.plot_parameters(alone) == tune_plots.plot_parameters(alone)
