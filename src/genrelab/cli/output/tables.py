"""Print results on stdout, as tables or as JSON."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from genrelab.cli.console import command_line, program_command
from genrelab.core.errors import printable
from genrelab.core.text import pluralize

if TYPE_CHECKING:
    from genrelab.bench.bench import Bench
    from genrelab.cli.options import SourceOptions
    from genrelab.doctor.machine import Finding
    from genrelab.export.parity_check import ParityReport
    from genrelab.report.report import Leaderboard
    from genrelab.report.run_comparison import RunComparison


def leaderboard(board: Leaderboard, as_json: bool, run: str) -> None:
    """The leaderboard as a table with the paths of the results, or as the content of leaderboard.json."""
    from rich.console import Console

    from genrelab.report.report import print_leaderboard

    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(board), indent=1))
        return
    width = None if sys.stdout.isatty() else 160
    print_leaderboard(board, Console(width=width))
    run = run.rstrip("/")
    typer.echo(
        f"\nPage:        {run}/report.html\nLeaderboard: {run}/leaderboard.md\nBundles:     {run}/<model>/bundle"
    )
    best = next((row for row in board.rows if row.folder == board.to_use), board.rows[0])
    if best.view != "table":  # such a model takes no audio
        bundle = f"{run}/{best.folder}/bundle"
        typer.echo(f"Next:        {command_line('predict', 'song.mp3', '--model', bundle)}")


def studies(run: str, names: Collection[str], as_json: bool, prepared: str) -> None:
    """The tables of the requested studies, and how to go on.

    Args:
        prepared: the preparation that the run was trained on.
    """
    if as_json:
        return
    from importlib import import_module

    from genrelab.core.storage import Folder

    for name in names:
        module = import_module(f"genrelab.studies.{name.replace('-', '_')}")
        if Folder(run).exists(module.FILE):
            _print_table(name.replace("-", " "), module.HEADERS, module.table(Folder(run).read_json(module.FILE)))

    if "doubts" in names:
        out = f"{run.rstrip('/')}-relabelled" if Folder(run).is_local else "relabelled"  # a table is read from a disk
        typer.echo(
            f"Labels in doubt: fill in `decision` (accept or reject) in {run.rstrip('/')}/doubts.csv, then\n"
            f"  {command_line('relabel', prepared, run, '--out', out)}"
        )


def relabelled(n: int, out: str) -> None:
    """The number of relabelled tracks, and how to use the table.

    Args:
        out: the folder that holds relabelled.csv.
    """
    from genrelab.core.storage import Folder

    out = out.rstrip("/")
    table = f"{out}/relabelled.csv"
    typer.echo(f"{pluralize(n, 'track')} relabelled: {table}")
    if Folder(out).is_local:
        typer.echo(f"Next: {command_line('run', table, '--out', f'{out}/run')}")
    else:
        typer.echo(f"Next: copy it to this disk, then {command_line('run', 'relabelled.csv', '--out', f'{out}/run')}")


def bench(found: Bench, as_json: bool, source: SourceOptions | None) -> None:
    """Measurements and predictions, as tables and sentences or as one object."""
    from genrelab.bench import summary

    root = None if source is None else str(source.root)
    command = summary.recommended_command(found, program_command(), root, options=_source_words(source))
    if as_json:
        typer.echo(json.dumps({**dataclasses.asdict(found), "command": command}, indent=1))
        return
    what = f"{found.source}, means of {pluralize(found.heard, 'track')}, one core"
    _print_table(f"Stages: {what}", summary.STAGE_HEADERS, summary.stage_rows(found), left=1)
    workers = pluralize(found.forecast.jobs, "worker")
    _print_table(
        f"Predicted, prepare with {workers}", summary.forecast_headers(found), summary.forecast_rows(found), left=1
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


def _source_words(source: SourceOptions | None) -> list[str]:
    """The options that `prepare` needs to read the source as `bench` did."""
    if source is None:
        return []
    given = {"--dataset": source.dataset, "--label": source.label, "--id-column": source.id_column}
    return [word for name, value in given.items() if value not in (None, "auto") for word in (name, str(value))]


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


def tuning(found: dict[str, Any], as_json: bool, prepared: str, run: str) -> None:
    """The result of a hyper-parameter search, and how to use it."""
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    best = ", ".join(f"{name} {value}" for name, value in found["best"]["params"].items())
    typer.echo(f"Best of {pluralize(len(found['trials']), 'trial')}: {printable(best)}")
    typer.echo(f"Trials:  {run.rstrip('/')}/tune/{found['model']}/trials.json, parameters.png")
    trained = f"{run.rstrip('/')}-trained"
    typer.echo(f"Next:    {command_line('train', prepared, '--out', trained, '--from-study', run)}")


def run_comparison(found: RunComparison, as_json: bool, page: Path | None) -> None:
    """Models of several runs in one ranking, and the runs that cannot be ranked, with the reason."""
    if as_json:
        ranked = [{"run": run.name, **dataclasses.asdict(row)} for run, row in found.ranked]
        unranked = [{"run": run.name, "reason": reason} for run, reason in found.unranked]
        typer.echo(json.dumps({"ranked": ranked, "unranked": unranked, "winner": found.winner}, indent=1))
        return
    typer.echo(found.first.board.facts)
    for run, row in found.ranked:
        typer.echo(f"  {printable(run.name)}: {printable(row.model)} ({row.view}): {row.cells[2]}")
    typer.echo(printable(found.winner))
    for run, reason in found.unranked:
        typer.echo(f"\nNot ranked: {printable(run.name)}: {printable(reason)}")
        for row in run.board.rows:
            typer.echo(f"  {printable(row.model)} ({row.view}): {row.cells[2]}")
    typer.echo(f"\nPage: {page}" if page is not None else "\n--out PAGE writes this as a page")


def exported(folder: Path, as_json: bool) -> None:
    """The path of an export, or the content of its settings.json with the `path`."""
    if not as_json:
        typer.echo(str(folder))
        return
    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    typer.echo(json.dumps({"path": str(folder), **settings}, indent=1))


def parity(found: ParityReport, as_json: bool) -> None:
    """The differences between the formats of a model, as a table or as an object."""
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=1))
        return
    typer.echo(f"{found.model} on {len(found.files)} files; a probability may differ by {found.limit:g}\n")
    typer.echo(f"{'path':<15}{'largest difference':<20}{'ok':<4}")
    for row in found.paths:
        difference = "–" if row.largest_difference is None else f"{row.largest_difference:.1e}"
        ok = {True: "yes", False: "NO", None: "–"}[row.ok]
        typer.echo(f"{row.path:<15}{difference:<20}{ok:<4}{printable(row.note)}".rstrip())


def findings(found: Iterable[Finding], as_json: bool) -> None:
    """A check-up, each line as soon as it is known; exit 1 if something must be repaired."""
    all_findings = []
    for f in found:
        all_findings.append(f)
        if not as_json:
            finding(f.state, f.part, f.name, f.found, f.remedy)
    broken = [f.name for f in all_findings if f.state == "repair"]
    if as_json:
        typer.echo(json.dumps({"ok": not broken, "findings": [dataclasses.asdict(f) for f in all_findings]}, indent=1))
    else:
        typer.echo(f"\nTo be repaired: {', '.join(broken)}" if broken else "\nAll is well.")
    if broken:
        raise typer.Exit(1)


def finding(state: str, part: str, name: str, found: str, remedy: str | None = None) -> None:
    """One line of a check-up, and its remedy on the next."""
    typer.echo(f"{state.upper() if state == 'repair' else state:<7} {part:<9} {name:<16} {printable(found)}")
    if remedy:
        typer.echo(f"{'':<35}→ {printable(remedy)}")
