"""The model card of the starter model, with the figures measured by `starter.py`."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from genrelab.bundle.model_card import calibration_section, usage_section
from genrelab.core.config import ClipSettings, View
from genrelab.evaluation.calibration import Evidence


@dataclass(frozen=True)
class Figures:
    """Results of cross-validation; `artist`, `short` and `leaking` are results of `metrics.score`."""

    n_tracks: int  # trained on; those of unknown artist are not scored
    counts: dict[str, int]  # tracks of each genre
    artist: dict[str, Any]  # artists kept apart
    short: dict[str, Any]  # the same with only the excerpts of 2 to 3 s
    leaking: dict[str, Any]  # tracks drawn at random: the same artist on both sides
    elsewhere: dict[str, tuple[int, int]]  # another collection, by genre: number of tracks, and of correct ones


def card(
    figures: Figures, view: View, clips: ClipSettings, licence: str, temperature: float, evidence: Evidence
) -> str:
    """The card in Markdown."""
    s, short, leaking = figures.artist, figures.short, figures.leaking
    n, right = (sum(counts) for counts in zip(*figures.elsewhere.values(), strict=True))
    most = max(g["n"] for g in s["per_genre"].values()) / s["n"]
    lines = [
        "# The starter model",
        "",
        f"Logistic regression on `{view.name}` of windows of {clips.clip_s:g} s, averaged over the track; made by "
        f"genrelab {version('genrelab')} (`scripts/starter.py`) so that `genrelab predict song.mp3` answers right "
        f"after installation. It knows ten genres: {', '.join(figures.counts)}.",
        "",
        "**It is a demonstration.** It is right about half of the time, and it answers one of its ten genres "
        "whatever it hears. For your own music, train your own: `genrelab run ~/Music/by-genre --out runs/first`.",
        "",
        "## Data",
        "",
        f"{figures.n_tracks} tracks, excerpts of 2 to 30 s of GTZAN (Tzanetakis and Cook, 2002), the longest of each: "
        f"{', '.join(f'{genre} {n}' for genre, n in figures.counts.items())}. GTZAN has known faults (repeats, wrong "
        "labels; Sturm, 2013), and its genres are those of American and British records before 2002.",
        "",
        "## Scores",
        "",
        "Nested five-fold cross-validation: the strength of the penalty and the temperature are chosen inside the "
        f"training folds. {s['n']} of the tracks are by {s['n_groups']} known artists; of the other "
        f"{figures.n_tracks - s['n']} nobody knows the artist: they are learned from and never scored. 95 % intervals "
        "come from drawing artists anew.",
        "",
        "| on tracks of artists that it has not heard | n | accuracy | top-3 | log loss | ECE |",
        "|---|---|---|---|---|---|",
        _score_row("**all tracks, their longest excerpt**", s),
        _score_row("learned from and tested on 2 to 3 s only", short),
        "",
        f"Guessing is right for {1 / len(figures.counts):.1%}, the most frequent genre for {most:.1%}.",
        "",
        f"With tracks drawn at random, so that the same artist is on both sides, it seems to reach "
        f"{leaking['accuracy']:.1%}. That figure is a **leak**: it measures how well artists are recognised, and is "
        "here only because many published ones are made that way.",
        "",
        f"In another collection (Emotify, clips of 30 s, labels by another hand) it is right for {right} of {n}: "
        f"{', '.join(f'{g} {r} of {k}' for g, (k, r) in figures.elsewhere.items())}.",
        "",
        "| genre | n | recall | precision |",
        "|---|---|---|---|",
        *[f"| {g} | {v['n']} | {v['recall']:.3f} | {v['precision']:.3f} |" for g, v in s["per_genre"].items()],
        "",
        *calibration_section(
            temperature, evidence, "of known artists, each answered by a model that never heard its artist"
        ),
        "",
        "This holds for excerpts of GTZAN by other artists. In another collection it is right less often at the same "
        "confidence.",
        "",
        "## Not tested on",
        "",
        "Whole songs, recordings by microphone, speech, sounds of nature, and music of none of the ten genres.",
        "",
        "## Licence",
        "",
        f"{licence[0].upper()}{licence[1:]}. There is no music in it, only coefficients trained from scratch.",
        "",
        *usage_section("onnx", view, clips, len(figures.counts)),
        "",
    ]
    return "\n".join(lines)


def _score_row(name: str, s: dict[str, Any]) -> str:
    accuracy = f"{s['accuracy']:.1%} [{s['accuracy_low']:.1%}, {s['accuracy_high']:.1%}]"
    return f"| {name} | {s['n']} | {accuracy} | {s['top3']:.1%} | {s['log_loss']:.3f} | {s['ece']:.3f} |"
