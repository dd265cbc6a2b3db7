"""Fits what `features/rhythm.py` and `features/key.py` choose and trust by: `WEIGHTS` and both `_CONFIDENCE`.

    python scripts/tempo_weights.py DATA --tempos FILE --keys FILE

It reads synthesised music (`tests/support/known_music.py`), and the clips of GTZAN in DATA (gtzan_15s, gtzan_30s) with
the tempos and keys that people annotated; `benchmarks/rhythm.py` describes both FILEs. `WEIGHTS` is a conditional logit
(McFadden 1974): of the tempos that are compared, the right one gets the highest odds. Sounds that may be counted in two
ways are left out there. They count where the confidence is calibrated, as do the recordings without music in
DATA/assorted. Prints the constants, and how often the octave is right for the annotated clips when they are held out,
and for each kind of sound when that kind is. The confidence depends on `WEIGHTS`: enter these first, and run it again.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from genrelab.audio.clips import read, resample
from genrelab.features import rhythm
from genrelab.features.key import KEYS, evidence, find_key
from genrelab.features.spectra import Spectra, compute_spectra

sys.path.append(str(Path(__file__).resolve().parents[1]))
from tests.support.known_music import (
    SR,
    Known,
    Samples,
    beatless_sounds,
    demo_songs,
    key_sounds,
    tempo_sounds,
)

Floats = NDArray[np.float64]

SEED, RATE, PENALTY, FOLDS = 7, SR / 512, 3.0, 5
KIND_WEIGHT, CLIP_WEIGHT = 20.0, 1.5  # of all sounds of a kind, and of an annotated clip
SOUND_WEIGHT, TRUST_WEIGHT = 0.25, 3.0  # of a sound and of a recording where confidence is calibrated
NOT_MUSIC = ("198-209", "3436-", "5703-", "456440", "glacier")  # in `assorted`: speech, a bird, a whale
LEFT_OUT = ("clicks, below", "drums, ballad", "drums, six-eight", "drums, swing")
GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")


@dataclass
class Choice:
    """Tempos that are compared for one sound: what describes each (tempos, 16), and which is right."""

    kind: str
    described: Floats
    right: int


def spectra_of(y: Samples) -> Spectra:
    """The first pass over a sound at 22,050 Hz."""
    return compute_spectra(y, SR, n_fft=2_048, hop_length=512)


def choice_of(spectra: Spectra, kind: str, bpm: float) -> Choice | None:
    """The choice for a sound; None if the right tempo is not compared."""
    compared, described = rhythm.compare(rhythm.onset_strength(spectra), RATE)
    right = np.flatnonzero(np.abs(compared / bpm - 1) <= 0.04)
    return Choice(kind, described, int(right[0])) if len(right) else None


def fit(choices: list[Choice], scale: Floats) -> Floats:
    """Weights of a conditional logit, (16,)."""
    kinds = Counter(c.kind for c in choices)
    weights = [CLIP_WEIGHT if c.kind == "annotated" else KIND_WEIGHT / kinds[c.kind] for c in choices]

    def loss(w: Floats) -> tuple[float, Floats]:
        total, slope = PENALTY * float(w @ w) / 2, PENALTY * w
        for c, weight in zip(choices, weights, strict=True):
            x = c.described / scale
            share = np.exp(x @ w - (x @ w).max())
            share /= share.sum()
            total -= weight * float(np.log(share[c.right] + 1e-12))
            slope = slope - weight * (x[c.right] - share @ x)
        return total, slope

    return np.asarray(minimize(loss, np.zeros(len(scale)), jac=True, method="L-BFGS-B").x / scale)


def held_out(choices: list[Choice], scale: Floats, part: Callable[[Choice], object], names: list[object]) -> float:
    """Share of choices that are right by weights fitted without their part."""
    right = []
    for name in names:
        w = fit([c for c in choices if part(c) != name], scale)
        right += [int((c.described @ w).argmax()) == c.right for c in choices if part(c) == name]
    return float(np.mean(right))


def annotated_clips(data: Path, tempos: Path, keys: Path) -> list[tuple[Samples, float | None, int]]:
    """Samples, tempo and relative major of the clips of GTZAN."""
    rows = (line.split("\t") for line in tempos.read_text().splitlines())
    bpm = {Path(name).stem: float(tempo) for name, tempo in rows}
    numbers = [int(n) for n in keys.read_text().split()]
    found = []
    for path in sorted(p for folder in ("gtzan_15s", "gtzan_30s") for p in (data / folder).rglob("*.*")):
        y, sr = read(path)
        genre, number = path.stem.split(".")
        relative = numbers[100 * GENRES.index(genre) + int(number)]
        found.append((resample(y, sr, SR)[: 30 * SR], bpm.get(path.stem), relative))
    return found


def recordings_without_music(data: Path) -> list[Samples]:
    """The first 30 s of speech and of animals, at 22,050 Hz."""
    found = [read(p) for p in sorted((data / "assorted").glob("*.ogg")) if p.name.startswith(NOT_MUSIC)]
    return [resample(y[: 30 * sr], sr, SR) for y, sr in found]


def main() -> None:
    """Fit, and print the constants."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--tempos", type=Path, required=True)
    parser.add_argument("--keys", type=Path, required=True)
    options = parser.parse_args()
    rng = np.random.default_rng(SEED)
    sounds: list[Known] = [k for made in (tempo_sounds(rng), key_sounds(rng), demo_songs()) for k in made]
    spectra = [spectra_of(k.y) for k in sounds]
    clips = annotated_clips(options.data, options.tempos, options.keys)
    clip_spectra = [spectra_of(y) for y, *_ in clips]
    beatless = [spectra_of(k.y) for k in beatless_sounds(rng)]
    speech = [spectra_of(y) for y in recordings_without_music(options.data)]
    trust = [1.0] * len(beatless) + [TRUST_WEIGHT] * len(speech)
    beatless += speech

    made = [(s, k.kind, k.bpm) for s, k in zip(spectra, sounds, strict=True)]
    made += [(s, "annotated", bpm) for s, (_, bpm, _) in zip(clip_spectra, clips, strict=True)]
    clear = [(s, kind, bpm) for s, kind, bpm in made if bpm and not kind.startswith(LEFT_OUT)]
    choices = [c for sound in clear if (c := choice_of(*sound))]
    scale = np.concatenate([c.described for c in choices]).std(axis=0)
    fold = {id(c): i % FOLDS for i, c in enumerate(choices)}
    annotated = [c for c in choices if c.kind == "annotated"]
    kinds = sorted({c.kind for c in choices} - {"annotated"})
    print("WEIGHTS =", np.round(fit(choices, scale), 2).tolist())
    by_fold = held_out(choices, scale, lambda c: fold[id(c)] if c.kind == "annotated" else None, list(range(FOLDS)))
    print(f"octave right: {by_fold:.1%} of {len(annotated)} annotated clips, held out in {FOLDS} folds")
    print(f"octave right: {held_out(choices, scale, lambda c: c.kind, list(kinds)):.1%} of kinds that are held out")

    tempo_rows = [(rhythm.find_tempo(rhythm.onset_strength(s), RATE), bpm) for s, _, bpm in made if bpm]
    x = [rhythm.odds_of(t.evidence, t.certainty) for t, _ in tempo_rows]
    y = [abs(t.bpm / bpm - 1) <= 0.04 for t, bpm in tempo_rows]
    x += [rhythm.odds_of(t.evidence, t.certainty)
          for t in (rhythm.find_tempo(rhythm.onset_strength(s), RATE) for s in beatless)]  # fmt: skip
    weight = [SOUND_WEIGHT] * (len(y) - len(clips)) + [TRUST_WEIGHT] * len(clips) + trust
    print_confidence("tempo", np.array(x), np.array(y + [False] * len(beatless)), weight)

    key_rows = [(s, {k.key}) for s, k in zip(spectra, sounds, strict=True) if k.key is not None]
    n_made = len(key_rows)
    key_rows += [(s, {r, 12 + (r + 9) % 12}) for s, (_, _, r) in zip(clip_spectra, clips, strict=True)]
    key_rows += [(s, set()) for s in beatless]
    found = [find_key(s) for s, _ in key_rows]
    right = [KEYS.index(f.name) in keys if f.name else False for f, (_, keys) in zip(found, key_rows, strict=True)]
    weight = [SOUND_WEIGHT] * n_made + [TRUST_WEIGHT] * len(clips) + trust
    print_confidence("key", np.array([evidence(f.fits, f.profile) for f in found]), np.array(right), weight)


def print_confidence(what: str, x: Floats, right: NDArray[np.bool_], weight: list[float]) -> None:
    """The intercept and the weights of a logistic regression."""
    model = LogisticRegression(C=10).fit(x, right, sample_weight=weight[: len(x)])
    print(f"_CONFIDENCE of the {what} =", np.round([*model.intercept_, *model.coef_[0]], 2).tolist())


if __name__ == "__main__":
    main()
