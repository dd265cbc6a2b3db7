"""The command `serve`: predictions over HTTP, and the web page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from genrelab.cli.use import MinPrecision
from genrelab.core.errors import printable
from genrelab.core.processes import available_cores

if TYPE_CHECKING:
    from genrelab.serve.model_store import ModelStore


def serve(
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="[NAME=]BUNDLE",
            help="Given several times, clients choose by NAME; the first is the default.  [default: as predict]",
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Where to listen; any but this machine's own needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="GENRELAB_TOKEN",
            show_envvar=False,
            help="Clients must show it; others on this machine see options: better set GENRELAB_TOKEN.",
        ),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Let others in without a token, by whatever name.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Load a bundle again when it changes (SIGHUP: once).")] = False,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="Web site whose pages may use this service, or behind which it stands: https://example.org.",
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that hear files.  [default: one a core]")
    ] = None,
    queue: Annotated[int, typer.Option(min=0, help="Files that may wait; one more is answered 429.")] = 16,
    max_upload: Annotated[float, typer.Option(min=0.001, metavar="MB", help="Size of a file.")] = 64.0,
    max_seconds: Annotated[float, typer.Option(min=1, help="Seconds of music that a file may hold.")] = 1200.0,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that hearing a file may take.")] = 20.0,
    streams: Annotated[int, typer.Option(min=0, help="Live streams at a time, each with a process of its own.")] = 4,
    min_precision: MinPrecision = None,
    access_log: Annotated[bool, typer.Option("--access-log", help="One line a request on standard error.")] = False,
) -> None:
    """Serve a page to drop songs on, and the same over HTTP: POST /v1/predict; how is told at /docs.

    Ctrl-C or SIGTERM answers what was accepted and ends.

    Example: genrelab serve --port 8000
    """
    from genrelab.serve.limits import MB, Limits
    from genrelab.serve.server import serve as program
    from genrelab.serve.settings import ServeSettings

    limits = Limits(
        upload_bytes=round(max_upload * MB), audio_s=max_seconds, classify_s=timeout,
        workers=workers or available_cores(), queue=queue, streams=streams,
    )  # fmt: skip
    settings = ServeSettings(
        models=model or (), host=host, port=port, token=token, insecure=insecure, watch=watch,
        origins=allow_origin or (), min_precision=min_precision, limits=limits, access_log=access_log,
    )  # fmt: skip
    program(settings, _print_address)


def _print_address(address: str, store: ModelStore) -> None:
    names = ", ".join(printable(model.name) for model in store.models())
    typer.echo(f"{names}: listening at {address} (Ctrl-C ends)")
