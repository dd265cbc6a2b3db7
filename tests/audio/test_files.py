"""Names become files: each once, sorted below folders; what cannot be searched is an error in its place."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from genrelab.audio.files import HIDDEN, LINK, SYSTEM, common_folder, find_audio_files, path_below, walk
from genrelab.core.errors import DecodeError, SettingsError


def audio_files(paths: Iterable[str | Path]) -> list[Path]:
    """What a search finds, or the first of its errors."""
    found = list(find_audio_files(paths))
    for fault in found:
        if isinstance(fault, DecodeError):
            raise fault
    return [f for f in found if isinstance(f, Path)]


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).touch()


def test_folders_are_searched_and_named_files_kept(tmp_path: Path) -> None:
    touch(tmp_path, "b/2.MP3", "b/1.flac", "a/x.m4a", "a/notes.txt", "a/._x.m4a", "single.dat")
    named = [tmp_path / "single.dat", tmp_path / "missing.mp3"]
    below = [tmp_path / "a/x.m4a", tmp_path / "b/1.flac", tmp_path / "b/2.MP3"]
    assert audio_files([*named, tmp_path]) == [*named, *below]
    assert audio_files([tmp_path / "b", tmp_path]) == [*below[1:], below[0]]


@pytest.mark.parametrize(
    "suffix", ["3gp", "ac3", "amr", "ape", "asf", "dsf", "m4b", "mp1", "mpc", "mpga", "spx", "tak", "tta", "w64"]
)
def test_rare_audio_suffixes_are_found(tmp_path: Path, suffix: str) -> None:
    touch(tmp_path, f"a.{suffix}", f"b.{suffix.upper()}", "film.wmv")
    assert audio_files([tmp_path]) == [tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix.upper()}"]


def test_files_in_genrelabs_own_folder_are_skipped(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp3", ".genrelab/b.mp3", "deep/.genrelab/c.mp3")
    assert audio_files([tmp_path]) == [tmp_path / "a.mp3"]


SYSTEM_FOLDERS = (
    *("#recycle", "$RECYCLE.BIN", "$Recycle.Bin", "RECYCLER", "@eaDir", "@Recycle", "@tmp", "lost+found", "#snapshot"),
    *("System Volume Information", "FOUND.000", "Network Trash Folder", "Temporary Items", "__MACOSX", "Thumbs.db"),
    *(".Trash-1000", ".Trashes", ".AppleDouble", ".Spotlight-V100", ".snapshots", "._rock", ".@__thumb", "LOST.DIR"),
    *("@Recently-Snapshot", "@snapshots", "~snapshot", "@SynoDrive", "trashbox", "Recycle Bin"),
)


@pytest.mark.parametrize("name", SYSTEM_FOLDERS)
def test_folders_of_systems_are_not_searched_at_any_depth_and_in_any_case(tmp_path: Path, name: str) -> None:
    names = (name, name.upper(), name.lower())
    touch(tmp_path, "rock/a.mp3", *(f"{n}/b.mp3" for n in names), *(f"rock/album/{n}/x/c.mp3" for n in names))
    assert audio_files([tmp_path]) == [tmp_path / "rock/a.mp3"]
    assert audio_files([tmp_path / name]) == [tmp_path / name / "b.mp3"], "which is named"


@pytest.mark.parametrize(
    "name",
    ["$uicideboy$", "#1 Hits", "@", "@home", "Trash", "Recovery", "Lost and Found", "found.footage", "Thumbs", "tmp",
     "System", "snapshot", "!!!", "~", "Trash Metal", "recycled beats", "Macosx"],
)  # fmt: skip
def test_odd_names_of_music_are_no_system(tmp_path: Path, name: str) -> None:
    touch(tmp_path, f"{name}/a.mp3")
    assert audio_files([tmp_path]) == [tmp_path / name / "a.mp3"]


def test_links_to_folders_are_not_followed_unless_they_are_named(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere", "a.mp3")
    touch(tmp_path / "music", "b.mp3")
    (tmp_path / "music" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "music" / "loop").symlink_to(tmp_path / "music")
    (tmp_path / "music" / "c.mp3").symlink_to(tmp_path / "elsewhere" / "a.mp3")
    assert audio_files([tmp_path / "music"]) == [tmp_path / "music/b.mp3", tmp_path / "music/c.mp3"]
    assert audio_files([tmp_path / "music/link"]) == [tmp_path / "music/link/a.mp3"]


def test_junctions_of_windows_are_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.mp3", "junction/b.mp3")
    monkeypatch.setattr(os.path, "isjunction", lambda path: str(path).endswith("junction"), raising=False)
    assert audio_files([tmp_path]) == [tmp_path / "a.mp3"]


def test_skipped_folders_are_reported_once_and_hidden_ones_are_not(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp3", "#recycle/b.mp3", "x/#recycle/c.mp3", ".genrelab/d.mp3", "@eaDir/e.mp3")
    (tmp_path / "link").symlink_to(tmp_path / "x")
    sentences: list[str] = []
    list(find_audio_files([tmp_path], notify=sentences.append))
    folders = ", ".join(str(tmp_path / name) for name in ("#recycle", "@eaDir", "x/#recycle"))
    assert sentences == [
        f"skipped: 3 folders of the operating system or a NAS ({folders}), 1 link to a folder ({tmp_path / 'link'}); "
        "give the path of a folder to include it"
    ]
    sentences.clear()
    list(find_audio_files([tmp_path], ["#recycle", "link", "@*"], notify=sentences.append))
    assert sentences == [], "a pattern leaves them out anyway, and fits something"


def test_walk_reports_everything_that_it_skips(tmp_path: Path) -> None:
    touch(tmp_path, "b/x.mp3", "a/.x.mp3", "#recycle/y.mp3", ".h/z.mp3")
    (tmp_path / "link").symlink_to(tmp_path / "b")
    skipped: dict[str, str] = {}
    found = list(walk(tmp_path, on_error=pytest.fail, passed_over=skipped.__setitem__))
    assert [(Path(parent).name, names) for parent, _, names in found[1:]] == [("a", []), ("b", ["x.mp3"])]
    assert skipped == {
        str(tmp_path / name): why
        for name, why in ((".h", HIDDEN), ("#recycle", SYSTEM), ("link", LINK), ("a/.x.mp3", HIDDEN))
    }


def test_file_named_twice_is_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.mp3")
    monkeypatch.chdir(tmp_path)
    assert audio_files(["a.mp3", "./a.mp3", tmp_path / "a.mp3", "."]) == [Path("a.mp3")]
    assert audio_files(["b.mp3", "b.mp3"]) == [Path("b.mp3")]


def test_a_folder_without_audio_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "notes.txt")
    with pytest.raises(DecodeError, match=r"no audio file in this folder \(audio suffixes: .*mp3"):
        audio_files([tmp_path])


def test_unreadable_folder_is_an_error_and_other_files_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "a/1.mp3", "locked/2.mp3", "z.mp3")
    (tmp_path / "empty").mkdir()
    scandir = os.scandir

    def guarded(path: str) -> object:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    found = list(find_audio_files([tmp_path, tmp_path / "empty", "x.mp3"]))
    files = [f for f in found if isinstance(f, Path)]
    assert files == [tmp_path / "a/1.mp3", tmp_path / "z.mp3", Path("x.mp3")]
    assert [str(f) for f in found if isinstance(f, DecodeError)] == [
        f"{tmp_path / 'locked'}: Permission denied",
        str(next(iter(find_audio_files([tmp_path / "empty"])))),
    ]
    with pytest.raises(DecodeError, match="Permission denied"):
        audio_files([tmp_path])


@pytest.mark.parametrize("name", ["x" * 5_000, "nul\0byte.mp3"])
def test_impossible_file_names_are_left_to_the_decoder(name: str) -> None:
    assert audio_files([name]) == [Path(name)]


# --- files that are left out ---


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        (["*.wav"], ["a.mp3", "live/b.mp3", "live/old/c.mp3", "talk/live.mp3"]),
        (["live"], ["a.mp3", "e.wav", "talk/d.wav", "talk/live.mp3"]),
        (["live/"], ["a.mp3", "e.wav", "talk/d.wav", "talk/live.mp3"]),
        (["./live/*"], ["a.mp3", "e.wav", "talk/d.wav", "talk/live.mp3"]),
        (["live/*/*", "talk/*.wav"], ["a.mp3", "e.wav", "live/b.mp3", "talk/live.mp3"]),
        (["old", "[a-d].*"], ["e.wav", "talk/live.mp3"]),
        (["A.MP3"], ["a.mp3", "e.wav", "live/b.mp3", "live/old/c.mp3", "talk/d.wav", "talk/live.mp3"]),
    ],
)
def test_patterns_match_names_and_paths_below_the_folder(tmp_path: Path, patterns: list[str], left: list[str]) -> None:
    touch(tmp_path, "a.mp3", "e.wav", "live/b.mp3", "live/old/c.mp3", "talk/d.wav", "talk/live.mp3")
    found = [f for f in find_audio_files([tmp_path], patterns) if isinstance(f, Path)]
    assert [f.relative_to(tmp_path).as_posix() for f in found] == left


def test_patterns_match_named_files_and_folders_below_their_common_folder(tmp_path: Path) -> None:
    touch(tmp_path, "live/b.mp3", "talk/d.wav", "talk/e.wav")
    names = [tmp_path / "live", tmp_path / "talk/d.wav", tmp_path / "talk/e.wav", tmp_path / "none.mp3"]
    assert list(find_audio_files(names, ["live", "talk/e*"])) == [tmp_path / "talk/d.wav", tmp_path / "none.mp3"]
    assert list(find_audio_files(names, ["talk"])) == [tmp_path / "live/b.mp3", tmp_path / "none.mp3"]
    assert list(find_audio_files(["no/such.mp3"], ["*.wav"])) == [Path("no/such.mp3")]


def test_pattern_without_a_match_is_reported_and_one_that_matches_all_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp3", "b.wav")
    (tmp_path / "empty").mkdir()
    sentences: list[str] = []
    found = list(find_audio_files([tmp_path, tmp_path / "empty"], ["*.wav", "Podcast"], sentences.append))
    assert found[0] == tmp_path / "a.mp3" and isinstance(found[1], DecodeError), "which is empty by itself"
    assert sentences == [f"--exclude Podcast matches no file or folder below {tmp_path}"]
    with pytest.raises(SettingsError, match="matches every file"):
        list(find_audio_files([tmp_path], ["*"]))


# --- their common folder ---


def test_common_folder_is_the_deepest_that_holds_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "music/a/1.mp3", "music/a/deep/2.mp3", "music/b/3.mp3")
    (tmp_path / "link").symlink_to(tmp_path / "music" / "b")
    music = tmp_path / "music"
    assert common_folder([music / "a/1.mp3", music / "a/deep"]) == music / "a"
    assert common_folder([music / "a/1.mp3", tmp_path / "link"]) == music, "where the music lies"
    assert common_folder([music / "a/1.mp3", tmp_path / "typing-error.mp3"]) == music / "a"
    monkeypatch.chdir(tmp_path)
    assert (common_folder(["music"]), common_folder(["link"])) == (Path("music"), Path("link")), "as it is named"
    assert common_folder(["music/a/1.mp3"]) == Path("music/a")
    for names in ([], ["none.mp3", "nul\0byte"]):
        with pytest.raises(SettingsError, match="no such file or folder"):
            common_folder(names)


def test_path_below_leads_from_the_real_folder_to_the_name(tmp_path: Path) -> None:
    touch(tmp_path, "music/a/1.mp3")
    (tmp_path / "link").symlink_to(tmp_path / "music")
    (tmp_path / "music/a/2.mp3").symlink_to(tmp_path / "music/a/1.mp3")
    assert path_below(tmp_path / "music", tmp_path / "link/a/1.mp3") == "a/1.mp3"
    assert path_below(tmp_path / "link", tmp_path / "music/a/2.mp3") == "a/2.mp3"
    assert path_below(tmp_path / "link", tmp_path / "music/a") == "a"
    with pytest.raises(ValueError, match="is not in the subpath"):
        path_below(tmp_path / "music/a", tmp_path / "music")
