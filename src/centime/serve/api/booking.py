"""The machine's time goes to the ledger while a server runs: given to requests, or idle."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from centime.serve.accounts import Accounts

BOOKED_EVERY = 1.0  # seconds between two readings


async def book_time(accounts: Accounts, clocks: Callable[[], tuple[int, int]]) -> None:
    """Books both clocks, (requests_ns, idle_ns) since the start, every second until it is cancelled."""
    while True:
        await asyncio.sleep(BOOKED_EVERY)
        await asyncio.to_thread(lambda: accounts.machine_time(*clocks()))
