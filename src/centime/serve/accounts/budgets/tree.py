"""The budgets as a tree, each with what is spent, held and left of its window now."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from centime.catalogue.tariffs import decimal
from centime.serve.accounts.budgets import lines
from centime.serve.accounts.budgets.edit import Cap, budgets
from centime.serve.accounts.budgets.lines import CapLine
from centime.serve.accounts.budgets.targets import EACH, split_person
from centime.serve.accounts.budgets.windows import begin_ns, end_ns
from centime.serve.accounts.limits import dead

MOST_PEOPLE = 20  # of a budget of each, those who have spent most


@dataclass(frozen=True)
class Count:
    """Where one budget stands in its window of now, in pico-units; who: '' but for one of each person."""

    budget: Cap
    who: str
    began_ns: int
    ends_ns: int | None
    spent: int
    held: int
    running: int
    passed: tuple[int, ...]  # the shares that were passed, per cent
    unsent: int  # alerts that are still to be sent
    runs_out_ns: int | None = None  # when it will be spent whole at its window's pace so far; None: not in this window

    @property
    def left(self) -> int:
        """What may still be spent; below nothing where a soft one was passed, or one was lowered."""
        return self.budget.pico - self.spent - self.held

    def as_json(self) -> dict[str, Any]:
        """The budget and its count as JSON values."""
        return self.budget.as_json() | {
            "who": self.who or None,
            "window_began": self.began_ns // 10**9 if self.began_ns else None,
            "window_ends": None if self.ends_ns is None else self.ends_ns // 10**9,
            "spent": decimal(self.spent),
            "held": decimal(self.held),
            "left": decimal(self.left),
            "requests_running": self.running,
            "alerts_passed": list(self.passed),
            "alerts_unsent": self.unsent,
            "spent_whole_at": None if self.runs_out_ns is None else self.runs_out_ns // 10**9,
        }


@dataclass
class Node:
    """An organisation, a team, a key or people of one of them: its counts, and what stands below it."""

    name: str  # the whole target
    counts: list[Count] = field(default_factory=list)
    below: list[Node] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The node and all below it as JSON values."""
        return {
            "name": self.name,
            "budgets": [count.as_json() for count in self.counts],
            "below": [node.as_json() for node in self.below],
        }


def tree(connection: sqlite3.Connection, wall_ns: int | None = None) -> list[Node]:
    """All budgets, below the organisations, teams and keys that they are of."""
    now, gone = time.time_ns() if wall_ns is None else wall_ns, dead(connection)
    places = dict(connection.execute("SELECT name, place FROM keys WHERE revoked_ns IS NULL").fetchall())
    roots: list[Node] = []
    known: dict[str, Node] = {}

    def node(name: str, above: Sequence[str]) -> Node:
        if name not in known:
            known[name] = Node(name)
            (node(above[-1], above[:-1]).below if above else roots).append(known[name])
        return known[name]

    for budget in budgets(connection):
        place, kind, _ = split_person(budget.target)
        own = _above(place, places)
        above = [*own, place] if kind and place else own
        node(budget.target, above).counts += _counts(connection, budget, now, gone)
    return roots


def _above(place: str, places: dict[str, str]) -> list[str]:
    """The names over a place or key, from the organisation down."""
    stands = places.get(place.removeprefix("key:"), "") if place.startswith("key:") else place.rpartition("/")[0]
    organisation = stands.partition("/")[0]
    return [name for name in dict.fromkeys((organisation, stands)) if name]


def _counts(connection: sqlite3.Connection, budget: Cap, now: int, gone: set[str]) -> list[Count]:
    began = begin_ns(budget.per, budget.zone, now)
    people = [""]
    if split_person(budget.target)[2] == EACH:
        people = [
            who
            for (who,) in connection.execute(
                "SELECT who FROM budget_spent WHERE budget = ? AND begin_ns = ? ORDER BY pico DESC, who LIMIT ?",
                (budget.number, began, MOST_PEOPLE),
            ).fetchall()
        ] or [""]
    return [_count(connection, budget, CapLine(budget.number, who, began), now, gone) for who in people]


def _count(connection: sqlite3.Connection, budget: Cap, line: CapLine, now: int, gone: set[str]) -> Count:
    told = connection.execute(
        "SELECT share, url != '' AND sent_ns IS NULL FROM alerts WHERE budget = ? AND who = ? AND begin_ns = ? "
        "ORDER BY share",
        (line.budget, line.who, line.begin_ns),
    ).fetchall()
    running, held = lines.held(connection, line, gone=gone)
    spent, ends = lines.spent(connection, line), end_ns(budget.per, budget.zone, now)
    return Count(
        budget,
        line.who,
        line.begin_ns,
        ends,
        spent,
        held,
        running,
        tuple(share for share, _ in told),
        sum(bool(unsent) for _, unsent in told),
        _runs_out(budget.pico, spent, line.begin_ns, now, ends),
    )


def _runs_out(pico: int, spent: int, began_ns: int, now: int, ends_ns: int | None) -> int | None:
    """When `pico` are spent if every moment costs what those since the window began cost on average; None: not before
    it ends, or of one that never began to count time."""
    if ends_ns is None or not spent or now <= began_ns:
        return None
    at = began_ns + pico * (now - began_ns) // spent
    return max(at, now) if at < ends_ns else None
