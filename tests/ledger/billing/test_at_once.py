"""How many devices were in use: one that several verbs use at once is one, and ranks are as many as they are."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ledger.billing.test_bill import printed
from tests.ledger.made import HOUR, made

from centime.ledger import Book, Meter
from centime.ledger.billing.at_once import most_at_once, span_of
from centime.ledger.billing.bill import bill_of
from centime.ledger.device import this_device


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path / "ledger.sqlite")


def test_a_machine_that_two_verbs_use_at_once_is_one_machine(book: Book) -> None:
    here = {"device_ids": "cpu"}
    book.write([made(**here), made("generate", verb="generate", **here), made("serve", verb="serve", **here)])
    whole = bill_of(book)
    assert whole.total.devices == 1
    assert whole.total.device_ns == 3 * HOUR  # each books what it had
    assert "on 1 x Test CPU" in printed(whole)


def test_a_machine_is_one_in_a_book_that_does_not_say_which(book: Book) -> None:
    book.write([made(), made("generate", verb="generate"), made("evaluate", verb="evaluate")])
    assert bill_of(book).total.devices == 1
    ranks = [made("sft"), made("sft"), made("evaluate", verb="evaluate")]
    assert most_at_once([span_of(interval) for interval in ranks]) == 2


@given(st.lists(st.sets(st.integers(0, 7), min_size=1), min_size=1, max_size=6))
def test_gpus_used_at_once_are_those_of_different_ids(used: list[set[int]]) -> None:
    rows = [
        made(device_kind="gpu", devices=len(ids), device_ids=" ".join(f"GPU-{one}" for one in sorted(ids)))
        for ids in used
    ]
    assert most_at_once([span_of(interval) for interval in rows]) == len(set.union(*used))


def test_a_meter_says_which_devices_it_books(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    for rank in ("0", "1"):
        monkeypatch.setenv("LOCAL_RANK", rank)
        with Meter(book, run="ranks", verb="train", stage="pretrain", device=this_device("cpu")):
            pass
    assert {i.device_ids for i in book.intervals() if i.run == "ranks"} == {"cpu:0/2", "cpu:1/2"}


def test_a_book_of_an_earlier_version_is_brought_up_by_whoever_comes_first(book: Book) -> None:
    book.write([made()])
    book._connection.execute("ALTER TABLE intervals DROP COLUMN device_ids")
    book._connection.execute("PRAGMA user_version = 3")
    with ThreadPoolExecutor(4) as pool:
        books = list(pool.map(lambda _: Book(book.path), range(4)))
    for each in books:
        each.write([made(device_ids="cpu")])
    assert sorted(row.device_ids for row in book.intervals()) == ["", "cpu", "cpu", "cpu", "cpu"]
