"""The process of one stream, `python -m genrelab.serve.stream.worker`, started by `process.py`.

It receives bytes as they arrive, keeps the last seconds of audio, and sends predictions (protocol: `framing.py`). It
requests bytes only when it has used up the last, so that nothing is buffered on the way. It cannot write files, its
memory is limited, and it is not trusted: the service parses its output as JSON only, and kills it.
"""

from __future__ import annotations

import json
import math
import os
import sys
import traceback
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any, BinaryIO, NoReturn

from genrelab.core.processes import use_one_thread

use_one_thread()  # before NumPy is loaded

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from genrelab.audio import ffmpeg  # noqa: E402
from genrelab.predict.classifier import Classifier, load_bundle  # noqa: E402
from genrelab.predict.prediction import Prediction  # noqa: E402
from genrelab.serve.limits import MIB  # noqa: E402
from genrelab.serve.stream.framing import HIGHEST_SR, LOWEST_SR, PIECE_BYTES, StreamJob, unpack_piece  # noqa: E402
from genrelab.serve.stream.summary import StreamSummary  # noqa: E402
from genrelab.serve.workers.error_kinds import NO_MEMORY  # noqa: E402
from genrelab.serve.workers.worker import enter_sandbox, read_ahead  # noqa: E402

AudioChunk = tuple[int, NDArray[np.float32]]
"""The rate in Hz, and the next mono samples, shape (samples,)."""

MAX_BYTES_BEFORE_AUDIO, MAX_BYTES_BETWEEN_AUDIO = 2 * MIB, MIB >> 1
"""Maximum bytes without audio: at the start, where an MP3 may have a picture, and later."""

_RATES = f"{LOWEST_SR:,} to {HIGHEST_SR:,} Hz"
_NOT_AUDIO = "The format is unknown. Send WebM or Ogg with Opus, as a browser's MediaRecorder does, an MP3, or pcm16."


class StreamRefused(Exception):  # noqa: N818 - reads as what it is
    """A stream that cannot be classified, with the kind and the detail of the problem."""

    def __init__(self, kind: str, detail: str) -> None:
        self.kind, self.detail = kind, detail
        super().__init__(detail)


def main() -> NoReturn:
    """Process one stream to its end. Argument: memory limit in bytes."""
    pipe = ServicePipe(sys.stdin.buffer, enter_sandbox(int(sys.argv[1])))
    try:
        run_stream(pipe, StreamJob(**json.loads(pipe.receive())))
    except StreamRefused as e:
        pipe.send(type="refused", kind=e.kind, detail=e.detail)
    except MemoryError:
        pipe.send(type="refused", kind="unusable", detail=NO_MEMORY)
    except Exception:  # noqa: BLE001 - the service logs what is printed
        traceback.print_exc()
        os._exit(1)
    os._exit(0)  # an ordinary exit would wait for the thread that reads from the service


class ServicePipe:
    """The pipes to and from the service. Where the service has ended the process exits at once."""

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        self._sink = sink
        self._pieces = read_ahead(iter(partial(unpack_piece, source), None))

    def receive(self) -> bytes:
        """The next piece from the service."""
        return self._pieces.get()

    def send(self, **message: Any) -> None:
        """Send a message to the service."""
        self._sink.write(json.dumps(message, allow_nan=False).encode() + b"\n")


def run_stream(pipe: ServicePipe, job: StreamJob) -> None:
    """Process one stream, from loading the model to the last prediction.

    Raises:
        StreamRefused: it cannot be classified.
    """
    bundle = _load_model(job)
    pipe.send(type="ready")
    windows = Windows(job.window_s, job.first_answer_s)
    summary = StreamSummary(bundle, job.window_s)
    source = StreamSource(pipe)

    def predict(start_s: float, end_s: float, window: NDArray[np.float32]) -> None:
        prediction = bundle.predict(window, windows.sr)
        summary.add(start_s, end_s, prediction)
        pipe.send(type="prediction", start_s=start_s, end_s=end_s, **_prediction_json(prediction, job))

    for sr, y in decode_stream(source, job):
        for window in windows.add(sr, y):
            predict(*window)
        source.audio_s = windows.audio_s
    for window in windows.short_stream(bundle.clips.min_s):
        predict(*window)
    recording = summary.prediction(windows.audio_s)
    pipe.send(type="end", audio_s=windows.audio_s, recording=recording and _prediction_json(recording, job))


def _load_model(job: StreamJob) -> Classifier:
    """The model, after a warm-up prediction for a window of this stream, so that the first one is as fast as others.

    One that stops early uses all clips of a window instead: there are few.
    """
    bundle = load_bundle(job.bundle).with_min_precision(job.min_precision)
    bundle = bundle.with_windows("all") if bundle.stops_early else bundle
    bundle = bundle.with_any() if job.any_genre else bundle
    noise = 0.1 * np.random.default_rng(0).standard_normal(round(job.window_s * job.sr))
    bundle.predict(noise.astype(np.float32), job.sr)
    return bundle


def _prediction_json(prediction: Prediction, job: StreamJob) -> dict[str, Any]:
    return replace(prediction, model=job.name).to_json(top=job.top, tags=job.tags)


# --- Bytes to samples ---


class StreamSource:
    """The bytes of a stream, as a file without seeking.

    Attributes:
        bytes_read: so far.
        at_end: the last bytes have been received.
        has_audio: they contained audio.
        audio_s: seconds of audio that have been processed, reported to the service.
    """

    def __init__(self, pipe: ServicePipe) -> None:
        self._pipe, self._rest = pipe, memoryview(b"")
        self.bytes_read = self._bytes_without_audio = 0
        self.at_end = self.has_audio = False
        self.audio_s = 0.0

    def read(self, n: int, /) -> bytes:
        """At most `n` bytes, as soon as there are any; none at the end, or where `audio_missing`."""
        if not self._rest and not self.at_end and not self.audio_missing:
            self._pipe.send(type="more", audio_s=self.audio_s)
            self._rest = memoryview(self._pipe.receive())
            self.at_end = not self._rest
        data, self._rest = bytes(self._rest[:n]), self._rest[n:]
        self._bytes_without_audio += len(data)
        self.bytes_read += len(data)
        return data

    def mark_audio(self) -> None:
        """Record that the bytes read last contained audio."""
        self.has_audio, self._bytes_without_audio = True, 0

    @property
    def audio_missing(self) -> bool:
        """Were more bytes read without audio than may be?"""
        return self._bytes_without_audio > (MAX_BYTES_BETWEEN_AUDIO if self.has_audio else MAX_BYTES_BEFORE_AUDIO)


def decode_stream(source: StreamSource, job: StreamJob) -> Iterator[AudioChunk]:
    """The audio of a stream as it arrives.

    Raises:
        StreamRefused: it has no audio, or none that can be decoded.
    """
    return _decode_pcm16(source, job) if job.format == "pcm16" else _decode_container(source)


def _decode_pcm16(source: StreamSource, job: StreamJob) -> Iterator[AudioChunk]:
    """Interleaved little-endian samples; a piece may end in the middle of one."""
    rest, size = b"", 2 * job.channels
    weights = np.full(job.channels, 1 / job.channels, np.float32) / np.float32(1 << 15)
    while data := source.read(PIECE_BYTES):
        source.mark_audio()
        rest += data
        n = len(rest) // size * size
        x = np.frombuffer(rest[:n], "<i2").reshape(-1, job.channels)
        rest = rest[n:]
        y: NDArray[np.float32] = x.astype(np.float32) @ weights
        yield job.sr, y


def _decode_container(source: StreamSource) -> Iterator[AudioChunk]:
    """Any container that can be read without seeking."""
    opened = False
    try:
        with ffmpeg.open_pipe(source) as (container, stream):
            opened = True
            if stream.codec_context is None:
                raise StreamRefused("unsupported-codec", "There is no decoder for this codec. Send Opus or pcm16.")
            for packet in container.demux(stream):
                for frame in ffmpeg.decode_packet(packet):
                    if not LOWEST_SR <= frame.sample_rate <= HIGHEST_SR:
                        raise StreamRefused("unusable", f"The sample rate is {frame.sample_rate:,} Hz; use {_RATES}.")
                    source.mark_audio()
                    yield frame.sample_rate, ffmpeg.mono(frame)
    except ffmpeg.FFMPEG_ERRORS as e:
        if source.bytes_read and not opened:
            raise StreamRefused("not-audio", _NOT_AUDIO) from e
        if not source.at_end:  # otherwise it was cut off: what came before counts
            raise StreamRefused("damaged", "The audio cannot be decoded any further.") from e
    while source.read(PIECE_BYTES):  # data after the audio of a file
        pass
    if not source.at_end or (opened and not source.has_audio):
        raise StreamRefused("damaged" if opened else "not-audio", "There is no audio in the stream, or no more of it.")


# --- Samples to windows ---


Window = tuple[float, float, NDArray[np.float32]]
"""Start and end in seconds of the stream, and samples."""


class Windows:
    """The windows of a stream: the first as soon as there is enough audio, then one that ends at every full second.

    If the sample rate changes, a new recording starts: windows do not reach back into the previous one.

    Args:
        window_s: maximum length in seconds.
        min_window_s: minimum length in seconds.

    Attributes:
        sr: rate of the latest samples in Hz.
    """

    def __init__(self, window_s: float, min_window_s: float) -> None:
        self._window_s, self._min_window_s, self._empty = window_s, min_window_s, True
        self._restart(0, 0.0)

    def _restart(self, sr: int, start_s: float) -> None:
        """Start a recording at `start_s` seconds of the stream; the other times here are relative to it."""
        self.sr, self._recording_start_s = sr, start_s
        self._kept: list[NDArray[np.float32]] = []
        self._n = 0  # samples of the recording; the last of them are kept
        self._next_end_s = self._min_window_s

    @property
    def audio_s(self) -> float:
        """Seconds of the stream so far."""
        return self._recording_start_s + (self._n / self.sr if self.sr else 0.0)

    def add(self, sr: int, y: NDArray[np.float32]) -> Iterator[Window]:
        """Add the next samples, shape (samples,), at `sr` Hz; returns every window that is due now."""
        if sr != self.sr:
            self._restart(sr, self.audio_s)
        self._kept.append(y)
        self._n += len(y)
        while (end := round(self._next_end_s * sr)) <= self._n:
            kept = np.concatenate(self._kept)
            start_s, first = max(0.0, self._next_end_s - self._window_s), self._n - len(kept)
            kept, end = kept[round(start_s * sr) - first :], end - round(start_s * sr)
            self._kept = [kept]
            self._empty = False
            yield self._recording_start_s + start_s, self._recording_start_s + self._next_end_s, kept[:end]
            self._next_end_s = math.floor(self._next_end_s) + 1.0

    def short_stream(self, min_s: float) -> Iterator[Window]:
        """At the end: all audio of a stream that was too short for a window, if it is at least `min_s` seconds."""
        if self._empty and self._n and self._n >= min_s * self.sr:
            yield self._recording_start_s, self.audio_s, np.concatenate(self._kept)


if __name__ == "__main__":
    main()
