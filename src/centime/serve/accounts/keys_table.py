"""The keys for a terminal."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from rich import box
from rich.table import Table

from centime.serve.accounts.keys import Key
from centime.serve.accounts.purses import money

LONG = 24  # characters of a name that a line of 80 has room for beside the rest


def keys_table(keys: Sequence[Key]) -> Table:
    """One line a key: the end of its secret, money left, limits, prices, when it was made, whether it is revoked; and
    what runs, where anything does. Names are never cut: the other verbs take them."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    runs = any(key.running for key in keys)
    stands = any(key.place for key in keys)
    table.add_column("key", overflow="fold", no_wrap=all(len(key.name) <= LONG for key in keys))
    table.add_column("secret", no_wrap=True)
    table.add_column("left", justify="right", no_wrap=True)
    if runs:
        table.add_column("running", justify="right", no_wrap=True)
    table.add_column("limits", overflow="fold")
    if stands:
        table.add_column("in", overflow="fold")
    table.add_column("prices", overflow="fold", min_width=len("server's"))
    table.add_column("made", no_wrap=True)
    for key in keys:
        left = "no budget" if key.balance is None or key.currency is None else money(key.balance, key.currency)
        made = datetime.datetime.fromtimestamp(key.created_ns // 10**9, datetime.UTC).date().isoformat()
        limits = ((key.per_minute, "/min"), (key.concurrency, " at once"))
        table.add_row(
            key.name,
            f"...{key.hint}",
            "revoked" if key.revoked_ns is not None else left,
            *([str(key.running or "")] if runs else []),
            ", ".join(f"{limit}{what}" for limit, what in limits if limit is not None),
            *([key.place] if stands else []),
            key.tariff.name if key.tariff else "server's",
            made,
            style="dim" if key.revoked_ns is not None else "",
        )
    return table
