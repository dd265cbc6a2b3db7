"""What a reader of a calibrated model's scores must know, in sentences."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrelab.evaluation.calibration import MIN_TRACKS

MAX_WORSENING = 0.02
"""Expected calibration error, or log loss, that the temperature may add on the scored tracks before that is told."""


def not_calibrated_note(n: int) -> str:
    """Of a model with too few calibration tracks."""
    return f"its probabilities are as they came: {n} tracks to calibrate with, at least {MIN_TRACKS} are needed"


def worsening_note(temperature: float, scored: dict[str, Any]) -> tuple[str, ...]:
    """What is said where calibration tracks asked for a temperature that the scored tracks do not bear out."""
    before, after = scored["before"], scored["after"]
    if all(after[what] <= before[what] + MAX_WORSENING for what in after):
        return ()
    moved = [f"{word} {before[k]:.3f} → {after[k]:.3f}" for k, word in (("ece", "ECE"), ("log_loss", "log loss"))]
    return (f"its temperature of {temperature:g} does not fit the scored tracks: {', '.join(moved)}",)


def shared_artists_note(group: NDArray[np.int64], shared: bool) -> tuple[str, ...]:
    """What must be said where artists of calibration tracks were, or may have been, learned from.

    Args:
        group: artist of each track that is learned from or asked about; one of its own where it is unknown.
        shared: is an artist known to be on both sides?
    """
    if shared:
        return ("calibrated on tracks whose artists were learned from: it may be surer than it should be",)
    if len(np.unique(group)) == len(group):
        return ("calibrated on tracks whose artists are unknown: if they were learned from, it is too sure",)
    return ()
