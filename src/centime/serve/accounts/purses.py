"""Out of what a request is paid: its key's balance and every hard budget over it, each less what others hold of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from centime.catalogue.tariffs import PICO
from centime.ledger.tags import RequestTags
from centime.serve.accounts.account import Account
from centime.serve.accounts.budgets import lines
from centime.serve.accounts.budgets.lines import Over
from centime.serve.accounts.budgets.targets import targets_of
from centime.serve.accounts.limits import Refused, held, release_dead
from centime.serve.accounts.wanted import Wanted
from centime.units import format_money


@dataclass(frozen=True)
class Purse:
    """One of them, in pico-units: `left` is not spent, of which `held` may be taken by the `running` besides."""

    said: str
    currency: str
    left: int
    running: int
    held: int
    mend: str  # what to do where it is empty

    def pays(self, wanted: Wanted) -> int | None:
        """How many of its tokens; None where it is empty, or they are too few."""
        return wanted.within(self.left - self.held) if self.left > 0 else None


def budgets_over(
    connection: sqlite3.Connection, account: Account, tags: RequestTags, wall_ns: int, *, priced: bool = True
) -> list[Over]:
    """The budgets that a request is counted in, which comes at a moment.

    Raises Refused (402) where a hard one cannot be kept: what is not priced, or is in another currency, would slip by.
    Soft ones then count nothing of it. priced False: its prices are said later, and so is that.
    """
    found = lines.over(connection, targets_of(account.place, account.name, tags), wall_ns)
    if not priced:
        return found
    asks = account.tariff.currency if account.tariff else None
    for one in found:
        if one.hard and one.currency != asks:
            here = f"asks prices in {asks}" if asks else "has no price list"
            raise Refused(
                402,
                "insufficient_balance",
                f"{one.said[0].upper()}{one.said[1:]} is in {one.currency} and this server {here}: what it does would "
                "not be counted. Start it with a price list in that currency.",
            )
    return [one for one in found if one.currency == asks]


def granted(
    connection: sqlite3.Connection, account: Account, over: Sequence[Over], wanted: Wanted, own: int = 0
) -> int:
    """How many tokens of output its purses pay for, `wanted.tokens` at most.

    own: the number of the reservation that it has already. Raises Refused (402) where one of them pays too few; what
    the dead held is let go before.
    """
    tokens, short = _paid(_purses(connection, account, over, own), wanted)
    if short is not None and release_dead(connection):
        tokens, short = _paid(_purses(connection, account, over, own), wanted)
    if tokens is None:
        assert short is not None
        raise _refusal(short, wanted)
    return tokens


def _paid(purses: Sequence[Purse], wanted: Wanted) -> tuple[int | None, Purse | None]:
    """(tokens, the purse that pays for no more of them); (None, the one that pays too few)."""
    tokens, short = wanted.tokens, None
    for purse in purses:
        paid = purse.pays(wanted)
        if paid is None:
            return None, purse
        if paid < tokens:
            tokens, short = paid, purse
    return tokens, short


def _purses(connection: sqlite3.Connection, account: Account, over: Sequence[Over], own: int) -> list[Purse]:
    found = []
    if account.currency is not None:
        (balance,) = connection.execute("SELECT balance FROM keys WHERE name = ?", (account.name,)).fetchone()
        found.append(
            Purse(
                f"key {account.name!r}",
                account.currency,
                balance,
                *held(connection, account.name, own),
                f"top up: centime keys top-up {account.name} AMOUNT",
            )
        )
    for one in over:
        if one.hard:
            found.append(
                Purse(
                    one.said,
                    one.currency,
                    one.pico - lines.spent(connection, one.line),
                    *lines.held(connection, one.line, own),
                    "wait for its next window" if one.per != "ever" else "have it raised",
                )
            )
    return found


def _refusal(short: Purse, wanted: Wanted) -> Refused:
    beside = f", of which {money(short.held, short.currency)} is held for {short.running} running" if short.held else ""
    least = wanted.of(wanted.least)
    asks = f"this request could cost {money(least, short.currency)} and {short.said}" if least else short.said
    mend = f"Lower max_tokens, or {short.mend}" if least and short.left > 0 else short.mend[0].upper() + short.mend[1:]
    return Refused(
        402,
        "insufficient_balance",
        f"Insufficient balance: {asks} has {money(max(0, short.left), short.currency)}{beside}. {mend}.",
        waits=bool(short.held) and short.left >= wanted.most,
    )


def money(pico: int, currency: str) -> str:
    """Pico-units for a person to read."""
    return format_money(float(Decimal(pico) / PICO), currency)
