"""The GPUs in service and on order, a month at a time: arrivals, losses, retirements, what is given back, orders."""

from __future__ import annotations

from typing import Any

import numpy as np

from centime.plan.fleet.paths import Draw, Hardware, whole_nodes
from centime.plan.fleet.scenario import FleetScenario


class Fleet:
    """GPUs in service by generation [draws, generations], and those on order."""

    def __init__(self, scenario: FleetScenario, hardware: list[Hardware], draw: Draw, lead: Any, months: int) -> None:
        self.scenario, self.hardware, self.lead, self.months = scenario, hardware, lead, months
        self.draws, self.all = len(lead), np.arange(len(lead))
        self.speed = np.stack([g.speed for g in hardware], axis=1)
        self.kw = np.stack([g.kw for g in hardware], axis=1)
        self.capex = np.stack([g.capex for g in hardware], axis=1)
        self.count = np.zeros((self.draws, len(hardware)))
        self.coming = np.zeros((self.draws, len(hardware), months + int(lead.max()) + 1))
        self.survives = (1 - draw("failures.scrapped_per_year")) ** (1 / 12)
        self.cap = _draw_or(scenario, draw, "supply.gpus_per_month", np.inf, self.draws)
        self.memory = _draw_or(scenario, draw, "supply.memory_gb_per_month", np.inf, self.draws)
        self.cap_growth = draw("supply.growth_per_year")
        self.life = round(scenario.money.life_years * 12) if scenario.money.mode == "own" else months + 1

    def begin(self, start: Any, need: Any, mid_need: Any) -> None:
        """The fleet of the start, and the orders before it, placed for the median growth and within the caps."""
        self.count[:, 0] = start
        self.coming[:, 0, 0] = start  # so that it retires; step() does not add month 0 again
        have = start.astype(float)
        for month in range(1, int(self.lead.max())):
            wanted = np.where(month < self.lead, need * mid_need[month] / mid_need[0] - have, 0.0)
            which = self._best(0)
            if which is None:
                return
            units = np.minimum(np.maximum(wanted, 0.0) / self.speed[:, which], self._limit(0, which))
            if month < self.coming.shape[2]:
                self.coming[:, which, month] += units
            have = have + units * self.speed[:, which]

    def step(self, month: int, need: Any, expected: Any) -> Any:
        """One month: arrivals, retirements, losses, then orders for `expected` at arrival. Returns GPUs ordered."""
        if month > 0:
            self.count = self.count * self.survives[:, None] + self.coming[:, :, month]
        if month >= self.life:
            gone = self.coming[:, :, month - self.life] * (self.survives**self.life)[:, None]
            self.count = np.maximum(self.count - gone, 0.0)
        if self.scenario.money.mode == "rent":  # what is needed neither now nor after the lead time is given back
            gpus = np.maximum(self.count.sum(axis=1), 1e-9)
            speed = np.maximum((self.count * self.speed).sum(axis=1) / gpus, 1e-9)
            kept = whole_nodes(np.maximum(need, expected) / speed, self.scenario)
            self.count = self.count * np.minimum(1.0, kept / gpus)[:, None]
        which = self._best(month)
        ordered = np.zeros(self.draws)
        if which is not None:
            after = np.arange(self.coming.shape[2])[None, :]
            on_order = (self.coming * ((after > month) & (after <= (month + self.lead)[:, None]))[:, None, :]).sum(
                axis=2
            )
            position = ((self.count * (self.survives**self.lead)[:, None] + on_order) * self.speed).sum(axis=1)
            position -= self._retiring(month)
            wanted = np.maximum(expected - position, 0.0) / self.speed[:, which]
            node = self.scenario.serving.gpus_per_node
            ordered = np.minimum(np.ceil(wanted / node - 1e-9) * node, self._limit(month, which))
            arrives = month + self.lead
            self.coming[self.all, which, arrives] += ordered
            now = self.lead == 0
            if month > 0 or now.any():
                self.count[now, which] += ordered[now]
        return ordered

    def paid(self, month: int, falls: Any) -> Any:
        """Capex of what arrives this month [draws]; the fleet of the start is paid in the first month."""
        total = np.zeros(self.draws)
        for index, g in enumerate(self.hardware):
            age = max(0, month - max(0, g.first))
            total += self.coming[:, index, month] * g.capex * falls[:, age]
        return total

    def _retiring(self, month: int) -> Any:
        """Units of the first generation that retire within the lead time."""
        if month + int(self.lead.max()) < self.life:
            return np.zeros(self.draws)
        ages = np.arange(self.coming.shape[2])[None, :] + self.life
        soon = (ages > month) & (ages <= (month + self.lead)[:, None])
        gone = (self.coming * soon[:, None, :]).sum(axis=2) * (self.survives**self.life)[:, None]
        return (gone * self.speed).sum(axis=1)

    def _best(self, month: int) -> int | None:
        """The generation that serves cheapest among those that can be ordered, by median price and speed."""
        open_ = [i for i, g in enumerate(self.hardware) if g.open(month)]
        return min(
            open_, key=lambda i: np.median(self.hardware[i].gpu_hour) / np.median(self.hardware[i].speed), default=None
        )

    def _limit(self, month: int, which: int) -> Any:
        grown = self.cap_growth ** (month / 12)
        return np.minimum(self.cap, self.memory / max(self.hardware[which].memory_gb, 1e-9)) * grown


def _draw_or(scenario: FleetScenario, draw: Draw, path: str, value: float, draws: int) -> Any:
    return draw(path) if scenario.number(path) is not None else np.full(draws, value)
