"""A service under load: requests per second, latencies, responses to 64 clients, and growth of memory.

    python benchmarks/serve.py DATA [--model BUNDLE] [--seconds 30] [--requests 5000]

`genrelab serve` with one worker, which is bound to a core of its own if there is another one for the service and the
clients; MP3 files of about 30 s from anywhere under DATA. Exits 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from throughput import whole_clips

P99_S, GROWTH = 2.0, 0.10
"""Goals: the 99th percentile of the latency with eight clients, and growth of memory over all requests."""


@dataclass
class Seen:
    """Responses: seconds and statuses, and the errors of connections by class."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        p50, p99 = (float(np.percentile(self.seconds, q)) for q in (50, 99)) if self.seconds else (0.0, 0.0)
        faults = f", faults {dict(self.faults)}" if self.faults else ""
        return f"{dict(self.statuses)}{faults}, median {p50:.2f} s, 99 % {p99:.2f} s"


@contextmanager
def service(model: str | None) -> Iterator[tuple[str, int, subprocess.Popen[str]]]:
    """Host and port of a service with one worker, and its process."""
    command = [sys.executable, "-m", "genrelab", "serve", "--port", "0", "--workers", "1"]
    process = subprocess.Popen([*command, *(["--model", model] if model else [])], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        address = urlsplit(next(w for w in line.split() if w.startswith("http://")))
        bind(process.pid)
        yield str(address.hostname), int(address.port or 80), process
    finally:
        process.terminate()
        process.wait(20)


def bind(pid: int) -> None:
    """Bind the worker to a core of its own, and the service and the clients to the others."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        return
    for process in (pid, os.getpid()):
        for task in Path(f"/proc/{process}/task").iterdir():
            os.sched_setaffinity(int(task.name), cores[1:])
    for child in children(pid):
        for task in Path(f"/proc/{child}/task").iterdir():
            os.sched_setaffinity(int(task.name), cores[:1])


def children(pid: int) -> list[int]:
    """Child processes of the service: its workers, as long as no client streams."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found


def memory(pid: int) -> float:
    """Resident memory of the service and its workers in MB."""
    pages = [int(Path(f"/proc/{p}/statm").read_text().split()[1]) for p in (pid, *children(pid))]
    return sum(pages) * os.sysconf("SC_PAGESIZE") / 1e6


def ask(host: str, port: int, songs: list[bytes], clients: int, until: float, most: int = 1 << 60) -> Seen:
    """Send songs from `clients` threads, each of which sends the next one as soon as it has a response."""
    seen, lock, numbers = Seen(), threading.Lock(), iter(range(most))

    def client() -> None:
        connection = http.client.HTTPConnection(host, port, timeout=60)
        while time.monotonic() < until:
            with lock:
                number = next(numbers, None)
            if number is None:
                break
            start = time.monotonic()
            try:
                connection.request(
                    "POST", "/v1/predict?top=3", songs[number % len(songs)], {"Content-Type": "audio/mpeg"}
                )
                answer = connection.getresponse()
                json.loads(answer.read())
            except (OSError, http.client.HTTPException, ValueError) as e:
                connection.close()
                with lock:
                    seen.faults[type(e).__name__] += 1
                continue
            with lock:
                seen.statuses[answer.status] += 1
                if answer.status == 200:
                    seen.seconds.append(time.monotonic() - start)
            if answer.status == 429:  # as a client should, but only a tenth of the time, to make it harder
                time.sleep(float(answer.headers["Retry-After"]) / 10)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


def main() -> int:
    """Measure and print the three parts; 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--wanted", type=float, default=8.0, help="requests a second")
    args = parser.parse_args()
    songs = [path.read_bytes() for path in whole_clips(args.data, args.clips)]
    missed: set[str] = set()
    with service(args.model) as (host, port, process):
        ask(host, port, songs, 2, time.monotonic() + 3)
        rates = []
        for _ in range(3):
            start = time.monotonic()
            seen = ask(host, port, songs, 8, start + args.seconds)
            rates.append(seen.statuses[200] / (time.monotonic() - start))
            print(f"8 clients: {rates[-1]:.1f} a second, {seen}", flush=True)
            missed |= {"the 99th percentile"} if np.percentile(seen.seconds, 99) > P99_S else set()
            missed |= {"8 clients"} if set(seen.statuses) != {200} else set()
        print(f"8 clients, median of 3: {np.median(rates):.1f} a second (wanted: {args.wanted:g})", flush=True)
        missed |= {"requests a second"} if np.median(rates) < args.wanted else set()
        seen = ask(host, port, songs, 64, time.monotonic() + args.seconds)
        print(f"64 clients: {seen}", flush=True)
        missed |= {"64 clients"} if seen.faults or set(seen.statuses) - {200, 429} else set()
        grown = growth(host, port, songs, process.pid, args.requests)
        missed |= {"memory"} if grown is None or grown > GROWTH else set()
    print(f"missed: {', '.join(sorted(missed))}" if missed else "all met")
    return bool(missed)


def growth(host: str, port: int, songs: list[bytes], pid: int, requests: int) -> float | None:
    """Relative growth of memory over this number of requests, printed five times on the way.

    None if not all of them succeeded: a service that refuses requests does not grow either.
    """
    before, all_succeeded = memory(pid), True
    now = before
    for part in range(5):
        seen = ask(host, port, songs, 8, time.monotonic() + 3600, most=requests // 5)
        now = memory(pid)
        print(f"{(part + 1) * requests // 5} requests: {before:.0f} → {now:.0f} MB, {seen}", flush=True)
        all_succeeded = all_succeeded and set(seen.statuses) == {200} and not seen.faults
    return now / before - 1 if all_succeeded else None


if __name__ == "__main__":
    sys.exit(main())
