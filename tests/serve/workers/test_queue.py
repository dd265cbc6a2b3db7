"""Real workers: they answer, they are killed and replaced, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from genrelab.core.config import LogMelView
from genrelab.core.errors import SettingsError
from genrelab.predict.classifier import load_bundle
from genrelab.serve.limits import Limits
from genrelab.serve.model_store import ModelStore
from genrelab.serve.workers import queue as module
from genrelab.serve.workers.client import WorkerProcess, start_worker
from genrelab.serve.workers.queue import FileJob, JobRefused, WorkerQueue
from tests.support.bundles import SR, bundle_for, noise

VIEW = LogMelView(sr=SR, n_fft=512, hop_length=256, n_mels=16, window_s=0.5, hop_s=0.5)
LIMITS = Limits(workers=1, queue=3, classify_s=20, audio_s=3_600)


@pytest.fixture
def shelf(tmp_path: Path) -> ModelStore:
    bundle_for(tmp_path / "bundle", VIEW)
    return ModelStore({"mine": tmp_path / "bundle"}, tmp_path / "copies")


@pytest.fixture
def song(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "song", noise(2), SR, format="WAV")
    return tmp_path / "song"


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """Takes about a second with all of its windows."""
    soundfile.write(tmp_path / "long", noise(1_200), SR, format="WAV")
    return tmp_path / "long"


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> list[WorkerProcess]:
    """All that were begun."""
    found: list[WorkerProcess] = []

    async def recorded(limits: Limits) -> WorkerProcess:
        found.append(await start_worker(limits))
        return found[-1]

    monkeypatch.setattr(module, "start_worker", recorded)
    return found


@asynccontextmanager
async def running_queue(shelf: ModelStore, limits: Limits = LIMITS) -> AsyncIterator[WorkerQueue]:
    ears = WorkerQueue(limits, shelf)
    await ears.start()
    try:
        yield ears
    finally:
        await ears.stop()


async def wait_until(true: Callable[[], bool], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.01)


async def refusal_kind(hearing: Awaitable[Any]) -> str:
    try:
        await hearing
    except JobRefused as e:
        assert e.detail.endswith((".", ")"))
        assert "/" not in e.detail
        return e.kind
    raise AssertionError("it was heard")


def kill(worker: WorkerProcess, signal_: int = signal.SIGKILL) -> None:
    os.kill(worker._process.pid, signal_)


def test_answer_equals_that_of_predict(shelf: ModelStore, song: Path, tmp_path: Path) -> None:
    async def program() -> None:
        async with running_queue(shelf) as ears:
            assert (ears.ready, ears.full, ears.waiting, ears.in_progress, ears.restarts) == (True, False, 0, 0, 0)
            said = await ears.classify(FileJob(song, shelf.get(None), timeline=True, top=2, windows="all"))
            expected = load_bundle(tmp_path / "bundle").with_windows("all").predict(song)
            assert said == expected.to_json(timeline=True, top=2) | {"path": "", "model": "mine"}
            assert ears.processed == 1
        assert not ears.ready
        assert await refusal_kind(ears.classify(FileJob(song, shelf.get(None)))) == "not-ready"

    asyncio.run(program())


def test_files_are_processed_in_order_one_per_worker(shelf: ModelStore, song: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("words\n" * 50)

    async def program() -> None:
        order, wrong = FileJob(song, shelf.get(None)), FileJob(tmp_path / "text", shelf.get(None))
        done: list[int] = []

        async def hear(i: int) -> None:
            if i % 2:
                assert await refusal_kind(ears.classify(wrong)) == "not-audio"
            else:
                assert (await ears.classify(order))["error"] is None
            done.append(i)

        async with running_queue(shelf, replace(LIMITS, queue=50)) as ears:
            await asyncio.gather(*map(hear, range(40)))
            assert done == list(range(40))
            assert (ears.processed, ears.restarts) == (40, 0)

    asyncio.run(program())


def test_full_queue_refuses_further_files_at_once(shelf: ModelStore, long: Path, song: Path) -> None:
    async def program() -> None:
        slow, quick = FileJob(long, shelf.get(None), windows="all"), FileJob(song, shelf.get(None))
        async with running_queue(shelf) as ears:
            first = asyncio.create_task(ears.classify(slow))
            await wait_until(lambda: ears.in_progress == 1)
            rest = []
            for i in range(3):
                assert (ears.full, ears.waiting) == (False, i)
                rest.append(asyncio.create_task(ears.classify(quick)))
                await asyncio.sleep(0)
            assert ears.full
            assert await refusal_kind(ears.classify(quick)) == "busy"
            rest[1].cancel()
            await asyncio.sleep(0.01)
            assert (ears.full, ears.waiting) == (False, 2), "who goes away gives the place back"
            assert len(await asyncio.gather(first, rest[0], rest[2], ears.classify(quick))) == 4
            assert ears.processed == 4

    asyncio.run(program())


def test_queue_of_length_zero_takes_one_file_per_worker(shelf: ModelStore, song: Path) -> None:
    async def program() -> None:
        order = FileJob(song, shelf.get(None))
        async with running_queue(shelf, replace(LIMITS, queue=0)) as ears:
            for _ in range(3):
                await ears.classify(order)
            first = asyncio.create_task(ears.classify(order))
            await asyncio.sleep(0)
            assert await refusal_kind(ears.classify(order)) == "busy"
            await first

    asyncio.run(program())


def test_cancelling_a_running_job_does_not_cost_its_worker(
    shelf: ModelStore, long: Path, song: Path, workers: list[WorkerProcess]
) -> None:
    async def program() -> None:
        async with running_queue(shelf) as ears:
            first = asyncio.create_task(ears.classify(FileJob(long, shelf.get(None), windows="all")))
            await wait_until(lambda: ears.in_progress == 1)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            assert ears.in_progress == 1
            said = await ears.classify(FileJob(song, shelf.get(None)))
            assert said["duration_s"] == 2.0
            assert (len(workers), ears.processed) == (1, 2)

    asyncio.run(program())


def test_missing_file_of_a_cancelled_job_is_not_logged(
    shelf: ModelStore, song: Path, workers: list[WorkerProcess], caplog: pytest.LogCaptureFixture
) -> None:
    async def program() -> None:
        async with running_queue(shelf) as ears:
            kill(workers[0], signal.SIGSTOP)
            first = asyncio.create_task(ears.classify(FileJob(song, shelf.get(None))))
            await wait_until(lambda: ears.in_progress == 1)
            first.cancel()
            song.unlink()
            kill(workers[0], signal.SIGCONT)
            await wait_until(lambda: ears.processed == 1)
            assert not caplog.text
            assert workers[0].stderr_tail == "it says nothing"
            assert await refusal_kind(ears.classify(FileJob(song, shelf.get(None)))) == "internal", (
                "this one waits for an answer"
            )

    asyncio.run(program())
    assert "a worker failed" in caplog.text
    assert "Traceback" not in caplog.text


def test_decoder_messages_are_passed_on(shelf: ModelStore, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("words\n" * 50)

    async def program() -> None:
        async with running_queue(shelf) as ears:
            with pytest.raises(JobRefused) as e:
                await ears.classify(FileJob(tmp_path / "text", shelf.get(None)))
            assert list(e.value.extra) == ["decoders"]

    asyncio.run(program())


def test_a_worker_that_takes_too_long_is_killed_and_replaced(
    shelf: ModelStore, song: Path, workers: list[WorkerProcess]
) -> None:
    async def program() -> None:
        async with running_queue(shelf, replace(LIMITS, classify_s=0.5)) as ears:
            bad, good = FileJob(song, shelf.get(None)), FileJob(song, shelf.get(None))
            await ears.classify(good)
            kill(workers[0], signal.SIGSTOP)  # it does nothing any more, for ever
            began = time.monotonic()
            first, second = asyncio.create_task(ears.classify(bad)), asyncio.create_task(ears.classify(good))
            assert await refusal_kind(first) == "took-too-long"
            assert 0.4 < time.monotonic() - began < 1.5
            assert ears.ready, "another is on its way"
            assert (await second)["error"] is None
            assert (ears.restarts, len(workers)) == (1, 2)

    asyncio.run(program())


def test_slow_file_is_refused_as_took_too_long(shelf: ModelStore, long: Path) -> None:
    async def program() -> None:
        async with running_queue(shelf, replace(LIMITS, classify_s=0.05)) as ears:
            assert await refusal_kind(ears.classify(FileJob(long, shelf.get(None), windows="all"))) == "took-too-long"

    asyncio.run(program())


@pytest.mark.skipif(sys.platform != "linux", reason="such limits are Linux's")
def test_file_that_exceeds_the_memory_limit_is_refused(shelf: ModelStore, song: Path, tmp_path: Path) -> None:
    """30 s at a rate of 655 kHz are 80 megabytes, several times over. Some libraries say so, others give up."""
    soundfile.write(tmp_path / "fast", np.full(655_350 * 30, 9, np.int16), 655_350, format="FLAC")

    async def program() -> None:
        async with running_queue(shelf, replace(LIMITS, worker_bytes=180 << 20)) as ears:
            assert await refusal_kind(ears.classify(FileJob(tmp_path / "fast", shelf.get(None)))) in (
                "damaged",
                "crashed",
            )
            assert (await ears.classify(FileJob(song, shelf.get(None))))["error"] is None
            assert ears.restarts == 1

    asyncio.run(program())


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
def test_worker_that_crashes_on_a_file_is_replaced(
    how: int, shelf: ModelStore, long: Path, song: Path, workers: list[WorkerProcess], caplog: pytest.LogCaptureFixture
) -> None:
    async def program() -> None:
        async with running_queue(shelf) as ears:
            for i in range(2):
                first = asyncio.create_task(ears.classify(FileJob(long, shelf.get(None), windows="all")))
                await wait_until(lambda: ears.in_progress == 1 and workers[-1].started)
                kill(workers[-1], how)
                assert await refusal_kind(first) == "crashed"
                assert (await ears.classify(FileJob(song, shelf.get(None))))["error"] is None
                assert (ears.restarts, len(workers)) == (i + 1, i + 2)

    asyncio.run(program())
    assert "died of a file" in caplog.text


def test_worker_that_dies_while_idle_is_replaced(
    shelf: ModelStore, song: Path, workers: list[WorkerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PROVEN_S", 0.0)

    async def program() -> None:
        async with running_queue(shelf) as ears:
            kill(workers[0])
            await wait_until(lambda: len(workers) == 2)
            assert (await ears.classify(FileJob(song, shelf.get(None))))["error"] is None

    asyncio.run(program())


def test_job_given_to_a_dead_worker_goes_to_the_next_one(
    shelf: ModelStore, song: Path, workers: list[WorkerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PROVEN_S", 0.0)

    async def program() -> None:
        async with running_queue(shelf) as ears:
            await asyncio.sleep(0)  # it waits for its turn
            kill(workers[0])
            workers[0].ended.add_done_callback(lambda _: hearing.append(asyncio.create_task(ears.classify(order))))
            order, hearing = FileJob(song, shelf.get(None)), list[asyncio.Task[Any]]()
            await wait_until(lambda: len(hearing) == 1)
            assert (await hearing[0])["error"] is None

    asyncio.run(program())


def test_other_workers_go_on_while_one_is_dead(shelf: ModelStore, song: Path, workers: list[WorkerProcess]) -> None:
    async def program() -> None:
        async with running_queue(shelf, replace(LIMITS, workers=2)) as ears:
            await wait_until(lambda: len(ears._idle) == 2)
            kill(workers[0])  # nobody has noticed when the first file comes to it
            for _ in range(5):
                assert (await ears.classify(FileJob(song, shelf.get(None))))["error"] is None

    asyncio.run(program())


def test_start_fails_if_workers_cannot_start(shelf: ModelStore) -> None:
    async def program() -> None:
        ears = WorkerQueue(replace(LIMITS, worker_bytes=1 << 20), shelf)
        with pytest.raises(SettingsError, match="die before they begin: "):
            await ears.start()
        assert not ears.ready

    asyncio.run(program())


@pytest.mark.slow
def test_repeatedly_dying_workers_are_restarted_with_backoff(
    shelf: ModelStore, song: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ill, begins, last = False, list[float](), list[WorkerProcess]()

    async def sometimes(limits: Limits) -> WorkerProcess:
        begins.append(time.monotonic())
        last.append(await start_worker(replace(limits, worker_bytes=1 << 20) if ill else limits))
        return last[-1]

    monkeypatch.setattr(module, "start_worker", sometimes)
    monkeypatch.setattr(module, "MIN_RESTART_S", 0.4)

    async def program() -> None:
        nonlocal ill
        async with running_queue(shelf) as ears:
            order = FileJob(song, shelf.get(None))
            await ears.classify(order)
            ill = True
            kill(last[0])
            waits = asyncio.create_task(ears.classify(order))
            assert await refusal_kind(waits) in ("not-ready", "crashed")
            await wait_until(lambda: not ears.ready)
            assert await refusal_kind(ears.classify(order)) == "not-ready"
            await wait_until(lambda: len(begins) == 4)
            assert begins[2] - begins[1] > 0.4
            assert begins[3] - begins[2] > 0.8
            ill = False
            await wait_until(lambda: ears.ready)
            assert (await ears.classify(order))["error"] is None

    asyncio.run(program())
    assert "died before it heard a file" in caplog.text


def test_start_fails_if_no_process_can_be_created(
    shelf: ModelStore, song: Path, workers: list[WorkerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail_to_start(_: Limits) -> WorkerProcess:
        raise OSError(11, "Resource temporarily unavailable")

    async def program() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(module, "start_worker", fail_to_start)
            with pytest.raises(SettingsError, match="Resource temporarily unavailable"):
                await WorkerQueue(LIMITS, shelf).start()
        async with running_queue(shelf) as ears:
            await ears.start()  # begun already
            assert len(workers) == 1

    asyncio.run(program())


def test_pending_jobs_are_refused_when_the_queue_stops(
    shelf: ModelStore, long: Path, song: Path, workers: list[WorkerProcess]
) -> None:
    async def program() -> None:
        async with running_queue(shelf) as ears:
            first = asyncio.create_task(ears.classify(FileJob(long, shelf.get(None), windows="all")))
            await wait_until(lambda: ears.in_progress == 1)
            second = asyncio.create_task(ears.classify(FileJob(song, shelf.get(None))))
            await asyncio.sleep(0)
            await ears.stop()
            assert [await refusal_kind(first), await refusal_kind(second)] == ["stopping", "stopping"]
            assert workers[0]._process.returncode is not None
            await ears.stop()

    asyncio.run(program())


def test_stopping_during_startup_leaves_no_worker(shelf: ModelStore) -> None:
    async def program() -> None:
        for pause in (0.0, 0.002, 0.02, 0.1):
            ears = WorkerQueue(LIMITS, shelf)
            starting = asyncio.create_task(ears.start())
            await asyncio.sleep(pause)
            await ears.stop()
            starting.cancel()
            with suppress(asyncio.CancelledError):
                await starting

    asyncio.run(program())  # a process that is left makes a warning, and a warning is an error


@pytest.mark.parametrize("pause", [0.0, 0.02, 0.2, 0.5])
def test_cancelled_start_leaves_no_worker(pause: float, shelf: ModelStore, workers: list[WorkerProcess]) -> None:
    async def program() -> None:
        ears = WorkerQueue(replace(LIMITS, workers=2), shelf)
        starting = asyncio.create_task(ears.start())
        await asyncio.sleep(pause)
        began = time.monotonic()
        starting.cancel()
        await asyncio.sleep(0)
        starting.cancel()  # who presses Ctrl-C presses it twice
        await asyncio.gather(starting, ears.stop(), ears.stop(), return_exceptions=True)
        assert time.monotonic() - began < 5
        assert not ears.ready
        assert [w._process.returncode for w in workers] == [-signal.SIGKILL] * len(workers)

    asyncio.run(program())


def test_worker_does_not_inherit_the_environment(
    shelf: ModelStore, workers: list[WorkerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    if sys.platform != "linux":
        pytest.skip("looks into /proc")
    monkeypatch.setenv("GENRELAB_TOKEN", "correct horse")

    async def program() -> None:
        async with running_queue(shelf):
            around = Path(f"/proc/{workers[0]._process.pid}/environ").read_bytes()
            assert b"horse" not in around
            assert b"OMP_NUM_THREADS=1" in around

    asyncio.run(program())


@pytest.mark.slow
def test_worker_with_invalid_output_is_replaced(
    shelf: ModelStore, song: Path, workers: list[WorkerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decoder that was taken over may write what it likes; nothing of it is believed or kept."""
    stray = b'{"number": 1, "answer": {"genre": "Rock"}}\n'

    async def program() -> None:
        async with running_queue(shelf) as ears:
            worker = workers[0]
            for said in (b"[1]\n", b"no json\n", b"[" * 100_000 + b"\n", b"x" * (1 << 26), stray):
                kill(worker, signal.SIGSTOP)
                reader = worker._process.stdout
                assert reader is not None
                reader.feed_data(b'{"number": %d, "begun": true}\n' % (worker._number + 1) + said)
                assert await refusal_kind(ears.classify(FileJob(song, shelf.get(None)))) == "crashed"
                assert (await ears.classify(FileJob(song, shelf.get(None))))["error"] is None
                worker = workers[-1]

    asyncio.run(program())


# --- bundles that change ---


@pytest.mark.slow
def test_reloading_bundles_under_load_loses_no_request(
    tmp_path: Path, song: Path, workers: list[WorkerProcess]
) -> None:
    source, biases = tmp_path / "mine", ((40.0, 0.0, 0.0), (0.0, 0.0, 40.0))
    bundle_for(source, VIEW, bias=biases[0])
    shelf = ModelStore({"mine": source}, tmp_path / "copies")
    genre_of = {shelf.get(None).bundle.fingerprint: "Blues"}
    answers: list[tuple[str, str]] = []

    async def ask(ears: WorkerQueue, stop: asyncio.Event) -> None:
        while not stop.is_set():
            model = shelf.get(None)
            said = await ears.classify(FileJob(song, model))
            answers.append((model.bundle.fingerprint, said["genre"]))

    async def program() -> None:
        stop = asyncio.Event()
        async with running_queue(shelf, replace(LIMITS, workers=2, queue=10)) as ears:
            asking = [asyncio.create_task(ask(ears, stop)) for _ in range(6)]
            for i in range(1, 21):
                await asyncio.to_thread(bundle_for, source, VIEW, bias=biases[i % 2])
                assert len(await asyncio.to_thread(shelf.reload)) == 1
                genre_of[shelf.get(None).bundle.fingerprint] = ("Blues", "Rock")[i % 2]
                await asyncio.sleep(0.1)
            stop.set()
            await asyncio.gather(*asking)
            assert (ears.processed, ears.restarts, len(workers)) == (len(answers), 0, 2)
            await wait_until(lambda: all(w.models == shelf.models() for w in workers))

    asyncio.run(program())
    assert len(answers) > 20
    assert len({fingerprint for fingerprint, _ in answers}) == 2
    assert all(genre == genre_of[fingerprint] for fingerprint, genre in answers)
    assert len(list((tmp_path / "copies").iterdir())) == 1


def test_idle_workers_load_changed_bundles(
    tmp_path: Path, shelf: ModelStore, song: Path, workers: list[WorkerProcess]
) -> None:
    async def program() -> None:
        async with running_queue(shelf) as ears:
            held = shelf.get(None)
            bundle_for(tmp_path / "bundle", VIEW, bias=(0, 0, 40))
            await asyncio.to_thread(shelf.reload)
            await wait_until(lambda: workers[0].models == shelf.models())
            assert (await ears.classify(FileJob(song, shelf.get(None))))["genre"] == "Rock"
            earlier = await ears.classify(FileJob(song, held))
            assert earlier["probabilities"] == held.bundle.predict(song).probabilities, "who waited for long"

    asyncio.run(program())


# --- the service's end ---

KILLED = """
import asyncio, sys
from pathlib import Path
from genrelab.serve.workers import queue as module
from genrelab.serve.limits import Limits
from genrelab.serve.model_store import ModelStore

async def program():
    shelf = ModelStore({"mine": Path(sys.argv[1])}, Path(sys.argv[2]))
    ears = module.WorkerQueue(Limits(audio_s=3600), shelf)
    await ears.start()
    print("begun", flush=True)
    await ears.classify(module.FileJob(Path(sys.argv[3]), shelf.get(None), windows="all"))

asyncio.run(program())
"""


def test_workers_end_when_the_service_is_killed(tmp_path: Path, shelf: ModelStore, long: Path) -> None:
    (tmp_path / "asks.py").write_text(KILLED)
    arguments = [tmp_path / "asks.py", tmp_path / "bundle", tmp_path / "others", long]
    # The pipe ends with the last process that holds it, and workers inherit nothing else of it than this file.
    read, write = os.pipe()
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, pass_fds=(write,)) as process:
        os.close(write)
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        found = [int(pid) for pid in children.read_text().split()] if children.exists() else []
        time.sleep(0.2)
        process.kill()
    os.close(read)
    deadline = time.monotonic() + 10
    while any(_is_alive(pid) for pid in found) and time.monotonic() < deadline:
        time.sleep(0.02)
    left = [pid for pid in found if _is_alive(pid)]
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert left == []


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
