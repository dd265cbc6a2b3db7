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
from genrelab.serve.workers import queue as module
from genrelab.serve.workers.client import WorkerProcess, start_worker
from genrelab.serve.workers.queue import FileJob, JobRefused, WorkerQueue
from tests.support.bundles import SR, bundle_for, noise
from tests.support.guards import HANG_S, one_turn
from tests.support.held_file import HeldFiles

VIEW = LogMelView(sr=SR, n_fft=512, hop_length=256, n_mels=16, window_s=0.5, hop_s=0.5)
LIMITS = Limits(workers=1, queue=3, classify_s=600, audio_s=3_600)


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

    def _dispatch(self) -> None:
        super()._dispatch()
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
async def running_queue(shelf: ModelStore, limits: Limits = LIMITS, **settings: Any) -> AsyncIterator[ObservedQueue]:
    ears = ObservedQueue(limits, shelf, **settings)
    await ears.start()
    try:
        yield ears
    finally:
        await ears.stop()


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


def test_full_queue_refuses_further_files_at_once(shelf: ModelStore, long: Path, held: HeldFiles, song: Path) -> None:
    async def program() -> None:
        slow, quick = FileJob(long, shelf.get(None), windows="all"), FileJob(song, shelf.get(None))
        async with running_queue(shelf) as ears:
            first = asyncio.create_task(ears.classify(slow))
            await held.wait_async()
            assert (ears.in_progress, ears.waiting) == (1, 0)
            rest = []
            for i in range(3):
                assert (ears.full, ears.waiting) == (False, i)
                rest.append(asyncio.create_task(ears.classify(quick)))
                await one_turn()
            assert ears.full
            assert await refusal_kind(ears.classify(quick)) == "busy"
            rest[1].cancel()
            await asyncio.wait([rest[1]])
            assert (ears.full, ears.waiting) == (False, 2), "who goes away gives the place back"
            assert ears.processed == 0
            held.release()
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
            await one_turn()
            assert await refusal_kind(ears.classify(order)) == "busy"
            await first

    asyncio.run(program())


def test_cancelling_a_running_job_does_not_cost_its_worker(
    shelf: ModelStore, long: Path, held: HeldFiles, song: Path, workers: list[WorkerProcess]
) -> None:
    async def program() -> None:
        async with running_queue(shelf) as ears:
            first = asyncio.create_task(ears.classify(FileJob(long, shelf.get(None), windows="all")))
            await held.wait_async()
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            assert (ears.in_progress, ears.processed) == (1, 0)
            held.release()
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
            await ears.reached(lambda: ears.in_progress == 1)
            first.cancel()
            song.unlink()
            kill(workers[0], signal.SIGCONT)
            await ears.reached(lambda: ears.processed == 1)
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
        async with running_queue(shelf) as ears:
            bad, good = FileJob(song, shelf.get(None)), FileJob(song, shelf.get(None))
            await ears.classify(good)
            kill(workers[0], signal.SIGSTOP)  # it does nothing any more, for ever
            ears.limits = replace(LIMITS, classify_s=0.01)
            first, second = asyncio.create_task(ears.classify(bad)), asyncio.create_task(ears.classify(good))
            await ears.reached(lambda: ears.in_progress == 1)
            ears.limits = LIMITS  # those of the next ones
            assert await refusal_kind(first) == "took-too-long"
            assert ears.ready, "another is on its way"
            assert (await second)["error"] is None
            assert workers[0]._process.returncode == -signal.SIGKILL
            assert (ears.restarts, len(workers)) == (1, 2)

    asyncio.run(program())


def test_slow_file_is_refused_as_took_too_long(shelf: ModelStore, long: Path, held: HeldFiles) -> None:
    async def program() -> None:
        async with running_queue(shelf, replace(LIMITS, classify_s=0.01)) as ears:
            assert await refusal_kind(ears.classify(FileJob(long, shelf.get(None), windows="all"))) == "took-too-long"
            await held.wait_async()  # it had got there

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
    how: int,
    shelf: ModelStore,
    long: Path,
    held: HeldFiles,
    song: Path,
    workers: list[WorkerProcess],
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def program() -> None:
        async with running_queue(shelf) as ears:
            for i in range(2):
                first = asyncio.create_task(ears.classify(FileJob(long, shelf.get(None), windows="all")))
                await held.wait_async()
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
            await ears.reached(lambda: ears.restarts == 1)
            assert (await ears.classify(FileJob(song, shelf.get(None))))["error"] is None
            assert len(workers) == 2

    asyncio.run(program())


def test_job_given_to_a_dead_worker_goes_to_the_next_one(
    shelf: ModelStore, song: Path, workers: list[WorkerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PROVEN_S", 0.0)

    async def program() -> None:
        async with running_queue(shelf) as ears:
            await ears.reached(lambda: len(ears._idle) == 1)
            kill(workers[0])
            workers[0].ended.add_done_callback(lambda _: hearing.append(asyncio.create_task(ears.classify(order))))
            order, hearing = FileJob(song, shelf.get(None)), list[asyncio.Task[Any]]()
            await workers[0].ended
            assert (await hearing[0])["error"] is None

    asyncio.run(program())


def test_other_workers_go_on_while_one_is_dead(shelf: ModelStore, song: Path, workers: list[WorkerProcess]) -> None:
    async def program() -> None:
        async with running_queue(shelf, replace(LIMITS, workers=2)) as ears:
            await ears.reached(lambda: len(ears._idle) == 2)
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
        async with running_queue(shelf, sleep=pause) as ears:
            order = FileJob(song, shelf.get(None))
            await ears.classify(order)
            ill = True
            kill(last[0])
            waits = asyncio.create_task(ears.classify(order))
            assert await refusal_kind(waits) in ("not-ready", "crashed")
            for seconds in (module.MIN_RESTART_S, 2 * module.MIN_RESTART_S, 4 * module.MIN_RESTART_S):
                assert await asyncio.wait_for(pauses.get(), HANG_S) == seconds
                assert not ears.ready
                assert await refusal_kind(ears.classify(order)) == "not-ready"
                ill = seconds < 4 * module.MIN_RESTART_S
                over.put_nowait(None)
            await ears.reached(lambda: ears.ready)
            assert (await ears.classify(order))["error"] is None
            assert (pauses.qsize(), len(last)) == (0, 5)

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
    shelf: ModelStore, long: Path, held: HeldFiles, song: Path, workers: list[WorkerProcess]
) -> None:
    async def program() -> None:
        async with running_queue(shelf) as ears:
            first = asyncio.create_task(ears.classify(FileJob(long, shelf.get(None), windows="all")))
            await held.wait_async()
            second = asyncio.create_task(ears.classify(FileJob(song, shelf.get(None))))
            await ears.reached(lambda: ears.waiting == 1)
            await ears.stop()
            assert [await refusal_kind(first), await refusal_kind(second)] == ["stopping", "stopping"]
            assert workers[0]._process.returncode is not None
            await ears.stop()

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


def test_stopping_during_startup_leaves_no_worker(shelf: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    async def program(startup: Startup) -> None:
        ears = WorkerQueue(LIMITS, shelf)
        starting = asyncio.create_task(ears.start())
        await startup.wait()
        await asyncio.wait_for(asyncio.gather(ears.stop(), startup.let_go()), HANG_S)
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
def test_cancelled_start_leaves_no_worker(point: str, shelf: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    startup = Startup(point, monkeypatch)

    async def program() -> None:
        ears = WorkerQueue(replace(LIMITS, workers=2), shelf)
        starting = asyncio.create_task(ears.start())
        await startup.wait()
        starting.cancel()
        await one_turn()
        starting.cancel()  # who presses Ctrl-C presses it twice
        ends = asyncio.gather(starting, ears.stop(), ears.stop(), startup.let_go(), return_exceptions=True)
        await asyncio.wait_for(ends, HANG_S)
        assert not ears.ready
        assert [w._process.returncode for w in startup.made] == [-signal.SIGKILL] * len(startup.made)
        assert point == "first turn" or startup.made

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

    async def ask(ears: ObservedQueue, stop: asyncio.Event) -> None:
        while not stop.is_set():
            model = shelf.get(None)
            said = await ears.classify(FileJob(song, model))
            answers.append((model.bundle.fingerprint, said["genre"]))
            ears.tell()

    def heard_with(fingerprint: str, after: int) -> bool:
        return any(found == fingerprint for found, _ in answers[after:])

    async def program() -> None:
        stop = asyncio.Event()
        async with running_queue(shelf, replace(LIMITS, workers=2, queue=10)) as ears:
            asking = [asyncio.create_task(ask(ears, stop)) for _ in range(6)]
            for i in range(1, 21):
                await asyncio.to_thread(bundle_for, source, VIEW, bias=biases[i % 2])
                assert len(await asyncio.to_thread(shelf.reload)) == 1
                now, before = shelf.get(None).bundle.fingerprint, len(answers)
                genre_of[now] = ("Blues", "Rock")[i % 2]
                await ears.reached(partial(heard_with, now, before))
            stop.set()
            await asyncio.gather(*asking)
            assert (ears.processed, ears.restarts, len(workers)) == (len(answers), 0, 2)
            await ears.reached(lambda: all(w.models == shelf.models() for w in workers))

    asyncio.run(program())
    assert len(answers) >= 20
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
            await ears.reached(lambda: workers[0].models == shelf.models())
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
    await ears.classify(module.FileJob(Path(sys.argv[3]), shelf.get(None), windows="all"))

asyncio.run(program())
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits for other processes' ends")
def test_workers_end_when_the_service_is_killed(tmp_path: Path, shelf: ModelStore, long: Path, held: HeldFiles) -> None:
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
