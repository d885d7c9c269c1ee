"""What the ledger knows of money, for Prometheus: who spent it, and what is left of budgets and keys.

Below /admin, since it names organisations, teams and keys. Of a ledger that several gateways share it is that of all of
them: one of them is enough to ask.
"""

from __future__ import annotations

import datetime
import sqlite3
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from centime.catalogue.tariffs import PICO
from centime.ledger.tagged import tagged_lines
from centime.serve.accounts.budgets.tree import Node, tree
from centime.serve.accounts.keys import list_keys
from centime.serve.accounts.store import Store

BY = ("organisation", "team", "key", "run")
MOST_LINES = 2000  # the dearest: a client may name teams of its own
_FIRST = datetime.date(1970, 1, 1)


class LedgerMetrics(Collector):
    """Read anew for each page."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def page(self) -> bytes:
        """In Prometheus's text format."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry)

    def describe(self) -> list[Metric]:
        """Nothing is read only to learn the names."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All of it, of one moment."""
        with self._store.reading() as connection:
            spent, roots = list(_spent(connection)), tree(connection)
        yield from spent
        yield from _budgets(roots)
        left = GaugeMetricFamily("centime_key_balance", "What is left on a key.", labels=["key", "currency"])
        for key in list_keys(self._store):
            if key.balance is not None and key.revoked_ns is None:
                left.add_metric([key.name, key.currency or ""], key.balance / PICO)
        yield left


def _spent(connection: sqlite3.Connection) -> Iterator[Metric]:
    labels = ["organisation", "team", "key", "server"]
    price = CounterMetricFamily("centime_spent", "What price lists asked so far.", labels=[*labels, "currency"])
    requests = CounterMetricFamily("centime_spent_requests", "Requests charged so far.", labels=labels)
    tokens = CounterMetricFamily("centime_spent_tokens", "Tokens charged so far.", labels=[*labels, "kind"])
    counted: dict[tuple[str, ...], list[int]] = {}
    for line in tagged_lines(connection, BY, _FIRST, datetime.date.max)[:MOST_LINES]:
        if line.currency:
            price.add_metric([*line.by, line.currency], line.list_pico / PICO)
        sums = counted.setdefault(line.by, [0, 0, 0, 0])
        for at, value in enumerate((line.requests, line.hit_tokens, line.prompt_tokens, line.output_tokens)):
            sums[at] += value
    for by, (number, hit, prompt, output) in counted.items():
        requests.add_metric(by, number)
        for kind, value in (("hit", hit), ("miss", prompt - hit), ("output", output)):
            tokens.add_metric([*by, kind], value)
    yield from (price, requests, tokens)


def _budgets(roots: Sequence[Node]) -> Iterator[Metric]:
    labels = ["budget", "per", "who", "currency", "hard"]
    limit = GaugeMetricFamily("centime_budget_limit", "What a window of a budget holds.", labels=labels)
    spent = GaugeMetricFamily("centime_budget_spent", "What of its window now is spent.", labels=labels)
    held = GaugeMetricFamily("centime_budget_held", "What running requests hold of it.", labels=labels)
    ends = GaugeMetricFamily("centime_budget_window_end_seconds", "When its window ends.", labels=labels)
    for node in _all(roots):
        for one in node.counts:
            budget = one.budget
            values = [budget.target, budget.per, one.who, budget.currency, "true" if budget.hard else "false"]
            for family, pico in ((limit, budget.pico), (spent, one.spent), (held, one.held)):
                family.add_metric(values, pico / PICO)
            if one.ends_ns is not None:
                ends.add_metric(values, one.ends_ns / 1e9)
    yield from (limit, spent, held, ends)


def _all(nodes: Sequence[Node]) -> Iterator[Node]:
    for node in nodes:
        yield node
        yield from _all(node.below)
