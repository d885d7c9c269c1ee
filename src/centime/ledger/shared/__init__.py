"""One ledger for many gateways: PostgreSQL in place of SQLite's file, where CENTIME_LEDGER names one."""

from __future__ import annotations

from centime.ledger.shared.postgres import LedgerLost, Postgres, clock_ns, is_shared, shared_ledger

__all__ = ["LedgerLost", "Postgres", "clock_ns", "is_shared", "shared_ledger"]
