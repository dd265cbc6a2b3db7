"""The configurable limits on what clients can use; everything that a client can request is limited.

Disk: at most `uploads` files of `upload_bytes` at a time. Memory: `workers` plus `streams` processes of `worker_bytes`
each; a process that classifies music takes about 120 MB, with the networks of the view `embedding` 220 MB.
"""

from __future__ import annotations

from dataclasses import dataclass

MB, MIB = 1_000_000, 1 << 20


@dataclass(frozen=True)
class Limits:
    """The limits of one service.

    Attributes:
        upload_bytes: of one file.
        batch_files, batch_bytes: of one batch.
        audio_s: maximum duration of a file in seconds.
        classify_s: seconds that a worker may take for one file before it is killed.
        upload_s, idle_s: seconds that a request body may take to arrive, and between two pieces of it or of the head
            of a request.
        body_bytes_s: minimum mean rate of a body, in bytes a second, checked once `idle_s` have passed.
        workers: processes that classify files.
        queue: files that may wait for a worker; one more is answered 429.
        uploads: request bodies that are received at a time.
        connections: open at a time.
        streams: processed at a time, each by a process of its own.
        stream_s, stream_idle_s: maximum duration of a stream in seconds, and seconds that it may send nothing.
        worker_bytes: memory of a worker's own; a file that needs more is refused.
        stop_s: seconds that accepted requests have to finish when the service is stopped.
    """

    upload_bytes: int = 64 * MB
    batch_files: int = 32
    batch_bytes: int = 256 * MB
    audio_s: float = 1200.0
    classify_s: float = 20.0
    upload_s: float = 60.0
    idle_s: float = 10.0
    body_bytes_s: int = 8_000
    workers: int = 1
    queue: int = 16
    uploads: int = 64
    connections: int = 512
    streams: int = 4
    stream_s: float = 3600.0
    stream_idle_s: float = 15.0
    worker_bytes: int = 3000 * MB
    stop_s: float = 7.0
