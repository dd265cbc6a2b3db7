"""`genrelab article` as a person uses it: on a table of features, continued, finished, refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from genrelab.core.errors import ModelError
from genrelab.models.classical import Knn
from genrelab.runs import article as runs
from tests.support.command import call
from tests.support.feature_tables import collection

MODELS = "majority,gaussian_nb,knn,raw_cnn"
OFFICIAL = ("training", "training", "training", "validation")


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of features in which artists matter, with an official split without test rows."""
    folder = tmp_path_factory.mktemp("features")
    collection(folder, n=480, per_artist=16, genre=0.5, artist=1.5, noise=0.3, splits=OFFICIAL)
    return folder / "features.csv"


def _article(features: Path, *words: object, models: str = MODELS) -> tuple[int, str, str]:
    return call("article", features, "--models", models, "--epochs", 3, *words)


@pytest.fixture(scope="module")
def finished(features: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A finished folder, and what the command printed; tests must not change it."""
    out = tmp_path_factory.mktemp("finished") / "out"
    code, printed, errors = _article(features, "--out", out)
    assert code == 0, errors
    return out, printed


def _result(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "article.json").read_text())
    return found


def test_the_table_shows_what_the_articles_split_adds(finished: tuple[Path, str]) -> None:
    out, printed = finished
    found = _result(out)
    assert found["split"] == "official" and found["scored"] == ["96 test tracks", "96 validation tracks"]
    knn = next(m for m in found["models"] if m["model"] == "knn")
    assert knn["stated_percent"] == "45" and knn["difference"]["low"] > 0
    assert "the article's split makes it look better" in knn["sentence"]
    assert found["sentence"] in " ".join(printed.split()) and "report.html" in printed
    differs = " ".join(found["differs"])
    assert "96 of 96 test tracks are by artists of its training set" in differs
    assert "0 of 96 validation tracks are by artists of its training set" in differs
    assert "there are no test tracks, so validation tracks are scored" in differs
    assert "8 columns of the table (gaussian_nb, knn)" in differs


def test_every_form_of_the_result_has_the_same_figures(finished: tuple[Path, str]) -> None:
    out, _ = finished
    found = _result(out)
    with (out / "article.csv").open(newline="") as f:
        rows = list(csv.DictReader(f))
    text, page = (out / "article.md").read_text(), (out / "report.html").read_text()
    for row, model in zip(rows, found["models"], strict=True):
        run = json.loads((out / "honest" / model["model"] / "metrics.json").read_text())["scores"]
        assert model["honest_split"]["accuracy"] == pytest.approx(run["accuracy"], abs=1e-6)
        assert float(row["honest_split"]) == model["honest_split"]["accuracy"]
        shown = f"{100 * run['accuracy']:.1f} ["
        assert shown in page and shown.replace("[", r"\[") in text


def test_models_that_cannot_be_trained_are_named_with_the_reason(finished: tuple[Path, str]) -> None:
    out, printed = finished
    reason = "raw_cnn reads the view samples, but the prepared folder has only table"
    assert f"Not trained:\n- {reason}" in printed
    assert [m["model"] for m in _result(out)["not_run"]] == ["raw_cnn"]
    for name in ("article.md", "report.html"):
        assert "the prepared folder has only table" in (out / name).read_text()


def test_a_finished_folder_is_printed_again(
    features: Path, finished: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, printed = finished
    monkeypatch.setattr(runs, "train", None)  # nothing is trained
    before = _result(out)
    code, again, errors = _article(features, "--out", out)
    assert code == 0 and again == printed and f"{out}/honest: finished before, kept" in errors
    code, again, _ = _article(features, "--out", out, "--json")
    assert json.loads(again) == _result(out) == before


def test_other_options_in_the_same_folder_are_refused_with_what_differs(
    features: Path, finished: tuple[Path, str]
) -> None:
    out, _ = finished
    before = (out / "article.json").read_bytes()
    code, _, errors = _article(features, "--out", out, "--seed", 7, "--label", "genre")
    assert code == 1 and "started with other options" in errors
    assert "--seed was 42, now 7" in errors and "--label was None, now 'genre'" in errors
    assert (out / "article.json").read_bytes() == before


class _Interrupted:
    """Fails with Ctrl-C at the n-th training of a model."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, model: type[Any], at: int) -> None:
        self.n = 0
        fit = model.fit

        def counted(model: Any, *args: Any) -> Any:
            self.n += 1
            if self.n == at:
                raise KeyboardInterrupt
            return fit(model, *args)

        monkeypatch.setattr(model, "fit", counted)


@pytest.mark.parametrize("at", [1, 2])  # in the first run, and in the second
def test_the_same_command_continues_after_an_interruption(
    at: int, features: Path, finished: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    _Interrupted(monkeypatch, Knn, at)
    code, printed, errors = _article(features, "--out", out)
    assert code == 130 and printed == "" and "continue with" in errors and "--resume" not in errors
    assert (out / "article" / "run.json").exists() == (at == 2)
    code, _, errors = _article(features, "--out", out)
    assert code == 0 and "gaussian_nb: finished in an earlier run, kept" in errors
    assert _result(out) == _result(finished[0])


def test_overwrite_replaces_results_but_never_mixes_them(features: Path, tmp_path: Path) -> None:
    data, out = tmp_path / "features.csv", tmp_path / "out"
    data.write_text(features.read_text())
    words: dict[str, Any] = {"models": "majority,gaussian_nb"}
    _article(data, "--out", out, **words)
    before = _result(out)
    data.write_text("".join(data.read_text().splitlines(keepends=True)[:-6]))
    code, _, errors = _article(data, "--out", out, **words)
    assert code == 1 and "started with other prepared tracks" in errors and "--overwrite" in errors
    assert _result(out) == before
    code, _, errors = _article(data, "--out", out, "--overwrite", "--seed", 7, **words)
    assert code == 0, errors
    assert _result(out)["models"] != before["models"] and "474 tracks" in _result(out)["differs"][0]


def test_overwrite_keeps_files_of_the_user_and_refuses_to_lose_decisions(features: Path, tmp_path: Path) -> None:
    out, words = tmp_path / "out", {"models": "majority,gaussian_nb"}
    _article(features, "--out", out, **words)
    (out / "honest" / "my notes.txt").write_text("keep")
    (out / "article" / "doubts.csv").write_text("track_id,decision\n1,accept\n")
    before = _result(out)
    code, _, errors = _article(features, "--out", out, "--overwrite", "--seed", 7, **words)
    assert code == 1 and "doubts.csv contains decisions" in errors and _result(out) == before
    (out / "article" / "doubts.csv").unlink()
    code, _, errors = _article(features, "--out", out, "--overwrite", "--seed", 7, **words)
    assert code == 0, errors
    assert (out / "honest" / "my notes.txt").read_text() == "keep" and _result(out) != before


def test_a_model_that_failed_is_not_trained_again(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[str] = []

    def fail(self: Knn, *_: object) -> Knn:
        fitted.append(self.name)
        raise ModelError("knn: all training rows are the same")

    monkeypatch.setattr(Knn, "fit", fail)
    for _ in range(2):
        code, printed, errors = _article(features, "--out", tmp_path / "out", models="gaussian_nb,knn")
        assert code == 0 and "knn: all training rows are the same" in " ".join(printed.split()), errors
    assert len(fitted) == 2, "once for each split"


@pytest.mark.parametrize("file", ["report.html", "run.json", "settings.json", "article.json"])
def test_a_folder_of_something_else_is_refused(file: str, features: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / file).write_text('{"models": []}')
    code, _, errors = _article(features, "--out", tmp_path / "out", "--overwrite")
    assert code == 1 and file in errors and "choose another --out" in errors
    assert [p.name for p in (tmp_path / "out").iterdir()] == [file]


def test_without_artists_the_table_says_that_the_honest_split_is_none(tmp_path: Path) -> None:
    collection(tmp_path / "data", n=120, artists=False)
    code, _, _ = _article(tmp_path / "data" / "features.csv", "--out", tmp_path / "out", models="gaussian_nb,majority")
    found = json.loads((tmp_path / "out" / "article.json").read_text())
    assert code == 0 and found["split"] == "random"
    assert "no more honest than the article's: give artists with --artists FILE" in " ".join(found["differs"])


def test_overwrite_loses_nothing_if_the_tracks_cannot_be_read(features: Path, tmp_path: Path) -> None:
    data, out = tmp_path / "features.csv", tmp_path / "out"
    data.write_text(features.read_text())
    _article(data, "--out", out, models="gaussian_nb")
    before = _result(out)
    data.unlink()
    code, _, errors = _article(data, "--out", out, "--overwrite", models="gaussian_nb")
    assert code == 1 and "does not exist" in errors and _result(out) == before


@pytest.mark.parametrize("models", ["majority", "svn", ","])
def test_models_that_make_no_table_are_refused(models: str, features: Path, tmp_path: Path) -> None:
    code, _, errors = _article(features, "--out", tmp_path / "out", models=models)
    assert code == 1 and ("knn" in errors) and not (tmp_path / "out").exists()


def test_a_weights_file_that_is_missing_is_refused_before_any_work(features: Path, tmp_path: Path) -> None:
    words = ("--out", tmp_path / "out", "--imagenet-weights", tmp_path / "none.h5")
    code, _, errors = _article(features, *words, models="mobilenet_v2")
    assert code == 1 and "no such file" in errors and not (tmp_path / "out").exists()


def test_the_articles_models_are_trained_by_default() -> None:
    assert {"logistic_regression", "knn", "gaussian_nb", "svm", "svm_poly", "mlp", "raw_cnn", "mobilenet_v2"} < set(
        runs.article_models()
    )
    assert runs.views_of(runs.article_models()) == ("statistics", "samples", "mel_image")


# === FMA and audio ===


def _fma_without_clips(folder: Path, rows: list[dict[str, str]]) -> None:
    """FMA's metadata with features.csv, as unpacked from fma_metadata.zip."""
    folder.mkdir(parents=True)
    header = [
        ["", "set", "set", "track", "artist"],
        ["", "subset", "split", "genre_top", "id"],
        ["track_id"] + [""] * 4,
    ]
    keys = ("track_id", "subset", "split", "genre", "artist")
    with (folder / "tracks.csv").open("w", newline="") as f:
        csv.writer(f).writerows([*header, *([row[k] for k in keys] for row in rows)])
    head = [["feature", "mfcc", "mfcc"], ["statistics", "mean", "mean"], ["number", "01", "02"], ["track_id", "", ""]]
    with (folder / "features.csv").open("w", newline="") as f:
        csv.writer(f).writerows([*head, *([row["track_id"], row["f0"], row["f1"]] for row in rows)])


def test_fmas_own_features_are_used_where_its_clips_are_missing(features: Path, tmp_path: Path) -> None:
    with features.open(newline="") as f:
        rows = [
            {**row, "track_id": str(2 + i), "subset": "small", "artist": str(1 + i // 6)}
            for i, row in enumerate(csv.DictReader(f))
        ]
    _fma_without_clips(tmp_path / "fma" / "fma_metadata", rows)
    code, printed, errors = _article(tmp_path / "fma", "--out", tmp_path / "out", models="gaussian_nb,knn,raw_cnn")
    assert code == 0, errors
    assert "no clip of fma-small is on this disk, so FMA's own features are used" in errors
    assert "2 columns of the table" in printed and "raw_cnn reads the view samples" in printed


def test_audio_is_decoded_once_for_both_splits(music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENRELAB_IMAGENET_WEIGHTS", str(tmp_path / "none.h5"))
    words = ("--out", tmp_path / "out", "--models", "gaussian_nb,mobilenet_v2", "--jobs", 1)
    code, printed, errors = call("article", music, *words)
    assert code == 0, errors
    about = json.loads((tmp_path / "out" / "prepared" / "dataset.json").read_text())
    assert sorted(about["settings"]["views"]) == ["mel_image", "statistics"]
    assert "- mobilenet_v2: GENRELAB_IMAGENET_WEIGHTS is" in printed
    boards = [json.loads((tmp_path / "out" / run / "leaderboard.json").read_text()) for run in ("article", "honest")]
    assert [b["split"] for b in boards] == ["article", "random"]
    assert (tmp_path / "out" / "article" / "report.html").is_file()
    code, _, errors = call("article", music, *words, "--fail-on-skipped")
    assert code == 1 and "1 track or audio file is not used" in errors, "the file that is no audio"


@pytest.mark.slow
def test_networks_are_trained_for_the_given_epochs(music: Path, tmp_path: Path) -> None:
    words = ("--out", tmp_path / "out", "--models", "raw_cnn", "--epochs", 1, "--jobs", 1)
    words += ("--view-option", "samples.n_samples=400")
    code, printed, errors = call("article", music, *words)
    assert code == 0, errors
    assert "raw_cnn trained for 1 epoch (the article's protocol is 100)" in printed
    assert "Epochs of raw_cnn: 1, not 100" in printed
    assert len((tmp_path / "out" / "honest" / "raw_cnn" / "history.csv").read_text().splitlines()) == 2
