"""Genres that are no music to the gate are named all the same; single tracks of that kind are noted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genrelab.predict.classifier import load_bundle
from genrelab.runs import learn_music
from genrelab.runs.learn import LearnSettings, learn
from genrelab.runs.learn_labels import LabelledFile
from genrelab.runs.learn_music import check_music
from tests.support.labelled_music import embed_by_code, write_folders, write_track


@pytest.fixture(autouse=True)
def scores(monkeypatch: pytest.MonkeyPatch) -> None:
    """The music score of a row is its first number."""
    monkeypatch.setattr(learn_music, "music_score", lambda rows: rows[:, 0].astype(np.float64))


def check(**refused_of: tuple[int, int]) -> tuple[bool, list[str]]:
    """For each genre the number of tracks that are not music, and of all."""
    files = [LabelledFile(Path(f"{g} {i}.mp3"), g, None) for g, (_, n) in refused_of.items() for i in range(n)]
    rows = [[-1.0 if i < refused else 0.0] for refused, n in refused_of.values() for i in range(n)]
    return check_music(files, np.array(rows, np.float32))


def test_music_has_no_note() -> None:
    assert check(Blues=(0, 5), Folk=(0, 5)) == (True, [])


@pytest.mark.parametrize(
    ("refused", "n", "gate"),
    [(1, 2, True), (1, 3, True), (2, 9, False), (2, 10, True), (3, 10, False), (10, 10, False)],
)
def test_gate_is_off_beyond_a_fifth_of_a_genre_and_one_track(refused: int, n: int, gate: bool) -> None:
    found, notes = check(Blues=(0, 50), Birds=(refused, n))
    assert found is gate and len(notes) == 1


def test_genres_that_fail_the_gate_are_named() -> None:
    _, (note,) = check(Birds=(4, 5), Audiobook=(2, 2), Blues=(1, 9))
    assert note == (
        "tracks that do not sound like music: Audiobook (2 of 2), Birds (4 of 5); so this model names a genre for "
        "every sound"
    )


def test_single_tracks_are_named() -> None:
    _, (note,) = check(Blues=(1, 9), Folk=(1, 20))
    assert note.startswith("2 tracks do not sound like music (Blues 0.mp3, Folk 0.mp3): used for training, but ")
    assert note.endswith("`predict` and `tag` answer unknown for such sounds without --any")


def test_file_of_several_genres_is_named_once() -> None:
    files = [LabelledFile(Path("a.mp3"), genre, None) for genre in ("Blues", "Folk")]
    _, (note,) = check_music(files, np.full((2, 3), -1, np.float32))
    assert note.startswith("1 track does not")


@pytest.mark.parametrize("no_music", [(), (1,)])
def test_model_of_genres_that_are_no_music_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_music: tuple[int, ...]
) -> None:
    """The gate would call every one of them unknown."""
    monkeypatch.setenv("GENRELAB_CACHE", str(tmp_path / "cache"))
    embed_by_code(monkeypatch, no_music=no_music)
    root = write_folders(tmp_path / "music", tracks=6, genres=("Blues", "Birds"))
    result = learn(root, tmp_path / "bundle", LearnSettings())
    bundle = load_bundle(result.bundle)
    assert bundle.gate is bundle.decision.gate is (not no_music)
    assert any("do not sound like music: Birds (6 of 6)" in note for note in result.notes) is bool(no_music)
    song = write_track(tmp_path / "new.flac", 1, 15, artist=40)
    assert bundle.predict(song).genre == "Birds"
    embed_by_code(monkeypatch, no_music=(1,))
    found = bundle.predict(song)
    assert (found.genre, found.unknown_because) == (("Birds", None) if no_music else ("unknown", "not_music"))
