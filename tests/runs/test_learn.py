"""`learn` makes a bundle from labelled music: what it is learned from, what is left out by name, and what it says."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import mutagen
import numpy as np
import pytest
import soundfile

from genrelab.core.errors import BundleError, DatasetError, SettingsError
from genrelab.datasets.synth_voices import SR as SONG_SR
from genrelab.predict.classifier import load_bundle
from genrelab.runs.learn import LearnSettings, learn
from genrelab.runs.learn_result import LearnResult
from tests.support.guards import HANG_S
from tests.support.labelled_music import SR, embed_by_code, write_folders, write_track
from tests.support.songs import song

GENRES = ("Blues", "Folk", "Rock")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GENRELAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def processed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    return embed_by_code(monkeypatch)


@pytest.fixture
def music(tmp_path: Path, processed: list[int]) -> Path:
    return write_folders(tmp_path / "music")


def learned(root: Path, settings: LearnSettings = LearnSettings()) -> tuple[LearnResult, list[str]]:  # noqa: B008
    """The result, with the bundle beside ROOT, and what was messages meanwhile."""
    messages: list[str] = []
    return learn(root, root.parent / "bundle", settings, notify=lambda note: messages.append(note.strip())), messages


def counts(result: LearnResult) -> dict[str, int]:
    return {one.genre: one.tracks for one in result.genres}


# --- a bundle ---


def test_folders_become_a_bundle_that_recognises_them(music: Path) -> None:
    steps: list[tuple[int, int]] = []
    result = learn(music, music.parent / "mine", LearnSettings(), progress=lambda *step: steps.append(step))
    assert (result.n_tracks, result.n_artists, counts(result)) == (24, 24, dict.fromkeys(GENRES, 8))
    assert result.scores is not None and result.scores["accuracy"] > 0.9 and result.scores["n"] == 24
    assert result.failed == {} and result.notes == () and steps[-1] == (24, 24)
    bundle = load_bundle(result.bundle)
    assert (bundle.name, bundle.genres, bundle.own_names, bundle.split) == (
        *("mine", GENRES, True, "artist (cross-validation)"),
    )
    assert bundle.stops_early and bundle.calibration is not None and bundle.calibration.n == 24
    assert bundle.metrics == json.loads(json.dumps(result.scores)) and bundle.licence is None
    assert bundle.dataset == "music (24 tracks)"
    for g, genre in enumerate(GENRES):
        new = write_track(music.parent / "new.flac", g, 15, artist=40)
        assert bundle.predict(new).genre == genre


def test_same_music_gives_the_same_bytes(music: Path) -> None:
    """Also where it is learned again with everything in the cache."""
    contents = []
    for _ in range(2):
        result, _ = learned(music)
        contents.append({p.name: p.read_bytes() for p in result.bundle.iterdir()})
    assert contents[0] == contents[1]
    assert set(contents[0]) == {"README.md", "bundle.json", "model.onnx"}


def test_second_run_reads_only_what_is_new(music: Path, processed: list[int]) -> None:
    learned(music)
    assert len(processed) == 24
    processed.clear()
    (music / "Blues" / "0.flac").rename(music / "Blues" / "renamed.flac")
    tags = mutagen.File(music / "Folk" / "1.flac")
    tags["title"] = ["Another title"]
    tags.save()
    write_track(music / "Rock" / "new.flac", 2, 19, artist=30)
    result, _ = learned(music)
    assert processed == [3_619] and result.n_tracks == 25


def test_bundle_that_is_there_is_replaced_and_nothing_else_is(music: Path, processed: list[int]) -> None:
    bundle = music.parent / "bundle"
    learned(music)
    shutil.rmtree(music / "Rock")
    result, _ = learned(music)
    assert load_bundle(bundle).genres == ("Blues", "Folk") and result.scores is None
    processed.clear()
    for other in (music, music.parent / "cache"):
        with pytest.raises(
            BundleError, match="exists and is not a bundle, or contains other files: choose another folder"
        ):
            learn(music, other, LearnSettings())
    (bundle / "notes.txt").write_text("mine")
    with pytest.raises(BundleError, match="bundle exists"):
        learn(music, bundle, LearnSettings())
    assert processed == [] and (bundle / "notes.txt").read_text() == "mine", "refused before anything is read"


@pytest.mark.slow
def test_real_networks_tell_synthesised_genres_apart(tmp_path: Path) -> None:
    """By workers, and without TensorFlow: with it every command would take seconds more."""
    for genre in ("Experimental", "Rock"):
        for i in range(11):
            path = tmp_path / "music" / genre / f"{i}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, song(genre, i, i, 3.0), SONG_SR)
    look = (
        "import sys\nfrom pathlib import Path\nfrom genrelab.runs.learn import LearnSettings, learn\n"
        "if __name__ == '__main__':\n"
        "    result = learn(Path(sys.argv[1]), Path(sys.argv[2]), LearnSettings(jobs=2))\n"
        "    print(result.scores['accuracy'], *[m for m in ('tensorflow', 'keras', 'librosa') if m in sys.modules])\n"
    )
    (tmp_path / "look.py").write_text(look)
    words = [sys.executable, *(str(tmp_path / name) for name in ("look.py", "music", "bundle"))]
    done = subprocess.run(words, capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 0, done.stderr
    accuracy, *imported = done.stdout.split()
    assert float(accuracy) > 0.8 and imported == []
    found = load_bundle(tmp_path / "bundle").with_any().predict(song("Rock", 50, 50, 9.0), SONG_SR)
    assert found.genre == "Rock" and found.tags is not None


# --- artists ---


@pytest.mark.parametrize("known", [True, False])
def test_scores_are_of_artists_that_were_not_learned_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    """Embeddings that say who plays, and nothing of the genre; the tracks of an artist lie apart in the folder."""
    embed_by_code(monkeypatch, genre=0.0, artist=3.0)
    for n in range(80):
        number, track = n % 20, n // 20
        path = tmp_path / "m" / ("Blues", "Folk")[n % 2] / f"{n:02}.flac"
        by = ("The Band ", "the  band ")[track % 2] + str(number)  # two spellings of one name
        write_track(path, 0, track, artist=number, by=by if known else None)
    result = learn(tmp_path / "m", tmp_path / "bundle", LearnSettings())
    assert result.scores is not None and result.n_artists == (20 if known else 0)
    assert (result.scores["accuracy"] < 0.75) is known, "unknown artists are on both sides"
    assert known or result.scores["accuracy"] > 0.95
    assert (result.scores["interval_over"], result.scores["n_groups"]) == (("artists", 20) if known else ("tracks", 80))
    messages = (
        "the artist of 80 tracks is unknown: if an artist is in both the training and the test set, the accuracy is "
        "too high"
    )
    assert (messages in result.notes) is not known


def test_artists_of_tags_are_kept_apart_in_any_spelling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embed_by_code(monkeypatch, genre=0.0, artist=3.0)
    for n in range(80):
        by = ("The Band ", "the  band ")[n // 20 % 2] + str(n % 20)
        genres = (("Blues", "Folk")[n % 2],)
        write_track(tmp_path / "m" / f"{n:02}.flac", 0, n // 20, artist=n % 20, genres=genres, by=by)
    result = learn(tmp_path / "m", tmp_path / "bundle", LearnSettings(labels="tags"))
    assert result.n_artists == 20 and result.scores is not None
    assert result.scores["accuracy"] < 0.75 and result.scores["n_groups"] == 20


# --- tags ---


def write_tagged(folder: Path, genres: Sequence[Sequence[str]]) -> Path:
    """Eight tracks for each of these lists of genres in the tags; what is processed is the number of the list."""
    for g, names in enumerate(genres):
        for i in range(8):
            write_track(folder / f"{g}{i}.flac", g, i, artist=8 * g + i, genres=names, by=f"Artist {8 * g + i}")
    return folder


def test_tags_are_learned_in_the_spelling_of_most_files(tmp_path: Path, processed: list[int]) -> None:
    root = write_tagged(tmp_path / "music", [["Hip-Hop"], ["Folk"], ["Rock", "Pop"]])
    write_track(root / "more.flac", 0, 9, artist=30, genres=("hip hop",))
    result, messages = learned(root, LearnSettings(labels="tags"))
    assert counts(result) == {"Folk": 8, "Hip-Hop": 9, "Rock": 8} and result.n_artists == 24
    assert messages[0] == "25 files with a genre in the tags, 0 without"
    assert result.notes[0].startswith("the artist of 1 track is unknown: ")


def test_all_values_of_the_tags_are_learned(tmp_path: Path, processed: list[int]) -> None:
    """A file of two genres is processed once and held out as a whole: what is answered was not learned from."""
    root = write_tagged(tmp_path / "music", [["Blues"], ["Folk"], ["Rock", "Pop"]])
    result, _ = learned(root, LearnSettings(labels="tags", all_values=True))
    assert counts(result) == {"Blues": 8, "Folk": 8, "Pop": 8, "Rock": 8}
    assert result.n_tracks == len(processed) == 24
    bundle = load_bundle(result.bundle)
    found = bundle.predict(write_track(tmp_path / "new.flac", 2, 15, artist=40)).probabilities
    assert {"Pop", "Rock"} == set(sorted(found, key=lambda g: -found[g])[:2])
    assert result.scores is not None and (result.scores["n"], result.scores["accuracy"]) == (24, 1.0)
    assert bundle.calibration is not None and bundle.calibration.n == 24, "each file is scored once"


@pytest.mark.parametrize("rare", [False, True])
def test_genres_of_a_file_of_unknown_artist_are_held_out_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rare: bool
) -> None:
    """Embeddings that know the file and no genre: who learned one of its genres would know a right answer."""
    embed_by_code(monkeypatch, genre=0.0)
    for i in range(36):
        more = ("Soul", "Jazz")[i % 2] if i < 28 or not rare else f"Rare {i // 2}"
        genres, by = (("Blues", "Folk")[i % 2], more), "Ann" if i < 2 else None  # else folds are runs of files
        write_track(tmp_path / "music" / f"{i:02}.flac", 0, i % 20, artist=i, genres=genres, by=by)
    result, _ = learned(tmp_path / "music", LearnSettings(labels="tags", all_values=True))
    assert result.scores is not None and result.scores["accuracy"] < 0.75
    assert result.scores["n"] == (28 if rare else 36) and result.n_tracks == 36


def test_a_name_links_by_its_share_of_files_and_not_of_genres(tmp_path: Path, processed: list[int]) -> None:
    """Ann stands on a sixth of the files, and on a third of the rows of genres."""
    by = [*["Ann", "Ann feat. Bob", "Ann", "Bob"], *(f"Name {i}" for i in range(14))]
    for i, name in enumerate(by):
        genres = ("Blues", "Folk", "Rock", "Soul") if i < 3 else (("Blues", "Folk", "Rock", "Soul")[i % 4],)
        write_track(tmp_path / "music" / f"{i}.flac", i % 4, i, artist=i, genres=genres, by=name)
    result, messages = learned(tmp_path / "music", LearnSettings(labels="tags", all_values=True))
    assert result.n_artists == 15, "Ann and Bob are one group"
    assert not any("joining nobody" in note for note in messages)


def test_pieces_of_several_genres_are_counted_by_file(tmp_path: Path, processed: list[int]) -> None:
    for i in range(18):
        genres = ["Rock", "Pop"] if i < 9 else ["Folk"]
        path = tmp_path / "music" / f"{'abcdef'[i // 3]}x part {i % 3 + 1}.flac"
        write_track(path, i // 9, i % 9, artist=i, genres=genres if i else ["Rock", "Live"])
    _, messages = learned(tmp_path / "music", LearnSettings(labels="tags", all_values=True))
    (note,) = [note for note in messages if "pieces of" in note]
    assert note.startswith("18 tracks are pieces of 6 recordings ")


# --- pieces that a table states ---


@pytest.mark.parametrize(("name", "stated"), [("song_id", True), ("key", True), ("song_id", False)])
def test_pieces_that_a_table_states_do_not_lift_the_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, stated: bool
) -> None:
    """Embeddings that know the recording and no genre; the names of files tell nothing."""
    embed_by_code(monkeypatch, genre=0.0, artist=1.0, noise=0.5)
    rows = []
    for i in range(60):
        path = write_track(tmp_path / "m" / f"{i * 7919 % 1009:x}z.flac", 0, i % 20, artist=i // 3)
        rows.append(f"{path.name},{('Blues', 'Folk')[i // 3 % 2]},{f's{i // 3}' if stated else ''}\n")
    (tmp_path / "m" / "t.csv").write_text(f"path,genre,{name}\n" + "".join(rows))
    result, _ = learned(tmp_path / "m" / "t.csv", LearnSettings(group_column=name if name == "key" else None))
    assert result.scores is not None and result.scores["n"] == 60
    assert (result.scores["accuracy"] < 0.75) is stated


# --- copies ---


def write_twins(root: Path) -> None:
    """A WAV of every FLAC, in folders further down: other bytes of audio, the same sound."""
    for path in sorted(root.rglob("*.flac")):
        y, sr = soundfile.read(path)
        (path.parent / "wav").mkdir(exist_ok=True)
        soundfile.write(path.parent / "wav" / f"{path.stem}.wav", y, sr, subtype="FLOAT")


@pytest.mark.parametrize("found", [True, False])
def test_copies_in_other_formats_do_not_lift_the_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: bool
) -> None:
    """Embeddings that know the recording and no genre."""
    embed_by_code(monkeypatch, genre=0.0)
    for n in range(32):
        write_track(tmp_path / "m" / ("Blues", "Folk")[n % 2] / f"{n:02}.flac", 0, n % 20, artist=n)
    write_twins(tmp_path / "m")
    if not found:
        monkeypatch.setattr("genrelab.runs.learn.near_copies", lambda _: [])
    result, messages = learned(tmp_path / "m")
    noted = [sentence for sentence in messages if "near-duplicates" in sentence]
    assert result.n_tracks == 64 and result.scores is not None and result.scores["n"] == 64
    assert (result.scores["accuracy"] < 0.75) is found
    assert len(noted) == found and (not found or result.scores["n_groups"] == 32)
    if found:
        first = "00.flac and 00.wav, 02.flac and 02.wav, 04.flac and 04.wav"
        assert noted[0].startswith("32 pairs of near-duplicates, which are held out together: ")
        assert first in noted[0]


def test_copies_of_files_with_several_genres_are_one_pair_each(tmp_path: Path, processed: list[int]) -> None:
    root = write_tagged(tmp_path / "music", [["Blues"], ["Folk", "Rock"]])
    write_track(root / "17 copy.flac", 1, 7, artist=15, genres=["Folk", "Rock"], by="Another")
    y, sr = soundfile.read(root / "17 copy.flac")
    tags = mutagen.File(root / "17 copy.flac")
    soundfile.write(root / "17 copy.flac", np.append(y, y[:100]), sr)  # other bytes, and no tags
    copy = mutagen.File(root / "17 copy.flac")
    copy.update(dict(tags))
    copy.save()
    _, messages = learned(root, LearnSettings(labels="tags", all_values=True))
    (note,) = [sentence for sentence in messages if "near-duplicates" in sentence]
    assert note.startswith("1 pair of near-duplicates") and note.endswith(": 17 copy.flac and 17.flac")


# --- corrections ---


def test_corrections_are_learned(music: Path) -> None:
    write_track(music / "loose.flac", 1, 9, artist=30)
    table = music.parent / "mine.csv"
    table.write_text("path,genre\nBlues/0.flac,Folk\nBlues/1.flac,\nloose.flac,Folk\n")
    result, messages = learned(music, LearnSettings(corrections=table))
    assert counts(result) == {"Blues": 6, "Folk": 10, "Rock": 8} and result.n_tracks == 24
    assert "3 corrections from mine.csv" in messages
    table.write_text("path,genre\nnowhere.flac,Folk\n")
    with pytest.raises(SettingsError, match=r"mine\.csv, line 2: no such file"):
        learned(music, LearnSettings(corrections=table))


def test_corrected_file_that_is_no_audio_is_a_named_row(music: Path) -> None:
    (music / "notes.txt").write_text("no sound")
    (music.parent / "mine.csv").write_text("path,genre\nnotes.txt,Folk\n")
    result, _ = learned(music, LearnSettings(corrections=music.parent / "mine.csv"))
    assert set(result.failed) == {str(music / "notes.txt")} and result.n_tracks == 24


# --- what is left out ---


def test_copy_is_counted_once(music: Path) -> None:
    shutil.copy(music / "Blues" / "0.flac", music / "Blues" / "a copy.flac")
    tags = mutagen.File(music / "Blues" / "a copy.flac")
    tags["title"] = ["Its tags differ"]
    tags.save()
    result, messages = learned(music)
    assert result.n_tracks == 24 and "1 duplicate left out" in messages and result.failed == {}
    shutil.copy(music / "Folk" / "0.flac", music / "Folk" / "deep.flac")
    result, messages = learned(music)
    assert result.n_tracks == 24 and "2 duplicates left out" in messages


def test_same_audio_under_two_genres_is_named_and_left_out(music: Path) -> None:
    shutil.copy(music / "Blues" / "0.flac", music / "Folk" / "0 too.flac")
    result, messages = learned(music)
    assert counts(result) == {"Blues": 7, "Folk": 8, "Rock": 8}
    reason = "the same audio has different genres: Blues, Folk"
    assert result.failed == {
        str(music / "Blues" / "0.flac"): reason,
        str(music / "Folk" / "0 too.flac"): reason,
    }
    assert "1 recording with different genres left out" in messages


def test_copies_with_the_same_two_genres_are_one_track(tmp_path: Path, processed: list[int]) -> None:
    root = write_tagged(tmp_path / "music", [["Blues"], ["Folk"], ["Rock", "Pop"]])
    shutil.copy(root / "20.flac", root / "copy.flac")
    result, _ = learned(root, LearnSettings(labels="tags", all_values=True))
    assert counts(result) == {"Blues": 8, "Folk": 8, "Pop": 8, "Rock": 8} and result.failed == {}


def test_unusable_file_is_a_named_row_and_the_rest_is_learned(music: Path) -> None:
    (music / "Folk" / "text.mp3").write_text("no sound\n" * 100)
    soundfile.write(music / "Rock" / "silent.wav", np.zeros(SR), SR)
    (music / "Rock" / "gone.wav").symlink_to(music / "nowhere.wav")
    result, _ = learned(music)
    names = ("Folk/text.mp3", "Rock/gone.wav", "Rock/silent.wav")
    assert sorted(result.failed) == [str(music / name) for name in names] and result.n_tracks == 24
    assert result.failed[str(music / "Rock" / "silent.wav")] == "silent: no sample reaches -80 dBFS"
    assert all(result.failed.values())


def test_genre_with_one_track_is_left_out_by_name(music: Path) -> None:
    write_track(music / "Ska" / "0.flac", 5, 0)
    result, messages = learned(music)
    assert tuple(counts(result)) == GENRES and "genres with only one track left out: Ska" in messages
    write_track(music / "Ska" / "1.flac", 5, 1)
    result, messages = learned(music)
    assert counts(result)["Ska"] == 2 and not any("too few" in sentence for sentence in messages)
    soundfile.write(music / "Ska" / "1.flac", np.zeros(SR), SR)
    result, messages = learned(music)
    assert tuple(counts(result)) == GENRES and "genres with only one track left out: Ska" in messages, (
        "also if found late"
    )
    assert str(music / "Ska" / "1.flac") in result.failed


def test_small_genre_changes_nothing_for_the_others(music: Path) -> None:
    """Its two artists would else leave all others two folds, and no half to be measured."""
    before, _ = learned(music)
    for i in range(2):
        write_track(music / "Ska" / f"{i}.flac", 5, i, artist=30 + i, by=f"Ska {i}")
    after, _ = learned(music)
    assert before.scores is not None and after.scores is not None
    assert after.genres[:3] == before.genres and all(g.recall is not None for g in before.genres)
    assert after.scores["n"] == before.scores["n"] == 24 and after.scores["not_measured"] == ["Ska"]
    ska = after.genres[3]
    assert (ska.genre, ska.tracks, ska.recall, ska.advice) == ("Ska", 2, None, "at least 3 more tracks")
    found = load_bundle(after.bundle).predict(write_track(music.parent / "new.flac", 5, 15, artist=40))
    assert found.genre == "Ska", "it is learned"


def test_artists_of_small_genres_are_not_scored_by_what_was_learned_from_them(music: Path) -> None:
    for i in range(2):
        write_track(music / "Ska" / f"{i}.flac", 5, i, artist=i, by=f"Artist {i}")  # who are also in Blues
    result, _ = learned(music)
    assert result.scores is not None and result.scores["n"] == 22


@pytest.mark.parametrize("artists", [1, 2])
def test_genres_of_two_artists_are_scored_where_no_others_are_left(
    tmp_path: Path, processed: list[int], artists: int
) -> None:
    for n in range(24):
        by = f"{n % 2} {n // 2 % artists}"
        write_track(tmp_path / "music" / ("Blues", "Folk")[n % 2] / f"{n:02}.flac", n % 2, n // 2, artist=n, by=by)
    result, _ = learned(tmp_path / "music")
    assert (result.scores is not None) is (artists == 2)


def test_findings_are_told_before_anything_is_refused(tmp_path: Path, processed: list[int]) -> None:
    """They may say why: here, whose decision it was."""
    root = write_folders(tmp_path / "music", tracks=2, genres=("Blues", "Folk"))
    (tmp_path / "mine.csv").write_text("path,genre\nFolk/0.flac,\n")
    messages: list[str] = []
    with pytest.raises(DatasetError, match="Found: Blues 2, Folk 1"):
        learn(
            root,
            tmp_path / "bundle",
            LearnSettings(corrections=tmp_path / "mine.csv"),
            notify=lambda note: messages.append(note.strip()),
        )
    assert messages[-1] == "1 correction from mine.csv" and processed == []


def test_findings_are_told_once(music: Path) -> None:
    write_track(music / "Ska" / "0.flac", 5, 0)
    _, messages = learned(music)
    assert len(set(messages)) == len(messages) > 1


def test_fewer_than_two_usable_genres_are_refused_with_what_is_wrong(tmp_path: Path, processed: list[int]) -> None:
    root = write_folders(tmp_path / "music", tracks=2, genres=("Blues", "Folk"))
    for i in range(2):
        soundfile.write(root / "Folk" / f"{i}.flac", np.zeros(SR), SR)
    with pytest.raises(DatasetError, match=r"Found: Blues 2; 2 files cannot be used: .*0\.flac: silent") as refused:
        learned(root)
    assert "at least two genres with 2 tracks each" in str(refused.value) and not (tmp_path / "bundle").exists()
    shutil.rmtree(root / "Folk")
    with pytest.raises(DatasetError, match=r"Found: Blues 2$"):
        learned(root)


def test_two_tracks_a_genre_are_learned_without_a_score(tmp_path: Path, processed: list[int]) -> None:
    result, _ = learned(write_folders(tmp_path / "music", tracks=2, genres=("Blues", "Folk")))
    assert result.scores is None and [g.advice for g in result.genres] == ["at least 3 more tracks"] * 2
    bundle = load_bundle(result.bundle)
    assert bundle.calibration is None and bundle.metrics == {}
    assert bundle.predict(write_track(tmp_path / "new.flac", 1, 15, artist=40)).genre == "Folk"


# --- settings ---


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"labels": "names"}, "--labels must be one of folders, tags. Received: names"),
        ({"labels": "tags", "artists": Path("a.csv")}, "--artists needs --labels folders"),
        ({"labels": "tags", "group_column": "x"}, "--group-column needs --labels folders and a table of files"),
        ({"all_values": True}, "--all-values needs --labels tags: a folder is one genre"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        LearnSettings(**settings)  # type: ignore[arg-type]


def test_result_is_plain_json(music: Path) -> None:
    result, _ = learned(music)
    found = json.loads(json.dumps(result.to_json()))
    assert list(found) == ["bundle", "tracks", "artists", "scores", "genres", "failed", "notes"]
    assert found["genres"][0]["genre"] == "Blues" and found["tracks"] == 24
    assert json.loads(json.dumps(replace(result, scores=None).to_json()))["scores"] is None
