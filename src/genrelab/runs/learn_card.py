"""The model card of a bundle that `learn` wrote."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from genrelab.bundle.model_card import EMBEDDING_CAVEAT, averaging_lines, calibration_section, usage_section
from genrelab.core.config import EMBEDDING_CLIPS
from genrelab.core.errors import printable
from genrelab.core.text import pluralize
from genrelab.runs.embedding_cache import VIEW

if TYPE_CHECKING:
    from genrelab.runs.learn_head import Learned
    from genrelab.runs.learn_result import LearnResult


def learn_card(result: LearnResult, learned: Learned) -> str:
    """The card in Markdown."""
    genres = [one.genre for one in result.genres]
    lines = [
        f"# {printable(result.bundle.resolve().name)}",
        "",
        f"Genre classifier made by `genrelab learn` (genrelab {version('genrelab')}) from its owner's music: balanced "
        f"logistic regression on what frozen music networks make of a track. It knows {len(genres)} genres: "
        f"{', '.join(map(printable, genres))}.",
        "",
        "## Data",
        "",
        f"{pluralize(result.n_tracks, 'track')} of {pluralize(result.n_artists, 'known artist')}.",
        *[f"- {note}" for note in result.notes],
        *[f"- not used: {printable(path)}: {printable(why)}" for path, why in sorted(result.failed.items())],
        "",
        *_scores(result.scores),
        "| genre | tracks | recognised | needs |",
        "|---|---|---|---|",
        *[f"| {printable(g.genre)} | {g.tracks} | {_share(g.recall)} | {printable(g.advice)} |" for g in result.genres],
        "",
        "How many more tracks a genre needs is an estimate: what doubling its tracks has brought is carried on.",
        "",
        *confusion_table(genres, result.scores),
        *_calibration(learned),
        *averaging_lines(VIEW),
        EMBEDDING_CAVEAT,
        "",
        "## Licence",
        "",
        "Coefficients trained on its owner's music, none of which is in it; genrelab claims no rights in them. The "
        "music networks are in genrelab, not in this bundle: ISC licence, Music Technology Group, Universitat Pompeu "
        "Fabra.",
        "",
        *usage_section("onnx", VIEW, EMBEDDING_CLIPS, len(genres)),
        "",
    ]
    return "\n".join(lines)


def _scores(s: dict[str, Any] | None) -> list[str]:
    if s is None:
        return ["## Scores", "", "Not measured: too few tracks could be held out.", ""]
    return [
        "## Scores",
        "",
        "Each track was answered by a model that was fitted without it and without its artist (where artists are "
        f"known); n = {s['n']}, and the 95 % interval counts {s['interval_over']} ({s['n_groups']} of them).",
        "",
        "| score | value | 95 % interval |",
        "|---|---|---|",
        f"| accuracy | {s['accuracy']:.3f} | {s['accuracy_low']:.3f} to {s['accuracy_high']:.3f} |",
        *[f"| {name} | {s[name]:.3f} | |" for name in ("balanced_accuracy", "top3", "log_loss", "ece")],
        f"| guessing | {1 / len(s['per_genre']):.3f} | |",
        "",
    ]


def _share(recall: float | None) -> str:
    return "not measured" if recall is None else f"{recall:.0%}"


def confusion_table(genres: list[str], s: dict[str, Any] | None) -> list[str]:
    """Which genre (row) was taken for which (column), in tracks."""
    if s is None:
        return []
    names = [printable(g) for g in genres]
    rows = [f"| {name} | {' | '.join(map(str, row))} |" for name, row in zip(names, s["confusion"], strict=True)]
    return [
        "Rows: the genre; columns: what it was taken for.",
        "",
        f"| | {' | '.join(names)} |",
        f"|---|{'---|' * len(names)}",
        *rows,
        "",
    ]


def _calibration(learned: Learned) -> list[str]:
    if learned.evidence is None:
        return []
    return [*calibration_section(learned.temperature, learned.evidence, learned.evidence.fitted_on), ""]
