"""The view `embedding`: outputs of frozen music networks for a clip.

The networks are MSD_musicnn and MSD_vgg of Pons and Serra (2019), trained on the Million Song Dataset; `networks/`
holds them as ONNX files, made by `scripts/embedding.py`, with their licence.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrelab.core.config import NETWORK_OUTPUTS, EmbeddingView
from genrelab.features.spectrogram import mel_power, power_blocks

FOLDER = Path(__file__).with_name("networks")

MEL_GAIN = np.float32(10_000.0)
"""The input of the networks is log10(1 + 10,000 mel power)."""

THREADS = 1
"""Threads of one network: windows go through one by one, and workers share the cores."""


def embedding(y: NDArray[np.float32], view: EmbeddingView) -> NDArray[np.float32]:
    """The mean over the windows of a clip.

    Args:
        y: mono samples at `view.sr`, (n,).

    Returns:
        `view.shape`: the outputs of each network in turn, as `NETWORK_OUTPUTS` lists them.
    """
    rows = [embed_window(y[start : start + window_length(view)], view) for start in window_starts(len(y), view)]
    mean: NDArray[np.float32] = np.mean(rows, axis=0, dtype=np.float32)
    return mean


def embedding_columns(view: EmbeddingView) -> tuple[str, ...]:
    """Names of the view's columns in `features.parquet`, by network: `msd_musicnn_000`, `msd_musicnn_001`, …."""
    return tuple(f"{name}_{i:03d}" for name in view.networks for i in range(NETWORK_OUTPUTS[name]))


def window_length(view: EmbeddingView) -> int:
    """Samples in a window (47,872)."""
    return view.n_frames * view.hop_length


def window_starts(n_samples: int, view: EmbeddingView) -> list[int]:
    """First samples of the windows of a clip, spread evenly from start to end; a single window is in the middle.

    The number of windows fills the clip and is at most `view.max_windows`.
    """
    spare = n_samples - window_length(view)
    n = min(view.max_windows, max(1, round(n_samples / window_length(view))))
    if n == 1:
        return [max(0, spare // 2)]
    return [round(i * spare / (n - 1)) for i in range(n)]


def embed_window(y: NDArray[np.float32], view: EmbeddingView) -> NDArray[np.float32]:
    """The networks' outputs for one window, (outputs,); `y` is at most `window_length` samples."""
    mel = log_mel(y, view)[None]
    return np.concatenate([session.run(None, {"mel": mel})[0][0] for session in _sessions()])


def log_mel(y: NDArray[np.float32], view: EmbeddingView) -> NDArray[np.float32]:
    """The input of the networks, (n_frames, n_mels); the frames of a shorter clip are repeated."""
    mel = np.empty((1 + len(y) // view.hop_length, view.n_mels), np.float32)
    # NumPy's transform: for a few frames, importing SciPy would take three times as long as both networks.
    for rows, powers in power_blocks(y, view.n_fft, view.hop_length, double=True):
        mel_power(powers, view.sr, view.n_fft, view.n_mels, mel[rows])
    levels: NDArray[np.float32] = np.log10(1 + MEL_GAIN * mel[np.arange(view.n_frames) % len(mel)])
    return levels


def network_file(name: str) -> Path:
    """The ONNX file of a network: from `mel` (windows, n_frames, n_mels) to `embedding` (windows, outputs)."""
    return FOLDER / f"{name}.onnx"


@lru_cache(maxsize=1)
def _sessions() -> tuple[Any, ...]:
    """The networks, ready to run; loaded once in a process."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, THREADS
    return tuple(
        onnxruntime.InferenceSession(network_file(name).read_bytes(), options, ["CPUExecutionProvider"])
        for name in NETWORK_OUTPUTS
    )
