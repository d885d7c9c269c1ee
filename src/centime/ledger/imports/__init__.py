"""Files and pages that others write, read as statements for the book: Prometheus, Slurm, FOCUS. No torch."""

from __future__ import annotations

from centime.ledger.imports.read import Terms, read_statements

__all__ = ["Terms", "read_statements"]
