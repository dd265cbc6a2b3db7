"""The log-mel stage alone, samples in memory: genrelab's against librosa's, on real clips of 30 s.

    python benchmarks/log_mel.py DATA [--clips 40] [--json PATH]

22,050 Hz, n_fft 2,048, hop 512, 128 mel bands, dB below the loudest bin. Goal: at least 2.8 times as fast, and at most
0.001 dB from librosa everywhere.
"""

from __future__ import annotations

from sides import Row, alternate, arguments, mp3_clips, one_core, report  # isort: skip

import librosa
import numpy as np
from numpy.typing import NDArray

from genrelab.audio import clips as audio_clips
from genrelab.core.config import LogMelView
from genrelab.features.spectrogram import log_mel

VIEW = LogMelView()
WANTED_DB = 1e-3


def ours(y: NDArray[np.float32]) -> NDArray[np.float32]:
    """genrelab's: frames first."""
    return log_mel(
        y, VIEW.sr, n_fft=VIEW.n_fft, hop_length=VIEW.hop_length, n_mels=VIEW.n_mels, top_db=VIEW.top_db
    )  # fmt: skip


def theirs(y: NDArray[np.float32]) -> NDArray[np.float32]:
    """librosa's: bands first."""
    power = librosa.feature.melspectrogram(
        y=y, sr=VIEW.sr, n_fft=VIEW.n_fft, hop_length=VIEW.hop_length, n_mels=VIEW.n_mels
    )
    levels: NDArray[np.float32] = librosa.power_to_db(power, ref=np.max, top_db=VIEW.top_db)
    return levels


def main() -> int:
    """Measure, print the row and write it; 1 if a goal is missed."""
    parser = arguments("librosa's CPU time over ours for a log-mel spectrogram")
    parser.add_argument("--clips", type=int, default=40)
    options = parser.parse_args()
    one_core()
    clips = [audio_clips.resample(*audio_clips.read(p), VIEW.sr) for p in mp3_clips(options.data, options.clips)]
    measured = alternate({"librosa": theirs, "genrelab": ours}, clips, keep=True)
    pairs = zip(measured.answers["genrelab"], measured.answers["librosa"], strict=True)
    off = max(float(np.abs(a - b.T).max()) for a, b in pairs)
    ratio, quartiles = measured.ratio("librosa", "genrelab")
    row = Row(
        "log_mel", "genrelab's log-mel spectrogram", f"librosa {librosa.__version__}", ratio, quartiles, len(clips),
        at_least=2.8,
        medians={f"{side}, ms of CPU a clip": 1000 * measured.median(side) for side in measured.seconds},
        checks={f"within {WANTED_DB:g} dB of librosa everywhere": off <= WANTED_DB},
        extra={"largest difference, dB": off},
    )  # fmt: skip
    return report(row, options.json)


if __name__ == "__main__":
    raise SystemExit(main())
