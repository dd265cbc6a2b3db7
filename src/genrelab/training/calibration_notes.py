"""Remarks on the calibration of a model, for readers of its scores."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrelab.core.text import pluralize
from genrelab.evaluation.calibration import MIN_TRACKS

MAX_WORSENING = 0.02
"""Increase of the expected calibration error, or of log loss, on the test tracks from which a note reports it."""


def not_calibrated_note(n: int, fitted_on: str) -> str:
    """The note on a model with too few calibration tracks."""
    what = "validation track" if fitted_on == "validation" else "held-out training track"
    return f"not calibrated: {pluralize(n, what)}, at least {MIN_TRACKS} are needed"


def worsening_note(part: str, scored: dict[str, Any]) -> tuple[str, ...]:
    """The note if calibration made the probabilities of the test (or validation) tracks worse."""
    before, after = scored["before"], scored["after"]
    if all(after[what] <= before[what] + MAX_WORSENING for what in after):
        return ()
    moved = [f"{word} {before[k]:.3f} → {after[k]:.3f}" for k, word in (("ece", "ECE"), ("log_loss", "log loss"))]
    return (f"calibration made the probabilities of the {part} tracks worse: {', '.join(moved)}",)


def shared_artists_note(group: NDArray[np.int64], shared: bool) -> tuple[str, ...]:
    """The note if artists of calibration tracks are, or may be, in the training set.

    Args:
        group: artist of each training and calibration track; a separate one if unknown.
        shared: is an artist known to be in both sets?
    """
    if shared:
        return ("calibrated on tracks by artists of the training set: confidence may be too high",)
    if len(np.unique(group)) == len(group):
        overlap = "if these artists are also in the training set, confidence may be too high"
        return (f"calibrated on tracks by unknown artists: {overlap}",)
    return ()
