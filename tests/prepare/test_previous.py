from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genrelab.core.config import (
    CLIP_CHOICE_KEY,
    ClipSettings,
    EmbeddingView,
    PrepareSettings,
    SamplesView,
    StatisticsView,
    View,
)
from genrelab.core.errors import PreparedError
from genrelab.datasets import folder
from genrelab.datasets.base import Dataset, DatasetOptions
from genrelab.features import views as feature_views
from genrelab.prepare import assemble, workers
from genrelab.prepare.make_piece import make_piece
from genrelab.prepare.pipeline import prepare
from genrelab.prepare.previous import outcomes_of
from genrelab.prepare.work_unit import Piece
from genrelab.records.prepared import Prepared, open_prepared
from genrelab.records.shards import check_shards
from tests.support.tones import write_tone

SETTINGS = PrepareSettings(views=(StatisticsView(), SamplesView(n_samples=500)), shard_tracks=3)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """ROOT with six tracks and a broken one, and its preparation."""
    root, out = tmp_path_factory.mktemp("root") / "music", tmp_path_factory.mktemp("made") / "out"
    for genre in ("ambient", "beat"):
        for i in range(3):
            write_tone(root / genre / f"{i}.wav", hz=220 + 50 * i, seed=i + len(genre))
    (root / "beat" / "broken.mp3").write_text("this is no audio")
    prepare(_load(root), out, SETTINGS, jobs=1)
    return root, out


@pytest.fixture
def root(made: tuple[Path, Path]) -> Path:
    """Only read here."""
    return made[0]


@pytest.fixture
def out(made: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy of the preparation."""
    shutil.copytree(made[1], tmp_path / "out")
    return tmp_path / "out"


def _load(root: Path) -> Dataset:
    return folder.load(root, DatasetOptions())


def _bytes(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def _again(dataset: Dataset, out: Path) -> tuple[Prepared, list[str]]:
    messages: list[str] = []
    return prepare(dataset, out, SETTINGS, jobs=1, notify=messages.append), messages


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _shard(out: Path, number: int = 0) -> Path:
    return sorted((out / "samples").iterdir())[number]


def _other_sha256(out: Path) -> None:
    columns = pq.read_table(out / "tracks.parquet").to_pydict()
    columns["sha256"][0] = "0" * 64
    pq.write_table(pa.table(columns, pq.read_schema(out / "tracks.parquet")), out / "tracks.parquet")


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a flipped bit in a shard": lambda out: _flip(_shard(out)),
    "a shard that ends early": lambda out: _shard(out).write_bytes(_shard(out).read_bytes()[:-9]),
    "a shard that is gone": lambda out: _shard(out, 1).unlink(),
    "no shards": lambda out: shutil.rmtree(out / "samples"),
    "a shard of something else": lambda out: shutil.copy(_shard(out), out / "samples" / "00009-of-00010-0003.tfrecord"),
    "a flipped bit in the statistics": lambda out: _flip(out / "features.parquet"),
    "no statistics": lambda out: (out / "features.parquet").unlink(),
    "half a table of tracks": lambda out: (out / "tracks.parquet").write_bytes(b"PAR1 and no more"),
    "no table of tracks": lambda out: (out / "tracks.parquet").unlink(),
    "another table of tracks": _other_sha256,
    "no table of failures": lambda out: (out / "failures.csv").unlink(),
    "another table of failures": lambda out: (out / "failures.csv").write_text("track_id,path\n\0"),
}


@pytest.mark.parametrize("views", [(SamplesView(), StatisticsView()), (SamplesView(n_samples=500), EmbeddingView())])
def test_other_views_are_refused_with_the_options_that_keep_the_old_ones(
    root: Path, out: Path, views: tuple[View, ...]
) -> None:
    with pytest.raises(PreparedError) as e:
        prepare(_load(root), out, PrepareSettings(views, shard_tracks=3), jobs=1)
    advice = "; or keep its views: --views samples,statistics --view-option samples.n_samples=500"
    assert str(e.value).endswith(f"choose another --out, or remove it{advice}")


def test_options_of_views_are_not_the_remedy_where_other_settings_differ(root: Path, out: Path) -> None:
    other = PrepareSettings((SamplesView(),), ClipSettings(clip_s=2), shard_tracks=3)
    with pytest.raises(PreparedError, match=r"clips\.clip_s is 30\.0, not 2.* or remove it$"):
        prepare(_load(root), out, other, jobs=1)


def test_damaged_settings_of_views_are_refused_without_options(root: Path, out: Path) -> None:
    about = json.loads((out / "dataset.json").read_text())
    about["settings"]["views"]["samples"] |= {"rate": 8_000}
    (out / "dataset.json").write_text(json.dumps(about))
    with pytest.raises(PreparedError, match=r"views\.samples\.rate is 8000, not absent.* or remove it$"):
        _again(_load(root), out)


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_preparation_is_repaired(made: tuple[Path, Path], out: Path, damage: str) -> None:
    DAMAGE[damage](out)
    _, messages = _again(_load(made[0]), out)
    assert not any("up to date" in s for s in messages)
    assert _bytes(out) == _bytes(made[1])


@pytest.mark.slow
def test_damaged_shard_is_rebuilt_when_a_track_is_added(made: tuple[Path, Path], out: Path, tmp_path: Path) -> None:
    _flip(_shard(out))
    root = tmp_path / "music"
    shutil.copytree(made[0], root)
    write_tone(root / "beat" / "1b.wav", hz=999)
    prepared, messages = _again(_load(root), out)
    assert any("6 of 8 tracks" in s for s in messages)
    assert any(_shard(made[1]).name in s and "changed or damaged" in s for s in messages)
    prepare(_load(root), tmp_path / "fresh", SETTINGS, jobs=1)
    assert _bytes(out) == _bytes(tmp_path / "fresh")
    assert prepared.about["records"]["samples"] == prepared.about["counts"]["ok"] == 7


@pytest.mark.parametrize("views", [(StatisticsView(), EmbeddingView()), (EmbeddingView(),)], ids=["both", "alone"])
def test_columns_of_unchanged_tracks_are_taken_over(
    made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, views: tuple[View, ...]
) -> None:
    root, out, settings = tmp_path / "music", tmp_path / "out", PrepareSettings(views, shard_tracks=3)
    shutil.copytree(made[0], root)
    prepare(_load(root), out, settings, jobs=1)
    write_tone(root / "beat" / "1b.wav", hz=999)
    (root / "ambient" / "2.wav").unlink()
    prepare(_load(root), tmp_path / "fresh", settings, jobs=1)
    computed: list[str] = []
    compute_all = feature_views.compute_all

    def counted(wanted: tuple[View, ...], *args: Any, **more: Any) -> Any:
        computed.extend(view.name for view in wanted)
        return compute_all(wanted, *args, **more)

    def in_this_process(pieces: list[Piece], *, jobs: int, done: workers.Done) -> None:
        for piece in pieces:
            done(piece, make_piece(piece))

    monkeypatch.setattr(workers, "make_pieces", in_this_process)
    monkeypatch.setattr(feature_views, "compute_all", counted)
    prepare(_load(root), out, settings, jobs=1)
    assert computed == [view.name for view in views]  # of one track
    assert _bytes(out) == _bytes(tmp_path / "fresh")


def test_preparation_of_another_root_is_not_replaced(made: tuple[Path, Path], out: Path, tmp_path: Path) -> None:
    write_tone(tmp_path / "music" / "ambient" / "0.wav", hz=999)
    with pytest.raises(PreparedError, match=r"was prepared from .*none of its tracks is in"):
        _again(_load(tmp_path / "music"), out)
    assert _bytes(out) == _bytes(made[1])
    (out / "tracks.parquet").unlink()  # nobody can tell what was kept
    with pytest.raises(PreparedError, match="was prepared from"):
        _again(_load(tmp_path / "music"), out)


def test_moved_root_is_recognised(made: tuple[Path, Path], out: Path, tmp_path: Path) -> None:
    shutil.copytree(made[0], tmp_path / "moved")
    prepared, messages = _again(_load(tmp_path / "moved"), out)
    assert any("only the tables" in s for s in messages)
    assert prepared.about["root"] == str(tmp_path / "moved")
    assert {n for n, b in _bytes(out).items() if b != _bytes(made[1])[n]} == {"dataset.json"}


def _unlabelled(root: Path) -> Dataset:
    dataset = _load(root)
    return replace(dataset, tracks=(replace(dataset.tracks[0], genre=None), *dataset.tracks[1:]))


def test_unlabelled_file_does_not_count_as_a_change(root: Path, tmp_path: Path) -> None:
    prepare(_unlabelled(root), tmp_path / "out", SETTINGS, jobs=1)
    before = _bytes(tmp_path / "out")
    _, messages = _again(_unlabelled(root), tmp_path / "out")
    assert any("up to date" in s for s in messages)
    assert _bytes(tmp_path / "out") == before


@pytest.mark.slow
def test_added_or_removed_label_counts_as_a_change(made: tuple[Path, Path], out: Path, tmp_path: Path) -> None:
    _again(_unlabelled(made[0]), out)
    prepare(_unlabelled(made[0]), tmp_path / "fresh", SETTINGS, jobs=1)
    assert _bytes(out) == _bytes(tmp_path / "fresh")
    _again(_load(made[0]), out)
    assert _bytes(out) == _bytes(made[1])


def test_relabelling_keeps_the_recorded_package_versions(root: Path, out: Path) -> None:
    about = json.loads((out / "dataset.json").read_text())
    about["versions"]["numpy"] = "1.0"
    (out / "dataset.json").write_text(json.dumps(about))
    dataset = _load(root)
    other = replace(dataset, tracks=(replace(dataset.tracks[0], genre="beat"), *dataset.tracks[1:]))
    prepared, _ = _again(other, out)
    assert prepared.tracks["genre"][0] == "beat"
    assert prepared.about["versions"]["numpy"] == "1.0"
    _, messages = _again(other, out)
    assert any("up to date" in s for s in messages)


def test_kill_between_the_tables_needs_no_new_decoding(
    root: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = _load(root)
    other = replace(dataset, tracks=(replace(dataset.tracks[0], genre="new"), *dataset.tracks[1:]))
    with monkeypatch.context() as m, pytest.raises(KeyboardInterrupt):
        m.setattr("genrelab.prepare.assemble.failures", _interrupt)
        _again(other, out)
    with pytest.raises(PreparedError, match=r"does not fit dataset\.json: run the same `prepare` again"):
        open_prepared(str(out))
    _, messages = _again(other, out)
    assert any("only the tables" in s for s in messages)
    assert open_prepared(str(out)).genres == ("ambient", "beat", "new")


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "damaged"),
        ("{", "damaged"),
        ('{"schema": 1}', "damaged"),
        ('{"schema": 7}', "schema 7"),
        ("views", "damaged"),
        ("counts", "does not fit"),
    ],
)
def test_damaged_dataset_json_is_named_in_the_error(root: Path, out: Path, content: str, words: str) -> None:
    if content in ("views", "counts"):
        about = json.loads((out / "dataset.json").read_text())
        about["settings" if content == "views" else "counts"] = {"views": [1]} if content == "views" else {}
        content = json.dumps(about)
    (out / "dataset.json").write_text(content)
    with pytest.raises(PreparedError, match=rf"dataset\.json .*{words}|{words}.*dataset\.json"):
        open_prepared(str(out))
    if words != "does not fit":
        with pytest.raises(PreparedError):
            _again(_load(root), out)


def test_error_for_a_damaged_table_names_the_remedy(out: Path) -> None:
    (out / "tracks.parquet").write_text("no table")
    with pytest.raises(PreparedError, match="run the same `prepare` again"):
        open_prepared(str(out))


@pytest.mark.parametrize("at", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("name", ["features.parquet", "fingerprints.parquet"])
def test_flipped_bit_of_a_table_is_found(out: Path, name: str, at: float) -> None:
    """Most would be read as another value."""
    content = bytearray((out / name).read_bytes())
    content[int(len(content) * at)] ^= 1
    (out / name).write_bytes(content)
    prepared = open_prepared(out)
    with pytest.raises(PreparedError, match=rf"{name} was changed or damaged: run the same `prepare` again"):
        prepared.features() if name == "features.parquet" else prepared.fingerprints()


@pytest.mark.parametrize("at", ["the table", "both shards", "a shard"])
def test_other_labels_keep_the_shards_and_a_repair_deals_them_anew(
    made: tuple[Path, Path], out: Path, tmp_path: Path, at: str
) -> None:
    dataset = _load(made[0])
    other = replace(dataset, tracks=(replace(dataset.tracks[0], genre="beat"), *dataset.tracks[1:]))
    _again(other, out)
    assert [_shard(out, i).read_bytes() for i in range(2)] == [_shard(made[1], i).read_bytes() for i in range(2)]
    assert not check_shards(open_prepared(out), SETTINGS.views[1], cache=tmp_path).damage
    if at == "the table":
        return
    for number in range(2 if at == "both shards" else 1):
        _flip(_shard(out, number))
    _again(other, out)
    prepare(other, tmp_path / "fresh", SETTINGS, jobs=1)
    assert _bytes(out) == _bytes(tmp_path / "fresh")


@pytest.mark.parametrize(("clip_s", "refused"), [(30.0, False), (0.1, True)])
def test_clips_chosen_by_a_previous_version_are_not_mixed_in(
    root: Path, tmp_path: Path, clip_s: float, refused: bool
) -> None:
    settings = PrepareSettings(views=(StatisticsView(),), clips=ClipSettings(clip_s=clip_s, max_clips=2, min_s=0.05))
    out = tmp_path / "out"
    if clip_s < 1:  # statistics need half a second
        settings = replace(settings, views=(SamplesView(n_samples=500),))
    prepare(_load(root), out, settings, jobs=1)
    fresh = _bytes(out)
    about = json.loads((out / "dataset.json").read_text())
    del about["settings"][CLIP_CHOICE_KEY]  # as earlier versions wrote it
    old = open_prepared(out)
    about["fingerprint"] = assemble.inputs_sha256(old.tracks["track_id"], about["settings"], outcomes_of(old))
    (out / "dataset.json").write_text(json.dumps(about))
    if refused:
        with pytest.raises(PreparedError, match=r"by an earlier version, which cut tracks of 0\.25 s"):
            prepare(_load(root), out, settings, jobs=1)
    else:
        prepare(_load(root), out, settings, jobs=1)
        assert _bytes(out) == fresh
