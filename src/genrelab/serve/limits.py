"""Everything that a stranger can ask for has an end; those that somebody may want to move stand here.

On disk at most `uploads` files of `upload_bytes` lie at a time, in memory `workers` and `streams` processes of
`worker_bytes` each; a process that hears music takes about 120 MB.
"""

from __future__ import annotations

from dataclasses import dataclass

MB, MIB = 1_000_000, 1 << 20


@dataclass(frozen=True)
class Limits:
    """What one service takes on.

    Attributes:
        upload_bytes: of one file.
        batch_files, batch_bytes: of one batch.
        audio_s: seconds that a file may last.
        classify_s: seconds that a worker may take for one file; then it is killed.
        upload_s, idle_s: seconds that a body may take to arrive, and that may pass between two pieces of it or of the
            head of a request.
        body_bytes_s: bytes a second that a body must have come at when `idle_s` are over.
        workers: processes that hear files.
        queue: files that may wait for a worker; one more is answered 429.
        uploads: bodies that are received at a time.
        connections: that are open at a time.
        streams: that are heard at a time, each by a process of its own.
        stream_s, stream_idle_s: seconds that a stream may last, and that it may be silent on the wire.
        worker_bytes: memory of a worker's own; a file that wants more is refused.
        stop_s: seconds that accepted requests are given when the service is stopped.
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
