from __future__ import annotations

import builtins
import os
import subprocess
import sys
from typing import Any

import pytest

from genrelab.core import tensorflow
from genrelab.core.errors import MissingRequirementError, ModelError
from genrelab.core.tensorflow import load_tensorflow, pick_strategy

pytestmark = pytest.mark.slow  # TensorFlow takes seconds to import


def test_importing_tensorflow_prints_nothing() -> None:
    code = "from genrelab.core.tensorflow import load_tensorflow; print(load_tensorflow()[1].backend.backend())"
    env = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"} | {"KERAS_BACKEND": "jax"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("tensorflow\n", "")


def test_missing_tensorflow_error_names_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def without(name: str, *more: Any, **named: Any) -> Any:
        if name in ("keras", "tensorflow"):
            raise ImportError(f"No module named {name!r}")
        return imported(name, *more, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(
        MissingRequirementError, match=r"needs TensorFlow, which is not installed: pip install 'genrelab\[train\]'"
    ):
        load_tensorflow()


@pytest.mark.parametrize("name", ["auto", "cpu"])
def test_a_machine_without_accelerators_trains_on_its_processor(name: str) -> None:
    tf, _ = load_tensorflow()
    assert pick_strategy(name, data_is_local=True) is tf.distribute.get_strategy()


@pytest.mark.parametrize(("gpus", "kind"), [(1, "_DefaultDistributionStrategy"), (2, "MirroredStrategy")])
def test_all_gpus_are_used(monkeypatch: pytest.MonkeyPatch, gpus: int, kind: str) -> None:
    tf, _ = load_tensorflow()
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: ["GPU"] * gpus)
    for name in ("auto", "gpu"):
        assert type(pick_strategy(name, data_is_local=True)).__name__ == kind
    on_processor = pick_strategy("cpu", data_is_local=True)
    assert [d[-5:] for d in on_processor.extended.worker_devices] == ["CPU:0"]


def test_requested_gpu_or_tpu_that_is_absent_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorflow, "_tpu_may_exist", lambda: False)
    with pytest.raises(ModelError, match="--strategy gpu: TensorFlow finds no GPU"):
        pick_strategy("gpu", data_is_local=True)
    with pytest.raises(ModelError, match="--strategy tpu: no TPU found"):
        pick_strategy("tpu", data_is_local=False)


@pytest.mark.parametrize("name", ["auto", "tpu"])
def test_a_tpu_refuses_local_data(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("TPU_NAME", "nowhere")
    with pytest.raises(ModelError, match="a TPU cannot read files on this machine: use `prepare --out`"):
        pick_strategy(name, data_is_local=True)


def test_unreachable_tpu_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    tf, _ = load_tensorflow()

    def connect() -> None:
        raise ValueError("no answer\nfrom it")

    monkeypatch.setenv("TPU_NAME", "nowhere")
    monkeypatch.setattr(tf.distribute.cluster_resolver.TPUClusterResolver, "connect", connect)
    with pytest.raises(ModelError, match="the TPU cannot be reached"):
        pick_strategy("auto", data_is_local=False)
