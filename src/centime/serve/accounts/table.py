"""The keys for a terminal."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from rich import box
from rich.table import Table

from centime.serve.accounts.keys import Key
from centime.serve.accounts.limits import money


def keys_table(keys: Sequence[Key]) -> Table:
    """One line a key: the end of its secret, money left, limits, prices, whether it is revoked."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("key", "secret", "left", "running", "a minute", "at once", "prices", "made"):
        right = heading in {"left", "running", "a minute", "at once"}
        table.add_column(heading, justify="right" if right else "left")
    for key in keys:
        left = "no budget" if key.balance is None or key.currency is None else money(key.balance, key.currency)
        made = datetime.datetime.fromtimestamp(key.created_ns // 10**9, datetime.UTC).date().isoformat()
        table.add_row(
            key.name,
            f"...{key.hint}",
            "revoked" if key.revoked_ns is not None else left,
            str(key.running or ""),
            str(key.per_minute or ""),
            str(key.concurrency or ""),
            key.tariff.name if key.tariff else "the server's",
            made,
            style="dim" if key.revoked_ns is not None else "",
        )
    return table
