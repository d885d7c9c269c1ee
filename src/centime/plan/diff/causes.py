"""What a difference is made of: quantities before and after, and causes whose changes of each add up to the whole."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from centime.messages import said
from centime.plan.explain.shapley import shapley

NEGLIGIBLE = 1e-12
TOGETHER = said("Some mixtures of A and B cannot be planned, so that the causes are not told apart.")
MOST_EXACT = 6  # causes whose every subset is planned: 64 plans


class Quantity(NamedTuple):
    """A figure of both plans: its name, its unit (a currency for money), before and after, and the 80 % interval of
    both where it has one."""

    name: str
    unit: str
    a: float
    b: float
    intervals: tuple[tuple[float, float], tuple[float, float]] | None = None

    @property
    def change(self) -> float | None:
        """b / a - 1; None where a is nothing."""
        return self.b / self.a - 1 if self.a else None


@dataclass(frozen=True)
class Change:
    """A cause: what it was and is, and by how much it changes each quantity that is split, by the quantity's name."""

    name: str
    before: str
    after: str
    by: Mapping[str, float]


@dataclass(frozen=True)
class Compared:
    """Two plans side by side. The first quantity is the cost that the limit is for."""

    quantities: Sequence[Quantity]
    causes: Sequence[Change]
    currency: str
    notes: Sequence[str] = ()


Values = Mapping[str, float]


def split(names: Sequence[str], values: Callable[[frozenset[str]], Values]) -> dict[str, dict[str, float]]:
    """Cause -> quantity -> its share of values(all) - values(none), by Shapley values.

    Of the logarithm where every value is above zero, shared in proportion (the logarithmic mean, as in
    `explain.plan`), so that the order of causes and which side is called A change nothing but the sign; else of the
    quantity itself.
    """
    if len(names) > MOST_EXACT:
        return _in_two_orders(names, values)
    found = {subset: values(subset) for subset in _subsets(names)}
    out: dict[str, dict[str, float]] = {name: {} for name in names}
    for key in found[frozenset()]:
        first, last = found[frozenset()][key], found[frozenset(names)][key]
        if all(value[key] > 0 for value in found.values()):
            unit = logarithmic_mean(first, last)
            shares = shapley(names, lambda subset, key=key: math.log(found[subset][key]))  # type: ignore[misc]
        else:
            unit = 1.0
            shares = shapley(names, lambda subset, key=key: found[subset][key])  # type: ignore[misc]
        for share in shares:
            out[share.cause][key] = unit * share.value
    return out


def _in_two_orders(names: Sequence[str], values: Callable[[frozenset[str]], Values]) -> dict[str, dict[str, float]]:
    """The shares as the mean over one order of the causes and its reverse, which still add up to the whole."""
    out: dict[str, dict[str, float]] = {name: {} for name in names}
    for order in (names, names[::-1]):
        before = values(frozenset())
        for index, name in enumerate(order, 1):
            after = values(frozenset(order[:index]))
            for key, value in after.items():
                out[name][key] = out[name].get(key, 0.0) + (value - before[key]) / 2
            before = after
    return out


def logarithmic_mean(a: float, b: float) -> float:
    """(b - a) / ln(b / a), what a unit of logarithm is worth between two amounts above zero (Ang 2004)."""
    whole = math.log(b / a)
    return (b - a) / whole if abs(whole) > NEGLIGIBLE else a


def _subsets(names: Sequence[str]) -> list[frozenset[str]]:
    return [frozenset(n for i, n in enumerate(names) if mask >> i & 1) for mask in range(1 << len(names))]
