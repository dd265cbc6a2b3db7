"""Whatever happens to files, the cache never gives the answer of another file's audio."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from genrelab.audio import content_hash
from genrelab.core import file_stamp
from genrelab.core.file_stamp import stamp_of
from genrelab.predict import batch
from genrelab.predict import cache as memories
from genrelab.predict.batch import predict_files
from genrelab.predict.cache import open_cache
from genrelab.predict.classifier import Classifier
from genrelab.predict.prediction import Prediction
from tests.support.bundles import GENRES
from tests.support.changing_files import OLD, ChangingFiles, audio_in, pretend_fat, wav


def answer_for(path: Path, audio: str) -> Prediction:
    """An answer that names the audio; to one in eight an error does."""
    if audio[0] in "01":
        return Prediction(str(path), None, None, {}, None, "linear", f"cannot be decoded: {audio}")
    numbers = np.array([int(audio[8 * i : 8 * i + 8], 16) + 1.0 for i in range(len(GENRES))])
    p = dict(zip(GENRES, (numbers / numbers.sum()).tolist(), strict=True))
    best = max(p, key=lambda genre: p[genre])
    return Prediction(str(path), best, p[best], p, 1.0, "linear", None, notes=(audio,))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The audio of every file that is not answered from the cache."""
    found: list[str] = []

    def predict(_: Classifier, path: Path) -> Prediction:
        found.append(audio_in(path))
        return answer_for(path, found[-1])

    monkeypatch.setattr(batch, "predict_file", predict)
    return found


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every file whose audio is hashed."""
    found: list[Path] = []

    def sha256(path: Path) -> str:
        found.append(path)
        return content_hash.sha256_of_audio(path)

    for module in (batch, memories):
        monkeypatch.setattr(module, "sha256_of_audio", sha256)
    return found


def answers_of(bundle: Classifier, paths: list[Path]) -> list[Prediction]:
    with open_cache() as cache:
        return list(predict_files(bundle, paths, jobs=1, cache=cache))


# --- at random ---


def check_random_changes(bundle: Classifier, files: ChangingFiles, steps: int, decoded: list[str]) -> None:
    answered = 0
    for step in range(steps):
        for _ in range(files.rng.integers(3)):
            files.change()
        paths = [p for p in files.names if files.rng.random() < 0.5]
        for path, answer in zip(paths, answers_of(bundle, paths), strict=True):
            assert answer == answer_for(path, audio_in(path)), f"step {step}: {path.name}"
        answered += len(paths)
        if step % 10 == 9:  # as `tag` does after it wrote a file
            with open_cache() as cache:
                cache.rekey(files.names[0])
    assert len(decoded) < answered / 2, "else the cache is of no use"
    assert len(decoded) > steps / 10, "else nothing changes"


STEPS = [200, pytest.param(1_000, marks=pytest.mark.slow)]


@pytest.mark.parametrize("steps", STEPS)
def test_random_changes_never_give_the_answer_of_other_audio(
    bundle: Classifier, tmp_path: Path, decoded: list[str], steps: int
) -> None:
    check_random_changes(bundle, ChangingFiles(tmp_path / "a", steps, ("short", "middle", "long")), steps, decoded)


@pytest.mark.parametrize("steps", STEPS)
def test_random_changes_where_there_are_no_change_times_and_inodes(
    bundle: Classifier, tmp_path: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    pretend_fat(monkeypatch)
    check_random_changes(bundle, ChangingFiles(tmp_path / "a", steps, ("short", "middle")), steps, decoded)


@pytest.mark.parametrize("steps", [60, pytest.param(500, marks=pytest.mark.slow)])
def test_files_that_change_while_they_are_decoded_are_not_cached(
    bundle: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    files, earlier = ChangingFiles(tmp_path / "a", steps, ("short", "middle", "long")), tmp_path / "earlier.wav"
    changing = True

    def predict(_: Classifier, path: Path) -> Prediction:
        before = changing and files.rng.random() < 0.5
        if before:
            shutil.copy2(path, earlier)
            files.edit(path)
        answer = answer_for(path, audio_in(path))
        if changing and not before:
            files.edit(path)
        return answer

    monkeypatch.setattr(batch, "predict_file", predict)
    for step in range(steps):
        files.change()
        changing = True
        answers_of(bundle, files.names[: 1 + step % 4])
        changing = False
        paths = [*files.names, earlier] if earlier.exists() else files.names
        for path, answer in zip(paths, answers_of(bundle, paths), strict=True):
            assert answer == answer_for(path, audio_in(path)), f"step {step}: {path.name}"


# --- one by one ---


def two_files(folder: Path, size: int = 400_000) -> list[Path]:
    """Two files of one size and one time, as an archive unpacks them."""
    paths = [folder / "one.wav", folder / "two.wav"]
    for i, path in enumerate(paths):
        path.write_bytes(wav(bytes([i + 1]) * size))
        os.utime(path, (OLD, OLD))
    return paths


def test_unchanged_files_are_not_even_hashed(
    bundle: Classifier, tmp_path: Path, decoded: list[str], hashed: list[Path]
) -> None:
    paths = two_files(tmp_path)
    first = answers_of(bundle, paths)
    assert len(decoded) == 2 and hashed == paths
    assert answers_of(bundle, paths) == first and len(decoded) == 2 and hashed == paths


def swap(one: Path, two: Path) -> None:
    aside = one.with_name("aside")
    one.rename(aside)
    two.rename(one)
    aside.rename(two)


def test_swapped_names_are_found_by_their_audio(bundle: Classifier, tmp_path: Path, decoded: list[str]) -> None:
    one, two = two_files(tmp_path)
    before = answers_of(bundle, [one, two])
    swap(one, two)
    assert answers_of(bundle, [two, one]) == [replace(a, path=str(p)) for a, p in zip(before, (two, one), strict=True)]
    assert len(decoded) == 2


def restore_times(path: Path, change: Callable[[], object]) -> None:
    before = path.stat()
    change()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_restored_file_is_hashed_once_and_its_entry_is_renewed(
    bundle: Classifier, tmp_path: Path, decoded: list[str], hashed: list[Path]
) -> None:
    (path, _), backup = two_files(tmp_path), tmp_path / "backup.wav"
    first = answers_of(bundle, [path])
    shutil.copy2(path, backup)
    path.unlink()
    shutil.copy2(backup, path)  # the same size, time and content; another change time
    hashed.clear()
    assert answers_of(bundle, [path]) == answers_of(bundle, [path]) == first
    assert hashed == [path] and len(decoded) == 1


def test_error_is_that_of_a_file_with_the_same_stamp_only(
    bundle: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = two_files(tmp_path)
    fault = Prediction(str(path), None, None, {}, None, "linear", "cannot be decoded")
    monkeypatch.setattr(batch, "predict_file", lambda *_: fault)
    assert answers_of(bundle, [path]) == [fault]
    monkeypatch.setattr(batch, "predict_file", lambda *_: answer_for(path, "f" * 64))
    assert answers_of(bundle, [path]) == [fault], "cached"
    restore_times(path, lambda: path.write_bytes(wav(b"\3" * 400_000)))
    assert answers_of(bundle, [path]) == [answer_for(path, "f" * 64)]


def write_between_blocks(path: Path) -> None:
    """Into a file of 2 MB, where even 64 blocks do not look."""
    step = (path.stat().st_size - file_stamp.BLOCK) // (file_stamp.MORE_BLOCKS - 1)
    with path.open("r+b") as f:
        f.seek(20 * step + file_stamp.BLOCK + 5_000)
        f.write(b"other")


def test_file_that_was_changed_within_the_step_of_a_coarse_clock_is_found_by_its_audio_only(
    bundle: Classifier, tmp_path: Path, decoded: list[str], hashed: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_fat(monkeypatch)
    _, path = two_files(tmp_path, 2_000_000)
    os.utime(path)
    times, stamp = path.stat(), stamp_of(path)
    assert stamp is not None and not stamp.settled
    assert answers_of(bundle, [path])[0].error is None
    with open_cache() as cache:
        cache.rekey(path)
    write_between_blocks(path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # the clock has not moved on
    assert stamp_of(path) == stamp, "else another position must be tried"
    assert answers_of(bundle, [path]) == [answer_for(path, audio_in(path))]
    hashed.clear()
    assert answers_of(bundle, [path]) == [answer_for(path, audio_in(path))]
    assert hashed == [path] and len(decoded) == 2, "its audio is known by now"


def test_error_of_a_file_that_was_just_changed_is_not_cached_where_clocks_are_coarse(
    bundle: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_fat(monkeypatch)
    path, _ = two_files(tmp_path)
    os.utime(path)
    fault = Prediction(str(path), None, None, {}, None, "linear", "cannot be decoded")
    monkeypatch.setattr(batch, "predict_file", lambda *_: fault)
    assert answers_of(bundle, [path]) == [fault]
    monkeypatch.setattr(batch, "predict_file", lambda *_: answer_for(path, "f" * 64))
    assert answers_of(bundle, [path]) == [answer_for(path, "f" * 64)]


def test_file_that_is_replaced_while_its_tags_are_noted_is_not_cached(
    bundle: Classifier, tmp_path: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the audio that was there for a moment would count as that of the file, once that has its name again."""
    pretend_fat(monkeypatch)
    one, two = two_files(tmp_path)
    answers_of(bundle, [one, two])

    def replaced(path: Path) -> str:
        swap(one, two)
        return content_hash.sha256_of_audio(path)

    with open_cache() as cache, monkeypatch.context() as patch:
        patch.setattr(memories, "sha256_of_audio", replaced)
        cache.rekey(one)
    swap(one, two)
    assert answers_of(bundle, [one]) == [answer_for(one, audio_in(one))]


def test_tags_written_just_now_are_no_reason_to_hash_again(
    bundle: Classifier, tmp_path: Path, decoded: list[str], hashed: list[Path]
) -> None:
    path, _ = two_files(tmp_path)
    answers_of(bundle, [path])
    path.write_bytes(path.read_bytes() + b"a tag")

    with open_cache() as cache:
        cache.rekey(path)
    hashed.clear()
    assert answers_of(bundle, [path]) == [answer_for(path, audio_in(path))] and hashed == [] and len(decoded) == 1
