"""Loads the network of a `model.keras` without running code from the file.

Keras' safe mode refuses Lambda layers only. Before that, this module allows only names of Keras' building blocks.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from genrelab.core.errors import ModelError, printable
from genrelab.core.tensorflow import load_tensorflow

CONFIG = "config.json"
MAX_CONFIG_BYTES = 20_000_000  # the largest network of genrelab needs a hundredth of it

ALLOWED_MODULES = (
    "keras.layers", "keras.initializers", "keras.regularizers", "keras.constraints", "keras.activations",
    "keras.optimizers", "keras.losses", "keras.metrics", "keras.dtype_policies", "keras.src.layers",
    "keras.src.models", "keras.src.ops", "keras.src.activations",
)  # fmt: skip
"""Modules whose objects a network may contain, besides `keras` itself."""

FORBIDDEN_CLASSES = (
    "Lambda", "__lambda__", "__typespec__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer",
    "StringLookup", "IntegerLookup", "TextVectorization",
)  # fmt: skip
"""Classes that contain code or read other files."""


def load_network(file: Path) -> Any:
    """The Keras network in a file, for prediction: windows (batch, *shape) to logits (batch, genres).

    Raises:
        ModelError: it is missing or damaged, or contains code.
        MissingRequirementError: TensorFlow is not installed.
    """
    for found in _config_objects(_read_config(file)):
        _refuse_code(file, found)
    _, keras = load_tensorflow()
    try:
        return keras.models.load_model(file, compile=False, safe_mode=True)
    except Exception as e:  # which error Keras raises depends on the file
        raise _load_error(file, "cannot be loaded by the installed Keras: train the model again") from e


def _read_config(file: Path) -> Any:
    try:
        with zipfile.ZipFile(file) as archive:
            if archive.getinfo(CONFIG).file_size > MAX_CONFIG_BYTES:
                raise _load_error(file, f"contains a {CONFIG} that unpacks to more than {MAX_CONFIG_BYTES:,} bytes")
            return json.loads(archive.read(CONFIG))
    except FileNotFoundError as e:
        raise _load_error(file, "is missing: train the model again") from e
    except (OSError, ValueError, KeyError, RecursionError, zipfile.BadZipFile, zlib.error) as e:
        raise _load_error(file, "cannot be read or is damaged: train the model again") from e


def _config_objects(config: Any) -> Iterator[dict[str, Any]]:
    """Every object that Keras would build from a configuration, at any depth."""
    pending = [config]
    while pending:
        found = pending.pop()
        if isinstance(found, dict):
            if "class_name" in found:
                yield found
            pending.extend(found.values())
        elif isinstance(found, list):
            pending.extend(found)


def _refuse_code(file: Path, found: dict[str, Any]) -> None:
    name, module = str(found["class_name"]), found.get("module")
    if name in FORBIDDEN_CLASSES:
        raise _load_error(file, f"contains {name!r}, which can run code or read other files: it is not loaded")
    if module is None or module == "keras":  # without a module: plain values such as shapes
        return
    if name == "function" and module != "keras.activations":
        raise _load_error(file, f"contains the function {module}.{found.get('config')}: it is not loaded")
    if not f"{module}.".startswith(tuple(f"{allowed}." for allowed in ALLOWED_MODULES)):
        raise _load_error(file, f"contains {module}.{name}, which is not a Keras layer: it is not loaded")


def _load_error(file: Path, why: str) -> ModelError:
    return ModelError(f"{printable(str(file))} {printable(why)}")
