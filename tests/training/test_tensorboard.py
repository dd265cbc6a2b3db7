"""tensorboard.py: the files are read back with TensorFlow's own messages, HParams' with protobuf's rules."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from genrelab.bundle.onnx_guard.protobuf import I64, LENGTH, VARINT, Field, Message, Reader
from genrelab.evaluation import plots
from genrelab.training.tensorboard import FILE, write

PLUGIN = {1: Field("version", VARINT), 3: Field("start", LENGTH), 4: Field("end", LENGTH)}
START = {1: Field("hparams", LENGTH, many=True), 5: Field("start_time", I64)}
ENTRY = {1: Field("key", LENGTH), 2: Field("value", LENGTH)}
VALUE = {2: Field("number", I64), 3: Field("string", LENGTH), 4: Field("bool", VARINT)}
"""Of tensorboard's hparams/plugin_data.proto, and of protobuf's struct.proto."""


def events(folder: Path) -> list[Any]:
    import tensorflow as tf

    records = tf.data.TFRecordDataset(str(folder / "tensorboard" / FILE)).as_numpy_iterator()
    return [tf.compat.v1.Event.FromString(record) for record in records]


def hparams(content: bytes) -> dict[str, object]:
    (start,) = Reader().message(memoryview(content), PLUGIN, "plugin data")["start"]
    found: dict[str, object] = {}
    for entry in Reader().message(start, START, "session start")["hparams"]:
        pair = Reader().message(entry, ENTRY, "entry")
        found[bytes(pair["key"][0]).decode()] = _value(Reader().message(pair["value"][0], VALUE, "value"))
    return found


def _value(message: Message) -> object:
    if "number" in message:
        return struct.unpack("<d", message["number"][0])[0]
    return bytes(message["string"][0]).decode() if "string" in message else bool(message["bool"][0])


def test_settings_scores_and_picture_are_read_back(tmp_path: Path) -> None:
    import tensorflow as tf

    png = plots.confusion(np.array([[3, 1], [0, 2]]), ["pop", "rock"], title="svm")
    settings = {"model": "svm (größer)", "seed": 42, "pca": None, "learning_rate": 1e-3, "strict": False}
    write(
        tmp_path,
        hparams=settings,
        metrics={"test/accuracy": 0.53125, "train_s": 300.0},
        confusion_png=png,
        scored_on="6 test tracks",
    )
    first, *rest = events(tmp_path)
    assert first.file_version == "brain.Event:2"
    values = {v.tag: v for event in rest for v in event.summary.value}
    assert [v.metadata.plugin_data.plugin_name for v in values.values()] == [
        "hparams", "scalars", "scalars", "images", "hparams",
    ]  # fmt: skip
    assert {t: float(tf.make_ndarray(values[t].tensor)) for t in ("test/accuracy", "train_s")} == {
        "test/accuracy": 0.53125,
        "train_s": 300.0,
    }
    width, height, found = tf.make_ndarray(values["confusion"].tensor).tolist()
    assert found == png
    assert tf.io.decode_png(png).shape[:2] == [int(height), int(width)]
    assert hparams(values["_hparams_/session_start_info"].metadata.plugin_data.content) == {
        "model": "svm (größer)",
        "seed": 42.0,
        "learning_rate": 1e-3,
        "strict": False,
    }
    end = values["_hparams_/session_end_info"].metadata.plugin_data.content
    assert set(Reader().message(memoryview(end), PLUGIN, "plugin data")) == {"end"}


def test_writing_again_replaces_the_file_and_leaves_the_curves_alone(tmp_path: Path) -> None:
    curve = tmp_path / "tensorboard" / "train" / "events.out.tfevents.1"
    curve.parent.mkdir(parents=True)
    curve.write_bytes(b"curve")
    for accuracy in (0.25, 0.5):
        write(
            tmp_path,
            hparams={"model": "svm"},
            metrics={"accuracy": accuracy},
            confusion_png=None,
            scored_on="6 test tracks",
        )
    values = {v.tag: v for event in events(tmp_path) for v in event.summary.value}
    assert values["accuracy"].tensor.float_val == [0.5]
    assert "confusion" not in values
    assert curve.read_bytes() == b"curve"
    assert sorted(p.name for p in (tmp_path / "tensorboard").iterdir()) == [FILE, "train"]


def test_tensorboard_finds_images_scalars_and_hparams(tmp_path: Path) -> None:
    """By the readers of its pages."""
    from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
    from tensorboard.context import RequestContext
    from tensorboard.data.provider import RunTagFilter
    from tensorboard.plugins.hparams import metadata
    from tensorboard.plugins.hparams.api_pb2 import STATUS_SUCCESS

    png = plots.confusion(np.array([[3, 1], [0, 2]]), ["pop", "rock"], title="svm")
    for model, accuracy in (("knn", 0.25), ("svm", 0.75)):
        settings = {"model": model, "seed": 42, "C": 0.5}
        write(
            tmp_path / model, hparams=settings, metrics={"accuracy": accuracy}, confusion_png=png,
            scored_on="6 test tracks",
        )  # fmt: skip
    files = EventMultiplexer().AddRunsFromDirectory(str(tmp_path))
    files.Reload()
    provider, request = MultiplexerDataProvider(files, str(tmp_path)), RequestContext()
    asked = {"experiment_id": "", "run_tag_filter": RunTagFilter()}

    pictures = provider.read_blob_sequences(request, plugin_name="images", downsample=10, **asked)
    assert set(pictures) == {"knn/tensorboard", "svm/tensorboard"}
    (picture,) = pictures["svm/tensorboard"]["confusion"]
    width, height, content = (provider.read_blob(request, blob_key=value.blob_key) for value in picture.values)
    assert content == png and (int(width), int(height)) == struct.unpack(">II", png[16:24])

    scores = provider.read_scalars(request, plugin_name="scalars", downsample=10, **asked)
    assert {run: [point.value for point in tags["accuracy"]] for run, tags in scores.items()} == {
        "knn/tensorboard": [0.25],
        "svm/tensorboard": [0.75],
    }
    shown = [
        provider.list_scalars(request, plugin_name="scalars", **asked)["svm/tensorboard"]["accuracy"].description,
        provider.list_blob_sequences(request, plugin_name="images", **asked)["svm/tensorboard"][
            "confusion"
        ].description,
    ]
    assert shown == [
        "accuracy on 6 test tracks",
        "confusion on 6 test tracks: a row is the true genre, a column the predicted one",
    ]

    hidden = provider.list_tensors(request, plugin_name="hparams", **asked)["svm/tensorboard"]
    start = metadata.parse_session_start_info_plugin_data(hidden[metadata.SESSION_START_INFO_TAG].plugin_content)
    end = metadata.parse_session_end_info_plugin_data(hidden[metadata.SESSION_END_INFO_TAG].plugin_content)
    assert (start.hparams["model"].string_value, start.hparams["C"].number_value) == ("svm", 0.5)
    assert end.status == STATUS_SUCCESS and end.end_time_secs >= start.start_time_secs > 0
