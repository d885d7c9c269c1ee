"""What a scenario leaves out is the catalogue's: months in which a chip may be had, the price of its hour."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
from calendar import monthrange

import pytest
from tests.plan.fleet.small import small

from centime.catalogue.chips import chip, chips
from centime.catalogue.export_rules import status
from centime.catalogue.hourly_prices import gpu_hour, rent_range
from centime.errors import UserError
from centime.plan.fleet.hardware import ALWAYS, NEVER, _hour, _spans
from centime.plan.fleet.uncertain import Uncertain

UNDATED = dataclasses.replace(chip("l40s"), name="a chip of one's own", launched="")


@pytest.mark.parametrize("region", ["cn", "us"])
def test_a_month_is_open_where_the_rules_let_the_chip_be_bought_to_its_end(region: str) -> None:
    scenario = small(supply__region=region)
    for bought in (*chips(), UNDATED):
        spans = _spans(scenario, bought, ALWAYS, NEVER)
        for index in range(-36, 12, 3):
            year, month = map(int, scenario.month(index).split("-"))
            days = (datetime.date(year, month, day) for day in (1, monthrange(year, month)[1]))
            on = {status(bought, day.isoformat(), region).may_buy for day in days}
            if len(on) == 1:
                open_then = any(first <= index <= last for first, last in spans)
                assert open_then == on.pop(), (bought.name, index)


def test_a_chip_without_a_launch_may_always_be_had_and_only_within_what_is_asked() -> None:
    assert _spans(small(supply__region="us"), UNDATED, ALWAYS, NEVER) == ((ALWAYS, NEVER),)
    assert _spans(small(supply__region="us"), UNDATED, 3, 3) == ((3, 3),)
    assert _spans(small(supply__region="any"), chip("h100"), 3, 5) == ((3, 5),)
    assert _spans(small(supply__region="cn"), chip("h100"), 0, 24) == ()


def test_an_hour_has_the_range_of_its_offers_where_it_lies_among_them() -> None:
    ranges = {}
    for bought in chips():
        with contextlib.suppress(UserError):  # of some no price is known
            price, offers = gpu_hour(bought, "2026-06").per_device_hour, rent_range(bought)
            within = offers is not None and offers[0] <= price <= offers[1]
            found = Uncertain(**_hour(bought, "2026-06")[0]).three
            assert found == ((offers[0], price, offers[1]) if offers and within else (price,) * 3)
            ranges[bought.name] = found
    assert any(low < mid == high for low, mid, high in ranges.values())
    assert any(low < mid < high for low, mid, high in ranges.values())
