"""What `learn` reports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genrelab.runs.learn_advice import GenreAdvice


@dataclass(frozen=True)
class LearnResult:
    """What came of it.

    Attributes:
        bundle: the folder that was written.
        n_tracks, n_artists: learned from; artists where known.
        scores: `metrics.score` on tracks of other artists; None where too few could be held out.
        genres: of each genre its tracks, how many are recognised, and whether more are needed.
        failed: file → why it was not learned from.
        notes: what a reader of the scores must know.
    """

    bundle: Path
    n_tracks: int
    n_artists: int
    scores: dict[str, Any] | None
    genres: tuple[GenreAdvice, ...]
    failed: dict[str, str]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The object that `learn --json` prints."""
        return {
            "bundle": str(self.bundle),
            "tracks": self.n_tracks,
            "artists": self.n_artists,
            "scores": self.scores,
            "genres": [one.to_json() for one in self.genres],
            "failed": self.failed,
            "notes": list(self.notes),
        }
