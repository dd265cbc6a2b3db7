"""A model at an address serves every command that takes a model: it is fetched, and worker processes load the copy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
import soundfile

from genrelab.bundle.manifest import CARD_FILE, MANIFEST_FILE, MODEL_FILE
from genrelab.core.config import SamplesView
from tests.support.bundles import SR, bundle_for, noise
from tests.support.command import call


@pytest.fixture
def local(tmp_path: Path) -> Path:
    bundle_for(tmp_path / "near", SamplesView(sr=SR, n_samples=400), name="far", gate=False)
    return tmp_path / "near"


@pytest.fixture
def address(local: Path, tmp_path: Path) -> Iterator[str]:
    store, run = fsspec.filesystem("memory"), f"memory://{tmp_path.name}/my run"
    for file in (MANIFEST_FILE, MODEL_FILE, CARD_FILE):
        store.pipe(f"{run}/svm/bundle/{file}", (local / file).read_bytes())
    yield f"{run}/svm/bundle"
    store.rm(run, recursive=True)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    folder.mkdir()
    for n in range(6):
        soundfile.write(folder / f"{n}.flac", noise(4, seed=n), SR)
    return folder


def test_predict_answers_as_with_the_bundle_on_this_disk(
    address: str, local: Path, library: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GENRELAB_CACHE", str(tmp_path / "cache"))
    words = ("predict", library, "--json", "--jobs", 2, "--fresh")
    near, far = call(*words, "--model", local), call(*words, "--model", address)
    assert far == near and far[0] == 0, far
    assert len(json.loads(far[1])) == 6
    monkeypatch.setenv("GENRELAB_MODEL", address)
    assert call(*words) == near


def test_tag_playlists_and_doctor_take_an_address(
    address: str, library: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GENRELAB_CACHE", str(tmp_path / "cache"))
    model = ("--model", address, "--min-confidence", 0, "--jobs", 1)
    status, out, err = call("tag", library, "--dry-run", "--json", *model)
    assert status == 0 and {row["status"] for row in json.loads(out)["files"]} == {"would tag"}, err
    status, out, err = call("playlists", library, "--out", tmp_path / "lists", "--json", *model)
    assert status == 0 and sum(json.loads(out)["playlists"].values()) == 6, err
    findings = json.loads(call("doctor", "--json", "--model", address)[1])["findings"]
    (found,) = [f for f in findings if f["name"] == "model"]
    assert found["state"] == "ok" and found["found"].startswith("far, 3 genres"), found


def test_export_takes_an_address_with_out(address: str, local: Path, tmp_path: Path) -> None:
    status, out, err = call("export", address, "--format", "onnx", "--out", tmp_path / "exported")
    assert (status, out.strip()) == (0, str(tmp_path / "exported")), err
    assert (tmp_path / "exported" / MODEL_FILE).read_bytes() == (local / MODEL_FILE).read_bytes()
    run_of_it = address.removesuffix("/bundle")
    assert call("export", run_of_it, "--format", "onnx", "--out", tmp_path / "again")[0] == 0


@pytest.mark.parametrize("command", ["predict", "tag", "doctor"])
def test_what_is_wrong_with_an_address_is_one_line(command: str, library: Path) -> None:
    status, out, err = call(command, library, "--model", "nosuchstore://bucket/svm", *(["--json"] * (command != "tag")))
    said = out if command == "doctor" else err
    assert status == 1 and "nosuchstore://bucket/svm: this kind of address cannot be used here" in said
    assert "unexpected" not in said and "Traceback" not in said
