from __future__ import annotations

from pathlib import Path

import pytest

from genrelab.core.config import TrainSettings
from genrelab.core.errors import PreparedError
from genrelab.core.storage import Folder
from genrelab.runs import run_folder


def test_an_article_run_of_an_earlier_version_is_not_continued(tmp_path: Path) -> None:
    """Its preset made other models: they must not be mixed with today's. Other runs are continued."""
    for preset in ("default", "article"):
        run, settings = Folder(tmp_path / preset), TrainSettings(preset=preset)
        run_folder.start(run, settings, fingerprint="f", task="t", resume=False, models=())
        run_folder.check_run(run, settings, resume=True, overwrite=False)
        stored = run.read_json("settings.json")
        del stored["early_stopping"]  # as written up to version 0.3.0
        run.write_json("settings.json", stored)
    run_folder.check_run(Folder(tmp_path / "default"), TrainSettings(), resume=True, overwrite=False)
    with pytest.raises(PreparedError, match=r"--preset article by an earlier version .*--overwrite, or choose another"):
        run_folder.check_run(run, settings, resume=True, overwrite=False)
    run_folder.check_run(run, settings, resume=False, overwrite=True)
