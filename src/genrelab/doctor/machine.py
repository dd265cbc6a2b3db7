"""The check-up of this machine: packages, decoders, the model, the place for the cache, room for work.

What is looked at only before a training (`doctor ROOT`) stands last: TensorFlow, room for PREPARED, memory for workers.

Everything is tried, not only looked up: sounds are decoded, a model answers. What is broken is said with its remedy,
and the rest is looked at all the same; so nothing that may be broken is imported at the top.
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

from genrelab import __version__
from genrelab.audio import tones
from genrelab.core.processes import available_cores
from genrelab.models.devices import DeviceReport

TRAIN_PACKAGES = (
    "google_crc32c", "jinja2", "keras", "matplotlib", "onnx", "optuna", "pandas", "pooch", "pyarrow", "requests",
    "skl2onnx", "sklearn", "tensorflow", "tf2onnx",
)  # fmt: skip
"""What only training imports."""

SYNTHESISED_FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "aiff": ("AIFF", "PCM_16"),
}
"""Formats whose test sound libsndfile writes; the others come encoded (`tiny_sounds.py`)."""

MIN_DISK, MIN_MEMORY = 200_000_000, 300_000_000
"""Bytes without which classifying a library may break off."""

NVIDIA = Path("/dev/nvidia0")
"""There where Linux has a driver for a GPU by NVIDIA."""

OK, NOTE, REPAIR = "ok", "note", "repair"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        part: of the check-up it belongs to.
        name: what was looked at.
        state: `ok`; `note` (works, yet worth knowing); `repair` (something does not work).
        found: a version, a place, an amount, or the error's own words.
        remedy: what to do, None where there is nothing to be done.
    """

    part: str
    name: str
    state: str
    found: str
    remedy: str | None = None


def check_machine(model: str | Path | None = None) -> Iterator[Finding]:
    """Look at everything, one finding after the other.

    Args:
        model: bundle to try; by default the one that `predict` takes.
    """
    python = f"{platform.python_version()} on {platform.platform(terse=True)} ({sys.executable})"
    yield Finding("genrelab", "genrelab", OK, f"{__version__} ({Path(__file__).parents[1]})")
    yield Finding("genrelab", "Python", OK, python)
    for package in base_packages():
        yield _run_check("packages", package, partial(_check_package, package), _reinstall(package))
    yield _check_train_packages()
    with tempfile.TemporaryDirectory() as folder:
        for suffix in (*SYNTHESISED_FORMATS, *tones.tone_files()):
            yield _run_check(
                "decoders", suffix, partial(_check_decoder, Path(folder), suffix), _reinstall("soundfile av")
            )
    yield _run_check("model", "model", partial(_check_model, model), _model_remedy(model))
    yield from _check_resources()


def base_packages() -> tuple[str, ...]:
    """Distributions that genrelab needs without any extra, from its own metadata."""
    return tuple(sorted(_min_versions()))


def _min_versions() -> dict[str, str]:
    """Their oldest versions that do."""
    needs = [need for need in requires("genrelab") or () if "extra ==" not in need]
    return dict(re.findall(r"^([\w.-]+)>=([\d.]+)", "\n".join(needs), re.MULTILINE))


def _run_check(part: str, name: str, look: Callable[[], str], remedy: str) -> Finding:
    try:
        return Finding(part, name, OK, look())
    except Exception as e:  # noqa: BLE001 - whatever is broken raises whatever it likes, and that is the finding
        return Finding(part, name, REPAIR, " ".join(f"{type(e).__name__}: {e}".split()), remedy)


def _reinstall(packages: str) -> str:
    return f"{shlex.quote(sys.executable)} -m pip install --upgrade --force-reinstall {packages}"


def _check_package(name: str) -> str:
    module = importlib.import_module({"scipy": "scipy.fft"}.get(name, name.replace("-", "_")))  # what of it is used
    if _version_tuple(version(name)) < _version_tuple(least := _min_versions()[name]):
        raise ImportError(f"{version(name)} is too old: genrelab needs {least} or newer")
    inside = {"soundfile": ("libsndfile", "__libsndfile_version__"), "av": ("FFmpeg", "ffmpeg_version_info")}
    what, attribute = inside.get(name, ("", ""))
    held = getattr(module, attribute, None) if attribute else None
    return f"{version(name)} ({what} {held})" if held else version(name)


def _version_tuple(release: str) -> tuple[int, ...]:
    """`1.26.4rc1` as (1, 26, 4)."""
    return tuple(int(n) for n in re.findall(r"\d+", re.split(r"[^\d.]", release, maxsplit=1)[0]))


def _check_train_packages() -> Finding:
    missing = [name for name in TRAIN_PACKAGES if find_spec(name) is None]
    if not missing:
        return Finding("packages", "train half", OK, "installed")
    found = "not installed" if "tensorflow" in missing else f"not complete: without {', '.join(missing)}"
    remedy = f"only to train models: {shlex.quote(sys.executable)} -m pip install 'genrelab[train]'"
    return Finding("packages", "train half", NOTE, found, remedy)


def _check_decoder(folder: Path, suffix: str) -> str:
    """Decodes a quarter of a second and listens whether it is the tone that went in."""
    import numpy as np

    from genrelab.audio import clips as audio_clips

    file = folder / f"tone.{suffix}"
    if suffix in SYNTHESISED_FORMATS:
        import soundfile

        y = 0.5 * np.sin(2 * np.pi * tones.HZ * np.arange(int(tones.SECONDS * 8_000)) / 8_000)
        form, subtype = SYNTHESISED_FORMATS[suffix]
        soundfile.write(file, y.astype(np.float32), 8_000, format=form, subtype=subtype)
    else:
        file.write_bytes(tones.tone_files()[suffix])
    heard, sr = audio_clips.read(file)
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
    hz = float(spectrum.argmax() * sr / len(heard))
    if abs(hz - tones.HZ) > 10:
        raise ValueError(f"a tone of {tones.HZ:.0f} Hz comes back as one of {hz:.0f} Hz")
    return f"read by {audio_clips.probe(file).decoder}"


def _check_model(model: str | Path | None) -> str:
    """Loads the model and lets it hear a chord."""
    import numpy as np

    from genrelab.core.errors import BundleError
    from genrelab.predict.classifier import load_bundle

    t = np.arange(3 * 22_050) / 22_050
    y = np.sum([np.sin(2 * np.pi * hz * t) / i for i, hz in enumerate((220, 277, 330, 440), 1)], axis=0) / 4
    began = time.perf_counter()
    bundle = load_bundle(model)
    loaded = time.perf_counter()
    prediction = bundle.predict(y.astype(np.float32), 22_050)
    done = time.perf_counter()
    if prediction.error is not None:
        raise BundleError(f"{bundle.path}: does not answer: {prediction.error}")
    milliseconds = f"loads in {1000 * (loaded - began):.0f} ms, answers in {1000 * (done - loaded):.0f} ms"
    return f"{bundle.name}, {len(bundle.genres)} genres: {milliseconds} ({bundle.path})"


def _model_remedy(model: str | Path | None) -> str:
    if model or os.environ.get("GENRELAB_MODEL"):
        return "name another bundle with --model or GENRELAB_MODEL, or leave both out for the starter model"
    return _reinstall("genrelab")


def _check_resources() -> Iterator[Finding]:
    cache = _run_check("machine", "cache", _check_cache, "set GENRELAB_CACHE to a folder that you may write to")
    # Without it everything works, only a second run takes as long as the first.
    yield cache if cache.state == OK else Finding("machine", "cache", NOTE, cache.found, cache.remedy)
    for name, where in (("this folder", Path.cwd()), ("temporary files", Path(tempfile.gettempdir()))):
        yield _run_check("machine", name, partial(_check_disk, where), "make room, or work in another folder")
    yield _run_check("machine", "memory", _check_memory, "close other programs, or use --jobs 1")
    yield Finding("machine", "cores", OK, str(available_cores()))


def _check_cache() -> str:
    from genrelab.predict.cache import cache_folder

    folder = cache_folder()
    there = next(p for p in (folder, *folder.parents) if p.exists())
    with tempfile.TemporaryFile(dir=there):
        pass
    size = sum(f.stat().st_size for f in folder.iterdir() if f.is_file()) if folder.is_dir() else 0
    return f"{folder}, {size / 1e6:.1f} MB"


def _check_disk(where: Path) -> str:
    free = shutil.disk_usage(where).free
    if free < MIN_DISK:
        raise OSError(f"{free / 1e6:.0f} MB free in {where}, {MIN_DISK / 1e6:.0f} MB are needed")
    return f"{free / 1e9:.1f} GB free in {where}"


def _check_memory() -> str:
    free = free_memory()
    if free is None:
        return "not known on this system"
    if free < MIN_MEMORY:
        raise MemoryError(f"{free / 1e6:.0f} MB free, {MIN_MEMORY / 1e6:.0f} MB are needed")
    return f"{free / 1e9:.1f} GB free"


def free_memory() -> int | None:
    """Bytes that programs can still have, where the system tells."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return None
    found = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo.read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else None


# --- before a training ---


def can_train() -> bool:
    """Is everything that training imports installed?"""
    return all(find_spec(name) is not None for name in TRAIN_PACKAGES)


def check_training(answer: Callable[[], DeviceReport]) -> Iterator[Finding]:
    """TensorFlow and each device that it finds, by what `devices.device_probe` gives."""
    try:
        version, found = answer()
    except RuntimeError as e:
        yield Finding("training", "TensorFlow", REPAIR, str(e), _reinstall("'genrelab[train]'"))
        return
    yield Finding("training", "TensorFlow", OK, version)
    for device in found:
        said = device.error or f"learns what it should, in {device.seconds:.1f} s"
        remedy = "use --strategy cpu, or another build of TensorFlow" if device.error else None
        yield Finding("training", device.name, REPAIR if device.error else OK, said, remedy)
    if NVIDIA.exists() and not any(device.name.startswith("GPU") for device in found):
        remedy = f"to train on it: {shlex.quote(sys.executable)} -m pip install 'genrelab[train-gpu]'"
        yield Finding("training", "GPU", NOTE, "there is one by NVIDIA, and TensorFlow does not find it", remedy)


def training_not_checked() -> Finding:
    """What is said of TensorFlow where a table of features is looked at: no model that learns from one uses it."""
    return Finding("training", "TensorFlow", OK, "not tried: models that learn from a table do without")


def check_capacity(n_bytes: float, jobs: int) -> Iterator[Finding]:
    """Room for a PREPARED of so many bytes, which stand on disk twice for a while, and memory for the workers."""
    free, needed = shutil.disk_usage(Path.cwd()).free, 2 * n_bytes
    size = f"{needed / 1e9:.1f} GB" if needed >= 1e9 else f"{needed / 1e6:.0f} MB"
    said = f"about {size} are needed while it is made, {free / 1e9:.1f} GB are free in {Path.cwd()}"
    remedy = "make room, or give --out on another disk"
    yield (
        Finding("training", "PREPARED", OK, said)
        if needed < free
        else Finding("training", "PREPARED", NOTE, said, remedy)
    )
    memory, wanted = free_memory(), jobs * MIN_MEMORY
    if memory is not None and memory < wanted:
        said = f"{memory / 1e9:.1f} GB free, {jobs} workers want about {wanted / 1e9:.1f} GB"
        yield Finding("training", "workers", NOTE, said, f"use --jobs {max(1, memory // MIN_MEMORY)}")
