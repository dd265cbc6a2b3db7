"""Write docs/results.md and the README's picture from the output of benchmarks/real.py.

python benchmarks/render_results.py FOLDER
"""

from __future__ import annotations

import csv
import platform
import shutil
import sys
from pathlib import Path

from real import RUNS

DOCS = Path(__file__).resolve().parents[1] / "docs"
PICTURE = "gtzan_2s-artist"

ARTICLE = {"gaussian_nb": "34", "knn": "45", "svm": "47.75", "mlp": "45.5", "mobilenet_v2": "about 40"}
"""Accuracy in % according to the article and its notebooks for fma_small (random split, no intervals)."""

COMPARISONS = (
    ("FMA small, 46 features", "fma_small-table-article", "fma_small-table-official", "official, validation scored"),
    ("FMA small, 46 features", "fma_small-table-article", "fma_small-table-artist", "artist"),
    ("GTZAN, 57 features", "gtzan-table-article", "gtzan-table-official", "official, validation scored"),
    ("GTZAN, excerpts of 2 s", "gtzan_2s-article", "gtzan_2s-artist", "artist"),
    ("Emotify, clips of 30 s", "emotify_30s-article", "emotify_30s-auto", "artist"),
)

HEAD = f"""# Results

Every figure here was printed by genrelab on real audio or real features, by `benchmarks/real.py` with the commands
shown (`$GENRELAB_DATA` is the folder of the data; ImageNet weights through `GENRELAB_IMAGENET_WEIGHTS`), on 2 cores of
{platform.machine()}, Python {platform.python_version()}. `benchmarks/render_results.py` wrote this page. Intervals are
95 %, over artists where they are known; the sets are small, so most intervals are wide. Training times were measured on
a machine that was also doing other work.

"""

COMPARISON = """## The article's accuracy, ours with its split, ours with an honest split

The article's figures are for all 8,000 clips of fma_small with a random test set. We do not have that audio,
so compare only the direction: whatever `--split article` adds comes from artists in both training and test set.

| data | model | article (fma_small) | ours, `--split article` | ours, honest split | honest split is |
|---|---|---|---|---|---|
"""


def main() -> int:
    folder = Path(sys.argv[1])
    sections = [(folder / f"{name}.md").read_text() for name in RUNS if (folder / f"{name}.md").exists()]
    rows = [line for c in COMPARISONS for line in _comparison_rows(folder, *c)]
    text = HEAD + COMPARISON + "\n".join(rows) + "\n\n" + _remarks() + "\n".join(sections)
    DOCS.joinpath("results.md").write_text(text.rstrip() + "\n")
    shutil.copyfile(folder / PICTURE / "leaderboard.png", DOCS / "leaderboard.png")
    return 0


def _comparison_rows(folder: Path, data: str, article: str, honest: str, what: str) -> list[str]:
    protocol, strict = (_accuracies(folder / name) for name in (article, honest))
    names = [n for n in protocol if n in strict and n != "majority"]
    return [f"| {data} | {n} | {ARTICLE.get(n, '–')} | {protocol[n]} | {strict[n]} | {what} |" for n in names]


def _accuracies(run: Path) -> dict[str, str]:
    rows = csv.DictReader((run / "leaderboard.csv").read_text().splitlines())
    shown = ("accuracy", "accuracy_low", "accuracy_high")
    values = {r["model"]: [100 * float(r[c]) for c in shown] for r in rows}
    return {m: f"{a:.1f} [{low:.1f}, {high:.1f}]" for m, (a, low, high) in values.items()}


def _remarks() -> str:
    path = DOCS / "results-remarks.md"
    return path.read_text() + "\n" if path.exists() else ""


if __name__ == "__main__":
    raise SystemExit(main())
