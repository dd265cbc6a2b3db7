"""Tracks on the page: artist and album, address of the audio, picture of the mel spectrogram."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from genrelab.core.config import MelImageView
from genrelab.core.errors import printable
from genrelab.core.storage import Folder
from genrelab.records import tfrecord
from genrelab.records.prepared import Prepared
from genrelab.records.shards import check_shard
from genrelab.report.page.blocks import TrackCard

Picture = NDArray[np.float16]  # (frames, mel bands), dB
MAX_SHARDS = 12  # read for means: 3,000 tracks, 300 MB


@dataclass(frozen=True)
class TrackInfo:
    """Metadata of the tracks by id, and the folder of the page that shows them.

    Attributes:
        columns: path, genre, artist, album, duration_s by track, in the order of `number`.
        number: row of each track id in `columns`.
        root: folder that paths are relative to; None if unknown.
        page: folder of the page.
        pictures: mel spectrograms by track id, and descriptions of their axes.
    """

    columns: Mapping[str, Sequence[Any]]
    number: Mapping[str, int]
    root: str | None
    page: Folder
    pictures: dict[str, tuple[str, str]] = field(default_factory=dict)

    def of(self, track: str, column: str) -> Any:
        """The value of a column for a track; None if unknown."""
        values, i = self.columns.get(column), self.number.get(track)
        return values[i] if values is not None and i is not None else None

    def name(self, track: str) -> str:
        """File name of the track, or its id if it has no file."""
        path = self.of(track, "path")
        return printable(PurePosixPath(path).name if path else track)

    def credits(self, track: str) -> str:
        """Artist and album, as far as known."""
        parts = (self.of(track, "artist"), self.of(track, "album"))
        return printable(" · ".join(p for p in parts if p)) or "artist unknown"

    def card(self, track: str, text: str) -> TrackCard:
        """The track with its player and picture; `text`: shown below its name."""
        picture = self.pictures.get(track, (None, ""))
        return TrackCard(self.name(track), self.credits(track), text, *self.audio(track), *picture)

    def audio(self, track: str) -> tuple[str | None, str]:
        """Address of the audio relative to the page and "", or None and the reason."""
        path = self.of(track, "path")
        if not path:
            return None, "no audio: a row of a table"
        if not self.page.is_local or self.root is None:
            return None, "no audio: its folder is unknown, or the page is on another machine"
        file = Path(self.root) / path
        if not file.is_file():
            return None, f"no audio: {printable(str(file))} is missing"
        try:
            relative = os.path.relpath(file.resolve(), self.page.local.resolve())
        except ValueError:  # on another drive
            return None, "no audio: the page is on another drive"
        return quote(os.fsencode(Path(relative).as_posix())), ""


def track_info(columns: Mapping[str, Sequence[Any]], root: str | None, page: Folder) -> TrackInfo:
    """Build from the columns of `split.parquet` or `tracks.parquet`."""
    return TrackInfo(columns, {str(t): i for i, t in enumerate(columns["track_id"])}, root, page)


def add_pictures(tracks: TrackInfo, prepared: Prepared | None, wanted: Collection[str]) -> None:
    """Add the mel spectrograms of these tracks, if the preparation has them, to `tracks.pictures`."""
    if prepared is None or not isinstance(prepared.views.get("mel_image"), MelImageView):
        return
    number = {t: i for i, t in enumerate(prepared.tracks["track_id"])}
    indices = {number[t]: t for t in sorted(wanted) if t in number and t not in tracks.pictures}
    for i, picture in mel_pictures(prepared, sorted(indices)).items():
        whole = prepared.tracks["duration_s"][i] or 0.0
        span = min(whole, prepared.about["settings"].get("clips", {}).get("clip_s", whole))
        axes = f"0 to {span:.0f} s from left to right, low to high frequencies from bottom to top" if span else ""
        tracks.pictures[indices[i]] = data_url(picture), axes


def mel_pictures(prepared: Prepared, indices: Collection[int]) -> dict[int, Picture]:
    """First window of `mel_image` of each of these tracks, by index; damaged records are left out."""
    found: dict[int, Picture] = {}
    likely = _likely_shards(prepared, indices)
    for name in sorted(prepared.shards("mel_image"), key=lambda name: name not in likely):
        if len(found) == len(indices):
            break
        for track, picture in shard_pictures(prepared, name, set(indices) - found.keys()):
            found.setdefault(track, picture)
    return found


def shard_pictures(
    prepared: Prepared, shard: str, wanted: Collection[int] | None = None
) -> Iterator[tuple[int, Picture]]:
    """Track index and picture of each usable record of a shard, of all tracks or of those that are `wanted`.

    Yields nothing if PREPARED is not on this disk.
    """
    if not prepared.folder.is_local:
        return
    view = prepared.view("mel_image")
    checked = check_shard(prepared, view, shard, cache=prepared.folder.local)
    chosen = [(s, t) for s, t in zip(checked.spans, checked.track, strict=True) if wanted is None or t in wanted]
    if not chosen:  # also where the file cannot be read
        return
    with checked.path.open("rb") as file:
        for (offset, length), track in chosen:
            file.seek(offset)
            x = tfrecord.decode(file.read(length)[12:-4]).x
            yield track, np.frombuffer(x, view.dtype).reshape(view.shape)


def _likely_shards(prepared: Prepared, indices: Collection[int]) -> set[str]:
    """The shards with these tracks, if their genres have not changed since the shards were written."""
    names, usable, genres = prepared.shards("mel_image"), prepared.usable, prepared.tracks["genre"]
    shard_tracks = prepared.about["settings"].get("shard_tracks", 250)
    dealt = tfrecord.deal_tracks([g if ok else None for g, ok in zip(genres, usable, strict=True)], shard_tracks)
    return {name for name, tracks in zip(names, dealt, strict=False) if not set(indices).isdisjoint(tracks)}


def data_url(levels: Picture, colours: str = "magma") -> str:
    """A spectrogram (frames, bands) as the data URL of a JPEG half as high as it has bands, lowest band at the bottom.

    JPEG, because the noise of a spectrogram does not compress without loss.
    """
    from matplotlib.image import imsave

    x = levels.astype(np.float32).T
    halved = x[: len(x) // 2 * 2].reshape(len(x) // 2, 2, -1).mean(axis=1)
    out = io.BytesIO()
    imsave(out, halved, format="jpeg", cmap=colours, origin="lower", pil_kwargs={"quality": 72})
    return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}"
