"""Prepare, train and report, from the options of the command line."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from genrelab.cli.options import PrepareOptions, RunOptions, SourceOptions, TrainOptions
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
from genrelab.core.progress import Notify, ProgressBar
from genrelab.core.storage import Folder
from genrelab.core.text import pluralize
from genrelab.datasets.base import Dataset, DatasetOptions, UnusedFile
from genrelab.datasets.exclusions import EXCLUDED_PREFIX, exclude
from genrelab.datasets.exclusions import read as read_exclusions
from genrelab.datasets.registry import load_dataset
from genrelab.prepare import pipeline as program
from genrelab.records.prepared import Prepared, open_prepared
from genrelab.runs import run_folder

if TYPE_CHECKING:
    from genrelab.bench.bench import Bench
    from genrelab.report.report import Leaderboard

Params = Mapping[str, Mapping[str, Any]]
"""Hyper-parameters by model."""


MAX_NAMED = 5
"""Number of unusable tracks that are printed; failures.csv has all."""


def load_source(source: SourceOptions) -> Dataset:
    """Load the tracks of a source, without those that it excludes."""
    options = DatasetOptions(
        artists=source.artists, split_files=source.split_files, label=source.label, split_column=source.split_column,
        artist_column=source.artist_column, id_column=source.id_column, drop=tuple(split_list(source.drop)),
        impute=source.impute, group_column=source.group_column, keep_spellings=source.keep_spellings,
    )  # fmt: skip
    dataset = load_dataset(source.root, name=source.dataset, options=options)
    return dataset if source.exclude is None else exclude(dataset, read_exclusions(source.exclude))


def split_list(listed: str | None) -> list[str]:
    """`a, b` → `["a", "b"]`."""
    return [w.strip() for w in (listed or "").split(",") if w.strip()]


def prepare(
    source: SourceOptions,
    preparing: PrepareOptions,
    out: str,
    notify: Notify,
    bar: ProgressBar,
    training: TrainSettings | None = None,
) -> tuple[Prepared, int]:
    """Find the tracks, print what was found, prepare them.

    Args:
        training: settings of the training that follows; invalid ones are refused before anything is decoded.

    Returns:
        PREPARED, and how many tracks and audio files are not used though nobody asked to leave them out.
    """
    clips = ClipSettings(clip_s=preparing.clip_s)
    settings = PrepareSettings(views=parse_views(preparing.views, preparing.fma_exact), clips=clips)
    dataset = load_source(source)
    if training is not None:
        from genrelab.runs.train import check_settings

        held = settings.views if dataset.features is None else (TableView(columns=dataset.features.columns),)
        check_settings(training, {v.name: v for v in held})
    for note in dataset.notes:
        notify(f"  {note}")
    with bar("Preparing") as progress:
        prepared = program.prepare(dataset, out, settings, jobs=preparing.jobs, notify=notify, progress=progress)
    for sentence in outcome_sentences(prepared, dataset.unused):
        notify(sentence)
    unusable, left_out = _unusable_tracks(prepared)
    return prepared, len(unusable) - len(left_out) + sum(u.is_audio for u in dataset.unused)


def outcome_sentences(prepared: Prepared, unused: Sequence[UnusedFile] = ()) -> list[str]:
    """The outcome of preparing: counts, where all that is not used is listed, and the first unusable tracks by name."""
    counts, t = prepared.about["counts"], prepared.tracks
    unlabelled = f" ({counts['unlabelled']} of them without a genre)" if counts["unlabelled"] else ""
    unusable, left_out = _unusable_tracks(prepared)
    unusable.sort(key=lambda i: i in left_out)  # failures first, then requested exclusions
    lines = [_unusable_track_line(t, i, i in left_out) for i in unusable[:MAX_NAMED]]
    more = [f"  … and {len(unusable) - MAX_NAMED} more"] if len(unusable) > MAX_NAMED else []
    n_audio = sum(u.is_audio for u in unused)
    kinds = ((n_audio, "audio file"), (len(unused) - n_audio, "other name"))
    met = [pluralize(n, what) for n, what in kinds if n]
    not_used = f"; met and not used: {' and '.join(met)}" if met else ""
    where = f"{not_used}; all in {prepared.folder}/failures.csv" if unusable or unused else ""
    excluded = f"{len(left_out)} excluded, " if left_out else ""
    failed = sum(t["status"][i] == "failed" for i in unusable if i not in left_out)
    head = f"{counts['tracks']} tracks: {counts['ok']} ok, {excluded}{failed} failed, {counts['missing']} missing"
    return [f"{head}{unlabelled}{where}", *lines, *more]


def _unusable_tracks(prepared: Prepared) -> tuple[list[int], set[int]]:
    """Indices of the tracks that are not `ok`, and those among them that the user has excluded."""
    t = prepared.tracks
    unusable = [i for i, status in enumerate(t["status"]) if status != "ok"]
    return unusable, {i for i in unusable if (t["error"][i] or "").startswith(EXCLUDED_PREFIX)}


def _unusable_track_line(tracks: Mapping[str, Sequence[Any]], i: int, left_out: bool) -> str:
    status = "" if left_out else f"{tracks['status'][i]}: "
    return f"  {status}{printable(tracks['path'][i] or tracks['track_id'][i])}: {tracks['error'][i]}"


def parse_views(listed: str | None, fma_exact: bool = False) -> tuple[View, ...]:
    """Views by name; `all` for every view of audio.

    Raises:
        SettingsError: an unknown name; the known ones are listed.
    """
    audio_views = [n for n in VIEWS if n != "table"]
    names = audio_views if listed == "all" else split_list(listed) or list(DEFAULT_VIEWS)
    unknown = [n for n in names if n not in audio_views]
    if unknown:
        raise SettingsError(f"unknown view {unknown[0]!r}: known are {', '.join(audio_views)} and all")
    return tuple(StatisticsView(fma_exact=True) if n == "statistics" and fma_exact else VIEWS[n]() for n in names)


def bench(
    source: SourceOptions | None,
    preparing: PrepareOptions,
    models: str,
    tracks: int | None,
    seconds: float,
    notify: Notify,
) -> Bench:
    """Measure on a source, or on synthesised music; views: the named ones, else those that the models read."""
    from genrelab.bench.bench import bench as measured
    from genrelab.models.registry import known_models, model_class

    names = train_settings(TrainOptions(models=models)).models
    read_views = ",".join(dict.fromkeys(model_class(n).views[0] for n in names))
    clips = ClipSettings(clip_s=preparing.clip_s)
    settings = PrepareSettings(views=parse_views(preparing.views or read_views, preparing.fma_exact), clips=clips)
    start = time.perf_counter()
    dataset = None if source is None else load_source(source)
    for note in () if dataset is None else dataset.notes:
        notify(f"  {note}")
    return measured(
        dataset, settings, models=names or known_models(), jobs=preparing.jobs, tracks=tracks, seconds=seconds,
        find_s=time.perf_counter() - start, preload=(__name__,), notify=notify,
    )  # fmt: skip


def train_settings(training: TrainOptions) -> TrainSettings:
    """Settings of a training, with the names of the models checked."""
    from genrelab.models.registry import known_models

    names = [] if training.models == "all" else split_list(training.models)
    unknown = [n for n in names if n not in known_models()]
    if unknown or (not names and training.models != "all"):
        raise SettingsError(
            f"unknown model {(unknown or [training.models])[0]!r}: known are {', '.join(known_models())} and all"
        )
    given = {f.name: getattr(training, f.name) for f in fields(training) if f.name not in ("models", "from_study")}
    return TrainSettings(models=tuple(names), **given)


def views_for(preparing: PrepareOptions, settings: TrainSettings) -> PrepareOptions:
    """The same options with the views that `run` prepares if none are named.

    The default ones whatever the models, so that more models can be trained later without decoding again, and
    `descriptors` or `frames` if the classical models need them. Of the default ones `samples` and `mel_image` are
    nearly free compared to decoding; `embedding` takes about 0.3 s for a clip of 30 s, three times as much as
    `statistics`.
    """
    if preparing.views or settings.view not in ("descriptors", "frames"):
        return preparing
    return replace(preparing, views=",".join((*DEFAULT_VIEWS, settings.view)))


def check_run(out: str, settings: TrainSettings, asked: RunOptions) -> None:
    """Refuse a RUN whose results would be lost or mixed; see `run_folder.check_run`."""
    from genrelab.models.registry import known_models

    run_folder.check_run(Folder(out), settings, resume=asked.resume, overwrite=asked.overwrite, models=known_models())


def train(
    prepared: str,
    out: str,
    settings: TrainSettings,
    asked: RunOptions,
    notify: Notify,
    bar: ProgressBar,
    study: str | None = None,
) -> Leaderboard:
    """Train on a preparation.

    Args:
        study: a RUN with hyper-parameter searches; the best parameters of each are used.
    """
    from genrelab.runs.train import train as trained

    found = open_prepared(prepared)
    if study is not None:
        settings = replace(settings, params=_tuned_params(study, found, settings, notify))
    return trained(
        found, Folder(out), settings, resume=asked.resume, overwrite=asked.overwrite,
        allow_leaks=asked.allow_leaks, studies=asked.studies, notify=notify, bar=bar,
    )  # fmt: skip


def _tuned_params(study: str, prepared: Prepared, settings: TrainSettings, notify: Notify) -> Params:
    from genrelab.models.registry import known_models
    from genrelab.records.task import make_task
    from genrelab.tune.best_params import params_of

    task = make_task(prepared, settings)
    return params_of(study, task=task, wanted=settings.models or known_models(), notify=notify)


def tune(
    prepared: str, out: str, model: str, training: TrainOptions, trials: int | None, minutes: float | None,
    notify: Notify, bar: ProgressBar,
) -> dict[str, Any]:  # fmt: skip
    """Search the hyper-parameters of one model."""
    from genrelab.tune.tune import tune as search

    if minutes is not None and minutes <= 0:
        raise SettingsError(f"--minutes must be above 0. Received: {minutes:g}")
    settings, seconds = train_settings(training), None if minutes is None else 60 * minutes
    found = open_prepared(prepared)
    return search(found, Folder(out), model, settings, trials=trials, seconds=seconds, notify=notify, bar=bar)
