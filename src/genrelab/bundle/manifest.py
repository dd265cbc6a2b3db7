"""Writes, reads and validates `bundle.json` of a bundle; errors name file and key.

A version of genrelab reads one `format_version` only.
"""

from __future__ import annotations

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
from genrelab.features.view_settings import check_numbers

FORMAT_VERSION = 1
MODEL_FILE, CARD_FILE, MANIFEST_FILE = "model.onnx", "README.md", "bundle.json"

MAX_BYTES = {MODEL_FILE: 1 << 30, CARD_FILE: 1 << 24, MANIFEST_FILE: 1 << 24}
MAX_DEPTH = 20  # of nested lists and objects

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
"""Keys of bundle.json besides `format_version`; `calibration`, `own_names` and `gate` are optional."""

BUNDLE_SOURCES = "`genrelab learn` writes one to its --out folder, `genrelab train` to RUN/MODEL/bundle"


def read_manifest(folder: Path) -> dict[str, Any]:
    """Content of bundle.json, with all keys of the right type, and its own sha256 as `fingerprint`.

    Raises:
        BundleError: it is missing or invalid; the message names file and key.
    """
    where = folder / MANIFEST_FILE
    content = _read_limited(where, MAX_BYTES[MANIFEST_FILE])
    try:
        about = json.loads(content, parse_constant=_finite_float, parse_float=_finite_float)
    except (ValueError, RecursionError) as e:
        raise bundle_error(where, f"not valid JSON: {one_line(e)}") from e
    if not isinstance(about, dict):
        raise bundle_error(where, "not a JSON object")
    if _is_deeper(about, MAX_DEPTH):
        raise bundle_error(where, f"lists and objects are nested more than {MAX_DEPTH} levels deep")
    found = about.get("format_version")
    rule = f"format_version must be {FORMAT_VERSION}: use the version of genrelab that wrote it"
    _require(type(found) is int and found == FORMAT_VERSION, where, rule, found)
    for key, kinds in KEY_TYPES.items():
        if key not in about or not isinstance(about[key], kinds) or isinstance(about[key], bool):
            raise bundle_error(
                where, f"{key} is missing" if key not in about else f"{key} cannot be {_short_repr(about[key])}"
            )
    for key in ("own_names", "gate"):
        value = about.get(key, False)
        _require(isinstance(value, bool), where, f"{key} must be true or false", value)
    genres = about["genres"]
    are_sorted = len(genres) > 1 and all(isinstance(g, str) for g in genres) and genres == sorted(set(genres))
    _require(are_sorted, where, "genres must be two or more different names, sorted", genres)
    for key, text in [(k, about[k]) for k, v in about.items() if isinstance(v, str)] + [("genres", g) for g in genres]:
        if not is_printable_line(text):
            raise bundle_error(where, f"{key} cannot be {_short_repr(text)}")
    _require(about["pooling"] == "mean", where, "pooling must be 'mean'", about["pooling"])
    _require(1e-6 < about["temperature"] < 1e6, where, "temperature must be 1e-6 to 1e6", about["temperature"])
    return about | {"fingerprint": hashlib.sha256(content).hexdigest()}


def manifest_bytes(about: Mapping[str, Any]) -> bytes:
    """bundle.json: one key per line, a list of numbers on one line."""
    text = json.dumps(about, indent=1, ensure_ascii=False)
    return (re.sub(r"\[\n[\s\d,]+\]", lambda m: " ".join(m[0].split()), text) + "\n").encode()


def versions() -> dict[str, str]:
    """Versions of Python and of the installed ones of `VERSIONED_PACKAGES`."""
    found = {"python": platform.python_version()}
    for package in VERSIONED_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _finite_float(text: str) -> float:
    """The number; NaN and infinities, which Python reads but JSON does not allow, are refused.

    Raises:
        ValueError: it is not finite.
    """
    if math.isfinite(value := float(text)):
        return value
    raise ValueError(f"{text[:50]} is not a finite number")


def _is_deeper(value: Any, depth: int) -> bool:
    """Is the value nested more than `depth` levels? Code that recurses would exceed the interpreter's stack."""
    level = [value]
    for _ in range(depth + 1):
        level = [x for v in level if isinstance(v, dict | list) for x in (v.values() if isinstance(v, dict) else v)]
    return bool(level)


def _require(good: bool, where: Path, rule: str, value: object) -> None:
    """Raise an error with the rule and the value unless it is `good`."""
    if not good:
        raise bundle_error(where, f"{rule}. Received: {_short_repr(value)}")


def _short_repr(value: object) -> str:
    """A value for an error, cut to a limited length."""
    return repr(value)[:200]


def _read_limited(file: Path, max_bytes: int) -> bytes:
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):  # reading a pipe would block
            raise bundle_error(file, "is not a regular file", colon="")
        if status.st_size > max_bytes:
            raise bundle_error(file, f"is larger than {max_bytes:,} bytes", colon="")
        return file.read_bytes()
    except FileNotFoundError as e:
        folders = (p for way in ("bundle", "*/bundle") for p in sorted(file.parent.glob(way)))
        inside = next((p for p in folders if (p / MANIFEST_FILE).is_file()), None)
        if inside is not None:
            raise bundle_error(file.parent, f"is not a bundle: did you mean {inside}?", colon="") from e
        if file.parent.is_dir():
            raise bundle_error(file, f"is missing: the bundle is incomplete; {BUNDLE_SOURCES}", colon="") from e
        raise bundle_error(file.parent, f"no such folder; {BUNDLE_SOURCES}") from e
    except NotADirectoryError as e:
        raise bundle_error(file.parent, f"is a file; a bundle is a folder: {BUNDLE_SOURCES}", colon="") from e
    except (OSError, ValueError) as e:
        raise bundle_error(file, getattr(e, "strerror", None) or one_line(e)) from e


def is_only_a_bundle(folder: Path) -> bool:
    """Does a folder contain only files of a bundle, damaged or not, or nothing?"""
    if not folder.is_dir():
        return False
    names = {p.name for p in folder.iterdir()}
    return not names or {MODEL_FILE, MANIFEST_FILE} <= names <= {MODEL_FILE, CARD_FILE, MANIFEST_FILE}


def read_verified(folder: Path, files: dict[str, Any]) -> dict[str, bytes]:
    """Contents of the files that bundle.json lists, with verified checksums.

    Raises:
        BundleError: one is missing or has changed.
    """
    named = set(files) == {MODEL_FILE, CARD_FILE}
    _require(named, folder / MANIFEST_FILE, f"files must be {MODEL_FILE} and {CARD_FILE}", sorted(files))
    contents = {name: _read_limited(folder / name, MAX_BYTES[name]) for name in files}
    for name, content in contents.items():
        if hashlib.sha256(content).hexdigest() != files[name]:
            why = "was changed after the bundle was written (its sha256 differs)"
            raise bundle_error(folder / name, why, colon="")
    return contents


def stored_view(stored: dict[str, Any], where: Path) -> View:
    """The view in bundle.json, complete and with valid settings.

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
    """The clips in bundle.json.

    Raises:
        BundleError: they are not valid.
    """
    _check_numbers(ClipSettings, stored, where)
    try:
        return ClipSettings(**stored)
    except (SettingsError, TypeError) as e:
        raise bundle_error(where, f"clips: {one_line(e)}") from e


def stored_calibration(about: dict[str, Any], where: Path) -> Evidence | None:
    """Results on calibration tracks in bundle.json; None if there are none, as in genrelab 0.2.

    Raises:
        BundleError: they are not valid.
    """
    if "calibration" not in about:
        return None
    try:
        return evidence_from_json(about["calibration"], about["genres"])
    except ValueError as e:
        raise bundle_error(where, f"calibration: {one_line(e)}") from e


def _check_numbers(cls: type[View | ClipSettings], stored: dict[str, Any], where: Path) -> None:
    """Refuse settings that `check_numbers` refuses, with the name of the file."""
    try:
        check_numbers(cls, stored)
    except SettingsError as e:
        raise bundle_error(where, f"{'clips' if cls is ClipSettings else 'view'}: {e}") from e


def bundle_error(where: Path, why: str, *, colon: str = ":") -> BundleError:
    """The error for one file of a bundle, on one line; without a colon if `why` continues the sentence."""
    return BundleError(f"{printable(str(where))}{colon} {printable(why)}")


def one_line(e: BaseException) -> str:
    """A library's error message without its line breaks, cut to a limited length."""
    return " ".join(str(e).split())[:1_000] or type(e).__name__
