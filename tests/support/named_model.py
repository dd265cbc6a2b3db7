"""A model for tests of libraries: what it hears stands in the name of the file, such as `jazz 83 anything.mp3`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from genrelab.predict.prediction import Prediction


class FakeClassifier:
    """Classifies by file name, and records the names."""

    def __init__(self) -> None:
        self.classified: list[str] = []

    def __call__(self, paths: Iterable[Path]) -> Iterator[Prediction]:
        files = list(paths)
        self.classified += [p.name for p in files]
        return map(prediction_from_name, files)


def prediction_from_name(path: Path) -> Prediction:
    """`jazz 83 …`: jazz with 0.83; `error …`: a file that cannot be classified; anything else: rock with 0.9."""
    words = path.name.split()
    if words[0] == "error":
        return Prediction(str(path), None, None, {}, None, "svm", "not a readable audio file")
    known = len(words) > 1 and words[1].isdigit()
    genre, p = (words[0], int(words[1]) / 100) if known else ("rock", 0.9)
    return Prediction(str(path), genre, p, {genre: p}, 61.4, "svm", None)
