from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("uvicorn")
from genrelab.serve.http.purse import AT_ONCE, BYTE_S, CAREFULLY, CHEAP_S, MOST_S, Purse


def test_bytes_earn_what_their_reading_costs() -> None:
    transport = SimpleNamespace()
    purse = Purse(transport)  # type: ignore[arg-type]
    assert transport.max_size == CAREFULLY
    for _ in range(1000):
        assert purse.pay(10_000, 10_000 * BYTE_S * 0.99)
        assert transport.max_size == CAREFULLY
    assert purse.pay(10_000, 10_000 * CHEAP_S / 2)
    assert transport.max_size == AT_ONCE


def test_who_costs_more_is_read_carefully_and_then_not_at_all() -> None:
    transport = SimpleNamespace()
    purse = Purse(transport)  # type: ignore[arg-type]
    assert purse.pay(0, MOST_S / 2)
    assert transport.max_size == CAREFULLY
    assert purse.pay(0, MOST_S / 2)
    assert not purse.pay(0, MOST_S / 100)


def test_some_bytes_earn_more() -> None:
    purse = Purse(SimpleNamespace(), 3 * BYTE_S)  # type: ignore[arg-type]
    for _ in range(100):
        assert purse.pay(100_000, 100_000 * BYTE_S * 2.9)


def test_no_more_than_a_purse_is_saved() -> None:
    purse = Purse(SimpleNamespace())  # type: ignore[arg-type]
    purse.pay(1 << 30, 0)
    assert not purse.pay(0, MOST_S * 1.01)
    purse.fill()
    assert purse.pay(0, MOST_S / 2)
