"""`centime users`: what the ledger knows of a client's user. See `verbs.py`."""

from __future__ import annotations

from centime.cli.users.verbs import app

__all__ = ["app"]
