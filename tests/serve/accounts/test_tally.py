"""What a server leaves with: a sentence on its calls, one on money where there is any, and where to read on."""

from __future__ import annotations

import pytest
from tests.serve.accounts.made import Use

from centime.ledger.meter import Spent
from centime.serve.accounts import Charge
from centime.serve.accounts.tally import Tally

FREE = Charge(None, "", 0, 0, 0, "USD", "", "")
PRICED = Charge(None, "", 10**12, 2 * 10**12, 3 * 10**12, "USD", "1,2,3", "")
ASKS = "the price list asks $12.00."
HOURS = "`centime bill --hours` shows it hour by hour."


@pytest.mark.parametrize(
    ("charge", "spent", "money"),
    [
        (FREE, Spent(4 * 10**9, None, None), []),
        (FREE, Spent(4 * 10**9, 1.5, "USD"), ["The machine cost $1.50, waiting included."]),
        (PRICED, Spent(4 * 10**9, None, None), ["The price list asks $12.00."]),
        (
            PRICED,
            Spent(4 * 10**9, 1.5, "USD"),
            ["The machine cost $1.50, waiting included; " + ASKS],
        ),
    ],
)
def test_two_calls_in_words(charge: Charge, spent: Spent, money: list[str]) -> None:
    tally = Tally()
    for _ in range(2):
        tally.add(Use(prompt_tokens=1000, hit_tokens=600, output_tokens=50, machine_ns=10**9), charge)
    assert tally.lines(spent) == [
        "Answered 2 calls: 1,200 prompt tokens from the cache, 800 computed, 100 generated, in 50.0% of 4.0 "
        "device-seconds.",
        *money,
        HOURS,
    ]


def test_no_calls_in_no_time() -> None:
    assert "0 calls" in Tally().lines(Spent(0, None, None))[0]
