"""Served requests on the bill: Day 6 comes out, sums stay small, and not a nanosecond of the machine is missing."""

from __future__ import annotations

import io
import json
import re
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from tests.ledger.billing.printed import printed
from tests.ledger.made import HOUR, at, made

from centime.catalogue.tariffs import tariff_for
from centime.ledger import Book
from centime.ledger.billing import bill_of, table_of
from centime.ledger.book import connect
from centime.ledger.served import EngineTime, EngineTotals, Served, add_served, engine_hours, hour_of, served_rows
from centime.ledger.serving import ServingBill, serving_bill

SECOND = 10**9


def served(
    hour: int = 495_000, key: str = "alice", hours: str = "", requests: int = 1, prompt: int = 100, hit: int = 60,
    output: int = 10, machine_ns: int = SECOND, tariff: str = "deepseek-r1", run: str = "tiny",
) -> Served:  # fmt: skip
    """Requests of one hour, priced by R1's list of 2025."""
    amounts = tariff_for("D003").peak
    run_path = "/runs/tiny" if run == "tiny" else ""
    return Served(
        hour, run, run_path, key, tariff, "USD", hours, requests, prompt, hit, output, machine_ns,
        hit * amounts.hit, (prompt - hit) * amounts.miss, output * amounts.output,
    )  # fmt: skip


def add(book: Book, *rows: Served) -> None:
    connection = connect(book.path)
    for row in rows:
        add_served(connection, row)
    connection.close()


def serve(hours: float = 1.0, **changes: object) -> object:
    return made("serve", hours, verb="serve", **changes)


def of(book: Book, run: str | None = None) -> ServingBill:
    found = bill_of(book, run).serving
    assert found is not None
    return found


def test_day_6_of_deepseek(book: Book) -> None:
    """608 G tokens in, 342 G of them hits, 168 G out, 226.75 nodes of 8 H800 at $2 for 24 hours, at R1's prices."""
    book.write([serve(24, devices=1814)])  # type: ignore[list-item]
    start = hour_of(at("2025-02-27T04:00"))
    for hour in range(24):  # a twenty-fourth an hour, less than a key's 64 bits of pico-dollars
        add(book, served(start + hour, prompt=608 * 10**9 // 24, hit=342 * 10**9 // 24, output=168 * 10**9 // 24))
    values = json.loads(json.dumps(bill_of(book).as_json()))["serving"]
    assert values["machine_cost"] == pytest.approx(87_072)
    assert values["total"]["list_price"] == pytest.approx(562_100, rel=1e-6)
    assert values["margin"] == pytest.approx(5.4556, abs=1e-4)
    assert len(values["hours"]) == 24
    shown = printed(bill_of(book), width=130)
    assert "Served, 2025-02-27 04:00 to 2025-02-28 04:00 UTC" in shown
    assert "Margin 545.6%" in shown
    assert "$562,100.00" in shown
    assert "56.2%" in shown or "56.3%" in shown  # 342 / 608 is 0.5625
    assert "$0.518 per million" in shown  # FACTS: about $0.52 of all cost per million output tokens


def test_a_bill_without_serving_has_none(book: Book) -> None:
    book.write([made()])
    assert bill_of(book).serving is None
    assert bill_of(book).as_json()["serving"] is None
    assert "Served" not in printed(bill_of(book))


def test_lines_by_key_list_and_hours_and_the_rest_of_the_time(book: Book) -> None:
    book.write([serve(0.01)])  # type: ignore[list-item]
    add(
        book,
        served(), served(), served(hours="peak", output=20), served(key="", tariff="", requests=5),
        served(key="bob", machine_ns=3 * SECOND),
    )  # fmt: skip
    connection = connect(book.path)
    report(EngineTime("tiny", "/runs/tiny"), connection, 10 * SECOND, 20 * SECOND, at("2026-06-15T12:00"))
    made_bill = of(book)
    assert [(line.key, line.hours, line.requests) for line in made_bill.lines] == [
        ("", "", 5), ("alice", "", 2), ("alice", "peak", 1), ("bob", "", 1),
    ]  # fmt: skip
    assert made_bill.total.machine_ns == 7 * SECOND
    assert (made_bill.unfinished_ns, made_bill.idle_ns, made_bill.other_ns) == (3 * SECOND, 20 * SECOND, 6 * SECOND)
    assert made_bill.device_ns == 36 * SECOND
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(table_of(bill_of(book), hours=True))
    by_hour = console.export_text().split("Hour by hour, UTC")[1]
    assert "2026-06-15 12:00" in by_hour
    assert re.search(r"10\.0s +20\.0s", by_hour)
    shown = printed(bill_of(book), width=120)
    assert "Hour by hour" not in shown
    for words in ("alice: deepseek-r1, peak", "(no key): no price list", "Unfinished", "Idle", "Start-up, loading"):
        assert words in shown


def test_one_run_has_its_own_requests_alone(book: Book) -> None:
    book.write([serve(), serve(run="other", run_path=None)])  # type: ignore[list-item]
    add(book, served(), served(run="other"), served(run="other"))
    assert of(book, "tiny").total.requests == 1
    assert of(book, "other").total.requests == 2
    assert of(book).total.requests == 3


def test_several_currencies_are_not_compared(book: Book) -> None:
    book.write([serve(currency="EUR")])  # type: ignore[list-item]
    add(book, served())
    assert of(book).margin is None
    assert of(book).total.list_price is not None
    book.write([serve(currency="USD")])  # type: ignore[list-item]
    assert of(book).cost is None


def test_a_million_requests_stay_small(tmp_path: Path) -> None:
    """A day of two keys at two hours' prices: 96 rows, however many requests."""
    path = tmp_path / "ledger.sqlite"
    connection = connect(path)

    def requests(count: int) -> int:
        connection.execute("BEGIN")
        for number in range(count):
            add_served(
                connection,
                served(495_000 + number % 24, "ab"[number // 24 % 2], ("peak", "off-peak")[number // 48 % 2]),
            )
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return path.stat().st_size

    few = requests(200)
    many = requests(5_000)
    assert len(served_rows(connection)) == 24 * 2 * 2
    assert many < few * 1.5 < 200_000
    assert sum(row.requests for row in served_rows(connection)) == 5_200
    assert sum(row.machine_ns for row in served_rows(connection)) == 5_200 * SECOND


Step = tuple[int, list[int], bool]  # nanoseconds, the requests in it, whether the clock is reported after it
STEPS = st.lists(
    st.tuples(st.integers(0, 4 * HOUR), st.lists(st.integers(0, 4), max_size=3), st.booleans()), max_size=30
)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.integers(1, 8), st.integers(0, HOUR))
def test_shares_and_idle_equal_the_meters_clock_to_the_nanosecond(steps: list[Step], devices: int, late: int) -> None:
    """An engine that splits each step over its requests, books what they had when they end, and its clock now and then;
    the meter around it. However long, over whichever hours, the parts add up."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for table in ("served", "engine_time", "served_full"):
        connection.execute(_create(table))
    clock = EngineTime("tiny", "/runs/tiny", devices)
    start = at("2026-06-15T12:00")
    now, requests_ns, idle_ns = start, 0, 0
    shares: dict[int, int] = {}
    finished = 0
    for length, running, reported in steps:
        now += length
        if running:
            requests_ns += length
            for index, request in enumerate(running):  # whole nanoseconds, the remainder to the first
                extra = index < length % len(running)
                shares[request] = shares.get(request, 0) + length // len(running) + extra
            done = running[0]
            ns = shares.pop(done) * devices
            finished += ns
            add_served(connection, served(hour_of(now), machine_ns=ns))
        else:
            idle_ns += length
        if reported:
            report(clock, connection, requests_ns, idle_ns, now)
    report(clock, connection, requests_ns, idle_ns, now)
    hours = engine_hours(connection)
    assert sum(hour.requests_ns + hour.idle_ns for hour in hours) == (now - start) * devices
    interval = made("serve", verb="serve", measured_ns=now - start + late, devices=devices, wall_start_ns=start)
    made_bill = serving_bill(served_rows(connection), hours, [interval], None)
    assert made_bill is not None
    assert made_bill.unfinished_ns == sum(shares.values()) * devices
    assert made_bill.other_ns == late * devices
    assert made_bill.total.machine_ns == finished
    parts = (made_bill.total.machine_ns, made_bill.unfinished_ns, made_bill.idle_ns, made_bill.other_ns)
    assert sum(parts) == interval.device_ns == made_bill.device_ns


def report(clock: EngineTime, connection: sqlite3.Connection, requests_ns: int, idle_ns: int, wall_ns: int) -> None:
    clock.read(EngineTotals(requests_ns, idle_ns), wall_ns)
    clock.write(connection)


def _create(table: str) -> str:
    from centime.ledger.served import SCHEMA

    return next(part for part in SCHEMA.split(";") if f"EXISTS {table} " in part)


def test_a_clock_set_back_loses_nothing(book: Book) -> None:
    connection = connect(book.path)
    clock = EngineTime("tiny", None)
    report(clock, connection, 1, 2, at("2026-06-15T12:00"))
    report(clock, connection, 5, 4, at("2026-06-15T11:59"))
    report(clock, connection, 7, 8, at("2026-06-15T13:00"))
    assert [(hour.requests_ns, hour.idle_ns) for hour in book.engine_hours()] == [(5, 4), (2, 4)]


def test_a_reading_that_comes_late_says_nothing_new(book: Book) -> None:
    """Two readings may be taken in one order and arrive in the other: neither clock goes back, in any hour."""
    connection = connect(book.path)
    clock = EngineTime("tiny", None)
    report(clock, connection, 10, 20, at("2026-06-15T12:00"))
    report(clock, connection, 7, 25, at("2026-06-15T12:01"))
    assert [(hour.requests_ns, hour.idle_ns) for hour in book.engine_hours()] == [(10, 25)]
    report(clock, connection, 9, 21, at("2026-06-15T13:00"))
    report(clock, connection, 12, 26, at("2026-06-15T13:01"))
    assert [(hour.requests_ns, hour.idle_ns) for hour in book.engine_hours()] == [(10, 25), (2, 1)]


def test_an_hour_that_stands_in_the_ledger_is_not_looked_for_again(book: Book) -> None:
    connection = connect(book.path)
    clock = EngineTime("tiny", None)
    report(clock, connection, 1, 2, at("2026-06-15T12:00"))
    clock.write(connection)
    asked: list[str] = []
    connection.set_trace_callback(asked.append)
    clock.write(connection)
    assert asked == []


class Unwritable:
    """A ledger that fails at the first write, or takes all of them and fails at the commit."""

    def __init__(self, connection: sqlite3.Connection, at_commit: bool) -> None:
        self._connection, self._at_commit = connection, at_commit

    def report(self, clock: EngineTime, requests_ns: int, idle_ns: int, wall_ns: int) -> None:
        if not self._at_commit:
            clock.read(EngineTotals(requests_ns, idle_ns), wall_ns)
            return
        self._connection.execute("BEGIN")
        report(clock, self._connection, requests_ns, idle_ns, wall_ns)
        self._connection.execute("ROLLBACK")


READINGS = st.lists(
    st.tuples(
        st.integers(0, 2 * HOUR),  # given to requests
        st.integers(0, 2 * HOUR),  # idle
        st.integers(-3 * HOUR, 3 * HOUR),  # by which somebody moves the wall clock meanwhile
        st.sampled_from(["booked", "no write", "no commit"]),
    ),
    max_size=30,
)


@settings(max_examples=150, deadline=None)
@given(READINGS, st.integers(1, 8))
def test_no_hour_is_lost_by_a_ledger_that_cannot_be_written_nor_by_a_clock_that_is_moved(
    readings: list[tuple[int, int, int, str]], devices: int
) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute(_create("engine_time"))
    clock = EngineTime("tiny", "/runs/tiny", devices)
    requests_ns = idle_ns = 0
    wall = at("2026-06-15T12:00")
    hours: dict[int, tuple[int, int]] = {}
    for busy, idle, moved, what in [*readings, (1, 1, 0, "booked")]:
        requests_ns, idle_ns, wall = requests_ns + busy, idle_ns + idle, wall + busy + idle + moved
        if what == "booked":
            report(clock, connection, requests_ns, idle_ns, wall)
        else:
            Unwritable(connection, what == "no commit").report(clock, requests_ns, idle_ns, wall)
        hour = hour_of(wall)
        if moved >= 0:  # else it may stay in the hour before
            hours[hour] = (hours.get(hour, (0, 0))[0] + busy, hours.get(hour, (0, 0))[1] + idle)
    rows = engine_hours(connection)
    assert sum(row.requests_ns for row in rows) == requests_ns * devices
    assert sum(row.idle_ns for row in rows) == idle_ns * devices
    if all(moved >= 0 for _, _, moved, _ in readings):
        assert {row.hour: (row.requests_ns, row.idle_ns) for row in rows} == {
            hour: (busy * devices, idle * devices) for hour, (busy, idle) in hours.items()
        }
