"""Options that say which answers of which model count for a library, and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from genrelab.cli import console, options
from genrelab.cli.use import load_audio_bundle, parse_share, with_min_precision
from genrelab.core.errors import SettingsError, printable
from genrelab.core.text import pluralize

if TYPE_CHECKING:
    from genrelab.predict.classifier import Classifier
    from genrelab.tagging.classify import GenreChoice

DEFAULT_PRECISION, DEFAULT_CONFIDENCE = 0.8, 0.5
"""Genres are written where calibration supports that four in five are right; a model without calibration for that must
be more sure than not.
"""

MANY_TRACKS = 100
"""From this number of calibration tracks on the message blames wrong answers, below it the number of tracks."""

DEFAULT_TAG_PROBABILITY = 0.2
"""Of tracks of Emotify and GTZAN 93 and 96 % have a tag that is this probable, 18 and 20 % one that is more likely than
not: the networks learned from tags that most listeners don't set."""

MinPrecision = Annotated[
    float | None,
    typer.Option(
        "--min-precision",
        parser=parse_share,
        metavar="P",
        help="A genre counts where calibration tracks support that this share of such answers is right.  "
        f"[default: {DEFAULT_PRECISION}, if supported for any genre]",
    ),
]
MinConfidence = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        max=1.0,
        help="A genre counts from this probability on, instead of a precision.  "
        f"[default: {DEFAULT_CONFIDENCE}, if no precision is supported]",
    ),
]
AnyGenre = Annotated[
    bool, typer.Option("--any", help="Name a genre for every file, however unsure, even if it is no music.")
]


@dataclass(frozen=True)
class AnswerOptions:
    """Which answers of which model count, how genres are called, and which files are left out."""

    model: options.Model = None
    min_precision: MinPrecision = None
    min_confidence: MinConfidence = None
    any_genre: AnyGenre = False
    genre_map: options.GenreMapFile = None
    exclude: options.ExcludePatterns = None
    jobs: options.Jobs = None

    def limited(self) -> tuple[Classifier, float]:
        """The classifier, with the precision that is asked for, and the confidence limit.

        Unless an option says otherwise that is `DEFAULT_PRECISION`, or `DEFAULT_CONFIDENCE` for a model whose
        calibration supports the former for no genre.
        """
        if self.min_precision is not None and (self.any_genre or self.min_confidence is not None):
            other = "--any names every genre" if self.any_genre else "--min-confidence counts instead of a precision"
            what = "few" if self.any_genre else "asks for one"
            raise typer.BadParameter(f"{other}, --min-precision {what}: give one of them")
        bundle = load_audio_bundle(self.model)
        if self.any_genre:
            return bundle.with_any(), self.min_confidence or 0.0
        if self.min_precision is not None:
            return with_min_precision(bundle, self.min_precision), 0.0
        if self.min_confidence is not None:
            return bundle, self.min_confidence
        if bundle.calibration is not None:
            supported = bundle.with_min_precision(DEFAULT_PRECISION).decision.thresholds or {}
            if any(threshold is not None for threshold in supported.values()):
                return with_min_precision(bundle, DEFAULT_PRECISION), 0.0
        console.notify(
            f"{_how_checked(bundle)}: a genre is written where it is at least {100 * DEFAULT_CONFIDENCE:g} % sure "
            "(--min-confidence changes that)"
        )
        return bundle, DEFAULT_CONFIDENCE

    def limited_by_tag(self) -> tuple[Classifier, float]:
        """The classifier, and the limit of a tag's probability.

        Raises:
            SettingsError: the model has no descriptive tags.
        """
        bundle = load_audio_bundle(self.model)
        if not bundle.reads_embedding:
            raise SettingsError(
                f"{printable(str(bundle.path))}: {bundle.name} knows genres only, and --by tag needs descriptive tags: "
                "name a model that reads the view embedding, or use --by genre"
            )
        limit = DEFAULT_TAG_PROBABILITY if self.min_confidence is None else self.min_confidence
        return bundle.with_any() if self.any_genre else bundle, limit

    def choose(
        self, bundle: Classifier, min_confidence: float, n_genres: int = 1, *, model_genres_only: bool = True
    ) -> GenreChoice:
        """What is done with the genres of a prediction.

        Args:
            model_genres_only: print rows of the genre map that are for no genre of the model.
        """
        from genrelab.tagging.classify import GenreChoice

        genre_map = options.read_genre_map(self.genre_map, bundle if model_genres_only else None)
        return GenreChoice(min_confidence, n_genres, bundle.decision, bundle.own_names, genre_map)

    def given(self) -> dict[str, object]:
        """Options that say which answers count, by their names."""
        confidence = None if self.min_confidence is None else str(self.min_confidence)
        return {
            "--model": self.model, "--min-precision": self.min_precision, "--min-confidence": confidence,
            "--any": self.any_genre, "--genre-map": self.genre_map, "--exclude": self.exclude, "--jobs": self.jobs,
        }  # fmt: skip


def _how_checked(bundle: Classifier) -> str:
    """Why a model's calibration does not support `DEFAULT_PRECISION` for any genre."""
    support = "support that four in five of its answers are right"
    if bundle.calibration is None:
        return f"{bundle.name} was checked on no tracks of its own, which could {support}"
    why = "too few" if bundle.calibration.n < MANY_TRACKS else "and is too often wrong"
    return f"{bundle.name} was checked on {pluralize(bundle.calibration.n, 'track')}, {why} to {support}"
