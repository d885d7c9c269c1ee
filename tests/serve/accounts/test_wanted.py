"""How many tokens so much money pays, and when a request is said to have come."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from tests.serve.accounts.made import Use, keyed

from centime.ledger.requests import served_requests
from centime.serve.accounts.wanted import Wanted

few = st.integers(0, 6)


@given(few, few, few, few, st.integers(-2, 60))
def test_so_much_money_pays_as_many_tokens_as_can_be_tried(
    prompt: int, token: int, tokens: int, least: int, pico: int
) -> None:
    wanted = Wanted(prompt, token, tokens, min(least, tokens))
    paid = [count for count in range(wanted.least, tokens + 1) if prompt + token * count <= pico]
    assert wanted.within(pico) == (max(paid) if paid else None)


def test_a_request_came_as_long_ago_as_it_took(path: Path) -> None:
    accounts, account = keyed(path)
    before = time.time_ns()
    accounts.admit(account).settle(Use(total_ns=3_600_000_000_000))
    after = time.time_ns()
    accounts.close()
    (row,) = served_requests(sqlite3.connect(path))
    assert before <= row.arrived_ns + row.total_ns <= after
