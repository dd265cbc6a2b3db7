"""`doctor ROOT`: print the state of machine and data as a table or as one JSON object.

The table is printed as results arrive: the machine first (only problems, unless `--verbose`), then the data, then what
a training needs.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import typer

from genrelab.cli import console
from genrelab.cli.options import SourceOptions
from genrelab.core.errors import printable
from genrelab.core.processes import available_cores
from genrelab.core.text import pluralize
from genrelab.datasets import exclusions
from genrelab.datasets.artists import UNKNOWN_ARTISTS
from genrelab.datasets.base import Dataset
from genrelab.datasets.exclusions import Exclusion
from genrelab.doctor import machine
from genrelab.doctor.data import PLAIN_FILES, Checkup, check_dataset, find_dataset, prepared_bytes
from genrelab.doctor.faults import KINDS, Fault, track_name
from genrelab.doctor.machine import NOTE, OK, REPAIR, Finding
from genrelab.models import devices

MAX_TRACKS_SHOWN = 5
"""Maximum number of tracks printed per kind of fault; JSON has all."""


def run_doctor(
    source: SourceOptions,
    *,
    jobs: int | None = None,
    manifest: Path | None = None,
    model: str | None = None,
    accelerator: bool = False,
    as_json: bool = False,
) -> bool:
    """Check machine and data, print the findings, and write the manifest if a path for it was given.

    An earlier manifest is replaced, even if no track needs excluding; rows that a person added are kept.

    Args:
        accelerator: also start TensorFlow and train a small model on each device.

    Returns:
        True if nothing must be repaired.

    Raises:
        DatasetError: no data at ROOT, or the manifest would replace another kind of file.
        SettingsError: invalid options.
    """
    added: tuple[Exclusion, ...] = ()
    if manifest is not None:
        exclusions.check_replaceable(manifest)
        added = exclusions.read_manual_rows(manifest, [kind.name for kind in KINDS.values() if kind.excluded])
    dataset = find_dataset(source.root, source.dataset, source.dataset_options())
    printer = _DoctorPrinter(as_json)
    try:
        with devices.device_probe() if accelerator else nullcontext() as tensorflow:
            printer.add_machine(machine.check_machine(model))
            with console.progress_bar("Decoding") as progress:
                checkup = check_dataset(dataset, jobs=jobs, progress=progress)
            printer.data(checkup)
            if tensorflow is not None:
                printer.add(machine.check_training(tensorflow))
    except KeyboardInterrupt:
        raise console.NothingToResume from None
    if dataset.name != PLAIN_FILES and checkup.sounds and machine.can_train():
        printer.add(machine.check_capacity(prepared_bytes(checkup), jobs or available_cores()))
    rows = [*checkup.exclusions, *added]
    if manifest is not None:
        exclusions.write(manifest, rows)
    return printer.end(source, manifest, checkup, rows, len(added))


def check_without_data(model: str | None, *, accelerator: bool, as_json: bool) -> bool:
    """`doctor` without ROOT; True if nothing must be repaired."""
    printer = _DoctorPrinter(as_json)
    with devices.device_probe() if accelerator else nullcontext() as tensorflow:
        printer.add(machine.check_machine(model))
        if tensorflow is not None:
            printer.add(machine.check_training(tensorflow))
    return printer.verdict()


class _DoctorPrinter:
    """Prints results line by line, or collects them for JSON."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._findings: list[Finding] = []

    def add(self, findings: Iterable[Finding]) -> None:
        """Print findings."""
        for f in findings:
            self._findings.append(f)
            self._line(f.state, f.part, f.name, f.found, f.remedy)

    def add_machine(self, findings: Iterable[Finding]) -> None:
        """Print the problems of the machine; what works is counted, unless `--verbose`."""
        found = list(findings)
        self._findings += found
        good = [f for f in found if f.state == OK and not console.is_verbose()]
        for f in found:
            if f not in good:
                self._line(f.state, f.part, f.name, f.found, f.remedy)
        if good:
            self._line(OK, "machine", "this machine", f"{pluralize(good, 'check')} passed; -v lists them")

    def _line(self, state: str, part: str, name: str, found: str, remedy: str | None = None) -> None:
        if self._as_json:
            return
        typer.echo(f"{state.upper() if state == REPAIR else state:<7} {part:<9} {name:<16} {printable(found)}")
        if remedy:
            typer.echo(f"{'':<35}→ {printable(remedy)}")

    def _notify(self, line: str) -> None:
        if not self._as_json:
            typer.echo(line.encode("utf-8", "surrogateescape"))

    def data(self, checkup: Checkup) -> None:
        """Print the summary, then each kind of fault with its first tracks."""
        dataset = checkup.dataset
        self._notify(f"\nData: {printable(str(dataset.root))}")
        for name, found in _summary_rows(checkup):
            self._line(NOTE if found == UNKNOWN_ARTISTS else "ok", "data", name, found)
        for kind, of_kind in _faults_by_kind(checkup):
            files = f"{pluralize(len({f.index for f in of_kind}), 'track')} {KINDS[kind].what}"
            self._line(KINDS[kind].state, "data", kind, files)
            for fault in of_kind[:MAX_TRACKS_SHOWN]:
                name = track_name(dataset.tracks[fault.index])
                self._notify(f"{'':<35}{name}{': ' if fault.detail else ''}{printable(fault.detail)}")
            if len(of_kind) > MAX_TRACKS_SHOWN:
                self._notify(f"{'':<35}… and {len(of_kind) - MAX_TRACKS_SHOWN:,} more; --json lists all")
            self._notify(f"{'':<35}→ {KINDS[kind].remedy}")

    def end(
        self, source: SourceOptions, manifest: Path | None, checkup: Checkup, rows: list[Exclusion], n_added: int
    ) -> bool:
        """Print the verdict and the next command; True if nothing must be repaired.

        A person added the last `n_added` of `rows` to the manifest.
        """
        next_command = _next_command(source, manifest, checkup.dataset) if rows else None
        data = _to_json(checkup) | {"manifest": str(manifest) if manifest else None, "next": next_command}
        ok = self.verdict(
            *(f"{kind} ({len(of_kind)})" for kind, of_kind in _faults_by_kind(checkup) if KINDS[kind].state == REPAIR),
            data=data,
        )
        if not checkup.dataset.genres:
            self._notify("No track has a genre: genrelab can classify these files, but not train on them.")
        if skipped := sum(u.is_audio for u in checkup.dataset.unused):
            self._notify(
                f"{pluralize(skipped, 'audio file')} skipped and not checked; --dataset folder checks all files."
            )
        excluded = f"{len(rows) - n_added:,} of {pluralize(checkup.dataset.tracks, 'track')}"
        if manifest is not None:
            kept = f" and {pluralize(n_added, 'row')} that you added" if n_added else ""
            self._notify(f"Wrote {printable(str(manifest))}: {excluded} to exclude{kept}.")
        elif rows:
            self._notify(f"{excluded} should be excluded. This command writes the list:")
        if next_command:
            self._notify(f"  {next_command}")
        return ok

    def verdict(self, *broken_data: str, **more: object) -> bool:
        """Print what must be repaired; or the findings as JSON, with `more` members. True if nothing must be."""
        broken = [*(f.name for f in self._findings if f.state == REPAIR), *broken_data]
        self._notify(f"\nTo repair: {', '.join(broken)}." if broken else "\nNo problems found.")
        if self._as_json:
            found = [asdict(f) for f in self._findings]
            typer.echo(json.dumps({"ok": not broken, "findings": found, **more}, indent=1))
        return not broken


def _faults_by_kind(checkup: Checkup) -> Iterator[tuple[str, list[Fault]]]:
    for kind in KINDS:
        of_kind = [f for f in checkup.faults if f.kind == kind]
        if of_kind:
            yield kind, of_kind


def _summary_rows(checkup: Checkup) -> Iterator[tuple[str, str]]:
    """Rows on the dataset, the notes of its reader, and its files."""
    dataset = checkup.dataset
    yield "dataset", dataset.summary
    for note in dataset.notes:
        yield "found", note
    if dataset.features is not None:
        yield "files", "a table of features: no audio to decode"
        return
    decoded = [s for s in checkup.sounds if s.state == "decoded"]
    hours = sum(s.duration_s for s in decoded) / 3600
    rates = Counter(f"{s.sr:,} Hz {_channels_text(s.channels)}" for s in decoded)
    kinds = ", ".join(f"{n:,} at {rate}" for rate, n in rates.most_common(4))
    more = f" and {len(rates) - 4} other kinds" if len(rates) > 4 else ""
    yield "files", f"{len(decoded):,} of {len(checkup.sounds):,} decoded, {hours:.2f} h: {kinds}{more}"


def _channels_text(n: int) -> str:
    return {1: "mono", 2: "stereo"}.get(n, f"with {n} channels")


def _next_command(source: SourceOptions, manifest: Path | None, dataset: Dataset) -> str | None:
    """The command that writes the manifest, or uses it; None without genres, as `prepare` needs them."""
    if manifest is None:
        options = ("--manifest", exclusions.DEFAULT_FILE_NAME)
        return console.command_line("doctor", source.root, *source.words(), *options)
    if not dataset.genres:
        return None
    return console.command_line("prepare", source.root, *source.words(), "--out", "prepared", "--exclude", manifest)


def _to_json(checkup: Checkup) -> dict[str, Any]:
    """Counts, every fault of every track, and the measurements of every file."""
    dataset = checkup.dataset
    measured = [f.name for f in fields(checkup.sounds[0]) if f.name != "prints"] if checkup.sounds else []
    ids = [{"track_id": t.track_id, "path": t.path} for t in dataset.tracks]
    return {
        "root": str(dataset.root),
        "dataset": dataset.name,
        "tracks": len(dataset.tracks),
        "genres": list(dataset.genres),
        "notes": list(dataset.notes),
        "unused": [asdict(u) for u in dataset.unused],
        "kinds": [
            {
                **{name: getattr(KINDS[kind], name) for name in ("name", "state", "what", "remedy", "excluded")},
                "count": len({f.index for f in of_kind}),
                "tracks": [ids[f.index] | {"detail": f.detail} for f in of_kind],
            }
            for kind, of_kind in _faults_by_kind(checkup)
        ],
        "files": [ids[i] | {name: getattr(sound, name) for name in measured} for i, sound in enumerate(checkup.sounds)],
    }
