"""The folder of pieces: kept to resume from, and removed when PREPARED is assembled."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from genrelab.core.config import PrepareSettings
from genrelab.core.storage import Folder


def work_folder(folder: Folder) -> Path:
    """Folder of the pieces: in a local PREPARED, else in the user's cache under a name made of PREPARED's address."""
    if folder.is_local:
        return folder.local / ".work"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "genrelab" / "work" / hashlib.sha256(str(folder).encode()).hexdigest()[:16] / ".work"


def start(work: Path, settings: PrepareSettings) -> None:
    """Make the work folder; pieces of an interrupted preparation with these settings are kept."""
    if read_settings(work) != settings_as_stored(settings):
        discard(work)
    Folder(work).write_json("settings.json", settings.to_json())
    for unfinished in [*work.glob(".piece-*.tmp"), *work.glob("old")]:
        shutil.rmtree(unfinished)


def read_settings(work: Path) -> dict[str, Any] | None:
    """Settings of the pieces in a work folder; None where there are no pieces."""
    try:
        return Folder(work).read_json("settings.json")
    except (FileNotFoundError, ValueError):
        return None


def settings_as_stored(settings: PrepareSettings) -> dict[str, Any]:
    """Settings as JSON returns them, with lists for tuples."""
    stored: dict[str, Any] = json.loads(json.dumps(settings.to_json()))
    return stored


def discard(work: Path) -> None:
    """Rename the work folder and remove it, so that a kill meanwhile leaves no partial pieces to resume from."""
    discarded = work.with_name(f"{work.name}.dead")
    if discarded.exists():
        shutil.rmtree(discarded)
    if work.exists():
        work.rename(discarded)
        shutil.rmtree(discarded)
