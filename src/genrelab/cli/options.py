"""Options and arguments that several commands share.

Options that go together are fields of a dataclass: a command takes the group as one parameter (`help.py`
turns it into options), and so does the function that it calls.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genrelab.cli import console
from genrelab.core.errors import printable
from genrelab.core.text import join_first

if TYPE_CHECKING:
    from genrelab.bundle.bundle import Bundle
    from genrelab.datasets.base import DatasetOptions
    from genrelab.identity.genre_map import GenreMap

MAX_GENRES_NAMED = 20
"""Maximum number of a model's genres in a note."""


def _parse_name(text: str) -> str:
    if not text.strip():
        raise typer.BadParameter("the name is empty: is a shell variable unset?")
    return text


def parse_path(text: str) -> Path:
    """Parse a path; refuse an empty one, as an unset shell variable must not mean the current folder."""
    return Path(_parse_name(text))


def parse_share(text: str) -> float:
    """Parse a number between 0 and 1."""
    try:
        if 0 < (value := float(text)) < 1:
            return value
    except ValueError:
        pass
    raise typer.BadParameter(f"{text!r} is not a number between 0 and 1, such as 0.9")


def _parse_windows(text: str) -> int | str:
    if text == "all" or (text.isascii() and text.isdigit() and int(text) > 0):
        return text if text == "all" else int(text)
    raise typer.BadParameter(f"{text!r} is neither a number above 0 nor all")


def flag(name: str, text: str) -> Any:
    """A switch, described by `text`; without a name typer would add `--no-…`."""
    return typer.Option(name, help=text)


def value_option(metavar: str, text: str) -> Any:
    """An option with a value, named like its parameter."""
    return typer.Option(metavar=metavar, help=text)


def path_option(metavar: str, text: str) -> Any:
    """An option whose value is a path on this disk."""
    return typer.Option(parser=parse_path, metavar=metavar, help=text)


def path_argument(metavar: str, text: str) -> Any:
    """An argument that is a path on this disk."""
    return typer.Argument(parser=parse_path, metavar=metavar, help=text)


Prep = Annotated[
    str,
    typer.Argument(
        metavar="PREPARED", help="The output of `prepare`: a folder, or an address such as s3://bucket/folder."
    ),
]
RunOut = Annotated[str, value_option("RUN", "Folder for the results, or address such as s3://bucket/folder.")]
AsJson = Annotated[bool, flag("--json", "Print the result as JSON.")]
Jobs = Annotated[int | None, typer.Option(min=1, metavar="N", help="Worker processes.  [default: one per core]")]
Models = Annotated[
    str,
    value_option(
        "NAMES",
        "all, or names separated by commas: majority, logistic_regression, knn, gaussian_nb, svm, svm_poly (part "
        "of all with --preset article only), mlp, musicnn, raw_cnn, mobilenet_v2.",
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        parser=_parse_name,
        metavar="BUNDLE",
        help="Folder or address of a model: the output of `learn`, or RUN/MODEL/bundle.  "
        "[default: $GENRELAB_MODEL, else the starter model]",
    ),
]
MinPrecision = Annotated[
    float | None,
    typer.Option(
        "--min-precision",
        parser=parse_share,
        metavar="SHARE",
        help="Name a genre only if at least this share of such answers were right in tests; otherwise `unknown`.",
    ),
]
AnyGenre = Annotated[bool, flag("--any", "Name the most probable genre for every file, even if it is not music.")]
Windows = Annotated[
    Any,
    typer.Option(
        "--windows",
        parser=_parse_windows,
        metavar="N|all",
        help="Windows of each track to classify; up to N more where two genres are close.  [default: the model's]",
    ),
]
Artists = Annotated[
    Path | None,
    value_option(
        "FILE", "CSV with the columns id and artist; id: path in the folder or file name, with or without suffix."
    ),
]
GroupColumn = Annotated[
    str | None, value_option("COLUMN", "Table: column with the recording; rows with the same value are pieces of one.")
]
KeepSpellings = Annotated[
    bool, flag("--keep-spellings", "Keep genres as written: `Hip Hop` and `hiphop` stay two genres.")
]
NAMES = typer.Argument(
    parser=_parse_name, metavar="FILE…", help="Audio files, folders, or - for a list of them on standard input."
)
ExcludePatterns = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude",
        parser=_parse_name,
        metavar="GLOB",
        help="Leave out files and folders whose name or path matches, such as '*.wav' or 'Podcasts/*'; repeatable.",
    ),
]
GenreMapFile = Annotated[
    Path | None,
    path_option(
        "FILE", "CSV with the header from,to: your names for the model's genres; an empty second cell drops the genre."
    ),
]


def split_list(listed: str | None) -> list[str]:
    """`a, b` → `["a", "b"]`."""
    return [w.strip() for w in (listed or "").split(",") if w.strip()]


def read_genre_map(file: Path | None, model: Bundle | None) -> GenreMap | None:
    """The map of `--genre-map`; None without one.

    Args:
        model: print rows whose genre is not one of this model's; None: any name may have a row.

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
        console.notify(f"--genre-map: {printable(model.name)} has no genre {join_first(unused)}; it has {known}")
    return found


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How the tracks of ROOT are read."""

    dataset: Annotated[str, value_option("NAME", "auto, fma-small|medium|large|full, gtzan, folder or table.")] = "auto"
    artists: Artists = None
    artist_column: Annotated[str | None, value_option("COLUMN", "Table: column with the artist.")] = None
    split_files: Annotated[
        Path | None,
        value_option(
            "FOLDER", "GTZAN: the published split, as a folder with {train,valid,test}_filtered.txt, or `download`."
        ),
    ] = None
    split_column: Annotated[
        str | None, value_option("COLUMN", "Table: column with the split: train, validation or test.")
    ] = None
    label: Annotated[str | None, value_option("COLUMN", "Table: column with the genre.")] = None
    id_column: Annotated[
        str | None, value_option("COLUMN", "Table: column with the track id.  [default: track_id]")
    ] = None
    group_column: GroupColumn = None
    drop: Annotated[
        str | None, value_option("COLUMNS", "Table: columns (not tracks) to leave out, separated by commas.")
    ] = None
    impute: Annotated[
        str | None, value_option("median", "Table: fill missing features with the medians of the training rows.")
    ] = None
    keep_spellings: KeepSpellings = False

    def dataset_options(self) -> DatasetOptions:
        """The options that a dataset uses."""
        from genrelab.datasets.base import DatasetOptions  # late: imports NumPy

        given = {f.name: getattr(self, f.name) for f in fields(ReadOptions) if f.name not in ("dataset", "drop")}
        return DatasetOptions(**given, drop=tuple(split_list(self.drop)))

    def words(self) -> list[str]:
        """The options that were given, as words of a command."""
        given = [(f.name, value) for f in fields(ReadOptions) if (value := getattr(self, f.name)) != f.default]
        return [word for n, v in given for word in (f"--{n.replace('_', '-')}", *([] if v is True else [str(v)]))]


@dataclass(frozen=True, kw_only=True)
class SourceOptions(ReadOptions):
    """Where the tracks are, and how they are read."""

    root: Annotated[Path, path_argument("ROOT", "A folder of music, FMA, GTZAN, or a table (.csv, .parquet).")]
    exclude: Annotated[
        Path | None, value_option("FILE", "CSV of tracks to leave out, each with a reason: see `doctor --manifest`.")
    ] = None
