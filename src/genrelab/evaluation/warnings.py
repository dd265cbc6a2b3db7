"""Rules that find warnings about the figures of a run, with remedies.

In this field accuracies are invalidated more by leakage than by models, and rankings by too few artists. Each rule
reads `run.json`, the models' `metrics.json`, the comparisons and the audit, and returns one sentence with figures, or
None.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genrelab.core.errors import printable
from genrelab.core.text import pluralize
from genrelab.evaluation.comparison import BASELINE, join_all

Facts = Mapping[str, Any]
RuleResult = tuple[str, list[str]]  # a sentence, and remedies

MIN_GENRE_TRACKS = 5
"""With fewer scored tracks the recall of a genre is meaningless."""

VALIDATION_MARGIN = 0.05
"""Validation accuracy further above the scored part than this, and than chance explains, is reported."""

GAP = 0.20
"""Training accuracy further above validation than this is overfitting."""

CEILINGS = {
    frozenset({"blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock"}): (
        ("GTZAN", 0.945, "wrong labels and repeats leave even a perfect ear about 94.5 % (Sturm 2013)")
    ),
    frozenset({"electronic", "experimental", "folk", "hip-hop", "instrumental", "international", "pop", "rock"}): (
        "fma_small",
        0.70,
        "the honest results that are known on its official split lie below 65 %",
    ),
}
"""By the genres that identify a dataset (audio or table): its name, the accuracy above which to assume leakage, why."""

MORE_TEST = "score more tracks, of more artists"
ADVICE_HONESTY = "compare with `--honesty`, which repeats each policy over 5 folds"
ADVICE_HONESTY_DONE = "compare with the honesty study of this run, which repeats each policy over 5 folds"
OVERFITTING_REMEDIES = ["more training tracks", "augmentation", "dropout", "earlier stopping", "fewer parameters"]
"""The remedies that the article names."""


def find_warnings(
    *,
    facts: Facts,
    models: Mapping[str, Facts],
    comparisons: Sequence[Facts],
    audit: Facts | None,
    studies: Collection[str] = (),
) -> list[dict[str, Any]]:
    """All warnings that apply to a run, the most serious first.

    Args:
        facts: `run.json`.
        models: `metrics.json` of each model by its folder, best first.
        comparisons: of `comparison.compare_all`; may be empty where there is one model.
        audit: `audit.json` of the run, None where there was none.
        studies: names of studies that were run already, such as `honesty`; these are not recommended.

    Returns:
        Dicts of `rule`, `sentence` and `remedies` (a list of str, which may be empty); none for a clean run.
    """
    run = RunFacts(facts, models, comparisons, audit, "honesty" in studies)
    found = [(rule, result) for rule, check in RULES.items() if (result := check(run)) is not None]
    return [{"rule": rule, "sentence": sentence, "remedies": remedies} for rule, (sentence, remedies) in found]


@dataclass(frozen=True)
class RunFacts:
    """The input of the rules, and what several of them derive from it."""

    facts: Facts
    models: Mapping[str, Facts]
    comparisons: Sequence[Facts]
    audit: Facts | None
    has_honesty_study: bool = False

    @property
    def honesty_remedy(self) -> str:
        """The remedy that compares split policies."""
        return ADVICE_HONESTY_DONE if self.has_honesty_study else ADVICE_HONESTY

    @property
    def chosen(self) -> str:
        """Folder of the model that is best on the selection part; of equal ones the first."""
        return max(self.learners, key=lambda m: self.models[m]["validation"]["accuracy"])

    @property
    def learners(self) -> list[str]:
        """Folders of the models but the baseline, best first."""
        return [m for m in self.models if m != BASELINE]

    @property
    def part(self) -> str:
        return str(self.facts["part"])

    @property
    def selected_on(self) -> str:
        """The part that epochs and models are chosen on, for a sentence; without a test part validation is scored."""
        return "the part that chooses" if self.facts["split"]["no_test"] else "validation"

    @property
    def baseline(self) -> float:
        return float(max(self.facts["majority"], self.facts["chance"]))

    @property
    def best_scores(self) -> Facts:
        """Scores of the best model."""
        return self.scores(next(iter(self.models)))

    @property
    def n(self) -> int:
        return int(self.best_scores["n"])

    @property
    def of_artists(self) -> str:
        over = self.best_scores["interval_over"]
        return "" if over == "tracks" else f" of {self.best_scores['n_groups']:,} {over}"

    def scores(self, folder: str) -> Facts:
        found: Facts = self.models[folder]["scores"]
        return found

    def name(self, folder: str) -> str:
        return printable(self.models[folder]["display"])


def _check_leaks(run: RunFacts) -> RuleResult | None:
    if run.audit is None or run.audit["verdict"] != "leaks":
        return None
    leaking = [c for c in run.audit["checks"] if c["leaking"]]
    words = [f"{c['name'].replace('_', ' ')}: {c['leaking']:,} of {c['of']:,}" for c in leaking]
    return (
        f"scored tracks stand on the learned side, too ({'; '.join(words)}): the figures are too high",
        ["split by artist: --split artist", "take repeated files out with `genrelab doctor ROOT` and --exclude"],
    )


def _check_too_good(run: RunFacts) -> RuleResult | None:
    known = CEILINGS.get(frozenset(g.casefold() for g in run.facts["dataset"]["genres"]))
    high = [m for m in run.learners if known and run.scores(m)["accuracy"] > known[1]]
    if not known or not high:
        return None
    figures = join_all([f"{run.name(m)} {format_percent(run.scores(m)['accuracy'])}" for m in high])
    return (
        f"{figures} on the genres of {known[0]}: above {format_percent(known[1])} assume leakage, for {known[2]}",
        ["look at the audit: repeats, re-encoded copies, artists on both sides", run.honesty_remedy],
    )


def _check_split(run: RunFacts) -> RuleResult | None:
    policy = run.facts["split"]["policy"]
    if any(note.startswith("artists are unknown") for note in run.facts["split"]["notes"]):
        return (
            "artists are unknown, so the same artist may be on both sides of the split: the figures may be too high",
            ["tell the artists: `genrelab prepare … --artists FILE`", run.honesty_remedy],
        )
    if policy not in ("random", "article"):
        return None
    return (
        f"the {policy} split puts one artist's tracks on both sides: the figures say how well models know artists, too",
        ["--split artist", run.honesty_remedy],
    )


def _check_test_part(run: RunFacts) -> RuleResult | None:
    if not run.facts["split"]["no_test"]:
        return None
    return (
        "there are no test tracks: every figure is of the validation part",
        ["add the test tracks of the official split", "--split artist, which holds a fifth of the tracks back"],
    )


def _check_selection(run: RunFacts) -> RuleResult | None:
    """Is the first on the scored part another model than validation would have chosen, by no more than chance?"""
    if not run.learners or not all(run.models[m].get("validation") for m in run.learners):
        return None
    if _check_leaks(run) or _check_too_good(run):  # no figure may be quoted then
        return None
    first, chosen = run.learners[0], run.chosen
    reached, quoted = (run.scores(m)["accuracy"] for m in (first, chosen))
    if quoted == reached or any((p["a"], p["b"], p["separable"]) == (first, chosen, True) for p in run.comparisons):
        return None
    return (
        f"{run.name(first)} is first on the {run.part} part ({format_percent(reached)}), {run.selected_on} would have "
        f"chosen {run.name(chosen)}, and the {run.part} part cannot tell them apart: quote {format_percent(quoted)}, "
        f"of {run.name(chosen)}; {format_percent(reached)} is the highest of {len(run.learners)}, so luck is in it",
        [MORE_TEST, run.honesty_remedy],
    )


def _check_intervals(run: RunFacts) -> RuleResult | None:
    """None where any two models differ significantly in the paired test: overlapping intervals do not refute that."""
    if len(run.learners) < 2 or any(p["separable"] for p in run.comparisons):
        return None
    best, worst = run.scores(run.learners[0]), run.scores(run.learners[-1])
    width, spread = best["accuracy_high"] - best["accuracy_low"], best["accuracy"] - worst["accuracy"]
    if width <= spread:
        return None
    return (
        f"the interval of {run.name(run.learners[0])} is {100 * width:.1f} points wide, and all models that listen lie "
        f"within {100 * spread:.1f} points: {run.n:,} tracks{run.of_artists} are too few to rank them",
        [MORE_TEST, run.honesty_remedy],
    )


def _check_validation(run: RunFacts) -> RuleResult | None:
    """A warning where the difference is large, and larger than the 95 % interval of a difference of two parts."""
    above_by = []
    for m in run.learners:
        seen, scored = run.models[m].get("validation"), run.scores(m)
        if not seen:
            continue
        above, noise = seen["accuracy"] - scored["accuracy"], math.hypot(_half_width(seen), _half_width(scored))
        if above > max(VALIDATION_MARGIN, noise):
            above_by.append(f"{run.name(m)} by {100 * above:.1f} points (chance explains {100 * noise:.1f})")
    if not above_by:
        return None
    shared = "look for what it shares with training, such as copies and albums: the audit lists them"
    remedies = [f"believe {run.part}: epochs and models are chosen on the other", shared]
    return f"{run.selected_on} lies above {run.part}: {join_all(above_by)}", remedies


def _check_overfitting(run: RunFacts) -> RuleResult | None:
    overfitted = []
    for m in run.learners:
        learned = run.models[m].get("training")
        unseen = run.models[m].get("validation") or run.scores(m)
        if learned and learned["accuracy"] - unseen["accuracy"] > GAP:
            overfitted.append(
                f"{run.name(m)} {format_percent(learned['accuracy'])} against {format_percent(unseen['accuracy'])}"
            )
    if not overfitted:
        return None
    return f"training far above unseen tracks (overfitting): {join_all(overfitted)}", OVERFITTING_REMEDIES


def _check_thin_genres(run: RunFacts) -> RuleResult | None:
    counts = {g: row["n"] for g, row in run.best_scores["per_genre"].items()}
    thin = [f"{printable(g)} ({pluralize(n, 'track')})" for g, n in counts.items() if 0 < n < MIN_GENRE_TRACKS]
    if not thin:
        return None
    return (
        f"fewer than {MIN_GENRE_TRACKS} scored tracks: {', '.join(thin)}; their recall and F1 say next to nothing",
        ["more tracks of these genres, by other artists", "leave the genre out, or join it with a neighbour"],
    )


def _check_baseline(run: RunFacts) -> RuleResult | None:
    below = [run.name(m) for m in run.learners if run.scores(m)["accuracy_low"] <= run.baseline]
    if not below:
        return None
    which = "the majority line" if run.facts["majority"] >= run.facts["chance"] else "chance"
    return (
        f"not safely above {which} ({format_percent(run.baseline)}): {join_all(below)}",
        ["more training tracks", "more `--epochs`, where a network's curve was still rising", MORE_TEST],
    )


RULES: dict[str, Callable[[RunFacts], RuleResult | None]] = {
    "leaks": _check_leaks,
    "too_good": _check_too_good,
    "split": _check_split,
    "no_test": _check_test_part,
    "not_above_majority": _check_baseline,
    "choice": _check_selection,
    "wide_intervals": _check_intervals,
    "validation_above": _check_validation,
    "overfitting": _check_overfitting,
    "thin_genre": _check_thin_genres,
}
"""By name, the most serious first."""


def _half_width(share: Facts) -> float:
    """Half the width of its 95 % interval."""
    return float(share["accuracy_high"] - share["accuracy_low"]) / 2


def format_interval(scores: Facts) -> str:
    """`43.7 % [31.1, 57.0]`."""
    low, high = 100 * scores["accuracy_low"], 100 * scores["accuracy_high"]
    return f"{format_percent(scores['accuracy'])} [{low:.1f}, {high:.1f}]"


def format_percent(share: float) -> str:
    """`43.7 %`."""
    return f"{100 * share:.1f} %"
