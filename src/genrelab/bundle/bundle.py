"""The portable model: a folder with a network, everything that is needed to use it, and a card.

    BUNDLE/
    ├── model.onnx    the network; its output `probabilities` has one row a window, one column a genre
    ├── README.md     the card
    └── bundle.json   genres, view with all its numbers, temperature, scores, sha256 of the others (`manifest.py`)

Loading one runs no code of it: it is JSON and a graph of onnxruntime's own operators. It is refused, with the reason,
where it is incomplete, changed, refers to other files, or could take unlimited memory and time (`onnx_guard/`).
"""

from __future__ import annotations

import dataclasses
import glob
import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrelab.bundle.manifest import (
    CARD_FILE,
    FORMAT_VERSION,
    MANIFEST_FILE,
    MODEL_FILE,
    bundle_error,
    is_only_a_bundle,
    manifest_bytes,
    one_line,
    read_manifest,
    read_verified,
    stored_calibration,
    stored_clips,
    stored_view,
    versions,
)
from genrelab.bundle.onnx_guard.limits import measure
from genrelab.bundle.onnx_guard.reader import FLOAT, Graph, read_graph
from genrelab.core.config import ClipSettings, EmbeddingView, TableView, View, view_to_json
from genrelab.core.errors import BundleError, printable
from genrelab.evaluation.calibration import Evidence, apply_temperature

OUTPUT = "probabilities"

BATCH_SIZE = 32
"""Windows that go through the network together: limits the memory of convolutional ones."""

THREADS = 0
"""Threads of one session; 0 leaves the number to onnxruntime: one for each core."""


@dataclass(frozen=True)
class Bundle:
    """A loaded model; may be used by several threads at once.

    Attributes:
        path: the folder that it was read from.
        name: of the model, such as `svm`.
        genres: sorted; the columns of `probabilities`.
        view, clips: what it reads of a clip, with all its numbers, and which stretches of a track.
        temperature: divides the logarithms of its probabilities; 1 leaves them unchanged.
        calibration: its results on tracks that it was not fitted on; None where there were none.
        metrics, dataset, split, licence, versions, created_by: where it comes from and how good it is.
        own_names: are the genres its owner's words, to be written as they are?
        gate: is what does not sound like music `unknown`? Only where it reads `embedding`.
        fingerprint: sha256 of bundle.json, which holds the sha256 of all else: equal for bundles with equal results.
    """

    path: Path
    name: str
    genres: tuple[str, ...]
    view: View
    clips: ClipSettings
    temperature: float
    calibration: Evidence | None = field(repr=False)
    metrics: Mapping[str, Any] = field(repr=False)
    dataset: str
    split: str
    licence: str | None
    versions: Mapping[str, str] = field(repr=False)
    created_by: str
    own_names: bool
    gate: bool
    fingerprint: str
    session: Any = field(repr=False, compare=False)  # onnxruntime.InferenceSession

    @property
    def reads_audio(self) -> bool:
        """Does it classify audio? Not if it reads columns of a table of features."""
        return not isinstance(self.view, TableView)

    @property
    def reads_embedding(self) -> bool:
        """Does it read what the music networks make of a window? Then predictions have tags and a music score."""
        return isinstance(self.view, EmbeddingView)

    def probabilities(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """Probability of each genre for windows of the view.

        Args:
            x: shape (windows, *view.shape).

        Returns:
            Shape (windows, genres); every row sums to 1.

        Raises:
            BundleError: `x` of another shape, or a network that does not return probabilities.
        """
        if x.shape[1:] != self.view.shape:
            raise BundleError(f"{self._label} reads windows of shape {self.view.shape}. Received: {x.shape[1:]}")
        rows = [self.answers(x[i : i + BATCH_SIZE]) for i in range(0, len(x), BATCH_SIZE)]
        p = np.concatenate(rows) if rows else np.empty((0, len(self.genres)))
        if not (np.isfinite(p).all() and (p >= -1e-6).all() and np.allclose(p.sum(axis=1), 1, atol=1e-3)):
            raise BundleError(f"{self._label} answers numbers that are no probabilities")
        return apply_temperature(p, self.temperature)

    def answers(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """Raw output of the network for a few windows, shape (windows, genres), before it is checked."""
        inputs = {self.session.get_inputs()[0].name: np.ascontiguousarray(x, np.float32)}
        try:
            p = np.asarray(self.session.run([OUTPUT], inputs)[0], np.float64)
        except Exception as e:  # onnxruntime's errors have no base of their own
            raise BundleError(f"{self._label} fails: {one_line(e)}") from e
        if p.shape != (len(x), len(self.genres)):
            raise BundleError(f"{self._label} answers {p.shape} to {len(x)} windows of {len(self.genres)} genres")
        return p

    @property
    def _label(self) -> str:
        return f"{printable(str(self.path / MODEL_FILE))}: the model"


def write_bundle(
    folder: Path,
    *,
    onnx: bytes,
    name: str,
    genres: tuple[str, ...],
    view: View,
    clips: ClipSettings,
    metrics: Mapping[str, Any],
    dataset: str,
    split: str,
    licence: str | None,
    temperature: float = 1.0,
    calibration: Evidence | None = None,
    own_names: bool = False,
    gate: bool = True,
    readme: str,
) -> None:
    """Write a bundle beside `folder` and rename it when it is complete; an existing one is replaced.

    Between two renames the earlier one is called `.NAME.old-…`; after a kill there, the next write restores it.

    Args:
        folder: the bundle.
        onnx: network with one float32 input, shape (windows, *view.shape), and an output `probabilities`.
        genres: sorted, in the order of the output's columns.
        readme: the card, in Markdown.
        name, view, clips, metrics, dataset, split, licence, temperature, calibration, own_names, gate: see `Bundle`.

    Raises:
        BundleError: `folder` is there and is no bundle, or holds other files.
    """
    recover_or_refuse(folder)
    contents = {MODEL_FILE: onnx, CARD_FILE: readme.encode()}
    about = {
        "format_version": FORMAT_VERSION,
        "name": name,
        "genres": list(genres),
        "view": view_to_json(view),
        "clips": dataclasses.asdict(clips),
        "pooling": "mean",
        "temperature": temperature,
        **({} if calibration is None else {"calibration": calibration.to_json()}),
        "metrics": dict(metrics),
        "dataset": dataset,
        "split": split,
        "licence": licence,
        **({"own_names": True} if own_names else {}),
        **({} if gate else {"gate": False}),
        "versions": versions(),
        "files": {file: hashlib.sha256(content).hexdigest() for file, content in contents.items()},
        "created_by": f"genrelab {version('genrelab')}",
    }
    _replace_folder(folder, contents, about)


def replace_card(folder: Path, text: str) -> None:
    """Give a bundle another card; the model stays as it is, byte for byte. Atomic, as `write_bundle`.

    bundle.json holds the card's sha256, so that the fingerprint changes: cached results of the model
    (`predict/cache.py`) are not found any more, and the next `predict` or `tag` processes every file once again.

    Args:
        folder: the bundle.
        text: the card, in Markdown.

    Raises:
        BundleError: the bundle is missing, changed, of an unknown version, or holds other files.
    """
    recover_or_refuse(folder)
    about, card = read_manifest(folder), text.encode()
    contents = read_verified(folder, about["files"])
    if contents[CARD_FILE] == card:
        return
    del about["fingerprint"]
    about["files"] = about["files"] | {CARD_FILE: hashlib.sha256(card).hexdigest()}
    _replace_folder(folder, contents | {CARD_FILE: card}, about)


def _replace_folder(folder: Path, contents: Mapping[str, bytes], about: Mapping[str, Any]) -> None:
    """Write the bundle's files with its bundle.json, all or nothing."""
    manifest = manifest_bytes(about)
    unfinished, replaced = (folder.with_name(f".{folder.name}.{what}-{os.getpid()}") for what in ("new", "old"))
    for leftover in (unfinished, replaced):
        shutil.rmtree(leftover, ignore_errors=True)
    unfinished.mkdir(parents=True)
    for file, content in {**contents, MANIFEST_FILE: manifest}.items():
        (unfinished / file).write_bytes(content)
    if folder.exists():
        folder.rename(replaced)
    unfinished.rename(folder)
    shutil.rmtree(replaced, ignore_errors=True)


def recover_or_refuse(folder: Path) -> None:
    """Restore what a kill left under another name, and refuse to replace anything but a bundle."""
    for left in sorted(folder.parent.glob(f".{glob.escape(folder.name)}.old-*")):
        if not folder.exists() and is_only_a_bundle(left):
            left.rename(folder)
    if folder.exists() and not is_only_a_bundle(folder):
        raise bundle_error(
            folder, "is there, and is not a bundle or not only that: choose another folder, or remove it"
        )


def load_bundle(path: str | Path) -> Bundle:
    """The bundle in a folder, complete and unchanged.

    Raises:
        BundleError: it is missing, changed, of an unknown version, or not usable; the message says which.
    """
    folder = Path(path)
    about = read_manifest(folder)
    contents, view = read_verified(folder, about["files"]), stored_view(about["view"], folder / MANIFEST_FILE)
    as_stored = ("name", "metrics", "dataset", "split", "licence", "versions", "created_by", "fingerprint")
    bundle = Bundle(
        **{key: about[key] for key in as_stored},
        path=folder,
        genres=tuple(about["genres"]),
        view=view,
        clips=stored_clips(about["clips"], folder / MANIFEST_FILE),
        temperature=float(about["temperature"]),
        calibration=stored_calibration(about, folder / MANIFEST_FILE),
        own_names=about.get("own_names", False),
        gate=about.get("gate", True),
        session=_make_session(contents[MODEL_FILE], view, folder / MODEL_FILE),
    )
    bundle.answers(np.zeros((2, *bundle.view.shape), np.float32))
    return bundle


def _make_session(onnx: bytes, view: View, where: Path) -> Any:
    try:
        graph = read_graph(onnx)
        _check_graph_fits(graph, view, where)
        measure(graph, BATCH_SIZE)
    except ValueError as e:
        raise bundle_error(where, f"not a usable network: {one_line(e)}") from e
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, THREADS
    options.add_session_config_entry("session.load_model_format", "ONNX")
    # `measure` has checked the order of the file; any other may keep more in memory at a time.
    options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED
    # Threads that spin while they wait for the next song take a core from decoding it.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"], enable_fallback=False)
    except Exception as e:  # onnxruntime's errors have no base of their own
        raise bundle_error(where, f"not a usable network: {one_line(e)}") from e


def _check_graph_fits(graph: Graph, view: View, where: Path) -> None:
    """The network must read windows of the view, in batches of any size, and return the genres' probabilities."""
    inputs = [end for end in graph.inputs if end.name not in graph.constants]
    if [(end.dtype, end.shape) for end in inputs] != [(FLOAT, (None, *view.shape))]:
        found = [("any", *end.shape[1:]) if end.shape and end.shape[0] is None else end.shape for end in inputs]
        raise bundle_error(where, f"reads {found}, the view {view.name} gives float32 {('any', *view.shape)}")
    if [end.name for end in graph.outputs] != [OUTPUT.encode()]:
        raise bundle_error(where, f"must have one output, {OUTPUT!r}, and has {len(graph.outputs)}")
