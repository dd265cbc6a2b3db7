"""The trials of one search, in an SQLite database of Optuna's; a search that was killed resumes.

Optuna's sampler (TPE, Bergstra et al. 2011) gets a seed for every trial, made of the search's seed and the number of
the trial, so that a search that was killed and resumed has the same trials as one that was not.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genrelab.core.errors import PreparedError
from genrelab.core.hyperparameters import CategoricalParameter, Params, Space, is_active
from genrelab.core.lock import locked_folder
from genrelab.core.progress import Notify, ignore

if TYPE_CHECKING:
    import optuna

Bools = NDArray[np.bool_]

FILE = "study.db"
SEARCH_ATTRIBUTE = "asked"  # attribute of the study: the inputs of its trials
TRIAL_ATTRIBUTE = "told"  # attribute of a trial: its result
REJECTED_ATTRIBUTE = "refused"  # attribute of the study: by number, why a complete trial cannot be used
OPTUNA_STATES = {"pruned": "PRUNED", "complete": "COMPLETE", "failed": "FAIL"}
REMEDY = "remove that folder to start again, or choose another --out"


@dataclass(frozen=True)
class Trial:
    """One finished trial.

    Attributes:
        number: counts finished trials from 0.
        value: accuracy over the folds that it was scored on, None where it failed.
        state: `complete`, `pruned` or `failed`.
        right: was each track of these folds classified correctly? In the order of the folds, shape (tracks,).
        reason: why it failed.
    """

    number: int
    params: Params
    value: float | None
    state: str
    seconds: float
    right: Bools
    reason: str | None


class Study:
    """An open search. `trials` are its finished trials, oldest first."""

    def __init__(self, study: optuna.Study, space: Space, seed: int) -> None:
        self._study, self._space, self._seed = study, space, seed
        self.trials = list(_load_trials(study))
        for number, reason in study.user_attrs.get(REJECTED_ATTRIBUTE, {}).items():
            self._reject(int(number), reason)

    @property
    def best(self) -> Trial:
        """The best trial, of equal ones the first: the default trial where nothing is better."""
        return max((t for t in self.trials if t.state == "complete"), key=lambda t: (t.value or 0.0, -t.number))

    def suggest(self) -> Params:
        """The sampler's hyper-parameters for the next trial."""
        import optuna

        seed = int(np.random.SeedSequence([self._seed, len(self.trials)]).generate_state(1)[0])
        sampler = optuna.samplers.TPESampler(seed=seed, multivariate=False, constant_liar=False)
        in_memory = optuna.create_study(sampler=sampler, direction="maximize")
        in_memory.add_trials(self._study.get_trials(deepcopy=False))
        return _suggest_params(in_memory.ask(), self._space)

    def add(self, params: Params, state: str, seconds: float, right: Sequence[Bools], reason: str = "") -> Trial:
        """Store a finished trial; `right` has an array for every fold that it was scored on."""
        from optuna.trial import FixedTrial, TrialState, create_trial

        scored = np.concatenate([*right, np.zeros(0, bool)])
        value = None if state == "failed" else float(scored.mean())
        about = {
            "number": len(self.trials), "params": list(params), "seconds": round(seconds, 3), "n": len(scored),
            "right": np.packbits(scored).tobytes().hex(), "reason": reason or None, "state": state,
        }  # fmt: skip
        fixed = FixedTrial(params)
        _suggest_params(fixed, self._space)  # gives it the distributions
        so_far = {fold: float(np.concatenate(right[: fold + 1]).mean()) for fold in range(len(right))}
        self._study.add_trial(
            create_trial(
                state=TrialState[OPTUNA_STATES[state]], value=value if state == "complete" else None, params=params,
                distributions=fixed.distributions, intermediate_values=so_far if state == "pruned" else {},
                user_attrs={TRIAL_ATTRIBUTE: about},
            )
        )  # fmt: skip
        trial = Trial(len(self.trials), params, value, state, round(seconds, 3), scored, reason or None)
        self.trials.append(trial)
        return trial

    def reject(self, number: int, reason: str) -> None:
        """Count a complete trial as failed from now on."""
        rejected = self._study.user_attrs.get(REJECTED_ATTRIBUTE, {})
        self._study.set_user_attr(REJECTED_ATTRIBUTE, {**rejected, str(number): reason})
        self._reject(number, reason)

    def _reject(self, number: int, reason: str) -> None:
        self.trials[number] = replace(self.trials[number], state="failed", reason=reason)


@contextmanager
def open_study(
    folder: Path, *, asked: Mapping[str, Any], space: Space, seed: int, notify: Notify = ignore
) -> Iterator[Study]:
    """The search in a local folder, started where there is none.

    Args:
        asked: the inputs of its trials, plain JSON by name; an earlier search with other inputs is refused.

    Raises:
        PreparedError: it is damaged, has other inputs, or another process is using it.
    """
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    asked = json.loads(json.dumps(asked))
    try:
        # Two searches in one folder would take each other's trials for those of a killed one.
        with locked_folder(folder, str(folder), busy="is running here", command="tune", notify=notify):
            if not (folder / FILE).exists():
                _create_database(folder, asked)
            try:
                with _connect(folder / FILE) as connection, _optuna_study(connection) as study:
                    _check(folder, study.user_attrs.get(SEARCH_ATTRIBUTE), asked)
                    yield Study(study, space, seed)
            except (SQLAlchemyError, sqlite3.DatabaseError, KeyError) as e:
                raise PreparedError(f"{folder / FILE} is damaged, or of another version of Optuna: {REMEDY}") from e
    finally:
        optuna.logging.set_verbosity(before)


def _create_database(folder: Path, asked: Mapping[str, Any]) -> None:
    """A database without trials; it gets its name when it is complete."""
    temporary = folder / f".{FILE}.tmp"
    temporary.unlink(missing_ok=True)
    with closing(sqlite3.connect(temporary, check_same_thread=False)) as connection, _optuna_study(connection) as study:
        study.set_user_attr(SEARCH_ATTRIBUTE, dict(asked))
    temporary.replace(folder / FILE)


@contextmanager
def _connect(file: Path) -> Iterator[sqlite3.Connection]:
    """A database that does not wait for the disk at every statement, and survives a power cut."""
    with closing(sqlite3.connect(file, timeout=60, check_same_thread=False)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        yield connection


@contextmanager
def _optuna_study(connection: sqlite3.Connection) -> Iterator[optuna.Study]:
    """The one study of a database, which is given as a connection: its path may contain any character."""
    import optuna
    from sqlalchemy.pool import StaticPool

    storage = optuna.storages.RDBStorage(
        "sqlite://", engine_kwargs={"creator": lambda: connection, "poolclass": StaticPool}
    )
    try:
        yield optuna.create_study(storage=storage, study_name="tune", direction="maximize", load_if_exists=True)
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _check(folder: Path, stored: Any, asked: Mapping[str, Any]) -> None:
    """Refuse, by name, inputs of an earlier search that differ."""
    if not isinstance(stored, dict):
        raise PreparedError(f"{folder / FILE} is not a search of genrelab: choose another --out")
    different = [name for name in asked if stored.get(name) != asked[name] and not isinstance(asked[name], dict)]
    for name, wanted in asked.items():
        if isinstance(wanted, dict):
            there = stored.get(name) or {}
            different += [f"{name} ({n})" for n in dict.fromkeys([*wanted, *there]) if there.get(n) != wanted.get(n)]
    if different:
        raise PreparedError(f"{folder} contains a search with other {', '.join(different)}: {REMEDY}")


def _suggest_params(trial: optuna.trial.BaseTrial, space: Space) -> Params:
    params: Params = {}
    for name, p in space.items():
        if not is_active(p, params):
            continue
        if isinstance(p, CategoricalParameter):
            params[name] = trial.suggest_categorical(name, p.choices)
        elif p.whole:
            params[name] = trial.suggest_int(name, int(p.low), int(p.high), log=p.log)
        else:
            params[name] = trial.suggest_float(name, p.low, p.high, log=p.log)
    return params


def _load_trials(study: optuna.Study) -> Iterator[Trial]:
    """The finished trials; one that an earlier version left unfinished at a kill is skipped."""
    for trial in study.get_trials(deepcopy=False):
        about = trial.user_attrs.get(TRIAL_ATTRIBUTE)
        if about is None or OPTUNA_STATES[about["state"]] != trial.state.name:
            continue
        packed = np.frombuffer(bytes.fromhex(about["right"]), np.uint8)
        right = np.unpackbits(packed)[: about["n"]].astype(bool)
        value = None if about["state"] == "failed" else float(right.mean())
        params = {name: trial.params[name] for name in about["params"]}
        yield Trial(about["number"], params, value, about["state"], about["seconds"], right, about["reason"])
