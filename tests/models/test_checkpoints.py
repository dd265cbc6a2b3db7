from __future__ import annotations

import math
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from genrelab.core.config import TrainSettings
from genrelab.models import checkpoints as journal_module
from genrelab.models.checkpoints import Checkpoints, StopRule, drop_state, guess_losses, read_history

pytestmark = pytest.mark.slow  # TensorFlow writes the scalars


def row(val_loss: float, loss: float = 1.0) -> dict[str, float]:
    return {"loss": loss, "accuracy": 0.5, "val_loss": val_loss, "val_accuracy": 0.25}


def journal_of(folder: Path, *val_losses: float, key: str = "k", stage: str = "fit", earlier: int = 0) -> Checkpoints:
    journal = Checkpoints(folder, stage=stage, key=key, earlier=earlier)
    assert journal.start(resume=False) is None
    for i, val_loss in enumerate(val_losses):
        journal.add(row(val_loss), [np.array([i, 1.5]), np.array(i)], [np.array([float(i)])])
    journal.close()
    return journal


def test_history_best_and_stop_follow_from_the_rows(tmp_path: Path) -> None:
    journal = journal_of(tmp_path, 3.0, 1.0, 2.0, 1.5)
    assert journal.best == 1
    assert journal.best_weights()[0] == [1.0]
    assert not journal.should_stop(patience=3)
    assert journal.should_stop(patience=2)
    lines = (tmp_path / "history.csv").read_text().splitlines()
    assert lines[0] == "epoch,loss,accuracy,val_loss,val_accuracy"
    assert lines[2] == "2,1.0,0.5,1.0,0.25"
    assert len(lines) == 5


def test_only_the_last_state_and_the_best_weights_are_kept(tmp_path: Path) -> None:
    journal_of(tmp_path, 3.0, 1.0, 2.0)
    assert sorted(p.name for p in (tmp_path / "checkpoint").iterdir()) == ["fit-best-0002.npz", "fit.npz"]
    drop_state(tmp_path)  # the model is whole: nothing will go on from here
    assert [p.name for p in (tmp_path / "checkpoint").iterdir()] == ["fit-best-0002.npz"]


def test_training_resumes_from_the_last_state(tmp_path: Path) -> None:
    journal_of(tmp_path, 3.0, 1.0, 2.0)
    again = Checkpoints(tmp_path, stage="fit", key="k")
    values = again.start(resume=True)
    assert values is not None
    np.testing.assert_array_equal(values[0], [2, 1.5])
    assert values[1] == 2
    assert (len(again.rows), again.best) == (3, 1)
    assert again.best_weights()[0] == [1.0]
    again.add(row(0.5), [np.array(0)], [np.array([9.0])])
    assert [r["epoch"] for r in read_history(tmp_path)] == [1, 2, 3, 4]


@pytest.mark.parametrize("change", ["other key", "no resume", "no history", "no checkpoint"])
def test_training_starts_over_if_nothing_can_be_resumed(tmp_path: Path, change: str) -> None:
    journal_of(tmp_path, 3.0, 1.0)
    if change == "no history":
        (tmp_path / "history.csv").unlink()
    if change == "no checkpoint":
        (tmp_path / "checkpoint/fit.npz").unlink()
    again = Checkpoints(tmp_path, stage="fit", key="other" if change == "other key" else "k")
    assert again.start(resume=change != "no resume") is None
    assert again.rows == []
    assert read_history(tmp_path) == []
    assert not list((tmp_path / "checkpoint").iterdir())


def test_epoch_without_a_checkpoint_is_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = journal_of(tmp_path, 3.0, 1.0)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(journal, "_write_scalars", killed)  # it comes between history.csv and the checkpoint
    with pytest.raises(KeyboardInterrupt):
        journal.add(row(0.5), [np.array(9)], [np.array([9.0])])
    assert len(read_history(tmp_path)) == 3
    again = Checkpoints(tmp_path, stage="fit", key="k")
    assert again.start(resume=True) is not None
    assert len(again.rows) == 2
    assert again.best_weights()[0] == [1.0]


def test_second_stage_continues_the_epochs_and_keeps_the_first(tmp_path: Path) -> None:
    journal_of(tmp_path, 3.0, 1.0, stage="head")
    second = journal_of(tmp_path, 0.5, stage="fine_tune", earlier=2)
    assert second.best_weights()[0] == [0.0]
    assert [r["epoch"] for r in read_history(tmp_path)] == [1, 2, 3]
    first = Checkpoints(tmp_path, stage="head", key="k")
    assert first.start(resume=True) is not None
    assert len(first.rows) == 2
    second = Checkpoints(tmp_path, stage="fine_tune", key="k", earlier=2)
    assert second.start(resume=True) is not None
    assert len(second.rows) == 1


def test_without_validation_cells_stay_empty_and_nothing_is_best(tmp_path: Path) -> None:
    journal = journal_of(tmp_path, math.nan, math.nan)
    assert journal.best is None
    assert not journal.should_stop(patience=1)
    assert (tmp_path / "history.csv").read_text().splitlines()[1] == "1,1.0,0.5,,0.25"
    assert math.isnan(read_history(tmp_path)[0]["val_loss"])


def test_nan_loss_ends_the_training(tmp_path: Path) -> None:
    journal = journal_of(tmp_path, 1.0)
    journal.add(row(math.nan, loss=math.nan), [], [])
    assert journal.should_stop(patience=5)
    assert journal.best == 0


def test_tensorboard_can_read_the_scalars(tmp_path: Path) -> None:
    import tensorflow as tf

    journal_of(tmp_path, 3.0, 1.0)
    found = {}
    for file in (tmp_path / "tensorboard").rglob("events*"):
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                assert value.metadata.plugin_data.plugin_name == "scalars"
                found[file.parent.name, value.tag, event.step] = float(tf.make_ndarray(value.tensor))
    assert found["validation", "epoch_loss", 2] == 1.0
    assert found["train", "epoch_accuracy", 1] == 0.5
    assert len(found) == 8


def test_expensive_state_is_saved_rarely_and_a_kill_loses_only_epochs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, save = 0.0, journal_module._save_arrays

    def save_for_a_second(file: Path, arrays: dict[str, Any]) -> None:
        nonlocal now
        now += 1.0
        save(file, arrays)

    monkeypatch.setattr(journal_module, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(journal_module, "_save_arrays", save_for_a_second)
    journal = Checkpoints(tmp_path, stage="fit", key="k")
    journal.start(resume=False)
    saved = list[bool]()
    for i, val_loss in enumerate((3.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0)):
        before, now = now, now + 4.0
        journal.add(row(val_loss), [np.array([i, 1.5])], [np.array([float(i)])])
        saved.append(now > before + 4.0)
        if i == 2:
            shutil.copytree(tmp_path, tmp_path / "killed")

    assert saved == [True, *[False] * 4, True, False], "two files, 2 s: 20 s of epochs lie between two savings"
    killed = Checkpoints(tmp_path / "killed", stage="fit", key="k")
    values = killed.start(resume=True)
    assert values is not None and values[0][0] == 0
    assert (len(killed.rows), killed.best, killed.best_weights()) == (1, 0, [[0.0]])

    journal.close()  # as at Ctrl-C
    again = Checkpoints(tmp_path, stage="fit", key="k")
    values = again.start(resume=True)
    assert values is not None and values[0][0] == 6
    assert (len(again.rows), again.best, again.best_weights()) == (7, 1, [[1.0]])


LOG_3 = float(np.log(3))


def epochs_with(loss: float, val_loss: float, n: int = 10) -> list[Any]:
    """One epoch with these losses among others that are higher."""
    return [{"loss": 2.0, "val_loss": 2.0}] * (n - 2) + [
        {"loss": loss, "val_loss": val_loss},
        {"loss": 3, "val_loss": 3},
    ]


@pytest.mark.parametrize(
    ("rows", "steps", "more", "stops"),
    [
        (epochs_with(LOG_3, LOG_3), 10, {}, True),
        (epochs_with(0.996 * LOG_3, 0.996 * LOG_3), 10, {}, True),
        (epochs_with(0.99 * LOG_3, 2.0), 10, {}, False),
        (epochs_with(2.0, 0.99 * LOG_3), 10, {}, False),
        (epochs_with(LOG_3, LOG_3, n=9), 10, {}, False),
        (epochs_with(LOG_3, LOG_3), 9, {}, False),
        (epochs_with(LOG_3, LOG_3, n=12), 9, {}, True),
        (epochs_with(LOG_3, LOG_3), 10, {"early_stopping": False}, False),
        (epochs_with(LOG_3, LOG_3), 10, {"preset": "article"}, False),
    ],
    ids=["guesses", "nearly", "training", "validation", "9 epochs", "90 steps", "108 steps", "asked", "article"],
)
def test_training_stops_if_neither_loss_is_below_that_of_guessing(
    rows: list[Any], steps: int, more: dict[str, Any], stops: bool
) -> None:
    assert StopRule(TrainSettings(**more), (LOG_3, LOG_3), steps).is_stuck(rows) is stops
    assert StopRule(TrainSettings(), None, steps).is_stuck(rows) is False


def test_guessing_uses_the_shares_of_the_genres_unless_they_are_weighted() -> None:
    fit, choose = np.array([0, 0, 0, 1]), np.array([0, 1])
    plain, balanced = (guess_losses(fit, choose, balanced=b) for b in (False, True))
    assert plain == pytest.approx((-0.75 * np.log(0.75) - 0.25 * np.log(0.25), -np.log(0.75 * 0.25) / 2))
    assert balanced == pytest.approx((np.log(2), np.log(2)))
