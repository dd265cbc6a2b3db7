"""genrelab/datasets/table.py on tables that were changed at random: no traceback, and nothing is lost unsaid."""

from __future__ import annotations

import csv
import io
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genrelab.core.csv_tables import open_table
from genrelab.core.errors import GenrelabError, printable
from genrelab.datasets.base import Dataset, DatasetOptions
from genrelab.datasets.registry import load_dataset
from genrelab.datasets.tables.roles import folded

GENRES = ("rock", "pop", "hip-hop", "forró")
MANIFEST_ROLES = {"path", "genre", "artist", "album", "albumartist", "artistid", "compilation", "split", "trackid"}


@dataclass
class Drawn:
    """A table before it is written: its columns as texts, the true numbers of some, and how it is to be written."""

    rng: random.Random
    n: int
    columns: dict[str, list[str]] = field(default_factory=dict)
    truth: dict[str, list[float]] = field(default_factory=dict)
    delimiter: str = ","
    notation: Callable[[float, random.Random], str] = lambda x, _: repr(x)
    encoding: str = "utf-8"
    newline: str = "\n"
    head: str = ""
    tail: str = ""
    line_end: str = ""  # behind the fields of every row
    n_blank: int = 0
    spoilt: bool = False  # rows and numbers may be others than drawn


def valid_table(seed: int, *, manifest: bool) -> Drawn:
    rng = random.Random(seed)
    t = Drawn(rng, rng.randint(12, 40))
    t.columns["genre"] = [rng.choice(GENRES) for _ in range(t.n)]
    if manifest:
        t.columns["path"] = [f"{genre}/{i}.wav" for i, genre in enumerate(t.columns["genre"])]
    if rng.random() < 0.5:
        t.columns["track_id"] = [str(i) for i in range(t.n)]
    if rng.random() < 0.5:
        t.columns["artist"] = [f"A{i // 3}" for i in range(t.n)]
    for c in range(rng.randint(1, 5)):
        scale, digits = rng.choice((1, 1000, 1e6)), rng.randint(1, 5)
        t.truth[f"f{c}"] = [round(rng.gauss(0, 1) * scale, digits) + 0.0 for _ in range(t.n)]
    return t


# === How a table may be written ===


def english(x: float, rng: random.Random) -> str:
    return f"{x:,}"


def german(x: float, rng: random.Random) -> str:
    return f"{x:,}".translate(str.maketrans(",.", ".,"))


def french(x: float, rng: random.Random) -> str:
    return f"{x:,}".translate(str.maketrans(",.", rng.choice(" \u00a0\u202f") + ","))


def swiss(x: float, rng: random.Random) -> str:
    return f"{x:,}".replace(",", rng.choice("'’"))


def comma(x: float, rng: random.Random) -> str:
    return repr(x).replace(".", ",")


def bookkeeping(x: float, rng: random.Random) -> str:
    return f"({-x!r})" if x < 0 else f"+{x!r}"


def percent(x: float, rng: random.Random) -> str:
    return f"{x!r} %"


NOTATIONS = (lambda x, rng: repr(x), english, german, french, swiss, comma, bookkeeping, percent)
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1")


# === Changes ===


def add(name: str, cell: Callable[[Drawn, int], str]) -> Callable[[Drawn], None]:
    def change(t: Drawn) -> None:
        t.columns[name] = [cell(t, i) for i in range(t.n)]

    return change


def blank_cells(t: Drawn) -> None:
    cells = t.columns[t.rng.choice(list(t.columns))]
    for i in t.rng.sample(range(t.n), 3):
        cells[i] = t.rng.choice(("", " ", "NA", "nan", "#N/A", "-"))
    t.spoilt = True


def odd_cells(t: Drawn) -> None:
    cells = t.columns[t.rng.choice(list(t.columns))]
    for i in t.rng.sample(range(t.n), t.rng.choice((1, 3, t.n))):
        cells[i] = t.rng.choice(("?!", "1,5", "1.5.2020", "inf", "1e999", '"', "\n", "a;b,c\td|e", "=1+1", "0x10", "٣"))
    t.spoilt = True


def remove_column(t: Drawn) -> None:
    del t.columns[t.rng.choice(list(t.columns))]


def double_column(t: Drawn) -> None:
    name = t.rng.choice(list(t.columns))
    t.columns[t.rng.choice((f" {name} ", name.upper(), f"{name}.1", f"{name}\n"))] = list(t.columns[name])


def no_name(t: Drawn) -> None:
    t.columns[t.rng.choice(("", " ", "Unnamed: 0"))] = [str(i) for i in range(t.n)]


def blank_row(t: Drawn) -> None:
    at = t.rng.randrange(t.n)
    for cells in t.columns.values():
        cells[at] = t.rng.choice(("", " "))


def repeated_ids(t: Drawn) -> None:
    name = t.rng.choice(("track_id", "filename", "song_id", "recording", "id", "track"))
    t.columns[name] = [str(i // 3) for i in range(t.n)]


def title(t: Drawn) -> None:
    t.head += "My features" + t.rng.choice(("", t.delimiter * (len(t.columns) - 1))) + t.newline


def separator_line(t: Drawn) -> None:
    t.head = f"sep={t.delimiter}{t.newline}" + t.head


def blank_lines(t: Drawn) -> None:
    t.tail += t.newline * t.rng.randint(1, 3)
    t.head = t.newline + t.head


def trailing_delimiter(t: Drawn) -> None:
    t.line_end = t.delimiter


def no_rows(t: Drawn) -> None:
    t.n = 0
    t.columns = {name: [] for name in t.columns}
    t.truth = {name: [] for name in t.truth}


CHANGES = {
    "iso dates": add("added", lambda t, i: f"2020-0{i % 9 + 1}-11"),
    "german dates": add("am", lambda t, i: f"{i % 28 + 1}.12.2020"),
    "american times": add("at", lambda t, i: f"12/{i % 28 + 1}/2020 10:{i % 60:02d} PM"),
    "unix times": add("timestamp", lambda t, i: str(1_600_000_000 + 977 * i)),
    "days": add("day", lambda t, i: str(20200101 + i % 28)),
    "constant": add("version", lambda t, i: "1.5"),
    "row numbers": add("row", lambda t, i: str(i + 1)),
    "shuffled ids": add("number", lambda t, i: str(1000 + 7 * i % t.n) if t.n % 7 else str(i)),
    "user ids": add("user_id", lambda t, i: str(i % 5)),
    "checksums": add("file", lambda t, i: f"{t.rng.getrandbits(128):032x}"),
    "booleans": add("is_live", lambda t, i: t.rng.choice(("true", "false"))),
    "german booleans": add("live", lambda t, i: t.rng.choice(("ja", "nein"))),
    "flags": add("mode", lambda t, i: str(t.rng.randint(0, 1))),
    "texts": add("comment", lambda t, i: t.rng.choice(("a, b", "„x“", "two\nlines", "€ 5", "I said “no”"))),
    "empty": add("nothing", lambda t, i: ""),
    "album artists": add("album_artist", lambda t, i: "Various Artists"),
    "names": add("name", lambda t, i: f"song {i % 9}"),
    "parts": add("split", lambda t, i: t.rng.choice(("train", "test", "val"))),
    "bad parts": add("split", lambda t, i: str(i)),
    "blank cells": blank_cells, "odd cells": odd_cells, "column removed": remove_column,
    "column doubled": double_column, "no name": no_name, "blank row": blank_row, "repeated ids": repeated_ids,
    "title": title, "separator line": separator_line, "blank lines": blank_lines,
    "trailing delimiter": trailing_delimiter, "no rows": no_rows,
}  # fmt: skip


def ragged(content: bytes, rng: random.Random) -> bytes:
    lines = content.splitlines(keepends=True)
    at = rng.randrange(len(lines))
    lines[at] = rng.choice((lines[at].rstrip() + b",x\n", lines[at].replace(b",", b"", 1), b"", lines[at] * 2))
    return b"".join(lines)


def inserted(content: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(content) + 1)
    return content[:at] + rng.choice((rng.randbytes(3), b"\0", b'"', b"\r", b"\xe9", b"\xff\xfe", b"\n")) + content[at:]


def cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


DAMAGE = {"none": None, "ragged": ragged, "inserted": inserted, "cut": cut}


def written(t: Drawn) -> bytes:
    """The content of the file."""
    t.n_blank = sum(not any(cells[i].strip() for cells in t.columns.values()) for i in range(t.n))
    text = io.StringIO(newline="")
    text.write(t.head)
    rows = csv.writer(text, delimiter=t.delimiter, lineterminator=t.line_end + t.newline)
    for row in (t.columns, *zip(*t.columns.values(), strict=True)):
        # Python's csv puts a field with another line end than the table's in no quotes.
        rows.writerow([cell.replace("\n", t.newline) for cell in row])
    content = text.getvalue() + t.tail
    if t.encoding in ("cp1252", "latin-1"):
        content = content.replace("\u202f", "\u00a0").replace("’", "'")  # as spreadsheets do
    return content.encode(t.encoding, errors="replace")


# === What must hold ===


def check(path: Path, dataset: Dataset, t: Drawn, *, damaged: bool) -> None:
    """Every column is a feature, has a role, or stands in a note with the reason; every row is a track or counted."""
    columns, notes = open_table(path).columns, "\n".join(dataset.notes)
    if not damaged:
        assert len(dataset.tracks) == t.n - t.n_blank
        assert t.n_blank == 0 or f"{t.n_blank} blank row" in notes
    if dataset.features is None:
        unread = re.findall(r"columns? ignored, as the audio is used: (.*)", notes)
        named = unread[0] if unread else ""
        for c in columns:
            assert folded(c) in MANIFEST_ROLES or printable(c) in named or f"column {printable(c)}" in notes
        return
    counts = [
        int(n) for n in re.findall(r"^(\d+) (?:feature columns?:|(?:other )?columns?(?: left out)?:)", notes, re.M)
    ]
    assert sum(counts) == len(columns)
    (roles,) = re.findall(r"other columns?: (.*)", notes)
    left = "".join(re.findall(r"columns? left out: (.*)", notes))
    for c in set(columns) - set(dataset.features.columns):
        assert printable(c) in roles or f"{printable(c)} (" in left
    assert not np.isinf(dataset.features.values).any()
    if not (damaged or t.spoilt or "another reading" in notes):
        check_values(dataset, t)


def check_values(dataset: Dataset, t: Drawn) -> None:
    """The numbers are the true ones, whatever notation they were written in."""
    assert dataset.features is not None
    kept = [i for i in range(t.n) if any(cells[i].strip() for cells in t.columns.values())]
    for name, numbers in t.truth.items():
        if name in dataset.features.columns:
            found = np.sort(dataset.features.values[:, dataset.features.columns.index(name)])
            np.testing.assert_allclose(found, np.sort(np.float32([numbers[i] for i in kept])), rtol=1e-6)


drawings = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**32 - 1),
        "manifest": st.booleans(),
        "delimiter": st.sampled_from(",;\t|"),
        "notation": st.sampled_from(NOTATIONS),
        "encoding": st.sampled_from(ENCODINGS),
        "newline": st.sampled_from(("\n", "\r\n", "\r")),
        "changes": st.lists(st.sampled_from(sorted(CHANGES)), max_size=5, unique=True),
        "damage": st.sampled_from(("none", "none", *sorted(DAMAGE))),
    }
)


def load_mutated(path: Path, drawing: dict[str, object]) -> bool:
    """Write, load and check one table. True: it was loaded; False: it was refused by a known error."""
    t = valid_table(int(str(drawing["seed"])), manifest=bool(drawing["manifest"]))
    for name in ("delimiter", "notation", "encoding", "newline"):
        setattr(t, name, drawing[name])
    t.columns |= {name: [t.notation(x, t.rng) for x in numbers] for name, numbers in t.truth.items()}
    names = drawing["changes"]
    assert isinstance(names, list)
    for name in names:
        if t.n and t.columns:
            CHANGES[name](t)
    content = written(t)
    damage = DAMAGE[str(drawing["damage"])]
    path.write_bytes(damage(content, t.rng) if damage else content)
    try:
        dataset = load_dataset(path, options=DatasetOptions())
    except GenrelabError as e:
        assert "\n" not in str(e) and str(path.parent) in str(e)
        return False
    check(path, dataset, t, damaged=damage is not None)
    return True


@given(drawing=drawings)
@settings(
    derandomize=True,
    max_examples=200,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_mutated_table_ends_in_a_traceback_or_loses_anything_unsaid(
    tmp_path: Path, drawing: dict[str, object]
) -> None:
    load_mutated(tmp_path / "t.csv", drawing)


@pytest.mark.slow
def test_2_000_mutated_tables(tmp_path: Path) -> None:
    loaded = []

    @given(drawing=drawings)
    @settings(derandomize=True, max_examples=2_000, suppress_health_check=[HealthCheck.too_slow])
    def mutate(drawing: dict[str, object]) -> None:
        loaded.append(load_mutated(tmp_path / "t.csv", drawing))

    mutate()
    assert len(loaded) >= 2_000
    assert sum(loaded) >= len(loaded) / 4, "most tables are refused: little is tried"


# === Parquet ===

COLUMN_TYPES: dict[str, Callable[[random.Random, int], pa.Array]] = {
    "float": lambda r, n: pa.array([r.gauss(0, 1) for _ in range(n)], pa.float64()),
    "half": lambda r, n: pa.array(np.float16([r.gauss(0, 1) for _ in range(n)])),
    "whole": lambda r, n: pa.array([r.choice((None, 1, 2**53 + 1)) for _ in range(n)], pa.int64()),
    "unsigned": lambda r, n: pa.array([r.randrange(2**64) for _ in range(n)], pa.uint64()),
    "decimal": lambda r, n: pa.array([Decimal(r.randrange(10**9)) / 100 for _ in range(n)], pa.decimal128(20, 2)),
    "day": lambda r, n: pa.array([date(2020, 1, r.randint(1, 31)) for _ in range(n)], pa.date32()),
    "moment": lambda r, n: pa.array(
        [r.choice((None, r.randrange(10**15))) for _ in range(n)], pa.timestamp("us", "UTC")
    ),
    "far day": lambda r, n: pa.array([r.randrange(10**14) for _ in range(n)], pa.timestamp("s")),
    "duration": lambda r, n: pa.array([r.randrange(10**6) for _ in range(n)], pa.duration("ms")),
    "time": lambda r, n: pa.array([r.randrange(86_400) for _ in range(n)], pa.time32("s")),
    "truth": lambda r, n: pa.array([r.choice((True, False, None)) for _ in range(n)]),
    "list": lambda r, n: pa.array([r.choice(([], None, ["a", "b"])) for _ in range(n)], pa.list_(pa.string())),
    "struct": lambda r, n: pa.array([{"a": 1, "b": None}] * n),
    "map": lambda r, n: pa.array([[("a", 1)]] * n, pa.map_(pa.string(), pa.int64())),
    "bytes": lambda r, n: pa.array([r.randbytes(3) for _ in range(n)], pa.binary()),
    "text as bytes": lambda r, n: pa.array([r.choice((b"rock", b"pop", None)) for _ in range(n)], pa.large_binary()),
    "categories": lambda r, n: pa.array(
        [r.choice(("rock", "pop", None)) for _ in range(n)], pa.string()
    ).dictionary_encode(),
    "numbers as text": lambda r, n: pa.array([r.choice(("1.234,5", "0,25", None, "-3")) for _ in range(n)]),
    "odd text": lambda r, n: pa.array([r.choice(("\0", "\n", "a" * 5_000, "é", "..", "NaT")) for _ in range(n)]),
    "nothing": lambda r, n: pa.nulls(n),
    "infinite": lambda r, n: pa.array([r.choice((np.inf, np.nan, 1.0, 1e300)) for _ in range(n)]),
}
COLUMN_NAMES = (
    "genre", "path", "track_id", "artist", "album", "album_artist", "artist_id", "compilation", "id", "file",
    "f0", "f1", "f2", "start_s", "", " x ", "ü\n", "added",
)  # fmt: skip


@given(
    columns=st.dictionaries(st.sampled_from(COLUMN_NAMES), st.sampled_from(sorted(COLUMN_TYPES)), max_size=8),
    genre=st.sampled_from(("categories", "categories", "categories", *sorted(COLUMN_TYPES))),
    seed=st.integers(0, 2**32 - 1),
    group=st.sampled_from((None, "id", "artist", "f0")),
    impute=st.sampled_from((None, "median")),
)
@settings(
    derandomize=True,
    max_examples=200,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_parquet_of_odd_types_ends_in_a_traceback_or_loses_anything_unsaid(
    tmp_path: Path, columns: dict[str, str], genre: str, seed: int, group: str | None, impute: str | None
) -> None:
    rng = random.Random(seed)
    n = rng.randint(0, 30)
    path = tmp_path / "t.parquet"
    pq.write_table(
        pa.table({name: COLUMN_TYPES[kind](rng, n) for name, kind in ({"genre": genre} | columns).items()}), path
    )
    try:
        dataset = load_dataset(path, options=DatasetOptions(group_column=group, impute=impute))
    except GenrelabError as e:
        assert "\n" not in str(e) and str(path.parent) in str(e)
        return
    check(path, dataset, Drawn(rng, n), damaged=True)
    blank = sum(int(m) for m in re.findall(r"(\d+) blank rows? left out", "\n".join(dataset.notes)))
    assert len(dataset.tracks) + blank == n


@pytest.mark.parametrize("notation", NOTATIONS[1:])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_valid_table_is_read_in_every_notation_and_encoding(
    tmp_path: Path, notation: Callable[[float, random.Random], str], encoding: str
) -> None:
    drawing = {
        "seed": 7, "manifest": False, "delimiter": ";", "notation": notation, "encoding": encoding, "newline": "\r\n",
        "changes": ["separator line", "iso dates", "booleans"], "damage": "none",
    }  # fmt: skip
    assert load_mutated(tmp_path / "t.csv", drawing)


def test_a_lost_column_is_noticed(tmp_path: Path) -> None:
    """`check` itself can fail."""
    path = tmp_path / "t.csv"
    path.write_text("track_id,genre,f0,day\n" + "".join(f"{i},pop,{i / 7},x\n" for i in range(12)))
    dataset = load_dataset(path)
    t = Drawn(random.Random(0), 12)
    check(path, dataset, t, damaged=False)
    path.write_text("track_id,genre,f0,day,lost\n" + "".join(f"{i},pop,{i / 7},x,y\n" for i in range(12)))
    with pytest.raises(AssertionError):
        check(path, dataset, t, damaged=False)
