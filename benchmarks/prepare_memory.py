"""Peak memory of a worker of `prepare`: with files of 3 hours, and with few and many short tracks.

    python benchmarks/prepare_memory.py DATA [--hours 3] [--json PATH]

The long files are joined from real clips: MP3 with a header that states the length, MP3 without (which FFmpeg reads),
and FLAC. Goals: under 300 MB each; with eight times as many tracks a worker grows by at most a tenth.
"""

from __future__ import annotations

from sides import Row, arguments, mp3_clips, report  # isort: skip

import subprocess
import tempfile
import threading
from pathlib import Path

from songs import join

from genrelab.datasets.base import Dataset, Track
from genrelab.prepare.pipeline import prepare

MAX_MB = 300
FEW, TIMES = 12, 8


def main() -> int:
    """Measure, print the row and write it; 1 if a goal is missed."""
    parser = arguments("the most memory of a worker of `prepare`")
    parser.add_argument("--hours", type=float, default=3.0)
    options = parser.parse_args()
    clips = mp3_clips(options.data, FEW * TIMES)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        files = long_files(clips, home, round(3600 * options.hours))
        long = {name: peak_mb([path], home / "prepared") for name, path in files.items()}
        few, many = (peak_mb(some, home / "prepared") for some in (clips[:FEW], clips))
    worst = max(long.values())
    row = Row(
        "prepare_memory", "the most memory of a worker of `prepare`, as a share", f"{MAX_MB} MB",
        worst / MAX_MB, (min(long.values()) / MAX_MB, worst / MAX_MB), len(long),
        at_most=1,
        medians={f"{options.hours:g} hours as {name}, MB": mb for name, mb in long.items()},
        checks={f"{len(clips)} tracks take no more than a tenth more than {FEW}": many <= 1.1 * few},
        extra={f"{FEW} clips of 30 s, MB": few, f"{len(clips)} clips of 30 s, MB": many},
    )  # fmt: skip
    return report(row, options.json)


def long_files(clips: list[Path], folder: Path, seconds: int) -> dict[str, Path]:
    """The same music in three files, by a description of their format."""
    stated = join(clips, folder / "stated.mp3", seconds)
    bare, flac = folder / "bare.mp3", folder / "long.flac"
    quiet = ["ffmpeg", "-y", "-loglevel", "error", "-i", stated]
    subprocess.run([*quiet, "-c", "copy", "-write_xing", "0", "-id3v2_version", "0", bare], check=True)
    subprocess.run([*quiet, "-ac", "1", "-ar", "22050", "-sample_fmt", "s16", flac], check=True)
    return {"MP3": stated, "MP3 without a header": bare, "FLAC": flac}


def peak_mb(paths: list[Path], out: Path) -> float:
    """Peak memory in MB of any child of this process while one worker prepares these files."""
    tracks = tuple(Track(f"{i:06d}", str(p), f"genre {i % 2}") for i, p in enumerate(paths))
    peaks: dict[int, int] = {}
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(peaks, done))
    watcher.start()
    try:
        with tempfile.TemporaryDirectory(dir=out.parent) as folder:
            prepared = prepare(Dataset("clips", Path("/"), tracks), folder, jobs=1)
            failed = prepared.about["counts"]["failed"]
    finally:
        done.set()
        watcher.join()
    if failed:
        raise SystemExit(f"{failed} of {len(paths)} tracks failed")
    return max(peaks.values()) / 1e3


def _watch(peaks: dict[int, int], done: threading.Event) -> None:
    """Record the peak memory of this process's children in KB, by process id, until `done` is set."""
    while not done.wait(0.02):
        for child in _children():
            try:
                lines = Path(f"/proc/{child}/status").read_text().splitlines()
            except OSError:
                continue
            found = [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
            peaks[child] = max(found, default=peaks.get(child, 0))


def _children() -> list[int]:
    tasks = Path("/proc/self/task").iterdir()
    return [int(child) for task in tasks for child in _read_words(task / "children")]


def _read_words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []


if __name__ == "__main__":
    raise SystemExit(main())
