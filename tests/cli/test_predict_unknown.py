"""`genrelab predict` with a model on `embedding`: what is no music, descriptive tags, the owner's names of genres."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
import soundfile

from genrelab.core.config import SamplesView
from genrelab.features.tags import TAGS
from genrelab.predict.classifier import load_bundle
from tests.support.bundles import GENRES, bundle_for
from tests.support.command import call
from tests.support.evidence import evidence_from_confidences
from tests.support.heard_levels import BLUES, FOLK, NONE, ROCK, SR, hear_levels, level_bundle, song


@pytest.fixture(autouse=True)
def heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    level_bundle(tmp_path / "bundle")
    monkeypatch.setenv("GENRELAB_MODEL", str(tmp_path / "bundle"))
    monkeypatch.setenv("GENRELAB_CACHE", str(tmp_path / "cache"))
    return hear_levels(monkeypatch)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A song of each genre, one of none, and a bird that sings like Folk."""
    folder = tmp_path / "library"
    folder.mkdir()
    for name, level in (("bird", -FOLK), ("blues", BLUES), ("folk", FOLK), ("none", NONE), ("rock", ROCK)):
        soundfile.write(folder / f"{name}.wav", song(*[level] * 4), SR, subtype="FLOAT")
    (folder / "text.mp3").write_text("no sound\n" * 100)
    return folder


def rows_of(out: str) -> dict[str, dict[str, str]]:
    return {Path(row["path"]).stem: row for row in csv.DictReader(io.StringIO(out))}


def test_sounds_without_music_are_unknown_in_every_format(library: Path) -> None:
    status, out, _ = call("predict", library, "--json")
    found = {Path(f["path"]).stem: f for f in json.loads(out)}
    assert status == 1, "for the text"
    assert {name: (f["genre"], f["unknown_because"]) for name, f in found.items()} == {
        "bird": ("unknown", "not_music"),
        "blues": ("Blues", None),
        "folk": ("Folk", None),
        "none": ("Blues", None),
        "rock": ("Rock", None),
        "text": (None, None),
    }
    assert max(found["bird"]["probabilities"], key=lambda g: found["bird"]["probabilities"][g]) == "Folk"
    assert sum(found["bird"]["probabilities"].values()) == pytest.approx(1)
    bird = rows_of(call("predict", library, "--csv")[1])["bird"]
    assert (bird["genre"], bird["unknown_because"], float(bird["p_Folk"]) > 0.9) == ("unknown", "not_music", True)
    lines = call("predict", library)[1].splitlines()
    name, genre, *words = lines[1].split()
    assert (name, genre, " ".join(words)) == (str(library / "bird.wav"), "unknown", "does not sound like music")
    assert lines[1].index("does") == lines[0].index("confidence") + len("confidence  ")
    assert lines[2].split()[1:3] == ["Blues", "99"]


def test_any_names_a_genre_for_every_file(library: Path, heard: list[float]) -> None:
    call("predict", library)
    heard.clear()
    status, out, err = call("predict", library, "--any", "--json")
    found = json.loads(out)
    assert [f["genre"] for f in found] == ["Folk", "Blues", "Folk", "Blues", "Rock", None] and status == 1
    assert {f["unknown_because"] for f in found} == {None} and err.count("\n") == 1
    assert heard == [], "the gate is applied to what is remembered"
    assert call("predict", library / "bird.wav", "--any")[1].splitlines()[1].split()[1:3] == ["Folk", "99"]


def test_no_music_comes_before_too_unsure(library: Path, tmp_path: Path) -> None:
    sure = {"Blues": [600] * 40, "Rock": [600] * 40}
    level_bundle(tmp_path / "bundle", calibration=evidence_from_confidences(sure, {"Folk": [990] * 10}))
    found = json.loads(call("predict", library, "--json", "--min-precision", "0.8")[1])
    assert [f["unknown_because"] for f in found] == ["not_music", None, "unsure", "unsure", None, None]
    status, out, err = call("predict", library, "--min-precision", "0.8", "--any")
    assert (status, out) == (2, "") and "--any and --min-precision cannot be used together" in " ".join(err.split())


def test_tags_are_given_in_every_format(library: Path) -> None:
    song_file = library / "folk.wav"
    tags = load_bundle().predict(song_file).tags
    assert tags is not None
    found = json.loads(call("predict", song_file, "--tags", "--json", "--top", "1")[1])[0]
    assert found["tags"] == tags and len(found["probabilities"]) == 1
    assert "tags" not in json.loads(call("predict", song_file, "--json")[1])[0]
    rows = rows_of(call("predict", library, "--tags", "--csv")[1])
    assert list(rows["folk"])[-len(TAGS) - 1 :] == [*(f"tag_{tag}" for tag in TAGS), "notes"]
    assert {tag: float(rows["folk"][f"tag_{tag}"]) for tag in TAGS} == tags
    assert rows["bird"]["tag_rock"] != "" and rows["text"]["tag_rock"] == ""
    best = sorted(tags, key=lambda tag: -tags[tag])[:5]
    line = call("predict", song_file, "--tags")[1].splitlines()[2]
    assert line.split(maxsplit=1) == ["tags:", ", ".join(f"{tag} {100 * tags[tag]:.0f} %" for tag in best)]
    assert [line.split()[0] for line in call("predict", library, "--tags")[1].splitlines()[2:]].count("tags:") == 5


def test_cached_answers_have_their_tags(library: Path, heard: list[float]) -> None:
    first = call("predict", library, "--tags", "--json")
    heard.clear()
    assert call("predict", library, "--tags", "--json") == first and heard == []


def test_tags_are_refused_for_a_model_without_them(library: Path, tmp_path: Path) -> None:
    bundle_for(tmp_path / "samples", SamplesView(sr=8_000, n_samples=2_000))
    status, out, err = call("predict", library, "--tags", "--model", tmp_path / "samples")
    assert (status, out) == (1, "")
    assert err == f"Error: {tmp_path / 'samples'}: --tags needs a model with the view embedding\n"
    assert call("predict", library / "folk.wav", "--model", tmp_path / "samples")[0] == 0


def test_timeline_is_of_all_windows(library: Path, heard: list[float], tmp_path: Path) -> None:
    """A model that stops as soon as it is sure would give a timeline of two windows."""
    soundfile.write(tmp_path / "long.wav", song(*[FOLK] * 20), SR, subtype="FLOAT")
    call("predict", tmp_path / "long.wav")
    assert len(heard) == 2
    found = json.loads(call("predict", tmp_path / "long.wav", "--timeline", "--json")[1])[0]
    assert [w["start_s"] for w in found["timeline"]] == [3.0 * i for i in range(20)]
    assert len(call("predict", tmp_path / "long.wav", "--timeline")[1].splitlines()) == 22
    found = json.loads(call("predict", tmp_path / "long.wav", "--timeline", "--windows", "4", "--json")[1])[0]
    assert len(found["timeline"]) == 4


def test_names_of_the_genre_map_are_printed(library: Path, tmp_path: Path) -> None:
    (tmp_path / "map.csv").write_text("from,to\nfolk,Songs\nfolk,Americana\nRock,\n")
    words = ("predict", library, "--genre-map", tmp_path / "map.csv")
    found = {Path(f["path"]).stem: f for f in json.loads(call(*words, "--json")[1])}
    assert {name: f["genres"] for name, f in found.items()} == {
        "bird": [], "blues": ["Blues"], "folk": ["Songs", "Americana"], "none": ["Blues"], "rock": [], "text": [],
    }  # fmt: skip
    assert found["folk"]["genre"] == "Folk" and set(found["folk"]["probabilities"]) == set(GENRES)
    rows = rows_of(call(*words, "--csv")[1])
    assert [rows[name]["genre"] for name in ("bird", "folk", "rock")] == ["unknown", "Folk", "Rock"]
    assert [rows[name]["genres"] for name in ("bird", "folk", "rock", "text")] == ["", "Songs; Americana", "", ""]
    spans = list(csv.DictReader(io.StringIO(call(*words, "--csv", "--timeline")[1])))
    assert {(row["genre"], row["genres"]) for row in spans if "folk.wav" in row["path"]} == {
        ("Folk", "Songs; Americana")
    }
    assert [row["error"] for row in spans if "text" in row["path"]] == [rows["text"]["error"]]
    table = call(*words)[1]
    assert "Songs + Americana  " in table and "(Rock: left out)" in table
    assert next(line.index("99 %") for line in table.splitlines() if "99 %" in line) == table.index("confidence") + 6
    (tmp_path / "map.csv").write_text("from,to\nklezmer,Songs\n")
    err = call(*words)[2]
    assert err.startswith("--genre-map: linear has no genre klezmer; it has ")
    assert err.splitlines()[0].endswith(f"; it has {', '.join(GENRES)}")
    status, out, err = call("predict", library, "--genre-map", tmp_path / "none.csv")
    assert (status, out) == (1, "") and "none.csv: no such file" in err
