"""Loads the network of a `model.keras` without running code that the file contains.

Keras' own safe mode refuses Lambda layers; before that, this module allows only certain names in a file: Keras'
building blocks and genrelab's own layers, whatever else the installed Keras would import.
"""

from __future__ import annotations

import importlib
import json
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from genrelab.core.errors import ModelError, printable
from genrelab.core.tensorflow import load_tensorflow
from genrelab.models import registry

CONFIG = "config.json"
MAX_CONFIG_BYTES = 20_000_000  # the largest network of `registry` takes a hundredth of it

LAYER_MODULES = registry.modules()
"""Modules of genrelab whose layers a network may hold."""

ALLOWED_MODULES = (
    "keras.layers", "keras.initializers", "keras.regularizers", "keras.constraints", "keras.activations",
    "keras.optimizers", "keras.losses", "keras.metrics", "keras.dtype_policies", "keras.src.layers",
    "keras.src.models", "keras.src.ops", "keras.src.activations",
)  # fmt: skip
"""Modules whose objects a network may be built of, besides `keras` itself and genrelab's."""

FORBIDDEN_CLASSES = (
    "Lambda", "__lambda__", "__typespec__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer",
    "StringLookup", "IntegerLookup", "TextVectorization",
)  # fmt: skip
"""Classes that hold code, or that read other files."""


def load_network(file: Path) -> Any:
    """The Keras network in a file, for prediction: windows (batch, *shape) to logits (batch, genres).

    Raises:
        ModelError: it is missing or damaged, or contains code.
        MissingRequirementError: TensorFlow is not installed.
    """
    config = _read_config(file)
    for found in _config_objects(config):
        _refuse_code(file, found)
    _, keras = load_tensorflow()
    for module in {str(o["module"]) for o in _config_objects(config) if _is_genrelab_layer(o)}:
        importlib.import_module(module)  # registers its layers
    try:
        return keras.models.load_model(file, compile=False, safe_mode=True)
    except Exception as e:  # which error Keras raises depends on the file
        raise _load_error(file, f"cannot be loaded ({' '.join(str(e).split())[:200]})") from e


def _read_config(file: Path) -> Any:
    try:
        with zipfile.ZipFile(file) as archive:
            if archive.getinfo(CONFIG).file_size > MAX_CONFIG_BYTES:
                raise ValueError(f"{CONFIG} unpacks to more than {MAX_CONFIG_BYTES:,} bytes")
            return json.loads(archive.read(CONFIG))
    except FileNotFoundError as e:
        raise _load_error(file, "is missing: train the model again") from e
    except (OSError, ValueError, KeyError, RecursionError, zipfile.BadZipFile, zlib.error) as e:
        raise _load_error(file, f"is damaged ({' '.join(str(e).split())[:200]}): train the model again") from e


def _config_objects(config: Any) -> Iterator[dict[str, Any]]:
    """Every object that a configuration would make Keras build, at any depth."""
    pending = [config]
    while pending:
        found = pending.pop()
        if isinstance(found, dict):
            if "class_name" in found:
                yield found
            pending.extend(found.values())
        elif isinstance(found, list):
            pending.extend(found)


def _is_genrelab_layer(found: dict[str, Any]) -> bool:
    module, name = str(found.get("module")), str(found.get("registered_name"))
    return module in LAYER_MODULES and name.startswith("genrelab>")


def _refuse_code(file: Path, found: dict[str, Any]) -> None:
    name, module = str(found["class_name"]), found.get("module")
    if name in FORBIDDEN_CLASSES:
        raise _load_error(file, f"holds {name!r}, which can run code or read other files: genrelab does not load it")
    if module is None or module == "keras":  # without a module: plain values such as shapes
        return
    if name == "function" and module != "keras.activations":
        raise _load_error(file, f"names the function {module}.{found.get('config')}: genrelab does not load it")
    if _is_genrelab_layer(found):
        return
    if not any(str(module) == allowed or str(module).startswith(f"{allowed}.") for allowed in ALLOWED_MODULES):
        raise _load_error(file, f"names {module}.{name}, which is neither a layer of Keras nor one of genrelab")


def _load_error(file: Path, why: str) -> ModelError:
    return ModelError(f"{printable(str(file))}: {printable(why)}")
