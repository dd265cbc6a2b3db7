"""Prepare, train and report, from the options of the command line."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from genrelab.cli.console import notify, progress_bar
from genrelab.cli.options import SourceOptions, split_list
from genrelab.cli.run_options import PrepareOptions, RunOptions, TrainOptions
from genrelab.core.config import (
    DEFAULT_VIEWS,
    VIEWS,
    ClipSettings,
    PrepareSettings,
    StatisticsView,
    TableView,
    TrainSettings,
    View,
)
from genrelab.core.errors import SettingsError, printable
from genrelab.core.storage import Folder
from genrelab.core.text import pluralize
from genrelab.datasets.base import Dataset, UnusedFile
from genrelab.datasets.exclusions import EXCLUDED_PREFIX, exclude
from genrelab.datasets.exclusions import read as read_exclusions
from genrelab.datasets.registry import load_dataset
from genrelab.features.view_settings import with_view_options
from genrelab.prepare import pipeline as program
from genrelab.records.prepared import Prepared, open_prepared
from genrelab.runs import run_folder

if TYPE_CHECKING:
    from genrelab.bench.bench import Bench
    from genrelab.report.report import Leaderboard

Params = Mapping[str, Mapping[str, Any]]
"""Hyper-parameters by model."""


MAX_NAMED = 5
"""Maximum number of unusable tracks that are printed; failures.csv has all."""

LARGE_WINDOW_BYTES = 1_000_000
"""A view with larger windows gets a sentence on the disk space that it takes."""


def load_source(source: SourceOptions) -> Dataset:
    """Load the tracks of a source, without those that it excludes."""
    dataset = load_dataset(source.root, name=source.dataset, options=source.dataset_options())
    return dataset if source.exclude is None else exclude(dataset, read_exclusions(source.exclude))


def prepare(
    source: SourceOptions, preparing: PrepareOptions, out: str, training: TrainSettings | None = None
) -> tuple[Prepared, int]:
    """Find the tracks and prepare them, with messages on what was found.

    Args:
        training: settings of the training that follows; invalid ones are refused before anything is decoded.

    Returns:
        PREPARED, and the number of tracks and audio files that are not used and were not excluded.
    """
    settings = _prepare_settings(preparing, preparing.views)
    dataset = load_source(source)
    if preparing.view_option and dataset.features is not None:
        what = f"{printable(str(source.root))} is a table of features, which has no view to change"
        raise SettingsError(f"--view-option {printable(preparing.view_option[0])}: {what}: leave the option out")
    if training is not None:
        from genrelab.runs.train import check_settings

        held = settings.views if dataset.features is None else (TableView(columns=dataset.features.columns),)
        check_settings(training, {v.name: v for v in held})
    _print_dataset(dataset)
    for line in large_window_lines(settings.views, len(dataset.tracks)):
        notify(line)
    with progress_bar("Preparing") as progress:
        prepared = program.prepare(dataset, out, settings, jobs=preparing.jobs, notify=notify, progress=progress)
    for line in outcome_lines(prepared, dataset.unused):
        notify(line)
    unusable, excluded = _unusable_tracks(prepared)
    return prepared, len(unusable) - len(excluded) + sum(u.is_audio for u in dataset.unused)


def _print_dataset(dataset: Dataset) -> None:
    notify(f"{printable(dataset.root.name)}: {dataset.summary}")
    for note in dataset.notes:
        notify(f"  {note}")


def large_window_lines(views: Sequence[View], n_tracks: int) -> Iterator[str]:
    """A sentence on the disk space of each view whose windows are large; no view is with its default settings."""
    for view in views:
        n_bytes = math.prod(view.shape) * np.dtype(view.dtype).itemsize
        if n_bytes > LARGE_WINDOW_BYTES:
            from genrelab.bench.summary import format_bytes  # late: hardly any preparation needs it

            total = format_bytes(n_bytes * n_tracks)
            yield (
                f"{view.name}: one window takes {format_bytes(n_bytes)}; {pluralize(n_tracks, 'track')} with a window "
                f"each take {total}, and twice that while they are prepared"
            )


def outcome_lines(prepared: Prepared, unused: Sequence[UnusedFile] = ()) -> list[str]:
    """The outcome of preparing: counts, where all unused files are listed, and the first unusable tracks by name."""
    t, (unusable, excluded) = prepared.tracks, _unusable_tracks(prepared)
    ok = [i for i, status in enumerate(t["status"]) if status == "ok"]
    no_genre = sum(t["genre"][i] is None for i in ok)
    status = Counter(t["status"][i] for i in unusable if i not in excluded)
    kinds = {
        "usable": len(ok) - no_genre, "without a genre": no_genre, "excluded": len(excluded),
        "failed": status["failed"], "missing": status["missing"],
    }  # fmt: skip
    counts = ", ".join(f"{n:,} {kind}" for kind, n in kinds.items() if n)
    n_audio = sum(u.is_audio for u in unused)
    skipped = [pluralize(n, what) for n, what in ((n_audio, "audio file"), (len(unused) - n_audio, "other file")) if n]
    head = f"{pluralize(t['status'], 'track')}: {counts}"
    head += f"; skipped: {' and '.join(skipped)}" if skipped else ""
    head += f"; see {printable(str(prepared.folder))}/failures.csv" if unusable or unused else ""
    failed = [f"{t['status'][i]}: {_unusable_track(t, i)}" for i in unusable if i not in excluded]
    more = [f"and {len(failed) - MAX_NAMED:,} more"] if len(failed) > MAX_NAMED else []
    return [head, *failed[:MAX_NAMED], *more, *(f"  {_unusable_track(t, i)}" for i in unusable if i in excluded)]


def _unusable_tracks(prepared: Prepared) -> tuple[list[int], set[int]]:
    """Indices of the tracks that are not `ok`, and those among them that the user has excluded."""
    t = prepared.tracks
    unusable = [i for i, status in enumerate(t["status"]) if status != "ok"]
    return unusable, {i for i in unusable if (t["error"][i] or "").startswith(EXCLUDED_PREFIX)}


def _unusable_track(tracks: Mapping[str, Sequence[Any]], i: int) -> str:
    return f"{printable(tracks['path'][i] or tracks['track_id'][i])}: {tracks['error'][i]}"


def _prepare_settings(preparing: PrepareOptions, views: str | None) -> PrepareSettings:
    chosen = parse_views(views, preparing.fma_exact, preparing.view_option or ())
    return PrepareSettings(views=chosen, clips=ClipSettings(clip_s=preparing.clip_s))


def parse_views(listed: str | None, fma_exact: bool = False, view_options: Sequence[str] = ()) -> tuple[View, ...]:
    """Views by name, `all` for every view of audio, with the settings of `--view-option`.

    Raises:
        SettingsError: an unknown name, `--fma-exact` and its opposite, or see `view_settings.with_view_options`.
    """
    audio_views = [n for n in VIEWS if n != "table"]
    names = audio_views if listed == "all" else split_list(listed) or list(DEFAULT_VIEWS)
    unknown = [n for n in names if n not in audio_views]
    if unknown:
        raise SettingsError(f"unknown view {unknown[0]!r}: use {', '.join(audio_views)} or all")
    views = [StatisticsView(fma_exact=True) if n == "statistics" and fma_exact else VIEWS[n]() for n in names]
    chosen = with_view_options(views, view_options)
    if fma_exact and any(isinstance(view, StatisticsView) and not view.fma_exact for view in chosen):
        raise SettingsError(
            "--fma-exact and --view-option statistics.fma_exact=false contradict each other: leave one of them out"
        )
    return chosen


def bench(
    source: SourceOptions | None, preparing: PrepareOptions, models: str, tracks: int | None, seconds: float
) -> Bench:
    """Measure on a source, or on synthesised music, with the named views or those that the models use."""
    from genrelab.bench.bench import bench as measured
    from genrelab.models.registry import default_models, model_class

    names = train_settings(TrainOptions(models=models)).models
    read_views = ",".join(dict.fromkeys(model_class(n).views[0] for n in names))
    settings = _prepare_settings(preparing, preparing.views or read_views)
    start = time.perf_counter()
    dataset = None if source is None else load_source(source)
    if dataset is not None:
        _print_dataset(dataset)
    return measured(
        dataset, settings, models=names or default_models("default"), jobs=preparing.jobs, tracks=tracks,
        seconds=seconds, find_s=time.perf_counter() - start, preload=(__name__,), notify=notify,
    )  # fmt: skip


def train_settings(training: TrainOptions) -> TrainSettings:
    """Settings of a training, with the names of the models checked."""
    from genrelab.models.registry import known_models

    names = [] if training.models == "all" else split_list(training.models)
    unknown = [n for n in names if n not in known_models()]
    if unknown or (not names and training.models != "all"):
        raise SettingsError(
            f"unknown model {(unknown or [training.models])[0]!r}: use {', '.join(known_models())} or all"
        )
    given = {
        f.name: getattr(training, f.name)
        for f in fields(training)
        if f.name not in ("models", "from_study", "no_early_stopping")
    }
    return TrainSettings(models=tuple(names), early_stopping=not training.no_early_stopping, **given)


def views_for(preparing: PrepareOptions, settings: TrainSettings) -> PrepareOptions:
    """The same options with the views that `run` prepares if none are named.

    These are the default ones whatever the models, so that more models can be trained later without decoding again, and
    `descriptors`, `frames` or `rhythm` if the classical models need them. Of the default ones `samples` and
    `mel_image` are nearly free compared to decoding; `embedding` takes about 0.3 s for a clip of 30 s, three times as
    much as `statistics`.
    """
    if preparing.views or settings.view not in ("descriptors", "frames", "rhythm"):
        return preparing
    return replace(preparing, views=",".join((*DEFAULT_VIEWS, settings.view)))


def check_run(out: str, settings: TrainSettings, requested: RunOptions) -> None:
    """Refuse a RUN whose results would be lost or mixed; see `run_folder.check_run`."""
    from genrelab.models.registry import known_models

    run_folder.check_run(
        Folder(out), settings, resume=requested.resume, overwrite=requested.overwrite, models=known_models()
    )


def train(
    prepared: str, out: str, settings: TrainSettings, requested: RunOptions, study: str | None = None
) -> Leaderboard:
    """Train on a preparation.

    Args:
        study: a RUN with hyper-parameter searches; the best parameters of each are used.
    """
    from genrelab.runs.train import train as trained

    found = open_prepared(prepared)
    if study is not None:
        settings = replace(settings, params=_tuned_params(study, found, settings))
    return trained(
        found, Folder(out), settings, resume=requested.resume, overwrite=requested.overwrite,
        allow_leaks=requested.allow_leaks, summary=requested.summary, studies=requested.studies, notify=notify,
        bar=progress_bar,
    )  # fmt: skip


def _tuned_params(study: str, prepared: Prepared, settings: TrainSettings) -> Params:
    from genrelab.models.registry import models_of
    from genrelab.records.task import make_task
    from genrelab.tune.best_params import params_of

    task = make_task(prepared, settings)
    return params_of(study, task=task, wanted=models_of(settings), notify=notify)


def tune(
    prepared: str, out: str, model: str, training: TrainOptions, trials: int | None, minutes: float | None
) -> dict[str, Any]:
    """Search the hyper-parameters of one model."""
    from genrelab.tune.tune import tune as search

    if minutes is not None and minutes <= 0:
        raise SettingsError(f"--minutes must be above 0. Received: {minutes:g}")
    settings, seconds = train_settings(training), None if minutes is None else 60 * minutes
    found = open_prepared(prepared)
    return search(found, Folder(out), model, settings, trials=trials, seconds=seconds, notify=notify, bar=progress_bar)
