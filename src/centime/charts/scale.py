"""Axes: the round numbers along one, and where a value lies on it."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from centime.charts.kinds import Digits, Format

WIDE = 50  # the ratio of a chart's values above which its axis is better logarithmic
_LARGEST, _SMALLEST = sys.float_info.max, math.ulp(0.0)


@dataclass(frozen=True)
class Scale:
    """An axis from `low` to `high`. Raises ValueError unless both are finite and low is the lower, and above zero on a
    logarithmic axis."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"an axis from {self.low} to {self.high} has no length")
        if self.log and self.low <= 0:
            raise ValueError(f"a logarithmic axis has no place for {self.low}")

    def holds(self, value: float) -> bool:
        """Whether the value can be drawn: finite, and above zero on a logarithmic axis."""
        return can_hold(value, self.log)

    def share(self, value: float) -> float:
        """Where a value that the axis can hold lies, 0 at low to 1 at high; beyond the ends, at the nearer one. Raises
        ValueError on any other."""
        if not self.holds(value):
            raise ValueError(f"{'a logarithmic' if self.log else 'an'} axis has no place for {value}")
        at, low, high = value, self.low, self.high
        if self.log:
            at, low, high = math.log(at), math.log(low), math.log(high)
        elif high - low == math.inf:
            at, low, high = at / 2, low / 2, high / 2
        return min(1.0, max(0.0, (at - low) / (high - low)))

    def ticks(self, about: int = 5) -> list[float]:
        """Round numbers along the axis, rising: see linear_ticks and log_ticks."""
        return (log_ticks if self.log else linear_ticks)(self.low, self.high, about)


def can_hold(value: float, log: bool) -> bool:
    """Whether an axis has a place for the value: finite, and above zero on a logarithmic one."""
    return math.isfinite(value) and (value > 0 or not log)


def scale_of(
    values: Iterable[float], *, log: bool | None = False, from_zero: bool | None = False, margin: float = 0.0
) -> Scale | None:
    """The axis that shows all values it can hold, `margin` (a share of its length) beyond each end but zero; None where
    there is none such. log None: where all are above zero and span more than WIDE; from_zero None: where the least is
    above zero and below 0.6 of the most. A single value stands in the middle of what is as wide as itself, about."""
    known = [v for v in values if can_hold(v, log is True)]
    if not known:
        return None
    low, high = min(known), max(known)
    if log is None:
        log = not from_zero and low > 0 and high / low > WIDE
    if log:
        beyond = margin * math.log(high / low) if high / low < math.inf else 0.0
        factor = math.exp(beyond) if high / low > 1 + 1e-9 else 2.0
        return Scale(max(low / factor, _SMALLEST), min(high * factor, _LARGEST), log=True)
    if from_zero or (from_zero is None and 0 < low < 0.6 * high):
        low, high = min(low, 0.0), max(high, 0.0)
    beyond = 2 * margin * (high / 2 - low / 2)
    if high / 2 - low / 2 <= max(1e-9 * max(-low, high), 1e-290):  # one value, or what floats tell apart but no reader
        beyond = 0.1 * max(-low, high) if max(-low, high) > 1e-290 else 1.0
    starts_at_zero = low == 0 and from_zero is not False
    return Scale(low if starts_at_zero else max(low - beyond, -_LARGEST), min(high + beyond, _LARGEST))


def linear_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers, 1, 2 or 5 times a power of ten apart, from at or above `low` to at or below `high`: two at least
    and about `about`, where floats can tell them apart."""
    rough = high / about - low / about
    if not rough >= max(sys.float_info.min, 4 * math.ulp(max(-low, high))):
        return [low]
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [min(max(i * step, low), high) for i in range(first, last + 1)]


def log_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Powers of ten from `low` to `high`, both above zero, with 2 and 5 between them where there are few, and not each
    where there are many; linear ones where that leaves less than three."""
    first, last = math.floor(math.log10(low)), math.floor(math.log10(high))
    steps = (1, 2, 5) if last - first < about / 2 else (1,)
    every = max(1, math.ceil((last - first) / (1.6 * about)))
    found = [m * 10.0**e for e in range(first, last + 1) if e % every == 0 for m in steps]
    found = [tick for tick in found if low <= tick <= high]
    return found if len(found) >= 3 else linear_ticks(low, high, about)


def tick_labels(ticks: Sequence[float], write: Format, digits: Digits | None = None) -> list[str]:
    """The ticks as text: with `digits`, all to the fewest with which each says what it is; else as `write` has them."""
    if digits is None:
        return [_trimmed(write(tick)) for tick in ticks]
    exact = [_trimmed(digits(tick, 9)) for tick in ticks]
    for count in range(1, 9):
        labels = [_trimmed(digits(tick, count)) for tick in ticks]
        if labels == exact:
            return labels
    return exact


def _trimmed(text: str) -> str:
    """A tick without the zeros that carry nothing: $0.00400 -> $0.004, 8.00 -> 8; in French 10,0 Md -> 10 Md, but three
    digits behind a comma are thousands."""
    text = re.sub(r"\.(\d*?)0+(?!\d)", lambda m: f".{m[1]}" if m[1] else "", text)
    return re.sub(r",(?:00?|(\d)0)(?!\d)", lambda m: f",{m[1]}" if m[1] else "", text)
