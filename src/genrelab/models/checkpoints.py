"""History and checkpoints of a training, so that a killed one resumes where it stopped; and when one stops."""

from __future__ import annotations

import csv
import math
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genrelab.core.config import TrainSettings
from genrelab.core.storage import Folder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    HistoryRow = dict[str, float]
    Arrays = list[NDArray[Any]]

SAVE_INTERVAL_FACTOR = 10
"""A state is saved once this many times the duration of the last save have passed: saving takes a tenth of the time.

raw_cnn's state is 192 MB: saving it takes longer than an epoch of a small collection.
"""

GUESS_EPOCHS, GUESS_STEPS = 10, 100
"""Epochs and steps that a network has before it is stopped because it is still guessing."""

GUESS_MARGIN = 0.005
"""It is guessing while its loss is not at least this share below that of a constant prediction: networks that learned
from real and synthesised tracks were 1 % below it after 5 epochs, on their training tracks at least."""

COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy")


class Checkpoints:
    """`history.csv`, `tensorboard/` and `checkpoint/` of one stage of a training.

    Early stopping has no stored state; it is computed from the rows.

    Args:
        folder: local folder of the model; all stages share it.
        stage: names the checkpoints.
        key: identifies the training; a checkpoint with another key is ignored.
        earlier: epochs of the stages before.
    """

    def __init__(self, folder: Path, *, stage: str, key: str, earlier: int = 0) -> None:
        self.folder, self.stage, self.key, self.earlier = folder, stage, key, earlier
        self.rows: list[HistoryRow] = []
        self._before: list[HistoryRow] = []
        self._writers: dict[str, Any] = {}
        self._unsaved_state: Arrays | None = None
        self._best: Arrays | None = None
        self._saved_at, self._saving_s = 0.0, 0.0

    @property
    def _checkpoint(self) -> Path:
        return self.folder / "checkpoint" / f"{self.stage}.npz"

    def start(self, *, resume: bool) -> Arrays | None:
        """Start, or resume an interrupted run.

        Returns:
            Values of all variables after the last complete epoch; None if there is nothing to resume.
        """
        history = read_history(self.folder) if resume or self.earlier else []
        self._before = history[: self.earlier]
        state = self._read_state() if resume else None
        if state is not None and len(history) >= self.earlier + int(state["done"]):
            self.rows = history[self.earlier : self.earlier + int(state["done"])]
            return [state[f"v{i}"] for i in range(int(state["variables"]))]
        for leftover in (self.folder / "checkpoint").glob(f"{self.stage}*.npz"):
            leftover.unlink()
        if not self.earlier:
            shutil.rmtree(self.folder / "tensorboard", ignore_errors=True)
        self._write_history()
        return None

    def add(self, row: HistoryRow, variables: Arrays, weights: Arrays) -> None:
        """Record a finished epoch.

        Args:
            row: its figures by the names in `COLUMNS`, without `epoch`; the `val_` ones are NaN without validation
                rows.
            variables: values of all variables that the next epoch starts from.
            weights: values of the network alone, kept if the epoch is the best so far.
        """
        self.rows.append({"epoch": self.earlier + len(self.rows) + 1, **row})
        if self.best == len(self.rows) - 1:
            self._best = weights
        self._unsaved_state = variables
        self._write_history()
        self._write_scalars(self.rows[-1])
        if time.monotonic() - self._saved_at >= SAVE_INTERVAL_FACTOR * self._saving_s:
            self._save_state()

    def _save_state(self) -> None:
        """Save the state of the training and the best weights; a kill in between leaves the earlier pair."""
        if self._unsaved_state is None:
            return
        started = time.monotonic()
        if self._best is not None and self.best is not None:
            _save_arrays(self._best_file(self.best), {f"w{i}": w for i, w in enumerate(self._best)})
        state = {f"v{i}": v for i, v in enumerate(self._unsaved_state)}
        counts = {"done": np.array(len(self.rows)), "variables": np.array(len(self._unsaved_state))}
        _save_arrays(self._checkpoint, {**state, **counts, "key": np.array(self.key)})
        for file in self._checkpoint.parent.glob(f"{self.stage}-best-*.npz"):
            if self.best is None or file != self._best_file(self.best):
                file.unlink()
        self._unsaved_state = self._best = None
        self._saved_at = time.monotonic()
        self._saving_s = self._saved_at - started

    @property
    def best(self) -> int | None:
        """Index of the row with the lowest validation loss; None without validation."""
        losses = [r["val_loss"] if math.isfinite(r["val_loss"]) else math.inf for r in self.rows]
        return int(np.argmin(losses)) if losses and min(losses) < math.inf else None

    def should_stop(self, patience: float) -> bool:
        """Has the validation loss not improved for `patience` epochs, or is the loss no longer a finite number?"""
        if not self.rows:
            return False
        waited = len(self.rows) - 1 - self.best if self.best is not None else 0
        return waited >= patience or not math.isfinite(self.rows[-1]["loss"])

    def best_weights(self) -> Arrays:
        """Weights of the best epoch."""
        assert self.best is not None, "no epoch was scored"
        self._save_state()
        with np.load(self._best_file(self.best)) as file:
            return [file[f"w{i}"] for i in range(len(file.files))]

    def close(self) -> None:
        """Save the latest state, and finish the TensorBoard files."""
        self._save_state()
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _best_file(self, index: int) -> Path:
        return self._checkpoint.with_name(f"{self.stage}-best-{index + 1:04d}.npz")

    def _read_state(self) -> dict[str, NDArray[Any]] | None:
        if not self._checkpoint.exists():
            return None
        with np.load(self._checkpoint) as file:
            return dict(file) if str(file["key"]) == self.key else None

    def _write_history(self) -> None:
        with Folder(self.folder).replacing("history.csv") as temporary, Path(temporary).open("w", newline="") as f:
            writer = csv.writer(f, lineterminator="\n")
            writer.writerow(COLUMNS)
            for row in (*self._before, *self.rows):
                writer.writerow([int(row["epoch"]), *(_format_cell(row[c]) for c in COLUMNS[1:])])

    def _write_scalars(self, row: HistoryRow) -> None:
        import tensorflow as tf

        # Written without `tf.summary.scalar`, which needs TensorBoard to be installed.
        scalar = tf.compat.v1.SummaryMetadata(data_class=1, plugin_data={"plugin_name": "scalars"})
        for column in COLUMNS[1:]:
            if math.isnan(row[column]):
                continue
            part, name = "validation" if column.startswith("val_") else "train", column.removeprefix("val_")
            if part not in self._writers:
                self._writers[part] = tf.summary.create_file_writer(str(self.folder / "tensorboard" / part))
            with self._writers[part].as_default():
                value = tf.constant(row[column], tf.float32)
                tf.summary.write(f"epoch_{name}", value, step=int(row["epoch"]), metadata=scalar)
        for writer in self._writers.values():
            writer.flush()


@dataclass(frozen=True)
class StopRule:
    """When a training ends before its last epoch.

    Attributes:
        guess: losses of constant predictions on the training and validation rows; None: they stop nothing.
        steps: of an epoch.
    """

    settings: TrainSettings
    guess: tuple[float, float] | None
    steps: int

    def __call__(self, checkpoints: Checkpoints) -> bool:
        """Does it end after these epochs?"""
        patience = self.settings.patience if self.settings.stops_early else math.inf
        return checkpoints.should_stop(patience) or self.is_stuck(checkpoints.rows)

    def is_stuck(self, rows: list[HistoryRow]) -> bool:
        """Is the network still guessing after as many epochs and steps as it needs to show more?"""
        least = max(GUESS_EPOCHS, math.ceil(GUESS_STEPS / self.steps))
        if self.guess is None or not self.settings.stops_early or len(rows) < least:
            return False
        lowest = (min(r[name] for r in rows) for name in ("loss", "val_loss"))
        return all(loss > (1 - GUESS_MARGIN) * g for loss, g in zip(lowest, self.guess, strict=True))


def guess_losses(fit: NDArray[np.int64], choose: NDArray[np.int64], *, balanced: bool) -> tuple[float, float]:
    """Cross-entropy of predictions that ignore the audio, on the training and the validation rows.

    These are the shares of the genres in the training rows, or equal shares where the genres are weighted.
    """
    n = np.bincount(fit, minlength=int(choose.max()) + 1)
    shares = np.full(len(n), 1 / len(n)) if balanced else np.maximum(n, 1e-9) / n.sum()
    losses = -np.log(shares)
    return float(losses[fit].mean()), float(losses[choose].mean())


def drop_state(folder: Path) -> None:
    """Remove the state of a complete model, which only a resume needs (three times the size of the network)."""
    for file in (folder / "checkpoint").glob("*.npz"):
        if "-best-" not in file.name:
            file.unlink()


def read_history(folder: Path) -> list[HistoryRow]:
    """Rows of `history.csv`, NaN for an empty cell; none without the file."""
    file = folder / "history.csv"
    if not file.exists():
        return []
    with file.open(newline="") as f:
        return [{k: float(v) if v else math.nan for k, v in row.items()} for row in csv.DictReader(f)]


def _format_cell(value: float) -> str:
    return "" if math.isnan(value) else repr(float(value))


def _save_arrays(file: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Write atomically: a kill leaves the old file."""
    with Folder(file.parent).replacing(file.name) as temporary, Path(temporary).open("wb") as f:
        np.savez(f, **arrays)  # type: ignore[arg-type]  # its second parameter is a flag, of another type
