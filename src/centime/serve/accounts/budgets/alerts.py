"""Who is told that a share of a budget is spent: noted with the charge, sent by a webhook of its own time.

The note is in the transaction of the charge that passed the share, once for a window; the sending is outside of any, by
whichever process claims the note first, again and again until somebody answers. Each has an id: a process that dies
between the answer and its own note of it sends the same one twice.
"""

from __future__ import annotations

import http.client
import json
import sqlite3
import time
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from centime.catalogue.tariffs import decimal
from centime.version import version

SECOND_NS = 10**9
WAIT_S = 5  # for an answer
CLAIM_S = 2 * WAIT_S  # after which another process may take a note that was claimed and not sent
LONGEST_S = 3600  # between two tries
MOST_TRIES = 48  # about two days

Writing = Callable[[], AbstractContextManager[sqlite3.Connection]]


@dataclass(frozen=True)
class Alert:
    """A share that was passed, as its webhook is told."""

    number: int
    tries: int
    url: str
    body: dict[str, Any]


def note_alerts(
    connection: sqlite3.Connection, line: tuple[int, str, int], before: int, after: int, wall_ns: int
) -> None:
    """Notes the shares of a budget that what was spent has passed. line: budget, who, begin of the window."""
    found = connection.execute("SELECT pico, shares, webhook FROM budgets WHERE id = ?", (line[0],)).fetchone()
    if found is None:  # removed meanwhile
        return
    pico, shares, url = found
    for share in map(int, filter(None, shares.split(","))):
        if before * 100 < share * pico <= after * 100:
            connection.execute(
                "INSERT INTO alerts (budget, who, begin_ns, share, at_ns, spent, url, sent_ns, tries, next_ns) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, NULL, 0, ?) ON CONFLICT (budget, who, begin_ns, share) DO NOTHING",
                (*line, share, wall_ns, after, url, wall_ns),
            )


def due(reader: Callable[..., list[tuple[object, ...]]]) -> bool:
    """Whether something is to be sent. reader: rows of a query that writes nothing."""
    return bool(reader("SELECT 1 FROM alerts WHERE sent_ns IS NULL AND next_ns <= ? LIMIT 1", time.time_ns()))


def deliver(writing: Writing) -> int:
    """Sends what is due, one after the other; how many were sent. Raises sqlite3.Error while the ledger cannot be
    written. writing: a transaction that writes."""
    sent = 0
    while (alert := _claimed(writing)) is not None:
        told = _post(alert)
        now = time.time_ns()
        with writing() as connection:
            if told:
                connection.execute("UPDATE alerts SET sent_ns = ? WHERE id = ?", (now, alert.number))
            else:
                after = now + min(LONGEST_S, 2**alert.tries) * SECOND_NS
                connection.execute("UPDATE alerts SET next_ns = ? WHERE id = ?", (after, alert.number))
        sent += told
    return sent


def _claimed(writing: Writing) -> Alert | None:
    now = time.time_ns()
    with writing() as connection:
        found = connection.execute(
            "SELECT alerts.id, tries, url, who, begin_ns, share, at_ns, spent, target, per, currency, pico, hard "
            "FROM alerts JOIN budgets ON budgets.id = budget "
            "WHERE sent_ns IS NULL AND next_ns <= ? AND url != '' AND tries < ? ORDER BY alerts.id LIMIT 1",
            (now, MOST_TRIES),
        ).fetchone()
        if found is None:
            return None
        number, tries, url, who, begin, share, at, spent, target, per, currency, pico, hard = found
        connection.execute(
            "UPDATE alerts SET tries = tries + 1, next_ns = ? WHERE id = ?", (now + CLAIM_S * SECOND_NS, number)
        )
    body = {
        "id": number,
        "budget": target,
        "who": who or None,
        "per": per,
        "window_began": begin // SECOND_NS if begin else None,
        "share": share,
        "spent": decimal(spent),
        "limit": decimal(pico),
        "currency": currency,
        "hard": bool(hard),
        "at": at // SECOND_NS,
    }
    return Alert(number, tries, url, body)


def _post(alert: Alert) -> bool:
    """Whether the webhook took it: any answer of 200 to 299."""
    headers = {"Content-Type": "application/json", "User-Agent": f"centime/{version()}"}
    try:
        request = urllib.request.Request(alert.url, json.dumps(alert.body).encode(), headers)
        with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
            return bool(200 <= answer.status < 300)
    except (OSError, ValueError, http.client.HTTPException):  # refused, timed out, no answer of HTTP
        return False
