from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("uvicorn")
from genrelab.serve.http.connection import (
    BYTE_CREDIT_S,
    CHEAP_BYTE_S,
    LARGE_READ_BYTES,
    MAX_CREDIT_S,
    SMALL_READ_BYTES,
    ReadBudget,
)


def test_received_bytes_refill_the_read_budget() -> None:
    transport = SimpleNamespace()
    purse = ReadBudget(transport)  # type: ignore[arg-type]
    assert transport.max_size == SMALL_READ_BYTES
    for _ in range(1000):
        assert purse.spend(10_000, 10_000 * BYTE_CREDIT_S * 0.99)
        assert transport.max_size == SMALL_READ_BYTES
    assert purse.spend(10_000, 10_000 * CHEAP_BYTE_S / 2)
    assert transport.max_size == LARGE_READ_BYTES


def test_expensive_connection_is_throttled_and_then_refused() -> None:
    transport = SimpleNamespace()
    purse = ReadBudget(transport)  # type: ignore[arg-type]
    assert purse.spend(0, MAX_CREDIT_S / 2)
    assert transport.max_size == SMALL_READ_BYTES
    assert purse.spend(0, MAX_CREDIT_S / 2)
    assert not purse.spend(0, MAX_CREDIT_S / 100)


def test_budget_per_byte_can_be_set() -> None:
    purse = ReadBudget(SimpleNamespace(), 3 * BYTE_CREDIT_S)  # type: ignore[arg-type]
    for _ in range(100):
        assert purse.spend(100_000, 100_000 * BYTE_CREDIT_S * 2.9)


def test_read_budget_has_a_maximum() -> None:
    purse = ReadBudget(SimpleNamespace())  # type: ignore[arg-type]
    purse.spend(1 << 30, 0)
    assert not purse.spend(0, MAX_CREDIT_S * 1.01)
    purse.fill()
    assert purse.spend(0, MAX_CREDIT_S / 2)
