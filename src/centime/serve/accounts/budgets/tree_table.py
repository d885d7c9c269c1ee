"""The tree of budgets for a terminal."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from rich import box
from rich.table import Table

from centime.serve.accounts.budgets.targets import split_person
from centime.serve.accounts.budgets.tree import Count, Node
from centime.serve.accounts.budgets.windows import zone_named
from centime.serve.accounts.purses import money


def tree_table(roots: Sequence[Node]) -> Table:
    """One line a budget and person, below what it is a part of: its limit, and what of the window is spent, held and
    left."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("budget of", overflow="fold")
    table.add_column("per", no_wrap=True)
    for name in ("limit", "spent", "held", "left"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    _add(table, roots, 0)
    return table


def _add(table: Table, nodes: Sequence[Node], depth: int) -> None:
    for node in nodes:
        label = "  " * depth + _short(node.name, depth)
        if not node.counts:
            table.add_row(label, *[""] * 6, style="dim")
        for at, count in enumerate(node.counts):
            said = label if at == 0 else ""
            if count.who:
                said = f"{said or ' ' * len(label)} {count.who}"
            _row(table, said, count)
        _add(table, node.below, depth + 1)


def _row(table: Table, said: str, count: Count) -> None:
    budget = count.budget
    notes = [] if budget.hard else ["soft"]
    notes += [f"{count.passed[-1]} % passed"] if count.passed else []
    notes += [f"{count.unsent} not sent"] if count.unsent else []
    if count.runs_out_ns is not None and count.left > 0:
        whole = datetime.datetime.fromtimestamp(count.runs_out_ns // 10**9, zone_named(budget.zone))
        notes.append(f"spent whole by {whole:%d %b %H:%M} at this pace")
    if count.ends_ns is not None:
        end = datetime.datetime.fromtimestamp(count.ends_ns // 10**9, zone_named(budget.zone))
        notes.append(f"until {end:%d %b}")
    amounts = (budget.pico, count.spent, count.held, count.left)
    table.add_row(said, budget.per, *(_money(pico, budget.currency) for pico in amounts), ", ".join(notes))


def _money(pico: int, currency: str) -> str:
    return "-" + money(-pico, currency) if pico < 0 else money(pico, currency)


def _short(name: str, depth: int) -> str:
    """The last part of a target below what it is a part of."""
    above, kind, who = split_person(name)
    if kind:
        return f"{kind}:{who}"
    return above if depth == 0 or above.startswith("key:") else above.rpartition("/")[2]
