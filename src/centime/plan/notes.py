"""A note of the planner: a sentence in English, fit for JSON, that remembers what it was made of.

Where a figure is computed, its assumptions are made with `said("Price of {chip} as of {date}", chip=..., date=...)`; a
report says them in another language. What computes imports this file, and nothing of what renders.
"""

from __future__ import annotations

from typing import Any


class Said(str):
    """An English sentence that remembers what it was made of: its template and its values."""

    template: str
    values: dict[str, Any]


def said(template: str, **values: Any) -> Said:
    """The sentence with its values, in English; `words("fr")` turns it into French later."""
    out = Said(template.format(**values) if values else template)
    out.template, out.values = template, values
    return out
