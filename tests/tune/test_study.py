from __future__ import annotations

import errno
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genrelab.core.errors import PreparedError
from genrelab.core.hyperparameters import SPACES, Params, Space
from genrelab.tune.study import FILE, OPTUNA_STATES, Study, Trial, open_study

SPACE: Space = SPACES["svm"]
ASKED = {"data": "abc", "settings": {"seed": 1, "split": "auto"}}
START: Params = {"kernel": "rbf", "C": 1.0, "gamma": 1.0, "pca": None}


def right_of(params: Params) -> list[Any]:
    """Two folds of 50 tracks; the nearer C is to 10, the more tracks are right."""
    share = 1 / (1 + abs(np.log10(params["C"]) - 1))
    return [np.arange(50) < 50 * share] * 2


def play(study: Study, n: int, *, cut: int | None = None) -> None:
    """Run trials until there are n; stop at number `cut`, as a kill does."""
    while len(study.trials) < n:
        if not study.trials:
            study.add(START, "complete", 1.0, right_of(START))
            continue
        params = study.suggest()
        if len(study.trials) == cut:
            return
        state = "pruned" if params["kernel"] == "sigmoid" else "failed" if params["pca"] == 0.99 else "complete"
        folds = {"pruned": right_of(params)[:1], "failed": []}.get(state, right_of(params))
        study.add(params, state, 0.5, folds, "no reason" if state == "failed" else "")


def same(a: list[Trial], b: list[Trial]) -> bool:
    return len(a) == len(b) and all(
        x.right.tolist() == y.right.tolist() and vars(x) | {"right": 0} == vars(y) | {"right": 0}
        for x, y in zip(a, b, strict=True)
    )


def test_interrupted_study_continues_identically(tmp_path: Path) -> None:
    with open_study(tmp_path / "whole", asked=ASKED, space=SPACE, seed=1) as study:
        play(study, 16)
        whole = list(study.trials)
    assert {t.state for t in whole} == {"complete", "pruned", "failed"}
    for cut in (1, 7, 13):
        with open_study(tmp_path / "cut", asked=ASKED, space=SPACE, seed=1) as study:
            assert same(study.trials, whole[: len(study.trials)])
            play(study, 16, cut=cut)
    with open_study(tmp_path / "cut", asked=ASKED, space=SPACE, seed=1) as study:
        play(study, 16)
        assert same(study.trials, whole)
    with open_study(tmp_path / "other", asked=ASKED, space=SPACE, seed=2) as study:
        play(study, 5)
        assert not same(study.trials, whole[:5])


def test_search_concentrates_near_the_optimum(tmp_path: Path) -> None:
    with open_study(tmp_path, asked=ASKED, space=SPACE, seed=0) as study:
        play(study, 30)
        off = [abs(np.log10(t.params["C"]) - 1) for t in study.trials[1:]]
    assert np.mean(off[-10:]) < np.mean(off[:10])
    assert all("degree" not in t.params for t in study.trials if t.params["kernel"] != "poly")


def test_rejected_trial_stays_rejected(tmp_path: Path) -> None:
    with open_study(tmp_path, asked=ASKED, space=SPACE, seed=0) as study:
        play(study, 3)
        study.reject(1, "its graph is off")
    with open_study(tmp_path, asked=ASKED, space=SPACE, seed=0) as study:
        assert (study.trials[1].state, study.trials[1].reason) == ("failed", "its graph is off")
        assert study.trials[0].state == "complete"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({**ASKED, "data": "x"}, "contains a search with other data: remove that folder"),
        ({**ASKED, "settings": {"seed": 2, "split": "auto"}}, r"other settings \(seed\)"),
        ({"data": "x", "settings": {"seed": 1}}, r"other data, settings \(split\)"),
    ],
)
def test_another_search_is_refused_by_name(asked: dict[str, Any], words: str, tmp_path: Path) -> None:
    with open_study(tmp_path, asked=ASKED, space=SPACE, seed=0):
        pass
    with pytest.raises(PreparedError, match=words), open_study(tmp_path, asked=asked, space=SPACE, seed=0):
        pass


def test_concurrent_study_is_refused(tmp_path: Path) -> None:
    with open_study(tmp_path, asked=ASKED, space=SPACE, seed=0):
        again = open_study(tmp_path, asked=ASKED, space=SPACE, seed=0)
        with pytest.raises(PreparedError, match="another `genrelab tune` is running here"), again:
            pass


def test_folder_that_cannot_be_locked_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(pytest.importorskip("fcntl"), "flock", refuse)
    news: list[str] = []
    with open_study(tmp_path, asked=ASKED, space=SPACE, seed=0, notify=news.append) as study:
        play(study, 1)
    (message,) = news
    assert message.startswith(f"{tmp_path} cannot be locked (No locks available): do not run another `genrelab tune`")


@pytest.mark.parametrize("content", [b"no database at all, but long enough to look like a file of some kind" * 20, b""])
def test_damaged_database_is_an_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(content)
    with (
        pytest.raises(PreparedError, match=r"damaged|not a search of genrelab"),
        open_study(tmp_path, asked=ASKED, space=SPACE, seed=0),
    ):
        pass


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "a?b#c %7B{SCHEMA}"
    with open_study(folder, asked=ASKED, space=SPACE, seed=0) as study:
        play(study, 1)
    assert sorted(p.name for p in folder.iterdir()) == [FILE]
    with sqlite3.connect(folder / FILE) as database:
        assert database.execute("select count(*) from trials").fetchone() == (1,)
    database.close()


def test_optunas_dashboard_reads_the_trials_and_its_notes_change_nothing(tmp_path: Path) -> None:
    """Optuna's dashboard opens `sqlite:///PATH` and writes notes as attributes of the study."""
    import optuna

    with open_study(tmp_path, asked=ASKED, space=SPACE, seed=1) as study:
        play(study, 8)
        trials = list(study.trials)
    address = f"sqlite:///{tmp_path / FILE}"
    (name,) = optuna.get_all_study_names(address)
    shown = optuna.load_study(study_name=name, storage=address)
    assert shown.direction == optuna.study.StudyDirection.MAXIMIZE
    finished = [(t.state.name, t.params) for t in shown.trials if t.state.is_finished()]
    assert finished == [(OPTUNA_STATES[t.state], t.params) for t in trials]
    storage = optuna.storages.RDBStorage(address)
    storage.set_study_system_attr(shown._study_id, "dashboard:note_ver", 1)
    storage.engine.dispose()
    with open_study(tmp_path, asked=ASKED, space=SPACE, seed=1) as study:
        assert same(study.trials, trials)
