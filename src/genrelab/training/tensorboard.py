"""What TensorBoard shows of a trained model: its settings and scores (HParams, scalars) and its confusion matrix.

`tensorboard --logdir RUN` finds one file a model, in `<model>/tensorboard/`; the curves of networks, which `journal.py`
writes, lie in folders below it, so that its HParams page has their last values, too. TensorBoard's messages are few
and small and are written here: neither TensorFlow nor TensorBoard is needed. Field numbers are those of tensorflow's
event.proto, summary.proto, tensor.proto, of tensorboard's plugin_data.proto of HParams, and of protobuf's struct.proto.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping
from pathlib import Path

import google_crc32c

FILE = "events.out.tfevents.0000000000.scores"
"""TensorBoard looks for `tfevents` in a name."""

Setting = str | bool | float | None
SCALARS, TENSORS, IMAGES = 1, 2, 3  # summary.proto: DataClass
FLOAT, STRING = 1, 7  # types.proto: DataType
SUCCESS = 1  # hparams' api.proto: Status


def write(
    folder: Path, *, hparams: Mapping[str, Setting], metrics: Mapping[str, float], confusion_png: bytes | None
) -> None:
    """Write `folder/tensorboard/`'s file of a finished model, in place of an earlier one.

    Args:
        folder: local folder of the model.
        hparams: its settings, such as `model`, `view`, `seed`; what is None is left out.
        metrics: its final scores, by the name that TensorBoard shows.
        confusion_png: its confusion matrix; None where there is no picture.
    """
    now = time.time()
    values = [_hparams("session_start_info", 3, _start(hparams, now))]
    values += [_value(name, "scalars", SCALARS, _floats(score)) for name, score in metrics.items()]
    if confusion_png is not None:
        values.append(_value("confusion", "images", IMAGES, _image(confusion_png)))
    values.append(_hparams("session_end_info", 4, _int(1, SUCCESS) + _double(2, now)))
    events = [_double(1, now) + _bytes(3, b"brain.Event:2")]
    events += [_double(1, now) + _bytes(5, _bytes(1, value)) for value in values]
    target = folder / "tensorboard"
    target.mkdir(parents=True, exist_ok=True)
    temporary = target / ".scores.tmp"
    temporary.write_bytes(b"".join(map(_framed, events)))
    temporary.replace(target / FILE)


def _start(hparams: Mapping[str, Setting], now: float) -> bytes:
    """SessionStartInfo: a map of names to google.protobuf.Value, and when it began."""
    told = {name: value for name, value in hparams.items() if value is not None}
    return b"".join(_bytes(1, _bytes(1, name.encode()) + _bytes(2, _any(v))) for name, v in told.items()) + _double(
        5, now
    )


def _any(value: str | bool | float) -> bytes:
    """google.protobuf.Value."""
    if isinstance(value, bool):
        return _int(4, value)
    return _bytes(3, value.encode()) if isinstance(value, str) else _double(2, float(value))


def _hparams(name: str, number: int, content: bytes) -> bytes:
    """A value whose content is told by its metadata: HParamsPluginData of version 0."""
    return _value(f"_hparams_/{name}", "hparams", TENSORS, _floats(0.0), _bytes(number, content))


def _value(tag: str, plugin: str, kind: int, tensor: bytes, content: bytes = b"") -> bytes:
    """Summary.Value."""
    metadata = _bytes(1, _bytes(1, plugin.encode()) + _bytes(2, content)) + _int(4, kind)
    return _bytes(1, tag.encode()) + _bytes(9, metadata) + _bytes(8, tensor)


def _floats(number: float) -> bytes:
    """TensorProto of one float32."""
    return _int(1, FLOAT) + _bytes(2, b"") + _bytes(5, struct.pack("<f", number))


def _image(png: bytes) -> bytes:
    """TensorProto of three strings: width, height, PNG. A PNG's first chunk holds its size."""
    width, height = struct.unpack(">II", png[16:24])
    strings = (str(width).encode(), str(height).encode(), png)
    shape = _bytes(2, _int(1, len(strings)))
    return _int(1, STRING) + _bytes(2, shape) + b"".join(_bytes(8, s) for s in strings)


def _int(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(int(value))


def _double(number: int, value: float) -> bytes:
    return _varint(number << 3 | 1) + struct.pack("<d", value)


def _bytes(number: int, value: bytes) -> bytes:
    """A string, some bytes, a message, or packed numbers."""
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    """An integer, 0 or more."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _framed(content: bytes) -> bytes:
    """A TFRecord: length, its masked checksum, content, its masked checksum."""
    length = struct.pack("<Q", len(content))
    return length + _checksum(length) + content + _checksum(content)


def _checksum(content: bytes) -> bytes:
    crc = google_crc32c.value(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
