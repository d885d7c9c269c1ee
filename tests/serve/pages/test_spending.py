"""Spending by tag, burn-down of budgets and keys, as the page is told of them."""

from __future__ import annotations

import ast
import datetime
import inspect
import time
from pathlib import Path
from typing import Any

import pytest
from tests.serve.accounts.made import Use, flat

from centime.errors import UserError
from centime.ledger.tags import RequestTags
from centime.serve.accounts import Account, Accounts
from centime.serve.accounts.budgets.edit import CapTerms, add_budget
from centime.serve.accounts.keys import add_key, amount
from centime.serve.pages import spending
from centime.serve.pages.spending import SpendingView
from centime.serve.pages.spending_words import FRENCH

ALL = Account("", None, None, None, None)


def at(day: int, hour: int = 12) -> int:
    return int(datetime.datetime(2026, 6, day, hour, tzinfo=datetime.UTC).timestamp()) * 10**9


@pytest.fixture
def spent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Accounts:
    """Two keys that spend a dollar a day each for three days of June."""
    accounts = Accounts(tmp_path / "ledger.sqlite", tariff=flat("1,2,3"))
    secrets = {name: add_key(accounts.store, name, place="acme/research") for name in ("ann", "bob")}
    with accounts.store.writing() as connection:
        for target, per, money in (("acme", "month", "$12"), ("key:bob", "month", "$300"), ("acme", "ever", "$99")):
            add_budget(connection, target, per, CapTerms(amount(money)))
    for day in (1, 2, 3):
        monkeypatch.setattr(time, "time_ns", lambda day=day: at(day))
        for name, secret in secrets.items():
            ticket = accounts.admit(accounts.authenticate(secret))
            ticket.tag(RequestTags(user="u1" if name == "ann" else "", feature=f"f{day}", model="chat"))
            ticket.raise_to(prompt_tokens=500_000, max_tokens=0)
            ticket.settle(Use(500_000, 0, 0))
    return accounts


def sections(accounts: Accounts, now: int, lang: str = "en", whose: Account = ALL) -> dict[str, Any]:
    told = SpendingView(lambda: accounts.store, lambda: now)(lang, whose)["sections"]
    return {section["title"]: section for section in told}


def test_the_month_by_tag_and_each_budget_s_end(spent: Accounts) -> None:
    found = sections(spent, at(4, 0))
    assert list(found) == [
        "This month, by whom and for what", "By team", "By user", "By model", "By feature", "By key", "Spent so far",
        "Budgets", "What is left of acme", "What is left of key:bob", "Keys",
    ]  # fmt: skip
    (first, *_) = found["This month, by whom and for what"]["items"]
    assert (first["figure"], first["small"]) == ("$6.00", "$60.00 by its end, at this pace")
    assert found["By user"]["table"]["rows"] == [["(none)", "$3.00"], ["u1", "$3.00"]]
    rows = {tuple(row[:2]): tuple(row[2:]) for row in found["Budgets"]["rows"]}
    assert rows["acme", "a month"] == ("$12.00", "$6.00", "$0.00", "$6.00", "2026-06-07")  # two dollars a day
    assert rows["key:bob", "a month"][-1] == "not in this window"
    assert rows["acme", "for ever"][-1] == "–"
    left = found["What is left of acme"]["table"]["rows"]
    assert [row[:2] for row in left] == [["0.0", "$12.00"], ["1.0", "$10.00"], ["2.0", "$8.00"], ["3.0", "$6.00"]]
    assert left[-1][2] == "$6.00"
    assert "<svg" in found["What is left of acme"]["picture"]


def test_a_key_sees_its_own_and_no_budget(spent: Accounts) -> None:
    found = sections(spent, at(4, 0), whose=Account("ann", None, None, None, None))
    assert list(found) == [
        "This month, by whom and for what", "By user", "By model", "By feature", "Spent so far",
    ]  # fmt: skip
    assert found["This month, by whom and for what"]["items"][0]["figure"] == "$3.00"
    assert sections(spent, at(4, 0), whose=Account("eve", None, None, None, None)) == {}


def test_another_month_begins_with_nothing_spent(spent: Accounts) -> None:
    assert list(sections(spent, at(30) + 5 * 86_400 * 10**9)) == ["Budgets", "Keys"]


def test_every_sentence_has_a_french_line(spent: Accounts) -> None:
    found = sections(spent, at(4, 0), "fr")
    assert "Ce mois-ci\u00a0: par qui, et pour quoi" in found
    assert "Ce qui reste de acme" in found
    words = {
        node.value for node in ast.walk(ast.parse(inspect.getsource(spending)))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }  # fmt: skip
    put_together = {f"By {name}" for name in spending.SORTED_BY} | {"a day", "a month"}
    assert set(FRENCH) <= words | put_together
    with pytest.raises(UserError, match="not a language"):
        sections(spent, at(4, 0), "de")
