"""The result of `learn`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genrelab.runs.learn_advice import GenreAdvice


@dataclass(frozen=True)
class LearnResult:
    """The written bundle and its scores.

    Attributes:
        bundle: the folder that was written.
        n_tracks, n_artists: number of training tracks, and of their known artists.
        scores: `metrics.score` on tracks by other artists; None if too few could be held out.
        genres: the recall of each genre, and what it needs.
        failed: file → why it was not used.
        notes: remarks for readers of the scores.
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
