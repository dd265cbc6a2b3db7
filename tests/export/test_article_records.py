"""PREPARED as the article's TFRecords: read by code of the article, and refused where that cannot be."""

from __future__ import annotations

import csv
import json
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genrelab.core.config import ClipSettings, MelImageView, PrepareSettings, SamplesView
from genrelab.core.errors import PreparedError, SettingsError
from genrelab.core.storage import Folder
from genrelab.datasets import folder
from genrelab.datasets.base import DatasetOptions
from genrelab.export.article_readme import split_by_shard
from genrelab.export.article_records import export_article_records
from genrelab.export.export_folder import is_export
from genrelab.prepare.pipeline import prepare
from genrelab.records import tfrecord
from genrelab.records.prepared import Prepared
from tests.support.command import call
from tests.support.tones import write_tone
from tests.support.untrained_models import model_of

GENRES = ("ambient", "beat", "choir")
SETTINGS = PrepareSettings(
    views=(SamplesView(n_samples=500), MelImageView(sr=8_000, n_fft=256, size=16)),
    clips=ClipSettings(clip_s=1.0), shard_tracks=12,
)  # fmt: skip


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """27 tracks of three genres and nine artists, one of them two clips long, and one file that cannot be read."""
    root, out = tmp_path_factory.mktemp("music"), tmp_path_factory.mktemp("out") / "prepared"
    rows = ["id,artist"]
    for g, genre in enumerate(GENRES):
        for i in range(9):
            name = f"{genre}/{i}.wav"
            write_tone(root / name, hz=220 * (g + 1) + 7 * i, seconds=2.0 if (g, i) == (0, 0) else 1.0, seed=10 * g + i)
            rows.append(f"{name},{genre} band {i % 3}")
    (root / "beat" / "broken.mp3").write_text("this is no audio")
    (out.parent / "artists.csv").write_text("\n".join(rows))
    options = DatasetOptions(artists=out.parent / "artists.csv")
    return prepare(folder.load(root, options), out, SETTINGS, jobs=1)


def _read(out: Path) -> list[dict[str, Any]]:
    """Every record as {feature: list}, in the order of the files."""
    records = []
    for file in sorted(out.glob("*.tfrec")):
        content, at = file.read_bytes(), 0
        while at < len(content):
            length = int.from_bytes(content[at : at + 8], "little")
            example = tfrecord._example_class()()
            example.ParseFromString(content[at + 12 : at + 12 + length])
            lists = {n: getattr(f, f.WhichOneof("kind")).value for n, f in example.features.feature.items()}
            records.append({n: list(values) for n, values in lists.items()})
            at += length + 16
    return records


def _table(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as f:
        return list(csv.DictReader(f))


def _payloads(prepared: Prepared, view: str) -> dict[str, list[np.ndarray]]:
    """Windows by track id, as PREPARED has them."""
    found: dict[str, list[np.ndarray]] = {}
    settings = prepared.view(view)
    for shard in prepared.shards(view):
        for _, _, record in tfrecord.read_records(Path(prepared.folder.path(shard))):
            assert isinstance(record, tfrecord.Record)
            x = np.frombuffer(record.x, settings.dtype).reshape(settings.shape)
            found.setdefault(prepared.tracks["track_id"][record.track], []).append(x)
    return found


@pytest.mark.parametrize(("view", "n"), [("samples", 27), ("mel_image", 28)])
def test_records_have_song_class_and_one_hot_class(prepared: Prepared, tmp_path: Path, view: str, n: int) -> None:
    out = export_article_records(str(prepared.folder), tmp_path / "out", view=view, n_shards=5)
    records, rows, payloads = _read(out), _table(out / "tracks.csv"), _payloads(prepared, view)
    assert len(records) == len(rows) == n and is_export(out)
    for record, row in zip(records, rows, strict=True):
        assert set(record) == {"song", "class", "one_hot_class"}
        assert record["class"] == [GENRES.index(row["genre"])] == [int(row["class"])]
        assert record["one_hot_class"] == [float(g == row["genre"]) for g in GENRES]
        x = payloads[row["track_id"]].pop(0)
        np.testing.assert_array_equal(np.float32(record["song"]), np.ravel(x.T if view == "mel_image" else x))
    assert not any(payloads.values()), "every window is written once"


def test_file_names_state_the_number_of_their_records(prepared: Prepared, tmp_path: Path) -> None:
    out = export_article_records(str(prepared.folder), tmp_path / "out")
    names = sorted(p.name for p in out.glob("*.tfrec"))
    rows = _table(out / "tracks.csv")
    assert [name[:3] for name in names] == [f"{i:02d}-" for i in range(16)]
    counts = [int(re.search(r"-([0-9]*)\.", name).group(1)) for name in names]  # type: ignore[union-attr]
    assert counts == [sum(row["file"] == name for row in rows) for name in names] and set(counts) == {1, 2}
    assert _table(out / "labels.csv") == [
        {"class": str(i), "genre": genre, "records": "9"} for i, genre in enumerate(GENRES)
    ]


def test_tracks_are_shuffled_in_the_same_way_every_time(prepared: Prepared, tmp_path: Path) -> None:
    first, second = (export_article_records(str(prepared.folder), tmp_path / name, n_shards=4) for name in "ab")
    files = sorted(p.name for p in first.iterdir())
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in files)
    genres = [row["genre"] for row in _table(first / "tracks.csv")]
    assert genres != sorted(genres) and len(set(genres[:7])) == 3


def test_all_windows_of_a_track_are_in_one_file(prepared: Prepared, tmp_path: Path) -> None:
    out = export_article_records(str(prepared.folder), tmp_path / "out", view="mel_image", n_shards=9)
    rows = _table(out / "tracks.csv")
    long = [row for row in rows if row["track_id"].startswith("ambient/0")]
    assert len(long) == 2 and long[0]["file"] == long[1]["file"]


def test_artists_that_a_split_by_file_puts_into_several_sets_are_counted(prepared: Prepared, tmp_path: Path) -> None:
    said: list[str] = []
    out = export_article_records(str(prepared.folder), tmp_path / "out", notify=said.append)
    rows, (validation, training) = _table(out / "tracks.csv"), split_by_shard(16)
    parts: dict[str, set[bool]] = {}
    for row in rows:
        shard = int(row["file"][:2])
        parts.setdefault(row["artist"], set()).add((shard >= validation) + (shard >= training))
    n = sum(len(found) > 1 for found in parts.values())
    assert said == [f"A split by shard puts tracks of {n} of 9 artists into several sets."] and n > 4
    assert said[0] in (out / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("n", [3, 5, 16, 100])
def test_split_by_shard_has_three_sets(n: int) -> None:
    validation, training = split_by_shard(n)
    assert 0 < validation < training < n and abs(validation / n - 0.2) < 0.15


def test_damaged_records_are_left_out_and_named(prepared: Prepared, tmp_path: Path) -> None:
    copy = Folder(tmp_path / "copy")
    copy.publish_tree(prepared.folder.local)
    shard = Path(copy.path(prepared.shards("samples")[0]))
    content = bytearray(shard.read_bytes())
    content[40] ^= 1
    shard.write_bytes(content)
    said: list[str] = []
    out = export_article_records(str(copy), tmp_path / "out", notify=said.append)
    assert len(_read(out)) == 26 and "1 track cannot be read" in said[0]


def test_a_remote_preparation_is_exported(prepared: Prepared, tmp_path: Path) -> None:
    away = Folder(f"memory://{uuid.uuid4().hex}/prepared")
    away.publish_tree(prepared.folder.local)
    here, there = (export_article_records(str(p), tmp_path / n) for n, p in (("a", prepared.folder), ("b", away)))
    assert _read(here) == _read(there)


def test_unusable_requests_are_refused(prepared: Prepared, tmp_path: Path) -> None:
    address, out = str(prepared.folder), tmp_path / "out"
    with pytest.raises(SettingsError, match="'log_mel' has no form tfrecord-article: use samples or mel_image"):
        export_article_records(address, out, view="log_mel")
    for n in (2, 28):
        with pytest.raises(SettingsError, match=rf"--shards must be 3 or more, .* tracks \(27\)\. Received: {n}"):
            export_article_records(address, out, n_shards=n)
    with pytest.raises(SettingsError, match="is a model, and tfrecord-article is a form of tracks"):
        export_article_records(str(model_of(tmp_path / "run")), out)
    with pytest.raises(PreparedError, match="is not the output of `prepare`"):
        export_article_records(str(tmp_path / "nowhere"), out)
    with pytest.raises(SettingsError, match="exists and is not an export of genrelab"):
        export_article_records(address, prepared.folder.local)
    assert not out.exists() and not list(tmp_path.glob(".out.*"))


def test_a_table_of_features_has_no_songs(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text(
        "track_id,genre,a,b\n" + "".join(f"{i},{'jazz' if i % 2 else 'rock'},{i}.5,2\n" for i in range(20))
    )
    status, _, err = call("prepare", table, "--out", tmp_path / "prepared")
    assert status == 0, err
    with pytest.raises(SettingsError, match="is a table of features, without audio: prepare a folder of music"):
        export_article_records(str(tmp_path / "prepared"), tmp_path / "out")


def test_export_command_writes_records_of_prepared_only(prepared: Prepared, tmp_path: Path) -> None:
    form, out = ("--format", "tfrecord-article"), ("--out", tmp_path / "out")
    status, said, _ = call("export", prepared.folder, *form, *out, "--view", "mel_image", "--shards", 4, "--json")
    settings = json.loads(said)
    assert status == 0 and settings["path"] == str(tmp_path / "out") and settings["genres"] == list(GENRES)
    assert (settings["format"], settings["records"], settings["tracks"], settings["shards"]) == (form[1], 28, 27, 4)
    assert settings["view"]["name"] == "mel_image" and settings["seed"] == 42
    for words, message in [
        ((prepared.folder, *form), "needs a folder for the records: give --out FOLDER"),
        ((prepared.folder, "--format", "onnx", *out), "is the output of `prepare`, not a model: train a model on it"),
        ((prepared.folder, *form, *out, "--shards", 2), "Input should be greater than or equal to 3"),
        ((prepared.folder, "--format", "onnx", *out, "--shards", 4), "--view and --shards belong to --format"),
        ((model_of(tmp_path / "run"), *form, *out), "is a model, and tfrecord-article is a form of tracks"),
    ]:
        status, said, err = call("export", *words)
        assert status != 0 and message in " ".join(err.replace("│", " ").split()) and not said


@pytest.mark.parametrize("view", ["samples", "mel_image"])
def test_code_in_the_readme_makes_three_channels_of_one_batch_at_a_time(
    prepared: Prepared, tmp_path: Path, view: str
) -> None:
    out = export_article_records(str(prepared.folder), tmp_path / "out", view=view)
    kept, shuffled, batched = re.split(r"\.shuffle\(2048\)|\.batch\(32\)", (out / "README.md").read_text())
    assert ".cache()" in kept and not any("tf.repeat" in text for text in (kept, shuffled))
    assert ("tf.repeat" in batched) == (view == "mel_image")


def _code(out: Path) -> dict[str, Any]:
    """The names that the code in `README.md` defines."""
    code = re.search(r"```python\n(.*?)```", (out / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {}
    exec(code[1], names)
    return names


@pytest.mark.slow
@pytest.mark.parametrize("view", ["samples", "mel_image"])
def test_code_in_the_readme_reads_the_records(
    prepared: Prepared, tmp_path: Path, view: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = export_article_records(str(prepared.folder), tmp_path / "out", view=view)
    monkeypatch.chdir(out)
    code = _code(out)
    rows = _table(out / "tracks.csv")
    for part in ("test", "validation", "training"):
        files = code[part]
        batches = list(code["batches"](files).as_numpy_iterator())
        x, y = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
        wanted = [row for row in rows if row["file"] in files]
        assert len(x) == len(wanted) == code["count"](files) > 0
        assert sorted(y.argmax(axis=1)) == sorted(int(row["class"]) for row in wanted)
        assert x.shape[1:] == ((500,) if view == "samples" else (16, 16, 3))
    endless = code["batches"](code["training"], train=True).take(5)
    assert sum(len(x) for x, _ in endless) == 5 * 32, "training repeats"
    record = next(iter(code["tf"].data.TFRecordDataset(code["training"])))
    song, _ = code["parse"](record)
    assert song.shape == ((500,) if view == "samples" else (16, 16, 1)), "what is kept in memory has one channel"
    if view == "mel_image":
        assert (x[..., 0] == x[..., 2]).all() and x.min() >= -80 and abs(x.max()) < 1e-3


def _fixed(tf: Any, n: int) -> dict[str, Any]:
    song, label = tf.io.FixedLenFeature([n], tf.float32), tf.io.FixedLenFeature([], tf.int64)
    return {"song": song, "class": label, "one_hot_class": tf.io.VarLenFeature(tf.float32)}


def _variable(tf: Any, n: int) -> dict[str, Any]:
    return _fixed(tf, n) | {"song": tf.io.VarLenFeature(tf.float32)}


@pytest.mark.slow
@pytest.mark.parametrize("fields", [_fixed, _variable])
def test_the_reader_of_the_article_reads_the_records(
    prepared: Prepared, tmp_path: Path, fields: Callable[[Any, int], dict[str, Any]]
) -> None:
    """As the article and the codelab that it follows read: ARTICLE's rows 10 to 12."""
    import tensorflow as tf

    out = export_article_records(str(prepared.folder), tmp_path / "out")

    def parse(record: Any) -> Any:
        found = tf.io.parse_single_example(record, fields(tf, 500))
        song = found["song"] if fields is _fixed else tf.sparse.to_dense(found["song"])
        one_hot = tf.sparse.to_dense(found["one_hot_class"])
        return tf.reshape(song, [500, 1]), tf.reshape(one_hot, [3]), found["class"]

    names = tf.io.gfile.glob(str(out / "*.tfrec"))
    n_test = int(len(names) * 0.2)
    n_validation = int((len(names) - n_test) * 0.2)
    parts = names[:n_test], names[n_test : n_test + n_validation], names[n_test + n_validation :]
    options = tf.data.Options()
    options.experimental_deterministic = False
    seen = []
    for part in parts:
        data = tf.data.TFRecordDataset(part, num_parallel_reads=tf.data.AUTOTUNE).with_options(options)
        data = data.map(parse, num_parallel_calls=tf.data.AUTOTUNE).cache()
        data = data.batch(4, drop_remainder=False).prefetch(tf.data.AUTOTUNE)
        stated = sum(int(re.search(r"-([0-9]*)\.", Path(name).name).group(1)) for name in part)  # type: ignore[union-attr]
        batches = list(data.as_numpy_iterator())
        assert sum(len(x) for x, _, _ in batches) == stated > 0
        seen += [(x.tobytes(), int(label), int(row.argmax())) for xs, rows, labels in batches
                 for x, row, label in zip(xs, rows, labels, strict=True)]  # fmt: skip
    written = [(np.float32(r["song"]).tobytes(), r["class"][0], r["class"][0]) for r in _read(out)]
    assert sorted(seen) == sorted(written) and len(seen) == 27
