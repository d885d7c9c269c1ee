"""From a budget and its inputs to GPUs, power, training runs, tokens, cash flows: plain arithmetic, one draw at a time.

GPUs        = capex x AI share / (chip x (1 + rest of IT) + kW x building per kW)
run / year  = GPUs x train share x 8,766 h x availability x use / GPU-hours of a run
tokens / s  = GPUs x serve share x availability x load / seconds of GPU time per token, prompts included
NPV         = -capex + sum over years (tokens sold + training hours at rent - power - upkeep) / (1 + r)^t + rest value
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from centime.plan.budget.finance import HOURS_PER_YEAR, Ownership, economic_value, irr, npv, payback, straight_line
from centime.plan.budget.inputs import PROMPT_PER_OUTPUT, BudgetRequest

Values = Mapping[str, float]


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
    flows: tuple[float, ...]  # of the split, yearly; the first is the capex
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
    alive = [max(0.0, min(1.0, values["life_it"] - (year - 1))) for year in years]  # part of a year that chips live
    token = [
        sold / 1e6 * values["token_revenue"] * (values["software"] * (1 - values["token_price_falls"])) ** (year - 1)
        for year in years
    ]
    rents = [values["rent"] * (1 - values["rent_falls"]) ** (year - 1) for year in years]
    costs = own.running_per_year * gpus
    serving = [t * a for t, a in zip(token, alive, strict=True)]
    training = [train_hours * r * a for r, a in zip(rents, alive, strict=True)]
    rest_value = gpus * _rest_value(request, values, chip + rest, building)
    flows = _flows(spent, [s + t - costs * a for s, t, a in zip(serving, training, alive, strict=True)], rest_value)
    rented = [hours * values["rent_use"] * r * a - costs * a for r, a in zip(rents, alive, strict=True)]
    worth, from_tokens = npv(request.discount, flows), npv(request.discount, [0.0, *serving])
    needed = values["serve_use"] * (1 - worth / from_tokens) if from_tokens > 0 else None
    return BudgetOutcome(
        gpus=gpus,
        capex_chips=gpus * chip,
        capex_rest_of_it=gpus * rest,
        capex_building=gpus * building,
        megawatts=gpus * values["kw"] / 1000,
        train_hours=train_hours,
        output_per_day=sold / 365.25,
        input_per_day=sold / 365.25 * PROMPT_PER_OUTPUT,
        flows=tuple(flows),
        npv=worth,
        irr=irr(flows),
        payback=payback(flows),
        npv_rented_out=npv(request.discount, _flows(spent, rented, rest_value)),
        break_even_load=needed,
        own=own,
        serve_share=request.serve,
    )


def _flows(spent: float, yearly: list[float], rest_value: float) -> list[float]:
    """Today's spending, then the years; what is left is sold at the end of the last."""
    return [-spent, *yearly[:-1], yearly[-1] + rest_value]


def _rest_value(request: BudgetRequest, values: Values, it: float, building: float) -> float:
    """Per GPU at the end: the chips by the rents they can still earn, the building by straight line."""
    chips = economic_value(it, values["rent_falls"], request.discount, values["life_it"], request.years)[-1]
    return chips + straight_line(building, values["life_building"], request.years)[-1]
