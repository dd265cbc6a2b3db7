"""The served bundles by name: private copies, made again when the originals change."""

from __future__ import annotations

import os
import re
import shutil
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from genrelab.bundle.manifest import CARD_FILE, MANIFEST_FILE, MODEL_FILE, read_manifest
from genrelab.bundle.remote import fetch_bundle
from genrelab.core.errors import BundleError, SettingsError, printable
from genrelab.predict.classifier import STARTER, Classifier, default_bundle, load_bundle
from genrelab.predict.file import require_audio_input
from genrelab.serve.about import describe
from genrelab.serve.problems import Problem, quoted

NAME = re.compile(r"(?!\.+$)[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, eq=False)
class ServedModel:
    """A served bundle. Its copy stays on disk as long as this object is referenced.

    Attributes:
        name: by which clients choose it.
        path: the private copy of the bundle, never changed, that workers load.
        bundle: loaded, with the decision rule of `min_precision`.
        card: the bundle's README.md.
        min_precision: see `Classifier.with_min_precision`.
    """

    name: str
    path: Path
    bundle: Classifier
    card: str
    min_precision: float | None = None

    @cached_property
    def about(self) -> dict[str, Any]:
        """Its object in `GET /v1/models`."""
        return describe(self.name, self.bundle, self.min_precision)


class ModelStore:
    """Served bundles by name. Thread-safe.

    Args:
        sources: folders of bundles by name; the first is the default.
        folder: for the copies; made where it does not exist.
        min_precision: see `ServedModel`; a bundle that does not support it is refused.

    Raises:
        BundleError: one is not usable, or does not take audio.
        SettingsError: no source, or an invalid `min_precision`.
    """

    def __init__(self, sources: Mapping[str, Path], folder: Path, *, min_precision: float | None = None) -> None:
        if not sources:
            raise SettingsError("no model to serve: give a --model")
        self.default = next(iter(sources))
        self._sources, self._folder = dict(sources), folder
        self._min_precision = min_precision
        self._lock, self._copies = threading.Lock(), 0
        folder.mkdir(parents=True, exist_ok=True)
        self._seen = {name: _file_stamps(source) for name, source in sources.items()}
        self._models = {name: self._load(name) for name in sources}

    def get(self, name: str | None) -> ServedModel:
        """The model of that name; the default for None.

        Raises:
            Problem: there is none.
        """
        try:
            return self._models[self.default if name is None else name]
        except KeyError:
            detail = f"No model is called {quoted(name or '')}. Models: {', '.join(self._models)}."
            raise Problem("unknown-model", detail) from None

    def models(self) -> list[ServedModel]:
        """All of them, the default first."""
        return list(self._models.values())

    def changed(self) -> bool:
        """Has a file of a source changed since the last check? Cheap: no file is read."""
        return any(_file_stamps(source) != self._seen[name] for name, source in self._sources.items())

    def reload(self) -> list[str]:
        """Load the changed bundles, then replace the models in use. An unusable bundle leaves its model in place.

        Returns:
            log lines, one for each bundle whose files changed; for all bundles where none did.
        """
        with self._lock:
            lines, models = [], dict(self._models)
            for name, source in self._sources.items():
                seen = self._seen[name]
                self._seen[name] = _file_stamps(source)  # before reading: a change meanwhile is found next time
                try:
                    if read_manifest(source)["fingerprint"] == models[name].bundle.fingerprint:
                        lines += [f"model {name}: unchanged"] if seen != self._seen[name] else []
                        continue
                    models[name] = self._load(name)
                except (BundleError, OSError) as e:
                    lines.append(
                        f"model {name}: still using the previous version, because the new one cannot be loaded: {e}"
                    )
                else:
                    lines.append(f"model {name}: reloaded from {printable(str(source))}")
            lines = lines or [f"model {name}: unchanged" for name in models]
            self._models = models  # replaced at once: until then `get` returns the earlier models
        return lines

    def _load(self, name: str) -> ServedModel:
        source = self._sources[name]
        self._copies += 1
        copy = self._folder / str(self._copies)
        try:
            read_manifest(source)  # has the best error message for a folder that is no bundle
            copy.mkdir()
            for file in (MANIFEST_FILE, MODEL_FILE, CARD_FILE):
                shutil.copyfile(source / file, copy / file)
            bundle = load_bundle(copy)
            require_audio_input(bundle)
            bundle = bundle.with_min_precision(self._min_precision)
            card = (copy / CARD_FILE).read_text(encoding="utf-8", errors="replace")
        except BaseException as e:
            shutil.rmtree(copy, ignore_errors=True)
            if isinstance(e, BundleError):  # the user knows the source, not the copy
                raise BundleError(str(e).replace(str(copy), printable(str(source)))) from e
            if isinstance(e, OSError):
                raise BundleError(f"{printable(str(source))}: {e.strerror or e}") from e
            raise
        model = ServedModel(name, copy, bundle, card, self._min_precision)
        weakref.finalize(model, shutil.rmtree, copy, ignore_errors=True)
        return model


def parse_models(texts: Sequence[str]) -> dict[str, Path]:
    """Names and folders of bundles, as `--model` gives them.

    Args:
        texts: `NAME=PATH`, or `PATH` for the bundle's own name; none: the default bundle of `predict`. The PATH
            `starter` is the bundle of this package, unless a folder of that name exists. PATH may be an fsspec
            address: it is fetched once, now.

    Raises:
        SettingsError: an invalid name, the same name twice, or an address that cannot be used here.
        BundleError: no bundle at PATH to take the name from.
    """
    found: dict[str, Path] = {}
    for text in texts or (str(default_bundle()),):
        name, path = _parse_model(text)
        if name in found:
            raise SettingsError(f"two models are called {name}: rename one of them, as in --model NAME=BUNDLE")
        found[name] = path
    return found


def _parse_model(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if equals and path and NAME.fullmatch(name):
        return name, _bundle_folder(path)
    if equals and "/" not in name and os.sep not in name and not Path(text).exists():
        raise SettingsError(
            "--model NAME=BUNDLE: the name may have up to 64 letters, digits, dots, dashes and underscores. Received: "
            f"{printable(text)}"
        )
    own_name = read_manifest(_bundle_folder(text))["name"]
    if not NAME.fullmatch(own_name):
        raise SettingsError(
            f"the name of the bundle {printable(text)} cannot be used here ({own_name}): give another one, as in "
            "--model NAME=BUNDLE"
        )
    return own_name, _bundle_folder(text)


def _bundle_folder(text: str) -> Path:
    return STARTER if text == STARTER.name and not Path(text).exists() else fetch_bundle(text)


def _file_stamps(source: Path) -> tuple[tuple[int, ...] | None, ...]:
    """Inode, size and times of each of the three files, which may be replaced one by one; None: missing."""
    found: list[tuple[int, ...] | None] = []
    for file in (MANIFEST_FILE, MODEL_FILE, CARD_FILE):
        try:
            status = (source / file).stat()
        except (OSError, ValueError):
            found.append(None)
        else:
            found.append((status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns))
    return tuple(found)
