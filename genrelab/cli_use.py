"""Program: the commands that use a model: each parses, calls one function, prints.

What they need is imported when they run, so that `--help` does not wait for it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genrelab import console, options
from genrelab.processes import use_one_thread


def predict(
    names: Annotated[list[str], typer.Argument(metavar="FILE|DIR|-…", help="Files, folders, or - for a list of them.")],
    model: options.Model = None,
    top: Annotated[int | None, typer.Option(min=1, help="How many genres to print.  [default: 3; --json: all]")] = None,
    timeline: Annotated[bool, typer.Option("--timeline", help="Print what is said of every window, too.")] = False,
    windows: options.Windows = None,
    jobs: options.Jobs = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Hear everything, and replace what is remembered.")] = False,
    as_json: options.AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the result as CSV on standard output.")] = False,
) -> None:
    """Classify files, whole folders, or a list on standard input; what did not change since is not heard again.

    Exit 1 where a file could not be classified: its row says why, and the others go on.

    Example: genrelab predict song.mp3
    """
    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv are two forms of one result: give one of them")
    if as_csv and top is not None:
        raise typer.BadParameter("--top goes with the table and --json: --csv has a column for each genre")
    if "" in names:
        raise typer.BadParameter("an empty name: is a variable unset?")
    use_one_thread()
    from genrelab import answers
    from genrelab.predict import load_bundle

    bundle = load_bundle(model).with_windows(windows)
    form = "json" if as_json else "csv" if as_csv else "table"
    if not answers.predict(bundle, names, form=form, top=top, timeline=timeline, jobs=jobs, fresh=fresh):
        raise typer.Exit(1)


def tag(
    folder: Annotated[Path, typer.Argument(parser=options.path_of, metavar="DIR", help="The folder of music.")],
    model: options.Model = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would change; write nothing into DIR.")
    ] = False,
    min_confidence: options.MinConfidence = 0.5,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Also where a file has a genre already.")] = False,
    subgenre_field: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Write into this field, such as SUBGENRE, and leave the genre as it is."),
    ] = None,
    jobs: options.Jobs = None,
    as_json: options.AsJson = False,
) -> None:
    """Write the genre into the tags of files that have none; the audio stays, and `untag` takes it back.

    Files with a genre are not even heard, unless --overwrite is given. Exit 1 where a file could not be tagged.

    Example: genrelab tag ~/Music --dry-run
    """
    use_one_thread()
    from genrelab import library as program

    settings = program.TagSettings(min_confidence, overwrite, subgenre_field, dry_run)
    with console.rows(as_json) as rows, program.listening(model, jobs) as (hear, touched):
        rows.journal = program.tag(folder, hear, settings, rows.show, touched)


def untag(
    journal: Annotated[
        Path,
        typer.Argument(parser=options.path_of, metavar="JOURNAL", help="DIR/.genrelab/tags-<time>.jsonl, by `tag`."),
    ],
    as_json: options.AsJson = False,
) -> None:
    """Restore the tags that a journal of `tag` remembers, byte for byte.

    Tags that were edited since stay; of those files only the genre is restored. Exit 1 where a file is gone or changed.

    Example: genrelab untag ~/Music/.genrelab/tags-20260131T120000Z.jsonl
    """
    from genrelab import untag as program

    with console.rows(as_json) as rows:
        program.untag(journal, rows.show)


def playlists(
    folder: Annotated[Path, typer.Argument(parser=options.path_of, metavar="DIR", help="The folder of music.")],
    out: Annotated[
        Path, typer.Option("--out", parser=options.path_of, metavar="DIR", help="Folder for the playlists.")
    ],
    model: options.Model = None,
    min_confidence: options.MinConfidence = 0.5,
    jobs: options.Jobs = None,
    as_json: options.AsJson = False,
) -> None:
    """Write one M3U8 for each genre, the surest tracks first, and unsure.m3u8. Exit 1 where a file could not be heard.

    Example: genrelab playlists ~/Music --out ~/Music/playlists
    """
    use_one_thread()
    from genrelab import library
    from genrelab import playlists as program

    with console.bar("Listening") as progress, library.listening(model, jobs, progress) as (hear, _):
        written = program.playlists(folder, out, hear, min_confidence)
    console.playlists(written, as_json)


def doctor(model: options.Model = None, as_json: options.AsJson = False) -> None:
    """Check this machine: packages, decoders, the model, the cache, room. Exit 1 where something must be repaired.

    Example: genrelab doctor
    """
    from genrelab.doctor import examine

    console.findings(examine(model), as_json)
