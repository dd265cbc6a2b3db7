"""Formats shares, differences and intervals alike for pages, terminals and texts; zero never has a minus sign."""

from __future__ import annotations

ABSENT = "–"
"""Printed where nothing was measured."""


def format_number(value: float, digits: int = 1, *, signed: bool = False) -> str:
    """`1,234.5`, `−5.0`; with `signed` also `+5.0`."""
    rounded = round(value, digits) + 0.0  # -0.0 becomes 0.0
    return f"{rounded:{'+' if signed and rounded else ''},.{digits}f}".replace("-", "−")


def percent(share: float | None) -> str:
    """A share in a column with `%` in its header: `43.7`."""
    return ABSENT if share is None else format_number(100 * share)


def format_percent(share: float) -> str:
    """A share in a text: `43.7 %`."""
    return f"{percent(share)} %"


def points(difference: float | None) -> str:
    """A difference of shares in percentage points: `+5.0`, `−5.0`, `0.0`."""
    return ABSENT if difference is None else format_number(100 * difference, signed=True)


def format_interval(low: float | None, high: float | None, *, signed: bool = False) -> str:
    """An interval of shares in percent, or of differences in points: `31.0 to 52.4`."""
    figure = points if signed else percent
    return ABSENT if low is None or high is None else f"{figure(low)} to {figure(high)}"


def format_p(p: float) -> str:
    """A p-value: `0.041`, `< 0.001`."""
    return "< 0.001" if p < 0.001 else format_number(p, 3)


def with_interval(share: float, low: float, high: float) -> str:
    """A share with its interval in a column with `%` in its header: `43.7 [31.1, 57.0]`."""
    return f"{percent(share)} [{percent(low)}, {percent(high)}]"
