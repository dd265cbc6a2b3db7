"""The embedding of a file is computed once, wherever it is moved; a broken cache only costs time."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from pathlib import Path

import mutagen
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from genrelab import __version__
from genrelab.audio.clips import read_clips
from genrelab.audio.content_hash import sha256_of_audio
from genrelab.core import sqlite
from genrelab.core.config import EMBEDDING_CLIPS
from genrelab.core.processes import DECODER_CRASHED
from genrelab.core.progress import ignore
from genrelab.datasets.synth_voices import SR as SONG_SR
from genrelab.features.fingerprint import landmarks, unpack
from genrelab.features.views import compute
from genrelab.runs import embedding_cache
from genrelab.runs.embedding_cache import (
    VIEW,
    Embedded,
    EmbeddingCache,
    Prints,
    embed_file,
    embed_files,
)
from tests.support.changing_files import ChangingFiles, audio_in, pretend_fat
from tests.support.labelled_music import SR, embed_by_code, write_track
from tests.support.songs import Samples, song


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GENRELAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def processed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    return embed_by_code(monkeypatch)


@pytest.fixture
def tracks(tmp_path: Path) -> list[Path]:
    return [write_track(tmp_path / "music" / f"{i}.flac", 0, i, by="Ann") for i in range(4)]


def refuse(sentence: str) -> None:
    raise AssertionError(sentence)


def embed(paths: list[Path], notify=refuse) -> list[Embedded]:  # type: ignore[no-untyped-def]
    return embed_files(paths, jobs=1, notify=notify, progress=ignore)


def values(found: list[Embedded]) -> list[list[float] | None]:
    return [None if one.x is None else one.x.tolist() for one in found]


# --- what is computed ---


def test_embedding_of_a_file_is_the_mean_over_its_windows(tmp_path: Path) -> None:
    """With the real networks."""
    soundfile.write(tmp_path / "a.wav", song("Rock", 1, 1, 8.0), SONG_SR)
    stamp, found = embed_file(tmp_path / "a.wav")
    rows = [w.x for c in read_clips(tmp_path / "a.wav", EMBEDDING_CLIPS) for w in compute(VIEW, c.y, c.sr)]
    assert len(rows) == 3 and stamp is not None and found.x is not None and len(found.payload or b"") == 32
    np.testing.assert_allclose(found.x, np.mean(rows, axis=0), atol=1e-6)


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Networks that answer nothing; gets the peak of each window."""
    peaks: list[float] = []

    def embed_window(y: Samples, view: object) -> Samples:
        peaks.append(float(np.abs(y).max()))
        return np.zeros(VIEW.shape, np.float32)

    monkeypatch.setattr("genrelab.features.embedding.embed_window", embed_window)
    monkeypatch.setattr(
        embedding_cache,
        "map_in_processes",
        lambda function, items, jobs: ((i, function(path)) for i, path in enumerate(items)),
    )
    return peaks


@pytest.mark.parametrize(("seconds", "starts"), [(8.0, [0.0]), (31.0, [0.0]), (75.0, [0.0, 30.0, 45.0])])
def test_clips_that_prepare_would_use_are_fingerprinted(
    tmp_path: Path, deaf: list[float], seconds: float, starts: list[float]
) -> None:
    y = np.resize(song("Rock", 1, 1, 8.0), round(seconds * SONG_SR))
    soundfile.write(tmp_path / "a.wav", y, SONG_SR, subtype="FLOAT")
    (first,), (again,) = embed([tmp_path / "a.wav"]), embed([tmp_path / "a.wav"])
    assert [start_s for start_s, _ in first.prints] == starts and again.cached and again.prints == first.prints
    for start_s, marks in again.prints:
        part = y[round(start_s * SONG_SR) :][: len(y) if len(starts) == 1 else 30 * SONG_SR]
        assert len(unpack(marks)) > 15 * len(part) / SONG_SR and (unpack(marks) == landmarks(part, SONG_SR)).all()


@pytest.mark.parametrize("value", [np.nan, 1e30])
def test_file_that_cannot_be_read_between_its_windows_is_used(tmp_path: Path, deaf: list[float], value: float) -> None:
    """Windows of 100 s begin at 0, 27, 48, 69 and 87 s; clips at 0, 30 and 60 s."""
    y = np.resize(song("Rock", 1, 1, 8.0), 100 * SONG_SR).copy()
    y[60 * SONG_SR :][:100] = value
    soundfile.write(tmp_path / "a.wav", y, SONG_SR, subtype="FLOAT")
    (found,) = embed([tmp_path / "a.wav"])
    assert len(deaf) == 5 and max(deaf) <= 1 and found.error is None
    assert [start_s for start_s, _ in found.prints] == [0.0, 30.0]


@pytest.mark.slow
def test_worker_processes_give_the_same_embeddings(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.wav" for i in range(3)]
    for i, path in enumerate(paths):
        soundfile.write(path, song("Rock", i, i, 3.0), SONG_SR)
    steps: list[tuple[int, int]] = []
    found = embed_files(paths, jobs=2, notify=refuse, progress=lambda done, total: steps.append((done, total)))
    assert values(found) == values([embed_file(path)[1] for path in paths])
    assert [one.prints for one in found] == [embed_file(path)[1].prints for path in paths] and found[0].prints
    assert steps == [(i, 3) for i in range(4)]
    assert values(embed(paths)) == values(found) and all(one.cached for one in embed(paths))


def test_results_are_in_the_order_of_the_files(tracks: list[Path], processed: list[int]) -> None:
    steps: list[tuple[int, int]] = []
    embed(tracks[1:2])
    paths = [tracks[3], tracks[1], tracks[0], tracks[2]]
    found = embed_files(paths, jobs=1, notify=refuse, progress=lambda done, total: steps.append((done, total)))
    assert values(found) == [embed_file(path)[1].x.tolist() for path in paths]  # type: ignore[union-attr]
    assert [one.cached for one in found] == [False, True, False, False]
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)], "what is known is done at once"
    assert embed([]) == []


def test_file_that_cannot_be_used_has_the_reason(tmp_path: Path, processed: list[int]) -> None:
    (tmp_path / "text.mp3").write_text("no sound\n" * 100)
    soundfile.write(tmp_path / "silent.wav", np.zeros(SR), SR)
    soundfile.write(tmp_path / "short.wav", np.full(SR // 4, 0.11), SR)
    paths = [tmp_path / name for name in ("text.mp3", "silent.wav", "short.wav", "missing.mp3")]
    for _ in range(2):
        found = embed(paths)
        assert [one.x for one in found] == [None] * 4 and not any(one.cached for one in found)
        assert [str(one.error).split(":")[0] for one in found[1:]] == [
            *("silent", "too short", "no such file"),
        ]
        assert found[0].error


def test_file_that_crashes_a_worker_has_an_error(
    tracks: list[Path], processed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        embedding_cache,
        "map_in_processes",
        lambda function, items, jobs: ((i, None if i == 1 else function(p)) for i, p in enumerate(items)),
    )
    found = embed(tracks)
    assert [one.error for one in found] == [None, DECODER_CRASHED, None, None]
    assert [one.cached for one in embed(tracks)] == [True, False, True, True]


# --- what is found again ---


def test_second_run_computes_nothing(tracks: list[Path], processed: list[int], cache: Path) -> None:
    first = embed(tracks)
    assert len(processed) == 4 and not any(one.cached for one in first)
    processed.clear()
    second = embed(tracks)
    assert processed == [] and all(one.cached for one in second)
    assert values(second) == values(first) and [o.payload for o in second] == [o.payload for o in first]
    assert [p.name for p in cache.iterdir()] == ["embeddings.sqlite"]


def test_renamed_and_retagged_files_are_found_by_their_audio(
    tracks: list[Path], processed: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = embed(tracks)
    processed.clear()
    tracks[0] = tracks[0].rename(tmp_path / "moved.flac")
    tags = mutagen.File(tracks[1])
    tags["genre"], tags["title"] = ["Blues"], ["A longer title than before " * 200]
    tags.save()
    assert values(embed(tracks)) == values(first) and processed == []
    monkeypatch.setattr(embedding_cache, "sha256_of_audio", lambda _: pytest.fail("hashed again"))
    assert values(embed(tracks)) == values(first) and processed == [], "by now their new names are known"


def test_files_are_hashed_by_workers(
    tracks: list[Path], processed: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those whose audio turns out to be known; one that cannot have changed is not passed to a worker."""
    first = embed(tracks)
    processed.clear()
    tracks[0] = tracks[0].rename(tmp_path / "moved.flac")
    hash_of, given = embedding_cache.sha256_of_audio, list[Path]()

    def by_workers(function, items, *, jobs):  # type: ignore[no-untyped-def]
        with monkeypatch.context() as worker:
            worker.setattr(embedding_cache, "sha256_of_audio", hash_of)
            given.extend(items)
            yield from [(i, function(item)) for i, item in enumerate(items)]

    monkeypatch.setattr(embedding_cache, "sha256_of_audio", lambda _: pytest.fail("hashed in this process"))
    monkeypatch.setattr(embedding_cache, "map_in_processes", by_workers)
    found = embed(tracks)
    assert values(found) == values(first) and all(one.cached for one in found)
    assert given == tracks[:1] and processed == []


def hash_and_rewrite(path: Path) -> str:
    """The hash of a file's audio, which changes as soon as it is known."""
    found = sha256_of_audio(path)
    write_track(path, 0, 9)
    os.utime(path, ns=(1, 1))
    return found


def test_known_audio_of_a_file_that_changes_meanwhile_is_not_stored(
    tracks: list[Path], processed: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed(tracks[:1])
    copy = Path(shutil.copy(tracks[0], tmp_path / "copy.flac"))
    with monkeypatch.context() as patch:
        patch.setattr(embedding_cache, "sha256_of_audio", hash_and_rewrite)
        assert embed([copy])[0].cached
    assert not embed([copy])[0].cached and processed == [1_000, 1_009]


@pytest.mark.parametrize("fat", [False, True])
@pytest.mark.parametrize("steps", [100, pytest.param(1_000, marks=pytest.mark.slow)])
def test_random_changes_never_give_the_embedding_of_other_audio(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int, fat: bool
) -> None:
    computed: list[str] = []

    def embedding_of(audio: str) -> NDArray[np.float32]:
        return np.resize(np.frombuffer(bytes.fromhex(audio), np.uint8).astype(np.float32), VIEW.shape[0])

    def prints_of(audio: str) -> Prints:
        return tuple((30.0 * i, bytes.fromhex(audio)[: 3 * i]) for i in range(int(audio[0], 16)))

    def compute(path: Path) -> tuple[NDArray[np.float32], Prints]:
        computed.append(audio_in(path))
        return embedding_of(computed[-1]), prints_of(computed[-1])

    monkeypatch.setattr(embedding_cache, "_embed_and_fingerprint", compute)
    monkeypatch.setattr(
        embedding_cache,
        "map_in_processes",
        lambda function, items, jobs: ((i, function(p)) for i, p in enumerate(items)),
    )
    if fat:
        pretend_fat(monkeypatch)
    files = ChangingFiles(tmp_path / "music", steps, ("short", "middle") if fat else ("short", "middle", "long"))
    requested = 0
    for step in range(steps):
        files.change()
        paths = [p for p in files.names if files.rng.random() < 0.5]
        found = embed_files(paths, jobs=1, notify=refuse, progress=ignore)
        for path, one in zip(paths, found, strict=True):
            assert one.x is not None and (one.x == embedding_of(audio_in(path))).all(), f"step {step}: {path.name}"
            assert one.prints == prints_of(audio_in(path)), f"step {step}: {path.name}"
        requested += len(paths)
    assert steps / 10 < len(computed) < requested / 2, "else nothing changes, or the cache is useless"


def test_changed_file_is_computed_again(tracks: list[Path], processed: list[int]) -> None:
    first = embed(tracks)
    processed.clear()
    before = tracks[2].stat()
    write_track(tracks[2], 0, 9, by="Ann")
    os.utime(tracks[2], ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    second = embed(tracks)
    assert processed == [1_009] and [one.cached for one in second] == [True, True, False, True]
    assert second[2].payload != first[2].payload and values(second)[2] != values(first)[2]


def test_file_that_changes_while_it_is_read_is_not_stored(
    tracks: list[Path], processed: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the result for the new audio would be found for the old one."""
    copy = Path(shutil.copy(tracks[0], tmp_path / "copy.flac"))
    with monkeypatch.context() as patch:
        patch.setattr(embedding_cache, "sha256_of_audio", hash_and_rewrite)
        (changed,) = embed(tracks[:1])
    assert processed == [1_009] and changed.error is None
    assert [one.cached for one in embed([tracks[0], copy])] == [False, False] and processed == [1_009, 1_009, 1_000]


def test_other_windows_or_another_view_are_computed_again(
    tracks: list[Path], processed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    embed(tracks)
    processed.clear()
    monkeypatch.setattr(embedding_cache, "WHAT", "something else")
    embed(tracks)
    assert len(processed) == 4


def test_key_names_version_view_windows_and_clips() -> None:
    """Results of another version are not used."""
    version, view, *clips = json.loads(embedding_cache.WHAT)
    assert (version, view["name"]) == (__version__, VIEW.name)
    assert [(c["clip_s"], c["max_clips"]) for c in clips] == [(3.0, embedding_cache.CLIPS.max_clips), (30.0, 10)]


def test_interrupted_run_keeps_what_was_computed(
    tracks: list[Path], processed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    map_here = embedding_cache.map_in_processes

    def interrupted(function, items, *, jobs):  # type: ignore[no-untyped-def]
        for i, result in map_here(function, items, jobs=jobs):
            if i == 3:
                raise KeyboardInterrupt
            yield i, result

    with monkeypatch.context() as patch:
        patch.setattr(embedding_cache, "map_in_processes", interrupted)
        with pytest.raises(KeyboardInterrupt):
            embed(tracks)
    processed.clear()
    assert [one.cached for one in embed(tracks)] == [True, True, True, False] and processed == [1_003]


def test_embeddings_are_written_while_others_are_computed(
    tracks: list[Path], processed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill loses none that was computed, and another run can write at once."""
    monkeypatch.setattr(sqlite, "LOCK_TIMEOUT_S", 0)
    with EmbeddingCache(refuse) as mine:
        for i, path in enumerate(tracks[:3]):
            mine.store(path, *embed_file(path))
            with EmbeddingCache(refuse) as theirs:
                assert [theirs.lookup(p) is not None for p in tracks] == [k <= i for k in range(4)]
                theirs.store(tracks[3], *embed_file(tracks[3])) if i == 2 else None
    with EmbeddingCache(refuse) as last:
        assert all(last.lookup(p) is not None for p in tracks)


# --- what may go wrong ---


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + bytes(4_000)])
def test_damaged_cache_is_moved_aside(tracks: list[Path], processed: list[int], cache: Path, content: bytes) -> None:
    cache.mkdir()
    (cache / "embeddings.sqlite").write_bytes(content)
    messages: list[str] = []
    assert all(one.error is None for one in embed(tracks, messages.append))
    assert len(messages) == 1 and "is damaged: it was moved to embeddings-aside.sqlite" in messages[0]
    assert (cache / "embeddings-aside.sqlite").read_bytes() == content
    assert all(one.cached for one in embed(tracks))


def test_later_damage_is_moved_aside_and_reported_once(tracks: list[Path], processed: list[int], cache: Path) -> None:
    embed(tracks)
    content = (cache / "embeddings.sqlite").read_bytes()
    (cache / "embeddings.sqlite").write_bytes(content[:4_096] + b"\xff" * (len(content) - 4_096))
    messages: list[str] = []
    processed.clear()
    assert all(one.error is None for one in embed(tracks, messages.append)) and len(processed) == 4
    assert len(messages) == 1 and "moved to embeddings-aside.sqlite" in messages[0]
    embed(tracks)
    assert all(one.cached for one in embed(tracks)), "the next run starts a new one"


def test_cache_of_another_version_is_moved_aside(tracks: list[Path], processed: list[int], cache: Path) -> None:
    embed(tracks)
    with sqlite3.connect(cache / "embeddings.sqlite") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    messages: list[str] = []
    assert not any(one.cached for one in embed(tracks, messages.append))
    assert len(messages) == 1 and "(tables 99, not" in messages[0]


def test_cache_that_cannot_be_used_only_costs_time(
    tracks: list[Path], processed: list[int], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = values(embed(tracks))
    cache.rename(tmp_path / "elsewhere")
    cache.write_text("a file where the folder should be")
    for _ in range(2):
        messages: list[str] = []
        processed.clear()
        assert values(embed(tracks, messages.append)) == expected and len(processed) == 4
        assert len(messages) == 1 and "cache cannot be used" in messages[0] and "set GENRELAB_CACHE" in messages[0]


def test_locked_cache_only_costs_time(
    tracks: list[Path], processed: list[int], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed(tracks[:1])
    monkeypatch.setattr(sqlite, "LOCK_TIMEOUT_S", 0)
    messages: list[str] = []
    with sqlite3.connect(cache / "embeddings.sqlite", isolation_level=None) as database:
        database.execute("BEGIN EXCLUSIVE")
        assert all(one.error is None for one in embed(tracks, messages.append))
        database.execute("ROLLBACK")
    database.close()
    assert len(messages) == 1 and "locked" in messages[0]
    assert embed(tracks[:1])[0].cached


@pytest.mark.parametrize(
    "change",
    [
        *("x = x'00'", "x = zeroblob(4)", "x = 'words'"),
        *("prints = x'00'", "prints = zeroblob(13)", "prints = 'words'"),
        *("prints = x'000000000000000006000000010203'", "prints = x'000000000000000002000000' || x'0102'"),
    ],
)
def test_inconsistent_row_is_computed_again(tracks: list[Path], processed: list[int], cache: Path, change: str) -> None:
    expected = values(embed(tracks))
    with sqlite3.connect(cache / "embeddings.sqlite") as database:
        database.execute(f"UPDATE embeddings SET {change}")
    database.close()
    assert values(embed(tracks)) == expected
    assert all(one.cached for one in embed(tracks))
