"""One ONNX graph from samples to probabilities: framing, FFT, mel filters, levels, the networks, pooling.

It implements `features/views.py`, which uses NumPy, in ONNX operators; the tests and `genrelab export --check` compare
the two. Names are those of `features/spectrogram.py` and `features/embedding.py`.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import Any

import numpy as np
from scipy.signal.windows import hann

from genrelab.bundle.bundle import Bundle
from genrelab.bundle.manifest import MODEL_FILE, read_manifest, read_verified
from genrelab.core.config import EmbeddingView, LogMelView, MelImageView, SamplesView, TableView, View
from genrelab.features.embedding import MEL_GAIN, network_file, window_length
from genrelab.features.spectrogram import AMIN, mel_filters
from genrelab.models.onnx_export import OUTPUT, Nodes, add_temperature, finish_graph, read_network, rename

SAMPLES = "samples"
"""Name of the graph's input: mono samples, float32, shape (samples,)."""

DB = 10.0 / np.log(10.0)  # 10 log10(x) = DB ln(x)


def unsupported_reason(view: View) -> str | None:
    """Why there is no such graph for a view; None if there is."""
    if isinstance(view, MelImageView | LogMelView | SamplesView | EmbeddingView):
        return None
    if isinstance(view, TableView):
        return "it reads columns of a table, not audio"
    return (
        f"ONNX has no operators for the view {view.name}: use --format onnx with genrelab, or a model on mel_image, "
        "log_mel, samples or embedding"
    )


def waveform_onnx(bundle: Bundle) -> bytes:
    """A bundle's network with its preprocessing and pooling, as a serialised graph; see `unsupported_reason`.

    Returns:
        Graph from `samples`, float32 (samples,) of one clip at `bundle.view.sr`, to `probabilities`, float32
        (genres,), which sum to 1; its `metadata_props` hold the rate, the genres and the length of a clip.

    Raises:
        ModelError: the network uses another opset.
    """
    proto = read_network(read_verified(bundle.path, read_manifest(bundle.path)["files"])[MODEL_FILE])
    from onnx.helper import set_model_props

    rename(proto, OUTPUT, "waveform/windows")
    front, back = Nodes("waveform/"), Nodes("waveform/back_")
    front.named(proto.graph.input[0].name, _windows(front, bundle.view))
    mean = back("ReduceMean", add_temperature(back, "waveform/windows", bundle.temperature), axes=[0], keepdims=0)
    back.named(OUTPUT, back("Div", mean, back("ReduceSum", mean)))
    proto.graph.initializer.extend([*front.constants, *back.constants])
    set_model_props(proto, _properties(bundle))
    nodes = [*front.nodes, *proto.graph.node, *back.nodes]
    return finish_graph(proto, nodes, ["n_samples"], [len(bundle.genres)], SAMPLES)


def _properties(bundle: Bundle) -> dict[str, str]:
    """Metadata for programs that have only the graph."""
    assert not isinstance(bundle.view, TableView)
    return {
        "created_by": f"genrelab {version('genrelab')}",
        "model": bundle.name,
        "bundle": bundle.fingerprint,
        "genres": json.dumps(bundle.genres, ensure_ascii=False),
        "sr": str(bundle.view.sr),
        "clip_s": str(bundle.clips.clip_s),
        "min_s": str(bundle.clips.min_s),
        "view": bundle.view.name,
    }


def _windows(nodes: Nodes, view: View) -> str:
    """Nodes from `samples` to the windows of a view, float32 (windows, *view.shape), rounded as in the records."""
    match view:
        case SamplesView():
            filled = nodes("Concat", SAMPLES, np.zeros(view.n_samples, np.float32), axis=0)
            windows = nodes("Unsqueeze", nodes("Slice", filled, [0], [view.n_samples]), [0])
        case MelImageView():
            windows = _mel_image(nodes, view)
        case LogMelView():
            windows = _log_mel_windows(nodes, view)
        case EmbeddingView():
            windows = _embedding(nodes, view)
        case _:
            raise AssertionError(view)
    if np.dtype(view.dtype) == np.float16:
        from onnx import TensorProto

        stored = nodes("Cast", windows, to=TensorProto.FLOAT16)
        return nodes("Cast", stored, to=TensorProto.FLOAT)
    return windows


def _mel_image(nodes: Nodes, view: MelImageView) -> str:
    """(1, frames, n_mels): `spectrogram.mel_image`, its hop computed from the number of samples."""
    n_samples = nodes("Squeeze", nodes("Shape", SAMPLES))
    hop_length = nodes("Max", nodes("Div", n_samples, view.size), view.min_hop)
    levels = _log_mel(nodes, nodes("Unsqueeze", SAMPLES, [0]), hop_length, view, view.size)
    silence = np.full((1, *view.shape), -view.top_db, np.float32)
    return nodes("Slice", nodes("Concat", levels, silence, axis=1), [0], [view.size], [1])


def _log_mel_windows(nodes: Nodes, view: LogMelView) -> str:
    """(windows, frames, n_mels): `spectrogram.log_mel_windows`, as many as the number of samples gives."""
    from onnx import TensorProto

    n_window, hop = int(view.window_s * view.sr), max(1, int(view.hop_s * view.sr))
    n_samples = nodes("Squeeze", nodes("Shape", SAMPLES))
    last = nodes("Sub", nodes("Max", n_samples, n_window), n_window)  # start of a window that ends with the clip
    regular = nodes("Range", 0, nodes("Add", last, 1), hop)
    remaining = nodes("Mod", last, hop)  # samples after the last regular window
    one_more = nodes("Cast", nodes("GreaterOrEqual", nodes("Mul", remaining, 2), n_window), to=TensorProto.INT64)
    n_windows = nodes("Add", nodes("Shape", regular), one_more)
    starts = nodes("Slice", nodes("Concat", regular, nodes("Unsqueeze", last, [0]), axis=0), [0], n_windows)
    grid = nodes("Add", nodes("Unsqueeze", starts, [1]), np.arange(n_window))
    y = nodes("Gather", SAMPLES, nodes("Mod", grid, n_samples))  # a clip shorter than a window is repeated
    levels = _log_mel(nodes, y, view.hop_length, view, view.n_mels)
    return nodes("Slice", levels, [0], [view.n_frames], [1])


def _log_mel(nodes: Nodes, y: str, hop_length: Any, view: MelImageView | LogMelView, n_mels: int) -> str:
    """(signals, frames, n_mels): `spectrogram.log_mel` of every row of `y` (signals, samples)."""
    mel = _mel_power(nodes, y, hop_length, view, n_mels)
    loudest = nodes("ReduceMax", mel, axes=[1, 2])
    below = nodes("Sub", _decibels(nodes, mel), _decibels(nodes, loudest))
    silent = nodes("LessOrEqual", loudest, AMIN)
    return nodes("Where", silent, -view.top_db, nodes("Max", below, -view.top_db))


def _mel_power(nodes: Nodes, y: str, hop_length: Any, view: MelImageView | LogMelView | EmbeddingView, n: int) -> str:
    """(signals, frames, n): power in n mel bands of every row of `y` (signals, samples)."""
    margin = view.n_fft // 2
    padded = nodes("Unsqueeze", nodes("Pad", y, [0, margin, 0, margin]), [2])
    window = hann(view.n_fft, sym=False).astype(np.float32)
    spectra = nodes("STFT", padded, hop_length, window, view.n_fft, onesided=1)
    power = nodes("ReduceSum", nodes("Mul", spectra, spectra), [3], keepdims=0)
    return nodes("MatMul", power, np.ascontiguousarray(mel_filters(view.sr, view.n_fft, n).T))


def _decibels(nodes: Nodes, power: str) -> str:
    return nodes("Mul", nodes("Log", nodes("Max", power, AMIN)), DB)


def _embedding(nodes: Nodes, view: EmbeddingView) -> str:
    """(1, outputs): `embedding.embedding`, all windows of the clip in one batch."""
    n_samples = nodes("Squeeze", nodes("Shape", SAMPLES))
    places = nodes("Range", 0, nodes("Min", n_samples, window_length(view)), 1)
    y = nodes("Gather", SAMPLES, nodes("Add", nodes("Unsqueeze", _starts(nodes, n_samples, view), [1]), places))
    power = _mel_power(nodes, y, view.hop_length, view, view.n_mels)
    levels = nodes("Mul", nodes("Log", nodes("Add", nodes("Mul", power, MEL_GAIN), 1.0)), 1 / np.log(10.0))
    n_frames = nodes("Gather", nodes("Shape", levels), 1)
    mel = nodes("Gather", levels, nodes("Mod", np.arange(view.n_frames), n_frames), axis=1)  # a short clip is repeated
    rows = nodes("Concat", *(_network(nodes, name, mel) for name in view.networks), axis=1)
    return nodes("ReduceMean", rows, axes=[0], keepdims=1)


def _starts(nodes: Nodes, n_samples: str, view: EmbeddingView) -> str:
    """(windows,) int64: `embedding.window_starts`; ties are rounded to even numbers there and here."""
    from onnx import TensorProto

    def rounded_ratio(a: str, b: Any) -> str:
        quotient = nodes("Div", nodes("Cast", a, to=TensorProto.DOUBLE), nodes("Cast", b, to=TensorProto.DOUBLE))
        return nodes("Cast", nodes("Round", quotient), to=TensorProto.INT64)

    length = window_length(view)
    n = nodes("Min", nodes("Max", rounded_ratio(n_samples, length), 1), view.max_windows)
    spare = nodes("Max", nodes("Sub", n_samples, length), 0)
    steps = nodes("Max", nodes("Sub", n, 1), 1)
    spread = rounded_ratio(nodes("Mul", nodes("Range", 0, n, 1), spare), steps)
    return nodes("Where", nodes("Equal", n, 1), nodes("Div", spare, 2), spread)


def _network(nodes: Nodes, name: str, mel: str) -> str:
    """Adds one of the networks of `features/networks`; its output for the windows `mel`, (windows, outputs)."""
    from onnx.compose import add_prefix

    proto = add_prefix(read_network(network_file(name).read_bytes()), prefix := f"{nodes.prefix}{name}/")
    rename(proto, proto.graph.input[0].name, mel)
    nodes.nodes.extend(proto.graph.node)
    nodes.constants.extend(proto.graph.initializer)
    return f"{prefix}embedding"
