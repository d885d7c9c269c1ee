"""What a key may not exceed: its requests per minute, its requests at once. All inside one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from dataclasses import replace

from centime.catalogue.tariffs import MOST
from centime.ledger.process import Identity, alive, this_process
from centime.ledger.shared import clock_ns, is_shared
from centime.serve.accounts.account import Account
from centime.serve.accounts.charge import MOST_PICO
from centime.serve.accounts.wanted import Wanted
from centime.units import plural

MINUTE_NS = 60 * 10**9
# A process in another container cannot be asked for: what it holds is let go after an hour without a request.
SILENT_NS = 60 * MINUTE_NS
# Of a ledger that machines share nobody can be asked for: who has said nothing for so long is dead.
BEAT_NS, LEASE_NS = 5 * 10**9, 30 * 10**9


class Refused(Exception):
    """A request that is not served. `message` says why and what to do; retry_after is in seconds.

    waits: it would be served once others that run have ended.
    """

    def __init__(
        self, status: int, code: str, message: str, retry_after: int | None = None, *, waits: bool = False
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.retry_after, self.waits = retry_after, waits


def held(connection: sqlite3.Connection, key: str, but: int = 0, gone: Collection[str] = ()) -> tuple[int, int]:
    """(requests running, pico-units they could cost at most) of a key, without the reservation numbered `but` and
    without those of the holders that are `gone`."""
    rows = connection.execute("SELECT holder, pico FROM reservations WHERE key = ? AND id != ?", (key, but)).fetchall()
    each = [pico for holder, pico in rows if holder not in gone]
    return len(each), sum(each)  # summed here: SQLite's sum ends at 64 bits


def dead(connection: sqlite3.Connection) -> set[str]:
    """The holders whose processes no longer live."""
    now = clock_ns(connection)
    if is_shared(connection):
        rows = connection.execute("SELECT id FROM holders WHERE seen_ns < ?", (now - LEASE_NS,)).fetchall()
        return {holder for (holder,) in rows}
    holders = connection.execute("SELECT id, boot, namespace, pid, started, seen_ns FROM holders").fetchall()
    return {
        holder
        for holder, boot, namespace, pid, started, seen_ns in holders
        if not alive(Identity(boot, namespace, pid, started), now - seen_ns, SILENT_NS)
    }


def release_dead(connection: sqlite3.Connection) -> bool:
    """Let go of what processes hold that no longer live; whether there were any."""
    gone = dead(connection)
    for holder in gone:
        release_held(connection, holder)
    return bool(gone)


def release_held(connection: sqlite3.Connection, holder: str) -> None:
    """Let go of all that a process holds."""
    connection.execute(
        "DELETE FROM budget_held WHERE reservation IN (SELECT id FROM reservations WHERE holder = ?)", (holder,)
    )
    connection.execute("DELETE FROM reservations WHERE holder = ?", (holder,))
    connection.execute("DELETE FROM holders WHERE id = ?", (holder,))


def sign_of_life(connection: sqlite3.Connection, holder: str) -> None:
    """This process holds reservations under the name `holder`."""
    who = this_process()
    connection.execute(
        "INSERT INTO holders (id, boot, namespace, pid, started, seen_ns) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (id) DO UPDATE SET seen_ns = excluded.seen_ns",
        (holder, who.boot, who.namespace, who.pid, who.started, clock_ns(connection)),
    )


def in_range(wanted: Wanted, account: Account) -> Wanted:
    """The request with no more tokens than any may cost: no balance holds more, nor would a bill. Raises Refused (400)
    where they are too few."""
    tokens = wanted.within(MOST_PICO)
    if tokens is None:
        currency = account.tariff.currency if account.tariff else ""
        raise Refused(
            400,
            "invalid_request_error",
            f"This request could cost more than {MOST:,} {currency}, which none may: ask for fewer tokens "
            "(max_tokens) or fewer answers (n).",
        )
    return replace(wanted, tokens=tokens)


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
    now = clock_ns(connection)
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
