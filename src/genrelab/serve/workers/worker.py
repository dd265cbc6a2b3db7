"""A process that classifies untrusted files: `python -m genrelab.serve.workers.worker`, started by `client.py`.

Requests are lines of JSON on standard input, responses lines of JSON on standard output; at the end of the input the
process exits at once, even in the middle of a file. It cannot write files, its memory is limited, and it is not
trusted: `queue.py` kills it when it takes too long, and its output is parsed as JSON only.

    {"load": [model…]}                                        → {"loaded": [path…]}
    {"path": file, "model": model, "top": …, "timeline": …, "windows": …, "any_genre": …, "tags": …,
     "describe": …}
                                                              → {"started": true}, then {"answer": {…}}
                                                                or {"kind": …, "detail": …}

A model is {"path", "name", "min_precision"}. Every request has a `number`, which its responses repeat, so
that a response to one file is never taken for that to the next. `started` is sent when the model is loaded and the file
is about to be opened.
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
from collections.abc import Callable, Iterable
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
from genrelab.features import embedding  # noqa: E402
from genrelab.predict.classifier import Classifier, load_bundle  # noqa: E402
from genrelab.predict.file import predict_audio, predict_samples  # noqa: E402
from genrelab.predict.track_description import OUT_OF_MEMORY  # noqa: E402
from genrelab.serve.workers.error_kinds import NO_MEMORY, describe_decode_error  # noqa: E402

WARM_SR, WARM_S = 44_100, 3.0
"""Rate in Hz and seconds of the noise for a warm-up prediction, which creates filter banks, kernels and buffers, and
loads the networks of the view `embedding`.
"""

ANSWER_OVERHEAD_BYTES = 100
"""Bytes of a response besides the object of the prediction."""

ANSWER_TOO_LONG = (
    "The timeline is too long for one answer. Leave out timeline, or ask for fewer windows or genres (top)."
)

NO_NEW_PRIVS = 38
"""From linux/prctl.h."""


def main() -> None:
    """Serve until the input ends. Arguments: maximum seconds of a file, bytes of memory, and bytes of a response."""
    audio_s, responses = float(sys.argv[1]), enter_sandbox(int(sys.argv[2]))
    worker = Worker(audio_s, int(sys.argv[3]))
    requests = read_ahead(sys.stdin.buffer)
    while not worker.out_of_memory:
        request = json.loads(requests.get())
        send = partial(_write_response, responses, request["number"])
        send(worker.answer(request, opening=partial(send, {"started": True})))


def _write_response(responses: BinaryIO, number: int, response: dict[str, Any]) -> None:
    responses.write(json.dumps({"number": number} | response).encode() + b"\n")


def enter_sandbox(memory: int) -> BinaryIO:
    """Prepare this process for untrusted input: single-threaded, ended by the service only, and confined.

    It cannot write files or core dumps, gain privileges by exec, or use more memory than the limit.

    Args:
        memory: limit in bytes.

    Returns:
        the stream for responses; standard output goes to standard error from now on.
    """
    keep_freed_memory()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # for the service, which ends its workers itself
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    responses = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    bundles.THREADS = embedding.THREADS = 1
    prctl(NO_NEW_PRIVS, 1)
    with suppress(ImportError):  # what the system does not support is skipped
        import resource

        for limit, value in (("RLIMIT_DATA", memory), ("RLIMIT_FSIZE", 0), ("RLIMIT_CORE", 0)):
            with suppress(ValueError, OSError):  # a lower limit is set already
                resource.setrlimit(getattr(resource, limit), (value, value))
    return responses


def read_ahead(source: Iterable[bytes]) -> queue.SimpleQueue[bytes]:
    """A queue that a thread fills. At the end of the source the process exits: the service no longer needs it."""
    found: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def read() -> None:
        for piece in source:
            found.put(piece)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    return found


@dataclass
class Worker:
    """Answers requests.

    Attributes:
        audio_s: maximum duration of a file in seconds.
        longest: maximum size of a response in bytes.
        out_of_memory: memory ran out, so this process should be replaced.
    """

    audio_s: float
    longest: int = 1 << 24
    out_of_memory: bool = False
    _loaded: dict[str, Classifier] = field(default_factory=dict)

    def answer(self, request: dict[str, Any], opening: Callable[[], None] = lambda: None) -> dict[str, Any]:
        """The response to a request, as a JSON object; raises no exception.

        Args:
            opening: called when the model is loaded and the file is about to be opened.
        """
        try:
            return self._load_models(request["load"]) if "load" in request else self._classify(request, opening)
        except MemoryError:
            self.out_of_memory = True
            return {"kind": "damaged", "detail": NO_MEMORY}
        except Exception:  # noqa: BLE001 - an error here: the next file may work all the same
            traceback.print_exc()
            return {"kind": "internal"}

    def _load_models(self, models: list[dict[str, Any]]) -> dict[str, Any]:
        """Load the models that are not loaded yet, and drop those that are no longer served."""
        from genrelab.audio import ffmpeg  # noqa: F401 - loaded now, not with the first file

        loaded = {}
        for model in models:
            try:
                loaded[model["path"]] = self._load_model(model)
            except Exception:  # noqa: BLE001 - the other models are served all the same
                traceback.print_exc()
        self._loaded = loaded
        return {"loaded": list(loaded)}

    def _load_model(self, model: dict[str, Any]) -> Classifier:
        path: str = model["path"]
        if path not in self._loaded:
            bundle = load_bundle(path).with_min_precision(model["min_precision"])
            seconds = max(WARM_S, bundle.clips.min_s)
            noise = 0.1 * np.random.default_rng(0).standard_normal(round(seconds * WARM_SR))
            predict_samples(bundle.with_description(), noise.astype(np.float32), WARM_SR)
            self._loaded[path] = bundle
        return self._loaded[path]

    def _classify(self, request: dict[str, Any], opening: Callable[[], None]) -> dict[str, Any]:
        path, stated_s = Path(request["path"]), None
        bundle = _as_asked(self._load_model(request["model"]), request)
        opening()
        try:
            with closing(Audio(path, max_s=self.audio_s)) as audio:
                stated_s = audio.frames / audio.sr
                if stated_s > self.audio_s:
                    return _too_long(None if audio.decoder == "av" else stated_s, self.audio_s)
                prediction = bundle.decision(predict_audio(bundle, audio))
        except DecodeError as e:
            enough = stated_s is not None and stated_s >= bundle.clips.min_s
            problem = describe_decode_error(e, path, long_enough=enough)
            self.out_of_memory = problem.get("detail") == NO_MEMORY
            return problem
        except GenrelabError as e:  # its message names internal files
            print(e, file=sys.stderr, flush=True)
            return {
                "kind": "unusable",
                "detail": "The model cannot process the audio: it leads to values out of range.",
            }
        self.out_of_memory = prediction.description == OUT_OF_MEMORY
        prediction = replace(prediction, path="", model=request["model"]["name"])
        answer = prediction.to_json(
            timeline=request["timeline"], top=request["top"], tags=request["tags"], describe=request["describe"]
        )
        if len(json.dumps(answer)) > self.longest - ANSWER_OVERHEAD_BYTES:
            return {"kind": "too-long", "detail": ANSWER_TOO_LONG}
        return {"answer": answer}


def _as_asked(bundle: Classifier, request: dict[str, Any]) -> Classifier:
    """The model with the settings of a request; a timeline is of all windows unless they are given."""
    bundle = bundle.with_windows(request["windows"])
    bundle = bundle.with_full_timeline() if request["timeline"] else bundle
    bundle = bundle.with_description() if request["describe"] else bundle
    return bundle.with_any() if request["any_genre"] else bundle


def _too_long(seconds: float | None, max_s: float) -> dict[str, Any]:
    """The response for a file of that duration in seconds; None: longer than `max_s`, its duration is unknown."""
    limit = _format_duration(max_s, math.floor)
    length = f"more than {limit}" if seconds is None else _format_duration(seconds, math.ceil)
    advice = "Send an excerpt, or start the service with a larger --max-seconds."
    return {"kind": "too-long", "detail": f"The file lasts {length}; at most {limit} are accepted. {advice}"}


def _format_duration(seconds: float, rounding: Callable[[float], int]) -> str:
    unit, name = (1.0, "s") if seconds < 120 else (60.0, "minutes")
    return f"{rounding(round(10 * seconds / unit, 6)) / 10:,.6g} {name}"


if __name__ == "__main__":
    main()
