"""Files and pages that others write, read as statements for the book: Prometheus, Slurm, FOCUS. No torch."""

from __future__ import annotations

from centime.ledger.imports.read import read_statements
from centime.ledger.imports.terms import Terms

__all__ = ["Terms", "read_statements"]
