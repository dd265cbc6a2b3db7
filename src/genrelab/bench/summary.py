"""The results of `bench` as text: rows of its tables, advice, and the command to copy."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from genrelab.bench.bench import Bench
from genrelab.bench.datasets import NIGHT_S, DatasetForecast, largest_fitting
from genrelab.bench.stages import DECODE, FINGERPRINT, READ, RESAMPLE, WRITE
from genrelab.core.config import DEFAULT_VIEWS
from genrelab.core.processes import available_cores
from genrelab.core.text import format_duration, percent, pluralize

STAGE_HEADERS = ("stage", "ms per track", "tracks/s", "MB/s", "share of prepare")
PART_HEADERS = ("part of prepare", "time", "share")
FORECAST_HEADERS = ("dataset", "tracks", "prepare", "PREPARED", "download", "peak disk")

BUSY_SHARE = 0.15
"""Minimum share of the cores used by other programs that is reported."""

MB = 1e6


def stage_rows(result: Bench) -> Iterator[tuple[str, ...]]:
    """The stages that a track passes, then those of training, by window and epoch."""
    for s in result.stages:
        mb_s = "" if s.mb_s is None else f"{s.mb_s:,.0f}"
        yield s.name, f"{s.ms:.2f}", _per_second(s.ms), mb_s, "" if s.share is None else percent(s.share)
    for n in result.trained.networks:
        if n.once_s:
            yield f"train {n.name}: per window, once (frozen base)", *_window_cells(n.once_s)
        yield f"train {n.name}: per window and epoch", *_window_cells(n.window_s)
    for name in result.trained.missing:
        yield f"train {name}: per window and epoch", "not measured", "", "", ""


def part_rows(amount: DatasetForecast) -> Iterator[tuple[str, ...]]:
    """The parts of an estimate."""
    for name, seconds in amount.parts.items():
        yield name, format_duration(seconds), percent(seconds / amount.seconds)
    yield "total", format_duration(amount.seconds), "100 %"


def forecast_headers(result: Bench) -> tuple[str, ...]:
    """Headers of the table of estimates."""
    fewest, most = result.epochs
    networks = (f"train {n.name}, {fewest} to {most} epochs" for n in result.trained.networks)
    return (*FORECAST_HEADERS, *networks)


def forecast_rows(result: Bench) -> Iterator[tuple[str, ...]]:
    """The estimates, one row per dataset."""
    for a in result.amounts:
        networks = (" to ".join(map(format_duration, a.networks_s[n.name])) for n in result.trained.networks)
        download = "" if a.download_bytes is None else format_bytes(a.download_bytes)
        sizes = (format_bytes(a.n_bytes), download, format_bytes(a.peak_bytes))
        yield (a.name, f"{a.tracks:,}", format_duration(a.seconds), *sizes, *networks)


def sentences(result: Bench) -> Iterator[str]:
    """Sentences that explain the tables; details have two leading spaces."""
    slowest = next(s for s in result.stages if s.name == result.slowest)
    share = percent(slowest.share or 0)
    yield f"Slowest stage of prepare: {slowest.name}, {share} of its CPU time. {_speed_advice(result)}"
    if result.trained.reason:
        yield f"Training was not measured: {result.trained.reason}"
    yield from _reading_sentences(result)
    if result.busy > BUSY_SHARE:
        yield f"Other programs used {percent(result.busy)} of the cores meanwhile; without them prepare is faster."
    n, workers = pluralize(result.rehearsed, "track"), pluralize(result.forecast.jobs, "worker")
    yield f"  Estimates for prepare are from {n} prepared with {workers}; expect them to be off by up to 25 %."
    yield (
        "  Peak disk is two copies of PREPARED for a short time; for FMA it also includes the clips, and the archive "
        "until it is unpacked."
    )
    if result.trained.networks:
        yield (
            "  Training time is a range, because the number of epochs is not known in advance; other models and "
            "scoring take extra time."
        )
    yield _fma_sentence(result)
    for failure in result.failed:
        yield f"Left out: {failure}"


def _fma_sentence(result: Bench) -> str:
    """Which part of FMA can be prepared in a night, and which networks can then be trained for all epochs."""
    fit = largest_fitting(result.amounts, result.free_bytes)
    limits = f"a night of {format_duration(NIGHT_S)} and {format_bytes(result.free_bytes)} of free disk space"
    if fit is None:
        least = next(a for a in result.amounts if a.download_bytes is not None)
        takes = f"{least.name} takes {format_duration(least.seconds)} and {format_bytes(least.peak_bytes)}"
        return f"No part of FMA fits in {limits}: {takes}."
    takes = f"prepare takes {format_duration(fit.seconds)} after the download, at most {format_bytes(fit.peak_bytes)}"
    networks = [name for name, (_, most) in fit.networks_s.items() if fit.seconds + most <= NIGHT_S]
    trained = f"; training {' or '.join(networks)} for the maximum number of epochs fits too" if networks else ""
    return f"The largest part of FMA that fits in {limits} is {fit.name}: {takes}{trained}."


def recommended_command(result: Bench, program: Sequence[str], root: str | None, options: Sequence[str] = ()) -> str:
    """The recommended `prepare` command; without a ROOT, for the part of FMA that fits, with its download.

    Args:
        options: those that ROOT was read with.
    """
    words = [*program, "prepare", root or "data", *options, "--out", "prepared"]
    if set(result.views) != set(DEFAULT_VIEWS):
        words += ["--views", ",".join(result.views)]
    fit = None if root is not None else largest_fitting(result.amounts, result.free_bytes)
    names = [] if fit is None else ["fma-metadata", fit.name]
    downloads = [shlex.join([*program, "download", name, "--out", "data"]) for name in names]
    return " && ".join([*downloads, shlex.join([*words, "--jobs", str(result.forecast.jobs)])])


def format_bytes(n_bytes: float) -> str:
    """`12 MB`, `3.4 GB`."""
    return f"{n_bytes / 1e9:,.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / MB:.1f} MB"


def _window_cells(seconds: float) -> tuple[str, ...]:
    return f"{1000 * seconds:.2f}", _per_second(1000 * seconds), "", ""


def _per_second(ms: float) -> str:
    return f"{1000 / ms:,.1f}" if ms else ""


def _speed_advice(result: Bench) -> str:
    name, more = result.slowest, "more --jobs" if result.forecast.jobs < available_cores() else "more cores"
    if name == DECODE:
        return f"No decoder is much faster: use {more}, and fewer --windows for `predict`."
    if name == WRITE:
        return "Use a faster disk, or fewer --views."
    if name in (FINGERPRINT, RESAMPLE):
        return f"Use {more}."
    others = ",".join(v for v in result.views if v != name)
    without = f", or --views {others} if no model needs {name}" if others else ""
    return f"Use {more}{without}."


def _reading_sentences(result: Bench) -> Iterator[str]:
    """Is reading the records slower than training, and would a GPU help?"""
    read_ms = next((s.ms for s in result.stages if s.name == READ), None)
    if read_ms is None or not result.trained.networks:
        return
    quickest, device = min(result.trained.networks, key=lambda n: n.once_s or n.window_s), result.trained.device
    ms = 1000 * (quickest.once_s or quickest.window_s)
    advice = ": keep PREPARED on a faster disk" if read_ms > ms else ""
    yield f"  {quickest.name} takes {ms:.1f} ms per window ({device}); reading takes {read_ms:.1f} ms{advice}."
    if device == "CPU":
        yield "A GPU makes training faster: pip install 'genrelab[train-gpu]'"
