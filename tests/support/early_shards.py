"""Shards as earlier versions shared tracks out: in the order of their index, so that one holds a genre or two."""

from __future__ import annotations

from genrelab.records import tfrecord
from genrelab.records.prepared import Prepared, open_prepared


def as_early_version(prepared: Prepared, view: str) -> Prepared:
    """The preparation with its shards of a view written anew in that way."""
    folder, tracks = prepared.folder, int(prepared.about["settings"]["shard_tracks"])
    numbers = range(-(-len(prepared) // tracks))
    shards: list[list[tfrecord.Record]] = [[] for _ in numbers]
    for name in prepared.shards(view):
        for _, _, record in tfrecord.read_records(folder.local / name):
            assert isinstance(record, tfrecord.Record)
            shards[record.track // tracks].append(record)
    folder.remove(view)
    about = folder.read_json("dataset.json")
    about["files"] = {n: sha for n, sha in about["files"].items() if not n.startswith(f"{view}/")}
    for number in numbers:
        records = sorted(shards[number], key=lambda record: (record.track, record.start_s))
        name = f"{view}/{tfrecord.shard_name(number, len(numbers), len(records))}"
        folder.write_bytes(name, b"".join(map(tfrecord.encode, records)))
        about["files"][name] = folder.sha256(name)
    about["files"] = dict(sorted(about["files"].items()))
    folder.write_json("dataset.json", about)
    return open_prepared(folder)
