"""A bundle's `bundle.json`: written, read, and refused with file and key where it is not valid.

A reader knows one `format_version`; another number means that another version of genrelab must read it.
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
from genrelab.core.text import is_printable_line
from genrelab.evaluation.calibration import Evidence, evidence_from_json

FORMAT_VERSION = 1
MODEL_FILE, CARD_FILE, MANIFEST_FILE = "model.onnx", "README.md", "bundle.json"

MAX_NUMBER = 10_000_000
"""Of all numbers of a view and of clips: rates and lengths beyond it are damage, or meant to fill the memory."""
MAX_NUMBER_OF = {
    "clip_s": 600, "window_s": 600, "tolerance": 1, "max_clips": 10_000, "sr": 400_000, "n_fft": 1 << 17,
    "n_mels": 4_096, "size": 4_096,
}  # fmt: skip
MAX_OVERLAP = 100
"""Windows, or frames, that may contain the same sample: with steps of one sample there would be one for each."""

MAX_BYTES = {MODEL_FILE: 1 << 30, CARD_FILE: 1 << 24, MANIFEST_FILE: 1 << 24}
MAX_DEPTH = 20  # of lists and objects within each other

VERSIONED_PACKAGES = (
    "genrelab",
    "keras",
    "numpy",
    "onnx",
    "onnxruntime",
    "scikit-learn",
    "tensorflow",
    "tensorflow-cpu",
)
"""Packages whose versions a bundle records."""

KEY_TYPES: dict[str, tuple[type, ...]] = {
    "name": (str,), "genres": (list,), "view": (dict,), "clips": (dict,), "pooling": (str,),
    "temperature": (int, float), "metrics": (dict,), "dataset": (str,), "split": (str,),
    "licence": (str, type(None)), "versions": (dict,), "files": (dict,), "created_by": (str,),
}  # fmt: skip
"""Keys of bundle.json besides `format_version`; there may also be `calibration`, where tracks were left to calibrate
with, `own_names` and `gate`.
"""

WHO_WRITES = "`genrelab learn` writes one to the folder of --out, `genrelab train` to RUN/MODEL/bundle"


def read_manifest(folder: Path) -> dict[str, Any]:
    """Content of bundle.json, every key there and of its type, and as `fingerprint` its own sha256.

    Raises:
        BundleError: it is missing or not valid; the message names file and key.
    """
    where = folder / MANIFEST_FILE
    content = _read_limited(where, MAX_BYTES[MANIFEST_FILE])
    try:
        about = json.loads(content, parse_constant=_refuse_constant, parse_float=_finite_float)
    except (ValueError, RecursionError) as e:
        raise bundle_error(where, f"not JSON: {one_line(e)}") from e
    if not isinstance(about, dict):
        raise bundle_error(where, "not a JSON object")
    if _is_deeper(about, MAX_DEPTH):
        raise bundle_error(where, f"lists and objects lie within each other more than {MAX_DEPTH} times")
    found = about.get("format_version")
    if type(found) is not int or found != FORMAT_VERSION:
        raise bundle_error(
            where, f"format_version is {_short_repr(found)}, this genrelab knows {FORMAT_VERSION}: another one wrote it"
        )
    for key, kinds in KEY_TYPES.items():
        if key not in about or not isinstance(about[key], kinds) or isinstance(about[key], bool):
            raise bundle_error(
                where, f"{key} is missing" if key not in about else f"{key} cannot be {_short_repr(about[key])}"
            )
    for key in ("own_names", "gate"):
        if not isinstance(about.get(key, False), bool):
            raise bundle_error(where, f"{key} must be true or false. Received: {_short_repr(about[key])}")
    genres = about["genres"]
    if len(genres) < 2 or not all(isinstance(g, str) for g in genres) or genres != sorted(set(genres)):
        raise bundle_error(
            where, f"genres must be two names or more, sorted, each once. Received: {_short_repr(genres)}"
        )
    for key, text in [(k, about[k]) for k, v in about.items() if isinstance(v, str)] + [("genres", g) for g in genres]:
        if not is_printable_line(text):
            raise bundle_error(where, f"{key} cannot be {_short_repr(text)}")
    if about["pooling"] != "mean":
        raise bundle_error(where, f"pooling must be 'mean'. Received: {_short_repr(about['pooling'])}")
    if not 1e-6 < about["temperature"] < 1e6:
        raise bundle_error(where, f"temperature must be about 1. Received: {_short_repr(about['temperature'])}")
    return about | {"fingerprint": hashlib.sha256(content).hexdigest()}


def manifest_bytes(about: Mapping[str, Any]) -> bytes:
    """bundle.json: one key per line, a list of numbers on one line."""
    text = json.dumps(about, indent=1, ensure_ascii=False)
    return (re.sub(r"\[\n[\s\d,]+\]", lambda m: " ".join(m[0].split()), text) + "\n").encode()


def versions() -> dict[str, str]:
    """Versions of Python and of `VERSIONED_PACKAGES`, as far as they are installed."""
    found = {"python": platform.python_version()}
    for package in VERSIONED_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _refuse_constant(text: str) -> float:
    """Refuse NaN and infinities, which Python writes and reads, and no other reader of JSON knows.

    Raises:
        ValueError: always.
    """
    raise ValueError(f"{text} is no number")


def _finite_float(text: str) -> float:
    """The number; one that Python would read as infinite is refused.

    Raises:
        ValueError: it would be infinite.
    """
    return value if math.isfinite(value := float(text)) else _refuse_constant(text[:50])


def _is_deeper(value: Any, depth: int) -> bool:
    """Is the value nested more than `depth` levels? Beyond the interpreter's stack, everything that uses it fails."""
    level = [value]
    for _ in range(depth + 1):
        level = [x for v in level if isinstance(v, dict | list) for x in (v.values() if isinstance(v, dict) else v)]
    return bool(level)


def _short_repr(value: Any) -> str:
    """A value for an error, cut to a limited length."""
    return repr(value)[:200]


def _read_limited(file: Path, max_bytes: int) -> bytes:
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would block for ever
            raise bundle_error(file, "is not a regular file")
        if status.st_size > max_bytes:
            raise bundle_error(file, f"is larger than {max_bytes:,} bytes")
        return file.read_bytes()
    except FileNotFoundError as e:
        folders = (p for way in ("bundle", "*/bundle") for p in sorted(file.parent.glob(way)))
        inside = next((p for p in folders if (p / MANIFEST_FILE).is_file()), None)
        if inside is not None:
            raise bundle_error(file.parent, f"holds no bundle itself: did you mean {inside}?") from e
        what = "is missing: the bundle is unfinished or damaged" if file.parent.is_dir() else "no such folder"
        where = file if file.parent.is_dir() else file.parent
        raise bundle_error(where, f"{what}; {WHO_WRITES}") from e
    except NotADirectoryError as e:
        raise bundle_error(file.parent, f"is a file, and a bundle is a folder; {WHO_WRITES}") from e
    except (OSError, ValueError) as e:
        raise bundle_error(file, getattr(e, "strerror", None) or one_line(e)) from e


def is_only_a_bundle(folder: Path) -> bool:
    """Does a folder hold what `write_bundle` writes, damaged or not, and nothing else? An empty one does too."""
    if not folder.is_dir():
        return False
    names = {p.name for p in folder.iterdir()}
    return not names or {MODEL_FILE, MANIFEST_FILE} <= names <= {MODEL_FILE, CARD_FILE, MANIFEST_FILE}


def read_verified(folder: Path, files: dict[str, Any]) -> dict[str, bytes]:
    """Contents of the files that bundle.json lists, as they were written.

    Raises:
        BundleError: one is missing or has changed.
    """
    if set(files) != {MODEL_FILE, CARD_FILE}:
        raise bundle_error(
            folder / MANIFEST_FILE,
            f"files must be {MODEL_FILE} and {CARD_FILE}. Received: {_short_repr(sorted(files))}",
        )
    contents = {name: _read_limited(folder / name, MAX_BYTES[name]) for name in files}
    for name, content in contents.items():
        if hashlib.sha256(content).hexdigest() != files[name]:
            raise bundle_error(folder / name, "changed since the bundle was written (its sha256 differs)")
    return contents


def stored_view(stored: dict[str, Any], where: Path) -> View:
    """The view that bundle.json describes, complete and with possible numbers.

    Raises:
        BundleError: it is not valid.
    """
    if cls := VIEWS.get(str(stored.get("name"))):
        _check_numbers(cls, stored, where)  # before anything is computed with them
    try:
        view = view_from_json(stored)
        if json.loads(json.dumps(view_to_json(view))) != stored:
            raise SettingsError(f"view {view.name}: settings are missing")
    except (SettingsError, TypeError, ValueError, ArithmeticError) as e:
        raise bundle_error(where, one_line(e)) from e
    return view


def stored_clips(stored: dict[str, Any], where: Path) -> ClipSettings:
    """The clips that bundle.json describes.

    Raises:
        BundleError: they are not valid.
    """
    _check_numbers(ClipSettings, stored, where)
    try:
        return ClipSettings(**stored)
    except (SettingsError, TypeError) as e:
        raise bundle_error(where, f"clips: {one_line(e)}") from e


def stored_calibration(about: dict[str, Any], where: Path) -> Evidence | None:
    """Results on calibration tracks in bundle.json; None where it has none, as those of genrelab 0.2.

    Raises:
        BundleError: they are not valid.
    """
    if "calibration" not in about:
        return None
    try:
        found = evidence_from_json(about["calibration"], about["genres"])
        if not is_printable_line(found.fitted_on):
            raise ValueError(f"fitted_on cannot be {_short_repr(found.fitted_on)}")
    except ValueError as e:
        raise bundle_error(where, f"calibration: {one_line(e)}") from e
    return found


def _check_numbers(cls: type[View | ClipSettings], stored: dict[str, Any], where: Path) -> None:
    """Refuse numbers that are missing, of another type than the defaults', or with which no clip can be processed."""
    for f in dataclasses.fields(cls):
        if f.name not in stored:
            raise bundle_error(where, f"{cls.__name__}: {f.name} is missing")
        value: Any = stored[f.name]
        kinds = {float: (int, float), tuple: (list,)}.get(type(f.default), (type(f.default),))
        good = type(value) in kinds
        if good and isinstance(value, list):
            good = len(value) > 0 and all(isinstance(column, str) for column in value)
        elif good and not isinstance(value, bool):
            good = 0 < value <= MAX_NUMBER_OF.get(f.name, MAX_NUMBER) or (value == 0 and f.name == "tolerance")
        if not good:
            raise bundle_error(where, f"{cls.__name__}: {f.name} cannot be {_short_repr(value)}")
    for step, length in (("hop_s", "window_s"), ("hop_length", "n_fft")):
        if step in stored and length in stored and stored[step] * MAX_OVERLAP < stored[length]:
            raise bundle_error(
                where, f"{cls.__name__}: {step} cannot be {_short_repr(stored[step])}, so far below {length}"
            )


def bundle_error(where: Path, why: str) -> BundleError:
    """The error for one file of a bundle, on one line."""
    return BundleError(f"{printable(str(where))}: {printable(why)}")


def one_line(e: BaseException) -> str:
    """A library's error message without its line breaks, cut to a limited length."""
    return " ".join(str(e).split())[:1_000] or type(e).__name__
