"""Only an earlier export is replaced, and a kill loses neither the old export nor the new one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from genrelab.core.errors import SettingsError
from genrelab.export.export_folder import finish_export, is_export, replacing
from tests.support.paths import PROJECT


def write(out: Path, content: str, *, overwrite: bool = False, source: Path = Path("/nowhere")) -> None:
    with replacing(out, source=source, overwrite=overwrite) as folder:
        (folder / "model.onnx").write_text(content)
        (folder / "variables").mkdir()
        (folder / "variables" / "index").touch()
        finish_export(folder, {"format": "onnx"})


def test_previous_export_is_replaced_completely(tmp_path: Path) -> None:
    write(tmp_path / "a" / "b", "one")
    assert is_export(tmp_path / "a" / "b")
    settings = json.loads((tmp_path / "a" / "b" / "settings.json").read_text())
    assert settings == {"genrelab_export": 1, "files": ["model.onnx", "variables/index"], "format": "onnx"}
    write(tmp_path / "a" / "b", "two")
    assert (tmp_path / "a" / "b" / "model.onnx").read_text() == "two"
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["b"]


def test_empty_folder_may_be_used(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write(tmp_path / "out", "one")
    assert is_export(tmp_path / "out")


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("content", [None, "{}", "[1]", "7", "no JSON", '{"genrelab_export": 1}', '{"models": []}'])
def test_folder_with_other_files_is_never_replaced(tmp_path: Path, content: str | None, overwrite: bool) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "song.mp3").write_text("precious")
    if content is not None:
        (tmp_path / "out" / "settings.json").write_text(content)
    with pytest.raises(SettingsError, match=r"out exists and is not an export of genrelab: choose another --out"):
        write(tmp_path / "out", "one", overwrite=overwrite)
    assert (tmp_path / "out" / "song.mp3").read_text() == "precious"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_file_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("precious")
    with pytest.raises(SettingsError, match="is not an export"):
        write(tmp_path / "out", "one", overwrite=True)
    with pytest.raises(SettingsError, match="cannot be written"):
        write(tmp_path / "out" / "below", "one")
    assert (tmp_path / "out").read_text() == "precious"


@pytest.mark.parametrize("left", [".out.new-0123abcd", ".out.old-0123abcd"])
def test_leftover_folder_is_removed_only_if_export_made_it(tmp_path: Path, left: str) -> None:
    (tmp_path / left).mkdir()
    (tmp_path / left / "song.mp3").write_text("precious")
    write(tmp_path / "out", "one")
    assert (tmp_path / left / "song.mp3").read_text() == "precious"
    (tmp_path / left / ".genrelab-unfinished").touch()
    write(tmp_path / "out", "two")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_half_removed_export_is_not_restored(tmp_path: Path) -> None:
    write(tmp_path / ".out.old-0123abcd", "one")
    (tmp_path / ".out.old-0123abcd" / ".genrelab-unfinished").touch()
    with pytest.raises(ValueError), replacing(tmp_path / "out", source=Path("/nowhere"), overwrite=False):
        raise ValueError
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["notes.txt", "variables/notes.txt"])
def test_other_files_in_an_export_are_removed_only_with_overwrite(tmp_path: Path, name: str) -> None:
    write(tmp_path / "out", "one")
    (tmp_path / "out" / name).write_text("mine")
    with pytest.raises(
        SettingsError, match=rf"contains {name}, which export did not write: remove it with --overwrite"
    ):
        write(tmp_path / "out", "two")
    assert (tmp_path / "out" / "model.onnx").read_text() == "one"
    write(tmp_path / "out", "two", overwrite=True)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["model.onnx", "settings.json", "variables"]
    assert [p.name for p in (tmp_path / "out" / "variables").iterdir()] == ["index"]


def test_source_bundle_is_not_replaced_by_its_export(tmp_path: Path) -> None:
    write(tmp_path / "out", "one")
    with pytest.raises(SettingsError, match="contains what is to be exported"):
        write(tmp_path / "out", "two", overwrite=True, source=tmp_path / "out")


@pytest.mark.parametrize("address", ["gs://bucket/out", "memory://out", "s3://bucket"])
def test_an_address_is_not_written_as_a_local_folder(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match="is not on this disk: export into a local folder, then copy it"):
        write(Path(address), "one")
    assert not list(tmp_path.iterdir())


def test_behind_a_link_the_export_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    write(tmp_path / "real", "one")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write(tmp_path / "link", "two")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real" / "model.onnx").read_text() == "two"


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
def test_failure_leaves_the_previous_export_and_nothing_else(tmp_path: Path, fault: type[BaseException]) -> None:
    write(tmp_path / "out", "one")
    with pytest.raises(fault), replacing(tmp_path / "out", source=Path("/nowhere"), overwrite=False) as folder:
        (folder / "model.onnx").write_text("half")
        raise fault
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "model.onnx").read_text() == "one"


def test_failed_rename_restores_the_previous_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "out", "one")
    rename = Path.rename

    def refuse_the_new(self: Path, target: Path) -> Path:
        if ".new-" in self.name:
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse_the_new)
    with pytest.raises(SettingsError, match=r"cannot be written .*No space left on device"):
        write(tmp_path / "out", "two")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "model.onnx").read_text() == "one"


KILLED = """
import sys
from pathlib import Path
from genrelab.export.export_folder import finish_export, replacing
from tests.support.killed_at import kill_before_change
when, out = int(sys.argv[1]), Path(sys.argv[2])
kill_before_change(when + 1, out.parent)
with replacing(out, source=Path("/nowhere"), overwrite=False) as folder:
    (folder / "model.onnx").write_text("two")
    finish_export(folder, {"format": "onnx"})
"""


def test_kill_at_any_moment_loses_no_export(tmp_path: Path) -> None:
    kills = 0
    for when in range(30):
        out = tmp_path / str(when) / "out"
        write(out, "one")
        done = subprocess.run([sys.executable, "-c", KILLED, str(when), str(out)], check=False, cwd=PROJECT)
        kept = [p for p in out.parent.iterdir() if is_export(p)]
        assert kept and all((p / "model.onnx").read_text() in ("one", "two") for p in kept)
        if done.returncode == 0:
            break
        kills += 1
        with pytest.raises(ValueError), replacing(out, source=Path("/nowhere"), overwrite=False):
            raise ValueError  # the next export fails, but the earlier one has its name again
        assert [p.name for p in out.parent.iterdir()] == ["out"] and is_export(out)
        write(out, "three")
        assert [p.name for p in out.parent.iterdir()] == ["out"]
    assert 6 <= kills < 30
