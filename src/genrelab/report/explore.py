"""The data page of a preparation, before any model is trained."""

from __future__ import annotations

from pathlib import Path

from genrelab.core.errors import PreparedError, SettingsError, printable
from genrelab.core.progress import Notify
from genrelab.core.storage import Folder
from genrelab.core.text import pluralize
from genrelab.records.prepared import Prepared
from genrelab.report.page import audit as page_audit
from genrelab.report.page import data as page_data
from genrelab.report.page.blocks import render
from genrelab.report.page.tracks import track_info


def write_data_page(prepared: Prepared, out: Path | None, notify: Notify) -> Path:
    """Write the data page: counts, durations, failures, duplicates, a map, mean spectra and features by genre.

    Args:
        out: the page.  [default: PREPARED/explore.html]

    Returns:
        Path of the page.

    Raises:
        SettingsError: PREPARED is not on this disk and `out` is None.
        PreparedError: files of PREPARED are inconsistent or damaged.
    """
    if out is None and not prepared.folder.is_local:
        raise SettingsError(
            f"{prepared.folder} is not on this disk: give the path of a local file for the page with --out"
        )
    page = out if out is not None else prepared.folder.local / "explore.html"
    folder = Folder(page.resolve().parent)
    tracks = track_info(prepared.tracks, prepared.about["root"], folder)
    sections = page_data.sections(prepared, tracks, {}, {}, "")
    if prepared.folder.exists("audit.json"):
        try:
            sections.append(page_audit.audit_section(prepared.folder.read_json("audit.json"), tracks))
        except (ValueError, KeyError, TypeError) as e:
            raise PreparedError(f"{prepared.folder}: audit.json is damaged ({e}); run `genrelab prepare` again") from e
    html = render(
        "sections.html",
        what="data",
        title=printable(Path(prepared.about["root"]).name or prepared.name),
        eyebrow=" · ".join((prepared.name, pluralize(len(prepared), "track"), pluralize(prepared.genres, "genre"))),
        verdict="",
        sections=sections,
    )
    folder.write_bytes(page.name, html.encode())
    for note in sections[0].sentences[1:]:
        notify(note)
    notify(f"Wrote {pluralize(sections, 'section')} on {pluralize(len(prepared), 'track')}")
    return page
