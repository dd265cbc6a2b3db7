"""`doctor ROOT`: print the check-up of machine and data as a table or as one JSON object.

The table is printed as results arrive: the machine at once, the data when all is decoded, TensorFlow last.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import typer

from genrelab.cli import console
from genrelab.cli.output.tables import finding
from genrelab.core.errors import printable
from genrelab.core.processes import available_cores
from genrelab.core.progress import ignore
from genrelab.core.text import pluralize
from genrelab.datasets import exclusions
from genrelab.datasets.artists import UNKNOWN_ARTISTS
from genrelab.datasets.base import Dataset, DatasetOptions
from genrelab.datasets.exclusions import Exclusion
from genrelab.doctor import machine
from genrelab.doctor.data import PLAIN_FILES, Checkup, check_dataset, find_dataset, prepared_bytes
from genrelab.doctor.faults import KINDS, Fault, track_name
from genrelab.doctor.machine import NOTE, REPAIR, Finding
from genrelab.models import devices

MAX_TRACKS_SHOWN = 5
"""Number of tracks that are printed per kind of fault; JSON has all."""


@dataclass(frozen=True)
class DoctorRequest:
    """Arguments of the command: where the data are, dataset options, and the path of the manifest."""

    root: Path
    dataset: str = "auto"
    options: Mapping[str, Any] = field(default_factory=dict)  # of `DatasetOptions`
    jobs: int | None = None
    manifest: Path | None = None
    model: str | None = None

    @property
    def file(self) -> Path:
        """Path of the manifest."""
        return self.manifest or Path(exclusions.DEFAULT_FILE_NAME)


def run_doctor(request: DoctorRequest, as_json: bool) -> bool:
    """Check machine and data, print the findings, write the manifest if there is something to exclude.

    An earlier manifest is replaced even if nothing is left to exclude; rows that a person added are kept.

    Returns:
        True if nothing must be repaired.

    Raises:
        DatasetError: no data at ROOT, or another file is in the manifest's place.
        SettingsError: invalid options.
    """
    exclusions.check_replaceable(request.file)
    added = exclusions.read_manual_rows(request.file, [kind.name for kind in KINDS.values() if kind.excluded])
    dataset = find_dataset(request.root, request.dataset, DatasetOptions(**request.options))
    printer = _DoctorPrinter(as_json)
    try:
        checkup = _check_data(request, dataset, printer)
    except KeyboardInterrupt:
        raise console.NothingToResume from None
    rows = [] if dataset.name == PLAIN_FILES else [*checkup.exclusions, *added]
    if rows or (request.file.exists() and dataset.name != PLAIN_FILES):
        exclusions.write(request.file, rows)
    return printer.end(request, checkup, rows, len(added))


def _check_data(request: DoctorRequest, dataset: Dataset, printer: _DoctorPrinter) -> Checkup:
    """Check the machine, then the data, then what a training needs."""
    trains = dataset.name != PLAIN_FILES and machine.can_train()
    if trains and dataset.features is not None:
        printer.add(machine.check_machine(request.model))
        printer.data(checkup := check_dataset(dataset, progress=ignore))
        printer.add([machine.training_not_checked()])
        return checkup
    with devices.device_probe() if trains else nullcontext() as tensorflow:
        printer.add(machine.check_machine(request.model))
        with console.progress_bar("Decoding") as progress:
            checkup = check_dataset(dataset, jobs=request.jobs, progress=progress)
        printer.data(checkup)
        if tensorflow is not None:
            console.notify("TensorFlow begins, and learns a task on every device whose answer is known: some seconds …")
            printer.add(machine.check_training(tensorflow))
    if trains and checkup.sounds:
        printer.add(machine.check_capacity(prepared_bytes(checkup), request.jobs or available_cores()))
    return checkup


class _DoctorPrinter:
    """Prints results line by line, or collects them for JSON."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._findings: list[Finding] = []

    def add(self, findings: Iterable[Finding]) -> None:
        """Print findings of the machine."""
        for f in findings:
            self._findings.append(f)
            self._line(f.state, f.part, f.name, f.found, f.remedy)

    def _line(self, state: str, part: str, name: str, found: str, remedy: str | None = None) -> None:
        if not self._as_json:
            finding(state, part, name, found, remedy)

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
                self._notify(f"{'':<35}… and {len(of_kind) - MAX_TRACKS_SHOWN:,} more; --json names all")
            self._notify(f"{'':<35}→ {KINDS[kind].remedy}")
        self._notify("")

    def end(self, request: DoctorRequest, checkup: Checkup, rows: list[Exclusion], n_added: int) -> bool:
        """Print the verdict and the next command; True if nothing must be repaired.

        The last `n_added` of `rows` were added to the manifest by a person.
        """
        broken = [f.name for f in self._findings if f.state == REPAIR]
        broken += [
            f"{kind} ({len(of_kind)})" for kind, of_kind in _faults_by_kind(checkup) if KINDS[kind].state == REPAIR
        ]
        next_command = _next_command(request) if rows else None
        if self._as_json:
            data = _to_json(checkup) | {"manifest": str(request.file) if rows else None, "next": next_command}
            found = [asdict(f) for f in self._findings]
            typer.echo(json.dumps({"ok": not broken, "findings": found, "data": data}, indent=1))
            return not broken
        self._notify(f"\nTo be repaired: {', '.join(broken)}" if broken else "\nAll is well.")
        if next_command:
            excluded = f"{len(rows) - n_added:,} of {pluralize(checkup.dataset.tracks, 'track')} until then"
            kept = f", and keeps {pluralize(n_added, 'row')} that you added" if n_added else ""
            self._notify(f"{request.file} leaves out {excluded}{kept}. Next:\n  {next_command}")
        return not broken


def _faults_by_kind(checkup: Checkup) -> Iterator[tuple[str, list[Fault]]]:
    for kind in KINDS:
        of_kind = [f for f in checkup.faults if f.kind == kind]
        if of_kind:
            yield kind, of_kind


def _summary_rows(checkup: Checkup) -> Iterator[tuple[str, str]]:
    """Rows on the dataset, on what was noted while it was read, and on its files."""
    dataset = checkup.dataset
    known = f", {pluralize(dataset.artists, 'artist')} known" if dataset.genres else ""
    yield (
        "dataset",
        f"{dataset.name}: {pluralize(dataset.tracks, 'track')}, {pluralize(dataset.genres, 'genre')}{known}",
    )
    for note in dataset.notes:
        yield "found", note
    if dataset.features is not None:
        yield "files", "features that were computed elsewhere: there is no audio to decode"
        return
    decoded = [s for s in checkup.sounds if s.state == "heard"]
    hours = sum(s.duration_s for s in decoded) / 3600
    rates = Counter(f"{s.sr:,} Hz {_channels_text(s.channels)}" for s in decoded)
    kinds = ", ".join(f"{n:,} of {rate}" for rate, n in rates.most_common(4))
    more = f" and {len(rates) - 4} more kinds" if len(rates) > 4 else ""
    yield "files", f"{len(decoded):,} of {len(checkup.sounds):,} decoded, {hours:.2f} h: {kinds}{more}"


def _channels_text(n: int) -> str:
    return {1: "mono", 2: "stereo"}.get(n, f"with {n} channels")


def _next_command(request: DoctorRequest) -> str:
    words = ["--dataset", request.dataset] if request.dataset != "auto" else []
    for name, value in request.options.items():
        words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return console.command_line("prepare", request.root, *words, "--out", "prepared", "--exclude", request.file)


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
