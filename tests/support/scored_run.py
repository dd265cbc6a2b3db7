"""A RUN as `train` leaves it, without training: synthesised predictions, and by hand every study's JSON."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from genrelab.core.storage import Folder
from genrelab.evaluation import metrics

GENRES = ("blues", "jazz [cool] | $x$", "metal", "pop")
LINE = 0.30  # accuracy of always answering pop
HOSTILE = "<i>0#?%'\" é.wav"  # the file name of track `<b>0</b>`


def write_run(run: Folder, *, part: str = "test", n: int = 60, root: Path | None = None) -> None:
    """A finished run of four models: two that learned, a network that did not, and the majority.

    Args:
        root: where the audio lies; the run does not say where None.
    """
    rng = np.random.default_rng(7)
    truth = rng.choice([0, 1, 3], n, p=[0.4, 0.3, 0.3])  # no metal track is scored
    artists = [f"artist {i // 3}" for i in range(n)]
    for name, strength in {"svm": 1.6, "knn": 1.2, "raw_cnn": 0.0, "majority": -1.0}.items():
        logits = rng.normal(size=(n, 4)) + strength * np.eye(4)[truth]
        if name == "majority":
            logits = np.tile([0.0, 0.0, 0.0, 1.0], (n, 1))
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        write_model(run, name, part, truth, p, artists)
    write_split(run, part, truth, artists)
    facts = run_facts(part, n)
    if root is not None:
        facts["dataset"]["root"] = str(root)
    run.write_json("run.json", facts)


def run_facts(part: str, n: int) -> dict[str, Any]:
    """`run.json`."""
    return {
        "dataset": {"name": "three & four", "genres": list(GENRES), "counts": {"blues": 30}},
        "split": {
            "policy": "artist",
            "digest": "0123456789abcdef" * 4,
            "counts": {"training": 200, "validation": 40, "test": n if part == "test" else 0, "excluded": 3},
            "notes": ["3 tracks of unknown artist are in training only"],
            "no_test": part != "test",
        },
        "part": part,
        "chance": 0.25,
        "majority": LINE,
        "majority_genre": "pop",
        "not_run": [{"model": "mobilenet_v2", "reason": "its weights are not on this machine"}],
        "settings": {"epochs": 3},
        "seed": 42,
        "versions": {"numpy": "2"},
        "timings": {"svm": 1.5},
    }


def write_model(run: Folder, name: str, part: str, truth: np.ndarray, p: np.ndarray, artists: list[str]) -> None:
    """One model's folder: scores, answers, and of the network its history."""
    network = name == "raw_cnn"
    run.write_json(
        f"{name}/metrics.json",
        {
            "model": name,
            "display": "svm (article)" if name == "svm" else name,
            "view": "samples" if network else "statistics",
            "part": part,
            "scores": metrics.score(truth, p, GENRES, artists),
            "train_s": 1.25,
            "predict_ms": 0.5,
            "size_bytes": 8_900_000,
            "split": "artist",
            "notes": ["did not learn: no better than an answer without listening"] if network else [],
            "curve": {"best_epoch": 2, "learned": False} if network else None,
        },
    )
    columns = {"track_id": ids(len(truth)), "part": [part] * len(truth), "truth": [GENRES[t] for t in truth]}
    table = pa.table(columns | {f"p_{g}": p[:, i].astype(np.float32) for i, g in enumerate(GENRES)})
    write_table(run, f"{name}/predictions.parquet", table)
    if network:
        history = "epoch,loss,accuracy,val_loss,val_accuracy\n1,1.5,.2,1.6,.2\n2,1.2,.6,1.5,.35\n3,.9,.8,1.9,.3\n"
        run.write_bytes(f"{name}/history.csv", history.encode())


def write_split(run: Folder, part: str, truth: np.ndarray, artists: list[str]) -> None:
    """`split.parquet` of the scored tracks."""
    n = len(truth)
    columns: dict[str, Any] = {
        "track_id": ids(n),
        "part": [part] * n,
        "role": ["score"] * n,
        "path": [HOSTILE.replace("0", str(i)) for i in range(n)],
        "genre": [GENRES[t] for t in truth],
        "artist": artists,
        "album": [None] * n,
        "duration_s": [30.0] * n,
        "sha256": [f"{i:064d}" for i in range(n)],
    }
    write_table(run, "split.parquet", pa.table(columns))


def ids(n: int) -> list[str]:
    """Track ids."""
    return [f"<b>{i}</b>" for i in range(n)]


def write_table(run: Folder, name: str, table: pa.Table) -> None:
    """A Parquet file."""
    out = io.BytesIO()
    pq.write_table(table, out)
    run.write_bytes(name, out.getvalue())


def write_studies(run: Folder) -> None:
    """Every study of a run of `write_run`, as small as its format allows."""
    run.write_json("audit.json", AUDIT)
    run.write_json("honesty.json", HONESTY)
    run.write_json("learning_curve.json", LEARNING_CURVE)
    run.write_json("robustness.json", ROBUSTNESS)
    run.write_json("doubts.json", DOUBTS)
    run.write_json("tune/svm/trials.json", TRIALS)
    run.write_json("svm/occlusion.json", OCCLUSION)
    stored = run.read_json("svm/metrics.json")
    share = {"n": 200, "accuracy": 0.97, "accuracy_low": 0.94, "accuracy_high": 0.99}
    loss = {"log_loss": 1.2, "ece": 0.2}
    after = {"before": loss, "after": {"log_loss": 1.1, "ece": 0.05}}
    calibration = {"temperature": 1.83, "fitted_on": "validation", "n": 40, **after, "scored": after}
    more = {"training": share, "validation": share | {"n": 40}, "segments": share | {"n": 180}}
    run.write_json("svm/metrics.json", stored | more | {"calibration": calibration})


def _check(name: str, **changes: Any) -> dict[str, Any]:
    return {"name": name, "known": 240, "leaking": 0, "of": 240, "n_pairs": 0, "pairs": [], "note": None} | changes


PAIR = {"a": "<b>1</b>", "b": "<b>2</b>", "what": "the same recording", "offset_s": 1.25, "score": 0.83}
AUDIT: dict[str, Any] = {
    "schema": 1,
    "split": "artist",
    "n_scored": 60,
    "n_learned": 240,
    "checks": [
        _check("same_track"),
        _check("same_album", known=0, note="no album is known"),
        _check("near_duplicate", leaking=1, n_pairs=1, pairs=[PAIR]),
    ],
    "verdict": "leaks",
    "sentences": ["1 of 60 scored tracks is a recording that was learned"],
}
CLEAN = AUDIT | {"checks": [_check("same_track")], "verdict": "clean", "sentences": ["nothing comes back"]}


def _policy(name: str, accuracy: float) -> dict[str, Any]:
    shown = {"accuracy": accuracy, "low": accuracy - 0.06, "high": accuracy + 0.06, "folds": [accuracy] * 5}
    return {"policy": name, **shown, "n": 60, "n_learned": 240, "part": "test", "note": None}


HONESTY: dict[str, Any] = {
    "models": [
        {
            "model": "svm",
            "view": "statistics",
            "policies": [_policy("official", 0.41), _policy("artist", 0.43), _policy("random", 0.62)],
            "differences": [
                {"a": "random", "b": "artist", "difference": 0.19, "low": 0.13, "high": 0.25, "n": 60,
                 "sentence": "artists are on both sides of random tracks"}
            ],
        }
    ],
    "not_run": [{"policy": "segment", "reason": "every track is one window"}],
    "sentences": ["svm seems 19 points better with random tracks"],
}  # fmt: skip
LEARNING_CURVE: dict[str, Any] = {
    "models": [
        {
            "model": "svm",
            "points": [
                {"share": s, "n_tracks": int(200 * s), "accuracy": 0.3 + s / 5, "low": 0.2, "high": 0.6,
                 "per_genre": {"blues": 0.5}}
                for s in (0.1, 0.25, 0.5, 1.0)
            ],
            "verdict": "more tracks would help",
            "genres": {
                "blues": {"gain": 0.1, "low": 0.02, "high": 0.2, "verdict": "more would help"},
                "metal": {"gain": None, "low": None, "high": None, "verdict": "not measured"},
            },
        }
    ],
    "sentences": ["the last doubling brought 10 points"],
}  # fmt: skip
ROBUSTNESS: dict[str, Any] = {
    "part": "test",
    "n": 60,
    "n_scored": 60,
    "models": [
        {
            "model": "svm",
            "conditions": [
                {"name": "clean", "label": "as it is", "accuracy": 0.6, "low": 0.5, "high": 0.7, "difference": 0.0,
                 "difference_low": 0.0, "difference_high": 0.0, "p_adjusted": 1.0, "same_answer": 1.0},
                {"name": "phone", "label": "through a phone", "accuracy": 0.4, "low": 0.3, "high": 0.5,
                 "difference": -0.2, "difference_low": -0.3, "difference_high": -0.1, "p_adjusted": 0.01,
                 "same_answer": 0.6},
            ],
            "seconds": [{"seconds": s, "accuracy": 0.4, "low": 0.3, "high": 0.5, "n": 60} for s in (1, 3, 30)],
        }
    ],
    "sentences": ["a phone costs 20 points"],
}  # fmt: skip
DOUBTS: dict[str, Any] = {
    "model": "svm",
    "n_examined": 200,
    "n_doubted": 1,
    "sentences": ["1 of 200 labels is doubted"],
    "rows": [
        {"track_id": "<b>5</b>", "path": HOSTILE.replace("0", "5"), "genre": "blues", "suggested": "pop",
         "p_genre": 0.01, "p_suggested": 0.98, "artist": None, "album": None, "part": "training", "copies": 1}
    ],
}  # fmt: skip
TRIALS: dict[str, Any] = {
    "model": "svm",
    "view": "statistics",
    "score": "mean accuracy of 5 artist-grouped folds of the training part",
    "grouped_by": "artists",
    "n_tracks": 200,
    "n_folds": 5,
    "space": {
        "C": {"type": "float", "low": 0.01, "high": 100.0, "log": True, "choices": None},
        "kernel": {"type": "categorical", "low": None, "high": None, "log": False, "choices": ["rbf", "poly"]},
    },
    "default": {"params": {"C": 1.0, "kernel": "rbf"}, "value": 0.4, "low": 0.3, "high": 0.5},
    "best": {"number": 1, "params": {"C": 8.0, "kernel": "poly"}, "value": 0.45, "low": 0.35, "high": 0.55},
    "trials": [
        {"number": 0, "params": {"C": 1.0, "kernel": "rbf"}, "value": 0.4, "state": "complete", "seconds": 1.0},
        {"number": 1, "params": {"C": 8.0, "kernel": "poly"}, "value": 0.45, "state": "complete", "seconds": 1.5},
        {"number": 2, "params": {"C": 9.0, "kernel": "rbf"}, "value": None, "state": "failed", "seconds": None},
    ],
    "sentences": ["the best trial is 5 points above the default"],
}
OCCLUSION: dict[str, Any] = {
    "tracks": [
        {
            "track_id": "<b>3</b>",
            "path": HOSTILE.replace("0", "3"),
            "truth": "pop",
            "answer": "blues",
            "p": 0.8,
            "duration_s": 30.0,
            "start_s": 0.0,
            "end_s": 3.0,
            "mel": [[-60 + 5 * (i + j) % 50 for j in range(16)] for i in range(8)],
            "mel_hz": [100.0, 200.0, 400.0, 800.0, 1_600.0, 3_200.0, 6_400.0, 10_000.0],
            "t_edges": [0.0, 1.0, 2.0, 3.0],
            "f_edges_hz": [100.0, 1_000.0, 10_000.0],
            "drop": [[0.1, 0.0, -0.05], [0.3, 0.02, 0.0]],
        }
    ]
}
