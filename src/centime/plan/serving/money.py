"""What serving costs a day and per million tokens of each kind, and what a price list leaves of it."""

from __future__ import annotations

from dataclasses import dataclass

from centime.catalogue.api_prices import PriceList
from centime.catalogue.prices import Price
from centime.plan.serving.choice import Choice, Lengths, Mixed
from centime.plan.serving.engine import prefilling
from centime.plan.serving.request import Demand

MILLION = 1e6
DAYS_PER_MONTH = 365.25 / 12


@dataclass(frozen=True)
class ServingMoney:
    """Dollars a day at the mean load, and per million tokens of each kind."""

    cost_per_day: float
    hit_per_m: float
    miss_per_m: float
    output_per_m: float
    all_in_per_m_output: float
    revenue_per_day: float | None
    margin: float | None  # (revenue - cost) / cost


@dataclass(frozen=True)
class RentedFleet:
    """GPUs that are paid for around the clock, whatever the load."""

    gpus: int
    cost_per_day: float
    idle: float  # of their time, on average
    all_in_per_m_output: float

    @property
    def cost_per_month(self) -> float:
        """A twelfth of a year of 365.25 days."""
        return self.cost_per_day * DAYS_PER_MONTH

    @property
    def cost_per_year(self) -> float:
        """Of 365.25 days."""
        return self.cost_per_day * DAYS_PER_MONTH * 12


def rented(gpus: int, gpus_mean: float, output_per_day: float, price: Price) -> RentedFleet:
    """What `gpus` cost around the clock, of which `gpus_mean` serve on average."""
    cost = gpus * price.per_device_hour * 24
    return RentedFleet(gpus, cost, max(0.0, 1 - gpus_mean / gpus), cost / output_per_day * MILLION)


def spent(
    demand: Demand,
    lengths: Lengths,
    choice: Choice,
    prefill_gpus: float,
    decode_gpus: float,
    price: Price,
    prices: PriceList | None,
) -> ServingMoney:
    """Prefill is paid by the tokens that missed the cache, but for the attention over hits; decode by the output.

    Attention over a long prefix would make a hit dearer than a miss. A cached token can always be computed anew, so
    it pays no more than its part of the prompt.
    """
    hourly = price.per_device_hour * 24
    total = (prefill_gpus + decode_gpus) * hourly
    share, over_hits = _prefill_share(choice, lengths)
    prefill = total * share if isinstance(choice, Mixed) else prefill_gpus * hourly
    decode = total - prefill
    hits = demand.input_per_day * lengths.hit
    misses = demand.input_per_day - hits
    on_hits = prefill * min(over_hits, lengths.hit)
    revenue = margin = None
    if prices is not None:
        revenue = (hits * prices.hit + misses * prices.miss + demand.output_per_day * prices.output) / MILLION
        margin = (revenue - total) / total
    return ServingMoney(
        total,
        on_hits / hits * MILLION if hits else 0.0,
        (prefill - on_hits) / misses * MILLION,
        decode / demand.output_per_day * MILLION,
        total / demand.output_per_day * MILLION,
        revenue,
        margin,
    )


def _prefill_share(choice: Choice, lengths: Lengths) -> tuple[float, float]:
    """Prefill's share of a mixed unit's time, and of prefill the share that attention over cached tokens takes."""
    new = lengths.isl * (1 - lengths.hit)
    if isinstance(choice, Mixed):
        engine, share, tokens = choice.engine, choice.state.prefill_share, new
    else:
        engine, share, tokens = choice.prefill.engine, 1.0, choice.prefill.tokens_per_step
    if not lengths.hit:
        return share, 0.0
    with_hits = prefilling(engine, lengths.isl, tokens, lengths.hit)
    return share, max(0.0, 1 - prefilling(engine, new, tokens) / with_hits)
