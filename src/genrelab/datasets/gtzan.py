"""GTZAN: 1,000 excerpts of 30 s, 100 of each of 10 genres, the field's most used and most faulty collection.

What: 22,050 Hz mono, published as .au (`genres`), copied as .wav (`genres_original`), .mp3 and .flac.
How much: 1,000 excerpts in the original; a part of it works, too.
Who: Tzanetakis and Cook, 2002. Faults (repeats, wrong labels, distortion): Sturm, "The GTZAN dataset", 2013.
Official split: the fault-filtered, artist-disjoint lists of Kereliuk, Sturm and Larsen, 2015 (443/197/290 files,
as published by J. Lee, MIT licence). They leave the faulty files out: these are `excluded`.
Licence: none is given; copyrighted music, used for research by custom.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from genrelab.core.config import PARTS
from genrelab.core.errors import DatasetError, DownloadError, printable
from genrelab.core.text import join_first, pluralize
from genrelab.datasets.artists import UNKNOWN_ARTISTS, read_artist_table
from genrelab.datasets.base import Dataset, DatasetOptions, Track, UnusedFile, sort_tracks
from genrelab.datasets.scan import scan, unused_notes

NAME = "gtzan"
OPTIONS = ("artists", "split_files")
EXPECTED_LAYOUT = "at least half of the audio files named <genre>.<5 digits>.<wav, au, flac or mp3>"

FORMATS = (".wav", ".au", ".flac", ".mp3")
"""In the order of preference if a track has several files: lossless first."""

UNREADABLE = frozenset({"jazz.00054.wav"})
"""Files that are broken in the usual copy."""

KNOWN_PROBLEMS = {name.rpartition(".")[0]: "broken in the usual copy" for name in sorted(UNREADABLE)}
"""Known problems by track id."""

SPLIT_URL = "https://raw.githubusercontent.com/jongpillee/music_dataset_split/master/GTZAN_split"
SPLIT_FILES = {
    "training": ("train_filtered.txt", "2b04966cef1486f1a7767b74271533fa23e220388db804a1937835e1fc4fa3fa"),
    "validation": ("valid_filtered.txt", "f8fbee7c52397a0e0f3a91dc54fedecb2e27f5bdc9a9daeab8cb10d077e26956"),
    "test": ("test_filtered.txt", "09cafa6a89ce0a27f30ed250d56ecb4d03c22fffb5a693f96c7ae655ee02ac72"),
}
"""The list of each part and its SHA-256."""

_TRACK_ID = re.compile(r"(?P<id>(?P<genre>[^./\\]+)\.\d{5})(?P<suffix>\.\w+)?", re.ASCII)


def matches(root: Path) -> str | None:
    """Why ROOT is GTZAN, or None."""
    if not root.is_dir():
        return None
    files = scan(root).audio
    named = sum(_id_of_file(name) is not None for name in files)
    if not named or 2 * named < len(files):
        return None
    return f"{named:,} of {len(files):,} audio files are named <genre>.<5 digits>.<ext>"


def load(root: Path, options: DatasetOptions) -> Dataset:
    """The excerpts at any depth below ROOT, one file for each id.

    Args:
        root: folder of the audio.
        options: `split_files`, folder of the three lists, or `download`; `artists`, CSV with the columns id
            and artist.

    Raises:
        DatasetError: no excerpts, or a list or table that is missing or contradicts itself.
        DownloadError, SettingsError: `split_files` is `download` and the lists cannot be downloaded.
    """
    found = scan(root)
    files, unused, notes = _preferred_files(found.audio)
    unused += found.unused
    notes += unused_notes(found.unused)
    parts, part_notes = _official_parts(options.split_files, set(files))
    table = options.artists
    artists, unused_rows = ({}, []) if table is None else read_artist_table(table, list(files), _id_in_cell)
    known = f"artist known for {len(artists):,} of {pluralize(files, 'track')}, from {table.name}" if table else ""
    artist_notes = [known if artists else UNKNOWN_ARTISTS, *unused_rows]
    tracks = [
        Track(
            track_id=track_id,
            path=path,
            genre=track_id.rpartition(".")[0],
            artist=artists.get(track_id),
            official_split=parts.get(track_id, "excluded") if parts else None,
        )
        for track_id, path in files.items()
    ]
    return Dataset(NAME, root, sort_tracks(tracks), (*notes, *part_notes, *artist_notes), unused=tuple(unused))


def _id_in_cell(cell: str) -> str | None:
    """The track id in a cell of a table of artists: an id, a file name or a path, of any format."""
    found = _TRACK_ID.fullmatch(cell.replace("\\", "/").rpartition("/")[2])
    return found["id"] if found else None


# === Files ===


def _id_of_file(path: str) -> str | None:
    """`blues.00001` of `genres/blues/blues.00001.wav`; None for other files."""
    found = _TRACK_ID.fullmatch(path.rpartition("/")[2])
    return found["id"] if found and (found["suffix"] or "").lower() in FORMATS else None


def _preferred_files(audio: list[str]) -> tuple[dict[str, str], list[UnusedFile], list[str]]:
    """The preferred file of each id, the audio files that are not used, and notes on them."""
    copies: dict[str, list[str]] = {}
    others = []
    for path in audio:
        track_id = _id_of_file(path)
        if track_id is None:
            others.append(path)
        else:
            copies.setdefault(track_id, []).append(path)
    files = {track_id: min(paths, key=_preference) for track_id, paths in copies.items()}
    extra = sorted({path for paths in copies.values() for path in paths} - set(files.values()))
    notes = []
    if extra:
        notes.append(f"skipped: {pluralize(extra, 'file')} with the tracks in another format: {join_first(extra)}")
    if others:
        notes.append(f"skipped: {pluralize(others, 'audio file')} not named like GTZAN's: {join_first(others)}")
    if broken := [path for path in files.values() if path.rpartition("/")[2] in UNREADABLE]:
        notes.append(f"known problem of GTZAN: {join_first(broken)} is broken in the usual copy")
    unused = [UnusedFile(path, f"{files[str(_id_of_file(path))]} is used instead") for path in extra]
    unused += [UnusedFile(path, "not named like GTZAN's files") for path in others]
    return files, unused, notes


def _preference(path: str) -> tuple[bool, int, str]:
    name = path.rpartition("/")[2]
    return (name in UNREADABLE, FORMATS.index(Path(name).suffix.lower()), path)


# === Official split ===


def fetch_split_files(cache_dir: Path, *, mirror: str | None = None) -> Path:
    """Folder with the three lists of the fault-filtered split, downloaded once and checked by SHA-256.

    Args:
        mirror: address of their folder; see `mirror_url`.

    Raises:
        DownloadError: a list cannot be downloaded, or is not the published one.
        SettingsError: the mirror is not an address.
    """
    import pooch
    import requests

    from genrelab.datasets.download import mirror_url  # late: imports requests

    base_url = mirror_url(SPLIT_URL, mirror)
    folder = cache_dir / "gtzan_fault_filtered"
    pooch.get_logger().setLevel("WARNING")
    for name, sha256 in SPLIT_FILES.values():
        try:
            pooch.retrieve(f"{base_url}/{name}", f"sha256:{sha256}", fname=name, path=folder)
        except (requests.RequestException, OSError, ValueError) as e:
            raise DownloadError(
                f"{base_url}/{name} cannot be downloaded, or is not the published list: put "
                f"{', '.join(n for n, _ in SPLIT_FILES.values())} into a folder and give it with --split-files"
            ) from e
    return folder


def _official_parts(split_files: Path | None, on_disk: set[str]) -> tuple[dict[str, str], list[str]]:
    if split_files is None:
        return {}, []
    if split_files == Path("download"):
        import pooch

        split_files = fetch_split_files(Path(pooch.os_cache("genrelab")))
    parts: dict[str, str] = {}
    for part, (name, _) in SPLIT_FILES.items():
        for track_id in _read_split_file(split_files / name):
            if parts.setdefault(track_id, part) != part:
                raise DatasetError(f"{split_files}: {track_id} is in two lists, {parts[track_id]} and {part}")
    counts = Counter(parts.get(track_id, "excluded") for track_id in on_disk)
    missing = len(parts.keys() - on_disk)
    summary = " / ".join(f"{counts[part]:,} {part}" for part in PARTS)
    return parts, [
        f"fault-filtered split: {summary} (not in any list)",
        *([f"fault-filtered split: {missing:,} of {len(parts):,} listed tracks missing"] if missing else []),
    ]


def _read_split_file(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as e:
        known = ", ".join(name for name, _ in SPLIT_FILES.values())
        raise DatasetError(
            f"{path} cannot be read: {getattr(e, 'strerror', None) or 'it is not UTF-8'}; --split-files needs a folder "
            f"with {known}, or the word download"
        ) from e
    ids = []
    for number, line in enumerate((line.strip() for line in lines), start=1):
        if not line:
            continue
        track_id = _id_of_file(line)
        if track_id is None:
            raise DatasetError(f"{path}, line {number}: {printable(line[:80])!r} is not the name of a GTZAN file")
        ids.append(track_id)
    return ids
