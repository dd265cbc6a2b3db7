"""Bundles at addresses: fetched once, checked as any other, and named by their address in every message."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from genrelab.bundle.manifest import CARD_FILE, MANIFEST_FILE, MODEL_FILE
from genrelab.bundle.remote import fetch_bundle, is_address, load_bundle_at
from genrelab.core.config import StatisticsView
from genrelab.core.errors import BundleError, SettingsError
from tests.support.bundles import bundle_for


class FarStore(MemoryFileSystem):
    """A store whose protocol is known here only, with a log of what is read."""

    protocol = "farstore"
    store: ClassVar[dict[str, object]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    read: ClassVar[list[str]] = []

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return MemoryFileSystem._strip_protocol(path.removeprefix("farstore://"))

    def get_file(self, rpath: str, lpath: str, **options: object) -> None:
        self.read.append(rpath)
        super().get_file(rpath, lpath, **options)


fsspec.register_implementation("farstore", FarStore, clobber=True)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    bundle_for(tmp_path / "bundle", StatisticsView(), name="far")
    return tmp_path / "bundle"


@pytest.fixture(params=["memory", "farstore"])
def far(request: pytest.FixtureRequest, bundle: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a RUN whose model `svm` has this bundle."""
    run = f"{request.param}://bucket {tmp_path.name}/my run"
    fs = fsspec.filesystem(request.param)
    for file in (MANIFEST_FILE, MODEL_FILE, CARD_FILE):
        fs.pipe(f"{run}/svm/bundle/{file}", (bundle / file).read_bytes())
    yield run
    fs.rm(run, recursive=True)
    FarStore.read.clear()


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("s3://bucket/run/svm/bundle", True), ("simplecache::s3://bucket", True), ("file:///tmp/x", True),
        ("gs://b", True), ("runs/first", False), ("./a:b", False), (r"C:\models\mine", False), ("C:/models", False),
        ("", False), ("a b://c", False), (Path("s3://bucket"), False),
    ],
)  # fmt: skip
def test_addresses_and_paths_are_distinguished(name: str | Path, is_one: bool) -> None:
    assert is_address(name) is is_one


@pytest.mark.parametrize("place", ["svm/bundle", "svm/bundle/", "svm"])
def test_a_bundle_at_an_address_is_the_one_that_was_written(far: str, bundle: Path, place: str) -> None:
    found = load_bundle_at(f"{far}/{place}")
    assert found.fingerprint == load_bundle_at(bundle).fingerprint
    assert found.path.is_dir() and found.path != bundle, "workers load it by its path"
    assert {p.name for p in found.path.iterdir()} == {MANIFEST_FILE, MODEL_FILE, CARD_FILE}


def test_bundle_is_downloaded_once_in_a_process(bundle: Path, tmp_path: Path) -> None:
    for file in (MANIFEST_FILE, MODEL_FILE, CARD_FILE):
        fsspec.filesystem("farstore").pipe(f"farstore://once/{file}", (bundle / file).read_bytes())
    FarStore.read.clear()
    assert fetch_bundle("farstore://once") == fetch_bundle("farstore://once/")
    assert len(FarStore.read) == 3


@pytest.mark.parametrize("lost", [MANIFEST_FILE, MODEL_FILE, None])
def test_deleted_copy_is_downloaded_again(far: str, bundle: Path, lost: str | None) -> None:
    address = f"{far}/svm"
    copy = fetch_bundle(address)
    if lost is None:
        shutil.rmtree(copy)
    else:
        (copy / lost).unlink()
    assert load_bundle_at(address).fingerprint == load_bundle_at(bundle).fingerprint


def test_an_address_of_this_disk_is_not_copied(bundle: Path) -> None:
    assert fetch_bundle(f"file://{bundle}") == bundle
    assert fetch_bundle(f"local://{bundle}") == bundle
    assert fetch_bundle(str(bundle)) == bundle


def test_errors_name_the_address(far: str, bundle: Path) -> None:
    fs = fsspec.filesystem(far.partition(":")[0])
    with pytest.raises(BundleError, match=r"my run is the folder of a run: add the name of a model \(svm\)"):
        load_bundle_at(far)
    with pytest.raises(BundleError, match="nowhere has no bundle; `genrelab learn`"):
        load_bundle_at(f"{far}/nowhere")
    changed = f"{far}/changed"
    for file in (MANIFEST_FILE, MODEL_FILE, CARD_FILE):
        fs.pipe(f"{changed}/{file}", (bundle / file).read_bytes() + (b" " if file == MODEL_FILE else b""))
    with pytest.raises(
        BundleError, match=r"my run/changed/model\.onnx was changed after the bundle was written"
    ) as caught:
        load_bundle_at(changed)
    assert "genrelab-bundle-" not in str(caught.value)
    fs.copy(f"{far}/svm/bundle/{MANIFEST_FILE}", f"{far}/half/{MANIFEST_FILE}")
    with pytest.raises(BundleError, match="my run/half cannot be downloaded"):
        load_bundle_at(f"{far}/half")


def test_too_large_file_is_not_downloaded(far: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genrelab.bundle.remote.MAX_BYTES", {MANIFEST_FILE: 1 << 20, MODEL_FILE: 10, CARD_FILE: 10})
    with pytest.raises(BundleError, match=r"svm/bundle/model\.onnx is larger than 10 bytes"):
        fetch_bundle(f"{far}/svm/bundle")


def test_error_for_an_unknown_kind_of_address_says_what_to_do() -> None:
    with pytest.raises(SettingsError, match="nosuchstore://x: this kind of address cannot be used here"):
        load_bundle_at("nosuchstore://x")


def test_missing_local_folder_has_the_usual_error(tmp_path: Path, bundle: Path) -> None:
    shutil.rmtree(bundle)
    with pytest.raises(BundleError, match="bundle: no such folder"):
        load_bundle_at(bundle)
