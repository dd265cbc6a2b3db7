"""The commands that make a model: each parses its options, calls one function, prints.

Imports are inside the commands, so that `--help` does not wait for them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from genrelab.cli import console, options, run_options
from genrelab.cli.output import tables

FailOnSkipped = Annotated[
    bool, options.flag("--fail-on-skipped", "Exit 1 if a track failed or is missing, or an audio file was skipped.")
]


def demo(
    out: Annotated[Path, options.value_option("FOLDER", "Folder for the tracks and results.")] = Path("demo"),
) -> None:
    """Try everything on synthesised tracks; no data are needed.

    Example: genrelab demo --out demo
    """
    from genrelab.cli import demo as program

    program.demo(out)


def download(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="fma-metadata, fma-small, fma-medium, fma-large or fma-full.")
    ],
    out: Annotated[Path, options.value_option("FOLDER", "Folder to unpack into.")] = Path("data"),
    keep_archive: Annotated[bool, options.flag("--keep-archive", "Keep the .zip file.")] = False,
    mirror: Annotated[
        str | None,
        options.value_option(
            "URL", "Web address of the folder with the .zip files.  [default: $GENRELAB_MIRROR, else FMA's]"
        ),
    ] = None,
    archive: Annotated[Path | None, options.path_option("FILE", "Unpack this .zip instead of downloading it.")] = None,
) -> None:
    """Download and unpack a part of the Free Music Archive.

    The same command continues an interrupted download.

    Example: genrelab download fma-metadata --out data && genrelab download fma-small --out data
    """
    from genrelab.datasets.download import download as fetch

    with console.download_progress(name) as progress:
        folder = fetch(
            name, out, mirror=mirror, archive_file=archive, progress=progress, notify=console.notify,
            keep_archive=keep_archive,
        )  # fmt: skip
    typer.echo(str(folder))


def prepare(
    source: options.SourceOptions,
    out: Annotated[str, options.value_option("PREPARED", "Folder, or address such as s3://bucket/folder.")],
    preparing: run_options.PrepareOptions,
    fail_on_skipped: FailOnSkipped = False,
    as_json: options.AsJson = False,
) -> None:
    """Decode every track once; store its features and spectrograms.

    Example: genrelab prepare data/fma_small --out prepared
    """
    from genrelab.cli import run as program

    prepared, n_skipped = program.prepare(source, preparing, out)
    if as_json:
        typer.echo(json.dumps(prepared.about, indent=1))
    else:
        typer.echo(str(prepared.folder))
    refuse_skipped(n_skipped if fail_on_skipped else 0, out)


def refuse_skipped(n: int, prepared: str) -> None:
    """Exit 1 for `--fail-on-skipped`, after all results were printed."""
    if n:
        what = "track or audio file is" if n == 1 else "tracks or audio files are"
        console.notify(f"--fail-on-skipped: {n:,} {what} not used: see {prepared.rstrip('/')}/failures.csv")
        raise typer.Exit(1)


def bench(
    preparing: run_options.PrepareOptions,
    reading: options.ReadOptions,
    root: Annotated[
        Path | None, options.path_argument("ROOT", "Measure on some of its files.  [default: synthesised music]")
    ] = None,
    models: options.Models = "all",
    tracks: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Estimate for this number of tracks.  [default: ROOT's]")
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=5.0, metavar="SECONDS", help="How long to measure, approximately.")
    ] = 60.0,
    as_json: options.AsJson = False,
) -> None:
    """Measure this machine; estimate time and disk space for ROOT.

    Example: genrelab bench ~/Music/by-genre
    """
    from genrelab.cli import run as program

    source = None if root is None else options.SourceOptions(root=root, **vars(reading))
    try:
        found = program.bench(source, preparing, models, tracks, seconds)
    except KeyboardInterrupt as e:
        raise console.NothingToResume from e
    tables.bench(found, as_json, source)


def train(
    prepared: options.Prep,
    out: options.RunOut,
    training: run_options.TrainOptions,
    requested: run_options.RunOptions,
    as_json: options.AsJson = False,
) -> None:
    """Train models on PREPARED and print the leaderboard.

    Example: genrelab train prepared --out runs/first --models svm,mobilenet_v2
    """
    from genrelab.cli import run as program

    settings = program.train_settings(training)
    board = program.train(prepared, out, settings, requested, training.from_study)
    tables.finished_run(board, out, requested.studies, as_json, prepared)


def run(
    source: options.SourceOptions,
    out: options.RunOut,
    preparing: run_options.PrepareOptions,
    training: run_options.TrainOptions,
    requested: run_options.RunOptions,
    prepared: Annotated[
        str | None, options.value_option("PREPARED", "Folder for the prepared tracks.  [default: RUN/prepared]")
    ] = None,
    fail_on_skipped: FailOnSkipped = False,
    as_json: options.AsJson = False,
) -> None:
    """Do all steps at once: prepare, train, report.

    Example: genrelab run ~/Music/by-genre --out runs/first
    """
    from genrelab.cli import run as program

    settings = program.train_settings(training)
    folder = prepared or f"{out.rstrip('/')}/prepared"
    if not (requested.resume and training.from_study):  # params of a study are only known once PREPARED exists
        program.check_run(out, settings, requested)  # before an hour of work, not after it
    views = program.views_for(preparing, settings)
    _, n_skipped = program.prepare(source, views, folder, settings)
    board = program.train(folder, out, settings, requested, training.from_study)
    tables.finished_run(board, out, requested.studies, as_json, folder)
    refuse_skipped(n_skipped if fail_on_skipped else 0, folder)


def tune(
    prepared: options.Prep,
    out: options.RunOut,
    training: run_options.FitOptions,
    model: Annotated[str, options.value_option("NAME", "One of the models of `train --models`.")],
    trials: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Stop after N trials in all.  [default: 50]")
    ] = None,
    minutes: Annotated[float | None, options.value_option("N", "Stop after N minutes of trials in all.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Search for a model's best hyper-parameters.

    Only training tracks are used, in folds; `train --from-study RUN` uses the result. All trials are kept: the same
    command continues.

    In Optuna's dashboard: optuna-dashboard sqlite:///RUN/tune/MODEL/study.db

    Example: genrelab tune prepared --model svm --out runs/tuned --trials 50
    """
    from genrelab.cli import run as program

    options_of_model = run_options.TrainOptions(models=model, **vars(training))
    found = program.tune(prepared, out, model, options_of_model, trials, minutes)
    tables.tuning(found, as_json, prepared, out, training)


def report(
    runs: Annotated[list[str], typer.Argument(metavar="RUN…", help="The output of `train` or `run`.")],
    out: Annotated[
        Path | None, options.value_option("PAGE", "With several RUNs: write a page that compares them.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Rewrite the report of a RUN, or compare several RUNs.

    RUNs with different test tracks or genres are listed, but not ranked against each other.

    Example: genrelab report runs/first runs/second --out compared.html
    """
    from genrelab.core.storage import Folder
    from genrelab.report.report import build_comparison, build_report

    if len(runs) == 1:
        if out is not None:
            raise typer.BadParameter("--out needs several RUNs: the page of one is RUN/report.html")
        tables.finished_run(build_report(Folder(runs[0])), runs[0], (), as_json)
        return
    tables.run_comparison(build_comparison([Folder(run) for run in runs], out), as_json, out)


def relabel(
    prepared: options.Prep,
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="The run with doubts.csv, its `decision` column filled in.")
    ],
    out: Annotated[str, options.value_option("FOLDER", "Folder for relabelled.csv.")],
) -> None:
    """Write a table of the tracks with the labels that you accepted.

    The column `decision` of doubts.csv contains accept or reject; if it is empty, the label stays.

    Example: genrelab relabel prepared runs/first --out relabelled
    """
    from genrelab.core.storage import Folder
    from genrelab.records.prepared import open_prepared
    from genrelab.studies.doubts import write_relabelled

    n = write_relabelled(open_prepared(prepared), Folder(run), Folder(out))
    tables.relabelled(n, out)


def explore(
    prepared: options.Prep,
    out: Annotated[
        Path | None, options.value_option("PAGE", "File for the page.  [default: PREPARED/explore.html]")
    ] = None,
) -> None:
    """Write a page about PREPARED: counts, spectra, duplicates.

    Example: genrelab explore prepared
    """
    from genrelab.records.prepared import open_prepared
    from genrelab.report.explore import write_data_page as program

    typer.echo(str(program(open_prepared(prepared), out, console.notify)))
