"""Workers and models that read `embedding`: early stops, the gate, tags, and networks that are loaded in time."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import pytest
import soundfile

from genrelab.core.config import EMBEDDING_CLIPS, EmbeddingView
from genrelab.features import embedding, gate, tags
from genrelab.features.tags import TAGS
from genrelab.predict import file, prediction
from genrelab.predict.classifier import load_bundle
from genrelab.predict.file import predict_audio
from genrelab.predict.prediction import Prediction
from genrelab.serve.workers import worker
from genrelab.serve.workers.worker import Worker
from tests.serve.workers.test_worker import ask_worker, job_message, start_worker
from tests.support.bundles import SR, bundle_for, noise


@pytest.fixture
def model(tmp_path: Path) -> dict[str, Any]:
    """One that is sure of Blues whatever it hears."""
    bundle_for(tmp_path / "bundle", EmbeddingView(), EMBEDDING_CLIPS, bias=(9.0, 0.0, 0.0))
    return {"path": str(tmp_path / "bundle"), "name": "served", "min_precision": None}


@pytest.fixture
def song(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "7", noise(15), SR, format="WAV")
    return tmp_path / "7"


def answer(song: Path, model: dict[str, Any], **more: Any) -> dict[str, Any]:
    said: dict[str, Any] = Worker(audio_s=60).answer(job_message(song, model, **more))["answer"]
    return said


@pytest.mark.parametrize(
    ("asked", "windows"),
    [
        ({}, 2),
        ({"timeline": True}, 5),
        ({"windows": "all"}, 5),
        ({"windows": 3}, 3),
        ({"windows": 3, "timeline": True}, 3),
    ],
)
def test_windows_are_those_asked_for_or_enough_for_a_clear_answer(
    song: Path, model: dict[str, Any], monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], windows: int
) -> None:
    predictions: list[Prediction] = []

    def noted(*given: Any) -> Prediction:
        predictions.append(predict_audio(*given))
        return predictions[-1]

    monkeypatch.setattr(worker, "predict_audio", noted)
    monkeypatch.setattr(file, "MIN_MUSIC_SCORE", -math.inf)  # clearly music
    said = answer(song, model, **asked)
    assert len(predictions[0].timeline) == windows
    assert len(said.get("timeline", [])) == (windows if "timeline" in asked else 0)


def test_answers_equal_those_of_predict(song: Path, model: dict[str, Any]) -> None:
    ours = {"path": "", "model": "served"}
    bundle = load_bundle(model["path"])
    assert answer(song, model) == bundle.predict(song).to_json(tags=False) | ours
    timed = bundle.with_full_timeline().predict(song).to_json(timeline=True, tags=True)
    assert answer(song, model, timeline=True, tags=True) == timed | ours
    assert timed["probabilities"] == bundle.predict(song).probabilities and len(timed["timeline"]) == 5


def test_what_is_no_music_gets_a_genre_only_on_request(
    song: Path, model: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction, "MIN_MUSIC_SCORE", math.inf)
    said = answer(song, model)
    assert (said["genre"], said["unknown_because"]) == ("unknown", "not_music")
    named = answer(song, model, any_genre=True)
    assert (named["genre"], named["unknown_because"]) == ("Blues", None)
    assert said["probabilities"] == named["probabilities"]


def test_tags_are_given_on_request(song: Path, model: dict[str, Any]) -> None:
    assert "tags" not in answer(song, model)
    assert set(answer(song, model, tags=True)["tags"]) == set(TAGS)


def test_networks_are_loaded_before_the_first_file(model: dict[str, Any]) -> None:
    caches = (embedding._sessions, gate._gate, tags._last_layers)
    for cache in caches:
        cache.cache_clear()
    Worker(audio_s=60).answer({"load": [model]})
    assert [cache.cache_info().currsize for cache in caches] == [1, 1, 1]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_worker_computes_in_one_thread(song: Path, model: dict[str, Any]) -> None:
    with start_worker() as process:
        try:
            ask_worker(process, {"load": [model]})
            assert ask_worker(process, job_message(song, model))["answer"]["model"] == "served"
            status = Path(f"/proc/{process.pid}/status").read_text()
            assert "\nThreads:\t2\n" in status, "besides it, one waits for what the service sends"
        finally:
            process.kill()
