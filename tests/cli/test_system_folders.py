"""No command takes what lies in a system's folder, or behind a link to a folder, for music."""

from __future__ import annotations

import json
from pathlib import Path

import mutagen.flac
import pytest
import soundfile

from genrelab.core.config import SamplesView
from genrelab.core.errors import DatasetError
from genrelab.runs import learn_labels
from tests.support.bundles import SR, bundle_for, noise
from tests.support.command import call

FOREIGN = (
    "#recycle",
    "$RECYCLE.BIN",
    "@eaDir",
    ".Trash-1000",
    "lost+found",
    "rock/@Recycle",
    "pop/System Volume Information",
)


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two genres of three files, the same in folders that are no music, and a link to a folder elsewhere."""
    monkeypatch.setenv("GENRELAB_CACHE", str(tmp_path / "cache"))
    for seed, folder in enumerate(("rock", "pop", *FOREIGN)):
        (tmp_path / "lib" / folder).mkdir(parents=True)
        for n in range(3):
            file = tmp_path / "lib" / folder / f"{n}.flac"
            soundfile.write(file, noise(4, seed=10 * seed + n), SR)
            tags = mutagen.flac.FLAC(file)
            tags["genre"] = "Rock" if folder == "rock" else "Pop"
            tags.save()
    (tmp_path / "elsewhere").mkdir()
    soundfile.write(tmp_path / "elsewhere" / "far.flac", noise(4, seed=999), SR)
    (tmp_path / "lib" / "linked").symlink_to(tmp_path / "elsewhere")
    return tmp_path / "lib"


@pytest.fixture
def model(tmp_path: Path) -> tuple[str, ...]:
    bundle_for(tmp_path / "model", SamplesView(sr=SR, n_samples=400), gate=False)
    return ("--model", str(tmp_path / "model"), "--jobs", "1")


def own_files(library: Path) -> set[str]:
    return {str(library / genre / f"{n}.flac") for genre in ("rock", "pop") for n in range(3)}


def test_prepare_has_the_genres_only(library: Path, tmp_path: Path) -> None:
    status, _, err = call("prepare", library, "--out", tmp_path / "p", "--views", "samples", "--jobs", 1, "-v")
    assert status == 0, err
    about = json.loads((tmp_path / "p" / "dataset.json").read_text())
    assert (about["genres"], about["counts"]["tracks"]) == (["pop", "rock"], 6)
    assert "6 folders of the operating system or a NAS" in err and "1 link to a folder" in err
    listed = (tmp_path / "p" / "failures.csv").read_text()
    assert all(f",{name},find," in listed for name in (*FOREIGN, "linked"))


def test_predict_notes_skipped_folders(library: Path, model: tuple[str, ...]) -> None:
    status, out, err = call("predict", library, "--json", "-v", *model)
    assert status == 0 and {row["path"] for row in json.loads(out)} == own_files(library), err
    assert err.count("skipped:") == 1 and "#recycle" in err and str(library / "linked") in err


@pytest.mark.parametrize("named", ["#recycle", "linked", ".Trash-1000"])
def test_a_folder_that_is_named_is_used(library: Path, model: tuple[str, ...], named: str) -> None:
    status, out, _ = call("predict", library / named, "--json", *model)
    assert status == 0 and len(json.loads(out)) == (1 if named == "linked" else 3)


def test_tag_and_playlists_leave_the_others_alone(library: Path, model: tuple[str, ...], tmp_path: Path) -> None:
    status, out, err = call("tag", library, "--dry-run", "--overwrite", "--json", "--min-confidence", 0, *model)
    assert status == 0 and {row["path"] for row in json.loads(out)["files"]} == own_files(library), err
    status, out, err = call("playlists", library, "--out", tmp_path / "lists", "--json", "--min-confidence", 0, *model)
    assert status == 0 and sum(json.loads(out)["playlists"].values()) == 6, err


def test_doctor_checks_the_genres_only_and_names_the_rest(
    library: Path, model: tuple[str, ...], tmp_path: Path
) -> None:
    told = json.loads(call("doctor", library, "--json", "--manifest", tmp_path / "x.csv", *model)[1])["data"]
    assert (told["dataset"], told["tracks"], told["genres"]) == ("folder", 6, ["pop", "rock"])
    assert {u["path"] for u in told["unused"]} == {*FOREIGN, "linked"}


def test_doctor_on_files_without_genres_notes_skipped_folders(
    library: Path, model: tuple[str, ...], tmp_path: Path
) -> None:
    for folder in ("#recycle", "linked"):
        (library / folder).rename(library / "rock" / folder)
    told = json.loads(call("doctor", library / "rock", "--json", "--manifest", tmp_path / "x.csv", *model)[1])["data"]
    assert (told["dataset"], told["tracks"]) == ("files", 3)
    assert any("2 folders of the operating system or a NAS" in n and "1 link to a folder" in n for n in told["notes"])


@pytest.mark.parametrize("source", ["folders", "tags"])
def test_learn_learns_from_the_genres_only(library: Path, source: str) -> None:
    if source == "folders":
        found = learn_labels.from_folders(library, None)
    else:
        found = learn_labels.from_tags(library, all_values=False)
    assert {str(f.path) for f in found.files} == own_files(library)
    assert any("of the operating system or a NAS" in note for note in found.notes), found.notes


def test_clips_of_fma_without_metadata_are_no_genres_and_still_files(
    tmp_path: Path, model: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENRELAB_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "fma_medium"
    for i in (2, 5, 1_003):
        (root / f"{i // 1000:03d}").mkdir(parents=True, exist_ok=True)
        soundfile.write(root / f"{i // 1000:03d}" / f"{i:06d}.mp3", noise(4, 16_000, i), 16_000)
    for words in (
        ("prepare", "--out", tmp_path / "p"),
        ("run", "--out", tmp_path / "r"),
        ("learn", "--out", tmp_path / "b"),
    ):
        status, _, err = call(words[0], root, *words[1:])
        assert status == 1 and "genrelab download fma-metadata" in err.splitlines()[-1], err
    with pytest.raises(DatasetError, match="FMA's clips"):
        learn_labels.from_folders(root, None)
    assert call("predict", root, "--json", *model)[0] == 0
    assert call("tag", root, "--dry-run", *model)[0] == 0
    told = json.loads(call("doctor", root, "--json", "--manifest", tmp_path / "x.csv", *model)[1])["data"]
    assert (told["dataset"], told["tracks"]) == ("files", 3)
    assert "genrelab download fma-metadata" in told["notes"][0]
