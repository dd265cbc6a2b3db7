"""Tests of `bench`: its arithmetic, the stages on short sounds, and once the whole command."""

from __future__ import annotations

import importlib.util
import json
import math
import os
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import soundfile
from typer.testing import CliRunner

from genrelab.bench import bench, datasets, rehearsal, sample, stages, summary, training
from genrelab.bench.rehearsal import Forecast, Rehearsal, forecast
from genrelab.bench.training import NetworkCost, TrainingCost
from genrelab.cli import run
from genrelab.cli.main import app
from genrelab.core.config import (
    ClipSettings,
    EmbeddingView,
    FramesView,
    LogMelView,
    MelImageView,
    PrepareSettings,
    SamplesView,
    StatisticsView,
)
from genrelab.core.errors import DatasetError, SettingsError
from genrelab.datasets import folder
from genrelab.datasets.base import Dataset, DatasetOptions, Track
from genrelab.datasets.download import CATALOGUE
from genrelab.prepare.estimate import max_tracks_per_worker
from genrelab.records.prepared import Prepared
from tests.support.tones import write_tone

SETTINGS = PrepareSettings(views=(SamplesView(n_samples=500), MelImageView()))
STAGES = [
    *("hash and fingerprint", "decode", "samples", "resample", "mel_image"),
    "record write",
    "record read",
    "predict with the starter model",
]


def _rehearsal(n: int, *, jobs: int = 2, piece_s: float = 1.5, begin_s: float = 1.0) -> Rehearsal:
    """A preparation of known duration: 2 s before and 1 s after the workers, and 10 ms a track in one process."""
    done = tuple((5 * (i + 1), begin_s + piece_s * (i // jobs + 1)) for i in range(n // 5))
    ending_s = 1.0 + 0.01 * n
    return Rehearsal(n, 2.0 + done[-1][1] + ending_s, done, ending_s, 3.0 + 0.2 * n, 1_000 + 100 * n)


def test_forecast_reproduces_the_rehearsals_and_extrapolates() -> None:
    found = forecast(_rehearsal(20), _rehearsal(60), 2, find_track_s=0.001)
    assert found.begin_s == pytest.approx(1.0) and found.track_s == pytest.approx(0.3)
    assert found.seconds(80) == pytest.approx(_rehearsal(80).total_s + 0.08)
    assert found.seconds(80, scale=2.0) > 1.7 * found.seconds(80)
    assert found.n_bytes(8_000) == pytest.approx(801_000)
    assert found.n_bytes(10, scale=9.0) == pytest.approx(10_000)
    assert found.cpu_fixed_s + 100 * found.cpu_track_s == pytest.approx(23.0)


def test_forecast_stays_positive_with_noisy_rehearsals() -> None:
    slow, quick = _rehearsal(20, piece_s=4.5), _rehearsal(40, piece_s=0.5)
    for small, large in ((slow, quick), (_rehearsal(20, begin_s=0.0, piece_s=0.5), _rehearsal(40, piece_s=4.5))):
        found = forecast(small, large, 2)
        assert found.track_s > 0 and found.begin_s >= 0 and found.start_s > 0
        assert found.seconds(1_000) > found.seconds(100) > 0


@pytest.mark.parametrize(
    ("tracks", "jobs", "most"),
    [(80, 2, 40), (85, 2, 45), (25, 2, 15), (7, 4, 5), (1_000, 3, 335), (106_574, 2, 53_289)],
)
def test_busiest_worker_gets_its_share_in_whole_pieces(tracks: int, jobs: int, most: int) -> None:
    assert max_tracks_per_worker(tracks, jobs) == most


def test_sample_is_spread_evenly_and_repeated_when_too_small(tmp_path: Path) -> None:
    dataset = Dataset("d", tmp_path, tuple(Track(str(i), f"{i}.wav", "g") for i in range(10)))
    chosen = sample.sample_evenly(dataset, 4)
    assert [t.track_id for t in chosen.tracks] == ["0", "3", "6", "9"]
    first = frozenset(t.track_id for t in chosen.tracks)
    assert not first & {t.track_id for t in sample.sample_evenly(dataset, 6, but=first).tracks}
    again = sample.sample_evenly(dataset, 25, but=first).tracks
    assert len({t.track_id for t in again}) == 25 and {t.path for t in again} == {t.path for t in dataset.tracks}


def test_only_tracks_that_prepare_decodes_are_measured(music: Path, tmp_path: Path) -> None:
    dataset = folder.load(music, DatasetOptions())
    (music / "choir" / "8.wav").unlink()
    assert len(sample.usable(dataset).tracks) == 27
    with pytest.raises(DatasetError, match="no track has both a genre and a file \\(2 tracks in all\\)"):
        sample.usable(Dataset("d", tmp_path, (Track("1", "1.wav", None), Track("2", None, "g"))))


def test_every_stage_is_measured_and_a_bad_file_is_named(music: Path) -> None:
    paths = [str(music / "ambient" / "0.wav"), str(music / "beat" / "broken.mp3"), str(music / "choir" / "0.wav")]
    found = dict(stages.measure_tracks(paths, SETTINGS, seconds=math.inf))
    good = found[paths[0]]
    assert sorted(good.seconds) == sorted(STAGES) and all(s >= 0 for s in good.seconds.values())
    assert good.n_bytes == {"samples": 4 * 500, "mel_image": 2 * 224 * 224}
    assert (good.clips, good.file_bytes) == (1, Path(paths[0]).stat().st_size)
    assert found[paths[1]].error and not found[paths[1]].seconds
    assert found[paths[2]].error is None
    assert len(dict(stages.measure_tracks(paths, SETTINGS, seconds=0))) == 1, "at least one, whatever the time"


def test_frozen_networks_are_a_stage_of_their_own(tmp_path: Path) -> None:
    write_tone(tmp_path / "a.wav", hz=220, seconds=4.0)
    settings = PrepareSettings(views=(StatisticsView(), EmbeddingView()), clips=ClipSettings(2.0))
    found = stages.measure_track(settings, str(tmp_path / "a.wav"))
    assert found.clips == 2 and found.n_bytes == {"statistics": 2 * 4 * 518, "embedding": 2 * 4 * 456}
    assert found.seconds["embedding"] > 0 and "record write" not in found.seconds  # both are columns of a table


def test_views_of_the_beginning_are_computed_once_for_a_long_track(tmp_path: Path) -> None:
    write_tone(tmp_path / "a.wav", hz=220, seconds=4.0)
    settings = PrepareSettings(
        views=(SamplesView(n_samples=500), LogMelView(window_s=1.0), FramesView()), clips=ClipSettings(1.0)
    )
    found = stages.measure_track(settings, str(tmp_path / "a.wav"))
    assert found.clips == 4
    once, each = found.n_bytes["samples"] + found.n_bytes["frames"], found.n_bytes["log_mel"]
    assert (once, each % 4) == (4 * 500 + 4 * 2_582 * 35, 0) and each


def test_synthesised_clip_has_the_rate_and_bit_rate_of_fma(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "SECONDS", 2.0)
    assert sample._write_clip((str(tmp_path / "0.mp3"), 0))
    info = soundfile.info(tmp_path / "0.mp3")
    assert (info.samplerate, info.channels, info.format) == (44_100, 2, "MP3")
    assert (tmp_path / "0.mp3").stat().st_size * 8 / info.duration == pytest.approx(256_000, rel=0.1)


def test_without_tensorflow_the_training_step_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(training, "find_spec", lambda name: None if name == "tensorflow" else real(name))
    found = training.measure_training(["svm", "raw_cnn"], seconds=60, more_s=120)
    assert found.networks == () and found.reason == "TensorFlow is not installed: pip install 'genrelab[train]'"
    assert found.missing == ("raw_cnn",)
    assert training.measure_training(["svm"], seconds=60, more_s=120).reason == "none of the models is a network"


@pytest.mark.parametrize("failure", [TimeoutError(), BrokenProcessPool("killed"), None])
def test_networks_measured_before_a_failure_are_kept(
    monkeypatch: pytest.MonkeyPatch, failure: Exception | None
) -> None:
    cost = NetworkCost("mobilenet_v2", 2.0, 1.0, 0.5)

    class Pool:
        results: ClassVar = [("CPU", 5.0), cost, failure or replace(cost, name="raw_cnn")]

        def submit(self, *_: object) -> Future[Any]:
            future: Future[Any] = Future()
            result = self.results.pop(0)
            future.set_exception(result) if isinstance(result, Exception) else future.set_result(result)
            return future

    monkeypatch.setattr(training, "process_pool", lambda jobs: nullcontext(Pool()))
    found = training.measure_training(["raw_cnn", "mobilenet_v2"], seconds=60, more_s=120)
    assert (found.device, found.start_s, found.networks[0]) == ("CPU", 5.0, cost)
    assert found.missing == (("raw_cnn",) if failure else ())
    expected = {TimeoutError: "raw_cnn: not measured within 60 s: use --seconds 120",
                BrokenProcessPool: "raw_cnn: TensorFlow failed: killed"}  # fmt: skip
    assert found.reason == expected.get(type(failure))
    assert cost.seconds(100, 10) == pytest.approx(200 + 10 * (1 + 0.5 * (80 + 20 / 3)))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Invented rehearsals and networks, clips of 2 s, and clocks independent of this machine.

    No time passes, but each stage takes a millisecond of the CPU whenever it is entered.
    """
    cpu_clock = count()
    clock = SimpleNamespace(perf_counter=lambda: 0.0, process_time=lambda: next(cpu_clock) / 1_000)
    for module in (bench, stages, run):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(sample, "SECONDS", 2.0)
    for module in (sample, stages):  # no processes
        monkeypatch.setattr(module, "map_in_processes", lambda function, things, jobs: enumerate(map(function, things)))
    monkeypatch.setattr(
        rehearsal, "rehearse", lambda dataset, settings, jobs, preload: _rehearsal(len(dataset.tracks), jobs=jobs)
    )
    trained = TrainingCost(
        (NetworkCost("raw_cnn", 0.0, 1.0, 0.01), NetworkCost("mobilenet_v2", 0.02, 0.5, 0.001)), "CPU", 5.0
    )
    monkeypatch.setattr(training, "measure_training", lambda names, seconds, more_s: trained)


def _called(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["bench", *map(str, words)])
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.usefixtures("quick")
def test_the_command_names_the_slowest_stage_and_predicts_every_subset(music: Path) -> None:
    for i in range(12):  # so that one of the measured tracks is broken
        (music / "choir" / f"broken{i}.mp3").write_text("no audio")
    views = ("--views", "samples,mel_image", "--jobs", "2")
    status, out, err = _called(music, *views)
    messages = " ".join(out.split())
    assert status == 0, err
    assert "Slowest stage of prepare: " in messages and "Left out: " in messages and "broken" in messages
    assert (
        "Recommended: " in messages and f"prepare {music} --out prepared --views samples,mel_image --jobs 2" in messages
    )
    for name in (
        "fma-small",
        "fma-medium",
        "fma-large",
        "fma-full",
        "train mobilenet_v2: per window, once (frozen base)",
    ):
        assert name in messages
    found: dict[str, Any] = json.loads(_called(music, *views, "--tracks", "80", "--json")[1])
    assert {a["name"]: a["tracks"] for a in found["amounts"]} == {
        "music": 80, "fma-small": 8_000, "fma-medium": 25_000, "fma-large": 106_574, "fma-full": 106_574,
    }  # fmt: skip
    by_name = {a["name"]: a for a in found["amounts"]}
    assert by_name["music"]["seconds"] == pytest.approx(_rehearsal(80).total_s, rel=0.05)
    assert by_name["fma-full"]["download_bytes"] == CATALOGUE["fma-full"].size
    assert by_name["fma-full"]["seconds"] > 7 * by_name["fma-large"]["seconds"]
    assert sum(s["share"] for s in found["stages"] if s["share"] is not None) == pytest.approx(1.0)
    for amount in found["amounts"]:
        assert sum(amount["parts"].values()) == pytest.approx(amount["seconds"])
        assert all(s >= 0 for s in amount["parts"].values())
    slowest = max((s for s in found["stages"] if s["share"] is not None), key=lambda s: s["ms"])
    assert found["slowest"] == slowest["name"]
    assert found["epochs"] == [11, 100] and found["forecast"]["cpu_fixed_s"] >= 0
    few, most = by_name["fma-small"]["networks_s"]["raw_cnn"]
    assert few == pytest.approx(5 + 11 * (1 + 80 * (0.8 + 0.2 / 3)))
    assert most == pytest.approx(5 + 100 * (1 + 80 * (0.8 + 0.2 / 3)))


def test_too_few_seconds_are_refused_before_root_is_read(tmp_path: Path) -> None:
    status, out, err = _called(tmp_path / "nothing", "--seconds", "0.1")
    assert (status, out) == (2, "") and "--seconds" in err and "nothing" not in err


@pytest.mark.usefixtures("quick")
def test_largest_subset_that_fits_in_a_night_is_recommended() -> None:
    found = bench.bench(None, SETTINGS, models=(), jobs=2)
    amounts = {a.name: replace(a, seconds=3_600.0 * hours, networks_s={}) for a, hours in zip(
        found.amounts, (1, 2, 9, 50), strict=True)}  # fmt: skip
    medium = CATALOGUE["fma-medium"]
    assert amounts["fma-medium"].peak_bytes == pytest.approx(medium.unpacked + medium.size)
    fits = replace(found, amounts=tuple(amounts.values()), free_bytes=10**15)
    messages, again = " ".join(summary.sentences(fits)), summary.recommended_command(fits, ["genrelab"], None)
    assert "of free disk space is fma-medium: " in messages and "2.0 h" in messages
    assert again.startswith("genrelab download fma-metadata --out data && genrelab download fma-medium --out data && ")
    assert "download" not in summary.recommended_command(fits, ["genrelab"], "music")
    small = replace(fits, free_bytes=medium.size)
    assert "of free disk space is fma-small: " in " ".join(summary.sentences(small))
    none = replace(fits, free_bytes=10)
    assert "No part of FMA fits" in " ".join(summary.sentences(none))
    assert "download" not in summary.recommended_command(none, ["genrelab"], None)
    slow = replace(found, trained=TrainingCost(reason="raw_cnn: no answer", missing=("raw_cnn",)))
    assert ("train raw_cnn: per window and epoch", "not measured", "", "", "") in summary.stage_rows(slow)


@pytest.mark.parametrize(("track_s", "waiting"), [(1.0, True), (0.01, False)])
def test_worker_time_beyond_the_stages_counts_as_waiting(track_s: float, waiting: bool) -> None:
    line = Forecast(1, 2.0, 1.0, track_s, 0.05, 0.0, 100.0, 1.0, 0.1)
    parts = datasets._parts(100, line, 1.0, 0.1)
    assert sum(parts.values()) == pytest.approx(line.seconds(100))
    assert parts[datasets.START] == pytest.approx(3.0) and parts[datasets.ENDING] == pytest.approx(5.0)
    assert (parts[datasets.WAITING] > 0) == waiting


@pytest.mark.usefixtures("quick")
def test_without_root_synthesised_music_is_measured(tmp_path: Path) -> None:
    status, out, err = _called("--models", "mobilenet_v2", "--json")
    assert status == 0, err
    found = json.loads(out)
    assert (found["source"], found["views"], found["failed"]) == ("synthesised", ["mel_image"], [])
    assert found["amounts"][0]["name"] == "fma-small"


def test_invalid_input_and_options_are_refused(tmp_path: Path, music: Path) -> None:
    table = tmp_path / "features.csv"
    table.write_text("track_id,genre,a,b\n1,x,0.1,0.2\n2,y,0.3,0.4\n")
    status, out, err = _called(table, "--label", "genre")
    assert (status, out) == (1, "") and "is a table of features" in err
    assert "unknown model" in _called("--models", "nonsense")[2]
    assert "unknown view" in _called("--views", "nonsense")[2]
    with pytest.raises(SettingsError, match="--seconds must be 5 or more"):
        bench.bench(None, SETTINGS, models=(), seconds=1)
    broken = Dataset("d", music, (Track("b", "beat/broken.mp3", "g"),))
    with pytest.raises(DatasetError, match=r"none of the tracks can be used; the first error: .*broken"):
        bench.bench(broken, SETTINGS, models=())


def test_sizes_are_formatted() -> None:
    assert [summary.format_bytes(n) for n in (1.2e6, 3.45e9)] == ["1.2 MB", "3.5 GB"]


@pytest.mark.slow
def test_rehearsal_prepares_every_track_and_times_it(
    music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = folder.load(music, DatasetOptions())
    found = rehearsal.rehearse(dataset, SETTINGS, 2)
    assert (found.tracks, [n for n, _ in found.done][-1]) == (28, 28)
    assert found.cpu_s > 0
    assert [f.partition(":")[0] for f in found.failed] == ["beat/broken.mp3"]
    assert found.n_bytes > 27 * 2 * 224 * 224
    ticks = count(101)  # the clock is a second further whenever it is read
    monkeypatch.setattr(rehearsal, "time", SimpleNamespace(time=lambda: float(next(ticks))))
    found = rehearsal._timed_prepare(dataset, SETTINGS, 2, str(tmp_path), 90.0, ())
    assert [seconds for _, seconds in found.done] == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert (found.making_s, found.ending_s, found.total_s) == (6.0, 1.0, 18.0)


@pytest.mark.slow
def test_audit_of_repeated_tracks_is_not_timed(music: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from genrelab.leakage import audit

    now = 0.0

    def slow(prepared: Prepared) -> dict[str, object]:
        nonlocal now
        os.utime(prepared.folder.local / "dataset.json", (5.0, 5.0))
        now = 1_000.0
        return {"sentences": []}

    monkeypatch.setattr(audit, "audit_prepared", slow)
    monkeypatch.setattr(rehearsal, "time", SimpleNamespace(time=lambda: now))
    dataset = sample.usable(folder.load(music, DatasetOptions()))
    small = replace(dataset, tracks=dataset.tracks[:2])
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    alone = rehearsal._timed_prepare(small, SETTINGS, 1, str(tmp_path / "a"), now, ())
    now = 0.0
    again = rehearsal._timed_prepare(sample.sample_evenly(small, 4), SETTINGS, 1, str(tmp_path / "b"), now, ())
    assert (alone.ending_s, again.ending_s) == (1_000.0, 5.0)


@pytest.mark.slow
def test_networks_are_measured() -> None:
    found = training.measure_training(["raw_cnn", "mobilenet_v2"], seconds=1e6, more_s=600)
    assert [n.name for n in found.networks] == ["mobilenet_v2", "raw_cnn"] and found.start_s > 0
    assert found.networks[1].once_s == 0 < found.networks[0].once_s
    assert all(n.epoch_s >= 0 and n.window_s >= 0 for n in found.networks)
