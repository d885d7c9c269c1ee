"""A key's secrets and its end: rotated with an overlap, so that no client is cut off, and expiring by itself."""

from __future__ import annotations

import datetime
import secrets
import sqlite3
import time

from centime.errors import UserError
from centime.serve.accounts.keys import PREFIX, hash_of
from centime.serve.accounts.store import Store

MOST_OVERLAP_S = 366 * 86_400.0


def rotate(store: Store, name: str, overlap_s: float = 0.0) -> str:
    """A new secret of a key. The one before is good for `overlap_s` seconds more; those before it end now.

    Raises UserError for an unknown or revoked key, or an overlap out of range.
    """
    if not 0 <= overlap_s <= MOST_OVERLAP_S:
        raise UserError(f"an overlap of {overlap_s:g} seconds is none; give 0 to {MOST_OVERLAP_S:,.0f} (a year).")
    secret, now = PREFIX + secrets.token_urlsafe(32), time.time_ns()
    with store.writing() as connection:
        found = connection.execute("SELECT hash, revoked_ns FROM keys WHERE name = ?", (name,)).fetchone()
        if found is None or found[1] is not None:
            why = "there is no" if found is None else "revoked is the"
            raise UserError(f"{why} key {name!r}; a new one is made with `centime keys add`.")
        connection.execute("DELETE FROM former_secrets WHERE key = ? OR until_ns <= ?", (name, now))
        if overlap_s:
            until = now + round(overlap_s * 1e9)
            connection.execute("INSERT INTO former_secrets VALUES (?, ?, ?)", (found[0], name, until))
        connection.execute("UPDATE keys SET hash = ?, hint = ? WHERE name = ?", (hash_of(secret), secret[-4:], name))
    return secret


def set_end(store: Store, name: str, at_ns: int | None) -> None:
    """From this instant on (ns since the epoch) the key is refused; None: it has no end. Raises UserError for an
    unknown key."""
    with store.writing() as connection:
        if connection.execute("SELECT 1 FROM keys WHERE name = ?", (name,)).fetchone() is None:
            raise UserError(f"there is no key {name!r}; `centime keys list` shows them.")
        connection.execute("DELETE FROM key_ends WHERE key = ?", (name,))
        if at_ns is not None:
            connection.execute("INSERT INTO key_ends VALUES (?, ?)", (name, at_ns))


def ends(connection: sqlite3.Connection) -> dict[str, int]:
    """The instants at which keys end, by name."""
    return dict(connection.execute("SELECT key, at_ns FROM key_ends").fetchall())


def instant_ns(text: str) -> int:
    """'2027-01-31' or '2027-01-31T18:00:00+01:00' in ns since the epoch; without a zone UTC. Raises UserError."""
    try:
        when = datetime.datetime.fromisoformat(text)
        when = when if when.tzinfo is not None else when.replace(tzinfo=datetime.UTC)
        return int(when.timestamp()) * 10**9
    except (ValueError, OverflowError):
        raise UserError(f"{text!r} is no instant; write a day such as 2027-01-31, or 2027-01-31T18:00:00Z.") from None
