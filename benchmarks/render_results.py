"""Write docs/results.md and the README's picture from the output of benchmarks/real.py.

python benchmarks/render_results.py FOLDER
"""

from __future__ import annotations

import platform
import re
import shutil
import sys
from pathlib import Path

from real import ARTICLE_RUNS, RUNS

DOCS = Path(__file__).resolve().parents[1] / "docs"
PICTURE = "gtzan_2s-artist"

HEAD = f"""# Results

Every figure here was printed by genrelab on real audio or real features, by `benchmarks/real.py` with the commands
shown (`$GENRELAB_DATA` is the folder of the data; ImageNet weights through `GENRELAB_IMAGENET_WEIGHTS`), on 2 cores of
{platform.machine()}, Python {platform.python_version()}. `benchmarks/render_results.py` wrote this page. Intervals are
95 %, over artists where they are known; the sets are small, so most intervals are wide. Training times were measured on
a machine that was also doing other work.

"""

ARTICLE = """## The article's accuracy, ours with its split, ours with an honest split

Each table is what `genrelab article` printed. The article's figures are for all 8,000 clips of fma_small with a random
test set. We do not have that audio, so compare our two columns with each other: with the article's split artists are in
both the training and the test set, with the honest split in one of them.

"""
COMMON = "For all of these tables"


def main() -> int:
    folder = Path(sys.argv[1])
    sections = [(folder / f"{name}.md").read_text() for name in RUNS if (folder / f"{name}.md").exists()]
    tables = [(folder / f"{name}.md").read_text() for name in ARTICLE_RUNS if (folder / f"{name}.md").exists()]
    text = HEAD + ARTICLE + article_section(tables) + "\n" + _remarks() + "\n".join(sections)
    DOCS.joinpath("results.md").write_text(text.rstrip() + "\n")
    shutil.copyfile(folder / PICTURE / "leaderboard.png", DOCS / "leaderboard.png")
    return 0


def article_section(tables: list[str]) -> str:
    """The tables of `genrelab article`; notes that all of them have are printed once, below."""
    notes = [[line for line in table.splitlines() if line.startswith("- ")] for table in tables]
    common = [note for note in notes[0] if all(note in others for others in notes)] if len(tables) > 1 else []
    shown = [_without(table, common) for table in tables]
    return "\n".join([*shown, *([f"{COMMON}:", "", *common, ""] if common else [])])


def _without(table: str, common: list[str]) -> str:
    """The table without these notes, and without the title of a list that is empty then."""
    lines = [line for line in table.splitlines() if line not in common]
    text = "\n".join(lines) + "\n"
    return re.sub(r"^[A-Z][^\n|]*:\n\n(?!- )\n*", "", text, flags=re.MULTILINE).rstrip("\n") + "\n"


def _remarks() -> str:
    path = DOCS / "results-remarks.md"
    return path.read_text() + "\n" if path.exists() else ""


if __name__ == "__main__":
    raise SystemExit(main())
