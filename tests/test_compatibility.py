"""What version 0.2.0 left on a disk is read, gone on with and taken back by the genrelab of today."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from genrelab.bundle.bundle import load_bundle as load_plain_bundle
from genrelab.core.config import PrepareSettings, SamplesView, StatisticsView, TrainSettings
from genrelab.core.storage import Folder
from genrelab.datasets.registry import load_dataset
from genrelab.models import registry
from genrelab.predict import batch, cache
from genrelab.predict.classifier import load_bundle
from genrelab.prepare.pipeline import prepare
from genrelab.records.prepared import open_prepared, read_parquet
from genrelab.runs.train import train
from genrelab.tagging.untag import untag
from tests.support.command import call
from tests.support.paths import PROJECT

FIXTURE = PROJECT / "tests" / "fixtures" / "version_0_2_0"
MADE_IN = "/home/user"
SETTINGS = TrainSettings(
    models=("majority", "svm", "raw_cnn"), split="artist", seed=1, epochs=4, params={"raw_cnn": {"dense": 8}}
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """All that 0.2.0 made, as if it had been made here."""
    home = tmp_path / "home"
    shutil.copytree(FIXTURE, home)
    for name in ("prepared/dataset.json", "run/run.json"):
        text = (home / name).read_text()
        assert MADE_IN in text
        (home / name).write_text(text.replace(MADE_IN, str(home)))
    return home


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_of_a_preparation_only_the_tables_are_written_again(home: Path) -> None:
    """They have two columns more since; then all is up to date."""
    before = contents(home / "prepared")
    settings = PrepareSettings(views=(StatisticsView(), SamplesView(n_samples=600)))
    for said in ("only the tables are written again", "is up to date: 22 tracks"):
        sentences: list[str] = []
        prepared = prepare(load_dataset(home / "music"), home / "prepared", settings, jobs=1, notify=sentences.append)
        assert any(said in sentence for sentence in sentences)
    changed = {name for name, content in contents(home / "prepared").items() if content != before.get(name)}
    assert changed <= {"tracks.parquet", "dataset.json", "audit.json", "failures.csv"}
    assert prepared.tracks["artist_credit"] == prepared.tracks["artist"]


def test_preparation_without_newer_columns_is_read(home: Path) -> None:
    prepared = open_prepared(str(home / "prepared"))
    assert set(prepared.tracks["artist_credit"]) == set(prepared.tracks["recording"]) == {None}
    assert set(prepared.recordings()) == {None}


def test_preparation_is_completed_from_what_is_there(home: Path) -> None:
    """One track more: all others are taken over, byte for byte."""
    before = contents(home / "prepared")
    shutil.copy(home / "music/beat/0.flac", home / "music/beat/7.flac")
    settings = PrepareSettings(views=(StatisticsView(), SamplesView(n_samples=600)))
    sentences: list[str] = []
    prepare(load_dataset(home / "music"), home / "prepared", settings, jobs=1, notify=sentences.append)
    assert any("21 of 23 tracks" in sentence for sentence in sentences)
    prepared = open_prepared(str(home / "prepared"))
    assert sum(prepared.usable) == 22
    old = before["samples/00000-of-00001-0021.tfrecord"]  # all tracks; today two shards share out each genre
    new = [(home / "prepared" / shard).read_bytes() for shard in prepared.shards("samples")]
    length = len(old) // 21
    assert [len(content) // length for content in new] == [11, 11]
    found = {content[i : i + length] for content in new for i in range(0, len(content), length)}
    assert len(found) == 22
    assert {old[i : i + length] for i in range(0, len(old) // 3, length)} < found  # the first genre, `ambient`


def test_preparation_without_a_new_view_is_trained_on(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its models are listed as not run, with the way to them."""
    chosen = ("majority", "knn", "musicnn")
    monkeypatch.setattr(registry, "_CLASS_PATHS", {name: registry._CLASS_PATHS[name] for name in chosen})
    board = train(open_prepared(str(home / "prepared")), Folder(home / "new"), replace(SETTINGS, models=(), params={}))
    assert [(row.folder, row.view) for row in board.rows] == [("knn", "statistics"), ("majority", "statistics")]
    (left_out,) = board.not_run
    assert left_out["model"] == "musicnn" and "--views samples,statistics,embedding" in left_out["reason"]
    assert "reads the view embedding" in (home / "new/report.html").read_text()


@pytest.mark.parametrize("model", ["majority", "svm", "raw_cnn"])
def test_bundles_answer_as_they_did(home: Path, model: str) -> None:
    table = read_parquet(Folder(home / "run"), f"{model}/predictions.parquet").to_pydict()
    classifier = load_bundle(home / "run" / model / "bundle")
    genres = load_plain_bundle(home / "run" / model / "bundle").genres
    for i, track in enumerate(table["track_id"]):
        answer = classifier.predict(home / "music" / track)
        expected = [table[f"p_{genre}"][i] for genre in genres]
        assert [answer.probabilities[g] for g in genres] == pytest.approx(expected, abs=1e-5), track


def test_predict_prints_the_same_json(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one key more, which says why an answer is unknown."""
    monkeypatch.chdir(home)
    status, out, _ = call("predict", "library", "--model", "run/svm/bundle", "--json", "--fresh")
    assert status == 0
    for answer, before in zip(json.loads(out), json.loads(Path("predict.json").read_text()), strict=True):
        assert answer.keys() == before.keys() | {"unknown_because", "notes"} and answer["unknown_because"] is None
        assert answer["probabilities"] == pytest.approx(before["probabilities"], abs=1e-6)
        assert [answer[k] for k in ("path", "genre", "duration_s", "model", "error")] == [
            before[k] for k in ("path", "genre", "duration_s", "model", "error")
        ]


def test_cached_answers_are_set_aside_and_found_anew(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tables had no room for tags: one sentence says so, and the same answers are computed and kept again."""
    monkeypatch.setenv("GENRELAB_CACHE", str(home / "cache"))
    stored = (home / "cache/answers.sqlite").read_bytes()
    files, sentences = sorted((home / "library").glob("*.flac")), list[str]()
    bundle, before = load_bundle(home / "run/svm/bundle"), json.loads((home / "predict.json").read_text())
    for _ in range(2):
        with cache.open_cache(sentences.append) as answers:
            found = list(batch.predict_files(bundle, files, cache=answers, jobs=1))
        for answer, old in zip(found, before, strict=True):
            assert answer.probabilities == pytest.approx(old["probabilities"], abs=1e-6)
        monkeypatch.setattr(batch, "predict_file", lambda *_: pytest.fail("decoded again"))
    assert len(sentences) == 1 and "(tables 2, not" in sentences[0]
    assert (home / "cache/answers-aside.sqlite").read_bytes() == stored


def test_tags_are_taken_back(home: Path) -> None:
    (journal,) = (home / "library/.genrelab").glob("tags-*.jsonl")
    results: list[object] = []
    untag(journal, results.append)
    assert len(results) == 3
    for genre in ("ambient", "beat", "choir"):
        restored, original = home / "library" / f"{genre}.flac", home / "music" / genre / "0.flac"
        assert restored.read_bytes() == original.read_bytes()


def test_report_is_written_again(home: Path) -> None:
    before = contents(home / "run")
    status, _, err = call("report", home / "run")
    assert status == 0, err
    rows = (home / "run/leaderboard.csv").read_text().splitlines()
    assert sorted(rows) == sorted(before["leaderboard.csv"].decode().splitlines()), "4 tracks are not ranked any more"
    new, old = json.loads((home / "run/leaderboard.json").read_text()), json.loads(before["leaderboard.json"])
    assert old.keys() <= new.keys()
    worded = {"winner", "cautions", "verdict", "to_use", "comparisons", "rows"}
    assert {k: new[k] for k in old.keys() - worded} == {k: old[k] for k in old.keys() - worded}
    assert sorted(new["rows"], key=str) == sorted(old["rows"], key=str)
    assert [c.keys() for c in new["comparisons"]] == [c.keys() for c in old["comparisons"]]
    assert (home / "run/report.html").stat().st_size > 500_000


@pytest.mark.slow
@pytest.mark.parametrize("model", ["svm", "raw_cnn"])
def test_all_forms_of_a_trained_model_agree(home: Path, monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    monkeypatch.chdir(home)
    files = ("music/ambient/0.flac", "music/beat/1.flac", "music/choir/2.flac")
    status, out, err = call("export", f"run/{model}", "--check", *files, "--json")
    assert status == 0, err
    found, before = json.loads(out), json.loads(Path("export_check.json").read_text())
    assert found["ok"]
    if model == "raw_cnn":
        assert [row["path"] for row in found["paths"]] == [row["path"] for row in before["paths"]]


@pytest.mark.slow
def test_interrupted_training_is_resumed(home: Path) -> None:
    """It ends as the one that was not interrupted, and trains no epoch again."""
    sentences: list[str] = []
    prepared = open_prepared(str(home / "prepared"))
    train(prepared, Folder(home / "run-interrupted"), SETTINGS, resume=True, notify=sentences.append)
    assert {"majority: finished in an earlier run, kept", "svm: finished in an earlier run, kept"} <= set(sentences)
    history = [(home / run / "raw_cnn/history.csv").read_text().splitlines() for run in ("run", "run-interrupted")]
    assert history[0][:3] == history[1][:3] and len(history[1]) == 5
    tables = [
        read_parquet(Folder(home / run), "raw_cnn/predictions.parquet").to_pydict()
        for run in ("run", "run-interrupted")
    ]
    for genre in ("ambient", "beat", "choir"):
        assert tables[1][f"p_{genre}"] == pytest.approx(tables[0][f"p_{genre}"], abs=1e-4)
