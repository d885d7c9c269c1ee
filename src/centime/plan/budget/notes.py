"""What a budget assumes, in sentences."""

from __future__ import annotations

from centime.catalogue.chips import Chip
from centime.catalogue.currencies.exchange import exchange_rate
from centime.catalogue.hourly_prices import gpu_hour, how_old
from centime.catalogue.market import figure
from centime.messages import said
from centime.plan.budget.inputs import GOOGLE, HIT_SHARE, PROMPT_PER_OUTPUT, BudgetRequest
from centime.plan.fleet.build_cost import is_rack
from centime.plan.fleet.demand import DAYS_PER_MONTH
from centime.plan.fleet.uncertain import Uncertain


def timing(request: BudgetRequest) -> list[str]:
    """When the money is spent, what is taxed, and in which currency amounts are shown."""
    found: list[str] = []
    if request.ramp:
        found.append(
            said(
                "The fleet comes into use evenly over {ramp:g|year|years}; what comes in a year is paid at its start, "
                "lives as long as the rest, and is sold at the end by its own age.",
                ramp=request.ramp,
            )
        )
    elif request.tax:
        found.append(said("All capex is spent at once and serves from the first day."))
    if request.tax:
        found.append(
            said(
                "Profits are taxed at {tax:.1%}, after chips, servers and network are written off evenly over "
                "{years:g|year|years} and the building over its life; losses are carried forward without end, and what "
                "is sold at the end is taxed above its book value. Financing is left out.",
                tax=request.tax,
                years=request.write_off,
            )
        )
    elif request.ramp:
        found.append(said("Taxes and financing are left out."))
    else:
        found.append(
            said("All capex is spent at once and serves from the first day; taxes and financing are left out.")
        )
    if request.currency not in (None, "USD"):
        rate = exchange_rate("USD", request.currency or "USD")
        found.append(said("Amounts are shown at {rate}; inputs stay in dollars.", rate=rate.sentence()))
    return found


def notes(request: BudgetRequest, chip: Chip, inputs: dict[str, Uncertain], per_day: float) -> list[str]:
    """What the budget assumes, a sentence each. per_day: tokens in and out that the fleet serves."""
    google = figure(GOOGLE)
    return [
        *request.rates,
        *timing(request),
        *how_old([] if request.rent is not None else [gpu_hour(chip)]),
        said(
            "The price of ${price:,.0f} is {covers}; with the rest of the IT and {kw:.2f} kW of building a GPU costs "
            "${total:,.0f} all-in.",
            price=inputs["chip_price"].mid,
            covers=said("the rack's share per GPU") if is_rack(chip) else said("the bare chip's"),
            kw=inputs["kw"].mid,
            total=inputs["chip_price"].mid * (1 + inputs["rest_of_it"].mid) + inputs["kw"].mid * inputs["building"].mid,
        ),
        said("Training hours are valued at the rent that they save, served tokens at list prices, all of them sold."),
        said("The prompts come in DeepSeek's mix: {n:.2f} per token generated, {hit:.1%} cached.",
             n=PROMPT_PER_OUTPUT, hit=HIT_SHARE),
        said(
            "The fleet's tokens are {share:.1f} times all of Google's of {period:date} ({id}): whether the market "
            "takes them at the list price is not modelled.",
            share=per_day * DAYS_PER_MONTH / (google.middle * 1e12), period=google.period, id=google.id,
        ),
    ]  # fmt: skip
