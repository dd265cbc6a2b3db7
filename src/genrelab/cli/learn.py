"""The command `learn`: own genres from labelled music, and what it prints."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genrelab.cli import console, options
from genrelab.core.errors import printable
from genrelab.core.processes import use_one_thread
from genrelab.core.text import pluralize

if TYPE_CHECKING:
    from genrelab.runs.learn_result import LearnResult

MAX_FAILED = 10
"""Files that cannot be used are named up to this number; the card and --json have all."""


def learn(
    root: Annotated[Path, typer.Argument(parser=options.parse_path, metavar="DIR", help="Music, a folder per genre.")],
    out: Annotated[
        Path, typer.Option("--out", parser=options.parse_path, metavar="BUNDLE", help="Folder for the model.")
    ],
    labels: Annotated[str, typer.Option(help="folders, or tags: the genres in the files' own tags.")] = "folders",
    all_values: Annotated[
        bool, typer.Option("--all-values", help="Of several genres in a file's tags learn each, not only the first.")
    ] = False,
    artists: options.Artists = None,
    corrections: Annotated[
        Path | None,
        typer.Option(
            parser=options.parse_path,
            metavar="FILE",
            help="CSV with the columns path and genre: your decisions; no genre leaves a file out.",
        ),
    ] = None,
    group_column: options.GroupColumn = None,
    keep_spellings: options.KeepSpellings = False,
    jobs: options.Jobs = None,
    as_json: options.AsJson = False,
) -> None:
    """Learn your own genres from five tracks each or more; needs no TensorFlow and takes about a minute.

    Prints how often it is right about artists that it has not learned from, and which genre needs more tracks. Files
    that cannot be used are named, and the others are learned from. A second time takes seconds.

    Example: genrelab learn ~/Music/by-genre --out my-genres && genrelab tag ~/Music --model my-genres --dry-run
    """
    use_one_thread()
    from genrelab.runs import learn as program

    settings = program.LearnSettings(
        labels, all_values, artists, corrections, keep_spellings, jobs, group_column=group_column
    )
    with console.progress_bar("Reading") as progress:
        result = program.learn(root, out, settings, notify=console.notify, progress=progress)
    typer.echo(json.dumps(result.to_json(), indent=1) if as_json else text(result, root))


def text(result: LearnResult, root: Path) -> str:
    """What a person reads: the score, the genres, what went wrong, what now."""
    from genrelab.cli.output.writers import padded, text_width  # late: --help needs no NumPy

    lines = [f"Learned from {pluralize(result.n_tracks, 'track')} of {pluralize(result.n_artists, 'known artist')}."]
    lines += _score_lines(result)
    width = max(5, *(text_width(printable(g.genre)) for g in result.genres))
    lines += ["", f"{'genre':<{width}}  tracks  recognised  needs"]
    for g in result.genres:
        recall = "-" if g.recall is None else f"{g.recall:.0%}"
        lines.append(f"{padded(printable(g.genre), width)}  {g.tracks:>6}  {recall:>10}  {printable(g.advice)}")
    lines += ["", *map(printable, result.notes)] if result.notes else []
    if result.failed:
        lines += ["", f"{pluralize(result.failed, 'file')} could not be used:"]
        lines += [f"  {printable(path)}: {printable(why)}" for path, why in list(result.failed.items())[:MAX_FAILED]]
        rest = len(result.failed) - MAX_FAILED
        lines += [f"  and {rest} more: all stand in {result.bundle / 'README.md'}"] if rest > 0 else []
    lines += ["", f"The model is in {printable(str(result.bundle))}. Try it:"]
    for words in (["predict", "SONG", "--model", result.bundle], ["tag", root, "--model", result.bundle, "--dry-run"]):
        lines.append(f"  {shlex.join([*console.program_command(), *map(str, words)])}")
    return "\n".join(lines)


def _score_lines(result: LearnResult) -> list[str]:
    s = result.scores
    if s is None:
        return ["Not scored: too few tracks could be held out. Twenty tracks by several artists a genre are enough."]
    what = "artists that it has not learned from" if result.n_artists else "tracks that it has not learned from"
    return [
        f"On {what} it is right for {s['accuracy']:.0%} of {pluralize(s['n'], 'track')} (95 % interval "
        f"{s['accuracy_low']:.0%} to {s['accuracy_high']:.0%}); guessing is right for {1 / len(result.genres):.0%}."
    ]
