"""Budgets made, changed and removed by people. Raises UserError for what cannot be, and then nothing is changed."""

from __future__ import annotations

import re
import sqlite3
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from centime.addresses import LEFT_OUT, shown_host
from centime.catalogue.tariffs import decimal
from centime.errors import UserError, nearest
from centime.serve.accounts.budgets.targets import EACH, check_target, kind_of, split_person
from centime.serve.accounts.budgets.windows import Window, window_named, zone_named

SHARES = "50,80,100"
MOST_SHARES = 10


@dataclass(frozen=True)
class Cap:
    """One budget. pico: of one window, in pico-units of `currency`; shares: per cent of it, as '50,80,100'."""

    number: int
    target: str
    per: Window
    zone: str
    currency: str
    pico: int
    hard: bool
    shares: str
    webhook: str

    def as_json(self) -> dict[str, Any]:
        """The budget as JSON values; money as exact decimal strings. Of the webhook the host alone: its path may be a
        secret."""
        return {
            "target": self.target,
            "kind": kind_of(self.target),
            "per": self.per,
            "zone": None if self.per == "ever" else self.zone,
            "limit": decimal(self.pico),
            "currency": self.currency,
            "hard": self.hard,
            "alerts": [int(share) for share in filter(None, self.shares.split(","))],
            "webhook": shown_host(self.webhook) or None,
        }


@dataclass(frozen=True)
class CapTerms:
    """What a person says of a budget; None: as it is, or by default."""

    amount: tuple[int, str] | None = None  # pico-units and their currency
    zone: str | None = None
    hard: bool | None = None
    shares: str | None = None
    webhook: str | None = None


def add_budget(connection: sqlite3.Connection, target: str, per: str, terms: CapTerms) -> Cap:
    """Makes a budget; one target has one for each window."""
    window = window_named(per)
    assert terms.amount is not None
    made = Cap(
        0,
        check_target(target),
        window,
        _zone(window, terms.zone),
        terms.amount[1],
        terms.amount[0],
        terms.hard is not False,
        check_shares(SHARES if terms.shares is None else terms.shares),
        check_webhook(terms.webhook or ""),
    )
    if _rows(connection, "WHERE target = ? AND per = ?", target, per):
        raise UserError(f"{target} has a budget --per {per}; `centime budgets change {target} --per {per}` changes it.")
    connection.execute(
        "INSERT INTO budgets (target, per, zone, currency, pico, hard, shares, webhook, created_ns) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*_values(made), time.time_ns()),
    )
    return found(connection, target, per)


def change_budget(connection: sqlite3.Connection, target: str, per: str | None, terms: CapTerms) -> Cap:
    """Changes what is said of it and keeps what was spent. Shares that are passed no longer may be told again."""
    before = found(connection, target, per)
    pico, currency = terms.amount or (before.pico, before.currency)
    if currency != before.currency:
        raise UserError(
            f"the budget of {target} is in {before.currency} and has been spent from; remove it, and make one in "
            f"{currency} anew."
        )
    zone = before.zone if terms.zone is None else _zone(before.per, terms.zone)
    hard = before.hard if terms.hard is None else terms.hard
    shares = before.shares if terms.shares is None else check_shares(terms.shares)
    webhook = before.webhook if terms.webhook is None else check_webhook(terms.webhook)
    connection.execute(
        "UPDATE budgets SET zone = ?, pico = ?, hard = ?, shares = ?, webhook = ? WHERE id = ?",
        (zone, pico, int(hard), shares, webhook, before.number),
    )
    for number, share, spent in connection.execute(
        "SELECT alerts.id, share, pico FROM alerts JOIN budget_spent USING (budget, who, begin_ns) WHERE budget = ?",
        (before.number,),
    ).fetchall():
        if spent * 100 < share * pico:
            connection.execute("DELETE FROM alerts WHERE id = ?", (number,))
    connection.execute("UPDATE alerts SET url = ? WHERE budget = ? AND sent_ns IS NULL", (webhook, before.number))
    return found(connection, target, before.per)


def remove_budget(connection: sqlite3.Connection, target: str, per: str | None) -> Cap:
    """Removes it with what was counted in it; the bill keeps every charge."""
    gone = found(connection, target, per)
    for table in ("budget_spent", "budget_held", "alerts"):
        connection.execute(f"DELETE FROM {table} WHERE budget = ?", (gone.number,))
    connection.execute("DELETE FROM budgets WHERE id = ?", (gone.number,))
    return gone


def forget_person(connection: sqlite3.Connection, user: str) -> list[str]:
    """Forgets the counts of a user in budgets of each; the targets of budgets that still name him."""
    each = [one.number for one in budgets(connection) if split_person(one.target)[1:] == ("user", EACH)]
    for number in each:
        for table in ("budget_spent", "budget_held", "alerts"):
            connection.execute(f"DELETE FROM {table} WHERE budget = ? AND who = ?", (number, user))
    return [one.target for one in budgets(connection) if split_person(one.target)[1:] == ("user", user)]


def found(connection: sqlite3.Connection, target: str, per: str | None) -> Cap:
    """The budget of a target and window; per None: the only one it has."""
    of_target = _rows(connection, "WHERE target = ?", target)
    if not of_target:
        known = [one.target for one in budgets(connection)]
        listed = f" There are: {', '.join(known[-5:])}." if known else " There is none yet: `centime budgets add`."
        raise UserError(f"there is no budget of {target!r}.{nearest(target, known)}{listed}")
    fitting = [one for one in of_target if per in (None, one.per)]
    windows = " and ".join(one.per for one in of_target)
    if per is not None and not fitting:
        raise UserError(f"{target} has no budget --per {window_named(per)}; it has one --per {windows}.")
    if len(fitting) > 1:
        raise UserError(f"{target} has budgets --per {windows}; say which.")
    return fitting[0]


def budgets(connection: sqlite3.Connection) -> list[Cap]:
    """All budgets, by target and in the order in which they were made."""
    return _rows(connection, "")


def check_shares(text: str) -> str:
    """'80, 50%' -> '50,80'. Raises UserError for what are no shares."""
    words = [word.strip().rstrip("%").strip() for word in text.split(",") if word.strip()]
    if not all(re.fullmatch(r"[0-9]{1,3}", word) and 1 <= int(word) <= 100 for word in words):
        raise UserError(f"--alert {text!r} are no shares of a budget; give per cents from 1 to 100, such as 50,80,100.")
    if len(words) > MOST_SHARES:
        raise UserError(f"--alert names {len(words)} shares; give at most {MOST_SHARES}.")
    return ",".join(map(str, sorted({int(word) for word in words})))


def check_webhook(text: str) -> str:
    """The address. Raises UserError for what is none that can be posted to; '' is nobody."""
    try:
        parts = urlsplit(text)
        good = not text or (parts.scheme in {"http", "https"} and bool(parts.hostname) and text.isprintable())
    except ValueError:
        good = False
    if not good:
        raise UserError("--webhook is no address of http or https; give one such as https://hooks.example/budget.")
    if text.endswith(f"/{LEFT_OUT}"):
        raise UserError("--webhook is an address as it is shown, without its secret; give the whole of it.")
    return text


def _zone(per: Window, zone: str | None) -> str:
    if zone is not None and per == "ever":
        raise UserError("--zone is for budgets of a day or a month; one --per ever has no midnight.")
    return zone_named(zone or "UTC").key


def _values(one: Cap) -> tuple[object, ...]:
    return (one.target, one.per, one.zone, one.currency, one.pico, int(one.hard), one.shares, one.webhook)


def _rows(connection: sqlite3.Connection, where: str, *values: object) -> list[Cap]:
    columns = "id, target, per, zone, currency, pico, hard, shares, webhook"
    rows = connection.execute(f"SELECT {columns} FROM budgets {where} ORDER BY target, id", values).fetchall()
    return [
        Cap(number, target, window_named(per), zone, currency, pico, bool(hard), shares, webhook)
        for number, target, per, zone, currency, pico, hard, shares, webhook in rows
    ]
