from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from genrelab.bundle.bundle import load_bundle
from genrelab.core.config import TrainSettings
from genrelab.core.errors import ModelError, PreparedError, SettingsError
from genrelab.core.hyperparameters import DEFAULTS
from genrelab.core.storage import Folder
from genrelab.records.prepared import Prepared, open_prepared, read_parquet, write_parquet
from genrelab.records.task import make_task
from genrelab.runs.train import train
from genrelab.tune import search as tune_search
from genrelab.tune.best_params import params_of
from genrelab.tune.tune import tune
from tests.support.changed_tables import accept_features
from tests.support.feature_tables import collection
from tests.support.guards import HANG_S

SETTINGS = TrainSettings(split="official", seed=3)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    splits = ("training", "training", "training", "validation", "test")
    return collection(tmp_path_factory.mktemp("t"), n=300, per_artist=5, noise=1.5, splits=splits)[0]


@pytest.fixture(autouse=True)
def _no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than a search here; test_plots.py tests it."""
    monkeypatch.setattr("genrelab.tune.plots.plot_parameters", lambda found: b"a picture")


def untimed(about: dict[str, Any]) -> dict[str, Any]:
    return {**about, "trials": [{**t, "seconds": 0} for t in about["trials"]]}


def test_the_first_trials_are_the_defaults_and_the_articles(prepared: Prepared, tmp_path: Path) -> None:
    messages: list[str] = []
    about = tune(prepared, Folder(tmp_path), "knn", SETTINGS, trials=12, notify=messages.append)
    home = tmp_path / "tune" / "knn"
    assert json.loads((home / "trials.json").read_text()) == about
    assert sorted(p.name for p in home.iterdir()) == ["parameters.png", "study.db", "tracks.txt", "trials.json"]
    trials = about["trials"]
    assert [t["number"] for t in trials] == list(range(12))
    assert trials[0]["params"] == {**DEFAULTS["knn"], "pca": None} == about["default"]["params"]
    assert trials[1]["params"] == {"k": 21, "metric": "euclidean", "pca": None}
    complete = [t["value"] for t in trials if t["state"] == "complete"]
    assert about["best"]["value"] == max(complete) >= about["default"]["value"] == trials[0]["value"]
    assert trials[about["best"]["number"]]["params"] == about["best"]["params"]
    assert (about["view"], about["grouped_by"], about["n_folds"], about["n_tracks"]) == ("table", "artists", 5, 180)
    assert about["space"]["k"] == {
        "type": "int", "low": 1, "high": 100, "log": False, "choices": None, "where": {},
    }  # fmt: skip
    assert all(t["n"] == 180 for t in trials if t["state"] == "complete")
    assert all(t["n"] < 180 for t in trials if t["state"] == "pruned")
    assert about["sentences"][0].startswith("knn: 12 trials")
    assert messages[-len(about["sentences"]) :] == about["sentences"]


def test_the_first_trial_with_the_articles_preset_is_its_mlp(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layers of two sizes are not in the space, so no trial of another preset can have them."""
    from sklearn.neural_network import MLPClassifier

    fitted, fit = set[object](), MLPClassifier.fit

    def noted(self: Any, x: Any, y: Any) -> Any:
        fitted.add(self.hidden_layer_sizes)
        return fit(self.set_params(max_iter=3), x, y)

    monkeypatch.setattr(MLPClassifier, "fit", noted)
    article = replace(SETTINGS, preset="article")
    found = [tune(prepared, Folder(tmp_path / str(i)), "mlp", s, trials=1) for i, s in enumerate((SETTINGS, article))]
    assert fitted == {(100,), (140, 2)}
    assert found[0]["default"]["params"] == {**DEFAULTS["mlp"], "pca": None}
    assert found[1]["default"]["params"] == {**DEFAULTS["mlp"], "hidden": 140, "pca": None}


def test_an_article_search_of_an_earlier_version_is_not_continued(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(SETTINGS, preset="article")
    with monkeypatch.context() as earlier:
        earlier.setattr(tune_search, "ARTICLE_VERSION", {})
        for name, of_it in (("default", SETTINGS), ("article", settings)):
            tune(prepared, Folder(tmp_path / name), "knn", of_it, trials=1)
    tune(prepared, Folder(tmp_path / "default"), "knn", SETTINGS, trials=1)
    with pytest.raises(PreparedError, match="a search with other rules of --preset article: remove that folder"):
        tune(prepared, Folder(tmp_path / "article"), "knn", settings, trials=1)


def test_clearly_worse_trials_are_pruned(prepared: Prepared, tmp_path: Path) -> None:
    about = tune(prepared, Folder(tmp_path), "gaussian_nb", SETTINGS, trials=3)
    search: Any = None

    class Kept(tune_search.Search):
        def score_folds(self, params: Any) -> Any:
            nonlocal search
            search = self
            for right in super().score_folds(params):
                yield right & (params["var_smoothing"] in (1e-9, 1.29e-10))  # all others are wrong

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("genrelab.tune.tune.Search", Kept)
        worse = tune(prepared, Folder(tmp_path / "b"), "gaussian_nb", SETTINGS, trials=3)
    assert [t["state"] for t in worse["trials"]] == ["complete", "complete", "pruned"]
    assert worse["trials"][2]["n"] == len(search.held[0])
    assert worse["trials"][0]["value"] == about["trials"][0]["value"]


def test_only_the_training_part_is_read(prepared: Prepared, tmp_path: Path) -> None:
    """The search stays the same when features, genres and artists of all other tracks are replaced."""
    other = tmp_path / "prepared"
    source = Path(str(prepared.folder))
    for file in source.rglob("*"):
        if file.is_file():
            (other / file.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
            (other / file.relative_to(source)).write_bytes(file.read_bytes())
    t = read_parquet(Folder(other), "tracks.parquet")
    kept = [part == "training" for part in t["official_split"].to_pylist()]
    assert 0 < sum(kept) < len(kept)
    for name in ("genre", "artist"):
        values = t[name].to_pylist()
        turned = [a if keep else values[i - 7] for i, (a, keep) in enumerate(zip(values, kept, strict=True))]
        t = t.set_column(t.column_names.index(name), name, pa.array(turned, pa.string()))
    write_parquet(Folder(other), "tracks.parquet", t)
    x = read_parquet(Folder(other), "features.parquet")
    for name in x.column_names[2:]:
        values = np.where(kept, x[name].to_numpy(), np.nan).astype(np.float32)
        x = x.set_column(x.column_names.index(name), name, pa.array(values))
    write_parquet(Folder(other), "features.parquet", x)
    accept_features(other)
    poisoned = open_prepared(str(other))
    assert poisoned.tracks["genre"] != prepared.tracks["genre"]
    found = [tune(p, Folder(tmp_path / str(i)), "svm", SETTINGS, trials=3) for i, p in enumerate((prepared, poisoned))]
    assert untimed(found[0]) == untimed(found[1])
    lines = [(tmp_path / str(i) / "tune/svm/tracks.txt").read_text().splitlines() for i in range(2)]
    assert lines[0] == lines[1] and len(lines[0]) == sum(kept)


def test_the_same_seed_gives_the_same_trials_however_often_it_stops(prepared: Prepared, tmp_path: Path) -> None:
    whole = tune(prepared, Folder(tmp_path / "a"), "gaussian_nb", SETTINGS, trials=6)
    for trials in (1, 3, 6):
        parts = tune(prepared, Folder(tmp_path / "b"), "gaussian_nb", SETTINGS, trials=trials)
        assert len(parts["trials"]) == trials
    assert untimed(parts) == untimed(whole)
    messages: list[str] = []
    assert tune(prepared, Folder(tmp_path / "b"), "gaussian_nb", SETTINGS, trials=6, notify=messages.append) == parts
    assert messages[0] == "gaussian_nb: resuming after 6 trials"


KILLED = """
# Killed when the trial after the one with this number is about to execute its n-th statement.
import os, signal, sqlite3, sys
from genrelab.core.config import TrainSettings
from genrelab.records.prepared import open_prepared
from genrelab.core.storage import Folder
from genrelab.tune.tune import tune
number, left, reached, connect = sys.argv[3], int(sys.argv[4]), False, sqlite3.connect

def notice(sentence):
    global reached
    reached = reached or f"trial {number}:" in sentence

def deadly(statement):
    global left
    left -= reached
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

def traced(*given, **more):
    connection = connect(*given, **more)
    connection.set_trace_callback(deadly)
    return connection

sqlite3.connect = traced
settings = TrainSettings(split="official", seed=3)
tune(open_prepared(sys.argv[1]), Folder(sys.argv[2]), "svm", settings, trials=9, notify=notice)
"""


@pytest.mark.slow
def test_search_resumes_after_kill_9(prepared: Prepared, tmp_path: Path) -> None:
    for number, statement in enumerate((1, 8, 20, 25), 2):  # of about 27 a trial; the last ones end it
        words = [str(prepared.folder), str(tmp_path / "killed"), str(number), str(statement)]
        killed = subprocess.run([sys.executable, "-c", KILLED, *words], timeout=HANG_S)
        assert killed.returncode == -signal.SIGKILL
        kept = json.loads((tmp_path / "killed/tune/svm/trials.json").read_text())["trials"]
        assert len(kept) > number
    found = [tune(prepared, Folder(tmp_path / name), "svm", SETTINGS, trials=9) for name in ("killed", "whole")]
    assert untimed(found[0]) == untimed(found[1])


def test_search_stops_when_its_time_budget_is_spent(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = count()  # a trial reads the clock when it starts and when it ends
    monkeypatch.setattr("genrelab.tune.tune.time", SimpleNamespace(perf_counter=lambda: 0.5 * next(ticks)))
    about = tune(prepared, Folder(tmp_path), "gaussian_nb", SETTINGS, seconds=1.4)
    assert [t["seconds"] for t in about["trials"]] == [0.5, 0.5, 0.5]
    assert tune(prepared, Folder(tmp_path), "gaussian_nb", SETTINGS, seconds=1.5) == about
    assert len(tune(prepared, Folder(tmp_path), "gaussian_nb", SETTINGS, seconds=1.6)["trials"]) == 4


def test_invalid_searches_are_refused(prepared: Prepared, tmp_path: Path) -> None:
    run = Folder(tmp_path)
    for model, words in (("majority", "has no hyper-parameters: choose one of log"), ("x\n", "x.n is unknown")):
        with pytest.raises(SettingsError, match=words):
            tune(prepared, run, model, SETTINGS)
    with pytest.raises(SettingsError, match="needs a folder on this machine: choose a local --out"):
        tune(prepared, Folder("memory://run"), "knn", SETTINGS)
    for budget in ({"trials": 0}, {"seconds": 0.0}, {"seconds": float("nan")}):
        with pytest.raises(SettingsError, match="must be above 0"):
            tune(prepared, run, "knn", SETTINGS, **budget)  # type: ignore[arg-type]
    tune(prepared, run, "knn", SETTINGS, trials=1)
    for changed, words in (
        (replace(SETTINGS, seed=4), r"a search with other folds, settings \(seed\): remove that folder"),
        (replace(SETTINGS, pca=7.0), r"settings \(pca\), space \(pca\)"),
        (replace(SETTINGS, class_weight="balanced"), r"other settings \(class_weight\)"),
    ):
        with pytest.raises(PreparedError, match=words):
            tune(prepared, run, "knn", changed, trials=1)
    changed_data = replace(prepared, about={**prepared.about, "fingerprint": "another"})
    with pytest.raises(PreparedError, match="a search with other data"):
        tune(changed_data, run, "knn", SETTINGS, trials=1)


def test_model_that_fails_with_its_defaults_is_an_error(prepared: Prepared, tmp_path: Path) -> None:
    class Failing(tune_search.Search):
        def score_folds(self, params: Any) -> Any:
            if params["k"] != 21:
                raise ModelError("knn: no such luck")
            yield from super().score_folds(params)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("genrelab.tune.tune.Search", Failing)
        with pytest.raises(ModelError, match="knn cannot be fitted with its defaults: knn: no such luck"):
            tune(prepared, Folder(tmp_path), "knn", SETTINGS, trials=2)
        patch.setattr("genrelab.tune.tune.Search.score_folds", tune_search.Search.score_folds)
        tune(prepared, Folder(tmp_path), "knn", SETTINGS, trials=1)
        patch.setattr("genrelab.tune.tune.Search.score_folds", lambda *_: _fail())
        about = tune(prepared, Folder(tmp_path), "knn", SETTINGS, trials=3)
    assert [(t["state"], t["value"], t["reason"]) for t in about["trials"][1:]] == [
        ("failed", None, "not with these")
    ] * 2
    assert about["best"]["number"] == 0


def _fail() -> Any:
    raise ModelError("not with these")


def test_best_trial_that_cannot_be_exported_is_left_out(prepared: Prepared, tmp_path: Path) -> None:
    before = tune(prepared, Folder(tmp_path), "knn", SETTINGS, trials=10)
    best = before["best"]["number"]
    assert best > 0
    with pytest.MonkeyPatch.context() as patch:
        first = before["best"]["params"]
        patch.setattr(
            tune_search.Search, "export_problem", lambda _, params: "its graph is off" if params == first else None
        )
        after = tune(prepared, Folder(tmp_path), "knn", SETTINGS, trials=10)
    assert after["best"]["number"] != best
    assert (after["trials"][best]["state"], after["trials"][best]["reason"]) == ("failed", "its graph is off")


def test_tracks_without_artists_are_folded_in_their_order(tmp_path: Path) -> None:
    """Neighbours are by one unnamed artist: folds that part them would measure how well artists are known."""
    unknown, _ = collection(tmp_path / "a", n=240, per_artist=6, genre=0.3, artist=2.0, artists=False)
    messages: list[str] = []
    about = tune(unknown, Folder(tmp_path), "knn", TrainSettings(split="random"), trials=1, notify=messages.append)
    assert about["grouped_by"] == "tracks" and "accuracy over 5 folds of" in about["score"]
    assert (
        "the artist of most training tracks is unknown" in messages[0] and about["sentences"][-1] == messages[0].strip()
    )
    assert about["default"]["value"] < 0.55  # shuffled folds: above 0.7


# === What a training uses ===


@pytest.fixture(scope="module")
def searched(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("searched")
    for model in ("svm", "gaussian_nb"):
        tune(prepared, Folder(run), model, SETTINGS, trials=3)
    return run


def _let_win(run: Path, model: str, number: int) -> dict[str, Any]:
    """Pretend that a trial was the best."""
    file = run / "tune" / model / "trials.json"
    about: dict[str, Any] = json.loads(file.read_text())
    about["best"] = {**about["best"], **{k: about["trials"][number][k] for k in ("number", "params")}}
    file.write_text(json.dumps(about))
    return dict(about["trials"][number]["params"])


def test_training_uses_the_tuned_settings_and_reports_it(prepared: Prepared, searched: Path, tmp_path: Path) -> None:
    wanted = _let_win(searched, "svm", 1)
    _let_win(searched, "gaussian_nb", 0)
    messages: list[str] = []
    task = make_task(prepared, SETTINGS)
    params = params_of(
        str(searched), task=task, wanted=("majority", "svm", "knn", "gaussian_nb"), notify=messages.append
    )
    assert params == {"svm": wanted} == params_of(str(searched / "tune" / "svm"))
    assert [s.split(":")[0] for s in messages] == ["  gaussian_nb", "  svm", "  defaults, because they were not tuned"]
    assert messages[1].endswith(", not significantly better)")
    assert "defaults, the best of 3 trials" in messages[0] and messages[2].endswith(": knn")
    settings = replace(SETTINGS, models=("svm", "gaussian_nb"), params=params)
    run = tmp_path / "run"
    train(prepared, Folder(run), settings)
    shown = {m: json.loads((run / m / "metrics.json").read_text())["display"] for m in settings.models}
    assert shown == {"svm": "svm (tuned)", "gaussian_nb": "gaussian_nb"}
    assert json.loads((run / "settings.json").read_text())["params"] == params
    assert "svm (tuned)" in (run / "leaderboard.md").read_text()
    assert load_bundle(run / "svm" / "bundle").name == "svm"


def test_search_that_used_scored_tracks_is_refused(prepared: Prepared, searched: Path) -> None:
    with pytest.raises(
        SettingsError, match=r"was tuned on \d+ of the \d+ tracks that this split scores: tune and train"
    ):
        params_of(str(searched), task=make_task(prepared, TrainSettings(split="random")))


def test_search_of_other_data_has_an_error_of_its_own(prepared: Prepared, searched: Path) -> None:
    tracks = tuple(f"{t}\told" for t in ("a", "b"))
    task = make_task(prepared, TrainSettings(split="random"))
    file = next(searched.rglob("tracks.txt"))
    held = file.read_text()
    try:
        file.write_text(held + "".join(f"{t}\n" for t in tracks))
        with pytest.raises(SettingsError, match=r"the prepared folder lacks 2 of its \d+ tracks: tune again"):
            params_of(str(searched), task=task)
    finally:
        file.write_text(held)


def test_missing_or_damaged_search_is_refused(searched: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="contains no search: give the --out of"):
        params_of(str(tmp_path))
    home = tmp_path / "tune" / "svm"
    home.mkdir(parents=True)
    for content in ("{", "{}", '{"model": "svm", "best": null}'):
        (home / "trials.json").write_text(content)
        with pytest.raises(SettingsError, match="is damaged"):
            params_of(str(tmp_path))
    about = json.loads((searched / "tune/svm/trials.json").read_text())
    about["best"] = {**about["best"], "params": {"C": "rm -rf"}}
    (home / "trials.json").write_text(json.dumps(about))
    with pytest.raises(SettingsError, match="C of svm must be a number"):
        params_of(str(tmp_path))
