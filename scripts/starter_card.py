"""The model card of the starter model, with the figures measured by `starter.py`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from genrelab.bundle.model_card import averaging_note, calibration_section, usage_section
from genrelab.core.config import ClipSettings, View
from genrelab.evaluation.calibration import Evidence
from genrelab.evaluation.percent import format_percent
from genrelab.runs.learn_card import confusion_table


@dataclass(frozen=True)
class Figures:
    """Results of cross-validation; `collections` and `leaking` hold results of `metrics.score`."""

    tracks: list[tuple[str, str]]  # collection and genre of every training track
    collections: dict[str, dict[str, Any]]  # artists kept apart
    both: dict[str, Any]  # the same of both collections together
    other_draws: dict[str, list[float]]  # accuracy with other folds
    leaking: dict[str, Any]  # tracks drawn at random: the same artist on both sides
    fma: dict[int, tuple[str, str]]  # id of a clip: its genre, and the predicted one
    temperature: float
    evidence: Evidence


def card(figures: Figures, view: View, clips: ClipSettings, licence: str) -> str:
    """The card in Markdown."""
    genres = sorted({genre for _, genre in figures.tracks})
    lines = [
        "# The starter model",
        "",
        f"The model that `genrelab predict FILE` uses right after installation. It knows {len(genres)} genres: "
        f"{', '.join(genres)}.",
        "",
        "It is right for about 7 of 10 tracks by artists that it was not trained on. Recordings that do not sound like "
        "music are `unknown`. To classify your own genres, five tracks of each are enough to start: "
        "`genrelab learn ~/Music/by-genre --out my-genres`.",
        "",
        f"It is a balanced logistic regression on the view `{view.name}`: the outputs of two frozen music networks for "
        f"3 s of audio. Made by genrelab {version('genrelab')} (`scripts/starter.py`).",
        "",
        *_scores(figures, genres),
        *_caveat(),
        averaging_note(view),
        "",
        *_lines(
            calibration_section(
                figures.temperature,
                figures.evidence,
                "all tracks by known artists, each classified by a model trained without its artist",
            )
        ),
        "This holds for other artists in collections like these two. In other collections, expect fewer correct "
        "answers at the same confidence.",
        "",
        "## Limits",
        "",
        "Not tested on whole songs, microphone recordings or music of other genres: that gets the most similar of its "
        "genres. docs/results.md lists which recordings without music are recognised as such.",
        "",
        *_data(figures, genres),
        "## Licence",
        "",
        f"{licence[0].upper()}{licence[1:]}. The bundle contains coefficients, no music. The music networks are part "
        "of genrelab, not of this bundle: ISC licence, Music Technology Group, Universitat Pompeu Fabra (J. Pons).",
        "",
        *_lines(usage_section("onnx", view, clips, len(genres))),
    ]
    return "\n".join(lines)


def _lines(paragraphs: list[str]) -> list[str]:
    """Paragraphs with an empty line after each; empty ones are left out."""
    return [line for text in paragraphs if text for line in (text, "")]


def _data(figures: Figures, genres: list[str]) -> list[str]:
    counts = Counter(figures.tracks)

    def named(collection: str) -> str:
        return ", ".join(f"{g} {counts[collection, g]}" for g in genres if counts[collection, g])

    n = Counter(collection for collection, _ in figures.tracks)
    return [
        "## Training data",
        "",
        f"- {n['GTZAN']} tracks of GTZAN (Tzanetakis and Cook, 2002), the longest excerpt of 2 to 30 s of each: "
        f"{named('GTZAN')}. GTZAN has known errors (repeats, wrong labels; Sturm, 2013); its music is American and "
        "British, released before 2002.",
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
        "Nested five-fold cross-validation over both collections, split by artist: penalty and temperature are chosen "
        f"without the artists of the test tracks. {unknown} GTZAN tracks by unknown artists are in training only. "
        "The 95 % intervals are over artists.",
        "",
        "| test tracks by new artists | n | artists | accuracy | true genre among the top 3 | log loss | ECE |",
        "|---|---|---|---|---|---|---|",
        *[_score_row(name, s) for name, s in (*figures.collections.items(), ("both", figures.both))],
        "",
        f"With other folds: {_other_draws(figures)}. Chance: {format_percent(1 / len(genres))}; always guessing the "
        f"most frequent genre of GTZAN: {format_percent(most)} of GTZAN.",
        "",
        f"With a random split, in which tracks by one artist are in both the training and the test set, the accuracy "
        f"over both collections is {format_percent(figures.leaking['accuracy'])}. The difference is a **leak**: the "
        "model recognises artists. The figure is here for comparison with published figures, many of which leak.",
        "",
    ]
    if fma:
        answers = "; ".join(f"{i} {genre}: {answer}" for i, (genre, answer) in fma.items())
        lines += [
            f"Of {len(fma)} clips of FMA, {right} are classified correctly (id and genre: result): {answers}.",
            "",
        ]
    for name, s in figures.collections.items():
        lines += [f"### {name} by genre", "", "| genre | n | recall | precision |", "|---|---|---|---|"]
        lines += [_genre_row(g, v) for g, v in s["per_genre"].items()]
        lines += ["", *_lines(confusion_table(genres, s))]
    return lines


def _other_draws(figures: Figures) -> str:
    return "; ".join(
        f"{c} {' and '.join(format_percent(a) for a in found)}" for c, found in figures.other_draws.items()
    )


def _caveat() -> list[str]:
    return [
        "### About these figures",
        "",
        "The music networks were trained on the Million Song Dataset, which contains songs by many artists of GTZAN: "
        "the test artists are new to the logistic regression, not to the networks. Emotify and FMA overlap less. "
        "Recordings without music are recognised by a gate that was fitted on these tracks, too; the figures are "
        "without it.",
        "",
    ]


def _score_row(name: str, s: dict[str, Any]) -> str:
    accuracy = f"{format_percent(s['accuracy'])} [{100 * s['accuracy_low']:.1f}, {100 * s['accuracy_high']:.1f}]"
    rest = f"{format_percent(s['top3'])} | {s['log_loss']:.3f} | {s['ece']:.3f}"
    return f"| {name} | {s['n']} | {s['n_groups']} | {accuracy} | {rest} |"


def _genre_row(genre: str, v: dict[str, Any]) -> str:
    if not v["n"]:
        return f"| {genre} | 0 | not measured | not measured |"
    precision = "–" if v["precision"] is None else f"{v['precision']:.3f}"
    return f"| {genre} | {v['n']} | {v['recall']:.3f} | {precision} |"
