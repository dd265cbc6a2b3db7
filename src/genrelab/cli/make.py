"""The commands that make a model: each parses its options, calls one function, prints.

Imports are inside the commands, so that `--help` does not wait for them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from genrelab.cli import console, options
from genrelab.cli.output import tables

FailOnSkipped = Annotated[
    bool,
    typer.Option(
        "--fail-on-skipped", help="Exit 1 where a track failed or is missing, or an audio file was met and not used."
    ),
]


def demo(out: Annotated[Path, typer.Option(help="Folder for corpus and results.")] = Path("demo")) -> None:
    """Run everything on a corpus that is synthesised here: no data to download.

    Example: genrelab demo --out demo
    """
    from genrelab.cli import demo as program

    program.demo(out, console.notify, console.progress_bar)


def download(
    name: Annotated[str, typer.Argument(help="fma-metadata, fma-small, fma-medium, fma-large or fma-full.")],
    out: Annotated[Path, typer.Option(help="Folder that will hold the archive's folder.")] = Path("data"),
    keep_archive: Annotated[bool, typer.Option("--keep-archive", help="Keep the .zip, too.")] = False,
    mirror: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Folder of the .zip files.  [default: $GENRELAB_MIRROR, else FMA's]"),
    ] = None,
    archive: Annotated[
        Path | None, typer.Option(parser=options.parse_path, metavar="FILE", help="Unpack this .zip; fetch nothing.")
    ] = None,
) -> None:
    """Fetch and unpack a part of the Free Music Archive; a broken download goes on where it stopped.

    Example: genrelab download fma-metadata --out data && genrelab download fma-small --out data
    """
    from genrelab.datasets.download import download as fetch

    with console.download_progress(name) as progress:
        folder = fetch(
            name, out, mirror=mirror, archive_file=archive, progress=progress, notify=console.notify,
            keep_archive=keep_archive,
        )  # fmt: skip
    typer.echo(str(folder))


@options.expand_groups
def prepare(
    source: options.SourceOptions,
    out: Annotated[str, typer.Option("--out", metavar="PREPARED", help="Folder or fsspec address.")],
    preparing: options.PrepareOptions,
    fail_on_skipped: FailOnSkipped = False,
    as_json: options.AsJson = False,
) -> None:
    """Decode every track once and write all views as TFRecord shards and tables.

    Example: genrelab prepare data/fma_small --out prepared
    """
    from genrelab.cli import run as program

    prepared, n_skipped = program.prepare(source, preparing, out, console.notify, console.progress_bar)
    if as_json:
        typer.echo(json.dumps(prepared.about, indent=1))
    else:
        typer.echo(str(prepared.folder))
    _refuse_skipped(n_skipped if fail_on_skipped else 0, out)


def _refuse_skipped(n: int, prepared: str) -> None:
    """Exit 1 for `--fail-on-skipped`, after all results were printed."""
    if n:
        what = "track or audio file is" if n == 1 else "tracks or audio files are"
        console.notify(f"--fail-on-skipped: {n:,} {what} not used: see {prepared.rstrip('/')}/failures.csv")
        raise typer.Exit(1)


@options.expand_groups
def bench(
    preparing: options.PrepareOptions,
    root: Annotated[
        Path | None,
        typer.Argument(
            parser=options.parse_path,
            metavar="ROOT",
            help="Measure on some of its files.  [default: synthesised music]",
        ),
    ] = None,
    dataset: options.DatasetName = "auto",
    label: options.Label = None,
    id_column: options.IdColumn = None,
    models: options.Models = "all",
    tracks: Annotated[int | None, typer.Option(min=1, help="Predict for so many tracks.  [default: ROOT's]")] = None,
    seconds: Annotated[float, typer.Option(min=5.0, help="How long to measure, about.")] = 60.0,
    as_json: options.AsJson = False,
) -> None:
    """Measure every stage on this machine; predict time and disk for ROOT and for each part of the Free Music Archive.

    Example: genrelab bench ~/Music/by-genre
    """
    from genrelab.cli import run as program

    source = None if root is None else options.SourceOptions(root, dataset, label=label, id_column=id_column)
    try:
        found = program.bench(source, preparing, models, tracks, seconds, console.notify)
    except KeyboardInterrupt as e:
        raise console.NothingToResume from e
    tables.bench(found, as_json, source)


@options.expand_groups
def train(
    prepared: options.Prep,
    out: options.RunOut,
    training: options.TrainOptions,
    asked: options.RunOptions,
    as_json: options.AsJson = False,
) -> None:
    """Train models on a preparation and print the leaderboard.

    Example: genrelab train prepared --out runs/first --models svm,mobilenet_v2
    """
    from genrelab.cli import run as program

    settings = program.train_settings(training)
    result = program.train(prepared, out, settings, asked, console.notify, console.progress_bar, training.from_study)
    tables.leaderboard(result, as_json, out)
    tables.studies(out, asked.studies, as_json, prepared)


@options.expand_groups
def run(
    source: options.SourceOptions,
    out: options.RunOut,
    preparing: options.PrepareOptions,
    training: options.TrainOptions,
    asked: options.RunOptions,
    prepared: Annotated[str | None, typer.Option(help="Where PREPARED goes.  [default: RUN/prepared]")] = None,
    fail_on_skipped: FailOnSkipped = False,
    as_json: options.AsJson = False,
) -> None:
    """The whole road: prepare, train, report.

    Example: genrelab run ~/Music/by-genre --out runs/first
    """
    from genrelab.cli import run as program

    settings = program.train_settings(training)
    prepared_folder = prepared or f"{out.rstrip('/')}/prepared"
    if not (asked.resume and training.from_study):  # params of a study are only known once PREPARED exists
        program.check_run(out, settings, asked)  # before an hour of work, not after it
    _, n_skipped = program.prepare(
        source, program.views_for(preparing, settings), prepared_folder, console.notify, console.progress_bar, settings
    )
    result = program.train(
        prepared_folder, out, settings, asked, console.notify, console.progress_bar, training.from_study
    )
    tables.leaderboard(result, as_json, out)
    tables.studies(out, asked.studies, as_json, prepared_folder)
    _refuse_skipped(n_skipped if fail_on_skipped else 0, prepared_folder)


def tune(
    prepared: options.Prep,
    out: options.RunOut,
    model: Annotated[str, typer.Option("--model", help="One of the models that `train` knows.")],
    trials: Annotated[int | None, typer.Option(min=1, help="Stop after so many in all.  [default: 50]")] = None,
    minutes: Annotated[float | None, typer.Option(help="Stop once all trials together took so many minutes.")] = None,
    split: options.Split = "auto",
    seed: options.Seed = 42,
    epochs: options.Epochs = 100,
    preset: options.Preset = "default",
    view: options.View = None,
    pca: options.Pca = None,
    class_weight: options.ClassWeight = "auto",
    imagenet_weights: options.Weights = "auto",
    fine_tune: options.FineTune = 0,
    strategy: options.Strategy = "auto",
    as_json: options.AsJson = False,
) -> None:
    """Search a model's hyper-parameters on folds of the training part alone; `train --from-study RUN` uses them.

    What was tried is kept: the same command goes on with it.

    Example: genrelab tune prepared --model svm --out runs/tuned --trials 50
    """
    from genrelab.cli import run as program

    training = options.TrainOptions(
        model, split, epochs, seed, preset, view, pca, class_weight, imagenet_weights, fine_tune, strategy
    )  # fmt: skip
    found = program.tune(prepared, out, model, training, trials, minutes, console.notify, console.progress_bar)
    tables.tuning(found, as_json, prepared, out)


def report(
    runs: Annotated[list[str], typer.Argument(metavar="RUN…", help="What `train` or `run` wrote.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="PAGE", help="Of several RUNs: write the page that compares them.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Write leaderboard, pictures and page of a RUN again; put several RUNs side by side.

    Runs that scored other tracks, or know other genres, are shown but not ranked against each other.

    Example: genrelab report runs/first runs/second --out compared.html
    """
    from genrelab.core.storage import Folder
    from genrelab.report.report import build_comparison, build_report

    if len(runs) == 1:
        if out is not None:
            raise typer.BadParameter("--out goes with several RUNs: one has its page in RUN/report.html")
        tables.leaderboard(build_report(Folder(runs[0])), as_json, runs[0])
        return
    tables.run_comparison(build_comparison([Folder(run) for run in runs], out), as_json, out)


def relabel(
    prepared: options.Prep,
    run: Annotated[str, typer.Argument(metavar="RUN", help="Where `--doubts` wrote doubts.csv, now decided.")],
    out: Annotated[str, typer.Option("--out", metavar="FOLDER", help="Gets relabelled.csv.")],
) -> None:
    """Write the tracks with the genres that were accepted in doubts.csv, as a table to be prepared like any other.

    In doubts.csv the column `decision` says accept or reject; what is left empty keeps its label.

    Example: genrelab relabel prepared runs/asked --out relabelled
    """
    from genrelab.core.storage import Folder
    from genrelab.records.prepared import open_prepared
    from genrelab.studies.doubts import write_relabelled

    n = write_relabelled(open_prepared(prepared), Folder(run), Folder(out))
    tables.relabelled(n, out)


def explore(
    prepared: options.Prep,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="PAGE", help="The page.  [default: PREPARED/explore.html]")
    ] = None,
) -> None:
    """Draw what a preparation holds: counts, durations, spectra, chroma, a map of the tracks; copies and failures.

    Example: genrelab explore prepared
    """
    from genrelab.records.prepared import open_prepared
    from genrelab.report.explore import write_data_page as program

    typer.echo(str(program(open_prepared(prepared), out, console.notify)))


def export(
    model: Annotated[str, typer.Argument(metavar="RUN/MODEL", help="A trained model, or a BUNDLE.")],
    files: Annotated[list[Path] | None, typer.Argument(metavar="FILE…", help="With --check: audio files.")] = None,
    form: Annotated[str | None, typer.Option("--format", help="onnx, litert, saved-model or waveform-onnx.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="PATH", help="Folder.  [default: RUN/MODEL/export/FORMAT]")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier export though it has got other files.")
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Do all forms answer alike? Exit 1 if not.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Write a model in another form, or --check on FILEs that all its forms give the same probabilities.

    Example: genrelab export runs/first/mobilenet_v2 --format waveform-onnx
    """
    if check:
        if not files or form or out or overwrite:
            raise typer.BadParameter("--check takes files, and none of --format, --out and --overwrite")
        from genrelab.export.parity_check import check_parity as program

        found = program(model, files, console.notify)
        tables.parity(found, as_json)
        if not found.ok:
            raise typer.Exit(1)
        return
    if files or form is None:
        raise typer.BadParameter("give --format, or --check with FILEs")
    from genrelab.export.export import export as write

    tables.exported(write(model, form, out, overwrite=overwrite), as_json)
