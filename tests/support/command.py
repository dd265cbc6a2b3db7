"""The command line, called in this process."""

from __future__ import annotations

from typer.testing import CliRunner

from genrelab.cli.main import app


def call(*words: object) -> tuple[int, str, str]:
    """Exit status, standard output, standard error of a command."""
    result = CliRunner().invoke(app, [str(w) for w in words])
    return result.exit_code, result.stdout, result.stderr
