"""What a tree of budgets lets through, holds and counts. Prices: $2 a million prompt tokens, $3 of output."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.serve.accounts.budgets.made import BOB, EVE, MICRO, account, budget, counts, key
from tests.serve.accounts.made import Use, flat

from centime.catalogue.tariffs import tariff_for
from centime.ledger.tags import RequestTags
from centime.serve.accounts import Accounts, Refused
from centime.serve.accounts.budgets.targets import kind_of, targets_of
from centime.serve.accounts.budgets.tree import tree
from centime.serve.accounts.budgets.tree_table import tree_table
from centime.serve.accounts.keys import move
from centime.serve.accounts.store import Store


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        *(("acme", "organisation"), ("acme/research", "team"), ("key:ann", "key")),
        *(("acme/user:bob", "user"), ("session:*", "session"), ("key:ann/session:a/b", "session")),
    ],
)
def test_what_a_budget_is_for(target: str, kind: str) -> None:
    assert kind_of(target) == kind


def test_every_budget_over_a_request_counts_and_the_least_of_them_stops_it(path: Path) -> None:
    Accounts(path, tariff=flat()).close()
    for target, money in (("acme", "$0.01"), ("acme/research", "$0.002"), ("key:ann", "$0.001"), ("other", "$1")):
        budget(path, target, money)
    ann, ben = key(path, "ann", "acme/research"), key(path, "ben", "acme/research")
    accounts = Accounts(path, tariff=flat())
    with pytest.raises(Refused, match="the budget of key:ann a month has") as refused:
        accounts.admit(account(accounts, ann), prompt_tokens=100, max_tokens=300)
    assert refused.value.status == 402
    ticket = accounts.admit(account(accounts, ann), prompt_tokens=100, max_tokens=200)
    found = counts(path)
    assert {target for (target, _, _), count in found.items() if count.held == 800 * MICRO} == {
        *("acme", "acme/research", "key:ann")
    }
    with pytest.raises(Refused, match=r"the budget of acme/research a month has \$0.00200, of which \$0.000800"):
        accounts.admit(account(accounts, ben), prompt_tokens=100, max_tokens=400)
    ticket.settle(Use(prompt_tokens=100, output_tokens=10))
    spent = {target: (count.spent, count.held) for (target, _, _), count in counts(path).items()}
    assert spent == {
        "acme": (230 * MICRO, 0), "acme/research": (230 * MICRO, 0), "key:ann": (230 * MICRO, 0), "other": (0, 0),
    }  # fmt: skip
    budget(path, "soft", "$0.0001", hard=False)
    accounts.admit(account(accounts, key(path, "sam", "soft"))).settle(Use(prompt_tokens=100, output_tokens=0))
    store = Store(path)
    with store.reading() as connection:
        table = tree_table(tree(connection))
    heads, columns = [str(one.header) for one in table.columns], [list(map(str, one.cells)) for one in table.columns]
    assert heads == ["budget of", "per", "limit", "spent", "held", "left", ""]
    rows = {row[0].strip(): row[1:] for row in zip(*columns, strict=True)}
    assert rows["acme"][:5] == ("month", "$0.0100", "$0.000230", "$0.00", "$0.00977")
    assert rows["soft"][:5] == ("month", "$0.000100", "$0.000200", "$0.00", "-$0.000100")


def test_each_user_has_a_count_of_his_own_and_so_has_each_session(path: Path) -> None:
    budget(path, "acme/user:*", "$0.0005", "day")
    budget(path, "acme/user:eve", "$0.0003", "ever")
    budget(path, "key:ann/session:*", "$0.0004", "ever")
    secret = key(path, "ann", "acme")
    accounts = Accounts(path, tariff=flat())
    admitted = [accounts.admit(account(accounts, secret)) for _ in range(4)]
    for ticket, tags in zip(admitted, (BOB, EVE, BOB, EVE), strict=True):
        ticket.tag(tags)
        if tags is BOB and ticket is not admitted[0]:
            with pytest.raises(Refused, match="key:ann/session:one"):
                ticket.raise_to(prompt_tokens=100, max_tokens=0)
        elif ticket is admitted[3]:
            with pytest.raises(Refused, match="the budget of acme/user:eve"):
                ticket.raise_to(prompt_tokens=60, max_tokens=0)
        else:
            ticket.raise_to(prompt_tokens=100, max_tokens=10)
            ticket.settle(Use(prompt_tokens=100, output_tokens=10))
    for ticket in admitted:
        ticket.release()
    found = counts(path)
    assert found["acme/user:*", "day", "bob"].spent == 230 * MICRO
    assert found["acme/user:*", "day", "eve"].spent == 230 * MICRO
    assert found["acme/user:eve", "ever", ""].spent == 230 * MICRO
    assert found["key:ann/session:*", "ever", "one"].spent == 230 * MICRO
    # who says nothing is in nobody's count
    accounts.admit(account(accounts, secret)).settle(Use(prompt_tokens=10_000, output_tokens=0))
    assert {who for _, _, who in counts(path)} == {"", "bob", "eve", "one", "two"}


def test_a_window_ends_and_what_ran_over_its_end_counts_where_it_began(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget(path, "key:ann", "$0.001", "day", zone="Asia/Kathmandu")
    secret = key(path, "ann")
    accounts = Accounts(path, tariff=flat())
    ann = account(accounts, secret)
    before = 1_800_000_000 * 10**9 // (86400 * 10**9) * 86400 * 10**9 + (18 * 3600 + 14 * 60) * 10**9  # 23:59 there
    now = before
    monkeypatch.setattr("centime.serve.accounts.accounts.time.time_ns", lambda: now)
    late = accounts.admit(ann, prompt_tokens=100, max_tokens=100)
    with pytest.raises(Refused):
        accounts.admit(ann, prompt_tokens=300, max_tokens=0)
    now = before + 120 * 10**9  # another day there
    fresh = accounts.admit(ann, prompt_tokens=500, max_tokens=0)  # the whole of it is free again
    late.settle(Use(prompt_tokens=100, output_tokens=100))
    fresh.release()
    assert counts(path, before)["key:ann", "day", ""].spent == 500 * MICRO
    assert counts(path, now)["key:ann", "day", ""].spent == 0


def test_a_soft_budget_refuses_nobody_and_counts(path: Path) -> None:
    budget(path, "key:ann", "$0.0001", hard=False)
    secret = key(path, "ann")
    accounts = Accounts(path, tariff=flat())
    accounts.admit(account(accounts, secret), prompt_tokens=1000, max_tokens=1000).settle(Use(1000, 0, 1000))
    assert counts(path)["key:ann", "month", ""].left == (100 - 5000) * MICRO


@pytest.mark.parametrize("tariff", [None, tariff_for("1,2,3 EUR")])
def test_what_is_not_priced_in_its_currency_slips_under_no_hard_budget(path: Path, tariff: object) -> None:
    budget(path, "acme", "$1")
    secret = key(path, "ann", "acme")
    accounts = Accounts(path, tariff=tariff)  # type: ignore[arg-type]
    with pytest.raises(Refused, match="The budget of acme a month is in USD and this server") as refused:
        accounts.admit(account(accounts, secret))
    assert refused.value.status == 402
    later = Accounts(path, priced_later=True)
    ticket = later.admit(account(later, secret))
    ticket.price(tariff)  # type: ignore[arg-type]
    with pytest.raises(Refused, match="is in USD"):
        ticket.raise_to(prompt_tokens=1, max_tokens=1)
    ticket.price(flat())
    ticket.raise_to(prompt_tokens=1, max_tokens=1)
    ticket.settle(Use(1, 0, 1))
    assert counts(path)["acme", "month", ""].spent == 5 * MICRO


def test_a_key_that_moves_counts_where_it_stands(path: Path) -> None:
    budget(path, "acme/old", "$1")
    budget(path, "acme/new", "$1")
    secret = key(path, "ann", "acme/old")
    accounts = Accounts(path, tariff=flat())
    accounts.admit(account(accounts, secret)).settle(Use())
    move(Store(path), "ann", "acme/new")
    accounts.admit(account(accounts, secret)).settle(Use())
    assert [count.spent for count in counts(path).values()] == [230 * MICRO] * 2


def test_threads_side_by_side_cannot_pass_a_budget_of_them_all(path: Path) -> None:
    budget(path, "acme", "$0.01")
    secrets = [key(path, f"k{i}", f"acme/t{i % 2}") for i in range(4)]
    accounts = Accounts(path, tariff=flat())
    refused = []

    def ask(secret: str) -> None:
        for _ in range(20):
            try:
                accounts.admit(account(accounts, secret), prompt_tokens=100, max_tokens=100).settle(Use(100, 0, 100))
            except Refused as error:
                refused.append(error.status)

    threads = [threading.Thread(target=ask, args=(secret,)) for secret in secrets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts(path)["acme", "month", ""].spent == 10_000 * MICRO  # 500 each: twenty fit, to the last pico-dollar
    assert set(refused) == {402}


@settings(max_examples=15)
@given(
    left=st.integers(1, 10_000),
    prompt=st.integers(0, 2000),
    asked=st.integers(0, 5000),
    least=st.integers(0, 50),
)
def test_as_many_tokens_as_are_affordable_and_no_more(
    tmp_path_factory: pytest.TempPathFactory, left: int, prompt: int, asked: int, least: int
) -> None:
    path = tmp_path_factory.mktemp("ledger") / "ledger.sqlite"
    budget(path, "acme", f"${left / 10**6:.6f}")
    secret = key(path, "ann", "acme")
    accounts = Accounts(path, tariff=flat())
    ticket = accounts.admit(account(accounts, secret))
    affordable = (left - 2 * prompt) // 3
    try:
        tokens = ticket.raise_to(prompt_tokens=prompt, max_tokens=asked, least=least)
    except Refused:
        assert affordable < min(least, asked)
    else:
        assert tokens == min(asked, affordable)
        assert counts(path)["acme", "month", ""].held == (2 * prompt + 3 * tokens) * MICRO
    ticket.release()
    accounts.close()


def test_whom_a_request_falls_under() -> None:
    found = dict(targets_of("acme/research", "ann", RequestTags(user="bob/user:eve")))
    assert found == {
        "acme": "", "acme/research": "", "key:ann": "",
        "user:bob/user:eve": "", "user:*": "bob/user:eve",
        "acme/user:bob/user:eve": "", "acme/user:*": "bob/user:eve",
        "acme/research/user:bob/user:eve": "", "acme/research/user:*": "bob/user:eve",
        "key:ann/user:bob/user:eve": "", "key:ann/user:*": "bob/user:eve",
    }  # fmt: skip
