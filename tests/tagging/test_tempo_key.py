"""Tempo and key go into any container on request; what a file has stays, and every byte comes back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import av
import mutagen
import pytest
from mutagen import apev2, asf, id3
from mutagen.mp4 import MP4FreeForm

from genrelab.core.errors import SettingsError, TagError
from genrelab.features.description import MusicDescription
from genrelab.predict.prediction import NOT_MUSIC, UNKNOWN, UNSURE, Prediction
from genrelab.tagging import tag, tags
from genrelab.tagging.journal import Entry, FieldChange, UnreadableLine, WrittenMusic, read_newest_first
from genrelab.tagging.plan import apply_plan, make_plan
from genrelab.tagging.tag import TagSettings
from genrelab.tagging.untag import untag
from genrelab.tagging.write_tag import TagResult
from tests.support.containers import MADE, make, samples, tag_richly

FOUND = MusicDescription(127.6, 0.91, "F# minor", 0.85)
"""Written as 128 and F#m."""


class Describer:
    """Every file is jazz with 0.83, and has this tempo and key; `names` are the files that were classified."""

    def __init__(self, found: MusicDescription | None = FOUND, *, unknown_because: str | None = None) -> None:
        self.names: list[str] = []
        self._found, self._unknown_because = found, unknown_because

    def __call__(self, paths: Iterable[Path]) -> Iterator[Prediction]:
        for path in list(paths):
            self.names.append(path.name)
            genre, why = (UNKNOWN if self._unknown_because else "jazz"), self._unknown_because
            probabilities = {"jazz": 0.83}
            yield Prediction(
                str(path), genre, 0.83, probabilities, 1.0, "svm", None, unknown_because=why, description=self._found
            )


def tagged(folder: Path, describe: Describer | None = None, **settings: Any) -> tuple[dict[str, TagResult], Path]:
    """Rows by the names of their files, and the journal (or the folder if there is none)."""
    rows: list[TagResult] = []
    chosen = TagSettings(**{"write_tempo_key": True, **settings})
    journal = tag.tag([folder], describe or Describer(), chosen, rows.append)
    return {Path(row.path).name: row for row in rows}, journal or folder


def restored(journal: Path) -> dict[str, TagResult]:
    rows: list[TagResult] = []
    untag(journal, rows.append)
    return {Path(row.path).name: row for row in rows}


def written(path: Path) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Genre, tempo and key of a file."""
    return tags.read(path).genres, *tags.read_music(path).values()


def set_field(path: Path, container: str, **fields: str) -> None:
    """Write text fields as another program does; ID3 frames by their names."""
    audio = mutagen.File(path)
    for name, text in fields.items():
        if container == "mp3":
            audio.tags.add(id3.Frames[name](encoding=0, text=[text]))
        else:
            audio[name] = [text]
    audio.save()


def one(folder: Path, container: str = "flac") -> Path:
    """A file with a title and other tags, but no genre, tempo or key."""
    path = make(folder, container, seconds=0.5)
    tag_richly(path)
    return path


# --- every container ---

KEYS = {
    ".mp3": ("TBPM", "TKEY"),
    ".wav": ("TBPM", "TKEY"),
    ".aiff": ("TBPM", "TKEY"),
    ".m4a": ("tmpo", "----:com.apple.iTunes:initialkey"),
    ".wma": ("WM/BeatsPerMinute", "WM/InitialKey"),
}
"""Fields of tempo and key; of other containers BPM and INITIALKEY."""


def by_mutagen(path: Path) -> list[str]:
    """Tempo and key, as a player that uses mutagen reads them."""
    found = mutagen.File(path).tags
    texts = []
    for key in KEYS.get(path.suffix, ("BPM", "INITIALKEY")):
        value = found[key]
        (value,) = getattr(value, "text", value if isinstance(value, list) else [value])
        texts.append(value.decode() if isinstance(value, bytes) else str(value))
    return texts


def by_ffmpeg(path: Path) -> list[str]:
    """Tempo and key as FFmpeg reads them, under any name."""
    with av.open(str(path)) as container:
        found = container.metadata | container.streams.audio[0].metadata
    names = {"bpm", "initialkey", "tbpm", "tkey", "tmpo", "wm/beatsperminute", "wm/initialkey"}
    return sorted(value for key, value in found.items() if key.lower() in names)


@pytest.mark.parametrize("version", [None, 3, 4], ids=["bare", "ID3v2.3", "ID3v2.4"])
def test_every_container_gets_tempo_and_key_and_is_restored_byte_for_byte(tmp_path: Path, version: int | None) -> None:
    for container in MADE:
        path = make(tmp_path, container, seconds=0.5)
        if version is not None:
            tag_richly(path, genres=("Own",), id3_version=version)
    before = {path: path.read_bytes() for path in sorted(tmp_path.iterdir())}
    audio = {path: samples(path) for path in before}
    rows, journal = tagged(tmp_path, overwrite=True)
    assert {(row.status, row.after) for row in rows.values()} == {("tagged", ("Jazz",))}
    for path in before:
        assert written(path) == (("Jazz",), ("128",), ("F#m",)), path.name
        assert by_mutagen(path) == ["128", "F#m"], path.name
        assert by_ffmpeg(path) == (["F#m"] if path.suffix == ".m4a" else ["128", "F#m"]), "FFmpeg ignores `tmpo`"
        assert (samples(path) == audio[path]).all()
        if version is not None:
            assert tags.artist_and_title(path) == ("Ä, B", "Lied")
    assert {row.status for row in restored(journal).values()} == {"restored"}
    assert {path: path.read_bytes() for path in before} == before


def test_tempo_of_mp4_is_a_number(tmp_path: Path) -> None:
    path = one(tmp_path, "m4a")
    tagged(tmp_path)
    assert mutagen.File(path).tags["tmpo"] == [128]


@pytest.mark.parametrize(
    ("key", "text"),
    [("C major", "C"), ("A minor", "Am"), ("F# major", "F#"), ("Bb minor", "Bbm"), ("Eb major", "Eb")],
)
def test_key_has_the_form_of_id3v2(tmp_path: Path, key: str, text: str) -> None:
    path = one(tmp_path, "mp3")
    tagged(tmp_path, Describer(MusicDescription(None, 0.0, key, 0.9)))
    assert written(path) == (("Jazz",), (), (text,))


# --- what is written, and what is not ---


def test_without_the_option_nothing_else_is_written(tmp_path: Path) -> None:
    with_option, without = one(tmp_path / "with"), one(tmp_path / "without")
    row = tagged(without.parent, write_tempo_key=False)[0]["flac.flac"]
    assert written(without) == (("Jazz",), (), ())
    assert list(row.to_json()) == ["path", "status", "before", "after", "confidence", "reason"]
    tagged(with_option.parent, Describer(None))
    assert with_option.read_bytes() == without.read_bytes(), "no tempo or key was found"
    for path in (with_option, without):
        line = json.loads(next(path.parent.glob(".genrelab/*.jsonl")).read_text())
        assert (line["version"], sorted(line)) == (2, FIELDS_OF_VERSION_2), "for earlier versions of genrelab"


FIELDS_OF_VERSION_2 = [
    "after", "before", "confidence", "field", "path", "payload_sha256", "provenance", "provenance_before",
    "sha256_after", "sha256_before", "size_before", "undo", "version",
]  # fmt: skip
"""All fields of a line in version 2 of the journal."""


def test_values_with_little_confidence_are_not_written(tmp_path: Path) -> None:
    path = one(tmp_path)
    row = tagged(tmp_path, Describer(MusicDescription(120.0, 0.59, "C major", 0.8)))[0][path.name]
    assert written(path) == (("Jazz",), (), ("C",))
    assert row.music == {"tempo": FieldChange((), (), 0.59), "key": FieldChange((), ("C",), 0.8)}


def test_file_of_an_unknown_genre_gets_tempo_and_key_but_no_origin_of_a_genre(tmp_path: Path) -> None:
    path = one(tmp_path)
    before = path.read_bytes()
    rows, journal = tagged(tmp_path, Describer(unknown_because=UNSURE))
    row = rows[path.name]
    assert (row.status, row.after, row.reason) == ("tagged", (), "perhaps Jazz")
    assert written(path) == ((), ("128",), ("F#m",))
    assert tags.read(path).provenance == ()
    assert restored(journal)[path.name].status == "restored"
    assert path.read_bytes() == before


def test_what_is_not_music_has_no_tempo_or_key(tmp_path: Path) -> None:
    path = one(tmp_path)
    before = path.read_bytes()
    assert tagged(tmp_path, Describer(unknown_because=NOT_MUSIC))[0][path.name].status == "unsure"
    assert path.read_bytes() == before


@pytest.mark.parametrize("container", ["mp3", "flac"])
def test_file_with_a_genre_gets_only_what_is_missing(tmp_path: Path, container: str) -> None:
    path = make(tmp_path, container, seconds=0.5)
    tag_richly(path, genres=("Metal",))
    set_field(path, container, **{"TBPM" if container == "mp3" else "BPM": "99.5"})
    row = tagged(tmp_path)[0][path.name]
    assert (row.status, row.before, row.after, row.reason) == ("tagged", ("Metal",), (), "keeps its genre")
    assert row.to_json()["tempo"] == FieldChange(("99.5",), (), 0.91).__dict__
    assert row.to_json()["key"] == FieldChange((), ("F#m",), 0.85).__dict__
    assert written(path) == (("Metal",), ("99.5",), ("F#m",))
    assert tags.read(path).provenance == ()


def test_file_that_has_everything_is_not_classified(tmp_path: Path) -> None:
    path = one(tmp_path)
    tagged(tmp_path)
    before, describe = path.read_bytes(), Describer()
    row = tagged(tmp_path, describe)[0][path.name]
    assert (row.status, row.reason) == ("kept", "has a genre, tempo and key")
    assert row.music == {"tempo": FieldChange(("128",), (), None), "key": FieldChange(("F#m",), (), None)}
    assert (describe.names, path.read_bytes()) == ([], before)


def test_tempo_of_zero_is_none(tmp_path: Path) -> None:
    path = one(tmp_path, "m4a")
    audio = mutagen.File(path)
    audio.tags["tmpo"] = [0]
    audio.save()
    before = path.read_bytes()
    rows, journal = tagged(tmp_path)
    assert rows[path.name].music["tempo"].before == () and written(path)[1] == ("128",)
    restored(journal)
    assert path.read_bytes() == before


def test_tempo_of_zero_does_not_hide_that_of_another_tag(tmp_path: Path) -> None:
    path = one(tmp_path, "mp3")
    set_field(path, "mp3", TBPM="0")
    ape = apev2.APEv2()
    ape["BPM"] = "140"
    ape.save(path)
    assert tagged(tmp_path)[0][path.name].music["tempo"] == FieldChange(("140",), (), 0.91)
    assert str(id3.ID3(path)["TBPM"]) == "0"


@pytest.mark.parametrize("overwrite", [False, True])
def test_word_is_no_tempo_and_stays(tmp_path: Path, overwrite: bool) -> None:
    path = one(tmp_path)
    set_field(path, "flac", TEMPO="Moderato")
    tagged(tmp_path, overwrite=overwrite)
    assert (mutagen.File(path)["TEMPO"], mutagen.File(path)["BPM"]) == (["Moderato"], ["128"])


def test_tempo_and_key_in_tags_around_the_audio_count(tmp_path: Path) -> None:
    path = one(tmp_path, "mp3")
    ape = apev2.APEv2()
    ape["BPM"], ape["KEY"] = "140", "Am"
    ape.save(path)
    tagged(tmp_path)
    assert written(path) == (("Jazz",), ("140",), ("Am",))
    assert not {"TBPM", "TKEY"} & set(id3.ID3(path))


def test_overwrite_replaces_other_values_and_leaves_equal_ones(tmp_path: Path) -> None:
    path = one(tmp_path)
    set_field(path, "flac", GENRE="jazz", BPM="90", KEY="Am")
    rows, journal = tagged(tmp_path, overwrite=True)
    assert written(path) == (("jazz",), ("128",), ("F#m",))
    assert "INITIALKEY" not in mutagen.File(path), "the field that the file uses"
    row = rows[path.name]
    assert (row.status, row.reason) == ("tagged", "has this genre")
    before = path.read_bytes()
    row = tagged(tmp_path, overwrite=True)[0][path.name]
    assert (row.status, row.reason, path.read_bytes()) == ("kept", "has this genre", before)
    restored(journal)
    assert written(path) == (("jazz",), ("90",), ("Am",))


FREEFORM = "----:com.apple.iTunes:"


@pytest.mark.parametrize(
    ("container", "fields"),
    [
        ("flac", {"KEY": "Am", "INITIALKEY": "C", "TEMPO": "90"}),
        ("mp3", {"TXXX:INITIALKEY": "Am", "TXXX:BPM": "99", "TKEY": "C"}),
        ("m4a", {f"{FREEFORM}INITIALKEY": b"Am", f"{FREEFORM}BPM": b"99.5"}),
        ("wma", {"KEY": "Am", "bpm": "99"}),
        ("wavpack", {"Key": "Am", "InitialKey": "C", "Tempo": "99"}),
    ],
)
def test_overwrite_leaves_no_contradiction_and_then_nothing_to_do(
    tmp_path: Path, container: str, fields: dict[str, Any]
) -> None:
    path, file = one(tmp_path / "music", container), tmp_path / "plan.jsonl"
    audio = mutagen.File(path)
    for key, value in fields.items():
        if container != "mp3":
            audio.tags[key] = [value]
        elif key.startswith("TXXX"):
            audio.tags.add(id3.TXXX(encoding=0, desc=key[5:], text=[value]))
        else:
            audio.tags.add(id3.Frames[key](encoding=0, text=[value]))
    audio.save()
    before = path.read_bytes()
    planned(path.parent, file, overwrite=True)
    row, journal = applied(file)
    after, found = path.read_bytes(), mutagen.File(path).tags
    assert (row.status, written(path)) == ("tagged", (("Jazz",), ("128",), ("F#m",)))
    texts = {str(value) for key in fields for value in (getattr(found[key], "text", None) or list(found[key]))}
    assert texts <= {"128", "F#m", "b'128'", "b'F#m'"}
    assert (applied(file)[0].status, path.read_bytes()) == ("kept", after)
    assert (tagged(path.parent, overwrite=True)[0][path.name].status, path.read_bytes()) == ("kept", after)
    assert journal is not None and restored(journal)[path.name].status == "restored"
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("tempo", "key", "same"),
    [
        ("127.60", "F# minor", True),
        ("128,0", "F#min", True),
        ("128", "Gbm", True),
        ("128.0", "G♭ Minor", True),
        ("127.4", "F# major", False),
        ("inf", "F#M", False),
        ("127-129", "11A", False),
    ],
)
def test_same_value_in_another_spelling_stays(tmp_path: Path, tempo: str, key: str, same: bool) -> None:
    path = one(tmp_path)
    set_field(path, "flac", GENRE="Jazz", BPM=tempo, INITIALKEY=key)
    row = tagged(tmp_path, overwrite=True)[0][path.name]
    assert row.status == ("kept" if same else "tagged")
    assert written(path)[1:] == (((tempo,), (key,)) if same else (("128",), ("F#m",)))


def test_value_that_is_not_plain_text_stays_and_is_named(tmp_path: Path) -> None:
    wma, ape, mp4 = one(tmp_path / "wma", "wma"), one(tmp_path / "ape", "wavpack"), one(tmp_path / "mp4", "m4a")
    values: dict[Path, tuple[str, Any]] = {
        wma: ("WM/BeatsPerMinute", asf.ASFDWordAttribute(99)),
        ape: ("BPM", apev2.APEValue(b"\1\2", apev2.BINARY)),
        mp4: (f"{FREEFORM}BPM", MP4FreeForm(b"99\xff", dataformat=0)),
    }
    for path, (key, value) in values.items():
        audio = mutagen.File(path)
        audio.tags[key] = value if path == ape else [value]
        audio.save()
        row = tagged(path.parent, overwrite=True)[0][path.name]
        assert (row.status, row.after, row.reason) == ("tagged", ("Jazz",), "keeps its tempo (not plain text)")
        assert sorted(row.new_music) == ["key"]
        now = mutagen.File(path).tags[key]
        assert repr(now) == repr(value if path == ape else [value])


def test_plan_does_not_replace_what_is_not_plain_text(tmp_path: Path) -> None:
    path, file = one(tmp_path / "music", "wavpack"), tmp_path / "plan.jsonl"
    planned(path.parent, file)
    audio = mutagen.File(path)
    audio.tags["BPM"] = apev2.APEValue(b"\1\2", apev2.BINARY)
    audio.save()
    row = applied(file)[0]
    assert row.status == "failed" and "its tempo is not plain text: delete `tempo` in" in str(row.reason)


def test_dry_run_writes_nothing(tmp_path: Path) -> None:
    path = one(tmp_path)
    before = path.read_bytes()
    row = tagged(tmp_path, dry_run=True)[0][path.name]
    assert (row.status, sorted(row.new_music)) == ("would tag", ["key", "tempo"])
    assert path.read_bytes() == before and [*tmp_path.iterdir()] == [path]


def test_origin_of_an_earlier_genre_stays(tmp_path: Path) -> None:
    path = one(tmp_path)
    tagged(tmp_path, write_tempo_key=False)
    origin = tags.read(path).provenance
    tagged(tmp_path)
    assert tags.read(path).provenance == origin != ()
    assert written(path) == (("Jazz",), ("128",), ("F#m",))


@pytest.mark.parametrize("field", ["bpm", "InitialKey", "KEY", "WM/InitialKey", "Tempo", "BEATSPERMINUTE", "TKEY"])
def test_genre_does_not_go_into_the_field_of_tempo_or_key(field: str) -> None:
    with pytest.raises(SettingsError, match="give --subgenre-field another name"):
        TagSettings(field=field, write_tempo_key=True)
    assert TagSettings(field=field).field == field


def test_rows_without_an_answer_have_tempo_and_key_too(tmp_path: Path) -> None:
    path = one(tmp_path)
    (tmp_path / "link.flac").symlink_to(path)
    (tmp_path / "broken.flac").write_text("no audio")
    locked = path.with_name("locked.flac")
    locked.write_bytes(path.read_bytes())
    locked.chmod(0o444)
    none = FieldChange((), (), None).__dict__
    rows = tagged(tmp_path)[0]
    for name in ("link.flac", "broken.flac", "locked.flac"):
        row = rows[name].to_json()
        assert (row["status"] != "tagged", row["tempo"], row["key"]) == (True, none, none), name
    assert "tempo" not in tagged(tmp_path, write_tempo_key=False)[0]["link.flac"].to_json()


def test_file_that_cannot_be_written_has_its_values_in_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = one(tmp_path)
    set_field(path, "flac", BPM="99")

    def fail(copy: Path, *_: object) -> None:
        raise TagError(copy, "no")

    monkeypatch.setattr(tags, "write", fail)
    row = tagged(tmp_path)[0][path.name]
    assert (row.status, row.reason, row.new_music) == ("failed", "no", {})
    assert row.music == {"tempo": FieldChange(("99",), (), 0.91), "key": FieldChange((), (), 0.85)}


# --- undone after edits ---


def edited(tmp_path: Path, **fields: str) -> tuple[Path, TagResult]:
    """A tagged file in which fields were changed (empty: removed) before it was restored."""
    path = one(tmp_path)
    journal = tagged(tmp_path)[1]
    audio = mutagen.File(path)
    for name, text in fields.items():
        audio[name] = [text] if text else []
    audio.save()
    return path, restored(journal)[path.name]


def test_later_edits_of_other_tags_are_kept(tmp_path: Path) -> None:
    path, row = edited(tmp_path, TITLE="Better")
    assert (row.status, row.reason) == ("restored", "other tags have changed since then and were kept")
    assert written(path) == ((), (), ()) and tags.read(path).provenance == ()
    assert tags.artist_and_title(path)[1] == "Better"


@pytest.mark.parametrize(
    ("fields", "left", "reason"),
    [
        ({"BPM": "64"}, ((), ("64",), ()), "its tempo has changed since then and was kept"),
        (
            {"GENRE": "Bebop", "INITIALKEY": "Am"},
            (("Bebop",), (), ("Am",)),
            "its genre and key have changed since then and were kept",
        ),
    ],
)
def test_fields_that_were_changed_since_are_kept_and_the_others_restored(
    tmp_path: Path, fields: dict[str, str], left: tuple[object, ...], reason: str
) -> None:
    path, row = edited(tmp_path, **fields)
    assert (row.status, row.reason, written(path)) == ("restored", reason, left)
    assert (row.before, "tempo" in row.music, "key" in row.music) == (
        () if "GENRE" in fields else ("Jazz",), "BPM" not in fields, "INITIALKEY" not in fields
    ), "only what was restored"  # fmt: skip


def test_file_in_which_everything_was_changed_since_is_left_as_it_is(tmp_path: Path) -> None:
    path = one(tmp_path)
    journal = tagged(tmp_path)[1]
    set_field(path, "flac", GENRE="Bebop", BPM="64", INITIALKEY="Am")
    before = path.read_bytes()
    row = restored(journal)[path.name]
    assert row.status == "failed" and "its genre, tempo and key have changed since then" in str(row.reason)
    assert path.read_bytes() == before


def test_key_is_restored_in_the_field_in_which_it_was_written(tmp_path: Path) -> None:
    path = one(tmp_path)
    set_field(path, "flac", KEY="Am")
    journal = tagged(tmp_path, overwrite=True)[1]
    set_field(path, "flac", INITIALKEY="Am")  # as another program adds it
    row = restored(journal)[path.name]
    assert (row.status, row.music["key"]) == ("restored", FieldChange(("F#m",), ("Am",), None))
    assert (mutagen.File(path)["KEY"], mutagen.File(path)["INITIALKEY"]) == (["Am"], ["Am"])


def test_only_what_was_restored_is_reported(tmp_path: Path) -> None:
    _, row = edited(tmp_path, BPM="", GENRE="", GENRELAB="", TITLE="Better")
    assert (row.status, row.before, row.after) == ("restored", (), ())
    assert row.music == {"key": FieldChange(("F#m",), (), None)}


def test_fields_that_were_removed_since_are_no_obstacle(tmp_path: Path) -> None:
    path, row = edited(tmp_path, BPM="", INITIALKEY="")
    assert row.status == "restored" and written(path) == ((), (), ())


def test_file_that_was_restored_by_hand_is_unchanged(tmp_path: Path) -> None:
    _, row = edited(tmp_path, BPM="", INITIALKEY="", GENRE="", GENRELAB="", TITLE="Better")
    assert row.status == "unchanged" and "has its earlier genre, tempo and key" in str(row.reason)


def test_genre_that_was_not_written_may_change(tmp_path: Path) -> None:
    path = one(tmp_path)
    set_field(path, "flac", GENRE="Metal")
    journal = tagged(tmp_path)[1]
    set_field(path, "flac", GENRE="Bebop")
    assert restored(journal)[path.name].status == "restored"
    assert written(path) == (("Bebop",), (), ())


def test_renamed_and_edited_file_is_found_by_its_tempo(tmp_path: Path) -> None:
    path = one(tmp_path)
    set_field(path, "flac", GENRE="Metal")
    journal = tagged(tmp_path)[1]
    set_field(path, "flac", TITLE="Better")
    renamed = path.rename(tmp_path / "new.flac")
    assert restored(journal)["new.flac"].status == "restored"
    assert written(renamed) == (("Metal",), (), ())


def test_renamed_file_whose_tempo_was_changed_gets_its_earlier_genre(tmp_path: Path) -> None:
    path = one(tmp_path)
    journal = tagged(tmp_path)[1]
    set_field(path, "flac", BPM="64")
    renamed = path.rename(tmp_path / "new.flac")
    row = restored(journal)["new.flac"]
    assert (row.status, "its tempo has changed since then and was kept" in str(row.reason)) == ("restored", True)
    assert written(renamed) == ((), ("64",), ())


# --- the journal ---


def test_journal_has_the_changes_of_tempo_and_key(tmp_path: Path) -> None:
    one(tmp_path)
    journal = tagged(tmp_path, Describer(unknown_because=UNSURE))[1]
    line = json.loads(journal.read_text())
    assert (line["version"], line["after"], line["provenance"]) == (3, [], "")
    assert line["music"]["tempo"] == {"fields": {"BPM": []}, "after": ["128"], "confidence": 0.91}
    (entry,) = read_newest_first(journal)
    assert isinstance(entry, Entry) and entry.music["key"] == WrittenMusic({"INITIALKEY": ()}, ("F#m",), 0.85)


@pytest.mark.parametrize(
    "music",
    [
        None,
        [],
        {"title": {}},
        {"key": None},
        {"key": {"fields": {"KEY": []}, "after": "Am", "confidence": 1}},
        {"key": {"fields": {"KEY": []}, "after": ["Am"], "confidence": "1"}},
        {"key": {"fields": {"KEY": []}, "after": ["Am"]}},
        {"key": {"fields": {"TITLE": []}, "after": ["Am"], "confidence": 1}},
        {"key": {"fields": {"BPM": []}, "after": ["Am"], "confidence": 1}},
        {"key": {"fields": {}, "after": ["Am"], "confidence": 1}},
        {"key": {"fields": ["KEY"], "after": ["Am"], "confidence": 1}},
        {"key": {"fields": {"KEY": "Am"}, "after": ["Am"], "confidence": 1}},
    ],
)
def test_damaged_changes_are_named(tmp_path: Path, music: object) -> None:
    one(tmp_path)
    journal = tagged(tmp_path)[1]
    journal.write_text(json.dumps(json.loads(journal.read_text()) | {"music": music}) + "\n")
    (line,) = read_newest_first(journal)
    assert isinstance(line, UnreadableLine) and "is damaged" in line.reason


# --- a plan ---


def planned(folder: Path, file: Path, **settings: Any) -> dict[str, Any]:
    """The only line of a plan."""
    rows: list[TagResult] = []
    chosen = TagSettings(write_tempo_key=True, **settings)
    make_plan(file, [folder], Describer(), chosen, rows.append, model="svm")
    assert [row.status for row in rows] == ["would tag"]
    line: dict[str, Any] = json.loads(file.read_text().splitlines()[1])
    return line


def applied(file: Path, **changes: object) -> tuple[TagResult, Path | None]:
    """The row of the only line, in which a person has changed something."""
    head, line = file.read_text().splitlines()
    file.write_text(f"{head}\n{json.dumps(json.loads(line) | changes)}\n")
    rows: list[TagResult] = []
    journal = apply_plan(file, rows.append)
    return rows[0], journal


def test_plan_has_tempo_and_key_and_writes_what_it_says(tmp_path: Path) -> None:
    path, file = one(tmp_path / "music"), tmp_path / "plan.jsonl"
    before = path.read_bytes()
    line = planned(path.parent, file)
    assert (line["new"], line["tempo"]) == (["Jazz"], {"old": [], "new": ["128"], "confidence": 0.91})
    row, journal = applied(file, key={"old": [], "new": ["8A"], "confidence": 0.85})
    assert (row.status, written(path)) == ("tagged", (("Jazz",), ("128",), ("8A",)))
    assert journal is not None and restored(journal)[path.name].status == "restored"
    assert path.read_bytes() == before


def test_plan_without_a_new_genre_keeps_the_genre(tmp_path: Path) -> None:
    path, file = one(tmp_path / "music"), tmp_path / "plan.jsonl"
    set_field(path, "flac", GENRE="Metal", BPM="60")
    line = planned(path.parent, file)
    assert (line["old"], line["new"], line["confidence"]) == (["Metal"], [], None)
    assert sorted(line) == sorted(["path", "audio_sha256", "old", "new", "confidence", "key"]), "it has a tempo"
    assert applied(file)[0].status == "tagged"
    assert written(path) == (("Metal",), ("60",), ("F#m",))
    again = applied(file)[0]
    assert (again.status, again.reason, again.before) == ("kept", "has this key", ("Metal",))


def test_plan_with_an_empty_value_leaves_the_field_as_it_is(tmp_path: Path) -> None:
    path, file = one(tmp_path / "music"), tmp_path / "plan.jsonl"
    planned(path.parent, file)
    empty = {"old": [], "new": [], "confidence": 0.9}
    nothing = applied(file, new=[], tempo=empty, key=empty)[0]
    assert nothing.status == "failed" and "new is empty: delete the line" in str(nothing.reason)
    assert applied(file, new=["Jazz"])[0].status == "tagged"
    assert written(path) == (("Jazz",), (), ())


@pytest.mark.parametrize("field", ["BPM", "InitialKey", "Tempo"])
def test_plan_does_not_write_genre_and_tempo_into_one_field(tmp_path: Path, field: str) -> None:
    path, file = one(tmp_path / "music"), tmp_path / "plan.jsonl"
    planned(path.parent, file, field="SUBGENRE")
    file.write_text(file.read_text().replace('"SUBGENRE"', f'"{field}"'))
    before = path.read_bytes()
    row, journal = applied(file)
    assert row.status == "failed" and f"field {field} in line 1 is one of tempo or key" in str(row.reason)
    assert (journal, path.read_bytes()) == (None, before)


def test_plan_is_checked_against_the_file(tmp_path: Path) -> None:
    path, file = one(tmp_path / "music"), tmp_path / "plan.jsonl"
    planned(path.parent, file)
    set_field(path, "flac", BPM="60")
    row = applied(file)[0]
    assert row.status == "failed" and "its tempo changed after the plan was made" in str(row.reason)
    assert written(path) == ((), ("60",), ())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"tempo": "128"}, "tempo: must be an object with old, new, confidence"),
        (
            {"tempo": {"old": [], "new": ["fast"], "confidence": 0.9}},
            "tempo: new must be one whole number, such as 128",
        ),
        (
            {"tempo": {"old": [], "new": ["1", "2"], "confidence": 0.9}},
            "tempo: new must be one whole number, such as 128",
        ),
        ({"key": {"old": [], "new": ["Xyz"], "confidence": 0.9}}, "key: new must be one key, such as F#m"),
        ({"key": {"old": [], "new": ["C major"], "confidence": 0.9}}, "key: new must be one key, such as F#m"),
        ({"key": {"old": [], "new": "C", "confidence": 0.9}}, "key: new must be a list of strings"),
        ({"key": {"old": [], "new": ["C"], "confidence": None}}, "key: confidence must be a number from 0 to 1"),
        ({"mood": "sad"}, "must be an object with path"),
    ],
)
def test_invalid_change_of_a_plan_is_named(tmp_path: Path, changes: dict[str, object], reason: str) -> None:
    path, file = one(tmp_path / "music"), tmp_path / "plan.jsonl"
    planned(path.parent, file)
    row = applied(file, **changes)[0]
    assert row.status == "failed" and reason in str(row.reason)
    assert written(path) == ((), (), ())
