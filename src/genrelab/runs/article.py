"""The article reproduced: its models trained twice, with its own split and with an honest one, and one table of both.

DIR holds `settings.json` (first), `prepared/`, the runs `article/` and `honest/`, and at the end `article.json`,
`article.csv`, `article.md` and `report.html`. Both runs have the same settings, so only the split differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from genrelab.core.config import TrainSettings, View
from genrelab.core.errors import MissingRequirementError, PreparedError, SettingsError, SplitError
from genrelab.core.progress import Notify, ProgressBar
from genrelab.core.storage import Folder
from genrelab.core.text import pluralize
from genrelab.evaluation.comparison import BASELINE
from genrelab.leakage.audit import audit_run
from genrelab.models import registry
from genrelab.records.prepared import Prepared
from genrelab.records.task import make_task
from genrelab.report.article_table import ArticleTable, as_csv, as_markdown, make_table
from genrelab.report.page.article import render_article
from genrelab.runs.article_differences import caption, differences
from genrelab.runs.run_folder import REMEDY, TrainingInterrupted, check_run, clear
from genrelab.runs.train import refuse_copies, train
from genrelab.training.model_runs import view_of

MODELS = (
    BASELINE, "logistic_regression", "knn", "gaussian_nb", "svm", "svm_poly", "mlp", "raw_cnn", "mobilenet_v2",
)  # fmt: skip
"""The article's models, and the baseline that they must exceed."""

SPLITS = {"article": "article", "honest": "auto"}
"""Folder of each run in DIR → its split; `auto` is the official split, else whole artists, else random tracks."""

SETTINGS, RESULT = "settings.json", "article.json"
FILES = (RESULT, "article.csv", "article.md", "report.html")
COMMAND = "article"

Options = Mapping[str, Any]


def article_models() -> tuple[str, ...]:
    """Names of the models that are trained if none are named."""
    return tuple(m for m in MODELS if m in registry.known_models())


def views_of(models: tuple[str, ...]) -> tuple[str, ...]:
    """The views that these models read from audio; those of the baseline alone, if there is no other model."""
    learners = [m for m in models if m != BASELINE] or list(models)
    return tuple(dict.fromkeys(registry.model_class(m).views[0] for m in learners))


# === DIR ===


def check_folder(out: Folder, options: Options, *, overwrite: bool) -> None:
    """Refuse a DIR whose results would be lost or mixed. One that the same command started is continued.

    Args:
        options: all options that change a figure, by name.

    Raises:
        PreparedError: DIR was started with other options, or contains other files.
    """
    if not out.exists(SETTINGS):
        foreign = [n for n in (*FILES, *SPLITS, "run.json", "dataset.json") if out.exists(n)]
        if foreign:
            raise PreparedError(f"{out} contains {foreign[0]}, which `genrelab article` did not write: {CHOOSE}")
        return
    held = _read_options(out)
    different = [f"{k} was {held.get(k)!r}, now {options[k]!r}" for k in options if held.get(k) != options[k]]
    if different and not overwrite:
        raise PreparedError(f"{out} was started with other options ({'; '.join(different)}): {REMEDY}")
    for name in SPLITS if overwrite else ():
        check_run(out / name, TrainSettings(), resume=False, overwrite=True, models=registry.known_models())


CHOOSE = "choose another --out"


def _read_options(out: Folder) -> dict[str, Any]:
    try:
        held = out.read_json(SETTINGS)
    except ValueError:
        held = {}
    if held.get("command") != COMMAND:
        raise PreparedError(f"{out}/{SETTINGS} is not from `genrelab article`, or damaged: {CHOOSE}")
    return dict(held["options"])


def start(out: Folder, options: Options, *, overwrite: bool) -> None:
    """Write the options into a DIR that `check_folder` accepted; with `overwrite` first remove its results."""
    if overwrite:
        for name in FILES:  # first: nothing old may look finished
            out.remove(name)
        for name in SPLITS:
            clear(out / name, registry.known_models())
            out.remove(f"{name}/{SETTINGS}")
    out.write_json(SETTINGS, {"command": COMMAND, "options": dict(options)})


# === Training and table ===


def reproduce(
    prepared: Prepared,
    out: Folder,
    settings: TrainSettings,
    *,
    allow_leaks: bool = False,
    notify: Notify,
    bar: ProgressBar,
) -> ArticleTable:
    """Train the models with both splits, as far as that is not done yet, and write the table and the page into DIR.

    Args:
        settings: with `preset="article"` and the names of the models; its split does not count.
        allow_leaks: as of `train`, for the official split.

    Raises:
        PreparedError: the tracks were changed since DIR was started.
        SplitError, ModelError: see `train`.
        TrainingInterrupted: Ctrl-C; the same call continues.
    """
    try:
        waiting = {}
        for name, split in SPLITS.items():
            run, own = out / name, replace(settings, split=split)
            if _is_finished(prepared, run, own):
                notify(f"{run}: finished before, kept")
            else:
                _check_split(prepared, own, allow_leaks)  # before hours of training with the other one
                waiting[name] = own
        for name, own in waiting.items():
            run = out / name
            train(
                prepared, run, own, resume=run.exists(SETTINGS), allow_leaks=allow_leaks, keep_going=True,
                notify=notify, bar=bar,
            )  # fmt: skip
        return _write_table(prepared, out, settings)
    except KeyboardInterrupt as e:
        raise TrainingInterrupted from e


def _check_split(prepared: Prepared, settings: TrainSettings, allow_leaks: bool) -> None:
    """Refuse a split that cannot be made, or that has copies in two sets, with advice that fits this command.

    Raises:
        SplitError: see above.
    """
    try:
        task = make_task(prepared, settings)
    except SplitError as e:
        if settings.split == "article" and e.__cause__ is not None:  # its advice is another --split
            raise SplitError(f"the article's split {e.__cause__}: more tracks of each genre are needed") from e
        raise
    if not allow_leaks:
        try:
            refuse_copies(audit_run(prepared, task.split), task)
        except SplitError as e:
            raise SplitError(f"{e}; this command has no --split: add --exclude, --group-column or --allow-leaks") from e


def _is_finished(prepared: Prepared, run: Folder, settings: TrainSettings) -> bool:
    """Was the run finished on the same tracks, and can no model be trained now that could not be then?"""
    if not (run.exists("leaderboard.json") and run.exists("run.json")):
        return False
    held = run.read_json(SETTINGS)
    same = {"fingerprint": prepared.about["fingerprint"], "task": make_task(prepared, settings).key}
    missed = [m["model"] for m in run.read_json("run.json")["not_run"] if not m.get("failed")]
    retry = any(obstacle(name, settings, prepared.views) is None for name in missed)
    return all(held.get(k) == v for k, v in same.items()) and not retry


def obstacle(model: str, settings: TrainSettings, views: Mapping[str, View]) -> str | None:
    """Why a model cannot be trained on these views and this machine; None if nothing is known to be missing.

    Raises:
        SettingsError: the weights file named by the settings does not exist.
    """
    kind = registry.model_class(model)
    try:
        view_of(kind, settings, views)
    except MissingRequirementError as e:
        return str(e)
    return kind.missing_requirement(settings)


def _write_table(prepared: Prepared, out: Folder, settings: TrainSettings) -> ArticleTable:
    folders = (out / "article", out / "honest")
    article, honest = (folder.read_json("leaderboard.json") for folder in folders)
    views = {row["folder"]: row["view"] for row in honest["rows"]}
    table = make_table(
        article,
        honest,
        caption=caption(settings, views),
        differs=differences(prepared, folders, (article, honest), settings),
    )
    genres = pluralize(honest["genres"], "genre")
    eyebrow = " · ".join((prepared.name, pluralize(len(prepared), "track"), genres))
    out.write_bytes("article.csv", as_csv(table).encode())
    out.write_bytes("article.md", as_markdown(table).encode())
    out.write_bytes("report.html", render_article(table, eyebrow).encode())
    out.write_json(RESULT, table.to_json() | {"settings": settings.to_json()})  # last: DIR is finished
    return table


def check_models(settings: TrainSettings) -> None:
    """Refuse invalid settings before anything is decoded.

    Raises:
        SettingsError: there is no model besides the baseline, or a named weights file does not exist.
    """
    learners = [m for m in settings.models if m != BASELINE]
    if not learners:
        raise SettingsError(
            f"--models names only {BASELINE}: name one of {', '.join(m for m in MODELS if m != BASELINE)}"
        )
    for name in learners:
        registry.model_class(name).missing_requirement(settings)
