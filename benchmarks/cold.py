"""Classify a song in a new process: `genrelab predict` against the same model in Keras, in turn.

    python benchmarks/cold.py DATA [--run RUN/MODEL] [--rounds 5] [--json PATH]

RUN/MODEL contains `bundle` and `model.keras`; without it a MobileNetV2 with random weights is written, which is as fast
as a trained one. The song is the first real MP3 of 30 s. A first round is not counted: it reads the files into the page
cache and compiles Python's modules. `--fresh` keeps genrelab from using its cache of predictions.

At least 8 times as fast by CPU seconds, and no more than 1 s of CPU, with the starter model too.
"""

from __future__ import annotations

from sides import Row, alternate, arguments, mp3_clips, one_core, report  # isort: skip

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

WANTED_RATIO = 8.0
WANTED_S = 1.0
GENRELAB = str(Path(sys.executable).with_name("genrelab"))

KERAS = """
import json, sys
from pathlib import Path
import keras
import numpy as np
import soundfile
from genrelab.core.config import view_from_json
from genrelab.models.keras_loading import load_network
from genrelab.features.views import compute

home, song = Path(sys.argv[1]), sys.argv[2]
about = json.loads((home / "bundle" / "bundle.json").read_text())
network = load_network(home / "model.keras")
y, sr = soundfile.read(song, dtype="float32", always_2d=True)
windows = compute(view_from_json(about["view"]), y.mean(axis=1), sr)
logits = network(np.stack([w.x for w in windows]).astype(np.float32), training=False)
p = np.asarray(keras.ops.softmax(logits)).mean(axis=0)
print(about["genres"][p.argmax()], float(p.max()))
"""
"""The usual way: soundfile decodes; the view is computed by the same code."""

MAKE = """
import sys
from pathlib import Path
import numpy as np
from genrelab.bundle.bundle import write_bundle
from genrelab.core.config import ClipSettings, MelImageView
from genrelab.models.mobilenet import build_head, join_networks, load_base
from genrelab.models.onnx_export import network_to_onnx

home, view, genres = Path(sys.argv[1]), MelImageView(), ("blues", "jazz", "pop", "rock")
home.mkdir()
outputs = np.random.default_rng(0).random((64, 1280), np.float32)
network = join_networks(view.shape, load_base(view.shape, "none"), build_head(outputs, len(genres)))
network.save(home / "model.keras")
write_bundle(
    home / "bundle", onnx=network_to_onnx(network, n_genres=len(genres)), name="mobilenet_v2", genres=genres,
    view=view, clips=ClipSettings(), metrics={}, dataset="none", split="none", licence=None, readme="# Random\\n",
)
"""
"""Writes the needed files of RUN/MODEL; in a process of its own, as TensorFlow is not needed afterwards."""


def main() -> int:
    """Measure, print the row and write it; 1 if a goal is missed."""
    parser = arguments("cold predict against Keras")
    parser.add_argument("--run", type=Path, metavar="RUN/MODEL", help="folder with bundle and model.keras")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    one_core()
    song = str(mp3_clips(options.data, 2)[0])
    with tempfile.TemporaryDirectory() as folder:
        home = options.run or Path(folder) / "mobilenet_v2"
        if options.run is None:
            timed([sys.executable, "-c", MAKE, str(home)])(0)
        commands = {
            "Keras": [sys.executable, "-c", KERAS, str(home), song],
            "genrelab": [GENRELAB, "predict", song, "--fresh", "--model", str(home / "bundle")],
            "genrelab, starter": [GENRELAB, "predict", song, "--fresh"],
        }
        sides = {name: timed(command) for name, command in commands.items()}
        measured = alternate(sides, range(options.rounds), keep=True)
    ratio, quartiles = measured.ratio("Keras", "genrelab")
    slowest = max(measured.median(name) for name in commands if name != "Keras")
    row = Row(
        "cold", "cold `predict` of a 30 s MP3 by mobilenet_v2", "the same model through Keras", ratio, quartiles,
        options.rounds,
        at_least=WANTED_RATIO,
        medians={f"{name}, s of CPU": measured.median(name) for name in commands},
        checks={f"at most {WANTED_S:g} s of CPU": slowest <= WANTED_S},
        extra={f"{name}, s by the clock": float(np.median(measured.answers[name])) for name in commands},
    )  # fmt: skip
    return report(row, options.json)


def timed(command: list[str]) -> Callable[[int], float]:
    """A function that runs a command to its end and returns wall-clock seconds."""
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}

    def run(_: int) -> float:
        environment = {k: v for k, v in os.environ.items() if k != "GENRELAB_MODEL"} | quiet
        start = time.perf_counter()
        result = subprocess.run(command, env=environment, capture_output=True, text=True)
        if result.returncode:
            raise SystemExit(f"{command[:3]} failed: {(result.stdout + result.stderr)[-2000:]}")
        return time.perf_counter() - start

    return run


if __name__ == "__main__":
    raise SystemExit(main())
