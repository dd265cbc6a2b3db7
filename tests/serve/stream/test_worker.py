"""Bytes to windows to answers, in the process of a stream; what it refuses, and what it is not allowed to do."""

from __future__ import annotations

import io
import json
import math
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from genrelab.audio.clips import read
from genrelab.core.config import (
    EMBEDDING_CLIPS,
    ClipSettings,
    EmbeddingView,
    LogMelView,
    MelImageView,
)
from genrelab.features.tags import TAGS
from genrelab.predict import prediction
from genrelab.predict.classifier import Classifier, load_bundle
from genrelab.predict.prediction import Decision
from genrelab.serve.stream import worker
from genrelab.serve.stream.framing import PIECE_BYTES, StreamJob, pack_piece, unpack_piece
from genrelab.serve.stream.worker import StreamRefused, Windows, run_stream
from tests.support.bundles import SR, bundle_for, noise
from tests.support.guards import HANG_S, killed_if_it_hangs

VIEW = LogMelView(sr=SR, n_fft=512, hop_length=256, n_mels=16, window_s=1.0, hop_s=1.0)
CLIPS = ClipSettings(clip_s=2.5, min_s=0.5)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    return bundle_for(tmp_path_factory.mktemp("b") / "bundle", VIEW, CLIPS)


@pytest.fixture(scope="module")
def order(bundle: Classifier) -> StreamJob:
    return StreamJob(str(bundle.path), "served", "pcm16", SR, 1, 3.0, 1.0)


class FakeConnection:
    """A service that hands over these pieces, and keeps what it is told."""

    def __init__(self, pieces: list[bytes], *, endless: bytes = b"") -> None:
        self.told: list[dict[str, Any]] = []
        self._pieces, self._endless = iter([*pieces]), endless
        self.given = 0

    def send(self, **news: Any) -> None:
        self.told.append(json.loads(json.dumps(news, allow_nan=False)))

    def receive(self) -> bytes:
        assert self.told[-1]["type"] == "more", "it takes only what it has asked for"
        piece = next(self._pieces, self._endless)
        self.given += len(piece)
        return piece

    @property
    def predictions(self) -> list[dict[str, Any]]:
        return [t for t in self.told if t["type"] == "prediction"]


def process_stream(order: StreamJob, pieces: list[bytes], **more: Any) -> FakeConnection:
    wire = FakeConnection(pieces, **more)
    run_stream(wire, order)  # type: ignore[arg-type]
    return wire


def pcm16(y: NDArray[np.float32]) -> bytes:
    return (y * 32_767).astype("<i2").tobytes()


def cut(data: bytes, seed: int = 0, most: int = PIECE_BYTES) -> list[bytes]:
    """Pieces of all lengths."""
    pick, pieces, at = random.Random(seed), [], 0
    while at < len(data):
        n = pick.choice([1, 2, 3, 7, 100, 4_096, most])
        pieces.append(data[at : at + n])
        at += n
    return pieces


def assert_same_prediction(
    said: dict[str, Any], bundle: Classifier, y: NDArray[np.float32], sr: int, *, tolerance: float = 1e-6, **form: Any
) -> None:
    """Is it what the model says of that window of the sound?"""
    window = y[round(said["start_s"] * sr) : round(said["end_s"] * sr)]
    expected = bundle.predict(window, sr).to_json(**form) | {"model": "served"}
    assert {k: said[k] for k in expected if k not in ("probabilities", "confidence", "duration_s")} == {
        k: v for k, v in expected.items() if k not in ("probabilities", "confidence", "duration_s")
    }
    assert said["duration_s"] == pytest.approx(expected["duration_s"], abs=1e-9)
    assert said["probabilities"] == pytest.approx(expected["probabilities"], abs=tolerance)
    assert said["confidence"] == pytest.approx(expected["confidence"], abs=tolerance)


@settings(max_examples=25, deadline=None)
@given(
    sr=st.sampled_from([8_000, 11_025, 22_050, 44_100, 48_000, 96_000]),
    channels=st.integers(1, 8),
    seconds=st.floats(0, 6),
    window_s=st.sampled_from([3.0, 3.7, 5.0]),
    seed=st.integers(0, 1_000),
)
def test_pcm16_predictions_equal_those_of_the_same_samples(
    bundle: Classifier, order: StreamJob, sr: int, channels: int, seconds: float, window_s: float, seed: int
) -> None:
    x = (0.3 * np.random.default_rng(seed).standard_normal((round(seconds * sr), channels))).clip(-1, 1)
    data = pcm16(x)
    y = (np.frombuffer(data, "<i2").reshape(-1, channels) / np.float32(32_768)).mean(axis=1).astype(np.float32)
    wire = process_stream(replace(order, sr=sr, channels=channels, window_s=window_s), cut(data, seed))
    ends = [p["end_s"] for p in wire.predictions]
    short = [len(y) / sr] if 0.5 * sr <= len(y) < sr else []
    assert ends == short + [e for e in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0) if round(e * sr) <= len(y)]
    for said in wire.predictions:
        assert said["start_s"] == max(0.0, said["end_s"] - window_s)
        assert_same_prediction(
            said, bundle, y, sr, tolerance=1e-12 if channels == 1 else 1e-4
        )  # float32's mean of channels
    assert wire.told[0] == {"type": "ready"}
    end = wire.told[-1]
    assert (end["type"], end["audio_s"]) == ("end", pytest.approx(len(y) / sr))
    assert (end["recording"] is None) == (not wire.predictions)


def test_incomplete_sample_at_the_end_is_ignored(order: StreamJob) -> None:
    wire = process_stream(replace(order, channels=2), [pcm16(noise(4)) + b"\x01"])
    assert (wire.told[-1]["type"], wire.told[-1]["audio_s"]) == ("end", 2.0)


def test_first_prediction_comes_after_one_full_window(tmp_path: Path) -> None:
    image = bundle_for(tmp_path / "b", MelImageView(sr=SR, n_fft=512, size=16), ClipSettings(min_s=0.5))
    job = StreamJob(str(image.path), "m", "pcm16", SR, 1, 5.0, 3.5)
    process = process_stream(job, [pcm16(noise(5.2))])
    assert [(p["start_s"], p["end_s"]) for p in process.predictions] == [(0, 3.5), (0, 4), (0, 5)]


def test_stream_shorter_than_one_window_gets_a_prediction_at_its_end(bundle: Classifier, order: StreamJob) -> None:
    y = noise(0.7)
    process = process_stream(order, [pcm16(y)])
    (said,) = process.predictions
    assert (said["start_s"], said["end_s"], said["genre"] is None) == (0, 0.7, False)
    assert process.told.index(said) == len(process.told) - 2, "at the end"
    assert process.told[-1]["recording"] == {k: v for k, v in said.items() if k not in ("type", "start_s", "end_s")}
    assert_same_prediction(said, bundle, np.frombuffer(pcm16(y), "<i2") / np.float32(32_768), SR)
    too_short = process_stream(order, [pcm16(noise(0.4))])
    assert (too_short.predictions, too_short.told[-1]["recording"]) == ([], None)


def test_silence_is_reported_and_later_audio_is_classified(order: StreamJob) -> None:
    wire = process_stream(order, [pcm16(np.zeros(4 * SR, np.float32)), pcm16(noise(4))])
    errors = [p["error"] for p in wire.predictions]
    assert errors[:4] == ["silent: no sample reaches -80 dBFS"] * 4
    assert errors[4:] == [None] * 4
    first = wire.predictions[0]
    assert (first["genre"], first["confidence"], first["probabilities"]) == (None, None, {})


def test_top_limits_the_genres_of_each_prediction(order: StreamJob) -> None:
    for said in process_stream(replace(order, top=1), [pcm16(noise(2))]).predictions:
        assert said["probabilities"] == {said["genre"]: said["confidence"]}
        assert set(said) == {
            "type", "start_s", "end_s", "path", "genre", "confidence", "probabilities", "unknown_because",
            "duration_s", "model", "error", "notes",
        }  # fmt: skip
        assert (said["path"], said["model"]) == ("", "served")


def test_end_message_averages_non_overlapping_windows(order: StreamJob) -> None:
    wire = process_stream(order, [pcm16(np.concatenate([noise(4), np.zeros(2 * SR, np.float32), noise(4.5)]))])
    rows = [p["probabilities"] for p in wire.predictions if p["end_s"] in (3, 6, 9)]
    said = wire.told[-1]["recording"]
    assert said["probabilities"] == pytest.approx({g: np.mean([row[g] for row in rows]) for g in rows[0]})
    assert said["confidence"] == said["probabilities"][said["genre"]] == max(said["probabilities"].values())
    assert (said["path"], said["model"], said["duration_s"], said["error"]) == ("", "served", 10.5, None)
    assert list(process_stream(replace(order, top=1), [pcm16(noise(4))]).told[-1]["recording"]["probabilities"]) == [
        said["genre"]
    ]


def test_end_message_of_a_silent_stream_has_no_prediction(order: StreamJob) -> None:
    assert process_stream(order, [pcm16(np.zeros(4 * SR, np.float32))]).told[-1]["recording"] is None


def test_decision_thresholds_apply_to_streams(order: StreamJob, monkeypatch: pytest.MonkeyPatch) -> None:
    never = Decision(thresholds=dict.fromkeys(("Blues", "Folk", "Rock")))
    monkeypatch.setattr(worker, "load_bundle", lambda path: replace(load_bundle(path), decision=never))
    wire = process_stream(order, [pcm16(noise(2))])
    for said in (*wire.predictions, wire.told[-1]["recording"]):
        assert (said["genre"], said["unknown_because"]) == ("unknown", "unsure")


# --- models that read `embedding` ---


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    return bundle_for(tmp_path_factory.mktemp("gated") / "bundle", EmbeddingView(), EMBEDDING_CLIPS, bias=(9, 0, 0))


@pytest.fixture
def gated_order(gated: Classifier) -> StreamJob:
    return StreamJob(str(gated.path), "served", "pcm16", SR, 1, 7.0, 3.0)


def test_embedding_stream_pools_all_windows_of_the_last_seconds(gated: Classifier, gated_order: StreamJob) -> None:
    data = pcm16(noise(9))
    y = np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32_768)
    wire = process_stream(gated_order, [data])
    assert [(p["start_s"], p["end_s"]) for p in wire.predictions] == [
        (0, 3), (0, 4), (0, 5), (0, 6), (0, 7), (1, 8), (2, 9),
    ]  # fmt: skip
    for said in wire.predictions:
        assert "tags" not in said
        assert_same_prediction(said, gated.with_windows("all"), y, SR, tags=False)


def test_embedding_stream_has_tags_on_request(gated_order: StreamJob) -> None:
    wire = process_stream(replace(gated_order, tags=True), [pcm16(noise(4))])
    for said in (*wire.predictions, wire.told[-1]["recording"]):
        assert set(said["tags"]) == set(TAGS)


def test_gate_applies_to_streams_unless_a_genre_is_asked_for(
    gated_order: StreamJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction, "MIN_MUSIC_SCORE", math.inf)
    for order, genre, reason in (
        (gated_order, "unknown", "not_music"),
        (replace(gated_order, any_genre=True), "Blues", None),
    ):
        wire = process_stream(order, [pcm16(noise(4))])
        for said in (*wire.predictions, wire.told[-1]["recording"]):
            assert (said["genre"], said["unknown_because"]) == (genre, reason)


# --- containers ---


def encoded(y: NDArray[np.float32], sr: int, container: str = "webm", codec: str = "libopus", **options: str) -> bytes:
    """As a recorder sends it: nothing is gone back to."""
    sink = io.BytesIO()
    sink.seekable = lambda: False  # type: ignore[method-assign]
    with av.open(sink, "w", format=container, options=options) as out:
        stream = out.add_stream(codec, rate=sr, layout="mono")
        frame = av.AudioFrame.from_ndarray((y * 32_767).astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate = sr
        resampler = av.AudioResampler(stream.format, "mono", sr, frame_size=stream.frame_size or None)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    return sink.getvalue()


WEBM = encoded(noise(5, 48_000), 48_000, live="1")
CLUSTER = b"\x1f\x43\xb6\x75"
CONTAINERS = {
    "webm": WEBM,
    "webm of known length": encoded(noise(5, 48_000), 48_000),
    "ogg": encoded(noise(5, 48_000), 48_000, "ogg", page_duration="200000"),
    "mp3": encoded(noise(5, 44_100), 44_100, "mp3", "libmp3lame", write_xing="0", id3v2_version="0"),
    "flac": encoded(noise(5, 44_100), 44_100, "flac", "flac"),
    "wav": encoded(noise(5, 44_100), 44_100, "wav", "pcm_s16le"),
    "adts": encoded(noise(5, 44_100), 44_100, "adts", "aac"),
    "fragmented mp4": encoded(
        noise(5, 44_100), 44_100, "mp4", "aac", movflags="empty_moov+default_base_moof", frag_duration="200000"
    ),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_streamed_container_gives_the_predictions_of_the_file(
    bundle: Classifier, order: StreamJob, tmp_path: Path, name: str
) -> None:
    data = CONTAINERS[name]
    (tmp_path / "file").write_bytes(data)
    y, sr = read(tmp_path / "file")
    wire = process_stream(replace(order, format="webm"), cut(data))
    assert [p["end_s"] for p in wire.predictions][:4] == [1, 2, 3, 4]
    for said in wire.predictions[:4]:
        assert_same_prediction(said, bundle, y, sr, tolerance=0.02)  # decoders cut the codec's delay differently
    assert wire.told[-1]["audio_s"] == pytest.approx(5, abs=0.15)


def test_webm_stream_gives_exactly_the_samples_of_the_file(
    bundle: Classifier, order: StreamJob, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(WEBM)
    y, sr = read(tmp_path / "file")
    for said in process_stream(replace(order, format="webm"), cut(WEBM, 1)).predictions:
        assert_same_prediction(said, bundle, y, sr)


def test_prediction_needs_only_the_bytes_of_its_window(order: StreamJob) -> None:
    """What arrives is decoded at once: FFmpeg hoards nothing."""
    wire = process_stream(replace(order, format="webm"), [WEBM[i : i + 500] for i in range(0, len(WEBM), 500)])
    asked, late = 0, []
    for news in wire.told:
        asked += news["type"] == "more"
        if news["type"] == "prediction":
            late.append(500 * asked / len(WEBM) * 5 - news["end_s"])
    assert max(late) < 0.3


def test_concatenated_recordings_continue_one_stream(order: StreamJob) -> None:
    assert process_stream(replace(order, format="webm"), [WEBM + WEBM]).told[-1]["audio_s"] == pytest.approx(
        10, abs=0.1
    )


def test_truncated_recording_is_processed_up_to_its_end(order: StreamJob) -> None:
    wire = process_stream(replace(order, format="webm"), [WEBM[: len(WEBM) // 2]])
    assert wire.told[-1]["type"] == "end"
    assert wire.told[-1]["audio_s"] == pytest.approx(2.5, abs=0.3)


def test_empty_stream_ends_without_an_error(order: StreamJob) -> None:
    for form in ("pcm16", "webm"):
        assert process_stream(replace(order, format=form), []).told[-1] == {
            "type": "end",
            "audio_s": 0.0,
            "recording": None,
        }


RANDOM = random.Random(0).randbytes(1 << 16)


@pytest.mark.parametrize(
    ("kind", "beginning", "endless"),
    [
        ("not-audio", b"", RANDOM),
        ("not-audio", b"", bytes(1 << 16)),
        ("not-audio", b"", b"words, words, words\n" * 3_000),
        ("not-audio", b"hello", b""),
        ("not-audio", b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n", b""),
        ("not-audio", b"ffconcat version 1.0\nfile '/etc/passwd'\n", b""),
        ("damaged", WEBM[:20_000], RANDOM),
        ("damaged", CONTAINERS["mp3"][:20_000], RANDOM),
        ("not-audio", WEBM[: WEBM.index(CLUSTER)], b""),
        ("unsupported-codec", WEBM.replace(b"A_OPUS", b"A_OPUX"), b""),
    ],
)
def test_non_audio_stream_is_refused_early(order: StreamJob, kind: str, beginning: bytes, endless: bytes) -> None:
    wire = FakeConnection([beginning] * bool(beginning), endless=endless)
    with pytest.raises(StreamRefused) as e:
        run_stream(wire, replace(order, format="webm"))  # type: ignore[arg-type]
    assert e.value.kind == kind
    assert wire.given < 3 << 20
    assert "/" not in e.value.detail


@pytest.mark.parametrize("sr", [4_000, 384_000])
def test_unsupported_sample_rate_is_refused(order: StreamJob, sr: int) -> None:
    with pytest.raises(StreamRefused, match="use 8,000 to 192,000 Hz") as e:
        process_stream(replace(order, format="webm"), [encoded(noise(1, sr), sr, "wav", "pcm_s16le")])
    assert e.value.kind == "unusable"


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(sorted(CONTAINERS)), seed=st.integers(0, 10**6), hits=st.integers(1, 200))
def test_damaged_stream_is_processed_or_refused(order: StreamJob, name: str, seed: int, hits: int) -> None:
    pick, data = random.Random(seed), bytearray(CONTAINERS[name])
    for _ in range(hits):
        data[pick.randrange(len(data))] = pick.randrange(256)
    try:
        wire = process_stream(replace(order, format="webm"), cut(bytes(data), seed))
    except StreamRefused as e:
        assert e.kind in ("not-audio", "damaged", "unsupported-codec", "unusable")
    else:
        assert wire.told[-1]["type"] == "end"


# --- windows ---


def test_sample_rate_change_starts_a_new_recording() -> None:
    windows = Windows(3.0, 1.0)
    found = [
        (start_s, end_s, len(y))
        for sr, n in ((100, 250), (200, 500), (100, 100))
        for start_s, end_s, y in windows.add(sr, np.zeros(n, np.float32))
    ]
    assert found == [
        (0, 1, 100), (0, 2, 200), (2.5, 3.5, 200), (2.5, 4.5, 400), (5, 6, 100),
    ]  # fmt: skip
    assert windows.audio_s == 6.0


@settings(max_examples=50, deadline=None)
@given(pieces=st.lists(st.integers(0, 700), max_size=60), window=st.floats(3, 5), need=st.floats(0.1, 3))
def test_windows_hold_the_last_seconds_and_no_more(pieces: list[int], window: float, need: float) -> None:
    windows, all_of_it = Windows(window, need), np.arange(sum(pieces), dtype=np.float32)
    at, ends = 0, []
    for n in pieces:
        for start_s, end_s, y in windows.add(100, all_of_it[at : at + n]):
            assert list(y) == list(all_of_it[round(start_s * 100) : round(end_s * 100)])
            ends.append(end_s)
        at += n
        assert sum(map(len, windows._kept)) <= (window + 1) * 100 + 700
    assert ends == sorted(set(ends))
    assert all(e == round(e) for e in ends[1:])


# --- as a process ---


@pytest.fixture
def process(order: StreamJob) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "genrelab.serve.stream.worker", str(3 << 30)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as begun:
        assert begun.stdin is not None
        begun.stdin.write(pack_piece(order.to_json()))
        with killed_if_it_hangs(begun):
            yield begun
        begun.kill()


def read_message(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert process.stdout is not None
    found: dict[str, Any] = json.loads(process.stdout.readline())
    return found


def test_process_asks_for_audio_and_reports_predictions(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    assert read_message(process) == {"type": "ready"}
    assert read_message(process) == {"type": "more", "audio_s": 0.0}
    process.stdin.write(pack_piece(pcm16(noise(1))))
    said = read_message(process)
    assert said["type"] == "prediction"
    assert read_message(process) == {"type": "more", "audio_s": 1.0}
    process.stdin.write(pack_piece(b""))
    recording = {k: v for k, v in said.items() if k not in ("type", "start_s", "end_s")}
    assert read_message(process) == {"type": "end", "audio_s": 1.0, "recording": recording}
    assert process.wait(HANG_S) == 0


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="looks into Linux's /proc")
def test_process_runs_under_resource_limits(process: subprocess.Popen[bytes]) -> None:
    read_message(process)
    limits = Path(f"/proc/{process.pid}/limits").read_text()
    found = {row[:26].strip(): row[26:46].strip() for row in limits.splitlines()}
    assert found["Max file size"] == found["Max core file size"] == "0"
    assert int(found["Max data size"]) == 3 << 30


def test_process_ends_with_its_input_and_ignores_signals(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    assert read_message(process) == {"type": "ready"}
    assert read_message(process) == {"type": "more", "audio_s": 0.0}
    process.terminate()
    process.send_signal(signal.SIGINT)
    process.stdin.write(pack_piece(pcm16(noise(1))))
    assert read_message(process)["type"] == "prediction"
    assert read_message(process) == {"type": "more", "audio_s": 1.0}
    process.stdin.close()
    assert process.wait(HANG_S) == 0


def test_pieces_are_length_prefixed() -> None:
    pieces = [b"", b"a", os.urandom(PIECE_BYTES)]
    source = io.BytesIO(b"".join(map(pack_piece, pieces)) + pack_piece(b"cut off")[:-1])
    assert [unpack_piece(source) for _ in range(4)] == [*pieces, None]
