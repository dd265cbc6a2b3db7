"""The folder of a run: start, resume or overwrite it without losing or mixing results."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from genrelab.core.config import TrainSettings
from genrelab.core.errors import PreparedError, SettingsError
from genrelab.core.storage import Folder

RUN_FILES = (
    "run.json", "split.parquet", "leaderboard.csv", "leaderboard.md", "leaderboard.json", "leaderboard.png",
    "report.html", "audit.json", "honesty.json", "learning_curve.json", "robustness.json", "doubts.json", "doubts.csv",
)  # fmt: skip
"""Files in RUN besides `settings.json`, a folder per model and `prepared/`."""

REMEDY = "replace it with --overwrite, or choose another --out"


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C after RUN was started: its earlier content is gone, and `--resume` continues with the present one."""


def check_run(
    run: Folder, settings: TrainSettings, *, resume: bool, overwrite: bool, models: tuple[str, ...] = ()
) -> None:
    """Refuse a RUN whose results would be lost or mixed.

    Args:
        models: names of all models, whose folders belong to a run.

    Raises:
        SettingsError: both `resume` and `overwrite`.
        PreparedError: RUN contains results and neither is given, results of other settings, or other files.
    """
    if resume and overwrite:
        raise SettingsError("--resume and --overwrite cannot be used together")
    held = _read_settings(run)
    if held is None:
        foreign = [n for n in (*RUN_FILES, *models) if run.exists(n)]
        if foreign:
            raise PreparedError(f"{run} contains {foreign[0]}, which is not from genrelab: choose another --out")
        return
    if overwrite:
        if _has_decisions(run):
            raise PreparedError(
                f"{run}/doubts.csv contains decisions, which --overwrite would delete: move it, or choose another --out"
            )
        return
    if not resume:
        if run.exists("run.json"):
            raise PreparedError(f"{run} contains the results of a finished run: {REMEDY}")
        raise PreparedError(f"{run} contains an unfinished run: continue it with --resume, {REMEDY}")
    wanted, defaults = (json.loads(json.dumps(s.to_json())) for s in (settings, TrainSettings()))
    is_old = "early_stopping" not in held
    held = {**defaults, **held}  # a RUN from before a setting existed was made with its default
    different = [f"{k} was {held.get(k)!r}, now {wanted[k]!r}" for k in wanted if held.get(k) != wanted[k]]
    if different:
        raise PreparedError(f"{run} was started with other settings ({'; '.join(different)}): choose another --out")
    if is_old and settings.preset == "article":
        raise PreparedError(
            f"{run} was started with --preset article by an earlier version of genrelab, whose preset made other "
            f"models: {REMEDY}"
        )


def _has_decisions(run: Folder) -> bool:
    """Has a person accepted or rejected doubts? A run cannot restore that work."""
    if not run.exists("doubts.csv"):
        return False
    rows = csv.DictReader(io.StringIO(run.read_bytes("doubts.csv").decode("utf-8-sig", "replace"), newline=""))
    return any((row.get("decision") or "").strip() for row in rows)


def start(
    run: Folder, settings: TrainSettings, *, fingerprint: str, task: str, resume: bool, models: tuple[str, ...]
) -> None:
    """Clear a RUN that `check_run` accepted, or keep its results if `resume`, and write `settings.json`.

    Args:
        fingerprint: of the preparation.
        task: key of the genres, artists and splits of its tracks.
        models: names of all models, whose folders belong to a run.

    Raises:
        PreparedError: RUN was started on another preparation, or on this one with other labels.
    """
    held = _read_settings(run) if resume else None
    if held is not None:
        if held["fingerprint"] != fingerprint:
            raise PreparedError(f"{run} was started with other prepared tracks (other files or views): {REMEDY}")
        if held.get("task") != task:
            raise PreparedError(f"{run} was started with other genres, artists or splits of the same tracks: {REMEDY}")
    else:
        clear(run, models)
    # Replaced, never removed: it marks RUN as ours, also after a kill.
    run.write_json("settings.json", {**settings.to_json(), "fingerprint": fingerprint, "task": task})


def clear(run: Folder, models: tuple[str, ...]) -> None:
    """Remove the results of a RUN, and no other files."""
    finished = [f"{m}/metrics.json" for m in models]  # first: a half-removed model must not look finished
    for name in (*finished, *RUN_FILES, *models):
        run.remove(name)


def _read_settings(run: Folder) -> dict[str, Any] | None:
    """The settings that `start` wrote, None if there are none.

    Raises:
        PreparedError: `settings.json` is from another program.
    """
    if not run.exists("settings.json"):
        return None
    try:
        held: Any = run.read_json("settings.json")
    except ValueError:
        held = None
    if not isinstance(held, dict) or not {"fingerprint", "models"} <= held.keys():
        raise PreparedError(f"{run}: settings.json is damaged, or not from genrelab: choose another --out")
    return held
