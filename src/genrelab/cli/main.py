"""The list of all commands, in the order of their use; each is in `make.py`, `use.py`, `library.py` or `serve.py`.

No heavy library is imported at the top: `genrelab --help` takes a fraction of a second.
"""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from genrelab.cli import article, console, export, learn, library, make, serve, use
from genrelab.cli.help import GroupedCommand, expand_groups

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.callback()
def _genrelab(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=console.version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Train a genre classifier on a folder of music, see how good it really is, and use it on any library."""


for _command in (
    make.demo,
    make.download,
    make.bench,
    make.prepare,
    make.train,
    make.tune,
    make.run,
    article.article,
    make.report,
    make.explore,
    make.relabel,
    export.export,
    learn.learn,
    use.predict,
    library.tag,
    library.untag,
    library.playlists,
    serve.serve,
    use.doctor,
):
    app.command(cls=GroupedCommand)(console.command(expand_groups(_command)))


def main() -> None:
    """The command `genrelab`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # closed ones are None
            stream.reconfigure(errors="backslashreplace")  # a character that the terminal lacks must not stop a run
    app(prog_name="genrelab")
