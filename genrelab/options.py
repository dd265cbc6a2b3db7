"""Leaf: options and arguments that several commands share, each with its one sentence of help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def path_of(text: str) -> Path:
    """A path that was named: an unset variable of a shell must not mean the current folder."""
    if not text:
        raise typer.BadParameter("an empty name: is a variable unset?")
    return Path(text)


Root = Annotated[
    Path,
    typer.Argument(parser=path_of, metavar="ROOT", help="A folder of music, FMA, GTZAN, or a table (.csv, .parquet)."),
]
Prep = Annotated[str, typer.Argument(metavar="PREPARED", help="What `prepare` wrote (a folder or fsspec address).")]
RunOut = Annotated[str, typer.Option("--out", metavar="RUN", help="Folder (or fsspec address) for the results.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
DatasetName = Annotated[
    str, typer.Option("--dataset", help="auto, fma-small|medium|large|full, gtzan, folder or table.")
]
Views = Annotated[
    str | None,
    typer.Option(help="statistics,samples,mel_image,log_mel,descriptors,frames or all.  [default: first three]"),
]
FmaExact = Annotated[
    bool, typer.Option("--fma-exact", help="Statistics at the native rate with FMA's quirk, as in its features.csv.")
]
Jobs = Annotated[int | None, typer.Option(min=1, help="Worker processes.  [default: one a core]")]
Model = Annotated[
    Path | None,
    typer.Option(
        "--model",
        parser=path_of,
        metavar="BUNDLE",
        help="RUN/MODEL/bundle.  [default: $GENRELAB_MODEL, else the starter]",
    ),
]


def _windows(text: str) -> int | str:
    if text == "all" or (text.isascii() and text.isdigit() and int(text) > 0):
        return text if text == "all" else int(text)
    raise typer.BadParameter(f"{text!r} is neither a number above 0 nor all")


Windows = Annotated[
    Any,
    typer.Option(
        "--windows", parser=_windows, metavar="N|all", help="Stretches of each track to hear.  [default: the model's]"
    ),
]
MinConfidence = Annotated[float, typer.Option(min=0.0, max=1.0, help="Below it an answer counts as unsure.")]
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
    str | None,
    typer.Option(help="What classical models read: statistics, table, descriptors or frames (with --pca)."),
]
Pca = Annotated[float | None, typer.Option(help="Below 1 a share of the variance, else a number of components.")]
ClassWeight = Annotated[str, typer.Option(help="auto, balanced or none.")]
Weights = Annotated[str, typer.Option(help="auto, a file, or none (random initialisation, said so in every table).")]
FineTune = Annotated[int, typer.Option(help="mobilenet_v2: train the last N blocks of the base, too.")]
Strategy = Annotated[str, typer.Option(help="auto, cpu, gpu or tpu.")]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at a corrupt record instead of counting it.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with an interrupted training in RUN.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the results that RUN holds.")]
