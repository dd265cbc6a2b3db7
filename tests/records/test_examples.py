from __future__ import annotations

import uuid
from pathlib import Path

import numpy as np
import pytest

from genrelab.core.config import (
    ClipSettings,
    DescriptorsView,
    EmbeddingView,
    FramesView,
    PrepareSettings,
    SamplesView,
    StatisticsView,
    View,
)
from genrelab.core.errors import PreparedError
from genrelab.core.storage import Folder
from genrelab.datasets import folder
from genrelab.datasets.base import DatasetOptions
from genrelab.models.keras_training import _shuffled, network_data
from genrelab.prepare.pipeline import prepare
from genrelab.records.examples import Labels, load_examples
from genrelab.records.prepared import Prepared, open_prepared
from tests.support.early_shards import as_early_version
from tests.support.tones import write_tone

ROLES = ("fit", "choose", "score", "none")


@pytest.fixture
def prepared(music: Path, tmp_path: Path) -> Prepared:
    settings = PrepareSettings(views=(StatisticsView(), SamplesView(n_samples=500)), shard_tracks=12)
    return prepare(folder.load(music, DatasetOptions()), tmp_path / "prepared", settings, jobs=1)


def _labels(prepared: Prepared) -> Labels:
    """Roles in turn, so that every shard holds all of them."""
    n = len(prepared)
    genres = prepared.genres
    y = np.array([genres.index(g) for g in prepared.tracks["genre"]])
    role = np.array([ROLES[i % 4] for i in range(n)])
    role[np.array(prepared.tracks["status"]) != "ok"] = "none"
    return Labels(genres, y, role, np.arange(n))


@pytest.mark.parametrize("view", ["statistics", "samples"])
def test_rows_are_the_windows_of_the_roles(prepared: Prepared, tmp_path: Path, view: str) -> None:
    labels = _labels(prepared)
    examples = load_examples(prepared, view, labels, cache=tmp_path / "c")
    assert len(examples) == (labels.role != "none").sum()
    assert "none" not in set(examples.role)
    rows = examples.rows("fit", "score")
    assert set(labels.role[rows.track]) == {"fit", "score"}
    np.testing.assert_array_equal(rows.y, labels.y[rows.track])
    everything = examples.rows()
    chosen = np.isin(examples.role, ("fit", "score"))
    np.testing.assert_array_equal(everything.x[chosen], rows.x)
    assert rows.x.shape == (len(rows.y), *examples.shape)


def test_views_of_one_table_read_their_own_columns(tmp_path: Path) -> None:
    for i, genre in enumerate(("ambient", "ambient", "beat", "beat")):
        write_tone(tmp_path / "music" / genre / f"{i}.wav", hz=220 + 50 * i, seed=i)
    settings = PrepareSettings(views=(StatisticsView(), EmbeddingView()))
    prepared = prepare(folder.load(tmp_path / "music", DatasetOptions()), tmp_path / "out", settings, jobs=1)
    labels = _labels(prepared)
    _, _, names, values = prepared.features()
    for view in ("statistics", "embedding"):
        examples = load_examples(prepared, view, labels, cache=tmp_path / "c")
        rows = examples.rows("fit", "choose", "score")
        own = np.array([name.startswith("msd_") for name in names]) == (view == "embedding")
        assert examples.view == prepared.views[view] and rows.x.shape == (3, own.sum()) == (3, *examples.shape)
        np.testing.assert_array_equal(rows.x, values[:3, own])


@pytest.mark.parametrize("view", [DescriptorsView(), FramesView(n_frames=20)], ids=["descriptors", "frames"])
def test_flat_views_are_read_in_the_order_of_the_tracks(music: Path, tmp_path: Path, view: View) -> None:
    """Whatever the order in their shards: classical models learn from the same rows as ever."""
    out = tmp_path / "prepared"
    settings = PrepareSettings(views=(view,), clips=ClipSettings(clip_s=0.7), shard_tracks=12)
    prepared = prepare(folder.load(music, DatasetOptions()), out, settings, jobs=1)
    labels = _labels(prepared)
    dealt = load_examples(prepared, view.name, labels, cache=tmp_path / "c")
    assert dealt.track.tolist() == sorted(dealt.track) and len(dealt) >= (labels.role != "none").sum()
    rows = dealt.rows("fit", "score")
    early = load_examples(as_early_version(prepared, view.name), view.name, labels, cache=tmp_path / "c")
    np.testing.assert_array_equal(early.track, dealt.track)
    np.testing.assert_array_equal(early.start_s, dealt.start_s)
    np.testing.assert_array_equal(early.rows("fit", "score").x, rows.x)
    assert rows.x.dtype == np.dtype(view.dtype)


@pytest.mark.slow
@pytest.mark.parametrize("view", ["statistics", "samples"])
def test_batches_equal_rows_in_the_same_order(prepared: Prepared, tmp_path: Path, view: str) -> None:
    examples = load_examples(prepared, view, _labels(prepared), cache=tmp_path / "c")
    batches = list(examples.batches("choose", "score", batch_size=4).as_numpy_iterator())
    x, y = (np.concatenate(part) for part in zip(*batches, strict=True))
    rows = examples.rows("choose", "score")
    np.testing.assert_array_equal(x, rows.x.astype(np.float32))
    np.testing.assert_array_equal(y, rows.y)
    assert x.dtype == np.float32


@pytest.mark.slow
def test_shards_read_in_parallel_give_the_same_windows_reordered(prepared: Prepared, tmp_path: Path) -> None:
    examples = load_examples(prepared, "samples", _labels(prepared), cache=tmp_path / "c")

    def read(in_order: bool) -> np.ndarray:
        data = examples.batches("fit", "score", batch_size=100, in_order=in_order)
        return np.asarray(next(data.as_numpy_iterator())[0])

    ordered, side_by_side = read(True), read(False)
    np.testing.assert_array_equal(side_by_side, read(False))
    assert not np.array_equal(side_by_side, ordered)
    np.testing.assert_array_equal(np.sort(side_by_side, axis=0), np.sort(ordered, axis=0))


@pytest.mark.slow
def test_data_too_large_for_memory_is_shuffled_identically(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = load_examples(prepared, "samples", _labels(prepared), cache=tmp_path / "c")

    def epochs() -> list[np.ndarray]:
        part = network_data(examples, "fit", batch_size=4, in_order=False)
        return [np.concatenate([x for x, _ in _shuffled(part, seed).batch(4).as_numpy_iterator()]) for seed in (0, 1)]

    cached = epochs()
    monkeypatch.setattr("genrelab.records.examples.CACHE_BYTES", 0)
    np.testing.assert_array_equal(cached, epochs())
    assert not np.array_equal(*cached)


@pytest.mark.parametrize("view", ["statistics", "samples"])
def test_at_most_returns_only_the_first_rows(prepared: Prepared, tmp_path: Path, view: str) -> None:
    examples = load_examples(prepared, view, _labels(prepared), cache=tmp_path / "c")
    whole = examples.rows("score")
    for at_most in (0, 3, 1_000):
        some = examples.rows("score", at_most=at_most)
        np.testing.assert_array_equal(some.x, whole.x[:at_most])
        np.testing.assert_array_equal(some.track, whole.track[:at_most])


def test_shards_are_copied_once_and_only_from_remote_folders(
    music: Path, prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_examples(prepared, "samples", _labels(prepared), cache=tmp_path / "c")
    assert not (tmp_path / "c").exists()
    address = Folder(f"memory://{uuid.uuid4().hex}/prepared")
    address.publish_tree(prepared.folder.local)
    remote = open_prepared(address)
    fetched: list[str] = []
    monkeypatch.setattr(
        address.fs, "get_file", lambda a, b: (fetched.append(a), Path(b).write_bytes(address.fs.cat(a)))
    )
    for _ in range(2):
        examples = load_examples(remote, "samples", _labels(remote), cache=tmp_path / "c")
    assert len(fetched) == len(set(fetched)) == 3
    assert len(examples.rows().x) == len(examples)


@pytest.mark.slow
def test_a_corrupt_record_is_left_out_counted_and_named(prepared: Prepared, tmp_path: Path) -> None:
    labels = _labels(prepared)
    labels.role[labels.role == "none"] = "score"  # so that the first record has a role
    labels.role[np.array(prepared.tracks["status"]) != "ok"] = "none"
    whole = load_examples(prepared, "samples", labels, cache=tmp_path / "c")
    rows = whole.rows()
    shard = prepared.folder.local / prepared.shards("samples")[0]
    content = bytearray(shard.read_bytes())
    content[len(content) // 9 // 2] ^= 1  # inside the payload of the first record
    shard.write_bytes(content)
    examples = load_examples(prepared, "samples", labels, cache=tmp_path / "c")
    assert "00000-of-00003-0009.tfrecord: 1 of 9 records damaged (the content does not match" in examples.damage
    assert f"1 track cannot be read: {prepared.tracks['genre'][whole.track[0]]} 1. Run the same" in examples.damage
    np.testing.assert_array_equal(examples.track, whole.track[1:])
    batches = list(examples.batches(batch_size=8).as_numpy_iterator())
    np.testing.assert_array_equal(np.concatenate([x for x, _ in batches]), rows.x[1:])
    with pytest.raises(PreparedError, match=r"00000-of-00003-0009\.tfrecord: 1 of 9 records damaged"):
        load_examples(prepared, "samples", labels, cache=tmp_path / "c", strict=True)


def test_a_view_that_is_not_there_is_named(prepared: Prepared, tmp_path: Path) -> None:
    with pytest.raises(PreparedError, match="has no view 'mel_image', only"):
        load_examples(prepared, "mel_image", _labels(prepared), cache=tmp_path / "c")


def test_weights_balance_genres_only_where_they_differ(prepared: Prepared, tmp_path: Path) -> None:
    labels = _labels(prepared)
    role = np.where(np.array(prepared.tracks["status"]) == "ok", "fit", "none")
    even = load_examples(
        prepared, "statistics", Labels(labels.genres, labels.y, role, labels.group), cache=tmp_path / "c"
    )
    assert even.class_weights("none") is None
    assert even.class_weights("auto") is None
    role[(labels.y == 0) & (np.arange(len(prepared)) > 2)] = "none"
    lopsided = load_examples(
        prepared, "statistics", Labels(labels.genres, labels.y, role, labels.group), cache=tmp_path / "c"
    )
    n = np.bincount(lopsided.y)
    np.testing.assert_allclose(lopsided.class_weights("auto"), n.sum() / (3 * n))
