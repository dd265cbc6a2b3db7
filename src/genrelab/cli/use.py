"""The commands that use a model: each parses its options, calls one function, prints.

Imports are inside the commands, so that `--help` does not wait for them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genrelab.cli import console, options
from genrelab.cli.output import tables
from genrelab.core.errors import printable
from genrelab.core.processes import keep_freed_memory, use_one_thread
from genrelab.core.text import pluralize

if TYPE_CHECKING:
    from genrelab.evaluation.calibration import Evidence
    from genrelab.predict.classifier import Classifier


def parse_share(text: str) -> float:
    try:
        if 0 < (value := float(text)) < 1:
            return value
    except ValueError:
        pass
    raise typer.BadParameter(f"{text!r} is no number above 0 and below 1, such as 0.9")


MinPrecision = Annotated[
    float | None,
    typer.Option(
        "--min-precision",
        parser=parse_share,
        metavar="P",
        help="Answer `unknown` unless calibration tracks support that this share of such answers is right.",
    ),
]

GenreMapFile = Annotated[
    Path | None,
    typer.Option(
        "--genre-map",
        parser=options.parse_path,
        metavar="FILE",
        help=f"{options.GENRE_MAP_HELP}  --json and --csv keep the model's name in `genre` and add yours as `genres`.",
    ),
]


def load_audio_bundle(model: str | None) -> Classifier:
    """Load the bundle; one that does not take audio is refused before any other message."""
    from genrelab.predict.classifier import load_bundle
    from genrelab.predict.file import require_audio_input

    bundle = load_bundle(model)
    require_audio_input(bundle)
    return bundle


def with_min_precision(bundle: Classifier, precision: float | None) -> Classifier:
    """Apply `--min-precision`; print for which genres the calibration tracks support it if not for all."""
    limited = bundle.with_min_precision(precision)
    thresholds = limited.decision.thresholds
    if thresholds is not None and precision is not None and bundle.calibration is not None:
        supported = [printable(g) for g, threshold in thresholds.items() if threshold is not None]
        support = f"--min-precision {precision:g}: {pluralize(bundle.calibration.n, 'calibration track')} support it"
        if not supported:
            lower = "; ".join(_supported_below(bundle.calibration, precision))
            instead = f"ask for less ({lower}), or" if lower else "ask for less, or"
            console.notify(f"{support} for no genre, so every answer is unknown: {instead} train with more tracks")
        elif len(supported) < len(thresholds):
            console.notify(f"{support} for {', '.join(supported)} only; any other answer is unknown")
    return limited


def _supported_below(calibration: Evidence, precision: float) -> list[str]:
    """The highest lower precision, in tenths, that is supported for any genre, and 0.5 if it has more genres."""
    found: list[str] = []
    max_genres = 0
    for precision_tried in (p / 10 for p in (9, 8, 7, 6, 5) if p / 10 < precision):
        if found and precision_tried > 0.5:
            continue
        thresholds = calibration.thresholds(precision_tried)
        supported = [printable(g) for g, t in thresholds.items() if t.confidence is not None]
        if len(supported) > max_genres:
            found.append(f"at {precision_tried:g}: {', '.join(supported)}")
            max_genres = len(supported)
    return found


def _with_coverage(bundle: Classifier, coverage: float | None) -> Classifier:
    """Apply `--coverage`; print the number of tracks behind it, and a warning if they are too few."""
    limited = bundle.with_coverage(coverage)
    if coverage is None or bundle.calibration is None:
        return limited
    from genrelab.evaluation.calibration import MIN_TRACKS, min_tracks_for_coverage

    n, needed, warning = bundle.calibration.n, min_tracks_for_coverage(coverage), ""
    if n < needed:
        warning = f"; {needed} or more are needed, so every set holds all {len(bundle.genres)} genres"
    elif not limited.decision.least_likely:
        warning = f"; this model cannot tell at this coverage, so every set holds all {len(bundle.genres)} genres"
    elif n < MIN_TRACKS:
        warning = "; so few say roughly at best how often the true genre is in its set"
    artists = f"{pluralize(bundle.calibration.n_artists, 'artist')} or single tracks"
    console.notify(f"--coverage {coverage:g}: {pluralize(n, 'calibration track')} of {artists}{warning}")
    return limited


def predict(
    names: Annotated[list[str], options.NAMES],
    model: options.Model = None,
    top: Annotated[int | None, typer.Option(min=1, help="How many genres to print.  [default: 3; --json: all]")] = None,
    timeline: Annotated[bool, typer.Option("--timeline", help="Print what is said of every window, too.")] = False,
    windows: options.Windows = None,
    tags: Annotated[
        bool, typer.Option("--tags", help="Print descriptive tags, too: moods, instruments, decades, styles.")
    ] = False,
    any_genre: Annotated[
        bool, typer.Option("--any", help="Name a genre for every file, even if it does not sound like music.")
    ] = False,
    min_precision: MinPrecision = None,
    coverage: Annotated[
        float | None,
        typer.Option(parser=parse_share, metavar="C", help="Print the genres among which the true one is, this often."),
    ] = None,
    jobs: options.Jobs = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Classify everything anew, and replace what is cached.")
    ] = False,
    exclude: options.ExcludePatterns = None,
    genre_map: GenreMapFile = None,
    as_json: options.AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the result as CSV on standard output.")] = False,
) -> None:
    """Classify files, whole folders, or a list on standard input; what did not change since is not processed again.

    What does not sound like music is `unknown`; anything else gets its likeliest genre and how sure that is. Exit 1
    where a file could not be classified: its row says why, and the others go on.

    Example: genrelab predict song.mp3
    """
    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv are two forms of one result: give one of them")
    if as_csv and top is not None:
        raise typer.BadParameter("--top goes with the table and --json: --csv has a column for each genre")
    if any_genre and min_precision is not None:
        raise typer.BadParameter("--any names every genre, --min-precision few: give one of them")
    if "" in names:
        raise typer.BadParameter("an empty name: is a variable unset?")
    use_one_thread()
    keep_freed_memory()
    from genrelab.cli.output.predict import print_predictions
    from genrelab.cli.output.writers import Shown

    bundle = load_audio_bundle(model)
    if timeline and windows is None and bundle.stops_early:
        windows = "all"
    bundle = _with_coverage(with_min_precision(bundle.with_windows(windows), min_precision), coverage)
    form = "json" if as_json else "csv" if as_csv else "table"
    shown = Shown(form, top, timeline, tags, options.read_genre_map(genre_map, bundle))
    if not print_predictions(
        bundle.with_any() if any_genre else bundle, names, shown, jobs=jobs, fresh=fresh, exclude=exclude or ()
    ):
        raise typer.Exit(1)


def doctor(
    root: Annotated[
        Path | None,
        typer.Argument(
            parser=options.parse_path, metavar="ROOT", help="Data to check, too: a folder, FMA, GTZAN, a table."
        ),
    ] = None,
    dataset: options.DatasetName = "auto",
    artists: options.Artists = None,
    split_files: options.SplitFiles = None,
    label: options.Label = None,
    split_column: options.SplitColumn = None,
    artist_column: options.ArtistColumn = None,
    id_column: options.IdColumn = None,
    jobs: options.Jobs = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            parser=options.parse_path,
            metavar="FILE",
            help="CSV for tracks that must be left out.  [default: genrelab-exclude.csv]",
        ),
    ] = None,
    model: options.Model = None,
    as_json: options.AsJson = False,
) -> None:
    """Check this machine (packages, decoders, model, cache, room), and with ROOT every file of a dataset.

    Tracks that would do harm go into a manifest for `prepare --exclude`. Exit 1 where something must be repaired.

    Example: genrelab doctor data/fma
    """
    dataset_options = {
        "artists": artists, "split_files": split_files, "label": label, "split_column": split_column,
        "artist_column": artist_column, "id_column": id_column,
    }  # fmt: skip
    if root is None:
        if any(v is not None for v in (*dataset_options.values(), jobs, manifest)) or dataset != "auto":
            raise typer.BadParameter("only --model and --json go without a ROOT: which data are to be checked?")
        from genrelab.doctor.machine import check_machine

        tables.findings(check_machine(model), as_json)
        return
    from genrelab.cli.output.doctor import DoctorRequest, run_doctor

    given = {name: value for name, value in dataset_options.items() if value is not None}
    if not run_doctor(DoctorRequest(root, dataset, given, jobs, manifest, model), as_json):
        raise typer.Exit(1)
