"""A ledger that is locked or full for a while: nothing of what ends meanwhile is lost, and nobody waits long for it."""

from __future__ import annotations

import functools
import gc
import resource
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.serve.accounts.made import DOLLAR, Use, keyed, refusal

from centime.ledger.served import EngineTotals, engine_hours, served_rows
from centime.serve.accounts import Accounts, Refused, Ticket
from centime.serve.accounts.keys import list_keys
from centime.serve.accounts.store import Store

HOUR = 3_600_000_000_000


@contextmanager
def locked(accounts: Accounts, path: Path) -> Iterator[None]:
    """Another process holds the ledger's write lock."""
    accounts._store._connection.execute("PRAGMA busy_timeout = 20")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.execute("ROLLBACK")
    other.close()


@contextmanager
def full(accounts: Accounts, path: Path) -> Iterator[None]:
    """No file of this process may grow: what a commit writes does not get to the disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


UNWRITABLE = pytest.mark.parametrize("unwritable", [locked, full])
Unwritable = Callable[[Accounts, Path], AbstractContextManager[None]]


@UNWRITABLE
def test_a_release_is_not_lost(path: Path, unwritable: Unwritable) -> None:
    accounts, account = keyed(path, budget="$0.003", concurrency=1)
    ticket = accounts.admit(account, prompt_tokens=500, max_tokens=500)
    with unwritable(accounts, path):
        ticket.release()
    accounts.machine_time(EngineTotals(1, 1))
    assert (list_keys(Store(path))[0].running, accounts.balance(account).held) == (0, 0)
    accounts.admit(account, prompt_tokens=500, max_tokens=500).release()


@UNWRITABLE
def test_the_next_request_finds_the_place_of_a_late_release_free(path: Path, unwritable: Unwritable) -> None:
    accounts, account = keyed(path, budget="$0.003", concurrency=1)
    ticket = accounts.admit(account, prompt_tokens=500, max_tokens=500)
    with unwritable(accounts, path):
        ticket.release()
        with pytest.raises(Refused, match="ledger cannot be written") as refused:
            accounts.admit(account)
        assert refused.value.status == 503
        assert accounts.balance(account).held > 0  # who looks is told what the ledger knows
        assert [key.name for key in list_keys(Store(path))] == ["alice"]
        assert accounts.open is False
    accounts.admit(account, prompt_tokens=500, max_tokens=500)


def forget(ticket: list[Ticket]) -> None:
    ticket.clear()
    gc.collect()


@pytest.mark.parametrize("busy", [False, True])
def test_a_ticket_that_nobody_has_any_more_is_released(path: Path, busy: bool) -> None:
    accounts, account = keyed(path, budget="$0.003", concurrency=1)
    tickets = [accounts.admit(account, prompt_tokens=500, max_tokens=500)]
    circle: list[object] = [tickets[0]]
    circle.append(circle)  # as an exception and its traceback hold each other
    del circle
    if busy:
        with locked(accounts, path):
            forget(tickets)
    else:
        forget(tickets)
    accounts.admit(account, prompt_tokens=500, max_tokens=500).settle(Use(1, 0, 1))
    assert accounts.balance(account).held == 0


def test_a_ticket_forgotten_inside_the_ledgers_own_lock_stops_nothing(path: Path) -> None:
    """The collector runs whenever it likes: also in the middle of a write, in the thread that holds the lock."""
    accounts, account = keyed(path, concurrency=1)
    tickets = [accounts.admit(account)]
    with accounts._store.writing(), accounts._reservations.bookings._lock:
        forget(tickets)
    accounts.admit(account).release()


@UNWRITABLE
def test_a_settled_ticket_stays_settled_whatever_follows(path: Path, unwritable: Unwritable) -> None:
    accounts, account = keyed(path, budget="$1")
    tickets = [accounts.admit(account, prompt_tokens=100, max_tokens=10)]
    with unwritable(accounts, path):
        assert tickets[0].settle(Use()).list_price == 230 * 10**6
        tickets[0].release()
        with pytest.raises(RuntimeError):
            tickets[0].settle(Use())
        forget(tickets)
    accounts.machine_time(EngineTotals(1, 1))
    assert accounts.balance(account).left == DOLLAR - 230 * 10**6
    assert [row.requests for row in served_rows(sqlite3.connect(path))] == [1]


def test_a_use_that_cannot_be_charges_nothing_and_leaves_the_ticket_good(path: Path) -> None:
    accounts, account = keyed(path, budget="$1")
    ticket = accounts.admit(account, prompt_tokens=100, max_tokens=10)
    for wrong in (Use(10, 11, 1), Use(-1, 0, 1), Use(1, -1, 1), Use(1, 0, -1), Use(1, 0, 1, -1), Use(2**60, 0, 1),
                  Use(1, 0, 1, 2**63)):  # fmt: skip
        with pytest.raises(ValueError, match="cannot have used"):
            ticket.settle(wrong)
    assert ticket.settle(Use()).list_price == 230 * 10**6
    assert accounts.balance(account).left == DOLLAR - 230 * 10**6


def test_many_that_end_while_the_ledger_is_locked_do_not_wait_for_one_another(path: Path) -> None:
    accounts, account = keyed(path, budget="$1")
    tickets = [accounts.admit(account, prompt_tokens=100, max_tokens=10) for _ in range(20)]
    begun: list[float] = []
    begin = accounts._store._begin
    accounts._store._begin = lambda: (begun.append(0), begin())[1]  # type: ignore[func-returns-value,method-assign]
    with locked(accounts, path):
        accounts._store._connection.execute("PRAGMA busy_timeout = 200")
        threads = [threading.Thread(target=ticket.settle, args=(Use(),)) for ticket in tickets]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(begun) <= 5  # not one wait each
    accounts.machine_time(EngineTotals(1, 1))
    assert accounts.balance(account).left == DOLLAR - 20 * 230 * 10**6
    assert accounts.balance(account).held == 0


def test_charges_that_are_never_booked_are_told_by_key(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    accounts, account = keyed(path, budget="$1")
    tickets = [accounts.admit(account, prompt_tokens=100, max_tokens=10) for _ in range(2)]
    with locked(accounts, path):
        tickets[0].settle(Use())
        accounts.close()
        assert "missing from it and from the balances: alice 0.00023 USD." in capfd.readouterr().err
        tickets[1].settle(Use())  # a request that outlives its server
        assert "alice 0.00023 USD" in capfd.readouterr().err


Move = tuple[str, int]
MOVES = st.lists(
    st.tuples(st.sampled_from(["admit", "raise", "settle", "release", "forget", "lock", "fill", "free", "clock"]),
              st.integers(0, 5)),
    max_size=60,
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(MOVES)
def test_whatever_happens_to_tickets_and_the_ledger_money_adds_up(
    tmp_path_factory: pytest.TempPathFactory, moves: list[Move]
) -> None:
    path = tmp_path_factory.mktemp("late") / "ledger.sqlite"
    accounts, account = keyed(path, budget="$0.05", concurrency=4)
    budget, charged, settled = DOLLAR // 20, 0, 0
    tickets: list[Ticket] = []
    bad: AbstractContextManager[None] | None = None

    def admit(prompt: int) -> None:
        tickets.append(accounts.admit(account, prompt_tokens=prompt, max_tokens=10))

    for move, number in moves:
        ticket = None
        if move in ("lock", "fill") and bad is None:
            bad = (locked if move == "lock" else full)(accounts, path)
            bad.__enter__()
        elif move == "free" and bad is not None:
            bad.__exit__(None, None, None)
            bad = None
        elif move == "clock":
            accounts.machine_time(EngineTotals(number, number))
        elif move == "admit":
            status = refusal(functools.partial(admit, 100 * number))
            assert status == 503 if bad is not None else status in (None, 402, 429)
        elif tickets:
            ticket = tickets[number % len(tickets)]
            if move == "raise":
                status = refusal(functools.partial(ticket.raise_to, prompt_tokens=1000 * number, max_tokens=1000))
                assert status == 503 if bad is not None else status in (None, 402)
                continue
            tickets.remove(ticket)
            if move == "settle":
                charged += ticket.settle(Use(10 * number, number, number)).list_price
                settled += 1
            elif move == "release":
                ticket.release()
    ticket = None
    if bad is not None:
        bad.__exit__(None, None, None)
    accounts.machine_time(EngineTotals(1, 1))
    (key,) = list_keys(Store(path))
    assert key.running == len(tickets)
    tickets.clear()
    accounts.machine_time(EngineTotals(2, 2))
    balance = accounts.balance(account)
    assert (balance.left, balance.held) == (budget - charged, 0)
    rows = served_rows(sqlite3.connect(path))
    assert sum(row.list_pico for row in rows) == charged
    assert sum(row.requests for row in rows) == settled


def test_the_engines_hours_are_booked_when_the_ledger_can_be_written_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts, _ = keyed(path)
    now = [500_000 * HOUR]
    monkeypatch.setattr("time.time_ns", lambda: now[0])

    def after(minutes: int) -> None:
        now[0] += minutes * HOUR // 60
        busy, idle = (now[0] - 500_000 * HOUR) * 2 // 3, (now[0] - 500_000 * HOUR) // 3
        accounts.machine_time(EngineTotals(busy, idle))

    after(30)
    with locked(accounts, path):
        for _ in range(17):
            after(15)
    after(15)  # at 05:00
    rows = engine_hours(sqlite3.connect(path))
    assert [(row.hour - 500_000, row.requests_ns, row.idle_ns) for row in rows][:5] == [
        (0, 30 * HOUR // 60, 15 * HOUR // 60),
        *((hour, 40 * HOUR // 60, 20 * HOUR // 60) for hour in (1, 2, 3, 4)),
    ]
    assert sum(row.requests_ns + row.idle_ns for row in rows) == 5 * HOUR
