"""The most memory that a worker of `prepare` ever has: with files of 3 hours, and with few and many short tracks.

    python benchmarks/prepare_memory.py DATA [--hours 3] [--json PATH]

The long files are real clips joined: MP3 with a header that states the length, MP3 without (FFmpeg reads those), and
FLAC. Under 300 MB each; and with eight times the tracks a worker must not grow by more than a tenth.
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

MOST_MB = 300
FEW, TIMES = 12, 8


def main() -> int:
    """Measures, prints, writes."""
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
        "prepare_memory", "the most memory of a worker of `prepare`, as a share", f"{MOST_MB} MB",
        worst / MOST_MB, (min(long.values()) / MOST_MB, worst / MOST_MB), len(long),
        at_most=1,
        medians={f"{options.hours:g} hours as {name}, MB": mb for name, mb in long.items()},
        checks={f"{len(clips)} tracks take no more than a tenth more than {FEW}": many <= 1.1 * few},
        extra={f"{FEW} clips of 30 s, MB": few, f"{len(clips)} clips of 30 s, MB": many},
    )  # fmt: skip
    return report(row, options.json)


def long_files(clips: list[Path], folder: Path, seconds: int) -> dict[str, Path]:
    """The same music in three containers."""
    stated = join(clips, folder / "stated.mp3", seconds)
    bare, flac = folder / "bare.mp3", folder / "long.flac"
    quiet = ["ffmpeg", "-y", "-loglevel", "error", "-i", stated]
    subprocess.run([*quiet, "-c", "copy", "-write_xing", "0", "-id3v2_version", "0", bare], check=True)
    subprocess.run([*quiet, "-ac", "1", "-ar", "22050", "-sample_fmt", "s16", flac], check=True)
    return {"MP3": stated, "MP3 without a header": bare, "FLAC": flac}


def peak_mb(paths: list[Path], out: Path) -> float:
    """The most that any child of this process ever had while these files were prepared by one worker, MB."""
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
    """High-water marks of this process's children in KB, until `done`."""
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
    return [int(child) for task in tasks for child in _words(task / "children")]


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []


if __name__ == "__main__":
    raise SystemExit(main())
