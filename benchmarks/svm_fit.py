"""Fitting the svm model, calibration included, against the same SVM calibrated within each pair of genres.

    python benchmarks/svm_fit.py [--rounds N] [--json PATH]

6,400 rows of 518 columns, 8 genres: the size of the training part of fma_small, synthetic so that the accuracy is about
80 %, with a few tracks per artist. The other side is `SVC(probability=True)`, as before scikit-learn 1.9.
"""

from __future__ import annotations

from sides import Row, alternate, arguments, one_core, report  # isort: skip

import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genrelab.core.config import TrainSettings
from genrelab.models.svm import Svm

ROWS, COLUMNS, GENRES, CAUSES, TRACKS_AN_ARTIST = 6_400, 518, 8, 40, 5
AT_MOST_S = 60.0


class Rows(NamedTuple):
    """`z` (n, columns) scaled, `y` and `artist` (n,)."""

    z: NDArray[np.float64]
    y: NDArray[np.int64]
    artist: NDArray[np.int64]

    def part(self, of: slice) -> Rows:
        """A part of the rows."""
        return Rows(self.z[of], self.y[of], self.artist[of])


def made_up(n: int, seed: int) -> Rows:
    """Synthetic rows: columns depend on 40 latent causes, like statistics of music, which vary by genre and artist."""
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(CAUSES, COLUMNS)) * np.geomspace(3, 0.3, CAUSES)[:, None]
    genre_means = 0.5 * rng.normal(size=(GENRES, CAUSES))
    artist = np.arange(n) // TRACKS_AN_ARTIST
    artist_means = 0.5 * rng.normal(size=(artist[-1] + 1, CAUSES))
    y = artist % GENRES
    causes = genre_means[y] + artist_means[artist] + rng.normal(size=(n, CAUSES))
    x = causes @ mix + 2 * rng.normal(size=(n, COLUMNS))
    return Rows((x - x.mean(0)) / x.std(0), y, artist)


def ours(rows: Rows) -> Any:
    """As `genrelab train --models svm` after scaling the features."""
    model = Svm(TrainSettings(), tuple(f"genre {i}" for i in range(GENRES)))
    return model._fit_classifier(rows.z, rows.y, rows.artist, None)


def within_pairs(rows: Rows) -> Any:
    """Platt's sigmoid for each pair of genres, on five folds within LIBSVM."""
    from sklearn.svm import SVC

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # deprecated since scikit-learn 1.8
        return SVC(probability=True, random_state=0).fit(rows.z, rows.y)


def main() -> int:
    """Measure, print the row and write it; 1 if a goal is missed."""
    parser = arguments("fitting an SVM with probabilities, 6,400 x 518", data=False)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    one_core()
    sides = {"SVC(probability=True)": within_pairs, "genrelab": ours}
    everything = made_up(2 * ROWS, 0)  # artists are not split between both parts
    rows, others = everything.part(slice(ROWS)), everything.part(slice(ROWS, ROWS + 1_600))
    ours(made_up(400, 1))  # imports
    measured = alternate(sides, [rows] * options.rounds, warm_up=0, keep=True)
    ratio, quartiles = measured.ratio("SVC(probability=True)", "genrelab")
    loss: dict[str, float] = {}
    right: dict[str, float] = {}
    for side, answers in measured.answers.items():
        p = answers[0].predict_proba(others.z)
        loss[side] = float(-np.log(np.maximum(p[np.arange(len(p)), others.y], 1e-15)).mean())
        right[side] = float((p.argmax(1) == others.y).mean())
    row = Row(
        "svm_fit", f"fitting the svm model, {ROWS:,} x {COLUMNS}, calibrated", "SVC(probability=True)",
        ratio, quartiles, options.rounds,
        at_least=1.0,
        medians={f"{side}, s of CPU": measured.median(side) for side in sides},
        checks={
            f"at most {AT_MOST_S:g} s of CPU": measured.median("genrelab") <= AT_MOST_S,
            "a log loss on other artists at most 0.01 higher": loss["genrelab"] <= loss["SVC(probability=True)"] + 0.01,
        },
        extra={f"{what}, {side}": of[side] for what, of in (("log loss", loss), ("right", right)) for side in sides},
    )  # fmt: skip
    return report(row, options.json)


if __name__ == "__main__":
    raise SystemExit(main())
