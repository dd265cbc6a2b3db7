"""What differs between the article and the two runs of `genrelab article`: data, features, protocol, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genrelab.core.config import TrainSettings
from genrelab.core.errors import printable
from genrelab.core.storage import Folder
from genrelab.core.text import join_all, join_first, pluralize
from genrelab.evaluation.comparison import BASELINE
from genrelab.evaluation.percent import format_percent
from genrelab.records.prepared import Prepared, read_parquet
from genrelab.splits.track_table import artist_key

Json = Mapping[str, Any]

ARTICLE_EPOCHS = 100
NETWORKS = ("raw_cnn", "mobilenet_v2")
"""The models that `--epochs` applies to."""
ARTICLE_GENRES = frozenset(
    {"electronic", "experimental", "folk", "hip-hop", "instrumental", "international", "pop", "rock"}
)

SOURCES = (
    "The article's figures for naive Bayes, kNN, SVM and MLP are from a comment in its notebook: FMA's 518 features "
    "without scaling, cross-validation or an 80/20 split that ignores artists. About 40 % is MobileNetV2's best test "
    "accuracy in its text. It states one figure for the SVM, without the kernel, and none for logistic regression and "
    "the raw-audio CNN"
)
INTERVAL = (
    "The difference is the accuracy with the article's split less that with the honest split. Its interval is built "
    "from the two intervals in the row (Newcombe 1998, method 10), as if the two sets of tracks were independent"
)


def caption(settings: TrainSettings, views: Mapping[str, str]) -> str:
    """The caption of the table: how the networks were trained, where it is not as in the article.

    Args:
        views: model → view, of the models that were trained.
    """
    ours = "ours with 95 % intervals"
    networks = join_all([m for m in NETWORKS if m in views])
    if not networks:
        return f"The article's models, {ours}; {join_all(NETWORKS)} were not trained"
    epochs = pluralize(settings.epochs, "epoch")
    protocol = (
        "as in the article" if settings.epochs == ARTICLE_EPOCHS else f"the article's protocol is {ARTICLE_EPOCHS}"
    )
    return f"The article's models, {ours}; {networks} trained for {epochs} ({protocol})"


def differences(
    prepared: Prepared, runs: tuple[Folder, Folder], boards: tuple[Json, Json], settings: TrainSettings
) -> list[str]:
    """The sentences.

    Args:
        runs, boards: folder and `leaderboard.json` of the run with the article's split and of the honest one.
    """
    article, honest = boards
    views = {row["folder"]: row["view"] for row in honest["rows"]}
    synthesised = bool(runs[1].read_json("run.json")["dataset"].get("synthesised"))
    found = [_data(article, honest, synthesised), _features(prepared, views)]
    if settings.epochs < ARTICLE_EPOCHS and (networks := join_all([m for m in NETWORKS if m in views])):
        found.append(f"Epochs of {networks}: {settings.epochs}, not {ARTICLE_EPOCHS}")
    found.append(f"The article's split is random: {shared_artists(runs[0], article)}")
    found.append(_honest_split(runs[1], honest))
    return [*found, SOURCES, INTERVAL]


def _data(article: Json, honest: Json, synthesised: bool) -> str:
    in_article, in_honest = (
        sum(count for part, count in board["split_counts"].items() if part != "excluded") for board in (article, honest)
    )
    genres = pluralize(honest["genres"], "genre")
    tracks = pluralize(in_article, "synthesised track" if synthesised else "track")
    fewer = f", of which the {honest['split']} split uses {in_honest:,}" if in_honest < in_article else ""
    chance = format_percent(honest["chance"])
    data = f"Data: {printable(honest['title'])}, {tracks}{fewer}, {genres} (chance {chance})"
    if honest["dataset"] == "fma-small" and not synthesised:
        return f"{data}; the article used all 8,000 clips of FMA small"
    same = ", the same 8 genres" if {g.casefold() for g in honest["genres"]} == ARTICLE_GENRES else ""
    return (
        f"{data}; the article used FMA small{same} (8,000 clips, chance 12.5 %), so compare our columns with each "
        "other rather than with the article's"
    )


def _features(prepared: Prepared, views: Mapping[str, str]) -> str:
    words = {
        "statistics": "518 statistics of each clip by FMA's recipe, computed by genrelab",
        "table": f"{pluralize(prepared.views['table'].shape[0], 'column')} of the table"
        if "table" in prepared.views
        else "",
        "samples": "the article's raw samples",
        "mel_image": "the article's spectrogram as an image",
    }
    readers: dict[str, list[str]] = {}
    for model, view in views.items():
        if model != BASELINE:
            readers.setdefault(view, []).append(model)
    read = [f"{words.get(v) or v} ({join_first(models, most=9)})" for v, models in readers.items()]
    return f"Features: {'; '.join(read) or 'none'}. The article used FMA's 518 statistics, raw samples and spectrograms"


def _honest_split(run: Folder, board: Json) -> str:
    name = board["split"]
    if name == "random" and not any(map(artist_key, read_parquet(run, "split.parquet").to_pydict()["artist"])):
        return (
            "The artists are unknown, so the honest split is random, too, and no more honest than the article's: give "
            "artists with --artists FILE (a table: --artist-column COLUMN)"
        )
    words = f"The honest split is {name}: {shared_artists(run, board)}"
    return f"{words}; there are no test tracks, so validation tracks are scored" if board["no_test"] else words


def shared_artists(run: Folder, board: Json) -> str:
    """How many scored tracks of a run are by artists of its training set, as text."""
    split = read_parquet(run, "split.parquet").to_pydict()
    artists = [artist_key(artist) for artist in split["artist"]]
    learned = {a for a, part in zip(artists, split["part"], strict=True) if part == "training"} - {None}
    scored = [a for a, role in zip(artists, split["role"], strict=True) if role == "score"]
    known = [a for a in scored if a is not None]
    if not known:
        return f"artists are unknown, so its {board['part']} tracks may be by artists of its training set"
    n = sum(a in learned for a in known)
    unknown = f" (artist unknown for {len(scored) - len(known):,})" if len(known) < len(scored) else ""
    tracks = pluralize(len(scored), f"{board['part']} track")
    return f"{n:,} of {tracks} {'is' if n == 1 else 'are'} by artists of its training set{unknown}"
