"""genrelab/datasets/demo.py: a corpus that reads as FMA, and in which an artist leak shows."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from genrelab.core.errors import DatasetError, SettingsError
from genrelab.datasets import demo, fma
from genrelab.datasets.base import Dataset, DatasetOptions
from genrelab.datasets.registry import detect
from genrelab.datasets.synth import STYLES, render
from genrelab.datasets.synth_voices import SR

TRACKS_PER_GENRE, SECONDS = 4, 1.0


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("demo")
    demo.synthesise(root, tracks_per_genre=TRACKS_PER_GENRE, seconds=SECONDS)
    return root


@pytest.fixture(scope="module")
def dataset(corpus: Path) -> Dataset:
    return fma.load(corpus, DatasetOptions())


def hashes(root: Path) -> dict[str, str]:
    files = (p for p in root.rglob("*") if p.is_file())
    return {p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def genre_rows(root: Path) -> list[dict[str, str]]:
    with (root / "fma_metadata" / "genres.csv").open(encoding="utf-8", newline="") as f:
        return list(csv.DictReader(f))


def test_corpus_is_detected_as_fma(corpus: Path) -> None:
    assert detect(corpus)[0] == "fma"


def test_every_row_is_read(dataset: Dataset) -> None:
    assert len(dataset.tracks) == 8 * TRACKS_PER_GENRE + len(demo.PROBLEMS)
    assert dataset.genres == tuple(sorted(demo.GENRE_IDS)) == tuple(sorted(STYLES))
    assert all(t.artist and t.album and t.licence == demo.LICENCE for t in dataset.tracks)
    assert sum(t.genre is None for t in dataset.tracks) == demo.PROBLEMS.count("unlabelled") == 1
    assert not any("known faults" in n for n in dataset.notes)


def test_official_split_keeps_artists_apart_and_has_every_genre_in_each_part(dataset: Dataset) -> None:
    parts = {t.artist: {u.official_split for u in dataset.tracks if u.artist == t.artist} for t in dataset.tracks}
    assert all(len(p) == 1 for p in parts.values())
    for part in ("training", "validation", "test"):
        assert {t.genre for t in dataset.tracks if t.official_split == part} - {None} == set(dataset.genres)


def test_default_size_splits_80_10_10() -> None:
    rng = np.random.default_rng(7)
    artists = [a for genre in STYLES for a in demo._make_artists(genre, 10, rng)]
    songs = demo._make_songs(artists, 20, rng)
    assert Counter(s.artist.part for s in songs if s.problem is None) == {"training": 128, "validation": 16, "test": 16}
    assert Counter(Counter(s.artist.number for s in songs if s.problem is None).values()) == {2: 80}
    assert len({a.name for a in artists}) == 80
    # Neighbouring ids tell nothing: sorted by id, genres change nearly always.
    assert sum(a.artist.genre != b.artist.genre for a, b in pairwise(songs)) > 0.75 * len(songs)


def test_names_never_repeat() -> None:
    names = [demo._artist_name(i) for i in range(1_000)]
    assert len(set(names)) == 1_000
    assert names[:2] == ["The Amber Anchors", "The Brass Birches"]


def test_ids_pass_over_those_that_are_faulty_in_fma() -> None:
    rng = np.random.default_rng(0)
    artists = [a for genre in STYLES for a in demo._make_artists(genre, 3, rng)]
    for seed in range(20):
        ids = [s.track_id for s in demo._make_songs(artists, 60, np.random.default_rng(seed))]
        assert len(set(ids)) == len(ids)
        assert ids == sorted(ids)
        assert not set(ids) & set(demo.KNOWN_BAD)


def test_faults_are_as_announced(corpus: Path, dataset: Dataset) -> None:
    found = Counter()
    for track in dataset.tracks:
        assert track.path is not None
        file = corpus / track.path
        if not file.exists():
            found["missing"] += 1
        elif file.read_bytes()[:2] not in (b"\xff\xfb", b"\xff\xf3", b"ID"):
            found["broken"] += 1
        else:
            y, sr = soundfile.read(file, dtype="float32")
            assert sr == SR
            kind = "silent" if np.abs(y).max() < 1e-3 else "short" if len(y) < 0.5 * sr else "fine"
            found[kind] += 1
            assert kind != "fine" or len(y) == pytest.approx(SECONDS * SR, abs=1_200)
    assert found == {"broken": 2, "short": 1, "silent": 1, "missing": 1, "fine": 8 * TRACKS_PER_GENRE + 1}
    assert any(" missing" in n and "1 of " in n for n in dataset.notes)


def test_tables_have_fmas_columns(corpus: Path) -> None:
    with (corpus / "fma_metadata" / "tracks.csv").open(encoding="utf-8", newline="") as f:
        groups, columns, index, *rows = list(csv.reader(f))
    assert len(groups) == len(columns) == 53
    assert index == ["track_id", *[""] * 52]
    assert all(len(row) == 53 for row in rows)
    genres = genre_rows(corpus)
    assert {g["title"]: int(g["genre_id"]) for g in genres} == demo.GENRE_IDS
    assert sum(int(g["#tracks"]) for g in genres) == len(rows) - 1


@pytest.mark.real
def test_columns_are_those_of_the_real_fma(corpus: Path, shared: Path) -> None:
    def header(metadata: Path) -> list[list[str]]:
        with (metadata / "tracks.csv").open(encoding="utf-8", newline="") as f:
            rows = csv.reader(f)
            return [next(rows) for _ in range(3)]

    assert header(corpus / "fma_metadata") == header(shared / "data" / "fma" / "fma_metadata")
    real = genre_rows(shared / "data" / "fma")
    assert list(real[0]) == list(genre_rows(corpus)[0])
    assert demo.GENRE_IDS.items() <= {g["title"]: int(g["genre_id"]) for g in real}.items()


def test_same_seed_same_bytes(corpus: Path, tmp_path: Path) -> None:
    demo.synthesise(tmp_path / "again", tracks_per_genre=TRACKS_PER_GENRE, seconds=SECONDS)
    assert hashes(tmp_path / "again") == hashes(corpus)
    demo.synthesise(tmp_path / "other", seed=8, tracks_per_genre=TRACKS_PER_GENRE, seconds=SECONDS)
    same = set(hashes(tmp_path / "other").values()) & set(hashes(corpus).values())
    assert len(same) <= 3  # the mark, genres.csv where the counts agree, and silence


def test_a_folder_that_is_not_ours_is_not_written_to(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "fma_metadata").mkdir()
    (tmp_path / "fma_metadata" / "tracks.csv").write_text("precious")
    with pytest.raises(DatasetError, match="contains other files"):
        demo.synthesise(tmp_path, tracks_per_genre=3, seconds=1)
    assert (tmp_path / "fma_metadata" / "tracks.csv").read_text() == "precious"
    assert len(list(tmp_path.iterdir())) == 1
    assert demo.LICENCE in (corpus / demo.MARKER_FILE).read_text()


def test_an_interrupted_corpus_is_not_taken_for_a_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(soundfile, "write", interrupt)
    with pytest.raises(KeyboardInterrupt):
        demo.synthesise(tmp_path, tracks_per_genre=3, seconds=1)
    assert fma.matches(tmp_path) is None
    monkeypatch.undo()
    demo.synthesise(tmp_path, tracks_per_genre=3, seconds=1)  # and it goes on in the same folder
    assert fma.matches(tmp_path) is not None


@pytest.mark.parametrize(("tracks", "seconds"), [(2, 10.0), (20, 0.5)])
def test_too_little_to_learn_from_is_refused(tmp_path: Path, tracks: int, seconds: float) -> None:
    with pytest.raises(SettingsError, match="3 tracks per genre of 1 s or more"):
        demo.synthesise(tmp_path / "x", tracks_per_genre=tracks, seconds=seconds)
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
def test_random_split_scores_higher_through_the_artist_leak() -> None:
    """What the corpus is for: honest accuracy well above chance (1 in 8) and below 1, leaky accuracy clearly higher."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(7)
    artists = [a for genre in STYLES for a in demo._make_artists(genre, 10, rng)]
    songs = [s for s in demo._make_songs(artists, 20, rng) if s.problem is None]
    X = np.array([_band_levels(s) for s in songs])
    y, groups = [s.artist.genre for s in songs], [s.artist.number for s in songs]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2_000))
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    honest = cross_val_score(model, X, y, groups=groups, cv=folds).mean()
    leaky = cross_val_score(model, X, y, cv=StratifiedKFold(5, shuffle=True, random_state=0)).mean()
    print(f"artist-disjoint {honest:.3f}, random {leaky:.3f}")
    assert 0.5 < honest < 0.85
    assert leaky > honest + 0.05


def _band_levels(song: demo.Song) -> np.ndarray:
    """Mean and deviation over time of a track's level in 64 bands, in dB; shape (128,)."""
    y = render(song.artist.style, song.artist.colour, np.random.default_rng((7, song.track_id)), 6.0)
    frames = np.lib.stride_tricks.sliding_window_view(y, 2_048)[::1_024] * np.hanning(2_048).astype(np.float32)
    power = np.abs(np.fft.rfft(frames)) ** 2
    edges = np.unique(np.geomspace(2, 1_024, 65).astype(int))
    level = 10 * np.log10(np.maximum(np.add.reduceat(power, edges[:-1], axis=1), 1e-8))
    level = np.maximum(level - level.max(), -80)
    return np.r_[level.mean(axis=0), level.std(axis=0)]
