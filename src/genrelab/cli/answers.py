"""Options that decide which genres are written into a library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from genrelab.cli import console, options
from genrelab.cli.use import load_audio_bundle, with_min_precision
from genrelab.core.config import MIN_CONFIDENCE
from genrelab.core.errors import SettingsError, printable
from genrelab.core.text import percent, pluralize

if TYPE_CHECKING:
    from genrelab.predict.classifier import Classifier
    from genrelab.tagging.classify import GenreChoice

DEFAULT_PRECISION = 0.8
"""Genres are written where calibration shows that four in five answers are right; if a model's calibration shows that
for no genre, where their probability is at least `MIN_CONFIDENCE`.
"""

MANY_TRACKS = 100
"""From this number of calibration tracks on the message blames wrong answers, below it the number of tracks."""

DEFAULT_TAG_PROBABILITY = 0.2
"""Of tracks of Emotify and GTZAN 93 and 96 % have a tag that is this probable, 18 and 20 % one that is more likely than
not: the networks were trained on tags that few people set."""


@dataclass(frozen=True)
class AnswerOptions:
    """The model, which of its genres count, how genres are called, and which files are left out."""

    model: options.Model = None
    min_precision: options.MinPrecision = None
    min_confidence: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            metavar="P",
            help="Name a genre only if its confidence is at least P, whatever the model's tests show.",
        ),
    ] = None
    any_genre: options.AnyGenre = False
    genre_map: options.GenreMapFile = None
    exclude: options.ExcludePatterns = None
    jobs: options.Jobs = None

    def limited(self) -> tuple[Classifier, float]:
        """The classifier, with the requested precision, and the confidence limit.

        Unless an option says otherwise that is `DEFAULT_PRECISION`, or `MIN_CONFIDENCE` for a model whose
        calibration supports the former for no genre.
        """
        if self.min_precision is not None and (self.any_genre or self.min_confidence is not None):
            other = "--any" if self.any_genre else "--min-confidence"
            raise typer.BadParameter(f"{other} and --min-precision cannot be used together")
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
            f"{_why_unsupported(bundle)}: genres with a confidence of {percent(MIN_CONFIDENCE)} or more are "
            "written (change it with --min-confidence)"
        )
        return bundle, MIN_CONFIDENCE

    def limited_by_tag(self) -> tuple[Classifier, float]:
        """The classifier, and the limit of a tag's probability.

        Raises:
            SettingsError: the model has no descriptive tags.
        """
        bundle = load_audio_bundle(self.model)
        if not bundle.reads_embedding:
            raise SettingsError(
                f"{printable(str(bundle.path))}: --by tag needs descriptive tags, and {bundle.name} has none: use a "
                "model with the view embedding, or --by genre"
            )
        limit = DEFAULT_TAG_PROBABILITY if self.min_confidence is None else self.min_confidence
        return bundle.with_any() if self.any_genre else bundle, limit

    def choose(
        self, bundle: Classifier, min_confidence: float, n_genres: int = 1, *, model_genres_only: bool = True
    ) -> GenreChoice:
        """What is done with the genres of a prediction.

        Args:
            model_genres_only: print rows of the genre map whose genre is not one of the model's.
        """
        from genrelab.tagging.classify import GenreChoice

        genre_map = options.read_genre_map(self.genre_map, bundle if model_genres_only else None)
        return GenreChoice(min_confidence, n_genres, bundle.decision, bundle.own_names, genre_map)


def _why_unsupported(bundle: Classifier) -> str:
    """Why a model's calibration does not support `DEFAULT_PRECISION` for any genre."""
    if bundle.calibration is None:
        return f"{bundle.name} is not calibrated"
    why = "too few" if bundle.calibration.n < MANY_TRACKS else "and is too often wrong"
    tracks = pluralize(bundle.calibration.n, "track")
    return f"{bundle.name} was calibrated on {tracks}, {why} to support a precision of {percent(DEFAULT_PRECISION)}"
