"""Program: a process that hears files which strangers sent: `python -m genrelab.service.worker`, begun by `ears.py`.

Orders come as lines of JSON on standard input, and are answered by lines on standard output; at the end of the
input the process ends at once, even in the middle of a file. It writes no file, its memory has an end, and
nobody trusts it: `ears.py` kills it when it takes too long, and reads nothing but JSON from it.

    {"learn": [model…]}                                       → {"learned": [path…]}
    {"hear": path, "model": model, "top": …, "timeline": …, "windows": …}
                                                              → {"begun": true}, then {"answer": {…}}
                                                                or {"kind": …, "detail": …}

A model is {"path", "name", "min_precision", "coverage"}.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from genrelab.processes import keep_memory, use_one_thread

use_one_thread()  # before NumPy is loaded

import numpy as np  # noqa: E402

from genrelab import bundle as bundles  # noqa: E402
from genrelab.decoders import Audio  # noqa: E402
from genrelab.errors import DecodeError, GenrelabError  # noqa: E402
from genrelab.predict import Classifier, load_bundle, predict_audio, predict_samples  # noqa: E402
from genrelab.service.faultkinds import NO_MEMORY, kind_of  # noqa: E402

WARM_SR, WARM_S = 44_100, 3.0
"""The sound that a worker hears before its first order: filter banks, kernels and buffers are then there."""


def main() -> None:
    """Serve until the input ends. Arguments: seconds that a file may last, bytes of memory."""
    audio_s, answers = float(sys.argv[1]), begin(int(sys.argv[2]))
    worker = Worker(audio_s)
    for order in _orders(sys.stdin.buffer):
        if "hear" in order:
            answers.write(b'{"begun": true}\n')
        answers.write(json.dumps(worker.answer(order)).encode() + b"\n")
        if worker.spent:
            return


def begin(memory: int) -> BinaryIO:
    """Make this process one that may read strangers' bytes: confined, of one thread, and ended by the service only.

    Args:
        memory: bytes of its own.

    Returns:
        where answers go; whatever else is printed is none.
    """
    keep_memory()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # meant for the service, which ends its workers itself
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    bundles.THREADS = 1
    _confine(memory)
    return answers


def _confine(memory: int) -> None:
    """No file may be written, no core left, and memory of its own has an end. Where there is no such thing, nothing."""
    with suppress(ImportError):
        import resource

        for limit, value in (("RLIMIT_DATA", memory), ("RLIMIT_FSIZE", 0), ("RLIMIT_CORE", 0)):
            with suppress(ValueError, OSError):  # a lower limit stands already
                resource.setrlimit(getattr(resource, limit), (value, value))


def _orders(source: BinaryIO) -> Iterator[dict[str, Any]]:
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def read() -> None:
        for line in source:
            lines.put(line)
        os._exit(0)  # the service is gone, or needs this process no more

    threading.Thread(target=read, daemon=True).start()
    while True:
        yield json.loads(lines.get())


@dataclass
class Worker:
    """What answers orders.

    Attributes:
        audio_s: seconds that a file may last.
        spent: memory ran out, so that this process should make room for another.
    """

    audio_s: float
    spent: bool = False
    _loaded: dict[str, Classifier] = field(default_factory=dict)

    def answer(self, order: dict[str, Any]) -> dict[str, Any]:
        """The object to send back; never an exception."""
        try:
            return self._learn(order["learn"]) if "learn" in order else self._hear(order)
        except MemoryError:
            self.spent = True
            return {"kind": "damaged", "detail": NO_MEMORY}
        except Exception:  # noqa: BLE001 - a fault of ours: the next file may be well all the same
            traceback.print_exc()
            return {"kind": "internal", "detail": "The fault is the service's, not yours. Its log says more."}

    def _learn(self, models: list[dict[str, Any]]) -> dict[str, Any]:
        """Load what is not loaded yet, and let go what is not served any more."""
        from genrelab import ffmpeg  # noqa: F401 - what the first file would have to wait for

        learned = {}
        for model in models:
            try:
                learned[model["path"]] = self._model(model)
            except Exception:  # noqa: BLE001 - the other models are served all the same
                traceback.print_exc()
        self._loaded = learned
        return {"learned": list(learned)}

    def _model(self, model: dict[str, Any]) -> Classifier:
        path: str = model["path"]
        if path not in self._loaded:
            bundle = load_bundle(path).with_min_precision(model["min_precision"]).with_coverage(model["coverage"])
            sound = 0.1 * np.random.default_rng(0).standard_normal(round(WARM_S * WARM_SR))
            predict_samples(bundle, sound.astype(np.float32), WARM_SR)
            self._loaded[path] = bundle
        return self._loaded[path]

    def _hear(self, order: dict[str, Any]) -> dict[str, Any]:
        path, stated_s = Path(order["hear"]), None
        bundle = self._model(order["model"]).with_windows(order["windows"])
        try:
            with closing(Audio(path)) as audio:
                stated_s = audio.frames / audio.sr
                if stated_s > self.audio_s:
                    return {
                        "kind": "too-long",
                        "detail": f"It lasts {stated_s:,.0f} s; up to {self.audio_s:g} s are heard.",
                    }
                prediction = bundle.decision(predict_audio(bundle, audio))
        except DecodeError as e:
            enough = stated_s is not None and stated_s >= bundle.clips.min_s
            kind, detail = kind_of(e, path, stated_s if enough else None)
            self.spent = detail == NO_MEMORY
            return {"kind": kind, "detail": detail}
        except GenrelabError as e:  # its words name files of ours
            print(e, file=sys.stderr, flush=True)
            return {"kind": "unusable", "detail": "What is heard in it becomes numbers that the model cannot take."}
        said = replace(prediction, path="", model=order["model"]["name"])
        return {"answer": said.to_json(timeline=order["timeline"], top=order["top"])}


if __name__ == "__main__":
    main()
