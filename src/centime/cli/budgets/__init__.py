"""`centime budgets`: what may be spent, by whom. See `verbs.py`."""

from __future__ import annotations

from centime.cli.budgets.verbs import app

__all__ = ["app"]
