"""The keys: made, listed, revoked, topped up. A secret is shown once; the book keeps its SHA-256.

A secret is 256 random bits, so that a plain hash of it cannot be guessed from: salt and a slow hash protect passwords,
which people choose.
"""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
import time
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from centime.catalogue.tariffs import MOST, PICO, Tariff, decimal
from centime.errors import UserError, nearest
from centime.serve.accounts.budgets.targets import NAME, check_place
from centime.serve.accounts.limits import dead, held
from centime.serve.accounts.store import Store, server_currencies
from centime.units import parse_money

MOST_LIMIT = 10**9  # requests a minute, or at once
PREFIX = "sk-"
_ALL = "name, hash, hint, created_ns, revoked_ns, tariff, currency, balance, topped_up, per_minute, concurrency, place"
_COLUMNS = "name, hint, created_ns, revoked_ns, tariff, currency, balance, topped_up, per_minute, concurrency, place"


@dataclass(frozen=True)
class Key:
    """A key as `centime keys list` shows it. Amounts in pico-units; None: no budget, no limit, the server's prices."""

    name: str
    hint: str  # the last four characters of its secret
    created_ns: int  # since the epoch
    revoked_ns: int | None
    tariff: Tariff | None
    currency: str | None
    balance: int | None
    topped_up: int
    per_minute: int | None
    concurrency: int | None
    place: str = ""  # 'organisation/team', 'organisation' or ''
    running: int = 0
    held: int = 0

    def as_json(self) -> dict[str, Any]:
        """The key as JSON values; money as exact decimal strings."""
        return {
            "name": self.name,
            "hint": self.hint,
            "created": self.created_ns // 10**9,
            "revoked": None if self.revoked_ns is None else self.revoked_ns // 10**9,
            "prices": None if self.tariff is None else str(self.tariff),
            "currency": self.currency,
            "balance": None if self.balance is None else decimal(self.balance),
            "held": decimal(self.held),
            "topped_up": decimal(self.topped_up),
            "requests_running": self.running,
            "requests_per_minute": self.per_minute,
            "concurrency": self.concurrency,
            "place": self.place or None,
        }


def hash_of(secret: str) -> bytes:
    """What the book keeps of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def add_key(
    store: Store,
    name: str,
    *,
    tariff: Tariff | None = None,
    budget: str | None = None,
    per_minute: int | None = None,
    concurrency: int | None = None,
    place: str = "",
) -> str:
    """Make a key and return its secret, which nobody can read again.

    budget: money such as '$5'; without one the key may spend without end. tariff None: the prices of whatever server is
    asked. place: the organisation or team that it stands in. Raises UserError for a name that is taken or cannot be
    one, a limit out of range, or a budget in a currency that no server on this ledger asks prices in.
    """
    check_name(name)
    for flag, value in (("--per-minute", per_minute), ("--concurrency", concurrency)):
        if value is not None and value < 1:
            raise UserError(f"{flag} {value} lets nothing through; give 1 or more, or leave it out.")
        if value is not None and value > MOST_LIMIT:
            raise UserError(f"{flag} {value} is no limit; give at most {MOST_LIMIT:,}, or leave it out.")
    if place:
        check_place(place)
    balance, currency = None, tariff.currency if tariff else None
    if budget is not None:
        balance, spoken = amount(budget)
        if tariff is not None and spoken != tariff.currency:
            raise UserError(
                f"the budget is in {spoken} and the price list {tariff.name!r} in {tariff.currency}; "
                "give both in one currency."
            )
        currency = spoken
    secret = PREFIX + secrets.token_urlsafe(32)
    row = (
        name, hash_of(secret), secret[-4:], time.time_ns(), None, tariff.as_text() if tariff else None, currency,
        balance, balance or 0, per_minute, concurrency, place,
    )  # fmt: skip
    with store.writing() as connection:
        check_free(connection, name)
        if budget is not None and tariff is None:
            _check_currency(connection, budget, str(currency))
        connection.execute(f"INSERT INTO keys ({_ALL}) VALUES ({', '.join('?' * len(row))})", row)
    return secret


def check_name(name: str) -> str:
    """The name. Raises UserError for one that no key can have."""
    if not NAME.fullmatch(name):
        raise UserError(
            f"{name!r} cannot name a key: use up to 64 letters, digits and . _ @ -, a letter or digit first."
        )
    return name


def check_free(connection: sqlite3.Connection, name: str) -> None:
    """Raises UserError for a name that a key has, or had."""
    taken = connection.execute("SELECT revoked_ns FROM keys WHERE name = ?", (name,)).fetchone()
    if taken is not None:
        state = "is revoked, and its line on the bill stays its own" if taken[0] else "exists"
        raise UserError(f"a key {name!r} {state}; choose another name.")


def list_keys(store: Store) -> list[Key]:
    """Every key, the oldest first, with what it has running now."""
    found = []
    with store.reading() as connection:
        gone = dead(connection)
        for row in connection.execute(f"SELECT {_COLUMNS} FROM keys ORDER BY created_ns, name").fetchall():
            values = dict(zip(_COLUMNS.split(", "), row, strict=True))
            values["tariff"] = Tariff.from_text(values["tariff"]) if values["tariff"] else None
            running, holds = held(connection, values["name"], gone=gone)
            found.append(Key(**values, running=running, held=holds))
    return found


def revoke(store: Store, name: str) -> None:
    """No request of this key is served any more; those that run are finished. Raises UserError for an unknown name."""
    with store.writing() as connection:
        _known(connection, name)
        connection.execute(
            "UPDATE keys SET revoked_ns = ? WHERE name = ? AND revoked_ns IS NULL", (time.time_ns(), name)
        )


def move(store: Store, name: str, place: str) -> None:
    """The key stands in this organisation or team from now on; '' in none. Raises UserError for an unknown name."""
    if place:
        check_place(place)
    with store.writing() as connection:
        _known(connection, name)
        connection.execute("UPDATE keys SET place = ? WHERE name = ?", (place, name))


def set_limits(store: Store, name: str, *, per_minute: int | None, concurrency: int | None) -> None:
    """Requests a minute and at once, at most; 0: no limit, None: as it is. Raises UserError for an unknown name."""
    with store.writing() as connection:
        _known(connection, name)
        for column, value in (("per_minute", per_minute), ("concurrency", concurrency)):
            if value is not None:
                connection.execute(f"UPDATE keys SET {column} = ? WHERE name = ?", (value or None, name))


def top_up(store: Store, name: str, money: str) -> Key:
    """Add money to a key's balance. Raises UserError for an unknown or revoked key, one without a budget, another
    currency, or more than a balance holds."""
    added, currency = amount(money)
    with store.writing() as connection:
        _known(connection, name)
        own, balance, topped_up, revoked = connection.execute(
            "SELECT currency, balance, topped_up, revoked_ns FROM keys WHERE name = ?", (name,)
        ).fetchone()
        if revoked is not None:
            raise UserError(f"key {name!r} is revoked; make a new one with `centime keys add`.")
        if balance is None:
            raise UserError(f"key {name!r} has no budget and may spend without end: there is nothing to top up.")
        if currency != own:
            raise UserError(f"key {name!r} has its balance in {own}; {money!r} is in {currency}.")
        if balance + added > MOST * PICO:
            raise UserError(f"a balance holds up to {MOST:,} {own}; {name!r} has {decimal(balance)}.")
        if topped_up + added > MOST * PICO:
            raise UserError(
                f"a key is given up to {MOST:,} {own} in all; {name!r} was given {decimal(topped_up)}. Make a new key."
            )
        connection.execute(
            "UPDATE keys SET balance = ?, topped_up = ? WHERE name = ?", (balance + added, topped_up + added, name)
        )
    return next(key for key in list_keys(store) if key.name == name)


def amount(text: str) -> tuple[int, str]:
    """'$5' -> (5 * 10**12, 'USD'). Raises UserError on anything but more than nothing and what a balance holds."""
    value, currency = parse_money(text)
    pico = int(Decimal(repr(value)) * PICO) if value <= MOST else 0
    if not pico:
        raise UserError(f"{text!r} cannot be put on a key: give more than 0 and at most {MOST:,} {currency}.")
    return pico, currency


def _check_currency(connection: sqlite3.Connection, budget: str, currency: str) -> None:
    """Raises UserError where servers' prices are known, and none can be paid in `currency`."""
    currencies = server_currencies(connection)
    if currencies and currency not in currencies:
        servers = " and ".join(f"in {name} ({run!r})" for name, run in currencies.items())
        raise UserError(
            f"the budget {budget!r} is in {currency}, and the servers on this ledger ask prices {servers}: they would "
            f"refuse every request of this key. Give the budget in {' or '.join(currencies)}, or the key prices of "
            f"its own with --price-list '... {currency}', or start a server with prices in {currency} first."
        )


def _known(connection: sqlite3.Connection, name: str) -> None:
    names = [row[0] for row in connection.execute("SELECT name FROM keys ORDER BY created_ns")]
    if name not in names:
        listed = f" There are: {', '.join(names[-5:])}." if names else " There is none yet: `centime keys add NAME`."
        raise UserError(f"there is no key {name!r}.{nearest(name, names)}{listed}")
