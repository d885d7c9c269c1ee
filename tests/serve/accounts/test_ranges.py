"""Numbers of any size: what does not fit the ledger is refused in words, and what fits is kept to the last unit."""

from __future__ import annotations

import contextlib
import functools
import sqlite3
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.serve.accounts.made import DOLLAR, Use, flat, keyed, refusal
from typer.testing import CliRunner

from centime.catalogue.tariffs import tariff_for
from centime.cli import app
from centime.errors import UserError
from centime.ledger.book import connect
from centime.ledger.served import Served, add_served, served_rows
from centime.ledger.serving import serving_bill
from centime.serve.accounts import Accounts, Refused
from centime.serve.accounts.account import Balance
from centime.serve.accounts.charge import MOST_NS, MOST_TOKENS, check_use
from centime.serve.accounts.keys import MOST_LIMIT, add_key, list_keys, revoke, top_up
from centime.serve.accounts.store import Store

COUNTS = st.integers(0, 2**70) | st.sampled_from([0, 1, 2**31, 2**62, 2**63 - 1, 2**63, 10**30, 10**400])
PRICES = st.integers(0, 9_000_000_000_000) | st.sampled_from([0, 1, 9_000_000_000_000])  # millionths per million


def listed(hit: int, miss: int, output: int) -> str:
    return ",".join(f"{amount // 10**6}.{amount % 10**6:06d}" for amount in (hit, miss, output))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(COUNTS, COUNTS, COUNTS, COUNTS, COUNTS), min_size=1, max_size=6),
    st.tuples(PRICES, PRICES, PRICES),
    st.sampled_from([None, "$0.5", "$9000000"]),
)
def test_whatever_is_asked_and_used_is_refused_or_kept_exactly(
    tmp_path_factory: pytest.TempPathFactory,
    asks: list[tuple[int, int, int, int, int]],
    prices: tuple[int, int, int],
    budget: str | None,
) -> None:
    path = tmp_path_factory.mktemp("ranges") / "ledger.sqlite"
    accounts, account = keyed(path, tariff=flat(listed(*prices)), budget=budget)
    before, charged, tickets = accounts.balance(account).left, 0, []
    for prompt, most, *used in asks:
        ticket = accounts.admit(account)
        tickets.append((ticket, Use(*used)))
        status = refusal(functools.partial(ticket.raise_to, prompt_tokens=prompt, max_tokens=most))
        assert status in (None, 400, 402)
        (key,) = list_keys(Store(path))  # never in the way of whoever looks
        assert key.held == accounts.balance(account).held
        assert key.as_json()["requests_running"] == len(tickets)
    for ticket, use in tickets:
        with suppress(ValueError):  # what no request can have used, or could ever cost
            charged += ticket.settle(use).list_price
        ticket.release()
    after = accounts.balance(account)
    assert after.held == 0
    assert sum(row.list_pico for row in served_rows(sqlite3.connect(path))) == charged
    if before is not None and before - charged >= -(2**63):
        assert after.left == before - charged


def test_a_bill_past_sixty_four_bits_is_exact(tmp_path: Path) -> None:
    connection = connect(tmp_path / "ledger.sqlite")
    one = Served(495_000, "tiny", "", "alice", "dear", "VND", "", 1, 2**48, 3, 4, 5, 2**62, 2**61 + 1, 7)
    for _ in range(9):
        add_served(connection, one)
    rows = served_rows(connection)
    assert all(isinstance(value, int) for row in rows for value in (row.hit_pico, row.miss_pico, row.requests))
    bill = serving_bill(rows, [], [], None)
    assert bill is not None
    (line,) = bill.lines
    assert (line.requests, line.hit_pico, line.miss_pico) == (9, 9 * 2**62, 9 * (2**61 + 1))
    assert len(bill.hours) == 1


def test_top_ups_past_what_a_key_may_be_given_in_all(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    accounts, account = keyed(path, tariff=flat("9,9,9"), budget="$9000000")
    accounts.admit(account).settle(Use(10**9, 0, 0))  # $9,000
    with pytest.raises(UserError, match=r"was given 9000000\. Make a new key"):
        top_up(Store(path), "alice", "$1")
    assert accounts.balance(account).left == (9_000_000 - 9_000) * DOLLAR


def test_what_a_key_may_have_at_most_and_at_least(tmp_path: Path) -> None:
    store = Store(tmp_path / "ledger.sqlite")
    add_key(store, "a" * 64, tariff=flat("9,9,9"), budget="$8999999", per_minute=1, concurrency=MOST_LIMIT)
    assert top_up(store, "a" * 64, "$1").balance == 9_000_000 * DOLLAR
    with pytest.raises(UserError, match=r"a balance holds up to 9,000,000 USD; 'a+' has 9000000\."):
        top_up(store, "a" * 64, "$0.01")
    add_key(store, "b")
    (free,) = (key for key in list_keys(store) if key.name == "b")
    assert (free.balance, free.topped_up, free.per_minute, free.concurrency) == (None, 0, None, None)
    for limits, said in (
        ({"per_minute": 0}, "--per-minute 0 lets nothing through"),
        ({"concurrency": MOST_LIMIT + 1}, "--concurrency 1000000001 is no limit"),
    ):
        with pytest.raises(UserError, match=said):
            add_key(store, "c", **limits)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="cannot name a key"):
        add_key(store, "a" * 65)
    with pytest.raises(UserError, match="a key 'b' exists; choose another name"):
        add_key(store, "b")
    revoke(store, "b")
    with pytest.raises(UserError, match="a key 'b' is revoked, and its line on the bill stays its own; choose"):
        add_key(store, "b")


def test_a_balance_is_there_as_long_as_something_is_left() -> None:
    assert [Balance("USD", left, 0).available for left in (None, 1, 0, -1)] == [True, True, False, False]
    assert [Balance("USD", left, 0).total for left in (None, 1_500_000_000_000, 0)] == [None, "1.5", "0"]


@pytest.mark.parametrize(
    ("prompt", "hit", "output", "machine_ns", "devices", "fits"),
    [
        (0, 0, 0, 0, 1, True),
        (MOST_TOKENS, MOST_TOKENS, MOST_TOKENS, MOST_NS // 2, 2, True),
        (MOST_TOKENS + 1, 0, 0, 0, 1, False),
        (3, 4, 0, 0, 1, False),
        (3, -1, 0, 0, 1, False),
        (3, 0, MOST_TOKENS + 1, 0, 1, False),
        (3, 0, -1, 0, 1, False),
        (3, 0, 0, MOST_NS // 2 + 1, 2, False),
        (3, 0, 0, -1, 1, False),
    ],
)
def test_a_use_that_no_request_can_have_had(
    prompt: int, hit: int, output: int, machine_ns: int, devices: int, fits: bool
) -> None:
    with contextlib.nullcontext() if fits else pytest.raises(ValueError, match="a request cannot have used"):
        check_use(Use(prompt, hit, output, machine_ns), devices)


@pytest.mark.parametrize(
    "arguments",
    [
        ["bob", "--per-minute", "99999999999999999999"],
        ["bob", "--concurrency", "9223372036854775808"],
        ["bob", "--budget", "$1e400"],
        ["bob", "--budget", "$" + "9" * 400],
        ["bob", "--budget", "$0.0000000000004"],
        ["bob", "--price-list", "9000001,1,1"],
        ["bob", "--price-list", "1e999999999,1,1"],
        ["bob", "--price-list", f"1,1,{'9' * 5000}"],
        ["bob", "--price-list", "1,2,3/1,1,1", "--peak-hours", "16:30-16:30"],
        ["bob", "--price-list", "1,2,3/1,1,1", "--peak-hours", "01:00-02:00,00:00-00:00"],
        ["bob", "--price-list", "1,2,3/1,1,1", "--peak-hours", "24:00-00:00"],
    ],
)
def test_keys_out_of_range_get_a_sentence(arguments: list[str]) -> None:
    done = CliRunner().invoke(app, ["keys", "add", *arguments])
    assert isinstance(done.exception, UserError), done.exception
    assert list_keys(Store()) == []


@settings(max_examples=200, deadline=None)
@given(st.tuples(PRICES, PRICES, PRICES))
def test_every_price_in_range_is_taken_and_fits(prices: tuple[int, int, int]) -> None:
    peak = tariff_for(listed(*prices)).peak
    assert (peak.hit, peak.miss, peak.output) == prices


def test_a_key_made_by_an_older_version_at_any_price_breaks_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    secret = add_key(Store(path), "old", tariff=flat())
    connection = sqlite3.connect(path)
    (text,) = connection.execute("SELECT tariff FROM keys").fetchone()
    connection.execute("UPDATE keys SET tariff = ?", (text.replace("3000000", str(10**25)),))
    connection.commit()
    accounts = Accounts(path)
    with pytest.raises(Refused, match="could cost more than 9,000,000 USD, which none may") as refused:
        accounts.admit(accounts.authenticate(secret), prompt_tokens=1, max_tokens=1)
    assert refused.value.status == 400
