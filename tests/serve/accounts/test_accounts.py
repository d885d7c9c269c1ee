"""Who may ask, what is reserved, what is charged."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.serve.accounts.made import DOLLAR, Use, flat, keyed

from centime.catalogue.prices import price_given
from centime.catalogue.tariffs import tariff_for
from centime.errors import UserError
from centime.ledger import Book
from centime.ledger.served import served_rows
from centime.serve.accounts import Accounts, Charge, Refused, Ticket
from centime.serve.accounts.keys import add_key, list_keys, revoke, top_up
from centime.serve.accounts.store import Store
from centime.serve.http.startup import announcement


def test_without_a_key_anybody_is_the_one_account(path: Path) -> None:
    accounts = Accounts(path, run="tiny", tariff=flat(), price=price_given("$3.6/h"), devices=2)
    assert accounts.open
    for secret in (None, "sk-anything"):
        account = accounts.authenticate(secret)
        assert account.name == ""
    charge = accounts.admit(account, prompt_tokens=100, max_tokens=10).settle(Use(hit_tokens=64, machine_ns=1_000_000))
    # 1 ms of two devices at $3.6 an hour is 2 micro-dollars; the list asks $1, $2, $3 per million tokens
    assert charge == Charge(2_000_000, "USD", 64 * 10**6, 36 * 2 * 10**6, 10 * 3 * 10**6, "USD", "1,2,3", "")
    assert charge.as_json() == {
        "machine_cost": "0.000002", "machine_currency": "USD", "list_price": "0.000166", "hit": "0.000064",
        "miss": "0.000072", "output": "0.00003", "currency": "USD", "price_list": "1,2,3", "hours": None,
        "doubt": None,
    }  # fmt: skip
    assert not accounts.balance(account).held


def test_a_request_is_charged_by_the_list_in_force_when_it_is_admitted(path: Path) -> None:
    """A server that runs past the instant of a new list changes to it; what was admitted before keeps the old one."""
    turn = time.time_ns() + 10**9
    old, new = flat("1,2,3"), flat("10,20,30")
    accounts = Accounts(path, tariff=replace(new, since_ns=turn, earlier=(old,)))
    account = accounts.authenticate(None)
    before = accounts.admit(account, prompt_tokens=100, max_tokens=10)
    while time.time_ns() < turn:
        time.sleep(0.01)
    after = accounts.admit(account, prompt_tokens=100, max_tokens=10).settle(Use())
    charge = before.settle(Use())
    assert (charge.list_price, charge.price_list) == ((100 * 2 + 10 * 3) * 10**6, "1,2,3")
    assert (after.list_price, after.price_list) == ((100 * 20 + 10 * 30) * 10**6, "10,20,30")
    assert sorted(row.tariff for row in served_rows(sqlite3.connect(path))) == ["1,2,3", "10,20,30"]


def test_a_server_without_prices_still_books_tokens_and_time(path: Path) -> None:
    accounts = Accounts(path)
    charge = accounts.admit(accounts.authenticate(None), prompt_tokens=5, max_tokens=5).settle(Use())
    assert (charge.machine_cost, charge.list_price, charge.as_json()["list_price"]) == (None, 0, None)
    (row,) = served_rows(sqlite3.connect(path))
    assert (row.key, row.tariff, row.requests, row.prompt_tokens, row.machine_ns) == ("", "", 1, 100, 1_000_000)


def test_the_first_key_closes_the_server_and_a_revoked_one_keeps_it_closed(path: Path) -> None:
    accounts, store = Accounts(path), Store(path)
    accounts.authenticate(None)
    secret = add_key(store, "alice")
    assert accounts.authenticate(secret).name == "alice"
    for wrong in (None, "", "sk-other", secret + "x", "\udcff"):
        with pytest.raises(Refused, match="Authentication failed") as refused:
            accounts.authenticate(wrong)
        assert (refused.value.status, refused.value.code) == (401, "invalid_api_key")
    revoke(store, "alice")
    with pytest.raises(Refused, match="'alice' was revoked"):
        accounts.authenticate(secret)
    with pytest.raises(Refused):
        accounts.authenticate(None)


def test_no_secret_is_in_the_file(path: Path) -> None:
    store = Store(path)
    secret = add_key(store, "alice")
    assert len(secret) > 40
    assert secret != add_key(store, "bob")
    store.close()
    assert secret[3:-4].encode() not in b"".join(file.read_bytes() for file in path.parent.iterdir())


def test_a_request_that_could_cost_more_than_is_left_is_refused_before_it_runs(path: Path) -> None:
    accounts, account = keyed(path, budget="$0.0005")  # 500 micro-dollars; $2 a million prompt tokens, $3 output
    with pytest.raises(Refused, match=r"this request could cost \$0.000503 and key 'alice' has \$0.000500") as refused:
        accounts.admit(account, prompt_tokens=100, max_tokens=101)
    assert (refused.value.status, refused.value.code) == (402, "insufficient_balance")
    ticket = accounts.admit(account, prompt_tokens=100, max_tokens=100)  # to the last pico-dollar
    with pytest.raises(Refused, match="is held for 1 running"):
        accounts.admit(account, prompt_tokens=1, max_tokens=1)
    ticket.settle(Use(hit_tokens=60, output_tokens=10))  # 60 + 2 * 40 + 3 * 10 = 170 micro-dollars
    assert accounts.balance(account).total == "0.00033"
    accounts.admit(account, prompt_tokens=100, max_tokens=43).release()
    assert accounts.balance(account).total == "0.00033"


def test_a_ticket_counts_once(path: Path) -> None:
    accounts, account = keyed(path, budget="$1")
    ticket = accounts.admit(account, prompt_tokens=1, max_tokens=1)
    ticket.settle(Use())
    ticket.release()
    with pytest.raises(RuntimeError):
        ticket.settle(Use())
    assert accounts.balance(account).left == DOLLAR - 230 * 10**6


def test_a_request_is_admitted_before_anything_is_known_of_it_and_reserves_later(path: Path) -> None:
    accounts, account = keyed(path, budget="$0.001", per_minute=2, concurrency=2)  # 1,000 micro-dollars
    ticket, other = accounts.admit(account), accounts.admit(account)
    assert accounts.balance(account).held == 0
    ticket.raise_to(prompt_tokens=100, max_tokens=100)  # 2 * 100 + 3 * 100
    ticket.raise_to(prompt_tokens=100, max_tokens=50)  # never less than it holds
    assert accounts.balance(account).held == 500 * 10**6
    for _ in range(2):
        with pytest.raises(Refused, match=r"could cost \$0.000600 .* \$0.000500 is held for 1 running") as refused:
            other.raise_to(prompt_tokens=150, max_tokens=100)
        assert (refused.value.status, refused.value.code) == (402, "insufficient_balance")
    other.raise_to(prompt_tokens=100, max_tokens=100)  # it is still good
    other.release()
    ticket.raise_to(prompt_tokens=350, max_tokens=100)  # its own reservation is not in its way
    ticket.settle(Use(prompt_tokens=350, output_tokens=100))
    assert (accounts.balance(account).left, accounts.balance(account).held) == (0, 0)
    for late in (ticket, other):
        with pytest.raises(RuntimeError):
            late.raise_to(prompt_tokens=1, max_tokens=1)


def test_a_key_with_nothing_left_is_refused_before_anything_is_known_and_that_counts_nowhere(path: Path) -> None:
    accounts, account = keyed(path, budget="$0.000005", per_minute=2)
    accounts.admit(account).settle(Use(1, 0, 1))  # all of it
    for _ in range(3):
        with pytest.raises(Refused, match=r"key 'alice' has \$0.00. Top up: centime keys top-up alice") as refused:
            accounts.admit(account)
        assert refused.value.status == 402
    top_up(Store(path), "alice", "$1")
    accounts.admit(account)  # the second of this minute: what was refused took no place
    with pytest.raises(Refused, match="may make 2 requests a minute"):
        accounts.admit(account)


def test_the_price_of_a_request_is_that_of_its_admission(path: Path) -> None:
    always = tariff_for("10,10,10/1,1,1", hours="00:00-24:00")
    never = tariff_for("10,10,10/1,1,1", hours="00:00-00:01 Mon")
    dear, account = keyed(path, tariff=always, budget="$1")
    charge = dear.admit(account, prompt_tokens=100, max_tokens=10).settle(Use())
    assert (charge.hours, charge.peak, charge.list_price) == ("peak", True, 1100 * 10**6)
    cheap, account = keyed(path, "bob", tariff=never, budget="$1")
    charge = cheap.admit(account, prompt_tokens=100, max_tokens=10).settle(Use())
    assert charge.hours in {"off-peak", "peak"}  # the one minute of the week


def test_limits_per_minute_and_at_once(path: Path) -> None:
    accounts, account = keyed(path, per_minute=3, concurrency=2)
    first = accounts.admit(account, prompt_tokens=1, max_tokens=1)
    second = accounts.admit(account, prompt_tokens=1, max_tokens=1)
    with pytest.raises(Refused, match="has 2 requests running and may have 2") as refused:
        accounts.admit(account, prompt_tokens=1, max_tokens=1)
    assert (refused.value.status, refused.value.code, refused.value.retry_after) == (
        429,
        "concurrency_limit_exceeded",
        1,
    )
    first.release()
    accounts.admit(account, prompt_tokens=1, max_tokens=1).release()  # the third of this minute
    second.release()
    with pytest.raises(Refused, match="may make 3 requests a minute") as refused:
        accounts.admit(account, prompt_tokens=1, max_tokens=1)
    assert refused.value.status == 429
    assert refused.value.retry_after is not None
    assert 50 < refused.value.retry_after <= 60


def test_a_budget_needs_prices_in_its_currency(path: Path) -> None:
    secret = add_key(Store(path), "alice", budget="5 EUR")
    for tariff, said in ((None, "this server has no price list"), (flat(), "this server asks prices in USD")):
        accounts = Accounts(path, tariff=tariff)
        with pytest.raises(Refused, match=said):
            accounts.admit(accounts.authenticate(secret), prompt_tokens=1, max_tokens=1)
    euros = Accounts(path, tariff=tariff_for("1,2,3 EUR"))
    assert euros.admit(euros.authenticate(secret), prompt_tokens=1, max_tokens=1).settle(Use()).currency == "EUR"


def test_a_top_up_counts_at_once(path: Path) -> None:
    accounts, account = keyed(path, budget="$0.000001")
    with pytest.raises(Refused, match="centime keys top-up alice"):
        accounts.admit(account, prompt_tokens=1, max_tokens=1)
    top_up(Store(path), "alice", "$1")
    accounts.admit(account, prompt_tokens=1, max_tokens=1).settle(Use())
    assert accounts.balance(account).total == "0.999771"


def test_a_full_or_locked_ledger_refuses_new_requests_and_loses_no_charge(path: Path) -> None:
    accounts, account = keyed(path, budget="$1")
    accounts._store._connection.execute("PRAGMA busy_timeout = 20")
    ticket, waits = accounts.admit(account, prompt_tokens=100, max_tokens=10), accounts.admit(account)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert ticket.settle(Use()).list_price == 230 * 10**6
    for ask in (lambda: accounts.admit(account), lambda: waits.raise_to(prompt_tokens=1, max_tokens=1)):
        with pytest.raises(Refused, match="ledger cannot be written") as refused:
            ask()
        assert refused.value.status == 503
    other.execute("ROLLBACK")
    accounts.admit(account, prompt_tokens=1, max_tokens=1).release()
    assert accounts.balance(account).left == DOLLAR - 230 * 10**6
    assert [row.requests for row in served_rows(other)] == [1]


def test_an_older_ledger_gets_the_new_tables(path: Path) -> None:
    with Book(path):
        pass
    old = sqlite3.connect(path)
    old.executescript("DROP TABLE served; DROP TABLE engine_time; PRAGMA user_version = 1;")
    old.close()
    accounts = Accounts(path)
    ticket: Ticket = accounts.admit(accounts.authenticate(None), prompt_tokens=1, max_tokens=1)
    ticket.settle(Use())
    assert len(served_rows(sqlite3.connect(path))) == 1


def test_a_server_says_at_its_start_whose_budgets_cannot_pay_there(path: Path) -> None:
    store = Store(path)
    for name, options in (("eve", {"budget": "5 EUR"}), ("own", {"budget": "5 EUR", "tariff": flat("1,2,3 EUR")}),
                        ("uma", {"budget": "$5"}), ("end", {})):  # fmt: skip
        add_key(store, name, **options)  # type: ignore[arg-type]
    add_key(store, "gone", budget="5 EUR")
    revoke(store, "gone")
    assert Accounts(path, tariff=flat()).unpayable() == {"EUR": ["eve"]}
    assert Accounts(path).unpayable() == {"EUR": ["eve"], "USD": ["uma"]}
    said = announcement(Accounts(path, tariff=flat()))
    assert "Budgets in EUR cannot pay here, where prices are in USD: eve will be refused (402)." in said


def test_a_budget_that_no_server_takes_is_refused_when_the_key_is_made(path: Path) -> None:
    store = Store(path)
    Accounts(path, run="tiny", tariff=flat()).close()
    with pytest.raises(UserError, match=r"'5 EUR' is in EUR, and .* ask prices in USD \('tiny'\)"):
        add_key(store, "eve", budget="5 EUR")
    assert list_keys(store) == []
    add_key(store, "own", budget="5 EUR", tariff=flat("1,2,3 EUR"))
    Accounts(path, run="other", tariff=flat("1,2,3 EUR")).close()
    add_key(store, "eve", budget="5 EUR")
    Accounts(path, run="other", tariff=flat()).close()  # started anew, with other prices
    with pytest.raises(UserError, match="ask prices in USD"):
        add_key(store, "eva", budget="5 EUR")
