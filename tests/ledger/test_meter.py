"""The meter books every nanosecond once: over stages, over meters inside meters, while the book is locked."""

from __future__ import annotations

import itertools
import sqlite3
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.ledger.made import CPU

from centime.catalogue.prices import Price
from centime.errors import UserError
from centime.ledger import Book, Meter
from centime.ledger.billing import bill_of
from centime.ledger.energy import EnergyCounter
from centime.ledger.interval import CLOSED, HEARTBEAT_NS, OPEN, Interval, begin_interval
from centime.ledger.recorder import Recorder

PRICE = Price(7.2, "EUR", "2026-06-01", "a test", "given")


def meter(book: Book, stage: str = "pretrain", **changes: object) -> Meter:
    arguments: dict[str, object] = {"run": "tiny", "verb": "train", "stage": stage, "device": CPU, "price": PRICE}
    return Meter(book, **(arguments | changes))  # type: ignore[arg-type]


def in_time(book: Book) -> list[Interval]:
    return sorted(book.intervals(), key=lambda interval: interval.mono_start_ns)


def test_stages_follow_each_other_without_a_nanosecond_between_them(book: Book) -> None:
    with meter(book) as metered:
        for stage in ("context", "sft"):
            time.sleep(0.01)
            metered.stage(stage)
        time.sleep(0.01)
        spent = metered.spent()
    first, second, third = in_time(book)
    assert [first.stage, second.stage, third.stage] == ["pretrain", "context", "sft"]
    assert first.mono_start_ns + first.measured_ns == second.mono_start_ns
    assert second.mono_start_ns + second.measured_ns == third.mono_start_ns
    booked = sum(interval.device_ns for interval in (first, second, third))
    assert 0 <= booked - spent.device_ns < 50_000_000
    assert spent.cost == pytest.approx(spent.device_ns * 7.2 / 3.6e12)
    assert spent.currency == "EUR"
    assert all(interval.state == CLOSED for interval in (first, second, third))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["open", "close", "stage"]), max_size=12))
def test_however_meters_are_nested_their_intervals_tile_the_time(tmp_path: Path, moves: list[str]) -> None:
    book = Book(tmp_path / f"{time.monotonic_ns()}.sqlite")
    stack = [meter(book, run="run")]
    opened = {"run": stack[0]}
    began = time.monotonic_ns()
    stack[0].__enter__()
    for number, move in enumerate(moves):
        if move == "open":
            stack.append(meter(book, "evaluate", verb="evaluate", run=f"run{number}"))
            opened[f"run{number}"] = stack[-1].__enter__()
        elif move == "close" and len(stack) > 1:
            stack.pop().__exit__(None, None, None)
        elif move == "stage":
            stack[number % len(stack)].stage(f"stage{number}")
    while stack:
        stack.pop().__exit__(None, None, None)
    ended = time.monotonic_ns()
    intervals = in_time(book)
    for before, after in itertools.pairwise(intervals):
        assert before.mono_start_ns + before.measured_ns == after.mono_start_ns
    assert 0 < sum(interval.device_ns for interval in intervals) <= ended - began
    for run, metered in opened.items():
        assert metered.spent().device_ns == sum(one.device_ns for one in intervals if one.run == run)


def test_an_inner_meter_with_another_book_suspends_the_outer_one_too(tmp_path: Path) -> None:
    outer_book, inner_book = Book(tmp_path / "a.sqlite"), Book(tmp_path / "b.sqlite")
    with meter(outer_book) as outer:
        with meter(inner_book, "evaluate") as inner:
            stands, goes = outer.spent().device_ns, inner.spent().device_ns
            time.sleep(0.002)
            assert outer.spent().device_ns == stands
            assert inner.spent().device_ns > goes
        outer.add(tokens=1)
    before, after = in_time(outer_book)
    (between,) = inner_book.intervals()
    assert before.mono_start_ns + before.measured_ns == between.mono_start_ns
    assert between.mono_start_ns + between.measured_ns == after.mono_start_ns


def test_tokens_and_flops_go_to_the_stage_they_were_added_in(book: Book) -> None:
    with meter(book) as metered:
        metered.add(tokens=3, flops=1e20)
        metered.stage("context")
        metered.add(tokens=4)
        with meter(book, "evaluate"):
            metered.add(tokens=10)  # what it adds while another books is its own, afterwards
        metered.add(flops=2e21)
    assert {(i.stage, i.tokens, i.flops) for i in book.intervals()} == {
        ("pretrain", 3, 1e20), ("context", 4, 0.0), ("evaluate", 0, 0.0), ("context", 10, 2e21),
    }  # fmt: skip


def test_adding_from_several_threads_while_stages_switch_loses_no_token(book: Book) -> None:
    def work() -> None:
        for _ in range(2000):
            metered.add(tokens=1, flops=1.0)

    with meter(book) as metered:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for number in range(50):
            metered.stage(f"stage{number}")
        for thread in threads:
            thread.join()
    assert sum(interval.tokens for interval in book.intervals()) == 8000


def test_devices_multiply_time_and_money(book: Book) -> None:
    with meter(book, devices=8) as metered:
        time.sleep(0.02)
        spent = metered.spent()
    (interval,) = book.intervals()
    assert interval.device_ns == 8 * interval.measured_ns >= spent.device_ns >= 8 * 20_000_000
    assert interval.cost == pytest.approx(interval.device_ns * 7.2 / 3.6e12)


def test_without_a_price_there_is_no_cost(book: Book) -> None:
    with meter(book, price=None) as metered:
        assert metered.spent().cost is None
    assert book.intervals()[0].cost is None


def test_the_open_interval_is_in_the_book_at_once_and_its_heartbeat_stays_young(book: Book) -> None:
    with meter(book) as metered:
        (first,) = book.intervals()
        assert first.state == OPEN
        metered.add(tokens=7)
        ages = []
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:
            sum(range(20_000))  # Python code holds the interpreter's lock all the time
            (now,) = book.intervals()
            ages.append(time.monotonic_ns() - now.mono_start_ns - now.measured_ns)
        assert now.tokens == 7
    assert max(ages) < 1_000_000_000
    assert sorted(ages)[len(ages) // 2] < 2 * HEARTBEAT_NS


def test_a_locked_book_never_stops_the_work_and_misses_nothing(book: Book) -> None:
    blocker = sqlite3.connect(book.path, isolation_level=None, check_same_thread=False)
    with meter(book) as metered:
        blocker.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        metered.add(tokens=5)
        metered.stage("context")
        metered.stage("sft")
        assert time.monotonic() - began < 0.1
        time.sleep(0.4)
        threading.Timer(0.2, lambda: blocker.execute("COMMIT")).start()
    intervals = in_time(book)
    assert [(i.stage, i.tokens, i.state) for i in intervals] == [
        ("pretrain", 5, CLOSED), ("context", 0, CLOSED), ("sft", 0, CLOSED),
    ]  # fmt: skip
    assert intervals[-1].measured_ns >= 400_000_000


def test_a_book_that_fills_up_is_told_at_the_end_and_the_work_goes_on(
    book: Book, capsys: pytest.CaptureFixture[str]
) -> None:
    with meter(book) as metered:
        assert metered._recorder is not None
        full = metered._recorder.book._connection  # SQLite's own way to be full
        full.execute(f"PRAGMA max_page_count = {full.execute('PRAGMA page_count').fetchone()[0]}")
        for number in range(60):
            metered.stage(f"stage{number}")
        time.sleep(0.3)
    told = capsys.readouterr().err
    assert "could not be written" in told
    assert str(book.path) in told


def test_a_read_only_book_is_refused_before_any_work(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise sqlite3.OperationalError("attempt to write a readonly database")

    monkeypatch.setattr(Book, "write", fails)
    with pytest.raises(UserError, match="cannot be written"), meter(book):
        pytest.fail("the work began")


def test_an_exception_ends_the_interval(book: Book) -> None:
    with pytest.raises(ZeroDivisionError), meter(book):
        1 / 0  # noqa: B018
    assert book.intervals()[0].state == CLOSED


def test_no_devices_is_refused(book: Book) -> None:
    with pytest.raises(UserError, match="at least one device"):
        meter(book, devices=0)


def test_adding_costs_microseconds(book: Book) -> None:
    with meter(book) as metered:
        began = time.perf_counter()
        for _ in range(10_000):
            metered.add(tokens=1)
        each = (time.perf_counter() - began) / 10_000
    assert each < 20e-6  # 0.3 us on an idle machine


@pytest.mark.parametrize(("tokens", "flops"), [(0, 0.0), (1, 0.0), (0, 1.0), (1, 1.0)])
@pytest.mark.parametrize("flushed", [True, False])
def test_what_computed_anything_is_never_taken_out_again(book: Book, tokens: int, flops: float, flushed: bool) -> None:
    """A token or a FLOP, in the book already or not yet."""
    recorder, counter = Recorder(book), EnergyCounter(CPU, 1)
    interval = begin_interval(("tiny", "/runs/tiny"), "train", "pretrain", CPU)
    recorder.switch(None, interval, counter, time.monotonic_ns())
    recorder.flush()
    interval.tokens, interval.flops = tokens, flops
    recorder.switch(interval, None, counter, time.monotonic_ns())
    if flushed:
        recorder.flush()
    assert recorder.forget() == (not tokens and not flops)
    recorder.flush()
    assert [(line.tokens, line.flops) for line in bill_of(book).lines] == ([(tokens, flops)] if tokens or flops else [])
