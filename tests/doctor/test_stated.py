"""What headers state, right or wrong, stands beside what is decoded."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from genrelab.core.config import ClipSettings
from genrelab.doctor.faults import file_faults
from genrelab.doctor.measure import measure_audio
from genrelab.doctor.stated import _lengths_of_mp4, stated_lengths
from tests.support.containers import MADE, by_ffmpeg, make
from tests.support.faulty import tune, write


def changed(path: Path, marker: bytes, offset: int, form: str, change: Callable[[int], int]) -> Path:
    """A file in which a number behind a marker is another."""
    content = bytearray(path.read_bytes())
    at = content.index(marker) + offset
    struct.pack_into(form, content, at, change(struct.unpack_from(form, content, at)[0]))
    path.write_bytes(content)
    return path


def length_faults(path: Path) -> list[tuple[str, str]]:
    sound = measure_audio(path)
    return [f for f in file_faults(sound, None, ClipSettings()) if f[0] in ("length", "cut off")]


def reported_length(path: Path, kind: str) -> float:
    """The length by the header in the sentence of its only fault."""
    ((found, detail),) = length_faults(path)
    match = re.fullmatch(r"4\.0 s decoded, ([\d.]+) s according to the header", detail)
    assert found == kind and match is not None, detail
    return float(match[1])


@pytest.mark.parametrize("container", MADE)
def test_honest_headers_are_no_fault(tmp_path: Path, container: str) -> None:
    path = make(tmp_path, container, seconds=3.0)
    assert length_faults(path) == []
    assert all(abs(seconds - 3.0) < 0.2 for seconds in stated_lengths(path))


@pytest.mark.parametrize(
    ("suffix", "marker", "offset", "form"),
    [("mp3", b"Xing", 8, ">I"), ("flac", b"fLaC", 22, ">I"), ("aiff", b"COMM", 10, ">I"), ("wav", b"data", 4, "<I")],
)
@pytest.mark.parametrize("share", [0.1, 0.5, 3])
def test_header_that_lies_is_reported_with_both_lengths(
    tmp_path: Path, suffix: str, marker: bytes, offset: int, form: str, share: float
) -> None:
    path = write(tmp_path / f"a.{suffix}", tune(1))
    if suffix == "mp3" and marker not in path.read_bytes():
        marker = b"Info"
    changed(path, marker, offset, form, lambda n: int(share * n))
    if suffix == "wav" and share < 1:  # the rest is no sound then: every decoder stops there
        assert measure_audio(path).duration_s == pytest.approx(4 * share)
        return
    kind = "length" if share < 1 else "cut off"
    assert reported_length(path, kind) == pytest.approx(4 * share, abs=0.25)


def test_zero_that_was_never_filled_in_is_told(tmp_path: Path) -> None:
    mp3 = write(tmp_path / "a.mp3", tune(1))
    changed(mp3, b"Xing" if b"Xing" in mp3.read_bytes() else b"Info", 8, ">I", lambda n: 0)
    wav = changed(write(tmp_path / "a.wav", tune(1)), b"data", 4, "<I", lambda n: 0)
    assert length_faults(mp3) == length_faults(wav) == [("length", "4.0 s decoded, 0.0 s according to the header")]
    flac = changed(write(tmp_path / "a.flac", tune(1)), b"fLaC", 22, ">I", lambda n: 0)
    assert length_faults(flac) == [], "0 means unknown there"


@pytest.mark.parametrize(("marker", "offset"), [(b"mdhd", 20), (b"tkhd", 24), (b"mvhd", 20), (b"elst", 12)])
@pytest.mark.parametrize("factor", [4, 10])
def test_every_length_in_an_mp4_is_told(tmp_path: Path, marker: bytes, offset: int, factor: int) -> None:
    by_ffmpeg("aac")(tmp_path / "a.m4a", 4.0)
    changed(tmp_path / "a.m4a", marker, offset, ">I", lambda n: factor * n)
    assert reported_length(tmp_path / "a.m4a", "cut off") == pytest.approx(4 * factor, abs=0.4)


def test_length_of_a_matroska_file_is_told(tmp_path: Path) -> None:
    by_ffmpeg("flac")(tmp_path / "a.mka", 4.0)
    assert length_faults(tmp_path / "a.mka") == []
    changed(tmp_path / "a.mka", b"\x44\x89\x88", 3, ">d", lambda n: n / 4)
    assert length_faults(tmp_path / "a.mka") == [("length", "4.0 s decoded, 1.0 s according to the header")]


def test_channels_that_cancel_are_a_note_and_no_silence(tmp_path: Path) -> None:
    y = tune(1)
    path = write(tmp_path / "a.wav", np.stack([y, -y], axis=1))
    found = list(file_faults(measure_audio(path), None, ClipSettings()))
    assert found == [("channels cancel", "100 % of the time")]
    part = write(tmp_path / "b.wav", np.concatenate([np.stack([y, y], axis=1)] * 2 + [np.stack([y, -y], axis=1)] * 2))
    ((kind, detail),) = file_faults(measure_audio(part), None, ClipSettings())
    assert kind == "channels cancel" and detail.endswith("% of the time")


def test_boxes_in_boxes_are_followed_no_deeper_than_a_movie_has_them(tmp_path: Path) -> None:
    by_ffmpeg("aac")(tmp_path / "a.m4a", 3.0)
    expected = stated_lengths(tmp_path / "a.m4a")
    for kind in (b"edts", b"mdia"):
        nested = b""
        for _ in range(3_000):
            nested = struct.pack(">I", 8 + len(nested)) + kind + nested
        content = (tmp_path / "a.m4a").read_bytes()
        (tmp_path / "b.m4a").write_bytes(content + nested)
        assert _lengths_of_mp4(tmp_path / "b.m4a") == expected and expected
