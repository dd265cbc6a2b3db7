"""The trials of one search, in an SQLite database of Optuna's that goes on after any kill.

Optuna's sampler (TPE, Bergstra et al. 2011) gets a seed for every trial, made of the search's seed and the number of
the trial. So a search that was killed and gone on with tries what one that was not killed tries.
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
from genrelab.core.hyperparameters import CategoricalParameter, NumericParameter, Params, Space, is_active
from genrelab.core.lock import locked_folder
from genrelab.core.progress import Notify, ignore

if TYPE_CHECKING:
    import optuna

Bools = NDArray[np.bool_]

FILE = "study.db"
SEARCH_ATTRIBUTE = "asked"  # attribute of the study: what its trials are about
TRIAL_ATTRIBUTE = "told"  # attribute of a trial: how it went
REJECTED_ATTRIBUTE = "refused"  # attribute of the study: why trials that were complete are not taken, by number
REMEDY = "remove that folder to begin anew, or choose another --out"


@dataclass(frozen=True)
class Trial:
    """One finished trial.

    Attributes:
        number: counts finished ones from 0; what a kill cut short does not count.
        value: accuracy over the folds that it was seen in, None where it failed.
        state: `complete`, `pruned` or `failed`.
        right: was each track of these folds answered rightly? In the order of the folds, shape (tracks,).
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
    """A search that is open. `tried` are its finished trials, oldest first."""

    def __init__(self, study: optuna.Study, space: Space, seed: int) -> None:
        from optuna.trial import TrialState

        self._study, self._space, self._seed = study, space, seed
        for trial in study.get_trials(deepcopy=False):
            if trial.state == TrialState.RUNNING:  # of a process that was killed
                study.tell(trial.number, state=TrialState.FAIL)
        self.trials = list(_load_trials(study))
        for number, reason in study.user_attrs.get(REJECTED_ATTRIBUTE, {}).items():
            self._refuse(int(number), reason)

    def ask(self) -> tuple[optuna.Trial, Params]:
        """The next trial, with the hyper-parameters that the sampler thinks of."""
        from optuna.samplers import TPESampler

        seed = int(np.random.SeedSequence([self._seed, len(self.trials)]).generate_state(1)[0])
        self._study.sampler = TPESampler(seed=seed, multivariate=False, constant_liar=False)
        trial = self._study.ask()
        return trial, _suggest_params(trial, self._space)

    def tell(
        self,
        trial: optuna.Trial | None,
        params: Params,
        state: str,
        seconds: float,
        right: Sequence[Bools],
        reason: str = "",
    ) -> Trial:
        """Note how a trial went; `right` has an array for every fold that it was seen in.

        Args:
            trial: None where nobody asked for it.
        """
        from optuna.trial import TrialState, create_trial

        seen = np.concatenate([*right, np.zeros(0, bool)])
        value = None if state == "failed" else float(seen.mean())
        about = {
            "number": len(self.trials), "params": list(params), "seconds": round(seconds, 3), "n": len(seen),
            "right": np.packbits(seen).tobytes().hex(), "reason": reason or None, "state": state,
        }  # fmt: skip
        states = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
        score = value if state == "complete" else None
        if trial is None:
            kinds = {name: _distribution(self._space[name]) for name in params}
            self._study.add_trial(
                create_trial(
                    state=states[state],
                    value=score,
                    params=params,
                    distributions=kinds,
                    user_attrs={TRIAL_ATTRIBUTE: about},
                )
            )
        else:
            trial.set_user_attr(TRIAL_ATTRIBUTE, about)
            for fold in range(len(right) if state == "pruned" else 0):
                trial.report(float(np.concatenate(right[: fold + 1]).mean()), fold)
            self._study.tell(trial, score, states[state])
        tried = Trial(len(self.trials), params, value, state, about["seconds"], seen, reason or None)  # type: ignore[arg-type]
        self.trials.append(tried)
        return tried

    def refuse(self, number: int, reason: str) -> None:
        """Take a complete trial for a failed one from now on."""
        self._study.set_user_attr(
            REJECTED_ATTRIBUTE, {**self._study.user_attrs.get(REJECTED_ATTRIBUTE, {}), str(number): reason}
        )
        self._refuse(number, reason)

    def _refuse(self, number: int, reason: str) -> None:
        self.trials[number] = replace(self.trials[number], state="failed", reason=reason)


@contextmanager
def open_study(
    folder: Path, *, asked: Mapping[str, Any], space: Space, seed: int, notify: Notify = ignore
) -> Iterator[Study]:
    """The search in a local folder, begun where there is none.

    Args:
        asked: what its trials are about, plain JSON by name; an earlier search about anything else is refused.

    Raises:
        PreparedError: it is damaged, is about something else, or another process is at it.
    """
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    asked = json.loads(json.dumps(asked))
    try:
        # Two searches in one folder would take each other's trials for those of a killed one.
        with locked_folder(folder, str(folder), busy="is at work here", command="tune", notify=notify):
            if not (folder / FILE).exists():
                _create_database(folder, asked)
            try:
                with _connect(folder / FILE) as connection, _optuna_study(connection) as study:
                    _check(folder, study.user_attrs.get(SEARCH_ATTRIBUTE), asked)
                    yield Study(study, space, seed)
            except (SQLAlchemyError, sqlite3.DatabaseError, KeyError) as e:
                reason = " ".join(str(e).split())[:120]
                raise PreparedError(f"{folder / FILE} is damaged, or of another Optuna ({reason}): {REMEDY}") from e
    finally:
        optuna.logging.set_verbosity(before)


def _create_database(folder: Path, asked: Mapping[str, Any]) -> None:
    """A database without trials, which has its name only when it is whole."""
    temporary = folder / f".{FILE}.tmp"
    temporary.unlink(missing_ok=True)
    with closing(sqlite3.connect(temporary, check_same_thread=False)) as connection, _optuna_study(connection) as study:
        study.set_user_attr(SEARCH_ATTRIBUTE, dict(asked))
    temporary.replace(folder / FILE)


@contextmanager
def _connect(file: Path) -> Iterator[sqlite3.Connection]:
    """A database that does not wait for the disk at every step of a trial, and yet survives a power cut."""
    with closing(sqlite3.connect(file, timeout=60, check_same_thread=False)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        yield connection


@contextmanager
def _optuna_study(connection: sqlite3.Connection) -> Iterator[optuna.Study]:
    """The one study of a database; as a connection, since its path may hold what an address must not."""
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


def _check(folder: Path, held: Any, asked: Mapping[str, Any]) -> None:
    """Refuse, by name, what an earlier search was about and this one is not."""
    if not isinstance(held, dict):
        raise PreparedError(f"{folder / FILE} is no search of genrelab's: choose another --out")
    other = [name for name in asked if held.get(name) != asked[name] and not isinstance(asked[name], dict)]
    for name, wanted in asked.items():
        if isinstance(wanted, dict):
            there = held.get(name) or {}
            other += [f"{name} ({n})" for n in dict.fromkeys([*wanted, *there]) if there.get(n) != wanted.get(n)]
    if other:
        raise PreparedError(f"{folder} holds a search of other {', '.join(other)}: {REMEDY}")


def _suggest_params(trial: optuna.Trial, space: Space) -> Params:
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


def _distribution(p: NumericParameter | CategoricalParameter) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(p, CategoricalParameter):
        return CategoricalDistribution(p.choices)
    if p.whole:
        return IntDistribution(int(p.low), int(p.high), log=p.log)
    return FloatDistribution(p.low, p.high, log=p.log)


def _load_trials(study: optuna.Study) -> Iterator[Trial]:
    """Trials that were recorded; one that was cut short by a kill has no state of ours."""
    states = {"pruned": "PRUNED", "complete": "COMPLETE", "failed": "FAIL"}
    for trial in study.get_trials(deepcopy=False):
        about = trial.user_attrs.get(TRIAL_ATTRIBUTE)
        if about is None or states[about["state"]] != trial.state.name:
            continue
        packed = np.frombuffer(bytes.fromhex(about["right"]), np.uint8)
        right = np.unpackbits(packed)[: about["n"]].astype(bool)
        value = None if about["state"] == "failed" else float(right.mean())
        params = {name: trial.params[name] for name in about["params"]}
        yield Trial(about["number"], params, value, about["state"], about["seconds"], right, about["reason"])
