"""HTTP and the command line give the same answers and the same error messages for a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile

pytest.importorskip("fastapi")
pytest.importorskip("httpx")
import httpx

from genrelab.core.config import EMBEDDING_CLIPS, ClipSettings, EmbeddingView, LogMelView
from genrelab.datasets.synth_voices import SR
from genrelab.serve.app import create_app
from genrelab.serve.limits import Limits
from genrelab.serve.model_store import ModelStore
from genrelab.serve.workers.queue import WorkerQueue
from tests.support.bundles import bundle_for
from tests.support.command import call
from tests.support.faulty import cut, write
from tests.support.guards import HANG_S
from tests.support.live_service import running_server, with_workers
from tests.support.songs import genres, song

GENRE = genres()[0]
LIMITS = Limits(workers=1, classify_s=HANG_S)
MODELS = {
    "early": (EmbeddingView(), EMBEDDING_CLIPS),  # may stop after two windows
    "whole": (LogMelView(sr=SR, window_s=1.0, hop_s=0.5), ClipSettings(clip_s=5.0, max_clips=3)),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("same")
    for name, (view, clips) in MODELS.items():
        bundle_for(folder / name, view, clips)
    soundfile.write(folder / "long.flac", song(GENRE, 1, 1, 40.0), SR)
    soundfile.write(folder / "short.wav", song(GENRE, 2, 1, 2.0), SR)
    (folder / "text.mp3").write_text("just words\n" * 300)
    (folder / "empty.mp3").touch()
    cut(write(folder / "damaged.flac", song(GENRE, 1, 1, 8.0)), 0.001)
    return folder


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[Any]:
    store = ModelStore({name: folder / name for name in MODELS}, folder / "copies")
    queue = WorkerQueue(LIMITS, store)
    (folder / "uploads").mkdir()
    app = create_app(LIMITS, store, queue, folder=folder / "uploads")
    with (
        running_server(with_workers(app, queue), LIMITS) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=HANG_S) as client,
    ):
        yield client


def predict(folder: Path, name: str, model: str, *options: str) -> dict[str, Any]:
    """The object that `genrelab predict --json` prints."""
    _, out, _ = call("predict", folder / name, "--model", folder / model, "--json", *options)
    (found,) = json.loads(out)
    return dict(found)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", ["long.flac", "short.wav"])
@pytest.mark.parametrize(
    ("query", "options"),
    [
        ("", ()),
        ("timeline=true", ("--timeline",)),
        ("timeline=true&windows=4", ("--timeline", "--windows", "4")),
        ("windows=all&any=true&top=2", ("--windows", "all", "--any", "--top", "2")),
        ("describe=true", ("--describe",)),
    ],
)
def test_http_and_command_line_give_the_same_answer(
    client: Any, folder: Path, model: str, name: str, query: str, options: tuple[str, ...]
) -> None:
    answer = client.post(f"/v1/predict?model={model}&{query}", files={"f": (name, (folder / name).read_bytes())})
    expected = predict(folder, name, model, *options) | {"path": name, "model": model}
    got = answer.json()
    assert got.pop("probabilities") == pytest.approx(expected.pop("probabilities"), abs=1e-9)
    assert got.pop("confidence") == pytest.approx(expected.pop("confidence"), abs=1e-9)
    windows, expected_windows = got.pop("timeline", []), expected.pop("timeline", [])
    assert [(w["start_s"], w["end_s"]) for w in windows] == [(w["start_s"], w["end_s"]) for w in expected_windows]
    for window, expected_window in zip(windows, expected_windows, strict=True):
        assert window["probabilities"] == pytest.approx(expected_window["probabilities"], abs=1e-9)
    assert got == expected
    assert len(windows) > 3 or name != "long.flac" or "timeline" not in query
    assert name != "long.flac" or "describe" not in query or got["tempo_bpm"]


def test_timeline_does_not_change_the_answer(client: Any, folder: Path) -> None:
    content = (folder / "long.flac").read_bytes()
    plain, timed = (client.post(f"/v1/predict?{query}", content=content).json() for query in ("", "timeline=true"))
    assert {key: timed[key] for key in plain} == plain


def test_batch_describes_each_file(client: Any, folder: Path) -> None:
    names = ("long.flac", "text.mp3")
    parts = [("f", (name, (folder / name).read_bytes())) for name in names]
    found, failed = client.post("/v1/predict/batch?describe=true", files=parts).json()
    expected = predict(folder, "long.flac", "early", "--describe")
    assert [found[name] for name in ("tempo_bpm", "key")] == [expected[name] for name in ("tempo_bpm", "key")]
    expected = predict(folder, "text.mp3", "early", "--describe")
    assert failed["tempo_bpm"] is expected["tempo_bpm"] is failed["key"] is expected["key"] is None


@pytest.mark.parametrize(
    ("name", "kind"), [("text.mp3", "not-audio"), ("empty.mp3", "not-audio"), ("damaged.flac", "damaged")]
)
def test_unusable_file_gets_the_message_of_the_command_line(client: Any, folder: Path, name: str, kind: str) -> None:
    problem = client.post("/v1/predict", files={"f": (name, (folder / name).read_bytes())}).json()
    assert problem["type"] == f"urn:genrelab:problem:{kind}"
    assert problem["detail"] == predict(folder, name, "early")["error"]
