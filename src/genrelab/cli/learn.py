"""The command `learn`: your own genres from labelled music, and what it prints."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genrelab.cli import console, options
from genrelab.core.errors import printable
from genrelab.core.processes import use_one_thread
from genrelab.core.text import percent, pluralize

if TYPE_CHECKING:
    from genrelab.runs.learn_result import LearnResult

MAX_FAILED = 10
"""Files that cannot be used are named up to this number; the card and --json have all."""


class LabelSource(StrEnum):
    """Where the genres of `learn` are."""

    FOLDERS = "folders"
    TAGS = "tags"


def learn(
    root: Annotated[Path, options.path_argument("FOLDER", "Music, one folder per genre.")],
    out: Annotated[Path, options.path_option("BUNDLE", "Folder for the model.")],
    labels: Annotated[
        LabelSource, options.value_option("folders|tags", "Where the genres are: names of folders, or the files' tags.")
    ] = LabelSource.FOLDERS,
    all_values: Annotated[
        bool, options.flag("--all-values", "Use all genres in a file's tags, not only the first.")
    ] = False,
    artists: options.Artists = None,
    corrections: Annotated[
        Path | None,
        typer.Option(
            parser=options.parse_path,
            metavar="FILE",
            help="CSV with the columns path (below FOLDER, or absolute) and genre (empty: leave the file out).",
        ),
    ] = None,
    group_column: options.GroupColumn = None,
    keep_spellings: options.KeepSpellings = False,
    jobs: options.Jobs = None,
    as_json: options.AsJson = False,
) -> None:
    """Train on your own genres: five tracks of each suffice.

    The first time it takes about a minute, later seconds; TensorFlow is not needed. Prints the accuracy on tracks of
    artists that it was not trained on, and which genre needs more tracks. Files that cannot be used are named.

    Example: genrelab learn ~/Music/by-genre --out my-genres && genrelab tag ~/Music --model my-genres --dry-run
    """
    use_one_thread()
    from genrelab.runs import learn as program

    settings = program.LearnSettings(
        labels.value, all_values, artists, corrections, keep_spellings, jobs, group_column=group_column
    )
    with console.progress_bar("Reading") as progress:
        result = program.learn(root, out, settings, notify=console.notify, progress=progress)
    typer.echo(json.dumps(result.to_json(), indent=1) if as_json else text(result, root))


def text(result: LearnResult, root: Path) -> str:
    """The printed result: accuracy, genres, failed files, what to do next."""
    from genrelab.cli.output.writers import padded, text_width  # late: --help needs no NumPy

    lines = [f"{pluralize(result.n_tracks, 'training track')} by {pluralize(result.n_artists, 'known artist')}."]
    lines += _score_lines(result)
    width = max(5, *(text_width(printable(g.genre)) for g in result.genres))
    lines += ["", f"{'genre':<{width}}  tracks  recognised  needs"]
    for g in result.genres:
        recall = "–" if g.recall is None else percent(g.recall)
        lines.append(
            f"{padded(printable(g.genre), width)}  {g.tracks:>6,}  {recall:>10}  {printable(g.advice)}".rstrip()
        )
    lines += ["", *map(printable, result.notes)] if result.notes else []
    if result.failed:
        lines += ["", f"{pluralize(result.failed, 'file')} could not be used:"]
        lines += [f"  {printable(path)}: {printable(why)}" for path, why in list(result.failed.items())[:MAX_FAILED]]
        rest = len(result.failed) - MAX_FAILED
        lines += [f"  and {rest:,} more, listed in {result.bundle / 'README.md'}"] if rest > 0 else []
    lines += ["", f"The model is in {printable(str(result.bundle))}. Try it:"]
    lines += [f"  {console.command_line(c, root, '--model', result.bundle, *more)}"
              for c, more in (("predict", ()), ("tag", ("--dry-run",)))]  # fmt: skip
    return "\n".join(lines)


def _score_lines(result: LearnResult) -> list[str]:
    s = result.scores
    if s is None:
        return [
            "Accuracy unknown: fewer than 20 tracks could be held out, since test artists must not be training "
            "artists. 20 tracks per genre, by several artists, are enough."
        ]
    what = "by other artists" if result.n_artists else "held out from training"
    n_genres = sum(g["n"] > 0 for g in s["per_genre"].values())
    return [
        f"{percent(s['accuracy'])} of {pluralize(s['n'], 'track')} {what} are classified correctly (95 % interval: "
        f"{percent(s['accuracy_low'])} to {percent(s['accuracy_high'])}; chance: {percent(1 / n_genres)})."
    ]
