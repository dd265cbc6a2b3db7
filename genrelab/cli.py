"""Program: table of contents: one short function per command, in road order.

Nothing heavy is imported at the top: `genrelab --help` answers in a fraction of a second.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from genrelab import console, options
from genrelab.processes import use_one_thread

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


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
    root: options.Root,
    out: Annotated[str, typer.Option("--out", metavar="PREPARED", help="Folder or fsspec address.")],
    dataset: options.DatasetName = "auto",
    views: options.Views = None,
    fma_exact: options.FmaExact = False,
    jobs: options.Jobs = None,
    artists: options.Artists = None,
    split_files: options.SplitFiles = None,
    label: options.Label = None,
    split_column: options.SplitColumn = None,
    artist_column: options.ArtistColumn = None,
    id_column: options.IdColumn = None,
    drop: options.Drop = None,
    impute: options.Impute = None,
    as_json: options.AsJson = False,
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
    prepared: options.Prep,
    out: options.RunOut,
    models: options.Models = "all",
    split: options.Split = "auto",
    epochs: options.Epochs = 100,
    seed: options.Seed = 42,
    preset: options.Preset = "default",
    view: options.View = None,
    pca: options.Pca = None,
    class_weight: options.ClassWeight = "auto",
    imagenet_weights: options.Weights = "auto",
    fine_tune: options.FineTune = 0,
    strategy: options.Strategy = "auto",
    strict: options.Strict = False,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
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
    root: options.Root,
    out: options.RunOut,
    dataset: options.DatasetName = "auto",
    views: options.Views = None,
    fma_exact: options.FmaExact = False,
    jobs: options.Jobs = None,
    artists: options.Artists = None,
    split_files: options.SplitFiles = None,
    label: options.Label = None,
    split_column: options.SplitColumn = None,
    artist_column: options.ArtistColumn = None,
    id_column: options.IdColumn = None,
    drop: options.Drop = None,
    impute: options.Impute = None,
    prepared: Annotated[str | None, typer.Option(help="Where PREPARED goes.  [default: RUN/prepared]")] = None,
    models: options.Models = "all",
    split: options.Split = "auto",
    epochs: options.Epochs = 100,
    seed: options.Seed = 42,
    preset: options.Preset = "default",
    view: options.View = None,
    pca: options.Pca = None,
    class_weight: options.ClassWeight = "auto",
    imagenet_weights: options.Weights = "auto",
    fine_tune: options.FineTune = 0,
    strategy: options.Strategy = "auto",
    strict: options.Strict = False,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
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
    run: Annotated[str, typer.Argument(metavar="RUN", help="What `train` or `run` wrote.")],
    as_json: options.AsJson = False,
) -> None:
    """Write leaderboard, pictures and page of a run again, and print the leaderboard.

    Example: genrelab report runs/first
    """
    from genrelab.report import build
    from genrelab.storage import Folder

    console.leaderboard(build(Folder(run)), as_json, run)


@app.command()
@console.command
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
        from genrelab.parity import check as program

        found = program(model, files, console.say)
        console.parity(found, as_json)
        if not found.ok:
            raise typer.Exit(1)
        return
    if files or form is None:
        raise typer.BadParameter("give --format, or --check with FILEs")
    from genrelab.export import export as write

    console.exported(write(model, form, out, overwrite=overwrite), as_json)


@app.command()
@console.command
def predict(
    names: Annotated[list[str], typer.Argument(metavar="FILE|DIR|-…", help="Files, folders, or - for a list of them.")],
    model: options.Model = None,
    top: Annotated[int | None, typer.Option(min=1, help="How many genres to print.  [default: 3; --json: all]")] = None,
    timeline: Annotated[bool, typer.Option("--timeline", help="Print what is said of every window, too.")] = False,
    windows: options.Windows = None,
    jobs: options.Jobs = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Hear everything, and remember nothing.")] = False,
    as_json: options.AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the result as CSV on standard output.")] = False,
) -> None:
    """Classify files, whole folders, or a list on standard input; what did not change since is not heard again.

    Exit 1 where a file could not be classified: its row says why, and the others go on.

    Example: genrelab predict song.mp3
    """
    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv are two forms of one result: give one of them")
    use_one_thread()
    from genrelab import answers
    from genrelab.predict import load_bundle

    bundle = load_bundle(model).with_windows(windows)
    form = "json" if as_json else "csv" if as_csv else "table"
    if not answers.predict(bundle, names, form=form, top=top, timeline=timeline, jobs=jobs, fresh=fresh):
        raise typer.Exit(1)


@app.command()
@console.command
def tag(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of music.")],
    model: options.Model = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change; write nothing.")] = False,
    min_confidence: options.MinConfidence = 0.5,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Also where a file has a genre already.")] = False,
    subgenre_field: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Write into this field, such as SUBGENRE, and leave the genre as it is."),
    ] = None,
    jobs: options.Jobs = None,
    as_json: options.AsJson = False,
) -> None:
    """Write the genre into the tags of files that have none; the audio stays, and `untag` takes it back.

    Files with a genre are not even heard, unless --overwrite is given. Exit 1 where a file could not be tagged.

    Example: genrelab tag ~/Music --dry-run
    """
    use_one_thread()
    from genrelab import library as program

    settings = program.TagSettings(min_confidence, overwrite, subgenre_field, dry_run)
    with console.rows(as_json) as rows, program.listening(model, jobs) as (hear, touched):
        rows.journal = program.tag(folder, hear, settings, rows.show, touched)


@app.command()
@console.command
def untag(
    journal: Annotated[Path, typer.Argument(metavar="JOURNAL", help="DIR/.genrelab/tags-<time>.jsonl, by `tag`.")],
    as_json: options.AsJson = False,
) -> None:
    """Restore the tags that a journal of `tag` remembers, byte for byte.

    Tags that were edited since stay; of those files only the genre is restored. Exit 1 where a file is gone or changed.

    Example: genrelab untag ~/Music/.genrelab/tags-20260131T120000Z.jsonl
    """
    from genrelab import untag as program

    with console.rows(as_json) as rows:
        program.untag(journal, rows.show)


@app.command()
@console.command
def playlists(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of music.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the playlists.")],
    model: options.Model = None,
    min_confidence: options.MinConfidence = 0.5,
    jobs: options.Jobs = None,
    as_json: options.AsJson = False,
) -> None:
    """Write one M3U8 for each genre, the surest tracks first, and unsure.m3u8. Exit 1 where a file could not be heard.

    Example: genrelab playlists ~/Music --out ~/Music/playlists
    """
    use_one_thread()
    from genrelab import library
    from genrelab import playlists as program

    with console.bar("Listening") as progress, library.listening(model, jobs, progress) as (hear, _):
        written = program.playlists(folder, out, hear, min_confidence)
    console.playlists(written, as_json)


@app.command()
@console.command
def doctor(model: options.Model = None, as_json: options.AsJson = False) -> None:
    """Check this machine: packages, decoders, the model, the cache, room. Exit 1 where something must be repaired.

    Example: genrelab doctor
    """
    from genrelab.doctor import examine

    console.findings(examine(model), as_json)


def main() -> None:
    """The command `genrelab`."""
    app(prog_name="genrelab")
