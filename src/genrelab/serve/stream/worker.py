"""The process of one stream, `python -m genrelab.serve.stream.worker`, begun by `leash.py`.

It takes bytes as they come, keeps the last seconds of sound, and says what it hears (`wire.py` has the words). It asks
for bytes only when it has used up the last, so that nothing piles up on the way. It writes no file, its memory has an
end, and nobody trusts it: the service reads nothing but JSON of it, and ends it.
"""

from __future__ import annotations

import json
import math
import os
import queue
import sys
import threading
import traceback
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, BinaryIO, NoReturn

from genrelab.core.processes import use_one_thread

use_one_thread()  # before NumPy is loaded

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from genrelab.audio import ffmpeg  # noqa: E402
from genrelab.core.config import FramesView, LogMelView, SamplesView  # noqa: E402
from genrelab.predict.classifier import Classifier, load_bundle  # noqa: E402
from genrelab.predict.prediction import Prediction  # noqa: E402
from genrelab.serve.limits import MIB  # noqa: E402
from genrelab.serve.stream.framing import HIGHEST_SR, LOWEST_SR, PIECE_BYTES, StreamJob, unpack_piece  # noqa: E402
from genrelab.serve.stream.summary import StreamSummary  # noqa: E402
from genrelab.serve.workers.error_kinds import NO_MEMORY  # noqa: E402
from genrelab.serve.workers.worker import enter_sandbox  # noqa: E402

AudioChunk = tuple[int, NDArray[np.float32]]
"""A rate in Hz, and mono samples that follow the last ones, shape (samples,)."""

MAX_BYTES_BEFORE_AUDIO, MAX_BYTES_BETWEEN_AUDIO = 2 * MIB, MIB >> 1
"""That may come without any sound in them: at the beginning, where an MP3 may have a picture, and later."""

_RATES = f"{LOWEST_SR:,} to {HIGHEST_SR:,} Hz"
_NOT_AUDIO = (
    "These bytes are in no format that is known here. Send what a browser's MediaRecorder gives (WebM or Ogg with "
    "Opus), an MP3, or pcm16."
)


class StreamRefused(Exception):  # noqa: N818 - reads as what it is
    """A stream that cannot be heard: the problem's kind, and what to say of it."""

    def __init__(self, kind: str, detail: str) -> None:
        self.kind, self.detail = kind, detail
        super().__init__(detail)


def main() -> NoReturn:
    """Hear one stream to its end. Argument: bytes of memory."""
    wire = ServicePipe(sys.stdin.buffer, enter_sandbox(int(sys.argv[1])))
    try:
        run_stream(wire, StreamJob(**json.loads(wire.receive())))
    except StreamRefused as e:
        wire.send(type="refused", kind=e.kind, detail=e.detail)
    except MemoryError:
        wire.send(type="refused", kind="unusable", detail=NO_MEMORY)
    except Exception:  # noqa: BLE001 - the service puts what is printed into its log
        traceback.print_exc()
        os._exit(1)
    os._exit(0)  # an orderly end would wait for the thread that waits for the service


class ServicePipe:
    """The way to the service. Where it is gone the process ends at once, in the middle of whatever it does."""

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        self._sink = sink
        self._pieces: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._take, args=(source,), daemon=True).start()

    def _take(self, source: BinaryIO) -> None:
        while (piece := unpack_piece(source)) is not None:
            self._pieces.put(piece)
        os._exit(0)

    def receive(self) -> bytes:
        """What the service sends next."""
        return self._pieces.get()

    def send(self, **news: Any) -> None:
        """Tell the service."""
        self._sink.write(json.dumps(news, allow_nan=False).encode() + b"\n")


def run_stream(wire: ServicePipe, order: StreamJob) -> None:
    """One stream, from the model to the last prediction.

    Raises:
        Refusal: it cannot be heard.
    """
    bundle = _load_model(order)
    wire.send(type="ready")
    windows, whole = (
        Windows(order.window_s, min_window_s(bundle, order.window_s)),
        StreamSummary(bundle, order.window_s),
    )
    source = StreamSource(wire)
    for sr, y in decode_stream(source, order):
        for start_s, end_s, window in windows.add(sr, y):
            said = bundle.predict(window, sr)
            whole.add(start_s, end_s, said)
            wire.send(type="prediction", start_s=start_s, end_s=end_s, **_answer(said, order))
        source.audio_s = windows.audio_s
    recording = whole.prediction(windows.audio_s)
    wire.send(type="end", audio_s=windows.audio_s, recording=recording and _answer(recording, order))


def _load_model(order: StreamJob) -> Classifier:
    """Loaded, and asked once about what it will be asked about, so that the first answer comes as soon as any."""
    bundle = load_bundle(order.bundle).with_min_precision(order.min_precision).with_coverage(order.coverage)
    noise = 0.1 * np.random.default_rng(0).standard_normal(round(order.window_s * order.sr))
    bundle.predict(noise.astype(np.float32), order.sr)
    return bundle


def _answer(said: Prediction, order: StreamJob) -> dict[str, Any]:
    return replace(said, model=order.name).to_json(top=order.top)


# --- bytes to samples ---


class StreamSource:
    """The bytes of a stream, as a file that can only be read on.

    Attributes:
        taken: bytes so far.
        at_end: has the last one come?
        has_audio: was there sound in them?
        audio_s: seconds of it that were heard.
    """

    def __init__(self, wire: ServicePipe) -> None:
        self._wire, self._rest = wire, memoryview(b"")
        self.taken = self._unheard = 0
        self.at_end = self.has_audio = False
        self.audio_s = 0.0

    def read(self, n: int, /) -> bytes:
        """At most `n` bytes, as soon as there are any; none at the end, or where nothing is heard in any."""
        if not self._rest and not self.at_end and not self.audio_missing:
            self._wire.send(type="more", audio_s=self.audio_s)
            self._rest = memoryview(self._wire.receive())
            self.at_end = not self._rest
        given, self._rest = bytes(self._rest[:n]), self._rest[n:]
        self._unheard += len(given)
        self.taken += len(given)
        return given

    def mark_audio(self) -> None:
        """There was sound in the last of them."""
        self.has_audio, self._unheard = True, 0

    @property
    def audio_missing(self) -> bool:
        """Is there none in so many that there is none to come?"""
        return self._unheard > (MAX_BYTES_BETWEEN_AUDIO if self.has_audio else MAX_BYTES_BEFORE_AUDIO)


def decode_stream(source: StreamSource, order: StreamJob) -> Iterator[AudioChunk]:
    """The sound of a stream as it comes.

    Raises:
        Refusal: there is none in it, or none that a decoder here can read.
    """
    return _pcm16(source, order) if order.format == "pcm16" else _read_container(source)


def _pcm16(source: StreamSource, order: StreamJob) -> Iterator[AudioChunk]:
    """Interleaved little-endian samples; a piece may end anywhere in one."""
    rest, size = b"", 2 * order.channels
    weights = np.full(order.channels, 1 / order.channels, np.float32) / np.float32(1 << 15)
    while given := source.read(PIECE_BYTES):
        source.mark_audio()
        rest += given
        whole = len(rest) // size * size
        x = np.frombuffer(rest[:whole], "<i2").reshape(-1, order.channels)
        rest = rest[whole:]
        y: NDArray[np.float32] = x.astype(np.float32) @ weights
        yield order.sr, y


def _read_container(source: StreamSource) -> Iterator[AudioChunk]:
    """Any container that can be read without going back."""
    opened = False
    try:
        with ffmpeg.open_pipe(source) as (container, stream):
            opened = True
            if stream.codec_context is None:
                raise StreamRefused("unsupported-codec", "No decoder here reads the sound in it. Send Opus, or pcm16.")
            for packet in container.demux(stream):
                for frame in ffmpeg.decode_packet(packet):
                    if not LOWEST_SR <= frame.sample_rate <= HIGHEST_SR:
                        raise StreamRefused("unusable", f"Its rate is {frame.sample_rate:,} Hz; {_RATES} can be heard.")
                    source.mark_audio()
                    yield frame.sample_rate, ffmpeg.mono(frame)
    except ffmpeg.FFMPEG_ERRORS as e:
        if source.taken and not opened:
            raise StreamRefused("not-audio", _NOT_AUDIO) from e
        if not source.at_end:  # else it was cut off: what came before counts
            raise StreamRefused("damaged", "From here on it cannot be decoded.") from e
    while source.read(PIECE_BYTES):  # what stands behind the sound of a file
        pass
    if not source.at_end or (opened and not source.has_audio):
        raise StreamRefused("damaged" if opened else "not-audio", "There is no sound in it, or none any more.")


# --- samples to windows ---


def min_window_s(bundle: Classifier, window_s: float) -> float:
    """Seconds of sound from which on a model can be asked: what one of its windows looks at, where it is never cut."""
    match bundle.view:
        case LogMelView() as view:
            own = view.window_s
        case SamplesView() as view:
            own = view.n_samples / view.sr
        case FramesView() as view:
            own = view.n_frames * view.hop_length / view.sr
        case _:
            own = 0.0
    return min(max(bundle.clips.min_s, own), window_s)


class Windows:
    """The last seconds of a stream, whenever they are due: as soon as there are enough, then at every full second.

    Where the rate changes another recording begins: nothing of the earlier one is in its windows.

    Args:
        window_s: the longest.
        need_s: the shortest.
    """

    def __init__(self, window_s: float, need_s: float) -> None:
        self._window_s, self._need_s = window_s, need_s
        self._restart(0, 0.0)

    def _restart(self, sr: int, at_s: float) -> None:
        """Of what is counted here nothing came before `at_s`."""
        self._sr, self._at_s = sr, at_s
        self._kept: list[NDArray[np.float32]] = []
        self._n = 0  # samples since `at_s`; the last of them are kept
        self._due_s = self._need_s

    @property
    def audio_s(self) -> float:
        """Seconds of the stream so far."""
        return self._at_s + (self._n / self._sr if self._sr else 0.0)

    def add(self, sr: int, y: NDArray[np.float32]) -> Iterator[tuple[float, float, NDArray[np.float32]]]:
        """Samples that follow, shape (samples,), at `sr` Hz.

        Returns:
            Of every window that is due now: where it begins and ends in seconds of the stream, and its samples.
        """
        if sr != self._sr:
            self._restart(sr, self.audio_s)
        self._kept.append(y)
        self._n += len(y)
        while (end := round(self._due_s * sr)) <= self._n:
            kept = np.concatenate(self._kept)
            start_s, first = max(0.0, self._due_s - self._window_s), self._n - len(kept)
            kept, end = kept[round(start_s * sr) - first :], end - round(start_s * sr)
            self._kept = [kept]
            yield self._at_s + start_s, self._at_s + self._due_s, kept[:end]
            self._due_s = math.floor(self._due_s) + 1.0


if __name__ == "__main__":
    main()
