"""What was done to keys and budgets, when and by whom: lines that are only ever added."""

from __future__ import annotations

import datetime
import json
import time
from typing import Any

from centime.serve.accounts.store import Store


def note(store: Store, who: str, action: str, target: str, details: dict[str, Any]) -> None:
    """One line. details: JSON values without any secret."""
    with store.writing() as connection:
        connection.execute(
            "INSERT INTO audit (at_ns, who, action, target, details) VALUES (?, ?, ?, ?, ?)",
            (time.time_ns(), who, action, target, json.dumps(details, ensure_ascii=False)),
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
            "details": json.loads(str(details)),
        }
        for number, at, who, action, target, details in rows
    ]
