"""Numbers as reports write them: `as_...` what a cell of a table shows, the others what stands in a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isnan

from bench.records.metrics import METRICS

NOTHING = "–"
"""What a cell shows where there is no figure."""


def known(value: float | None) -> float | None:
    """Return a value, None for one that is not a number."""
    return None if value is None or isnan(value) else value


# --- cells of tables ---------------------------------------------------------------------------------------------


def as_percent(value: float | None, half: float | None = None) -> str:
    """Return `80.43 ±1.38` for an accuracy from 0 to 1."""
    return NOTHING if value is None or isnan(value) else METRICS["accuracy"].figure(value, half)


def as_change(value: float, half: float | None, digits: int = 2) -> str:
    """Return `+0.63 ±0.20`, in points, for a difference of accuracies from 0 to 1."""
    return f"{100 * value:+.{digits}f}{as_half(half, digits)}"


def as_half(half: float | None, digits: int = 2) -> str:
    """Return ` ±0.20`, in points, the empty string where there is no interval."""
    return "" if half is None else f" ±{100 * half:.{digits}f}"


def as_loss(value: float | None) -> str:
    """Return four digits after the point."""
    return NOTHING if value is None or isnan(value) else METRICS["loss"].figure(value)


def as_integer(value: float | None) -> str:
    """Return a whole number with commas, the empty string for none."""
    return "" if value is None or isnan(value) else f"{int(value):,}"


def as_seconds(value: float | None) -> str:
    """Return three significant digits, never in scientific notation."""
    return NOTHING if value is None or isnan(value) else METRICS["epoch"].figure(value)


def as_range(bounds: Sequence[float] | None, factor: float = 1.0) -> str:
    """Return `3–5`, one number where both bounds are the same, the empty string for none."""
    if bounds is None:
        return ""
    least, most = (f"{factor * bound:g}" for bound in bounds)
    return least if least == most else f"{least}–{most}"


def as_sum(counts: Iterable[int] | None) -> str:
    """Return `400 + 0 + 81`, the empty string for none."""
    return " + ".join(map(str, counts or ()))


# --- sentences ---------------------------------------------------------------------------------------------------


def percent(value: float, half: float | None = None, digits: int = 2) -> str:
    """Return `80.43 ± 1.38 %` for an accuracy from 0 to 1."""
    return f"{100 * value:.{digits}f}" + (f" ± {100 * half:.{digits}f}" if half is not None else "") + " %"


def is_told(difference: float, half: float | None) -> bool:
    """Return whether the interval of a difference leaves out 0; one seed has no interval."""
    return half is not None and abs(difference) > half


def seconds(value: float) -> str:
    """Return `7.87 s`, whole seconds from 100 on."""
    return f"{value:.0f} s" if value >= 100 else f"{value:.3g} s"


def times(value: float) -> str:
    """Return a factor, with more digits near 1 and below."""
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}" if value >= 1.1 else f"{value:.2f}"


def span(low: float, high: float) -> str:
    """Return `1.1 to 4.2`, one number where both read the same."""
    return times(low) if times(low) == times(high) else f"{times(low)} to {times(high)}"
