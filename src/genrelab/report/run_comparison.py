"""Runs side by side: one table, differences on the same tracks, no rank for a run that was asked something else."""

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
LEAKS = "leaks"  # the rule of cautions.py that looks at the audit


@dataclass(frozen=True)
class ComparedRun:
    """A finished run as far as it is compared.

    Attributes:
        name: told apart from the other runs.
        given: what each model answered, by folder.
        artist, sha256: of each track where known.
    """

    name: str
    board: Leaderboard
    given: Mapping[str, ScoredPredictions]
    artist: Mapping[str, str | None]
    sha256: Mapping[str, str | None]

    @property
    def leaks(self) -> bool:
        """Does its audit say that what is scored was partly learned from?"""
        return any(c["rule"] == LEAKS for c in self.board.cautions)

    @property
    def truth(self) -> dict[str, str]:
        """True genre of each scored track."""
        first = self.given[self.board.rows[0].folder]
        return dict(zip(first.tracks, map(str, first.truth), strict=True))


@dataclass(frozen=True)
class RunComparison:
    """What several runs say together.

    Attributes:
        first: whose scored tracks the others are held against.
        ranked: run and row, best first, of all runs that were asked what the first one was asked.
        unranked: the other runs, and what is different of each.
        pairs: the same model in two runs, on the same tracks.
        winner: of all that is ranked.
    """

    first: ComparedRun
    ranked: Sequence[tuple[ComparedRun, LeaderboardRow]]
    unranked: Sequence[tuple[ComparedRun, str]]
    pairs: Pairs
    winner: str


def compare_runs(runs: Sequence[ComparedRun]) -> RunComparison:
    """Compare runs; the first one's scored tracks are what the others are held against."""
    first = runs[0]
    reasons = {r.name: why_not_comparable(first, r) for r in runs}
    alike = [r for r in runs if reasons[r.name] is None]
    rows = sorted(
        ((r, row) for r in alike for row in r.board.rows),
        key=lambda pair: (-pair[1].accuracy, pair[1].log_loss, pair[0].name, pair[1].folder),
    )
    listening = [(r, row) for r, row in rows if row.folder != comparison.BASELINE]
    right = {f"{r.name}: {row.folder}": _correct_by_track(r.given[row.folder]) for r, row in listening or rows}
    tracks, correct = comparison.common_tracks(right)
    artists = [first.artist.get(t) for t in tracks]
    groups = artists if any(artists) else None
    found = comparison.compare_all(correct, groups) if tracks else []
    names = {f"{r.name}: {row.folder}": f"{r.name}: {row.model}" for r, row in listening or rows}
    winner = comparison.winner(found, names)["sentence"]
    unranked = [(r, why) for r in runs if (why := reasons[r.name]) is not None]
    return RunComparison(first, rows, unranked, _same_model(alike, correct, groups) if tracks else [], winner)


def why_not_comparable(a: ComparedRun, b: ComparedRun) -> str | None:
    """Why the figures of `b` cannot stand in one ranking with those of `a`; None where they can."""
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
        return f"other audio behind {pluralize(changed, 'scored track')} of the same name, such as {join_first(changed, most=1)}"
    return None


def _correct_by_track(given: ScoredPredictions) -> dict[str, bool]:
    return dict(zip(given.tracks, map(bool, given.truth == given.answer), strict=True))


def _same_model(runs: Sequence[ComparedRun], correct: Mapping[str, Any], groups: Sequence[str | None] | None) -> Pairs:
    """Each model of a later run against that of the first, p-values adjusted for how many there are."""
    first, *others = runs
    shared = [(m, r.name) for r in others for m in r.given if m in first.given and f"{r.name}: {m}" in correct]
    pairs = [
        {"model": m, "run": run, **comparison.compare(correct[f"{run}: {m}"], correct[f"{first.name}: {m}"], groups)}
        for m, run in shared
    ]
    adjusted = comparison.holm([p["p_value"] for p in pairs])
    return [p | {"separable": a < comparison.ALPHA} for p, a in zip(pairs, adjusted, strict=True)]


def short_names(addresses: Sequence[str]) -> list[str]:
    """Last part of each address, or all of it where two would be called the same."""
    short = [PurePath(a.rstrip("/")).name or a for a in addresses]
    return short if len(set(short)) == len(short) else list(addresses)


def render_comparison(found: RunComparison) -> str:
    """One HTML file."""
    first = found.first
    sections = [
        _ranking(found),
        *([_pairs(found, first.board.scored)] if found.pairs else []),
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
    apart = [f"{printable(r.name)} is not ranked: {why}" for r, why in found.unranked]
    names = [printable(r.name) for r in _runs(found) if r.leaks]
    its = "its" if len(names) == 1 else "their"
    leaking = [f"What {join_all(names)} scored was partly learned from: believe none of {its} figures"]
    return " ".join(f"{sentence}." for sentence in (found.winner, *apart, *(leaking if names else ())))


def _runs(found: RunComparison) -> list[ComparedRun]:
    """Each once: those that are ranked, then the others."""
    return list({r.name: r for r, _ in (*found.ranked, *found.unranked)}.values())


def _run_label(run: ComparedRun) -> str:
    """The run as it stands beside its figures."""
    return f"{printable(run.name)} (leaks)" if run.leaks else printable(run.name)


def _cautions(run: ComparedRun) -> list[str]:
    """What must be known of the run's figures: its leaks, and the gravest of its cautions."""
    told = [c["sentence"] for i, c in enumerate(run.board.cautions) if i == 0 or c["rule"] == LEAKS]
    return [f"{printable(run.name)}: {sentence}" for sentence in told]


def _ranking(found: RunComparison) -> Section:
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
    told = [sentence for r in ranked for sentence in _cautions(r)]
    return Section("leaderboard", "How do they compare?", [figure, table], told, "Leaderboard")


def _pairs(found: RunComparison, scored: str) -> Section:
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
