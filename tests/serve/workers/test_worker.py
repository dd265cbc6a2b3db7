"""What a worker answers, what it is not allowed to do, and when it ends."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import soundfile

from genrelab.audio.reader import Audio
from genrelab.core.config import LogMelView
from genrelab.core.errors import BundleError
from genrelab.predict import file
from genrelab.predict.classifier import load_bundle
from genrelab.serve.workers import worker
from genrelab.serve.workers.error_kinds import NO_MEMORY
from genrelab.serve.workers.worker import Worker
from tests.support.bundles import GENRES, SR, bundle_for, noise
from tests.support.evidence import evidence_from_confidences
from tests.support.guards import HANG_S
from tests.support.held_file import HeldFiles

VIEW = LogMelView(sr=SR, n_fft=512, hop_length=256, n_mels=16, window_s=0.5, hop_s=0.5)


@pytest.fixture
def model(tmp_path: Path) -> dict[str, Any]:
    sure = evidence_from_confidences({g: [900] * 40 for g in GENRES}, {g: [400] * 5 for g in GENRES}, by=2)
    bundle_for(tmp_path / "bundle", VIEW, calibration=sure)
    return {"path": str(tmp_path / "bundle"), "name": "served", "min_precision": None}


@pytest.fixture
def song(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "7", noise(3), SR, format="WAV")
    return tmp_path / "7"


def job_message(song: Path, model: dict[str, Any], **more: Any) -> dict[str, Any]:
    job = {"path": str(song), "model": model, "top": None, "timeline": False, "windows": None, "any_genre": False}
    return job | {"tags": False, "describe": False, **more}


def test_answer_equals_that_of_predict(song: Path, model: dict[str, Any]) -> None:
    ear = Worker(audio_s=60)
    assert ear.answer({"load": [model]}) == {"loaded": [model["path"]]}
    said = ear.answer(job_message(song, model))["answer"]
    assert said == load_bundle(model["path"]).predict(song).to_json() | {"path": "", "model": "served"}


def test_top_timeline_and_windows_are_applied(song: Path, model: dict[str, Any]) -> None:
    ear = Worker(audio_s=60)
    said = ear.answer(job_message(song, model, top=1, timeline=True))["answer"]
    assert list(said["probabilities"]) == [said["genre"]]
    assert len(said["timeline"]) == 6
    assert "timeline" not in ear.answer(job_message(song, model))["answer"]
    few = ear.answer(job_message(song, model, windows=1))["answer"]
    assert few == load_bundle(model["path"]).with_windows(1).predict(song).to_json() | {"path": "", "model": "served"}


def test_tempo_and_key_are_given_on_request(song: Path, model: dict[str, Any]) -> None:
    answer = Worker(audio_s=60).answer(job_message(song, model, describe=True))["answer"]
    expected = load_bundle(model["path"]).with_description().predict(song).to_json(describe=True)
    assert answer == expected | {"path": "", "model": "served"} and "tempo_bpm" in answer


def test_memory_that_runs_out_while_describing_costs_the_worker_but_not_the_answer(
    song: Path, model: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ear = Worker(audio_s=60)
    plain = ear.answer(job_message(song, model))["answer"]

    def run_out(_: Audio) -> NoReturn:
        raise MemoryError

    monkeypatch.setattr(file, "describe_track", run_out)
    answer = ear.answer(job_message(song, model, describe=True))["answer"]
    assert ear.out_of_memory
    assert answer["notes"] == ["tempo and key: not enough memory for the middle of the track"]
    assert (answer["genre"], answer["tempo_bpm"]) == (plain["genre"], None)


def test_min_precision_is_applied(song: Path, model: dict[str, Any]) -> None:
    expected = load_bundle(model["path"]).with_min_precision(0.5).predict(song)
    said = Worker(audio_s=60).answer(job_message(song, model | {"min_precision": 0.5}))["answer"]
    assert (said["genre"], said["unknown_because"]) == (expected.genre, expected.unknown_because)


def test_any_turns_the_thresholds_off(song: Path, model: dict[str, Any]) -> None:
    strict = model | {"min_precision": 0.999}
    said = Worker(audio_s=60).answer(job_message(song, strict))["answer"]
    assert (said["genre"], said["unknown_because"]) == ("unknown", "unsure")
    named = Worker(audio_s=60).answer(job_message(song, strict, any_genre=True))["answer"]
    assert (named["genre"], named["unknown_because"]) == (max(GENRES, key=said["probabilities"].get), None)


def test_models_no_longer_served_are_unloaded(model: dict[str, Any], tmp_path: Path) -> None:
    bundle_for(tmp_path / "other", VIEW)
    other = model | {"path": str(tmp_path / "other")}
    ear = Worker(audio_s=60)
    ear.answer({"load": [model]})
    kept = ear._loaded[model["path"]]
    ear.answer({"load": [model, other]})
    assert ear._loaded[model["path"]] is kept
    ear.answer({"load": [other]})
    assert list(ear._loaded) == [other["path"]]


def test_unloadable_model_does_not_prevent_loading_the_others(
    model: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    gone = model | {"path": "/nowhere/at/all"}
    assert Worker(audio_s=60).answer({"load": [gone, model]}) == {"loaded": [model["path"]]}
    assert "BundleError" in capsys.readouterr().err


def test_too_long_file_is_not_decoded(song: Path, model: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object) -> NoReturn:
        raise AssertionError("decoded")

    monkeypatch.setattr(Audio, "read", read)
    said = Worker(audio_s=2.5).answer(job_message(song, model))
    assert said["kind"] == "too-long"
    assert said["detail"].startswith("The file lasts 3 s; at most 2.5 s are accepted. Send an excerpt, ")


@pytest.mark.parametrize(
    ("seconds", "most_s", "said"),
    [
        (1_500.0, 1_200.0, "The file lasts 25 minutes; at most 20 minutes are accepted."),
        (1_200.01, 1_200.0, "The file lasts 20.1 minutes; at most 20 minutes are accepted."),
        (36_000_000.0, 1_200.0, "The file lasts 600,000 minutes; at most 20 minutes are accepted."),
        (100.01, 100.0, "The file lasts 100.1 s; at most 100 s are accepted."),
        (None, 1_200.0, "The file lasts more than 20 minutes; at most 20 minutes are accepted."),
    ],
)
def test_too_long_message_states_duration_and_limit(seconds: float | None, most_s: float, said: str) -> None:
    assert worker._too_long(seconds, most_s)["detail"].startswith(said + " Send an excerpt")


def test_too_long_answer_is_refused(song: Path, model: dict[str, Any]) -> None:
    ear = Worker(audio_s=60, longest=600)
    said = ear.answer(job_message(song, model, timeline=True))
    assert said["kind"] == "too-long"
    assert "Leave out timeline" in said["detail"]
    assert len(ear.answer(job_message(song, model))["answer"]["probabilities"]) == 3


def test_start_is_reported_once_the_model_is_loaded(model: dict[str, Any], tmp_path: Path) -> None:
    ear, loaded = Worker(audio_s=60), list[list[str]]()
    said = ear.answer(job_message(tmp_path / "gone", model), lambda: loaded.append(list(ear._loaded)))
    assert (said["kind"], loaded) == ("internal", [[model["path"]]])


def test_file_without_a_stated_length_is_measured(tmp_path: Path, model: dict[str, Any]) -> None:
    """A FLAC that was streamed states 0 samples, in 36 bits of its first block: its last frame tells the length."""
    soundfile.write(tmp_path / "7", noise(3), SR, format="FLAC")
    content = bytearray((tmp_path / "7").read_bytes())
    content[21], content[22:26] = content[21] & 0xF0, bytes(4)
    (tmp_path / "7").write_bytes(content)
    said = Worker(audio_s=2.5).answer(job_message(tmp_path / "7", model))
    assert said["detail"].startswith("The file lasts 3 s; at most 2.5 s are accepted.")
    said = Worker(audio_s=60).answer(job_message(tmp_path / "7", model))["answer"]
    assert said["duration_s"] == pytest.approx(3, abs=0.01)


def test_unusable_files_are_refused_with_their_kind(tmp_path: Path, model: dict[str, Any]) -> None:
    (tmp_path / "1").write_text("no sound\n" * 100)
    soundfile.write(tmp_path / "2", np.zeros(SR), SR, format="WAV")
    ear = Worker(audio_s=60)
    found = [ear.answer(job_message(tmp_path / name, model)) for name in "12"]
    assert [f["kind"] for f in found] == ["not-audio", "unusable"]
    assert not ear.out_of_memory


def test_invalid_model_output_makes_the_file_unusable(
    song: Path, model: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def predict_audio(bundle: Any, _: object) -> NoReturn:
        raise BundleError(f"{bundle.path}: the model answers numbers that are no probabilities")

    monkeypatch.setattr(worker, "predict_audio", predict_audio)
    said = Worker(audio_s=60).answer(job_message(song, model))
    assert said["kind"] == "unusable"
    assert "/" not in said["detail"]


def test_out_of_memory_refuses_the_file_and_retires_the_worker(
    song: Path, model: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def predict_audio(*_: object) -> NoReturn:
        raise MemoryError

    monkeypatch.setattr(worker, "predict_audio", predict_audio)
    ear = Worker(audio_s=60)
    assert ear.answer(job_message(song, model)) == {"kind": "damaged", "detail": NO_MEMORY}
    assert ear.out_of_memory, "its memory is full of holes now"


def test_internal_error_is_only_logged(
    song: Path, model: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def predict_audio(*_: object) -> NoReturn:
        raise KeyError("secret")

    monkeypatch.setattr(worker, "predict_audio", predict_audio)
    said = Worker(audio_s=60).answer(job_message(song, model))
    assert said["kind"] == "internal"
    assert "secret" not in json.dumps(said)
    assert "secret" in capsys.readouterr().err


# --- the process ---

NUMBERS = itertools.count(7)


def start_worker(memory: int = 3 << 30, hook: Path | None = None) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "genrelab.serve.workers.worker", "60", str(memory), "10000"]
    env = os.environ | ({"PYTHONPATH": os.pathsep.join([str(hook), *sys.path])} if hook else {})
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)


def ask_worker(process: subprocess.Popen[bytes], said: dict[str, Any]) -> Any:
    assert process.stdin is not None
    assert process.stdout is not None
    number = {"number": next(NUMBERS)}
    process.stdin.write(json.dumps(said | number).encode() + b"\n")
    process.stdin.flush()
    if "path" in said:
        assert json.loads(process.stdout.readline()) == number | {"started": True}
    answer = json.loads(process.stdout.readline())
    assert answer.pop("number") == number["number"]
    return answer


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with start_worker() as found:
        yield found
        found.kill()


def test_worker_processes_jobs_until_its_input_closes(
    process: subprocess.Popen[bytes], song: Path, model: dict[str, Any]
) -> None:
    assert ask_worker(process, {"load": [model]}) == {"loaded": [model["path"]]}
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        os.kill(process.pid, getattr(signal, name))
    assert ask_worker(process, job_message(song, model))["answer"]["model"] == "served"
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(HANG_S) == 0


def test_worker_ends_during_a_file_when_its_input_closes(tmp_path: Path, song: Path, model: dict[str, Any]) -> None:
    held = HeldFiles(tmp_path / "hook", str(song))
    with start_worker(hook=held.folder) as process:
        try:
            ask_worker(process, {"load": [model]})
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(job_message(song, model, number=1)).encode() + b"\n")
            process.stdin.flush()
            held.wait()
            process.stdin.close()
            assert process.wait(HANG_S) == 0
            assert json.loads(process.stdout.read()) == {"number": 1, "started": True}
        finally:
            process.kill()
            held.close()


@pytest.mark.skipif(sys.platform != "linux", reason="such limits are Linux's")
def test_worker_runs_under_resource_limits(song: Path, model: dict[str, Any]) -> None:
    with start_worker(250 << 20) as process:
        try:
            ask_worker(process, {"load": [model]})
            assert ask_worker(process, job_message(song, model))["answer"]["genre"] in GENRES
            text = Path(f"/proc/{process.pid}/limits").read_text()
            limits = {line[:26].strip(): line[26:].split()[0] for line in text.splitlines()}
            assert "NoNewPrivs:\t1\n" in Path(f"/proc/{process.pid}/status").read_text()
            assert limits["Max data size"] == str(250 << 20)
            assert limits["Max file size"] == limits["Max core file size"] == "0"
        finally:
            process.kill()
