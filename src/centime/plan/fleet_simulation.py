"""A fleet through the months, for all draws at once: demand, need, orders, arrivals, failures, power and money.

Arrays are [draws, months]; generations are [draws, generations]. Needs are counted in first-generation GPUs ("units of
the first generation") until the fleet that meets them is known, then in GPUs as bought. No draw knows its own future:
orders follow the present need and the growth of the median path over the lead time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from centime.plan.demand import DAYS_PER_MONTH, SECONDS_PER_DAY, DayShape, growth, interpolate
from centime.plan.scenario import Scenario

HOURS_PER_MONTH = DAYS_PER_MONTH * 24
Draw = Callable[[str], Any]  # the draws [draws] of the scenario's number at a path


@dataclass(frozen=True)
class Hardware:
    """One generation as the simulation needs it; arrays are [draws]."""

    chip: str
    first: int  # month of the first order, may be negative
    spans: tuple[tuple[int, int], ...]  # (first, last) months of orders
    speed: Any  # tokens/s per GPU over the first generation's
    gpu_hour: Any  # at the scenario's start (or when it arrives, if later)
    capex: Any  # all-in, per GPU, likewise
    kw: Any  # facility power per GPU
    memory_gb: float

    def open(self, month: int) -> bool:
        """Whether it can be ordered in that month."""
        return any(first <= month <= last for first, last in self.spans)


@dataclass(frozen=True)
class Simulation:
    """What came out, each [draws, months]."""

    tokens_per_day: Any
    output_per_day: Any
    needed: Any  # GPUs in the busiest hour, spares included
    serving: Any  # GPUs that serve, mean over a day
    owned: Any  # GPUs in service (rented or owned)
    ordered: Any
    shortfall: Any  # GPUs short in the busiest hour
    unserved: Any  # share of tokens
    training_hours: Any  # GPU-hours a month that the night leaves to training
    megawatts: Any
    cost: Any  # currency a month: rent, or power and upkeep
    capex: Any  # currency a month
    price_index: Any  # cost of a token over the first month's
    efficiency: Any  # tokens per GPU of the best generation over the first month's


def load_in_gpus(scenario: Scenario, draw: Draw) -> Any:
    """GPUs of the first generation that a flat load of the first month keeps busy at their rated speed [draws]."""
    hit = scenario.demand.cache_hit_share
    misses = (1 - draw("demand.cache_hit_share")) / max(1e-9, 1 - hit.mid)
    prefill = (
        draw("demand.input_tokens_per_day") / SECONDS_PER_DAY / draw("serving.input_tokens_per_s_per_gpu") * misses
    )
    decode = draw("demand.output_tokens_per_day") / SECONDS_PER_DAY / draw("serving.output_tokens_per_s_per_gpu")
    return (prefill + decode) / draw("serving.utilisation_limit")


def demand_path(scenario: Scenario, draw: Draw, months: int) -> Any:
    """Demand over the first month's at the price path's median, or at constant price [draws, months]."""
    import numpy as np

    grown = growth(months, draw("demand.growth_per_year"), draw("demand.growth_fades_per_year"))
    points = [(float(scenario.index(p.month)), p.tokens_per_day.mid) for p in scenario.demand.observed]
    if not points:
        return grown
    first = interpolate(points, 0.0)
    known = np.array([interpolate(points, float(month)) / first for month in range(months)])
    beyond = np.maximum(0, np.arange(months) - max(0, int(points[-1][0])))
    return known * grown[:, beyond]


def speed_paths(scenario: Scenario, hardware: list[Hardware], draw: Draw, months: int) -> tuple[Any, Any]:
    """(software gain [draws, months], price index of a GPU-hour [draws, months]), both 1 in the first month."""
    import numpy as np

    years = np.arange(months) / 12.0
    software = draw("efficiency.software_per_year")[:, None] ** years
    falls = (1 - draw("money.price_falls_per_year"))[:, None] ** years
    return software, falls


def hour_prices(hardware: list[Hardware], falls: Any) -> Any:
    """Price of a GPU-hour [generations, draws, months]: each falls from its arrival, the first from month 0."""
    import numpy as np

    months = falls.shape[1]
    return np.stack(
        [g.gpu_hour[:, None] * falls[:, np.maximum(0, np.arange(months) - max(0, g.first))] for g in hardware]
    )


def token_cost_index(hardware: list[Hardware], prices: Any, software: Any) -> Any:
    """Cost of a token on the cheapest generation that can be had, over the first month's [draws, months]."""
    import numpy as np

    months = software.shape[1]
    cost = np.stack([p / g.speed[:, None] for g, p in zip(hardware, prices, strict=True)])
    for index, g in enumerate(hardware):
        cost[index, :, : max(0, min(g.first, months))] = np.inf
    cheapest = np.minimum.accumulate(cost.min(axis=0), axis=1) / software
    return cheapest / cheapest[:, :1]


def _departure(scenario: Scenario, index: Any, mid_index: Any) -> Any:
    """Cost of a token over that of the median path, from the last published demand on; 1 before it [draws, months]."""
    known = max([0, *(scenario.index(point.month) for point in scenario.demand.observed)])
    if known >= index.shape[1]:
        return index / index
    relative = index / mid_index / (index[:, known] / mid_index[:, known])[:, None]
    relative[:, :known] = 1.0
    return relative


def simulate(
    scenario: Scenario, hardware: list[Hardware], draw: Draw, middle: Draw, middle_hardware: list[Hardware]
) -> Simulation:
    """Runs the months. `draw` gives [draws] values, `middle` the same numbers at their medians, as [1] arrays."""
    import numpy as np

    months = scenario.months
    lead = np.rint(draw("supply.lead_time_months")).astype(int)
    horizon = months + int(lead.max()) + 1
    shape = DayShape(tuple(scenario.demand.hourly), scenario.serving.headroom.mid)

    software, falls = speed_paths(scenario, hardware, draw, months)
    prices = hour_prices(hardware, falls)
    index = token_cost_index(hardware, prices, software)
    mid_software, mid_falls = speed_paths(scenario, middle_hardware, middle, horizon)
    mid_index = token_cost_index(middle_hardware, hour_prices(middle_hardware, mid_falls), mid_software)

    answer = -draw("elasticity.price_elasticity")[:, None] * draw("elasticity.pass_through")[:, None]
    mid_answer = -middle("elasticity.price_elasticity") * middle("elasticity.pass_through")
    already = scenario.demand.growth_kind == "observed"
    relative = _departure(scenario, index, mid_index[:, :months]) if already else index
    demand = demand_path(scenario, draw, months) * relative**answer
    mid_demand = demand_path(scenario, middle, horizon)[0] * (1.0 if already else mid_index[0] ** mid_answer)

    # GPUs of the first generation, busiest hour, without spares
    rate = shape.peak_nodes(1.0, scenario.serving.rates_at)
    base = load_in_gpus(scenario, draw)[:, None] * demand * rate
    mid_need = mid_demand / mid_software[0]
    out = draw("failures.failures_per_gpu_year") * draw("failures.repair_days") / 365.0  # share that is being repaired
    spare = _spares(base / software, out[:, None])
    need = base / software + spare

    state = _Fleet(scenario, hardware, draw, lead, months)
    start = draw("start_gpus") if scenario.start_gpus is not None else _whole(need[:, 0], scenario)
    state.begin(start, need[:, 0], mid_need)
    rows: dict[str, list[Any]] = {k: [] for k in ("owned", "ordered", "equivalents", "kw", "rent", "capex", "upkeep")}
    for month in range(months):
        ratio = mid_need[month + lead] / mid_need[month]
        ordered = state.step(month, need[:, month], need[:, month] * ratio)
        rows["owned"].append(state.count.sum(axis=1))
        rows["ordered"].append(ordered)
        rows["equivalents"].append((state.count * state.speed).sum(axis=1))
        rows["kw"].append((state.count * state.kw).sum(axis=1))
        rows["rent"].append((state.count * prices[:, :, month].T).sum(axis=1))
        rows["capex"].append(state.paid(month, falls))
        rows["upkeep"].append((state.count * state.capex).sum(axis=1))
    table = {key: np.stack(values, axis=1) for key, values in rows.items()}
    return _summary(scenario, shape, draw, table, base / software, need, spare, demand, index, software, hardware)


def _summary(
    scenario: Scenario, shape: DayShape, draw: Draw, table: Mapping[str, Any], load: Any, need: Any, spare: Any,
    demand: Any, index: Any, software: Any, hardware: list[Hardware],
) -> Simulation:  # fmt: skip
    """From the fleet's months to GPUs as bought, power and money."""
    import numpy as np

    owned, equivalents = table["owned"], np.maximum(table["equivalents"], 1e-9)
    speed = np.where(owned > 0, equivalents / np.maximum(owned, 1e-9), 1.0)  # of the fleet's average GPU
    needed = _whole(need / speed, scenario)
    working = np.maximum(equivalents - spare, 0.0)
    unserved = shape.unserved(working / np.maximum(load, 1e-9) * shape.peak)
    busy = np.minimum(load / speed, owned) * shape.occupancy
    paid = (busy + spare / speed) if scenario.serving.night_reuse else owned
    free = (
        np.maximum(owned - spare / speed - busy, 0.0) * HOURS_PER_MONTH if scenario.serving.night_reuse else 0 * owned
    )
    facility = table["kw"]
    power = facility * HOURS_PER_MONTH * draw("power.usd_per_kwh")[:, None]
    if scenario.money.mode == "rent":
        cost, capex = table["rent"] / np.maximum(owned, 1e-9) * paid * HOURS_PER_MONTH, 0 * owned
    else:
        cost = power + table["upkeep"] * draw("money.upkeep_per_year")[:, None] / 12
        capex = table["capex"]
    best = np.stack([np.where(np.arange(scenario.months) >= g.first, g.speed[:, None], 0.0) for g in hardware]).max(
        axis=0
    )
    per_day = draw("demand.input_tokens_per_day") + draw("demand.output_tokens_per_day")
    return Simulation(
        tokens_per_day=per_day[:, None] * demand,
        output_per_day=draw("demand.output_tokens_per_day")[:, None] * demand,
        needed=needed,
        serving=busy,
        owned=owned,
        ordered=table["ordered"],
        shortfall=np.maximum(need / speed - owned, 0.0),
        unserved=unserved,
        training_hours=free,
        megawatts=facility / 1000,
        cost=cost,
        capex=capex,
        price_index=index,
        efficiency=software * best,
    )


def _spares(working: Any, out: Any) -> Any:
    """GPUs beyond the working ones so that with 99 % probability enough work: the mean number in repair of a Poisson
    process, and 2.33 standard deviations."""
    import numpy as np

    mean = working * out / np.maximum(1e-9, 1 - out)
    return mean + 2.33 * np.sqrt(mean)


def _whole(gpus: Any, scenario: Scenario) -> Any:
    """Up to whole nodes."""
    import numpy as np

    node = scenario.serving.gpus_per_node
    return np.ceil(gpus / node - 1e-9) * node


class _Fleet:
    """GPUs in service by generation [draws, generations], and those on order."""

    def __init__(self, scenario: Scenario, hardware: list[Hardware], draw: Draw, lead: Any, months: int) -> None:
        import numpy as np

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
        import numpy as np

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
        import numpy as np

        if month > 0:
            self.count = self.count * self.survives[:, None] + self.coming[:, :, month]
        if month >= self.life:
            gone = self.coming[:, :, month - self.life] * (self.survives**self.life)[:, None]
            self.count = np.maximum(self.count - gone, 0.0)
        if self.scenario.money.mode == "rent":  # what is needed neither now nor after the lead time is given back
            gpus = np.maximum(self.count.sum(axis=1), 1e-9)
            speed = np.maximum((self.count * self.speed).sum(axis=1) / gpus, 1e-9)
            kept = _whole(np.maximum(need, expected) / speed, self.scenario)
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
        import numpy as np

        total = np.zeros(self.draws)
        for index, g in enumerate(self.hardware):
            age = max(0, month - max(0, g.first))
            total += self.coming[:, index, month] * g.capex * falls[:, age]
        return total

    def _retiring(self, month: int) -> Any:
        """Units of the first generation that retire within the lead time."""
        import numpy as np

        if month + int(self.lead.max()) < self.life:
            return np.zeros(self.draws)
        ages = np.arange(self.coming.shape[2])[None, :] + self.life
        soon = (ages > month) & (ages <= (month + self.lead)[:, None])
        gone = (self.coming * soon[:, None, :]).sum(axis=2) * (self.survives**self.life)[:, None]
        return (gone * self.speed).sum(axis=1)

    def _best(self, month: int) -> int | None:
        """The generation that serves cheapest among those that can be ordered, by median price and speed."""
        import numpy as np

        open_ = [i for i, g in enumerate(self.hardware) if g.open(month)]
        return min(
            open_, key=lambda i: np.median(self.hardware[i].gpu_hour) / np.median(self.hardware[i].speed), default=None
        )

    def _limit(self, month: int, which: int) -> Any:
        import numpy as np

        grown = self.cap_growth ** (month / 12)
        return np.minimum(self.cap, self.memory / max(self.hardware[which].memory_gb, 1e-9)) * grown


def _draw_or(scenario: Scenario, draw: Draw, path: str, value: float, draws: int) -> Any:
    import numpy as np

    return draw(path) if scenario.number(path) is not None else np.full(draws, value)
