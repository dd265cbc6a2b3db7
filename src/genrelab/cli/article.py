"""The command `article`: the article's table beside ours, with its split and with an honest one."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from genrelab.cli import console, make, options, run_options
from genrelab.core.config import TrainSettings
from genrelab.core.errors import SettingsError, printable
from genrelab.core.storage import Folder


@dataclass(frozen=True, kw_only=True)
class ArticleOptions:
    """How the article's models are trained."""

    models: Annotated[
        str,
        options.value_option(
            "NAMES", "Names as of `train --models`, separated by commas, or article: those of the article and majority."
        ),
    ] = "article"
    epochs: Annotated[
        int, options.value_option("N", "Of the networks; fewer than the article's 100 are stated with the table.")
    ] = 100
    seed: Annotated[int, options.value_option("N", "The same seed gives the same results.")] = 42
    imagenet_weights: Annotated[
        str, options.value_option("FILE", "mobilenet_v2: auto, a file, or none (random initialisation).")
    ] = "auto"
    strategy: Annotated[str, options.value_option("NAME", "Device: auto, cpu, gpu or tpu.")] = "auto"


def article(
    source: options.SourceOptions,
    out: Annotated[
        str, options.value_option("DIR", "Folder for prepared tracks and results; the same command continues in it.")
    ],
    preparing: run_options.PrepareOptions,
    training: ArticleOptions,
    overwrite: Annotated[bool, options.flag("--overwrite", "Replace the results in DIR.")] = False,
    allow_leaks: Annotated[
        bool, options.flag("--allow-leaks", "Train even if copies of a recording are in the training and test sets.")
    ] = False,
    fail_on_skipped: make.FailOnSkipped = False,
    as_json: options.AsJson = False,
) -> None:
    """Compare the article's accuracies with ours on your data.

    The models of Hermez et al. 2020 are trained twice, with the article's settings: with its random split, and with
    the official split (else whole artists, else random tracks). Without --views the views that they read are
    prepared. If it was interrupted, the same command continues; if
    it is finished, the command prints the table again.

    Example: genrelab article data --out runs/article
    """
    from genrelab.cli import run as program
    from genrelab.cli.output.article import print_article
    from genrelab.records.prepared import open_prepared
    from genrelab.runs import article as article_runs

    settings, given = _settings(training), _options(source, preparing, training)
    article_runs.check_models(settings)
    if Path(out).resolve() == source.root.resolve():
        raise SettingsError("--out is ROOT: choose a folder of its own for the results")
    source = _with_features_for_missing_clips(source)
    if preparing.views is None:
        preparing = replace(preparing, views=",".join(article_runs.views_of(settings.models)))
    folder, prepared = Folder(out), f"{out.rstrip('/')}/prepared"
    article_runs.check_folder(folder, given, overwrite=overwrite)
    _, n_skipped = program.prepare(source, preparing, prepared)
    article_runs.start(folder, given, overwrite=overwrite)  # not before: until here nothing is lost
    found = article_runs.reproduce(
        open_prepared(prepared), folder, settings, allow_leaks=allow_leaks, notify=console.notify,
        bar=console.progress_bar,
    )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(folder.read_json(article_runs.RESULT), indent=1))
    else:
        print_article(found, out)
    make.refuse_skipped(n_skipped if fail_on_skipped else 0, prepared)


def _settings(training: ArticleOptions) -> TrainSettings:
    from genrelab.models.registry import known_models
    from genrelab.runs.article import article_models

    names = list(article_models()) if training.models in ("article", "all") else options.split_list(training.models)
    unknown = [n for n in names if n not in known_models()]
    if unknown or not names:
        known = ", ".join(known_models())
        raise SettingsError(f"unknown model {(unknown or [training.models])[0]!r}: use {known} or article")
    given = {f.name: getattr(training, f.name) for f in fields(training) if f.name != "models"}
    return TrainSettings(models=tuple(names), preset="article", **given)


def _options(*groups: Any) -> dict[str, Any]:
    """All options that change a figure, by their names on the command line, as JSON stores them."""
    values = {f.name: getattr(group, f.name) for group in groups for f in fields(group) if f.name != "jobs"}
    return {
        "ROOT" if name == "root" else f"--{name.replace('_', '-')}": str(v.resolve() if name == "root" else v)
        if isinstance(v, Path)
        else v
        for name, v in values.items()
    }


def _with_features_for_missing_clips(source: options.SourceOptions) -> options.SourceOptions:
    """The source with FMA's own features.csv as ROOT, if ROOT is FMA and none of its clips is on this disk."""
    from genrelab.cli.run import load_source
    from genrelab.datasets.fma_metadata.tables import find_metadata

    if not source.root.is_dir() or find_metadata(source.root) is None:
        return source
    dataset = load_source(source)
    table = (find_metadata(source.root) or source.root) / "features.csv"
    here = any((dataset.root / t.path).is_file() for t in dataset.tracks if t.path is not None)
    if here or not dataset.name.startswith("fma") or not table.is_file():
        return source
    console.notify(
        f"{printable(str(source.root))}: no clip of {dataset.name} is on this disk, so FMA's own features are used: "
        f"{printable(str(table))}"
    )
    return replace(source, root=table)
