"""What an hour of a GPU costs, rented or bought, with the ends of what it may be."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from dataclasses import dataclass

from centime.catalogue.chips import Chip
from centime.catalogue.hourly_prices import gpu_hour, rent_range
from centime.catalogue.prices import Price
from centime.messages import Said, said
from centime.plan.breakeven.request import BreakevenRequest
from centime.plan.budget.finance import Ownership
from centime.plan.budget.inputs import BudgetRequest, levers
from centime.plan.fleet.uncertain import Uncertain

DISCOUNT = 0.1  # yearly: plan budget's


@dataclass(frozen=True)
class Hour:
    """Of one GPU: the price, and the low and high end of it."""

    price: Price
    low: float
    high: float
    note: Said


def hour_of(request: BreakevenRequest, kind: Chip) -> Hour:
    """The catalogue's rent with what offers span, the price given, or what an owner pays. Raises UserError."""
    if request.bought:
        return _owned(request, kind)
    price = gpu_hour(kind, request.date, request.price)
    middle = price.per_device_hour
    offers = rent_range(kind) if request.price is None and price.currency == "USD" else None
    if offers is None:
        return Hour(price, middle, middle, said("The price of an hour is taken as it is, without a range."))
    low, high = min(offers[0], middle), max(offers[1], middle)
    return Hour(
        price,
        low,
        high,
        said("Offers of an hour of {chip}: ${low:,.2f} to ${high:,.2f}", chip=kind.name, low=low, high=high),
    )


def _owned(request: BreakevenRequest, kind: Chip) -> Hour:
    asked = BudgetRequest(
        capex=1.0, chip=request.gpu, rent=1.0, chip_price=request.chip_price, usd_per_kwh=request.power_price
    )
    unused = Uncertain(mid=1.0)
    inputs = levers(asked, kind, unused, unused)
    names = ("chip_price", "rest_of_it", "building", "life_it", "life_building", "kw", "usd_per_kwh", "upkeep")
    middle = {name: inputs[name].mid for name in names}
    price = _per_hour(middle)
    ends = [[_per_hour(middle | {name: end}) for end in inputs[name].three] for name in names]
    low, high = combined(price, [(min(three), max(three)) for three in ends])
    note = said(
        "Bought: ${chip:,.0f} a chip with {rest:.0%} of it for server and network, {kw:.2f} kW at ${building:,.0f} to "
        "build and ${power:g} a kWh, {life:g} years, upkeep of {upkeep:.0%} a year, money at {rate:.0%} (plan budget)",
        chip=middle["chip_price"],
        rest=middle["rest_of_it"],
        kw=middle["kw"],
        building=middle["building"],
        power=middle["usd_per_kwh"],
        life=middle["life_it"],
        upkeep=middle["upkeep"],
        rate=DISCOUNT,
    )
    bought = request.chip_price is None and kind.purchase_note
    source = said(kind.purchase_note) if bought else said("the command line")
    day = request.date or datetime.date.today().isoformat()
    return Hour(Price(price, "USD", day, source, "assumed", said("an owner's cost")), low, high, note)


def _per_hour(of: dict[str, float]) -> float:
    own = Ownership(
        capex_it=of["chip_price"] * (1 + of["rest_of_it"]),
        capex_building=of["kw"] * of["building"],
        life_it=of["life_it"],
        life_building=of["life_building"],
        kw=of["kw"],
        usd_per_kwh=of["usd_per_kwh"],
        upkeep=of["upkeep"],
        rate=DISCOUNT,
    )
    return own.per_hour()


def combined(middle: float, ends: list[tuple[float, float]]) -> tuple[float, float]:
    """Low and high of a figure from what each cause alone makes of it: logarithms add as independent errors do."""

    def far(pick: Callable[[tuple[float, float]], float]) -> float:
        return math.sqrt(sum(math.log(pick(pair) / middle) ** 2 for pair in ends))

    return middle * math.exp(-far(lambda pair: pair[0])), middle * math.exp(far(lambda pair: pair[1]))
