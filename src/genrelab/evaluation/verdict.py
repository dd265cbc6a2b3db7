"""The verdict on a run: what was measured, which model is first, which one to use, and what to trust."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from genrelab.core.errors import printable
from genrelab.core.text import pluralize
from genrelab.evaluation.warnings import Facts, RunFacts, format_interval, format_percent


def verdict(*, facts: Facts, models: Mapping[str, Facts], winner: Facts, warnings: Sequence[Facts]) -> str:
    """The summary at the top of the page: what was measured on what, which model is first, and what to trust.

    Args:
        facts, models: as of `find_warnings`.
        winner: of `comparison.winner`.
        warnings: the warnings, of `find_warnings`.
    """
    run = RunFacts(facts, models, (), None)
    best, rules = (run.learners or list(models))[0], {warning["rule"] for warning in warnings}
    scores = run.scores(best)
    tracks = f"{run.n:,} {run.part} tracks{run.of_artists} of {printable(facts['dataset']['name'])}"
    above = "above" if scores["accuracy_low"] > run.baseline else "not safely above"
    sentences = (
        f"{pluralize(len(models), 'model')} answered {tracks}, {facts['split']['policy']} split",
        winner["sentence"],
        f"{run.name(best)} reaches {format_interval(scores)}, {above} chance ({format_percent(facts['chance'])}) and "
        f"the majority line ({format_percent(facts['majority'])})",
        *(
            [
                f"{run.selected_on.capitalize()} would have chosen {run.name(run.chosen)}, which reaches "
                f"{format_interval(run.scores(run.chosen))}: quote that figure, for it was not picked on the "
                f"{run.part} part"
            ]
            if "choice" in rules
            else []
        ),
        _trust_sentence(run, winner, rules),
    )
    return ". ".join(sentences) + "."


def recommended_model(*, facts: Facts, models: Mapping[str, Facts], warnings: Sequence[Facts]) -> str:
    """Folder of the model that the page recommends: the first, or the one whose figure may be quoted if another."""
    run = RunFacts(facts, models, (), None)
    return run.chosen if any(warning["rule"] == "choice" for warning in warnings) else next(iter(models))


def _trust_sentence(run: RunFacts, winner: Facts, rules: set[str]) -> str:
    if rules & {"leaks", "too_good"}:
        return "Believe none of these figures before the leaks are out"
    if rules & {"split"}:
        return "Believe the order more than the height: artists may be on both sides"
    if winner["folder"] is None and len(run.learners) > 1:
        return "Believe the intervals, not the order of the models that cannot be told apart"
    return "Believe the interval more than the figure in its middle"
