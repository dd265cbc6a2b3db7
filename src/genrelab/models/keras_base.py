"""Base class of the Keras models: training of networks, probabilities, and conversion to ONNX."""

from __future__ import annotations

import importlib.util
import math
import time
from dataclasses import asdict, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import softmax

from genrelab.core.config import TrainSettings
from genrelab.core.tensorflow import NO_TENSORFLOW, load_tensorflow, pick_strategy, seed_everything
from genrelab.core.text import format_duration, pluralize
from genrelab.evaluation.percent import format_percent
from genrelab.models.base import N_PROBES, Model
from genrelab.models.keras_training import (
    History,
    NetworkData,
    batch_size_of,
    fit_network,
    full_batches,
    network_data,
    network_data_from_arrays,
)
from genrelab.models.onnx_export import network_to_onnx

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genrelab.core.progress import Progress
    from genrelab.records.examples import Examples


LINE_INTERVAL_S = 60.0
"""Seconds between two lines about the progress of a training, for logs."""


class KerasModel(Model):
    """A model whose `fit` makes `network_`: a Keras network from windows (batch, *shape) to logits."""

    needs_validation = True
    network_: Any
    _has_printed_cost = False  # of an earlier part of this training

    @classmethod
    def missing_requirement(cls, settings: TrainSettings) -> str | None:
        """See Model."""
        return None if importlib.util.find_spec("tensorflow") else f"{cls.name} {NO_TENSORFLOW}"

    @cached_property
    def strategy(self) -> Any:
        """Distribution strategy in which the network is built and trained."""
        return pick_strategy(self.settings.strategy, data_is_local=self.data_is_local)

    def save(self, folder: Path) -> None:
        """Write `model.keras`: layers and weights, without what only training needs."""
        _, keras = load_tensorflow()
        keras.Model(self.network_.inputs, self.network_.outputs, name=self.name).save(folder / "model.keras")

    def predict_proba(self, examples: Examples) -> NDArray[np.float64]:
        """See Model; windows are read and processed batch by batch."""
        return self._softmax(self.network_, network_data(examples, batch_size=self.settings.batch_size))

    def _start_fit(self, examples: Examples) -> None:
        """First step of every `fit`; sets the seeds for the network that is built next."""
        self._check_genres(examples.y[examples.role == "fit"])
        load_tensorflow()
        seed_everything(self.settings.seed)
        x, _ = next(examples.batches("fit", batch_size=N_PROBES).as_numpy_iterator())
        self._keep_probes(x)
        self._has_printed_cost = False
        fit = examples.role == "fit"
        tracks, windows = len(np.unique(examples.track[fit])), int(fit.sum())
        self._n_training = pluralize(tracks, "training track")
        self._n_training += f" ({windows:,} windows)" if windows > tracks else ""

    def _parts(self, examples: Examples) -> tuple[NetworkData, NetworkData]:
        """Training rows, and validation rows, if any."""
        size = self.settings.batch_size
        fit = network_data(examples, "fit", batch_size=size, in_order=False)  # `fit_network` shuffles it
        return fit, network_data(examples, "choose", batch_size=size)

    def _train(self, network: Any, fit: NetworkData, choose: NetworkData, folder: Path, **more: Any) -> History:
        """Run `fit_network` with the model's settings; adds a note if there are no validation rows."""
        if self.prints_summary and self.notify is not None and not more.get("earlier"):
            self.network_.summary(print_fn=self.notify)
        history = fit_network(
            network,
            fit,
            choose if len(choose.y) else None,
            settings=self.settings,
            folder=folder,
            resume=self.resume,
            progress=self._report_progress(),
            timed=None if self.notify is None else partial(self._print_cost, network),
            **more,
        )
        note = f"no validation tracks: the last epoch is used ({pluralize(history.epochs, 'epoch')} in all)"
        if history.learned is None and note not in self.notes:
            self.notes.append(note)
        return history

    def _print_cost(self, network: Any, epoch_s: float, epochs: int) -> None:
        """Print what `epochs` of `network` cost before they begin, at `epoch_s` seconds an epoch."""
        assert self.notify is not None
        n, whole = (sum(math.prod(w.shape) for w in of) for of in (network.trainable_weights, self.network_.weights))
        weights = f"{n:,} weights" if n == whole else f"{n:,} of {whole:,} weights"
        verb = "then trains" if self._has_printed_cost else "trains"
        n_epochs = pluralize(epochs, "epoch" if epochs == self.settings.epochs else "remaining epoch")
        stops = "; it stops earlier if the validation tracks show no further gain" if self.settings.stops_early else ""
        self.notify(
            f"{self.name}: {verb} {weights} on {self._n_training}: about {format_duration(epoch_s)} per epoch, "
            f"{'at most ' if stops else ''}{format_duration(epochs * epoch_s)} for {n_epochs}{stops}"
        )
        self._has_printed_cost = True

    def _print_outputs_cost(self, network: Any, windows: NetworkData, *, what: str) -> None:
        """Print what the outputs of `network`, which is `what`, will cost: estimated from one batch and from two."""
        assert self.notify is not None
        size = self.settings.batch_size

        def seconds_of(batches: int) -> float:
            start = time.perf_counter()
            few = replace(windows, data=windows.data.take(batches), y=windows.y[: batches * size])
            self._outputs(network, few)
            return time.perf_counter() - start

        seconds_of(1)  # builds the graph
        first, both = seconds_of(1), seconds_of(2)
        whole = format_duration(first + max(0.0, both - first) * (math.ceil(len(windows.y) / size) - 1))
        n = pluralize(len(windows.y), "window")
        self.notify(f"{self.name}: computes the outputs of {what} for {n}, once: about {whole}")
        self._has_printed_cost = True

    def _report_progress(self) -> Progress:
        """A function that passes epochs on to `progress`, and now and then to `notify` with the time that is left."""
        first, start, printed = 0, 0.0, 0.0

        def report(done: int, total: int) -> None:
            nonlocal first, start, printed
            if self.progress is not None:
                self.progress(done, total)
            now = time.monotonic()
            if not first:  # the first epoch also builds TensorFlow's graphs
                first, start, printed = done, now, now
            elif self.notify is not None and now - printed >= LINE_INTERVAL_S:
                printed, epoch_s = now, (now - start) / (done - first)
                left = f"at most {format_duration((total - done) * epoch_s)} left"
                self.notify(f"  {self.name}: epoch {done} of {total}, {format_duration(epoch_s)} per epoch, {left}")

        return report

    def _finish_fit(self, history: History, epochs: int) -> None:
        """Set curve and notes of a training of `epochs` epochs in all."""
        whole = asdict(history) | {"epochs": epochs}
        del whole["guess_loss"]
        self.curve = {name: value for name, value in whole.items() if value is None or not math.isnan(value)}
        if history.guess_loss is not None:
            self.notes.append(
                f"stopped after {pluralize(epochs, 'epoch')}: its loss, {history.val_loss:.2f} on the validation "
                f"tracks, is still that of guessing, {history.guess_loss:.2f}"
            )
        if history.learned is False:
            which = "last" if self.settings.uses_last_epoch and history.best_epoch == epochs else "best"
            self.notes.append(
                f"did not learn: on the validation tracks its {which} epoch ({history.best_epoch} of {epochs}, "
                f"accuracy {format_percent(history.val_accuracy)}) is no better than predictions that ignore the audio"
            )

    def _outputs(self, network: Any, part: NetworkData) -> NDArray[np.float32]:
        """Outputs (n, outputs) for a part's rows, of a network built in this model's strategy."""
        size = batch_size_of(network, self.settings, len(part.y))
        data = full_batches(part, part.data.unbatch(), size).map(lambda x, y, weight: x)
        return np.asarray(network.predict(data, verbose=0)[: len(part.y)], np.float32)

    def _softmax(self, network: Any, part: NetworkData) -> NDArray[np.float64]:
        """Probabilities (n, genres) of a part's rows."""
        logits = self._outputs(network, part).astype(np.float64)
        return np.asarray(softmax(logits, axis=1), np.float64)

    def _proba(self, x: NDArray[Any]) -> NDArray[np.float64]:
        return self._softmax(self.network_, network_data_from_arrays(x, batch_size=self.settings.batch_size))

    def _graph(self) -> bytes:
        return network_to_onnx(self.network_, n_genres=len(self.genres))
