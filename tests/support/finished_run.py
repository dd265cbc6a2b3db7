"""A finished RUN with its audio, made without training anything: bundles that hear, and what they said."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import pyarrow as pa
import soundfile
from numpy.typing import NDArray

from genrelab.core.storage import Folder
from genrelab.predict.classifier import Classifier
from genrelab.records.prepared import write_parquet
from tests.support.bundles import GENRES

Sounds = Mapping[str, tuple[str, NDArray[np.float32], int]]
"""Of each file below ROOT: genre, samples, rate."""


def write_finished_run(folder: Path, models: Mapping[str, Classifier], sounds: Sounds) -> Folder:
    """RUN in `folder`, where the models' bundles lie at `<name>/bundle`, and ROOT beside it with the sounds."""
    run, root = Folder(folder), folder.parent / "root"
    columns: dict[str, list[object]] = {k: [] for k in ("track_id", "path", "genre", "artist", "album", "duration_s")}
    for name, (genre, y, sr) in sounds.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / name, y, sr, subtype="FLOAT")
        for column, value in zip(columns, (name, name, genre, f"artist of {name}", None, len(y) / sr), strict=True):
            columns[column].append(value)
    n = len(sounds)
    write_parquet(run, "split.parquet", pa.table(columns | {"part": ["test"] * n, "role": ["score"] * n}))
    run.write_json("run.json", {"dataset": {"root": str(root)}, "part": "test"})
    for name, model in models.items():
        answers = [model.predict(root / track).probabilities for track in sounds]
        table = {"track_id": list(sounds), "truth": columns["genre"]}
        write_parquet(
            run, f"{name}/predictions.parquet", pa.table(table | {f"p_{g}": [a[g] for a in answers] for g in GENRES})
        )
        (folder / name / "metrics.json").write_text(json.dumps({"model": name}))
    return run


def no_bar(title: str, unit: str) -> AbstractContextManager[Callable[[int, int], None]]:
    return nullcontext(lambda done, total: None)
