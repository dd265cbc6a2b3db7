"""genrelab/datasets/tables/columns.py: dates, identifiers, constants and booleans are no features; numbers are."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from genrelab.core.errors import DatasetError
from genrelab.datasets import table
from genrelab.datasets.base import Dataset, DatasetOptions
from genrelab.datasets.registry import load_dataset
from genrelab.datasets.tables.columns import words_of

N = 24
RNG = np.random.default_rng(0)
NOISE = RNG.normal(size=N).round(3).tolist()


def load_csv(folder: Path, columns: dict[str, Sequence[object]], delimiter: str = ";", **options: Any) -> Dataset:
    frame = pd.DataFrame({"genre": ["a", "b"] * (N // 2), "noise": NOISE, **columns})
    frame.to_csv(folder / "t.csv", index=False, sep=delimiter)
    return table.load(folder / "t.csv", DatasetOptions(**options))


def load_parquet(folder: Path, columns: dict[str, Any]) -> Dataset:
    pd.DataFrame({"genre": ["a", "b"] * (N // 2), "noise": NOISE, **columns}).to_parquet(folder / "t.parquet")
    return table.load(folder / "t.parquet", DatasetOptions())


def features(dataset: Dataset) -> tuple[str, ...]:
    assert dataset.features is not None
    return dataset.features.columns


def left_out(dataset: Dataset) -> str:
    return next((n for n in dataset.notes if "left out:" in n), "")


def numbers(dataset: Dataset, column: str) -> list[float]:
    assert dataset.features is not None
    return dataset.features.values[:, dataset.features.columns.index(column)].tolist()


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("x", lambda i: f"2020-{i % 12 + 1:02d}-05"),
        ("x", lambda i: f"{i + 1}.12.2020"),
        ("x", lambda i: f"{i + 1}.12.20"),
        ("x", lambda i: f"12/{i + 1}/2020"),
        ("x", lambda i: f"2020-12-05T10:{i:02d}:00Z"),
        ("x", lambda i: f"2020-12-05 10:{i:02d}:00.123+01:00"),
        ("x", lambda i: f"{i + 1} Dec 2020"),
        ("x", lambda i: f"December {i + 1}, 2020"),
        ("x", lambda i: f"Mo., {i + 1}. März 2020"),
        ("x", lambda i: f"3:{i:02d}"),
        ("x", lambda i: f"0 days 00:03:{i:02d}"),
        ("x", lambda i: "2019" if i % 4 else f"2019-05-{i + 1:02d}"),
        ("x", lambda i: 20200101 + i),
        ("added", lambda i: 1_600_000_000 + i * i * 1000),
        ("created_at", lambda i: 1_600_000_000_000 + i * i * 1000),
        ("timestamp", lambda i: 1_600_000_000.5 + i * i),
        ("date", lambda i: 44_000 + 7 * i % 11),
        ("date", lambda i: 1990 + i % 7),
    ],
)
def test_dates_and_times_are_left_out(tmp_path: Path, name: str, cell: Any) -> None:
    dataset = load_csv(tmp_path, {name: [cell(i) for i in range(N)]})
    assert features(dataset) == ("noise",)
    assert left_out(dataset) == f"1 column left out: {name} (dates or times)"


@pytest.mark.parametrize(
    ("name", "cells", "reason"),
    [
        ("row", range(1, N + 1), "row numbers"),
        ("x", range(1000, 1000 + N), "row numbers"),
        ("x", RNG.permutation(N).tolist(), "identifiers"),
        ("x", [*range(N - 1), N], "identifiers"),
        ("user_id", [i % 5 for i in range(N)], "identifiers"),
        ("userId", [i % 5 for i in range(N)], "identifiers"),
        ("id_artist", [i % 5 for i in range(N)], "identifiers"),
        ("isrc", [f"USRC1760{i:04d}" for i in range(N)], "identifiers"),
        ("file_id", [i if i % 3 else f"x{i}" for i in range(N)], "identifiers"),
        ("x", [f"{i:032x}" for i in range(N)], "identifiers"),
        ("x", [f"123e4567-e89b-12d3-a456-4266141740{i:02d}" for i in range(N)], "identifiers"),
        ("x", [3.5] * N, "constant"),
        ("x", [3.5, None] * (N // 2), "constant"),
        ("x", [True, False] * (N // 2), "true or false"),
        ("x", ["yes", "no"] * (N // 2), "true or false"),
        ("x", ["Wahr", "Falsch", None] * (N // 3), "true or false"),
        ("x", [None] * N, "empty"),
        ("x", ["rock'n'roll", "5"] * (N // 2), "text"),
        ("x", ["5 dB"] * N, "text"),
        ("x", ["1.5", "1,5"] * (N // 2), "no single decimal mark: '1,5' in row 2"),
    ],
)
def test_no_features(tmp_path: Path, name: str, cells: Sequence[object], reason: str) -> None:
    dataset = load_csv(tmp_path, {name: cells})
    assert features(dataset) == ("noise",)
    assert left_out(dataset) == f"1 column left out: {name} ({reason})"


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("mode", [0, 1] * (N // 2)),
        ("key", [i % 12 for i in range(N)]),
        ("tempo_milli", (120_000 + RNG.permutation(50_000)[:N]).tolist()),
        ("duration_ms", (200_000 + RNG.permutation(90_000)[:N]).tolist()),
        ("loudness", (-60 + RNG.permutation(60)[:N]).tolist()),
        ("time_signature", [3, 4, 5] * (N // 3)),
        ("spectral_centroid", (RNG.random(N) * 3000).round(2).tolist()),
        ("year", [1990 + i % 20 for i in range(N)]),
        ("danceability_id", RNG.random(N).round(3).tolist()),
        ("energy_time", (RNG.random(N) * 3).round(4).tolist()),
        ("variance", (1_600_000_000 + RNG.permutation(90_000)[:N]).tolist()),
        ("big", (20_200_101 + 50 * RNG.permutation(N)).tolist()),
        ("seconds", [f"{x:.3f}" for x in RNG.random(N) * 300]),
    ],
)
def test_real_features_stay(tmp_path: Path, name: str, cells: Sequence[object]) -> None:
    for delimiter in (",", ";"):
        dataset = load_csv(tmp_path, {name: cells}, delimiter)
        assert features(dataset) == ("noise", name)
        assert numbers(dataset, name) == np.float32([float(str(c)) for c in cells]).tolist()


def test_few_rows_may_be_consecutive_by_chance(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("genre,x\na,3\nb,4\na,5\n")
    assert features(table.load(tmp_path / "t.csv", DatasetOptions())) == ("x",)


def test_one_row_has_no_constants(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("genre,x,y\na,3,4\n")
    assert features(table.load(tmp_path / "t.csv", DatasetOptions())) == ("x", "y")


@pytest.mark.parametrize(
    ("columns", "delimiter", "expected"),
    [
        ({"a": "0,5", "b": "1.234"}, ";", {"a": 0.5, "b": 1234}),  # thousands, since a has a decimal comma
        ({"a": "0.5", "b": "1.234"}, ";", {"a": 0.5, "b": 1.234}),
        ({"a": "0.5", "b": "1,234"}, ";", {"a": 0.5, "b": 1234}),
        ({"a": "0,5", "b": "1,234"}, "\t", {"a": 0.5, "b": 1.234}),
        ({"b": "1,234"}, ";", {"b": 1.234}),
        ({"b": "1,234"}, ",", {"b": 1234}),
        ({"a": "0,5", "b": "0.25"}, ";", {"a": 0.5, "b": 0.25}),  # each column decides for itself
        ({"a": "0,5", "b": "7"}, ";", {"a": 0.5, "b": 7}),
    ],
)
def test_columns_decide_for_each_other(
    tmp_path: Path, columns: dict[str, str], delimiter: str, expected: dict[str, float]
) -> None:
    frame = pd.DataFrame(
        {"genre": ["a", "b", "a"], **{c: [cell, cell, cell[:-1] + "8"] for c, cell in columns.items()}}
    )
    frame.to_csv(tmp_path / "t.csv", index=False, sep=delimiter)
    dataset = table.load(tmp_path / "t.csv", DatasetOptions())
    assert {c: pytest.approx(numbers(dataset, c)[0]) for c in features(dataset)} == expected


def test_other_notations_are_noted(tmp_path: Path) -> None:
    dataset = load_csv(tmp_path, {"x": [f"1.{i:03d},5" for i in range(N)]})
    assert "1 column with a decimal comma, so '1.000,5' is 1000.5: x" in dataset.notes
    assert not any("decimal" in n for n in load_csv(tmp_path, {"x": NOISE}).notes)


def test_wrong_cell_is_named_with_its_row(tmp_path: Path) -> None:
    cells = [f"{x:.2f}" for x in NOISE]
    for wrong in ("1,5", "oops", "1:50", "12 %"):
        with pytest.raises(DatasetError, match=f"row 8, column x: '{wrong}' is not a number with a decimal point"):
            load_csv(tmp_path, {"x": [*cells[:7], wrong, *cells[8:]]})


def test_columns_of_parquet(tmp_path: Path) -> None:
    days = pd.date_range("2020-01-01", periods=N)
    dataset = load_parquet(
        tmp_path,
        {
            "half": np.arange(N, dtype=np.float16) / 3,
            "whole": pd.array([5, 7, 9] * (N // 3), dtype="Int64"),
            "decimal": [Decimal(i % 7) / 4 for i in range(N)],
            "category": pd.Categorical([1.5, 2.5] * (N // 2)),
            "words": ["1,5", "2,5"] * (N // 2),
            "day": days,
            "zoned": days.tz_localize("Europe/Berlin"),
            "date": [day.date() for day in days],
            "time": [datetime.time(1, i) for i in range(N)],
            "delta": days - days[0],
            "flag": pd.array([True, False, None] * (N // 3), dtype="boolean"),
            "list": [[1, 2]] * N,
            "struct": [{"a": 1}] * N,
            "bytes": [b"\xff"] * N,
        },
    )
    assert features(dataset) == ("noise", "half", "whole", "decimal", "category", "words")
    assert numbers(dataset, "decimal")[:3] == [0, 0.25, 0.5]
    assert numbers(dataset, "words")[:2] == [1.5, 2.5]
    assert left_out(dataset) == (
        "9 columns left out: day (dates or times), zoned (dates or times), date (dates or times), "
        "time (dates or times), delta (dates or times), flag (true or false), list (neither numbers nor text), "
        "struct (neither numbers nor text), bytes (neither numbers nor text)"
    )


def test_many_columns_left_out_are_counted(tmp_path: Path) -> None:
    dataset = load_csv(tmp_path, {f"c{i}": [1] * N for i in range(30)})
    assert left_out(dataset).startswith("30 columns left out: c0 (constant), ")
    assert left_out(dataset).endswith("c19 (constant) and 10 more")


@pytest.mark.parametrize("name", ["Track ID", "track_id", "trackId", "track-id", " Track.Id"])
def test_words_of_a_name(name: str) -> None:
    assert words_of(name) == "track_id"


@pytest.mark.parametrize("values", [(1e300, 1e300), (1e300, 2e300), (1e300, 1.0)])
def test_numbers_beyond_float32_are_refused_as_that(tmp_path: Path, values: tuple[float, float]) -> None:
    pd.DataFrame({"genre": ["rock", "pop"], "f0": values, "f1": [1.5, 2.5]}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DatasetError, match="too large for float32"):
        load_dataset(tmp_path / "t.parquet")
