"""A process that hears files which strangers sent: `python -m genrelab.serve.workers.worker`, begun by `ears.py`.

Orders come as lines of JSON on standard input, and are answered by lines on standard output; at the end of the
input the process ends at once, even in the middle of a file. It writes no file, its memory has an end, and
nobody trusts it: `ears.py` kills it when it takes too long, and reads nothing but JSON from it.

    {"learn": [model…]}                                       → {"learned": [path…]}
    {"hear": path, "model": model, "top": …, "timeline": …, "windows": …}
                                                              → {"begun": true}, then {"answer": {…}}
                                                                or {"kind": …, "detail": …}

A model is {"path", "name", "min_precision", "coverage"}. Every order has a `number`, which stands in what is said of
it, so that nothing that is said of one file is taken for what is said of the next. `begun` is said when the model is
loaded and the file is about to be opened.
"""

from __future__ import annotations

import json
import math
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from genrelab.core.processes import keep_freed_memory, prctl, use_one_thread

use_one_thread()  # before NumPy is loaded

import numpy as np  # noqa: E402

from genrelab.audio.reader import Audio  # noqa: E402
from genrelab.bundle import bundle as bundles  # noqa: E402
from genrelab.core.errors import DecodeError, GenrelabError  # noqa: E402
from genrelab.predict.classifier import Classifier, load_bundle  # noqa: E402
from genrelab.predict.file import predict_audio, predict_samples  # noqa: E402
from genrelab.serve.workers.error_kinds import NO_MEMORY, describe_decode_error  # noqa: E402

WARM_SR, WARM_S = 44_100, 3.0
"""The sound that a worker hears before its first order: filter banks, kernels and buffers are then there."""

ANSWER_OVERHEAD_BYTES = 100
"""Bytes of an answer's line besides the object of the prediction."""

NO_NEW_PRIVS = 38
"""From linux/prctl.h."""


def main() -> None:
    """Serve until the input ends. Arguments: seconds that a file may last, bytes of memory, and of an answer."""
    audio_s, answers = float(sys.argv[1]), enter_sandbox(int(sys.argv[2]))
    worker = Worker(audio_s, int(sys.argv[3]))
    for order in _read_jobs(sys.stdin.buffer):
        notify = partial(_write_answer, answers, order["number"])
        notify(worker.answer(order, opening=partial(notify, {"begun": True})))
        if worker.out_of_memory:
            return


def _write_answer(answers: BinaryIO, number: int, said: dict[str, Any]) -> None:
    answers.write(json.dumps({"number": number} | said).encode() + b"\n")


def enter_sandbox(memory: int) -> BinaryIO:
    """Make this process one that may read strangers' bytes: confined, of one thread, and ended by the service only.

    Args:
        memory: bytes of its own.

    Returns:
        where answers go; whatever else is printed is none.
    """
    keep_freed_memory()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # meant for the service, which ends its workers itself
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    bundles.THREADS = 1
    _confine(memory)
    return answers


def _confine(memory: int) -> None:
    """No file may be written, no core left, no program gives it more rights, and memory of its own has an end.

    What the system does not know is left out.
    """
    prctl(NO_NEW_PRIVS, 1)
    with suppress(ImportError):
        import resource

        for limit, value in (("RLIMIT_DATA", memory), ("RLIMIT_FSIZE", 0), ("RLIMIT_CORE", 0)):
            with suppress(ValueError, OSError):  # a lower limit stands already
                resource.setrlimit(getattr(resource, limit), (value, value))


def _read_jobs(source: BinaryIO) -> Iterator[dict[str, Any]]:
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
        longest: bytes that an answer may have.
        out_of_memory: memory ran out, so that this process should make room for another.
    """

    audio_s: float
    longest: int = 1 << 24
    out_of_memory: bool = False
    _loaded: dict[str, Classifier] = field(default_factory=dict)

    def answer(self, order: dict[str, Any], opening: Callable[[], None] = lambda: None) -> dict[str, Any]:
        """The object to send back; never an exception.

        Args:
            opening: called when the model is there, and the file is about to be opened.
        """
        try:
            return self._load_models(order["learn"]) if "learn" in order else self._classify(order, opening)
        except MemoryError:
            self.out_of_memory = True
            return {"kind": "damaged", "detail": NO_MEMORY}
        except Exception:  # noqa: BLE001 - a fault of ours: the next file may be well all the same
            traceback.print_exc()
            return {"kind": "internal", "detail": "The fault is the service's, not yours. Its log says more."}

    def _load_models(self, models: list[dict[str, Any]]) -> dict[str, Any]:
        """Load what is not loaded yet, and let go what is not served any more."""
        from genrelab.audio import ffmpeg  # noqa: F401 - what the first file would have to wait for

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

    def _classify(self, order: dict[str, Any], opening: Callable[[], None]) -> dict[str, Any]:
        path, stated_s = Path(order["hear"]), None
        bundle = self._model(order["model"]).with_windows(order["windows"])
        opening()
        try:
            with closing(Audio(path, most_s=self.audio_s)) as audio:
                stated_s = audio.frames / audio.sr
                if stated_s > self.audio_s:
                    return _too_long(None if audio.decoder == "av" else stated_s, self.audio_s)
                prediction = bundle.decision(predict_audio(bundle, audio))
        except DecodeError as e:
            enough = stated_s is not None and stated_s >= bundle.clips.min_s
            refusal = describe_decode_error(e, path, stated_s if enough else None)
            self.out_of_memory = refusal["detail"] == NO_MEMORY
            return refusal
        except GenrelabError as e:  # its words name files of ours
            print(e, file=sys.stderr, flush=True)
            return {"kind": "unusable", "detail": "What is heard in it becomes numbers that the model cannot take."}
        said = replace(prediction, path="", model=order["model"]["name"])
        answer = said.to_json(timeline=order["timeline"], top=order["top"])
        if len(json.dumps(answer)) > self.longest - ANSWER_OVERHEAD_BYTES:
            return {"kind": "too-long", "detail": ANSWER_TOO_LONG}
        return {"answer": answer}


ANSWER_TOO_LONG = (
    "What is to be said of its windows is more than an answer may hold. Ask without timeline, for fewer windows, or "
    "for the best genres only (top)."
)


def _too_long(seconds: float | None, most_s: float) -> dict[str, Any]:
    """What is said of a file that lasts so long; None: nobody knows how much longer than may be."""
    most = _format_duration(most_s, math.floor)
    lasts = (
        f"more than the {most} that" if seconds is None else f"{_format_duration(seconds, math.ceil)}; at most {most}"
    )
    way_out = "Send an excerpt; who runs the service can raise --max-seconds."
    return {"kind": "too-long", "detail": f"It lasts {lasts} are heard. {way_out}"}


def _format_duration(seconds: float, rounded: Callable[[float], int]) -> str:
    unit, name = (1.0, "s") if seconds < 120 else (60.0, "minutes")
    return f"{rounded(round(10 * seconds / unit, 6)) / 10:,.6g} {name}"


if __name__ == "__main__":
    main()
