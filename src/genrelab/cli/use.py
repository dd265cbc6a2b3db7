"""The commands that use a model: each parses its options, calls one function, prints.

Imports are inside the commands, so that `--help` does not wait for them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genrelab.cli import console, options
from genrelab.core.errors import printable
from genrelab.core.processes import keep_freed_memory, use_one_thread
from genrelab.core.text import pluralize

if TYPE_CHECKING:
    from genrelab.evaluation.calibration import Evidence
    from genrelab.predict.classifier import Classifier


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
        support, n = f"--min-precision {precision:g} is supported", pluralize(bundle.calibration.n, "calibration track")
        if not supported:
            lower = "; ".join(_supported_below(bundle.calibration, precision))
            instead = f"use a lower precision ({lower}), or" if lower else "use a lower precision, or"
            console.notify(
                f"{support} for no genre ({n}), so every answer is unknown: {instead} train with more tracks"
            )
        elif len(supported) < len(thresholds):
            console.notify(f"{support} only for {', '.join(supported)} ({n}); any other answer is unknown")
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
    all_genres = f"so every set contains all {len(bundle.genres)} genres"
    if n < needed:
        warning = f"; at least {needed} tracks are needed, {all_genres}"
    elif not limited.decision.least_likely:
        warning = f"; this model is too often wrong for this coverage, {all_genres}"
    elif n < MIN_TRACKS:
        warning = f"; fewer than {MIN_TRACKS} give only a rough estimate"
    artists = f"{pluralize(bundle.calibration.n_artists, 'artist')} (a track by an unknown artist counts as one artist)"
    console.notify(f"--coverage {coverage:g}: {pluralize(n, 'calibration track')} by {artists}{warning}")
    return limited


def predict(
    names: Annotated[list[str], options.NAMES],
    model: options.Model = None,
    top: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Number of genres to print.  [default: 3; --json: all]")
    ] = None,
    timeline: Annotated[bool, options.flag("--timeline", "Also print the genres of every window.")] = False,
    windows: options.Windows = None,
    tags: Annotated[
        bool, options.flag("--tags", "Also print descriptive tags: moods, instruments, decades, styles.")
    ] = False,
    describe: Annotated[
        bool,
        options.flag(
            "--describe",
            "Also print tempo and key with their confidence, from 30 s at the middle of the track (all of a shorter "
            "one); none if that part is silent or damaged.",
        ),
    ] = False,
    any_genre: options.AnyGenre = False,
    min_precision: options.MinPrecision = None,
    coverage: Annotated[
        float | None,
        typer.Option(
            parser=options.parse_share,
            metavar="SHARE",
            help="Print a set of genres that contains the true one for this share of tracks.",
        ),
    ] = None,
    jobs: options.Jobs = None,
    fresh: Annotated[bool, options.flag("--fresh", "Ignore and replace cached results.")] = False,
    exclude: options.ExcludePatterns = None,
    genre_map: options.GenreMapFile = None,
    as_json: options.AsJson = False,
    as_csv: Annotated[bool, options.flag("--csv", "Print the result as CSV.")] = False,
) -> None:
    """Print the genre of files and folders.

    Results of folders and lists are cached: files that did not change are not classified again. What does not sound
    like music is `unknown`; anything else gets its most probable genre and the confidence. Exit 1 if a file failed; its
    row gives the reason. If --genre-map is given, --json and --csv have the model's name in `genre`, yours in `genres`.

    Example: genrelab predict song.mp3
    """
    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv cannot be used together")
    if as_csv and top is not None:
        raise typer.BadParameter("--top is for the table and --json: --csv has a column for each genre")
    if any_genre and min_precision is not None:
        raise typer.BadParameter("--any and --min-precision cannot be used together")
    use_one_thread()
    keep_freed_memory()
    from genrelab.cli.output.predict import print_predictions
    from genrelab.cli.output.writers import Shown

    bundle = load_audio_bundle(model)
    bundle = bundle.with_full_timeline() if timeline else bundle
    bundle = bundle.with_description() if describe else bundle
    bundle = _with_coverage(with_min_precision(bundle.with_windows(windows), min_precision), coverage)
    form = "json" if as_json else "csv" if as_csv else "table"
    shown = Shown(form, top, timeline, tags, options.read_genre_map(genre_map, bundle), describe)
    if not print_predictions(
        bundle.with_any() if any_genre else bundle, names, shown, jobs=jobs, fresh=fresh, exclude=exclude or ()
    ):
        raise typer.Exit(1)


def doctor(
    reading: options.ReadOptions,
    root: Annotated[Path | None, options.path_argument("ROOT", "Data to check: a folder, FMA, GTZAN, a table.")] = None,
    jobs: options.Jobs = None,
    manifest: Annotated[
        Path | None, options.path_option("FILE", "Write the tracks that should be excluded to FILE (CSV).")
    ] = None,
    model: options.Model = None,
    accelerator: Annotated[
        bool, options.flag("--accelerator", "Also start TensorFlow and train a small model on each device.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Check this machine and, with ROOT, every file of a dataset.

    `prepare --exclude` leaves out the tracks in the CSV file of --manifest. Exit 1 if something must be repaired.

    Example: genrelab doctor data/fma --manifest exclude.csv
    """
    from genrelab.cli.output.doctor import check_without_data, run_doctor

    if root is None:
        if reading != options.ReadOptions() or jobs or manifest:
            raise typer.BadParameter("without ROOT only --model, --accelerator and --json are allowed: give ROOT")
        ok = check_without_data(model, accelerator=accelerator, as_json=as_json)
    else:
        source = options.SourceOptions(root=root, **vars(reading))
        ok = run_doctor(source, jobs=jobs, manifest=manifest, model=model, accelerator=accelerator, as_json=as_json)
    if not ok:
        raise typer.Exit(1)
