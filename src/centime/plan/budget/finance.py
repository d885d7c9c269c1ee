"""Money over time: net present value, internal rate of return, payback, depreciation, rent against own.

Cash flows are yearly, `flows[0]` today and undiscounted, as in numpy-financial: NPV = sum of C_t / (1 + r)^t.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

HOURS_PER_YEAR = 8766.0  # 365.25 days
LOWEST, HIGHEST = 1e-4, 1e6  # of 1 + rate: where a rate is looked for


def npv(rate: float, flows: Sequence[float]) -> float:
    """Net present value at a yearly `rate` above -1."""
    return sum(flow / (1 + rate) ** year for year, flow in enumerate(flows))


def irr(flows: Sequence[float]) -> float | None:
    """The yearly rate above -1 at which the NPV is zero; None where there is none, or more than one.

    Flows that change sign several times can have several (-100, 230, -132 has 10 % and 20 %), and then none of them is
    the answer: judge such flows by their NPV. Rates that differ by less than 1 % count as one.
    """
    signs = [flow > 0 for flow in flows if flow]
    changes = sum(a != b for a, b in itertools.pairwise(signs))
    if not changes:
        return None
    low, high = (LOWEST, HIGHEST) if changes == 1 else _bracket(flows)  # one change, one rate (Descartes)
    falling = npv(low - 1, flows) > 0
    if falling == (npv(high - 1, flows) > 0):
        return None
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if (npv(middle - 1, flows) > 0) == falling else (low, middle)
    return (low + high) / 2 - 1


def _bracket(flows: Sequence[float]) -> tuple[float, float]:
    """Where 1 + rate lies between if the NPV is zero at one rate alone; else two equal numbers."""
    import numpy as np

    factors = np.geomspace(LOWEST, HIGHEST, 2001)  # 1.2 % apart
    with np.errstate(over="ignore"):
        positive = np.sum([flow * factors ** -float(year) for year, flow in enumerate(flows)], axis=0) > 0
    (at,) = np.nonzero(positive[1:] != positive[:-1])
    return (float(factors[at[0]]), float(factors[at[0] + 1])) if len(at) == 1 else (1.0, 1.0)


def payback(flows: Sequence[float]) -> float | None:
    """Years until the undiscounted sum is no longer negative, linear within a year; None if it stays negative."""
    total = 0.0
    for year, flow in enumerate(flows):
        if total < 0 <= total + flow:
            return year - 1 + -total / flow
        total += flow
    return 0.0 if flows and flows[0] >= 0 else None


def annuity(rate: float, years: float) -> float:
    """The constant yearly payment, at the end of each year, worth 1 today: r / (1 - (1 + r)^-n), or 1/n at r = 0."""
    return 1 / years if abs(rate) < 1e-12 else rate / -math.expm1(-years * math.log1p(rate))


def straight_line(cost: float, life: float, years: int, salvage: float = 0.0) -> list[float]:
    """Book value at the start and after each of `years` years, down to `salvage` at the end of the life."""
    return [cost - (cost - salvage) * min(1.0, year / life) for year in range(years + 1)]


def economic_value(cost: float, falls_per_year: float, rate: float, life: float, years: int) -> list[float]:
    """What the asset is worth as the rents it can still earn fall: at the start and after each of `years` years.

    Rents fall by `falls_per_year`; their value over the rest of a life of `life` years, discounted, is scaled so that
    it equals the cost at the start. Older, the asset earns less and for a shorter time.
    """
    return [worth_at(cost, falls_per_year, rate, life, year) for year in range(years + 1)]


def worth_at(cost: float, falls_per_year: float, rate: float, life: float, age: float) -> float:
    """The `economic_value` at an age in years."""
    keep = (1 - falls_per_year) / (1 + rate)

    def remaining(year: float) -> float:
        left = max(0.0, life - year)
        if left == 0:
            return 0.0
        decay = -math.log(keep) if keep > 0 else math.inf
        worth = left if decay == 0 else (0.0 if math.isinf(decay) else -math.expm1(-decay * left) / decay)
        return float((1 - falls_per_year) ** year) * worth

    whole = remaining(0)
    return cost * remaining(age) / whole if whole else 0.0


def in_use(year: int, ramp: float, life: float) -> float:
    """The share of a fleet that is in use on average in a year (1 is the first), where it comes into use evenly over
    `ramp` years and each part lives `life` years."""

    def come(until: float) -> float:  # the integral of the share that has come
        until = max(0.0, until)
        return until * until / (2 * ramp) if until < ramp else until - ramp / 2

    return come(year) - come(year - 1) - (come(year - life) - come(year - 1 - life))


def arrivals(ramp: float) -> list[tuple[float, float]]:
    """The share that comes in each year of a ramp, and when its mean part does, in years from the start."""
    if ramp <= 0:
        return [(1.0, 0.0)]
    ends = [(float(year), min(year + 1.0, ramp)) for year in range(math.ceil(ramp))]
    return [((high - low) / ramp, (low + high) / 2) for low, high in ends]


def taxes(profits: Sequence[float], rate: float) -> list[float]:
    """The tax on each year's profit; a loss is carried forward, and set against the profits to come."""
    found, carried = [], 0.0
    for profit in profits:
        carried = min(0.0, carried) + profit
        found.append(rate * max(0.0, carried))
    return found


@dataclass(frozen=True)
class Ownership:
    """One GPU, owned: USD a year, and what an hour of it costs at a utilisation."""

    capex_it: float  # what wears out with the chip, USD
    capex_building: float
    life_it: float  # years
    life_building: float
    kw: float  # facility power
    usd_per_kwh: float
    upkeep: float  # share of capex a year
    rate: float  # discount rate

    @property
    def per_year(self) -> float:
        """Annuity of both parts, power around the clock, upkeep."""
        capital = self.capex_it * annuity(self.rate, self.life_it)
        capital += self.capex_building * annuity(self.rate, self.life_building)
        return capital + self.running_per_year

    @property
    def running_per_year(self) -> float:
        """Power and upkeep."""
        power = self.kw * HOURS_PER_YEAR * self.usd_per_kwh
        return power + (self.capex_it + self.capex_building) * self.upkeep

    def per_hour(self, utilisation: float = 1.0) -> float:
        """Cost of a GPU-hour that is used."""
        return self.per_year / (HOURS_PER_YEAR * utilisation)


def break_even_utilisation(own: Ownership, rent_per_hour: float) -> float:
    """Share of hours from which on owning is cheaper than renting those hours; above 1: never."""
    return own.per_year / (rent_per_hour * HOURS_PER_YEAR)


def break_even_months(own: Ownership, rent_per_hour: float, utilisation: float, falls_per_year: float) -> float | None:
    """Months until the rent that was saved has paid for the GPU (undiscounted); None if never within ten years."""
    paid = own.capex_it + own.capex_building
    saved = 0.0
    for month in range(120):
        rent = rent_per_hour * float((1 - falls_per_year) ** (month / 12)) * HOURS_PER_YEAR / 12 * utilisation
        gain = rent - own.running_per_year / 12
        if gain > 0 and saved + gain >= paid:
            return month + (paid - saved) / gain
        saved += gain
    return None
