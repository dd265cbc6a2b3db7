"""The card of a learned bundle: what it was made of, how good it is, what it needs, and what it was not tested on."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from genrelab.bundle.bundle import load_bundle
from genrelab.bundle.model_card import EMBEDDING_CAVEAT
from genrelab.runs.learn import LearnSettings, learn
from genrelab.runs.learn_result import LearnResult
from tests.support.labelled_music import SR, embed_by_code, write_folders, write_track


@pytest.fixture(autouse=True)
def _networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Genres that are often mixed up."""
    monkeypatch.setenv("GENRELAB_CACHE", str(tmp_path / "cache"))
    embed_by_code(monkeypatch, genre=0.12)


def card(root: Path) -> tuple[LearnResult, str]:
    result = learn(root, root.parent / "my genres", LearnSettings())
    return result, (result.bundle / "README.md").read_text()


def test_card_has_data_scores_confusion_caveat_and_licence(tmp_path: Path) -> None:
    result, text = card(write_folders(tmp_path / "music"))
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        *("# my genres", "## Training data", "## Scores", "## Confidence", "## Licence", "## Input and output"),
    ]
    assert "Made by `genrelab learn`" in text and "for 3 genres: Blues, Folk, Rock." in text
    assert "24 tracks by 24 known artists." in text
    s = result.scores
    assert s is not None and 0.3 < s["accuracy"] < 1, "else the confusion is no test"
    assert "a model trained without it" in text and "(n = 24)" in text
    assert f"| accuracy | {s['accuracy']:.3f} | {s['accuracy_low']:.3f} to {s['accuracy_high']:.3f} |" in text
    assert "| chance | 0.333 | |" in text and f"| log_loss | {s['log_loss']:.3f} | |" in text
    for genre, row in zip(result.genres, s["confusion"], strict=True):
        assert f"| {genre.genre} | {row[0]} | {row[1]} | {row[2]} |" in text
        assert f"| {genre.genre} | 8 | {100 * genre.recall:.0f} % | {genre.advice} |" in text
    assert "is an estimate" in text and EMBEDDING_CAVEAT in text
    assert (
        "Calibrated on 24 tracks (all tracks, out of fold). They are by 24 artists" in text and "Temperature: " in text
    )
    assert "trained on the owner's music, which is not in this bundle" in text
    assert "ISC licence, Music Technology Group, Universitat Pompeu" in text
    assert "float32 (windows, 456)" in text and "stops when the result is clear" in text


def test_card_names_what_was_not_used_and_what_a_reader_must_know(tmp_path: Path) -> None:
    root = write_folders(tmp_path / "music")
    soundfile.write(root / "Rock" / "silent.wav", np.zeros(SR), SR)
    shutil.copy(root / "Blues" / "0.flac", root / "Folk" / "0 too.flac")
    write_track(root / "Folk" / "unknown.flac", 1, 15)
    _, text = card(root)
    assert f"- not used: {root / 'Rock' / 'silent.wav'}: silent: no sample reaches -80 dBFS" in text
    assert f"- not used: {root / 'Folk' / '0 too.flac'}: the same audio has different genres: Blues, Folk" in text
    assert "- the artist of 1 track is unknown: if an artist is in both the training and the test set" in text


def test_card_without_a_score_says_so(tmp_path: Path) -> None:
    _, text = card(write_folders(tmp_path / "music", tracks=3, genres=("Blues", "Folk")))
    assert "Not measured: too few tracks to hold some out." in text
    assert "| Blues | 3 | not measured | at least 2 more tracks |" in text
    assert "## Confidence" not in text and "Rows: true genre" not in text and "| accuracy" not in text


def test_names_that_would_break_the_card_are_escaped(tmp_path: Path) -> None:
    root = write_folders(tmp_path / "music", tracks=3, genres=("Blues", "Folk"))
    soundfile.write(root / "Folk" / "two\nlines.wav", np.zeros(SR), SR)
    result = learn(root, tmp_path / "my\ngenres", LearnSettings())
    text = (result.bundle / "README.md").read_text()
    assert text.startswith("# my\\ngenres\n") and "two\\nlines.wav: silent" in text
    assert load_bundle(result.bundle).name == "my\\ngenres", "else it could not be loaded"
