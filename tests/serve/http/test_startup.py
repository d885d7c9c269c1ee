"""What a server is told at its start."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from centime.catalogue.tariffs import tariff_for
from centime.errors import UserError
from centime.serve.accounts import Accounts
from centime.serve.accounts.keys import add_key
from centime.serve.http.startup import announcement, check_patience


@pytest.mark.parametrize("seconds", [0.0, -1.0, 600.1, math.nan, math.inf])
def test_a_patience_is_above_nothing_and_ten_minutes_at_most(seconds: float) -> None:
    with pytest.raises(UserError):
        check_patience(seconds)
    for fits in (0.001, 600.0):
        check_patience(fits)


def test_prices_of_models_are_told_beside_the_servers(tmp_path: Path) -> None:
    accounts = Accounts(tmp_path / "ledger.sqlite")
    for name, budget in (("ann", "$1"), ("eve", "1 EUR")):
        add_key(accounts.store, name, budget=budget)
    assert "; no price list (--price-list). " in announcement(accounts)
    assert "Budgets in USD cannot pay here, where there is no price list: ann" in announcement(accounts)
    said = announcement(accounts, {"chat": tariff_for("1,2,3")})
    assert "; chat at 1,2,3: 1/2/3 USD per million tokens (hit/miss/output); all else: no price list" in said
    assert "Budgets in USD" not in said
    assert "Budgets in EUR cannot pay here, where prices are in USD: eve" in said
    accounts.close()
