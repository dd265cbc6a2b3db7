"""`genrelab export`: a trained model in another format, or prepared tracks as records of the article."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genrelab.cli import console, options
from genrelab.cli.output import tables

RECORDS = "tfrecord-article"
"""The format that prepared tracks have, and models do not."""


def export(
    source: Annotated[
        str,
        typer.Argument(
            metavar="RUN/MODEL|PREPARED", help="A trained model, or a BUNDLE; for tfrecord-article: PREPARED."
        ),
    ],
    files: Annotated[list[Path] | None, typer.Argument(metavar="FILE…", help="With --check: audio files.")] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="onnx, litert, saved-model or waveform-onnx; of PREPARED: tfrecord-article.",
        ),
    ] = None,
    out: Annotated[
        Path | None, options.value_option("FOLDER", "Folder for the export.  [default: RUN/MODEL/export/FORMAT]")
    ] = None,
    records_view: Annotated[
        str | None,
        typer.Option("--view", metavar="NAME", help="tfrecord-article: samples or mel_image.  [default: samples]"),
    ] = None,
    shards: Annotated[
        int | None, typer.Option(min=3, metavar="N", help="tfrecord-article: number of files.  [default: 16]")
    ] = None,
    overwrite: Annotated[
        bool, options.flag("--overwrite", "Replace an earlier export even if other files were added to it.")
    ] = False,
    check: Annotated[
        bool, options.flag("--check", "Check that all formats give equal probabilities; exit 1 if not.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Convert a model to another format, or check the formats.

    With --format tfrecord-article it writes the tracks of PREPARED as the TFRecords of Hermez et al. 2020.

    Example: genrelab export runs/first/mobilenet_v2 --format waveform-onnx
    """
    if (records_view or shards) and (form != RECORDS or check):
        raise typer.BadParameter(f"--view and --shards belong to --format {RECORDS}")
    if check:
        if not files or form or out or overwrite:
            raise typer.BadParameter(
                "--check needs audio files, and cannot be used with --format, --out or --overwrite"
            )
        _check_parity(source, files, as_json)
        return
    if files or form is None:
        raise typer.BadParameter("give --format, or --check with audio files")
    if form == RECORDS:
        folder = _export_records(source, out, records_view, shards, overwrite)
    else:
        from genrelab.export.export import export as write

        folder = write(source, form, out, overwrite=overwrite)
    tables.exported(folder, as_json)


def _check_parity(model: str, files: list[Path], as_json: bool) -> None:
    from genrelab.export.parity_check import check_parity

    found = check_parity(model, files, console.notify)
    tables.parity(found, as_json)
    if not found.ok:
        raise typer.Exit(1)


def _export_records(prepared: str, out: Path | None, view: str | None, shards: int | None, overwrite: bool) -> Path:
    from genrelab.export import article_records as program

    if out is None:
        raise typer.BadParameter(f"--format {RECORDS} needs a folder for the records: give --out FOLDER")
    return program.export_article_records(
        prepared, out, view=view or program.VIEWS[0], n_shards=shards or program.SHARDS, overwrite=overwrite,
        notify=console.notify,
    )  # fmt: skip
