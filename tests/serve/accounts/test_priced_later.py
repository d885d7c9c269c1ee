"""Servers whose models have prices of their own, and several machines behind one set of accounts."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from tests.serve.accounts.budgets.made import budget
from tests.serve.accounts.made import Use, flat

from centime.catalogue.prices import price_given
from centime.catalogue.tariffs import tariff_for
from centime.ledger.served import EngineTotals, engine_hours, served_rows
from centime.serve.accounts import Accounts, Machine, Refused
from centime.serve.accounts.keys import add_key
from centime.serve.accounts.store import Store


def test_the_model_decides_the_price_once_it_is_known(path: Path) -> None:
    """A budget is no hindrance before, what the model costs is held from then on, and another currency is refused."""
    store = Store(path)
    Accounts(path, run="seen", tariff=flat()).close()  # a budget in dollars may be made
    secret = add_key(store, "alice", budget="$0.0001")
    accounts = Accounts(path, priced_later=True)
    account = accounts.authenticate(secret)
    ticket = accounts.admit(account)
    with pytest.raises(Refused, match="has no price list") as unpriced:
        ticket.price(None)
    assert unpriced.value.status == 402
    ticket.price(flat("10,20,30"))
    with pytest.raises(Refused) as dear:
        ticket.raise_to(prompt_tokens=5, max_tokens=1)
    assert dear.value.status == 402
    ticket.price(flat("1,2,3"))  # a cheaper model
    ticket.raise_to(prompt_tokens=5, max_tokens=1)
    charge = ticket.settle(Use(prompt_tokens=5, hit_tokens=0, output_tokens=1))
    assert (charge.list_price, charge.price_list) == ((5 * 2 + 3) * 10**6, "1,2,3")
    assert accounts.balance(account).left == 100 * 10**6 - 13 * 10**6


def test_a_hard_budget_in_another_currency_stops_what_would_slip_by_it(path: Path) -> None:
    """Nothing is said while the price is not known, and then before anything is computed."""
    Accounts(path, run="seen", tariff=flat()).close()
    budget(path, "key:alice", "$1")
    account = (accounts := Accounts(path, priced_later=True)).authenticate(add_key(Store(path), "alice"))
    ticket = accounts.admit(account)
    ticket.price(tariff_for("1,2,3 EUR"))
    with pytest.raises(Refused, match=r"is in USD and this server asks prices in EUR") as refused:
        ticket.raise_to(prompt_tokens=5, max_tokens=1)
    assert refused.value.status == 402


def test_a_key_with_prices_of_its_own_keeps_them(path: Path) -> None:
    secret = add_key(Store(path), "alice", tariff=flat("1,1,1"))
    accounts = Accounts(path, priced_later=True)
    ticket = accounts.admit(accounts.authenticate(secret))
    ticket.price(flat("10,20,30"))
    assert ticket.settle(Use()).price_list == "1,1,1"


def test_each_machine_has_its_requests_and_its_hours(path: Path) -> None:
    accounts = Accounts(path, run="front", tariff=flat())
    dear, cheap = Machine("dear", price_given("$7.2/h"), 2), Machine("cheap")
    for machine in (dear, cheap):
        accounts.add_machine(machine)
    account = accounts.authenticate(None)
    charge = accounts.admit(account).settle(Use(machine_ns=10**9), dear)
    assert charge.machine_cost == 4 * 10**9  # two devices, a second, 7.2 dollars an hour each
    assert accounts.admit(account).settle(Use(machine_ns=10**9), cheap).machine_cost is None
    accounts.machine_time(EngineTotals(10**9, 0), dear)
    accounts.machine_time(EngineTotals(5, 7), cheap)
    accounts.close()
    connection = sqlite3.connect(path)
    assert sorted((row.run, row.machine_ns) for row in served_rows(connection)) == [
        ("cheap", 10**9),
        ("dear", 2 * 10**9),
    ]
    hours = {hour.run: (hour.requests_ns, hour.idle_ns) for hour in engine_hours(connection)}
    assert (hours["dear"], hours["cheap"]) == ((2 * 10**9, 0), (5, 7))
