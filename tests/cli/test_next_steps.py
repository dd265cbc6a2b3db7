"""The commands that are printed as the next step work as they are: real paths, quoted, local and remote."""

from __future__ import annotations

import shlex
from pathlib import Path

import fsspec
import pytest

from genrelab.cli import console
from genrelab.cli.options import SourceOptions
from genrelab.cli.output import tables
from genrelab.cli.run_options import FitOptions
from tests.support.command import call
from tests.support.tones import write_tone


def words_behind(text: str, label: str) -> list[str]:
    """The words of the command that follows a label, without the program's."""
    line = text.partition(label)[2].strip().splitlines()[0]
    words = shlex.split(line)
    return words[len(console.program_command()) :]


@pytest.mark.parametrize("place", ["my runs/first run", "./runs/", "memory://bucket/my run"])
def test_the_next_step_after_a_run_predicts(tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GENRELAB_CACHE", str(tmp_path / "cache"))
    for genre, hz in (("jazz", 200), ("rock", 900)):
        for i in range(30):
            write_tone(tmp_path / "my music" / genre / f"{i}.wav", hz=hz + 9 * i, seed=i)
    models = ("--models", "gaussian_nb", "--views", "statistics", "--split", "random", "--jobs", 1)
    status, out, err = call("run", "my music", "--out", place, *models)
    assert status == 0, err
    for label in ("Page:", "Leaderboard:", "Bundles:"):
        (shown,) = shlex.split(out.partition(label)[2].strip().splitlines()[0])
        store, path = fsspec.url_to_fs(shown)
        assert store.exists(path), shown
    words = words_behind(out, "Next:")
    song = words[1]
    assert words[0] == "predict" and Path(song).is_file() and "my music" in song
    status, out, err = call(*words)
    assert status == 0 and Path(song).name in out, err


def test_too_few_test_tracks_recommend_no_model(tmp_path: Path) -> None:
    for genre, hz in (("jazz", 200), ("rock", 900)):
        for i in range(6):
            write_tone(tmp_path / "music" / genre / f"{i}.wav", hz=hz + 9 * i, seed=i)
    models = ("--models", "gaussian_nb,knn", "--views", "statistics", "--split", "random", "--jobs", 1)
    status, out, err = call("run", tmp_path / "music", "--out", tmp_path / "run", *models)
    assert status == 0 and "Page:" in out and "Next:" not in out, err


def test_doubts_are_relabelled_with_the_real_paths(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run, prepared = f"{tmp_path}/my run/", "memory://bucket/prepared"
    tables.how_to_relabel(run, prepared)
    said = capsys.readouterr().out
    assert f"'{tmp_path}/my run/doubts.csv'" in said
    assert words_behind(said, "then") == ["relabel", prepared, run, "--out", f"{tmp_path}/my run-relabelled"]
    tables.how_to_relabel("memory://bucket/run", prepared)
    words = words_behind(capsys.readouterr().out, "then")
    assert words == ["relabel", prepared, "memory://bucket/run", "--out", "relabelled"], "a table is read from a disk"


def test_a_relabelled_table_is_run_or_copied_first(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = f"{tmp_path}/my labels"
    tables.relabelled(3, f"{out}/")
    said = capsys.readouterr().out
    assert said.startswith(f"3 tracks relabelled: '{out}/relabelled.csv'\n")
    assert words_behind(said, "Next:") == ["run", f"{out}/relabelled.csv", "--out", f"{out}/run"]
    tables.relabelled(3, "memory://bucket/labels")
    said = capsys.readouterr().out
    assert "Next: copy this table to this disk, then " in said
    assert words_behind(said, "then") == ["run", "relabelled.csv", "--out", "memory://bucket/labels/run"]


@pytest.mark.parametrize(("clear", "label"), [(True, "Next:"), (False, "To train with it anyway:\n")])
def test_parameters_of_a_study_are_trained_with(capsys: pytest.CaptureFixture[str], clear: bool, label: str) -> None:
    found = {"best": {"params": {"C": 1.0}}, "trials": [1, 2], "model": "svm", "gain": {"beyond_noise": clear}}
    training = FitOptions(preset="article", no_early_stopping=True, pca=0.9)
    tables.tuning(found, False, "my prepared", "my study/", training)
    said = capsys.readouterr().out
    assert "my study/tune/svm/trials.json" in said
    words = words_behind(said, label)
    assert words[:4] == ["train", "my prepared", "--models", "svm"]
    assert words[4:6] == ["--from-study", "my study/"]
    assert words[6:] == ["--no-early-stopping", "--preset", "article", "--pca", "0.9", "--out", "my study-trained"]


def test_defaults_that_are_best_need_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    found = {"best": {"params": {"C": 1.0}}, "trials": [1], "model": "svm", "gain": None}
    tables.tuning(found, False, "prepared", "study", FitOptions())
    assert "--from-study" not in capsys.readouterr().out


def test_options_of_a_source_are_in_the_command_for_it() -> None:
    source = SourceOptions(root=Path("my table.csv"), dataset="table", label="style", id_column="my id", drop="a,b")
    options = ["--dataset", "table", "--label", "style", "--id-column", "my id", "--drop", "a,b"]
    assert sorted(source.words()) == sorted(options)
    assert SourceOptions(root=Path("music"), keep_spellings=True).words() == ["--keep-spellings"]
