"""Compare runs: one table, paired differences on the same tracks; a run scored on another test set gets no rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from genrelab.core.errors import printable
from genrelab.core.text import join_first, pluralize
from genrelab.evaluation import comparison
from genrelab.evaluation.comparison import join_all
from genrelab.report.leaderboard import HEADERS, Leaderboard, LeaderboardRow
from genrelab.report.page.blocks import Figure, Section, Table, format_interval, points, render
from genrelab.report.page.charts import Chart, Interval, intervals
from genrelab.report.page.models import ScoredPredictions

Pairs = Sequence[Mapping[str, Any]]
LEAKS = "leaks"  # the rule of evaluation/warnings.py that uses the audit


@dataclass(frozen=True)
class ComparedRun:
    """The data of a finished run that a comparison uses.

    Attributes:
        name: distinct from the names of the other runs.
        given: predictions of each model, by folder.
        artist, sha256: of each track, where known.
    """

    name: str
    board: Leaderboard
    given: Mapping[str, ScoredPredictions]
    artist: Mapping[str, str | None]
    sha256: Mapping[str, str | None]

    @property
    def leaks(self) -> bool:
        """Did its audit find scored tracks among those that were trained on?"""
        return any(c["rule"] == LEAKS for c in self.board.cautions)

    @property
    def truth(self) -> dict[str, str]:
        """True genre of each scored track."""
        first = self.given[self.board.rows[0].folder]
        return dict(zip(first.tracks, map(str, first.truth), strict=True))


@dataclass(frozen=True)
class RunComparison:
    """Result of comparing several runs.

    Attributes:
        first: the run that the others are compared with.
        ranked: run and row, best first, of all runs with the genres, scored tracks and labels of the first one.
        unranked: the other runs, each with the reason.
        pairs: the same model in two runs, on the same tracks.
        winner: sentence on the best model of all that are ranked.
    """

    first: ComparedRun
    ranked: Sequence[tuple[ComparedRun, LeaderboardRow]]
    unranked: Sequence[tuple[ComparedRun, str]]
    pairs: Pairs
    winner: str


def compare_runs(runs: Sequence[ComparedRun]) -> RunComparison:
    """Compare runs with the first one, on its scored tracks."""
    first = runs[0]
    reasons = {r.name: why_not_comparable(first, r) for r in runs}
    comparable = [r for r in runs if reasons[r.name] is None]
    rows = sorted(
        ((r, row) for r in comparable for row in r.board.rows),
        key=lambda pair: (-pair[1].accuracy, pair[1].log_loss, pair[0].name, pair[1].folder),
    )
    trained = [(r, row) for r, row in rows if row.folder != comparison.BASELINE]
    correct_by_model = {f"{r.name}: {row.folder}": _correct_by_track(r.given[row.folder]) for r, row in trained or rows}
    tracks, correct = comparison.common_tracks(correct_by_model)
    artists = [first.artist.get(t) for t in tracks]
    groups = artists if any(artists) else None
    comparisons = comparison.compare_all(correct, groups) if tracks else []
    names = {f"{r.name}: {row.folder}": f"{r.name}: {row.model}" for r, row in trained or rows}
    winner = comparison.winner(comparisons, names)["sentence"]
    unranked = [(r, why) for r in runs if (why := reasons[r.name]) is not None]
    pairs = _compare_same_models(comparable, correct, groups) if tracks else []
    return RunComparison(first, rows, unranked, pairs, winner)


def why_not_comparable(a: ComparedRun, b: ComparedRun) -> str | None:
    """Why the figures of `b` cannot be ranked with those of `a`; None if they can."""
    if set(a.board.genres) != set(b.board.genres):
        other = sorted(set(a.board.genres) ^ set(b.board.genres))
        return f"other genres: {join_first(other)} {'is' if len(other) == 1 else 'are'} in one of them only"
    theirs, ours = b.truth, a.truth
    more, less = theirs.keys() - ours.keys(), ours.keys() - theirs.keys()
    if more or less:
        return (
            f"another test set: {pluralize(len(more), 'scored track')} that {printable(a.name)} did not score, "
            f"{len(less):,} of its tracks not scored"
        )
    if changed := [t for t in ours if ours[t] != theirs[t]]:
        return f"other labels of {pluralize(changed, 'scored track')}, such as {join_first(changed, most=1)}"
    if changed := [t for t in ours if a.sha256.get(t) and b.sha256.get(t) and a.sha256[t] != b.sha256[t]]:
        n, example = pluralize(changed, "scored track"), join_first(changed, most=1)
        return f"other audio behind {n} of the same name, such as {example}"
    return None


def _correct_by_track(predictions: ScoredPredictions) -> dict[str, bool]:
    return dict(zip(predictions.tracks, map(bool, predictions.truth == predictions.answer), strict=True))


def _compare_same_models(
    runs: Sequence[ComparedRun], correct: Mapping[str, Any], groups: Sequence[str | None] | None
) -> Pairs:
    """Each model of a later run against the same one of the first, p-values adjusted for the number of pairs."""
    first, *others = runs
    common = [(m, r.name) for r in others for m in r.given if m in first.given and f"{r.name}: {m}" in correct]
    pairs = [
        {"model": m, "run": run, **comparison.compare(correct[f"{run}: {m}"], correct[f"{first.name}: {m}"], groups)}
        for m, run in common
    ]
    adjusted = comparison.holm([p["p_value"] for p in pairs])
    return [p | {"separable": a < comparison.ALPHA} for p, a in zip(pairs, adjusted, strict=True)]


def short_names(addresses: Sequence[str]) -> list[str]:
    """Last part of each address, or the full addresses where two would have the same name."""
    short = [PurePath(a.rstrip("/")).name or a for a in addresses]
    return short if len(set(short)) == len(short) else list(addresses)


def render_comparison(found: RunComparison) -> str:
    """The comparison as one HTML file."""
    first = found.first
    sections = [
        _ranking_section(found),
        *([_differences_section(found, first.board.scored)] if found.pairs else []),
        *_unranked_sections(found),
    ]
    n = len({r.name for r, _ in found.ranked}) + len(found.unranked)
    return render(
        "runs.html",
        what="comparison",
        title=f"{n} runs side by side",
        eyebrow=printable(f"{first.board.title} · {first.board.scored} · {len(first.board.genres)} genres"),
        verdict=_verdict(found),
        sections=sections,
        contents=[(s.id, s.short, []) for s in sections],
    )


def _verdict(found: RunComparison) -> str:
    unranked = [f"{printable(r.name)} is not ranked: {why}" for r, why in found.unranked]
    names = [printable(r.name) for r in _runs(found) if r.leaks]
    its = "its" if len(names) == 1 else "their"
    leaking = [f"What {join_all(names)} scored was partly learned from: believe none of {its} figures"]
    return " ".join(f"{sentence}." for sentence in (found.winner, *unranked, *(leaking if names else ())))


def _runs(found: RunComparison) -> list[ComparedRun]:
    """Each run once: first the ranked ones, then the others."""
    return list({r.name: r for r, _ in (*found.ranked, *found.unranked)}.values())


def _run_label(run: ComparedRun) -> str:
    """Label of a run beside its figures."""
    return f"{printable(run.name)} (leaks)" if run.leaks else printable(run.name)


def _cautions(run: ComparedRun) -> list[str]:
    """The cautions shown for a run: its leaks, and the most severe one."""
    sentences = [c["sentence"] for i, c in enumerate(run.board.cautions) if i == 0 or c["rule"] == LEAKS]
    return [f"{printable(run.name)}: {sentence}" for sentence in sentences]


def _ranking_section(found: RunComparison) -> Section:
    board = found.first.board
    rows = [
        Interval(
            f"{_run_label(r)}: {printable(row.model)}", row.accuracy, row.accuracy_low, row.accuracy_high,
            row.above_majority, row.view,
        )
        for r, row in found.ranked
    ]  # fmt: skip
    spec = intervals(rows, axis="accuracy, %", bars=True, lines={"chance": board.chance})
    chart = Chart(spec, f"Accuracy of {len(rows)} models with 95 % intervals; {board.scored}")
    cells = [(_run_label(r), *row.cells) for r, row in found.ranked]
    ranked = {r.name: r for r, _ in found.ranked}.values()
    table = Table(
        f"All models on the same {board.scored}",
        ("run", *HEADERS),
        cells,
        words=3,
        sortable=True,
        wide=True,
        cards=True,
    )
    figure = Figure("Accuracy", chart, f"With 95 % intervals; {board.scored}.", wide=True)
    sentences = [sentence for r in ranked for sentence in _cautions(r)]
    return Section("leaderboard", "How do they compare?", [figure, table], sentences, "Leaderboard")


def _differences_section(found: RunComparison, scored: str) -> Section:
    first, names = found.first, {r.name: _run_label(r) for r, _ in found.ranked}
    rows = [
        Interval(printable(p["model"]), p["difference"], p["low"], p["high"], p["separable"], names[p["run"]])
        for p in found.pairs
    ]
    axis = f"points won (+) or lost (−) against {_run_label(first)}"
    cells = [
        (
            printable(p["model"]), names[p["run"]], "yes" if p["separable"] else "no", points(p["difference"]),
            format_interval(p["low"], p["high"], signed=True), f"{p['p_value']:.3f}",
        )
        for p in found.pairs
    ]  # fmt: skip
    columns = ("model", "run", "told apart", "points", "95 % interval", "p")
    table = Table(f"{axis}; {scored}", columns, cells, words=3, folded=True, cards=True)
    note = f"Paired on the same tracks; pale where chance may explain it. {scored}."
    chart = Chart(intervals(rows, axis=axis, signed=True), f"Difference of each model to {printable(first.name)}")
    figure = Figure("The same model in another run", chart, note, table, wide=True)
    return Section("differences", "Did it help?", [figure], (), "Differences")


def _unranked_sections(found: RunComparison) -> list[Section]:
    blocks = [
        Table(
            f"{_run_label(r)}; {r.board.facts}",
            HEADERS,
            [row.cells for row in r.board.rows],
            words=2,
            wide=True,
            cards=True,
        )
        for r, _ in found.unranked
    ]
    sentences = [s for r, why in found.unranked for s in (f"{printable(r.name)}: {why}", *_cautions(r))]
    return [Section("unranked", "Not to be ranked with the others", blocks, sentences, "Unranked")] if blocks else []
