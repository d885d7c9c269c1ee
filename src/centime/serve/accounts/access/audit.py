"""What was done to keys and budgets, when and by whom: lines that are only ever added."""

from __future__ import annotations

import datetime
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from centime.addresses import shown_host
from centime.serve.accounts.store import Store

COMMAND_LINE, ADMINISTRATOR = "command line", "admin"  # who does it


@contextmanager
def noting(store: Store, who: str, action: str, target: str, details: dict[str, Any]) -> Iterator[sqlite3.Connection]:
    """What the block does, and the line that says so, in one transaction: neither is there without the other.

    details: JSON values; those that are None are left out. Of a webhook's address, which may hold a secret, the host is
    kept.
    """
    said = _masked({name: value for name, value in details.items() if value is not None})
    with store.writing() as connection:
        yield connection
        connection.execute(
            "INSERT INTO audit (at_ns, who, action, target, details) VALUES (?, ?, ?, ?, ?)",
            (time.time_ns(), who, action, target, json.dumps(said, ensure_ascii=False)),
        )


def latest(store: Store, most: int) -> list[dict[str, Any]]:
    """The newest lines, the newest first: {id, at, who, action, target, details}."""
    rows = store.read("SELECT id, at_ns, who, action, target, details FROM audit ORDER BY id DESC LIMIT ?", most)
    return [
        {
            "id": number,
            "at": datetime.datetime.fromtimestamp(int(str(at)) / 1e9, datetime.UTC).isoformat(timespec="milliseconds"),
            "who": who,
            "action": action,
            "target": target,
            "details": _masked(json.loads(str(details))),  # lines of an earlier version have the whole address
        }
        for number, at, who, action, target, details in rows
    ]


def _masked(details: dict[str, Any]) -> dict[str, Any]:
    return {name: shown_host(str(value)) if name == "webhook" else value for name, value in details.items()}
