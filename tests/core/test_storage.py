from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from genrelab.core.errors import SettingsError
from genrelab.core.storage import Folder


@pytest.fixture(params=["local", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    return Folder(tmp_path / "out") if request.param == "local" else Folder(f"memory://{uuid.uuid4().hex}/out")


def test_json_reads_back(folder: Folder) -> None:
    folder.write_json("a/b.json", {"genre": "Müzik\n"})
    assert folder.read_json("a/b.json") == {"genre": "Müzik\n"}
    assert folder.names("a") == ["b.json"]
    assert (folder / "a").read_json("b.json") == folder.read_json("a/b.json")


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(folder: Folder) -> None:
    folder.write_bytes("x", b"old")
    with pytest.raises(RuntimeError), folder.replacing("x") as temporary, folder.fs.open(temporary, "wb") as f:
        f.write(b"half")
        raise RuntimeError
    assert folder.read_bytes("x") == b"old"
    assert folder.names() == ["x"]


def test_written_file_can_be_fetched(folder: Folder, tmp_path: Path) -> None:
    folder.write_bytes("view/shard", b"123")
    assert folder.fetch("view/shard", tmp_path / "cache").read_bytes() == b"123"


def test_publish_tree_copies_every_file(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "t" / "deep").mkdir(parents=True)
    (tmp_path / "t" / "deep" / "a").write_bytes(b"1")
    folder.publish_tree(tmp_path / "t")
    assert folder.read_bytes("deep/a") == b"1"
    folder.remove("deep")
    folder.remove("never there")
    assert not folder.exists("deep/a")


@pytest.mark.parametrize("address", ["", " ", "foo://x"])
def test_invalid_address_is_refused(address: str) -> None:
    with pytest.raises(SettingsError):
        Folder(address)


def test_an_address_whose_package_is_absent_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(address: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("genrelab.core.storage.url_to_fs", absent)
    with pytest.raises(SettingsError, match="Install s3fs"):
        Folder("s3://bucket/out")


def test_file_in_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "sub"):
        with pytest.raises(SettingsError, match="this folder cannot be created"):
            Folder(path).write_bytes("x", b"1")


def test_json_that_is_not_an_object_is_refused(folder: Folder) -> None:
    for content in (b"[]", b"{", b"\xff"):
        folder.write_bytes("a.json", content)
        with pytest.raises(ValueError):
            folder.read_json("a.json")


def test_sha256_is_of_the_content(folder: Folder) -> None:
    folder.write_bytes("a", b"abc")
    assert folder.sha256("a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert folder.sha256("b") is None
