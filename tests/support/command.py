"""The command line, called in this process or started as one."""

from __future__ import annotations

import signal

from typer.testing import CliRunner

from genrelab.cli.main import app


def call(*words: object) -> tuple[int, str, str]:
    """Exit status, standard output, standard error of a command."""
    result = CliRunner().invoke(app, [str(w) for w in words])
    return result.exit_code, result.stdout, result.stderr


def interruptible() -> None:
    """For `preexec_fn`: where tests run in the background of a shell, SIGINT is ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
