"""Tempo and key come from the middle of a track; the genre does not depend on them, and the cache stores them."""

from __future__ import annotations

import json
import shutil
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
from numpy.typing import NDArray

from genrelab.audio.clips import AudioInMemory
from genrelab.audio.reader import Audio
from genrelab.core import sqlite
from genrelab.core.config import ClipSettings, SamplesView
from genrelab.core.errors import DecodeError
from genrelab.features.description import MusicDescription
from genrelab.predict import batch, cache_rows, track_description
from genrelab.predict import cache as caches
from genrelab.predict.batch import predict_files
from genrelab.predict.cache import open_cache
from genrelab.predict.classifier import Classifier
from genrelab.predict.file import predict_audio, predict_file
from genrelab.predict.prediction import DESCRIPTION_FIELDS, UNKNOWN, Decision, Prediction
from genrelab.predict.track_description import (
    MAX_PEAK,
    NO_DESCRIPTION,
    OUT_OF_MEMORY,
    OUT_OF_RANGE,
    UNDECODABLE,
    describe_track,
)
from tests.support import known_music
from tests.support.bundles import SR, bundle_for, noise

BPM, KEY = 126.0, "C major"
FIXED = MusicDescription(120.0, 0.5, "A minor", 0.25)


def chords_and_clicks(seconds: float = 12.0) -> NDArray[np.float32]:
    """Music of known tempo and key at `known_music.SR`."""
    rng = np.random.default_rng(0)
    chords = known_music.progression(0, seconds, rng, bpm=BPM)
    return known_music.click_track(BPM, seconds, rng) + np.float32(0.5) * chords


def is_known(found: MusicDescription | None) -> None:
    assert found is not None and found.tempo_bpm is not None
    assert found.tempo_bpm == pytest.approx(BPM, rel=0.04)
    assert found.key == KEY
    assert 0 < found.tempo_confidence <= 1 and 0 < found.key_confidence <= 1


def refuse(sentence: str) -> None:
    raise AssertionError(sentence)


@pytest.fixture
def song(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "song.flac", chords_and_clicks(), known_music.SR)
    return tmp_path / "song.flac"


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch) -> list[NDArray[np.float32]]:
    """The samples of every stretch that is described; each gets the description `FIXED`."""
    seen: list[NDArray[np.float32]] = []

    def describe(y: NDArray[np.float32], _: int) -> MusicDescription:
        seen.append(y)
        return FIXED

    monkeypatch.setattr(track_description, "describe", describe)
    return seen


# --- one track ---


def test_tempo_and_key_of_a_file_and_of_its_samples_are_found(bundle: Classifier, song: Path) -> None:
    is_known(bundle.with_description().predict(song).description)
    is_known(bundle.with_description().predict(chords_and_clicks(), known_music.SR).description)
    (many,) = bundle.with_description().predict_many([song])
    is_known(many.description)


def test_description_is_given_only_on_request_and_changes_nothing_else(bundle: Classifier, song: Path) -> None:
    plain, found = bundle.predict(song), bundle.with_description().predict(song)
    assert plain.description is None
    assert replace(found, description=None) == plain
    assert found.to_json() == plain.to_json()
    fields = {"tempo_bpm", "tempo_confidence", "key", "key_confidence"}
    assert found.to_json(describe=True).keys() - plain.to_json().keys() == fields


def test_sound_without_a_genre_is_described(bundle: Classifier, song: Path) -> None:
    strict = replace(bundle, decision=Decision(thresholds=dict.fromkeys(bundle.genres)))
    found = strict.with_description().predict(song)
    assert found.genre == UNKNOWN
    is_known(found.description)


@pytest.mark.parametrize(("seconds", "start_s", "end_s"), [(70.0, 20.0, 50.0), (30.5, 0.25, 30.25), (12.0, 0.0, 12.0)])
def test_thirty_seconds_at_the_middle_are_described(
    bundle: Classifier, tmp_path: Path, described: list[Any], seconds: float, start_s: float, end_s: float
) -> None:
    y = noise(seconds)
    soundfile.write(tmp_path / "a.wav", y, SR, subtype="FLOAT")
    assert bundle.with_description().predict(tmp_path / "a.wav").description == FIXED
    assert bundle.with_description().predict(y, SR).description == FIXED
    for stretch in described:
        np.testing.assert_array_equal(stretch, y[int(start_s * SR) : int(end_s * SR)])


def test_length_in_a_wrong_header_does_not_move_the_middle(
    bundle: Classifier, tmp_path: Path, described: list[Any]
) -> None:
    y = noise(40.0)
    soundfile.write(tmp_path / "a.wav", y, SR, subtype="FLOAT")
    content = bytearray((tmp_path / "a.wav").read_bytes())
    at = content.index(b"data") + 4
    content[4:8] = content[at : at + 4] = (2**31 - 1).to_bytes(4, "little")  # the recorder did not know its end
    (tmp_path / "a.wav").write_bytes(content)
    assert bundle.with_description().predict(tmp_path / "a.wav").description == FIXED
    np.testing.assert_array_equal(described[0], y[5 * SR : 35 * SR])


def test_middle_is_read_again_if_the_length_changes_meanwhile(
    tmp_path: Path, described: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """FFmpeg may take over in the middle of a damaged file, and then measures its length."""
    y = noise(60.0)
    soundfile.write(tmp_path / "a.wav", y, SR, subtype="FLOAT")
    read = Audio.read

    def measure(audio: Audio, start_s: float, seconds: float | None) -> Any:
        audio.frames = 40 * SR
        return read(audio, start_s, seconds)

    monkeypatch.setattr(Audio, "read", measure)
    with closing(Audio(tmp_path / "a.wav")) as audio:
        assert describe_track(audio) == FIXED
    np.testing.assert_array_equal(described[-1], y[5 * SR : 35 * SR])


def test_file_of_several_parts_is_described_across_them(
    bundle: Classifier, tmp_path: Path, described: list[Any]
) -> None:
    parts = [noise(20.0, seed=i).clip(-0.9, 0.9) for i in range(2)]
    for i, part in enumerate(parts):
        soundfile.write(tmp_path / f"{i}.flac", part, SR)
    joined = tmp_path / "joined.flac"
    joined.write_bytes(b"".join((tmp_path / f"{i}.flac").read_bytes() for i in range(2)))
    assert bundle.with_description().predict(joined).description == FIXED
    np.testing.assert_allclose(described[0], np.concatenate(parts)[5 * SR : 35 * SR], atol=1e-4)


def test_channels_that_cancel_are_described_by_one_of_them(bundle: Classifier, tmp_path: Path) -> None:
    y = chords_and_clicks()
    soundfile.write(tmp_path / "a.wav", np.stack([y, -y], axis=1), known_music.SR)
    is_known(bundle.with_description().predict(tmp_path / "a.wav").description)


@pytest.mark.parametrize(
    ("value", "from_s", "expected"),
    [(0.0, 10, NO_DESCRIPTION), (np.nan, 39, OUT_OF_RANGE), (np.inf, 39, OUT_OF_RANGE), (-1e20, 39, OUT_OF_RANGE)],
)
def test_unusable_middle_has_no_tempo_and_key_but_a_genre(
    bundle: Classifier,
    tmp_path: Path,
    described: list[Any],
    value: float,
    from_s: int,
    expected: MusicDescription,
) -> None:
    y = noise(50.0)  # the genre comes from the beginning
    y[from_s * SR : 40 * SR] = value
    soundfile.write(tmp_path / "a.wav", y, SR, subtype="FLOAT")
    found = bundle.with_description().predict(tmp_path / "a.wav")
    assert (found.error, found.description, found.lasting) == (None, expected, True)
    assert replace(found, description=None) == bundle.predict(tmp_path / "a.wav")
    assert described == []
    assert expected.to_json() == dict(zip(DESCRIPTION_FIELDS, (None, 0, None, 0), strict=True))


@pytest.mark.parametrize("peak", [1.0, 0.99 * MAX_PEAK])
def test_music_far_above_full_scale_is_described_without_warnings(peak: float) -> None:
    y = chords_and_clicks()
    is_known(describe_track(AudioInMemory("a", y * np.float32(peak / np.abs(y).max()), known_music.SR)))


def test_reason_why_the_middle_is_not_described_is_a_note_of_the_description_only() -> None:
    plain = Prediction("a.mp3", "Folk", 1.0, {"Folk": 1.0}, 60.0, "m", None, notes=("its channels cancel",))
    for found, more in ((None, []), (FIXED, []), (NO_DESCRIPTION, []), (UNDECODABLE, [UNDECODABLE.problem])):
        prediction = replace(plain, description=found)
        assert prediction.to_json()["notes"] == ["its channels cancel"]
        expected = ["its channels cancel", *(f"tempo and key: {problem}" for problem in more)]
        assert prediction.to_json(describe=True)["notes"] == expected


def test_too_short_stretch_is_not_described(described: list[Any]) -> None:
    assert describe_track(AudioInMemory("a", noise(0.49), SR)) == NO_DESCRIPTION
    assert describe_track(AudioInMemory("a", noise(0.0), SR)) == NO_DESCRIPTION
    assert describe_track(AudioInMemory("a", noise(0.5), SR)) == FIXED


def fail_in_the_middle(monkeypatch: pytest.MonkeyPatch, error: Exception, cause: Exception | None = None) -> None:
    """Of a file of 50 s, the middle cannot be read."""
    read = Audio.read

    def read_beginning(audio: Audio, start_s: float, seconds: float | None) -> Any:
        if start_s == 10.0:
            raise error from cause
        return read(audio, start_s, seconds)

    monkeypatch.setattr(Audio, "read", read_beginning)


@pytest.mark.parametrize(
    ("error", "cause", "expected"),
    [
        (DecodeError("a.wav", "damaged"), None, UNDECODABLE),
        (DecodeError("a.wav", "damaged"), OSError("the disk is gone"), UNDECODABLE),
        (DecodeError("a.wav", "no memory"), MemoryError(), OUT_OF_MEMORY),
        (MemoryError(), None, OUT_OF_MEMORY),
    ],
)
def test_middle_that_cannot_be_decoded_costs_only_the_description(
    bundle: Classifier,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    cause: Exception | None,
    expected: MusicDescription,
) -> None:
    soundfile.write(tmp_path / "a.wav", noise(50.0), SR)
    plain = bundle.predict(tmp_path / "a.wav")
    fail_in_the_middle(monkeypatch, error, cause)
    found = bundle.with_description().predict(tmp_path / "a.wav")
    assert found.description == expected
    assert replace(found, description=None) == plain


def test_predictions_are_imported_without_a_decoder() -> None:
    """The service's own process uses them, and decodes nothing."""
    code = "import sys, genrelab.predict.prediction; print({'soundfile', 'soxr'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"set()\n"
    assert tuple(FIXED.to_json()) == DESCRIPTION_FIELDS


def test_file_with_an_error_has_the_fields_without_values(bundle: Classifier, tmp_path: Path) -> None:
    (tmp_path / "text.mp3").write_text("no sound\n" * 100)
    found = bundle.with_description().predict(tmp_path / "text.mp3")
    assert found.error and found.description is None
    expected = dict.fromkeys(("tempo_bpm", "tempo_confidence", "key", "key_confidence"))
    assert found.to_json(describe=True) == found.to_json() | expected


def test_open_file_is_described_like_its_path(bundle: Classifier, song: Path) -> None:
    with closing(Audio(song)) as audio:
        assert predict_audio(bundle.with_description(), audio) == predict_file(bundle.with_description(), song)


# --- many files, and the cache ---


def run(bundle: Classifier, *paths: Path, fresh: bool = False) -> list[Prediction]:
    with open_cache(refuse, fresh=fresh) as answers:
        return [replace(p, timeline=()) for p in predict_files(bundle, paths, cache=answers)]


def test_second_run_takes_the_description_from_the_cache(bundle: Classifier, song: Path, decoded: list[str]) -> None:
    bundle = bundle.with_description()
    first = run(bundle, song)
    is_known(first[0].description)
    decoded.clear()
    assert run(bundle, song) == first
    moved = song.rename(song.with_name("moved.flac"))
    assert run(bundle, moved) == [replace(first[0], path=str(moved))]
    assert decoded == []
    assert run(bundle, moved, fresh=True)[0].description == first[0].description
    assert decoded == ["moved.flac"]


def test_description_is_added_to_a_cached_prediction(
    bundle: Classifier, song: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = run(bundle, song)
    found = run(bundle.with_description(), song)
    is_known(found[0].description)
    assert [replace(p, description=None) for p in found] == plain
    monkeypatch.setattr(batch, "describe_file", lambda path: refuse(f"{path} was described again"))
    assert run(bundle.with_description(), song) == found, "both are stored now"
    assert run(bundle, song) == plain, "and serve both requests"
    assert decoded == ["song.flac"], "it was classified once"


@pytest.mark.parametrize("error", [DecodeError("a.wav", "damaged"), MemoryError()])
def test_failure_to_describe_is_not_cached_but_the_answer_is(
    bundle: Classifier, tmp_path: Path, decoded: list[str], error: Exception
) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(50.0), SR)
    with pytest.MonkeyPatch.context() as failing:
        fail_in_the_middle(failing, error)
        for _ in range(2):
            (found,) = run(bundle.with_description(), path)
            assert found.error is None and found.notes == ()
            assert found.description in (UNDECODABLE, OUT_OF_MEMORY)
    (copy,) = run(bundle.with_description(), Path(shutil.copy(path, tmp_path / "copy.wav")))
    assert copy.description is not None and copy.description.problem is None
    assert decoded == ["a.wav"], "the genre is found once"


def test_file_that_disappears_before_it_is_described_keeps_its_answer(
    bundle: Classifier, song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = run(bundle, song)
    sha256_of_audio = batch.sha256_of_audio

    def remove_after_hashing(path: Path) -> str:
        found = sha256_of_audio(path)
        path.unlink()
        return found

    monkeypatch.setattr(batch, "sha256_of_audio", remove_after_hashing)
    assert run(bundle.with_description(), song) == [replace(plain[0], description=UNDECODABLE)]


def test_description_serves_other_models(bundle: Classifier, song: Path, tmp_path: Path, described: list[Any]) -> None:
    other = bundle_for(tmp_path / "other", SamplesView(sr=SR, n_samples=3_000))
    run(bundle.with_description(), song)
    run(other, song)
    found = run(other.with_description(), song)
    assert (found[0].description, len(described)) == (FIXED, 1)


def test_copies_are_described_once(bundle: Classifier, song: Path, described: list[Any]) -> None:
    copy = Path(shutil.copy(song, song.with_name("copy.flac")))
    found = run(bundle.with_description(), song, copy)
    assert [p.description for p in found] == [FIXED] * 2
    assert len(described) == 1, "also before it is written"


def test_error_is_cached_and_has_no_description(bundle: Classifier, tmp_path: Path, decoded: list[str]) -> None:
    (tmp_path / "text.mp3").write_text("no sound\n" * 100)
    first = run(bundle.with_description(), tmp_path / "text.mp3")
    assert run(bundle.with_description(), tmp_path / "text.mp3") == first and first[0].error
    assert decoded == ["text.mp3"]


def change_database(folder: Path, statement: str) -> None:
    with closing(sqlite3.connect(folder / "answers.sqlite")) as database, database:
        database.execute(statement)


def tables(folder: Path) -> set[str]:
    with closing(sqlite3.connect(folder / "answers.sqlite")) as database:
        return {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def test_table_of_descriptions_is_created_with_the_first_one(
    bundle: Classifier, song: Path, cache: Path, decoded: list[str]
) -> None:
    plain = run(bundle, song)
    assert tables(cache) == {"models", "files", "answers", "faults"}, "as in databases of earlier versions"
    found = run(bundle.with_description(), song)
    is_known(found[0].description)
    assert "descriptions" in tables(cache)
    assert (run(bundle.with_description(), song), run(bundle, song)) == (found, plain)
    assert decoded == ["song.flac"]
    assert [p.name for p in cache.iterdir()] == ["answers.sqlite"]


def test_cache_that_another_run_writes_to_is_used_at_once(
    bundle: Classifier, song: Path, cache: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So is one that is read-only, also if an earlier version wrote it."""
    plain = run(bundle, song)
    change_database(cache, "DROP TABLE IF EXISTS descriptions")
    monkeypatch.setattr(sqlite, "LOCK_TIMEOUT_S", 0)
    with closing(sqlite3.connect(cache / "answers.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert run(bundle, song) == plain
    assert decoded == ["song.flac"]


@pytest.mark.parametrize(
    "text",
    [
        "words", "[]", "{}", "null", '{"tempo_bpm": 1.0}', None, b"x",
        '{"tempo_bpm":60.0,"tempo_confidence":2.0,"key":null,"key_confidence":0.0}',
        '{"tempo_bpm":"60","tempo_confidence":0.5,"key":null,"key_confidence":0.0}',
        '{"tempo_bpm":60.0,"tempo_confidence":0.5,"key":3,"key_confidence":0.0}',
        '{"tempo_bpm":60.0,"tempo_confidence":0.5,"key":"C major","key_confidence":null}',
        '{"tempo_bpm":60.0,"tempo_confidence":NaN,"key":"C major","key_confidence":0.5}',
        '{"tempo_bpm":NaN,"tempo_confidence":0.5,"key":null,"key_confidence":0.0}',
        '{"tempo_bpm":-Infinity,"tempo_confidence":0.5,"key":null,"key_confidence":0.0}',
        '{"tempo_bpm":0.0,"tempo_confidence":0.5,"key":null,"key_confidence":0.0}',
        '{"tempo_bpm":60.0,"tempo_confidence":0.5,"key":"H major","key_confidence":0.5}',
        '{"tempo_bpm":60.0,"tempo_confidence":0.5,"key":"C major","key_confidence":0.5,"problem":"words"}',
    ],
)  # fmt: skip
def test_invalid_cached_description_is_ignored(text: str | bytes | None) -> None:
    assert cache_rows.description_from_row(text) is None


def test_description_that_is_damaged_or_of_another_version_is_computed_again(
    bundle: Classifier, song: Path, cache: Path, described: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = bundle.with_description()
    first = run(bundle, song)
    change_database(cache, "UPDATE descriptions SET description = 'words'")
    assert run(bundle, song) == run(bundle, song) == first
    assert len(described) == 2
    monkeypatch.setattr(caches, "__version__", "99")
    assert run(bundle, song) == first
    assert len(described) == 3


@pytest.mark.parametrize("bpm", ["40.0", "240.0", "null"])
def test_limits_of_a_cached_tempo_are_included(bpm: str) -> None:
    text = f'{{"tempo_bpm":{bpm},"tempo_confidence":0.0,"key":"F# minor","key_confidence":1.0}}'
    found = cache_rows.description_from_row(text)
    assert found is not None and found.to_json() == json.loads(text)


def test_oldest_descriptions_are_dropped_beyond_the_limit(
    bundle: Classifier, tmp_path: Path, cache: Path, described: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caches, "MAX_ROWS", 2)
    for i in range(4):
        soundfile.write(tmp_path / f"{i}.wav", noise(1, seed=i), SR)
        run(bundle.with_description(), tmp_path / f"{i}.wav")
    with closing(sqlite3.connect(cache / "answers.sqlite")) as database:
        assert database.execute("SELECT count(*) FROM descriptions").fetchone() == (2,)
    assert len(described) == 4


@pytest.mark.slow
def test_workers_describe_as_this_process_does(tmp_path: Path, song: Path) -> None:
    bundle = bundle_for(tmp_path / "one", SamplesView(sr=SR, n_samples=4_000), ClipSettings(max_clips=2))
    found = list(predict_files(bundle.with_description(), [song], jobs=2))
    is_known(found[0].description)
    assert found == list(predict_files(bundle.with_description(), [song], jobs=1))


@pytest.mark.real
@pytest.mark.slow
def test_real_songs_are_described_within_plausible_limits(shared: Path, bundle: Classifier) -> None:
    songs = sorted((shared / "data" / "assorted").glob("*.mp3"))
    assert songs
    for path in songs:
        found = bundle.with_description().predict(path)
        assert found.error is None and found.description is not None
        bpm = found.description.tempo_bpm
        assert bpm is None or 30 < bpm < 300
        assert found.description.key is not None
