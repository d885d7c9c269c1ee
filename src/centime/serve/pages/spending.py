"""Who spends what, and how long budgets last: the month so far by tag, each budget's burn-down, keys, as sections."""

from __future__ import annotations

import datetime
import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from centime.catalogue.tariffs import PICO
from centime.charts.kinds import BarChart, Line, LineChart, Table
from centime.ledger.tagged import TaggedLine, tagged_lines
from centime.messages import Writer
from centime.plan.show.language import writer
from centime.plan.show.sections import Figure, Figures, Section
from centime.serve.accounts import Account
from centime.serve.accounts.budgets.targets import split_person
from centime.serve.accounts.budgets.tree import Count, Node, tree
from centime.serve.accounts.keys import list_keys
from centime.serve.accounts.store import Store
from centime.serve.pages.plan_json import section_json
from centime.serve.pages.spending_words import words

SORTED_BY = ("team", "user", "model", "feature", "key")
OF_A_KEY = ("user", "model", "feature")
MOST_BARS = 8  # those who spent most; all others are one bar
MOST_BURNDOWNS = 4
DAY_NS = 86_400 * 10**9
LONGEST_MONTH = (0.0, 31.0)  # days: so that two months are drawn alike


@dataclass(frozen=True)
class SpendingView:
    """Read anew at each call. A key sees its own spending; whoever sees all of a server, budgets and keys too."""

    store: Callable[[], Store]
    now_ns: Callable[[], int] = time.time_ns

    def __call__(self, lang: str, whose: Account) -> dict[str, Any]:
        """{sections}, in a language. Raises UserError for one that the page does not speak."""
        speaks, now_ns = words(lang), self.now_ns()
        now = datetime.datetime.fromtimestamp(now_ns / 1e9, datetime.UTC)
        with self.store().reading() as connection:
            sections = list(_month(connection, now, whose.name, speaks))
            if not whose.name:
                sections += _budgets(connection, now_ns, speaks)
        if not whose.name:
            sections += _keys(self.store(), speaks)
        return {"sections": [section_json(section, writer(lang).say) for section in sections]}


def _month(connection: sqlite3.Connection, now: datetime.datetime, key: str, speaks: Writer) -> Iterator[Section]:
    begun = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    first, today = begun.date(), now.date()

    def lines(name: str) -> list[TaggedLine]:
        found = tagged_lines(connection, ("key", name), first, today)
        return [line for line in found if line.currency and (not key or line.by[0] == key)]

    days = lines("day")
    if not days:
        return
    sums: dict[str, int] = defaultdict(int)
    for line in days:
        sums[line.currency] += line.list_pico
    currency = max(sums, key=lambda one: sums[one])
    after = (first + datetime.timedelta(days=32)).replace(day=1)
    whole = (after - first) / max(now - begun, datetime.timedelta(seconds=1))
    yield Figures(
        [
            *(
                Figure(speaks.say("Spent this month"), speaks.money(pico / PICO, one), speaks.say(
                    "{cost} by its end, at this pace", cost=speaks.money(pico / PICO * whole, one)
                ))
                for one, pico in sums.items()
            ),
            Figure(speaks.say("Requests"), speaks.count(sum(line.requests for line in days))),
            Figure(speaks.say("Tokens"), speaks.count(sum(line.prompt_tokens + line.output_tokens for line in days))),
        ],
        speaks.say("This month, by whom and for what"),
    )  # fmt: skip
    for name in OF_A_KEY if key else SORTED_BY:
        if bars := _bars([line for line in lines(name) if line.currency == currency], speaks):
            yield BarChart(
                speaks.say(f"By {name}"), currency, bars, lambda value: speaks.money(value, currency),
                "" if len(sums) == 1 else speaks.say("In {currency} alone.", currency=currency),
            )  # fmt: skip
    yield from _by_day([line for line in days if line.currency == currency], first, speaks)


def _bars(lines: Sequence[TaggedLine], speaks: Writer) -> list[tuple[str, float]]:
    """Those who spent most, the others together; none where nobody is named."""
    found: dict[str, int] = defaultdict(int)
    for line in lines:
        found[line.by[1]] += line.list_pico
    if set(found) <= {""}:
        return []
    ranked = sorted(found.items(), key=lambda one: (-one[1], one[0]))
    bars = [(name or speaks.say("(none)"), pico / PICO) for name, pico in ranked[:MOST_BARS]]
    if others := ranked[MOST_BARS:]:
        bars.append((speaks.say("{n:,|other|others}", n=len(others)), sum(pico for _, pico in others) / PICO))
    return bars


def _by_day(lines: Sequence[TaggedLine], first: datetime.date, speaks: Writer) -> Iterator[Section]:
    each: dict[int, int] = defaultdict(int)
    for line in lines:
        each[(datetime.date.fromisoformat(line.by[1]) - first).days + 1] += line.list_pico
    if len(each) < 2:
        return
    currency, total, points = lines[0].currency, 0, [(0.0, 0.0)]
    for day in range(1, max(each) + 1):
        total += each.get(day, 0)
        points.append((float(day), total / PICO))
    yield LineChart(
        speaks.say("Spent so far"), currency, speaks.say("Days of the month (UTC)"),
        [Line(speaks.say("Spent"), points)], lambda value: speaks.money(value, currency),
        lambda value: speaks.number(value, ".0f"), span=LONGEST_MONTH,
    )  # fmt: skip


def _budgets(connection: sqlite3.Connection, now: int, speaks: Writer) -> Iterator[Section]:
    counts = [count for node in tree(connection, now) for count in _all(node)]
    if not counts:
        return
    head = ("Budget", "Window", "Limit", "Spent", "Held", "Left", "Spent whole")
    yield Table(
        speaks.say("Budgets"), [speaks.say(word) for word in head], [_row(count, speaks) for count in counts],
        speaks.say("Spent whole: the day it ends at the pace of its window so far."),
    )  # fmt: skip
    drawn = sorted(counts, key=lambda one: one.spent / one.budget.pico, reverse=True)
    shown = 0
    for count in drawn:
        if shown < MOST_BURNDOWNS and (chart := _burndown(connection, count, now, speaks)) is not None:
            shown += 1
            yield chart


def _all(node: Node) -> Iterator[Count]:
    yield from node.counts
    for below in node.below:
        yield from _all(below)


def _row(count: Count, speaks: Writer) -> tuple[str, ...]:
    budget = count.budget
    name = budget.target + (f" {count.who}" if count.who else "")
    amounts = (
        speaks.money(pico / PICO, budget.currency) for pico in (budget.pico, count.spent, count.held, count.left)
    )
    if count.runs_out_ns is not None:
        ends = speaks.date(datetime.datetime.fromtimestamp(count.runs_out_ns / 1e9, datetime.UTC).date().isoformat())
    else:
        ends = speaks.say("not in this window") if count.ends_ns is not None and count.spent else "–"
    return (name, speaks.say(f"a {budget.per}" if budget.per != "ever" else "for ever"), *amounts, ends)


def _burndown(connection: sqlite3.Connection, count: Count, now: int, speaks: Writer) -> LineChart | None:
    """What was left at the end of each day of a month's window, counted back from what is left now; None of others."""
    budget = count.budget
    place, kind, _ = split_person(budget.target)
    if budget.per != "month" or kind or not count.spent or count.ends_ns is None or count.ends_ns <= now:
        return None
    names, wanted = _named(place)
    first = datetime.datetime.fromtimestamp(count.began_ns / 1e9, datetime.UTC).date()
    today = datetime.datetime.fromtimestamp(now / 1e9, datetime.UTC).date()
    spent: dict[str, int] = defaultdict(int)
    for line in tagged_lines(connection, ("day", *names), first, today):
        if line.by[1:] == wanted and line.currency == budget.currency:
            spent[line.by[0]] += line.list_pico
    at, left = (now - count.began_ns) / DAY_NS, budget.pico - count.spent
    points, back = [(at, left / PICO)], left
    for day in range((today - first).days, 0, -1):
        back = min(budget.pico, back + spent[(first + datetime.timedelta(days=day)).isoformat()])
        if day < at:
            points.append((float(day), back / PICO))
    points.append((0.0, budget.pico / PICO))
    window = (count.ends_ns - count.began_ns) / DAY_NS
    end = (window, left - count.spent * (window - at) / at) if count.runs_out_ns is None else (
        (count.runs_out_ns - count.began_ns) / DAY_NS, 0.0
    )  # fmt: skip
    pace = [(at, left / PICO), (end[0], end[1] / PICO)]
    return LineChart(
        speaks.say("What is left of {budget}", budget=budget.target), budget.currency,
        speaks.say("Days of its window"),
        [Line(speaks.say("Left"), points[::-1]), Line(speaks.say("At this pace"), pace, faint=True)],
        lambda value: speaks.money(value, budget.currency), lambda value: speaks.number(value, ".1f"),
        span=(0.0, window), from_zero=True,
    )  # fmt: skip


def _named(place: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What the sums of a budget's place are sorted by, and the values that are its own."""
    if place.startswith("key:"):
        return ("key",), (place.removeprefix("key:"),)
    organisation, _, team = place.partition("/")
    return (("organisation", "team"), (organisation, team)) if team else (("organisation",), (organisation,))


def _keys(store: Store, speaks: Writer) -> Iterator[Section]:
    keys = [key for key in list_keys(store) if key.revoked_ns is None]
    if keys:
        rows = [
            (
                key.name,
                key.place or "–",
                speaks.say("no end") if key.balance is None else speaks.money(key.balance / PICO, key.currency or ""),
                speaks.number(key.running),
            )
            for key in keys
        ]
        yield Table(speaks.say("Keys"), [speaks.say(word) for word in ("Key", "Stands in", "Left", "Running")], rows)
