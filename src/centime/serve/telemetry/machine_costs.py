"""What machines cost and what came of them, for Prometheus: counters of ours, and gauges under OpenCost's names.

OpenCost has told the costs of models under Kubernetes as llm_* since its 1.121 (2026-07): this tells the same without
Kubernetes, so that its dashboards and alerts work on either. Its cost basis `allocation` is the whole hour, idle time
with it, and adds up to the invoice; `usage` is the part in which requests ran.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from centime.catalogue.prices import Price
from centime.ledger.energy import NO_ENERGY, EnergyUse, Footprint
from centime.ledger.energy.use import ESTIMATED, KWH_UJ, MEASURED

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW_NS = 300 * 10**9  # over which the gauges are taken
UNKNOWN = "unknown"  # what OpenCost writes for a version and a type of workload that nobody told it


@dataclass(frozen=True)
class MachineTotals:
    """One machine since the server's start. name: as on the bill; model: what it answers with, by that name.

    price, devices: of an hour of one device, and how many; the two times and the tokens as running totals.
    """

    name: str
    model: str
    price: Price | None
    devices: int
    busy_ns: int
    idle_ns: int
    prompt_tokens: int
    hit_tokens: int
    output_tokens: int
    busy_energy: EnergyUse = NO_ENERGY
    idle_energy: EnergyUse = NO_ENERGY

    @property
    def per_hour(self) -> float:
        """What an hour of the whole machine costs; 0 without a price."""
        return 0.0 if self.price is None else self.price.per_device_hour * self.devices

    def since(self, before: MachineTotals) -> MachineTotals:
        """What came between."""
        names = ("busy_ns", "idle_ns", "prompt_tokens", "hit_tokens", "output_tokens")
        return replace(self, **{name: getattr(self, name) - getattr(before, name) for name in names})


class MachineCosts:
    """Remembers the totals of the last minutes, as pages asked for them. now: nanoseconds that only grow."""

    def __init__(self, now: Callable[[], int] = time.monotonic_ns) -> None:
        self._now = now
        self._past: dict[str, deque[tuple[int, MachineTotals]]] = {}

    def metrics(self, machines: Iterable[MachineTotals]) -> Iterator[Metric]:
        """Of each machine: since the start, and over the last five minutes, or as long as pages were asked for."""
        known = list(machines)
        self._past = {one.name: self._past.get(one.name, deque()) for one in known}
        yield from _totals(known)
        yield from _gauges([(one, self._lately(one)) for one in known])

    def _lately(self, one: MachineTotals) -> MachineTotals:
        past, now = self._past[one.name], self._now()
        if past and past[-1][1].busy_ns + past[-1][1].idle_ns > one.busy_ns + one.idle_ns:
            past.clear()  # another machine has the name now
        while len(past) > 1 and past[1][0] <= now - WINDOW_NS:
            past.popleft()
        before = past[0][1] if past else one.since(one)
        past.append((now, one))
        return one.since(before)


def _totals(machines: Sequence[MachineTotals]) -> Iterator[Metric]:
    hour = GaugeMetricFamily(
        "centime_machine_hour_price", "What an hour of the whole machine costs.", labels=["server", "currency"]
    )
    busy = CounterMetricFamily("centime_machine_busy_seconds", "Seconds with requests.", labels=["server"])
    idle = CounterMetricFamily("centime_machine_idle_seconds", "Seconds without any.", labels=["server"])
    tokens = CounterMetricFamily("centime_machine_tokens", "Tokens of answers that ended.", labels=["server", "kind"])
    for one in machines:
        if one.price is not None:
            hour.add_metric([one.name, one.price.currency], one.per_hour)
        busy.add_metric([one.name], one.busy_ns / 1e9)
        idle.add_metric([one.name], one.idle_ns / 1e9)
        tokens.add_metric([one.name, "hit"], one.hit_tokens)
        tokens.add_metric([one.name, "miss"], one.prompt_tokens - one.hit_tokens)
        tokens.add_metric([one.name, "output"], one.output_tokens)
    yield from (hour, busy, idle, tokens)
    yield from _energy(machines)


def _energy(machines: Sequence[MachineTotals]) -> Iterator[Metric]:
    """Joules by how they are known, and the grams of CO2 equivalent that they come to on the grid that is stated."""
    joules = CounterMetricFamily(
        "centime_machine_energy_joules", "Energy of the devices, measured or estimated (power at full load).",
        labels=["server", "use", "source"],
    )  # fmt: skip
    grams = CounterMetricFamily(
        "centime_machine_carbon_grams", "CO2 equivalent of that energy, by the grid that is stated.",
        labels=["server", "use", "source"],
    )  # fmt: skip
    footprint = Footprint.chosen()
    for one in machines:
        for use, energy in (("requests", one.busy_energy), ("idle", one.idle_energy)):
            for source, microjoules in ((MEASURED, energy.measured_uj), (ESTIMATED, energy.estimated_uj)):
                if microjoules:
                    joules.add_metric([one.name, use, source], microjoules / 1e6)
                    if (mass := footprint.grams(microjoules / KWH_UJ)) is not None:
                        grams.add_metric([one.name, use, source], mass)
    yield joules
    if footprint.grid is not None:
        intensity = GaugeMetricFamily(
            "centime_grid_intensity_grams_per_kwh", "What the carbon is counted by.", labels=["grid", "date", "source"]
        )
        intensity.add_metric([footprint.grid.name, footprint.grid.date, footprint.grid.source],
                             footprint.grid.grams_per_kwh)  # fmt: skip
        yield from (grams, intensity)


def _gauges(machines: Iterable[tuple[MachineTotals, MachineTotals]]) -> Iterator[Metric]:
    """OpenCost's. machines: (since the start, lately)."""
    labels = ["model_name", "model_version", "namespace"]
    hourly = GaugeMetricFamily(
        "llm_total_hourly_cost", "Cost an hour, by cost basis (OpenCost's name).",
        labels=[*labels, "cost_basis", "workload_type", "currency"],
    )  # fmt: skip
    million = GaugeMetricFamily(
        "llm_cost_per_million_tokens", "Cost of a million tokens, prompt and answer (OpenCost's name).",
        labels=[*labels, "cost_basis", "phase", "allocation_method", "workload_type", "currency"],
    )  # fmt: skip
    saved = GaugeMetricFamily(
        "llm_cache_savings_fraction", "Share of prompt tokens found in the prefix cache (OpenCost's name).",
        labels=[*labels, "workload_type"],
    )  # fmt: skip
    for one, lately in machines:
        who = [one.model, UNKNOWN, one.name]
        passed, tokens = lately.busy_ns + lately.idle_ns, lately.prompt_tokens + lately.output_tokens
        if lately.prompt_tokens:
            saved.add_metric([*who, UNKNOWN], lately.hit_tokens / lately.prompt_tokens)
        if one.price is None or not passed:
            continue
        for basis, counted in (("allocation", passed), ("usage", lately.busy_ns)):
            hourly.add_metric([*who, basis, UNKNOWN, one.price.currency], one.per_hour * counted / passed)
            if tokens:
                cost = one.per_hour * counted / 3.6e12
                million.add_metric([*who, basis, "", "", UNKNOWN, one.price.currency], cost / tokens * 1e6)
    yield from (hourly, million, saved)
