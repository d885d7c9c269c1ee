"""What a key may not exceed: its balance, its requests per minute, its requests at once. All inside one transaction."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection
from decimal import Decimal

from centime.catalogue.tariffs import MOST, PICO
from centime.ledger.process import Identity, alive, this_process
from centime.serve.accounts.account import Account
from centime.serve.accounts.charge import MOST_PICO
from centime.units import format_money, plural

MINUTE_NS = 60 * 10**9
# A process in another container cannot be asked for: what it holds is let go after an hour without a request.
SILENT_NS = 60 * MINUTE_NS


class Refused(Exception):
    """A request that is not served. `message` says why and what to do; retry_after is in seconds."""

    def __init__(self, status: int, code: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.retry_after = status, code, message, retry_after


def held(connection: sqlite3.Connection, key: str, but: int = 0, gone: Collection[str] = ()) -> tuple[int, int]:
    """(requests running, pico-units they could cost at most) of a key, without the reservation numbered `but` and
    without those of the holders that are `gone`."""
    rows = connection.execute("SELECT holder, pico FROM reservations WHERE key = ? AND id != ?", (key, but)).fetchall()
    each = [pico for holder, pico in rows if holder not in gone]
    return len(each), sum(each)  # summed here: SQLite's sum ends at 64 bits


def dead(connection: sqlite3.Connection) -> set[str]:
    """The holders whose processes no longer live."""
    now = time.monotonic_ns()
    holders = connection.execute("SELECT id, boot, namespace, pid, started, seen_ns FROM holders").fetchall()
    return {
        holder
        for holder, boot, namespace, pid, started, seen_ns in holders
        if not alive(Identity(boot, namespace, pid, started), now - seen_ns, SILENT_NS)
    }


def release_dead(connection: sqlite3.Connection) -> None:
    """Let go of what processes hold that no longer live."""
    for holder in dead(connection):
        connection.execute("DELETE FROM reservations WHERE holder = ?", (holder,))
        connection.execute("DELETE FROM holders WHERE id = ?", (holder,))


def sign_of_life(connection: sqlite3.Connection, holder: str) -> None:
    """This process holds reservations under the name `holder`."""
    who = this_process()
    connection.execute(
        "INSERT OR REPLACE INTO holders VALUES (?, ?, ?, ?, ?, ?)",
        (holder, who.boot, who.namespace, who.pid, who.started, time.monotonic_ns()),
    )


def check_balance(
    connection: sqlite3.Connection, key: str, balance: int, currency: str, wanted: int, own: int = 0
) -> None:
    """Refuses (402) a request that could cost more than is left beside the others that run; one of which nothing is
    known yet (wanted 0) when nothing is left. own: the number of the reservation that it has already."""

    def pays() -> bool:
        return balance > 0 and held(connection, key, own)[1] + wanted <= balance

    if pays():
        return
    release_dead(connection)
    if pays():
        return
    running, reserved = held(connection, key, own)
    beside = f", of which {money(reserved, currency)} is held for {running} running" if reserved else ""
    asks = f"this request could cost {money(wanted, currency)} and key" if wanted else "key"
    less = "Lower max_tokens, or top up" if wanted and balance > 0 else "Top up"
    raise Refused(
        402,
        "insufficient_balance",
        f"Insufficient balance: {asks} {key!r} has {money(balance, currency)}{beside}. "
        f"{less}: centime keys top-up {key} AMOUNT.",
    )


def check_range(wanted: int, account: Account) -> None:
    """Refuses (400) a request that could cost more than any request may: no balance holds it, nor would a bill."""
    if wanted > MOST_PICO:
        currency = account.tariff.currency if account.tariff else ""
        raise Refused(
            400,
            "invalid_request_error",
            f"This request could cost more than {MOST:,} {currency}, which none may: ask for fewer tokens "
            "(max_tokens) or fewer answers (n).",
        )


def check_concurrency(connection: sqlite3.Connection, key: str, limit: int) -> None:
    """Refuses (429) a request beyond `limit` at once."""
    if held(connection, key)[0] < limit:
        return
    release_dead(connection)
    running = held(connection, key)[0]
    if running >= limit:
        raise Refused(
            429,
            "concurrency_limit_exceeded",
            f"Key {key!r} has {plural(running, 'request')} running and may have {limit}: wait for one to end.",
            1,
        )


def check_rate(connection: sqlite3.Connection, key: str, limit: int) -> None:
    """Refuses (429) a request that would be more than `limit` within any 60 seconds; counts it otherwise."""
    now = time.monotonic_ns()
    # later than now: of the clock before a reboot
    connection.execute("DELETE FROM arrivals WHERE key = ? AND (at_ns <= ? OR at_ns > ?)", (key, now - MINUTE_NS, now))
    count, oldest = connection.execute("SELECT count(*), min(at_ns) FROM arrivals WHERE key = ?", (key,)).fetchone()
    if count >= limit:
        seconds = max(1, -(-(oldest + MINUTE_NS - now) // 10**9))
        raise Refused(
            429,
            "rate_limit_exceeded",
            f"Key {key!r} may make {plural(limit, 'request')} a minute: try again in {seconds} s.",
            seconds,
        )
    connection.execute("INSERT INTO arrivals VALUES (?, ?)", (key, now))


def money(pico: int, currency: str) -> str:
    """Pico-units for a person to read."""
    return format_money(float(Decimal(pico) / PICO), currency)
