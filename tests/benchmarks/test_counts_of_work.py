"""How often things are done: what `make bench` times, counted, for counts do not depend on the machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.fft
import soundfile
from numpy.typing import NDArray

from genrelab.audio import clips as audio_clips
from genrelab.audio import reader
from genrelab.core.config import (
    VIEWS,
    ClipSettings,
    LogMelView,
    MelImageView,
    PrepareSettings,
    StatisticsView,
    TrainSettings,
)
from genrelab.core.storage import Folder
from genrelab.datasets import folder
from genrelab.datasets.base import DatasetOptions
from genrelab.features import spectrogram
from genrelab.prepare import make_piece, work_unit
from genrelab.prepare.pipeline import prepare
from genrelab.records import examples, tfrecord
from genrelab.records.tfrecord import Record
from genrelab.runs.train import train
from tests.support.bundles import bundle_for
from tests.support.features import statistics_of
from tests.support.in_memory import examples_of, table_view
from tests.support.sounds import music

SR = 22_050
ALL = PrepareSettings(views=tuple(view() for name, view in VIEWS.items() if name != "table"))


@pytest.fixture
def track(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "track.wav", music(44_100, 3.0), 44_100)
    return tmp_path / "track.wav"


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Counter[str]]:
    """Counts the calls of functions that are named by where they stand, and what `of` says of each call."""

    def count(*places: tuple[Any, str], of: Callable[..., int] = lambda *_, **__: 1) -> Counter[str]:
        calls = Counter[str]()

        def wrapped(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **kwargs: Any) -> Any:
                calls[name] += of(*args, **kwargs)
                return function(*args, **kwargs)

            return call

        for home, name in places:
            monkeypatch.setattr(home, name, wrapped(name, getattr(home, name)))
        return calls

    return count


def made(track: Path, settings: PrepareSettings) -> work_unit.TrackOutcome:
    """Everything of a track is made, in this process."""
    piece = work_unit.Piece(0, str(track.parent), (work_unit.Item(0, str(track)),), settings)
    make_piece.make_piece(piece)
    return work_unit.read(piece)[0][0]


def test_a_track_is_decoded_once_for_all_views(track: Path, counted: Callable[..., Counter[str]]) -> None:
    calls = counted((reader.Audio, "read"))
    assert made(track, ALL).status == "ok"
    assert calls["read"] == 1


def test_a_clip_is_resampled_once_for_views_of_one_rate(track: Path, counted: Callable[..., Counter[str]]) -> None:
    import soxr

    calls = counted((soxr, "resample"), of=lambda y, sr, target_sr, **_: int(target_sr == SR))
    made(track, PrepareSettings())
    assert calls["resample"] == 1  # `statistics` and `mel_image`


@pytest.mark.parametrize(
    ("view", "frames", "dtype"),
    [(MelImageView(), 224, np.float64), (LogMelView(), 130, np.float32), (StatisticsView(), 130, np.float32)],
)
def test_each_frame_is_transformed_once(
    view: Any, frames: int, dtype: type[Any], counted: Callable[..., Counter[str]]
) -> None:
    from genrelab.features.views import compute

    def rows(x: NDArray[Any], *_: Any, **__: Any) -> int:  # a few again in float64: tests/features/test_spectra.py
        return len(x) if x.shape[-1] == view.n_fft and x.dtype == dtype else 0

    calls = counted((np.fft, "rfft"), (scipy.fft, "rfft"), of=rows)
    windows = compute(view, music(SR, 3.0), SR)
    assert len(windows) == 1
    assert calls.total() == pytest.approx(frames, abs=1)


def test_filters_are_built_once_a_process() -> None:
    y = music(SR, 2.0)
    for _ in range(2):
        statistics_of(y, SR, StatisticsView())
        spectrogram.mel_image(y, MelImageView())
    before = spectrogram.mel_filters.cache_info().misses
    statistics_of(y, SR, StatisticsView())
    spectrogram.mel_image(y, MelImageView())
    assert spectrogram.mel_filters.cache_info().misses == before


def test_samples_at_the_right_rate_are_not_copied() -> None:
    y = music(SR, 1.0)
    assert audio_clips.resample(y, SR, SR) is y
    assert not spectrogram.frame(y, 2_048, 512).flags.owndata


def test_a_payload_is_checksummed_and_framed_once(counted: Callable[..., Counter[str]]) -> None:
    import google_crc32c

    calls = counted((google_crc32c, "value"), of=len)
    tfrecord.encode(Record(3, 0.0, bytes(1_000)))
    assert 1_000 <= calls["value"] < 1_100  # the payload once, not twice


@pytest.mark.slow
def test_the_table_is_read_once_for_all_classical_models(
    request: pytest.FixtureRequest, tmp_path: Path, counted: Callable[..., Counter[str]]
) -> None:
    dataset = folder.load(request.getfixturevalue("music"), DatasetOptions())
    prepared = prepare(dataset, tmp_path / "prepared", PrepareSettings(views=(StatisticsView(),)), jobs=1)
    calls = counted((examples, "_from_table"))
    models = ("gaussian_nb", "knn", "svm")
    train(prepared, Folder(tmp_path / "run"), TrainSettings(models=models, split="random"))
    assert calls["_from_table"] == 1


def test_all_rows_of_a_table_are_not_copied() -> None:
    x = np.zeros((6, 4), np.float32)
    made = examples_of(x, np.arange(6) % 2, view=table_view(4))
    assert all(np.shares_memory(made.rows().x, made.rows(*roles).x) for roles in ((), set(made.role)))


class Session:
    """Counts the calls of a session, and keeps what it is given."""

    def __init__(self, session: Any) -> None:
        self._session, self.given = session, list[NDArray[Any]]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run(self, outputs: Any, inputs: dict[str, NDArray[Any]]) -> Any:
        self.given += inputs.values()
        return self._session.run(outputs, inputs)


def test_the_windows_of_a_track_go_through_the_network_together(tmp_path: Path, track: Path) -> None:
    bundle = bundle_for(tmp_path / "bundle", LogMelView(window_s=0.5, hop_s=0.5), ClipSettings(clip_s=1.0))
    session = Session(bundle.session)
    prediction = replace(bundle, session=session).predict(track)
    assert [len(x) for x in session.given] == [len(prediction.timeline)] == [6]


def test_nothing_is_copied_between_the_windows_and_the_session(tmp_path: Path) -> None:
    bundle = bundle_for(tmp_path / "bundle", LogMelView())
    session, x = Session(bundle.session), np.zeros((40, *LogMelView().shape), np.float32)
    replace(bundle, session=session).probabilities(x)
    assert [len(given) for given in session.given] == [32, 8]
    assert all(np.shares_memory(given, x) for given in session.given)
