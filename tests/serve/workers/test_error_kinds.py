"""The kind of problem follows from a file's content; the detail is the error of `genrelab predict`, without a path."""

from __future__ import annotations

import io
from contextlib import closing
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from genrelab.audio.clips import NOT_FINITE, clips_from_audio
from genrelab.audio.reader import Audio
from genrelab.core.config import ClipSettings
from genrelab.core.errors import DecodeError
from genrelab.serve.workers.error_kinds import NO_MEMORY, describe_decode_error
from tests.support.containers import make
from tests.support.faulty import cut, tune, wav_with_false_length, write


def kind_and_detail(path: Path) -> tuple[str, str]:
    """The problem of a file that `predict` cannot use."""
    long_enough = False
    try:
        with closing(Audio(path)) as audio:
            long_enough = audio.frames >= 0.5 * audio.sr
            for _ in clips_from_audio(audio, ClipSettings()):
                pass
    except DecodeError as e:
        said = describe_decode_error(e, path, long_enough=long_enough)
        detail = said.get("detail", "")
        assert str(path.parent) not in detail
        assert path.name not in detail
        if said["kind"] not in ("unsupported-codec", "internal"):
            assert detail == e.reason
        return said["kind"], detail
    raise AssertionError("it can be used")


@pytest.mark.parametrize(
    "content",
    [
        b"just words\n" * 300,
        b"<!doctype html><html><body>hello</body></html>",
        b"%PDF-1.7\n" + bytes(5_000),
        b"PK\x03\x04" + bytes(range(256)) * 20,
        b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(3_000),
        b"\x7fELF" + bytes(3_000),
        b"#EXTM3U\n#EXTINF:10,\nhttp://localhost/a.ts\n",
        b"[playlist]\nFile1=/etc/passwd\n",
        bytes(10_000),
        b"\x00",
        "w\u00f6rter".encode("utf-16") * 100,
    ],
)
def test_non_audio_content_is_refused_as_not_audio(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "7").write_bytes(content)
    assert kind_and_detail(tmp_path / "7")[0] == "not-audio"


@pytest.mark.parametrize("seed", range(20))
def test_random_bytes_are_not_audio(tmp_path: Path, seed: int) -> None:
    content = b"\x00" + np.random.default_rng(seed).bytes(40_000)
    (tmp_path / "7").write_bytes(content)
    assert kind_and_detail(tmp_path / "7")[0] == "not-audio"


def test_empty_file_is_not_audio(tmp_path: Path) -> None:
    (tmp_path / "7").touch()
    assert kind_and_detail(tmp_path / "7") == ("not-audio", "the file is empty")


def test_a_film_without_sound_is_no_audio(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "7.mp4"), "w") as film:
        stream = film.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        for _ in range(5):
            film.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))))
        film.mux(stream.encode(None))
    assert kind_and_detail(tmp_path / "7.mp4")[0] == "not-audio"


def test_unknown_codec_in_matroska_is_unsupported(tmp_path: Path) -> None:
    made = io.BytesIO()
    with av.open(made, "w", format="matroska") as container:
        stream = container.add_stream("pcm_s16le", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 48_000), np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts = 48_000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    (tmp_path / "7").write_bytes(made.getvalue().replace(b"A_PCM/INT/LIT", b"A_FUTURE/2099"))
    kind, detail = kind_and_detail(tmp_path / "7")
    assert kind == "unsupported-codec"
    assert "Matroska" in detail
    assert "Send MP3" in detail


def test_unknown_codec_in_wav_is_unsupported(tmp_path: Path) -> None:
    content = bytearray(write(tmp_path / "7.wav", tune(0)).read_bytes())
    content[20:22] = b"\x34\x12"  # the format's tag
    (tmp_path / "7").write_bytes(content)
    assert kind_and_detail(tmp_path / "7")[0] == "unsupported-codec"


def test_mp4_codec_without_a_decoder_is_unsupported(tmp_path: Path) -> None:
    content = make(tmp_path, "alac").read_bytes()
    (tmp_path / "7").write_bytes(content.replace(b"alac", b"ac-4"))  # Dolby's AC-4: no free decoder
    assert kind_and_detail(tmp_path / "7")[0] == "unsupported-codec"


@pytest.mark.parametrize("name", ["m4a", "m4a, moov first", "wma", "wavpack", "flac", "ogg", "opus"])
def test_file_cut_after_its_first_bytes_is_damaged(tmp_path: Path, name: str) -> None:
    path = make(tmp_path / "made", name)
    (tmp_path / "7").write_bytes(path.read_bytes()[:60])
    assert kind_and_detail(tmp_path / "7")[0] == "damaged"


def test_an_mp4_whose_index_is_missing_is_damaged(tmp_path: Path) -> None:
    content = make(tmp_path / "made", "m4a").read_bytes()
    (tmp_path / "7").write_bytes(content[: content.index(b"moov") - 4])
    assert kind_and_detail(tmp_path / "7")[0] == "damaged"


def test_a_flac_whose_frames_are_rubbish_is_damaged(tmp_path: Path) -> None:
    content = write(tmp_path / "7.flac", tune(0)).read_bytes()
    (tmp_path / "7").write_bytes(content[:200] + bytes(len(content) - 200))
    assert kind_and_detail(tmp_path / "7")[0] == "damaged"


def test_file_much_shorter_than_its_header_states_is_damaged(tmp_path: Path) -> None:
    path = cut(write(tmp_path / "7.flac", tune(1)), 0.02)
    assert kind_and_detail(path)[0] == "damaged"


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (np.zeros(22_050, np.float32), "silent: no sample reaches -80 dBFS"),
        (tune(2)[:2_205], "too short: 0.10 s, the minimum is 0.5 s"),
        (np.append(tune(3), np.float32(np.nan)), NOT_FINITE),
    ],
)
def test_silent_short_or_non_finite_audio_is_unusable(tmp_path: Path, y: np.ndarray, words: str) -> None:
    soundfile.write(tmp_path / "7.wav", y, 22_050, subtype="FLOAT")
    assert kind_and_detail(tmp_path / "7.wav") == ("unusable", words)


def test_short_wav_with_a_false_length_is_refused(tmp_path: Path) -> None:
    assert kind_and_detail(wav_with_false_length(tmp_path / "7.wav", tune(4)[:2_000], 1_000_000))[0] in (
        "damaged",
        "unusable",
    )


def test_out_of_memory_is_reported_as_damaged(tmp_path: Path) -> None:
    fault = DecodeError(tmp_path / "7", "what the decoder says")
    fault.__cause__ = MemoryError()
    assert describe_decode_error(fault, tmp_path / "7") == {"kind": "damaged", "detail": NO_MEMORY}


def test_missing_file_is_an_internal_error(tmp_path: Path) -> None:
    assert kind_and_detail(tmp_path / "7") == ("internal", "")


def test_file_path_is_removed_from_decoder_messages(tmp_path: Path) -> None:
    path = tmp_path / "7"
    path.write_bytes(b"fLaC" + bytes(100))
    said = describe_decode_error(DecodeError(path, f"cannot read {path} at all"), path)
    assert said["detail"] == "cannot read the file at all"


def test_file_removed_while_it_is_decoded_is_reported_as_damaged(tmp_path: Path) -> None:
    fault = DecodeError(tmp_path / "7", "soundfile: x; FFmpeg: No such file or directory")
    assert describe_decode_error(fault, tmp_path / "7")["kind"] == "damaged"
