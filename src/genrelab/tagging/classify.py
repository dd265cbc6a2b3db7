"""The classifier of a library with its cache, and the genres that are written for a prediction."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from genrelab.core.config import MIN_CONFIDENCE
from genrelab.core.errors import SettingsError
from genrelab.core.progress import Progress, ignore
from genrelab.identity.genre_map import GenreMap
from genrelab.identity.genre_names import spelling_key, usual_name
from genrelab.predict.batch import predict_files
from genrelab.predict.cache import PredictionCache, open_cache
from genrelab.predict.classifier import Classifier
from genrelab.predict.prediction import NOT_MUSIC, UNKNOWN, Decision, Prediction
from genrelab.tagging.formats import KEY, TEMPO
from genrelab.tagging.write_tag import OnWritten

NO_MUSIC = "does not sound like music"
"""Why no genre is written for a sound that is not music."""

MIN_TEMPO_CONFIDENCE, MIN_KEY_CONFIDENCE = 0.6, 0.8
"""A tempo or key with less confidence is not written. On real clips whose tempo and key people annotated, at least four
out of five values above these were right (`benchmarks/rhythm.py`), which `tag` also requires of genres."""

Classify = Callable[[Iterable[Path]], Iterator[Prediction]]
"""Returns the predictions of files, in their order; may read file names in advance."""


@contextmanager
def open_classifier(
    bundle: Classifier, jobs: int | None, progress: Progress = ignore
) -> Iterator[tuple[Classify, OnWritten]]:
    """A classifier with the prediction cache, and the callback that updates the cache for files that were written.

    Args:
        bundle: see `load_bundle`; predictions that its `decision` rejects are `unknown`.
        jobs: number of worker processes; None: one per core.
        progress: called with (done, total).

    Raises:
        BundleError: the model does not take audio.
        SettingsError: `jobs` is invalid.
    """
    with open_cache() as cache:
        classify = partial(predict_files, bundle, jobs=jobs, cache=cache, progress=progress)
        yield classify, partial(_rekey, cache)


@contextmanager
def open_cache_update() -> Iterator[OnWritten]:
    """Only the callback, where nothing is classified."""
    with open_cache() as cache:
        yield partial(_rekey, cache)


def _rekey(cache: PredictionCache, path: Path) -> None:
    with suppress(OSError):  # it is gone: classified again if it comes back
        cache.rekey(path)


@dataclass(frozen=True)
class GenreChoice:
    """Which genres of a prediction are used, and their names.

    Attributes:
        min_confidence: minimum probability of a genre.
        n_genres: maximum number of genres, the most probable first.
        decision: the classifier's, for the second and further genres; it has been applied to the first.
        own_names: the model's genres are the owner's own names, which are kept; others get their usual name.
        genre_map: the owner's names for the model's genres.
    """

    min_confidence: float = MIN_CONFIDENCE
    n_genres: int = 1
    decision: Decision = Decision()  # noqa: RUF009 - it is frozen
    own_names: bool = False
    genre_map: GenreMap | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.min_confidence <= 1:
            raise SettingsError(f"--min-confidence must be from 0 to 1. Received: {self.min_confidence}")
        if self.n_genres < 1:
            raise SettingsError(f"--genres must be 1 or more. Received: {self.n_genres}")

    def genres(self, prediction: Prediction) -> tuple[str, ...]:
        """The genres that are used, by the model's names; none if the first one is not."""
        if prediction.genre in (None, UNKNOWN) or (prediction.confidence or 0.0) < self.min_confidence:
            return ()
        ranked = sorted(prediction.probabilities.items(), key=lambda item: -item[1])
        others = [genre for genre, p in ranked if genre != prediction.genre and self._counts(genre, p)]
        return (str(prediction.genre), *others[: self.n_genres - 1])

    def _counts(self, genre: str, probability: float) -> bool:
        return 0 < probability >= self.min_confidence and self.decision.counts(genre, probability)

    def names(self, genres: Iterable[str], *, as_written: bool = False) -> tuple[str, ...]:
        """The names of genres, each once; empty if the map omits all of them.

        Args:
            as_written: a name without a row in the map stays as it is, such as one from a file's own tags.
        """
        genre_map = self.genre_map or GenreMap({})
        return tuple(genre_map(genres, otherwise=str if as_written else self._spell))

    def _spell(self, genre: str) -> str:
        return genre if self.own_names else usual_name(genre)

    def doubt(self, prediction: Prediction) -> str:
        """Why no genre of a prediction is used."""
        if prediction.unknown_because == NOT_MUSIC:
            return NO_MUSIC
        guess = prediction.guess or UNKNOWN
        name = self._spell(guess)
        if prediction.genre == UNKNOWN:
            missing = self.decision.missing_support(guess, name)
        else:
            missing = f"confidence below {100 * self.min_confidence:g} %"
        return f"perhaps {name}; {missing}" if missing else f"perhaps {name}"

    def same(self, before: Iterable[str], after: Iterable[str]) -> bool:
        """Are a file's genres those to be written, apart from the spelling, which is kept?

        With a map the spelling counts, as the owner has chosen it.
        """
        key = str if self.genre_map is not None else spelling_key
        return [key(genre) for genre in before] == [key(genre) for genre in after]


@dataclass(frozen=True)
class MusicValue:
    """A tempo or key as it is written into files.

    Attributes:
        text: a whole number of beats per minute, or a key such as `C`, `F#m`, `Bbm` (the form of ID3v2).
        confidence: from 0 to 1.
        counts: is it confident enough to be written?
    """

    text: str
    confidence: float
    counts: bool

    def is_in(self, texts: Sequence[str]) -> bool:
        """Do all of these texts have this value, such as 127.60 for 128, or Gbm for F#m? False if there are none."""
        return bool(texts) and all(_meaning(text) == _meaning(self.text) for text in texts)


_KEY_TEXT = re.compile("([A-G])([#♯b♭]?) ?(m|(?i:min|minor)|)(?:M|(?i:maj|major))?")


def _meaning(text: str) -> object:
    """Semitones above C and the mode of a key, a rounded tempo, or another text itself."""
    if key := _KEY_TEXT.fullmatch(text):
        tonic = "C D EF G A B".index(key[1]) + (key[2] in ("#", "♯")) - (key[2] in ("b", "♭"))
        return tonic % 12, bool(key[3])
    with suppress(ValueError, OverflowError):
        return round(float(text.replace(",", ".")))
    return text


def find_music(prediction: Prediction) -> dict[str, MusicValue]:
    """TEMPO and KEY of a prediction, if they were found; none of a sound that is not music."""
    found, values = prediction.description, {}
    if found is None or prediction.unknown_because == NOT_MUSIC:
        return {}
    if found.tempo_bpm is not None and round(found.tempo_bpm) > 0:
        confident = found.tempo_confidence >= MIN_TEMPO_CONFIDENCE
        values[TEMPO] = MusicValue(str(round(found.tempo_bpm)), found.tempo_confidence, confident)
    if found.key is not None:
        tonic, mode = found.key.split()
        text = tonic + ("m" if mode == "minor" else "")
        values[KEY] = MusicValue(text, found.key_confidence, found.key_confidence >= MIN_KEY_CONFIDENCE)
    return values
