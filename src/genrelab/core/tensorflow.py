"""TensorFlow, imported late and quietly, and the device it runs on: CPU, GPUs or TPU."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genrelab.core.errors import MissingRequirementError, ModelError

NO_TENSORFLOW = "needs TensorFlow, which is not installed: pip install 'genrelab[train]'"
TPU_VARIABLES = ("TPU_NAME", "COLAB_TPU_ADDR")


def load_tensorflow() -> tuple[Any, Any]:
    """The modules tensorflow and keras; the first import takes seconds.

    Raises:
        MissingRequirementError: TensorFlow is not installed.
    """
    if "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        os.environ["KERAS_BACKEND"] = "tensorflow"  # takes precedence over ~/.keras/keras.json
        with _silent_stderr():
            tf, _ = _import_tensorflow()
            tf.cast(tf.zeros(1, tf.float16), tf.float32)  # triggers oneDNN's one warning that it has no such kernel
    return _import_tensorflow()


def _import_tensorflow() -> tuple[Any, Any]:
    try:
        import keras
        import tensorflow as tf
    except ImportError as e:
        raise MissingRequirementError(f"this model {NO_TENSORFLOW} ({e})") from e
    tf.get_logger().setLevel("ERROR")  # it warns about repeated tracing, which is normal for several networks
    return tf, keras


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Discard C++ startup messages ("oneDNN custom operations are on"): no setting turns them off."""
    sys.stderr.flush()
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


def seed_everything(seed: int) -> None:
    """Make training reproducible: the same seed gives the same numbers, on a GPU too (at some cost in speed)."""
    tf, keras = load_tensorflow()
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def as_numpy(variable: Any) -> Any:
    """Value of a Keras variable, of the first device where it is mirrored."""
    tf, _ = load_tensorflow()
    return tf.convert_to_tensor(variable.value).numpy()


def pick_strategy(name: str, *, data_is_local: bool) -> Any:
    """The `tf.distribute.Strategy` to build and train a network in.

    Args:
        name: `auto` (a TPU if found, else all GPUs, else the CPU), `cpu`, `gpu` or `tpu`.
        data_is_local: are the records on this machine's disk?

    Raises:
        ModelError: the requested device is missing, or a TPU cannot read the data.
    """
    tf, _ = load_tensorflow()
    if name == "tpu" or (name == "auto" and _tpu_may_exist()):
        return _tpu_strategy(tf, data_is_local=data_is_local)
    gpus = tf.config.list_logical_devices("GPU")
    if name == "gpu" and not gpus:
        raise ModelError(
            "--strategy gpu: TensorFlow finds no GPU: use --strategy auto, or pip install 'genrelab[train-gpu]'"
        )
    if gpus and name == "cpu":
        return tf.distribute.OneDeviceStrategy("/cpu:0")
    return tf.distribute.MirroredStrategy() if len(gpus) > 1 else tf.distribute.get_strategy()


def is_tpu(strategy: Any) -> bool:
    """Is it a TPU's strategy?"""
    tf, _ = load_tensorflow()
    return isinstance(strategy, tf.distribute.TPUStrategy)


def _tpu_may_exist() -> bool:
    """Is there any sign of a TPU? Connecting to one is slow where there is none, so this is checked first."""
    return any(os.environ.get(v) for v in TPU_VARIABLES) or any(Path("/dev").glob("accel*"))


def _tpu_strategy(tf: Any, *, data_is_local: bool) -> Any:
    if not _tpu_may_exist():
        raise ModelError(
            f"--strategy tpu: no TPU found (no /dev/accel*; {' and '.join(TPU_VARIABLES)} are not set): use --strategy "
            "auto"
        )
    if data_is_local:
        raise ModelError(
            "a TPU cannot read files on this machine: use `prepare --out` with a gs:// address, or --strategy cpu"
        )
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect()
    except (ValueError, RuntimeError, OSError, tf.errors.OpError) as e:
        raise ModelError("the TPU cannot be reached: check the network, or use --strategy gpu or cpu") from e
    return tf.distribute.TPUStrategy(resolver)
