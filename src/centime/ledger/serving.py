"""What was served, for the bill: tokens and money by key and price list, the machine's time told apart, the margin.

As on DeepSeek's Day 6 (open-infra-index, 2025-03-01): the cost is that of all the machine's time, idle and start-up
included; the price is what the list asks for the tokens served; the margin is (price - cost) / cost.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from centime.catalogue.tariffs import PICO
from centime.ledger.energy import NO_ENERGY, EnergyUse
from centime.ledger.energy.use import ENERGY_COLUMNS
from centime.ledger.interval import Interval
from centime.ledger.served import EngineHour, Served

HOUR_S = 3600


@dataclass
class ServedLine:
    """Sums of finished requests. Amounts in pico-units of `currency`, times in device-nanoseconds."""

    key: str
    tariff: str
    hours: str
    currency: str
    requests: int = 0
    prompt_tokens: int = 0
    hit_tokens: int = 0
    output_tokens: int = 0
    machine_ns: int = 0
    hit_pico: int = 0
    miss_pico: int = 0
    output_pico: int = 0
    measured_uj: int = 0
    estimated_uj: int = 0
    known_ns: int = 0

    def add(self, row: Served | ServedLine) -> None:
        """Sum a row in."""
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(row, name))

    @property
    def list_pico(self) -> int:
        """What the price list asks."""
        return self.hit_pico + self.miss_pico + self.output_pico

    @property
    def energy(self) -> EnergyUse:
        """Its share of the devices' joules."""
        return EnergyUse(self.measured_uj, self.estimated_uj, self.known_ns)

    @property
    def list_price(self) -> float | None:
        """What the list asks, in `currency`; None without a list, or where several currencies were summed."""
        return units(self.list_pico) if self.currency else None

    def as_json(self) -> dict[str, Any]:
        """The sums as JSON values (docs/bill.md names the keys)."""
        parts = (self.hit_pico, self.miss_pico, self.output_pico)
        return {
            "requests": self.requests,
            "prompt_tokens": self.prompt_tokens,
            "hit_tokens": self.hit_tokens,
            "output_tokens": self.output_tokens,
            "machine_ns": self.machine_ns,
            **self.energy.as_json(),
            "list_price": self.list_price,
            "list_price_parts": [units(pico) for pico in parts] if self.currency else None,
            "currency": self.currency or None,
        }


_SUMS = (
    "requests", "prompt_tokens", "hit_tokens", "output_tokens", "machine_ns", "hit_pico", "miss_pico", "output_pico",
    *ENERGY_COLUMNS,
)  # fmt: skip


@dataclass
class ServedHour:
    """One hour of serving: its finished requests, and how the engines divided it."""

    hour: int  # since the epoch, UTC
    line: ServedLine = field(default_factory=lambda: ServedLine("", "", "", ""))
    requests_ns: int = 0
    idle_ns: int = 0

    def as_json(self) -> dict[str, Any]:
        """The hour as JSON values."""
        return {
            "hour": stamp(self.hour),
            **self.line.as_json(),
            "requests_ns": self.requests_ns,
            "idle_ns": self.idle_ns,
        }


@dataclass
class ServingBill:
    """Everything served by some runs. device_ns is what the meter booked for the verb `serve`, and is the sum of
    `total.machine_ns`, `unfinished_ns`, `idle_ns` and `other_ns`, to the nanosecond. The engines' joules are split the
    same way: `requests_energy` and `idle_energy` are all that their counters told, to the microjoule."""

    lines: list[ServedLine]
    hours: list[ServedHour]
    total: ServedLine
    device_ns: int
    requests_ns: int  # given to requests, finished or not; no less than the finished ones had
    idle_ns: int
    cost: float | None  # of device_ns; None without a price, or in several currencies
    cost_currency: str | None
    requests_energy: EnergyUse = NO_ENERGY
    idle_energy: EnergyUse = NO_ENERGY

    @property
    def unfinished_energy(self) -> EnergyUse:
        """Of requests that are in no line."""
        return self.requests_energy - self.total.energy

    @property
    def unfinished_ns(self) -> int:
        """Given to requests that are in no line: they run now, or a kill cut them short."""
        return self.requests_ns - self.total.machine_ns

    @property
    def other_ns(self) -> int:
        """Outside the engine's clock: the process's start, loading the weights, its end."""
        return self.device_ns - self.requests_ns - self.idle_ns

    @property
    def margin(self) -> float | None:
        """(price - cost) / cost, as on Day 6; None where they cannot be compared."""
        price = self.total.list_price
        if not self.cost or price is None or self.cost_currency != self.total.currency:
            return None
        return (price - self.cost) / self.cost

    def share_of_cost(self, machine_ns: int) -> float | None:
        """What a part of the machine's time costs; None without a price."""
        return None if self.cost is None or not self.device_ns else self.cost * machine_ns / self.device_ns

    def as_json(self) -> dict[str, Any]:
        """The serving part of `centime bill --json`."""
        return {
            "lines": [
                {"key": line.key, "price_list": line.tariff or None, "hours": line.hours or None}
                | line.as_json()
                | {"machine_cost": self.share_of_cost(line.machine_ns)}
                for line in self.lines
            ],
            "total": self.total.as_json(),
            "device_ns": self.device_ns,
            "finished_ns": self.total.machine_ns,
            "unfinished_ns": self.unfinished_ns,
            "idle_ns": self.idle_ns,
            "other_ns": self.other_ns,
            "machine_cost": self.cost,
            "machine_currency": self.cost_currency,
            "machine_cost_of_requests": self.share_of_cost(self.total.machine_ns),
            "margin": self.margin,
            "energy": {
                name: energy.as_json()
                for name, energy in (
                    ("finished", self.total.energy),
                    ("unfinished", self.unfinished_energy),
                    ("idle", self.idle_energy),
                )
            },
            "hours": [hour.as_json() for hour in self.hours],
        }


def serving_bill(
    served: Iterable[Served], engines: Iterable[EngineHour], intervals: Sequence[Interval], run: str | None
) -> ServingBill | None:
    """The bill of what was served; None when nothing was and no server ran.

    intervals: those on the bill, of any verb; run: only rows of their runs, None for all rows.
    """
    requests_energy = idle_energy = NO_ENERGY
    own = [interval for interval in intervals if interval.verb == "serve"]
    runs = {(interval.run, interval.run_path or "") for interval in intervals}
    lines: dict[tuple[str, str, str, str], ServedLine] = {}
    hours: dict[int, ServedHour] = {}
    total = ServedLine("", "", "", "")
    for row in served:
        if run is None or (row.run, row.run_path) in runs:
            key = (row.key, row.tariff, row.hours, row.currency)
            hour = hours.setdefault(row.hour, ServedHour(row.hour))
            for line in (lines.setdefault(key, ServedLine(*key)), hour.line, total):
                line.add(row)
    for engine in engines:
        if run is None or (engine.run, engine.run_path) in runs:
            hour = hours.setdefault(engine.hour, ServedHour(engine.hour))
            hour.requests_ns += engine.requests_ns
            hour.idle_ns += engine.idle_ns
            requests_energy += engine.requests_energy
            idle_energy += engine.idle_energy
    if not own and not hours:
        return None
    currencies = {line.currency for line in lines.values() if line.tariff}
    total.currency = next(iter(currencies)) if len(currencies) == 1 else ""
    for hour in hours.values():
        hour.line.currency = total.currency
    cost, cost_currency = _cost(own)
    return ServingBill(
        [lines[key] for key in sorted(lines)],
        [hours[hour] for hour in sorted(hours)],
        total,
        sum(interval.device_ns for interval in own),
        max(total.machine_ns, sum(hour.requests_ns for hour in hours.values())),  # a report may be a second old
        sum(hour.idle_ns for hour in hours.values()),
        cost,
        cost_currency,
        requests_energy.at_least(total.energy),  # as of the time
        idle_energy,
    )


def _cost(intervals: Sequence[Interval]) -> tuple[float | None, str | None]:
    """What the intervals cost, where all of them have a price in one currency."""
    currencies = {interval.currency for interval in intervals}
    if len(currencies) != 1 or None in currencies:
        return None, None
    return sum(interval.cost or 0.0 for interval in intervals), next(iter(currencies))


def units(pico: int) -> float:
    """Pico-units as a number of the currency's unit, the nearest there is."""
    return float(Decimal(pico) / PICO)


def stamp(hour: int) -> str:
    """An hour since the epoch as '2026-11-26T01:00Z'."""
    return datetime.datetime.fromtimestamp(hour * HOUR_S, datetime.UTC).strftime("%Y-%m-%dT%H:00Z")
