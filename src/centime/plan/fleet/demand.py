"""Demand for tokens: through the months, through the hours of a day, and as the price of a token falls.

A day's profile has 24 factors of mean 1. The nodes that serve follow the load with a headroom and never exceed the
fleet, so that by day all of them serve and by night some are free for training:

    nodes(h) = N min(1, (1 + headroom) f(h) / f_max)

with N the nodes of the busiest hour. DeepSeek's own chart of one day (open-infra-index, day 6, "Cost And Theoretical
Income": tokens by hour at one price list) gives f; with a headroom of 0.2 it gives their mean over peak, 226.75 / 278.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from centime.errors import UserError

HOURS = 24
DAYS_PER_MONTH = 365.25 / 12
FLAT = (1.0,) * HOURS


@dataclass(frozen=True)
class DayShape:
    """How a day's load lies on its hours: `hourly` factors of any scale, and the nodes' headroom over the load."""

    hourly: tuple[float, ...] = FLAT
    headroom: float = 0.0

    def __post_init__(self) -> None:
        if len(self.hourly) != HOURS or min(self.hourly) < 0 or sum(self.hourly) <= 0:
            raise UserError(f"a daily profile has {HOURS} factors of at least 0, not all 0; found {len(self.hourly)}.")
        if self.headroom < 0:
            raise UserError(f"headroom is a share of at least 0; found {self.headroom}.")

    @property
    def factors(self) -> tuple[float, ...]:
        """The hourly factors, scaled to mean 1."""
        mean = sum(self.hourly) / HOURS
        return tuple(factor / mean for factor in self.hourly)

    @property
    def peak(self) -> float:
        """Load of the busiest hour over the mean hour's."""
        return max(self.factors)

    @property
    def serving(self) -> tuple[float, ...]:
        """Share of the fleet that serves in each hour, 0 to 1."""
        return tuple(min(1.0, (1 + self.headroom) * factor / self.peak) for factor in self.factors)

    @property
    def occupancy(self) -> float:
        """Mean of the serving shares: mean nodes over peak nodes."""
        return sum(self.serving) / HOURS

    def peak_nodes(self, mean_load_nodes: float, rates_at: str) -> float:
        """Nodes of the busiest hour, where the mean load fills `mean_load_nodes` nodes at their rated speed.

        rates_at: 'mean' when a rate is an average over serving node-hours (as operators publish it), 'peak' when it is
        what a node does at its limit (as a benchmark or a roofline says it).
        """
        return mean_load_nodes / self.occupancy if rates_at == "mean" else mean_load_nodes * self.peak

    def unserved(self, capacity: Any) -> Any:
        """Share of a day's tokens beyond a capacity that is given as a multiple of the mean load; any array shape."""
        capacity = np.asarray(capacity, dtype=float)
        over = np.maximum(0.0, np.asarray(self.factors) - capacity[..., None])
        return over.mean(axis=-1)


def growth(months: int, per_year: Any, fades_per_year: Any = 0.0) -> Any:
    """Demand over the first month's [..., months]: the yearly factor's logarithm shrinks by a share every year.

    ln D(t) = ln(g) (1 - (1 - s)^t) / -ln(1 - s) with t in years; s = 0 is plain exponential growth, g^t.
    """
    years = np.arange(months) / 12.0
    log_g = np.log(np.asarray(per_year, dtype=float))[..., None]
    keep = 1.0 - np.clip(np.asarray(fades_per_year, dtype=float), 0.0, 0.999)[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):
        effective = np.where(keep < 1.0, (1.0 - keep**years) / -np.log(keep), years)
    return np.exp(log_g * effective)


def interpolate(points: Sequence[tuple[float, float]], months: Any) -> Any:
    """The values at `months` on the log-linear path through (month, value) points; the last one's beyond them."""
    known, values = zip(*points, strict=True)
    return np.exp(np.interp(months, known, np.log(values)))


def rebound(efficiency: Any, elasticity: Any, pass_through: Any = 1.0) -> tuple[Any, Any]:
    """What an efficiency gain does to the number of GPUs: (GPUs with the gain over GPUs without it, rebound share).

    efficiency: tokens per GPU over those before. At a constant price of a GPU-hour the token's price falls by
    efficiency^-pass_through, demand answers with a constant elasticity, and the GPUs change by
    efficiency^(elasticity * pass_through - 1): cheaper tokens mean more GPUs when elasticity * pass_through > 1
    (Jevons). The rebound is the share of the technical saving that new demand eats: 0 without elasticity, 1 at the
    threshold, above 1 beyond it.
    """
    efficiency = np.asarray(efficiency, dtype=float)
    ratio = efficiency ** (np.asarray(elasticity) * np.asarray(pass_through) - 1.0)
    saving = 1.0 - 1.0 / efficiency
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(saving != 0, (ratio - 1.0 / efficiency) / saving, 0.0)
    return ratio, share
