"""The model card of the starter model, with the figures measured by `starter.py`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from genrelab.bundle.model_card import averaging_lines, calibration_section, usage_section
from genrelab.core.config import ClipSettings, View
from genrelab.evaluation.calibration import Evidence
from genrelab.runs.learn_card import confusion_table


@dataclass(frozen=True)
class Figures:
    """Results of cross-validation; `collections` and `leaking` hold results of `metrics.score`."""

    tracks: list[tuple[str, str]]  # collection and genre of every track that was learned from
    collections: dict[str, dict[str, Any]]  # artists kept apart
    both: dict[str, Any]  # the same of both collections together
    other_draws: dict[str, list[float]]  # accuracy with other folds
    leaking: dict[str, Any]  # tracks drawn at random: the same artist on both sides
    fma: dict[int, tuple[str, str]]  # id of a clip: its genre, and the answer
    temperature: float
    evidence: Evidence


def card(figures: Figures, view: View, clips: ClipSettings, licence: str) -> str:
    """The card in Markdown."""
    genres = sorted({genre for _, genre in figures.tracks})
    lines = [
        "# The starter model",
        "",
        f"Balanced logistic regression on `{view.name}`, what two frozen music networks make of 3 s of sound; made by "
        f"genrelab {version('genrelab')} (`scripts/starter.py`) so that `genrelab predict song.mp3` answers right "
        f"after installation. It knows {len(genres)} genres: {', '.join(genres)}.",
        "",
        "It is right for about 7 of 10 tracks of artists that it has not learned from, and what does not sound like "
        "music is `unknown`. For the genres of your own music, five tracks each are enough to begin with: "
        "`genrelab learn ~/Music/by-genre --out my-genres`.",
        "",
        *_data(figures, genres),
        *_scores(figures, genres),
        *_caveat(),
        *averaging_lines(view),
        *calibration_section(
            figures.temperature,
            figures.evidence,
            "of known artists, each answered by a model that never learned from its artist",
        ),
        "",
        "This holds for tracks like these by other artists. In other collections it is right less often at the same "
        "confidence.",
        "",
        "## Not tested on",
        "",
        "Whole songs, recordings by microphone, and music of none of its genres: that gets the genre that it resembles "
        "most. Which recordings that are no music are recognised as such stands in docs/results.md.",
        "",
        "## Licence",
        "",
        f"{licence[0].upper()}{licence[1:]}. There is no music in it, only coefficients. The music networks are in "
        "genrelab, not in this bundle: ISC licence, Music Technology Group, Universitat Pompeu Fabra (J. Pons).",
        "",
        *usage_section("onnx", view, clips, len(genres)),
        "",
    ]
    return "\n".join(lines)


def _data(figures: Figures, genres: list[str]) -> list[str]:
    counts = Counter(figures.tracks)

    def named(collection: str) -> str:
        return ", ".join(f"{g} {counts[collection, g]}" for g in genres if counts[collection, g])

    n = Counter(collection for collection, _ in figures.tracks)
    return [
        "## Data",
        "",
        f"- {n['GTZAN']} tracks of GTZAN (Tzanetakis and Cook, 2002), the longest excerpt of 2 to 30 s of each: "
        f"{named('GTZAN')}. GTZAN has known faults (repeats, wrong labels; Sturm, 2013), and its genres are those of "
        "American and British records before 2002.",
        f"- {n['Emotify']} tracks of 30 s of Emotify (Aljanaki, Wiering and Veltkamp, 2016; music of Magnatune): "
        f"{named('Emotify')}.",
        "",
    ]


def _scores(figures: Figures, genres: list[str]) -> list[str]:
    gtzan = figures.collections["GTZAN"]
    unknown = sum(c == "GTZAN" for c, _ in figures.tracks) - gtzan["n"]
    fma = figures.fma
    right = sum(answer == genre for genre, answer in fma.values())
    most = max(g["n"] for g in gtzan["per_genre"].values()) / gtzan["n"]
    lines = [
        "## Scores",
        "",
        "Nested five-fold cross-validation over both collections: the strength of the penalty and the temperature are "
        f"chosen without the artists that are scored. The artist of {unknown} GTZAN tracks is unknown: they are "
        "learned from and never scored. 95 % intervals draw artists anew.",
        "",
        "| on tracks of artists that it has not learned from | n | artists | accuracy | top-3 | log loss | ECE |",
        "|---|---|---|---|---|---|---|",
        *[_score_row(name, s) for name, s in (*figures.collections.items(), ("both", figures.both))],
        "",
        f"With other folds: {_other_draws(figures)}. Guessing is right for {1 / len(genres):.1%}, the most frequent "
        f"genre for {most:.1%} of GTZAN.",
        "",
        f"With tracks drawn at random, so that the same artist is on both sides, it seems to reach "
        f"{figures.leaking['accuracy']:.1%} over both. That figure is a **leak**: it measures how well artists are "
        "recognised, and is here only because many published ones are made that way.",
        "",
    ]
    if fma:
        answers = "; ".join(f"{i} {genre}: {answer}" for i, (genre, answer) in fma.items())
        lines += [f"Of {len(fma)} clips of FMA it is right for {right} (id and genre: answer): {answers}.", ""]
    for name, s in figures.collections.items():
        lines += [f"### {name} by genre", "", "| genre | n | recall | precision |", "|---|---|---|---|"]
        lines += [_genre_row(g, v) for g, v in s["per_genre"].items()]
        lines += ["", *confusion_table(genres, s)]
    return lines


def _other_draws(figures: Figures) -> str:
    return "; ".join(f"{c} {' and '.join(f'{a:.1%}' for a in found)}" for c, found in figures.other_draws.items())


def _caveat() -> list[str]:
    return [
        "### What these figures do not say",
        "",
        "The music networks were trained on the Million Song Dataset, which holds songs by many artists of GTZAN: "
        "artists are unknown to the part that was trained here only. Emotify and FMA are cleaner in that respect. What "
        "does not sound like music is found by a gate that was fitted on these very tracks, too; it is in none of the "
        "figures.",
        "",
    ]


def _score_row(name: str, s: dict[str, Any]) -> str:
    accuracy = f"{s['accuracy']:.1%} [{s['accuracy_low']:.1%}, {s['accuracy_high']:.1%}]"
    return (
        f"| {name} | {s['n']} | {s['n_groups']} | {accuracy} | {s['top3']:.1%} | {s['log_loss']:.3f} | {s['ece']:.3f} |"
    )


def _genre_row(genre: str, v: dict[str, Any]) -> str:
    if not v["n"]:
        return f"| {genre} | 0 | not measured | not measured |"
    precision = "–" if v["precision"] is None else f"{v['precision']:.3f}"
    return f"| {genre} | {v['n']} | {v['recall']:.3f} | {precision} |"
