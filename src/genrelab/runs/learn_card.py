"""The model card of a bundle that `learn` wrote."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from genrelab.bundle.model_card import (
    EMBEDDING_CAVEAT,
    averaging_note,
    calibration_section,
    join_paragraphs,
    table,
    usage_section,
)
from genrelab.core.config import EMBEDDING_CLIPS
from genrelab.core.errors import printable
from genrelab.core.text import percent, pluralize
from genrelab.runs.embedding_cache import VIEW

if TYPE_CHECKING:
    from genrelab.runs.learn_head import Learned
    from genrelab.runs.learn_result import LearnResult


def learn_card(result: LearnResult, learned: Learned) -> str:
    """The card in Markdown."""
    genres = [one.genre for one in result.genres]
    tracks = f"{pluralize(result.n_tracks, 'track')} by {pluralize(result.n_artists, 'known artist')}."
    failed = [f"not used: {printable(path)}: {printable(why)}" for path, why in sorted(result.failed.items())]
    rows = [f"{printable(g.genre)} | {g.tracks} | {_share(g.recall)} | {printable(g.advice)}" for g in result.genres]
    return join_paragraphs(
        f"# {printable(result.bundle.resolve().name)}",
        f"A genre classifier for {len(genres)} genres: {', '.join(map(printable, genres))}. Made by `genrelab learn` "
        f"(genrelab {version('genrelab')}) from its owner's music: balanced logistic regression on the outputs of "
        "frozen music networks.",
        "## Training data",
        "\n- ".join([tracks, *result.notes, *failed]),
        *_scores(result.scores),
        table("genre | tracks | recall | needs", rows),
        "The number of further tracks is an estimate from how much the second half of the tracks improved the recall.",
        *confusion_table(genres, result.scores),
        *_calibration(learned),
        averaging_note(VIEW),
        EMBEDDING_CAVEAT,
        "## Licence",
        "The coefficients were trained on the owner's music, which is not in this bundle; genrelab claims no rights in "
        "them. The music networks are part of genrelab, not of this bundle: ISC licence, Music Technology Group, "
        "Universitat Pompeu Fabra.",
        *usage_section("onnx", VIEW, EMBEDDING_CLIPS, len(genres)),
    )


def _scores(s: dict[str, Any] | None) -> list[str]:
    if s is None:
        return ["## Scores", "Not measured: too few tracks to hold some out."]
    n_genres = sum(one["n"] > 0 for one in s["per_genre"].values())
    rows = [
        f"accuracy | {s['accuracy']:.3f} | {s['accuracy_low']:.3f} to {s['accuracy_high']:.3f}",
        *(f"{name} | {s[name]:.3f} |" for name in ("balanced_accuracy", "top3", "log_loss", "ece")),
        f"chance | {1 / n_genres:.3f} |",
    ]
    return [
        "## Scores",
        f"Measured on {pluralize(s['n'], 'track')}, each classified by a model trained without it, its near-duplicates "
        f"and its artist, if known. The interval is over {s['interval_over']} (n = {s['n_groups']}).",
        table("score | value | 95 % interval", rows),
    ]


def _share(recall: float | None) -> str:
    return "not measured" if recall is None else percent(recall)


def confusion_table(genres: list[str], s: dict[str, Any] | None) -> list[str]:
    """The confusion matrix, in tracks."""
    if s is None:
        return []
    names = [printable(g) for g in genres]
    rows = [" | ".join([name, *map(str, row)]) for name, row in zip(names, s["confusion"], strict=True)]
    return [
        "Confusion matrix. Rows: true genre; columns: predicted genre.",
        table(" | ".join(["", *names]).lstrip(), rows),
    ]


def _calibration(learned: Learned) -> list[str]:
    if learned.evidence is None:
        return []
    return calibration_section(learned.temperature, learned.evidence, learned.evidence.fitted_on)
