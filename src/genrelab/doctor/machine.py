"""Checks this machine: packages, decoders, the model, the cache folder, disk and memory.

Checks for a training come last: TensorFlow, disk for PREPARED, memory for workers.

Each check uses the component: it decodes a sound, or classifies one. A problem is reported with its remedy, and the
other checks continue; so the imports at the top include nothing that may be broken.
"""

from __future__ import annotations

import importlib
import os
import platform
import re
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from genrelab import __version__
from genrelab.core.processes import available_cores
from genrelab.models.devices import DeviceReport

LEARN_PACKAGES = ("google_crc32c", "onnx", "pandas", "pyarrow", "skl2onnx", "sklearn")
TRAIN_PACKAGES = (
    *LEARN_PACKAGES, "jinja2", "keras", "matplotlib", "optuna", "pooch", "requests", "tensorflow", "tf2onnx",
)  # fmt: skip
"""Packages for `learn` and for training; without the last one of each, nothing of that extra counts as installed."""

SYNTHESISED_FORMATS = {"wav": "PCM_16", "flac": "PCM_16", "ogg": "VORBIS", "aiff": "PCM_16"}
"""Formats whose test tone libsndfile writes, and the encoding."""

TONES = {file.suffix[1:]: file for file in sorted(Path(__file__).with_name("tones").glob("tone.*"))}
"""The test tone in formats that few machines can encode: 440 Hz, mono, 8 kHz (Opus: 48 kHz), made with PyAV."""

TONE_HZ, TONE_S = 440.0, 0.25

MIN_DISK, MIN_MEMORY = 200_000_000, 300_000_000
"""Bytes that classifying a library needs."""

NVIDIA = Path("/dev/nvidia0")
"""Exists if Linux has a driver for an NVIDIA GPU."""

OK, NOTE, REPAIR = "ok", "note", "repair"


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        part: the group of checks.
        name: what was checked.
        state: `ok`; `note` (it works, with a remark); `repair` (it does not work).
        found: a version, a path, an amount, or the error message.
        remedy: what to do; None if it is fine.
    """

    part: str
    name: str
    state: str
    found: str
    remedy: str | None = None


def check_machine(model: str | Path | None = None) -> Iterator[Finding]:
    """Run all checks, one finding after the other.

    Args:
        model: the bundle to check; by default the one that `predict` uses.
    """
    python = f"{platform.python_version()} on {platform.platform(terse=True)} ({sys.executable})"
    yield Finding("genrelab", "genrelab", OK, f"{__version__} ({Path(__file__).parents[1]})")
    yield Finding("genrelab", "Python", OK, python)
    for package in sorted(min_versions()):
        yield _run_check("packages", package, partial(_check_package, package), _reinstall(package))
    yield _check_extra("learn", "for `learn`", LEARN_PACKAGES)
    yield _check_extra("train", "for training", TRAIN_PACKAGES)
    with tempfile.TemporaryDirectory() as folder:
        for suffix in (*SYNTHESISED_FORMATS, *TONES):
            yield _run_check(
                "decoders", suffix, partial(_check_decoder, Path(folder), suffix), _reinstall("soundfile av")
            )
    yield _run_check("model", "model", partial(_check_model, model), _model_remedy(model))
    yield _run_check("model", "music networks", _check_networks, _reinstall("genrelab"))
    yield from _check_resources()


def min_versions() -> dict[str, str]:
    """Minimum version of each distribution that genrelab needs without any extra, from its own metadata."""
    needs = [need for need in requires("genrelab") or () if "extra ==" not in need]
    return dict(re.findall(r"^([\w.-]+)>=([\d.]+)", "\n".join(needs), re.MULTILINE))


def _run_check(part: str, name: str, check: Callable[[], str], remedy: str) -> Finding:
    try:
        return Finding(part, name, OK, check())
    except Exception as e:  # noqa: BLE001 - a broken component may raise anything, and that is the finding
        return Finding(part, name, REPAIR, " ".join(str(e).split()) or type(e).__name__, remedy)


def _reinstall(packages: str) -> str:
    return f"{shlex.quote(sys.executable)} -m pip install --upgrade --force-reinstall {packages}"


def _check_package(name: str) -> str:
    module = importlib.import_module({"scipy": "scipy.fft"}.get(name, name.replace("-", "_")))  # the submodule in use
    if _version_tuple(version(name)) < _version_tuple(minimum := min_versions()[name]):
        raise ImportError(f"{version(name)} is too old: genrelab needs {minimum} or newer")
    inside = {"soundfile": ("libsndfile", "__libsndfile_version__"), "av": ("FFmpeg", "ffmpeg_version_info")}
    what, attribute = inside.get(name, ("", ""))
    inner_version = getattr(module, attribute, None) if attribute else None
    return f"{version(name)} ({what} {inner_version})" if inner_version else version(name)


def _version_tuple(release: str) -> tuple[int, ...]:
    """`1.26.4rc1` as (1, 26, 4)."""
    return tuple(int(n) for n in re.findall(r"\d+", re.split(r"[^\d.]", release, maxsplit=1)[0]))


def _check_extra(extra: str, purpose: str, packages: tuple[str, ...]) -> Finding:
    missing = [name for name in packages if find_spec(name) is None]
    found = "not installed" if packages[-1] in missing else f"incomplete: {', '.join(sorted(missing))} missing"
    remedy = f"{purpose}: {shlex.quote(sys.executable)} -m pip install 'genrelab[{extra}]'"
    return Finding("packages", extra, NOTE, found, remedy) if missing else Finding("packages", extra, OK, "installed")


def _check_decoder(folder: Path, suffix: str) -> str:
    """Decode the test tone and check its frequency."""
    import numpy as np

    from genrelab.audio import clips as audio_clips

    file = folder / f"tone.{suffix}"
    if suffix in SYNTHESISED_FORMATS:
        import soundfile

        y = 0.5 * np.sin(2 * np.pi * TONE_HZ * np.arange(int(TONE_S * 8_000)) / 8_000)
        soundfile.write(file, y.astype(np.float32), 8_000, subtype=SYNTHESISED_FORMATS[suffix])
    else:
        file = TONES[suffix]
    decoded, sr = audio_clips.read(file)
    spectrum = np.abs(np.fft.rfft(decoded * np.hanning(len(decoded))))
    hz = float(spectrum.argmax() * sr / len(decoded))
    if abs(hz - TONE_HZ) > 10:
        raise ValueError(f"a tone of {TONE_HZ:.0f} Hz is decoded as one of {hz:.0f} Hz")
    decoder = audio_clips.probe(file).decoder
    return f"decoded by {'FFmpeg' if decoder == 'av' else 'libsndfile'}"


def _check_model(model: str | Path | None) -> str:
    """Load the model and classify a chord."""
    from genrelab.core.errors import BundleError
    from genrelab.predict.classifier import load_bundle

    y, start = _chord(22_050), time.perf_counter()
    bundle = load_bundle(model)
    loaded = time.perf_counter()
    prediction = bundle.predict(y, 22_050)
    done = time.perf_counter()
    if prediction.error is not None:
        raise BundleError(f"{bundle.path}: cannot classify a test sound: {prediction.error}")
    milliseconds = f"loaded in {1000 * (loaded - start):.0f} ms, classifies in {1000 * (done - loaded):.0f} ms"
    return f"{bundle.name}, {len(bundle.genres)} genres: {milliseconds} ({bundle.path})"


def _check_networks() -> str:
    """Compute the view `embedding` of a chord."""
    from genrelab.core.config import EmbeddingView
    from genrelab.features.views import compute

    view, start = EmbeddingView(), time.perf_counter()
    compute(view, _chord(view.sr), view.sr)
    return f"{', '.join(view.networks)}: 3 s processed in {1000 * (time.perf_counter() - start):.0f} ms"


def _chord(sr: int) -> Any:
    """Three seconds of a chord, float32 (samples,)."""
    import numpy as np

    t = np.arange(3 * sr) / sr
    return np.float32(sum(np.sin(2 * np.pi * hz * t) / i for i, hz in enumerate((220, 277, 330, 440), 1)) / 4)


def _model_remedy(model: str | Path | None) -> str:
    if model or os.environ.get("GENRELAB_MODEL"):
        return "give another bundle with --model or GENRELAB_MODEL; without both, the starter model is used"
    return _reinstall("genrelab")


def _check_resources() -> Iterator[Finding]:
    cache = _run_check("machine", "cache", _check_cache, "set GENRELAB_CACHE to a folder that you can write to")
    # Without the cache everything works; a second run only takes as long as the first.
    yield cache if cache.state == OK else Finding("machine", "cache", NOTE, cache.found, cache.remedy)
    for name, where in (("this folder", Path.cwd()), ("temporary files", Path(tempfile.gettempdir()))):
        yield _run_check("machine", name, partial(_check_disk, where), "free disk space, or work in another folder")
    yield _run_check("machine", "memory", _check_memory, "close other programs, or use --jobs 1")
    yield Finding("machine", "cores", OK, str(available_cores()))


def _check_cache() -> str:
    from genrelab.predict.cache_database import cache_folder

    folder = cache_folder()
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    with tempfile.TemporaryFile(dir=existing):
        pass
    size = sum(f.stat().st_size for f in folder.iterdir() if f.is_file()) if folder.is_dir() else 0
    return f"{folder}, {size / 1e6:.1f} MB"


def _check_disk(where: Path) -> str:
    free = shutil.disk_usage(where).free
    if free < MIN_DISK:
        raise OSError(f"{free / 1e6:.0f} MB free in {where}, the minimum is {MIN_DISK / 1e6:.0f} MB")
    return f"{free / 1e9:.1f} GB free in {where}"


def _check_memory() -> str:
    free = free_memory()
    if free is None:
        return "unknown on this system"
    if free < MIN_MEMORY:
        raise MemoryError(f"{free / 1e6:.0f} MB free, the minimum is {MIN_MEMORY / 1e6:.0f} MB")
    return f"{free / 1e9:.1f} GB free"


def free_memory() -> int | None:
    """Available memory in bytes; None if the system does not report it."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return None
    found = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo.read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else None


# --- before a training ---


def can_train() -> bool:
    """Are all packages that training imports installed?"""
    return all(find_spec(name) is not None for name in TRAIN_PACKAGES)


def check_training(wait_for_report: Callable[[], DeviceReport]) -> Iterator[Finding]:
    """Check that TensorFlow starts and trains a small model correctly on each device.

    Args:
        wait_for_report: returns the report of `devices.device_probe`.
    """
    try:
        version, found = wait_for_report()
    except RuntimeError as e:
        yield Finding("training", "TensorFlow", REPAIR, str(e), _reinstall("'genrelab[train]'"))
        return
    yield Finding("training", "TensorFlow", OK, version)
    for device in found:
        text = device.error or f"trains a small model correctly, in {device.seconds:.1f} s"
        remedy = "train with --strategy cpu, or install another build of TensorFlow" if device.error else None
        yield Finding("training", device.name, REPAIR if device.error else OK, text, remedy)
    if NVIDIA.exists() and not any(device.name.startswith("GPU") for device in found):
        remedy = f"to train on it: {shlex.quote(sys.executable)} -m pip install 'genrelab[train-gpu]'"
        yield Finding("training", "GPU", NOTE, "TensorFlow does not find the NVIDIA GPU of this machine", remedy)


def check_capacity(n_bytes: float, jobs: int) -> Iterator[Finding]:
    """Check that the disk holds a PREPARED of `n_bytes` twice, as while it is written, and the memory for workers."""
    free, needed = shutil.disk_usage(Path.cwd()).free, 2 * n_bytes
    size = f"{needed / 1e9:.1f} GB" if needed >= 1e9 else f"{needed / 1e6:.0f} MB"
    text = f"needs about {size} while it is written; {free / 1e9:.1f} GB free in {Path.cwd()}"
    state, remedy = (OK, None) if needed < free else (NOTE, "free disk space, or use --out on another disk")
    yield Finding("training", "PREPARED", state, text, remedy)
    memory, memory_needed = free_memory(), jobs * MIN_MEMORY
    if memory is not None and memory < memory_needed:
        text = f"{memory / 1e9:.1f} GB free, {jobs} workers need about {memory_needed / 1e9:.1f} GB"
        yield Finding("training", "workers", NOTE, text, f"use --jobs {max(1, memory // MIN_MEMORY)}")
