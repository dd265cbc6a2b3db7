"""Program: the whole road, prepare + train + report, from what the command line says."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from genrelab import prepare as preparing
from genrelab import run_folder
from genrelab.config import DEFAULT_VIEWS, VIEWS, PrepareSettings, StatisticsView, TableView, TrainSettings, View
from genrelab.dataset import DatasetOptions
from genrelab.datasets import load_dataset
from genrelab.errors import SettingsError, printable
from genrelab.prepared import Prepared, open_prepared
from genrelab.storage import Folder

if TYPE_CHECKING:
    from genrelab.report import Leaderboard


NAMED = 5
"""Tracks that cannot be used and are named on the terminal; failures.csv names them all."""


class Bar(Protocol):
    """Makes a progress bar; see `console.bar`."""

    def __call__(self, title: str, unit: str = "tracks") -> AbstractContextManager[preparing.Progress]: ...


@dataclass(frozen=True)
class Source:
    """Where the tracks are, as the command line says it."""

    root: Path
    dataset: str = "auto"
    artists: Path | None = None
    split_files: Path | None = None
    label: str | None = None
    split_column: str | None = None
    artist_column: str | None = None
    id_column: str | None = None
    drop: str | None = None
    impute: str | None = None

    @property
    def options(self) -> DatasetOptions:
        """The same for the dataset's own loader."""
        return DatasetOptions(
            artists=self.artists, split_files=self.split_files, label=self.label, split_column=self.split_column,
            artist_column=self.artist_column, id_column=self.id_column, drop=tuple(words(self.drop)),
            impute=self.impute,
        )  # fmt: skip


def words(listed: str | None) -> list[str]:
    """`a, b` → `["a", "b"]`."""
    return [w.strip() for w in (listed or "").split(",") if w.strip()]


def prepare(
    source: Source, out: str, views: str | None, fma_exact: bool, jobs: int | None, say: preparing.Say, bar: Bar,
    training: TrainSettings | None = None,
) -> Prepared:  # fmt: skip
    """Find the tracks, say what was found, prepare them.

    Args:
        training: what comes after it; what cannot be trained is refused before anything is decoded.
    """
    settings = PrepareSettings(views=parse_views(views, fma_exact))
    dataset = load_dataset(source.root, name=source.dataset, options=source.options)
    if training is not None:
        from genrelab.train import check

        held = settings.views if dataset.features is None else (TableView(columns=dataset.features.columns),)
        check(training, {v.name: v for v in held})
    for note in dataset.notes:
        say(f"  {note}")
    with bar("Preparing") as progress:
        prepared = preparing.prepare(dataset, out, settings, jobs=jobs, say=say, progress=progress)
    for sentence in outcome(prepared):
        say(sentence)
    return prepared


def outcome(prepared: Prepared) -> list[str]:
    """What became of the tracks: the counts, and the first of those that cannot be used, by name."""
    counts, t = prepared.about["counts"], prepared.tracks
    unlabelled = f" ({counts['unlabelled']} of them without a genre)" if counts["unlabelled"] else ""
    bad = [i for i, status in enumerate(t["status"]) if status != "ok"]
    named = [f"  {t['status'][i]}: {printable(t['path'][i] or t['track_id'][i])}: {t['error'][i]}" for i in bad[:NAMED]]
    more = [f"  … and {len(bad) - NAMED} more"] if len(bad) > NAMED else []
    where = f"; all in {prepared.folder}/failures.csv" if bad else ""
    head = f"{counts['tracks']} tracks: {counts['ok']} ok, {counts['failed']} failed, {counts['missing']} missing"
    return [f"{head}{unlabelled}{where}", *named, *more]


def parse_views(listed: str | None, fma_exact: bool = False) -> tuple[View, ...]:
    """Views by name, `all` for every one that audio has.

    Raises:
        SettingsError: an unknown name; the known ones are listed.
    """
    audible = [n for n in VIEWS if n != "table"]
    names = audible if listed == "all" else words(listed) or list(DEFAULT_VIEWS)
    unknown = [n for n in names if n not in audible]
    if unknown:
        raise SettingsError(f"unknown view {unknown[0]!r}: known are {', '.join(audible)} and all")
    return tuple(StatisticsView(fma_exact=True) if n == "statistics" and fma_exact else VIEWS[n]() for n in names)


def train_settings(
    models: str, split: str, epochs: int, seed: int, preset: str, view: str | None, pca: float | None,
    class_weight: str, imagenet_weights: str, fine_tune: int, strategy: str, strict: bool,
) -> TrainSettings:  # fmt: skip
    """Settings of a training, with the names of the models checked."""
    from genrelab.models import known_models

    names = [] if models == "all" else words(models)
    unknown = [n for n in names if n not in known_models()]
    if unknown or (not names and models != "all"):
        raise SettingsError(
            f"unknown model {(unknown or [models])[0]!r}: known are {', '.join(known_models())} and all"
        )
    return TrainSettings(
        models=tuple(names), split=split, seed=seed, epochs=epochs, preset=preset, view=view, pca=pca,
        class_weight=class_weight, imagenet_weights=imagenet_weights, fine_tune=fine_tune, strategy=strategy,
        strict=strict,
    )  # fmt: skip


def views_for(settings: TrainSettings) -> str | None:
    """The views that `run` prepares where none are named.

    The default ones whatever the models, so that more models can be trained later without decoding again (two of the
    three are nearly free beside decoding), and `descriptors` or `frames` where the classical models ask for them.
    """
    return ",".join((*DEFAULT_VIEWS, settings.view)) if settings.view in ("descriptors", "frames") else None


def check_run(out: str, settings: TrainSettings, resume: bool, overwrite: bool) -> None:
    """Refuse a RUN whose results would be lost or mixed; see `run_folder.check_run`."""
    from genrelab.models import known_models

    run_folder.check_run(Folder(out), settings, resume=resume, overwrite=overwrite, models=known_models())


def train(
    prepared: str, out: str, settings: TrainSettings, resume: bool, overwrite: bool, say: preparing.Say, bar: Bar
) -> Leaderboard:
    """Train on a preparation."""
    from genrelab.train import train as program

    return program(open_prepared(prepared), Folder(out), settings, resume=resume, overwrite=overwrite, say=say, bar=bar)
