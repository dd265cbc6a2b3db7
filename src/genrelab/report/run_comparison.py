"""Compare runs: one table, paired differences on the same tracks; a run with another test set is not ranked."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from genrelab.core.config import TrainSettings
from genrelab.core.errors import printable
from genrelab.core.storage import Folder
from genrelab.core.text import join_all, join_first, pluralize
from genrelab.evaluation import comparison
from genrelab.evaluation.verdict import Verdict, reach_verdict
from genrelab.report.leaderboard import HEADERS, LeaderboardRow
from genrelab.report.page.blocks import Section, Table, render
from genrelab.report.page.models import FinishedRun
from genrelab.report.page.ranking import accuracy_bars, accuracy_figure, difference_figure

Pairs = Sequence[Mapping[str, Any]]
LEAKS = "leaks"  # the rule of evaluation/warnings.py that uses the audit


@dataclass(frozen=True)
class RunComparison:
    """Result of comparing several runs.

    Attributes:
        first: the run that the others are compared with.
        ranked: run and row, best first, of all runs with the genres, test tracks and labels of the first one.
        unranked: the other runs, each with the reason.
        pairs: the same model in two runs, on the same tracks.
        conclusion: on all models that are ranked; its keys are `run: folder`.
        commands: name of an unranked run → words of the command after `genrelab` that trains a comparable one.
    """

    first: FinishedRun
    ranked: Sequence[tuple[FinishedRun, LeaderboardRow]]
    unranked: Sequence[tuple[FinishedRun, str]]
    pairs: Pairs
    conclusion: Verdict
    commands: Mapping[str, Sequence[str]]


def compare_runs(runs: Sequence[FinishedRun]) -> RunComparison:
    """Compare runs with the first one, on its test tracks."""
    first = runs[0]
    reasons = {r.name: why_not_comparable(first, r) for r in runs}
    comparable = [r for r in runs if reasons[r.name] is None]
    rows = sorted(
        ((r, row) for r in comparable for row in r.board.rows),
        key=lambda pair: (-pair[1].accuracy, pair[1].log_loss, pair[0].name, pair[1].folder),
    )
    trained = {_key(*row): row for row in [r for r in rows if r[1].folder != comparison.BASELINE] or rows}
    right = {key: r.given[row.folder].correct for key, (r, row) in trained.items()}
    tracks, correct = comparison.common_tracks(right)
    of_track = first.groups
    groups = [of_track.get(t) for t in tracks]
    comparisons = comparison.compare_all(correct, groups) if tracks else []
    models = {
        key: {**r.known.models[row.folder], "display": f"{r.name}: {row.model}"} for key, (r, row) in trained.items()
    }
    audit = next((r.known.audit for r in comparable if r.known.leaking), None)
    conclusion = reach_verdict(replace(first.known, models=models, comparisons=comparisons, audit=audit))
    if not conclusion.ranked:
        rows.sort(key=lambda pair: (pair[0].name, pair[1].folder))
    unranked = [(r, why) for r in runs if (why := reasons[r.name]) is not None]
    pairs = _compare_same_models(comparable, correct, groups) if tracks else []
    commands = {r.name: command for r, _ in unranked if (command := comparable_command(first, r))}
    return RunComparison(first, rows, unranked, pairs, conclusion, commands)


def _true_genres(run: FinishedRun) -> dict[str, str]:
    """True genre of each test track."""
    first = run.given[run.board.rows[0].folder]
    return dict(zip(first.tracks, map(str, first.truth), strict=True))


def _key(run: FinishedRun, row: LeaderboardRow) -> str:
    return f"{run.name}: {row.folder}"


def why_not_comparable(a: FinishedRun, b: FinishedRun) -> str | None:
    """Why the figures of `b` cannot be ranked with those of `a`; None if they can."""
    if set(a.board.genres) != set(b.board.genres):
        other = sorted(set(a.board.genres) ^ set(b.board.genres))
        return f"other genres: only one of the runs has {join_first(other)}"
    theirs, ours = _true_genres(b), _true_genres(a)
    more, less = theirs.keys() - ours.keys(), ours.keys() - theirs.keys()
    if more or less:
        only = f"{pluralize(more, 'track')} only in {printable(b.name)}, {len(less):,} only in {printable(a.name)}"
        return f"another {b.board.part} set: {only}"
    if changed := [t for t in ours if ours[t] != theirs[t]]:
        return f"other labels of {pluralize(changed, 'track')}, such as {join_first(changed, most=1)}"
    before, after = (dict(zip(r.split["track_id"], r.split.get("sha256", ()), strict=False)) for r in (a, b))
    if changed := [t for t in ours if before.get(t) and after.get(t) and before[t] != after[t]]:
        return f"other audio in {pluralize(changed, 'track')} of the same name, such as {join_first(changed, most=1)}"
    return None


def comparable_command(first: FinishedRun, other: FinishedRun) -> list[str] | None:
    """Words after `genrelab` that train the models of `other` on the data and the split of `first`, or the reverse.

    Returns:
        None if the runs use different music, the preparations of both are gone, or the one left lacks the views of
        these models.
    """
    if not set(first.split["track_id"]) & set(other.split["track_id"]):
        return None
    if first.prepared is None:
        first, other = other, first
    if first.prepared is None:
        return None
    settings = {**other.known.facts["settings"], "split": first.board.split, "seed": first.known.facts["seed"]}
    models = [row.folder for row in other.board.rows if row.view in first.prepared.views]
    if not models:
        return None
    words = ["train", _path(first.prepared.folder), "--out", f"{_path(other.folder)}-comparable"]
    words += ["--models", ",".join(models)]
    for name in ("split", "seed", "epochs", "preset", "view", "pca", "class_weight", "imagenet_weights", "fine_tune"):
        value = settings.get(name)
        if name in ("split", "seed") or (value is not None and value != getattr(TrainSettings(), name)):
            words += [f"--{name.replace('_', '-')}", str(value)]
    return words if settings.get("early_stopping", True) else [*words, "--no-early-stopping"]


def _path(folder: Folder) -> str:
    return str(folder.local.resolve()) if folder.is_local else folder.address.rstrip("/")


def _compare_same_models(
    runs: Sequence[FinishedRun], correct: Mapping[str, Any], groups: Sequence[str | None]
) -> Pairs:
    """Each model of a later run against the same one of the first, p-values adjusted for the number of pairs."""
    first, *others = runs
    common = [(m, r.name) for r in others for m in r.given if m in first.given and f"{r.name}: {m}" in correct]
    pairs = [
        {"model": m, "run": run, **comparison.compare(correct[f"{run}: {m}"], correct[f"{first.name}: {m}"], groups)}
        for m, run in common
    ]
    adjusted = comparison.holm([p["p_value"] for p in pairs])
    return [p | {"p_adjusted": a, "separable": a < comparison.ALPHA} for p, a in zip(pairs, adjusted, strict=True)]


def short_names(addresses: Sequence[str]) -> list[str]:
    """The last parts of each address, as many as make the names distinct."""
    parts = [PurePath(a.rstrip("/")).parts or (a,) for a in addresses]
    for n in range(1, max(map(len, parts)) + 1):
        names = [str(PurePath(*p[-n:])) for p in parts]
        if len(set(names)) == len(names):
            return names
    return list(addresses)


def render_comparison(found: RunComparison) -> str:
    """The comparison as one HTML file."""
    first = found.first
    sections = [
        _ranking_section(found),
        *([_differences_section(found)] if found.pairs and found.conclusion.ranked else []),
        *_unranked_sections(found),
    ]
    names = list(dict.fromkeys(r.name for r in (first, *(r for r, _ in (*found.ranked, *found.unranked)))))
    return render(
        "sections.html",
        what="comparison",
        title=printable(join_all(names)) if len(names) < 4 else f"{len(names)} runs",
        eyebrow=printable(f"{first.board.title} · {first.board.scored} · {pluralize(first.board.genres, 'genre')}"),
        verdict=found.conclusion.sentence,
        sections=sections,
    )


def _run_label(run: FinishedRun) -> str:
    """Label of a run beside its figures."""
    return f"{printable(run.name)} (leaks)" if run.known.leaking else printable(run.name)


def _cautions(run: FinishedRun) -> list[str]:
    """The cautions shown for a run: its leaks, and the most severe one."""
    sentences = [c["sentence"] for i, c in enumerate(run.board.cautions) if i == 0 or c["rule"] == LEAKS]
    return [f"{printable(run.name)}: {sentence}" for sentence in sentences]


def _ranking_section(found: RunComparison) -> Section:
    board, conclusion = found.first.board, found.conclusion
    models = [
        (_key(r, row), f"{_run_label(r)}: {printable(row.model)}", row)
        for r, row in found.ranked
        if row.folder != comparison.BASELINE  # a line shows it
    ]
    bars = accuracy_bars(models, conclusion)
    cells = [(_run_label(r), *row.cells) for r, row in found.ranked]
    caption = f"All models on the same {board.scored}"
    table = Table(caption, ("run", *HEADERS), cells, words=3, sortable=True, cards=True)
    sentences = [sentence for r in {r.name: r for r, _ in found.ranked}.values() for sentence in _cautions(r)]
    figure = accuracy_figure(bars, board, conclusion, table)
    return Section("leaderboard", "All models", [figure], sentences, "Leaderboard")


def _differences_section(found: RunComparison) -> Section:
    names = {r.name: _run_label(r) for r, _ in found.ranked}
    first = _run_label(found.first)
    figure = difference_figure(
        [(printable(p["model"]), names[p["run"]], p) for p in found.pairs],
        [(f"{names[p['run']]}: {printable(p['model'])}", p) for p in found.pairs],
        title=f"Each model compared with the same model in {first}",
        axis=f"gain over {first}, points",
        columns=("model", "run"),
        scored=found.first.board.scored,
    )
    return Section("differences", "What changed?", [figure], (), "Differences")


def _unranked_sections(found: RunComparison) -> list[Section]:
    blocks, sentences = [], []
    for r, why in found.unranked:
        cells = [row.cells for row in r.board.rows]
        caption = f"{_run_label(r)}; {r.board.facts}"
        blocks.append(Table(caption, HEADERS, cells, words=2, folded=True, wide=True, cards=True))
        command = found.commands.get(r.name)
        sentences += [f"{printable(r.name)}: {why}", *_cautions(r)]
        sentences += [f"To make it comparable: `{shlex.join(('genrelab', *command))}`"] if command else []
    return [Section("unranked", "Not comparable", blocks, sentences, "Not comparable")] if blocks else []
