from __future__ import annotations

import json
import re
import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from genrelab.core.config import (
    EMBEDDING_CLIPS,
    EmbeddingView,
    FramesView,
    PrepareSettings,
    SamplesView,
    StatisticsView,
    TrainSettings,
    View,
)
from genrelab.core.errors import MissingRequirementError, ModelError, PreparedError, SettingsError, SplitError
from genrelab.core.hyperparameters import KEPT_BETTER
from genrelab.core.storage import Folder
from genrelab.datasets import folder
from genrelab.datasets.base import DatasetOptions
from genrelab.datasets.demo import MARKER_FILE
from genrelab.export import export
from genrelab.models.classical import GaussianNB
from genrelab.prepare.pipeline import prepare
from genrelab.records.prepared import Prepared, open_prepared, read_parquet
from genrelab.records.task import make_task
from genrelab.runs.run_folder import TrainingInterrupted
from genrelab.runs.train import check_settings, train
from genrelab.studies import doubts, robustness
from genrelab.training import tensorboard
from tests.support.changed_tables import accept_features

SETTINGS = TrainSettings(models=("majority", "gaussian_nb"), split="random")


@pytest.fixture
def prepared(music: Path, tmp_path: Path) -> Prepared:
    settings = PrepareSettings(views=(StatisticsView(),))
    return prepare(folder.load(music, DatasetOptions()), tmp_path / "prepared", settings, jobs=1)


def test_run_holds_the_documented_files(prepared: Prepared, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(prepared, Folder(run), SETTINGS)
    split = read_parquet(Folder(run), "split.parquet").to_pydict()
    assert split["track_id"] == prepared.tracks["track_id"]
    assert set(split["part"]) == {"training", "validation", "test", "excluded"}
    assert split["part"][split["track_id"].index("beat/broken.mp3")] == "excluded"
    predictions = read_parquet(Folder(run), "gaussian_nb/predictions.parquet").to_pydict()
    assert list(predictions) == ["track_id", "part", "truth", "p_ambient", "p_beat", "p_choir"]
    assert len(predictions["track_id"]) == 27
    metrics_json = json.loads((run / "gaussian_nb" / "metrics.json").read_text())
    best = [max(prepared.genres, key=lambda g, i=i: predictions[f"p_{g}"][i]) for i in range(27)]
    for name in ("training", "validation"):  # of a split with test tracks: what was fitted on, what chose
        hits = [b == t for b, t, p in zip(best, predictions["truth"], predictions["part"], strict=True) if p == name]
        assert (metrics_json[name]["n"], metrics_json[name]["accuracy"]) == (len(hits), np.mean(hits))
    total = np.sum([predictions[f"p_{g}"] for g in prepared.genres], axis=0)
    np.testing.assert_allclose(total, 1, atol=1e-9)
    about = json.loads((run / "run.json").read_text())
    assert about["split"]["policy"] == "random" and about["seed"] == 42
    assert about["split"]["digest"] and about["dataset"]["fingerprint"] == prepared.about["fingerprint"]
    for name in ("leaderboard.csv", "leaderboard.md", "leaderboard.json", "report.html", "gaussian_nb/metrics.json"):
        assert (run / name).stat().st_size > 0
    card = (run / "gaussian_nb" / "bundle" / "README.md").read_text()
    assert "accuracy" in card and "ambient" in card and "Not tested on" in card


def test_run_json_marks_synthesised_tracks(prepared: Prepared, music: Path, tmp_path: Path) -> None:
    def is_marked(name: str) -> object:
        train(prepared, Folder(tmp_path / name), replace(SETTINGS, models=("majority",)))
        return json.loads((tmp_path / name / "run.json").read_text())["dataset"]["synthesised"]

    assert is_marked("real") is False
    (music / MARKER_FILE).write_text("")
    assert is_marked("synthetic") is True
    assert "the tracks are synthetic" in (tmp_path / "synthetic" / "leaderboard.md").read_text()


def test_the_same_seed_gives_the_same_numbers(prepared: Prepared, tmp_path: Path) -> None:
    boards = [train(prepared, Folder(tmp_path / name), SETTINGS) for name in ("a", "b")]
    kept = [[replace(r, train_s=0.0, predict_ms=0.0) for r in board.rows] for board in boards]
    assert kept[0] == kept[1]
    assert boards[0].split_digest == boards[1].split_digest
    other = train(prepared, Folder(tmp_path / "c"), replace(SETTINGS, seed=1))
    assert other.split_digest != boards[0].split_digest


def test_failing_study_does_not_stop_the_others(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise SplitError("label doubts: too few artists")

    studied: list[str] = []
    monkeypatch.setattr(doubts, "study", refuse)
    monkeypatch.setattr(robustness, "study", lambda *_, **__: studied.append("robustness"))
    run = tmp_path / "run"
    with pytest.raises(SplitError, match="too few artists"):
        train(prepared, Folder(run), SETTINGS, studies=("honesty", "doubts", "robustness"))
    assert studied == ["robustness"]
    page = (run / "report.html").read_text()
    assert json.loads((run / "honesty.json").read_text())["sentences"][0][:40] in page


def test_resume_keeps_finished_models_and_trains_the_rest(prepared: Prepared, tmp_path: Path) -> None:
    run = Folder(tmp_path / "run")
    train(prepared, run, SETTINGS)
    finished = (tmp_path / "run" / "majority" / "metrics.json").stat().st_mtime_ns
    (tmp_path / "run" / "gaussian_nb" / "metrics.json").unlink()  # as a kill leaves it
    (tmp_path / "run" / "run.json").unlink()
    with pytest.raises(PreparedError, match=r"contains an unfinished run: continue it with --resume"):
        train(prepared, run, SETTINGS)
    messages: list[str] = []
    board = train(prepared, run, SETTINGS, resume=True, notify=messages.append)
    assert {r.folder for r in board.rows} == {"majority", "gaussian_nb"}
    assert "majority: finished in an earlier run, kept" in messages
    assert (tmp_path / "run" / "majority" / "metrics.json").stat().st_mtime_ns == finished
    with pytest.raises(PreparedError, match="seed was 42, now 1"):
        train(prepared, run, replace(SETTINGS, seed=1), resume=True)


def test_notes_shared_by_every_model_are_reported_once(prepared: Prepared, tmp_path: Path) -> None:
    messages: list[str] = []
    settings = replace(SETTINGS, models=("gaussian_nb", "knn"))
    board = train(prepared, Folder(tmp_path / "run"), settings, notify=messages.append)
    few = [note for note in board.rows[0].notes if note.startswith("not calibrated: ")]
    assert few and all(few[0] in row.notes for row in board.rows)
    assert sum(few[0] in words for words in messages) == 1
    assert sum(few[0] in line for line in board.lines) == 1


def test_article_preset_is_described(prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it does unlike the article is a detail of the output; TensorBoard gets the settings that had an effect."""
    written: dict[str, dict[str, object]] = {}
    monkeypatch.setattr(tensorboard, "write", lambda _, *, hparams, **__: written.update({hparams["model"]: hparams}))
    monkeypatch.setattr(GaussianNB, "needs_validation", True)  # as of a network
    said: list[str] = []
    train(prepared, Folder(tmp_path / "run"), replace(SETTINGS, preset="article", epochs=7), notify=said.append)
    assert [said.count(f"  unlike the article: {sentence}") for sentence in KEPT_BETTER] == [1] * len(KEPT_BETTER)
    article = {"preset": "article", "class_weight": "none", "epochs": 7, "early_stopping": False}
    assert article.items() <= written["gaussian_nb"].items()
    assert not {"epochs", "early_stopping"} & written["majority"].keys()
    said.clear()
    train(prepared, Folder(tmp_path / "usual"), SETTINGS, notify=said.append)
    assert not any("unlike the article" in sentence for sentence in said)
    assert written["gaussian_nb"]["class_weight"] == "auto" and written["gaussian_nb"]["early_stopping"] is True


def test_resume_refuses_a_relabelled_preparation(prepared: Prepared, music: Path, tmp_path: Path) -> None:
    run = Folder(tmp_path / "run")
    train(prepared, run, SETTINGS)
    run.remove("run.json")
    artists = tmp_path / "artists.csv"
    artists.write_text("id,artist\n" + "".join(f"{t},Artist {i // 3}\n" for i, t in enumerate(_ids(prepared))))
    dataset = folder.load(music, DatasetOptions(artists=artists))
    again = prepare(dataset, tmp_path / "prepared", PrepareSettings(views=(StatisticsView(),)), jobs=1)
    assert again.about["fingerprint"] == prepared.about["fingerprint"] and again.tracks["artist"][0] == "Artist 0"
    with pytest.raises(PreparedError, match="other genres, artists or splits"):
        train(again, run, SETTINGS, resume=True)
    assert run.exists("majority/metrics.json")
    train(again, run, SETTINGS, overwrite=True)


def _ids(prepared: Prepared) -> list[str]:
    return list(prepared.tracks["track_id"])


def test_task_key_depends_on_genre_artist_and_role_of_every_track(prepared: Prepared) -> None:
    task = make_task(prepared, SETTINGS)
    assert task.key == make_task(prepared, SETTINGS).key
    for name, changed in {"artist": ["Someone"], "genre": ["choir"], "track_id": ["x"]}.items():
        tracks = {**prepared.tracks, name: changed + prepared.tracks[name][1:]}
        assert replace(task, prepared=replace(prepared, tracks=tracks)).key != task.key
    roles = ("none", *task.split.roles[1:])
    assert replace(task, split=replace(task.split, roles=roles)).key != task.key


def test_resume_and_overwrite_together_are_refused(prepared: Prepared, tmp_path: Path) -> None:
    run = Folder(tmp_path / "run")
    train(prepared, run, SETTINGS)
    with pytest.raises(SettingsError, match="--resume and --overwrite cannot be used together"):
        train(prepared, run, replace(SETTINGS, seed=2), resume=True, overwrite=True)
    assert run.exists("run.json")


def test_interrupt_distinguishes_whether_the_run_had_started(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Folder(tmp_path / "run")
    train(prepared, run, SETTINGS)

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("genrelab.runs.train.make_task", interrupt)
    with pytest.raises(KeyboardInterrupt) as caught:
        train(prepared, run, SETTINGS, overwrite=True)
    assert not isinstance(caught.value, TrainingInterrupted) and run.exists("run.json")
    monkeypatch.undo()
    monkeypatch.setattr("genrelab.export.export.write_model_bundle", interrupt)
    with pytest.raises(TrainingInterrupted):
        train(prepared, run, SETTINGS, overwrite=True)
    assert not run.exists("run.json")
    monkeypatch.undo()
    assert len(train(prepared, run, SETTINGS, resume=True).rows) == 2


@pytest.mark.parametrize("content", ['{"editor.fontSize": 12}', '{"fingerprint": ', "[]"])
def test_foreign_settings_json_is_not_taken_for_a_run(prepared: Prepared, tmp_path: Path, content: str) -> None:
    (tmp_path / "run" / "svm").mkdir(parents=True)
    (tmp_path / "run" / "settings.json").write_text(content)
    for how in ({"overwrite": True}, {"resume": True}, {}):
        with pytest.raises(PreparedError, match=r"settings\.json is damaged, or not from genrelab"):
            train(prepared, Folder(tmp_path / "run"), SETTINGS, **how)
    assert (tmp_path / "run" / "svm").exists() and (tmp_path / "run" / "settings.json").read_text() == content


def test_settings_that_would_fail_later_are_refused_early() -> None:
    def refused(views: list[View], **settings: object) -> str:
        with pytest.raises((ModelError, SettingsError)) as caught:
            check_settings(TrainSettings(**settings), {v.name: v for v in views})  # type: ignore[arg-type]
        return str(caught.value)

    both: list[View] = [StatisticsView(), FramesView()]
    assert "90,370 columns, more than the limit of 5,000: add --pca" in refused(both, view="frames", models=("knn",))
    assert "add --pca" in refused(both, view="frames")
    assert "--pca must be a share of the variance" in refused(both, models=("knn",), pca=2.5)
    assert "no such file" in refused(both, models=("mobilenet_v2",), imagenet_weights="/typo.h5")
    assert "raw_cnn reads the view samples" in refused(both, models=("majority", "raw_cnn"))
    assert "--view frames is not prepared: use one of statistics" in refused([StatisticsView()], view="frames", pca=0.9)
    check_settings(TrainSettings(view="frames", pca=0.9), {v.name: v for v in both})
    check_settings(TrainSettings(view="frames", models=("raw_cnn",)), {v.name: v for v in [*both, SamplesView()]})


def test_majority_model_works_with_any_view(music: Path, tmp_path: Path) -> None:
    settings = PrepareSettings(views=(SamplesView(n_samples=500),))
    prepared = prepare(folder.load(music, DatasetOptions()), tmp_path / "prepared", settings, jobs=1)
    board = train(prepared, Folder(tmp_path / "run"), replace(SETTINGS, models=("majority",)))
    assert [r.view for r in board.rows] == ["samples"]


def test_clip_length_is_that_of_the_longest_training_track(prepared: Prepared) -> None:
    task = make_task(prepared, SETTINGS)
    training = task.split.parts.index("training")
    tested = task.split.parts.index("test")
    failed = prepared.tracks["status"].index("failed")
    lengths = list(prepared.tracks["duration_s"])
    lengths[training], lengths[tested], lengths[failed] = 2.0, 9.0, 30.0
    other = replace(prepared, tracks={**prepared.tracks, "duration_s": lengths})
    task = replace(task, prepared=other)
    clips = export.clip_settings(task, StatisticsView())
    assert clips.clip_s == 2.0 and clips.tolerance > 0  # a test track that is a little longer stays whole
    assert export.clip_settings(task, EmbeddingView()) == EMBEDDING_CLIPS  # windows of the networks' own length


def test_a_training_leaves_nothing_in_the_temporary_folder(
    music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    settings = PrepareSettings(views=(SamplesView(n_samples=500),))
    remote = prepare(folder.load(music, DatasetOptions()), f"memory://{uuid.uuid4().hex}/prepared", settings, jobs=1)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    train(remote, Folder(f"memory://{uuid.uuid4().hex}/run"), replace(SETTINGS, models=("majority",)))
    assert list((tmp_path / "tmp").iterdir()) == []


def test_folder_with_other_files_is_not_touched(prepared: Prepared, tmp_path: Path) -> None:
    (tmp_path / "run" / "svm").mkdir(parents=True)
    (tmp_path / "run" / "svm" / "thesis.txt").write_text("precious")
    with pytest.raises(PreparedError, match="contains svm, which is not from genrelab"):
        train(prepared, Folder(tmp_path / "run"), SETTINGS, overwrite=True)
    assert (tmp_path / "run" / "svm" / "thesis.txt").read_text() == "precious"


def test_run_can_be_written_to_a_remote_address(prepared: Prepared) -> None:
    run = Folder(f"memory://{uuid.uuid4().hex}/run")
    board = train(prepared, run, SETTINGS)
    assert run.read_json("gaussian_nb/metrics.json")["scores"]["accuracy"] == pytest.approx(
        board.rows[0].accuracy, abs=1e-6
    )
    assert run.exists("gaussian_nb/bundle/model.onnx") and run.exists("report.html")


def test_unavailable_models_are_listed_and_an_error_only_if_named(prepared: Prepared, tmp_path: Path) -> None:
    settings = replace(SETTINGS, models=())
    messages: list[str] = []
    board = train(prepared, Folder(tmp_path / "all"), settings, notify=messages.append)
    reasons = {m["model"]: m["reason"] for m in board.not_run}
    assert reasons.keys() == {"musicnn", "raw_cnn", "mobilenet_v2"}
    assert "reads the view samples" in reasons["raw_cnn"]
    assert "reads the view embedding, but the prepared folder has only statistics: prepare with" in reasons["musicnn"]
    for name in ("leaderboard.md", "report.html"):
        assert {"raw_cnn", "musicnn"} <= set(
            re.findall(r"\w+", (tmp_path / "all" / name).read_text().replace("\\", ""))
        )
    assert not (tmp_path / "all" / "raw_cnn").exists()
    with pytest.raises(MissingRequirementError, match=r"--views statistics,samples"):
        train(prepared, Folder(tmp_path / "named"), replace(settings, models=("raw_cnn",)))


def test_test_rows_do_not_influence_the_training(prepared: Prepared, tmp_path: Path) -> None:
    """Changing the test rows' features changes no other track's probabilities."""
    import pyarrow.parquet as pq

    train(prepared, Folder(tmp_path / "a"), SETTINGS)
    before = read_parquet(Folder(tmp_path / "a"), "gaussian_nb/predictions.parquet").to_pandas()
    table = pq.read_table(tmp_path / "prepared" / "features.parquet").to_pandas()
    tested = set(before.loc[before["part"] == "test", "track_id"])
    rows = table["track_id"].isin(tested)
    table.loc[rows, table.columns[2:]] *= 3.0
    table.to_parquet(tmp_path / "prepared" / "features.parquet", index=False)
    accept_features(tmp_path / "prepared")
    train(open_prepared(tmp_path / "prepared"), Folder(tmp_path / "b"), SETTINGS)
    after = read_parquet(Folder(tmp_path / "b"), "gaussian_nb/predictions.parquet").to_pandas()
    others = before["part"] != "test"
    columns = [c for c in before.columns if c.startswith("p_")]
    np.testing.assert_array_equal(before.loc[others, columns], after.loc[others, columns])
    assert not np.array_equal(before.loc[~others, columns], after.loc[~others, columns])
