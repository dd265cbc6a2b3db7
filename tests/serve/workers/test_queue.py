"""Real workers: they answer, they are killed and replaced, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
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
from genrelab.serve.problems import Problem
from genrelab.serve.workers import client
from genrelab.serve.workers import queue as module
from genrelab.serve.workers.client import WorkerProcess, start_worker
from genrelab.serve.workers.queue import FileJob, WorkerQueue
from tests.support.bundles import SR, bundle_for, noise
from tests.support.guards import HANG_S, one_turn
from tests.support.held_file import HeldFiles

VIEW = LogMelView(sr=SR, n_fft=512, hop_length=256, n_mels=16, window_s=0.5, hop_s=0.5)
LIMITS = Limits(workers=1, queue=3, classify_s=600, audio_s=3_600)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    bundle_for(tmp_path / "bundle", VIEW)
    return ModelStore({"mine": tmp_path / "bundle"}, tmp_path / "copies")


@pytest.fixture
def song(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "song", noise(2), SR, format="WAV")
    return tmp_path / "song"


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """A file in whose middle workers stay, until `held` releases them."""
    soundfile.write(tmp_path / "long", noise(2), SR, format="WAV")
    return tmp_path / "long"


@pytest.fixture
def held(long: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldFiles]:
    files = HeldFiles(tmp_path / "hook", str(long))
    monkeypatch.syspath_prepend(files.folder)
    yield files
    files.close()


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> list[WorkerProcess]:
    """All that were begun."""
    found: list[WorkerProcess] = []

    async def recorded(limits: Limits) -> WorkerProcess:
        found.append(await start_worker(limits))
        return found[-1]

    monkeypatch.setattr(module, "start_worker", recorded)
    return found


class ObservedQueue(WorkerQueue):
    """Tells when something of it has become so."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        self.__dict__["_awaited"] = list[tuple[Callable[[], object], asyncio.Event]]()
        super().__init__(*arguments, **settings)

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        self.tell()

    def wake_workers(self) -> None:
        super().wake_workers()
        self.tell()

    def tell(self) -> None:
        for condition, event in self._awaited:
            if condition():
                event.set()

    async def reached(self, condition: Callable[[], object]) -> None:
        """Return when the condition was true after something of the queue had changed; it may be so no more."""
        awaited = condition, asyncio.Event()
        self._awaited.append(awaited)
        if condition():
            return
        async with asyncio.timeout(HANG_S):
            await awaited[1].wait()


@asynccontextmanager
async def running_queue(store: ModelStore, limits: Limits = LIMITS, **settings: Any) -> AsyncIterator[ObservedQueue]:
    worker_queue = ObservedQueue(limits, store, **settings)
    await worker_queue.start()
    try:
        yield worker_queue
    finally:
        await worker_queue.stop()


async def refusal_kind(hearing: Awaitable[Any]) -> str:
    try:
        await hearing
    except Problem as e:
        assert "/" not in e.detail
        return e.kind
    raise AssertionError("it was heard")


def kill(worker: WorkerProcess, signal_: int = signal.SIGKILL) -> None:
    os.kill(worker._process.pid, signal_)


def test_answer_equals_that_of_predict(store: ModelStore, song: Path, tmp_path: Path) -> None:
    async def program() -> None:
        async with running_queue(store) as worker_queue:
            assert (
                worker_queue.ready,
                worker_queue.full,
                worker_queue.waiting,
                worker_queue.in_progress,
                worker_queue.restarts,
            ) == (True, False, 0, 0, 0)
            said = await worker_queue.classify(FileJob(song, store.get(None), timeline=True, top=2, windows="all"))
            expected = load_bundle(tmp_path / "bundle").with_windows("all").predict(song)
            assert said == expected.to_json(timeline=True, top=2) | {"path": "", "model": "mine"}
            assert worker_queue.processed == 1
        assert not worker_queue.ready
        assert await refusal_kind(worker_queue.classify(FileJob(song, store.get(None)))) == "not-ready"

    asyncio.run(program())


def test_files_are_processed_in_order_one_per_worker(store: ModelStore, song: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("words\n" * 50)

    async def program() -> None:
        order, wrong = FileJob(song, store.get(None)), FileJob(tmp_path / "text", store.get(None))
        done: list[int] = []

        async def hear(i: int) -> None:
            if i % 2:
                assert await refusal_kind(worker_queue.classify(wrong)) == "not-audio"
            else:
                assert (await worker_queue.classify(order))["error"] is None
            done.append(i)

        async with running_queue(store, replace(LIMITS, queue=50)) as worker_queue:
            await asyncio.gather(*map(hear, range(40)))
            assert done == list(range(40))
            assert (worker_queue.processed, worker_queue.restarts) == (40, 0)

    asyncio.run(program())


def test_full_queue_refuses_further_files_at_once(store: ModelStore, long: Path, held: HeldFiles, song: Path) -> None:
    async def program() -> None:
        slow, quick = FileJob(long, store.get(None), windows="all"), FileJob(song, store.get(None))
        async with running_queue(store) as worker_queue:
            first = asyncio.create_task(worker_queue.classify(slow))
            await held.wait_async()
            assert (worker_queue.in_progress, worker_queue.waiting) == (1, 0)
            rest = []
            for i in range(3):
                assert (worker_queue.full, worker_queue.waiting) == (False, i)
                rest.append(asyncio.create_task(worker_queue.classify(quick)))
                await one_turn()
            assert worker_queue.full
            assert await refusal_kind(worker_queue.classify(quick)) == "busy"
            rest[1].cancel()
            await asyncio.wait([rest[1]])
            assert (worker_queue.full, worker_queue.waiting) == (False, 2), "who goes away gives the place back"
            assert worker_queue.processed == 0
            held.release()
            assert len(await asyncio.gather(first, rest[0], rest[2], worker_queue.classify(quick))) == 4
            assert worker_queue.processed == 4

    asyncio.run(program())


def test_queue_of_length_zero_takes_one_file_per_worker(store: ModelStore, song: Path) -> None:
    async def program() -> None:
        order = FileJob(song, store.get(None))
        async with running_queue(store, replace(LIMITS, queue=0)) as worker_queue:
            for _ in range(3):
                await worker_queue.classify(order)
            first = asyncio.create_task(worker_queue.classify(order))
            await one_turn()
            assert await refusal_kind(worker_queue.classify(order)) == "busy"
            await first

    asyncio.run(program())


def test_cancelling_a_running_job_does_not_cost_its_worker(
    store: ModelStore, long: Path, held: HeldFiles, song: Path, workers: list[WorkerProcess]
) -> None:
    async def program() -> None:
        async with running_queue(store) as worker_queue:
            first = asyncio.create_task(worker_queue.classify(FileJob(long, store.get(None), windows="all")))
            await held.wait_async()
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            assert (worker_queue.in_progress, worker_queue.processed) == (1, 0)
            held.release()
            said = await worker_queue.classify(FileJob(song, store.get(None)))
            assert said["duration_s"] == 2.0
            assert (len(workers), worker_queue.processed) == (1, 2)

    asyncio.run(program())


def test_missing_file_of_a_cancelled_job_is_not_logged(
    store: ModelStore, song: Path, workers: list[WorkerProcess], caplog: pytest.LogCaptureFixture
) -> None:
    async def program() -> None:
        async with running_queue(store) as worker_queue:
            kill(workers[0], signal.SIGSTOP)
            first = asyncio.create_task(worker_queue.classify(FileJob(song, store.get(None))))
            await worker_queue.reached(lambda: worker_queue.in_progress == 1)
            first.cancel()
            song.unlink()
            kill(workers[0], signal.SIGCONT)
            await worker_queue.reached(lambda: worker_queue.processed == 1)
            assert not caplog.text
            assert workers[0].stderr_tail == "no output"
            assert await refusal_kind(worker_queue.classify(FileJob(song, store.get(None)))) == "internal", (
                "this one waits for an answer"
            )

    asyncio.run(program())
    assert "a worker failed" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_worker_that_takes_too_long_is_killed_and_replaced(
    store: ModelStore, song: Path, long: Path, held: HeldFiles, workers: list[WorkerProcess]
) -> None:
    async def program() -> None:
        async with running_queue(store, replace(LIMITS, classify_s=0.01)) as worker_queue:
            bad, good = FileJob(long, store.get(None), windows="all"), FileJob(song, store.get(None))
            first, second = (
                asyncio.create_task(worker_queue.classify(bad)),
                asyncio.create_task(worker_queue.classify(good)),
            )
            await worker_queue.reached(lambda: worker_queue.in_progress == 1)
            worker_queue.limits = LIMITS  # those of the next ones
            assert await refusal_kind(first) == "took-too-long"
            assert worker_queue.ready, "another is on its way"
            assert (await second)["error"] is None
            assert workers[0]._process.returncode == -signal.SIGKILL
            assert (worker_queue.restarts, len(workers)) == (1, 2)

    asyncio.run(program())


def test_worker_that_does_not_load_a_model_in_time_is_not_blamed_on_the_file(
    store: ModelStore, song: Path, workers: list[WorkerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def program() -> None:
        async with running_queue(store) as worker_queue:
            await worker_queue.classify(FileJob(song, store.get(None)))
            kill(workers[0], signal.SIGSTOP)  # before it starts on the next file
            with monkeypatch.context() as patch, pytest.raises(Problem) as e:
                patch.setattr(client, "START_TIMEOUT_S", 0.01)
                await worker_queue.classify(FileJob(song, store.get(None)))
            assert (e.value.kind, e.value.status, "Retry-After" in e.value.headers) == ("model-not-loaded", 503, True)
            assert (await worker_queue.classify(FileJob(song, store.get(None))))["error"] is None
            assert len(workers) == 2

    asyncio.run(program())


def test_slow_file_is_refused_as_took_too_long(store: ModelStore, long: Path, held: HeldFiles) -> None:
    async def program() -> None:
        async with running_queue(store, replace(LIMITS, classify_s=0.01)) as worker_queue:
            assert (
                await refusal_kind(worker_queue.classify(FileJob(long, store.get(None), windows="all")))
                == "took-too-long"
            )
            await held.wait_async()  # it had got there

    asyncio.run(program())


@pytest.mark.skipif(sys.platform != "linux", reason="such limits are Linux's")
def test_file_that_exceeds_the_memory_limit_is_refused(store: ModelStore, song: Path, tmp_path: Path) -> None:
    """30 s at a rate of 655 kHz are 80 megabytes, several times over. Some libraries say so, others give up."""
    soundfile.write(tmp_path / "fast", np.full(655_350 * 30, 9, np.int16), 655_350, format="FLAC")

    async def program() -> None:
        async with running_queue(store, replace(LIMITS, worker_bytes=180 << 20)) as worker_queue:
            assert await refusal_kind(worker_queue.classify(FileJob(tmp_path / "fast", store.get(None)))) in (
                "damaged",
                "crashed",
            )
            assert (await worker_queue.classify(FileJob(song, store.get(None))))["error"] is None
            assert worker_queue.restarts == 1

    asyncio.run(program())


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
def test_worker_that_crashes_on_a_file_is_replaced(
    how: int,
    store: ModelStore,
    long: Path,
    held: HeldFiles,
    song: Path,
    workers: list[WorkerProcess],
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def program() -> None:
        async with running_queue(store) as worker_queue:
            for i in range(2):
                first = asyncio.create_task(worker_queue.classify(FileJob(long, store.get(None), windows="all")))
                await held.wait_async()
                kill(workers[-1], how)
                assert await refusal_kind(first) == "crashed"
                assert (await worker_queue.classify(FileJob(song, store.get(None))))["error"] is None
                assert (worker_queue.restarts, len(workers)) == (i + 1, i + 2)

    asyncio.run(program())
    assert "died while it processed a file" in caplog.text


def test_worker_that_dies_while_idle_is_replaced(
    store: ModelStore, song: Path, workers: list[WorkerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def program() -> None:
        async with running_queue(store) as worker_queue:
            await worker_queue.classify(FileJob(song, store.get(None)))
            kill(workers[0])
            await worker_queue.reached(lambda: worker_queue.restarts == 1)
            assert (await worker_queue.classify(FileJob(song, store.get(None))))["error"] is None
            assert len(workers) == 2

    asyncio.run(program())


def test_job_given_to_a_dead_worker_goes_to_the_next_one(
    store: ModelStore, song: Path, workers: list[WorkerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def program() -> None:
        async with running_queue(store) as worker_queue:
            await worker_queue.classify(FileJob(song, store.get(None)))
            await worker_queue.reached(lambda: worker_queue._idle == 1)
            kill(workers[0])
            workers[0].ended.add_done_callback(
                lambda _: hearing.append(asyncio.create_task(worker_queue.classify(order)))
            )
            order, hearing = FileJob(song, store.get(None)), list[asyncio.Task[Any]]()
            await workers[0].ended
            assert (await hearing[0])["error"] is None

    asyncio.run(program())


def test_other_workers_go_on_while_one_is_dead(store: ModelStore, song: Path, workers: list[WorkerProcess]) -> None:
    async def program() -> None:
        async with running_queue(store, replace(LIMITS, workers=2)) as worker_queue:
            await worker_queue.reached(lambda: worker_queue._idle == 2)
            kill(workers[0])  # nobody has noticed when the first file comes to it
            for _ in range(5):
                assert (await worker_queue.classify(FileJob(song, store.get(None))))["error"] is None

    asyncio.run(program())


def test_start_fails_if_workers_cannot_start(store: ModelStore) -> None:
    async def program() -> None:
        worker_queue = WorkerQueue(replace(LIMITS, worker_bytes=1 << 20), store)
        with pytest.raises(SettingsError, match="die while they start: "):
            await worker_queue.start()
        assert not worker_queue.ready

    asyncio.run(program())


@pytest.mark.slow
def test_repeatedly_dying_workers_are_restarted_with_backoff(
    store: ModelStore, song: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ill, last, pauses, over = False, list[WorkerProcess](), asyncio.Queue[float](), asyncio.Queue[None]()

    async def sometimes(limits: Limits) -> WorkerProcess:
        last.append(await start_worker(replace(limits, worker_bytes=1 << 20) if ill else limits))
        return last[-1]

    async def pause(seconds: float) -> None:
        pauses.put_nowait(seconds)
        await over.get()

    monkeypatch.setattr(module, "start_worker", sometimes)

    async def program() -> None:
        nonlocal ill
        async with running_queue(store, sleep=pause) as worker_queue:
            order = FileJob(song, store.get(None))
            await worker_queue.classify(order)
            ill = True
            kill(last[0])
            waits = asyncio.create_task(worker_queue.classify(order))
            assert await refusal_kind(waits) in ("not-ready", "crashed")
            for seconds in (module.MIN_RESTART_S, 2 * module.MIN_RESTART_S, 4 * module.MIN_RESTART_S):
                assert await asyncio.wait_for(pauses.get(), HANG_S) == seconds
                assert not worker_queue.ready
                assert await refusal_kind(worker_queue.classify(order)) == "not-ready"
                ill = seconds < 4 * module.MIN_RESTART_S
                over.put_nowait(None)
            await worker_queue.reached(lambda: worker_queue.ready)
            assert (await worker_queue.classify(order))["error"] is None
            assert (pauses.qsize(), len(last)) == (0, 5)

    asyncio.run(program())
    assert "died before it processed a file" in caplog.text


def test_start_fails_if_no_process_can_be_created(
    store: ModelStore, song: Path, workers: list[WorkerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail_to_start(_: Limits) -> WorkerProcess:
        raise OSError(11, "Resource temporarily unavailable")

    async def program() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(module, "start_worker", fail_to_start)
            with pytest.raises(SettingsError, match="Resource temporarily unavailable"):
                await WorkerQueue(LIMITS, store).start()
        async with running_queue(store) as worker_queue:
            await worker_queue.start()  # begun already
            assert len(workers) == 1

    asyncio.run(program())


def test_pending_jobs_are_refused_when_the_queue_stops(
    store: ModelStore, long: Path, held: HeldFiles, song: Path, workers: list[WorkerProcess]
) -> None:
    async def program() -> None:
        async with running_queue(store) as worker_queue:
            first = asyncio.create_task(worker_queue.classify(FileJob(long, store.get(None), windows="all")))
            await held.wait_async()
            second = asyncio.create_task(worker_queue.classify(FileJob(song, store.get(None))))
            await worker_queue.reached(lambda: worker_queue.waiting == 1)
            await worker_queue.stop()
            assert [await refusal_kind(first), await refusal_kind(second)] == ["stopping", "stopping"]
            assert workers[0]._process.returncode is not None
            await worker_queue.stop()

    asyncio.run(program())


STARTUP = ("first turn", "before the process", "after the process", "before loading", "while loading")


class Startup:
    """Stops workers at a point of their start.

    Attributes:
        reached: set when a worker is there; those that come there wait until `go_on` is set.
        made: all workers that there were.
    """

    def __init__(self, point: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._point, self.made = point, list[WorkerProcess]()
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()
        start, load, read = WorkerProcess._start, WorkerProcess.load_models, WorkerProcess.read_line

        async def observed_start(_: type[WorkerProcess], *arguments: Any) -> WorkerProcess:
            await self._pass("before the process")
            worker = await start(*arguments)
            self.made.append(worker)
            await self._pass("after the process")
            return worker

        async def observed_load(worker: WorkerProcess, models: Sequence[Any]) -> list[Any]:
            await self._pass("before loading")
            return await load(worker, models)

        async def observed_read(worker: WorkerProcess) -> dict[str, Any]:
            await self._pass("while loading")
            return await read(worker)

        monkeypatch.setattr(WorkerProcess, "_start", classmethod(observed_start))
        monkeypatch.setattr(WorkerProcess, "load_models", observed_load)
        monkeypatch.setattr(WorkerProcess, "read_line", observed_read)

    async def _pass(self, point: str) -> None:
        if point == self._point:
            self.reached.set()
            await self.go_on.wait()

    async def wait(self) -> None:
        """Return when a worker is at that point."""
        await (one_turn() if self._point == "first turn" else asyncio.wait_for(self.reached.wait(), HANG_S))

    async def let_go(self) -> None:
        self.go_on.set()


def test_stopping_during_startup_leaves_no_worker(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    async def program(startup: Startup) -> None:
        worker_queue = WorkerQueue(LIMITS, store)
        starting = asyncio.create_task(worker_queue.start())
        await startup.wait()
        await asyncio.wait_for(asyncio.gather(worker_queue.stop(), startup.let_go()), HANG_S)
        assert [w._process.returncode for w in startup.made] == [-signal.SIGKILL] * len(startup.made)
        starting.cancel()
        with suppress(asyncio.CancelledError):
            await starting

    for point in STARTUP:
        with monkeypatch.context() as patch:
            startup = Startup(point, patch)
            asyncio.run(program(startup))  # a process that is left makes a warning, and a warning is an error
            assert point == "first turn" or len(startup.made) == 1


@pytest.mark.parametrize("point", STARTUP)
def test_cancelled_start_leaves_no_worker(point: str, store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    startup = Startup(point, monkeypatch)

    async def program() -> None:
        worker_queue = WorkerQueue(replace(LIMITS, workers=2), store)
        starting = asyncio.create_task(worker_queue.start())
        await startup.wait()
        starting.cancel()
        await one_turn()
        starting.cancel()  # who presses Ctrl-C presses it twice
        ends = asyncio.gather(
            starting, worker_queue.stop(), worker_queue.stop(), startup.let_go(), return_exceptions=True
        )
        await asyncio.wait_for(ends, HANG_S)
        assert not worker_queue.ready
        assert [w._process.returncode for w in startup.made] == [-signal.SIGKILL] * len(startup.made)
        assert point == "first turn" or startup.made

    asyncio.run(program())


def test_worker_does_not_inherit_the_environment(
    store: ModelStore, workers: list[WorkerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    if sys.platform != "linux":
        pytest.skip("looks into /proc")
    monkeypatch.setenv("GENRELAB_TOKEN", "correct horse")

    async def program() -> None:
        async with running_queue(store):
            around = Path(f"/proc/{workers[0]._process.pid}/environ").read_bytes()
            assert b"horse" not in around
            assert b"OMP_NUM_THREADS=1" in around

    asyncio.run(program())


@pytest.mark.slow
def test_worker_with_invalid_output_is_replaced(
    store: ModelStore, song: Path, workers: list[WorkerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decoder that was taken over may write what it likes; nothing of it is believed or kept."""
    stray = b'{"number": 1, "answer": {"genre": "Rock"}}\n'

    async def program() -> None:
        async with running_queue(store) as worker_queue:
            worker = workers[0]
            for said in (b"[1]\n", b"no json\n", b"[" * 100_000 + b"\n", b"x" * (1 << 26), stray):
                kill(worker, signal.SIGSTOP)
                reader = worker._process.stdout
                assert reader is not None
                reader.feed_data(b'{"number": %d, "started": true}\n' % (worker._number + 1) + said)
                assert await refusal_kind(worker_queue.classify(FileJob(song, store.get(None)))) == "crashed"
                assert (await worker_queue.classify(FileJob(song, store.get(None))))["error"] is None
                worker = workers[-1]

    asyncio.run(program())


# --- bundles that change ---


@pytest.mark.slow
def test_reloading_bundles_under_load_loses_no_request(
    tmp_path: Path, song: Path, workers: list[WorkerProcess]
) -> None:
    source, biases = tmp_path / "mine", ((40.0, 0.0, 0.0), (0.0, 0.0, 40.0))
    bundle_for(source, VIEW, bias=biases[0])
    store = ModelStore({"mine": source}, tmp_path / "copies")
    genre_of = {store.get(None).bundle.fingerprint: "Blues"}
    answers: list[tuple[str, str]] = []

    async def ask(worker_queue: ObservedQueue, stop: asyncio.Event) -> None:
        while not stop.is_set():
            model = store.get(None)
            said = await worker_queue.classify(FileJob(song, model))
            answers.append((model.bundle.fingerprint, said["genre"]))
            worker_queue.tell()

    def heard_with(fingerprint: str, after: int) -> bool:
        return any(found == fingerprint for found, _ in answers[after:])

    async def program() -> None:
        stop = asyncio.Event()
        async with running_queue(store, replace(LIMITS, workers=2, queue=10)) as worker_queue:
            asking = [asyncio.create_task(ask(worker_queue, stop)) for _ in range(6)]
            for i in range(1, 21):
                await asyncio.to_thread(bundle_for, source, VIEW, bias=biases[i % 2])
                assert len(await asyncio.to_thread(store.reload)) == 1
                worker_queue.wake_workers()
                now, before = store.get(None).bundle.fingerprint, len(answers)
                genre_of[now] = ("Blues", "Rock")[i % 2]
                await worker_queue.reached(partial(heard_with, now, before))
            stop.set()
            await asyncio.gather(*asking)
            assert (worker_queue.processed, worker_queue.restarts, len(workers)) == (len(answers), 0, 2)
            await worker_queue.reached(lambda: all(w.models == store.models() for w in workers))

    asyncio.run(program())
    assert len(answers) >= 20
    assert len({fingerprint for fingerprint, _ in answers}) == 2
    assert all(genre == genre_of[fingerprint] for fingerprint, genre in answers)
    assert len(list((tmp_path / "copies").iterdir())) == 1


def test_idle_workers_load_changed_bundles(
    tmp_path: Path, store: ModelStore, song: Path, workers: list[WorkerProcess]
) -> None:
    async def program() -> None:
        async with running_queue(store) as worker_queue:
            held = store.get(None)
            bundle_for(tmp_path / "bundle", VIEW, bias=(0, 0, 40))
            await asyncio.to_thread(store.reload)
            worker_queue.wake_workers()
            await worker_queue.reached(lambda: workers[0].models == store.models())
            assert (await worker_queue.classify(FileJob(song, store.get(None))))["genre"] == "Rock"
            earlier = await worker_queue.classify(FileJob(song, held))
            assert earlier["probabilities"] == held.bundle.predict(song).probabilities, "who waited for long"

    asyncio.run(program())


# --- the service's end ---

KILLED = """
import asyncio, sys
from pathlib import Path
from genrelab.serve.workers import client
from genrelab.serve.workers import queue as module
from genrelab.serve.limits import Limits
from genrelab.serve.model_store import ModelStore
from genrelab.serve.problems import Problem

async def program():
    store = ModelStore({"mine": Path(sys.argv[1])}, Path(sys.argv[2]))
    worker_queue = module.WorkerQueue(Limits(audio_s=3600), store)
    await worker_queue.start()
    await worker_queue.classify(module.FileJob(Path(sys.argv[3]), store.get(None), windows="all"))

asyncio.run(program())
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits for other processes' ends")
def test_workers_end_when_the_service_is_killed(tmp_path: Path, store: ModelStore, long: Path, held: HeldFiles) -> None:
    (tmp_path / "asks.py").write_text(KILLED)
    arguments = [tmp_path / "asks.py", tmp_path / "bundle", tmp_path / "others", long]
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(held.folder), os.environ.get("PYTHONPATH", "")])}
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, env=env) as process:
        held.wait()  # a worker is in the middle of the file
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        found = {os.pidfd_open(int(pid)): int(pid) for pid in children.read_text().split()}
        process.kill()
    assert found
    left = {fd: pid for fd, pid in found.items() if not select.select([fd], [], [], HANG_S)[0]}
    for fd, pid in found.items():
        os.close(fd)
        if fd in left:
            os.kill(pid, signal.SIGKILL)
    assert not left
