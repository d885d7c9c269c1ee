"""Sums that a database holds as whole numbers: up to its last one on a line, beyond it on another, none lost."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from centime.ledger import Book
from centime.ledger.book import connect
from centime.ledger.served import MOST, SCHEMA, Served, add_served, served_rows
from centime.ledger.serving import ServedLine, ServingBill
from centime.units import HOUR_NS

ROW = Served(495_000, "tiny", "/runs/tiny", "alice", "list", "USD", "", 1, 100, 60, 10, 5, 7, 8, 9)


def rows_of(book: Book, *added: Served) -> list[Served]:
    connection = connect(book.path)
    for row in added:
        add_served(connection, row)
    found = served_rows(connection)
    connection.close()
    return found


@pytest.mark.parametrize("name", ["output_pico", "machine_ns", "prompt_tokens"])
@pytest.mark.parametrize(("beyond", "lines"), [(0, 1), (1, 2)])
def test_a_line_is_full_where_its_next_sum_would_pass_the_last_whole_number(
    book: Book, name: str, beyond: int, lines: int
) -> None:
    found = rows_of(book, replace(ROW, **{name: MOST - 3}), replace(ROW, **{name: 3 + beyond}), replace(ROW, key="bob"))
    assert [row.key for row in found] == ["alice"] * lines + ["bob"]
    assert sum(getattr(row, name) for row in found[:-1]) == MOST + beyond
    assert sum(row.requests for row in found) == 3
    assert all(type(getattr(row, name)) is int for row in found)


@given(st.lists(st.integers(0, MOST), min_size=1, max_size=6))
def test_sums_of_any_size_are_exact(amounts: list[int]) -> None:
    connection = sqlite3.connect(":memory:")
    connection.executescript(SCHEMA)
    for amount in amounts:
        add_served(connection, replace(ROW, hit_pico=amount))
    found = served_rows(connection)
    assert sum(row.hit_pico for row in found) == sum(amounts)
    assert sum(row.requests for row in found) == len(amounts)


def test_each_line_costs_its_part_of_the_machines_time() -> None:
    """Of two hours for four dollars a line has half an hour: a dollar."""
    bill = ServingBill([], [], ServedLine("", "", "", ""), 2 * HOUR_NS, 0, 0, 4.0, "USD")
    assert bill.share_of_cost(HOUR_NS // 2) == 1.0
    assert bill.share_of_cost(2 * HOUR_NS) == 4.0
    assert replace(bill, cost=None).share_of_cost(1) is None
    assert replace(bill, device_ns=0).share_of_cost(0) is None
