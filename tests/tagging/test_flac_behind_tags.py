"""A FLAC file behind tags of other formats: written where mutagen can, else refused with what it is and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from genrelab.core.errors import TagError
from genrelab.tagging import tags
from tests.support.containers import make

ID3 = b"ID3\x03\0\0\0\0\x01\0" + bytes(128)
APE = b"APETAGEX\xd0\x07\0\0\x20\0\0\0\0\0\0\0\0\0\0\xa0" + bytes(8) + bytes(32)


@pytest.mark.parametrize(("before", "kinds"), [(ID3 * 2, "ID3v2, ID3v2"), (ID3 + APE, "ID3v2, APEv2"), (APE, "APEv2")])
def test_it_is_said_what_it_is(tmp_path: Path, before: bytes, kinds: str) -> None:
    path = make(tmp_path, "flac")
    path.write_bytes(before + path.read_bytes())
    with pytest.raises(
        TagError, match=rf"a FLAC file with tags of other formats before its audio \({kinds}\): remove them .*ffmpeg"
    ):
        tags.read(path)


def test_one_id3v2_tag_is_no_hindrance(tmp_path: Path) -> None:
    path = make(tmp_path, "flac")
    path.write_bytes(ID3 + path.read_bytes())
    found = tags.read(path)
    tags.write(path, found, ["Jazz"], ["genrelab"])
    assert tags.read(path).genres == ("Jazz",)
