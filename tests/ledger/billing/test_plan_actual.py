"""A plan beside what was booked says how far the run came."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ledger.billing.printed import printed
from tests.ledger.made import made

from centime.ledger import Book
from centime.ledger.billing.bill import bill_of
from centime.ledger.billing.plan_actual import state_in_words
from centime.ledger.billing.table import _value
from centime.ledger.interval import OPEN
from centime.ledger.process import _started

PLAN = {"tokens": 1000, "stages": {"pretrain": {"tokens": 900}, "sft": {"tokens": 100}}}


def planned(book: Book, *rows: Any) -> dict[str, Any]:
    book.write(rows)
    book.set_plan("/runs/tiny", PLAN)
    plan = bill_of(book, "/runs/tiny").plan
    assert plan
    return plan


def test_a_stopped_run_says_how_far_it_came(book: Book) -> None:
    plan = planned(book, made("pretrain", tokens=167))
    assert (plan["state"], plan["done"]) == ("stopped", 0.167)
    assert "Plan against actual: stopped at 16 % of its tokens" in printed(bill_of(book, "/runs/tiny"))


def test_a_finished_run_says_nothing(book: Book) -> None:
    plan = planned(book, made("pretrain", tokens=900), made("sft", tokens=100), made("generate", verb="generate"))
    assert plan["state"] == "finished"
    assert state_in_words(plan) == ""


def test_tokens_done_again_after_a_kill_stand_in_for_no_others(book: Book) -> None:
    plan = planned(book, made("pretrain", tokens=1000))
    assert plan["done"] == 0.9


def test_a_run_that_somebody_else_is_at_is_running(book: Book) -> None:
    parent = os.getppid()
    plan = planned(book, made("pretrain", tokens=450, state=OPEN, pid=parent, started=_started(parent)))
    assert state_in_words(plan) == ": still running, at 45 % of its tokens"


@given(st.floats(0, 1))
def test_no_unfinished_run_reads_as_whole(done: float) -> None:
    words = state_in_words({"state": "stopped", "done": done})
    assert "100 %" not in words
    assert words.startswith(": stopped at ")


def test_a_plan_without_tokens_says_nothing_of_them(book: Book) -> None:
    book.write([made()])
    book.set_plan("/runs/tiny", {"seconds": 5.0})
    plan = bill_of(book, "/runs/tiny").plan
    assert plan
    assert (plan["done"], state_in_words(plan)) == (None, "")


@pytest.mark.parametrize(
    ("key", "value", "currency", "shown"),
    [
        ("cost", 1234.5, "USD", "$1,234.50"),
        ("cost", 1234.5, None, "1.23 K"),
        ("device_hours", 2.5, "USD", "2.5 h"),
        ("energy_kwh", 1.0, "USD", "1 kWh"),
        ("seconds", 65.0, "USD", "1m 05s"),
        ("mfu", 0.4123, "USD", "41.2%"),
        ("tokens", 2e6, "USD", "2.00 M"),
    ],
)
def test_a_figure_of_a_plan_has_its_unit(key: str, value: float, currency: str | None, shown: str) -> None:
    assert _value(key, value, currency) == shown
