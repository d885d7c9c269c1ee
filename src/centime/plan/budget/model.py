"""From a budget and its inputs to GPUs, power, training runs, tokens, cash flows: plain arithmetic, one draw at a time.

GPUs        = capex x AI share / (chip x (1 + rest of IT) + kW x building per kW)
run / year  = GPUs x train share x 8,766 h x availability x use / GPU-hours of a run
tokens / s  = GPUs x serve share x availability x load / seconds of GPU time per token, prompts included
NPV         = -capex + sum over years (tokens sold + training hours at rent - power - upkeep) / (1 + r)^t + rest value
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from centime.plan.budget.finance import (
    HOURS_PER_YEAR,
    Ownership,
    arrivals,
    in_use,
    irr,
    npv,
    payback,
    taxes,
    worth_at,
)
from centime.plan.budget.inputs import PROMPT_PER_OUTPUT, BudgetRequest

Values = Mapping[str, float]
MOST_LOAD = 1024.0  # times the load that is assumed, where no load makes the NPV zero


@dataclass(frozen=True)
class BudgetOutcome:
    """What one set of inputs comes to; money in USD."""

    gpus: float
    capex_chips: float
    capex_rest_of_it: float
    capex_building: float
    megawatts: float
    train_hours: float  # GPU-hours of training a year
    output_per_day: float  # tokens generated a day, first year
    input_per_day: float
    in_use: tuple[float, ...]  # share of the fleet, by year
    income: tuple[float, ...]  # of the split, after power and upkeep, by year
    tax: tuple[float, ...]  # by year
    flows: tuple[float, ...]  # of the split, yearly; the first is the capex, or what of it is spent first
    npv: float
    irr: float | None
    payback: float | None
    npv_rented_out: float  # the same fleet rented out at market rents, as much as rented fleets are
    break_even_load: float | None  # of serving GPUs, at which the split's NPV is zero
    own: Ownership
    serve_share: float

    @property
    def cost_per_m_output(self) -> float:
        """Owner's cost of a million tokens generated, with their prompts, in the first year."""
        return self.own.per_year * self.gpus * self.serve_share / (self.output_per_day * 365.25 / 1e6)


def seconds_per_output(values: Values) -> float:
    """GPU-seconds per token generated, the prompt tokens that come with it included, at full load."""
    return 1 / values["decode"] + PROMPT_PER_OUTPUT / values["prefill"]


def per_gpu(values: Values) -> tuple[float, float, float]:
    """(chip, rest of IT, building) in USD of one GPU."""
    return (
        values["chip_price"],
        values["chip_price"] * values["rest_of_it"],
        values["kw"] * values["building"],
    )


def outcome(request: BudgetRequest, values: Values) -> BudgetOutcome:
    """The budget at one set of inputs, by the names of budget_inputs.LABELS."""
    chip, rest, building = per_gpu(values)
    spent = request.capex * values["ai_share"]
    gpus = spent / (chip + rest + building)
    own = Ownership(
        capex_it=chip + rest,
        capex_building=building,
        life_it=values["life_it"],
        life_building=values["life_building"],
        kw=values["kw"],
        usd_per_kwh=values["usd_per_kwh"],
        upkeep=values["upkeep"],
        rate=request.discount,
    )
    hours = gpus * HOURS_PER_YEAR * values["availability"]
    train_hours = hours * request.train * values["train_use"]
    full = hours * request.serve * 3600 / seconds_per_output(values)  # tokens generated a year at full load
    sold = full * values["serve_use"]

    years = range(1, request.years + 1)
    alive = [in_use(year, request.ramp, values["life_it"]) for year in years]  # part of the fleet, and of a year
    token = [
        sold / 1e6 * values["token_revenue"] * (values["software"] * (1 - values["token_price_falls"])) ** (year - 1)
        for year in years
    ]
    rents = [values["rent"] * (1 - values["rent_falls"]) ** (year - 1) for year in years]
    costs = own.running_per_year * gpus
    serving = [t * a for t, a in zip(token, alive, strict=True)]
    training = [train_hours * r * a for r, a in zip(rents, alive, strict=True)]
    purse = _Purse(request, spent, gpus * (chip + rest), gpus * building, values)
    income = [s + t - costs * a for s, t, a in zip(serving, training, alive, strict=True)]
    flows, taxed = purse.flows(income)
    rented = [hours * values["rent_use"] * r * a - costs * a for r, a in zip(rents, alive, strict=True)]
    worth = npv(request.discount, flows)
    from_tokens = npv(request.discount, [0.0, *serving])
    needed = None
    if from_tokens > 0:
        needed = values["serve_use"] * (_load(purse, income, serving) if request.tax else 1 - worth / from_tokens)
    return BudgetOutcome(
        gpus=gpus,
        capex_chips=gpus * chip,
        capex_rest_of_it=gpus * rest,
        capex_building=gpus * building,
        megawatts=gpus * values["kw"] / 1000,
        train_hours=train_hours,
        output_per_day=sold / 365.25,
        input_per_day=sold / 365.25 * PROMPT_PER_OUTPUT,
        in_use=tuple(alive),
        income=tuple(income),
        tax=tuple(taxed),
        flows=tuple(flows),
        npv=worth,
        irr=irr(flows),
        payback=payback(flows),
        npv_rented_out=npv(request.discount, purse.flows(rented)[0]),
        break_even_load=needed,
        own=own,
        serve_share=request.serve,
    )


class _Purse:
    """What is spent and written off by year, and what is left at the end, whatever the fleet earns."""

    def __init__(self, request: BudgetRequest, spent: float, it: float, building: float, values: Values) -> None:
        self.request, years = request, range(1, request.years + 1)
        shares = [share for share, _ in arrivals(request.ramp)]
        self.spent = [spent * share for share in shares] + [0.0] * (request.years + 1 - len(shares))
        self.rest = 0.0
        life = values["life_it"], values["life_building"]
        for share, mean in arrivals(request.ramp):  # the chips by the rents they can still earn, the building evenly
            age = request.years - mean
            self.rest += share * worth_at(it, values["rent_falls"], request.discount, life[0], age)
            self.rest += share * building * (1 - min(1.0, age / life[1]))
        each = ((it, request.write_off), (building, life[1]))
        self.written_off = [
            sum(cost / over * in_use(year, request.ramp, over) for cost, over in each) for year in years
        ]
        self.book = it + building - sum(self.written_off)  # at the end

    def flows(self, income: Sequence[float]) -> tuple[list[float], list[float]]:
        """Flows from today on, and the tax in them by year; what is left is sold at the end of the last."""
        profits = [earned - less for earned, less in zip(income, self.written_off, strict=True)]
        profits[-1] += self.rest - self.book
        paid = taxes(profits, self.request.tax)
        found = [-spent for spent in self.spent]
        for year, (earned, tax) in enumerate(zip(income, paid, strict=True), 1):
            found[year] += earned - tax
        found[-1] += self.rest
        return found, paid


def _load(purse: _Purse, income: Sequence[float], serving: Sequence[float]) -> float:
    """Times the tokens sold at which the NPV is zero, where taxes bend it."""

    def worth(times: float) -> float:
        earned = [i + (times - 1.0) * s for i, s in zip(income, serving, strict=True)]
        return npv(purse.request.discount, purse.flows(earned)[0])

    low, high = 0.0, 1.0
    while worth(high) < 0 and high < MOST_LOAD:
        low, high = high, 2.0 * high
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if worth(middle) < 0 else (low, middle)
    return high
