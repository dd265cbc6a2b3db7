"""The results of `bench` as text: rows of its tables, advice, and the command to copy."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from genrelab.bench.bench import Bench
from genrelab.bench.datasets import NIGHT_S, DatasetForecast, largest_fitting
from genrelab.bench.stages import DECODE, FINGERPRINT, READ, RESAMPLE, WRITE
from genrelab.core.config import DEFAULT_VIEWS
from genrelab.core.processes import available_cores
from genrelab.core.text import pluralize

STAGE_HEADERS = ("stage", "ms a track", "tracks/s", "MB/s", "of prepare's CPU")
PART_HEADERS = ("of prepare, by the clock", "takes", "of it")
FORECAST_HEADERS = ("what", "tracks", "prepare", "PREPARED", "download", "peak disk")

BUSY_SHARE = 0.15
"""Share of the cores taken by other programs above which it is mentioned."""

MB = 1e6


def stage_rows(result: Bench) -> Iterator[tuple[str, ...]]:
    """The stages that a track passes, then those of training, by window and epoch."""
    for s in result.stages:
        mb_s = "" if s.mb_s is None else f"{s.mb_s:,.0f}"
        yield s.name, f"{s.ms:.2f}", _per_second(s.ms), mb_s, "" if s.share is None else f"{s.share:.0%}"
    for n in result.trained.networks:
        if n.once_s:
            yield f"train {n.name}: a window, once (frozen base)", *_window_cells(n.once_s)
        yield f"train {n.name}: a window, each epoch", *_window_cells(n.window_s)
    for name in result.trained.missing:
        yield f"train {name}: a window, each epoch", "not measured", "", "", ""


def part_rows(amount: DatasetForecast) -> Iterator[tuple[str, ...]]:
    """The parts that a prediction is the sum of."""
    for name, seconds in amount.parts.items():
        yield name, format_duration(seconds), f"{seconds / amount.seconds:.0%}"
    yield "in all", format_duration(amount.seconds), "100%"


def forecast_headers(result: Bench) -> tuple[str, ...]:
    """Headers of the table of predictions."""
    fewest, most = result.epochs
    networks = (f"train {n.name}, {fewest} to {most} epochs" for n in result.trained.networks)
    return (*FORECAST_HEADERS, *networks)


def forecast_rows(result: Bench) -> Iterator[tuple[str, ...]]:
    """The predictions, one row per data set."""
    for a in result.amounts:
        networks = (_training_range(a, n.name) for n in result.trained.networks)
        download = "" if a.download_bytes is None else format_bytes(a.download_bytes)
        yield (
            a.name,
            f"{a.tracks:,}",
            format_duration(a.seconds),
            format_bytes(a.n_bytes),
            download,
            format_bytes(a.peak_bytes),
            *networks,
        )


def sentences(result: Bench) -> Iterator[str]:
    """Sentences that explain the tables."""
    slowest = next(s for s in result.stages if s.name == result.slowest)
    yield f"Slowest of prepare: {slowest.name}, {slowest.share or 0:.0%} of its CPU time. {_speed_advice(result)}"
    if result.trained.reason:
        yield f"Training not measured: {result.trained.reason}"
    yield from _reading_sentences(result)
    if result.busy > BUSY_SHARE:
        yield (
            f"Other programs took {result.busy:.0%} of the cores meanwhile; alone prepare takes less by about as much."
        )
    n, workers = pluralize(result.rehearsed, "track"), pluralize(result.forecast.jobs, "worker")
    yield f"prepare is predicted from {n} that {workers} prepared; for tracks like them, and a machine as busy,"
    yield "it should be right within a quarter. Peak disk: PREPARED stands there twice for a while;"
    yield "of FMA its clips, too, and the archive until it is unpacked."
    if result.trained.networks:
        yield "Training is an interval, not a prediction: how many epochs a network needs shows only while it trains;"
        yield "models without epochs, calibration and scores come on top."
    yield _fma_sentence(result)
    for failure in result.failed:
        yield f"Left out: {failure}"


def _fma_sentence(result: Bench) -> str:
    """Which part of FMA can be prepared in a night, and which networks can then be trained on it for all epochs."""
    fit, room = (
        largest_fitting(result.amounts, result.free_bytes),
        f"a night of {format_duration(NIGHT_S)} and {format_bytes(result.free_bytes)}",
    )
    if fit is None:
        least = next(a for a in result.amounts if a.download_bytes is not None)
        takes = f"{least.name} takes {format_duration(least.seconds)} and {format_bytes(least.peak_bytes)}"
        return f"No part of FMA fits in {room} of free disk: {takes}."
    takes = (
        f"prepare takes {format_duration(fit.seconds)} without the download, {format_bytes(fit.peak_bytes)} at the peak"
    )
    networks = [name for name, (_, most) in fit.networks_s.items() if fit.seconds + most <= NIGHT_S]
    trained = f"; then training {' or '.join(networks)} for the most epochs fits, too" if networks else ""
    return f"Of FMA, {fit.name} fits in {room} of free disk: {takes}{trained}."


def recommended_command(
    result: Bench, program: Sequence[str], root: str | None, out: str = "prepared", options: Sequence[str] = ()
) -> str:
    """The recommended `prepare` command; without a ROOT, for the part of FMA that fits, after downloading it.

    Args:
        options: with which ROOT was read.
    """
    words = [*program, "prepare", root or "data", *options, "--out", out]
    if set(result.views) != set(DEFAULT_VIEWS):
        words += ["--views", ",".join(result.views)]
    fit = None if root is not None else largest_fitting(result.amounts, result.free_bytes)
    names = [] if fit is None else ["fma-metadata", fit.name]
    downloads = [shlex.join([*program, "download", name, "--out", "data"]) for name in names]
    return " && ".join([*downloads, shlex.join([*words, "--jobs", str(result.forecast.jobs)])])


def format_duration(seconds: float) -> str:
    """`8 s`, `12 min`, `3.4 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3_600:,.1f} h"


def format_bytes(n_bytes: float) -> str:
    """`12 MB`, `3.4 GB`."""
    return f"{n_bytes / 1e9:,.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / MB:.1f} MB"


def _window_cells(seconds: float) -> tuple[str, ...]:
    return f"{1000 * seconds:.2f}", _per_second(1000 * seconds), "", ""


def _per_second(ms: float) -> str:
    return f"{1000 / ms:,.1f}" if ms else ""


def _training_range(amount: DatasetForecast, network: str) -> str:
    fewest, most = amount.networks_s[network]
    return f"{format_duration(fewest)} to {format_duration(most)}"


def _speed_advice(result: Bench) -> str:
    name, more = result.slowest, _more_workers(result)
    if name == DECODE:
        return f"No decoder is much quicker: only {more} help, and for `predict` fewer --windows."
    if name == WRITE:
        return "A faster disk helps, or fewer --views."
    if name in (FINGERPRINT, RESAMPLE):
        return f"Every track needs it: {more} help."
    others = ",".join(v for v in result.views if v != name)
    without = f"--views {others} saves it where no model is wanted that reads {name}; else " if others else ""
    sentence = f"{without}{more} help."
    return sentence if without else sentence.capitalize()


def _more_workers(result: Bench) -> str:
    return "more --jobs" if result.forecast.jobs < available_cores() else "more cores"


def _reading_sentences(result: Bench) -> Iterator[str]:
    """Whether training waits for reading its records, and whether a GPU would help."""
    read_ms = next((s.ms for s in result.stages if s.name == READ), None)
    if read_ms is None or not result.trained.networks:
        return
    quickest, device = min(result.trained.networks, key=lambda n: n.once_s or n.window_s), result.trained.device
    ms = 1000 * (quickest.once_s or quickest.window_s)
    waits = "waits for reading: keep shards on a faster disk" if read_ms > ms else "does not wait for reading"
    once = " once" if quickest.once_s else ""
    yield f"On the {device} {quickest.name} takes {ms:.1f} ms a window{once}, reading it {read_ms:.1f} ms: it {waits}."
    if device == "CPU":
        yield "A GPU (pip install 'genrelab[train-gpu]') makes training quicker."
