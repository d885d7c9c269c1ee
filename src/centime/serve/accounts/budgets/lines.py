"""What a request may take of each budget over it, what it holds of them while it runs, and what it took in the end.

All of it inside the caller's transaction: two requests side by side cannot both take what is left.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from centime.serve.accounts.budgets.alerts import note_alerts
from centime.serve.accounts.budgets.targets import split_person
from centime.serve.accounts.budgets.windows import Window, begin_ns, window_named

MOST = 2**63 - 1  # what an integer of SQLite holds


@dataclass(frozen=True)
class CapLine:
    """One window of one budget, of one person where it is for each: what a request is counted in."""

    budget: int
    who: str
    begin_ns: int


@dataclass(frozen=True)
class Over:
    """A budget over a request, in force now. pico: of one window, in `currency`."""

    line: CapLine
    target: str
    per: Window
    currency: str
    pico: int
    hard: bool

    @property
    def said(self) -> str:
        """'the budget of acme/research a month', as a sentence names it."""
        above, kind, _ = split_person(self.target)
        of = f"{f'{above}/' if above else ''}{kind}:{self.line.who}" if self.line.who else self.target
        return f"the budget of {of}" + ("" if self.per == "ever" else f" a {self.per}")


def over(connection: sqlite3.Connection, targets: Sequence[tuple[str, str]], wall_ns: int) -> list[Over]:
    """The budgets over a request that comes at a moment. targets: what it falls under, see `targets_of`."""
    who = dict(targets)
    if not who:
        return []
    rows = connection.execute(
        "SELECT id, target, per, zone, currency, pico, hard FROM budgets "
        f"WHERE target IN ({', '.join('?' * len(who))}) ORDER BY id",
        tuple(who),
    ).fetchall()
    return [
        Over(
            CapLine(number, who[target], begin_ns(window_named(per), zone, wall_ns)),
            target, window_named(per), currency, pico, bool(hard),
        )
        for number, target, per, zone, currency, pico, hard in rows
    ]  # fmt: skip


def spent(connection: sqlite3.Connection, line: CapLine) -> int:
    """Pico-units that were charged to it so far."""
    found = connection.execute(
        "SELECT pico FROM budget_spent WHERE budget = ? AND who = ? AND begin_ns = ?",
        (line.budget, line.who, line.begin_ns),
    ).fetchone()
    return found[0] if found else 0


def held(connection: sqlite3.Connection, line: CapLine, but: int = 0, gone: Collection[str] = ()) -> tuple[int, int]:
    """(running requests, pico-units that they could take of it), without the reservation numbered `but` and without
    those of the holders that are `gone`."""
    rows = connection.execute(
        "SELECT holder, pico FROM budget_held JOIN reservations ON reservations.id = reservation "
        "WHERE budget = ? AND who = ? AND begin_ns = ? AND reservation != ?",
        (line.budget, line.who, line.begin_ns, but),
    ).fetchall()
    each = [pico for holder, pico in rows if holder not in gone]
    return len(each), sum(each)  # summed here: SQLite's sum ends at 64 bits


def hold(connection: sqlite3.Connection, reservation: int, lines: Sequence[CapLine]) -> None:
    """The reservation is held of these from now on."""
    connection.execute("DELETE FROM budget_held WHERE reservation = ?", (reservation,))
    for line in lines:
        connection.execute(
            "INSERT INTO budget_held (reservation, budget, who, begin_ns) VALUES (?, ?, ?, ?)",
            (reservation, line.budget, line.who, line.begin_ns),
        )


def charge(connection: sqlite3.Connection, lines: Sequence[CapLine], pico: int, wall_ns: int) -> None:
    """Adds what a request cost to the windows in which it was admitted, and notes whom that is to be told to."""
    for line in lines:
        before = spent(connection, line)
        after = min(MOST, before + pico)
        connection.execute(
            "INSERT INTO budget_spent (budget, who, begin_ns, pico) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (budget, who, begin_ns) DO UPDATE SET pico = excluded.pico",
            (line.budget, line.who, line.begin_ns, after),
        )
        note_alerts(connection, (line.budget, line.who, line.begin_ns), before, after, wall_ns)
