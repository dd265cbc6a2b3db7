"""The list of all commands, in the order of their use; each is in `make.py`, `use.py`, `library.py` or `serve.py`.

Nothing heavy is imported at the top: `genrelab --help` answers in a fraction of a second.
"""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from genrelab.cli import console, learn, library, make, serve, use

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.callback()
def _genrelab(
    version: Annotated[bool, typer.Option("--version", is_eager=True, callback=console.version)] = False,
) -> None:
    """From a folder of music to an honest genre classifier, and from that classifier to any library."""


for _command in (
    make.demo,
    make.download,
    make.bench,
    make.prepare,
    make.train,
    make.tune,
    make.run,
    make.report,
    make.explore,
    make.relabel,
    make.export,
    learn.learn,
    use.predict,
    library.tag,
    library.untag,
    library.playlists,
    serve.serve,
    use.doctor,
):
    app.command()(console.command(_command))


def main() -> None:
    """The command `genrelab`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # closed ones are None
            stream.reconfigure(errors="backslashreplace")  # a character that the terminal lacks must not abort a run
    app(prog_name="genrelab")
