"""Music or not: a score from the outputs of the frozen networks, so that a recording of birds gets no genre.

Logistic regression on the outputs of `features/embedding.py`; `networks/gate.npz` has its coefficients, made by
`scripts/gate.py`.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FILE = Path(__file__).with_name("networks") / "gate.npz"

MIN_MUSIC_SCORE = 0.0
"""A recording whose windows have a lower mean score is not music.

`scripts/gate.py` shifts the score so that 2 % of recordings without music, of kinds that were not fitted on, are above.
Below are, with 2 to 10 windows, 1.3 % of 314 tracks of GTZAN and none of 100 of Emotify by artists not fitted on, and a
quarter of solo instruments not fitted on (docs/results.md).
"""

MAX_DEVIATIONS = 3.0
"""Larger scaled outputs are clipped, so that no single output decides about an unusual sound."""


def music_score(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Log odds that windows are music; the score of a recording is the mean over its windows.

    Args:
        rows: outputs of `embed_window` for each window, (windows, outputs).

    Returns:
        One score per window, (windows,); 0 if both are equally likely.
    """
    gate = _gate()
    scaled = (rows.astype(np.float64) - gate["mean"]) * gate["scale"]
    scores: NDArray[np.float64] = scaled.clip(-MAX_DEVIATIONS, MAX_DEVIATIONS) @ gate["weight"] + gate["bias"]
    return scores


@lru_cache(maxsize=1)
def _gate() -> dict[str, NDArray[np.float64]]:
    """`mean`, `scale` and `weight` of each output and the `bias`; loaded once in a process."""
    with np.load(FILE, allow_pickle=False) as arrays:
        return {name: arrays[name].astype(np.float64) for name in ("mean", "scale", "weight", "bias")}
