"""genrelab/leakage/audit.py: planted leaks are found, each for what it is, and where nothing leaks nothing is said."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import mutagen.flac
import numpy as np
import pytest
import soundfile

from genrelab.core.config import PrepareSettings, SamplesView
from genrelab.core.errors import SplitError
from genrelab.datasets import exclusions, folder
from genrelab.datasets.base import Dataset, DatasetOptions, FeatureTable, Track
from genrelab.datasets.synth_voices import SR
from genrelab.leakage import audit
from genrelab.prepare.pipeline import prepare
from genrelab.records.prepared import Prepared
from genrelab.splits.split import Split
from tests.support.songs import encoded, genres, song

SETTINGS = PrepareSettings(views=(SamplesView(n_samples=500),))
LEARNED = ("rock/copied.flac", "rock/retagged.flac", "rock/whole.flac", "rock/by-anna.flac", "rock/album-1.flac",
           "rock/own.flac")  # fmt: skip
PLANTED = {
    "same_audio": [("rock/copied.flac", "jazz/copy.flac"), ("rock/retagged.flac", "jazz/tagged.flac")],
    "near_duplicate": [("rock/whole.flac", "jazz/excerpt.mp3"), ("rock/whole.flac", "jazz/excerpt.ogg")],
    "same_artist": [("rock/by-anna.flac", "jazz/by-anna.flac")],
    "same_album": [("rock/album-1.flac", "jazz/album-2.flac")],
}
"""By check, which learned track leaks into which scored one."""


def _write(path: Path, number: int, **tags: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, song(genres()[number], 7, 0), SR, subtype="PCM_16")
    _tag(path, **tags)


def _tag(path: Path, **tags: str) -> None:
    flac = mutagen.flac.FLAC(path)
    flac.update(tags)
    flac.save()


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Eight songs, no two alike, and six copies, relatives and excerpts of them."""
    root = tmp_path_factory.mktemp("collection")
    learned = [root / name for name in LEARNED]
    for number, path in enumerate(learned):
        _write(path, number, artist=f"Artist {number}")
    (root / "jazz").mkdir()
    (root / "jazz" / "copy.flac").write_bytes(learned[0].read_bytes())
    (root / "jazz" / "tagged.flac").write_bytes(learned[1].read_bytes())
    excerpt = song(genres()[2], 7, 0)[round(2.719 * SR) : round(5.2 * SR)]
    for container in ("mp3", "ogg"):
        (root / "jazz" / f"excerpt.{container}").write_bytes(encoded(0.5 * excerpt, container))
    _tag(learned[3], artist="Anna  B")
    _write(root / "jazz" / "by-anna.flac", 6, artist="ANNA B")
    _tag(learned[4], artist="Both", album="Together")
    _write(root / "jazz" / "album-2.flac", 7, artist="Both", album="together ")
    _tag(root / "jazz" / "tagged.flac", artist="Somebody")
    return prepare(folder.load(root, DatasetOptions()), tmp_path_factory.mktemp("out"), SETTINGS, jobs=1)


def _split(prepared: Prepared, learned: tuple[str, ...]) -> Split:
    roles = tuple("fit" if i in learned else "score" for i in prepared.tracks["track_id"])
    return Split("official", tuple({"fit": "training", "score": "test"}[r] for r in roles), roles, ())


def _pairs(found: dict[str, Any]) -> dict[str, list[tuple[str, str]]]:
    return {c["name"]: sorted((p["a"], p["b"]) for p in c["pairs"]) for c in found["checks"] if c["n_pairs"]}


def test_planted_leaks_are_found_by_the_right_check(collection: Prepared) -> None:
    found = audit.audit_run(collection, _split(collection, LEARNED))
    pairs = _pairs(found)
    assert {n: sorted(PLANTED[n]) for n in ("same_audio", "near_duplicate")} == {
        n: pairs[n] for n in ("same_audio", "near_duplicate")
    }
    assert PLANTED["same_artist"][0] in pairs["same_artist"]
    assert pairs["same_album"] == PLANTED["same_album"]
    assert (found["verdict"], found["n_learned"], found["n_scored"]) == ("leaks", 6, 6)
    checks = {c["name"]: c for c in found["checks"]}
    assert [p["what"] for p in checks["same_audio"]["pairs"]] == [
        "same file, labelled rock and jazz", "same audio with other tags, labelled rock and jazz",
    ]  # fmt: skip
    for pair in checks["near_duplicate"]["pairs"]:
        assert pair["offset_s"] == pytest.approx(-2.719, abs=0.1) and pair["score"] > 0.55
    assert any(
        s.startswith("2 of 6 test tracks are in the training set, too, as an exact copy") for s in found["sentences"]
    )
    assert json.loads(json.dumps(found)) == found
    assert found["sentences"][0].startswith("2 of 6 test tracks have a duplicate with another genre (correct one of")


def test_sentence_on_absent_leaks_omits_the_kinds_that_were_found(collection: Prepared) -> None:
    found = audit.audit_run(collection, _split(collection, ("rock/retagged.flac",)))
    assert any("in the training set, too, as an exact copy" in s for s in found["sentences"])
    none = next(s for s in found["sentences"] if s.startswith("None of"))
    assert "artist" in none and not any(word in none for word in ("file", "audio", "recording"))


def test_near_duplicate_is_reported_as_possible_with_its_score(collection: Prepared) -> None:
    run = audit.audit_run(collection, _split(collection, ("rock/whole.flac",)))
    held = audit.audit_prepared(collection)
    for sentences, words in ((run, "may be in the training set, too"), (held, "may be the same recording as another")):
        (said,) = (s for s in sentences["sentences"] if " may be " in s)
        assert (
            words in said
            and re.search(r"rock/whole\.flac|jazz/excerpt", said)
            and re.search(r"\(\d+ % similar\)", said)
        )
    assert not any(s.startswith("None of") and ("file" in s or "audio" in s) for s in run["sentences"])


def test_random_split_leaves_out_recordings_with_conflicting_genres(collection: Prepared) -> None:
    split = replace(_split(collection, LEARNED), policy="random")
    gone = {r.track_id for r in audit.suggest_exclusions(collection, split)}
    assert {"rock/copied.flac", "jazz/copy.flac", "rock/retagged.flac", "jazz/tagged.flac"} <= gone


def test_clean_split_reports_no_leaks(collection: Prepared) -> None:
    split = _split(collection, ("rock/own.flac",))
    found = audit.audit_run(collection, split)
    assert _pairs(found) == {}
    assert found["verdict"] == "clean"
    assert found["sentences"][0].startswith("None of the 11 test tracks shares its artist")
    audit.refuse_copies(found, split)


def test_exact_copies_stop_a_training(collection: Prepared) -> None:
    split = _split(collection, LEARNED)
    with pytest.raises(SplitError, match=r"official split: 2 of 6 .*copied.flac = jazz/copy.flac.*--exclude.*--allow"):
        audit.refuse_copies(audit.audit_run(collection, split), split)


def test_excluding_the_proposed_tracks_removes_the_leaks(collection: Prepared, tmp_path: Path) -> None:
    rows = audit.suggest_exclusions(collection, _split(collection, LEARNED))
    assert [r.track_id for r in rows] == ["rock/copied.flac", "rock/retagged.flac", "rock/whole.flac"]
    assert rows[0].reason == "same file, labelled rock and jazz as jazz/copy.flac, a test track"
    dataset = exclusions.exclude(folder.load(Path(collection.about["root"]), DatasetOptions()), rows)
    mended = prepare(dataset, tmp_path / "out", SETTINGS, jobs=1)
    gone = tuple(n for n in LEARNED if n not in {r.track_id for r in rows})
    roles = _split(mended, gone)
    usable = tuple(r if ok else "none" for r, ok in zip(roles.roles, mended.usable, strict=True))
    found = audit.audit_run(mended, Split("official", roles.parts, usable, ()))
    assert {"same_audio", "near_duplicate"}.isdisjoint(_pairs(found))


def test_prepare_reports_which_tracks_are_copies(collection: Prepared) -> None:
    held = collection.folder.read_json(audit.FILE)
    assert held == audit.audit_prepared(collection)
    assert held["split"] is None
    assert {n: len(p) for n, p in _pairs(held).items()} == {"same_audio": 2, "near_duplicate": 3}
    assert held["sentences"][0].startswith(
        "4 of 12 tracks have a duplicate with another genre (correct one of the labels): "
    )
    assert held["sentences"][1].startswith("4 of 12 tracks are exact copies of another track: ")


def test_unknown_artists_and_missing_fingerprints_are_reported(collection: Prepared) -> None:
    tracks = {**collection.tracks, "artist": [None] * len(collection), "album": ["Greatest Hits"] * len(collection)}
    files = {k: v for k, v in collection.about["files"].items() if k != "fingerprints.parquet"}
    old = Prepared(collection.folder, {**collection.about, "files": files}, tracks, collection.views)
    found = audit.audit_run(old, _split(old, ("rock/own.flac",)))
    checks = {c["name"]: c for c in found["checks"]}
    assert [checks[n]["known"] for n in ("same_artist", "same_album", "near_duplicate")] == [0, 0, 0]
    assert found["verdict"] == "unknown"
    assert any("run the same `prepare` again" in s for s in found["sentences"])
    assert "Artists are unknown: the same artist may be in the training and the test set." in found["sentences"]


def test_albums_without_artist_match_only_within_one_folder(collection: Prepared) -> None:
    n = len(collection)
    tracks = {**collection.tracks, "artist": [None] * n, "album": ["Blue Train"] * n}
    found = audit.audit_run(Prepared(collection.folder, collection.about, tracks, collection.views),
                            _split(collection, LEARNED[:3]))  # fmt: skip
    assert all(a.split("/")[0] == b.split("/")[0] for a, b in _pairs(found)["same_album"])


def _table(root: Path, rows: list[list[float]]) -> Dataset:
    tracks = tuple(Track(str(i), None, ("jazz", "rock")[i % 2], artist=f"Artist {i}") for i in range(len(rows)))
    table = FeatureTable(("f1", "f2", "f3"), np.array(rows, np.float32))
    return Dataset("table", root / "features.csv", tracks, features=table)


def test_equal_table_rows_are_copies_unless_all_zero(tmp_path: Path) -> None:
    rows = [[1, 2, 3], [4, 5, 6], [0, 0, 0], [1, 2, 3], [0, 0, 0], [7, 8, 9]]
    prepared = prepare(_table(tmp_path, [[float(x) for x in r] for r in rows]), tmp_path / "out")
    split = _split(prepared, ("0", "1", "2"))
    found = audit.audit_run(prepared, split)
    assert _pairs(found) == {"same_features": [("0", "3")]}
    assert any("no audio to compare" in s for s in found["sentences"])
    assert found["verdict"] == "leaks" and any("0 = 3" in s for s in found["sentences"])
    audit.refuse_copies(found, split)  # reported, but no reason to stop
    assert audit.suggest_exclusions(prepared, _split(prepared, ("0", "1")))[0].track_id == "0"


def test_copies_are_kept_together_by_every_split_but_the_official_one(collection: Prepared) -> None:
    index = {t: i for i, t in enumerate(collection.tracks["track_id"])}
    planted = [*PLANTED["same_audio"], *PLANTED["near_duplicate"]]
    copies = {frozenset(index[name] for name in pair) for pair in planted}
    recordings = collection.recordings()
    for group in copies:
        assert len({recordings[i] for i in group}) == 1 and None not in {recordings[i] for i in group}
    assert recordings[index["rock/own.flac"]] is None
    collection.folder.remove("audit.json")
    assert set(collection.recordings()) == {None}, "they are read from the audit of the preparation"
    collection.folder.write_json("audit.json", audit.audit_prepared(collection))
    assert collection.recordings() == recordings
    stale = collection.folder.read_json("audit.json") | {"inputs": "of other audio"}
    collection.folder.write_json("audit.json", stale)
    assert set(collection.recordings()) == {None}
    collection.folder.write_json("audit.json", audit.audit_prepared(collection))


def _pieces(parts: tuple[str, ...], recordings: tuple[str | None, ...], out: Path) -> tuple[Prepared, Split]:
    """A table of features whose rows are stated to be pieces, and its official split."""
    tracks = tuple(
        Track(f"t{i}", None, ("rock", "jazz")[i % 2], official_split=part, recording=recording)
        for i, (part, recording) in enumerate(zip(parts, recordings, strict=True))
    )
    values = np.random.default_rng(0).standard_normal((len(tracks), 3)).astype(np.float32)
    prepared = prepare(Dataset("table", out, tracks, features=FeatureTable(("a", "b", "c"), values)), out / "p")
    role = {"training": "fit", "test": "score"}
    return prepared, Split("official", parts, tuple(role[p] for p in parts), ())


def test_an_official_split_that_divides_a_recording_is_refused(tmp_path: Path) -> None:
    parts = ("training", "training", "training", "training", "test", "test")
    prepared, split = _pieces(parts, ("a", "b", None, "c", "a", "d"), tmp_path)
    found = audit.audit_run(prepared, split)
    assert found["verdict"] == "leaks"
    assert "1 of 2 test tracks is from a recording that is also in the training set: t0 = t4." in found["sentences"]
    with pytest.raises(
        SplitError, match=r"1 of 2 test tracks is from a recording .* \(t0 = t4\).*--group-column.*--allow"
    ):
        audit.refuse_copies(found, split)


def test_recordings_that_are_whole_are_reported_as_clean(tmp_path: Path) -> None:
    prepared, split = _pieces(("training",) * 4 + ("test",) * 2, ("a", "a", "b", "b", "c", "c"), tmp_path)
    found = audit.audit_run(prepared, split)
    assert not [c for c in found["checks"] if c["name"] == "same_recording" and c["leaking"]]
    audit.refuse_copies(found, split)
    assert any("shares its recording or row of features with" in s for s in found["sentences"])


def test_without_recordings_there_is_no_check_of_them(tmp_path: Path) -> None:
    prepared, split = _pieces(("training",) * 4 + ("test",) * 2, (None,) * 6, tmp_path)
    assert "same_recording" not in {c["name"] for c in audit.audit_run(prepared, split)["checks"]}


def test_tracks_that_are_only_numbered_alike_do_not_stop_a_training(tmp_path: Path) -> None:
    parts = ("training", "training", "training", "training", "test", "test")
    prepared, split = _pieces(parts, ("perhaps a", "perhaps a", None, "c", "perhaps a", "d"), tmp_path)
    found = audit.audit_run(prepared, split)
    assert [c["name"] for c in found["checks"] if c["leaking"]] == ["numbered_alike"]
    assert any(s.startswith("1 of 2 test tracks may be from a recording") for s in found["sentences"])
    audit.refuse_copies(found, split)


def test_equal_rows_of_a_table_are_kept_together(tmp_path: Path) -> None:
    tracks = tuple(Track(f"t{i}", None, ("rock", "jazz")[i % 2]) for i in range(6))
    values = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
    values[4] = values[1]
    values[2] = values[5] = 0  # an extraction that failed: nothing is known of these
    dataset = Dataset("table", tmp_path, tracks, features=FeatureTable(("a", "b", "c"), values))
    recordings = prepare(dataset, tmp_path / "p").recordings()
    assert recordings[1] == recordings[4] is not None
    assert [r for i, r in enumerate(recordings) if i not in (1, 4)] == [None] * 4
