"""Interface of a model: it learns from examples, returns probabilities, and converts itself into one ONNX graph."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from genrelab.core.config import DescriptorsView, StatisticsView, TrainSettings, View
from genrelab.core.errors import ModelError
from genrelab.core.progress import Progress
from genrelab.features.statistics import DESCRIPTORS, ENCODING_DEPENDENT, STATISTICS
from genrelab.models.onnx_export import INPUT, OUTPUT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genrelab.records.examples import Examples

TOLERANCE = 1e-4
"""A graph whose probabilities differ more from the model's own is not written."""

N_PROBES = 32
"""Windows of the training part that a graph is checked on."""


def storage_independent_columns(view: View) -> NDArray[np.int64] | None:
    """Columns that a model of flat features should use, shape (columns,); None for all.

    Of `statistics` and `descriptors` these are all but the ones that depend on how a file was stored rather than how it
    sounds, so that a clip stored at 44.1 kHz gets the same result as at 22.05 kHz. FMA's own statistics keep all: they
    are there for comparison.
    """
    match view:
        case StatisticsView(fma_exact=False):
            names = STATISTICS
        case DescriptorsView():
            names = DESCRIPTORS
        case _:
            return None
    return np.array([i for i, name in enumerate(names) if name not in ENCODING_DEPENDENT], np.int64)


class Model(ABC):
    """A classifier of windows.

    The constructor only stores. Attributes that end in `_` are set by `fit`.

    Attributes:
        name: its name in `--models`.
        views: the views that it can read, the default first.
        needs_validation: does it choose anything (epochs) on rows of the role `choose`?
        notes: what a reader of its scores must know, one sentence each, collected while fitting.
        curve: of models that learn in epochs: `best_epoch`, `epochs`, `learned` and the figures behind them.
        resume: continue from what an interrupted `fit` left in its folder.
        data_is_local: do the examples lie on this machine's disk?
        progress: called with (epochs done, epochs at most).
    """

    name: ClassVar[str]
    views: ClassVar[tuple[str, ...]]
    needs_validation: ClassVar[bool] = False

    def __init__(self, settings: TrainSettings, genres: tuple[str, ...]) -> None:
        self.settings = settings
        self.genres = genres
        self.notes: list[str] = []
        self.curve: dict[str, Any] | None = None
        self.resume = False
        self.data_is_local = True
        self.progress: Progress | None = None

    @classmethod
    def missing_requirement(cls, settings: TrainSettings) -> str | None:
        """Why it cannot be trained on this machine, with the remedies; None where nothing is known to be missing.

        Cheap: nothing heavy is imported and no network is used.
        """
        return None

    @classmethod
    def too_many_columns(cls, settings: TrainSettings, n: int) -> str | None:
        """Why it does not take windows of `n` values with these settings; None where it does."""
        return None

    @property
    def display(self) -> str:
        """Name for tables, with the settings that distinguish it from the usual model of its name."""
        return self.name

    @abstractmethod
    def fit(self, examples: Examples, folder: Path) -> Self:
        """Learn from the rows of the role `fit`, and choose on those of `choose`.

        Args:
            examples: windows of one of `views`.
            folder: this model's own local folder, for `history.csv`, `tensorboard/` and `checkpoint/`.

        Raises:
            ModelError: it cannot learn from these examples.
            MissingRequirementError: something that it needs is not on this machine.
        """

    def predict_proba(self, examples: Examples) -> NDArray[np.float64]:
        """Probabilities of all rows, in order, shape (n, genres)."""
        return self._proba(examples.rows().x)

    def onnx(self) -> bytes:
        """The whole model as an ONNX graph: float32 (batch, *view.shape) to `probabilities` (batch, genres).

        Raises:
            ModelError: the graph's probabilities differ from the model's.
        """
        graph = self._graph()
        _check_graph(self.name, graph, self.probes_, self._proba(self.probes_))
        return graph

    def save(self, folder: Path) -> None:  # noqa: B027 - most models are their ONNX graph and nothing more
        """Write the model in its own format, where it has a useful one besides ONNX."""

    @abstractmethod
    def _proba(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """Probabilities (n, genres) of windows `x` (n, *view.shape)."""

    @abstractmethod
    def _graph(self) -> bytes:
        """The model as a serialised ONNX graph, not yet checked."""

    def _keep_probes(self, x: NDArray[Any]) -> None:
        """Keep a few windows `x` (n, *view.shape), spread evenly, to check the graph on."""
        chosen = np.unique(np.linspace(0, len(x) - 1, N_PROBES).astype(int))
        self.probes_: NDArray[np.float32] = x[chosen].astype(np.float32)

    def _check_genres(self, y: NDArray[np.int64]) -> None:
        """Raise ModelError unless every genre has a row in `y` (n,)."""
        absent = [g for i, g in enumerate(self.genres) if not (y == i).any()]
        if absent or len(self.genres) < 2:
            what = f"no row to learn {', '.join(absent)} from" if absent else "fewer than two genres"
            raise ModelError(f"{self.name}: {what}: choose another --split or prepare more tracks")


def _check_graph(name: str, graph: bytes, x: NDArray[np.float32], expected: NDArray[np.float64]) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    outputs = [o.name for o in session.get_outputs()]
    output = session.run(None, {INPUT: x})[0]
    if outputs != [OUTPUT] or output.shape != expected.shape or output.dtype != np.float32:
        raise ModelError(f"{name}: its ONNX graph gives {outputs} of shape {output.shape} {output.dtype}")
    off = float(np.abs(output - expected).max())
    if not off <= TOLERANCE:
        raise ModelError(
            f"{name}: its ONNX graph is off by {off:.1e} from the model (at most {TOLERANCE:.0e}), as may be where "
            "many rows are equally far apart: leave it out of --models"
        )
