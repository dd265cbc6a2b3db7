"""The commands for a library: each parses its options, calls one function, prints.

Imports are inside the commands, so that `--help` does not wait for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
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
    from genrelab.tagging.write_tag import OnWritten


class PlaylistKind(StrEnum):
    """What a playlist is made for."""

    GENRE = "genre"
    TAG = "tag"


def tag(
    answers: AnswerOptions,
    names: Annotated[list[str] | None, options.NAMES] = None,
    genres: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Write up to N genres; each must reach the required confidence.  [default: 1]"
        ),
    ] = None,
    overwrite: Annotated[
        bool, options.flag("--overwrite", "Also replace a genre, tempo or key that a file has.")
    ] = False,
    subgenre_field: Annotated[
        str | None,
        options.value_option("NAME", "Write into this field, such as SUBGENRE, and leave the genre as it is."),
    ] = None,
    write_tempo_key: Annotated[
        bool, options.flag("--write-tempo-key", "Also write tempo and key into files that have none.")
    ] = False,
    dry_run: Annotated[
        bool, options.flag("--dry-run", "Only print what would change; write nothing into the library.")
    ] = False,
    plan: Annotated[Path | None, options.path_option("FILE", "Write what would change to FILE, for editing.")] = None,
    apply: Annotated[
        Path | None, options.path_option("FILE", "Write the tags listed in a FILE that --plan wrote.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Write the genre into the tags of files that have none.

    The audio stays as it is, and `untag` restores the tags. Files with a genre are not classified, unless --overwrite
    is given. Unless an option sets another limit, a genre is written if at least 80 % of such answers were right in
    tests. If the model's tests do not support that for any genre, a confidence of 50 % is required instead. Without
    --genre-map the usual names are written, and a file's own spelling or synonym stays. --write-tempo-key writes a
    tempo (a whole number of beats per minute) whose confidence is at least 60 %, and a key (such as F#m) at 80 %, also
    into files that have a genre or get none; --overwrite replaces earlier ones, unless they have the same value in
    another spelling. Exit 1 if a file could not be tagged.

    Example: genrelab tag ~/Music --dry-run
    """
    if apply is not None:
        given: dict[str, object] = {"FILE": names or None, "genres": genres, "overwrite": overwrite, "plan": plan}
        given |= {"subgenre_field": subgenre_field, "any": answers.any_genre, **vars(answers), "any_genre": None}
        given["write_tempo_key"] = write_tempo_key
        useless = [name for name, value in given.items() if value is not None and value is not False]
        if useless:
            words = [n if n == "FILE" else f"--{n.replace('_', '-')}" for n in useless]
            raise typer.BadParameter(f"--apply writes the tags of the plan: leave out {join_first(words)}")
        _apply(apply, dry_run=dry_run, as_json=as_json)
        return
    if not names:
        raise typer.BadParameter("give files or folders, or -")
    if plan is not None and dry_run:
        raise typer.BadParameter("--plan and --dry-run cannot be used together: neither changes an audio file")
    use_one_thread()
    keep_freed_memory()
    bundle, min_confidence = answers.limited()
    if write_tempo_key:
        bundle = bundle.with_description()
    from genrelab.audio.files import expand_names
    from genrelab.tagging import plan as plans
    from genrelab.tagging import tag as program

    choice, paths = answers.choose(bundle, min_confidence, genres or 1), list(expand_names(names))
    settings = program.TagSettings(
        choice, overwrite, subgenre_field, dry_run, answers.exclude or (), write_tempo_key=write_tempo_key
    )
    each = console.is_verbose()
    with (
        output.rows(as_json=as_json, each=each, changes=dry_run) as rows,
        _open_classifier(bundle, answers.jobs, bar=not (each or dry_run)) as (classify, on_written),
    ):
        if plan is not None:
            plans.make_plan(plan, paths, classify, settings, rows.show, model=bundle.name, notify=console.notify)
            rows.plan = plan
        else:
            rows.journal = program.tag(paths, classify, settings, rows.show, on_written, console.notify)


def _apply(plan: Path, *, dry_run: bool, as_json: bool) -> None:
    from genrelab.tagging.classify import open_cache_update
    from genrelab.tagging.plan import apply_plan

    with (
        output.rows(as_json=as_json, each=console.is_verbose(), changes=dry_run) as rows,
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
    journal: Annotated[Path, options.path_argument("JOURNAL", "FOLDER/.genrelab/tags-TIME.jsonl, written by `tag`.")],
    as_json: options.AsJson = False,
) -> None:
    """Restore the tags as they were before `tag`, byte for byte.

    Renamed files are found by their audio. If tags were edited since, they stay, and only what `tag` wrote and is still
    there is restored. Exit 1 if a file could not be restored.

    Example: genrelab untag ~/Music/.genrelab/tags-20260131T120000Z.jsonl
    """
    from genrelab.tagging import untag as program

    with output.rows(as_json=as_json, each=console.is_verbose()) as rows:
        program.untag(journal, rows.show, console.notify)


def playlists(
    answers: AnswerOptions,
    folder: Annotated[Path, options.path_argument("FOLDER", "The folder of music.")],
    out: Annotated[Path, options.path_option("FOLDER", "Folder for the playlists.")],
    prefer_tags: Annotated[
        bool, options.flag("--prefer-tags", "Use the genre in a file's tags, if any, instead of classifying it.")
    ] = False,
    by: Annotated[
        PlaylistKind, options.value_option("genre|tag", "One playlist for each genre or descriptive tag.")
    ] = PlaylistKind.GENRE,
    as_json: options.AsJson = False,
) -> None:
    """Write an M3U8 playlist for each genre.

    The most confident tracks come first; tracks without a genre go to unsure.m3u8. With --by tag a track may be in
    several playlists: a tag counts if its probability is at least --min-confidence, 0.2 by default; tracks without one
    go to untagged.m3u8. Exit 1 if a file failed.

    Example: genrelab playlists ~/Music --out ~/Music/playlists
    """
    by_tag = by is PlaylistKind.TAG
    if by_tag and (prefer_tags or answers.min_precision is not None):
        wrong = "--prefer-tags" if prefer_tags else "--min-precision"
        raise typer.BadParameter(f"{wrong} applies only to genres: it cannot be used with --by tag")
    use_one_thread()
    keep_freed_memory()
    bundle, min_confidence = answers.limited_by_tag() if by_tag else answers.limited()
    from genrelab.tagging import playlists as program

    choice = answers.choose(bundle, min_confidence, model_genres_only=not (by_tag or prefer_tags))
    settings = program.PlaylistSettings(choice, prefer_tags, by_tag, answers.exclude or ())
    with _open_classifier(bundle, answers.jobs, bar=True) as (classify, _):
        written = program.write_playlists(folder, out, classify, settings, console.notify)
    output.playlists(written, as_json=as_json)
