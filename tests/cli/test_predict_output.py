"""`genrelab predict`: every file gets its row in every form, and what does not change is heard once."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from genrelab.audio import reader
from genrelab.cli.main import app
from genrelab.cli.output import predict as predict_output
from genrelab.cli.output.writers import Shown, TableWriter
from genrelab.cli.use import _supported_below
from genrelab.core.config import ClipSettings, LogMelView, MelImageView, TableView
from genrelab.core.errors import SettingsError
from genrelab.evaluation.calibration import Evidence
from genrelab.features.description import MusicDescription
from genrelab.predict import batch
from genrelab.predict import file as files
from genrelab.predict.classifier import load_bundle
from genrelab.predict.file import predict_file
from genrelab.predict.prediction import NOT_MUSIC, UNKNOWN, Prediction
from genrelab.predict.track_description import NO_DESCRIPTION, UNDECODABLE
from tests.support.bundles import GENRES, SR, bundle_for, noise
from tests.support.command import interruptible
from tests.support.evidence import evidence_from_confidences
from tests.support.guards import HANG_S
from tests.support.held_file import DECODED, HeldFiles

FIELDS = ["path", "genre", "confidence", "probabilities", "unknown_because", "duration_s", "model", "error", "notes"]


@pytest.fixture(autouse=True)
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    view = LogMelView(sr=SR, n_fft=512, hop_length=256, n_mels=16, window_s=0.5, hop_s=0.5)
    bundle_for(tmp_path / "bundle", view, ClipSettings(clip_s=1.0, max_clips=2))
    monkeypatch.setenv("GENRELAB_MODEL", str(tmp_path / "bundle"))
    monkeypatch.setenv("GENRELAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "bundle"


@pytest.fixture
def library(tmp_path: Path) -> Path:
    folder = tmp_path / "library"
    (folder / "deep").mkdir(parents=True)
    for i, name in enumerate(("a.wav", "b.flac", "deep/c.wav")):
        soundfile.write(folder / name, noise(4.5, seed=i), SR)
    (folder / "text.mp3").write_text("no sound\n" * 100)
    return folder


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are decoded."""
    names: list[str] = []

    def predict(bundle: Any, path: Path) -> Prediction:
        names.append(path.name)
        return predict_file(bundle, path)

    for module in (predict_output, batch):
        monkeypatch.setattr(module, "predict_file", predict)
    return names


def call(*words: object, stdin: bytes | None = None) -> tuple[int, bytes, str]:
    """Exit status, standard output, standard error."""
    result = CliRunner().invoke(app, ["predict", *map(str, words)], input=stdin)
    return result.exit_code, result.stdout_bytes, result.stderr


# --- forms ---


def test_json_is_one_list_with_every_file(library: Path, tmp_path: Path) -> None:
    status, out, err = call(library, tmp_path / "missing.mp3", "--json")
    found = json.loads(out)
    assert (status, err) == (1, "2 of 5 files failed\n")
    assert [Path(f["path"]).name for f in found] == ["a.wav", "b.flac", "c.wav", "text.mp3", "missing.mp3"]
    assert all(list(f) == FIELDS for f in found)
    assert [f["error"] is not None for f in found] == [False] * 3 + [True] * 2
    assert [f["genre"] in GENRES for f in found] == [True] * 3 + [False] * 2
    assert found[0] == load_bundle().predict(library / "a.wav").to_json()
    assert call(library / "a.wav", "--json")[0] == 0
    assert [len(f["probabilities"]) for f in json.loads(call(library, "--json", "--top", 2)[1])] == [2, 2, 2, 0]


def test_csv_has_the_same_columns_for_every_file(library: Path) -> None:
    status, out, _ = call(library, "--csv")
    rows = list(csv.DictReader(io.StringIO(out.decode())))
    assert status == 1
    about = ("path", "genre", "confidence", "unknown_because", "duration_s", "model", "error")
    assert list(rows[0]) == [*about, *(f"p_{g}" for g in GENRES), "notes"]
    expected = load_bundle().predict(library / "a.wav")
    assert (rows[0]["genre"], rows[0]["error"]) == (expected.genre, "")
    assert {g: float(rows[0][f"p_{g}"]) for g in GENRES} == expected.probabilities
    assert (rows[3]["genre"], rows[3]["p_Folk"], rows[3]["duration_s"]) == ("", "", "")
    assert "cannot be decoded" in rows[3]["error"]


NOTES = ["the channels cancel\neach other out", "two tags"]


def test_notes_are_printed_with_the_file_in_every_form_also_from_the_cache(
    library: Path, monkeypatch: pytest.MonkeyPatch, heard: list[str]
) -> None:
    class NotedAudio(reader.Audio):
        def __init__(self, path: Path) -> None:
            super().__init__(path)
            self.notes += NOTES if path.name == "a.wav" else []

    monkeypatch.setattr(files, "Audio", NotedAudio)
    (library / "text.mp3").unlink()
    call(library, "--json")
    heard.clear()
    assert [f["notes"] for f in json.loads(call(library, "--json")[1])] == [NOTES, [], []]
    rows = list(csv.DictReader(io.StringIO(call(library, "--csv")[1].decode())))
    assert [r["notes"] for r in rows] == ["; ".join(NOTES), "", ""]
    lines = call(library)[1].decode().splitlines()
    assert [line.strip() for line in lines[2:4]] == [r"note:  the channels cancel\neach other out", "note:  two tags"]
    assert len(lines) == 6 and heard == []
    for form in ("--csv", "--json"):
        assert b"two tags" in call(library / "a.wav", "--timeline", form)[1]


def test_table_is_aligned_with_one_line_per_file(library: Path) -> None:
    (library / "a.wav").rename(library / "two\nlines.wav")
    soundfile.write(library / "日本語.wav", noise(2), SR)
    status, out, _ = call(library, "--top", 2)
    lines = out.decode().splitlines()
    assert status == 1 and len(lines) == 6
    assert "two\\nlines.wav" in out.decode()
    at = lines[0].index("genre")
    names = {line[at:].split()[0] for line in lines[1:] if "FAILED" not in line and "日" not in line}
    assert names <= set(GENRES)
    assert sum("FAILED: cannot be decoded" in line for line in lines) == 1
    japanese = next(line for line in lines if "日" in line)
    assert japanese[at - 3 :].split()[0] in GENRES, "three of its characters take two columns each"
    assert call(library / "b.flac", "--top", 1)[1].decode().splitlines()[1].rstrip().endswith("%")


def test_timeline_is_given_in_every_output_format(library: Path) -> None:
    expected = load_bundle().predict(library / "a.wav").timeline
    assert len(expected) == 4, "two clips of two windows"
    found = json.loads(call(library / "a.wav", "--timeline", "--json")[1])
    assert list(found[0]) == [*FIELDS, "timeline"]
    assert [(w["start_s"], w["end_s"], w["probabilities"]) for w in found[0]["timeline"]] == [
        (w.start_s, w.end_s, w.probabilities) for w in expected
    ]
    rows = list(csv.DictReader(io.StringIO(call(library, "--timeline", "--csv")[1].decode())))
    assert [(float(r["start_s"]), float(r["end_s"]), float(r["p_Folk"])) for r in rows[:4]] == [
        (w.start_s, w.end_s, w.probabilities["Folk"]) for w in expected
    ]
    assert (rows[-1]["path"], rows[-1]["start_s"], rows[-1]["genre"]) == (str(library / "text.mp3"), "", "")
    lines = call(library / "a.wav", "--timeline")[1].decode().splitlines()
    assert len(lines) == 6
    assert "0:00.0 to 0:00.5" in lines[2] and "0:03.5 to 0:04.0" in lines[5], "the first and the fourth of five clips"


def test_windows_option_sets_how_much_of_a_file_is_used(library: Path) -> None:
    counts = {
        n: len(json.loads(call(library / "a.wav", "--windows", n, "--timeline", "--json")[1])[0]["timeline"])
        for n in (1, 3, "all")
    }
    assert counts == {1: 2, 3: 6, "all": 10}


def test_close_answer_gets_a_second_pass_with_windows(bundle: Path, library: Path) -> None:
    view = LogMelView(sr=SR, n_fft=512, hop_length=256, n_mels=16, window_s=0.5, hop_s=0.5)
    undecided = np.zeros((int(np.prod(view.shape)), 3), np.float32)
    bundle_for(bundle, view, ClipSettings(clip_s=1.0, max_clips=2), undecided)
    timelines = [
        json.loads(call(library / "a.wav", *words, "--timeline", "--json")[1])[0]["timeline"]
        for words in ((), ("--windows", 2), ("--windows", 3))
    ]
    assert [[w["start_s"] for w in timeline] for timeline in timelines] == [
        [0.0, 0.5, 3.0, 3.5],
        [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5],
        [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 3.5, 4.0],
    ]


@pytest.mark.parametrize(
    "words",
    [
        ("--json", "--csv"),
        ("--windows", "0"),
        ("--windows", "some"),
        ("--windows", "-1"),
        ("--top", "0"),
        ("--csv", "--top", "1"),
        ("--jobs", "0"),
        ("--min-precision", "90"),
        ("--min-precision", "much"),
        ("--coverage", "1"),
        ("",),
        (),
    ],
)
def test_invalid_options_are_a_usage_error(words: tuple[str, ...]) -> None:
    status, out, err = call(*(("a.mp3", *words) if words else ()))
    assert (status, out) == (2, b"")
    assert "Usage" in err


def test_file_name_that_is_not_utf8_is_escaped_in_the_output(library: Path) -> None:
    strange = os.fsencode(library) + b"/\xff\xfe.wav"
    try:
        shutil.copy(library / "a.wav", strange)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    status, out, _ = call("-", "--csv", stdin=strange + b"\n")
    assert status == 0 and "\\udcff\\udcfe.wav," in out.decode()
    assert os.fsencode(json.loads(call("-", "--json", stdin=strange)[1])[0]["path"]) == strange
    assert b"\\udcff\\udcfe.wav" in call("-", stdin=strange)[1]


def test_line_breaks_in_names_add_no_rows_to_csv(library: Path) -> None:
    names = ["a\rb.wav", "a\r\nb.wav", "a\nb.wav", "ab.wav\r"]
    for name in names:
        shutil.copy(library / "a.wav", library / name)
    _, out, _ = call(*(library / n for n in names), "--csv")
    rows = list(csv.DictReader(io.StringIO(out.decode(), newline="")))
    assert [r["path"] for r in rows] == [str(library / n) for n in names]
    assert out.endswith(b"\n") and not out.endswith(b"\r\n")


# --- tempo and key ---

DESCRIPTION = MusicDescription(126.25, 0.5, "A minor", 0.25)


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch) -> None:
    """A has tempo and key, B neither."""
    found = {"a.wav": DESCRIPTION, "b.flac": NO_DESCRIPTION}
    monkeypatch.setattr(files, "describe_track", lambda audio: found.get(audio.path.name, DESCRIPTION))


@pytest.mark.usefixtures("described")
def test_tempo_and_key_are_given_in_every_output_format_also_from_the_cache(library: Path, heard: list[str]) -> None:
    status, out, _ = call(library, "--describe", "--json")
    found = json.loads(out)
    assert status == 1 and all(list(f) == [*FIELDS, *DESCRIPTION.to_json()] for f in found)
    values = [tuple(f[name] for name in DESCRIPTION.to_json()) for f in found]
    assert values == [(126.25, 0.5, "A minor", 0.25), (None, 0, None, 0), values[0], (None,) * 4]
    heard.clear()
    rows = list(csv.DictReader(io.StringIO(call(library, "--describe", "--csv")[1].decode())))
    assert [[r[name] for name in DESCRIPTION.to_json()] for r in rows[:2]] == [
        ["126.25", "0.5", "A minor", "0.25"], ["", "0.0", "", "0.0"],
    ]  # fmt: skip
    assert rows[3]["key"] == rows[3]["key_confidence"] == "" and rows[3]["error"]
    lines = call(library, "--describe")[1].decode().splitlines()
    at = lines[0].index("tempo, key (confidence)")
    assert lines[1][at:].startswith("126 BPM (50 %), A minor (25 %)  ")
    assert lines[2][at:].startswith("no clear tempo, no clear key")
    assert "FAILED" in lines[4] and heard == []
    assert {line[at + 34 :].strip()[:1].isupper() for line in lines[1:4]} == {True}, "the other genres are aligned"


@pytest.mark.usefixtures("described")
def test_description_is_left_out_unless_requested(library: Path) -> None:
    call(library, "--describe")
    for form in ("--json", "--csv"):
        assert b"tempo" not in call(library, form)[1]
    assert b"tempo" not in call(library)[1] and b"BPM" not in call(library)[1]


@pytest.mark.usefixtures("described", "rock")
def test_tempo_and_key_are_given_for_unknown_genres_and_beside_a_timeline(library: Path) -> None:
    options = ("--describe", "--timeline", "--min-precision", "0.99", "--windows", "2")
    (found,) = json.loads(call(library / "a.wav", "--json", *options)[1])
    assert (found["genre"], found["tempo_bpm"], found["key"]) == ("unknown", 126.25, "A minor")
    assert found["timeline"]
    rows = list(csv.DictReader(io.StringIO(call(library / "a.wav", "--csv", *options)[1].decode())))
    assert len(rows) > 1 and {(r["tempo_bpm"], r["key"]) for r in rows} == {("126.25", "A minor")}
    head, first, *windows = call(library / "a.wav", *options)[1].decode().splitlines()
    at = head.index("tempo, key")
    assert "unknown" in first and first[at:].startswith("126 BPM (50 %), A minor (25 %)")
    assert windows and all(w[at : at + 34].isspace() for w in windows)


def test_note_tells_why_there_is_no_tempo_and_key(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "describe_track", lambda _: UNDECODABLE)
    note = "tempo and key: the middle of the track cannot be decoded"
    song = library / "a.wav"
    assert json.loads(call(song, "--json", "--describe")[1])[0]["notes"] == [note]
    assert [r["notes"] for r in csv.DictReader(io.StringIO(call(song, "--csv", "--describe")[1].decode()))] == [note]
    head, first, last = call(song, "--describe")[1].decode().splitlines()
    assert first[head.index("tempo, key") :].startswith("tempo and key not found")
    assert last.strip() == f"note:  {note}"
    for form in ([], ["--json"], ["--csv"]):
        assert note not in call(song, *form)[1].decode()


def test_tempo_and_key_of_what_is_not_music_are_printed() -> None:
    prediction = Prediction(
        "bird.ogg", UNKNOWN, 0.5, dict.fromkeys(GENRES, 1 / 3), 2.0, "m", None, description=DESCRIPTION
    )
    prediction = replace(prediction, unknown_because=NOT_MUSIC)
    writer = TableWriter(GENRES, ["bird.ogg"], Shown(describe=True))
    row = writer.row(prediction)
    assert row[writer.head.index("tempo, key") :].split("  ")[0] == "126 BPM (50 %), A minor (25 %)"
    assert row.endswith("  does not sound like music\n")


# --- unknown, and sets ---


@pytest.fixture
def rock(bundle: Path) -> Evidence:
    """Of the three genres only Rock was answered right, from a confidence of 0.2 on."""
    view = LogMelView(sr=SR, n_fft=512, hop_length=256, n_mels=16, window_s=0.5, hop_s=0.5)
    found = evidence_from_confidences({"Rock": [200] * 30}, {"Blues": [180] * 30, "Folk": [180] * 30}, [170] * 60)
    bundle_for(bundle, view, ClipSettings(clip_s=1.0, max_clips=2), calibration=found)
    return found


@pytest.mark.usefixtures("rock")
def test_answers_below_min_precision_are_unknown_in_every_format(library: Path, heard: list[str]) -> None:
    plain = json.loads(call(library, "--json")[1])
    assert {f["genre"] for f in plain if f["genre"]} - {"Rock"}, "else this tests nothing"
    heard.clear()
    status, out, err = call(library, "--json", "--min-precision", "0.8")
    found = json.loads(out)
    assert status == 1 and heard == [], "cached predictions are decided again"
    assert err.splitlines()[0].endswith(
        " is supported only for Rock (90 calibration tracks); any other answer is unknown"
    )
    for before, after in zip(plain, found, strict=True):
        counts = before["genre"] in (None, "Rock")
        assert after == before | ({} if counts else {"genre": "unknown", "unknown_because": "unsure"})
    assert json.loads(call(library, "--json")[1]) == plain, "the cache does not depend on it"
    rows = list(csv.DictReader(io.StringIO(call(library, "--csv", "--min-precision", "0.8")[1].decode())))
    for key in ("genre", "unknown_because"):
        assert [r[key] or None for r in rows] == [f[key] for f in found]
    lines = call(library, "--min-precision", "0.8", "--top", "2")[1].decode().splitlines()
    name, genre, best, share, *_ = next(line for line in lines if "unknown" in line).split()
    asked = next(f for f in plain if f["path"] == name)
    reason = f"  (too few calibration tracks for {best} at this precision)"
    assert next(line for line in lines if "unknown" in line).endswith(reason)
    assert (genre, best, share) == ("unknown", asked["genre"], f"{100 * asked['confidence']:.0f}")


def test_lower_precision_is_suggested_if_no_genre_reaches_the_requested(bundle: Path, library: Path) -> None:
    wrong = {"Blues": [180] * 30, "Folk": [180] * 30, "Rock": [200] * 2}
    view = LogMelView(sr=SR, n_fft=512, hop_length=256, n_mels=16, window_s=0.5, hop_s=0.5)
    found = evidence_from_confidences({"Rock": [200] * 28}, wrong)
    bundle_for(bundle, view, ClipSettings(clip_s=1.0, max_clips=2), calibration=found)
    err = call(library / "a.wav", "--min-precision", "0.95")[2].splitlines()
    assert err == [
        "--min-precision 0.95 is supported for no genre (90 calibration tracks), so every answer is unknown: use a "
        "lower precision (at 0.7: Rock), or train with more tracks"
    ]


def test_suggested_precisions_are_the_next_lower_and_one_half() -> None:
    wrong = {"a": [900] * 2, "b": [950] * 6, "c": [850] * 6}
    found = evidence_from_confidences({"a": [900] * 20, "b": [900] * 20}, wrong)
    assert _supported_below(found, 0.95) == ["at 0.8: a", "at 0.5: a, b"]
    assert _supported_below(found, 0.4) == []


@pytest.mark.usefixtures("rock")
def test_genre_sets_are_given_in_every_output_format(library: Path) -> None:
    status, out, err = call(library, "--json", "--coverage", "0.9", "--top", 1)
    found = json.loads(out)
    assert status == 1 and list(found[0]) == [*FIELDS, "set"]
    assert err.splitlines()[0] == (
        "--coverage 0.9: 90 calibration tracks by 90 artists (a track by an unknown artist counts as one artist)"
    )
    probabilities = [f["probabilities"] for f in json.loads(call(library, "--json")[1])]
    for f, p in zip(found, probabilities, strict=True):
        assert f["set"] == [g for g in sorted(p, key=lambda g, p=p: -p[g]) if p[g] >= 0.17]  # type: ignore[misc]
    assert {len(f["set"]) for f in found} == {0, 2, 3}, "else this tests little"
    rows = list(csv.DictReader(io.StringIO(call(library, "--csv", "--coverage", "0.9")[1].decode())))
    assert [r["set"].split("; ") if r["set"] else [] for r in rows] == [f["set"] for f in found]
    lines = call(library, "--coverage", "0.9")[1].decode().splitlines()
    assert f"in {{{', '.join(found[0]['set'])}}}" in lines[1]


@pytest.mark.parametrize(
    ("n", "true", "said"),
    [
        (4, 170, "at least 9 tracks are needed, so every set contains all 3"),
        (12, 170, "fewer than 20 give only a rough estimate"),
        (30, 0, "this model is too often wrong for this coverage, so every set contains all 3 genres"),
    ],
)
def test_calibration_tracks_behind_a_coverage_are_reported_once(
    bundle: Path, library: Path, n: int, true: int, said: str
) -> None:
    found = evidence_from_confidences({}, {"Blues": [1_000], "Folk": [1_000], "Rock": [1_000] * (n - 2)}, [true] * n)
    view = LogMelView(sr=SR, n_fft=512, hop_length=256, n_mels=16, window_s=0.5, hop_s=0.5)
    bundle_for(bundle, view, ClipSettings(clip_s=1.0, max_clips=2), calibration=found)
    err = call(library, "--coverage", "0.9")[2].splitlines()
    assert err[0].startswith("--coverage 0.9: ") and said in err[0] and len(err) == 2
    assert "failed" in err[1]


def test_sets_that_always_hold_all_genres_are_reported(bundle: Path, library: Path) -> None:
    found = evidence_from_confidences({}, {"Blues": [900], "Folk": [900], "Rock": [900] * 28}, [1] * 30)
    view = LogMelView(sr=SR, n_fft=512, hop_length=256, n_mels=16, window_s=0.5, hop_s=0.5)
    bundle_for(bundle, view, ClipSettings(clip_s=1.0, max_clips=2), calibration=found)
    told = "every set contains all 3 genres: this model is too often wrong for this coverage"
    assert call(library, "--coverage", "0.9")[2].splitlines()[-1] == told
    assert "too often wrong" not in call(library / "a.wav", "--coverage", "0.9")[2], "its row shows it"


def test_precision_and_coverage_need_a_calibrated_bundle(library: Path) -> None:
    for option in ("--min-precision", "--coverage"):
        status, out, err = call(library, option, "0.9")
        assert (status, out, err.count("\n")) == (1, b"", 1) and "has no calibration" in err


def test_bundle_for_tables_is_refused_with_a_single_message(bundle: Path) -> None:
    found = evidence_from_confidences({}, {g: [900] * 10 for g in GENRES})
    bundle_for(bundle, TableView(columns=("a", "b")), calibration=found)
    status, out, err = call("song.mp3", "--min-precision", "0.9", "--coverage", "0.9")
    assert (status, out) == (1, b"") and "not audio" in err and err.count("\n") == 1


# --- which files ---


def test_list_of_files_on_a_closed_standard_input_is_an_error(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(SettingsError, match="closed: give files"):
        predict_output.print_predictions(load_bundle(bundle), ["-"], Shown("json"))


@pytest.mark.parametrize("between", [b"\n", b"\r\n", b"\0"])
def test_list_of_files_is_read_from_standard_input(library: Path, between: bytes) -> None:
    names = [os.fsencode(library / "a.wav"), os.fsencode(library / "deep")]
    if between == b"\0":
        (library / "a.wav").rename(library / "a\nb.wav")
        names[0] = os.fsencode(library / "a\nb.wav")
    status, out, _ = call("-", library / "b.flac", "--json", stdin=between.join([*names, b""]))
    assert status == 0
    assert [os.fsencode(f["path"]) for f in json.loads(out)] == [
        names[0], os.fsencode(library / "deep" / "c.wav"), os.fsencode(library / "b.flac")
    ]  # fmt: skip
    assert json.loads(call("-", "--json", stdin=b"")[1]) == []


def test_empty_folder_is_an_error_and_other_files_are_classified(library: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    status, out, _ = call(tmp_path / "empty", library / "a.wav", "--json")
    found = json.loads(out)
    assert status == 1
    assert [f["path"] for f in found] == [str(tmp_path / "empty"), str(library / "a.wav")]
    assert "no audio file in this folder" in found[0]["error"]
    assert found[1]["error"] is None
    assert b"FAILED: no audio file" in call(tmp_path / "empty")[1]


def test_predicting_one_file_imports_no_heavy_packages(library: Path, tmp_path: Path) -> None:
    bundle_for(tmp_path / "image", MelImageView())  # views on `spectra` import SciPy for its faster transform
    look = (
        "import sys\nfrom genrelab.cli.main import app\n"
        f"try:\n    app(['predict', {str(library / 'a.wav')!r}, '--model', {str(tmp_path / 'image')!r}])\n"
        "except SystemExit as e:\n    assert not e.code\n"
        "heavy = {'av', 'scipy', 'rich', 'sqlite3', 'multiprocessing'} & set(sys.modules)\n"
        "print(*heavy, file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert result.stderr.split() == []


# --- what is remembered ---


def test_only_changed_files_of_a_folder_are_processed_again(library: Path, heard: list[str], tmp_path: Path) -> None:
    first = call(library, "--json")
    assert sorted(heard) == ["a.wav", "b.flac", "c.wav", "text.mp3"]
    heard.clear()
    assert call(library, "--json") == first
    assert heard == []
    soundfile.write(library / "a.wav", noise(4.5, seed=7), SR)
    (library / "b.flac").rename(library / "moved.flac")
    assert call("-", stdin=os.fsencode(library))[0] == 1
    assert heard == ["a.wav"]
    heard.clear()
    assert call(library, "--fresh", "--json")[0] == 1
    assert len(heard) == 4
    heard.clear()
    assert len(json.loads(call(library, "--timeline", "--json")[1])[0]["timeline"]) == 4
    assert len(heard) == 4, "timelines are not remembered"
    heard.clear()
    call(library, "--windows", 1)
    assert len(heard) == 4, "other windows are another question"


def test_fresh_run_replaces_cached_answers(library: Path, heard: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    right = json.loads(call(library, "--fresh", "--json")[1])

    def mistaken(bundle: Any, path: Path) -> Prediction:
        fault = Prediction(str(path), None, None, {}, None, bundle.name, "not today")
        return fault if path.suffix == ".wav" else predict_file(bundle, path)

    with monkeypatch.context() as patch:
        patch.setattr(batch, "predict_file", mistaken)
        call(library, "--fresh")
    assert [f["error"] for f in json.loads(call(library, "--json")[1])][::2] == ["not today"] * 2
    heard.clear()
    assert json.loads(call(library, "--fresh", "--timeline", "--json")[1])[0]["timeline"]
    assert len(heard) == 4
    heard.clear()
    assert json.loads(call(library, "--json")[1]) == right
    assert heard == []


def test_single_files_are_not_cached(library: Path, heard: list[str], tmp_path: Path) -> None:
    for _ in range(2):
        assert call(library / "a.wav", library / "b.flac")[0] == 0
    assert heard == ["a.wav", "b.flac"] * 2
    assert not (tmp_path / "cache").exists()


def test_failing_cache_is_reported_and_files_are_still_classified(library: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    status, out, err = call(library, "--json")
    assert (status, len(json.loads(out))) == (1, 4)
    assert err.count("\n") == 2 and "GENRELAB_CACHE" in err.splitlines()[0]


# --- interrupted ---


def test_ctrl_c_closes_the_json_list_and_prints_how_to_resume(
    library: Path, heard: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    predict = batch.predict_file

    def interrupt(bundle: Any, path: Path) -> Prediction:
        if path.name == "c.wav":
            raise KeyboardInterrupt
        return predict(bundle, path)

    with monkeypatch.context() as patch:
        patch.setattr(batch, "predict_file", interrupt)
        patch.setattr("sys.argv", ["genrelab", "predict", str(library), "--json"])
        status, out, err = call(library, "--json")
        assert (status, len(json.loads(out))) == (130, 2)
        assert err.splitlines()[-1].strip().endswith(f"predict {library} --json")
        status, out, err = call(library, "--fresh", "--json")
        assert (status, len(json.loads(out))) == (130, 2)
        assert "start over" in err and "continue with" not in err
    heard.clear()
    assert len(json.loads(call(library, "--json")[1])) == 4
    assert heard == ["c.wav", "text.mp3"]


@pytest.mark.slow
def test_predict_resumes_a_library_after_ctrl_c(library: Path, tmp_path: Path) -> None:
    for i in range(45):
        soundfile.write(library / f"{i:02}.wav", noise(1, seed=i), SR)
    words = [sys.executable, "-m", "genrelab", "predict", str(library), "--json", "--jobs", "2"]
    with (
        HeldFiles(tmp_path / "hooks", "/40.wav", hook=DECODED) as held,
        (tmp_path / "err").open("w") as err,
        subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=err, preexec_fn=interruptible, start_new_session=True,
            env=held.environment,
        ) as process,
    ):  # fmt: skip
        assert process.stdout is not None
        rows = [process.stdout.readline() for _ in range(40)]
        held.wait()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers get it, too
        before = json.loads(b"".join([*rows, process.stdout.read()]))
    assert process.returncode == 130
    said = (tmp_path / "err").read_text()
    assert said.count("\n") == 3 and "Traceback" not in said, said
    assert len(before) == 40
    again = subprocess.run(words, capture_output=True, timeout=HANG_S)
    assert again.returncode == 1, "text.mp3 is among them"
    after = json.loads(again.stdout)
    assert len(after) == 49
    assert after[: len(before)] == before


# --- real audio ---


@pytest.mark.real
def test_every_kind_of_sound_gets_an_answer(shared: Path) -> None:
    status, out, _ = call(shared / "data" / "assorted", "--json")
    found = json.loads(out)
    assert status == 0 and len(found) == 16
    assert all(f["genre"] in GENRES and 0 < f["confidence"] <= 1 for f in found)
