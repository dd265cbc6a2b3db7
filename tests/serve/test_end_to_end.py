"""A bundle, workers, the application and a server together, without any fake: one talk through all of it."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("onnx")
import soundfile

from genrelab.core.config import EMBEDDING_CLIPS, ClipSettings, EmbeddingView, SamplesView
from genrelab.features.tags import TAGS
from genrelab.serve.app import create_app
from genrelab.serve.limits import Limits
from genrelab.serve.model_store import ModelStore
from genrelab.serve.schemas import FileError, PredictionResult
from genrelab.serve.workers.queue import WorkerQueue
from tests.support.bundles import GENRES, bundle_for, noise
from tests.support.guards import HANG_S
from tests.support.live_service import running_server, with_workers

pytestmark = pytest.mark.slow

SR = 16_000
TOKEN = "a token for tests"
LIMITS = Limits(audio_s=60, classify_s=600)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("service")


@pytest.fixture(scope="module")
def port(folder: Path) -> Iterator[int]:
    bundle_for(folder / "a", SamplesView(sr=8_000, n_samples=8_000), ClipSettings(clip_s=3, min_s=1))
    bundle_for(folder / "b", SamplesView(sr=8_000, n_samples=8_000), bias=(9.0, 0.0, 0.0))
    bundle_for(folder / "c", EmbeddingView(), EMBEDDING_CLIPS)
    store = ModelStore({name: folder / name for name in "abc"}, folder / "models")
    (folder / "uploads").mkdir()
    queue = WorkerQueue(LIMITS, store)
    app = create_app(LIMITS, store, queue, token=TOKEN, folder=folder / "uploads")
    with running_server(with_workers(app, queue), LIMITS, ws="websockets-sansio") as port:
        yield port


@pytest.fixture
def client(port: int, folder: Path) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=f"http://127.0.0.1:{port}", headers={"authorization": f"Bearer {TOKEN}"}, timeout=HANG_S
    ) as client:
        yield client
    assert list((folder / "uploads").iterdir()) == []


def sound(seconds: float, format: str = "WAV") -> bytes:  # noqa: A002 - as soundfile has it
    out = io.BytesIO()
    soundfile.write(out, noise(seconds, SR), SR, format=format)
    return out.getvalue()


def kind(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


@pytest.mark.parametrize("format", ["WAV", "FLAC", "OGG", "MP3"])
def test_recording_is_classified_in_every_format_and_upload_kind(client: httpx.Client, format: str) -> None:  # noqa: A002
    recording = sound(4, format)
    raw = client.post("/v1/predict", content=recording)
    form = client.post("/v1/predict", files={"f": ("song", recording)})
    assert (raw.status_code, form.status_code) == (200, 200)
    heard = PredictionResult.model_validate(raw.json())
    assert {**form.json(), "path": ""} == raw.json()
    assert heard.duration_s == pytest.approx(4, abs=0.1)
    assert set(heard.probabilities) == set(GENRES)


def test_query_parameters_are_applied(client: httpx.Client) -> None:
    recording = sound(4)
    answer = client.post("/v1/predict?model=b&top=1&timeline=true&windows=all", content=recording).json()
    assert (answer["model"], answer["genre"], len(answer["probabilities"])) == ("b", "Blues", 1)
    assert PredictionResult.model_validate(answer).timeline


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"this is no audio, whatever it is", (415, "not-audio")),
        (sound(0.01), (422, "unusable")),
        (sound(70), (422, "too-long")),
    ],
)
def test_unusable_files_are_refused_with_a_reason(
    client: httpx.Client, content: bytes, expected: tuple[int, str]
) -> None:
    assert kind(client.post("/v1/predict", content=content)) == expected


def test_batch_classifies_each_file(client: httpx.Client) -> None:
    files = [("f", ("1", sound(2))), ("f", ("2", b"nothing")), ("f", ("3", b"")), ("f", ("4", sound(2, "FLAC")))]
    answers = client.post("/v1/predict/batch", files=files).json()
    assert [a["path"] for a in answers] == ["1", "2", "3", "4"]
    for answer, heard in zip(answers, (True, False, False, True), strict=True):
        (PredictionResult if heard else FileError).model_validate(answer)


def stream_noise(port: int, **start: Any) -> list[dict[str, Any]]:
    """The messages of a stream of 6 s."""
    websockets = pytest.importorskip("websockets.sync.client")
    samples = (noise(6, 8_000) * 32_767).astype("<i2").tobytes()
    said: list[dict[str, Any]] = []
    start |= {"type": "start", "format": "pcm16", "sr": 8_000, "window_s": 3, "token": TOKEN}
    with websockets.connect(f"ws://127.0.0.1:{port}/v1/stream") as talk:
        talk.send(json.dumps(start))
        said.append(json.loads(talk.recv(timeout=HANG_S)))
        for at in range(0, len(samples), 4_000):
            talk.send(samples[at : at + 4_000])
        talk.send('{"type":"stop"}')
        said.extend(json.loads(message) for message in talk)
    return said


def test_model_on_embedding_has_tags_and_names_a_genre_on_request(client: httpx.Client, port: int) -> None:
    recording = sound(7)
    plain = client.post("/v1/predict?model=c", content=recording).json()
    assert PredictionResult.model_validate(plain).tags is None
    assert plain["unknown_because"] in (None, "not_music")
    asked = client.post("/v1/predict?model=c&any=true&tags=true&timeline=true", content=recording).json()
    heard = PredictionResult.model_validate(asked)
    assert heard.genre in GENRES and heard.unknown_because is None
    assert set(heard.tags or ()) == set(TAGS)
    assert heard.timeline is not None
    assert [(w.start_s, w.end_s) for w in heard.timeline] == [(0, 3), (3, 6)]
    said = stream_noise(port, model="c", any=True, tags=True)
    assert [m["end_s"] for m in said[1:-1]] == [3, 4, 5, 6]
    for message in (*said[1:-1], said[-1]["recording"]):
        assert message["genre"] in GENRES and set(message["tags"]) == set(TAGS)


def test_stream_returns_predictions_and_an_end_message(port: int, client: httpx.Client) -> None:
    said = stream_noise(port)
    assert {"unknown_because"} <= {*said[1]} and "tags" not in said[1]
    assert [m["type"] for m in said] == ["ready", *["prediction"] * (len(said) - 2), "end"]
    assert len(said) > 4
    assert re.search(r"\ngenrelab_streams 0", client.get("/metrics").text)


def test_metrics_count_every_file(client: httpx.Client) -> None:
    def heard() -> float:
        text = client.get("/metrics").text
        found = re.findall(r'genrelab_files_total\{model="a",outcome="(\w|-)+"\} (\S+)', text)
        return float(np.sum([float(n) for _, n in found]))

    before = heard()
    client.post("/v1/predict", content=sound(2))
    client.post("/v1/predict", content=b"nothing")
    assert heard() == before + 2
