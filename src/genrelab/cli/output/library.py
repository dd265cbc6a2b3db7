"""Prints the results of `tag`, `untag` and `playlists`: the summary first, then failures; or JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from genrelab.cli.console import command_line
from genrelab.core.errors import printable
from genrelab.core.text import percent, pluralize

if TYPE_CHECKING:
    from genrelab.tagging.journal import FieldChange
    from genrelab.tagging.playlists import PlaylistResult
    from genrelab.tagging.write_tag import TagResult

CHANGED_STATUSES = ("tagged", "would tag", "restored")


class TagResultPrinter:
    """Prints the results of `tag` and `untag`, or collects them for JSON.

    Args:
        each: print every result as it comes; otherwise only those that failed are printed, after the summary.
        changes: print changes and failures as they come, and nothing is written.

    Attributes:
        count: number of files per status.
        written: number of written genres; and of tempos and keys, if they were to be written.
        journal: path of the journal, None if nothing was written.
        plan: path of the plan, None if none was made.
    """

    def __init__(self, *, as_json: bool, each: bool, changes: bool = False) -> None:
        self.journal: Path | None = None
        self.plan: Path | None = None
        self.count: Counter[str] = Counter()
        self.written: Counter[str] = Counter()
        self._as_json, self._each, self._changes = as_json, each, changes
        self._rows: list[dict[str, Any]] = []
        self._failed: list[TagResult] = []

    def show(self, row: TagResult) -> None:
        """Print or collect the result of one file."""
        self.count[row.status] += 1
        if row.status != "restored":
            self.written.update(genre=len(row.after), **{name: len(row.music[name].after) for name in row.music})
        if self._as_json:
            self._rows.append(row.to_json())
        elif self._each or (self._changes and row.status in (*CHANGED_STATUSES, "failed")):
            _print_row(row)
        elif row.status == "failed":
            self._failed.append(row)

    def end(self) -> None:
        """Print the number of files per status, what failed, and how to go on or undo."""
        if self._as_json:
            journal = str(self.journal) if self.journal else None
            typer.echo(json.dumps({"journal": journal, "files": self._rows}, indent=1))
            return
        counts = ", ".join(f"{n:,} {status}" for status, n in self.count.items())
        fields = [field for field in ("genre", "tempo", "key") if field in self.written]
        numbers = ", ".join(pluralize(self.written[field], field) for field in fields)
        verb = "to write" if self._changes or self.plan else "written"
        written = f"; {numbers} {verb}" if len(self.written) > 1 else ""
        typer.echo(f"{pluralize(self.count.total(), 'file')}: {counts}{written}" if counts else "No files to tag.")
        for row in self._failed:
            _print_row(row)
        if self.plan:
            typer.echo(f"Apply with: {command_line('tag', '--apply', self.plan)}")
        if self.journal:
            typer.echo(f"Undo with: {command_line('untag', self.journal)}")


def _print_row(row: TagResult) -> None:
    from genrelab.tagging.classify import NO_MUSIC
    from genrelab.tagging.journal import FieldChange

    restored = row.status == "restored"
    # A confidence means nothing for what does not sound like music.
    confidence = None if row.reason == NO_MUSIC else row.confidence
    if row.music:
        genre = FieldChange(row.before, row.after, confidence)
        fields = {"genre": genre, **row.music}.items()
        parts = [_describe_field(name, one, restored=restored) for name, one in fields]
    else:
        change = _describe_change(row.before, row.after, restored=restored)
        parts = [change, percent(confidence) if confidence is not None else ""]
    details = "; ".join(printable(part) for part in (*parts, row.reason) if part)
    typer.echo(f"{row.status.upper() if row.status == 'failed' else row.status:<9} {printable(row.path)}: {details}")


def _describe_change(before: Sequence[str], after: Sequence[str], *, restored: bool) -> str:
    """`Rock → Jazz`, or only `Rock` if it stays."""
    shown, changes = ", ".join(before), after or (before and restored)
    return f"{shown or '(none)'} → {', '.join(after) or '(none)'}" if changes else shown


def _describe_field(name: str, one: FieldChange, *, restored: bool) -> str:
    """`tempo 120 → 128, 91 %`, `tempo 120` if it stays, or `tempo unsure, 31 %`."""
    change = _describe_change(one.before, one.after, restored=restored)
    stays = change and not one.after
    found = None if one.confidence is None or stays else percent(one.confidence)
    return ", ".join(filter(None, (f"{name} {change or 'unsure'}", found))) if change or found else ""


@contextmanager
def rows(*, as_json: bool, each: bool, changes: bool = False) -> Iterator[TagResultPrinter]:
    """Yield a printer for the results of `tag` and `untag`; exit 1 if a file failed."""
    printer = TagResultPrinter(as_json=as_json, each=each, changes=changes)
    try:
        yield printer
    except KeyboardInterrupt as e:
        printer.journal = getattr(e, "journal", None)  # to undo what was tagged so far
        printer.end()
        raise
    printer.end()
    if printer.count["failed"]:
        raise typer.Exit(1)


def playlists(written: PlaylistResult, *, as_json: bool) -> None:
    """The size of each playlist and the tracks that are in none; exit 1 if there are such tracks."""
    if as_json:
        lists = {str(file): n for file, n in written.files.items()}
        removed = [str(file) for file in written.removed]
        typer.echo(json.dumps({"playlists": lists, "removed": removed, "failed": written.failed}, indent=1))
    else:
        for file, n in written.files.items():
            typer.echo(f"{printable(str(file))}: {pluralize(n, 'track')}")
        for file in written.removed:
            typer.echo(f"{printable(str(file))}: removed, as it would be empty")
        for track, reason in written.failed.items():
            typer.echo(f"FAILED {printable(track)}: {printable(reason)}")
    if written.failed:
        raise typer.Exit(1)
