"""A song classified by a new process: `genrelab predict` against the same model through Keras, in turn.

    python benchmarks/cold.py [--run RUN/MODEL] [--song SONG] [--rounds 5]

RUN/MODEL holds `bundle` and `model.keras`; without it a MobileNetV2 is trained for one epoch on the demo's corpus. SONG
is by default the first MP3 of $GENRELAB_DATA/emotify_30s, else one that is synthesised. A first round is not counted:
it reads the files into the disk's cache and compiles Python's modules. `--fresh` keeps genrelab from remembering the
song.

Prints medians of wall and CPU seconds, also of the starter model, and last `ratio X.XX` (Keras' wall seconds over
genrelab's); exits 1 where the ratio is below 8 or a median of genrelab's above 1 s.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

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
from genrelab.config import view_from_json
from genrelab.keras_file import load_network
from genrelab.views import compute

home, song = Path(sys.argv[1]), sys.argv[2]
about = json.loads((home / "bundle" / "bundle.json").read_text())
network = load_network(home / "model.keras")
y, sr = soundfile.read(song, dtype="float32", always_2d=True)
windows = compute(view_from_json(about["view"]), y.mean(axis=1), sr)
logits = network(np.stack([w.x for w in windows]).astype(np.float32), training=False)
p = np.asarray(keras.ops.softmax(logits)).mean(axis=0)
print(about["genres"][p.argmax()], float(p.max()))
"""
"""The usual means: soundfile decodes; the view is computed by the same code."""


class Took(NamedTuple):
    """Seconds of one process."""

    wall: float
    cpu: float


def main() -> int:
    """Measures, prints, and says by its exit code whether the figures hold."""
    parser = argparse.ArgumentParser(description="cold predict against Keras")
    parser.add_argument("--run", type=Path, metavar="RUN/MODEL", help="folder with bundle and model.keras")
    parser.add_argument("--song", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = options.run or trained(Path(folder))
        song = options.song or song_of_30_s(Path(folder))
        return compare(home, song, options.rounds)


def compare(home: Path, song: Path, rounds: int) -> int:
    """All ways in turn, once uncounted and then `rounds` times."""
    ways = {
        "Keras": [sys.executable, "-c", KERAS, str(home), str(song)],
        "genrelab": [GENRELAB, "predict", str(song), "--fresh", "--model", str(home / "bundle")],
        "genrelab, starter": [GENRELAB, "predict", str(song), "--fresh"],
    }
    took: dict[str, list[Took]] = {name: [] for name in ways}
    for _ in range(1 + rounds):
        for name, words in ways.items():
            took[name].append(timed(words))
    print(f"{song.name}, {home.name}, median of {rounds}")
    medians = {name: Took(*np.median(t[1:], axis=0)) for name, t in took.items()}
    for name, median in medians.items():
        print(f"{name}: {median.wall:.2f} s wall, {median.cpu:.2f} s of CPU")
    ratio = medians["Keras"].wall / medians["genrelab"].wall
    print(f"ratio {ratio:.2f}")
    slowest = max(median.wall for name, median in medians.items() if name != "Keras")
    return 0 if ratio >= WANTED_RATIO and slowest <= WANTED_S else 1


def timed(words: list[str]) -> Took:
    """One process from its start to its end."""
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    environment = {k: v for k, v in os.environ.items() if k != "GENRELAB_MODEL"} | quiet
    with tempfile.TemporaryFile() as said:
        began = time.perf_counter()
        process = subprocess.Popen(words, stdout=said, stderr=subprocess.STDOUT, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        if status:
            said.seek(0)
            raise SystemExit(f"{words[:3]} failed: {said.read().decode(errors='replace')[-2000:]}")
    return Took(wall, usage.ru_utime + usage.ru_stime)


def trained(folder: Path) -> Path:
    """RUN/MODEL of a MobileNetV2 that has seen the demo's corpus once."""
    from genrelab.datasets.demo import synthesise

    synthesise(folder / "corpus")
    words = [GENRELAB, "run", str(folder / "corpus"), "--dataset", "fma-small", "--out", str(folder / "run")]
    words += ["--models", "mobilenet_v2", "--epochs", "1", "--imagenet-weights", "none"]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return folder / "run" / "mobilenet_v2"


def song_of_30_s(folder: Path) -> Path:
    """A real one where there is one."""
    data = os.environ.get("GENRELAB_DATA")
    real = sorted(Path(data, "emotify_30s").rglob("*.mp3")) if data else []
    if real:
        return real[0]
    import soundfile

    from genrelab.synth import STYLES, Colour, render
    from genrelab.voices import SR

    rng = np.random.default_rng(0)
    soundfile.write(folder / "song.mp3", render(STYLES["Pop"], Colour.random(rng), rng, 30.0), SR)
    return folder / "song.mp3"


if __name__ == "__main__":
    raise SystemExit(main())
