"""Interface of a model: it is fitted on examples, returns probabilities and converts itself to one ONNX graph."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from genrelab.core.config import TrainSettings
from genrelab.core.errors import ModelError
from genrelab.core.hyperparameters import resolve_params
from genrelab.core.progress import Notify, Progress
from genrelab.models.onnx_export import INPUT, OUTPUT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genrelab.records.examples import Examples

TOLERANCE = 1e-4
"""Largest difference of a probability between a model and its ONNX graph; a graph that differs more is not written."""

N_PROBES = 32
"""Training windows on which a graph is compared with its model."""


class Model(ABC):
    """A classifier of windows.

    The constructor only stores. Attributes that end in `_` are set by `fit`.

    Attributes:
        name: its name in `--models`.
        views: the views that it can read, the default first.
        needs_validation: does it choose anything (epochs) on rows of the role `choose`?
        chosen: its hyper-parameters.
        notes: caveats for readers of its scores, one sentence each, collected by `fit`.
        curve: of models trained in epochs: `best_epoch`, `epochs`, `learned` and their losses and accuracy.
        resume: continue an interrupted `fit` from the files in its folder.
        data_is_local: are the examples on this machine's disk?
        progress: called with (epochs done, epochs at most).
        notify: called with what a training in epochs costs and how far it is; None: it is not reported.
        prints_summary: call `notify` with Keras' summary of the network, too.
    """

    name: ClassVar[str]
    views: ClassVar[tuple[str, ...]]
    needs_validation: ClassVar[bool] = False

    def __init__(self, settings: TrainSettings, genres: tuple[str, ...]) -> None:
        self.settings, self.genres = settings.of(self.name), genres
        self.chosen = resolve_params(self.name, settings.params, preset=settings.preset)
        self.notes: list[str] = []
        self.curve: dict[str, Any] | None = None
        self.resume = False
        self.data_is_local = True
        self.progress: Progress | None = None
        self.notify: Notify | None = None
        self.prints_summary = False

    @classmethod
    def missing_requirement(cls, settings: TrainSettings) -> str | None:
        """Why it cannot be trained on this machine, and what to do; None if nothing is known to be missing.

        Cheap: nothing heavy is imported and no network is used.
        """
        return None

    @classmethod
    def too_many_columns(cls, settings: TrainSettings, n: int) -> str | None:
        """Why it does not take windows of `n` values with these settings; None if it does."""
        return None

    @property
    def display(self) -> str:
        """Name for tables, with remarks on what distinguishes it from the usual model of its name."""
        remarks = ", ".join(self._remarks())
        return f"{self.name} ({remarks})" if remarks else self.name

    @property
    def is_article(self) -> bool:
        """Does it follow the article (`--preset article`)?"""
        return self.settings.preset == "article"

    @property
    def class_weight(self) -> str:
        """Policy for `Examples.class_weights`; the article weights no genre, so its preset does if asked only."""
        named = self.settings.class_weight
        return "none" if self.is_article and named == "auto" else named

    @property
    def is_tuned(self) -> bool:
        """Does it have hyper-parameters of its own?"""
        return self.name in self.settings.params

    def _remarks(self) -> list[str]:
        return ["tuned"] if self.is_tuned else []

    @abstractmethod
    def fit(self, examples: Examples, folder: Path) -> Self:
        """Fit on the rows of the role `fit`; choose settings on those of `choose`.

        Args:
            examples: windows of one of `views`.
            folder: this model's own local folder, for `history.csv`, `tensorboard/` and `checkpoint/`.

        Raises:
            ModelError: it cannot be fitted on these examples.
            MissingRequirementError: this machine lacks something that it needs.
        """

    def predict_proba(self, examples: Examples) -> NDArray[np.float64]:
        """Probabilities of all rows, in order, shape (n, genres)."""
        return self._proba(examples.rows().x)

    def onnx(self) -> bytes:
        """The whole model as an ONNX graph: float32 (batch, *view.shape) to `probabilities` (batch, genres).

        Raises:
            ModelError: the graph's probabilities differ from the model's.
        """
        import onnxruntime

        graph, expected = self._graph(), self._proba(self.probes_)
        session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        outputs = [o.name for o in session.get_outputs()]
        output = session.run(None, {INPUT: self.probes_})[0]
        if outputs != [OUTPUT] or output.shape != expected.shape or output.dtype != np.float32:
            raise ModelError(f"{self.name}: its ONNX graph returns {outputs}, shape {output.shape}, {output.dtype}")
        off = float(np.abs(output - expected).max())
        if not off <= TOLERANCE:
            raise ModelError(
                f"{self.name}: probabilities of its ONNX graph differ by {off:.1e} from the model's, more than "
                f"{TOLERANCE:g} (this happens if many rows are equally far apart): leave it out of --models"
            )
        return graph

    def save(self, folder: Path) -> None:  # noqa: B027 - most models have no other format
        """Write the model in its own format, if it has one besides ONNX."""

    @abstractmethod
    def _proba(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """Probabilities (n, genres) of windows `x` (n, *view.shape)."""

    @abstractmethod
    def _graph(self) -> bytes:
        """The model as a serialised ONNX graph, not yet checked."""

    def _keep_probes(self, x: NDArray[Any]) -> None:
        """Keep a few windows of `x` (n, *view.shape), spread evenly, for checking the graph."""
        chosen = np.unique(np.linspace(0, len(x) - 1, N_PROBES).astype(int))
        self.probes_: NDArray[np.float32] = x[chosen].astype(np.float32)

    def _check_genres(self, y: NDArray[np.int64]) -> None:
        """Raise ModelError unless every genre has a row in `y` (n,)."""
        absent = [g for i, g in enumerate(self.genres) if not (y == i).any()]
        if absent or len(self.genres) < 2:
            what = f"no training track of {', '.join(absent)}" if absent else "only one genre"
            raise ModelError(f"{self.name}: {what}: choose another --split or prepare more tracks")
