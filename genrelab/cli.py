"""Program: table of contents: one short function per command, in road order.

Nothing heavy is imported at the top: `genrelab --help` answers in a fraction of a second.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from genrelab import console

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

# === Options that several commands share ===

Root = Annotated[
    Path, typer.Argument(metavar="ROOT", help="A folder of music, FMA, GTZAN, or a table (.csv, .parquet).")
]
Prep = Annotated[str, typer.Argument(metavar="PREPARED", help="What `prepare` wrote (a folder or fsspec address).")]
RunOut = Annotated[str, typer.Option("--out", metavar="RUN", help="Folder (or fsspec address) for the results.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
DatasetName = Annotated[
    str, typer.Option("--dataset", help="auto, fma-small|medium|large|full, gtzan, folder or table.")
]
Views = Annotated[
    str | None, typer.Option(help="statistics,samples,mel_image,log_mel,frames or all.  [default: the first three]")
]
FmaExact = Annotated[
    bool, typer.Option("--fma-exact", help="Statistics at the native rate with FMA's quirk, as in its features.csv.")
]
Jobs = Annotated[int | None, typer.Option(help="Worker processes.  [default: one a core]")]
Artists = Annotated[Path | None, typer.Option(help="CSV with the columns id and artist (GTZAN, folders).")]
SplitFiles = Annotated[
    Path | None, typer.Option(help="GTZAN: folder with {train,valid,test}_filtered.txt, or `download`.")
]
Label = Annotated[str | None, typer.Option(help="Table: column of the genre.")]
SplitColumn = Annotated[str | None, typer.Option(help="Table: column of the official split.")]
ArtistColumn = Annotated[str | None, typer.Option(help="Table: column of the artist.")]
IdColumn = Annotated[str | None, typer.Option(help="Table: column of the track id.  [default: track_id]")]
Drop = Annotated[str | None, typer.Option(help="Table: columns that are no features, with commas.")]
Impute = Annotated[str | None, typer.Option(help="Table: `median` fills missing features, fitted on training rows.")]
Split = Annotated[str, typer.Option(help="auto, official, artist, random, or article (leaks artists).")]
Models = Annotated[
    str,
    typer.Option(
        help="all, or names with commas: majority, logistic_regression, knn, gaussian_nb, svm, mlp, raw_cnn, "
        "mobilenet_v2."
    ),
]
Epochs = Annotated[int, typer.Option(help="At most; validation stops earlier.")]
Seed = Annotated[int, typer.Option(help="Same seed, same numbers.")]
Preset = Annotated[str, typer.Option(help="default, or article: the article's hyper-parameters.")]
View = Annotated[
    str | None, typer.Option(help="What classical models read: statistics, table, or frames (needs --pca).")
]
Pca = Annotated[float | None, typer.Option(help="Below 1 a share of the variance, else a number of components.")]
ClassWeight = Annotated[str, typer.Option(help="auto, balanced or none.")]
Weights = Annotated[str, typer.Option(help="auto, a file, or none (random initialisation, said so in every table).")]
FineTune = Annotated[int, typer.Option(help="mobilenet_v2: train the last N blocks of the base, too.")]
Strategy = Annotated[str, typer.Option(help="auto, cpu, gpu or tpu.")]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at a corrupt record instead of counting it.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with an interrupted training in RUN.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the results that RUN holds.")]


@app.callback()
def _genrelab(
    version: Annotated[bool, typer.Option("--version", is_eager=True, callback=console.version)] = False,
) -> None:
    """From a folder of music to an honest genre classifier, and from that classifier to any library."""


@app.command()
@console.command
def demo(out: Annotated[Path, typer.Option(help="Folder for corpus and results.")] = Path("demo")) -> None:
    """Run everything on a corpus that is synthesised here: no data to download.

    Example: genrelab demo --out demo
    """
    from genrelab import demo as program

    program.demo(out, console.say, console.bar)


@app.command()
@console.command
def download(
    name: Annotated[str, typer.Argument(help="fma-metadata, fma-small, fma-medium, fma-large or fma-full.")],
    out: Annotated[Path, typer.Option(help="Folder that will hold the archive's folder.")] = Path("data"),
    keep_archive: Annotated[bool, typer.Option("--keep-archive", help="Keep the .zip, too.")] = False,
) -> None:
    """Fetch and unpack a part of the Free Music Archive; a broken download goes on where it stopped.

    Example: genrelab download fma-metadata --out data && genrelab download fma-small --out data
    """
    from genrelab.download import download as fetch

    with console.stages(name) as progress:
        folder = fetch(name, out, progress=progress, keep_archive=keep_archive)
    typer.echo(str(folder))


@app.command()
@console.command
def prepare(
    root: Root,
    out: Annotated[str, typer.Option("--out", metavar="PREPARED", help="Folder or fsspec address.")],
    dataset: DatasetName = "auto",
    views: Views = None,
    fma_exact: FmaExact = False,
    jobs: Jobs = None,
    artists: Artists = None,
    split_files: SplitFiles = None,
    label: Label = None,
    split_column: SplitColumn = None,
    artist_column: ArtistColumn = None,
    id_column: IdColumn = None,
    drop: Drop = None,
    impute: Impute = None,
    as_json: AsJson = False,
) -> None:
    """Decode every track once and write all views as TFRecord shards and tables.

    Example: genrelab prepare data/fma_small --out prepared
    """
    from genrelab import run as program

    source = program.Source(
        root, dataset, artists, split_files, label, split_column, artist_column, id_column, drop, impute
    )
    prepared = program.prepare(source, out, views, fma_exact, jobs, console.say, console.bar)
    if as_json:
        typer.echo(json.dumps(prepared.about, indent=1))
    else:
        typer.echo(str(prepared.folder))


@app.command()
@console.command
def train(
    prepared: Prep,
    out: RunOut,
    models: Models = "all",
    split: Split = "auto",
    epochs: Epochs = 100,
    seed: Seed = 42,
    preset: Preset = "default",
    view: View = None,
    pca: Pca = None,
    class_weight: ClassWeight = "auto",
    imagenet_weights: Weights = "auto",
    fine_tune: FineTune = 0,
    strategy: Strategy = "auto",
    strict: Strict = False,
    resume: Resume = False,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Train models on a preparation and print the leaderboard.

    Example: genrelab train prepared --out runs/first --models svm,mobilenet_v2
    """
    from genrelab import run as program

    settings = program.train_settings(
        models, split, epochs, seed, preset, view, pca, class_weight, imagenet_weights, fine_tune, strategy, strict
    )
    board = program.train(prepared, out, settings, resume, overwrite, console.say, console.bar)
    console.leaderboard(board, as_json, out)


@app.command()
@console.command
def run(
    root: Root,
    out: RunOut,
    dataset: DatasetName = "auto",
    views: Views = None,
    fma_exact: FmaExact = False,
    jobs: Jobs = None,
    artists: Artists = None,
    split_files: SplitFiles = None,
    label: Label = None,
    split_column: SplitColumn = None,
    artist_column: ArtistColumn = None,
    id_column: IdColumn = None,
    drop: Drop = None,
    impute: Impute = None,
    prepared: Annotated[str | None, typer.Option(help="Where PREPARED goes.  [default: RUN/prepared]")] = None,
    models: Models = "all",
    split: Split = "auto",
    epochs: Epochs = 100,
    seed: Seed = 42,
    preset: Preset = "default",
    view: View = None,
    pca: Pca = None,
    class_weight: ClassWeight = "auto",
    imagenet_weights: Weights = "auto",
    fine_tune: FineTune = 0,
    strategy: Strategy = "auto",
    strict: Strict = False,
    resume: Resume = False,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """The whole road: prepare, train, report.

    Example: genrelab run ~/Music/by-genre --out runs/first
    """
    from genrelab import run as program

    source = program.Source(
        root, dataset, artists, split_files, label, split_column, artist_column, id_column, drop, impute
    )
    settings = program.train_settings(
        models, split, epochs, seed, preset, view, pca, class_weight, imagenet_weights, fine_tune, strategy, strict
    )
    views = views or program.views_for(settings)
    where = prepared or f"{out.rstrip('/')}/prepared"
    program.check_run(out, settings, resume, overwrite)  # before an hour of work, not after
    program.prepare(source, where, views, fma_exact, jobs, console.say, console.bar, settings)
    board = program.train(where, out, settings, resume, overwrite, console.say, console.bar)
    console.leaderboard(board, as_json, out)


@app.command()
@console.command
def report(
    run: Annotated[str, typer.Argument(metavar="RUN", help="What `train` or `run` wrote.")], as_json: AsJson = False
) -> None:
    """Write leaderboard, pictures and page of a run again, and print the leaderboard.

    Example: genrelab report runs/first
    """
    from genrelab.report import build
    from genrelab.storage import Folder

    console.leaderboard(build(Folder(run)), as_json, run)


@app.command()
@console.command
def predict(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE|DIR…", help="Audio files, or folders of them.")],
    model: Annotated[Path, typer.Option("--model", metavar="BUNDLE", help="RUN/MODEL/bundle.")],
    top: Annotated[int, typer.Option(min=1, help="How many genres to print.")] = 3,
    timeline: Annotated[bool, typer.Option("--timeline", help="With --json: probabilities of every window.")] = False,
    as_json: AsJson = False,
) -> None:
    """Classify files with a bundle; needs no TensorFlow. Exit 1 where a file could not be classified.

    Example: genrelab predict song.mp3 --model runs/first/svm/bundle
    """
    from genrelab.predict import audio_files, load_bundle, predict_paths

    if timeline and not as_json:
        raise typer.BadParameter("--timeline is part of --json: give both")
    predictions = list(predict_paths(load_bundle(model), audio_files(paths)))
    console.predictions(predictions, top, timeline, as_json)
    if any(p.error for p in predictions):
        raise typer.Exit(1)


def main() -> None:
    """The command `genrelab`."""
    app(prog_name="genrelab")
