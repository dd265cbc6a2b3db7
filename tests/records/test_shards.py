from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from genrelab.core.config import MelImageView, PrepareSettings, SamplesView
from genrelab.core.errors import PreparedError
from genrelab.core.storage import Folder
from genrelab.datasets import folder
from genrelab.datasets.base import DatasetOptions
from genrelab.prepare.pipeline import prepare
from genrelab.records import tfrecord
from genrelab.records.examples import Labels, load_examples
from genrelab.records.prepared import Prepared, open_prepared
from genrelab.records.shards import check_shards
from genrelab.report.page.tracks import mel_pictures
from tests.support.early_shards import as_early_version
from tests.support.tones import write_tone

VIEWS = (SamplesView(n_samples=500), MelImageView())
N = 9  # tracks a genre


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """ROOT with two genres of nine tracks each and one of a single track, and its preparation."""
    root, out = tmp_path_factory.mktemp("root") / "music", tmp_path_factory.mktemp("made") / "out"
    for genre, n in (("ambient", N), ("beat", N), ("choir", 1)):
        for i in range(n):
            write_tone(root / genre / f"{i}.wav", hz=200 + 30 * i, seconds=0.6, seed=i)
    prepare(folder.load(root, DatasetOptions()), out, PrepareSettings(views=VIEWS), jobs=1)
    return root, out


@pytest.fixture
def prepared(made: tuple[Path, Path], tmp_path: Path) -> Prepared:
    """A copy: two shards of ten and nine records."""
    shutil.copytree(made[1], tmp_path / "out")
    return open_prepared(tmp_path / "out")


def _labels(prepared: Prepared, roles: str = "fit") -> Labels:
    y = np.array([prepared.genres.index(g) for g in prepared.tracks["genre"]])
    role = np.array([roles.split()[i % len(roles.split())] for i in range(len(y))])
    return Labels(prepared.genres, y, role, np.arange(len(y)))


def _flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def _length(path: Path) -> int:
    """Bytes of the first record."""
    return next(iter(tfrecord.read_records(path)))[1]


def _as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _write(path: Path, records: list[tfrecord.Record]) -> None:
    path.write_bytes(b"".join(map(tfrecord.encode, records)))


def _of_other_windows(path: Path) -> None:
    """Other content in records of the same tracks."""
    found = [r for _, _, r in tfrecord.read_records(path) if isinstance(r, tfrecord.Record)]
    _write(path, [tfrecord.Record(r.track, r.start_s, r.x[::-1]) for r in found])


def _of_another_view(path: Path) -> None:
    (other,) = (path.parents[1] / "mel_image").glob(path.name)
    shutil.copy(other, path)


def _of_more_tracks(path: Path) -> None:
    """Cut off, and of a larger collection."""
    found = [r for _, _, r in tfrecord.read_records(path) if isinstance(r, tfrecord.Record)]
    _write(path, [tfrecord.Record(r.track + 1_000, r.start_s, r.x) for r in found[:-2]])


def _with_another_shard(path: Path) -> None:
    (other,) = [p for p in path.parent.iterdir() if p != path]
    shutil.copy(other, path)


DAMAGE: dict[str, tuple[Callable[[Path], object], str, int]] = {
    "gone": (Path.unlink, "missing", 10),
    "empty": (lambda p: p.write_bytes(b""), "empty", 10),
    "cut inside a record": (lambda p: p.write_bytes(p.read_bytes()[:-9]), "cut off after 9 of 10 records", 1),
    "cut between records": (
        lambda p: p.write_bytes(p.read_bytes()[: 4 * _length(p)]), "cut off after 4 of 10 records", 6,
    ),
    "a bit flipped in a payload": (lambda p: _flip(p, 3 * _length(p) + 200), "1 of 10 records damaged", 1),
    "a bit flipped in a length": (lambda p: _flip(p, 7 * _length(p) + 3), "unreadable after 7 of 10 records", 3),
    "a bit flipped and cut": (
        lambda p: (_flip(p, 200), p.write_bytes(p.read_bytes()[:-9])),
        r"1 of 10 records damaged \(.*checksum\) and cut off after 9 of 10 records", 2,
    ),
    "text": (lambda p: p.write_text("no records at all"), "unreadable after 0 of 10 records", 10),
    "a folder": (_as_folder, "cannot be read", 10),
    "the other shard": (_with_another_shard, "not the file that `prepare` wrote", 10),
    "other windows of its tracks": (_of_other_windows, "not the file that `prepare` wrote", 10),
    "another view": (_of_another_view, "not the file that `prepare` wrote", 10),
    "another collection": (_of_more_tracks, "not the file that `prepare` wrote", 10),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named_with_the_tracks_and_genres_that_it_costs(
    prepared: Prepared, tmp_path: Path, damage: str
) -> None:
    whole = load_examples(prepared, "samples", _labels(prepared), cache=tmp_path / "c")
    assert whole.damage == ""
    expected = whole.rows()
    shard = prepared.folder.local / prepared.shards("samples")[0]
    harm, problem, n = DAMAGE[damage]
    harm(shard)
    found = check_shards(prepared, prepared.view("samples"), cache=tmp_path / "c")
    assert re.search(rf"samples/{shard.name}: {problem}", found.damage), found.damage
    lost = sorted(set(whole.track) - {t for s in found.shards for t in s.track})
    assert len(lost) == n
    by_genre = sorted(Counter(prepared.tracks["genre"][i] for i in lost).items())
    genres = ", ".join(f"{genre} {n}" for genre, n in by_genre)
    assert f"{n} track{'s' if n > 1 else ''} cannot be read: {genres}. Run the same `prepare` again" in found.damage
    labels = _labels(prepared, "fit score none")
    labels.role[18] = "none"  # the only track of its genre
    left = load_examples(prepared, "samples", labels, cache=tmp_path / "c")
    assert left.damage == found.damage
    kept = ~np.isin(whole.track, [*lost, 18]) & (whole.track % 3 < 2)
    np.testing.assert_array_equal(np.sort(left.track), np.sort(whole.track[kept]))
    rows = left.rows()
    for track, x in zip(rows.track, rows.x, strict=True):
        np.testing.assert_array_equal(x, expected.x[expected.track == track][0])
    with pytest.raises(PreparedError, match=re.escape(found.damage)):
        load_examples(prepared, "samples", _labels(prepared), cache=tmp_path / "c", strict=True)


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.slow
def test_damaged_shard_is_restored_by_the_same_prepare(
    made: tuple[Path, Path], prepared: Prepared, damage: str
) -> None:
    DAMAGE[damage][0](prepared.folder.local / prepared.shards("samples")[0])
    prepare(folder.load(made[0], DatasetOptions()), prepared.folder, PrepareSettings(views=VIEWS), jobs=1)
    for path in made[1].rglob("*"):
        if path.is_file():
            assert (prepared.folder.local / path.relative_to(made[1])).read_bytes() == path.read_bytes(), path
    assert len(list((prepared.folder.local / "samples").iterdir())) == 2


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("view", ["samples", "mel_image"])
def test_one_lost_shard_loses_no_genre_of_two_tracks(
    prepared: Prepared, tmp_path: Path, view: str, number: int
) -> None:
    (prepared.folder.local / prepared.shards(view)[number]).unlink()
    found = check_shards(prepared, prepared.view(view), cache=tmp_path)
    left = Counter(prepared.tracks["genre"][t] for shard in found.shards for t in shard.track)
    assert min(left["ambient"], left["beat"]) >= N // 2


def test_a_genre_that_is_lost_as_a_whole_stops_with_the_same_advice(prepared: Prepared, tmp_path: Path) -> None:
    choir = prepared.tracks["genre"].index("choir")
    view = prepared.view("samples")
    shards = check_shards(prepared, view, cache=tmp_path).shards
    (held,) = [shard.path for shard in shards if choir in shard.track]
    held.unlink()
    expected = rf"no training track is left of choir: .*{held.name}: missing; .* choir 1\. Run the same `prepare` again"
    with pytest.raises(PreparedError, match=expected):
        load_examples(prepared, "samples", _labels(prepared), cache=tmp_path / "c")
    labels = _labels(prepared)
    labels = replace(labels, role=labels.role.astype("<U5"))
    labels.role[choir] = "score"
    with pytest.raises(PreparedError, match=r"no track is left to score models with: .*Run the same `prepare` again"):
        load_examples(prepared, "samples", labels, cache=tmp_path / "c")
    labels.role[choir] = "none"
    assert load_examples(prepared, "samples", labels, cache=tmp_path / "c").damage


def test_several_damaged_shards_stand_in_one_sentence(prepared: Prepared, tmp_path: Path) -> None:
    for name in prepared.shards("samples"):
        path = prepared.folder.local / name
        path.write_bytes(path.read_bytes()[:-9])
    found = check_shards(prepared, prepared.view("samples"), cache=tmp_path)
    assert "samples: 2 of 2 shards damaged (00000-of-00002-0010.tfrecord: cut off" in found.damage
    assert "2 tracks cannot be read" in found.damage
    shutil.rmtree(prepared.folder.local / "samples")
    with pytest.raises(PreparedError, match=r"is left of ambient, beat, choir: .*19 tracks cannot be read: amb"):
        load_examples(prepared, "samples", _labels(prepared), cache=tmp_path / "c")


@pytest.mark.parametrize("name", ["00002-of-00003-0010.tfrecord", "copy of a shard.tfrecord"])
def test_a_file_that_does_not_belong_here_is_not_read(prepared: Prepared, tmp_path: Path, name: str) -> None:
    whole = load_examples(prepared, "samples", _labels(prepared), cache=tmp_path / "c")
    for view in ("samples", "mel_image"):
        shutil.copy(prepared.folder.local / prepared.shards(view)[0], prepared.folder.local / view / name)
    found = load_examples(prepared, "samples", _labels(prepared), cache=tmp_path / "c")
    np.testing.assert_array_equal(found.track, whole.track)
    assert f"{name}: not a file that `prepare` wrote: it is not read; no track is lost. Run the" in found.damage
    assert len(mel_pictures(prepared, range(19))) == 19


def test_bytes_behind_the_last_record_lose_nothing(prepared: Prepared, tmp_path: Path) -> None:
    path = prepared.folder.local / prepared.shards("samples")[0]
    path.write_bytes(path.read_bytes() + b"more")
    found = check_shards(prepared, prepared.view("samples"), cache=tmp_path)
    assert "more bytes after its 10 records; no track is lost. Run" in found.damage
    assert sum(len(shard.track) for shard in found.shards) == 19


def test_shards_that_were_exchanged_are_named_and_not_used(prepared: Prepared, tmp_path: Path) -> None:
    """Both hold ten records in a preparation of an even number of tracks; here the names tell another number."""
    a, b = (prepared.folder.local / name for name in prepared.shards("samples"))
    content = a.read_bytes()
    a.write_bytes(b.read_bytes())
    b.write_bytes(content)
    found = check_shards(prepared, prepared.view("samples"), cache=tmp_path)
    assert "2 of 2 shards damaged" in found.damage


def test_preparation_without_hashes_is_checked_by_its_checksums(prepared: Prepared, tmp_path: Path) -> None:
    about = prepared.folder.read_json("dataset.json")
    del about["files"]
    prepared.folder.write_json("dataset.json", about)
    prepared = open_prepared(prepared.folder)
    assert not check_shards(prepared, prepared.view("samples"), cache=tmp_path).damage
    path = prepared.folder.local / prepared.shards("samples")[1]
    path.write_bytes(path.read_bytes()[:-9])
    assert "1 track cannot be read" in check_shards(prepared, prepared.view("samples"), cache=tmp_path).damage


def test_remote_shards_are_checked_alike(prepared: Prepared, tmp_path: Path) -> None:
    away = Folder("memory://damaged-shards")
    away.publish_tree(prepared.folder.local)
    away.remove(prepared.shards("samples")[1])
    content = away.read_bytes(prepared.shards("samples")[0])
    away.write_bytes(prepared.shards("samples")[0], content[:-9])
    remote = open_prepared(away)
    found = check_shards(remote, remote.view("samples"), cache=tmp_path / "c")
    assert (
        "memory://damaged-shards/samples: 2 of 2 shards" in found.damage and "10 tracks cannot be read" in found.damage
    )


def test_shards_of_an_earlier_version_are_read_and_kept(
    made: tuple[Path, Path], prepared: Prepared, tmp_path: Path
) -> None:
    whole = load_examples(prepared, "samples", _labels(prepared), cache=tmp_path / "c")
    expected, pictures = whole.rows().x, mel_pictures(prepared, [0, 10, 18])
    for view in ("samples", "mel_image"):
        prepared = as_early_version(prepared, view)
    assert len(prepared.shards("samples")) == 1
    found = load_examples(prepared, "samples", _labels(prepared), cache=tmp_path / "c")
    order = np.argsort(whole.track)
    assert found.damage == "" and list(found.track) == list(range(19))
    np.testing.assert_array_equal(found.rows().x, expected[order])
    early = mel_pictures(prepared, [0, 10, 18])
    assert early.keys() == pictures.keys() == {0, 10, 18}
    assert all(np.array_equal(early[i], pictures[i]) for i in early)
    messages: list[str] = []
    before = (prepared.folder.local / prepared.shards("samples")[0]).read_bytes()
    prepare(
        folder.load(made[0], DatasetOptions()),
        prepared.folder,
        PrepareSettings(views=VIEWS),
        jobs=1,
        notify=messages.append,
    )
    assert any("up to date" in s for s in messages)
    assert (prepared.folder.local / prepared.shards("samples")[0]).read_bytes() == before


@pytest.mark.parametrize("harm", ["a shard", "another track"])
def test_shards_of_an_earlier_version_are_dealt_anew_with_the_next_change(
    made: tuple[Path, Path], prepared: Prepared, tmp_path: Path, harm: str
) -> None:
    """Unchanged tracks are found in them, wherever they lie."""
    root = tmp_path / "music"
    shutil.copytree(made[0], root)
    for view in ("samples", "mel_image"):
        prepared = as_early_version(prepared, view)
    if harm == "a shard":
        (prepared.folder.local / prepared.shards("mel_image")[0]).write_bytes(b"")
    else:
        write_tone(root / "choir" / "1.wav", hz=999)
    messages: list[str] = []
    settings = PrepareSettings(views=VIEWS)
    prepare(folder.load(root, DatasetOptions()), prepared.folder, settings, jobs=1, notify=messages.append)
    assert any("1 track to decode, 19 to reuse" in s or "19 tracks to decode" in s for s in messages), messages
    fresh = prepare(folder.load(root, DatasetOptions()), tmp_path / "fresh", settings, jobs=1)
    for view in ("samples", "mel_image"):
        assert prepared.shards(view) == fresh.shards(view) and len(fresh.shards(view)) == 2
        for name in fresh.shards(view):
            assert (prepared.folder.local / name).read_bytes() == (fresh.folder.local / name).read_bytes()
