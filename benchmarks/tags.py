"""How far the descriptive tags agree with genres that have a tag of the same name, without any training.

    python benchmarks/tags.py DATA

Of each track the likeliest of the tags that are a genre of its collection is compared with its genre; first by the
probabilities that `predict --tags` gives, then by logits whose mean and deviation over the collection are taken off, as
an owner of a library could do.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
from starter import Track, embed, emotify_tracks, gtzan_tracks

from genrelab.evaluation.intervals import share_interval
from genrelab.features.tags import TAGS, tag_probabilities

TAG_OF = {
    "Blues": "blues", "Country": "country", "Electronic": "electronic", "Hip-Hop": "Hip-Hop", "Jazz": "jazz",
    "Metal": "metal", "Pop": "pop", "Rock": "rock",
}  # fmt: skip


def line(name: str, tracks: list[Track]) -> str:
    """A row of the table: right by probabilities, right by standardised logits."""
    used = [t for t in tracks if t.genre in TAG_OF]
    genres = sorted({t.genre for t in used})
    with ProcessPoolExecutor() as workers:
        p = np.array([tag_probabilities(rows) for rows in workers.map(embed, [t.path for t in used], chunksize=8)])
    p = p[:, [TAGS.index(TAG_OF[g]) for g in genres]]
    logits = np.log(p / (1 - p))
    z = (logits - logits.mean(axis=0)) / logits.std(axis=0)
    truth = np.array([genres.index(t.genre) for t in used])
    cells = []
    for scores in (p, z):
        right = scores.argmax(axis=1) == truth
        low, high = share_interval(right, [t.artist for t in used])
        cells.append(f"{right.mean():.1%} [{low:.1%}, {high:.1%}]")
    return f"| {name} ({', '.join(genres)}) | {len(used)} | {' | '.join(cells)} | {1 / len(genres):.1%} |"


def main() -> None:
    data = Path(sys.argv[1])
    print("| collection (genres with a tag) | n | by probability | by standardised logits | guessing |")
    print("|---|---|---|---|---|")
    print(line("GTZAN", gtzan_tracks(data)))
    print(line("Emotify", emotify_tracks(data)))


if __name__ == "__main__":
    main()
