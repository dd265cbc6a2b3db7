"""The portable model: a folder with a network, everything needed to use it, and a card.

    BUNDLE/
    ├── model.onnx    the network; its output `probabilities` has a row per window and a column per genre
    ├── README.md     the card
    └── bundle.json   genres, view with all its numbers, temperature, scores, sha256 of the others (`manifest.py`)

Loading a bundle runs no code from it: it is JSON and a graph of onnxruntime's own operators. It is refused, with the
reason, if it is incomplete or changed, names other files, or could use unlimited memory and time (`onnx_guard/`).
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
"""Windows that go through the network together: limits the memory of convolutional networks."""

THREADS = 0
"""Threads of one session; 0: onnxruntime decides, one for each core."""


@dataclass(frozen=True)
class Bundle:
    """A loaded model; may be used by several threads at once.

    Attributes:
        path: the folder that it was read from.
        name: of the model, such as `svm`.
        genres: sorted; the columns of `probabilities`.
        view, clips: what it reads of a clip, with all settings, and which stretches of a track.
        temperature: divides the logarithms of its probabilities; 1 leaves them unchanged.
        calibration: its results on calibration tracks; None without any.
        metrics, dataset, split, licence, versions, created_by: its scores and its origin.
        own_names: are the genres names of its owner, to be written unchanged?
        gate: is audio that does not sound like music `unknown`? Only for models on `embedding`.
        fingerprint: sha256 of bundle.json, which contains the sha256 of the other files.
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
        """Does it classify audio, not columns of a table?"""
        return not isinstance(self.view, TableView)

    @property
    def reads_embedding(self) -> bool:
        """Does it read the outputs of the music networks? Then predictions have tags and a music score."""
        return isinstance(self.view, EmbeddingView)

    def probabilities(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """Probability of each genre for windows of the view.

        Args:
            x: shape (windows, *view.shape).

        Returns:
            Shape (windows, genres); every row sums to 1.

        Raises:
            BundleError: `x` has another shape, or the network does not return probabilities.
        """
        if x.shape[1:] != self.view.shape:
            raise BundleError(f"{self._label} reads windows of shape {self.view.shape}. Received: {x.shape[1:]}")
        rows = [self.answers(x[i : i + BATCH_SIZE]) for i in range(0, len(x), BATCH_SIZE)]
        p = np.concatenate(rows) if rows else np.empty((0, len(self.genres)))
        if not (np.isfinite(p).all() and (p >= -1e-6).all() and np.allclose(p.sum(axis=1), 1, atol=1e-3)):
            raise BundleError(f"{self._label} returns values that are not probabilities: use another one")
        return apply_temperature(p, self.temperature)

    def answers(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """Raw output of the network for a few windows, shape (windows, genres), before it is checked."""
        inputs = {self.session.get_inputs()[0].name: np.ascontiguousarray(x, np.float32)}
        try:
            p = np.asarray(self.session.run([OUTPUT], inputs)[0], np.float64)
        except Exception as e:  # onnxruntime's errors have no base of their own
            raise BundleError(f"{self._label} cannot be run: use another one") from e
        if p.shape != (len(x), len(self.genres)):
            expected = (len(x), len(self.genres))
            raise BundleError(f"{self._label} returns an array of shape {p.shape}, not {expected}: use another one")
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

    Between two renames the earlier one is called `.NAME.old-…`; after a kill in between, the next write restores it.

    Args:
        folder: the bundle.
        onnx: network with one float32 input, shape (windows, *view.shape), and an output `probabilities`.
        genres: sorted, in the order of the output's columns.
        readme: the card, in Markdown.
        name, view, clips, metrics, dataset, split, licence, temperature, calibration, own_names, gate: see `Bundle`.

    Raises:
        BundleError: `folder` exists and is not a bundle, or contains other files.
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
    """Replace the card of a bundle; the model stays the same, byte for byte. Atomic, like `write_bundle`.

    bundle.json contains the sha256 of the card, so the fingerprint changes: cached results of the model
    (`predict/cache.py`) no longer apply, and the next `predict` or `tag` processes every file again.

    Args:
        folder: the bundle.
        text: the card, in Markdown.

    Raises:
        BundleError: the bundle is missing, changed, of an unknown version, or contains other files.
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
    """Restore a bundle that a kill left under another name, and refuse to replace anything but a bundle."""
    for left in sorted(folder.parent.glob(f".{glob.escape(folder.name)}.old-*")):
        if not folder.exists() and is_only_a_bundle(left):
            left.rename(folder)
    if folder.exists() and not is_only_a_bundle(folder):
        why = "exists and is not a bundle, or contains other files: choose another folder"
        raise bundle_error(folder, why, colon="")


def load_bundle(path: str | Path) -> Bundle:
    """The bundle in a folder, complete and unchanged.

    Raises:
        BundleError: it is missing, changed, of an unknown version or unusable.
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
        raise bundle_error(where, f"unusable network: {one_line(e)}") from e
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, THREADS
    options.add_session_config_entry("session.load_model_format", "ONNX")
    # `measure` has checked the order in the file; any other order may need more memory.
    options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED
    # Threads that spin while waiting for the next song would slow down decoding.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"], enable_fallback=False)
    except Exception as e:  # onnxruntime's errors have no base of their own
        raise bundle_error(where, "unusable network, onnxruntime cannot load it: use another model") from e


def _check_graph_fits(graph: Graph, view: View, where: Path) -> None:
    """Refuse a network that does not read windows of the view in batches of any size, or has another output."""
    if [(end.dtype, end.shape) for end in graph.inputs] != [(FLOAT, (None, *view.shape))]:
        found = [("any", *end.shape[1:]) if end.shape and end.shape[0] is None else end.shape for end in graph.inputs]
        needed = f"the view {view.name} needs float32 {('any', *view.shape)}"
        raise bundle_error(where, f"its input is {found}, but {needed}")
    if [end.name for end in graph.outputs] != [OUTPUT.encode()]:
        raise bundle_error(where, f"must have one output, {OUTPUT!r}. Received: {len(graph.outputs)}", colon="")
