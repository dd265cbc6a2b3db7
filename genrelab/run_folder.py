"""4 RUN as a folder: results that are there are neither lost nor mixed."""

from __future__ import annotations

import json

from genrelab.config import TrainSettings
from genrelab.errors import PreparedError
from genrelab.storage import Folder

RUN_FILES = (
    "run.json", "settings.json", "split.parquet", "leaderboard.csv", "leaderboard.md", "leaderboard.json",
    "leaderboard.png", "report.html",
)  # fmt: skip
"""What stands in RUN besides a folder for each model (and `prepared/`)."""


def check_run(run: Folder, settings: TrainSettings, *, resume: bool, overwrite: bool) -> None:
    """Refuse a RUN whose results would be lost or mixed.

    Raises:
        PreparedError: RUN holds results and neither `resume` nor `overwrite` is given, or other settings.
    """
    if overwrite or not run.exists("settings.json"):
        return
    if not resume:
        state = "the results of a finished run" if run.exists("run.json") else "an unfinished training"
        raise PreparedError(
            f"{run} holds {state}: --resume goes on with it, --overwrite replaces it, or choose another --out"
        )
    held = {k: v for k, v in run.read_json("settings.json").items() if k != "fingerprint"}
    wanted = json.loads(json.dumps(settings.to_json()))
    different = [f"{k} is {held.get(k)!r} there, {wanted[k]!r} here" for k in wanted if held.get(k) != wanted[k]]
    if different:
        raise PreparedError(f"{run} was begun with other settings ({'; '.join(different)}): choose another --out")


def begin(run: Folder, settings: TrainSettings, *, fingerprint: str, resume: bool, models: tuple[str, ...]) -> None:
    """Clear RUN, or go on with it where `resume`, and write down what is asked.

    Args:
        fingerprint: of the preparation.
        models: names whose folders belong to a run.

    Raises:
        PreparedError: RUN was begun on another preparation.
    """
    names = (*RUN_FILES, *models)  # and nothing that is not a run's
    if not run.exists("settings.json"):
        foreign = [n for n in names if run.exists(n)]
        if foreign:
            raise PreparedError(f"{run} holds {foreign[0]}, and not from a run of genrelab: choose another --out")
    elif not resume:
        for name in names:
            run.remove(name)
    elif run.read_json("settings.json").get("fingerprint") != fingerprint:
        raise PreparedError(f"{run} was begun on another preparation (inputs or views differ): choose another --out")
    run.write_json("settings.json", {**settings.to_json(), "fingerprint": fingerprint})
