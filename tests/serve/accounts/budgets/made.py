"""Budgets made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from centime.ledger.tags import RequestTags
from centime.serve.accounts import Account, Accounts
from centime.serve.accounts.budgets.edit import Cap, CapTerms, add_budget
from centime.serve.accounts.budgets.tree import Count, Node, tree
from centime.serve.accounts.keys import add_key, amount
from centime.serve.accounts.store import Store

MICRO = 10**6  # pico-dollars of a micro-dollar; the lists of the tests are in dollars per million tokens
BOB, EVE = RequestTags(user="bob", session="one"), RequestTags(user="eve", session="two")


def budget(path: Path, target: str, money: str, per: str = "month", **terms: Any) -> Cap:
    """A new budget in the ledger at `path`."""
    store = Store(path)
    try:
        with store.writing() as connection:
            return add_budget(connection, target, per, CapTerms(amount(money), **terms))
    finally:
        store.close()


def key(path: Path, name: str, place: str = "", **given: Any) -> str:
    """The secret of a new key that stands in a place."""
    store = Store(path)
    try:
        return add_key(store, name, place=place, **given)
    finally:
        store.close()


def account(accounts: Accounts, secret: str) -> Account:
    """Whose secret it is."""
    return accounts.authenticate(secret)


def counts(path: Path, wall_ns: int | None = None) -> dict[tuple[str, str, str], Count]:
    """(target, window, person) -> where its budget stands."""
    store = Store(path)
    found: dict[tuple[str, str, str], Count] = {}

    def walk(nodes: list[Node]) -> None:
        for node in nodes:
            for count in node.counts:
                found[node.name, count.budget.per, count.who] = count
            walk(node.below)

    with store.reading() as connection:
        walk(tree(connection, wall_ns))
    store.close()
    return found
