"""The command `serve`: predictions over HTTP, and the web page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from genrelab.cli import options
from genrelab.core.errors import printable
from genrelab.core.processes import available_cores

if TYPE_CHECKING:
    from genrelab.serve.model_store import ModelStore


def serve(
    model: Annotated[
        list[str] | None,
        options.value_option(
            "[NAME=]BUNDLE",
            "Repeatable: clients choose a model by NAME; the first is the default.  [default: the same as predict]",
        ),
    ] = None,
    host: Annotated[
        str,
        options.value_option(
            "HOST", "Address to listen on; one that other machines can reach needs a --token (or --insecure)."
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="0 uses a free port.")] = 8000,
    token: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            envvar="GENRELAB_TOKEN",
            show_envvar=False,
            help="Token that clients must send. $GENRELAB_TOKEN is safer: other users of this machine can see options.",
        ),
    ] = None,
    insecure: Annotated[bool, options.flag("--insecure", "Accept clients without a token, and any host name.")] = False,
    watch: Annotated[bool, options.flag("--watch", "Reload a bundle when it changes (SIGHUP: now).")] = False,
    allow_origin: Annotated[
        list[str] | None,
        options.value_option(
            "URL", "Web site whose pages may use this service, such as https://example.org; repeatable."
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Worker processes.  [default: one per core]")
    ] = None,
    queue: Annotated[
        int, typer.Option(min=0, metavar="N", help="Maximum number of files in the queue; further ones get status 429.")
    ] = 16,
    max_upload: Annotated[float, typer.Option(min=0.001, metavar="MB", help="Maximum size of a file.")] = 64.0,
    max_seconds: Annotated[float, typer.Option(min=1, metavar="SECONDS", help="Maximum duration of a file.")] = 1200.0,
    timeout: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Time limit for a file.")] = 20.0,
    streams: Annotated[
        int, typer.Option(min=0, metavar="N", help="Maximum number of live streams at a time; each uses a process.")
    ] = 4,
    min_precision: options.MinPrecision = None,
    access_log: Annotated[bool, options.flag("--access-log", "Log one line per request.")] = False,
) -> None:
    """Serve a web page and an HTTP API that classify songs.

    The API is described at /docs. After Ctrl-C or SIGTERM the service finishes the files in the queue, then stops.

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
    typer.echo(f"{names}: listening on {address} (Ctrl-C stops it)")
