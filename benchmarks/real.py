"""`genrelab run` and `genrelab article` on real data: run the commands of docs/results.md and print every table.

    GENRELAB_DATA=…/data GENRELAB_IMAGENET_WEIGHTS=….h5 python benchmarks/real.py [--only NAME …] [--out FOLDER]

Each run is timed as a process; its leaderboard.md, tables of studies and time go to FOLDER/<name>.md, of
`genrelab article` its article.md.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

RUNS = {
    "gtzan_2s-artist": "gtzan_2s --split artist --artists {d}/gtzan_fault_filtered/artists.csv --models all",
    "gtzan_2s-official": "gtzan_2s --split official --split-files {d}/gtzan_fault_filtered",
    "gtzan_2s-article": "gtzan_2s --split article --artists {d}/gtzan_fault_filtered/artists.csv --preset article",
    "gtzan_15s-random": "gtzan_15s --split random",
    "emotify_30s-auto": "emotify_30s",
    "emotify_30s-article": "emotify_30s --split article --preset article",
    "emotify_30s-frames": "emotify_30s --view frames --pca 60"
    " --models majority,logistic_regression,knn,gaussian_nb,svm,mlp",
    "fma_small-table-official": "tables/fma_small_46_features.csv --label genre_top --split-column split",
    "fma_small-table-artist": "tables/fma_small_46_features.csv --label genre_top"
    " --split artist --artist-column artist",
    "fma_small-table-article": "tables/fma_small_46_features.csv --label genre_top --split article --preset article",
    "gtzan-table-official": "tables/gtzan_57_features.csv --label label --split-column split",
    "gtzan-table-honesty": "tables/gtzan_57_features.csv --label label --split-column split"
    " --artists {d}/gtzan_fault_filtered/artists.csv --models majority,svm,knn --honesty",
    "fma_small-table-honesty": "tables/fma_small_46_features.csv --label genre_top --split-column split"
    " --artist-column artist --models majority,svm,knn --honesty",
    "gtzan-table-article": "tables/gtzan_57_features.csv --label label --split article --preset article",
}
"""Arguments after `genrelab run $GENRELAB_DATA/`; `{d}` is $GENRELAB_DATA."""

ARTICLE_RUNS = {
    "article-fma_small-table": "tables/fma_small_46_features.csv --label genre_top --split-column split"
    " --artist-column artist --epochs 10",
    "article-gtzan-table": "tables/gtzan_57_features.csv --label label --split-column split"
    " --artists {d}/gtzan_fault_filtered/artists.csv --epochs 10",
    "article-gtzan_2s": "gtzan_2s --artists {d}/gtzan_fault_filtered/artists.csv --epochs 10",
    "article-emotify_30s": "emotify_30s --epochs 10",
    "article-emotify_30s-full": "emotify_30s",
    "article-demo": "demo/corpus --dataset fma-small --epochs 10",
}
"""Arguments after `genrelab article $GENRELAB_DATA/`; of `demo/corpus` the folder that `genrelab demo` makes."""

DEMO = "demo/corpus"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    known = [*RUNS, *ARTICLE_RUNS]
    parser.add_argument("--only", nargs="*", choices=known, default=known)
    parser.add_argument("--out", type=Path, default=Path("runs/real"))
    options = parser.parse_args()
    data = os.environ.get("GENRELAB_DATA")
    if not data:
        print("set GENRELAB_DATA to the folder that holds gtzan_2s, emotify_30s, tables …", file=sys.stderr)
        return 2
    failed = [name for name in options.only if not _run(name, data, options.out)]
    return 1 if failed else 0


def _run(name: str, data: str, out: Path) -> bool:
    kind, listed = ("article", ARTICLE_RUNS[name]) if name in ARTICLE_RUNS else ("run", RUNS[name])
    words = listed.format(d=data).split()
    command = [str(Path(sys.executable).with_name("genrelab")), kind, _root(words[0], data, out), *words[1:]]
    command += ["--out", str(out / name), "--overwrite"]
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run(command, capture_output=True, text=True)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    place = "" if listed.startswith(DEMO) else "$GENRELAB_DATA/"
    shown = f"genrelab {kind} {place}{listed.format(d='$GENRELAB_DATA')}"
    text = f"{'###' if kind == 'article' else '##'} {name}\n\n`{shown}` ({seconds:.0f} s, {cpu:.0f} s of CPU)\n\n"
    if result.returncode:
        text += f"FAILED ({result.returncode}): {result.stderr[-2000:]}\n"
    elif kind == "article":
        text += (out / name / "article.md").read_text()
    else:
        text += (out / name / "leaderboard.md").read_text() + _study_tables(result.stdout)
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.md").write_text(text)
    (out / f"{name}.log").write_text(result.stderr)
    print(text, flush=True)
    return result.returncode == 0


def _root(word: str, data: str, out: Path) -> str:
    """ROOT of a command; the demo's tracks are synthesised first."""
    if word != DEMO:
        return f"{data}/{word}"
    folder = out / DEMO
    if not folder.exists():
        from genrelab.datasets.demo import synthesise

        synthesise(folder)
    return str(folder)


def _study_tables(printed: str) -> str:
    """The tables that follow the leaderboard on the terminal, as a code block."""
    tables = printed.partition("\nBundles: ")[2].partition("\n")[2].rstrip()
    lines = [line.rstrip() for line in tables.splitlines() if not line.startswith("Next: ")]
    return "\n".join(["", "```", *lines, "```", ""]) if lines else ""


if __name__ == "__main__":
    raise SystemExit(main())
