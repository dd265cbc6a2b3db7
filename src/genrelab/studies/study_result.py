"""What all studies share: the file that they write, their sentences on the terminal, and figures as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genrelab.core.progress import Notify
from genrelab.core.storage import Folder
from genrelab.evaluation.percent import points, with_interval


def write_result(run: Folder, file: str, found: dict[str, Any], notify: Notify) -> dict[str, Any]:
    """Write the JSON of a study into RUN; its first sentence, the finding, is reported, the others are details."""
    run.write_json(file, found)
    for i, sentence in enumerate(found["sentences"]):
        notify(f"  {sentence}" if i else sentence)
    return found


def accuracy_text(row: Mapping[str, Any]) -> str:
    """An accuracy in percent with its interval: `47.6 [41.0, 54.2]`."""
    return with_interval(row["accuracy"], row["low"], row["high"])


def points_text(difference: float, low: float, high: float) -> str:
    """A difference of accuracies in percentage points with its interval: `+5.0 [+1.2, +8.8]`."""
    return f"{points(difference)} [{points(low)}, {points(high)}]"
