"""Prints results on stdout, as tables or as JSON."""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
from collections.abc import Collection, Iterable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from genrelab.cli.console import command_line, is_verbose, program_command
from genrelab.core.errors import printable
from genrelab.core.storage import Folder
from genrelab.core.text import pluralize

if TYPE_CHECKING:
    from genrelab.bench.bench import Bench
    from genrelab.cli.options import SourceOptions
    from genrelab.cli.run_options import FitOptions
    from genrelab.export.parity_check import ParityReport
    from genrelab.report.report import Leaderboard
    from genrelab.report.run_comparison import RunComparison


def finished_run(
    board: Leaderboard,
    run: str,
    studies: Collection[str],
    as_json: bool,
    prepared: str | None = None,
) -> None:
    """The leaderboard, the requested studies and how to go on; or the content of leaderboard.json.

    Args:
        prepared: the preparation that the run was trained on.  [default: RUN/prepared]
    """
    prepared = prepared or f"{run.rstrip('/')}/prepared"
    if as_json:
        typer.echo(json.dumps(board.to_json(), indent=1))
        return
    leaderboard(board, run)
    for name in studies:
        _print_study(run, name)
    if "doubts" in studies:
        how_to_relabel(run, prepared)
    best = next((row for row in board.rows if row.folder == board.conclusion.recommended), None)
    if best is not None and best.view != "table":  # a model of tables takes no audio
        bundle = f"{run.rstrip('/')}/{best.folder}/bundle"
        typer.echo(f"Next:        {command_line('predict', _test_track(run) or 'FILE', '--model', bundle)}")


def leaderboard(board: Leaderboard, run: str) -> None:
    """The leaderboard as a table, and the paths of the results."""
    from rich.console import Console

    from genrelab.report.report import print_leaderboard

    print_leaderboard(board, Console(width=None if sys.stdout.isatty() else 160), verbose=is_verbose())
    typer.echo(
        f"\nPage:        {_quoted(run, 'report.html')}\nLeaderboard: {_quoted(run, 'leaderboard.md')}\n"
        f"Bundles:     {_quoted(run, board.rows[0].folder, 'bundle')}"
        + (f" and {len(board.rows) - 1:,} more" if board.rows[1:] else "")
    )


def how_to_relabel(run: str, prepared: str) -> None:
    """Print how to accept or reject the doubts of a run."""
    out = f"{run.rstrip('/')}-relabelled" if Folder(run).is_local else "relabelled"  # a table is read from a disk
    typer.echo(
        f"Labels:      write accept or reject into the column decision of {_quoted(run, 'doubts.csv')}, then\n"
        f"             {command_line('relabel', prepared, run, '--out', out)}"
    )


def _print_study(run: str, name: str) -> None:
    module = import_module(f"genrelab.studies.{name.replace('-', '_')}")
    if Folder(run).exists(module.FILE):
        _print_table(name.replace("-", " "), module.HEADERS, module.table(Folder(run).read_json(module.FILE)))


def _test_track(run: str) -> Path | None:
    """The audio file of the first test track, if it is on this disk."""
    from genrelab.records.prepared import read_parquet  # late: --help needs no pyarrow

    tracks = read_parquet(Folder(run), "split.parquet").to_pydict()
    root = Folder(run).read_json("run.json")["dataset"].get("root") or ""
    file = Path(root) / str(tracks["path"][tracks["role"].index("score")])
    return file if file.is_file() else None


def _quoted(folder: str, *names: str) -> str:
    """A path as a shell reads it."""
    return shlex.quote("/".join((folder.rstrip("/"), *names)))


def relabelled(n: int, out: str) -> None:
    """Print the number of relabelled tracks, and how to use the table.

    Args:
        out: the folder that holds relabelled.csv.
    """
    out = out.rstrip("/")
    table = f"{out}/relabelled.csv"
    typer.echo(f"{pluralize(n, 'track')} relabelled: {shlex.quote(table)}")
    if Folder(out).is_local:
        typer.echo(f"Next: {command_line('run', table, '--out', f'{out}/run')}")
    else:
        command = command_line("run", "relabelled.csv", "--out", f"{out}/run")
        typer.echo(f"Next: copy this table to this disk, then {command}")


def bench(found: Bench, as_json: bool, source: SourceOptions | None) -> None:
    """Print measurements and estimates, as tables and sentences or as one object."""
    from genrelab.bench import summary

    root = None if source is None else str(source.root)
    words = [] if source is None else source.words()
    command = summary.recommended_command(found, program_command(), root, options=words)
    if as_json:
        typer.echo(json.dumps({**dataclasses.asdict(found), "heard": found.measured, "command": command}, indent=1))
        return
    title = f"Time per stage: {found.source}, mean of {pluralize(found.measured, 'track')}, one core"
    _print_table(title, summary.STAGE_HEADERS, summary.stage_rows(found), left=1)
    workers = pluralize(found.forecast.jobs, "worker")
    _print_table(
        f"Estimate for prepare with {workers}", summary.forecast_headers(found), summary.forecast_rows(found), left=1
    )
    first = found.amounts[0]
    _print_table(
        f"{printable(first.name)}, {pluralize(first.tracks, 'track')}",
        summary.PART_HEADERS,
        summary.part_rows(first),
        left=1,
    )
    for sentence in summary.sentences(found):
        typer.echo(printable(sentence))
    typer.echo(f"\nRecommended: {command}")


def _print_table(title: str, headers: Iterable[str], rows: Iterable[tuple[str, ...]], *, left: int = 2) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
    for n, name in enumerate(headers):
        table.add_column(name, justify="left" if n < left else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def tuning(found: dict[str, Any], as_json: bool, prepared: str, run: str, training: FitOptions) -> None:
    """Print the result of a hyper-parameter search with these options, and how to use it."""
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    best = ", ".join(f"{name} {value}" for name, value in found["best"]["params"].items())
    typer.echo(f"Best of {pluralize(len(found['trials']), 'trial')}: {printable(best)}")
    typer.echo(f"Trials:  {_quoted(run, 'tune', found['model'], 'trials.json')}")
    trained = f"{run.rstrip('/')}-trained"
    words = ("--models", found["model"], "--from-study", run, *_given_options(training), "--out", trained)
    if found["gain"] is None:
        return
    clear = found["gain"]["beyond_noise"]
    label = "Next:   " if clear else "It is not significantly better than the defaults. To train with it anyway:\n "
    typer.echo(f"{label} {command_line('train', prepared, *words)}")


def _given_options(training: FitOptions) -> list[str]:
    """The options that differ from their defaults, as words of a command."""
    given = [(f.name, value) for f in dataclasses.fields(training) if (value := getattr(training, f.name)) != f.default]
    return [word for n, v in given for word in (f"--{n.replace('_', '-')}", *([] if v is True else [str(v)]))]


def run_comparison(found: RunComparison, as_json: bool, page: Path | None) -> None:
    """Print the models of several runs in one ranking; of other runs why they are not in it, and what would help."""
    commands = {name: command_line(*words) for name, words in found.commands.items()}
    if as_json:
        ranked = [{"run": run.name, **dataclasses.asdict(row)} for run, row in found.ranked]
        unranked = [
            {"run": run.name, "reason": reason, "command": commands.get(run.name)} for run, reason in found.unranked
        ]
        typer.echo(json.dumps({"ranked": ranked, "unranked": unranked, "winner": found.conclusion.sentence}, indent=1))
        return
    typer.echo(found.conclusion.sentence)
    typer.echo(found.first.board.facts)
    for run, row in found.ranked:
        typer.echo(f"  {printable(run.name)}: {printable(row.model)} ({row.view}): {row.cells[2]}")
    for run, reason in found.unranked:
        typer.echo(f"\nNot comparable: {printable(run.name)}: {printable(reason)}")
        if run.name in commands:
            typer.echo(f"To make it comparable: {commands[run.name]}")
        for row in run.board.rows:
            typer.echo(f"  {printable(row.model)} ({row.view}): {row.cells[2]}")
    typer.echo(f"\nPage: {shlex.quote(str(page))}" if page is not None else "\n--out PAGE writes this as a page")


def exported(folder: Path, as_json: bool) -> None:
    """Print the path of an export, or the content of its settings.json with the `path`."""
    if not as_json:
        typer.echo(str(folder))
        return
    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    typer.echo(json.dumps({"path": str(folder), **settings}, indent=1))


def parity(found: ParityReport, as_json: bool) -> None:
    """Print the differences between the formats of a model, as a table or as an object."""
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=1))
        return
    typer.echo(f"{found.model}, {pluralize(found.files, 'file')}: probabilities may differ by up to {found.limit:g}\n")
    typer.echo(f"{'path':<15}{'largest difference':<20}{'ok':<4}")
    for row in found.paths:
        difference = "–" if row.largest_difference is None else f"{row.largest_difference:.1e}"
        ok = {True: "yes", False: "NO", None: "–"}[row.ok]
        typer.echo(f"{row.path:<15}{difference:<20}{ok:<4}{printable(row.note)}".rstrip())
