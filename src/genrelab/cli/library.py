"""The commands for a library: each parses its options, calls one function, prints.

Imports are inside the commands, so that `--help` does not wait for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genrelab.cli import console, options
from genrelab.cli.answers import AnswerOptions
from genrelab.cli.output import library as output
from genrelab.core.processes import keep_freed_memory, use_one_thread
from genrelab.core.progress import ignore
from genrelab.core.text import join_first

if TYPE_CHECKING:
    from genrelab.predict.classifier import Classifier
    from genrelab.tagging.classify import Classify
    from genrelab.tagging.write_tag import OnWritten, TagResult

Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print a line for each file, too.")]


class PlaylistKind(StrEnum):
    """What a playlist is made for."""

    GENRE = "genre"
    TAG = "tag"


@options.expand_groups
def tag(
    answers: AnswerOptions,
    names: Annotated[list[str] | None, options.NAMES] = None,
    genres: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Write up to N genres, each as a value; further genres must pass the same bar; --min-confidence 0.2 "
            "lowers it.  [default: 1]",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Also where a file has a genre already.")] = False,
    subgenre_field: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Write into this field, such as SUBGENRE, and leave the genre as it is."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would change; write nothing into the library.")
    ] = False,
    plan: Annotated[
        Path | None,
        typer.Option(
            "--plan", parser=options.parse_path, metavar="FILE", help="Only write down what would change, to be edited."
        ),
    ] = None,
    apply: Annotated[
        Path | None,
        typer.Option("--apply", parser=options.parse_path, metavar="FILE", help="Write what such a plan says."),
    ] = None,
    verbose: Verbose = False,
    as_json: options.AsJson = False,
) -> None:
    """Write the genre into the tags of files that have none; the audio stays, and `untag` takes it back.

    Files with a genre are not even classified, unless --overwrite is given. Exit 1 where a file could not be tagged.

    Example: genrelab tag ~/Music --dry-run
    """
    if apply is not None:
        given = {"FILE|DIR": names, "--genres": genres, "--overwrite": overwrite, "--subgenre-field": subgenre_field}
        _refuse_beside_apply(given | {"--plan": plan} | answers.given())
        _apply(apply, dry_run=dry_run, verbose=verbose, as_json=as_json)
        return
    if not names or "" in names:
        raise typer.BadParameter("an empty name: is a variable unset?" if names else "name files or folders, or -")
    if plan is not None and dry_run:
        raise typer.BadParameter("--plan changes no audio file either: leave out --dry-run")
    use_one_thread()
    keep_freed_memory()
    bundle, min_confidence = answers.limited()
    from genrelab.audio.files import expand_names
    from genrelab.tagging import plan as plans
    from genrelab.tagging import tag as program

    choice, paths = answers.choose(bundle, min_confidence, genres or 1), list(expand_names(names))
    settings = program.TagSettings(choice, overwrite, subgenre_field, dry_run, answers.exclude or ())
    each = verbose or dry_run
    with (
        output.rows(as_json=as_json, each=each) as rows,
        _open_classifier(bundle, answers.jobs, bar=not each) as (classify, on_written),
    ):
        show = rows.show if as_json else lambda row: rows.show(_without_percentage(row))
        if plan is not None:
            plans.make_plan(plan, paths, classify, settings, show, model=bundle.name, notify=console.notify)
            rows.plan = plan
        else:
            rows.journal = program.tag(paths, classify, settings, show, on_written, console.notify)


def _without_percentage(row: TagResult) -> TagResult:
    """The row for a person: how sure a genre is says nothing of what does not sound like music."""
    from genrelab.tagging.classify import NO_MUSIC

    return replace(row, confidence=None) if row.reason == NO_MUSIC else row


def _refuse_beside_apply(options_given: Mapping[str, object]) -> None:
    given = [name for name, value in options_given.items() if value]
    if given:
        raise typer.BadParameter(f"--apply writes what the plan says: leave out {join_first(given)}")


def _apply(plan: Path, *, dry_run: bool, verbose: bool, as_json: bool) -> None:
    from genrelab.tagging.classify import open_cache_update
    from genrelab.tagging.plan import apply_plan

    with (
        output.rows(as_json=as_json, each=verbose or dry_run) as rows,
        open_cache_update() as on_written,
    ):
        rows.journal = apply_plan(plan, rows.show, dry_run=dry_run, on_written=on_written)


@contextmanager
def _open_classifier(bundle: Classifier, jobs: int | None, *, bar: bool) -> Iterator[tuple[Classify, OnWritten]]:
    """The classifier, with a progress bar unless rows show the progress."""
    from genrelab.tagging import classify

    with (
        console.progress_bar("Classifying") if bar else nullcontext(ignore) as progress,
        classify.open_classifier(bundle, jobs, progress) as found,
    ):
        yield found


def untag(
    journal: Annotated[
        Path,
        typer.Argument(parser=options.parse_path, metavar="JOURNAL", help="DIR/.genrelab/tags-<time>.jsonl, by `tag`."),
    ],
    verbose: Verbose = False,
    as_json: options.AsJson = False,
) -> None:
    """Restore the tags that a journal of `tag` remembers, byte for byte; a file that was renamed is found by its audio.

    Tags that were edited since stay; of those files only the genre is restored. Exit 1 where a file is gone or changed.

    Example: genrelab untag ~/Music/.genrelab/tags-20260131T120000Z.jsonl
    """
    from genrelab.tagging import untag as program

    with output.rows(as_json=as_json, each=verbose) as rows:
        program.untag(journal, rows.show, console.notify)


@options.expand_groups
def playlists(
    answers: AnswerOptions,
    folder: Annotated[Path, typer.Argument(parser=options.parse_path, metavar="DIR", help="The folder of music.")],
    out: Annotated[
        Path, typer.Option("--out", parser=options.parse_path, metavar="DIR", help="Folder for the playlists.")
    ],
    prefer_tags: Annotated[
        bool,
        typer.Option("--prefer-tags", help="A file with a genre in its tags goes by that, and is not classified."),
    ] = False,
    by: Annotated[
        PlaylistKind, typer.Option("--by", help="One for each genre, or for each descriptive tag of the model.")
    ] = PlaylistKind.GENRE,
    as_json: options.AsJson = False,
) -> None:
    """Write one M3U8 for each genre, the surest tracks first, and unsure.m3u8. Exit 1 where one failed.

    With --by tag a track may be in several: a tag counts from --min-confidence on, 0.2 by default.

    Example: genrelab playlists ~/Music --out ~/Music/playlists
    """
    by_tag = by is PlaylistKind.TAG
    if by_tag and (prefer_tags or answers.min_precision is not None):
        wrong = "--prefer-tags" if prefer_tags else "--min-precision"
        raise typer.BadParameter(f"{wrong} is about genres: leave it out with --by tag")
    use_one_thread()
    keep_freed_memory()
    bundle, min_confidence = answers.limited_by_tag() if by_tag else answers.limited()
    from genrelab.tagging import playlists as program

    choice = answers.choose(bundle, min_confidence, model_genres_only=not (by_tag or prefer_tags))
    settings = program.PlaylistSettings(choice, prefer_tags, by_tag, answers.exclude or ())
    with _open_classifier(bundle, answers.jobs, bar=True) as (classify, _):
        written = program.write_playlists(folder, out, classify, settings, console.notify)
    output.playlists(written, as_json=as_json)
