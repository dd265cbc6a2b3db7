"""What stands in a bundle's `bundle.json`: read, and refused by name where it cannot be.

The number that a reader knows is `format_version`; another number means that another genrelab must read it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import platform
import re
import stat
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from genrelab.core.config import VIEWS, ClipSettings, View, view_from_json, view_to_json
from genrelab.core.errors import BundleError, SettingsError, printable
from genrelab.core.text import is_a_line
from genrelab.evaluation.calibration import Evidence, evidence_from_json

FORMAT_VERSION = 1
MODEL, CARD, ABOUT = "model.onnx", "README.md", "bundle.json"

LARGEST = 10_000_000
"""Of all numbers of a view and of clips: rates and lengths beyond it are damage, or meant to fill the memory."""
LARGEST_OF = {
    "clip_s": 600, "window_s": 600, "tolerance": 1, "max_clips": 10_000, "sr": 400_000, "n_fft": 1 << 17,
    "n_mels": 4_096, "size": 4_096,
}  # fmt: skip
MOST_OVERLAP = 100
"""Windows, or frames, that may hear the same sample: steps of a sample would make one for each."""

MOST_BYTES = {MODEL: 1 << 30, CARD: 1 << 24, ABOUT: 1 << 24}
MOST_DEPTH = 20  # of lists and objects within each other

MAKERS = ("genrelab", "keras", "numpy", "onnx", "onnxruntime", "scikit-learn", "tensorflow", "tensorflow-cpu")
"""Packages whose versions a bundle names."""

KINDS: dict[str, tuple[type, ...]] = {
    "name": (str,), "genres": (list,), "view": (dict,), "clips": (dict,), "pooling": (str,),
    "temperature": (int, float), "metrics": (dict,), "dataset": (str,), "split": (str,),
    "licence": (str, type(None)), "versions": (dict,), "files": (dict,), "created_by": (str,),
}  # fmt: skip
"""What stands in bundle.json besides `format_version`, and, where tracks were left to calibrate with, `calibration`."""


def read_about(folder: Path) -> dict[str, Any]:
    """What bundle.json says, every key there and of its kind, and under `fingerprint` its own sha256.

    Raises:
        BundleError: named by file and key.
    """
    where = folder / ABOUT
    content = _bytes(where, MOST_BYTES[ABOUT])
    try:
        about = json.loads(content, parse_constant=_no_number, parse_float=_finite)
    except (ValueError, RecursionError) as e:
        raise refusal(where, f"not JSON: {one_line(e)}") from e
    if not isinstance(about, dict):
        raise refusal(where, "not a JSON object")
    if _is_deeper(about, MOST_DEPTH):
        raise refusal(where, f"lists and objects lie within each other more than {MOST_DEPTH} times")
    found = about.get("format_version")
    if type(found) is not int or found != FORMAT_VERSION:
        raise refusal(
            where, f"format_version is {_said(found)}, this genrelab knows {FORMAT_VERSION}: another one wrote it"
        )
    for key, kinds in KINDS.items():
        if key not in about or not isinstance(about[key], kinds) or isinstance(about[key], bool):
            raise refusal(where, f"{key} is missing" if key not in about else f"{key} cannot be {_said(about[key])}")
    genres = about["genres"]
    if len(genres) < 2 or not all(isinstance(g, str) for g in genres) or genres != sorted(set(genres)):
        raise refusal(where, f"genres must be two names or more, sorted, each once. Received: {_said(genres)}")
    for key, text in [(k, about[k]) for k, v in about.items() if isinstance(v, str)] + [("genres", g) for g in genres]:
        if not is_a_line(text):
            raise refusal(where, f"{key} cannot be {_said(text)}")
    if about["pooling"] != "mean":
        raise refusal(where, f"pooling must be 'mean'. Received: {_said(about['pooling'])}")
    if not 1e-6 < about["temperature"] < 1e6:
        raise refusal(where, f"temperature must be about 1. Received: {_said(about['temperature'])}")
    return about | {"fingerprint": hashlib.sha256(content).hexdigest()}


def written(about: Mapping[str, Any]) -> bytes:
    """bundle.json: a key a line, numbers that lie side by side on one."""
    text = json.dumps(about, indent=1, ensure_ascii=False)
    return (re.sub(r"\[\n[\s\d,]+\]", lambda m: " ".join(m[0].split()), text) + "\n").encode()


def versions() -> dict[str, str]:
    """Of what made the model, as far as it is installed."""
    found = {"python": platform.python_version()}
    for package in MAKERS:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _no_number(text: str) -> float:
    """What Python writes and reads, and no other reader of JSON knows.

    Raises:
        ValueError: always.
    """
    raise ValueError(f"{text} is no number")


def _finite(text: str) -> float:
    """A number that Python would read as infinite is none.

    Raises:
        ValueError: it is one.
    """
    return value if math.isfinite(value := float(text)) else _no_number(text[:50])


def _is_deeper(value: Any, depth: int) -> bool:
    """Than so many levels? Beyond the interpreter's stack, everything that looks at it would fail."""
    level = [value]
    for _ in range(depth + 1):
        level = [x for v in level if isinstance(v, dict | list) for x in (v.values() if isinstance(v, dict) else v)]
    return bool(level)


def _said(value: Any) -> str:
    """A value for an error, not at any length."""
    return repr(value)[:200]


def _bytes(file: Path, most: int) -> bytes:
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would block for ever
            raise refusal(file, "is not a regular file")
        if status.st_size > most:
            raise refusal(file, f"is larger than {most:,} bytes")
        return file.read_bytes()
    except FileNotFoundError as e:
        inside = next((p for way in ("bundle", "*/bundle") for p in sorted(file.parent.glob(way)) if p.is_dir()), None)
        if inside is not None:
            raise refusal(file.parent, f"holds no bundle itself: did you mean {inside}?") from e
        what = "is missing: the bundle is unfinished or damaged" if file.parent.is_dir() else "no such folder"
        where = file if file.parent.is_dir() else file.parent
        raise refusal(where, f"{what}; `genrelab train` writes bundles to RUN/MODEL/bundle") from e
    except NotADirectoryError as e:
        raise refusal(
            file.parent, "is a file, and a bundle is a folder; `genrelab train` writes RUN/MODEL/bundle"
        ) from e
    except (OSError, ValueError) as e:
        raise refusal(file, getattr(e, "strerror", None) or one_line(e)) from e


def is_only_a_bundle(folder: Path) -> bool:
    """Does a folder hold what `write_bundle` writes, damaged or not, and nothing else? An empty one does too."""
    if not folder.is_dir():
        return False
    names = {p.name for p in folder.iterdir()}
    return not names or {MODEL, ABOUT} <= names <= {MODEL, CARD, ABOUT}


def verified(folder: Path, files: dict[str, Any]) -> dict[str, bytes]:
    """Contents of the files that bundle.json lists, as they were written.

    Raises:
        BundleError: one is missing or has changed.
    """
    if set(files) != {MODEL, CARD}:
        raise refusal(folder / ABOUT, f"files must be {MODEL} and {CARD}. Received: {_said(sorted(files))}")
    contents = {name: _bytes(folder / name, MOST_BYTES[name]) for name in files}
    for name, content in contents.items():
        if hashlib.sha256(content).hexdigest() != files[name]:
            raise refusal(folder / name, "changed since the bundle was written (its sha256 differs)")
    return contents


def stored_view(stored: dict[str, Any], where: Path) -> View:
    """The view that bundle.json describes, whole and with numbers that can be.

    Raises:
        BundleError: it cannot be.
    """
    if cls := VIEWS.get(str(stored.get("name"))):
        _refuse_odd_numbers(cls, stored, where)  # before anything is computed with them
    try:
        view = view_from_json(stored)
        if json.loads(json.dumps(view_to_json(view))) != stored:
            raise SettingsError(f"view {view.name}: settings are missing")
    except (SettingsError, TypeError, ValueError, ArithmeticError) as e:
        raise refusal(where, one_line(e)) from e
    return view


def stored_clips(stored: dict[str, Any], where: Path) -> ClipSettings:
    """The clips that bundle.json describes.

    Raises:
        BundleError: they cannot be.
    """
    _refuse_odd_numbers(ClipSettings, stored, where)
    try:
        return ClipSettings(**stored)
    except (SettingsError, TypeError) as e:
        raise refusal(where, f"clips: {one_line(e)}") from e


def stored_calibration(about: dict[str, Any], where: Path) -> Evidence | None:
    """What bundle.json says of calibration tracks; None where it says nothing, as those of genrelab 0.2 do.

    Raises:
        BundleError: it cannot be.
    """
    if "calibration" not in about:
        return None
    try:
        found = evidence_from_json(about["calibration"], about["genres"])
        if not is_a_line(found.fitted_on):
            raise ValueError(f"fitted_on cannot be {_said(found.fitted_on)}")
    except ValueError as e:
        raise refusal(where, f"calibration: {one_line(e)}") from e
    return found


def _refuse_odd_numbers(cls: type[View | ClipSettings], stored: dict[str, Any], where: Path) -> None:
    """Numbers that are missing, of another kind than the defaults', or such as no clip could be cut or heard with."""
    for f in dataclasses.fields(cls):
        if f.name not in stored:
            raise refusal(where, f"{cls.__name__}: {f.name} is missing")
        value: Any = stored[f.name]
        kinds = {float: (int, float), tuple: (list,)}.get(type(f.default), (type(f.default),))
        good = type(value) in kinds
        if good and isinstance(value, list):
            good = len(value) > 0 and all(isinstance(column, str) for column in value)
        elif good and not isinstance(value, bool):
            good = 0 < value <= LARGEST_OF.get(f.name, LARGEST) or (value == 0 and f.name == "tolerance")
        if not good:
            raise refusal(where, f"{cls.__name__}: {f.name} cannot be {_said(value)}")
    for step, length in (("hop_s", "window_s"), ("hop_length", "n_fft")):
        if step in stored and length in stored and stored[step] * MOST_OVERLAP < stored[length]:
            raise refusal(where, f"{cls.__name__}: {step} cannot be {_said(stored[step])}, so far below {length}")


def refusal(where: Path, why: str) -> BundleError:
    """The error for one file of a bundle, on one line."""
    return BundleError(f"{printable(str(where))}: {printable(why)}")


def one_line(e: BaseException) -> str:
    """A library's words without their line breaks, not at any length."""
    return " ".join(str(e).split())[:1_000] or type(e).__name__
