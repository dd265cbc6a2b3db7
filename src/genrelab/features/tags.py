"""The 50 tags that the networks of the view `embedding` were trained to predict; users of last.fm gave them to music.

The last layer of each network turns its part of an embedding into logits of the tags, so tags cost almost nothing.
docs/results.md has the only figures on how good they are.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrelab.core.config import NETWORK_OUTPUTS
from genrelab.features.embedding import FOLDER

TAGS = (
    "rock", "pop", "alternative", "indie", "electronic", "female vocalists", "dance", "00s", "alternative rock", "jazz",
    "beautiful", "metal", "chillout", "male vocalists", "classic rock", "soul", "indie rock", "Mellow", "electronica",
    "80s", "folk", "90s", "chill", "instrumental", "punk", "oldies", "blues", "hard rock", "ambient", "acoustic",
    "experimental", "female vocalist", "guitar", "Hip-Hop", "70s", "party", "country", "easy listening", "sexy",
    "catchy", "funk", "electro", "heavy metal", "Progressive rock", "60s", "rnb", "indie pop", "sad", "House", "happy",
)  # fmt: skip
"""Names in the order of the networks' outputs, spelled as in the Million Song Dataset's list of tags."""


def tag_probabilities(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probability of each tag, (tags,): the mean over windows and networks.

    Args:
        rows: embeddings of a track's windows, (windows, outputs).
    """
    kernel, bias = _last_layers()
    ends = np.cumsum([*NETWORK_OUTPUTS.values()])
    parts = zip(np.split(rows, ends[:-1], axis=1), np.split(kernel, ends[:-1]), bias, strict=True)
    logits = [outputs @ weights + b for outputs, weights, b in parts]
    mean: NDArray[np.float64] = (1 / (1 + np.exp(-np.array(logits, np.float64)))).mean(axis=(0, 1))
    return mean


@lru_cache(maxsize=1)
def _last_layers() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights (outputs, tags) and bias (networks, tags)."""
    with np.load(FOLDER / "tags.npz", allow_pickle=False) as stored:
        found: Any = stored["kernel"].astype(np.float32), stored["bias"]
    return found  # type: ignore[no-any-return]
