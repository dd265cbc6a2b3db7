"""Options and arguments that several commands share, each with its one sentence of help.

Options that go together are fields of a dataclass: a command takes the group as one parameter (`expand_groups` turns
it into options for typer), and so does the function that it calls.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from genrelab.cli import console
from genrelab.core.errors import printable
from genrelab.core.text import join_first

if TYPE_CHECKING:
    from genrelab.bundle.bundle import Bundle
    from genrelab.identity.genre_map import GenreMap

MAX_GENRES_NAMED = 20
"""Of a model's genres in a note."""


def _parse_name(text: str) -> str:
    if not text:
        raise typer.BadParameter("an empty name: is a variable unset?")
    return text


def parse_path(text: str) -> Path:
    """Parse a path; refuse an empty one, as an unset shell variable must not mean the current folder."""
    return Path(_parse_name(text))


Root = Annotated[
    Path,
    typer.Argument(
        parser=parse_path, metavar="ROOT", help="A folder of music, FMA, GTZAN, or a table (.csv, .parquet)."
    ),
]
Prep = Annotated[str, typer.Argument(metavar="PREPARED", help="What `prepare` wrote (a folder or fsspec address).")]
RunOut = Annotated[str, typer.Option("--out", metavar="RUN", help="Folder (or fsspec address) for the results.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
DatasetName = Annotated[
    str, typer.Option("--dataset", help="auto, fma-small|medium|large|full, gtzan, folder or table.")
]
Views = Annotated[
    str | None,
    typer.Option(
        help="statistics,samples,mel_image,embedding,log_mel,descriptors,frames or all.  [default: first four]"
    ),
]
FmaExact = Annotated[
    bool, typer.Option("--fma-exact", help="Statistics at the native rate with FMA's quirk, as in its features.csv.")
]
Jobs = Annotated[int | None, typer.Option(min=1, help="Worker processes.  [default: one a core]")]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        parser=_parse_name,
        metavar="BUNDLE",
        help="Folder (or fsspec address) of a model: what `learn --out` made, or RUN/MODEL/bundle.  "
        "[default: $GENRELAB_MODEL, else the starter]",
    ),
]


def _parse_windows(text: str) -> int | str:
    if text == "all" or (text.isascii() and text.isdigit() and int(text) > 0):
        return text if text == "all" else int(text)
    raise typer.BadParameter(f"{text!r} is neither a number above 0 nor all")


Windows = Annotated[
    Any,
    typer.Option(
        "--windows",
        parser=_parse_windows,
        metavar="N|all",
        help="Stretches of each track to hear; up to N more where two genres are close.  [default: the model's]",
    ),
]
Artists = Annotated[Path | None, typer.Option(help="CSV with the columns id and artist.")]
SplitFiles = Annotated[
    Path | None, typer.Option(help="GTZAN: folder with {train,valid,test}_filtered.txt, or `download`.")
]
Label = Annotated[str | None, typer.Option(help="Table: column of the genre.")]
SplitColumn = Annotated[str | None, typer.Option(help="Table: column of the official split.")]
ArtistColumn = Annotated[str | None, typer.Option(help="Table: column of the artist.")]
IdColumn = Annotated[str | None, typer.Option(help="Table: column of the track id.  [default: track_id]")]
GroupColumn = Annotated[str | None, typer.Option(help="Table: column whose equal cells are pieces of one recording.")]
KeepSpellings = Annotated[
    bool, typer.Option("--keep-spellings", help="Leave genres as written: join no spellings, drop no `Unknown`.")
]
Drop = Annotated[str | None, typer.Option(help="Table: columns that are no features, with commas.")]
Impute = Annotated[str | None, typer.Option(help="Table: `median` fills missing features, fitted on training rows.")]
Split = Annotated[str, typer.Option(help="auto, official, artist, random, or article (leaks artists).")]
Models = Annotated[
    str,
    typer.Option(
        help="all, or names with commas: majority, logistic_regression, knn, gaussian_nb, svm, mlp, musicnn, raw_cnn, "
        "mobilenet_v2."
    ),
]
Epochs = Annotated[int, typer.Option(help="At most; validation stops earlier.")]
Seed = Annotated[int, typer.Option(help="Same seed, same numbers.")]
Preset = Annotated[str, typer.Option(help="default, or article: the article's hyper-parameters.")]
View = Annotated[
    str | None,
    typer.Option(help="What classical models read: statistics, table, descriptors, embedding or frames (with --pca)."),
]
Pca = Annotated[float | None, typer.Option(help="Below 1 a share of the variance, else a number of components.")]
ClassWeight = Annotated[str, typer.Option(help="auto, balanced or none.")]
Weights = Annotated[str, typer.Option(help="auto, a file, or none (random initialisation, said so in every table).")]
FineTune = Annotated[int, typer.Option(help="mobilenet_v2: train the last N blocks of the base, too.")]
Strategy = Annotated[str, typer.Option(help="auto, cpu, gpu or tpu.")]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at a damaged shard instead of doing without its records.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with an interrupted training in RUN.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the results that RUN holds.")]
Clip = Annotated[
    float, typer.Option("--clip-s", min=0.5, max=600.0, help="Seconds of the clips that a longer track is cut into.")
]
Exclude = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Leave these tracks out, each with its reason: CSV that `doctor ROOT` writes."),
]


def _parse_pattern(text: str) -> str:
    if not text.strip():
        raise typer.BadParameter("an empty pattern: is a variable unset?")
    return text


NAMES = typer.Argument(metavar="FILE|DIR|-…", help="Files, folders, or - for a list of them.")
ExcludePatterns = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude",
        parser=_parse_pattern,
        metavar="GLOB",
        help="Leave out files and folders whose name or path fits, such as '*.wav' or 'Podcasts/*'; may be repeated.",
    ),
]
GENRE_MAP_HELP = "CSV with the header from,to: your names for the model's genres; nothing behind the comma drops one."
GenreMapFile = Annotated[
    Path | None,
    typer.Option(
        "--genre-map",
        parser=parse_path,
        metavar="FILE",
        help=f"{GENRE_MAP_HELP}  Without it the usual names are written, and a file's own spelling or synonym is kept.",
    ),
]


def read_genre_map(file: Path | None, model: Bundle | None) -> GenreMap | None:
    """The map of `--genre-map`; None without one.

    Args:
        model: print rows that are for no genre of this one; None: any name may have a row.

    Raises:
        SettingsError: see `genre_map.read_genre_map`.
    """
    if file is None:
        return None
    from genrelab.identity.genre_map import read_genre_map

    found = read_genre_map(file)
    unused = found.unused(model.genres) if model is not None else []
    if model is not None and unused:
        known = join_first(model.genres, most=MAX_GENRES_NAMED)
        console.notify(f"--genre-map: {join_first(unused)}: no genre of {printable(model.name)} (it knows {known})")
    return found


FromStudy = Annotated[
    str | None, typer.Option(metavar="RUN", help="Train with the best hyper-parameters that `tune` found in RUN.")
]
AllowLeaks = Annotated[
    bool, typer.Option("--allow-leaks", help="Go on where copies of one recording are learned from and scored.")
]
Honesty = Annotated[
    bool, typer.Option("--honesty", help="Train under every split policy, too: how much of the figure is leakage?")
]
LearningCurve = Annotated[
    bool, typer.Option("--learning-curve", help="Train on 10, 25, 50 and 100 %, too: would more tracks help?")
]
Robustness = Annotated[
    bool, typer.Option("--robustness", help="Hear the scored tracks as MP3 at 64 kbit/s, by telephone, clipped …, too.")
]
Doubts = Annotated[
    bool, typer.Option("--doubts", help="List tracks whose label the best model contradicts: RUN/doubts.csv.")
]


@dataclass(frozen=True)
class SourceOptions:
    """Where the tracks are, and the options of their dataset."""

    root: Root
    dataset: DatasetName = "auto"
    artists: Artists = None
    split_files: SplitFiles = None
    label: Label = None
    split_column: SplitColumn = None
    artist_column: ArtistColumn = None
    id_column: IdColumn = None
    group_column: GroupColumn = None
    drop: Drop = None
    impute: Impute = None
    keep_spellings: KeepSpellings = False
    exclude: Exclude = None


@dataclass(frozen=True)
class PrepareOptions:
    """What `prepare` computes, and with how many workers."""

    views: Views = None
    fma_exact: FmaExact = False
    clip_s: Clip = 30.0
    jobs: Jobs = None


@dataclass(frozen=True)
class TrainOptions:
    """How models are trained and compared."""

    models: Models = "all"
    split: Split = "auto"
    epochs: Epochs = 100
    seed: Seed = 42
    preset: Preset = "default"
    view: View = None
    pca: Pca = None
    class_weight: ClassWeight = "auto"
    imagenet_weights: Weights = "auto"
    fine_tune: FineTune = 0
    strategy: Strategy = "auto"
    strict: Strict = False
    from_study: FromStudy = None


@dataclass(frozen=True)
class RunOptions:
    """Further options of a training: what to do with earlier results, and studies of its models."""

    resume: Resume = False
    overwrite: Overwrite = False
    allow_leaks: AllowLeaks = False
    honesty: Honesty = False
    learning_curve: LearningCurve = False
    robustness: Robustness = False
    doubts: Doubts = False

    @property
    def studies(self) -> tuple[str, ...]:
        """Names of the requested studies."""
        names = ("honesty", "learning_curve", "robustness", "doubts")
        return tuple(n.replace("_", "-") for n in names if getattr(self, n))


def expand_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Give typer the command with each parameter that is a group of options expanded, one parameter per field."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {n: kind for n, kind in hints.items() if dataclasses.is_dataclass(kind)}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        kind = groups.get(parameter.name)
        if kind is None:
            parameters.append(parameter.replace(kind=parameter.KEYWORD_ONLY, annotation=hints[parameter.name]))
            continue
        field_hints = get_type_hints(kind, include_extras=True)
        for f in dataclasses.fields(kind):
            default = parameter.empty if f.default is dataclasses.MISSING else f.default
            parameters.append(
                inspect.Parameter(f.name, parameter.KEYWORD_ONLY, default=default, annotation=field_hints[f.name])
            )

    @functools.wraps(command)
    def flat(**values: Any) -> None:
        group_values = {
            n: kind(**{f.name: values.pop(f.name) for f in dataclasses.fields(kind)}) for n, kind in groups.items()
        }
        command(**values, **group_values)

    flat.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # used by `inspect`, and so by typer
    flat.__annotations__ = {p.name: p.annotation for p in parameters}
    return flat
