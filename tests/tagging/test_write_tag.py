"""Several genres are several values in every container, for every reader; and every byte comes back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import mutagen
import pytest
from mutagen import id3

from genrelab.predict.prediction import Prediction
from genrelab.tagging import tag, tags
from genrelab.tagging.classify import GenreChoice
from genrelab.tagging.tag import TagSettings
from genrelab.tagging.untag import untag
from genrelab.tagging.write_tag import TagResult
from tests.support.containers import MADE, make, tag_richly

GENRES = ("Rock", "Hip-Hop", "Jazz")


def three_genres(paths: Iterable[Path]) -> Iterator[Prediction]:
    for path in list(paths):
        yield Prediction(str(path), "rock", 0.6, {"jazz": 0.3, "rock": 0.6, "hiphop": 0.4}, 1.0, "svm", None)


def tagged(folder: Path) -> Path:
    rows: list[TagResult] = []
    journal = tag.tag([folder], three_genres, TagSettings(GenreChoice(0.0, 3), overwrite=True), rows.append)
    assert journal is not None
    assert {(row.status, row.after) for row in rows} == {("tagged", GENRES)}
    return journal


def by_mutagen(path: Path) -> list[str]:
    """Values of the genre, as a player that uses mutagen has them."""
    found = mutagen.File(path).tags
    if isinstance(found, id3.ID3):
        return list(found["TCON"].genres)
    key = {"MP4Tags": "©gen", "ASFTags": "WM/Genre"}.get(type(found).__name__, "GENRE")
    return [str(value) for value in found[key]]


def by_ffmpeg(path: Path) -> str:
    """The genre as ffprobe shows it."""
    with av.open(str(path)) as container:
        found = container.metadata | container.streams.audio[0].metadata
    return next(value for key, value in found.items() if key.lower() in ("genre", "wm/genre"))


@pytest.mark.parametrize("version", [None, 3, 4], ids=["bare", "ID3v2.3", "ID3v2.4"])
def test_three_genres_are_three_values_in_every_container(tmp_path: Path, version: int | None) -> None:
    for container in MADE:
        path = make(tmp_path, container, seconds=0.5)
        if version is not None:
            tag_richly(path, genres=("Own",), id3_version=version)
    before = {path: path.read_bytes() for path in sorted(tmp_path.iterdir())}
    journal = tagged(tmp_path)
    assert len(before) == 13
    for path in before:
        assert by_mutagen(path) == [*GENRES], path.name
        assert tags.read(path).genres == GENRES
        all_shown = path.suffix in (".flac", ".ogg", ".opus", ".oga")  # of other containers FFmpeg shows the first
        assert by_ffmpeg(path) == (";".join(GENRES) if all_shown else "Rock"), path.name
        found = mutagen.File(path).tags
        if isinstance(found, id3.ID3):
            assert found.version[1] == (version or 3)
    rows: list[TagResult] = []
    untag(journal, rows.append)
    assert {(row.status, row.before) for row in rows} == {("restored", GENRES)}
    assert {row.after for row in rows} == {("Own",) if version else ()}
    assert {path: path.read_bytes() for path in before} == before


def test_values_are_separated_by_nul_in_both_versions_of_id3(tmp_path: Path) -> None:
    for version in (3, 4):
        path = make(tmp_path / str(version), "mp3", seconds=0.5)
        tag_richly(path, id3_version=version)
    tagged(tmp_path)
    assert "Rock\0\ufeffHip-Hop\0\ufeffJazz".encode("utf-16-le") in (tmp_path / "3" / "mp3.mp3").read_bytes()
    assert b"Rock\0Hip-Hop\0Jazz" in (tmp_path / "4" / "mp3.mp3").read_bytes()
