"""`genrelab learn` on the command line: what is printed, and what other commands make of its bundle."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from genrelab.cli.learn import MAX_FAILED, text
from genrelab.datasets.synth_voices import SR as SONG_SR
from genrelab.runs import embedding_cache
from genrelab.runs.learn_advice import GenreAdvice
from genrelab.runs.learn_result import LearnResult
from genrelab.tagging import tags
from tests.support.command import call, interruptible
from tests.support.guards import HANG_S
from tests.support.held_file import DECODED, HeldFiles
from tests.support.labelled_music import SR, embed_by_code, write_folders, write_track
from tests.support.songs import song

OWN_GENRES = ("deep house", "kuschelrock", "日本の歌")


@pytest.fixture(autouse=True)
def heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    monkeypatch.setenv("GENRELAB_CACHE", str(tmp_path / "cache"))
    return embed_by_code(monkeypatch)


@pytest.fixture
def music(tmp_path: Path) -> Path:
    return write_folders(tmp_path / "my music", genres=OWN_GENRES)


# --- what is printed ---


def test_score_genres_and_next_commands_are_printed(music: Path, tmp_path: Path) -> None:
    status, out, err = call("learn", music, "--out", tmp_path / "mine")
    lines = out.splitlines()
    assert status == 0 and "folder, 24 tracks, 3 genres, 24 artists" in err and "artist known" not in err
    assert lines[0] == "24 training tracks by 24 known artists."
    assert lines[1].startswith("100 % of 24 tracks by other artists are classified correctly (95 % interval: ")
    assert lines[1].endswith("; chance: 33 %).")
    assert [line.split()[1:4] for line in lines if line.startswith("kuschelrock")] == [["8", "100", "%"]]
    assert f"The model is in {tmp_path / 'mine'}. Try it:" in lines
    assert lines[-2].endswith(f" predict '{music}' --model {tmp_path / 'mine'}")
    assert lines[-1].endswith(f" tag '{music}' --model {tmp_path / 'mine'} --dry-run"), "to be copied and pasted"
    japanese, house = (next(line for line in lines if line.startswith(genre)) for genre in OWN_GENRES[::-2])
    assert house.index("100 %") - japanese.index("100 %") == 4, "its four characters take two columns each"


def test_json_is_one_object_on_standard_output(music: Path, tmp_path: Path) -> None:
    (music / OWN_GENRES[0] / "text.mp3").write_text("no sound\n" * 100)
    status, out, err = call("learn", music, "--out", tmp_path / "mine", "--json")
    found = json.loads(out)
    assert status == 0 and "24 artists" in err, "notes go to standard error"
    assert (found["bundle"], found["tracks"], found["artists"]) == (str(tmp_path / "mine"), 24, 24)
    assert [g["genre"] for g in found["genres"]] == list(OWN_GENRES)
    assert found["scores"]["n"] == 24 and list(found["failed"]) == [str(music / OWN_GENRES[0] / "text.mp3")]
    assert found["scores"] == json.loads((tmp_path / "mine" / "bundle.json").read_text())["metrics"]


def result(**changes: Any) -> LearnResult:
    genres = (GenreAdvice("Blues", 3, None, 2, None, "2 more tracks, to begin with"),)
    return replace(LearnResult(Path("mine"), 6, 0, None, genres, {}, ()), **changes)


def test_accuracy_on_unknown_artists_is_not_called_one_on_other_artists() -> None:
    per_genre = {"Blues": {"n": 4}, "Folk": {"n": 4}, "Jazz": {"n": 0}}
    scores = {"accuracy": 0.5, "accuracy_low": 0.25, "accuracy_high": 0.75, "n": 8, "per_genre": per_genre}
    genres = tuple(GenreAdvice(g, 4, 0.5, None, None, "") for g in ("Blues", "Folk"))
    lines = [text(result(n_artists=n, scores=scores, genres=genres), Path("m")).splitlines()[1] for n in (0, 5)]
    figures = "are classified correctly (95 % interval: 25 % to 75 %; chance: 50 %)."
    assert lines == [f"50 % of 8 tracks {what} {figures}" for what in ("held out from training", "by other artists")]


def test_missing_accuracy_and_notes_are_printed() -> None:
    printed = text(result(notes=("a note",)), Path("m"))
    assert "Accuracy unknown: fewer than 20 tracks could be held out" in printed and "\na note\n" in printed
    assert "Blues       3           –  2 more tracks, to begin with" in printed
    assert "could not be used" not in printed


@pytest.mark.parametrize(("n", "more"), [(1, None), (MAX_FAILED, None), (MAX_FAILED + 3, "and 3 more, listed in")])
def test_unusable_files_are_named_up_to_a_number(n: int, more: str | None) -> None:
    printed = text(result(failed={f"{i}\n.mp3": "no audio" for i in range(n)}), Path("m"))
    assert f"{n} file{'s' if n > 1 else ''} could not be used:" in printed
    assert printed.count("\\n.mp3: no audio") == min(n, MAX_FAILED)
    assert (more in printed) if more else ("more, listed" not in printed)


# --- which labels ---


def test_tags_and_corrections_are_options(tmp_path: Path) -> None:
    for i in range(12):
        write_track(tmp_path / "music" / f"{i}.flac", i % 2, i, artist=i, genres=(OWN_GENRES[i % 2], "Both"))
    (tmp_path / "mine.csv").write_text("path,genre\n0.flac,\n1.flac,deep house\n")
    words = ("learn", tmp_path / "music", "--out", tmp_path / "mine", "--labels", "tags", "--json")
    status, out, _ = call(*words, "--all-values", "--corrections", tmp_path / "mine.csv")
    assert status == 0
    assert {g["genre"]: g["tracks"] for g in json.loads(out)["genres"]} == {
        "Both": 10, "deep house": 6, "kuschelrock": 5,
    }  # fmt: skip


def test_artists_may_come_from_a_table(music: Path, tmp_path: Path) -> None:
    rows = "".join(f"{genre}/{i}.flac,{genre} {i // 2}\n" for genre in OWN_GENRES for i in range(8))
    (tmp_path / "artists.csv").write_text(f"id,artist\n{rows}")
    words = ("learn", music, "--out", tmp_path / "mine", "--artists", tmp_path / "artists.csv")
    status, out, _ = call(*words)
    assert status == 0 and out.startswith("24 training tracks by 12 known artists.")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("{tmp}/nowhere", "--out", "{tmp}/b"), "nowhere"),
        (("{tmp}/my music", "--out", "{tmp}/my music"), "exists and is not a bundle, or contains other files"),
        (("{tmp}/my music", "--out", "{tmp}/b", "--labels", "tags"), "none of 24 audio files has a genre in its tags"),
        (("{tmp}/my music", "--out", "{tmp}/b", "--all-values"), "--all-values needs --labels tags"),
        (("{tmp}/my music", "--out", "{tmp}/b", "--corrections", "{tmp}/none.csv"), "none.csv: No such file"),
    ],
)
def test_unusable_input_is_one_line_and_exit_1(
    music: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    status, out, err = call("learn", *(w.format(tmp=tmp_path) for w in words))
    assert (status, out) == (1, "")
    assert err.splitlines()[-1].startswith("Error: ") and message in err.splitlines()[-1]


def test_out_is_required_and_jobs_must_be_positive(music: Path, tmp_path: Path) -> None:
    assert call("learn", music)[0] == call("learn", music, "--out", tmp_path / "b", "--jobs", "0")[0] == 2
    assert call("learn", music, "--out", "")[0] == 2


# --- what the bundle is used for ---


def test_bundle_predicts_and_tags_with_names_as_written(music: Path, tmp_path: Path) -> None:
    """`deep house` would else be called Deep House, and a name that nobody knows stays, too."""
    assert call("learn", music, "--out", tmp_path / "mine")[0] == 0
    library = tmp_path / "library"
    for g in range(3):
        write_track(library / f"{g}.flac", g, 15, artist=40)
    soundfile.write(library / "silent.flac", np.zeros(SR), SR)
    status, out, _ = call("predict", library, "--model", tmp_path / "mine", "--json")
    assert status == 1 and [f["genre"] for f in json.loads(out)] == [*OWN_GENRES, None]
    (library / "silent.flac").unlink()
    status, out, err = call("tag", library, "--model", tmp_path / "mine", "--json")
    assert (status, err) == (0, ""), "calibration supports the default precision"
    assert [row["after"] for row in json.loads(out)["files"]] == [[genre] for genre in OWN_GENRES]
    assert [tags.read(library / f"{g}.flac").genres for g in range(3)] == [(genre,) for genre in OWN_GENRES]
    status, out, _ = call("playlists", library, "--out", tmp_path / "lists", "--model", tmp_path / "mine", "--json")
    assert status == 0 and {p.stem for p in (tmp_path / "lists").glob("*.m3u8")} == {*OWN_GENRES, "unsure"}


# --- interrupted ---


def test_ctrl_c_prints_how_to_go_on_and_keeps_what_was_computed(
    music: Path, tmp_path: Path, heard: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    map_here = embedding_cache.map_in_processes

    def interrupted(function: Any, items: Any, *, jobs: int) -> Any:
        for i, found in map_here(function, items, jobs=jobs):
            if i == 5:
                raise KeyboardInterrupt
            yield i, found

    words = ("learn", str(music), "--out", str(tmp_path / "mine"))
    with monkeypatch.context() as patch:
        patch.setattr(embedding_cache, "map_in_processes", interrupted)
        patch.setattr("sys.argv", ["genrelab", *words])
        status, out, err = call(*words)
    assert (status, out) == (130, "") and not (tmp_path / "mine").exists()
    assert err.splitlines()[-2] == "Interrupted. Finished work is kept; continue with:"
    assert err.splitlines()[-1].strip().endswith(f"learn '{music}' --out {tmp_path / 'mine'}")
    heard.clear()
    assert call(*words)[0] == 0 and len(heard) == 24 - 5


@pytest.mark.slow
def test_learn_goes_on_after_ctrl_c(tmp_path: Path) -> None:
    """In a process of its own, with a worker and the real networks; nothing of TensorFlow is imported."""
    root = tmp_path / "music"
    for genre in ("Pop", "Rock"):
        for i in range(4):
            (root / genre).mkdir(parents=True, exist_ok=True)
            soundfile.write(root / genre / f"{i}.wav", song(genre, i, i, 3.0), SONG_SR)
    look = (
        "import sys\nfrom genrelab.cli.main import app\n"
        "if __name__ == '__main__':\n"
        "    try:\n        app(sys.argv[1:])\n"
        "    finally:\n"
        "        print(*[m for m in ('tensorflow', 'keras', 'librosa') if m in sys.modules], file=sys.stderr)\n"
    )
    (tmp_path / "look.py").write_text(look)
    options = ("--out", str(tmp_path / "mine"), "--jobs", "1")
    words = [sys.executable, str(tmp_path / "look.py"), "learn", str(root), *options]
    with (
        HeldFiles(tmp_path / "hooks", "Rock/2.wav", hook=DECODED) as held,
        subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=interruptible,
            start_new_session=True, env=held.environment,
        ) as process,
    ):  # fmt: skip
        held.wait()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the worker gets it, too
        out, err = process.communicate(timeout=HANG_S)
    assert (process.returncode, out) == (130, "") and "Traceback" not in err, err
    assert "Interrupted. Finished work is kept; continue with:" in err and not (tmp_path / "mine").exists()
    with closing(sqlite3.connect(tmp_path / "cache" / "embeddings.sqlite")) as database:
        (kept,) = database.execute("SELECT count(*) FROM embeddings").fetchone()
    assert kept >= 5, "all six before it, or the last was not handed over yet"
    again = subprocess.run(words, capture_output=True, text=True, timeout=HANG_S)
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith("8 training tracks by 0 known artists.\nAccuracy unknown")
    assert again.stderr.splitlines()[-1] == "", "no package of the training half"
    shutil.rmtree(tmp_path / "cache")
