"""One trial of a search: a model with other hyper-parameters, fold by fold, until it is clearly behind the best one."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from genrelab.core.errors import MissingRequirementError, ModelError
from genrelab.core.hyperparameters import Params
from genrelab.core.progress import Notify
from genrelab.tune.search import Search
from genrelab.tune.study import Study, Trial

Bools = NDArray[np.bool_]


def run_trial(search: Search, study: Study) -> Trial:
    """The next trial: one of the starts (our defaults, the article's values) first, then what the sampler suggests.

    Raises:
        ModelError: the model cannot be fitted with its defaults.
        MissingRequirementError: the model cannot be trained here.
    """
    n = len(study.trials)
    is_start = n < len(search.starts)
    asked, params = (None, search.starts[n]) if is_start else study.ask()
    best = None if is_start else best_trial(study.trials)
    start = time.perf_counter()
    try:
        state, right = _score(search, study, params, best)
        reason = ""
    except MissingRequirementError:
        raise
    except (ModelError, ValueError, ArithmeticError) as e:
        state, right, reason = "failed", [], " ".join(str(e).split())
        if n == 0:
            raise ModelError(f"{search.model} cannot be fitted with its defaults: {reason}") from e
    return study.tell(asked, params, state, time.perf_counter() - start, right, reason)


def _score(search: Search, study: Study, params: Params, best: Trial | None) -> tuple[str, list[Bools]]:
    """`complete`, or `pruned` where clearly behind `best`; and fold by fold which tracks were answered rightly."""
    right: list[Bools] = []
    for answers in _repeated_answers(search, study, params) or search.answers(params):
        right.append(answers)
        if best is not None and len(right) < len(search.held) and search.is_behind(right, best.right):
            return "pruned", right
    return "complete", right


def _repeated_answers(search: Search, study: Study, params: Params) -> list[Bools]:
    """The answers, fold by fold, of an earlier trial with these very hyper-parameters; none where there is none."""
    ends = np.cumsum([len(h) for h in search.held])[:-1]
    return next((np.split(t.right, ends) for t in study.trials if t.state == "complete" and t.params == params), [])


def best_trial(trials: list[Trial]) -> Trial:
    """The first of the best: the default trial, where nothing is better than it."""
    return max((t for t in trials if t.state == "complete"), key=lambda t: (t.value or 0.0, -t.number))


def reject_unusable_best(search: Search, study: Study, notify: Notify) -> None:
    """Leave out the best trials as long as no bundle can be made of them: a training would fail with those."""
    while (best := best_trial(study.trials)).number:
        reason = search.unfit(best.params)
        if reason is None:
            return
        notify(f"  trial {best.number} is left out: {reason}")
        study.refuse(best.number, reason)
