"""An answer is found again wherever the file went; a broken cache costs time and nothing else."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import soundfile

from genrelab.audio.content_hash import sha256_of_audio
from genrelab.core import sqlite
from genrelab.core.config import ClipSettings, SamplesView
from genrelab.core.file_stamp import Stamp, stamp_of
from genrelab.predict import cache as memories
from genrelab.predict.batch import predict_files
from genrelab.predict.cache import PredictionCache, open_cache
from genrelab.predict.cache_database import cache_folder
from genrelab.predict.classifier import Classifier
from genrelab.predict.prediction import Prediction
from tests.support import heard_levels
from tests.support.bundles import SR, bundle_for, noise
from tests.support.heard_levels import FOLK, MUSIC, hear_levels, level_bundle
from tests.support.heard_levels import song as song_of


@pytest.fixture
def song(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "song.wav", noise(1), SR)
    return tmp_path / "song.wav"


def refuse(sentence: str) -> None:
    raise AssertionError(sentence)


def payload(path: Path) -> bytes:
    return bytes.fromhex(sha256_of_audio(path))


def stamp(path: Path) -> Stamp:
    found = stamp_of(path)
    assert found is not None
    return found


def keep(answers: PredictionCache, bundle: Classifier, path: Path) -> Prediction:
    prediction = bundle.predict(path)
    answers.store(bundle, prediction, stamp(path), payload(path))
    return replace(prediction, timeline=())


def test_cached_answer_is_returned_bit_for_bit(bundle: Classifier, song: Path, cache: Path) -> None:
    with open_cache(refuse) as answers:
        assert answers.lookup(bundle, song) is None
        messages = keep(answers, bundle, song)
    with open_cache(refuse) as answers:
        assert answers.lookup(bundle, song) == messages
        with chdir(song.parent):
            assert answers.lookup(bundle, "song.wav") == replace(messages, path="song.wav")
        assert answers.lookup_content(bundle, "elsewhere.wav", payload(song)) == replace(messages, path="elsewhere.wav")
        assert answers.lookup_content(bundle, song, bytes(32)) is None
    assert [p.name for p in cache.iterdir()] == ["answers.sqlite"]


def test_notes_are_cached_with_the_answer(bundle: Classifier, song: Path) -> None:
    with open_cache(refuse) as answers:
        messages = replace(bundle.predict(song), timeline=(), notes=("its channels cancel", 'a "second" note: \ud800'))
        answers.store(bundle, messages, stamp(song), payload(song))
        answers.flush()
        assert answers.lookup(bundle, song) == messages
        assert answers.lookup_content(bundle, "b.wav", payload(song)) == replace(messages, path="b.wav")


def test_unwritten_answer_is_found_by_its_audio(bundle: Classifier, song: Path) -> None:
    with open_cache(refuse) as answers:
        messages = keep(answers, bundle, song)
        assert answers.lookup_content(bundle, song, payload(song)) == messages


def test_answers_of_another_model_are_not_used(bundle: Classifier, song: Path, tmp_path: Path) -> None:
    other = bundle_for(tmp_path / "other", SamplesView(sr=SR, n_samples=3_000))
    with open_cache(refuse) as answers:
        messages = keep(answers, bundle, song)
        answers.flush()
        for another in (other, bundle.with_windows(3), replace(bundle, clips=ClipSettings(clip_s=5))):
            assert answers.lookup(another, song) is None
            assert answers.lookup_content(another, song, payload(song)) is None
        said_by_other = keep(answers, other, song)
        answers.flush()
        assert (answers.lookup(bundle, song), answers.lookup(other, song)) == (messages, said_by_other)


def test_requested_windows_are_cached_apart_from_the_models_own(song: Path, tmp_path: Path) -> None:
    """The same number, but more where two genres are close."""
    own = bundle_for(tmp_path / "bundle", SamplesView(sr=SR, n_samples=4_000), ClipSettings(max_clips=12))
    asked = own.with_windows(12)
    assert asked.clips == own.clips
    for first, second in ((own, asked), (asked, own)):
        with open_cache(refuse, fresh=True) as answers:
            messages = keep(answers, first, song)
        with open_cache(refuse) as answers:
            assert answers.lookup(first, song) == messages
            if first is own:
                assert answers.lookup(second, song) is answers.lookup_content(second, song, payload(song)) is None
            other = dict(zip(own.genres, reversed(messages.probabilities.values()), strict=True))
            answers.store(second, replace(messages, probabilities=other), stamp(song), payload(song))
            assert answers.lookup_content(second, song, payload(song)) != messages, "before it is written, too"
            answers.flush()
            found = answers.lookup(second, song)
            assert found is not None and (found.probabilities, answers.lookup(first, song)) == (other, messages)


def test_tags_and_music_score_are_cached_with_the_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scored = hear_levels(monkeypatch)
    bundle, songs = level_bundle(tmp_path / "bundle"), [tmp_path / "music.wav", tmp_path / "talk.wav"]
    for path, level in zip(songs, (FOLK, -FOLK), strict=True):
        soundfile.write(path, song_of(*[level] * 3), heard_levels.SR, subtype="FLOAT")
    with open_cache(refuse) as answers:
        messages = [keep(answers, bundle.with_any(), path) for path in songs]
    assert [p.music_score for p in messages] == [MUSIC, -MUSIC] and all(p.tags is not None for p in messages)
    scored.clear()
    with open_cache(refuse) as answers:
        assert [answers.lookup(bundle, path) for path in songs] == messages
        assert [answers.lookup_content(bundle, path, payload(path)) for path in songs] == messages
        found = list(predict_files(bundle, songs, cache=answers))
        assert [(p.genre, p.unknown_because) for p in found] == [("Folk", None), ("unknown", "not_music")]
        found = list(predict_files(bundle.with_any(), songs, cache=answers))
    assert found == messages and scored == [], "the gate is applied to what is remembered"


def test_answers_of_early_stops_are_cached_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hear_levels(monkeypatch)
    own = level_bundle(tmp_path / "bundle")
    soundfile.write(tmp_path / "song.wav", song_of(FOLK, FOLK, FOLK), heard_levels.SR, subtype="FLOAT")
    with open_cache(refuse) as answers:
        messages = keep(answers, own, tmp_path / "song.wav")
        answers.flush()
        for other in (own.with_windows(10), own.with_windows("all"), replace(own, stops_early=False)):
            assert answers.lookup(other, tmp_path / "song.wav") is None
        assert answers.lookup(own.with_any(), tmp_path / "song.wav") == messages


@pytest.mark.parametrize("change", ["tags = NULL", "tags = x'00'", "tags = zeroblob(400)", "tags = 'rock'"])
def test_row_without_valid_tags_is_ignored(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    hear_levels(monkeypatch)
    bundle, path = level_bundle(tmp_path / "bundle"), tmp_path / "song.wav"
    soundfile.write(path, song_of(FOLK), heard_levels.SR, subtype="FLOAT")
    with open_cache(refuse) as answers:
        messages = keep(answers, bundle, path)
    with sqlite3.connect(cache / "answers.sqlite") as database:
        database.execute(f"UPDATE answers SET {change}")
    database.close()
    with open_cache(refuse) as answers:
        assert answers.lookup(bundle, path) is answers.lookup_content(bundle, path, payload(path)) is None
        keep(answers, bundle, path)
        answers.flush()
        assert answers.lookup(bundle, path) == messages


def test_answers_of_another_genrelab_version_are_not_used(
    bundle: Classifier, song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_cache(refuse) as answers:
        keep(answers, bundle, song)
        answers.flush()
        monkeypatch.setattr(memories, "__version__", "9.9")
        assert answers.lookup(bundle, song) is None


def test_changed_file_is_not_found_in_the_cache(bundle: Classifier, song: Path) -> None:
    with open_cache(refuse) as answers:
        keep(answers, bundle, song)
        answers.flush()
        before = song.stat()
        os.utime(song, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
        assert answers.lookup(bundle, song) is None
        os.utime(song, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert answers.lookup(bundle, song) is None, "it was changed, whatever its time says"
        assert answers.lookup_content(bundle, song, payload(song)) is not None
        answers.rekey(song)
        answers.flush()
        assert answers.lookup(bundle, song) is not None
        song.write_bytes(song.read_bytes() + b"\0")
        os.utime(song, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert answers.lookup(bundle, song) is None
        song.unlink()
        assert answers.lookup(bundle, song) is None


def test_file_is_still_found_after_its_tags_were_written(bundle: Classifier, song: Path) -> None:
    with open_cache(refuse) as answers:
        messages = keep(answers, bundle, song)
        content = song.read_bytes()
        song.write_bytes(content + b"LIST\x0a\0\0\0INFOIGNR\0\0")
        song.write_bytes(
            song.read_bytes()[:4] + (song.stat().st_size - 8).to_bytes(4, "little") + song.read_bytes()[8:]
        )
        answers.rekey(song)
        answers.flush()
        assert song.stat().st_size > len(content)
        assert answers.lookup(bundle, song) == messages
        soundfile.write(song, noise(1, seed=1), SR)  # other audio: nothing was messages of it
        answers.rekey(song)
        answers.flush()
        assert answers.lookup(bundle, song) is None
        answers.rekey(song.with_name("missing.wav"))


def test_permanent_errors_are_cached_and_temporary_ones_are_not(bundle: Classifier, tmp_path: Path) -> None:
    (tmp_path / "text.mp3").write_text("no sound\n" * 100)
    with open_cache(refuse) as answers:
        messages = keep(answers, bundle, tmp_path / "text.mp3")
        assert messages.error is not None
        answers.flush()
        assert answers.lookup(bundle, tmp_path / "text.mp3") == messages
        assert answers.lookup_content(bundle, "other.aac", payload(tmp_path / "text.mp3")) is None
        passing = replace(messages, lasting=False)
        os.utime(tmp_path / "text.mp3", (1, 1))
        answers.store(bundle, passing, stamp(tmp_path / "text.mp3"), bytes(32))
        answers.flush()
        assert answers.lookup(bundle, tmp_path / "text.mp3") is None


def fault_of(prediction: Prediction, path: Path) -> Prediction:
    return Prediction(str(path), None, None, {}, None, prediction.model, "nothing in it can be decoded")


def test_cached_error_applies_to_its_own_file_only(bundle: Classifier, song: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.wav"
    other.write_bytes(song.read_bytes())
    with open_cache(refuse) as answers:
        messages = keep(answers, bundle, song)
        fault = fault_of(messages, other)
        answers.store(bundle, fault, stamp(other), payload(other))
        answers.flush()
        assert (answers.lookup(bundle, song), answers.lookup(bundle, other)) == (messages, fault)
        keep(answers, bundle, other)
        answers.flush()
        assert answers.lookup(bundle, other) == replace(messages, path=str(other)), "it could be classified after all"
        answers.store(bundle, fault, stamp(other), None)
        answers.flush()
        assert (answers.lookup(bundle, song), answers.lookup(bundle, other)) == (messages, fault)


def test_fresh_cache_is_empty_and_replaces_previous_answers(bundle: Classifier, song: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.wav"
    soundfile.write(other, noise(1, seed=1), SR)
    with open_cache(refuse) as answers:
        messages = keep(answers, bundle, song)
        answers.store(bundle, fault_of(messages, other), stamp(other), None)
        wrong = replace(messages, probabilities=dict(zip(bundle.genres, (1.0, 0.0, 0.0), strict=True)))
        answers.store(bundle, wrong, stamp(song), payload(song))
    with open_cache(refuse, fresh=True) as answers:
        assert answers.lookup(bundle, song) is answers.lookup(bundle, other) is None
        assert answers.lookup_content(bundle, song, payload(song)) is None
        said_of_other = keep(answers, bundle, other)
        keep(answers, bundle, song)
        assert answers.lookup_content(bundle, song, payload(song)) is None
    with open_cache(refuse) as answers:
        assert (answers.lookup(bundle, song), answers.lookup(bundle, other)) == (messages, said_of_other)


def test_answers_are_written_in_batches_after_a_short_time(
    bundle: Classifier, song: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(memories, "time", SimpleNamespace(monotonic=lambda: now))
    with open_cache(refuse) as one, open_cache(refuse) as two:
        keep(one, bundle, song)
        now += 0.999 * memories.FLUSH_INTERVAL_S
        one.flush_if_due()
        assert two.lookup(bundle, song) is None, "many at once, not each by itself"
        now += 0.002 * memories.FLUSH_INTERVAL_S
        one.flush_if_due()
        assert two.lookup(bundle, song) is not None


def test_file_name_that_is_not_utf8_is_cached(bundle: Classifier, song: Path) -> None:
    strange = os.fsdecode(os.fsencode(song.parent) + b"/\xff\nb.wav")
    try:
        song.rename(strange)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with open_cache(refuse) as answers:
        messages = keep(answers, bundle, Path(strange))
        answers.flush()
        assert answers.lookup(bundle, strange) == messages


def test_oldest_answers_are_dropped_beyond_the_limit(
    bundle: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memories, "MAX_ROWS", 3)
    paths = [tmp_path / f"{i}.wav" for i in range(5)]
    with open_cache(refuse) as answers:
        for i, path in enumerate(paths):
            soundfile.write(path, noise(1, seed=i), SR)
            keep(answers, bundle, path)
    with open_cache(refuse) as answers:
        assert [answers.lookup(bundle, p) is not None for p in paths] == [False, False, True, True, True]
        assert answers.lookup_content(bundle, paths[0], payload(paths[0])) is None


# --- what may go wrong ---


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + bytes(4_000)])
def test_damaged_cache_is_moved_aside(bundle: Classifier, song: Path, cache: Path, content: bytes) -> None:
    messages: list[str] = []
    cache.mkdir()
    (cache / "answers.sqlite").write_bytes(content)
    with open_cache(messages.append) as answers:
        keep(answers, bundle, song)
        answers.flush()
        assert answers.lookup(bundle, song) is not None
    assert (cache / "answers-aside.sqlite").read_bytes() == content
    assert len(messages) == 1 and "is damaged: it was moved to answers-aside.sqlite" in messages[0]


@pytest.mark.parametrize("version", [1, 3, 99])
def test_cache_of_another_version_is_moved_aside(bundle: Classifier, song: Path, cache: Path, version: int) -> None:
    with open_cache(refuse) as answers:
        keep(answers, bundle, song)
    with sqlite3.connect(cache / "answers.sqlite") as database:
        database.execute(f"PRAGMA user_version = {version}")
    database.close()
    messages: list[str] = []
    with open_cache(messages.append) as answers:
        assert answers.lookup(bundle, song) is None
    assert len(messages) == 1 and f"another version of genrelab (tables {version}, not" in messages[0]
    assert (cache / "answers-aside.sqlite").is_file()


def test_empty_cache_file_is_initialised(bundle: Classifier, song: Path, cache: Path) -> None:
    cache.mkdir()
    (cache / "answers.sqlite").touch()  # as a kill leaves it
    with open_cache(refuse) as answers:
        keep(answers, bundle, song)
        answers.flush()
        assert answers.lookup(bundle, song) is not None


def test_damage_found_later_is_reported_once(bundle: Classifier, song: Path, cache: Path) -> None:
    messages: list[str] = []
    with open_cache(refuse) as answers:
        keep(answers, bundle, song)
    with open_cache(messages.append) as answers:
        content = (cache / "answers.sqlite").read_bytes()
        (cache / "answers.sqlite").write_bytes(content[:4_096] + b"\xff" * (len(content) - 4_096))
        assert answers.lookup(bundle, song) is None
        assert answers.lookup(bundle, song) is None
        keep(answers, bundle, song)
        answers.flush()
    assert len(messages) == 1 and "moved to answers-aside.sqlite" in messages[0] and "not cached" in messages[0]


@pytest.mark.parametrize(
    "change",
    [
        "probabilities = x'00'",
        "probabilities = zeroblob(24)",
        "probabilities = 'words'",
        "duration_s = 'long'",
        "notes = 'words'",
        "notes = '[1]'",
        "notes = x'00'",
    ],
)
def test_inconsistent_row_is_ignored(bundle: Classifier, song: Path, cache: Path, change: str) -> None:
    with open_cache(refuse) as answers:
        keep(answers, bundle, song)
    with sqlite3.connect(cache / "answers.sqlite") as database:
        database.execute(f"UPDATE answers SET {change}")
    database.close()
    with open_cache(refuse) as answers:
        assert answers.lookup(bundle, song) is None
        assert answers.lookup_content(bundle, song, payload(song)) is None
        keep(answers, bundle, song)
        answers.flush()
        assert answers.lookup(bundle, song) is not None


def test_cache_folder_that_cannot_be_created_is_reported(
    bundle: Classifier, song: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GENRELAB_CACHE", str(song / "below a file"))
    with open_cache() as answers:
        keep(answers, bundle, song)
        answers.flush()
        answers.rekey(song)
        assert answers.lookup(bundle, song) is None
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "GENRELAB_CACHE" in err and "Not a directory" in err


def test_waiting_for_a_locked_cache_ends(
    bundle: Classifier, song: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "LOCK_TIMEOUT_S", 0)
    messages: list[str] = []
    with open_cache(messages.append) as answers:
        other = sqlite3.connect(cache / "answers.sqlite", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        keep(answers, bundle, song)
        answers.flush()
        assert answers.lookup(bundle, song) is None
        other.close()
    assert len(messages) == 1 and "locked" in messages[0] and "not cached" in messages[0]
    assert not (cache / "answers-aside.sqlite").exists()


def test_concurrent_runs_keep_both_their_answers(bundle: Classifier, song: Path, tmp_path: Path) -> None:
    with open_cache(refuse) as one, open_cache(refuse) as two:
        for i in range(10):
            path = tmp_path / f"{i}.wav"
            soundfile.write(path, noise(1, seed=i), SR)
            for answers in (one, two)[:: 1 if i % 2 else -1]:
                keep(answers, bundle, path)
                answers.flush()
        assert all(m.lookup(bundle, tmp_path / f"{i}.wav") is not None for i in range(10) for m in (one, two))


KILLED = """
import os, signal, sys
from genrelab.core.file_stamp import Stamp
from genrelab.predict.cache import open_cache
from genrelab.predict.classifier import load_bundle
from genrelab.predict.prediction import Prediction
bundle = load_bundle(sys.argv[1])
stamp = Stamp(bytes(32), True)
answers = open_cache()
for i in range(10**6):
    p = {g: 0.5 if g == "Folk" else 0.25 for g in bundle.genres}
    messages = Prediction(f"/{i}.mp3", "Folk", 0.5, p, 30.0, bundle.name, None)
    answers.store(bundle, messages, stamp, i.to_bytes(32, "big"))
    answers.flush()
    if i == 20:
        print("ready", flush=True)
"""


def test_kill_keeps_what_was_written(bundle: Classifier, cache: Path) -> None:
    words = [sys.executable, "-c", KILLED, str(bundle.path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"}) as process:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGKILL)
    with open_cache(refuse) as answers:
        found = [answers.lookup_content(bundle, f"/{i}.mp3", i.to_bytes(32, "big")) for i in range(21)]
        assert all(f is not None and f.genre == "Folk" for f in found)
    with sqlite3.connect(cache / "answers.sqlite") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


# --- where it stands ---


def test_cache_folder_follows_the_platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.setenv("GENRELAB_CACHE", "")
    monkeypatch.setattr(Path, "home", lambda: Path("/home/me"))
    monkeypatch.setattr(memories.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/mine")
    assert cache_folder() == Path("/var/mine/genrelab")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == Path("/home/me/.cache/genrelab")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path("/home/me/.cache/genrelab")
    monkeypatch.setattr(memories.sys, "platform", "darwin")
    assert cache_folder() == Path("/home/me/Library/Caches/genrelab")
    monkeypatch.setattr(memories.sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", "/local")
    assert cache_folder() == Path("/local/genrelab/Cache")
