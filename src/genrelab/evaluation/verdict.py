"""The verdict on a run, decided once by one rule: the page, the leaderboard and the terminal all print this object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from genrelab.core.errors import printable
from genrelab.core.text import join_all, pluralize
from genrelab.evaluation.comparison import BASELINE
from genrelab.evaluation.percent import format_percent

Facts = Mapping[str, Any]

MIN_RANKED_TRACKS = 10
"""With fewer test tracks models are listed, but not ranked."""

CEILINGS = {
    frozenset({"blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock"}): (
        ("GTZAN", 0.945, "wrong labels and duplicates limit models without a leak to about 94.5 % (Sturm 2013)")
    ),
    frozenset({"electronic", "experimental", "folk", "hip-hop", "instrumental", "international", "pop", "rock"}): (
        "fma_small",
        0.70,
        "the known results without a leak on its official split are below 65 %",
    ),
}
"""By the genres that identify a dataset (audio or table): its name, the accuracy above which to suspect a leak, why."""

SHARED = {
    **dict.fromkeys(("same_recording", "numbered_alike", "near_duplicate"), "a recording"),
    **dict.fromkeys(("same_track", "same_audio"), "audio"),
    "same_features": "features",
    "same_artist": "an artist",
    "same_album": "an album",
}
"""Check of the audit → what test and training tracks share, for the verdict."""


@dataclass(frozen=True)
class Verdict:
    """What a run shows.

    Attributes:
        kind: `too_few` (tracks to rank models), `leaks`, `too_good` (to be true), `no_model` (besides the baseline),
            `not_above_baseline` (no model is), `one_model`, `best` (significantly better than all others),
            `not_significant` (first, but not significantly better than all others) or `tie` (for the first place).
        sentence: the verdict in words.
        part: the set that was classified, `test` or `validation`.
        n: number of its tracks.
        best: folders of the models that the sentence calls best: several in a tie, none if models are not ranked.
        similar: folders of the other models that are not significantly different from the first one (Holm).
        recommended: folder of the model to use; None if none can be recommended.
    """

    kind: str
    sentence: str
    part: str
    n: int
    best: tuple[str, ...] = ()
    similar: tuple[str, ...] = ()
    recommended: str | None = None

    @property
    def ranked(self) -> bool:
        """Are the models ordered by accuracy? Too few tracks order nothing."""
        return self.kind != "too_few"

    @property
    def order(self) -> str:
        """A remark on the order of the models, if it is no ranking."""
        return "" if self.ranked else "The models are in alphabetical order."

    @property
    def kinds(self) -> tuple[str, str]:
        """Names of the strong and the pale colour in the legend of a chart; empty where no model is best."""
        if not self.best:
            return "", ""
        best = "best, or not significantly different from the best" if self.similar else "best"
        return best, "significantly worse than the best"

    def is_strong(self, folder: str) -> bool:
        """Is a model drawn in the strong colour?"""
        return not self.best or folder in (*self.best, *self.similar)


@dataclass(frozen=True)
class RunFacts:
    """The facts that verdict and warnings are derived from.

    Attributes:
        facts: `run.json`.
        models: `metrics.json` of each model by its folder, best first.
        comparisons: of `comparison.compare_all`; may be empty where there is one model.
        audit: `audit.json` of the run, None where there was none.
    """

    facts: Facts
    models: Mapping[str, Facts]
    comparisons: Sequence[Facts]
    audit: Facts | None
    has_honesty_study: bool = False

    @property
    def part(self) -> str:
        """The classified set, `test` or `validation`."""
        return str(self.facts["part"])

    @cached_property
    def n(self) -> int:
        """Number of tracks of that set."""
        return max(int(m["scores"]["n"]) for m in self.models.values())

    @property
    def tracks(self) -> str:
        """The classified tracks, for a sentence."""
        return pluralize(self.n, f"{self.part} track")

    @cached_property
    def learners(self) -> list[str]:
        """Folders of the models but the baseline, best first."""
        return [m for m in self.models if m != BASELINE]

    @property
    def baseline(self) -> float:
        """The accuracy that models must exceed."""
        return float(max(self.facts["majority"], self.facts["chance"]))

    @property
    def baseline_name(self) -> str:
        """The baseline with its accuracy: `always guessing disco (14.5 %)`."""
        if self.facts["majority"] < self.facts["chance"]:
            return f"chance ({format_percent(self.facts['chance'])})"
        return f"always guessing {printable(self.facts['majority_genre'])} ({format_percent(self.facts['majority'])})"

    @cached_property
    def not_above_baseline(self) -> list[str]:
        """Folders of the models whose interval includes the baseline."""
        return [m for m in self.learners if self.scores(m)["accuracy_low"] <= self.baseline]

    @cached_property
    def leaking(self) -> list[Facts]:
        """The checks of the audit that found test tracks on the training side, the largest number first."""
        found = [] if self.audit is None else [c for c in self.audit["checks"] if c["leaking"]]
        return sorted(found, key=lambda c: -c["leaking"])

    @cached_property
    def too_good(self) -> list[str]:
        """Folders of the models that are better than a known dataset allows."""
        known = self.ceiling
        return [m for m in self.learners if known and self.scores(m)["accuracy"] > known[1]]

    @property
    def synthesised(self) -> bool:
        """Are the tracks those of `genrelab demo`? Unknown in runs of earlier versions."""
        return bool(self.facts["dataset"].get("synthesised"))

    @property
    def ceiling(self) -> tuple[str, float, str] | None:
        """See `CEILINGS`; None for other datasets, and for synthetic tracks."""
        return (
            None if self.synthesised else CEILINGS.get(frozenset(g.casefold() for g in self.facts["dataset"]["genres"]))
        )

    def scores(self, folder: str) -> Facts:
        """All scores of a model."""
        found: Facts = self.models[folder]["scores"]
        return found

    def name(self, folder: str) -> str:
        """Name of a model as printed."""
        return printable(self.models[folder]["display"])


def reach_verdict(run: RunFacts) -> Verdict:
    """The one rule: too few tracks, then invalid figures, then the baseline, then the ranking of the models."""

    def verdict(kind: str, sentence: str, **found: Any) -> Verdict:
        return Verdict(kind, sentence, run.part, run.n, **found)

    def accuracy(folder: str) -> str:
        return format_percent(run.scores(folder)["accuracy"])

    def against(folders: Sequence[str]) -> str:
        more = [pluralize(len(folders) - 1, "other model")] if len(folders) > 1 else []
        return join_all([f"{run.name(folders[0])} ({accuracy(folders[0])})", *more])

    where = f"the {run.tracks}{' (there is no test set)' if run.facts['split']['no_test'] else ''}"
    if run.n < MIN_RANKED_TRACKS:
        return verdict("too_few", f"{run.tracks}: too few to conclude anything.")
    if run.leaking:
        n, of, shared = (run.leaking[0][key] for key in ("leaking", "of", "name"))
        verb = "shares" if n == 1 else "share"
        tracks = f"{n:,} of {of:,} {run.part} tracks {verb} {SHARED[shared]} with training tracks"
        return verdict("leaks", f"The accuracies are invalid: {tracks}.")
    if run.too_good:
        return verdict("too_good", f"The accuracies on {where} are implausibly high: suspect a leak.")
    if not run.learners:
        return verdict("no_model", f"Only the baseline was scored on {where}: {run.baseline_name}.")
    first, *others = run.learners
    name, reached = run.name(first), accuracy(first)
    if len(run.not_above_baseline) == len(run.learners):
        none = "No model is" if others else f"{name} ({reached}) is not"
        return verdict("not_above_baseline", f"{none} significantly better than {run.baseline_name} on {where}.")
    if not others:
        sentence = f"{name} is right on {reached} of {where}, significantly better than {run.baseline_name}."
        return verdict("one_model", sentence, recommended=first)
    pairs = {pair["b"]: pair for pair in run.comparisons if pair["a"] == first}
    tied = [m for m in others if m in pairs and pairs[m]["difference"] == 0]
    similar = [m for m in others if m not in tied and not (m in pairs and pairs[m]["separable"])]
    recommended = None if first in run.not_above_baseline else first
    found = {"best": (first, *tied), "similar": tuple(similar), "recommended": recommended}
    not_better = f", not significantly better than {against(similar)}" if similar else ""
    if tied:
        rest = [f"{len(tied)} other models"] if len(tied) > 2 else [run.name(m) for m in tied]
        sentence = f"{join_all([name, *rest])} are equally good on {where}: {reached} each{not_better}."
        return verdict("tie", sentence, **found)
    if similar:
        return verdict("not_significant", f"{name} is best on {where}: {reached}{not_better}.", **found)
    all_others = against(others) if len(others) == 1 else f"all {len(others)} other models"
    sentence = f"{name} is best on {where}: {reached}, significantly better than {all_others}."
    return verdict("best", sentence, **found)
