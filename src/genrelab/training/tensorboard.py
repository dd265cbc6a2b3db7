"""Writes a trained model's settings and scores (HParams, scalars) and confusion matrix for TensorBoard.

`tensorboard --logdir RUN` finds one file per model, in `<model>/tensorboard/`. `models/checkpoints.py` writes the
curves of networks into folders below it, so that the HParams page also has their last values. The few messages of
TensorBoard are encoded here, without TensorFlow or TensorBoard. Field numbers are those of tensorflow's event.proto,
summary.proto, tensor.proto, of tensorboard's plugin_data.proto of HParams, and of protobuf's struct.proto.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping
from pathlib import Path

from google.protobuf import struct_pb2

from genrelab.records import tfrecord

FILE = "events.out.tfevents.0000000000.scores"
"""TensorBoard finds files with `tfevents` in their names."""

Setting = str | bool | float | None
SCALARS, TENSORS, IMAGES = 1, 2, 3  # summary.proto: DataClass
FLOAT, STRING = 1, 7  # types.proto: DataType
SUCCESS = 1  # hparams' api.proto: Status


def write(
    folder: Path,
    *,
    hparams: Mapping[str, Setting],
    metrics: Mapping[str, float],
    confusion_png: bytes | None,
    scored_on: str,
) -> None:
    """Write a finished model's file into `folder/tensorboard/`, replacing an earlier one.

    Args:
        folder: local folder of the model.
        hparams: its settings, such as `model`, `view`, `seed`; None values are left out.
        metrics: its final scores, by the name that TensorBoard shows.
        confusion_png: its confusion matrix; None if there is no picture.
        scored_on: the tracks of `metrics` and `confusion_png`, such as `800 test tracks`; a part of the descriptions
            that TensorBoard shows beside them.
    """
    now = time.time()
    values = [_hparams_value("session_start_info", 3, _session_start(hparams, now))]
    values += [
        _summary_value(name, "scalars", SCALARS, _float_tensor(score), description=f"{name} on {scored_on}")
        for name, score in metrics.items()
    ]
    if confusion_png is not None:
        shown = f"confusion on {scored_on}: a row is the true genre, a column the predicted one"
        values.append(_summary_value("confusion", "images", IMAGES, _image_tensor(confusion_png), description=shown))
    values.append(_hparams_value("session_end_info", 4, _int_field(1, SUCCESS) + _double_field(2, now)))
    events = [_double_field(1, now) + _bytes_field(3, b"brain.Event:2")]
    events += [_double_field(1, now) + _bytes_field(5, _bytes_field(1, value)) for value in values]
    target = folder / "tensorboard"
    target.mkdir(parents=True, exist_ok=True)
    temporary = target / ".scores.tmp"
    temporary.write_bytes(b"".join(map(tfrecord.frame, events)))
    temporary.replace(target / FILE)


def _session_start(hparams: Mapping[str, Setting], now: float) -> bytes:
    """SessionStartInfo: a map of names to google.protobuf.Value, as in google.protobuf.Struct, and the start time."""
    settings = struct_pb2.Struct()
    settings.update({name: value for name, value in hparams.items() if value is not None})
    return settings.SerializeToString(deterministic=True) + _double_field(5, now)


def _hparams_value(name: str, number: int, content: bytes) -> bytes:
    """A value whose content is in its metadata: HParamsPluginData of version 0."""
    return _summary_value(f"_hparams_/{name}", "hparams", TENSORS, _float_tensor(0.0), _bytes_field(number, content))


def _summary_value(
    tag: str, plugin: str, kind: int, tensor: bytes, content: bytes = b"", *, description: str = ""
) -> bytes:
    """Summary.Value."""
    metadata = _bytes_field(1, _bytes_field(1, plugin.encode()) + _bytes_field(2, content))
    metadata += _bytes_field(3, description.encode()) + _int_field(4, kind)
    return _bytes_field(1, tag.encode()) + _bytes_field(9, metadata) + _bytes_field(8, tensor)


def _float_tensor(number: float) -> bytes:
    """TensorProto of one float32."""
    return _int_field(1, FLOAT) + _bytes_field(2, b"") + _bytes_field(5, struct.pack("<f", number))


def _image_tensor(png: bytes) -> bytes:
    """TensorProto of three strings: width, height, PNG. A PNG's first chunk holds its size."""
    width, height = struct.unpack(">II", png[16:24])
    strings = (str(width).encode(), str(height).encode(), png)
    shape = _bytes_field(2, _int_field(1, len(strings)))
    return _int_field(1, STRING) + _bytes_field(2, shape) + b"".join(_bytes_field(8, s) for s in strings)


def _int_field(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(int(value))


def _double_field(number: int, value: float) -> bytes:
    return _varint(number << 3 | 1) + struct.pack("<d", value)


def _bytes_field(number: int, value: bytes) -> bytes:
    """A string, some bytes, a message, or packed numbers."""
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    """An integer, 0 or more."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
