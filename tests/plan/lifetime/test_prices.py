"""What a life is priced by: the hours of the chips that train and serve, and the precisions that these have."""

from __future__ import annotations

from dataclasses import replace

import pytest

from centime.catalogue.chips import chip
from centime.catalogue.currencies.exchange import exchange_rate
from centime.catalogue.hourly_prices import gpu_hour
from centime.catalogue.models import architecture
from centime.errors import UserError
from centime.plan.lifetime.prices import planner_costs
from centime.plan.lifetime.request import LifetimeRequest

ASKED = LifetimeRequest("deepseek-v3", 1e14, gpu="h800", date="2026-06-01")


def dollars(name: str) -> float:
    return gpu_hour(chip(name), "2026-06-01").per_device_hour


@pytest.mark.parametrize(
    ("change", "trains", "serves"),
    [
        ({}, dollars("h800"), dollars("h800")),
        ({"price": "$3/h"}, 3.0, 3.0),  # a price is of the chip that trains, and of the same one where it serves
        ({"price": "$3/h", "serve_gpu": "h800"}, 3.0, 3.0),
        ({"price": "$3/h", "serve_gpu": "h100"}, 3.0, dollars("h100")),
        ({"price": "$3/h", "serve_price": "$5/h"}, 3.0, 5.0),
        ({"serve_gpu": "h100", "serve_price": "$5/h"}, dollars("h800"), 5.0),
        ({"price": "$1e-9/h"}, 1e-9, 1e-9),
    ],
)
def test_an_hour_is_what_was_given_or_its_chips_own(change: dict[str, str], trains: float, serves: float) -> None:
    costs, resolved, _ = planner_costs(replace(ASKED, **change))
    assert costs.unit == "USD"
    assert (resolved.price, resolved.serve_price) == (f"{trains:.12g} USD/h", f"{serves:.12g} USD/h")
    again = planner_costs(resolved)[1]
    assert again == resolved


def test_both_are_in_the_currency_that_is_asked_for() -> None:
    costs, resolved, _ = planner_costs(replace(ASKED, price="$3/h", currency="EUR"))
    assert costs.unit == "EUR"
    assert resolved.price == resolved.serve_price == f"{3 * exchange_rate('USD', 'EUR').value:.12g} EUR/h"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"price": "$9e-10/h"}, "--price 9e-10 USD/h is as good as nothing"),
        ({"price": "$2/h", "serve_price": "$0/h"}, "--serve-price 0 USD/h is as good as nothing"),
        ({"price": "2 EUR/h", "serve_price": "$2/h"}, "priced in EUR and serving in USD; give both"),
    ],
)
def test_an_hour_for_nothing_and_two_currencies_are_refused(change: dict[str, str], says: str) -> None:
    with pytest.raises(UserError, match=says):
        planner_costs(replace(ASKED, **change))


@pytest.mark.parametrize(
    ("served_on", "formats"), [("a100", ("bf16",)), ("h100", ("bf16", "fp8")), ("b200", ("bf16", "fp8", "fp4"))]
)
def test_models_are_served_in_every_precision_that_the_chip_has(served_on: str, formats: tuple[str, ...]) -> None:
    assert planner_costs(replace(ASKED, serve_gpu=served_on))[0].precisions == formats
    assert planner_costs(replace(ASKED, serve_gpu=served_on, precisions=("bf16",)))[0].precisions == ("bf16",)


def test_what_a_chip_is_too_slow_for_is_not_served_and_the_rest_by_the_hour() -> None:
    costs, dear = (planner_costs(replace(ASKED, serve_price=price))[0] for price in ("$2/h", "$6/h"))
    small = architecture("llama-3.1-8b")
    one, three = costs.serve(small, "bf16"), dear.serve(small, "bf16")
    assert one is not None
    assert three is not None
    assert three[0] == pytest.approx(3 * one[0])
    assert one[1] == three[1]
    assert one[1][0] < 1 < one[1][1]
    assert planner_costs(replace(ASKED, tpot_s=1e-5))[0].serve(small, "bf16") is None
