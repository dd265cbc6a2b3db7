"""A `model.keras` that brings code along is refused by name, before TensorFlow is even imported."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genrelab.core.errors import ModelError
from genrelab.models.keras_loading import load_network


def file_with(folder: Path, *objects: dict[str, Any]) -> Path:
    """`model.keras` whose network is said to hold these objects, two levels deep."""
    layers = [{"class_name": "Dense", "module": "keras.layers", "config": {"activation": o}} for o in objects]
    config = {"class_name": "Sequential", "module": "keras", "config": {"layers": layers}, "registered_name": None}
    with zipfile.ZipFile(folder / "model.keras", "w") as archive:
        archive.writestr("config.json", json.dumps(config))
    return folder / "model.keras"


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ({"class_name": "Lambda", "module": "keras.layers"}, "contains 'Lambda', which can run code"),
        ({"class_name": "__lambda__", "config": {"value": "4wA="}}, "contains '__lambda__'"),
        ({"class_name": "TFSMLayer", "module": "keras.layers"}, "contains 'TFSMLayer'"),
        ({"class_name": "StringLookup", "module": "keras.layers"}, "contains 'StringLookup'"),
        ({"class_name": "system", "module": "os"}, r"contains os\.system, which is not a Keras layer"),
        ({"class_name": "Sneaky", "module": "keraslike.layers"}, r"contains keraslike\.layers\.Sneaky"),
        ({"class_name": "get_file", "module": "keras.utils"}, r"contains keras\.utils\.get_file"),
        ({"class_name": "function", "module": "builtins", "config": "exec"}, r"function builtins\.exec"),
        ({"class_name": "function", "module": "keras.src.ops.numpy", "config": "x"}, "contains the function"),
        (
            {"class_name": "function", "module": "genrelab.models.mobilenet", "registered_name": "genrelab>f"},
            r"function genrelab\.models\.mobilenet",
        ),
        ({"class_name": "main", "module": "genrelab.__main__", "registered_name": "genrelab>x"}, "genrelab.__main__"),
        ({"class_name": "Folder", "module": "genrelab.core.storage"}, r"contains genrelab\.core\.storage\.Folder"),
        *[
            ({"class_name": "X", "module": module, "registered_name": "genrelab>X"}, rf"contains {module}\.X")
            for module in ("genrelab.models.nothing", "genrelab.cli.main", "genrelab..models")
        ],
        ({"class_name": "Folder", "module": "genrelabx", "registered_name": "genrelab>F"}, "contains genrelabx"),
    ],
)
def test_code_is_refused_by_name(tmp_path: Path, found: dict[str, Any], reason: str) -> None:
    with pytest.raises(ModelError, match=rf"model\.keras .*{reason}"):
        load_network(file_with(tmp_path, found))


def test_missing_or_damaged_keras_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.keras"
    with pytest.raises(ModelError, match="is missing: train the model again"):
        load_network(file)
    for content in (b"", b"PK\x03\x04", b"\x80\x04K\x01."):
        file.write_bytes(content)
        with pytest.raises(ModelError, match="is damaged"):
            load_network(file)
    for name, inside in (("config.json", "{"), ("config.json", "[" * 100_000), ("other.json", "{}")):
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(name, inside)
        with pytest.raises(ModelError, match="is damaged"):
            load_network(file)


def test_configuration_that_unpacks_to_too_many_bytes_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b" " * 20_000_001)
    with pytest.raises(ModelError, match=r"config\.json that unpacks to more than 20,000,000 bytes"):
        load_network(tmp_path / "model.keras")


@pytest.mark.slow  # TensorFlow takes seconds to import
def test_file_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_network(file_with(tmp_path, {"class_name": "Dense", "module": "keras.layers", "config": {"units": 1}}))


@pytest.mark.slow
def test_own_networks_are_loaded(tmp_path: Path) -> None:
    from genrelab.models.raw_cnn import build_network

    network = build_network((40,), 3)
    network.save(tmp_path / "model.keras")
    loaded = load_network(tmp_path / "model.keras")
    x = np.random.default_rng(0).standard_normal((2, 40)).astype(np.float32)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), network.predict(x, verbose=0))
