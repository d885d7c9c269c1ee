"""How many devices were in use: one that several verbs use at once is one, and ranks are as many as they are."""

from __future__ import annotations

import itertools
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ledger.billing.printed import printed
from tests.ledger.made import HOUR, at, made

from centime.ledger import Book, Meter
from centime.ledger.billing.at_once import most_at_once, span_of
from centime.ledger.billing.bill import Bill, bill_of
from centime.ledger.device import this_device
from centime.ledger.interval import Interval


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


def test_devices_are_those_in_use_at_once(book: Book) -> None:
    start = time.monotonic_ns() - 9 * HOUR
    book.write(
        [
            made(mono_start_ns=start),
            made(mono_start_ns=start + 1000),  # a second rank, beside the first
            made(mono_start_ns=start + HOUR),  # the first again, resumed
            made("context", mono_start_ns=start + 5 * HOUR, devices=8),
        ]
    )
    whole = bill_of(book)
    assert [line.devices for line in whole.lines] == [2, 8]
    assert (whole.total.devices, whole.total.device_ns) == (8, 11 * HOUR)


SECOND = 10**9


@settings(max_examples=60, deadline=None)
@given(
    stages=st.lists(
        st.tuples(st.sampled_from(["pretrain", "sft", "evaluate", "startup"]), st.integers(0, 100 * SECOND)),
        min_size=1,
        max_size=6,
    ),
    ranks=st.integers(1, 3),
    gap=st.integers(0, 5 * SECOND),
    steps=st.lists(st.tuples(st.integers(0, 1500 * SECOND), st.integers(-400 * SECOND, 400 * SECOND)), max_size=4),
)
def test_a_wall_clock_that_is_set_changes_no_figure(
    stages: list[tuple[str, int]], ranks: int, gap: int, steps: list[tuple[int, int]]
) -> None:
    """Processes side by side, each stage beginning where the one before it ends, then the same once more (a resume)."""
    boot, noon = time.monotonic_ns() - 2000 * SECOND, at("2026-06-15T12:00")

    def booked(set_by: list[tuple[int, int]]) -> Bill:
        rows = []
        for attempt, rank in itertools.product(range(2), range(ranks)):
            now = attempt * (gap + sum(ns for _, ns in stages)) + rank
            for stage, ns in stages:
                wall = noon + now + sum(amount for when, amount in set_by if when <= now)
                changes = {"mono_start_ns": boot + now, "wall_start_ns": wall, "measured_ns": ns, "tokens": ns % 1000}
                rows.append(made(stage, id=f"{attempt}-{rank}-{len(rows)}", flops=ns / 3, peak_flops=1e12, **changes))
                now += ns
        with tempfile.TemporaryDirectory() as folder, Book(Path(folder) / "ledger.sqlite") as book:
            book.write(rows)
            book.set_plan("/runs/tiny", {"seconds": 1.0, "cost": 1.0, "stages": {"pretrain": {"seconds": 1.0}}})
            return bill_of(book, "/runs/tiny")

    def figures(of: Bill) -> dict[str, Any]:
        shown = of.as_json()
        for run in shown["runs"]:
            run.pop("last")  # a date
        return shown

    straight, stepped = booked([]), booked(steps)
    assert figures(stepped) == figures(straight)
    used = {line.stage: line.devices for line in stepped.lines}
    assert all(used[stage] == ranks for stage, ns in stages if ns > ranks)
    assert all(1 <= devices <= ranks for devices in used.values())


def test_devices_of_several_boots_and_hosts(book: Book) -> None:
    start = at("2026-06-15T12:00")

    def on(host: str, boot: str, hours: float, wall: float) -> Interval:
        mono, begun = round(hours * HOUR), start + round(wall * HOUR)
        return made(host=host, boot=boot, mono_start_ns=mono, wall_start_ns=begun)

    rebooted = [on("a", "a1", 7, 0), on("a", "a2", 0, 0.5)]  # the clock was set back by half an hour
    assert most_at_once([span_of(interval) for interval in rebooted]) == 1
    container = [on("a", "a1", 7, 0), on("a7f3", "a1", 7.5, 3)]  # the same machine under another name
    assert most_at_once([span_of(interval) for interval in container]) == 2
    beside = [on("a", "a1", 7, 0), on("b", "b1", 900, 0.5), on("b", "b1", 901, 1.5)]
    assert most_at_once([span_of(interval) for interval in beside]) == 2
    assert most_at_once([span_of(interval) for interval in (*rebooted, *beside[1:])]) == 2
    after = [on("a", "a1", 7, 0), on("b", "b1", 900, 1)]
    assert most_at_once([span_of(interval) for interval in after]) == 1
    assert most_at_once([]) == 0
