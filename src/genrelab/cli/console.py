"""Console output: messages and progress on stderr, results on stdout, an error as one line."""

from __future__ import annotations

import functools
import inspect
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from genrelab.core.errors import GenrelabError, printable
from genrelab.core.progress import Progress

Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Also print details, such as a line for each file.")]

SERVE_EXTRA = ("fastapi", "starlette", "pydantic", "uvicorn", "websockets", "python_multipart", "prometheus_client")
"""Modules that the extra `serve` installs."""


class NothingToResume(KeyboardInterrupt):
    """Ctrl-C in a command that keeps only what it printed."""


_printed: set[str] = set()
"""Messages of the present command: each is printed once."""

_verbose = False


def is_verbose() -> bool:
    """Was `--verbose` given?"""
    return _verbose


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Wrap a command: it gets `--verbose`; an error is one line and exit 1, Ctrl-C prints how to continue."""

    @functools.wraps(function)
    def wrapped(*, verbose: bool = False, **options: object) -> None:
        global _verbose
        _verbose = verbose
        _printed.clear()
        try:
            function(**options)
        except GenrelabError as e:
            _fail(str(e))
        except NothingToResume:
            print("\nInterrupted. The printed results are valid; run the same command to start over.", file=sys.stderr)
            raise typer.Exit(130) from None
        except KeyboardInterrupt as e:
            resume_command = _resume_command(function.__name__, e)
            print(f"\nInterrupted. Finished work is kept; continue with:\n  {resume_command}", file=sys.stderr)
            raise typer.Exit(130) from None
        except BrokenPipeError:  # the reader of our output has closed it
            sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 - so that the interpreter's own flush is quiet
            raise typer.Exit(1) from None
        except OSError as e:
            _fail(f"{e.filename or 'writing the result'}: {e.strerror or e}")
        except MemoryError:
            _fail("out of memory: process less at once (--jobs 1, or fewer models or views)")
        except (typer.Exit, typer.Abort, typer.BadParameter):
            raise
        except Exception as e:
            if os.environ.get("GENRELAB_DEBUG"):
                raise
            if isinstance(e, ModuleNotFoundError) and e.name and not e.name.startswith("genrelab"):
                extra = "serve" if e.name in SERVE_EXTRA else "learn" if function.__name__ == "learn" else "train"
                _fail(f"this needs {e.name}, which is not installed: pip install 'genrelab[{extra}]'")
            _fail(
                f"this is a bug in genrelab ({type(e).__name__}: {e}): set GENRELAB_DEBUG=1, run the command again, "
                "and report the bug with the output"
            )

    signature = inspect.signature(function)
    added = inspect.Parameter("verbose", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Verbose)
    wrapped.__signature__ = signature.replace(parameters=[*signature.parameters.values(), added])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {**function.__annotations__, "verbose": Verbose}
    return wrapped


def _fail(message: str) -> None:
    print(f"Error: {printable(' '.join(message.split()))}", file=sys.stderr)
    raise typer.Exit(1)


def _resume_command(name: str, interrupt: KeyboardInterrupt) -> str:
    """The command that continues. `--overwrite` is kept until RUN is started; afterwards it would lose results."""
    from genrelab.runs.run_folder import TrainingInterrupted

    words = [*program_command(), *sys.argv[1:]]
    if isinstance(interrupt, TrainingInterrupted):
        words = [w for w in words if w != "--overwrite"]
    can_resume = name in ("train", "run") and not {"--resume", "--overwrite"} & set(words)
    return shlex.join(words + (["--resume"] if can_resume else []))


def version(wanted: bool) -> None:
    """Print the version, for `--version`."""
    if wanted:
        from genrelab import __version__

        typer.echo(f"genrelab {__version__}")
        raise typer.Exit


def notify(message: str) -> None:
    """Print a message on stderr, once in a command; one that starts with two spaces only with `--verbose`."""
    same = message.strip(" .").casefold()
    if same in _printed or (message.startswith("  ") and not _verbose):
        return
    _printed.add(same)
    print(message, file=sys.stderr, flush=True)


@contextmanager
def progress_bar(title: str, unit: str = "tracks") -> Iterator[Progress]:
    """Show a progress bar with rate and time left; yields the function to call with (done, total)."""
    from rich import progress
    from rich.console import Console

    rate = progress.TransferSpeedColumn() if unit == "bytes" else _rate_column(unit)
    amount = progress.DownloadColumn() if unit == "bytes" else progress.MofNCompleteColumn()
    columns = (progress.TextColumn("{task.description}"), progress.BarColumn(), amount, rate)
    console = Console(stderr=True)
    hidden = not console.is_terminal  # no bars in log files
    with progress.Progress(
        *columns, progress.TimeRemainingColumn(), console=console, disable=hidden, redirect_stdout=False
    ) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)


@contextmanager
def download_progress(name: str) -> Iterator[Callable[[str, int, int], None]]:
    """Progress of a download, in bytes; yields the function to call with (stage, done, total or 0)."""
    with progress_bar(f"Downloading {name}", unit="bytes") as progress:

        def show(stage: str, done: int, total: int) -> None:
            if stage == "retry":
                notify(f"{name}: the connection was lost after {done / 1e6:.1f} MB; trying again")
            else:
                progress(done, total)

        yield show


def _rate_column(unit: str) -> Any:
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            if not task.speed:
                return Text("")
            slow = f"{1 / task.speed:.1f} s/{unit.removesuffix('s')}"
            return Text(slow if task.speed < 1 else f"{task.speed:.1f} {unit}/s")

    return Rate()


def command_line(*words: object) -> str:
    """A command of this program, quoted for a shell."""
    return shlex.join([*program_command(), *map(str, words)])


def program_command() -> list[str]:
    """The words that start this program: its name if it is on the PATH, else as it was called."""
    if shutil.which("genrelab"):
        return ["genrelab"]
    by_module = Path(sys.argv[0]).name == "__main__.py"
    return [sys.executable, "-m", "genrelab"] if by_module else [sys.argv[0]]
