"""What an API asks for a mix of tokens: the dated price list, its peak hours weighed by when tokens come."""

from __future__ import annotations

from dataclasses import dataclass

from centime.catalogue.api_prices import PriceList, price_list
from centime.catalogue.tariffs import MILLION, PICO, TokenPrices, tariff_for
from centime.messages import Said, said
from centime.plan.breakeven.request import BreakevenRequest
from centime.plan.breakeven.trace import Trace


@dataclass(frozen=True)
class ApiCost:
    """A million tokens of a mix, prompts and answers together, at an API: mid, and the ends that its hours leave."""

    prices: PriceList
    low: float
    mid: float
    high: float
    peak_share: float | None  # of the tokens, at peak prices; None: one price for all hours

    @property
    def name(self) -> str:
        """The list's model."""
        return self.prices.model

    def sentence(self) -> Said:
        """The list, and how its hours are weighed."""
        if self.peak_share is None:
            return self.prices.sentence()
        return said(
            "{list}; {share:.0%} of the tokens in peak hours", list=self.prices.sentence(), share=self.peak_share
        )


def api_cost(text: str, request: BreakevenRequest, trace: Trace | None = None) -> ApiCost:
    """The cost at the list that `text` names. Raises UserError for an unknown one.

    The share of tokens in peak hours is given, or that of a trace with dates; without one these are spread evenly over
    the week, and the ends are all of them at peak and none.
    """
    prices = price_list(text, request.date)
    if not prices.id:
        only = _mix(request, (prices.hit, prices.miss, prices.output))
        return ApiCost(prices, only, only, only, None)
    tariff = tariff_for(text, date=request.date)
    peak = _mix(request, _per_million(tariff.peak))
    if tariff.off_peak is None:
        return ApiCost(prices, peak, peak, peak, None)
    off_peak = _mix(request, _per_million(tariff.off_peak))
    known = request.peak_share
    if known is None and trace is not None and trace.dated:
        known = trace.peak_share(tariff.hours)
    share = tariff.hours.share if known is None else known
    mid = share * peak + (1 - share) * off_peak
    low, high = (min(peak, off_peak), max(peak, off_peak)) if known is None else (mid, mid)
    return ApiCost(prices, low, mid, high, share)


def _per_million(prices: TokenPrices) -> tuple[float, float, float]:
    hit, miss, output = (amount * MILLION / PICO for amount in (prices.hit, prices.miss, prices.output))
    return hit, miss, output


def _mix(request: BreakevenRequest, prices: tuple[float, float, float]) -> float:
    """A million tokens of which isl are prompt, `hit` of those cached, and osl answer."""
    hit, miss, output = prices
    load = request.load
    return (load.isl * (load.hit * hit + (1 - load.hit) * miss) + load.osl * output) / load.tokens
