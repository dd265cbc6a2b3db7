"""From an MP3 of 30 s to a record with its mel image: genrelab, librosa, the article's method, and decoding alone.

Shared by `record_librosa.py`, `record_article.py` and `record_floor.py`: the four methods, and one row.
"""

from __future__ import annotations

from sides import Row, alternate, arguments, mp3_clips, one_core, report  # isort: skip

import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import soundfile
from numpy.typing import NDArray

from genrelab.audio import clips as audio_clips
from genrelab.core.config import MelImageView
from genrelab.core.tensorflow import load_tensorflow
from genrelab.features import views
from genrelab.records import tfrecord

VIEW = MelImageView()
Way = Callable[[Path], object]


def ours(folder: Path) -> Way:
    """As `prepare` with one view: write the clip's image to a shard, as a record with raw bytes."""
    shard = (folder / "ours.tfrecord").open("wb")

    def write_record(path: Path) -> None:
        y, sr = audio_clips.read(path)
        (window,) = views.compute(VIEW, y, sr)
        shard.write(tfrecord.encode(tfrecord.Record(0, window.start_s, window.x.tobytes())))

    return write_record


def with_librosa(folder: Path) -> Way:
    """As in a typical notebook: librosa.load, melspectrogram, float_list."""
    write = float_list_writer(folder / "librosa.tfrecord")

    def write_record(path: Path) -> None:
        y, _ = librosa.load(path, sr=VIEW.sr, mono=True)
        write(picture(y))

    return write_record


def article(folder: Path) -> Way:
    """MP3 to WAV by FFmpeg, decoded by TensorFlow; then as `with_librosa`."""
    tf, _ = load_tensorflow()
    write, wav = float_list_writer(folder / "article.tfrecord"), folder / "clip.wav"

    def write_record(path: Path) -> None:
        subprocess.run(["ffmpeg", "-y", "-loglevel", "error", "-threads", "1", "-i", path, wav], check=True)
        y, sr = tf.audio.decode_wav(tf.io.read_file(str(wav)))
        mono = librosa.to_mono(y.numpy().T)
        write(picture(librosa.resample(mono, orig_sr=int(sr), target_sr=VIEW.sr)))

    return write_record


def decoding(_: Path) -> Way:
    """Libsndfile alone: read the samples of all channels and drop them."""
    return lambda path: soundfile.read(path, dtype="float32")


def picture(y: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same image by librosa: 224 frames of 224 bands in dB."""
    hop = VIEW.hop_length(len(y))
    power = librosa.feature.melspectrogram(y=y, sr=VIEW.sr, n_fft=VIEW.n_fft, hop_length=hop, n_mels=VIEW.size)
    levels: NDArray[np.float32] = librosa.power_to_db(power, ref=np.max, top_db=VIEW.top_db)
    return levels.T[: VIEW.size]


def float_list_writer(path: Path) -> Callable[[NDArray[np.float32]], None]:
    """A function that writes images as `tf.train.Example` with a list of floats."""
    tf, _ = load_tensorflow()
    writer = tf.io.TFRecordWriter(str(path))

    def write(x: NDArray[np.float32]) -> None:
        feature: dict[str, Any] = {
            "x": tf.train.Feature(float_list=tf.train.FloatList(value=x.ravel().tolist())),
            "track": tf.train.Feature(int64_list=tf.train.Int64List(value=[0])),
        }
        writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())

    return write


def measure(name: str, way: Callable[[Path], Way], against: str, **wanted: float) -> int:
    """Measure ours and another way in turn; `wanted`: `at_least` (theirs over ours) or `at_most` (ours over theirs)."""
    parser = arguments(f"MP3 to mel-image record: genrelab against {against}")
    parser.add_argument("--clips", type=int, default=60)
    options = parser.parse_args()
    one_core()
    with tempfile.TemporaryDirectory() as folder:
        sides = {against: way(Path(folder)), "genrelab": ours(Path(folder))}
        measured = alternate(sides, mp3_clips(options.data, options.clips), warm_up=2)
    pair = (against, "genrelab") if "at_least" in wanted else ("genrelab", against)
    ratio, quartiles = measured.ratio(*pair)
    row = Row(
        name, "MP3 to mel-image record", against, ratio, quartiles, len(measured.seconds["genrelab"]),
        medians={f"{side}, ms of CPU a clip": 1000 * measured.median(side) for side in sides},
        **wanted,
    )  # fmt: skip
    return report(row, options.json)
